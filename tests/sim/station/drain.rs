//! What moves between a station's parts: its daemon, the client of its radio, and what both are connected to.

use std::collections::VecDeque;
use std::time::Instant;

use meshnet_proto::link::{LinkEvent, Transmit};
use meshnet_proto::meshtastic::client::{Ending, Output};
use meshnet_radiosim::{Air, ClientOutput};

use super::{Did, RECONNECT, Station};
use crate::daemon::FREE;
use crate::internet::Internet;

impl Station {
    /// Moves everything that can move, in the order that the core asks for; returns whether anything did.
    pub fn drain(
        &mut self,
        at: usize,
        (air, net): (&mut Air, &mut Internet),
        did: &mut VecDeque<Did>,
        now: Instant,
    ) -> bool {
        let moved = self.drain_radio(air, now);
        let Some(running) = &mut self.running else { return moved };
        let before = did.len();
        let mut broken = false;
        while let Some(output) = running.client.poll_output() {
            match output {
                Output::Link(event) => {
                    if matches!(event, LinkEvent::Up(_)) {
                        self.backoff = RECONNECT;
                    }
                    did.push_back(Did::Link(event.clone()));
                    running.daemon.handle_link(event, now);
                }
                Output::Datagram { from, payload } => {
                    running.daemon.handle_datagram(from, &payload, now);
                    did.push_back(Did::Received { from, payload });
                }
                Output::Notice(notice) => did.push_back(Did::Notice(notice.to_string())),
                Output::Reconnect(_) => broken = true,
            }
        }
        if let Some(stored) = running.daemon.poll_store() {
            self.stored = Some(stored);
        }
        did.extend(std::iter::from_fn(|| running.daemon.poll_device()).map(Did::Delivered));
        while let Some(transmit) = running.daemon.poll_transmit(now) {
            if transmit.link == FREE {
                send_free(at, &transmit, net, did, now);
                continue;
            }
            did.push_back(Did::Sent(transmit.clone()));
            running.client.handle_transmit(transmit, now);
        }
        did.extend(std::iter::from_fn(|| running.daemon.poll_event()).map(Did::Event));
        let mut written = false;
        while let Some(bytes) = running.client.poll_bytes() {
            written = true;
            if let Some(id) = running.connection {
                air.handle_client_bytes(id, &bytes, now);
            }
        }
        if broken {
            self.cut(air, now);
        }
        moved || written || broken || did.len() > before
    }

    /// Takes what the radio sent.
    fn drain_radio(&mut self, air: &mut Air, now: Instant) -> bool {
        let Some(running) = &mut self.running else { return false };
        let mut moved = false;
        while let Some(output) = running.connection.and_then(|id| air.poll_client(id)) {
            moved = true;
            match output {
                ClientOutput::Bytes(bytes) => running.client.handle_bytes(&bytes, now),
                ClientOutput::Closed => {
                    running.connection = None;
                    running.client.handle_disconnected(Ending::Closed, now);
                }
            }
        }
        if moved && running.connection.is_none() && self.connect_at.is_none() {
            self.reconnect(now);
        }
        moved
    }
}

/// A row leaves as the datagrams that it is.
fn send_free(at: usize, row: &Transmit, net: &mut Internet, did: &mut VecDeque<Did>, now: Instant) {
    let segment = row.segment.map_or(row.payload.len(), usize::from).max(1);
    let to = row.to.as_udp().expect("a link of sockets is given addresses of sockets");
    for payload in row.payload.chunks(segment) {
        net.send(at, to, payload, now);
        did.push_back(Did::Sent(Transmit { payload: payload.to_vec(), segment: None, ..row.clone() }));
    }
}
