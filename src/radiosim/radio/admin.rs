//! Orders from the radio's own host: the few that a tunnel or the official client gives.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    Channel, Config, Data, MeshPacket, SharedContact, User, config, port,
};
use prost::{Message, Oneof};

use super::greeting::CHANNELS;
use super::{Radio, Turn};
use crate::config::ChannelConfig;

/// How long a radio goes on after a change that takes effect with a reset.
const REBOOT_AFTER_CONFIG: Duration = Duration::from_secs(7);

/// The orders understood here, by their documented field numbers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Order {
    #[prost(oneof = "Verb", tags = "3, 4, 12, 13, 32, 33, 34, 66, 97, 100")]
    pub(crate) verb: Option<Verb>,
}

/// One of these.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Verb {
    #[prost(bool, tag = "3")]
    GetOwner(bool),
    #[prost(message, tag = "4")]
    Owner(User),
    #[prost(bool, tag = "12")]
    GetMetadata(bool),
    #[prost(message, tag = "13")]
    Metadata(meshnet_proto::meshtastic::message::DeviceMetadata),
    #[prost(message, tag = "32")]
    SetOwner(User),
    #[prost(message, tag = "33")]
    SetChannel(Channel),
    #[prost(message, tag = "34")]
    SetConfig(Config),
    #[prost(message, tag = "66")]
    AddContact(SharedContact),
    #[prost(int32, tag = "97")]
    RebootSeconds(i32),
    #[prost(int32, tag = "100")]
    ResetNodes(i32),
}

impl Radio {
    /// Does what the host orders; an order that is not understood changes nothing.
    pub(crate) fn obey(&mut self, request_id: u32, data: &Data, turn: &mut Turn<'_>) {
        let Ok(Order { verb: Some(verb) }) = Order::decode(data.payload.as_slice()) else { return };
        match verb {
            Verb::GetOwner(_) => self.answer_order(request_id, Verb::Owner(self.user()), turn),
            Verb::GetMetadata(_) => self.answer_order(request_id, Verb::Metadata(self.metadata()), turn),
            Verb::SetOwner(user) => {
                self.config.long_name = user.long_name;
                self.config.short_name = user.short_name;
            }
            Verb::SetChannel(channel) => self.set_channel(channel),
            Verb::SetConfig(Config { variant: Some(config::Variant::Lora(lora)) }) => {
                self.new_lora = Some(lora);
                self.reset_in(REBOOT_AFTER_CONFIG, turn.now);
            }
            Verb::SetConfig(_) => {}
            Verb::AddContact(contact) => {
                if let Some(user) = contact.user {
                    self.nodes.set_user(contact.node_num, user);
                }
            }
            Verb::RebootSeconds(seconds) => {
                let after = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                self.reset_in(after, turn.now);
            }
            Verb::ResetNodes(_) => self.nodes.clear(),
            Verb::Owner(_) | Verb::Metadata(_) => {}
        }
    }

    /// Sets one of the eight channels; those that are not used are at the end of the list here.
    fn set_channel(&mut self, channel: Channel) {
        let Ok(index @ 0..CHANNELS) = usize::try_from(channel.index) else { return };
        if channel.role == 0 {
            self.config.channels.truncate(index.max(1));
            return;
        }
        let settings = channel.settings.unwrap_or_default();
        let config = ChannelConfig { name: settings.name, psk: settings.psk };
        let channels = &mut self.config.channels;
        if let Some(channel) = channels.get_mut(index) {
            *channel = config;
        } else if index == channels.len() {
            channels.push(config);
        }
    }

    /// Takes over what the host set before the reset.
    pub(crate) fn apply_new_lora(&mut self) {
        let Some(lora) = self.new_lora.take() else { return };
        if let Some(preset) = Preset::by_number(lora.modem_preset) {
            self.config.preset = preset;
        }
        self.config.region = lora.region;
        self.config.hop_limit = u8::try_from(lora.hop_limit.clamp(1, 7)).expect("at most 7");
        self.config.tx_enabled = lora.tx_enabled;
        self.config.override_duty_cycle = lora.override_duty_cycle;
    }

    fn answer_order(&mut self, request_id: u32, verb: Verb, turn: &mut Turn<'_>) {
        let payload = Order { verb: Some(verb) }.encode_to_vec();
        let data = Data { portnum: port::ADMIN, payload, request_id, ..Data::default() };
        self.phone.push_packet(MeshPacket {
            from: self.config.num,
            to: self.config.num,
            id: turn.chance.packet_id(),
            rx_time: turn.unix,
            payload: Some(Payload::Decoded(data)),
            ..MeshPacket::default()
        });
    }
}
