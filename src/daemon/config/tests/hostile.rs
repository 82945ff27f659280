//! Secrets, and texts that mean harm.

use super::*;

#[test]
fn the_first_secret_is_found_in_right_texts_and_wrong_ones() {
    let secret_at = |text: &str| interpret::read("m.conf", text, interpret::Given::default()).secret_at;
    assert_eq!(secret_at(&base()), Some((2, "PrivateKey")));
    let file = with("MTU = x").replace(&format!("PrivateKey = {PRIVATE}"), "PrivateKeyFile = key");
    assert_eq!(secret_at(&file), None);
    assert_eq!(secret_at(&format!("{file}PresharedKey = {PSK}\n")), Some((10, "PresharedKey")));
}

#[test]
fn no_message_holds_a_secret() {
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";
    let places = [
        "{}",
        "[{}]",
        "{} = 1",
        "{}x = {}",
        "= {}",
        "MTU = {}",
        "MTU = 1 {}",
        "TapName = {}",
        "Privatekey = {}",
        "PrivateKeyFile = a\nPrivateKey = {}x",
        "Address = {}",
        "Address = a,{}",
        "ChannelIndex = {}",
        "RunAsUser = {}",
        "MeshtasticConnect = {}",
        "MeshtasticConnect = tcp://{}",
        "[Peer]\nPublicKey = {}x",
        "[Peer]\nPresharedKey = {}x",
        "[Peer]\nEndpoint = {}",
        "[Peer]\nEndpoint = !{}",
        "[Peer]\nPeerMode = {}",
        "[Peer]\nName = {}",
        "[Peer]\nAllowedIPs = {}/24",
        "[Peer]\nRadioPublicKey = {}x",
        "[Link]\nName = {}",
        "[Link]\nConnect = {}:{}",
    ];
    for place in places {
        let text = place.replace("{}", secret);
        for whole in [with(&text), text.clone()] {
            let Err(errors) = parse("m.conf", &whole) else { continue };
            for error in errors {
                let told = error.to_string();
                assert!(!told.contains("c2VjcmV0c2Vj"), "{place}: {told}");
            }
        }
    }
    let debug = format!("{:?}", fine(&format!("{}PresharedKey = {PSK}\n", base())));
    assert!(!debug.contains(&PRIVATE[..12]) && !debug.contains(&PSK[..12]), "{debug}");
}

/// Mutates good texts by a small generator of its own, so that a failure repeats.
#[test]
fn no_text_makes_the_parser_panic() {
    let good =
        format!("{}{}PresharedKey = {PSK}\n[Link]\nConnect = tcp://[::1]:1 # x\n", with("MTU = 1_0"), bob());
    let bits = [
        "[",
        "]",
        "=",
        "#",
        ",",
        "/",
        ":",
        "!",
        "\n",
        "\r",
        "\0",
        " ",
        "é",
        "\u{2028}",
        "🦀",
        "9999999999",
        "-",
    ];
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let mut text: Vec<char> = good.chars().collect();
        for _ in 0..=draw(6) {
            let at = draw(text.len());
            match draw(3) {
                0 => drop(text.splice(at..=at, bits[draw(bits.len())].chars())),
                1 => drop(text.drain(at..text.len().min(at + 1 + draw(30)))),
                _ => text.truncate(at + 1),
            }
            if text.is_empty() {
                break;
            }
        }
        if let Err(errors) = parse("m.conf", &text.into_iter().collect::<String>()) {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));
        }
    }
}

#[test]
fn crowds_are_refused_before_they_cost_anything() {
    let peers = "[Peer]\n".repeat(2000);
    assert_eq!(only_wrong(&format!("{}{peers}", base())), "m.conf: 2002 sections; at most 1024");
    let addresses: Vec<String> = (0..50_000u16).map(|n| format!("10.1.{}.{}", n / 256, n % 256)).collect();
    let text = base().replace("10.0.0.1/24", &addresses.join(","));
    assert_eq!(only_wrong(&text), "m.conf:3: Address: 50000 values; at most 64");
    let endpoints: Vec<String> = (1..=50_000).map(|n| format!("!{n:08x}")).collect();
    let text = base().replace("!d45b9db8", &endpoints.join(","));
    assert_eq!(only_wrong(&text), "m.conf:8: Endpoint: 50000 values; at most 16");
    let prefixes = addresses.join(",");
    assert_eq!(fine(&base().replace("10.0.0.2/32", &prefixes)).peers[0].core.allowed_ips.len(), 50_000);
    let told = wrong(&"x\n".repeat(300_000));
    assert_eq!(told.len(), 1001);
    assert_eq!(told[1000], "m.conf: 299001 more; mend these first");
}

#[test]
fn a_key_that_agrees_on_nothing_is_no_key() {
    let error = only_wrong(&base().replace(ALICE, "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    assert_eq!(
        error,
        "m.conf:6: PublicKey: a point of small order: it agrees on no secret; the public key of the peer"
    );
}
