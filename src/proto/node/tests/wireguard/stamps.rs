//! Timestamps of handshakes across restarts, and the clock that they come from.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::wg::tai64n::Tai64n;
use crate::wg::tunnel::Stamps;

/// Two nodes that have spoken, and the first datagram that there was: an initiation of the first node's.
fn recorded(links: Links) -> (Duo, Vec<u8>) {
    let mut duo = Duo::new(links);
    let first = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&first);
    duo.lose = Box::new(move |_, payload| {
        if sink.borrow().is_empty() {
            *sink.borrow_mut() = payload.to_vec();
        }
        false
    });
    duo.send(0, 1);
    duo.seconds(20);
    assert_eq!(duo.numbers(1), [1]);
    let init = first.borrow().clone();
    (duo, init)
}

/// Has somebody send a recording to the second node; returns how many datagrams that makes.
fn replay(duo: &mut Duo, mut recording: Vec<u8>) -> usize {
    let (link, from) = if duo.links == Links::Udp { (UDP, udp(0)) } else { (RADIO, radio(0)) };
    duo.log.clear();
    let len = recording.len();
    duo.nodes[1].handle_datagrams(link, from, &mut recording, len, duo.now);
    duo.drain();
    duo.log.len()
}

fn stamps(duo: &Duo, at: usize) -> Stamps {
    let (_, peer) = duo.nodes[at].peers.iter().next().unwrap();
    let Keying::Wireguard(wireguard) = &peer.keying else { panic!("it is a WIREGUARD peer") };
    wireguard.tunnel.stamps()
}

#[test]
fn a_recorded_init_is_not_answered_after_a_restart() {
    for links in [Links::Udp, Links::Radio] {
        let (mut duo, init) = recorded(links);
        assert_eq!(replay(&mut duo, init.clone()), 0);
        duo.restart(1, START);
        assert_eq!(replay(&mut duo, init.clone()), 0);
        assert_eq!(duo.nodes[1].snapshot(duo.now).drops.get(&DropReason::Replayed), Some(&1));
        // It is the memory that makes the difference.
        duo.stored[1].0 = None;
        duo.restart(1, START);
        assert_eq!(replay(&mut duo, init), 1);
    }
}

#[test]
fn a_host_whose_clock_went_back_is_heard_at_once() {
    for links in [Links::Udp, Links::Radio] {
        let (mut duo, _) = recorded(links);
        for number in 2..12 {
            duo.restart(0, Duration::from_secs(1000));
            duo.send(0, number);
            duo.seconds(3);
            assert_eq!(duo.numbers(1).last(), Some(&number));
            duo.seconds(200);
        }
        let ahead = START + Duration::from_secs(3600 + 10 * 17);
        assert!(
            stamps(&duo, 0).sent < Some(Tai64n::from_unix(ahead)),
            "many lives in a row do not run far ahead"
        );
        duo.stored[0].0 = None;
        duo.restart(0, Duration::from_secs(1000));
        duo.send(0, 12);
        duo.seconds(3);
        assert_eq!(duo.numbers(1).last(), Some(&11), "it is the memory that makes the difference");
    }
}

#[test]
fn what_an_orderly_end_stores_is_exact() {
    let (mut duo, _) = recorded(Links::Udp);
    let before = [0, 1].map(|at| stamps(&duo, at));
    for at in [0, 1] {
        duo.nodes[at].close();
        duo.drain();
        duo.restart(at, START);
    }
    assert_eq!([0, 1].map(|at| stamps(&duo, at)), before);
    assert_eq!(before[0].sent, before[1].received);
}

#[test]
fn handshakes_every_two_minutes_are_stored_every_five() {
    let mut duo = Duo::new(Links::Udp);
    let mut handshakes = 0;
    for number in 0..720 {
        duo.send(0, number);
        duo.seconds(30);
        handshakes += duo.log.drain(..).filter(|(_, len)| *len == 148).count();
    }
    assert!(handshakes > 120, "{handshakes}");
    assert!(
        duo.stored.iter().all(|(_, writes)| *writes <= 8 + 6 * 12 + 6),
        "{:?}",
        [duo.stored[0].1, duo.stored[1].1]
    );
    assert!(duo.stored.iter().any(|(_, writes)| *writes >= 30), "what is put off is not forgotten");
}

