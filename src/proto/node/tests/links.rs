//! Links that fail, come back, refuse, and stand in for each other.

use super::*;

const OTHER: LinkId = LinkId(1);
/// Where node 1 is on another radio of its own.
const ELSEWHERE: LinkAddr = LinkAddr::radio(9);

/// A world with a session, in which node 0 knows two radios of its peer's.
fn established() -> World {
    let mut world = World::new(&Setup::default());
    world.configs[0].peers[0].endpoints.push(ELSEWHERE);
    world.nodes[0] = world.fresh_node(0, 3);
    world.send(0, 1);
    world.seconds(10);
    world.send(1, 2);
    world.seconds(10);
    world
}

fn caps_with(hourly: u64) -> LinkCaps {
    let Airtime::Metered(metered) = caps().airtime else { unreachable!("a radio's air is metered") };
    let hourly = Duration::from_secs(hourly);
    LinkCaps { airtime: Airtime::Metered(Metered { hourly, ..metered }), ..caps() }
}

#[test]
fn a_link_that_is_down_wakes_nobody() {
    let mut world = established();
    let node = &mut world.nodes[0];
    node.handle_link(LINK, LinkEvent::Down, world.now);
    let (mut wakes, end) = (0, world.now + Duration::from_secs(24 * 3600));
    while let Some((at, why)) = node.poll_timeout(world.now).filter(|(at, _)| *at < end) {
        world.now = at;
        node.handle_timeout(at);
        wakes += 1;
        assert!(wakes < 5, "woken again for {why}");
    }
}

#[test]
fn what_waits_for_a_link_that_fails_goes_by_another() {
    let mut world = established();
    let (node, now) = (&mut world.nodes[0], world.now);
    node.handle_link(LINK, LinkEvent::Room(0), now);
    node.handle_device(&packet(0, 7, 20), now);
    node.handle_link(OTHER, LinkEvent::Up(caps()), now);
    node.handle_link(OTHER, LinkEvent::Room(1), now);
    assert_eq!(node.poll_transmit(now), None, "the first link still serves");
    node.handle_link(LINK, LinkEvent::Down, now);
    assert_eq!(node.poll_transmit(now).map(|transmit| transmit.link), Some(OTHER));
}

#[test]
fn what_waits_goes_to_where_its_peer_was_heard_last() {
    let mut world = established();
    world.nodes[1].handle_device(&packet(1, 8, 20), world.now);
    let heard = world.nodes[1].poll_transmit(world.now).unwrap().payload;
    let (node, now) = (&mut world.nodes[0], world.now);
    node.handle_link(OTHER, LinkEvent::Up(caps()), now);
    node.handle_link(LINK, LinkEvent::Room(0), now);
    node.handle_device(&packet(0, 7, 20), now);
    node.handle_datagram(OTHER, ELSEWHERE, &heard, now);
    for link in [LINK, OTHER] {
        node.handle_link(link, LinkEvent::Room(2), now);
    }
    let went = node.poll_transmit(now).map(|transmit| (transmit.link, transmit.to));
    assert_eq!(went, Some((OTHER, ELSEWHERE)));
}

#[test]
fn a_peer_that_is_silent_at_one_radio_is_tried_at_its_other() {
    let mut world = established();
    let (node, mut tried) = (&mut world.nodes[0], BTreeSet::new());
    for second in 0..900 {
        world.now += Duration::from_secs(1);
        node.handle_timeout(world.now);
        node.handle_link(LINK, LinkEvent::Room(8), world.now);
        if second % 20 == 0 {
            node.handle_device(&packet(0, second, 20), world.now);
        }
        while let Some(transmit) = node.poll_transmit(world.now) {
            tried.insert(transmit.to);
        }
    }
    assert_eq!(tried, BTreeSet::from([radio(1), ELSEWHERE]));
}

#[test]
fn a_refused_datagram_that_must_wait_for_air_holds_up_nothing_urgent() {
    let mut world = established();
    let (node, now) = (&mut world.nodes[0], world.now);
    node.handle_link(LINK, LinkEvent::Up(caps_with(100)), now);
    node.handle_link(LINK, LinkEvent::Spent(Duration::from_secs(80)), now);
    node.handle_link(LINK, LinkEvent::Room(1), now);
    node.handle_device(&packet(0, 7, 150), now);
    let token = node.poll_transmit(now).unwrap().token;
    node.handle_link(LINK, LinkEvent::Refused { token, reason: Refusal::QueueFull }, now);
    node.handle_link(LINK, LinkEvent::Spent(Duration::from_secs(90)), now);
    node.handle_link(LINK, LinkEvent::Room(1), now);
    assert_eq!(node.poll_transmit(now), None, "no air is left for bulk");
    node.handle_device(&packet(0, 8, 20), now);
    assert_eq!(node.poll_transmit(now).map(|transmit| transmit.class), Some(Class::Interactive));
}

