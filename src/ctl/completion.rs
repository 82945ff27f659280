//! What the shell offers for a value: names of networks and peers, asked of the daemons that run. Nothing is ever started by
//! it, it never takes longer than a blink, and where it fails the shell offers nothing.

use std::time::Duration;

use clap_complete::engine::CompletionCandidate;
use meshnet_bus::describe::Network;
use meshnet_bus::names::Instance;

use crate::bus::Bus;
use crate::error::Error;
use crate::runtime;

/// How long the shell waits for us.
const BLINK: Duration = Duration::from_millis(300);

/// The networks of this host.
pub(crate) fn networks() -> Vec<CompletionCandidate> {
    ask(async {
        let networks = Bus::connect().await?.networks().await?;
        let candidate = |name: &Instance| CompletionCandidate::new(name.as_str());
        Ok(networks.keys().map(candidate).collect())
    })
}

/// The peers of the network that `-n` names, or of all that run: their names, or else their keys.
pub(crate) fn peers() -> Vec<CompletionCandidate> {
    ask(async {
        let bus = Bus::connect().await?;
        let wanted = named(std::env::args());
        let mut candidates = Vec::new();
        for name in bus.running().await? {
            if wanted.as_ref().is_some_and(|wanted| *wanted != name) {
                continue;
            }
            let Ok(text) = bus.network(&name).await?.describe().await else { continue };
            let Ok(network) = Network::from_json(&text) else { continue };
            for peer in network.peers {
                let addresses = peer.allowed_ips.join(" ");
                let value = peer.name.filter(|name| !name.is_empty()).unwrap_or(peer.public_key);
                let help = format!("{name}: {} {addresses}", peer.state);
                candidates.push(CompletionCandidate::new(value).help(Some(help.into())));
            }
        }
        Ok(candidates)
    })
}

/// The network that the command line to be completed names.
fn named(words: impl Iterator<Item = String>) -> Option<Instance> {
    let mut words = words.skip_while(|word| word != "--").peekable();
    while let Some(word) = words.next() {
        let value = match word.as_str() {
            "-n" | "--network" => words.peek().cloned(),
            other => other.strip_prefix("--network=").or_else(|| other.strip_prefix("-n")).map(str::to_owned),
        };
        if let Some(name) = value.and_then(|value| Instance::new(&value).ok()) {
            return Some(name);
        }
    }
    None
}

fn ask(question: impl Future<Output = Result<Vec<CompletionCandidate>, Error>>) -> Vec<CompletionCandidate> {
    runtime::block_on(async {
        tokio::time::timeout(BLINK, question).await.unwrap_or_else(|_| Ok(Vec::new()))
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_the_line_to_be_completed_counts() {
        let line = |words: &str| named(words.split(' ').map(str::to_owned)).map(|name| name.to_string());
        assert_eq!(line("meshctl -- meshctl -n mesh1 ping"), Some("mesh1".to_owned()));
        assert_eq!(line("meshctl -- meshctl --network=mesh1 ping"), Some("mesh1".to_owned()));
        assert_eq!(line("meshctl -- meshctl ping"), None);
    }
}
