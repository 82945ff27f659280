use super::super::Segmenter;
use super::super::testing::{Talk, below, random, rng};
use super::*;

const TO: Mac = [2, 0, 0, 0, 0, 1];
const FROM: Mac = [2, 0, 0, 0, 0, 2];

fn coalescer() -> Coalescer {
    Coalescer::new(TO, FROM, true)
}

/// Takes all frames out: how many segments each stands for, and the packets that it stands for.
fn drain(coalescer: &mut Coalescer) -> Vec<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    while let Some((frame, offload)) = coalescer.poll() {
        assert_eq!((&frame[..6], &frame[6..12]), (&TO[..], &FROM[..]));
        let mut segmenter = Segmenter::new(frame, offload, 1500).unwrap();
        let mut packets = Vec::new();
        let mut out = [0; 65_535];
        while let Some(len) = segmenter.write(&mut out) {
            packets.push(out[..len].to_vec());
        }
        frames.push(packets);
    }
    frames
}

fn counts(packets: &[Vec<u8>]) -> Vec<usize> {
    let mut coalescer = coalescer();
    for packet in packets {
        coalescer.push(packet).unwrap();
    }
    let frames = drain(&mut coalescer);
    assert_eq!(frames.concat(), packets);
    frames.iter().map(Vec::len).collect()
}

#[test]
fn a_stream_becomes_one_frame() {
    for is_v4 in [true, false] {
        let mut talk = Talk::new(is_v4, 1);
        let mut stream: Vec<_> = (0..44).map(|at| talk.tcp(&random(&mut rng(at), 1348), false)).collect();
        stream.push(talk.tcp(&[9; 700], false));
        assert_eq!(counts(&stream), [45]);
        let mut talk = Talk::new(is_v4, 1);
        let stream: Vec<_> = (0..45).map(|at| talk.udp(&random(&mut rng(at), 1348))).collect();
        assert_eq!(counts(&stream), [45]);
    }
}

#[test]
fn a_frame_ends_where_it_could_not_say_what_follows() {
    let mut talk = Talk::new(true, 1);
    let mut next = |len, push| talk.tcp(&vec![3; len], push);
    let push = [next(100, false), next(100, true), next(100, false), next(100, false)];
    assert_eq!(counts(&push), [2, 2], "after a push");
    let first = [next(100, true), next(100, false), next(100, false)];
    assert_eq!(counts(&first), [1, 2], "after a push of the first");
    let short = [next(100, false), next(99, false), next(99, false), next(100, false)];
    assert_eq!(counts(&short), [2, 1, 1], "after a shorter one, and before a longer one");
    let empty = [next(100, false), next(0, false), next(100, false)];
    assert_eq!(counts(&empty), [1, 1, 1], "at an acknowledgement without data");
}

#[test]
fn what_differs_in_any_field_stays_apart() {
    // Offsets in IPv4: type of service, identification, flags, time to live; in TCP: sequence, acknowledgement, flags, window,
    // urgent pointer, options.
    for at in [1, 5, 6, 8, 20 + 7, 20 + 11, 20 + 13, 20 + 15, 20 + 19, 20 + 27] {
        let mut talk = Talk::new(true, 1);
        let packets = [talk.tcp(&[1; 50], false), talk.tcp(&[2; 50], false)];
        assert_eq!(counts(&packets), [2]);
        let mut changed = packets[1].clone();
        changed[at] ^= 0x21;
        // With right checksums, so that they are not the reason.
        put16(&mut changed, 10, 0);
        let sum = Sum::of(&changed[..20]).checksum();
        put16(&mut changed, 10, sum);
        put16(&mut changed, 36, 0);
        let headers = Headers::at(&changed, SegmentKind::Tcp, 20).unwrap();
        let sum = headers.pseudo(&changed, changed.len() - 20).bytes(&changed[20..]).checksum();
        put16(&mut changed, 36, sum);
        assert!(headers.checksums_are_right(&changed));
        assert_eq!(counts(&[packets[0].clone(), changed]), [1, 1], "byte {at}");
    }
}

#[test]
fn a_wrong_checksum_stays_where_it_is_seen() {
    let mut talk = Talk::new(true, 1);
    let packets: Vec<_> = (0..4).map(|_| talk.tcp(&[1; 50], false)).collect();
    for (wrong, expected) in [(0, &[1, 3][..]), (1, &[1, 1, 2]), (2, &[2, 1, 1]), (3, &[3, 1])] {
        for at in [10, 60] {
            let mut packets = packets.clone();
            packets[wrong][at] ^= 1;
            let counts = counts(&packets);
            assert_eq!(counts.iter().sum::<usize>(), 4);
            assert!(counts.len() >= expected.len(), "{wrong}: {counts:?}");
        }
    }
}

#[test]
fn an_identification_that_never_changes_does_not_matter_where_fragments_are_forbidden() {
    let mut talk = Talk::new(true, 1);
    let mut packets = Vec::new();
    for _ in 0..5 {
        talk.id = 0;
        packets.push(talk.udp(&[5; 80]));
    }
    let mut coalescer = coalescer();
    packets.iter().for_each(|packet| coalescer.push(packet).unwrap());
    let frames = drain(&mut coalescer);
    assert_eq!(frames.len(), 1);
    for (ours, theirs) in frames[0].iter().zip(&packets) {
        assert_eq!(ours[20..], theirs[20..]);
    }
}

