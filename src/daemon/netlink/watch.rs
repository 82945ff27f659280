//! News of the interface: what somebody else does to it.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkFlags, LinkMessage};

use super::surroundings::Surroundings;

/// Something happened to the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceEvent {
    /// It was taken up again, and has its addresses and routes.
    Up,
    /// It was taken up again, and could not be made what it was.
    Broken(String),
    /// It was taken down.
    Down,
    /// It was removed.
    Removed,
    /// Links, addresses or routes of this host changed around it: what is there. The same addresses as before may have another
    /// way to lead to them.
    Surroundings(Surroundings),
}

/// What comes from the kernel unasked.
pub(super) type Messages = BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

/// Tells the interface's changes of state.
pub(super) struct Watch {
    index: u32,
    messages: Messages,
    state: State,
}

/// What is known of the interface's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not taken up yet.
    Fresh,
    Up,
    Down,
}

impl Watch {
    pub(super) const fn new(index: u32, messages: Messages) -> Self {
        Self { index, messages, state: State::Fresh }
    }

    /// The interface's index.
    pub(super) const fn index(&self) -> u32 {
        self.index
    }

    /// Returns the next change; `None` once netlink is gone. Can be cancelled.
    pub(super) async fn next(&mut self) -> Option<InterfaceEvent> {
        loop {
            let message = self.messages.next().await?;
            let NetlinkPayload::InnerMessage(message) = message.payload else { continue };
            let event = match message {
                RouteNetlinkMessage::NewLink(link) if link.header.index == self.index => self.changed(&link),
                RouteNetlinkMessage::DelLink(link) if link.header.index == self.index => {
                    Some(InterfaceEvent::Removed)
                }
                _ => None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// The first time that it is up is our own doing.
    fn changed(&mut self, link: &LinkMessage) -> Option<InterfaceEvent> {
        let up = link.header.flags.contains(LinkFlags::Up);
        let (state, event) = match (self.state, up) {
            (State::Fresh, false) => (State::Fresh, None),
            (State::Fresh | State::Up, true) => (State::Up, None),
            (State::Up, false) => (State::Down, Some(InterfaceEvent::Down)),
            (State::Down, false) => (State::Down, None),
            (State::Down, true) => (State::Up, Some(InterfaceEvent::Up)),
        };
        self.state = state;
        event
    }
}
