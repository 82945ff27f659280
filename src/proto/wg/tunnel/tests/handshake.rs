use super::*;

fn both() -> [World; 2] {
    [World::new(Regime::Free), World::new(METERED)]
}

#[test]
fn a_packet_makes_a_session_and_goes_through_it_and_so_does_the_answer() {
    for mut world in both() {
        assert_eq!(world.send(0, 1), Readiness::Wait);
        assert_eq!(world.sides[0].tunnel.state(), SessionState::Handshaking);
        world.run(LATENCY * 3);
        assert_eq!(world.sides[1].received, [1]);
        assert!(world.sides[0].actions.contains(&Action::Measured(LATENCY * 2)));
        assert_eq!(world.send(1, 2), Readiness::Ready);
        world.run(LATENCY);
        assert_eq!(world.sides[0].received, [2]);
        for side in &world.sides {
            assert_eq!(side.tunnel.state(), SessionState::Established);
            assert!(side.actions.contains(&Action::Usable { first: true }));
        }
        world.assert_indices_are_accounted_for();
    }
}

#[test]
fn a_preshared_key_must_be_the_same_on_both_sides() {
    let psk = |byte| Some(PresharedKey::from_bytes([byte; 32]));
    let mut world = World::with_psks(Regime::Free, [psk(7), psk(7)]);
    world.send(0, 1);
    world.seconds(1);
    assert_eq!(world.sides[1].received, [1]);
    for psks in [[psk(7), psk(8)], [psk(7), None], [None, psk(7)]] {
        let mut world = World::with_psks(Regime::Free, psks);
        world.send(0, 1);
        world.seconds(1);
        assert!(world.sides[1].received.is_empty());
        assert_eq!(world.sides[0].errors, [HandshakeError::Rejected]);
        assert_eq!(world.data(0) + world.data(1), 0);
    }
}

#[test]
fn the_responder_sends_nothing_before_the_session_is_proven() {
    let mut world = World::new(Regime::Free);
    world.lost = |from, wire| from == 1 && !is_init(wire);
    world.send(0, 1);
    world.run(LATENCY * 2);
    assert_eq!(world.send(1, 9), Readiness::Wait);
    let now = world.now;
    assert!(world.sides[1].tunnel.sealing(Content::Data, now).is_none());
    world.seconds(4);
    assert_eq!((world.data(1), world.inits(1)), (0, 0));
}

#[test]
fn a_responder_that_is_never_proven_shakes_hands_itself() {
    let mut world = World::new(Regime::Free);
    world.lost = |from, wire| from == 1 && matches!(wire, Wire::Response { .. });
    world.send(0, 1);
    world.run(LATENCY * 2);
    world.send(1, 9);
    world.seconds(5);
    world.lost = |from, _| from == 0;
    world.send(1, 9);
    assert_eq!(world.inits(1), 1);
}

#[test]
fn a_recorded_initiation_changes_nothing() {
    for mut world in both() {
        world.send(0, 1);
        world.seconds(1);
        let recorded = world.last(0, is_init);
        let sent = world.log.len();
        for _ in 0..3 {
            world.deliver(1, recorded.clone());
        }
        assert_eq!(world.sides[1].errors, [HandshakeError::Replayed; 3]);
        assert_eq!(world.log.len(), sent, "it is not answered");
        world.send(1, 2);
        world.send(0, 3);
        world.seconds(1);
        assert_eq!((&world.sides[0].received, &world.sides[1].received), (&vec![2], &vec![1, 3]));
    }
}

#[test]
fn an_initiation_that_is_older_than_one_answered_is_refused_even_after_a_restart() {
    let mut world = World::new(Regime::Free);
    world.lost = |_, wire| is_init(wire);
    world.send(0, 1);
    world.seconds(6);
    let (first, second) = (world.log[0].2.clone(), world.log[1].2.clone());
    world.lost = |_, _| true;
    world.deliver(1, second);
    assert_eq!(world.sides[1].errors, []);
    world.deliver(1, first.clone());
    assert_eq!(world.sides[1].errors, [HandshakeError::Replayed]);

    let stamps = world.sides[1].tunnel.stamps();
    let mut restarted = World::new(Regime::Free);
    restarted.lost = |_, _| true;
    restarted.sides[1].tunnel.restore(stamps);
    restarted.deliver(1, first);
    assert_eq!(restarted.sides[1].errors, [HandshakeError::Replayed]);
}

