//! Packets that are sent again when a silent path is given up: whether the path was dead or only slow, each arrives once.

use std::collections::VecDeque;

use super::*;
use crate::control::Control;
use crate::node::copies::copy_of;
use crate::node::doubtful::Kept;
use crate::node::wireguard::Wireguard;
use crate::queue::Original;
use crate::terse::frame::counter_low;
use crate::terse::header::Context;
use crate::wg::tunnel::Content;

/// Another link where air is free, dearer than the first.
const OTHER: LinkId = LinkId(2);
/// Long enough for a path to be given up, and for a radio to carry some packets after that.
const SPIKE: Duration = Duration::from_secs(6);

fn drops(duo: &Duo, at: usize, reason: DropReason) -> u64 {
    duo.nodes[at].snapshot(duo.now).drops.get(&reason).copied().unwrap_or(0)
}

fn peer(duo: &Duo, at: usize) -> PeerIndex {
    duo.nodes[at].peers.numbers()[0]
}

fn wireguard(duo: &mut Duo, at: usize) -> &mut Wireguard {
    let of = peer(duo, at);
    match &mut duo.nodes[at].peers[of].keying {
        Keying::Wireguard(wireguard) => wireguard,
        Keying::Pki(_) | Keying::Symmetric(_) => panic!("it is a WIREGUARD peer"),
    }
}

/// What the first one kept.
fn take_kept(duo: &mut Duo, now: Instant) -> VecDeque<Kept> {
    wireguard(duo, 0).doubtful.take().map(|doubtful| doubtful.into_packets(now)).unwrap_or_default()
}

/// Two that speak by cable, which from packet 4 of the first one's on brings no answer in time: 5 and 6 are kept.
fn into_silence(mut duo: Duo, befall: impl FnOnce(&mut Duo)) -> Duo {
    duo.send(0, 2);
    duo.send(1, 3);
    duo.run(Duration::from_millis(100));
    befall(&mut duo);
    for number in [4, 5, 6] {
        duo.send(0, number);
        duo.run(Duration::from_millis(200));
    }
    duo
}

/// What the first one's session is called there, and the counter of what it sealed last.
fn last_sealed(duo: &mut Duo) -> Original {
    let now = duo.now;
    let mut sealing = wireguard(duo, 0).tunnel.sealing(Content::Empty, now).unwrap();
    Original { session: sealing.index, counter: sealing.counter().unwrap() - 1 }
}

#[test]
fn a_late_original_of_a_copied_packet_is_refused() {
    let mut duo = into_silence(Duo::on_cable(), |duo| duo.delay = SPIKE);
    duo.seconds(4);
    assert_eq!((duo.tier(0), duo.numbers(1)), (Tier::Radio, vec![1, 2, 5, 6]), "by radio");
    duo.seconds(10);
    assert_eq!(duo.numbers(1), [1, 2, 5, 6, 4], "what was not kept came late, what was came once");
    assert_eq!((drops(&duo, 1, DropReason::Replayed), drops(&duo, 1, DropReason::Duplicate)), (2, 0));
    assert_eq!(duo.nodes[0].snapshot(duo.now).peers[0].sent.packets, 5, "what is sent again is counted once");
}

#[test]
fn a_copy_of_what_came_is_dropped() {
    // All that is sent arrives, and no answer does.
    let mut duo = into_silence(Duo::on_cable(), |duo| duo.deaf = Some(0));
    duo.seconds(5);
    assert_eq!((duo.tier(0), duo.numbers(1)), (Tier::Radio, vec![1, 2, 4, 5, 6]));
    assert_eq!((drops(&duo, 1, DropReason::Replayed), drops(&duo, 1, DropReason::Duplicate)), (0, 2));
    let received = duo.nodes[1].snapshot(duo.now).peers[0].received.packets;
    assert_eq!(received, 5, "what is dropped is not received");
}

