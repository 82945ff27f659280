//! Hosts that sleep: the clock that tells the nodes the time stands still meanwhile, and keys age all the same.

use super::*;
use crate::event::SessionState;

const INIT: usize = 148;
const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);

/// Two that have just spoken, both ways.
fn talking(links: Links) -> Duo {
    let mut duo = if links == Links::Both { Duo::on_cable() } else { Duo::new(links) };
    duo.send(0, 1);
    duo.seconds(20);
    duo.send(1, 2);
    duo.seconds(20);
    assert!(duo.numbers(1).contains(&1) && duo.numbers(0).contains(&2));
    forget(&mut duo);
    duo
}

fn forget(duo: &mut Duo) {
    duo.log.clear();
    duo.delivered.iter_mut().for_each(Vec::clear);
}

impl Duo {
    /// The first host sleeps; nothing happens to the second meanwhile.
    fn sleep(&mut self, time: Duration) {
        self.nodes[0].handle_resume(time, self.now);
        self.drain();
    }

    fn session(&self) -> SessionState {
        self.nodes[0].snapshot(self.now).peers[0].state
    }

    fn keys(&self) -> usize {
        let (_, peer) = self.nodes[0].peers.iter().next().unwrap();
        let Keying::Wireguard(wireguard) = &peer.keying else { panic!("it is a WIREGUARD peer") };
        wireguard.tunnel.openings(self.now).count()
    }

    fn inits_by_udp(&mut self) -> usize {
        self.lengths(UDP).into_iter().filter(|len| *len == INIT).count()
    }
}

#[test]
fn after_days_of_sleep_the_keys_open_and_seal_nothing() {
    for links in [Links::Udp, Links::Radio, Links::Both] {
        let mut duo = talking(links);
        duo.sleep(DAYS);
        assert_eq!((duo.keys(), duo.session()), (0, SessionState::Idle));
        // The other host was awake for a moment only, and its keys are as good as before.
        duo.send(1, 3);
        duo.seconds(30);
        assert!(duo.numbers(0).is_empty(), "what was sealed with the old keys is refused");
        assert!(duo.nodes[0].snapshot(duo.now).drops.contains_key(&DropReason::NoSession));
        duo.send(0, 4);
        duo.send(1, 5);
        duo.seconds(30);
        assert_eq!((duo.numbers(0), duo.numbers(1)), (vec![5], vec![4]), "and fresh ones serve");
    }
}

#[test]
fn what_is_sent_after_days_of_sleep_waits_for_fresh_keys() {
    for links in [Links::Udp, Links::Radio] {
        let mut duo = talking(links);
        duo.sleep(DAYS);
        duo.send(0, 3);
        let link = if links == Links::Udp { UDP } else { RADIO };
        let first = duo.lengths(link);
        assert!(
            first.len() == 1 && (links == Links::Radio || first == [INIT]),
            "an init and no more: {first:?}"
        );
        duo.seconds(30);
        assert_eq!(duo.numbers(1), [3]);
    }
}

#[test]
fn a_session_that_slept_for_seconds_goes_on() {
    for links in [Links::Udp, Links::Radio, Links::Both] {
        let mut duo = talking(links);
        duo.sleep(Duration::from_secs(5));
        duo.send(0, 3);
        duo.send(1, 4);
        duo.seconds(10);
        assert_eq!((duo.numbers(0), duo.numbers(1)), (vec![4], vec![3]));
        assert_eq!(duo.nodes[0].snapshot(duo.now).drops, BTreeMap::new());
        let packets = if links == Links::Radio { 2 } else { 0 };
        assert_eq!(
            (duo.log.iter().filter(|(link, _)| *link == RADIO).count(), duo.inits_by_udp()),
            (packets, 0)
        );
    }
}

#[test]
fn where_air_is_free_one_init_says_that_the_host_is_back() {
    for links in [Links::Udp, Links::Both] {
        for time in [Duration::from_secs(180), DAYS] {
            let mut duo = talking(links);
            duo.sleep(time);
            duo.seconds(60);
            assert_eq!((duo.inits_by_udp(), duo.session()), (1, SessionState::Established));
        }
        // Whose keys were over before has nothing to say.
        let mut duo = talking(links);
        duo.seconds(600);
        forget(&mut duo);
        duo.sleep(DAYS);
        duo.seconds(60);
        assert_eq!(duo.inits_by_udp(), 0);
    }
}

#[test]
fn no_sleep_costs_anything_on_the_air_before_there_is_something_to_send() {
    for time in [Duration::from_secs(5), Duration::from_secs(600), DAYS] {
        let mut duo = talking(Links::Radio);
        duo.sleep(time);
        duo.seconds(3600);
        assert!(duo.lengths(RADIO).is_empty(), "{time:?}");
        // Nor does a cable that leads nowhere any more.
        let mut duo = talking(Links::Both);
        duo.lose = Box::new(|link, _| link == UDP);
        duo.sleep(time);
        duo.seconds(3600);
        assert!(duo.lengths(RADIO).is_empty(), "{time:?}");
        duo.send(0, 3);
        duo.seconds(120);
        assert_eq!(duo.numbers(1), [3]);
    }
}

#[test]
fn what_keys_sleep_and_what_they_are_awake_adds_up() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let mut duo = talking(Links::Radio);
    duo.sleep(hours(2));
    duo.run(hours(2));
    duo.sleep(hours(1));
    assert_eq!((duo.keys(), duo.session()), (1, SessionState::Established));
    // The ten minutes between the renewal that nobody needed and the end, less those of the conversation.
    duo.run(Duration::from_secs(540));
    assert_eq!(duo.keys(), 1);
    duo.run(Duration::from_secs(60));
    assert_eq!((duo.keys(), duo.session()), (0, SessionState::Idle));
}

#[test]
fn a_handshake_that_slept_begins_anew_and_takes_no_answer_from_before() {
    let mut duo = Duo::new(Links::Udp);
    duo.send(0, 1);
    duo.run(CABLE);
    // The answer is under way; it finds nobody who asked.
    duo.sleep(DAYS);
    duo.run(CABLE);
    assert!(duo.numbers(1).is_empty());
    duo.seconds(10);
    assert_eq!(duo.numbers(1), [1]);
    assert_eq!(duo.inits_by_udp(), 2);
}
