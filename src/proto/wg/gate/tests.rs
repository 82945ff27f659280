use rand_core::SeedableRng as _;

use super::*;
use crate::key::{PrivateKey, PublicKey};
use crate::testing::start;
use crate::wg::mac::Cookies;
use crate::wg::message::{INIT_NOISE, Init};

fn ours() -> PublicKey {
    PrivateKey::from_random([1; 32]).public()
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([5; 32])
}

fn from(port: u16) -> LinkAddr {
    LinkAddr::udp(SocketAddr::from(([192, 0, 2, 1], port)))
}

fn init(cookies: &mut Cookies, now: Instant) -> [u8; INIT_LEN] {
    let mut init = Init { sender: 7, noise: [3; INIT_NOISE], mac1: [0; 16], mac2: [0; 16] }.emit();
    cookies.stamp(&mut init, now);
    init
}

fn reply(verdict: &Verdict) -> CookieReply {
    let Verdict::Cookie(bytes) = verdict else { panic!("{verdict:?}") };
    let Ok(Message::CookieReply(reply)) = Message::parse(bytes) else { panic!("no cookie reply") };
    reply
}

#[test]
fn a_wrong_first_mac_is_dropped_whatever_the_load() {
    let (mut gate, mut rng, now) = (Gate::new(&ours()), rng(), start());
    let good = init(&mut Cookies::new(&ours()), now);
    for at in 4..132 {
        let mut bad = good;
        bad[at] ^= 1;
        for pressed in [false, true] {
            let verdict = gate.admit(&bad, from(1), pressed, &mut rng, now);
            assert_eq!(verdict, Verdict::Drop(Refused::WrongMac), "byte {at}");
        }
    }
    let other = PrivateKey::from_random([2; 32]).public();
    let misdirected = init(&mut Cookies::new(&other), now);
    assert_eq!(gate.admit(&misdirected, from(1), false, &mut rng, now), Verdict::Drop(Refused::WrongMac));
    assert_eq!(gate.admit(&[0; 148], from(1), false, &mut rng, now), Verdict::Drop(Refused::Malformed));
}

#[test]
fn under_load_a_cookie_comes_first_and_opens_the_gate_to_its_address_alone() {
    let (mut gate, mut rng, now) = (Gate::new(&ours()), rng(), start());
    let mut cookies = Cookies::new(&ours());
    let calm = init(&mut cookies, now);
    assert_eq!(gate.admit(&calm, from(1), false, &mut rng, now), Verdict::Accept);
    let reply = reply(&gate.admit(&calm, from(1), true, &mut rng, now));
    assert_eq!(reply.receiver, 7);
    assert!(cookies.take(&reply, now));
    let proven = init(&mut cookies, now);
    assert_eq!(gate.admit(&proven, from(1), true, &mut rng, now), Verdict::Accept);
    assert!(matches!(gate.admit(&proven, from(2), true, &mut rng, now), Verdict::Cookie(_)), "another port");
    let radio = LinkAddr::radio(0xc000_0201);
    assert!(matches!(gate.admit(&proven, radio, true, &mut rng, now), Verdict::Cookie(_)), "another link");
}

#[test]
fn a_cookie_ends_with_the_secret_that_it_was_made_of() {
    let (mut gate, mut rng, now) = (Gate::new(&ours()), rng(), start());
    let mut cookies = Cookies::new(&ours());
    let first = init(&mut cookies, now);
    let reply = reply(&gate.admit(&first, from(1), true, &mut rng, now));
    assert!(cookies.take(&reply, now));
    let proven = init(&mut cookies, now);
    let before = now + COOKIE_LIFETIME - Duration::from_secs(1);
    assert_eq!(gate.admit(&proven, from(1), true, &mut rng, before), Verdict::Accept);
    let after = now + COOKIE_LIFETIME;
    assert!(matches!(gate.admit(&proven, from(1), true, &mut rng, after), Verdict::Cookie(_)));
}

#[test]
fn many_handshakes_are_load_which_passes() {
    let (mut gate, mut rng, now) = (Gate::new(&ours()), rng(), start());
    let init = init(&mut Cookies::new(&ours()), now);
    let mut accepted = 0;
    while gate.admit(&init, from(1), false, &mut rng, now) == Verdict::Accept {
        accepted += 1;
    }
    assert_eq!(accepted, 64);
    assert!(gate.is_under_load(now));
    let later = now + Duration::from_secs(2);
    assert!(!gate.is_under_load(later));
    assert_eq!(gate.admit(&init, from(1), false, &mut rng, later), Verdict::Accept);
}

#[test]
fn under_load_one_source_takes_no_more_than_its_share() {
    let (mut gate, mut rng, now) = (Gate::new(&ours()), rng(), start());
    let mut cookies = Cookies::new(&ours());
    let first = init(&mut cookies, now);
    let reply = reply(&gate.admit(&first, from(1), true, &mut rng, now));
    assert!(cookies.take(&reply, now));
    let proven = init(&mut cookies, now);
    let verdicts: Vec<_> = (0..6).map(|_| gate.admit(&proven, from(1), true, &mut rng, now)).collect();
    assert_eq!(verdicts[..5], vec![Verdict::Accept; 5]);
    assert_eq!(verdicts[5], Verdict::Drop(Refused::Source));
}

#[test]
fn terse_handshakes_have_limits_and_the_table_of_sources_an_end() {
    let (mut gate, now) = (Gate::new(&ours()), start());
    let taken = (0..10).filter(|_| gate.admit_terse(LinkAddr::radio(1), now).is_ok()).count();
    assert_eq!(taken, 5);
    for node in 0..10_000 {
        let _ = gate.admit_terse(LinkAddr::radio(node), now + Duration::from_millis(u64::from(node)));
    }
    assert!(gate.sources.len() <= MAX_SOURCES);
    assert_eq!(gate.admit_terse(LinkAddr::radio(99_999), now + Duration::from_secs(60)), Ok(()));
}
