//! The nodes that a radio knows: their names, their keys, and the next hop towards them.

use std::collections::BTreeMap;

use meshnet_proto::meshtastic::message::User;

use super::frame::PublicKey;

/// How many nodes a radio remembers; the firmware keeps 10 to 250, by its memory.
const CAPACITY: usize = 250;

/// What a radio knows of another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) user: Option<User>,
    /// In seconds since 1970; 0 if never.
    pub(crate) last_heard: u32,
    pub(crate) snr: f32,
    pub(crate) hops_away: Option<u8>,
    /// The last byte of the relay that is known to reach it; 0 for none.
    pub(crate) next_hop: u8,
}

#[derive(Debug, Default)]
pub(crate) struct NodeDb {
    nodes: BTreeMap<u32, Node>,
}

impl NodeDb {
    /// Returns a node, which is created if need be; the one not heard for longest makes room.
    pub(crate) fn entry(&mut self, num: u32) -> &mut Node {
        if !self.nodes.contains_key(&num) && self.nodes.len() >= CAPACITY {
            let oldest = self.nodes.iter().min_by_key(|(_, node)| node.last_heard).map(|(num, _)| *num);
            oldest.and_then(|num| self.nodes.remove(&num));
        }
        self.nodes.entry(num).or_default()
    }

    pub(crate) fn known(&self, num: u32) -> Option<&Node> {
        self.nodes.get(&num)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Node)> {
        self.nodes.iter().map(|(num, node)| (*num, node))
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the public key of a node, if it is known.
    pub(crate) fn key(&self, num: u32) -> Option<PublicKey> {
        let user = self.nodes.get(&num)?.user.as_ref()?;
        user.public_key.as_slice().try_into().ok()
    }

    pub(crate) fn next_hop(&self, num: u32) -> u8 {
        self.nodes.get(&num).map_or(0, |node| node.next_hop)
    }

    pub(crate) fn set_next_hop(&mut self, num: u32, next_hop: u8) {
        if let Some(node) = self.nodes.get_mut(&num) {
            node.next_hop = next_hop;
        }
    }

    /// Takes what the radio's owner says of a node, key included.
    pub(crate) fn set_user(&mut self, num: u32, user: User) {
        self.entry(num).user = Some(user);
    }

    /// Takes what came over the air. A key once known is not replaced that way: whoever says so may be an impostor.
    pub(crate) fn learn_user(&mut self, num: u32, user: User) {
        match self.key(num) {
            Some(known) if user.public_key != known => {}
            Some(_) | None => self.set_user(num, user),
        }
    }

    /// Forgets everyone.
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
    }
}
