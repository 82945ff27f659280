//! The messages that an operator must understand: each has an id that never changes, under which the journal has an
//! explanation (`journalctl --catalog`) from `dist/systemd/meshnet.catalog`.
//!
//! A place that logs one of them says so by the field `message_id`, which the journal keeps as `MESSAGE_ID=` and a terminal does
//! not show.

use meshnet_proto::meshtastic::client::Notice;

/// A radio cannot be reached, or was lost; the daemon keeps trying.
pub const RADIO_LOST: &str = "9bed3d26e6024609bf9beb1653702986";
/// A radio has no region set, and does not transmit.
pub const REGION_UNSET: &str = "e76d20f70a514571b31d43c26ed7c5b9";
/// A radio is set so, or so old, that it cannot carry the network.
pub const RADIO_UNFIT: &str = "9c33bda957514f748efd5f5fe69b8275";
/// Another client took a radio's only connection.
pub const RADIO_TAKEN: &str = "2bf9aa449c05402e8396d660f95fd684";
/// A radio does not know the key of a peer's radio.
pub const RADIO_KEY_MISSING: &str = "8bf33c0f1fd94214800e178ce29d7bd5";
/// A handshake with a peer did not authenticate.
pub const HANDSHAKE_REFUSED: &str = "4e53a4b46f1446c18f6f726899115453";
/// A peer did not answer a handshake.
pub const PEER_SILENT: &str = "0b224661307f4592a13c97e018856cf6";
/// A link's airtime for the hour is spent.
pub const AIRTIME_SPENT: &str = "d2b892eb3a0d495989d40139f0f5ec27";
/// A file with a secret can be read by other users.
pub const SECRET_EXPOSED: &str = "457c794be71649adb4db67315e3d8b3c";
/// The configuration or the private key is wrong, and the network does not start.
pub const CONFIGURATION_WRONG: &str = "011883b8558441e2b894368d9cf43e3e";
/// A reload was refused; the network runs on as before.
pub const RELOAD_REFUSED: &str = "c9a8a20b6e764286b1ee865bd1105bc3";
/// The state cannot be written, and nothing is sent until it can.
pub const STATE_NOT_SAVED: &str = "b33c37f870f2400c8e825fa459ea08d3";
/// Somebody else took the network's interface down, or removed it.
pub const INTERFACE_TAKEN: &str = "bd7965e7a6914e258bff0f81b57b7ba1";

/// Returns the id of what a radio's client has to say, if it is one of these.
#[must_use]
pub const fn of(notice: &Notice) -> Option<&'static str> {
    match notice {
        Notice::RegionUnset => Some(REGION_UNSET),
        Notice::TransmitDisabled
        | Notice::WrongChannel { .. }
        | Notice::FirmwareTooOld { .. }
        | Notice::NoPki { .. } => Some(RADIO_UNFIT),
        Notice::Evicted { .. } => Some(RADIO_TAKEN),
        Notice::DutyCycle { .. } => Some(AIRTIME_SPENT),
        Notice::KeyMissing { .. } => Some(RADIO_KEY_MISSING),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// The ids of this file's constants.
    fn declared() -> BTreeSet<String> {
        let declarations = include_str!("catalog.rs").lines().filter(|line| line.starts_with("pub const "));
        let ids = declarations.filter_map(|line| line.split('"').nth(1)).map(str::to_owned);
        ids.collect()
    }

    /// The entries of the catalog: id and text.
    fn explained() -> Vec<(String, String)> {
        let text = fs::read_to_string(file("../../dist/systemd/meshnet.catalog")).unwrap();
        let entries = text.split("\n-- ").skip(1).filter_map(|entry| entry.split_once('\n'));
        entries.map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
    }

    fn file(path: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    #[test]
    fn every_id_is_explained_and_nothing_else_is() {
        let entries = explained();
        let ids: BTreeSet<String> = entries.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(ids, declared());
        assert_eq!(ids.len(), entries.len(), "an id twice");
        assert!(
            ids.iter().all(|id| id.len() == 32 && id.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')))
        );
        for (id, text) in entries {
            let (header, body) = text.split_once("\n\n").unwrap_or_else(|| panic!("{id} has no text"));
            for field in ["Subject: ", "Defined-By: meshnet", "Documentation: man:"] {
                assert!(header.lines().any(|line| line.starts_with(field)), "{id}: no {field}");
            }
            assert!(body.lines().all(|line| line.len() <= 80), "{id}: does not fit a terminal");
        }
    }

    /// All the code of this crate.
    fn read(dir: &Path, code: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, code);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_id_is_logged_somewhere() {
        let mut code = String::new();
        read(&file("."), &mut code);
        let declarations =
            include_str!("catalog.rs").lines().filter_map(|line| line.strip_prefix("pub const "));
        let names = declarations.filter_map(|line| line.split_once(": &str")).map(|(name, _)| name);
        for name in names {
            let used = code.contains(&format!("catalog::{name}")) || code.contains(&format!("Some({name})"));
            assert!(used, "{name} is never logged");
        }
    }
}