#[test]
fn an_idle_node_has_nothing_to_store() {
    let (mut duo, _) = recorded(Links::Udp);
    duo.seconds(3600);
    let writes = [duo.stored[0].1, duo.stored[1].1];
    duo.seconds(7 * 24 * 3600);
    assert_eq!([duo.stored[0].1, duo.stored[1].1], writes);
}

#[test]
fn a_peer_that_is_removed_and_added_again_is_remembered() {
    let (mut duo, init) = recorded(Links::Udp);
    let (peer, before) = (duo.configs[1].peers[0].clone(), stamps(&duo, 1));
    assert!(duo.nodes[1].remove_peer(&peer.public_key, duo.now));
    duo.drain();
    duo.configs[1].peers.clear();
    duo.restart(1, START);
    duo.nodes[1].add_peer(&peer, duo.now).unwrap();
    assert_eq!(stamps(&duo, 1).received, before.received);
    assert_eq!(replay(&mut duo, init.clone()), 0);
    // Nor is it forgotten when the peer gets other keys.
    let other = PeerConfig { preshared_key: Some(PresharedKey::from_bytes([9; 32])), ..peer };
    duo.nodes[1].set_peer(&other, duo.now).unwrap();
    assert_eq!(replay(&mut duo, init), 0);
}

#[test]
fn a_handshake_waits_for_no_disk() {
    let mut duo = Duo::new(Links::Udp);
    duo.nodes[0].handle_device(&packet(0, 1, 20), duo.now);
    let stored = duo.nodes[0].poll_store().expect("what is reserved is to be written");
    assert!(!stored.must);
    assert!(duo.nodes[0].poll_transmit(duo.now).is_some());
}

#[test]
fn a_peer_whose_clock_was_wrong_once_is_heard_when_it_was_taken_out_and_put_in_again() {
    let mut duo = Duo::new(Links::Udp);
    let right = START;
    duo.nodes[0].set_unix_time(right + Duration::from_secs(70 * 365 * 24 * 3600), duo.now);
    duo.send(0, 1);
    duo.seconds(1);
    duo.configs[0].peers.truncate(1);
    duo.stored[0] = (None, 0);
    duo.restart(0, right);
    duo.send(0, 2);
    duo.seconds(10);
    assert_eq!(duo.numbers(1), [1], "as a replay");
    let peer = duo.configs[1].peers[0].clone();
    assert!(duo.nodes[1].remove_peer(&peer.public_key, duo.now));
    duo.nodes[1].add_peer(&peer, duo.now).unwrap();
    duo.send(0, 3);
    duo.seconds(10);
    assert_eq!(duo.numbers(1).last(), Some(&3));
}

#[test]
fn the_wall_clock_is_followed() {
    let (mut duo, _) = recorded(Links::Udp);
    let later = START + Duration::from_secs(100 * 24 * 3600);
    duo.nodes[0].set_unix_time(later, duo.now);
    duo.seconds(200);
    duo.send(0, 2);
    duo.seconds(1);
    assert_eq!(duo.numbers(1), [1, 2]);
    let received = stamps(&duo, 1).received;
    assert!(received >= Some(Tai64n::from_unix(later + Duration::from_secs(200))), "{received:?}");
    assert!(received < Some(Tai64n::from_unix(later + Duration::from_secs(210))), "{received:?}");
}

#[test]
fn a_state_that_makes_no_sense_costs_what_it_would_have_said() {
    let (mut duo, init) = recorded(Links::Udp);
    let text = String::from_utf8(duo.stored[1].0.clone().unwrap()).unwrap();
    assert!(text.contains("handshakes"), "{text}");
    // Files of before have no such lines.
    let older: String =
        text.lines().filter(|line| !line.starts_with("handshakes")).map(|line| format!("{line}\n")).collect();
    for (state, ignored) in
        [(older, 0), (text.replace("handshakes", "handshakes é"), 1), (text[..text.len() - 9].into(), 1)]
    {
        duo.stored[1].0 = None;
        duo.restart(1, START);
        assert_eq!(duo.nodes[1].restore(state.as_bytes()), ignored, "{state}");
        assert_eq!(replay(&mut duo, init.clone()), 1);
    }
}
