use super::*;

const HOUR: u64 = 3600;

/// A session of which side 0 is the initiator.
fn established(regime: Regime) -> World {
    let mut world = World::new(regime);
    world.send(0, 1);
    world.seconds(1);
    world.send(1, 1);
    world.seconds(1);
    world
}

#[test]
fn on_a_free_link_the_initiator_renews_at_120_seconds_and_the_responder_does_not() {
    let mut world = established(Regime::Free);
    world.seconds(117);
    world.send(0, 2);
    world.send(1, 2);
    world.seconds(2);
    assert_eq!((world.inits(0), world.inits(1)), (1, 0));
    world.send(1, 3);
    world.seconds(1);
    assert_eq!((world.inits(0), world.inits(1)), (1, 0));
    assert_eq!(world.send(0, 3), Readiness::Ready, "the old session serves until there is another");
    world.seconds(1);
    assert_eq!((world.inits(0), world.inits(1)), (2, 0));
    world.send(1, 4);
    world.seconds(1);
    assert_eq!((&world.sides[0].received, &world.sides[1].received), (&vec![1, 2, 3, 4], &vec![1, 2, 3]));
    assert!(world.sides[1].actions.contains(&Action::Usable { first: false }));
}

#[test]
fn an_initiator_that_only_receives_renews_before_the_keys_end() {
    let mut world = established(Regime::Free);
    for _ in 0..19 {
        world.seconds(10);
        // Keepalives are suppressed by nothing here, so that side 0 sends nothing of its own accord but those.
        world.send(1, 7);
    }
    assert_eq!((world.inits(0), world.inits(1)), (2, 0));
    world.seconds(1);
    assert_eq!(world.sides[0].received.len(), 20);
}

#[test]
fn on_a_metered_link_the_initiator_renews_at_5_hours() {
    let mut world = established(METERED);
    world.seconds(5 * HOUR - 10);
    world.send(0, 2);
    world.seconds(20);
    world.send(1, 2);
    world.seconds(1);
    assert_eq!((world.inits(0), world.inits(1)), (1, 0));
    assert_eq!(world.send(0, 3), Readiness::Ready);
    world.seconds(1);
    assert_eq!((world.inits(0), world.inits(1)), (2, 0));
}

#[test]
fn on_a_metered_link_65536_messages_are_enough() {
    let mut world = established(METERED);
    world.seconds(10);
    let now = world.now;
    let mut sealing = world.sides[0].tunnel.sealing(Content::Empty, now).unwrap();
    let spent = sealing.counters((1 << 16) - 4).unwrap();
    assert_eq!(spent, 2);
    world.send(0, 2);
    assert_eq!(world.inits(0), 1);
    world.send(0, 3);
    world.send(0, 4);
    assert_eq!(world.inits(0), 2);
}

#[test]
fn on_a_free_link_keys_die_at_180_seconds_and_are_erased_at_540() {
    let mut world = established(Regime::Free);
    world.seconds(177);
    let now = world.now;
    let recorded = world.last(0, is_data);
    assert!(world.sides[1].tunnel.sealing(Content::Empty, now).is_some());
    world.seconds(2);
    let now = world.now;
    for side in &mut world.sides {
        assert!(side.tunnel.sealing(Content::Empty, now).is_none());
        assert_eq!(side.tunnel.openings(now).count(), 0);
    }
    world.deliver(1, recorded);
    assert_eq!(world.sides[1].received, [1]);
    assert_eq!(world.sides[0].tunnel.state(), SessionState::Established);
    world.seconds(361);
    for side in &world.sides {
        assert_eq!(side.tunnel.state(), SessionState::Idle);
        assert!(side.actions.contains(&Action::Ended));
    }
    world.assert_indices_are_accounted_for();
}

