use super::super::testing::{Talk, below, framed, random, rng};
use super::super::{Checksum, Segments};
use super::*;

const MTU: usize = 1420;

fn all(frame: &[u8], offload: Offload, mtu: usize) -> Vec<Vec<u8>> {
    let mut segmenter = Segmenter::new(frame, offload, mtu).unwrap();
    let mut packets = Vec::new();
    let mut out = [0xee; 65_535];
    loop {
        let (remaining, next) = (segmenter.remaining(), segmenter.next_len());
        let Some(len) = segmenter.write(&mut out) else { break };
        packets.push(out[..len].to_vec());
        assert_eq!((len, remaining - 1), (next, segmenter.remaining()));
    }
    assert_eq!((segmenter.remaining(), segmenter.next_len()), (0, 0));
    packets
}

/// The frame that stands for all of a payload.
fn row(talk: &Talk, kind: SegmentKind, payload: &[u8], size: u16) -> (Vec<u8>, Offload) {
    let mut talk = talk.clone();
    let packet = match kind {
        SegmentKind::Tcp => talk.tcp(payload, true),
        SegmentKind::Udp => talk.udp(payload),
    };
    let transport = if talk.is_v4 { 20 } else { 40 };
    let start = u16::try_from(ETHERNET_HEADER + transport).unwrap();
    let offset = u16::try_from(kind.checksum()).unwrap();
    let mut frame = framed(&packet);
    let headers = Headers::at(&packet, kind, transport).unwrap();
    let partial = headers.pseudo(&packet, packet.len() - transport).fold();
    put16(&mut frame, usize::from(start + offset), partial);
    let offload =
        Offload { checksum: Some(Checksum { start, offset }), segments: Some(Segments { kind, size }) };
    (frame, offload)
}

#[test]
fn a_row_becomes_the_packets_that_its_sender_would_have_sent() {
    let mut rng = rng(1);
    for kind in [SegmentKind::Tcp, SegmentKind::Udp] {
        for is_v4 in [true, false] {
            for (len, size) in
                [(1, 1348), (1348, 1348), (1349, 1348), (5 * 1348, 1348), (60_001, 1337), (7, 1)]
            {
                let payload = random(&mut rng, len);
                let mut talk = Talk::new(is_v4, 4000);
                let (frame, offload) = row(&talk, kind, &payload, size);
                let last = len.div_ceil(size.into()) - 1;
                let expected: Vec<_> = payload
                    .chunks(size.into())
                    .enumerate()
                    .map(|(at, chunk)| match kind {
                        SegmentKind::Tcp => talk.tcp(chunk, at == last),
                        SegmentKind::Udp => talk.udp(chunk),
                    })
                    .collect();
                assert_eq!(all(&frame, offload, MTU), expected, "{kind:?} {is_v4} {len} {size}");
            }
        }
    }
}

#[test]
fn a_stream_is_cut_for_the_path_and_datagrams_are_not() {
    let payload = random(&mut rng(2), 10_000);
    let mut talk = Talk::new(true, 4000);
    let (frame, offload) = row(&talk, SegmentKind::Tcp, &payload, 1348);
    let size = 1000 - 52;
    let last = payload.len().div_ceil(size) - 1;
    let expected: Vec<_> =
        payload.chunks(size).enumerate().map(|(at, chunk)| talk.tcp(chunk, at == last)).collect();
    assert_eq!(all(&frame, offload, 1000), expected);
    assert_eq!(Segmenter::new(&frame, offload, 52).err(), Some(Malformed), "no room for payload");

    let (frame, offload) = row(&talk, SegmentKind::Udp, &payload, 1348);
    assert_eq!(all(&frame, offload, 1000)[0].len(), 1376);
}

