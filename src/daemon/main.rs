//! The meshnet daemon.
//!
//! Synchronous up to the moment when all privileges are gone; only then is there a runtime, and only then does anything
//! arrive that strangers sent (`privilege` tells the order and why).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use meshnet_proto::key::PrivateKey;
use meshnetd::cli::Arguments;
use meshnetd::config::{self, Config, ConfigError, Severity, Source};
use meshnetd::link::{LinkKind, udp};
use meshnetd::netlink::{Settings, Ways};
use meshnetd::peers::Roster;
use meshnetd::systemd::store;
use meshnetd::{catalog, control, files, instance, log, netlink, privilege, tap, wall};

/// What a wrong configuration ends with (EX_CONFIG of sysexits.h): the unit file has the service manager not try again.
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.check {
        return check(file);
    }
    if let Err(error) = log::start(&arguments.log) {
        eprintln!("meshnetd: {error:#}");
        return ExitCode::from(2);
    }
    let code = match run(&arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Configuration(error)) => {
            tracing::error!(message_id = catalog::CONFIGURATION_WRONG, "{error:#}");
            ExitCode::from(EX_CONFIG)
        }
        Err(Failure::Other(error)) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    };
    log::settle();
    code
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

/// Why the daemon cannot run.
enum Failure {
    /// The configuration or the private key is wrong: starting again changes nothing.
    Configuration(anyhow::Error),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let kept = store::take().context("cannot take what the service manager kept")?;
    let source = arguments.source().context("no --config")?;
    let (config, private_key) = load(&source)?;
    let (state_dir, runtime_dir) = (arguments.state_dir(), arguments.runtime_dir());

    let identity = privilege::Identity::of(&config, arguments.instance.is_some())?;
    for dir in [&state_dir, &runtime_dir] {
        files::make_dir(dir, identity.owner()).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let tap = tap::take(&config.tap_name, kept)?;
    privilege::restrict(&identity)?;
    for dir in [&state_dir, &runtime_dir] {
        files::check_dir(dir)?;
    }
    // Marks, and ports below 1024, take capabilities that are about to go.
    let mut sockets = BTreeMap::new();
    for link in &config.links {
        if let LinkKind::Udp(udp) = &link.kind {
            sockets.insert(link.name.clone(), udp::open(&link.name, udp)?);
        }
    }
    let has_udp = !sockets.is_empty();
    let (interface, interface_events) = netlink::start(&config.tap_name)?;
    let roster = Roster::load(state_dir.join(format!("{}.peers", config.tap_name)), &config.peers)?;
    let allowed = roster.members().iter().flat_map(|member| member.peer.core.allowed_ips.iter().copied());
    let mac = meshnet_proto::mac_of(&private_key.public());
    let ways = if has_udp { Ways::Mixed(BTreeMap::new()) } else { Ways::Radios };
    let settings = Settings::new(mac, config.mtu, config.addresses.clone(), allowed, ways);
    interface.configure(settings.clone())?;
    privilege::drop_all()?;
    let config_dir = source.file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let key_dir = config.key_file(config_dir).and_then(|file| file.parent().map(Path::to_owned));
    let read: Vec<&Path> =
        [Some(config_dir), source.credentials.as_deref(), key_dir.as_deref()].into_iter().flatten().collect();
    wall::raise(wall::Places { read: &read, write: &[&state_dir, &runtime_dir] });

    let state_path = state_dir.join(format!("{}.state", config.tap_name));
    let status_path = runtime_dir.join(format!("{}.status.json", config.tap_name));
    let bus_name = arguments.bus_name();
    let (handle, control) = control::channel();
    let parts = instance::Parts {
        source,
        bus_name,
        config,
        roster,
        private_key,
        tap,
        sockets,
        interface,
        settings,
        interface_events,
        state_path,
        status_path,
        handle,
        control,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let result = runtime.block_on(instance::run(parts));
    // A name that nobody resolves, or a port that takes its time to open, is not waited for.
    runtime.shutdown_background();
    Ok(result?)
}

/// Reads the configuration, and says what is wrong with it.
fn load(source: &Source) -> Result<(Config, PrivateKey), Failure> {
    let (config, private_key) = source.load().map_err(|findings| {
        findings.iter().for_each(tell);
        Failure::Configuration(anyhow::anyhow!("{}: {}", source.file.display(), count(&findings)))
    })?;
    config.warnings.iter().for_each(tell);
    Ok((config, private_key))
}

/// Says what is wrong with the configuration, or deserves a look.
fn tell(finding: &ConfigError) {
    let id = finding.exposes_secret.then_some(catalog::SECRET_EXPOSED);
    match finding.severity {
        Severity::Error => tracing::error!(message_id = id, "{finding}"),
        Severity::Warning => tracing::warn!(message_id = id, "{finding}"),
    }
}
