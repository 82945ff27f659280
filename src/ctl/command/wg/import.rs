//! `meshctl wg import`

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use meshnet_bus::names::Instance;
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::setup;
use super::tell;
use crate::conf::{self, Conf};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::wg_quick;

/// The longest file that is read from stdin, in bytes.
const MAX_LEN: usize = 1 << 20;

/// Make a network of a file of wg-quick
///
/// Writes /etc/meshnet/NET.conf, readable by its owner alone, and names everything in the file that has no counterpart here.
/// Nothing is started. A file that is there is never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl wg import /etc/wireguard/wg0.conf
  meshctl wg import office.conf vpn1
  meshctl -n vpn1 wg import - < office.conf")]
pub(crate) struct Import {
    /// The file; "-" is stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// What the network shall be called; else as the file
    #[arg(value_name = "NET")]
    network: Option<Instance>,

    /// Replace the configuration that is there, and keep a copy of it
    #[arg(long)]
    force: bool,

    /// Where the configurations are
    #[arg(long, value_name = "DIR", default_value = conf::DIR, value_hint = ValueHint::DirPath)]
    config_dir: PathBuf,
}

/// What `--json` tells.
#[derive(Serialize)]
struct Made<'a> {
    schema: u32,
    network: &'a str,
    config: String,
    /// What has no counterpart, for people.
    left_out: &'a [String],
    backup: Option<String>,
}

impl Import {
    /// Imports.
    pub(super) fn run(self, context: &Context) -> Result<Exit, Error> {
        let network = self.network(context)?;
        let text = read(&self.file)?;
        let made = wg_quick::import(&network, &text).map_err(|why| {
            Error::failure(format!("{} is no file of wg-quick", self.file.display())).because(why)
        })?;
        let path = conf::path(&self.config_dir, &network);
        let backup = conf::create(&path, &made.text, self.force)?;
        if context.wants_json() {
            context.print_json(&Made {
                schema: meshnet_bus::describe::SCHEMA,
                network: network.as_str(),
                config: path.display().to_string(),
                left_out: &made.told,
                backup: backup.map(|path| path.display().to_string()),
            })?;
            return Ok(Exit::Success);
        }
        tell(&made.told, context);
        let mut text = format!("{network} is in {}\n", path.display());
        if let Some(backup) = backup {
            text.push_str(&format!("  the file that was there is {}\n", backup.display()));
        }
        text.push_str(&setup::next_steps(&[
            (format!("meshnetd --check {}", path.display()), "see whether all of it is right"),
            (format!("meshctl enable --now {network}"), "run it, at every boot too; stop wg-quick first"),
        ]));
        context.print(&text)?;
        Ok(Exit::Success)
    }

    /// What the network is called: as the command line says, or as the file.
    fn network(&self, context: &Context) -> Result<Instance, Error> {
        if let Some(name) = self.network.as_ref().or(context.network.as_ref()) {
            return Ok(name.clone());
        }
        let stem = self.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        Instance::new(stem).map_err(|error| {
            Error::usage(format!("\"{}\" is no name of a network", crate::render::clean(stem)))
                .because(error)
                .hint("name it: meshctl wg import FILE NET")
        })
    }
}

fn read(file: &Path) -> Result<Zeroizing<String>, Error> {
    if file.as_os_str() != "-" {
        return Ok(Zeroizing::new(Conf::read(file)?.text().to_owned()));
    }
    let failed = |error: std::io::Error| Error::failure("cannot read stdin").because(error);
    // Not the standard library's own handle, whose buffer would keep the secrets; and all the room at once, for the same reason.
    let stdin = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN + 1));
    stdin.take(MAX_LEN as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > MAX_LEN {
        return Err(Error::failure("stdin is too large").because(format!("at most {MAX_LEN} bytes")));
    }
    Ok(text)
}