#[test]
fn flags_stand_where_they_mean_something() {
    let mut talk = Talk::new(false, 4000);
    talk.more_flags = tcp::FIN | tcp::CWR | 0x40;
    let (frame, offload) = row(&talk, SegmentKind::Tcp, &[7; 3000], 1000);
    let flags: Vec<_> = all(&frame, offload, MTU).iter().map(|packet| packet[40 + tcp::FLAGS]).collect();
    let each = tcp::ACK | 0x40;
    assert_eq!(flags, [each | tcp::CWR, each, each | tcp::FIN | tcp::PSH]);
}

#[test]
fn a_single_packet_stays_and_gets_its_checksum() {
    let mut talk = Talk::new(true, 4000);
    let packet = talk.udp(&random(&mut rng(3), 101));
    let mut frame = framed(&packet);
    assert_eq!(all(&frame, Offload::default(), 10), std::slice::from_ref(&packet));
    let partial = Headers::at(&packet, SegmentKind::Udp, 20).unwrap().pseudo(&packet, 109).fold();
    put16(&mut frame, 14 + 20 + 6, partial);
    let offload = Offload { checksum: Some(Checksum { start: 34, offset: 6 }), segments: None };
    assert_eq!(all(&frame, offload, 10), [packet]);
}

#[test]
fn what_is_no_ip_packet_is_refused() {
    let packet = Talk::new(true, 4000).udp(&[1; 10]);
    let frame = framed(&packet);
    let refused = |frame: &[u8]| Segmenter::new(frame, Offload::default(), MTU).err() == Some(Malformed);
    assert!(!refused(&frame));
    assert!((0..=14).all(|len| refused(&frame[..len])));
    let mut arp = frame.clone();
    arp[13] = 6;
    assert!(refused(&arp));
    let mut other = frame;
    other[14] = 0x65;
    assert!(refused(&other));
}

#[test]
fn no_offload_makes_it_read_or_write_beyond_the_frame() {
    let mut rng = rng(4);
    let talk = Talk::new(true, 4000);
    let mut out = [0; 65_535];
    let mut taken = 0;
    for round in 0..40_000 {
        let kind = [SegmentKind::Tcp, SegmentKind::Udp][round % 2];
        let talk = Talk { is_v4: round % 4 < 2, ..talk.clone() };
        let (mut frame, mut offload) = row(&talk, kind, &[7; 300], 100);
        for _ in 0..below(&mut rng, 4) {
            let at = below(&mut rng, 90);
            frame[at] = random(&mut rng, 1)[0];
        }
        frame.truncate(below(&mut rng, frame.len() + 200).min(frame.len()));
        let mut wild = |value: &mut u16| match below(&mut rng, 4) {
            0 => *value = u16::try_from(below(&mut rng, 65_536)).unwrap(),
            1 => *value = u16::try_from(below(&mut rng, 100)).unwrap(),
            _ => {}
        };
        let (checksum, segments) = (offload.checksum.as_mut().unwrap(), offload.segments.as_mut().unwrap());
        wild(&mut checksum.start);
        wild(&mut checksum.offset);
        wild(&mut segments.size);
        if round % 5 == 0 {
            offload.segments = None;
        }
        let Ok(mut segmenter) = Segmenter::new(&frame, offload, below(&mut rng, 2000)) else { continue };
        let count = segmenter.remaining();
        taken += 1;
        for _ in 0..count {
            assert!(segmenter.write(&mut out).is_some());
        }
        assert_eq!(segmenter.write(&mut out), None);
    }
    assert!(taken > 1000, "{taken} of them were taken: the rest says little");
}

#[test]
fn a_buffer_that_is_too_short_gets_nothing() {
    let (frame, offload) = row(&Talk::new(true, 1), SegmentKind::Tcp, &[7; 300], 100);
    let mut segmenter = Segmenter::new(&frame, offload, MTU).unwrap();
    assert_eq!(segmenter.write(&mut [0; 151]), None);
    assert_eq!(segmenter.remaining(), 3);
    assert_eq!(segmenter.write(&mut [0; 152]), Some(152));
}
