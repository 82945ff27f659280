//! docs/security.md names a test for each claim. A test that is renamed, or goes, must not leave its name behind there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meshnet_system::workspace;

/// The page.
const PAGE: &str = "docs/security.md";
/// Where the tests of a prefix are; without one, they are the core's.
const SUITES: [(&str, &str); 6] = [
    ("", "src/proto"),
    ("meshnetd:", "src/daemon"),
    ("meshctl:", "src/ctl"),
    ("sim:", "tests/sim/tests"),
    ("stories:", "tests/system/tests/stories"),
    ("service:", "tests/system/tests/service"),
];
/// What makes of names tests, by a macro of its file: each stands at the beginning of a line, before a colon.
const MACRO: &str = "macro_rules!";

/// A test as the page names it: the folder of its suite, and its path there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    folder: &'static str,
    path: Vec<String>,
}

impl Named {
    /// Reads what stands between backticks; `None` if it names no test.
    fn read(text: &str) -> Option<Self> {
        let prefix = text.find(':').filter(|&at| !text[at..].starts_with("::")).map_or(0, |at| at + 1);
        let (prefix, path) = text.split_at(prefix);
        let (_, folder) = SUITES.into_iter().find(|(suite, _)| *suite == prefix)?;
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        let word = |word: &String| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        (path.len() > 1 && path.iter().all(word)).then_some(Self { folder, path })
    }

    /// Whether there is such a test: in the file of one of the modules on its path, in the modules that follow in there.
    fn exists(&self, root: &Path) -> bool {
        let folder = root.join(self.folder);
        let (name, modules) = self.path.split_last().expect("a path has a name");
        (0..=modules.len()).any(|depth| {
            let file = match depth {
                0 => folder.join("lib.rs"),
                _ => modules[..depth].iter().collect::<PathBuf>().with_extension("rs"),
            };
            let Ok(source) = fs::read_to_string(folder.join(file)) else { return false };
            modules[depth..].iter().all(|module| has_line(&source, &format!("mod {module} {{")))
                && is_test(&source, name)
        })
    }
}

/// Whether a line begins so, whatever it may be seen by.
fn has_line(source: &str, beginning: &str) -> bool {
    source.lines().any(|line| line.trim_start().trim_start_matches("pub(crate) ").starts_with(beginning))
}

/// Whether a source has a test of this name.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let attributed = |at: usize| {
        let above =
            lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    };
    let written = lines
        .iter()
        .enumerate()
        .any(|(at, line)| begins.iter().any(|begin| line.starts_with(begin)) && attributed(at));
    let made = || lines.iter().any(|line| line.starts_with(&format!("{name}: ")));
    written || (source.contains(MACRO) && lines.contains(&"fn $name() -> Result<()> {") && made())
}

/// The tests that the page names.
fn named(page: &str) -> BTreeSet<Named> {
    page.split('`').skip(1).step_by(2).filter_map(Named::read).collect()
}

#[test]
fn every_test_that_a_claim_rests_on_exists() {
    let page = fs::read_to_string(workspace().join(PAGE)).unwrap();
    let named = named(&page);
    assert!(named.len() >= 80, "only {} names were understood", named.len());
    for (suite, folder) in SUITES {
        assert!(named.iter().any(|test| test.folder == folder), "none of {suite:?} was understood");
    }
    let gone: Vec<_> = named.iter().filter(|test| !test.exists(workspace())).collect();
    assert!(gone.is_empty(), "{PAGE} names tests that are not there: {gone:#?}");
}

#[test]
fn nothing_that_looks_like_a_test_is_passed_over() {
    let page = fs::read_to_string(workspace().join(PAGE)).unwrap();
    for text in page.split('`').skip(1).step_by(2).filter(|text| text.contains("::")) {
        assert!(Named::read(text).is_some(), "{text:?} is no name of a test as this page writes them");
    }
}

#[test]
fn only_a_test_at_its_place_is_found() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("src/proto/wg");
    fs::create_dir_all(&folder).unwrap();
    let source = "mod tests {\n    #[test]\n    fn it_holds() {}\n\n    fn it_helps() {}\n}\n";
    fs::write(folder.join("noise.rs"), source).unwrap();
    let exists = |text: &str| Named::read(text).unwrap().exists(root.path());
    assert!(exists("wg::noise::tests::it_holds"));
    assert!(!exists("wg::noise::tests::it_helps"), "it is no test");
    assert!(!exists("wg::noise::tests::it_held"));
    assert!(!exists("wg::noise::other::it_holds"), "another module");
    assert!(!exists("wg::tests::it_holds"), "another file");
    assert!(!exists("meshnetd:wg::noise::tests::it_holds"), "another crate");
    assert_eq!(Named::read("systemctl status"), None);
    assert_eq!(Named::read("unheard:wg::tests::it_holds"), None);
}