#[test]
fn air_stays_booked_for_what_went_out_in_vain() {
    let mut world = established();
    let (node, now) = (&mut world.nodes[0], world.now);
    let used = |node: &Node| node.snapshot(now).links[0].airtime_used;
    for (reason, refunded) in [(Refusal::Unreachable, false), (Refusal::NoKey, true)] {
        node.handle_link(LINK, LinkEvent::Room(1), now);
        node.handle_device(&packet(0, 7, 20), now);
        let before = used(node);
        let token = node.poll_transmit(now).unwrap().token;
        node.handle_link(LINK, LinkEvent::Refused { token, reason }, now);
        assert_eq!(used(node) == before, refunded, "{reason:?}");
    }
}

#[test]
fn a_key_that_is_announced_over_and_over_hurries_nothing() {
    let mut world = World::new(&Setup::default());
    world.lose = Box::new(|_| true);
    world.send(0, 1);
    for _ in 0..100 {
        world.nodes[0].handle_link(LINK, LinkEvent::KeyKnown(radio(1)), world.now);
        world.drain();
    }
    assert_eq!(world.log.len(), 1, "nothing had been refused for lack of a key");
}

fn paths(events: &[Event]) -> Vec<(Option<LinkId>, Option<LinkId>)> {
    let of = |path: &Option<(LinkId, LinkAddr)>| path.map(|(link, _)| link);
    let changes = events.iter().filter_map(|event| match event {
        Event::PathChanged { from, to, .. } => Some((of(from), of(to))),
        _ => None,
    });
    changes.collect()
}

#[test]
fn a_change_of_path_is_told_once() {
    let mut world = established();
    assert_eq!(paths(&world.events[0]), [(None, Some(LINK)); 2], "once in each of its two lives");
    let (node, now) = (&mut world.nodes[0], world.now);
    node.handle_link(OTHER, LinkEvent::Up(caps()), now);
    node.handle_link(LINK, LinkEvent::Down, now);
    node.handle_link(OTHER, LinkEvent::Down, now);
    let events: Vec<_> = std::iter::from_fn(|| node.poll_event()).collect();
    assert_eq!(paths(&events), [(Some(LINK), Some(OTHER)), (Some(OTHER), None)]);
}

#[test]
fn what_waits_for_a_link_that_is_removed_goes_by_another_or_nowhere() {
    let mut world = established();
    let (node, now) = (&mut world.nodes[0], world.now);
    node.handle_link(LINK, LinkEvent::Room(0), now);
    node.handle_device(&packet(0, 7, 20), now);
    node.handle_link(OTHER, LinkEvent::Up(caps()), now);
    node.remove_link(LINK, now);
    node.handle_link(OTHER, LinkEvent::Room(1), now);
    assert_eq!(node.poll_transmit(now).map(|transmit| transmit.link), Some(OTHER));
    node.handle_device(&packet(0, 8, 20), now);
    node.remove_link(OTHER, now);
    assert_eq!(node.account.total()[&DropReason::NoPath], 1, "there is no link that could come back");
    assert!(node.snapshot(now).links.is_empty());
    let events: Vec<_> = std::iter::from_fn(|| node.poll_event()).collect();
    assert_eq!(paths(&events), [(Some(LINK), Some(OTHER)), (Some(OTHER), None)]);
}

#[test]
fn the_last_words_of_a_removed_link_are_not_heard() {
    let mut world = established();
    let (node, now) = (&mut world.nodes[0], world.now);
    node.remove_link(LINK, now);
    let before = node.snapshot(now).peers[0].received;
    for event in [LinkEvent::Up(caps()), LinkEvent::Room(3), LinkEvent::KeyKnown(radio(1))] {
        node.handle_link(LINK, event, now);
    }
    node.handle_datagram(LINK, radio(1), &[3; 60], now);
    assert!(node.snapshot(now).links.is_empty());
    assert_eq!(node.snapshot(now).peers[0].received, before);
    assert_eq!(node.account.total()[&DropReason::LinkDown], 1);
}
