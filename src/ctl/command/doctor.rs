//! `meshctl doctor`
//!
//! Each check looks at one thing that is commonly wrong and says what it found, OK included, and how to mend it. Nothing is
//! changed, nothing is sent over the air, and a radio that a daemon uses is not connected to: it would throw the daemon out.
//! What this user may not see is a warning that says so, never a guess.

mod files;
mod host;
mod links;
mod udp;
mod unit;

use clap::Args;
use meshnet_bus::describe::{Network, SCHEMA};
use meshnet_bus::names::Instance;
use serde::Serialize;

use super::OneNetwork;
use crate::bus::{self, Bus, Presence};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::style::{self, paint};
use crate::runtime;

/// Find out what is wrong, and how to mend it
///
/// Looks at everything that is commonly wrong: files and who may read them, the unit, the bus, radios and who else wants
/// them, UDP ports and who can begin, addresses. Run it with sudo to see all. Exits with 1 if something has to be mended.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo meshctl doctor
  meshctl doctor mesh0 --json | jq '.findings[] | select(.level == \"fail\")'")]
pub(crate) struct Doctor {
    #[command(flatten)]
    network: OneNetwork,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// It may be wanted, or could not be seen.
    Warn,
    /// It has to be mended.
    Fail,
}

/// What a check found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    network: Option<String>,
    check: &'static str,
    level: Level,
    what: String,
    mend: Option<String>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    network: Option<String>,
    all: Vec<Finding>,
}

impl Findings {
    fn push(&mut self, check: &'static str, level: Level, what: impl Into<String>, mend: Option<String>) {
        self.all.push(Finding { network: self.network.clone(), check, level, what: what.into(), mend });
    }

    /// It is as it should be.
    fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.push(check, Level::Ok, what, None);
    }

    /// It deserves a look.
    fn warn(&mut self, check: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.push(check, Level::Warn, what, Some(mend.into()));
    }

    /// It has to be mended.
    fn fail(&mut self, check: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.push(check, Level::Fail, what, Some(mend.into()));
    }
}

/// A network under examination.
pub(crate) struct Patient<'p> {
    pub name: &'p Instance,
    pub presence: &'p Presence,
    /// What its daemon says, if it runs and answers.
    pub state: Option<Network>,
}

/// What `--json` tells.
#[derive(Serialize)]
struct Report<'f> {
    schema: u32,
    failures: usize,
    warnings: usize,
    findings: &'f [Finding],
}

impl Doctor {
    /// Examines.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let findings = runtime::block_on(self.examine(context))?;
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (failures, warnings) = (count(Level::Fail), count(Level::Warn));
        if context.wants_json() {
            context.print_json(&Report { schema: SCHEMA, failures, warnings, findings: &findings })?;
        } else {
            context.page(&told(&findings, failures, warnings))?;
        }
        Ok(if failures == 0 { Exit::Success } else { Exit::Failure })
    }

    async fn examine(&self, context: &Context) -> Result<Vec<Finding>, Error> {
        let mut findings = Findings::default();
        let bus = Bus::connect().await;
        host::check(bus.as_ref().ok(), &mut findings).await;
        let networks = match &bus {
            Ok(bus) => bus.networks().await?,
            Err(_) => crate::conf::networks(crate::conf::DIR.as_ref())
                .into_iter()
                .map(|name| (name, Presence { configured: true, ..Presence::default() }))
                .collect(),
        };
        let wanted = self.network.named(context);
        if let Some(wanted) = &wanted
            && !networks.contains_key(wanted)
        {
            return Err(Error::new(Exit::NoSuchObject, format!("there is no network {wanted}"))
                .hint(format!("\"sudo meshctl init {wanted}\" makes it")));
        }
        if networks.is_empty() {
            findings.warn(
                "networks",
                "there is no network on this host that this user can see",
                "sudo meshctl init mesh0",
            );
        }
        for (name, presence) in &networks {
            if wanted.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            findings.network = Some(name.to_string());
            let state = match &bus {
                Ok(bus) if presence.running => describe(bus, name, &mut findings).await,
                _ => None,
            };
            let patient = Patient { name, presence, state };
            files::check(&patient, &mut findings);
            unit::check(&patient, bus.as_ref().ok(), &mut findings).await;
            links::check(&patient, bus.as_ref().ok(), &mut findings).await;
            udp::check(&patient, bus.as_ref().ok(), &mut findings).await;
        }
        findings.network = None;
        let names: Vec<&Instance> = networks.keys().collect();
        // Without the bus not every network is known; and who asks of one is told of that.
        if bus.is_ok() && wanted.is_none() {
            unit::check_unknown(crate::activation::DIR.as_ref(), &names, &mut findings);
        }
        links::check_shared(crate::conf::DIR.as_ref(), &names, &mut findings);
        udp::check_shared(crate::conf::DIR.as_ref(), &names, &mut findings);
        Ok(findings.all)
    }
}

/// What the daemon says of itself.
async fn describe(bus: &Bus, name: &Instance, findings: &mut Findings) -> Option<Network> {
    let answer = bus::within(bus::ANSWER, name.as_str(), async {
        bus.network(name).await?.describe().await.map_err(|error| bus::trouble(&error, name.as_str()))
    });
    match answer.await.map(|text| Network::from_json(&text).ok()) {
        Ok(Some(network)) => Some(network),
        Ok(None) => {
            findings.fail(
                "daemon",
                "it answers what makes no sense",
                format!("systemctl restart {}", name.unit()),
            );
            None
        }
        Err(error) => {
            findings.fail("daemon", error.to_string(), format!("systemctl restart {}", name.unit()));
            None
        }
    }
}

/// What people are told.
fn told(findings: &[Finding], failures: usize, warnings: usize) -> String {
    let mut text = String::new();
    for finding in findings {
        let level = match finding.level {
            Level::Ok => paint(style::GOOD, "OK  "),
            Level::Warn => paint(style::WARN, "WARN"),
            Level::Fail => paint(style::BAD, "FAIL"),
        };
        let subject = finding.network.as_deref().map_or_else(String::new, |name| format!("{name} "));
        let clean = crate::render::clean;
        text.push_str(&format!("{level}  {subject}{}: {}\n", finding.check, clean(&finding.what)));
        for mend in finding.mend.iter().flat_map(|mend| mend.lines()) {
            text.push_str(&format!("      {} {}\n", paint(style::HINT, "mend:"), clean(mend)));
        }
    }
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let sum = match (failures, warnings) {
        (0, 0) => paint(style::GOOD, "all is well"),
        (0, _) => format!("nothing has to be mended, {}", plural(warnings, "warning")),
        _ => format!("{} to mend, {}", plural(failures, "thing"), plural(warnings, "warning")),
    };
    text + &sum + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_but_ok_has_its_mend_below_it() {
        let mut findings = Findings { network: Some("mesh0".to_owned()), ..Findings::default() };
        findings.ok("file", "fine");
        findings.fail("radio", "gone\u{1b}[0m", "plug it in\nlook again");
        let text = told(&findings.all, 1, 0);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "OK    mesh0 file: fine\nFAIL  mesh0 radio: gone\u{fffd}[0m\n      mend: plug it in\n      mend: look again\n\
             1 thing to mend, 0 warnings\n"
        );
    }
}
