mod age;
mod chance;
mod handshake;
mod world;

use self::world::{LATENCY, Wire, World};
use super::*;
use crate::wg::window::WINDOW;

const METERED: Regime = Regime::Metered { pace: Duration::from_secs(2) };

const fn is_init(wire: &Wire) -> bool {
    matches!(wire, Wire::Init { .. })
}

const fn is_data(wire: &Wire) -> bool {
    matches!(wire, Wire::Data { .. })
}

#[test]
fn a_receiver_that_says_nothing_says_so_after_ten_seconds() {
    let mut world = World::new(Regime::Free);
    world.send(0, 1);
    world.seconds(1);
    let before = world.data(1);
    world.seconds(8);
    assert_eq!(world.data(1), before);
    world.seconds(2);
    assert_eq!(world.data(1), before + 1);
    world.seconds(80);
    assert_eq!((world.data(1), world.inits(0)), (before + 1, 1), "one packet, one keepalive");
}

#[test]
fn an_idle_peer_has_no_timer_but_the_end_of_its_keys() {
    for regime in [Regime::Free, METERED] {
        let mut world = World::new(regime);
        assert_eq!(world.sides[0].tunnel.deadline(), None);
        world.send(0, 1);
        world.seconds(170);
        for side in &world.sides {
            assert_eq!(side.tunnel.deadline().map(|(_, why)| why), Some("old keys"));
        }
        world.seconds(6 * 3600);
        for side in &world.sides {
            assert_eq!(side.tunnel.deadline(), None);
            assert!(side.actions.contains(&Action::Ended));
        }
    }
}

#[test]
fn who_speaks_and_hears_nothing_for_fifteen_seconds_shakes_hands() {
    let mut world = World::new(Regime::Free);
    world.send(0, 1);
    world.seconds(30);
    world.lost = |from, _| from == 1;
    world.send(0, 2);
    world.seconds(14);
    assert_eq!(world.inits(0), 1);
    world.seconds(2);
    assert_eq!(world.inits(0), 2);
}

#[test]
fn a_metered_link_carries_nothing_for_its_own_sake() {
    let mut world = World::new(METERED);
    let now = world.now;
    world.sides[0].tunnel.set_keepalive(Some(Duration::from_secs(25)), now);
    world.send(0, 1);
    world.seconds(24 * 3600);
    // The packet goes with the handshake; one more proves the session, here.
    assert_eq!((world.inits(0), world.data(0), world.inits(1), world.data(1)), (1, 2, 0, 0));
}

#[test]
fn a_persistent_keepalive_needs_no_packet_and_makes_its_own_session() {
    let mut world = World::new(Regime::Free);
    let now = world.now;
    world.sides[0].tunnel.set_keepalive(Some(Duration::from_secs(25)), now);
    world.seconds(1);
    assert_eq!((world.inits(0), world.data(0)), (1, 1));
    world.seconds(100);
    assert_eq!((world.inits(0), world.data(0)), (1, 5));
    world.sides[0].tunnel.set_regime(None, now);
    world.seconds(100);
    assert_eq!(world.data(0), 5, "no path, no keepalive");
}

#[test]
fn several_unanswered_packets_on_a_metered_link_renew_the_session_more_and_more_rarely() {
    let mut world = World::new(METERED);
    for number in 0..200 {
        world.send(0, number);
        world.seconds(10);
    }
    // The first, then after 20, 30, 60, 120, 240, 480, 960 seconds.
    assert!((5..=8).contains(&world.inits(0)), "{}", world.inits(0));
    assert_eq!(world.sides[1].received.len(), 200);
}

#[test]
fn a_peer_that_lost_its_keys_asks_for_others_when_something_comes() {
    let mut world = World::new(METERED);
    world.send(0, 1);
    world.seconds(60);
    world.sides[1].tunnel.close();
    world.settle(1);
    world.send(0, 2);
    world.seconds(60);
    assert_eq!(world.inits(1), 1);
    world.send(0, 3);
    world.seconds(60);
    assert_eq!(world.sides[1].received, [1, 3]);
}

#[test]
fn garbage_starts_few_handshakes() {
    let mut world = World::new(METERED);
    world.lost = |_, _| true;
    for _ in 0..10_000 {
        world.with(0, Tunnel::unopened);
        world.settle(0);
        world.run(Duration::from_millis(300));
    }
    assert!(world.inits(0) <= 40, "{}", world.inits(0));
}