#[test]
fn copies_go_by_another_cable_as_well() {
    let mut duo = Duo::new(Links::Udp);
    for node in &mut duo.nodes {
        node.handle_link(OTHER, LinkEvent::Up(LinkCaps { cost: 20, ..free_caps() }), duo.now);
    }
    duo.send(0, 1);
    duo.seconds(5);
    let mut duo = into_silence(duo, |duo| duo.lose = Box::new(|link, _| link == UDP));
    // A path whose quickness was never measured is given a second before it is doubted.
    duo.run(Duration::from_millis(600));
    duo.send(0, 7);
    duo.seconds(5);
    assert_eq!(duo.nodes[0].snapshot(duo.now).peers[0].endpoint.map(|(link, _)| link), Some(OTHER));
    assert_eq!(duo.numbers(1), [1, 2, 7]);
    assert_eq!(drops(&duo, 1, DropReason::Duplicate), 0);
}

#[test]
fn each_packet_of_a_row_is_copied_as_itself() {
    let payload: Vec<u8> = (0..2000_u32).map(|at| (at / 500 + 1).to_le_bytes()[0]).collect();
    let row = || row_of_datagrams(packet(0, 7, 8), &payload, 500);
    // Whether the cable is slow or brings no answer: some of the row arrive before the copies, some after, each once.
    for slow in [true, false] {
        let befall = |duo: &mut Duo| {
            if slow {
                duo.delay = Duration::from_secs(40);
            } else {
                duo.deaf = Some(0);
            }
        };
        let mut duo = into_silence(Duo::on_cable(), befall);
        let (frame, offload) = row();
        duo.nodes[0].handle_device_offload(&frame, offload, duo.now);
        duo.drain();
        duo.seconds(60);
        let mut came: Vec<u8> =
            duo.delivered[1].iter().filter(|one| one.len() == 542).map(|one| one[42]).collect();
        came.sort_unstable();
        assert_eq!(came, [1, 2, 3, 4], "{slow}");
        let reason = if slow { DropReason::Replayed } else { DropReason::Duplicate };
        assert_eq!(drops(&duo, 1, reason), 2 + 4, "{slow}");
    }
}

#[test]
fn what_another_session_sealed_is_not_copied() {
    let mut duo = into_silence(Duo::on_cable(), |duo| duo.delay = SPIKE);
    let original = last_sealed(&mut duo);
    let now = duo.now;
    let old = Original { session: original.session.wrapping_add(1), counter: original.counter };
    wireguard(&mut duo, 0).doubtful = None;
    wireguard(&mut duo, 0).doubtful.get_or_insert_default().keep(packet(0, 7, 20), old, now);
    wireguard(&mut duo, 0).doubtful.get_or_insert_default().keep(packet(0, 8, 20), original, now);
    duo.seconds(4);
    assert_eq!(duo.numbers(1), [1, 2, 8]);
}

#[test]
fn a_copy_that_is_kept_again_names_the_first_original() {
    let mut duo = into_silence(Duo::on_cable(), |duo| duo.delay = SPIKE);
    let (at, now) = (peer(&duo, 0), duo.now);
    let original = take_kept(&mut duo, now)[0].original;
    duo.nodes[0].copy_free(at, (UDP, udp(1)), packet(0, 5, 20), original, now);
    duo.drain();
    let kept = take_kept(&mut duo, now);
    assert_eq!(kept.iter().map(|kept| kept.original).collect::<Vec<_>>(), [original]);
    wireguard(&mut duo, 0).doubtful.get_or_insert_default().keep(packet(0, 5, 20), original, now);
    duo.seconds(20);
    assert_eq!(duo.numbers(1).iter().filter(|number| **number == 5).count(), 1, "{:?}", duo.numbers(1));
}

#[test]
fn a_stock_peer_gets_no_copies() {
    let mut duo = into_silence(Duo::on_cable(), |duo| duo.delay = SPIKE);
    let now = duo.now;
    wireguard(&mut duo, 0).paths.set_kin(false, now);
    duo.cable(false);
    duo.delay = CABLE;
    duo.seconds(10);
    assert!(wireguard(&mut duo, 0).doubtful.is_none());
    assert_eq!(duo.numbers(1), [1, 2], "nothing comes by radio");
    assert_eq!((drops(&duo, 1, DropReason::Replayed), drops(&duo, 1, DropReason::Duplicate)), (0, 0));
}