#[test]
fn a_clock_that_is_set_back_makes_no_initiation_worthless() {
    let mut world = World::new(Regime::Free);
    world.send(0, 1);
    world.seconds(1);
    world.clock[0] = Duration::from_secs(5);
    world.seconds(200);
    world.send(0, 2);
    world.seconds(1);
    assert_eq!(world.sides[1].received, [1, 2]);
}

#[test]
fn an_initiation_that_was_held_back_takes_nothing_away() {
    let mut world = World::new(Regime::Free);
    world.send(0, 1);
    world.seconds(130);
    world.lost = |_, wire| is_init(wire);
    world.send(0, 2);
    world.seconds(1);
    world.deliver(1, world.last(0, is_init));
    world.lost = |_, wire| matches!(wire, Wire::Response { .. });
    assert_eq!(world.send(1, 3), Readiness::Ready);
    world.send(0, 4);
    world.seconds(1);
    assert_eq!((&world.sides[0].received, &world.sides[1].received), (&vec![3], &vec![1, 2, 4]));
}

#[test]
fn both_sides_starting_at_once_end_up_with_one_session() {
    for mut world in both() {
        world.send(0, 1);
        world.send(1, 2);
        world.seconds(60);
        assert_eq!((&world.sides[0].received, &world.sides[1].received), (&vec![2], &vec![1]));
        for number in 3..20 {
            world.send(0, number);
            world.send(1, number);
            world.seconds(2);
        }
        assert_eq!((world.inits(0), world.inits(1)), (1, 1), "no more handshakes");
        let remote = world.last(0, is_data);
        let Wire::Data { receiver, .. } = remote else { unreachable!("only data is meant") };
        let now = world.now;
        let of_one = world.sides[1].tunnel.sealing(Content::Empty, now).unwrap().index;
        assert_eq!(receiver, of_one, "both seal with the same session");
    }
}

#[test]
fn crossing_initiations_on_a_metered_link_are_answered_once() {
    let mut world = World::new(METERED);
    world.send(0, 1);
    world.send(1, 2);
    world.seconds(60);
    assert_eq!(world.sides[0].errors, [HandshakeError::Crossed], "the lower key's counts");
    assert_eq!(world.sent(0, |wire| matches!(wire, Wire::Response { .. })), 0);
    assert_eq!(world.sent(1, |wire| matches!(wire, Wire::Response { .. })), 1);
}

#[test]
fn a_peer_whose_initiations_alone_arrive_is_not_passed_over_for_ever() {
    let mut world = World::new(METERED);
    world.lost = |from, wire| from == 0 && is_init(wire);
    world.send(0, 1);
    world.send(1, 2);
    world.seconds(60);
    assert_eq!((&world.sides[0].received, &world.sides[1].received), (&vec![2], &vec![1]));
}

#[test]
fn sessions_that_crossed_on_a_free_link_both_open_what_is_under_way() {
    let mut world = World::new(Regime::Free);
    for number in 0..100 {
        world.send(0, number);
        world.send(1, number);
        world.run(LATENCY / 3);
    }
    world.seconds(1);
    assert_eq!((world.sides[0].received.len(), world.sides[1].received.len()), (100, 100));
}

