//! What costs nothing must cost nothing: timers, air, memory.

use super::*;

#[test]
fn a_radio_peer_is_never_probed_in_a_day_of_traffic() {
    let mut end = End::new(true, Bulk::default());
    end.paths.handle_link_up(RADIO, &radio(100), end.now);
    end.paths.set_configured(&[node()], end.now);
    end.paths.set_session(true, end.now);
    end.send_for(s(86_400), s(20));
    assert_eq!((end.probes.len(), end.paths.deadline()), (0, None));
}

#[test]
fn without_traffic_events_cost_no_probe_and_arm_no_timer() {
    let mut end = End::usual();
    for _ in 0..20 {
        end.paths.handle_link_down(WIFI, end.now);
        end.pass(s(1));
        end.paths.handle_link_up(WIFI, &free(10), end.now);
        end.paths.handle_hint(end.now);
        end.paths.set_own_addresses(true, end.now);
        end.drain();
        assert_eq!(end.paths.deadline(), None);
        end.pass(s(100));
    }
    assert_eq!((end.probes.len(), end.announced.len()), (0, 0));
}

#[test]
fn probes_in_vain_become_rare_and_a_hint_brings_them_back() {
    let mut end = End::usual();
    let mut count = |end: &mut End, time: Duration| {
        let before = end.probes_of(WIFI);
        end.send_for(time, ms(250));
        end.probes_of(WIFI) - before
    };
    assert!((55..=65).contains(&count(&mut end, s(30))), "every 500 ms");
    count(&mut end, s(600));
    let later = count(&mut end, s(30));
    assert!((4..=7).contains(&later), "after ten minutes every 5 s, not {later}");
    count(&mut end, s(4000));
    assert_eq!(count(&mut end, s(60)), 2, "in the end every 30 s");
    end.paths.handle_hint(end.now);
    assert!(count(&mut end, s(2)) >= 4);
    assert_eq!(end.probes_of(RADIO), 0);
}

#[test]
fn search_ends_soon_after_traffic_does() {
    let mut end = End::usual();
    end.send_for(s(10), ms(100));
    end.pass(s(20));
    let before = end.probes.len();
    end.pass(s(3600));
    assert_eq!((end.probes.len(), end.paths.deadline()), (before, None));
}

#[test]
fn by_radio_addresses_are_told_rarely_and_only_while_traffic_flows() {
    let mut end = End::new(true, Bulk::default());
    end.paths.handle_link_up(RADIO, &radio(100), end.now);
    end.paths.set_configured(&[node()], end.now);
    end.paths.set_session(true, end.now);
    end.paths.set_own_addresses(true, end.now);
    end.pass(s(3600));
    assert_eq!(end.announced.len(), 0);
    end.send_for(s(3 * 3600), s(10));
    assert!((5..=7).contains(&end.announced.len()), "{:?}", end.announced);
    let before = end.announced.len();
    for _ in 0..60 {
        end.paths.set_own_addresses(true, end.now);
        end.send();
        end.pass(s(2));
    }
    assert!(end.announced.len() - before <= 3, "a network that flaps is told of once a minute");
}

#[test]
fn on_a_free_path_addresses_are_told_when_they_changed() {
    let mut end = End::on_wifi();
    for _ in 0..3 {
        end.paths.set_own_addresses(true, end.now);
        for _ in 0..600 {
            end.send();
            end.hear(WIFI, lan());
            end.pass(ms(500));
        }
    }
    assert_eq!(end.announced.len(), 3);
}

#[test]
fn of_two_radios_the_silent_one_is_left_for_few_probes() {
    let mut end = End::new(true, Bulk::default());
    let other = LinkAddr::radio(7);
    end.paths.handle_link_up(RADIO, &radio(100), end.now);
    end.paths.set_configured(&[node(), other], end.now);
    end.paths.set_session(true, end.now);
    end.drain();
    end.paths.heard(RADIO, node(), Heard::Answer, end.now);
    for _ in 0..100 {
        end.send();
        end.pass(s(2));
        end.hear(RADIO, node());
    }
    assert_eq!(end.probes.len(), 0, "what is heard need not be asked");
    end.send_for(s(60), s(5));
    assert!((2..=4).contains(&end.probes.len()), "{:?}", end.probes);
    assert!(end.answer(RADIO, other));
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((RADIO, other)), Why::Silent));
}

#[test]
fn a_day_with_two_dead_radios_costs_a_bounded_number_of_probes() {
    let mut end = End::new(true, Bulk::default());
    end.paths.handle_link_up(RADIO, &radio(100), end.now);
    end.paths.set_configured(&[node(), LinkAddr::radio(7)], end.now);
    end.paths.set_session(true, end.now);
    end.send_for(s(86_400), s(20));
    assert!(end.probes.len() <= 4 + 144, "{}", end.probes.len());
}

#[test]
fn an_idle_peer_with_two_paths_takes_little_memory() {
    let mut end = End::on_wifi();
    end.paths.announced(&addresses(&["192.0.2.2:51820"]), end.now);
    end.send_for(s(5), ms(100));
    end.pass(s(100));
    let paths = &end.paths;
    let heap = paths.places.capacity() * size_of::<(LinkAddr, Origin)>()
        + paths.links.capacity() * size_of::<(LinkId, AddrKind, Quality)>()
        + paths.candidates.capacity() * size_of::<Candidate>()
        + paths.outstanding.capacity() * size_of::<Outstanding>()
        + paths.todo.capacity() * size_of::<ToDo>();
    let own = size_of::<Paths>();
    assert_eq!(paths.views().count(), 2);
    assert!(own + heap <= 720, "{own} and {heap} bytes on the heap");
}

#[test]
fn what_was_sent_is_booked_where_it_went() {
    let mut end = End::usual();
    end.paths.sent(RADIO, node(), Sent::Packet, 82, ms(900), end.now);
    end.paths.sent(RADIO, node(), Sent::Control, 24, ms(400), end.now);
    let view = end.paths.views().find(|view| view.link == RADIO).unwrap();
    assert_eq!(view.cost, Cost { packets: 2, bytes: 106, airtime_us: 1_300_000 });
    assert_eq!((view.rtt, view.loss), (None, None));
}
