//! `meshctl init`

use clap::Args;
use meshnet_bus::names::Instance;
use serde::Serialize;

use super::setup::{self, Need, Setup};
use crate::conf;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::style::{self, paint};
use crate::runtime;

/// Make a network: fresh keys, an address, the radio or a UDP port
///
/// Writes /etc/meshnet/NET.conf, readable by its owner alone, and says what to do next. Nothing is started. What is not given
/// is found or chosen: a radio on USB, or one that listens on this host; an address in a private network that is not in use
/// here. On a terminal it asks before it takes a radio. With --listen-port and without --radio, the network is one over UDP
/// alone, and no radio is looked for. A file that is there is never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl init mesh0
  meshctl init mesh0 --radio tcp://192.0.2.7 --address 10.42.0.1/24
  meshctl init mesh0 --listen-port 51820
  meshctl init mesh0 --listen-port 51820 --radio tcp://192.0.2.7
  meshctl init mesh1 --radio serial:///dev/ttyUSB0 --address 10.42.0.1/24,fd42::1/64 --mtu 1280")]
pub(crate) struct Init {
    /// What it shall be called; the interface has the same name
    #[arg(value_name = "NET")]
    network: Option<Instance>,

    #[command(flatten)]
    setup: Setup,

    /// Replace the file that is there, and keep a copy of it
    #[arg(long)]
    force: bool,
}

/// What `--json` tells.
#[derive(Serialize)]
struct Made<'a> {
    schema: u32,
    network: &'a str,
    config: String,
    public_key: String,
    addresses: Vec<String>,
    radio: Option<&'a str>,
    listen_port: Option<u16>,
    backup: Option<String>,
}

impl Init {
    /// Makes it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let network = match (self.network, &context.network) {
            (Some(name), _) => name,
            (None, Some(name)) => name.clone(),
            (None, None) => Instance::new("mesh0").map_err(|error| Error::usage(error.to_string()))?,
        };
        let path = conf::path(&self.setup.config_dir, &network);
        // Before anything is asked.
        if path.exists() && !self.force {
            return Err(Error::failure(format!("{} is there already", path.display()))
                .because("nothing is overwritten")
                .hint("another name, or --force, which keeps a copy"));
        }
        let links = runtime::block_on(self.setup.links(Need::Link, context))?;
        let addresses = if self.setup.address.is_empty() {
            vec![setup::free_address(&self.setup.config_dir)?]
        } else {
            self.setup.address.clone()
        };
        let (text, key) = setup::text(&network, &addresses, self.setup.mtu, &links)?;
        let backup = conf::create(&path, &text, self.force)?;
        let made = Made {
            schema: meshnet_bus::describe::SCHEMA,
            network: network.as_str(),
            config: path.display().to_string(),
            public_key: key.public().to_string(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            radio: links.radio.as_deref(),
            listen_port: links.listen_port,
            backup: backup.map(|path| path.display().to_string()),
        };
        if context.wants_json() {
            context.print_json(&made)?;
        } else {
            context.print(&told(&made))?;
        }
        Ok(Exit::Success)
    }
}

/// What people are told.
fn told(made: &Made<'_>) -> String {
    let strong = |text: &str| paint(style::STRONG, text);
    let name = made.network;
    let mut text = format!("{} is in {}\n", strong(name), made.config);
    let port =
        made.listen_port.map(|port| if port == 0 { "any that is free".to_owned() } else { port.to_string() });
    for (what, value) in [
        ("public key", Some(made.public_key.as_str())),
        ("address", Some(&*made.addresses.join(", "))),
        ("radio", made.radio),
        ("udp port", port.as_deref()),
    ] {
        value.iter().for_each(|value| text.push_str(&format!("  {what:10}  {value}\n")));
    }
    if let Some(backup) = &made.backup {
        text.push_str(&format!("  the file that was there is {backup}\n"));
    }
    if made.radio.is_some_and(|radio| radio.starts_with("serial:")) {
        text.push_str(&format!(
            "the unit may not open serial ports yet:\n  install -D -m 644 /usr/share/doc/meshnet/examples/serial.conf \\\n    \
             /etc/systemd/system/meshnet@{name}.service.d/serial.conf && systemctl daemon-reload\n"
        ));
    }
    text + &setup::next_steps(&[
        (format!("meshctl enable --now {name}"), "run it, at every boot too"),
        (format!("meshctl invite {name}"), "let somebody join"),
        (format!("meshctl doctor {name}"), "see whether all is well"),
    ])
}
