//! The programs' manual pages, a page for each verb of meshctl too.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use meshctl::cli::ENVIRONMENT;
use meshctl::exit::Exit;

use super::roff;

// The program is a binary; its command line alone is compiled in here, so that the page says what it parses.
#[allow(dead_code, reason = "what a parsed command line is for is the program's business")]
#[allow(rustdoc::broken_intra_doc_links, reason = "help texts have brackets that are no links")]
#[path = "../../src/radiosim/front/args.rs"]
mod radiosim;

/// Writes them.
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut meshctl = meshctl::cli::command();
    meshctl.build();
    let see = "meshnetd(8), meshnet.conf(5), org.meshnet1(5), meshctl\\-json(5)";
    page(folder, &meshctl, "meshctl", "1", &(exit_status() + &environment()), see)?;
    verbs(folder, &meshctl, "meshctl")?;

    let mut daemon = meshnetd::cli::Arguments::command();
    daemon.build();
    page(folder, &daemon, "meshnetd", "8", "", "meshctl(1), meshnet.conf(5), org.meshnet1(5), systemctl(1)")?;

    let mut simulator = radiosim::Args::command().name("meshnet-radiosim");
    simulator.build();
    page(folder, &simulator, "meshnet-radiosim", "1", "", "meshnetd(8), meshctl(1)")
}

/// The pages of a command's verbs, and of theirs.
fn verbs(folder: &Path, command: &Command, name: &str) -> Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("{name}-{}", verb.get_name());
        page(folder, verb, &name, "1", "", "meshctl(1)")?;
        verbs(folder, verb, &name)?;
    }
    Ok(())
}

/// Writes a page: what clap knows of the command, then what we add.
fn page(folder: &Path, command: &Command, name: &str, section: &str, more: &str, see: &str) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone())
        .title(name)
        .section(section)
        .source(format!("meshnet {version}"))
        .manual("meshnet")
        .date("");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut text = String::from_utf8(text).context("clap_mangen writes UTF-8")?;
    if let Some(help) = command.get_after_help().or(command.get_after_long_help()) {
        text.push_str(&examples(&help.to_string()));
    }
    text.push_str(more);
    text.push_str(&format!(".SH SEE ALSO\n{see}\n"));
    let file = folder.join(format!("{name}.{section}"));
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// What help shows after the options, as it stands.
fn examples(help: &str) -> String {
    let (title, body) = help.split_once('\n').unwrap_or(("", help));
    let title = title.trim_end_matches(':').to_uppercase();
    format!(".SH {}\n.nf\n{}\n.fi\n", if title.is_empty() { "EXAMPLES" } else { &title }, roff(body))
}

fn exit_status() -> String {
    let codes =
        Exit::MEANINGS.iter().map(|(exit, meaning)| format!(".TP\n.B {}\n{}\n", exit.code(), roff(meaning)));
    format!(".SH EXIT STATUS\n{}", codes.collect::<String>())
}

fn environment() -> String {
    let variables = ENVIRONMENT.iter().map(|(name, meaning)| format!(".TP\n.B {name}\n{}\n", roff(meaning)));
    format!(".SH ENVIRONMENT\n{}", variables.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_with_an_example() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for name in ["meshctl.1", "meshctl-init.1", "meshctl-peer-add.1", "meshnetd.8", "meshnet-radiosim.1"]
        {
            let page = read(name);
            for heading in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", ".SH \"SEE ALSO\""]
            {
                let plain = heading.replace('"', "");
                assert!(page.contains(heading) || page.contains(&plain), "{name} has no {heading}");
            }
        }
        assert!(read("meshctl.1").contains("EXIT STATUS"));
        assert!(read("meshctl-init.1").contains("meshctl init mesh0"));
    }
}
