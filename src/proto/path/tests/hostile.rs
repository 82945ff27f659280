//! Peers that lie, and inputs in any order.

use rand_core::Rng as _;

use super::*;

#[test]
fn a_peer_that_lies_about_its_addresses_costs_a_bounded_number_of_probes() {
    let mut end = End::usual();
    let minutes = 20;
    for round in 0..minutes * 60 {
        let victims = (0..8).map(|n| format!("198.51.100.{n}:{}", round + 1));
        let victims: Vec<SocketAddr> = victims.map(|victim| victim.parse().unwrap()).collect();
        end.send();
        end.paths.announced(&victims, end.now);
        end.drain();
        end.pass(s(1));
        assert!(end.paths.views().count() <= MAX_CANDIDATES);
    }
    let strange = end.probes.iter().filter(|(_, _, to, _)| *to != lan()).count();
    let bound = u64::from(MAX_STRANGER_PROBES) + minutes * 60 / STRANGER_INTERVAL.as_secs();
    assert!(strange > 16 && strange as u64 <= bound, "{strange} probes of {bound}");
    assert_eq!(end.paths.current(), Some((RADIO, node())));
}

#[test]
fn forged_sources_of_authentic_packets_are_bounded_in_the_same_way() {
    let mut end = End::on_wifi();
    for n in 0..5000_u16 {
        end.hear(WIFI, udp(&format!("203.0.113.1:{}", n + 1)));
        end.hear(WIFI, lan());
        end.pass(ms(10));
    }
    let strange = end.probes.iter().filter(|(_, _, to, _)| *to != lan()).count();
    assert!(strange <= 16 + 50 / 5, "{strange}");
    assert!(end.paths.views().count() <= 2 + MAX_HEARD);
    assert_eq!(end.paths.current(), Some((WIFI, lan())));
}

#[test]
fn what_can_be_nobodys_address_is_not_probed() {
    let mut end = End::usual();
    let odd = ["0.0.0.0:1", "127.0.0.1:22", "224.0.0.251:5353", "255.255.255.255:9", "192.0.2.9:0"];
    let odd6 = ["[::]:1", "[::1]:22", "[ff02::1]:9", "[fe80::1]:9", "[::ffff:127.0.0.1]:9"];
    end.paths.announced(&addresses(&[&odd[..], &odd6[..]].concat()), end.now);
    end.pass(s(10));
    assert_eq!(end.paths.views().count(), 2);
}

#[test]
fn what_a_peer_no_longer_announces_is_forgotten_unless_it_works() {
    let mut end = End::usual();
    end.paths.announced(&addresses(&["198.51.100.1:1", "198.51.100.2:1"]), end.now);
    end.send();
    end.pass(ms(600));
    assert!(end.answer(WIFI, udp("198.51.100.2:1")));
    end.paths.announced(&addresses(&["198.51.100.3:1"]), end.now);
    let known: Vec<LinkAddr> = end.paths.views().map(|view| view.to).collect();
    assert!(!known.contains(&udp("198.51.100.1:1")));
    assert_eq!(end.paths.current(), Some((WIFI, udp("198.51.100.2:1"))));
    assert!(known.contains(&udp("198.51.100.3:1")));
}

/// Whatever happens in whatever order: nothing unvouched for carries traffic, timers do not spin, lists stay short.
#[test]
fn no_order_of_events_breaks_the_invariants() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut end = End::new(seed % 4 != 0, Bulk::default());
        let mut answered: Vec<(LinkId, LinkAddr)> = vec![];
        let places = [node(), LinkAddr::radio(7), lan(), udp("203.0.113.7:7"), udp("[2001:db8::1]:7")];
        for _ in 0..1500 {
            let (word, now) = (rng.next_u32() as usize, end.now);
            let link = [RADIO, WIFI, CABLE][word % 3];
            let place = places[word / 3 % places.len()];
            match rng.next_u32() % 22 {
                0 => end.paths.handle_link_up(RADIO, &radio(100), now),
                1 if link != RADIO => end.paths.handle_link_up(link, &free(u32::from(link.0)), now),
                2 => end.paths.handle_link_down(link, now),
                3 if word % 7 == 0 => end.paths.remove_link(link, now),
                4 => end.paths.set_configured(&places[..word % 3], now),
                5 => end.paths.announced(&addresses(&["203.0.113.7:7", "[2001:db8::1]:7"][..word % 3]), now),
                6 => end.paths.set_session(word % 5 != 0, now),
                7 => end.paths.set_own_addresses(word % 2 == 0, now),
                8 => end.paths.handle_resume(now),
                9 => end.paths.handle_hint(now),
                10 => end.paths.refused(link, place, now),
                11 => end.paths.unanswered(now),
                12 => end.hear(link, place),
                13 => end.now += s(u64::from(rng.next_u32() % 100)),
                14..17 => {
                    if let Some((_, link, to, token)) = end.probes.last().copied()
                        && end.paths.answered(token, link, to, now)
                    {
                        answered.push((link, to));
                    }
                }
                _ => end.send(),
            }
            end.drain();
            if end.now == now {
                end.pass(ms(u64::from(rng.next_u32() % 400)));
            } else {
                end.paths.handle_timeout(end.now);
                end.drain();
            }
            assert!(end.paths.outstanding.len() <= 48 && end.paths.todo.is_empty());
            let current = end.paths.views().find(|view| view.current);
            assert_eq!(current.map(|view| (view.link, view.to)), end.paths.current());
            if let Some(view) = current.filter(|_| end.paths.kin) {
                let vouched = view.origin == Origin::Configured || answered.contains(&(view.link, view.to));
                assert!(vouched && view.state != PathState::Down, "seed {seed}: {view:?}");
            }
        }
    }
}