#[test]
fn a_packet_is_accepted_once_whatever_came_between() {
    let mut world = World::new(Regime::Free);
    world.send(0, 1);
    world.seconds(1);
    for number in 2..50 {
        world.send(0, number);
    }
    world.seconds(1);
    let recorded: Vec<_> =
        world.log.iter().filter(|(_, from, wire)| *from == 0 && is_data(wire)).cloned().collect();
    let received = world.sides[1].received.len();
    for (_, _, wire) in recorded {
        world.deliver(1, wire);
    }
    assert_eq!((received, world.sides[1].received.len()), (49, 49));
}

#[test]
fn an_older_packet_is_not_the_newest() {
    let mut world = World::new(Regime::Free);
    world.send(0, 1);
    world.seconds(1);
    let (index, now) = (world.sides[1].tunnel.openings(world.now).next().unwrap().index, world.now);
    let tunnel = &mut world.sides[1].tunnel;
    let opened = |newest| Ok(Opened { newest, confirmed: false });
    assert_eq!(tunnel.opened(index, 9, Content::Data, now), opened(true));
    assert_eq!(tunnel.opened(index, 8, Content::Data, now), opened(false));
    assert_eq!(tunnel.opened(index, 8, Content::Data, now), Err(NotOpened::Replayed));
    assert_eq!(tunnel.opened(!index, 8, Content::Data, now), Err(NotOpened::NoSession));
    assert_eq!(tunnel.openings(now).next().unwrap().greatest(), Some(9));
}

#[test]
fn an_idle_peer_takes_little_memory() {
    let bytes = size_of::<Tunnel>() + size_of::<crate::wg::session::Keypair>();
    assert!(bytes < 2300, "{bytes} bytes with a session");
}

#[test]
fn debug_shows_no_secret() {
    let psk = PresharedKey::from_bytes([0xab; 32]);
    let mut world = World::with_psks(Regime::Free, [Some(psk.clone()), Some(psk)]);
    world.send(0, 1);
    world.seconds(1);
    let shown = format!("{:?}", world.sides[0].tunnel);
    assert!(
        shown.starts_with("Tunnel { peer: PublicKey(") && shown.ends_with("regime: Free, .. }"),
        "{shown}"
    );
}

#[test]
fn a_copy_is_of_the_session_of_its_original_and_of_a_counter_that_the_peer_still_tells_apart() {
    let mut world = World::new(Regime::Free);
    for number in 0..3 {
        world.send(0, number);
    }
    world.seconds(1);
    let now = world.now;
    let mut sealing = world.sides[0].tunnel.sealing(Content::Empty, now).unwrap();
    let (index, receiver) = (sealing.index, sealing.receiver);
    let next = sealing.counters(WINDOW).unwrap() + WINDOW;
    let tunnel = &world.sides[0].tunnel;
    assert!(tunnel.may_copy(index, next - 1, now) && tunnel.may_copy(index, next - WINDOW + 1, now));
    assert!(!tunnel.may_copy(index, next - WINDOW, now), "its window has passed that by");
    assert!(!tunnel.may_copy(index, next, now), "nothing was sealed with it yet");
    assert!(!tunnel.may_copy(receiver, next - 1, now));
    world.sides[0].tunnel.renew(now);
    world.seconds(10);
    assert!(!world.sides[0].tunnel.may_copy(index, next - 1, world.now), "another session is in use");
    // The one before still takes copies that are under way.
    let tunnel = &mut world.sides[1].tunnel;
    assert_eq!(tunnel.copied(receiver, 1, 1), Err(NotOpened::Replayed));
    assert_eq!(tunnel.copied(receiver, 3, 2), Err(NotOpened::Replayed), "it came");
    assert_eq!(tunnel.copied(index, 3, 2), Err(NotOpened::NoSession));
    assert_eq!(
        tunnel.opened(receiver, 20, Content::Data, world.now).map(|opened| opened.confirmed),
        Ok(false)
    );
    assert_eq!(tunnel.copied(receiver, 20, 19), Ok(()));
    assert_eq!(tunnel.copied(receiver, 20, 19), Err(NotOpened::Replayed), "once");
    let late = tunnel.opened(receiver, 19, Content::Data, world.now);
    assert_eq!(late, Err(NotOpened::Replayed), "and its original no more");
}
