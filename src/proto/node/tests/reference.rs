//! A peer that behaves as the Python tool does: it replaces its session with every init that it answers, has a MAC address
//! of its own, and takes no data while its own handshake is under way.

use super::*;
use crate::frame::{Arp, BROADCAST, Frame, Inner};
use crate::v1::handshake::{Attempt, Pair, respond_as_foreign};
use crate::v1::session::Session;
use crate::v1::symmetric::Symmetric;
use crate::v1::wire::{Data, Datagram};

const MAC: Mac = [0x06, 1, 2, 3, 4, 5];

/// The other end of node 0's link.
struct Reference {
    pair: Pair,
    session: Option<Session>,
    received: Vec<Vec<u8>>,
    random: u8,
}

impl Reference {
    fn new() -> Self {
        let key = |node: u8| PrivateKey::from_random([node + 1; 32]);
        Self {
            pair: Pair::new(key(1), key(0).public(), None).unwrap(),
            session: None,
            received: Vec::new(),
            random: 50,
        }
    }

    fn ephemeral(&mut self) -> PrivateKey {
        self.random += 1;
        PrivateKey::from_random([self.random; 32])
    }

    /// Takes a datagram; returns what it answers.
    fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        match Datagram::parse(bytes).unwrap() {
            Datagram::Init(init) => {
                let ephemeral = self.ephemeral();
                let (response, keys) = respond_as_foreign(&self.pair, &init, &ephemeral).ok()?;
                self.session = Some(Session::new(&keys));
                Some(response.emit().to_vec())
            }
            Datagram::Data(data) => {
                let frame = self.session.as_mut()?.open(&data).ok()?;
                let Ok(Frame { inner, .. }) = Frame::parse(&frame) else { return None };
                self.received.push(frame.clone());
                match inner {
                    Inner::Arp(arp) if arp.is_request => {
                        let answer = neighbour::arp_answer(&arp, arp.target, MAC);
                        Some(self.seal(&answer))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
        let (counter, ciphertext) = self.session.as_mut().unwrap().seal(frame);
        Data { counter, ciphertext: &ciphertext }.emit()
    }
}

#[test]
fn a_peer_that_asks_for_our_address_is_answered_and_its_own_is_learnt() {
    let mut world = World::new(&Setup { mode: PeerMode::Symmetric, psk: Some([5; 32]), ..Setup::default() });
    let (IpAddr::V4(ours), IpAddr::V4(theirs)) = (address(0), address(1)) else { unreachable!() };
    let ask = Arp { is_request: true, sender_mac: MAC, sender: theirs, target_mac: [0; 6], target: ours };
    let mut peer = Symmetric::new(&PresharedKey::from_bytes([5; 32]));
    peer.grant(77..1077);
    let (counter, ciphertext) = peer.seal(&ask.emit(BROADCAST)).unwrap();
    let bytes = Data { counter, ciphertext: &ciphertext }.emit();
    world.nodes[0].handle_datagram(LINK, radio(1), &bytes, world.now);
    world.drain_node(0);
    world.nodes[0].handle_device(&packet(0, 3, 20), world.now);
    world.drain_node(0);
    let frames: Vec<_> = world.log.iter().map(|sent| open(&mut peer, &sent.payload)).collect();
    let Inner::Arp(answer) = Frame::parse(&frames[0]).unwrap().inner else { panic!("no ARP") };
    assert_eq!((answer.sender, answer.sender_mac), (ours, world.nodes[0].mac));
    assert_eq!(frames[1][..6], MAC, "the packet needs no question");
    assert!(world.delivered[0].is_empty(), "nothing of that reaches the kernel");
}

#[test]
fn a_peer_that_came_back_with_another_mac_address_is_found_again() {
    let mut world = World::new(&Setup { mode: PeerMode::Symmetric, psk: Some([5; 32]), ..Setup::default() });
    let IpAddr::V4(theirs) = address(1) else { unreachable!() };
    let mut peer = Symmetric::new(&PresharedKey::from_bytes([5; 32]));
    peer.grant(77..1077);
    let tell = |peer: &mut Symmetric, mac: Mac, world: &mut World| {
        let answer =
            Arp { is_request: false, sender_mac: mac, sender: theirs, target_mac: [0; 6], target: theirs };
        let (counter, ciphertext) = peer.seal(&answer.emit(BROADCAST)).unwrap();
        let bytes = Data { counter, ciphertext: &ciphertext }.emit();
        world.nodes[0].handle_datagram(LINK, radio(1), &bytes, world.now);
    };
    tell(&mut peer, MAC, &mut world);
    // It restarts; its kernel drops without a word what bears the old address.
    let new = [0x06, 9, 9, 9, 9, 9];
    let mut taken = 0;
    let mut arrived = Vec::new();
    for number in 0..20 {
        world.nodes[0].handle_device(&packet(0, number, 20), world.now);
        world.drain_node(0);
        for at in std::mem::replace(&mut taken, world.log.len())..world.log.len() {
            let frame = open(&mut peer, &world.log[at].payload);
            match Frame::parse(&frame).unwrap().inner {
                Inner::Arp(arp) if arp.is_request => tell(&mut peer, new, &mut world),
                _ if frame[..6] == new => arrived.push(number),
                _ => {}
            }
        }
        world.now += Duration::from_secs(1);
    }
    let first = *arrived.first().expect("it is found");
    assert!(first < 15, "not before packet {first}");
    assert_eq!(arrived, (first..20).collect::<Vec<_>>());
}

fn open(peer: &mut Symmetric, bytes: &[u8]) -> Vec<u8> {
    match Datagram::parse(bytes) {
        Ok(Datagram::Data(data)) => peer.open(&data).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_handshake_as_initiator_is_answered_and_frames_wait_for_its_mac_address() {
    let mut world = World::new(&Setup::default());
    let mut reference = Reference::new();
    let ephemeral = reference.ephemeral();
    let attempt = Attempt::foreign(&reference.pair, ephemeral, 0x1234_5678);
    let init = attempt.init().emit();
    world.nodes[0].handle_datagram(LINK, radio(1), &init, world.now);
    world.drain_node(0);
    let Ok(Datagram::Response(response)) = Datagram::parse(&world.log[0].payload) else {
        panic!("no response")
    };
    let keys = attempt.finish(&reference.pair, &response).unwrap();
    reference.session = Some(Session::new(&keys));
    // A frame for it goes only after it has proven the session and told its MAC address: one exchange serves both.
    world.nodes[0].handle_device(&packet(0, 3, 20), world.now);
    world.drain_node(0);
    assert_eq!(world.log.len(), 2, "response and question");
    let answer = reference.take(&world.log[1].payload).unwrap();
    world.nodes[0].handle_datagram(LINK, radio(1), &answer, world.now);
    world.drain_node(0);
    assert_eq!(world.log.len(), 3);
    assert!(reference.take(&world.log[2].payload).is_none());
    let frame = reference.received.last().unwrap();
    assert_eq!((number(frame), &frame[..6]), (Some(3), &MAC[..]));
}

#[test]
fn a_rekey_with_it_loses_no_packet() {
    let mut world = World::new(&Setup { rekey_after_messages: 5, ..Setup::default() });
    let mut reference = Reference::new();
    let mut taken = 0;
    for number in 0..30 {
        world.nodes[0].handle_device(&packet(0, number, 20), world.now);
        // Everything takes a while: what is sent before an answer is there comes before the answer.
        for _ in 0..4 {
            world.drain_node(0);
            let batch: Vec<_> = world.log[taken..].iter().map(|sent| sent.payload.clone()).collect();
            taken = world.log.len();
            let answers: Vec<_> = batch.iter().filter_map(|bytes| reference.take(bytes)).collect();
            world.now += Duration::from_secs(2);
            for answer in answers {
                world.nodes[0].handle_datagram(LINK, radio(1), &answer, world.now);
            }
        }
    }
    let numbers: Vec<_> = reference.received.iter().filter_map(|frame| number(frame)).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    assert!(world.sent_of_type(0, 1).len() >= 5);
}

#[test]
fn a_peer_that_changes_its_mac_address_with_each_packet_wears_out_no_disk() {
    let mut world = World::new(&Setup { mode: PeerMode::Symmetric, psk: Some([5; 32]), ..Setup::default() });
    let node = &mut world.nodes[0];
    let mut writes = 0;
    for number in 0..100 {
        node.learn_mac(0, [6, 0, 0, 0, 0, number], world.now);
        writes += u32::from(node.poll_store().is_some());
    }
    assert_eq!(writes, 4);
    assert_eq!(node.peers[0].mac, Some([6, 0, 0, 0, 0, 99]), "frames go to the last one");
}
