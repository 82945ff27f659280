//! What the shell is offered.

use std::process::Command;

use crate::world::{Bus, Daemon};

/// How the script that a shell loads asks for what may stand in the place of the last word, and how it is answered.
#[derive(Debug, Clone, Copy)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// The question.
    fn ask(self, bus: &Bus, words: &[&str]) -> Command {
        let mut command = bus.command(&[&["--"], words].concat());
        let last = (words.len() - 1).to_string();
        match self {
            Self::Bash => command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", last),
            Self::Zsh => {
                command.env("COMPLETE", "zsh").env("_CLAP_COMPLETE_INDEX", last).env("_CLAP_IFS", "\n")
            }
            // It gives the words up to the cursor, and no more.
            Self::Fish => command.env("COMPLETE", "fish"),
        };
        command
    }

    /// The word of a line of the answer, without what is said of it.
    fn word(self, line: &str) -> &str {
        let end = match self {
            Self::Bash => None,
            Self::Zsh => line.find(':'),
            Self::Fish => line.find('\t'),
        };
        line[..end.unwrap_or(line.len())].trim()
    }
}

/// What the shell would offer for the last of these words.
async fn offered(shell: Shell, bus: &Bus, words: &[&str]) -> Vec<String> {
    let mut command = shell.ask(bus, words);
    // The daemons are on this thread.
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{shell:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| shell.word(line).to_owned()).collect()
}

/// Whether a word is among what is offered. A machine that is busy may miss the blink that the shell waits: it is asked again.
async fn is_offered(word: &str, shell: Shell, bus: &Bus, words: &[&str]) -> bool {
    const TRIES: usize = 20;
    for _ in 0..TRIES {
        if offered(shell, bus, words).await.iter().any(|offered| offered == word) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn every_shell_is_offered_the_peers_of_a_running_network() {
    let bus = Bus::start();
    let _daemon = Daemon::start(&bus, "mesh0").await;
    for shell in Shell::ALL {
        for words in [&["meshctl", "ping", ""][..], &["meshctl", "peer", "set", "ca"]] {
            assert!(is_offered("cabin", shell, &bus, words).await, "{shell:?} {words:?}");
        }
        assert!(is_offered("mesh0", shell, &bus, &["meshctl", "show", ""]).await, "{shell:?}");
        let said = offered(shell, &bus, &["meshctl", "-n", "mesh1", "ping", ""]).await;
        assert!(!said.iter().any(|word| word == "cabin"), "{shell:?}, peers of another network: {said:?}");
    }
}
