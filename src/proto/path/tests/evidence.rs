//! What promotes a path and what demotes it, event by event.

use super::*;

#[test]
fn a_path_that_nobody_vouches_for_carries_nothing_before_it_answers() {
    let mut end = End::usual();
    end.send();
    end.paths.announced(&addresses(&["198.51.100.9:7"]), end.now);
    end.hear(WIFI, udp("203.0.113.5:9"));
    end.paths.handle_link_down(RADIO, end.now);
    end.drain();
    let strange = [udp("198.51.100.9:7"), udp("203.0.113.5:9")];
    assert_eq!(end.paths.current(), Some((WIFI, lan())), "the operator vouches for it");
    end.paths.set_configured(&[], end.now);
    end.send();
    end.pass(s(1));
    assert_eq!((end.paths.current(), end.paths.tier()), (None, Tier::Offline));
    for to in strange {
        assert!(end.probes.iter().any(|(_, on, at, _)| (*on, *at) == (WIFI, to)), "{to} is probed");
    }
    assert!(end.answer(WIFI, strange[1]));
    assert_eq!(end.paths.current(), Some((WIFI, strange[1])));
    assert_eq!(end.paths.why().0, Why::Proven);
}

#[test]
fn an_answer_proves_only_the_path_that_was_asked() {
    let mut end = End::usual();
    end.send();
    end.pass(s(1));
    let (.., token) = *end.probes.last().unwrap();
    for (link, from) in [(RADIO, node()), (WIFI, udp("203.0.113.5:9")), (CABLE, lan())] {
        assert!(!end.paths.answered(token, link, from, end.now));
    }
    assert!(!end.paths.answered(token.wrapping_add(1), WIFI, lan(), end.now));
    assert_eq!(end.paths.current(), Some((RADIO, node())));
    assert!(end.paths.answered(token, WIFI, lan(), end.now));
    assert!(!end.paths.answered(token, WIFI, lan(), end.now), "a token counts once");
    assert_eq!(end.paths.tier(), Tier::Direct);
}

#[test]
fn without_a_session_a_handshake_tries_free_links_first_and_the_radio_within_three_seconds() {
    let mut end = End::usual();
    end.paths.set_session(false, end.now);
    end.drain();
    assert_eq!(end.paths.current(), Some((WIFI, lan())));
    end.paths.sent(WIFI, lan(), Sent::Handshake, 148, Duration::ZERO, end.now);
    end.pass(s(3));
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((RADIO, node())), Why::Unanswered));
    assert!(end.probes.is_empty(), "there is nothing to seal a probe with");
    end.paths.unanswered(end.now);
    assert_eq!(end.paths.current(), Some((WIFI, lan())), "everybody has his turn again");
}

#[test]
fn a_stock_peer_roams_on_its_newest_message_and_is_never_probed() {
    let mut end = End::new(false, Bulk::default());
    end.paths.handle_link_up(WIFI, &free(10), end.now);
    end.paths.set_configured(&[lan()], end.now);
    end.paths.set_session(true, end.now);
    let (old, new) = (udp("203.0.113.5:9"), udp("203.0.113.5:10"));
    end.paths.heard(WIFI, old, Heard::Late, end.now);
    assert_eq!(end.paths.current(), Some((WIFI, lan())));
    end.hear(WIFI, new);
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((WIFI, new)), Why::Roamed));
    end.paths.announced(&addresses(&["198.51.100.9:7"]), end.now);
    end.send_for(s(600), ms(100));
    assert_eq!((end.probes.len(), end.paths.deadline()), (0, None));
    end.paths.unanswered(end.now);
    assert_eq!(end.paths.current(), Some((WIFI, lan())), "the configured address has its turn");
}

