//! `meshctl wg export`

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde::Serialize;

use super::super::OneNetwork;
use super::{show_private, tell, write_private};
use crate::conf::{self, Conf};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::{ours, runtime, wg_quick};

/// Where daemons keep the peers that were added while they ran.
const STATE_DIR: &str = "/var/lib/meshnet";

/// Write a network of ours as a file of wg-quick
///
/// For a host that is to run WireGuard in meshnet's place, with the same keys and peers. What WireGuard has no counterpart
/// for, radios above all, is named and left out. The file holds the network's private key: it is written to a file that nobody
/// else can read, or to the terminal.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl wg export mesh0 --output mesh0-wg.conf
  meshctl wg export mesh0 --qr")]
pub(crate) struct Export {
    #[command(flatten)]
    network: OneNetwork,

    /// The file to write, readable by its owner alone; none is overwritten
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Show a QR code instead of the text
    #[arg(long, conflicts_with = "output")]
    qr: bool,

    /// Where the configurations are
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, hide = true)]
    config_dir: Option<PathBuf>,
}

/// What `--json` tells.
#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    network: &'a str,
    file: String,
    /// What has no counterpart, for people.
    left_out: &'a [String],
}

impl Export {
    /// Exports.
    pub(super) fn run(self, context: &Context) -> Result<Exit, Error> {
        let (json, output) = (context.wants_json(), self.output.as_deref());
        if json && output.is_none() {
            return Err(Error::usage("the file holds a secret, and JSON shows none").hint("--output FILE"));
        }
        let ours = runtime::block_on(super::super::invite::find(
            &self.network,
            self.config_dir.as_deref(),
            context,
        ))?;
        let path = conf::path(self.config_dir.as_deref().unwrap_or(Path::new(conf::DIR)), &ours.name);
        let conf = Conf::read(&path)?;
        let key = ours::own_key(&conf, &path)?;
        let more = match self.config_dir {
            Some(_) => None,
            None => added(ours.name.as_str(), context)?,
        };
        let more = more.as_ref().map_or("", Conf::text);
        let made = wg_quick::export(conf.text(), more, &key.to_base64())
            .map_err(|why| Error::failure(format!("{} makes no sense", path.display())).because(why))?;
        match output {
            Some(file) => write_private(file, &made.text)?,
            None => show_private(&made.text, self.qr, context)?,
        }
        match output.filter(|_| json) {
            Some(file) => context.print_json(&Written {
                schema: meshnet_bus::describe::SCHEMA,
                network: ours.name.as_str(),
                file: file.display().to_string(),
                left_out: &made.told,
            })?,
            None => tell(&made.told, context),
        }
        Ok(Exit::Success)
    }
}

/// The peers that were added while the network ran. Only its daemon and root may look.
fn added(network: &str, context: &Context) -> Result<Option<Conf>, Error> {
    let path = Path::new(STATE_DIR).join(network).join(format!("{network}.peers"));
    match path.metadata() {
        Ok(_) => Conf::read(&path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let path = path.display();
            context.talk(&format!(
                "peers that were added with \"peer add\" are left out: cannot read {path}: {error}"
            ));
            Ok(None)
        }
    }
}
