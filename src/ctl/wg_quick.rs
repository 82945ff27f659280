//! Files of `wg-quick` and our own configurations, each made of the other.
//!
//! Both are the same dialect with other words in places, so that most of a file is taken over as it stands; what has no
//! counterpart is left out and named, never passed over. Functions of texts alone: nothing is read or written here.
//!
//! Invariants: the texts that come out hold secrets, and grow in place; no message holds a value that could be one. Whatever
//! goes in, nothing panics.

mod export;
mod import;

use zeroize::Zeroizing;

pub(crate) use export::export;
pub(crate) use import::import;

/// A file that was made of another.
#[derive(Debug)]
pub(crate) struct Translated {
    /// The file.
    pub text: Zeroizing<String>,
    /// What is different in it, for people: one sentence each, in the order of the file that it was made of.
    pub told: Vec<String>,
}

/// One `Key = value`, as found.
#[derive(Debug, Clone, Copy)]
struct Entry<'t> {
    line: usize,
    key: &'t str,
    value: &'t str,
}

/// One section, as found.
#[derive(Debug)]
struct Section<'t> {
    name: &'t str,
    entries: Vec<Entry<'t>>,
    /// The comment right above its header or right below it, where people and scripts keep the peer's name.
    comment: Option<&'t str>,
}

impl<'t> Section<'t> {
    /// The values of a key, however its letters are written, those between commas one by one.
    fn all(&self, key: &str) -> Vec<&'t str> {
        let entries = self.entries.iter().filter(|entry| entry.key.eq_ignore_ascii_case(key));
        entries
            .flat_map(|entry| entry.value.split(',').map(str::trim))
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// The value of a key that has one: the last one counts, as for `wg`.
    fn one(&self, key: &str) -> Option<&'t str> {
        self.entry(key).map(|entry| entry.value)
    }

    fn entry(&self, key: &str) -> Option<Entry<'t>> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.key.eq_ignore_ascii_case(key) && !entry.value.is_empty())
            .copied()
    }
}

/// Cuts a text into sections. A line that is nothing is told by its number.
fn sections(text: &str) -> Result<Vec<Section<'_>>, String> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut above = None;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, content) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(comment) = content.strip_prefix('#') {
            let comment = comment.trim();
            match sections.last_mut().filter(|section| section.entries.is_empty()) {
                Some(section) => section.comment = section.comment.or(Some(comment)),
                None => above = Some(comment),
            }
            continue;
        }
        let content = content.split('#').next().unwrap_or_default().trim();
        if content.is_empty() || content.starts_with(';') {
            above = None;
        } else if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push(Section { name: name.trim(), entries: Vec::new(), comment: above.take() });
        } else {
            above = None;
            let entry = content.split_once('=').zip(sections.last_mut());
            let ((key, value), section) = entry
                .ok_or_else(|| format!("line {line} is neither a section nor a \"Key = value\" in one"))?;
            section.entries.push(Entry { line, key: key.trim(), value: value.trim() });
        }
    }
    Ok(sections)
}

/// Adds a line to a text.
fn put(text: &mut Zeroizing<String>, key: &str, value: &str) {
    let wanted = key.len() + value.len() + 4;
    if text.capacity() - text.len() < wanted {
        // A string that grows by itself leaves a copy of what it held behind.
        let mut larger = Zeroizing::new(String::with_capacity((text.len() + wanted) * 2));
        larger.push_str(text);
        *text = larger;
    }
    text.extend([key, " = ", value, "\n"]);
}

#[cfg(test)]
mod tests;
