//! What is typed at hosts' prompts and what comes back, beside what README.md shows of it.
//!
//! Keys, numbers and times differ each time: [`masked`] makes them the same, and nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::machine::Machine;
use meshnet_system::workspace;

/// Where it is typed: what packages are installed from lies there.
pub const DIR: &str = "/tmp";

/// Words that make a time of the number before them.
const UNITS: [&str; 10] = ["ms", "s", "min", "h", "second", "seconds", "minute", "minutes", "hour", "hours"];

/// What was typed at which host, and what it printed.
#[derive(Debug, Default)]
pub struct Transcript(String);

/// One line at a prompt, with what follows until the next.
#[derive(Debug, PartialEq, Eq)]
struct Exchange {
    typed: String,
    printed: Vec<String>,
}

impl Transcript {
    /// Returns all of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Types a line at a host's root prompt; returns what comes back, which must be success.
    ///
    /// # Errors
    /// If it fails, with what it prints.
    pub fn types(&mut self, machine: &Machine, line: &str) -> Result<String> {
        let printed = self.prompt(machine, line)?;
        self.0.push_str(&printed);
        Ok(printed)
    }

    /// The same for what an air that lost something may spoil: it is typed again, and the best is kept.
    ///
    /// # Errors
    /// If it fails, or nothing that is `wanted` comes back of three.
    pub fn types_until(&mut self, machine: &Machine, line: &str, wanted: &str) -> Result<()> {
        let before = self.0.len();
        for _ in 0..3 {
            self.0.truncate(before);
            if self.types(machine, line)?.contains(wanted) {
                return Ok(());
            }
        }
        anyhow::bail!("{line}: three times without {wanted:?}: {}", &self.0[before..])
    }

    /// The same for a package manager, of whose words only the end is kept.
    ///
    /// # Errors
    /// If it fails, with what it prints.
    pub fn installs(&mut self, machine: &Machine, line: &str) -> Result<()> {
        let printed = self.prompt(machine, line)?;
        self.0.push_str("…\n");
        for line in printed.lines().filter(|line| line.starts_with("Setting up ")) {
            self.0.push_str(line);
            self.0.push('\n');
        }
        Ok(())
    }

    fn prompt(&mut self, machine: &Machine, line: &str) -> Result<String> {
        self.0.push_str(&format!("{}# {line}\n", machine.name()));
        let shell = format!("cd {DIR}; export DEBIAN_FRONTEND=noninteractive COLUMNS=100; exec 2>&1; {line}");
        let shell = shell.replace("apt install", "apt-get install --yes");
        let printed = machine.command(&["sh", "-c", &shell]).limit(Duration::from_secs(180)).succeed();
        printed.inspect_err(|error| self.0.push_str(&format!("{error:#}")))
    }

    /// Sees that a section of README.md shows the same lines typed in the same order, and what came back of each.
    ///
    /// # Errors
    /// If it does not: with the first that differs.
    pub fn is_shown_below(&self, heading: &str) -> Result<()> {
        self.compare(heading, |exchange| exchange)
    }

    /// The same for a section that shows what is typed alone.
    ///
    /// # Errors
    /// If it does not: with the first that differs.
    pub fn is_typed_below(&self, heading: &str) -> Result<()> {
        self.compare(heading, |exchange| Exchange { printed: Vec::new(), ..exchange })
    }

    fn compare(&self, heading: &str, what: impl Fn(Exchange) -> Exchange) -> Result<()> {
        let readme = std::fs::read_to_string(workspace().join("README.md"))?;
        let shown = exchanges(code_below(&readme, heading)?);
        let found = exchanges(self.0.lines());
        for (shown, found) in shown.into_iter().map(&what).zip(found.into_iter().map(&what)) {
            ensure!(
                shown == found,
                "README.md shows, with numbers masked: {shown:#?}\nand it was: {found:#?}"
            );
        }
        let count = |lines: Vec<Exchange>| lines.len();
        let (shown, found) =
            (count(exchanges(code_below(&readme, heading)?)), count(exchanges(self.0.lines())));
        ensure!(shown == found, "README.md shows {shown} lines typed, and there were {found}");
        Ok(())
    }
}

/// Finds the line for the other side in what `meshctl` printed.
///
/// # Errors
/// If there is none.
pub fn invitation(printed: &str) -> Result<String> {
    let line = printed.lines().find(|line| line.starts_with("meshnet:1,"));
    Ok(line.with_context(|| format!("no line for the other side: {printed}"))?.to_owned())
}

/// The first block of code below a heading.
fn code_below<'a>(readme: &'a str, heading: &str) -> Result<impl Iterator<Item = &'a str>> {
    let (_, section) =
        readme.split_once(&format!("\n## {heading}\n")).with_context(|| format!("no section {heading}"))?;
    let code = section.lines().skip_while(|line| !line.starts_with("    "));
    Ok(code
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| line.get(4..).unwrap_or("")))
}

