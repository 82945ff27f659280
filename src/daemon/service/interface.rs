//! The interface XML that is committed and installed: what the objects say of themselves, comments included.

use std::sync::Arc;

use zbus::object_server::Interface;

use super::authorizer::AllowAll;
use super::core::Core;
use super::link::Link;
use super::network::Network;
use super::peer::Peer;
use super::radio::Radio;
use crate::control;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"
  \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">
<!-- Generated from the comments in src/daemon/service by \"cargo xtask interfaces\". -->
<node>
";

/// Returns the name and the text of each file.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    let (handle, _control) = control::channel();
    let core = Core::new(handle, Arc::new(AllowAll));
    let key = meshnet_proto::key::PublicKey::from_bytes([0; 32]);
    vec![
        file(&Network::new(core.clone())),
        file(&Peer::new(core.clone(), key)),
        file(&Link::new(core.clone(), String::new())),
        file(&Radio::new(core, String::new())),
    ]
}

fn file<I: Interface>(interface: &I) -> (String, String) {
    let mut text = HEAD.to_owned();
    interface.introspect_to_writer(&mut text, 2);
    text.push_str("</node>\n");
    (format!("{}.xml", I::name()), text)
}
