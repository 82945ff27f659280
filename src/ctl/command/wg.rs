//! `meshctl wg import|export|phone`: files of WireGuard's, from and for others.

mod export;
mod import;
mod phone;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use clap::Subcommand;

use super::output;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::qr;

/// Take over, and hand out, configurations of WireGuard
///
/// A network with a udp link speaks WireGuard's protocol, to the byte, with peers that run WireGuard.
#[derive(Debug, Subcommand)]
pub(crate) enum Wg {
    Import(import::Import),
    Export(export::Export),
    Phone(phone::Phone),
}

impl Wg {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        match self {
            Self::Import(verb) => verb.run(context),
            Self::Export(verb) => verb.run(context),
            Self::Phone(verb) => verb.run(context),
        }
    }
}

/// Writes a file that holds secrets, for us alone; none is overwritten.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let made = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    made().map_err(|error: std::io::Error| {
        let told = Error::failure(format!("cannot write {}", path.display())).because(&error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => told.hint("nothing is overwritten: another name"),
            _ => told,
        }
    })
}

/// Writes a text with secrets to stdout, past all buffers that would keep it; and its QR code, if that is wanted.
fn show_private(text: &str, as_code: bool, context: &Context) -> Result<(), Error> {
    if as_code {
        match qr::code(text) {
            Some(code) => return context.print(&code),
            None => context.talk("the file is too long for a QR code"),
        }
    }
    output::warn_if_others_may_read()?;
    Ok(output::write_line(text.trim_end())?)
}

/// Says what is different in a file that was made of another.
fn tell(told: &[String], context: &Context) {
    for line in told {
        context.talk(&format!("not taken over: {}", crate::render::clean(line)));
    }
}
