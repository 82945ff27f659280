//! On the loopback interface.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::*;
use crate::link::UdpSpec;

fn spec(listen: Option<IpAddr>) -> UdpSpec {
    UdpSpec { listen: listen.into_iter().collect(), ..UdpSpec::default() }
}

fn local() -> UdpLink {
    open("udp0", &spec(Some(Ipv4Addr::LOCALHOST.into()))).unwrap().into_async().unwrap()
}

fn address(link: &UdpLink) -> LinkAddr {
    LinkAddr::udp(link.local_addr().unwrap())
}

/// Waits for so many datagrams, each with its sender.
async fn receive(link: &mut UdpLink, count: usize) -> Vec<(LinkAddr, Vec<u8>)> {
    let mut all = Vec::new();
    while all.len() < count {
        tokio::time::timeout(Duration::from_secs(10), link.readable()).await.expect("nothing comes").unwrap();
        while link.recv().unwrap() > 0 {
            for mut row in link.rows() {
                let from = row.from;
                all.extend(row.datagrams().map(|datagram| (from, datagram.to_vec())));
            }
        }
    }
    all
}

async fn evidence(link: &mut UdpLink) -> Evidence {
    loop {
        if let Some(evidence) = link.poll_evidence() {
            return evidence;
        }
        tokio::time::timeout(Duration::from_secs(10), link.readable()).await.expect("nothing comes").unwrap();
        assert_eq!(link.recv().unwrap(), 0);
    }
}

#[tokio::test]
async fn a_row_arrives_as_its_datagrams_in_order() {
    let (mut one, mut two) = (local(), local());
    assert!(one.caps().segments > 1);
    let to = address(&two);
    // More than one call takes: by number at 100 bytes, by length at 1400.
    for (len, size) in [(100 * 150 + 7, 100), (1400 * 90 + 1, 1400), (5, 100), (100, 100)] {
        let bytes: Vec<u8> = (0..len).map(|at: usize| (at / size % 251) as u8).collect();
        one.send_row(to, &bytes, Some(u16::try_from(size).unwrap())).unwrap();
        let expected: Vec<_> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
        let got = receive(&mut two, expected.len()).await;
        assert!(got.iter().all(|(from, _)| *from == address(&one)));
        assert!(got.into_iter().map(|(_, datagram)| datagram).eq(expected), "{len} {size}");
    }
    let (sent, received) = (one.counters(), two.counters());
    assert_eq!((sent.sent, sent.sent_bytes), (received.received, received.received_bytes));
    assert!(sent.send_calls < 10, "{sent:?}");
}

#[tokio::test]
async fn an_empty_datagram_is_one() {
    let (mut one, mut two) = (local(), local());
    one.send_row(address(&two), &[], None).unwrap();
    one.send_row(address(&two), &[1], Some(0)).unwrap();
    let got = receive(&mut two, 1).await;
    assert_eq!(got, [(address(&one), vec![1])], "and has no bytes to chunk");
    assert_eq!(two.counters().received, 2);
}

#[tokio::test]
async fn a_socket_for_both_families_speaks_both_and_names_addresses_plainly() {
    let mut both = open("udp0", &spec(None)).unwrap().into_async().unwrap();
    let port = both.local_addr().unwrap().port();
    let mut v4 = local();
    v4.send_row(LinkAddr::udp((Ipv4Addr::LOCALHOST, port).into()), b"four", None).unwrap();
    assert_eq!(receive(&mut both, 1).await, [(address(&v4), b"four".to_vec())]);
    both.send_row(address(&v4), b"back", None).unwrap();
    let from = LinkAddr::udp((Ipv4Addr::LOCALHOST, port).into());
    assert_eq!(receive(&mut v4, 1).await, [(from, b"back".to_vec())]);
}