#[test]
fn on_a_metered_link_keys_die_at_5_hours_and_10_minutes() {
    let mut world = established(METERED);
    world.seconds(5 * HOUR + 600 - 4);
    let now = world.now;
    assert!(world.sides[1].tunnel.sealing(Content::Empty, now).is_some());
    world.seconds(4);
    let now = world.now;
    for side in &mut world.sides {
        assert!(side.tunnel.sealing(Content::Empty, now).is_none());
        assert_eq!((side.tunnel.openings(now).count(), side.tunnel.state()), (0, SessionState::Idle));
    }
    assert_eq!(world.send(1, 2), Readiness::Wait);
    world.seconds(1);
    assert_eq!((world.inits(1), &world.sides[0].received), (1, &vec![1, 2]));
}

fn move_to(world: &mut World, regime: Regime) {
    let now = world.now;
    world.sides.iter_mut().for_each(|side| side.tunnel.set_regime(Some(regime), now));
}

#[test]
fn a_session_three_hours_old_moves_to_a_free_link_without_a_handshake() {
    let mut world = established(METERED);
    world.sides.iter_mut().for_each(|side| side.tunnel.set_metered_too(true));
    world.seconds(3 * HOUR);
    // One side learns of it first.
    let now = world.now;
    world.sides[0].tunnel.set_regime(Some(Regime::Free), now);
    assert_eq!(world.send(0, 2), Readiness::Ready);
    world.seconds(1);
    move_to(&mut world, Regime::Free);
    for number in 3..10 {
        assert_eq!(world.send(0, number), Readiness::Ready);
        assert_eq!(world.send(1, number), Readiness::Ready);
        world.seconds(10);
    }
    assert_eq!((world.inits(0), world.inits(1)), (1, 0));
    assert_eq!((world.sides[0].received.len(), world.sides[1].received.len()), (8, 9));
    world.seconds(60);
    world.send(0, 10);
    assert_eq!(world.inits(0), 2, "120 seconds later it is renewed");
}

#[test]
fn moving_to_and_fro_does_not_make_keys_immortal() {
    let mut world = established(METERED);
    world.sides.iter_mut().for_each(|side| side.tunnel.set_metered_too(true));
    world.lost = |_, wire| is_init(wire);
    for _ in 0..6 * 60 {
        move_to(&mut world, Regime::Free);
        world.seconds(30);
        move_to(&mut world, METERED);
        world.seconds(30);
    }
    let now = world.now;
    assert!(world.sides[0].tunnel.sealing(Content::Empty, now).is_none());
    assert_eq!(world.sides[0].tunnel.openings(now).count(), 0);
}

#[test]
fn a_session_too_old_for_a_free_link_serves_on_a_metered_one() {
    let mut world = established(Regime::Free);
    world.sides.iter_mut().for_each(|side| side.tunnel.set_metered_too(true));
    world.seconds(HOUR);
    move_to(&mut world, METERED);
    assert_eq!(world.send(0, 2), Readiness::Ready);
    world.seconds(1);
    assert_eq!((world.inits(0), &world.sides[1].received), (1, &vec![1, 2]));
}

#[test]
fn what_was_sent_on_free_links_does_not_count_on_a_metered_one() {
    let mut world = established(Regime::Free);
    let now = world.now;
    let _ = world.sides[0].tunnel.sealing(Content::Empty, now).unwrap().counters(1 << 30);
    move_to(&mut world, METERED);
    assert_eq!(world.send(0, 2), Readiness::Ready);
    assert_eq!(world.inits(0), 1);
}

#[test]
fn counters_at_their_end_are_renewed_and_then_refused() {
    let mut world = established(Regime::Free);
    let now = world.now;
    let _ = world.sides[0].tunnel.sealing(Content::Empty, now).unwrap().counters(1 << 60);
    world.lost = |_, wire| is_init(wire);
    assert_eq!(world.send(0, 2), Readiness::Ready);
    world.seconds(5);
    assert_eq!(world.inits(0), 2);
    let mut sealing = world.sides[0].tunnel.sealing(Content::Empty, world.now).unwrap();
    let left = crate::wg::regime::REJECT_AFTER_MESSAGES - sealing.counter().unwrap() - 1;
    assert!(sealing.counters(left).is_some() && sealing.counter().is_none());
    assert_eq!(world.send(0, 3), Readiness::Wait);
}
