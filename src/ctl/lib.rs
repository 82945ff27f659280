//! The meshnet client: a verb on the command line, a call on the bus, an answer on stdout.
//!
//! A library with a thin binary, so that manual pages are made from [`cli::command`], which is also what parses. A file for
//! each noun is under `command`; what the user sees is made under `render`; `bus` and `systemd` are the two services that are
//! talked to. The process lives for one verb: it parses, opens a connection if the verb needs one, answers, ends with one
//! of the codes in [`exit`].
//!
//! Invariants: stdout holds the answer and nothing else, stderr the talk. What comes from the bus, from a file or from a
//! radio reaches a terminal without its control characters. No secret is an argument.

pub mod cli;
pub mod exit;

mod activation;
mod bus;
mod command;
mod completion;
mod conf;
mod context;
mod daemon;
mod error;
mod find;
mod invitation;
mod journal;
mod ours;
mod place;
mod prompt;
#[cfg(test)]
#[path = "tests/bus/pty.rs"]
#[expect(dead_code, reason = "the tests of the binary use the rest")]
mod pty;
mod radios;
mod render;
mod runtime;
mod systemd;
mod wg_quick;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::context::Context;
use crate::exit::Exit;

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(cli::command).complete();
    let words: Vec<OsString> = std::env::args_os().collect();
    // As with `wg`, these take no options at all, so that they are answered before options are looked for.
    if let Some(done) = command::key(&words) {
        return finish(done, &Context::plain());
    }
    let arguments = cli::Arguments::parse_from(&words);
    let context = Context::new(&arguments.global);
    // Before anything is opened or asked.
    if let Err(error) = cli::check_networks(words) {
        return finish(Err(error), &context);
    }
    finish(arguments.command.unwrap_or_default().run(&context), &context)
}

/// Tells what went wrong, if anything did.
fn finish(done: Result<Exit, error::Error>, context: &Context) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.tell(context);
            error.exit().into()
        }
    }
}
