//! Collects what is wrong while a configuration is read on.

use std::collections::BTreeMap;

use super::super::error::{ConfigError, Severity, looks_like_key, quoted};
use super::super::syntax::{Entry, Section};
use super::super::value::Wrong;

/// How many problems are told: more than anybody reads, and a bound for a file that is something else altogether.
const MAX_FINDINGS: usize = 1000;

/// The problems so far.
pub(super) struct Findings {
    file: String,
    all: Vec<ConfigError>,
    untold: usize,
}

impl Findings {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), all: Vec::new(), untold: 0 }
    }

    fn push(
        &mut self,
        severity: Severity,
        line: Option<u32>,
        key: Option<&str>,
        what: impl Into<String>,
        right: impl Into<String>,
    ) {
        if self.all.len() >= MAX_FINDINGS {
            self.untold += 1;
            return;
        }
        self.all.push(ConfigError {
            file: self.file.clone(),
            line,
            key: key.map(str::to_owned),
            what: what.into(),
            right: right.into(),
            severity,
            exposes_secret: false,
        });
    }

    /// An error about a key's value.
    pub(super) fn error(&mut self, line: u32, key: &str, what: impl Into<String>, right: impl Into<String>) {
        self.push(Severity::Error, Some(line), Some(key), what, right);
    }

    /// A warning about a key's value.
    pub(super) fn warning(
        &mut self,
        line: u32,
        key: &str,
        what: impl Into<String>,
        right: impl Into<String>,
    ) {
        self.push(Severity::Warning, Some(line), Some(key), what, right);
    }

    /// An error about a section as a whole.
    pub(super) fn section(&mut self, section: &Section<'_>, what: impl Into<String>, right: &str) {
        self.push(Severity::Error, Some(section.line), None, what, right);
    }

    /// An error about a line that is no entry.
    pub(super) fn line(&mut self, line: u32, what: &str, right: &str) {
        self.push(Severity::Error, Some(line), None, what, right);
    }

    /// An error about the file as a whole.
    pub(super) fn whole(&mut self, what: impl Into<String>, right: impl Into<String>) {
        self.push(Severity::Error, None, None, what, right);
    }

    /// A warning about the file as a whole.
    pub(super) fn whole_warning(&mut self, what: impl Into<String>, right: impl Into<String>) {
        self.push(Severity::Warning, None, None, what, right);
    }

    /// Tells whether a value of this key is wrong.
    pub(super) fn has_line_error(&self, key: &str) -> bool {
        self.all.iter().any(|f| f.severity == Severity::Error && f.key.as_deref() == Some(key))
    }

    /// Takes what a reader of `value` returned; `None` once the error is noted.
    pub(super) fn take<T>(&mut self, entry: Entry<'_>, read: Result<T, Wrong>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err((what, right)) => {
                self.error(entry.line, entry.key, what, right);
                None
            }
        }
    }

    /// Everything, in the order of lines.
    pub(super) fn finish(mut self) -> Vec<ConfigError> {
        self.all.sort_by_key(|finding| finding.line.unwrap_or(u32::MAX));
        if self.untold > 0 {
            let what = format!("{} more", self.untold);
            self.all.push(ConfigError::file(&self.file, what, "mend these first"));
        }
        self.all
    }
}

/// A section's entries by key, once the unknown ones are told.
pub(super) struct Entries<'s, 't> {
    section: &'s Section<'t>,
    by_key: BTreeMap<&'t str, Vec<Entry<'t>>>,
}

/// Every key there is, with the section it belongs to: for hints.
const KEYS: [(&str, &[&str]); 3] =
    [("Interface", super::interface::KEYS), ("Link", super::link::KEYS), ("Peer", super::peer::KEYS)];

