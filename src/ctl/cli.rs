//! The command line: what is parsed, what `--help` says and what the manual is made from, all in one.

use std::ffi::OsString;

use clap::{Args, CommandFactory as _, Parser, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use meshnet_bus::names::Instance;

use crate::command::Command;
use crate::completion;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::style;

/// Sets up, watches and changes meshnet networks: private IP networks over radios,
/// Wi-Fi and the Internet.
///
/// Without a command it shows the status of every network of this host. It talks to the networks' daemons over D-Bus; what
/// changes something is authorised by polkit.
#[derive(Debug, Parser)]
#[command(
    name = "meshctl",
    version,
    about = "Sets up, watches and changes meshnet networks",
    styles = style::HELP,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = long_after(),
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// What holds for every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What holds for every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The network that is meant
    ///
    /// May be left out where there is one network only.
    // Its own id: a verb's own argument of the same id would take its place there.
    #[arg(id = "global_network", long = "network", short = 'n', global = true, value_name = "NAME", help_heading = HEADING,
        add = ArgValueCandidates::new(completion::networks))]
    pub network: Option<Instance>,

    /// Answer in JSON
    ///
    /// pretty: for people. short: on one line. auto, also without a value: pretty on a terminal, else short. off: as text. The
    /// fields are told in meshctl-json(5); "schema" is the version of their meaning. A stream of events is one object on a line
    /// each.
    #[arg(long, global = true, value_name = "FORM", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true, help_heading = HEADING)]
    pub json: Option<JsonMode>,

    /// The same as --json=auto
    #[arg(short = 'j', global = true, help_heading = HEADING)]
    pub short_json: bool,

    /// Whether to use colour
    ///
    /// auto (the default): on a terminal, unless NO_COLOR is set or TERM is dumb. always, never: what they say.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true,
        hide_default_value = true, help_heading = HEADING)]
    pub color: Color,

    /// Never ask for a password: what takes one fails
    #[arg(long, global = true, help_heading = HEADING)]
    pub no_ask_password: bool,

    /// Never show long answers in a pager
    #[arg(long, global = true, help_heading = HEADING)]
    pub no_pager: bool,
}

/// Where help lists the global options.
const HEADING: &str = "Global options";

/// Sees to it that no two networks are named, by a verb's own argument and by `-n`.
pub(crate) fn check_networks(words: Vec<OsString>) -> Result<(), Error> {
    let Ok(matches) = command().try_get_matches_from(words) else { return Ok(()) };
    let mut verb = &matches;
    while let Some((_, inner)) = verb.subcommand() {
        verb = inner;
    }
    let named = |id| verb.try_get_one::<Instance>(id).ok().flatten();
    match (named("network"), named("global_network")) {
        (Some(here), Some(there)) if here != there => {
            Err(Error::usage(format!("two networks are named: {here} and, with -n, {there}")))
        }
        _ => Ok(()),
    }
}

/// The form of an answer in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum JsonMode {
    /// Pretty on a terminal, else short.
    Auto,
    /// On one line.
    Short,
    /// Indented.
    Pretty,
    /// Text for people.
    Off,
}

/// Whether to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

const EXAMPLES: &str = "\
Examples:
  meshctl init mesh0             Make a network: keys, an address, the radio
  meshctl enable --now mesh0     Run it, at every boot too
  meshctl                        See how all is
  meshctl invite                 Tell somebody how to reach us, in one line
  meshctl doctor                 Find out what is wrong";

/// The command line as clap has it: what parses, and what manuals and completions are made from.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The variables that count, with what they do.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    ("NO_COLOR", "if set and not empty: no colour"),
    ("TERM", "\"dumb\": no colour"),
    ("MESHCTL_PAGER, PAGER", "the pager for long answers; \"cat\", or empty, for none"),
    ("DBUS_SYSTEM_BUS_ADDRESS", "where the system bus is"),
];

fn long_after() -> String {
    let mut text = format!("{EXAMPLES}\n\nExit status:\n");
    for (exit, meaning) in Exit::MEANINGS {
        text.push_str(&format!("  {:>2}  {meaning}\n", exit.code()));
    }
    text.push_str("\nEnvironment:\n");
    for (variable, meaning) in ENVIRONMENT {
        text.push_str(&format!("  {variable:23}  {meaning}\n"));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::command().debug_assert();
    }
}
