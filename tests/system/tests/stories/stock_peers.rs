//! Two stock WireGuard peers of different make talk with each other: what fails there is no fault of ours.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::cable::Cable;
use meshnet_system::config::{preshared_key, private_key};
use meshnet_system::flow::{noise, transfer};
use meshnet_system::namespace::Namespace;
use meshnet_system::ping::{self, Ping};
use meshnet_system::stock::{Stock, StockConfig, StockMake, StockPeer, show_only};
use meshnet_system::story;

#[test]
fn wireguard_go_talks_with_gotatun() -> Result<()> {
    story(|dir| {
        let sites = [Namespace::new()?, Namespace::new()?];
        let _cable = Cable::join("wan0", [(&sites[0], "192.0.2.1/24"), (&sites[1], "192.0.2.2/24")])?;
        let keys = [private_key()?, private_key()?];
        let secret = preshared_key()?;
        let config = |me: usize| -> Result<StockConfig> {
            let other = 1 - me;
            Ok(StockConfig {
                private_key: keys[me].clone(),
                listen_port: 51820,
                address: format!("10.8.0.{}/24", me + 1),
                mtu: 1420,
                peers: vec![StockPeer {
                    public_key: keys[other].public(),
                    preshared_key: Some(secret.clone()),
                    allowed_ips: format!("10.8.0.{}/32", other + 1),
                    // East has to learn where west is.
                    endpoint: (me == 0).then(|| "192.0.2.2:51820".parse()).transpose()?,
                }],
            })
        };
        let _west = Stock::start(StockMake::WireguardGo, "west", &sites[0], &config(0)?, dir)?;
        let _east = Stock::start(StockMake::Gotatun, "east", &sites[1], &config(1)?, dir)?;

        ping::until_answered(&sites[0], "10.8.0.2", Duration::from_secs(15))?;
        for (from, to) in [(&sites[0], "10.8.0.2"), (&sites[1], "10.8.0.1")] {
            let pinged =
                Ping { count: 5, interval: Duration::from_millis(100), ..Ping::default() }.run(from, to)?;
            ensure!(pinged.round_trips.len() == 5 && pinged.duplicates == 0, "{}", pinged.output);
        }
        let limit = Duration::from_secs(30);
        transfer(&sites[0], &sites[1], "10.8.0.2:4000".parse()?, &noise(2_000_000, 1), limit)?;
        transfer(&sites[1], &sites[0], "10.8.0.1:4000".parse()?, &noise(2_000_000, 2), limit)?;

        let shown = show_only(&sites[1])?;
        ensure!(shown.endpoint == Some("192.0.2.1:51820".parse()?), "{shown:?}");
        ensure!(
            shown.latest_handshake > 0 && shown.received > 2_000_000 && shown.sent > 2_000_000,
            "{shown:?}"
        );
        Ok(())
    })
}
