//! On an air that loses, doubles, delays and changes packets, TCP gets every byte across, and nothing false.

use std::time::Duration;

use anyhow::Result;
use meshnet_system::daemon::Make::Ours;
use meshnet_system::lab::{Lab, Spec};
use meshnet_system::story;

macro_rules! faults {
    ($($name:ident: $($fault:literal $share:literal),+;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            transfer_with(&[$(($fault, $share)),+])
        }
    )*};
}

faults! {
    every_byte_arrives_with_5_percent_loss: "loss" 0.05;
    every_byte_arrives_with_20_percent_loss: "loss" 0.20;
    every_byte_arrives_once_where_packets_are_doubled: "duplicate" 0.3;
    every_byte_arrives_in_order_where_packets_overtake_each_other: "reorder" 0.3;
    no_changed_byte_is_ever_delivered: "corrupt" 0.1;
    every_byte_arrives_where_all_goes_wrong_at_once: "loss" 0.05, "duplicate" 0.1, "reorder" 0.1, "corrupt" 0.02;
}

fn transfer_with(faults: &[(&str, f64)]) -> Result<()> {
    story(|dir| {
        let lab = Lab::start(&Spec::new(Ours, Ours), dir)?;
        for (fault, share) in faults {
            lab.sim.set_fault(fault, *share)?;
        }
        lab.west.reach(&lab.east, Duration::from_secs(60))?;
        lab.west.send(&lab.east, 6000, Duration::from_secs(240))?;
        lab.east.send(&lab.west, 3000, Duration::from_secs(240))?;
        Ok(())
    })
}
