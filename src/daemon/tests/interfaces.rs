//! The committed interface XML is what the daemon's objects say, and what the clients' proxies have.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use meshnetd::service::interface::files;
use meshnetd::service::link::Link;
use meshnetd::service::network::Network;
use meshnetd::service::peer::Peer;
use meshnetd::service::radio::Radio;

/// Set by `cargo xtask interfaces`: the files are written instead of compared.
const WRITE: &str = "MESHNET_WRITE_INTERFACES";

fn source(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn the_committed_files_are_what_the_objects_say() {
    for (name, text) in files() {
        let path = source("dist/dbus").join(&name);
        if std::env::var_os(WRITE).is_some() {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, text, "{name} is not what the code says; \"cargo xtask interfaces\" writes it");
    }
}

#[test]
fn the_files_are_sound_and_every_member_is_explained() {
    for (name, text) in files() {
        let node = zbus_xml::Node::from_reader(text.as_bytes()).unwrap();
        let [interface] = node.interfaces() else { panic!("{name}: one interface in each file") };
        assert_eq!(format!("{}.xml", interface.name()), name);
        let comments = text.matches("<!--").count();
        assert_eq!(text.matches("--").count(), 2 * comments, "{name}: no two hyphens inside a comment");
        let members =
            interface.methods().count() + interface.signals().count() + interface.properties().count();
        assert_eq!(comments, members + 1, "{name}: a comment for each member");
    }
}

#[test]
fn changes_are_told_of_just_the_properties_that_say_so() {
    let told = [Network::SIGNALLED, Peer::SIGNALLED, Link::SIGNALLED, Radio::SIGNALLED];
    for ((name, text), told) in files().into_iter().zip(told) {
        let properties = members(&text).into_iter().filter(|(_, kind)| kind == "property true");
        let said: Vec<_> = properties.map(|(name, _)| name).collect();
        assert_eq!(said, told, "{name}");
    }
}

#[test]
fn the_clients_proxies_have_every_member_and_no_other() {
    let proxies = proxies(&fs::read_to_string(source("src/bus/proxy.rs")).unwrap());
    for (name, text) in files() {
        let interface = name.trim_end_matches(".xml");
        assert_eq!(proxies.get(interface), Some(&members(&text)), "{interface}: XML on the right");
    }
    assert_eq!(proxies.len(), files().len());
}

/// An interface's members, each with its kind and, for a property, whether its changes are told.
fn members(xml: &str) -> BTreeMap<String, String> {
    let node = zbus_xml::Node::from_reader(xml.as_bytes()).unwrap();
    let interface = &node.interfaces()[0];
    let methods = interface.methods().map(|method| (method.name().to_string(), "method".to_owned()));
    let signals = interface.signals().map(|signal| (signal.name().to_string(), "signal".to_owned()));
    let properties = interface.properties().map(|property| {
        let told = property.annotations().iter().find(|note| note.name().ends_with("EmitsChangedSignal"));
        let told = told.map_or("true", |note| note.value());
        (property.name().to_string(), format!("property {told}"))
    });
    methods.chain(signals).chain(properties).collect()
}

/// The same of every proxy in the source: attributes, then `fn name`.
fn proxies(source: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut proxies = BTreeMap::new();
    let mut interface = String::new();
    let mut attribute = String::new();
    for line in source.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[zbus::proxy(interface = \"") {
            interface = rest.split('"').next().unwrap().to_owned();
        } else if line.starts_with("#[zbus(") {
            attribute = line.to_owned();
        } else if let Some(rest) = line.strip_prefix("fn ") {
            let ident = rest.split('(').next().unwrap();
            let renamed = attribute.split("name = \"").nth(1).map(|rest| rest.split('"').next().unwrap());
            let name = renamed.map_or_else(|| pascal(ident), str::to_owned);
            let told = attribute.split("emits_changed_signal = \"").nth(1);
            let kind = if attribute.contains("property") {
                format!("property {}", told.map_or("true", |rest| rest.split('"').next().unwrap()))
            } else if attribute.contains("signal") {
                "signal".to_owned()
            } else {
                "method".to_owned()
            };
            let members: &mut BTreeMap<_, _> = proxies.entry(interface.clone()).or_default();
            members.insert(name, kind);
            attribute.clear();
        }
    }
    proxies
}

fn pascal(ident: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    ident.split('_').map(capital).collect()
}
