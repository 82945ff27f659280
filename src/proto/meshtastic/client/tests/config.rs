//! From the radio's configuration to what the link promises, or to the fault that an operator is told.

use super::*;
use crate::link::{Airtime, Metered};
use crate::meshtastic::airtime::Preset;

fn caps(bench: &mut Bench) -> LinkCaps {
    let mut links = bench.links().into_iter();
    links
        .find_map(|event| if let LinkEvent::Up(caps) = event { Some(caps) } else { None })
        .expect("the link is up")
}

fn caps_of(index: u8, setup: &Setup) -> LinkCaps {
    let mut bench = Bench::new(ClientConfig { channel_index: index, ..ClientConfig::default() });
    bench.connect(setup);
    caps(&mut bench)
}

fn metered(caps: &LinkCaps) -> &Metered {
    match &caps.airtime {
        Airtime::Metered(metered) => metered,
        Airtime::Free => panic!("air is not free"),
    }
}

fn fault(setup: &Setup) -> (Vec<Notice>, &'static str) {
    let mut bench = Bench::new(ClientConfig::default());
    bench.connect(setup);
    let notices = bench.notices();
    (notices, bench.client.status().state)
}

#[test]
fn the_price_list_is_the_airtime_of_the_preset_up_to_the_true_limit() {
    let caps = caps_of(0, &Setup::default());
    assert_eq!(caps.mtu, 219);
    let price = metered(&caps);
    assert_eq!(price.price.len(), 220);
    let long_fast = Preset::by_name("LONG_FAST").unwrap().modem(false);
    assert_eq!(price.airtime(219).as_micros(), long_fast.airtime(255).as_micros());
    assert_eq!(price.airtime(123).as_micros(), long_fast.airtime(158).as_micros());
    assert_eq!(price.access, long_fast.mean_access());
}

#[test]
fn port_33_carries_a_byte_more() {
    let mut bench = Bench::new(ClientConfig { port: port::IP_TUNNEL, ..ClientConfig::default() });
    bench.connect(&Setup::default());
    assert_eq!(caps(&mut bench).mtu, 220);
}

#[test]
fn a_channel_named_serial_is_not_encrypted_twice() {
    let setup = Setup { channels: vec![("", 1), ("serial", 2)], ..Setup::default() };
    assert_eq!(caps_of(0, &setup).mtu, 219);
    assert_eq!(caps_of(1, &setup).mtu, 231);
}

#[test]
fn a_licensed_amateur_radio_encrypts_nothing() {
    assert_eq!(caps_of(0, &Setup { licensed: true, ..Setup::default() }).mtu, 231);
}

#[test]
fn the_hourly_air_is_the_regions_share_less_a_tenth_for_the_radio() {
    let hourly = |region| metered(&caps_of(0, &Setup { region, ..Setup::default() })).hourly;
    assert_eq!(hourly("EU_868"), Duration::from_secs(324));
    assert_eq!(hourly("US"), Duration::from_secs(3600));
    assert_eq!(hourly("UA_868"), Duration::from_millis(32_400));
}

#[test]
fn a_radio_without_a_region_is_said_to_be_mute() {
    assert_eq!(fault(&Setup { region: "UNSET", ..Setup::default() }), (vec![Notice::RegionUnset], "faulty"));
}

#[test]
fn a_radio_that_must_not_transmit_is_said_to() {
    assert_eq!(
        fault(&Setup { tx_enabled: false, ..Setup::default() }),
        (vec![Notice::TransmitDisabled], "faulty")
    );
}

#[test]
fn a_channel_that_is_absent_or_disabled_is_said_to_be() {
    let absent = Setup { channels: Vec::new(), ..Setup::default() };
    assert_eq!(fault(&absent).0, [Notice::WrongChannel { index: 0, disabled: false }]);
    let disabled = Setup { channels: vec![("", 0)], ..Setup::default() };
    assert_eq!(fault(&disabled).0, [Notice::WrongChannel { index: 0, disabled: true }]);
}

#[test]
fn a_firmware_that_is_too_old_is_said_to_be_and_a_strange_version_is_none() {
    let version = "2.4.3.91d6612".to_owned();
    let setup = Setup { firmware: "2.4.3.91d6612", ..Setup::default() };
    assert_eq!(fault(&setup), (vec![Notice::FirmwareTooOld { version }], "faulty"));
    assert_eq!(fault(&Setup { firmware: "nightly", ..Setup::default() }).1, "up");
}

#[test]
fn a_radio_without_public_key_encryption_serves_and_is_said_to_lack_it() {
    let (notices, state) = fault(&Setup { has_pkc: false, ..Setup::default() });
    assert!(matches!(notices[..], [Notice::NoPki { .. }]), "{notices:?}");
    assert_eq!(state, "up");
}

#[test]
fn a_fault_is_told_once_and_its_end_brings_the_link_up() {
    let mute = Setup { region: "UNSET", ..Setup::default() };
    let mut bench = Bench::new(ClientConfig::default());
    bench.connect(&mute);
    bench.drain();
    bench.wait_for("radio heartbeat");
    bench.configure(&mute);
    assert_eq!(bench.outputs(), [], "the operator knows");
    bench.wait_for("radio heartbeat");
    bench.configure(&Setup::default());
    assert_eq!(caps(&mut bench).mtu, 219);
}

#[test]
fn a_change_of_the_configuration_is_announced() {
    let mut bench = Bench::up(&Setup::default());
    let lora = Setup { preset: 8, ..Setup::default() }.lora();
    bench.feed(Variant::Config(Config { variant: Some(section::Variant::Lora(lora)) }));
    let links = bench.links();
    assert!(
        matches!(&links[..], [LinkEvent::Up(caps), LinkEvent::Room(2)] if metered(caps).airtime(219).as_micros() == 101_952),
        "{links:?}"
    );
    bench.feed(channel(0, "", 0));
    assert_eq!(bench.links(), [LinkEvent::Down]);
}

#[test]
fn a_configuration_for_somebody_elses_question_is_not_ours() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.client.handle_connected(Transport::Tcp, bench.now);
    let nonce = bench.nonce();
    for message in Setup::default().messages() {
        bench.feed(message);
    }
    bench.feed(Variant::ConfigCompleteId(nonce ^ 1));
    assert_eq!(bench.links(), []);
    bench.feed(Variant::ConfigCompleteId(nonce));
    assert!(matches!(bench.links()[..], [LinkEvent::Up(_), LinkEvent::Room(2)]));
}

#[test]
fn a_configuration_without_a_node_number_is_asked_for_anew() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.client.handle_connected(Transport::Tcp, bench.now);
    let nonce = bench.nonce();
    bench.feed(Variant::ConfigCompleteId(nonce));
    let expected = [Output::Notice(Notice::IncompleteConfig), Output::Reconnect(Reconnect::IncompleteConfig)];
    assert_eq!(bench.outputs(), expected);
}