impl<'s, 't> Entries<'s, 't> {
    /// Sorts a section's entries by the keys that it may have.
    pub(super) fn new(
        section: &'s Section<'t>,
        known: &'static [&'static str],
        findings: &mut Findings,
    ) -> Self {
        let mut by_key: BTreeMap<&'t str, Vec<Entry<'t>>> = BTreeMap::new();
        for &entry in &section.entries {
            if known.contains(&entry.key) {
                by_key.entry(entry.key).or_default().push(entry);
            } else {
                tell_unknown_key(entry, section.name, known, findings);
            }
        }
        Self { section, by_key }
    }

    /// The one entry of a key. The last one counts, if there are several.
    pub(super) fn one(&self, key: &str, findings: &mut Findings) -> Option<Entry<'t>> {
        let entries = self.by_key.get(key)?;
        if let [first, .., last] = entries.as_slice() {
            let what = format!("given again (first in line {}); this one counts", first.line);
            findings.warning(last.line, key, what, "one line for it");
        }
        entries.last().copied()
    }

    /// The one entry of a key without which nothing goes.
    pub(super) fn required(&self, key: &str, example: &str, findings: &mut Findings) -> Option<Entry<'t>> {
        let entry = self.one(key, findings);
        if entry.is_none() {
            let what = format!("missing in [{}]", self.section.name);
            findings.error(self.section.line, key, what, format!("for example {key} = {example}"));
        }
        entry
    }

    /// All entries of a key, one for each value between commas. An empty value between commas is none.
    pub(super) fn list(&self, key: &str) -> Vec<Entry<'t>> {
        let entries = self.by_key.get(key).into_iter().flatten();
        entries
            .flat_map(|entry| {
                let values = entry.value.split(',').map(str::trim).filter(|value| !value.is_empty());
                values.map(|value| Entry { value, ..*entry })
            })
            .collect()
    }

    /// As [`Self::list`], for a key that has few values; if there are too many, that is told and there are none.
    pub(super) fn short_list(&self, key: &str, most: usize, findings: &mut Findings) -> Vec<Entry<'t>> {
        let mut list = self.list(key);
        if let Some(entry) = list.get(most) {
            findings.error(entry.line, key, format!("{} values", list.len()), format!("at most {most}"));
            list.truncate(0);
        }
        list
    }

    /// The section's name.
    pub(super) const fn section(&self) -> &'t str {
        self.section.name
    }

    /// The line of the key, if it is there.
    pub(super) fn line_of(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).and_then(|entries| entries.first()).map(|entry| entry.line)
    }

    /// Tells whether the key is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }
}

fn tell_unknown_key(
    entry: Entry<'_>,
    section: &str,
    known: &'static [&'static str],
    findings: &mut Findings,
) {
    let elsewhere = KEYS.iter().find(|(_, keys)| keys.contains(&entry.key));
    let right = match (nearest(entry.key, known.iter().copied()), elsewhere) {
        (_, Some((home, _))) => format!("it belongs to [{home}]"),
        (Some(key), None) => format!("did you mean {key}?"),
        (None, None) => format!("the keys of [{section}] are {}", known.join(", ")),
    };
    // What is left of the "=" may be a secret, if somebody forgot the key before it.
    let plain = !entry.key.is_empty() && entry.key.len() <= 32 && !looks_like_key(entry.key);
    let what = if plain { format!("unknown key {}", quoted(entry.key)) } else { "unknown key".to_owned() };
    findings.push(Severity::Error, Some(entry.line), None, what, right);
}

/// The candidate that `word` is most likely meant to be, if any is near enough.
pub(super) fn nearest(
    word: &str,
    candidates: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    /// Words longer than this are no misspelled key, and would cost time quadratic in their length.
    const LONGEST: usize = 32;
    if word.chars().count() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let distance = |candidate: &&str| edit_distance(&lower, &candidate.to_lowercase());
    let best = candidates.into_iter().min_by_key(distance)?;
    (distance(&best) <= 1 + best.len() / 4).then_some(best)
}

/// How many characters must be put in, left out or changed to make one word of the other (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_word_is_recognised_and_a_strange_one_is_not() {
        let words = ["PrivateKey", "Address", "MTU"];
        assert_eq!(nearest("privatekey", words), Some("PrivateKey"));
        assert_eq!(nearest("PrivatKey", words), Some("PrivateKey"));
        assert_eq!(nearest("Adress", words), Some("Address"));
        assert_eq!(nearest("MUT", words), None);
        assert_eq!(nearest("ListenPort", words), None);
        assert_eq!(nearest("", words), None);
    }
}
