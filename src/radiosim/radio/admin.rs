//! Orders from the radio's own host: the few that a tunnel or the official client gives.

use std::time::Duration;

use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{Data, MeshPacket, SharedContact, User, port};
use prost::{Message, Oneof};

use super::{Radio, Turn};

/// The orders understood here, by their documented field numbers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Order {
    #[prost(oneof = "Verb", tags = "3, 4, 12, 13, 32, 66, 97, 100")]
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
