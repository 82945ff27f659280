//! Manual pages of file formats, from the documents under `docs`.
//!
//! The documents are Markdown as we write it: headings, paragraphs, lists, tables, indented code; words in backquotes, stars
//! and links. A table becomes a list of terms: its first column the term, the last one the text, one between them the default.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use meshnet_system::workspace;

use super::roff;

/// The documents of each page, one after the other; its name, and what NAME says.
const PAGES: [(&[&str], &str, &str, &str); 2] = [
    (&["docs/configuration.md"], "meshnet.conf", "5", "a meshnet network's configuration file"),
    (
        &["docs/status.md", "docs/json.md"],
        "meshctl-json",
        "5",
        "the JSON that meshctl, Describe and meshnetd's status file have in common",
    ),
];

/// Writes them.
pub(super) fn write(folder: &Path) -> Result<()> {
    for (sources, name, section, what) in PAGES {
        let version = env!("CARGO_PKG_VERSION");
        let mut page = format!(".TH {} {section} \"\" \"meshnet {version}\" meshnet\n", roff(name));
        page.push_str(&format!(".SH NAME\n{} \\- {what}\n.SH DESCRIPTION\n", roff(name)));
        for (index, source) in sources.iter().enumerate() {
            let text = fs::read_to_string(workspace().join(source))
                .with_context(|| format!("cannot read {source}"))?;
            // The first one's title says what the page's does.
            if let Some(title) = text.lines().find_map(|line| line.strip_prefix("# ")).filter(|_| index > 0) {
                page.push_str(&heading(title));
            }
            page.push_str(&body(&text));
        }
        page.push_str(".SH SEE ALSO\nmeshctl(1), meshnetd(8), org.meshnet1(5)\n");
        let file = folder.join(format!("{name}.{section}"));
        fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The document without its title.
fn body(text: &str) -> String {
    let mut page = String::new();
    for block in blocks(text) {
        let first = block.first().copied().unwrap_or_default();
        if first.starts_with("# ") {
            continue;
        } else if let Some(title) = first.strip_prefix("## ") {
            page.push_str(&heading(title));
            page.push_str(&paragraph(block.get(1..).unwrap_or_default()));
        } else if first.starts_with("    ") {
            let code: Vec<&str> =
                block.iter().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
            page.push_str(&format!(".PP\n.RS 4\n.nf\n{}\n.fi\n.RE\n", roff(&code.join("\n"))));
        } else if first.starts_with('|') {
            page.push_str(&table(&block));
        } else if first.starts_with("- ") {
            page.push_str(&list(&block));
        } else {
            page.push_str(&paragraph(&block));
        }
    }
    page
}

/// A section's beginning, without styles.
fn heading(title: &str) -> String {
    let title = inline(title).to_uppercase();
    format!(".SH {}\n", title.replace("\\FB", "").replace("\\FR", "").replace("\\FI", ""))
}

/// Lines that belong together: up to an empty one, though code goes on after one if more code follows.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.trim().is_empty() {
            open = false;
            continue;
        }
        let code = |line: &str| line.starts_with("    ");
        match blocks.last_mut() {
            Some(block) if open => block.push(line),
            Some(block) if code(line) && block.first().is_some_and(|first| code(first)) => {
                block.extend(["", line]);
            }
            Some(_) | None => blocks.push(vec![line]),
        }
        open = true;
    }
    blocks
}

fn paragraph(lines: &[&str]) -> String {
    if lines.is_empty() { String::new() } else { format!(".PP\n{}\n", inline(&lines.join("\n"))) }
}

/// Items, each with the lines that go on below it.
fn list(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        match line.strip_prefix("- ") {
            Some(item) => text.push_str(&format!(".IP \\(bu 2\n{}\n", inline(item))),
            None => text.push_str(&format!("{}\n", inline(line.trim_start()))),
        }
    }
    text
}

/// Terms and their text; the heading and the rule below it say nothing that the terms do not.
fn table(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines.iter().skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(term), Some(meaning)) = (cells.first(), cells.last()) else { continue };
        text.push_str(&format!(".TP\n{}\n", inline(term)));
        match cells.get(1) {
            Some(default) if cells.len() > 2 && !default.is_empty() => {
                text.push_str(&format!("{}\n.br\nDefault: {}\n", inline(meaning), inline(default)));
            }
            Some(_) | None => text.push_str(&format!("{}\n", inline(meaning))),
        }
    }
    text
}

/// Words in backquotes and double stars bold, in single stars slanted; of a link its text.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = span(rest, "`", "B")
            .or_else(|| span(rest, "**", "B"))
            .or_else(|| span(rest, "*", "I"))
            .or_else(|| link(rest));
        match taken {
            Some((styled, length)) => {
                out.push_str(&styled);
                rest = &rest[length..];
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    // The marks of a style were put in as one character each, so that escaping leaves them alone.
    roff(&out).replace('\u{1}', "\\fB").replace('\u{2}', "\\fI").replace('\u{3}', "\\fR")
}

/// Text between two marks, and how much it takes.
fn span(text: &str, mark: &str, style: &str) -> Option<(String, usize)> {
    let inside = text.strip_prefix(mark)?;
    let end = inside.find(mark).filter(|&end| end > 0)?;
    let start = if style == "B" { '\u{1}' } else { '\u{2}' };
    Some((format!("{start}{}\u{3}", &inside[..end]), end + 2 * mark.len()))
}

fn link(text: &str) -> Option<(String, usize)> {
    let (label, rest) = text.strip_prefix('[')?.split_once("](")?;
    let target = rest.split_once(')')?.0;
    (!label.contains(['[', ']'])).then(|| (label.to_owned(), label.len() + target.len() + "[]()".len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_page() {
        let text = "# Title\n\nSee `a-b` and [that](x.md).\n\n    .code \\n\n\n    more\n\n## Keys\n\n| key | default | meaning |\n|---|---|---|\n\
                    | `K` **+** | 7 | *Several*. |\n\n- one\n  two\n";
        let page = body(text);
        assert_eq!(
            page,
            ".PP\nSee \\fBa\\-b\\fR and that.\n.PP\n.RS 4\n.nf\n\\&.code \\en\n\nmore\n.fi\n.RE\n.SH KEYS\n\
             .TP\n\\fBK\\fR \\fB+\\fR\n\\fISeveral\\fR.\n.br\nDefault: 7\n.IP \\(bu 2\none\ntwo\n"
        );
    }

    #[test]
    fn every_key_of_the_configuration_is_in_its_page() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("meshnet.conf.5")).unwrap();
        for key in [
            "PrivateKey",
            "Address",
            "MeshtasticConnect",
            "AllowedIPs",
            "RadioPublicKey",
            "RekeyAfterMessages",
        ] {
            assert!(page.contains(&format!("\n.TP\n\\fB{key}\\fR")), "{key}");
        }
    }

    #[test]
    fn the_page_of_the_json_tells_of_the_network_and_of_each_verb() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("meshctl-json.5")).unwrap();
        for term in ["interface", "show", "init", "doctor", "monitor"] {
            assert!(page.contains(&format!("\n.TP\n\\fB{term}\\fR")), "{term}");
        }
        assert!(page.contains("\n.SH WHAT MESHCTL \\-\\-JSON ANSWERS\n"), "{page}");
    }
}