/// Takes a transcript apart. What is typed twice counts twice, and a line that comes several times in an answer once.
fn exchanges<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    for line in lines {
        if line.starts_with("cabin# ") || line.starts_with("summit# ") {
            // What README.md says of a line stands behind it.
            let typed = line.split("  #").next().unwrap_or(line).trim_end();
            // An invitation may be shown by its beginning.
            let typed = typed.split("meshnet:1,").next().unwrap_or(typed);
            all.push(Exchange { typed: typed.to_owned(), printed: Vec::new() });
        } else if let Some(last) = all.last_mut() {
            let line = masked(line);
            if !line.is_empty() && !last.printed.contains(&line) {
                last.printed.push(line);
            }
        }
    }
    all
}

/// Returns a line with every key, number and time replaced by a word for it, and single spaces: columns are as wide as what is
/// in them.
fn masked(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let core = word.trim_matches(['(', ')', ',', ':']);
        let mask = mask(core);
        let last = words.last().map_or("", String::as_str).trim_start_matches('(');
        let is_time = (UNITS.contains(&core) && last == "NUMBER")
            || (core == "now" && last == "just")
            || (core == "ago" && last == "TIME");
        if is_time {
            let before = words.pop().unwrap_or_default();
            let open = if before.starts_with('(') { "(" } else { "" };
            let close = &word[word.find(core).unwrap_or(0) + core.len()..];
            words.push(format!("{open}TIME{close}"));
        } else if core.is_empty() {
            words.push(word.to_owned());
        } else {
            words.push(word.replacen(core, &mask, 1));
        }
    }
    // "59 min 59 s" is one time, as "1 h" is.
    words.dedup_by(|next, last| {
        last == "TIME" && next.starts_with("TIME") && {
            last.clone_from(next);
            true
        }
    });
    words.join(" ")
}

/// The word for a key or number; any other word itself.
fn mask(word: &str) -> String {
    let is_number = |word: &str| word.parse::<f64>().is_ok_and(f64::is_finite);
    if word.starts_with("meshnet:1,") {
        let fields = word.split(',').map(|field| match field.split_once('=') {
            Some((name @ ("key" | "to" | "sum"), _)) => format!("{name}=KEY"),
            _ => field.to_owned(),
        });
        fields.collect::<Vec<_>>().join(",")
    } else if word.len() == 44 && word.ends_with('=') {
        "KEY".to_owned()
    } else if word.split('/').all(is_number) || word.strip_suffix("ms").is_some_and(is_number) {
        "NUMBER".to_owned()
    } else if let Some((name, value)) = word.split_once('=')
        && is_number(value)
    {
        format!("{name}=NUMBER")
    } else {
        word.to_owned()
    }
}

#[test]
fn what_readme_shows_is_itself_and_nothing_that_differs_by_a_word_or_a_line() -> Result<()> {
    const HEADING: &str = "Your first network in five minutes";
    let readme = std::fs::read_to_string(workspace().join("README.md"))?;
    let shown: Vec<&str> = code_below(&readme, HEADING)?.collect();
    Transcript(shown.join("\n")).is_shown_below(HEADING)?;
    for (word, other) in
        [("(established)", "(handshaking)"), ("meshctl show", "meshctl view"), ("tier: radio", "")]
    {
        ensure!(
            Transcript(shown.join("\n").replacen(word, other, 1)).is_shown_below(HEADING).is_err(),
            "{word}"
        );
    }
    let shorter = shown.iter().rposition(|line| line.starts_with("summit# ")).context("somebody types")?;
    ensure!(Transcript(shown[..shorter].join("\n")).is_shown_below(HEADING).is_err(), "one line less");
    Ok(())
}

#[test]
fn keys_numbers_and_times_are_masked_and_nothing_else() {
    for (line, expected) in [
        ("  running for: 3 seconds", "running for: TIME"),
        ("hears: !a1000001, just now, directly, 6.0 dB", "hears: !a1000001, TIME, directly, NUMBER dB"),
        ("latest handshake: 2 seconds ago", "latest handshake: TIME"),
        ("106 ms of 59 min 59 s  just now", "TIME of TIME"),
        ("106 ms of 1 h  just now", "TIME of TIME"),
        ("1: 223 ms (the air alone takes 161 ms)", "NUMBER: TIME (the air alone takes TIME)"),
        ("rtt = 176.609/208.235/241.232/26.400 ms", "rtt = TIME"),
        (
            "64 bytes from 10.42.0.2: icmp_seq=1 ttl=64",
            "NUMBER bytes from 10.42.0.2: icmp_seq=NUMBER ttl=NUMBER",
        ),
        ("3 received, 0% packet loss, time 2003ms", "NUMBER received, 0% packet loss, time NUMBER"),
        ("version: 0.1.0", "version: 0.1.0"),
        ("public key: XhFVuMXX5kkodMyHz4sglQ5gZhQleQXUpmuZfdwKiyU=", "public key: KEY"),
        (
            "meshnet:1,key=XhFV,ip=10.42.0.2/24,mtu=180,sum=f8aa",
            "meshnet:1,key=KEY,ip=10.42.0.2/24,mtu=180,sum=KEY",
        ),
    ] {
        assert_eq!(masked(line), expected);
    }
}
