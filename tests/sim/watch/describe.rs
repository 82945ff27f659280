//! Datagrams in words, for the story of a world.

use meshnet_proto::terse::frame;
use meshnet_proto::v1::wire::Datagram;
use meshnet_proto::wg::message::Message;

pub(super) fn free(payload: &[u8]) -> String {
    match Message::parse(payload) {
        Ok(Message::Init(init)) => format!("init {:08x}", init.sender),
        Ok(Message::Response(response)) => {
            format!("response {:08x} to {:08x}", response.sender, response.receiver)
        }
        Ok(Message::CookieReply(reply)) => format!("cookie for {:08x}", reply.receiver),
        Ok(Message::Data(data)) => {
            format!("data {} for {:08x}, {} bytes", data.counter, data.receiver, payload.len())
        }
        Err(_) => format!("{} bytes of garbage", payload.len()),
    }
}

fn terse(payload: &[u8]) -> String {
    match frame::Datagram::parse(payload) {
        Ok(frame::Datagram::Init { .. }) => "terse init".to_owned(),
        Ok(frame::Datagram::Response { .. }) => "terse response".to_owned(),
        Ok(frame::Datagram::Data(data)) => {
            format!("terse data {} for {:x}, {} bytes", data.counter_low, data.tag, payload.len())
        }
        Ok(frame::Datagram::Part(part)) => {
            format!("terse {:?}/{} of {}, {} bytes", part.place, part.count, part.counter_low, payload.len())
        }
        Err(_) => format!("{} bytes of garbage", payload.len()),
    }
}

pub(super) fn metered(payload: &[u8]) -> String {
    match Datagram::parse(payload) {
        Ok(Datagram::Init(init)) => format!("init {:08x}", init.session),
        Ok(Datagram::Response(response)) => {
            format!("response {:08x} to {:08x}", response.sender, response.receiver)
        }
        Ok(Datagram::Data(data)) => format!("data {} of {} bytes", data.counter, data.ciphertext.len()),
        Ok(Datagram::Fragment(piece)) => {
            format!(
                "fragment {}/{} of message {}, {} bytes",
                piece.index + 1,
                piece.total,
                piece.message,
                piece.chunk.len()
            )
        }
        Err(_) => terse(payload),
    }
}
