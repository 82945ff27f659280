//! Claims about the parts together.

pub(crate) mod vectors;

use self::vectors::array;
use super::message::{Data, Message, padded};
use crate::aead::{Aead as _, Portable};

#[test]
fn a_data_message_is_that_of_an_independent_derivation_to_the_byte() {
    for vector in vectors::all() {
        let (bytes, packet) = (hex::decode(&vector.data).unwrap(), hex::decode(&vector.packet).unwrap());
        let key = array(&vector.initiator_to_responder);
        let Ok(Message::Data(data)) = Message::parse(&bytes) else { panic!("no data") };
        assert_eq!((data.receiver, data.counter), (vector.responder_index, 5));
        let (body, tag) = data.body.split_last_chunk().unwrap();
        let mut opened = body.to_vec();
        assert_eq!(Portable.open(&key, data.counter, &[], &mut opened, tag), Ok(()));
        assert_eq!(opened, packet);

        let mut buffer = b"a packet".to_vec();
        buffer.resize(padded(buffer.len(), 1420), 0);
        let tag = Portable.seal(&key, 5, &[], &mut buffer);
        let body = [&buffer[..], &tag].concat();
        assert_eq!(Data { receiver: vector.responder_index, counter: 5, body: &body }.emit(), bytes);
    }
}
