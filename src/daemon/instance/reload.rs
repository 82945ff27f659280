//! Reading the configuration again while the network runs.

use super::Instance;
use crate::config::Severity;

impl Instance {
    /// Reads the configuration again. Of a bad file nothing is taken, and nothing that differs is applied while the network
    /// runs.
    ///
    /// # Errors
    /// What is wrong with the file, or that what changed takes a restart.
    pub(super) fn reload(&mut self) -> Result<(), String> {
        let (config, private_key) = self.source.load().map_err(|findings| {
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
            errors.map(ToString::to_string).collect::<Vec<_>>().join(", ")
        })?;
        if private_key.public() != self.public_key {
            return Err("another private key takes a restart".to_owned());
        }
        let secrets = |config: &crate::config::Config| -> Vec<_> {
            config.peers.iter().map(|peer| peer.core.preshared_key.clone()).collect()
        };
        let same = format!("{:?}", config.links) == format!("{:?}", self.config.links)
            && format!("{:?}", config.peers) == format!("{:?}", self.config.peers)
            && secrets(&config) == secrets(&self.config)
            && config.addresses == self.config.addresses
            && config.mtu == self.config.mtu
            && config.rekey_after_messages == self.config.rekey_after_messages;
        if same { Ok(()) } else { Err("what changed takes a restart".to_owned()) }
    }
}
