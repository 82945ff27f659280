//! What stays off the air.

use super::*;
use crate::frame::{Arp, BROADCAST, Frame, Inner};

fn udp_to(destination: [u8; 4], port: u16) -> Vec<u8> {
    let mut frame = packet(0, 1, 0);
    frame[30..34].copy_from_slice(&destination);
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame
}

fn igmp() -> Vec<u8> {
    let mut frame = udp_to([224, 0, 0, 22], 0);
    frame[23] = protocol::IGMP;
    frame
}

fn icmpv6(kind: u8, destination: &str) -> Vec<u8> {
    let source = "fe80::1".parse().unwrap();
    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 2], [4; 6], ether_type::IPV6);
    let body = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    frame.extend(neighbour::icmpv6(source, destination.parse().unwrap(), 255, body));
    frame
}

#[test]
fn the_chatter_of_a_host_goes_nowhere() {
    let mut world = World::new(&Setup::default());
    world.nodes[0].routes.insert("0.0.0.0/0".parse().unwrap(), 0);
    world.nodes[0].routes.insert("::/0".parse().unwrap(), 0);
    let chatter = [
        udp_to([224, 0, 0, 251], 5353),
        udp_to([224, 0, 0, 252], 5355),
        udp_to([239, 255, 255, 250], 1900),
        udp_to([255, 255, 255, 255], 67),
        udp_to([224, 0, 0, 9], 520),
        igmp(),
        icmpv6(133, "ff02::2"),
        icmpv6(143, "ff02::16"),
        icmpv6(135, "ff02::1:ff00:1"),
    ];
    for frame in &chatter {
        world.nodes[0].handle_device(frame, world.now);
    }
    world.drain();
    world.seconds(100);
    assert_eq!(world.log.len(), 0);
    assert_eq!(world.count(0, DropReason::Noise), chatter.len() as u64);
}

#[test]
fn multicast_goes_to_a_peer_that_has_its_prefix() {
    let mut world = World::new(&Setup::default());
    world.nodes[0].routes.insert("239.1.0.0/16".parse().unwrap(), 0);
    let mut frame = udp_to([239, 1, 2, 3], 9999);
    frame[..6].copy_from_slice(&[1, 0, 0x5e, 1, 2, 3]);
    world.nodes[0].handle_device(&frame, world.now);
    world.drain();
    world.seconds(10);
    assert_eq!(world.numbers(1), [1]);
    assert_eq!(world.delivered[1][0][..6], frame[..6]);
}

#[test]
fn the_kernels_questions_are_answered_here() {
    let mut world = World::new(&Setup::default());
    let IpAddr::V4(sender) = address(0) else { unreachable!() };
    for target in [[10, 0, 0, 2], [10, 0, 0, 99]] {
        let target = target.into();
        let ask = Arp { is_request: true, sender_mac: [4; 6], sender, target_mac: [0; 6], target };
        world.nodes[0].handle_device(&ask.emit(BROADCAST), world.now);
        world.drain();
        let answer = world.delivered[0].pop().unwrap();
        let Inner::Arp(answer) = Frame::parse(&answer).unwrap().inner else { panic!("no ARP") };
        assert_eq!((answer.sender, answer.target, answer.is_request), (target, sender, false));
    }
    assert_eq!(world.log.len(), 0);
}

#[test]
fn a_packet_without_a_route_is_answered_at_once() {
    let mut world = World::new(&Setup::default());
    world.nodes[0].handle_device(&udp_to([10, 0, 0, 99], 80), world.now);
    world.drain();
    let answer = &world.delivered[0][0];
    assert_eq!((answer[23], &answer[34..36]), (protocol::ICMP, &[3, 1][..]));
    assert_eq!((world.log.len(), world.count(0, DropReason::NoRoute)), (0, 1));
}

#[test]
fn a_retransmission_of_what_still_waits_here_stays_off_the_air() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(10);
    let mut segment = packet(0, 1, 30);
    segment[23] = protocol::TCP;
    segment[46] = 0x50;
    segment[47] = 16;
    for _ in 0..5 {
        world.nodes[0].handle_device(&segment, world.now);
    }
    world.drain();
    world.seconds(2);
    assert_eq!(world.count(0, DropReason::TcpDuplicate), 4);
    assert_eq!(world.sent_of_type(0, 3).len(), 2);
}

#[test]
fn an_announcement_of_our_own_address_goes_nowhere() {
    let mut world = World::new(&Setup::default());
    world.nodes[0].routes.insert("10.0.0.0/24".parse().unwrap(), 0);
    let IpAddr::V4(ours) = address(0) else { unreachable!("both are IPv4") };
    for is_request in [true, false] {
        let arp = Arp { is_request, sender_mac: [4; 6], sender: ours, target_mac: BROADCAST, target: ours };
        world.nodes[0].handle_device(&arp.emit(BROADCAST), world.now);
    }
    world.drain();
    world.seconds(10);
    assert_eq!((world.log.len(), world.count(0, DropReason::Noise)), (0, 2));
}