#[test]
fn a_handshake_on_a_free_link_is_tried_every_five_seconds_for_ninety() {
    let mut world = World::new(Regime::Free);
    world.lost = |_, _| true;
    world.send(0, 1);
    world.seconds(300);
    let inits = world.inits(0);
    assert!((17..=18).contains(&inits), "{inits}");
    for pair in world.log.windows(2) {
        let wait = pair[1].0 - pair[0].0;
        assert!((Duration::from_secs(5)..=Duration::from_millis(5334)).contains(&wait), "{wait:?}");
    }
    let failed = |action: &&Action| matches!(action, Action::Failed { .. });
    let tries = u32::try_from(inits).unwrap();
    let failures: Vec<_> = world.sides[0].actions.iter().filter(failed).collect();
    assert_eq!(failures, [&Action::Failed { tries, lost: false }]);
    assert_eq!(world.sides[0].tunnel.take_lost(), tries);
    world.send(0, 2);
    assert_eq!(world.inits(0), inits + 1, "the next packet tries again");
}

#[test]
fn a_handshake_on_a_metered_link_is_tried_five_times_and_then_rests() {
    let mut world = World::new(METERED);
    world.lost = |_, _| true;
    for number in 0..100 {
        world.send(0, number);
        world.seconds(36);
    }
    let failures = |world: &World| {
        world.sides[0].actions.iter().filter(|action| matches!(action, Action::Failed { .. })).count()
    };
    assert!(failures(&world) >= 3);
    assert!(world.inits(0) <= 5 + 2 * failures(&world), "{} in an hour", world.inits(0));
    world.lost = |_, _| false;
    let tunnel = &mut world.sides[0].tunnel;
    tunnel.renew(world.now);
    world.seconds(30);
    assert_eq!(world.send(0, 1), Readiness::Ready, "whoever asks for it need not wait");
}

#[test]
fn a_late_answer_to_an_earlier_initiation_still_counts() {
    for mut world in both() {
        world.lost = |from, _| from == 1;
        world.send(0, 1);
        world.seconds(10);
        assert_eq!(world.inits(0), 2);
        let responses: Vec<_> = world.log.iter().filter(|(_, from, _)| *from == 1).cloned().collect();
        let (_, _, early) = responses[0].clone();
        world.lost = |_, _| false;
        world.deliver(0, early);
        assert_eq!(world.sides[0].errors, []);
        assert_eq!(world.send(0, 2), Readiness::Ready);
    }
}

#[test]
fn a_forged_response_changes_nothing() {
    for mut world in both() {
        world.lost = |_, wire| matches!(wire, Wire::Response { .. });
        world.send(0, 1);
        world.run(LATENCY);
        let genuine = world.last(1, |wire| matches!(wire, Wire::Response { .. }));
        let mut forged = genuine.clone();
        if let Wire::Response { answer, .. } = &mut forged {
            answer.noise[40] ^= 1;
        }
        world.deliver(0, forged);
        assert_eq!(world.sides[0].errors, [HandshakeError::Rejected]);
        world.deliver(0, genuine.clone());
        assert_eq!(world.sides[0].tunnel.state(), SessionState::Established);
        world.deliver(0, genuine);
        assert_eq!(world.sides[0].errors, [HandshakeError::Rejected; 2], "a response counts once");
    }
}

#[test]
fn initiations_are_answered_no_faster_than_timestamps_go() {
    let mut world = World::new(Regime::Free);
    world.lost = |_, _| true;
    for _ in 0..100 {
        world.sides[0].tunnel.close();
        world.sides[0].tunnel.last_init = None;
        world.settle(0);
        world.send(0, 1);
        let init = world.last(0, is_init);
        world.deliver(1, init);
    }
    assert_eq!(world.sent(1, |wire| matches!(wire, Wire::Response { .. })), 5);
    assert_eq!(world.sides[1].errors, vec![HandshakeError::Flood; 95]);
}

#[test]
fn a_path_of_another_kind_is_tried_at_once() {
    let mut world = World::new(METERED);
    world.lost = |_, _| true;
    world.send(0, 1);
    world.seconds(60);
    let before = world.inits(0);
    world.lost = |_, _| false;
    let now = world.now;
    world.sides.iter_mut().for_each(|side| side.tunnel.set_regime(Some(Regime::Free), now));
    world.run(LATENCY * 4);
    assert_eq!((world.inits(0), &world.sides[1].received), (before + 1, &vec![1]));
}