#[test]
fn a_death_that_leaves_no_path_is_told_once_until_the_path_has_lived_again() {
    let mut end = End::on_wifi();
    end.paths.handle_link_down(RADIO, end.now);
    for deaths in 1..=2 {
        end.send_for(s(20), ms(100));
        assert_eq!(end.stranded.len(), deaths);
        assert_eq!(end.paths.current(), Some((WIFI, lan())), "there is no other");
        end.hear(WIFI, lan());
    }
    // Where there is another, it is taken, and that is told.
    let mut end = End::on_wifi();
    end.send_for(s(20), ms(100));
    assert_eq!((end.paths.current(), end.stranded.len()), (Some((RADIO, node())), 0));
    // Of a stock peer it is the handshake that finds it out.
    let mut end = End::new(false, Bulk::default());
    end.paths.handle_link_up(WIFI, &free(10), end.now);
    end.paths.set_configured(&[lan()], end.now);
    end.paths.set_session(true, end.now);
    for _ in 0..3 {
        end.paths.unanswered(end.now);
        end.drain();
        assert_eq!(end.stranded.len(), 1);
    }
}

#[test]
fn a_kin_peer_behind_a_new_nat_binding_is_followed_after_one_proof() {
    let mut end = End::on_wifi();
    end.pass(s(20));
    let moved = udp("203.0.113.5:4444");
    end.hear(WIFI, moved);
    assert_eq!(end.paths.current(), Some((WIFI, lan())));
    assert!(end.answer(WIFI, moved), "it is probed at once");
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((WIFI, moved)), Why::Roamed));
}

#[test]
fn a_link_that_goes_down_is_left_at_once_and_taken_again_only_on_proof() {
    let mut end = End::on_wifi();
    end.send();
    end.paths.handle_link_down(WIFI, end.now);
    end.drain();
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((RADIO, node())), Why::LinkDown));
    end.send();
    end.paths.handle_link_up(WIFI, &free(10), end.now);
    assert_eq!(end.paths.current(), Some((RADIO, node())));
    end.pass(ms(1));
    assert!(end.answer(WIFI, lan()), "probed at once");
    assert_eq!(end.paths.tier(), Tier::Direct);
}

#[test]
fn a_cheaper_link_is_taken_on_proof_and_a_dearer_one_never() {
    let mut end = End::on_wifi();
    end.paths.handle_link_up(CABLE, &free(5), end.now);
    end.send();
    end.pass(ms(10));
    assert!(end.answer(CABLE, lan()));
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((CABLE, lan())), Why::Cheaper));
    end.paths.heard(WIFI, lan(), Heard::Answer, end.now);
    assert_eq!(end.paths.current(), Some((CABLE, lan())));
}

#[test]
fn of_two_equal_links_only_a_clearly_faster_one_is_taken_and_not_at_once_again() {
    let mut end = End::on_wifi();
    end.paths.handle_link_up(CABLE, &free(10), end.now);
    let mut measure = |wifi: u64, cable: u64| {
        let before = end.changes.len();
        for _ in 0..600 {
            let seen = end.probes.len();
            let (link, to) = end.paths.current().unwrap();
            end.send();
            end.hear(link, to);
            end.pass(s(1));
            let new: Vec<_> = end.probes[seen..].to_vec();
            for (link, rtt) in [(WIFI, wifi), (CABLE, cable)] {
                if let Some((sent, .., token)) = new.iter().find(|(_, on, ..)| *on == link) {
                    // As if it had come after that time.
                    end.paths.answered(*token, link, lan(), end.start + *sent + ms(rtt));
                    end.drain();
                }
            }
        }
        (end.changes.len() - before, end.paths.current().unwrap().0)
    };
    assert_eq!(measure(40, 45), (0, WIFI));
    assert_eq!(measure(45, 40), (0, WIFI), "a little faster is no reason");
    assert_eq!(measure(400, 10), (1, CABLE));
    assert_eq!(end.paths.why().0, Why::Faster);
}

#[test]
fn after_a_suspend_the_free_path_must_show_that_it_works() {
    let mut end = End::on_wifi();
    end.now += s(3600);
    end.paths.handle_resume(end.now);
    end.drain();
    end.pass(ms(10));
    assert_eq!(end.probes_of(WIFI), 1, "asked at once, before any traffic");
    end.answer(WIFI, lan());
    end.pass(s(60));
    assert_eq!((end.paths.tier(), end.paths.deadline()), (Tier::Direct, None));
    end.paths.handle_resume(end.now);
    end.pass(s(3));
    assert_eq!((end.paths.tier(), end.paths.why().0), (Tier::Radio, Why::Silent));
}

