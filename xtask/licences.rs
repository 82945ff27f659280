//! `cargo xtask licences`: whose work is in a binary, and on what terms. Licences like MIT and BSD want their text and the
//! authors' names to go with every copy, MPL a hint to the source; so a file with both goes into each package.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use meshnet_system::{programs, workspace};
use serde::Deserialize;

/// What the files with a licence or an author's name are called, in small letters.
const BEGINNINGS: [&str; 6] = ["licen", "copying", "copyright", "notice", "unlicense", "authors"];

/// Writes the licences of the libraries in our programs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Whose libraries: crates of this workspace
    #[arg(value_name = "CRATE", required = true)]
    programs: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
}

/// Writes them.
///
/// # Errors
/// If Cargo cannot tell what there is, or a library's files cannot be read.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let used = used(&arguments.programs)?;
    let metadata: Metadata = serde_json::from_slice(&cargo(&["metadata", "--format-version=1"])?)?;
    let packages: Vec<Package> = metadata
        .packages
        .into_iter()
        .filter(|package| package.source.is_some() && used.contains(&package.id()))
        .collect();
    ensure!(!packages.is_empty(), "no library is in {}", arguments.programs.join(", "));
    fs::write(&arguments.out, text(&packages)?).with_context(|| arguments.out.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

impl Package {
    /// As `cargo tree` writes it.
    fn id(&self) -> String {
        format!("{} v{}", self.name, self.version)
    }
}

/// Returns what the programs are linked with, as names and versions.
fn used(programs: &[String]) -> Result<BTreeSet<String>> {
    let mut arguments = vec!["tree", "--edges=normal", "--prefix=none", "--format={p}"];
    for program in programs {
        arguments.extend(["--package", program]);
    }
    let tree = String::from_utf8(cargo(&arguments)?)?;
    Ok(tree.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect())
}

/// Writes a list of the libraries, then every text once, since most licences are word for word those of others.
fn text(packages: &[Package]) -> Result<String> {
    let mut list = String::from(
        "These libraries are linked into the programs of this package. The source of each is at\n\
         https://crates.io/crates/NAME/VERSION; where a licence leaves a choice, it stays yours.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let licence = package.license.as_deref().unwrap_or("see below");
        writeln!(list, "{} {}: {licence}", package.name, package.version)?;
        if !package.authors.is_empty() {
            writeln!(list, "    by {}", package.authors.join(", "))?;
        }
        let dir = package.manifest_path.parent().context("a manifest is in a directory")?;
        for file in files(dir).with_context(|| dir.display().to_string())? {
            let text = String::from_utf8_lossy(&fs::read(&file)?).trim().replace('\r', "");
            texts.entry(text).or_default().push(package.id());
        }
    }
    for (text, packages) in texts.iter().filter(|(text, _)| !text.is_empty()) {
        write!(list, "\n{}\n{}\n\n{text}\n", "-".repeat(78), packages.join(", "))?;
    }
    Ok(list)
}

/// Returns the files in a library's source that say whose it is and who may use it: its own, and those of what it bundles.
fn files(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = files_at(dir)?;
    let bundled = dir.join("third_party");
    if bundled.is_dir() {
        for entry in fs::read_dir(bundled)? {
            let path = entry?.path();
            if path.is_dir() {
                found.extend(files_at(&path)?);
            }
        }
    }
    Ok(found)
}

/// Returns those that lie in this folder itself.
fn files_at(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) && entry.path().is_file() {
            found.insert(entry.path());
        }
    }
    Ok(found)
}

/// Asks Cargo about the workspace, without a network.
fn cargo(arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(programs::cargo())
        .current_dir(workspace())
        .args(arguments)
        .args(["--locked", "--offline"])
        .output()
        .context("running cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {}: {said}", arguments[0]);
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_of_the_daemon_is_listed_with_a_licence_text() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("libraries");
        run(&Arguments { out: out.clone(), programs: vec!["meshnetd".into()] }).unwrap();
        let text = fs::read_to_string(out).unwrap();
        for library in ["tokio", "x25519-dalek", "serialport"] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{library} "))), "{library}");
        }
        assert!(text.contains("Permission is hereby granted") && text.contains("Mozilla Public License"));
        assert!(!text.contains("meshnet-proto"), "our own work is under the package's own licence");
    }
}
