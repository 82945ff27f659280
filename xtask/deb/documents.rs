//! What the package installs to be read: its links must lead somewhere there too, not only among the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use meshnet_system::workspace;

/// Where documents go.
const DOCUMENTS: &str = "usr/share/doc/meshnet";

/// Installed documents: where each goes, and where it is among the sources.
fn installed() -> BTreeMap<PathBuf, PathBuf> {
    let list = |name: &str| fs::read_to_string(workspace().join("packaging/debian").join(name)).unwrap();
    let mut wanted: Vec<(String, String)> =
        list("meshnet.docs").lines().map(|line| (line.to_owned(), DOCUMENTS.to_owned())).collect();
    wanted.extend(
        list("meshnet.install")
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, to)| to.starts_with(DOCUMENTS))
            .map(|(from, to)| (from.to_owned(), to.to_owned())),
    );
    let mut found = BTreeMap::new();
    for (from, to) in wanted.iter().filter(|(from, _)| !from.starts_with("debian/generated/")) {
        let files = sources(Path::new(from));
        assert!(!files.is_empty(), "{from} names no file");
        found.extend(files.into_iter().map(|file| (Path::new(to).join(file.file_name().unwrap()), file)));
    }
    found
}

/// The files that a line of debhelper names, as far as such lines are in use: a file, or all of one kind in a folder.
fn sources(from: &Path) -> Vec<PathBuf> {
    let Some(kind) = from.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix('*'))
    else {
        return Vec::from_iter(workspace().join(from).is_file().then(|| workspace().join(from)));
    };
    let folder = workspace().join(from.parent().unwrap());
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_str().is_some_and(|path| path.ends_with(kind))).collect()
}

/// Where a text's links lead, other sites and places in itself left out.
fn links(text: &str) -> BTreeSet<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files =
        targets.filter(|target| !target.contains("://")).filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty()).collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[test]
fn every_link_of_an_installed_document_leads_to_an_installed_one() {
    let installed = installed();
    let mut count = 0;
    for (place, source) in
        installed.iter().filter(|(place, _)| place.extension().is_some_and(|kind| kind == "md"))
    {
        for link in links(&fs::read_to_string(source).unwrap()) {
            let target = plain(&place.parent().unwrap().join(link));
            assert!(installed.contains_key(&target), "{}: {link} is not installed", place.display());
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} links were found");
}

#[test]
fn links_are_told_from_what_only_looks_like_them() {
    let text = "[a](docs/a.md#x) [b](https://example.org/b) [c](#c) `[d]` (e.md)\n[f](../f.md)";
    assert_eq!(links(text), BTreeSet::from(["docs/a.md", "../f.md"]));
    assert_eq!(plain(Path::new("a/docs/../f.md")), Path::new("a/f.md"));
}

#[test]
fn documents_are_installed_under_the_name_that_links_use() {
    let rules = fs::read_to_string(workspace().join("packaging/debian/rules")).unwrap();
    assert!(rules.contains("\n\tdh_compress -X.md\n"), "dh_compress would make terse.md.gz of terse.md");
}