#[test]
fn a_timer_that_rings_an_hour_late_is_no_evidence() {
    let mut end = End::on_wifi();
    end.send();
    end.now += s(3600);
    end.paths.handle_timeout(end.now);
    end.drain();
    assert_eq!(end.paths.current(), Some((WIFI, lan())));
    end.pass(ms(200));
    assert!(end.answer(WIFI, lan()));
    assert_eq!(end.paths.tier(), Tier::Direct);
}

#[test]
fn a_refusal_only_raises_a_doubt() {
    let mut end = End::on_wifi();
    end.paths.refused(WIFI, lan(), end.now);
    end.pass(ms(10));
    assert_eq!(end.paths.tier(), Tier::Direct);
    end.answer(WIFI, lan());
    end.pass(s(10));
    assert_eq!(end.paths.tier(), Tier::Direct, "whoever forged it has gained nothing");
    end.paths.refused(WIFI, lan(), end.now);
    end.pass(s(2));
    assert_eq!(end.paths.tier(), Tier::Radio);
}

#[test]
fn a_peer_that_speaks_by_radio_while_we_use_wifi_is_asked_whether_wifi_works() {
    let mut end = End::on_wifi();
    end.pass(s(20));
    end.hear(RADIO, node());
    end.pass(ms(1));
    assert_eq!((end.probes_of(WIFI), end.probes_of(RADIO)), (1, 0));
    end.pass(s(3));
    assert_eq!(end.paths.tier(), Tier::Radio);
}

#[test]
fn a_peer_that_leaves_the_free_path_is_followed_to_the_radio_at_once() {
    let mut end = End::on_wifi();
    end.paths.heard(WIFI, lan(), Heard::Packet, end.now);
    end.pass(ms(100));
    end.paths.heard(RADIO, node(), Heard::Packet, end.now);
    end.drain();
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((RADIO, node())), Why::Heard));
    end.send();
    end.pass(ms(1));
    assert!(end.answer(WIFI, lan()), "Wi-Fi is asked at once");
    assert_eq!(end.paths.tier(), Tier::Direct, "whoever was wrong is back");
}

#[test]
fn a_peer_that_has_not_come_to_the_free_path_yet_is_not_taken_for_one_that_left() {
    let mut end = End::on_wifi();
    end.paths.heard(WIFI, lan(), Heard::Question, end.now);
    end.pass(ms(100));
    end.paths.heard(RADIO, node(), Heard::Packet, end.now);
    assert_eq!(end.paths.tier(), Tier::Direct);
    end.paths.heard(WIFI, lan(), Heard::Packet, end.now);
    end.paths.heard(RADIO, node(), Heard::Late, end.now);
    assert_eq!(
        end.paths.tier(),
        Tier::Direct,
        "what the radio was still carrying when the peer left it says nothing"
    );
}

#[test]
fn a_peer_that_never_came_to_the_free_path_and_does_not_even_probe_it_is_followed_back() {
    let mut end = End::on_wifi();
    end.paths.heard(WIFI, lan(), Heard::Question, end.now);
    end.pass(ms(2100));
    end.paths.heard(RADIO, node(), Heard::Packet, end.now);
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((RADIO, node())), Why::Heard));
}

#[test]
fn a_path_that_brings_questions_and_swallows_what_we_send_is_given_up() {
    let mut end = End::on_wifi();
    let fell = (0..50).find(|_| {
        end.send();
        end.paths.heard(WIFI, lan(), Heard::Question, end.now);
        end.pass(ms(100));
        end.paths.tier() == Tier::Radio
    });
    assert!(fell.is_some_and(|tenths| tenths < 30), "{fell:?}");
    end.paths.heard(WIFI, lan(), Heard::Question, end.now);
    assert_eq!(end.paths.state_of(WIFI, lan()), Some(PathState::Dead), "that the peer asks proves nothing");
}

