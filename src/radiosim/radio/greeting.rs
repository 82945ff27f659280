//! What `want_config` is answered with: everything the radio knows of itself and of others, in a fixed order.

use std::collections::VecDeque;
use std::time::Instant;

use meshnet_proto::meshtastic::message::from_radio::Variant;
use meshnet_proto::meshtastic::message::{
    Channel, ChannelSettings, Config, DeviceConfig, DeviceMetadata, MyNodeInfo, NodeInfo, Opaque,
    SecurityConfig, config,
};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::Radio;
use super::nodedb::Node;

/// `hw_model` of a firmware that runs on a computer.
pub(crate) const HARDWARE: i32 = 37;
/// Asks for the configuration without the other nodes.
const ONLY_CONFIG: u32 = 69420;
/// Asks for the nodes alone.
const ONLY_NODES: u32 = 69421;
/// Channels that every radio lists, used or not.
pub(crate) const CHANNELS: usize = 8;
/// Module configurations, all empty: each is one field of its message.
const MODULES: std::ops::RangeInclusive<u32> = 1..=16;
/// A `FromRadio` of firmware 2.8 that older hosts do not know: the regions and their presets.
const REGION_PRESETS: u32 = 19;
const MODULE_CONFIG: u32 = 9;

impl Radio {
    /// Returns the messages, without their running number.
    pub(crate) fn greeting(&mut self, nonce: u32, now: Instant) -> VecDeque<Vec<u8>> {
        let mut out = VecDeque::new();
        let mut say = |variant: Variant| out.push_back(encode(variant));
        let own = self.own_node_info(now);
        if nonce == ONLY_NODES {
            say(Variant::NodeInfo(own));
        } else {
            say(Variant::MyInfo(self.my_info()));
            say(Variant::DeviceUiConfig(Opaque {}));
            say(Variant::NodeInfo(own));
            say(Variant::Metadata(self.metadata()));
            out.push_back(raw(REGION_PRESETS, &[]));
            out.extend(self.channels().into_iter().map(Variant::Channel).map(encode));
            out.extend(self.config_sections().into_iter().map(encode));
            out.extend(MODULES.map(|module| raw(MODULE_CONFIG, &field(module, &[]))));
        }
        if nonce != ONLY_CONFIG {
            let others = self.nodes.iter().filter(|(num, _)| *num != self.config.num);
            out.extend(others.map(|(num, node)| encode(Variant::NodeInfo(other_node_info(num, node)))));
        }
        out.push_back(encode(Variant::ConfigCompleteId(nonce)));
        out
    }

    fn my_info(&self) -> MyNodeInfo {
        MyNodeInfo {
            my_node_num: self.config.num,
            reboot_count: self.reboots,
            min_app_version: 30_200,
            device_id: self.key[..16].to_vec(),
            pio_env: "native".into(),
            nodedb_count: u32::try_from(self.nodes.len() + 1).unwrap_or(u32::MAX),
        }
    }

    pub(crate) fn metadata(&self) -> DeviceMetadata {
        DeviceMetadata {
            firmware_version: "2.8.0.radiosim".into(),
            device_state_version: 24,
            role: self.config.role.number(),
            hw_model: HARDWARE,
            has_pkc: true,
        }
    }

    fn own_node_info(&mut self, now: Instant) -> NodeInfo {
        NodeInfo {
            num: self.config.num,
            user: Some(self.user()),
            device_metrics: Some(self.device_metrics(now)),
            ..NodeInfo::default()
        }
    }

    fn channels(&self) -> Vec<Channel> {
        let settings = |at: usize| {
            let channel = self.config.channels.get(at)?;
            Some(ChannelSettings { psk: channel.psk.clone(), name: channel.name.clone() })
        };
        (0..CHANNELS)
            .map(|at| Channel {
                index: i32::try_from(at).expect("less than 8"),
                settings: Some(settings(at).unwrap_or_default()),
                role: match settings(at) {
                    None => 0,
                    Some(_) if at == 0 => 1,
                    Some(_) => 2,
                },
            })
            .collect()
    }

    fn config_sections(&self) -> Vec<Variant> {
        let device = DeviceConfig {
            role: self.config.role.number(),
            rebroadcast_mode: 0,
            node_info_broadcast_secs: 3 * 3600,
        };
        let security = SecurityConfig {
            public_key: if self.config.licensed { Vec::new() } else { self.key.to_vec() },
            serial_enabled: self.config.serial_enabled,
        };
        [
            config::Variant::Device(device),
            config::Variant::Position(Opaque {}),
            config::Variant::Power(Opaque {}),
            config::Variant::Network(Opaque {}),
            config::Variant::Display(Opaque {}),
            config::Variant::Lora(self.config.lora()),
            config::Variant::Bluetooth(Opaque {}),
            config::Variant::Security(security),
            config::Variant::SessionKey(Opaque {}),
        ]
        .into_iter()
        .map(|section| Variant::Config(Config { variant: Some(section) }))
        .collect()
    }
}

fn other_node_info(num: u32, node: &Node) -> NodeInfo {
    NodeInfo {
        num,
        user: node.user.clone(),
        snr: node.snr,
        last_heard: node.last_heard,
        hops_away: node.hops_away.map(u32::from),
        ..NodeInfo::default()
    }
}

/// Encodes a message without its running number, which goes in front when it is sent: fields may come in any order.
pub(crate) fn encode(variant: Variant) -> Vec<u8> {
    meshnet_proto::meshtastic::message::FromRadio { id: 0, variant: Some(variant) }.encode_to_vec()
}

/// A `FromRadio` of a kind that our codec does not list.
fn raw(tag: u32, content: &[u8]) -> Vec<u8> {
    field(tag, content)
}

fn field(tag: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut out);
    encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}
