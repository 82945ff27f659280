//! What the shell is offered.

use crate::world::{Bus, Daemon};

/// What the shell would offer for the last of these words.
async fn offered(bus: &Bus, words: &[&str]) -> String {
    let mut command = bus.command(&[&["--"], words].concat());
    command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    // The daemons are on this thread.
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a word is among what is offered. A machine that is busy may miss the blink that the shell waits: it is asked again.
async fn is_offered(word: &str, bus: &Bus, words: &[&str]) -> bool {
    const TRIES: usize = 20;
    for _ in 0..TRIES {
        if offered(bus, words).await.lines().any(|line| line.trim() == word) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn the_peers_of_a_running_network_are_offered() {
    let bus = Bus::start();
    let _daemon = Daemon::start(&bus, "mesh0").await;
    for words in [&["meshctl", "ping", ""][..], &["meshctl", "peer", "set", "ca"]] {
        assert!(is_offered("cabin", &bus, words).await, "{words:?}");
    }
    let said = offered(&bus, &["meshctl", "-n", "mesh1", "ping", ""]).await;
    assert!(!said.contains("cabin"), "peers of another network: {said}");
}