#[test]
fn copies_wait_for_a_path_if_there_is_none() {
    let mut duo = into_silence(Duo::on_cable(), |duo| duo.lose = Box::new(|link, _| link == UDP));
    let radio_up = LinkEvent::Up(duo.radio_caps.clone());
    for link in [RADIO, UDP] {
        duo.nodes[0].handle_link(link, LinkEvent::Down, duo.now);
    }
    duo.seconds(5);
    assert_eq!((duo.tier(0), duo.numbers(1)), (Tier::Offline, vec![1, 2]));
    duo.nodes[0].handle_link(RADIO, radio_up, duo.now);
    duo.seconds(10);
    assert_eq!(duo.numbers(1), [1, 2, 5, 6]);
}

#[test]
fn a_copy_of_what_is_yet_to_be_sealed_or_of_nothing_is_malformed_and_moves_no_window() {
    let mut duo = Duo::on_cable();
    duo.send(0, 2);
    duo.seconds(1);
    let own = last_sealed(&mut duo).counter;
    let (at, now) = (peer(&duo, 1), duo.now);
    let index = wireguard(&mut duo, 1).tunnel.openings(now).next().unwrap().index;
    let mut take =
        |low: u16, inside: &[u8]| duo.nodes[1].take_copy(at, (UDP, udp(0)), (index, own), (low, inside), now);
    let good = packet(0, 9, 20);
    for ahead in [0, 1, 1000, 0x7fff] {
        assert_eq!(take(counter_low(own + ahead), &good[14..]), Err(DropReason::MalformedInner), "{ahead}");
    }
    let before = counter_low(own - 1);
    for bad in [&[][..], &[0x20, 1], &[0xff]] {
        assert_eq!(take(before, bad), Err(DropReason::MalformedInner), "{bad:?}");
    }
    // A counter that is out of the window, or was seen.
    assert_eq!(take(counter_low(own.wrapping_sub(9000)), &good[14..]), Err(DropReason::MalformedInner));
    assert_eq!(take(before, &good[14..]), Err(DropReason::Duplicate));
    assert_eq!(duo.numbers(1), [1, 2]);
    duo.send(0, 3);
    duo.seconds(1);
    assert_eq!(duo.numbers(1), [1, 2, 3], "what was named is taken when it comes");
}

#[test]
fn a_copy_may_say_what_its_sender_may_say_and_no_more() {
    let mut duo = Duo::on_cable();
    let skipped = last_sealed(&mut duo).counter + 1;
    duo.send(0, 2);
    duo.seconds(1);
    let (at, now) = (peer(&duo, 1), duo.now);
    let index = wireguard(&mut duo, 1).tunnel.openings(now).next().unwrap().index;
    let own = wireguard(&mut duo, 1).tunnel.openings(now).next().unwrap().greatest().unwrap();
    let mut take = |inside: &[u8]| {
        duo.nodes[1].take_copy(at, (UDP, udp(0)), (index, own), (counter_low(skipped), inside), now)
    };
    let mut spoofed = packet(0, 9, 20);
    spoofed[14 + 15] = 77;
    assert_eq!(take(&spoofed[14..]), Err(DropReason::SpoofedSource));
    assert_eq!(take(&packet(0, 9, 20)[14..]), Err(DropReason::Duplicate), "that counter is spent");
}

#[test]
fn a_copy_is_no_longer_than_the_packet() {
    let original = Original { session: 1, counter: 0x1_0203 };
    for packet in crate::terse::header::tests::ordinary_packets() {
        let copy = copy_of(&packet, original, &Context::default());
        assert!(copy.len() <= packet.len(), "{} of {}: {}", copy.len(), packet.len(), hex::encode(&packet));
        let Ok(Control::Copy { counter_low: 0x0203, packet: inside }) = Control::parse(&copy) else {
            panic!("{}", hex::encode(copy))
        };
        let mut back = Vec::new();
        crate::terse::header::decompress(&inside, &Context::default(), &mut back).unwrap();
        assert_eq!(back, packet);
    }
}
