//! Preshared keys come through file descriptors whose other ends may do anything.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use meshnet_bus::Error;
use meshnet_bus::proxy::NetworkProxy;
use meshnet_bus::settings::PeerSettings;

use crate::fake::{Fake, key};
use crate::peer_to_peer::pair;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn settings(fd: impl Into<OwnedFd>) -> PeerSettings {
    let fd: OwnedFd = fd.into();
    PeerSettings { preshared_key: Some(fd.into()), ..PeerSettings::default() }
}

fn file(text: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text).unwrap();
    file.rewind().unwrap();
    file
}

fn pipe(text: &[u8]) -> OwnedFd {
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(text).unwrap();
    read.into()
}

#[tokio::test]
async fn a_key_is_read_from_a_pipe_or_a_file_and_shown_nowhere() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, "org.meshnet1.mesh0").await.unwrap();
    let line = format!("{KEY}\n");
    let sources: [OwnedFd; 4] = [
        pipe(line.as_bytes()),
        pipe(KEY.as_bytes()),
        file(line.as_bytes()).into(),
        file(format!("{KEY}\nand more that is not read").as_bytes()).into(),
    ];
    for source in sources {
        proxy.set_peer(&key(2).to_string(), settings(source)).await.unwrap();
        let orders = fake.orders();
        assert!(orders[0].contains("preshared_key: Some(PresharedKey(secret))"), "{orders:?}");
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let (handle, fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, "org.meshnet1.mesh0").await.unwrap();
    let zero = File::open("/dev/zero").unwrap();
    let sources: [OwnedFd; 5] =
        [pipe(b""), pipe(b"short\n"), pipe(&[b'A'; 4000]), file(&[0xff; 44]).into(), zero.into()];
    for source in sources {
        let error = proxy.set_peer(&key(2).to_string(), settings(source)).await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgs(_)), "{error:?}");
        assert!(!error.message().contains("AAAA"), "{error:?}");
    }
    assert!(fake.orders().is_empty());
}

#[tokio::test]
async fn a_pipe_that_is_never_written_holds_up_nobody() {
    let (handle, _fake) = Fake::start();
    let pair = pair(handle).await;
    let proxy = NetworkProxy::new(&pair.client, "org.meshnet1.mesh0").await.unwrap();
    let (read, _kept_open) = std::io::pipe().unwrap();
    let name = key(2).to_string();
    let waiting = proxy.set_peer(&name, settings(read));
    let others = async {
        for _ in 0..20 {
            proxy.reload().await.unwrap();
        }
    };
    let both = async { tokio::join!(waiting, others).0 };
    let error = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::InvalidArgs(text) if text.contains("nothing came")), "{error:?}");
}
