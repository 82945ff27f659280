//! Stock peers of different make, either first: what fails here is no fault of ours.

use anyhow::Result;
use meshnet_system::pairing::Who::{self, Stock};
use meshnet_system::stock::StockMake::{Gotatun, WireguardGo};

const GO_FIRST: [Who; 2] = [Stock(WireguardGo), Stock(Gotatun)];
const GOTATUN_FIRST: [Who; 2] = [Stock(Gotatun), Stock(WireguardGo)];

#[test]
fn wireguard_go_talks_with_gotatun() -> Result<()> {
    super::converse(GO_FIRST, false)
}

#[test]
fn gotatun_talks_with_wireguard_go_with_a_preshared_key() -> Result<()> {
    super::converse(GOTATUN_FIRST, true)
}

#[test]
fn gotatun_and_wireguard_go_refuse_another_secret() -> Result<()> {
    super::refuse_another_secret(GOTATUN_FIRST)
}

#[test]
fn wireguard_go_renews_its_keys_with_gotatun_and_loses_nothing() -> Result<()> {
    super::renew(GO_FIRST)
}

#[test]
fn wireguard_go_and_gotatun_follow_each_other() -> Result<()> {
    super::roam(GO_FIRST)
}

#[test]
fn wireguard_go_meets_a_flooded_gotatun() -> Result<()> {
    super::meet_in_a_flood(GO_FIRST)
}

#[test]
fn gotatun_meets_a_flooded_wireguard_go() -> Result<()> {
    super::meet_in_a_flood(GOTATUN_FIRST)
}
