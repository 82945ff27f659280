//! What a world is like, decoded from the first bytes.

use std::time::Duration;

use meshnet_proto::config::PeerMode;
use meshnet_proto::meshtastic::airtime::Preset;

use crate::script::Script;
use crate::world::{PairPlan, Plan, StationPlan, Ways};

/// Decodes what a world is like.
pub(super) fn plan(script: &mut Script<'_>) -> Plan {
    const PRESETS: [&str; 8] = [
        "SHORT_TURBO",
        "SHORT_FAST",
        "LONG_FAST",
        "MEDIUM_FAST",
        "MEDIUM_FAST",
        "SHORT_SLOW",
        "LONG_MODERATE",
        "LONG_TURBO",
    ];
    const COUNTS: [usize; 8] = [2, 2, 2, 2, 3, 3, 4, 5];
    let seed = u64::from(script.byte()) << 8 | u64::from(script.byte());
    let count = script.choose(&COUNTS);
    let region = script.choose(&["US", "US", "US", "EU_868", "EU_868", "UA_868"]);
    // One percent of an hour is a few packets of a slow preset.
    let presets = match region {
        "UA_868" => &PRESETS[..2],
        "EU_868" => &PRESETS[..6],
        _ => &PRESETS[..],
    };
    let preset = Preset::by_name(script.choose(presets)).expect("these presets exist");
    let mixed = script.once_in(2);
    let tool = script.once_in(4).then(|| script.below(count));
    let stations = (0..count).map(|at| {
        let is_tool = tool == Some(at);
        StationPlan {
            tool: is_tool,
            // The tool's own fragments are longer than any radio carries.
            mtu: if is_tool { 180 } else { script.choose(&[180, 180, 300, 600, 1400]) },
            rekey_after_messages: script.choose(&[1 << 16, 1 << 16, 5, 12, 40]),
            hop_limit: script.choose(&[None, None, None, Some(0), Some(3)]),
            attached: mixed && !is_tool && !script.once_in(4),
            nat: mixed && !is_tool && script.once_in(4),
        }
    });
    let stations: Vec<_> = stations.collect();
    let mut pairs = std::collections::BTreeMap::new();
    for a in 0..count {
        for b in a + 1..count {
            let any_tool = stations[a].tool || stations[b].tool;
            if mixed && !any_tool && !script.once_in(4) {
                let both_hidden = stations[a].nat && stations[b].nat;
                let ways = script.choose(&[Ways::Radio, Ways::Both, Ways::Both, Ways::Free]);
                let ways = if both_hidden && ways == Ways::Free { Ways::Both } else { ways };
                let (mode, preshared) = (PeerMode::Wireguard, script.once_in(2));
                pairs.insert((a, b), PairPlan { mode, preshared, ways });
                continue;
            }
            let mode = if script.once_in(4) { PeerMode::Symmetric } else { PeerMode::Pki };
            let preshared = script.once_in(2) || mode == PeerMode::Symmetric;
            pairs.insert((a, b), PairPlan { mode, preshared, ways: Ways::Radio });
        }
    }
    Plan {
        seed,
        preset,
        region,
        stations,
        pairs,
        acquainted: !script.once_in(6),
        telemetry: Some(Duration::from_secs(script.choose(&[60, 60, 600, 1800]))),
        node_info: !script.once_in(3),
    }
}