#[tokio::test]
async fn ipv6_works_as_ipv4_does_through_the_socket_for_both() {
    let mut both = open("udp0", &spec(None)).unwrap().into_async().unwrap();
    let mut v6 = open("udp1", &spec(Some(Ipv6Addr::LOCALHOST.into()))).unwrap().into_async().unwrap();
    let at = LinkAddr::udp((Ipv6Addr::LOCALHOST, both.local_addr().unwrap().port()).into());
    // Rows both ways, longer than one call takes.
    let bytes: Vec<u8> = (0..1400 * 90 + 1).map(|at: usize| (at / 1400 % 251) as u8).collect();
    let datagrams: Vec<_> = bytes.chunks(1400).map(<[u8]>::to_vec).collect();
    v6.send_row(at, &bytes, Some(1400)).unwrap();
    let got = receive(&mut both, datagrams.len()).await;
    assert!(got.iter().all(|(from, _)| *from == address(&v6)), "{:?}", got[0].0);
    assert!(got.into_iter().map(|(_, datagram)| datagram).eq(datagrams.iter().cloned()));
    both.send_row(address(&v6), &bytes, Some(1400)).unwrap();
    let got = receive(&mut v6, datagrams.len()).await;
    assert!(got.iter().all(|(from, _)| *from == at));
    assert!(got.into_iter().map(|(_, datagram)| datagram).eq(datagrams));
    assert!(both.counters().send_calls < 10 && both.caps().segments > 1, "{:?}", both.counters());

    // What comes back for an address of one family is not put down to the other.
    let gone = address(&v6);
    drop(v6);
    both.send_row(gone, b"anybody?", None).unwrap();
    assert_eq!(evidence(&mut both).await, Evidence::Unreachable { to: gone, reason: Reason::Refused });
    assert!(!both.finds_no_way(gone, &[]));
    assert!(both.finds_no_way(gone, &[Ipv6Addr::LOCALHOST.into()]), "its source is dark");
}

#[tokio::test]
async fn the_address_that_was_asked_answers() {
    // Any address of 127.0.0.0/8 is this host's, and the kernel would answer from 127.0.0.1.
    let mut both = open("udp0", &spec(None)).unwrap().into_async().unwrap();
    let port = both.local_addr().unwrap().port();
    let asked = LinkAddr::udp(([127, 0, 0, 77], port).into());
    let mut peer = local();
    peer.send_row(asked, b"ask", None).unwrap();
    receive(&mut both, 1).await;
    both.send_row(address(&peer), b"answer", None).unwrap();
    assert_eq!(receive(&mut peer, 1).await, [(asked, b"answer".to_vec())]);

    // Where it is not this host's any more, the kernel chooses, and segmentation is not blamed.
    both.sources.note(address(&peer).as_udp().unwrap(), Some([203, 0, 113, 7].into()));
    both.send_row(address(&peer), &[1; 300], Some(100)).unwrap();
    let plain = LinkAddr::udp(([127, 0, 0, 1], port).into());
    assert_eq!(receive(&mut peer, 3).await[2], (plain, vec![1; 100]));
    assert!(both.caps().segments > 1);
}

#[tokio::test]
async fn a_closed_port_is_told_once_and_keeps_nobody_else_from_being_reached() {
    let (mut one, mut two) = (local(), local());
    let gone = address(&local());
    one.send_row(gone, b"anybody?", None).unwrap();
    assert_eq!(evidence(&mut one).await, Evidence::Unreachable { to: gone, reason: Reason::Refused });
    assert_eq!(one.poll_evidence(), None);

    // The error waits where the next call would find it.
    one.send_row(gone, b"anybody?", None).unwrap();
    one.send_row(address(&two), b"you", None).unwrap();
    assert_eq!(receive(&mut two, 1).await, [(address(&one), b"you".to_vec())]);
}

#[tokio::test]
async fn what_cannot_go_says_why() {
    let mut link = local();
    let to = address(&local());
    let too_long = vec![0; LONGEST + 1];
    assert_eq!(link.send_row(to, &too_long, None), Err(Refusal::TooLarge));
    let told = link.poll_evidence();
    assert!(matches!(told, Some(Evidence::TooBig { to: other, .. }) if other == to), "{told:?} of {to}");
    assert_eq!(link.poll_evidence(), None);
    assert_eq!(link.send_row(LinkAddr::radio(7), b"x", None), Err(Refusal::Unreachable));
    // A socket for IPv4 alone reaches no IPv6 address.
    let v6 = LinkAddr::udp("[::1]:9".parse().unwrap());
    assert_eq!(link.send_row(v6, b"x", None), Err(Refusal::Unreachable));
    assert_eq!(link.counters().refused, 2);
}

#[test]
fn a_port_that_is_taken_is_said_to_be() {
    let first = open("udp0", &spec(None)).unwrap();
    let port = first.local_addr().unwrap().port();
    let error = open("udp0", &UdpSpec { port, ..spec(None) }).unwrap_err();
    assert!(format!("{error:#}").contains(&port.to_string()), "{error:#}");
    let device = Some("nosuch0".to_owned());
    let error = open("udp0", &UdpSpec { device, ..spec(None) }).unwrap_err();
    assert!(format!("{error:#}").contains("nosuch0"), "{error:#}");
}
