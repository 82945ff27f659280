//! The meshnet daemon.
//!
//! Synchronous up to the moment when all privileges are gone; only then is there a runtime, and only then does anything
//! arrive that strangers sent (`privilege` tells the order and why).

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use meshnetd::cli::Arguments;
use meshnetd::config::{self, ConfigError, Severity};
use meshnetd::netlink::Settings;
use meshnetd::{files, instance, log, netlink, privilege, tap};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.check {
        return check(file);
    }
    if let Err(error) = log::start(&arguments.log) {
        eprintln!("meshnetd: {error:#}");
        return ExitCode::from(2);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says all that is wrong with a configuration.
fn check(file: &Path) -> ExitCode {
    match config::load(file) {
        Ok((config, _)) => {
            config.warnings.iter().for_each(|warning| println!("{warning}"));
            let (peers, links) = (counted(config.peers.len(), "peer"), counted(config.links.len(), "link"));
            println!("{}: fine ({peers}, {links})", file.display());
            ExitCode::SUCCESS
        }
        Err(findings) => {
            findings.iter().for_each(|finding| println!("{finding}"));
            println!("{}: {}", file.display(), count(&findings));
            ExitCode::FAILURE
        }
    }
}

fn count(findings: &[ConfigError]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"))
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = arguments.config.as_deref().context("no --config")?;
    let (config, private_key) = config::load(file).map_err(|findings| {
        findings.iter().for_each(|finding| tracing::error!("{finding}"));
        anyhow::anyhow!("{}: {}", file.display(), count(&findings))
    })?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));

    let identity =
        privilege::Identity::look_up(config.run_as_user.as_deref(), config.run_as_group.as_deref())
            .context("cannot become RunAsUser or RunAsGroup")?;
    for dir in [&arguments.state_dir, &arguments.runtime_dir] {
        files::make_dir(dir, identity.owner()).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let tap = tap::open(&config.tap_name, config.mtu)?;
    privilege::restrict(&identity)?;
    for dir in [&arguments.state_dir, &arguments.runtime_dir] {
        files::check_dir(dir)?;
    }
    let (interface, interface_events) = netlink::start(&config.tap_name)?;
    let allowed = config.peers.iter().flat_map(|peer| peer.core.allowed_ips.iter().copied());
    let mac = meshnet_proto::mac_of(&private_key.public());
    let settings = Settings::new(mac, config.mtu, config.addresses.clone(), allowed);
    interface.configure(settings)?;
    privilege::drop_all()?;

    let state_path = arguments.state_dir.join(format!("{}.state", config.tap_name));
    let status_path = arguments.runtime_dir.join(format!("{}.status.json", config.tap_name));
    let parts =
        instance::Parts { config, private_key, tap, interface, interface_events, state_path, status_path };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let result = runtime.block_on(instance::run(parts));
    // A name that nobody resolves, or a port that takes its time to open, is not waited for.
    runtime.shutdown_background();
    result
}
