//! Ours with each stock peer, either first.

use anyhow::Result;
use meshnet_system::pairing::Who::{Ours, Stock};
use meshnet_system::stock::StockMake::{Gotatun, WireguardGo};

/// Names a test for each pair; the first is the one that speaks first.
macro_rules! pairs {
    ($($name:ident: $west:expr, $east:expr, $tell:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            $tell([$west, $east])
        }
    )*};
}

pairs! {
    ours_talks_with_wireguard_go: Ours, Stock(WireguardGo), |who| super::converse(who, false);
    ours_talks_with_wireguard_go_with_a_preshared_key: Ours, Stock(WireguardGo), |who| super::converse(who, true);
    ours_talks_with_gotatun: Ours, Stock(Gotatun), |who| super::converse(who, false);
    ours_talks_with_gotatun_with_a_preshared_key: Ours, Stock(Gotatun), |who| super::converse(who, true);
    wireguard_go_talks_with_ours: Stock(WireguardGo), Ours, |who| super::converse(who, false);
    wireguard_go_talks_with_ours_with_a_preshared_key: Stock(WireguardGo), Ours, |who| super::converse(who, true);
    gotatun_talks_with_ours: Stock(Gotatun), Ours, |who| super::converse(who, false);
    gotatun_talks_with_ours_with_a_preshared_key: Stock(Gotatun), Ours, |who| super::converse(who, true);

    ours_talks_with_wireguard_go_by_ipv6_alone: Ours, Stock(WireguardGo), super::converse_by_ipv6;
    gotatun_talks_with_ours_by_ipv6_alone: Stock(Gotatun), Ours, super::converse_by_ipv6;

    ours_and_wireguard_go_refuse_another_secret: Ours, Stock(WireguardGo), super::refuse_another_secret;
    gotatun_and_ours_refuse_another_secret: Stock(Gotatun), Ours, super::refuse_another_secret;

    ours_renews_its_keys_with_wireguard_go_and_loses_nothing: Ours, Stock(WireguardGo), super::renew;
    ours_renews_its_keys_with_gotatun_and_loses_nothing: Ours, Stock(Gotatun), super::renew;
    wireguard_go_renews_its_keys_with_ours_and_loses_nothing: Stock(WireguardGo), Ours, super::renew;
    gotatun_renews_its_keys_with_ours_and_loses_nothing: Stock(Gotatun), Ours, super::renew;

    ours_and_wireguard_go_follow_each_other: Ours, Stock(WireguardGo), super::roam;
    ours_and_gotatun_follow_each_other: Ours, Stock(Gotatun), super::roam;
    wireguard_go_and_ours_follow_each_other: Stock(WireguardGo), Ours, super::roam;
    gotatun_and_ours_follow_each_other: Stock(Gotatun), Ours, super::roam;

    ours_meets_a_flooded_wireguard_go: Ours, Stock(WireguardGo), super::meet_in_a_flood;
    ours_meets_a_flooded_gotatun: Ours, Stock(Gotatun), super::meet_in_a_flood;
    wireguard_go_meets_ours_that_is_flooded: Stock(WireguardGo), Ours, super::meet_in_a_flood;
    gotatun_meets_ours_that_is_flooded: Stock(Gotatun), Ours, super::meet_in_a_flood;
}