#[test]
fn what_the_kernel_says_of_its_own_routes_is_believed_at_once() {
    let mut end = End::on_wifi();
    end.send();
    end.paths.cut(WIFI, lan(), end.now);
    end.drain();
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((RADIO, node())), Why::LinkDown));
    end.paths.handle_hint(end.now);
    end.pass(ms(1));
    assert!(end.answer(WIFI, lan()), "asked as soon as something changes around us");
    assert_eq!(end.paths.tier(), Tier::Direct);
}

#[test]
fn a_path_that_was_dead_is_measured_anew_and_not_by_what_waited_for_it() {
    let mut end = End::on_wifi();
    let rtt = |end: &End| end.paths.views().find(|view| view.link == WIFI).unwrap().rtt;
    end.send();
    end.pass(ms(1100));
    assert!(end.answer(WIFI, lan()));
    assert_eq!(rtt(&end), Some(Duration::ZERO));
    for took in [ms(1), ms(600)] {
        end.send();
        end.pass(s(6));
        assert_eq!(end.paths.tier(), Tier::Radio);
        end.send();
        end.pass(ms(1));
        // The first question to a host that is not there yet waits for its MAC address.
        end.now += ms(900);
        assert!(end.answer(WIFI, lan()));
        assert_eq!((end.paths.tier(), rtt(&end)), (Tier::Direct, None));
        end.now += took;
        assert!(end.answer(WIFI, lan()), "asked again at once");
        assert_eq!(rtt(&end), Some(took));
    }
}

#[test]
fn an_only_path_stays_whatever_the_kernel_says() {
    let mut end = End::on_wifi();
    end.paths.handle_link_down(RADIO, end.now);
    end.send();
    for _ in 0..3 {
        end.paths.cut(WIFI, lan(), end.now);
        end.pass(s(1));
        end.send();
    }
    assert_eq!(end.paths.current(), Some((WIFI, lan())));
    end.pass(s(1));
    assert!(end.answer(WIFI, lan()));
    assert_eq!(end.paths.state_of(WIFI, lan()), Some(PathState::Proven));
}

#[test]
fn where_a_stock_peer_had_roamed_to_is_asked_for_a_proof_once_it_turns_out_to_be_meshnet() {
    let mut end = End::new(false, Bulk::default());
    end.paths.handle_link_up(WIFI, &free(10), end.now);
    end.paths.set_configured(&[lan()], end.now);
    end.paths.set_session(true, end.now);
    let moved = udp("203.0.113.5:4444");
    end.hear(WIFI, moved);
    assert_eq!(end.paths.current(), Some((WIFI, moved)), "as WireGuard roams");
    end.paths.set_kin(true, end.now);
    end.drain();
    assert_eq!(end.paths.current(), Some((WIFI, lan())), "nobody vouches for the other");
    end.pass(s(2));
    assert!(end.answer(WIFI, moved), "it was asked");
    assert_eq!((end.paths.current(), end.paths.why().0), (Some((WIFI, moved)), Why::Roamed));
}

#[test]
fn bulk_rides_a_metered_path_that_the_operator_configured_unless_he_forbids_it() {
    let mut end = End::usual();
    assert_eq!(end.paths.tier(), Tier::Radio);
    assert!(end.paths.may_carry(Class::Bulk) && end.paths.may_carry(Class::Interactive));
    end.paths.set_bulk(Bulk::Never);
    assert!(!end.paths.may_carry(Class::Bulk) && end.paths.may_carry(Class::Interactive));
    end.paths.heard(WIFI, lan(), Heard::Answer, end.now);
    assert!(end.paths.may_carry(Class::Bulk), "air is free there");
    let mut end = End::new(true, Bulk::default());
    end.paths.handle_link_up(RADIO, &radio(100), end.now);
    end.paths.heard(RADIO, LinkAddr::radio(9), Heard::Answer, end.now);
    assert_eq!(end.paths.tier(), Tier::Radio);
    assert!(!end.paths.may_carry(Class::Bulk), "nobody configured that radio");
    end.paths.set_bulk(Bulk::Always);
    assert!(end.paths.may_carry(Class::Bulk));
}