#[test]
fn datagrams_without_checksum_or_where_the_kernel_takes_no_rows_stay_apart() {
    let mut talk = Talk::new(true, 1);
    let packets: Vec<_> = (0..3).map(|_| talk.udp(&[5; 80])).collect();
    let mut bare = packets.clone();
    bare.iter_mut().for_each(|packet| put16(packet, 26, 0));
    assert_eq!(counts(&bare), [1, 1, 1]);
    let mut coalescer = Coalescer::new(TO, FROM, false);
    packets.iter().for_each(|packet| coalescer.push(packet).unwrap());
    assert_eq!(drain(&mut coalescer).len(), 3);
}

#[test]
fn a_frame_is_never_longer_than_a_packet_may_be() {
    let mut talk = Talk::new(false, 1);
    let packets: Vec<_> = (0..60).map(|_| talk.tcp(&[5; 1340], false)).collect();
    assert_eq!(counts(&packets), [48, 12]);
    let packets: Vec<_> = (0..70).map(|_| talk.udp(&[5; 10])).collect();
    assert_eq!(counts(&packets), [64, 6]);
}

#[test]
fn it_is_full_and_goes_on_when_polled() {
    let mut coalescer = coalescer();
    let packets: Vec<_> =
        (0..u16::try_from(FRAMES).unwrap() + 1).map(|at| Talk::new(true, at).udp(&[1])).collect();
    let (last, rest) = packets.split_last().unwrap();
    rest.iter().for_each(|packet| coalescer.push(packet).unwrap());
    assert_eq!(coalescer.push(last), Err(Full));
    assert_eq!(coalescer.poll().unwrap().0[14..], rest[0]);
    coalescer.push(last).unwrap();
    assert_eq!(drain(&mut coalescer).concat(), packets[1..]);
}

#[test]
fn random_traffic_comes_out_the_same_and_each_flow_in_order() {
    let mut rng = rng(7);
    let mut coalescer = coalescer();
    let mut merged = 0;
    for _ in 0..300 {
        let mut talks: Vec<_> = (0..6).map(|at| Talk::new(at % 2 == 0, at / 2)).collect();
        // No identification is zero, which means nothing.
        talks.iter_mut().for_each(|talk| talk.id = 1);
        let mut sent = Vec::new();
        for _ in 0..below(&mut rng, 100) {
            let at = below(&mut rng, talks.len());
            let len = [40, 40, 40, 40, 7, 0, 1300][below(&mut rng, 7)];
            let payload = random(&mut rng, len);
            let talk = &mut talks[at];
            let mut packet = match at {
                4 | 5 => talk.udp(&payload),
                _ => talk.tcp(&payload, below(&mut rng, 10) == 0),
            };
            match below(&mut rng, 40) {
                0 => {
                    // Past the ports, so that it stays of this flow.
                    let start = if talk.is_v4 { 24 } else { 44 };
                    let at = start + below(&mut rng, packet.len() - start);
                    packet[at] ^= 1;
                }
                // A segment is lost, or comes twice.
                1 => continue,
                2 => sent.push(packet.clone()),
                _ => {}
            }
            sent.push(packet);
        }
        let mut received = Vec::new();
        for packet in &sent {
            if coalescer.push(packet) == Err(Full) {
                received.extend(drain(&mut coalescer));
                coalescer.push(packet).unwrap();
            }
        }
        received.extend(drain(&mut coalescer));
        merged += received.iter().filter(|frame| frame.len() > 1).count();
        let mut received = received.concat();
        // Each flow by itself is what was sent, and there is nothing else.
        let flow = |packet: &[u8]| {
            let is_v4 = packet[0] >> 4 == 4;
            let (protocol, start) = if is_v4 { (packet[9], 20) } else { (packet[6], 40) };
            (is_v4, protocol, packet[start..start + 4].to_vec())
        };
        for talk in sent.iter().map(|packet| flow(packet)) {
            let ours = sent.iter().filter(|packet| flow(packet) == talk);
            assert!(received.iter().filter(|packet| flow(packet) == talk).eq(ours));
        }
        received.sort();
        sent.sort();
        assert!(sent == received);
    }
    assert!(merged > 300, "{merged} frames stand for several packets");
}

#[test]
fn any_bytes_at_all_come_out_as_they_went_in() {
    let mut rng = rng(8);
    let mut coalescer = coalescer();
    for round in 0..20_000 {
        let len = below(&mut rng, 120);
        let mut bytes = random(&mut rng, len);
        if let Some(first) = bytes.first_mut() {
            *first = [0x45, 0x60, 0x46, *first][round % 4];
        }
        if let Some(protocol) = bytes.get_mut([9, 6][round % 2]) {
            *protocol = [6, 17][round / 2 % 2];
        }
        coalescer.push(&bytes).unwrap();
        assert_eq!(&coalescer.poll().unwrap().0[14..], bytes);
    }
}
