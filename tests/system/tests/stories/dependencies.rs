//! Who may use whom (ARCHITECTURE.md), and whose work may be used at all (deny.toml).

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::{programs, workspace};
use serde_json::Value;

/// Returns the names of all packages that one of ours is built from, itself included.
fn tree(package: &str) -> Result<BTreeSet<String>> {
    let output = Command::new(programs::cargo())
        .current_dir(workspace())
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(["--target", "all"])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[test]
fn the_core_is_built_without_input_output_clock_or_randomness() -> Result<()> {
    let tree = tree("meshnet-proto")?;
    for banned in ["tokio", "mio", "zbus", "nix", "rustix", "getrandom", "socket2", "tun"] {
        ensure!(!tree.contains(banned), "meshnet-proto depends on {banned}");
    }
    Ok(())
}

#[test]
fn our_crates_use_each_other_only_as_the_architecture_says() -> Result<()> {
    let allowed = [
        ("meshnet-proto", &[][..]),
        ("meshnet-radiosim", &["meshnet-proto"]),
        ("meshnet-bus", &[]),
        ("meshnetd", &["meshnet-proto", "meshnet-bus"]),
        ("meshctl", &["meshnet-proto", "meshnet-bus"]),
        // Their command lines and interfaces are what it writes down.
        (
            "xtask",
            &["meshnet-proto", "meshnet-bus", "meshnet-radiosim", "meshnetd", "meshctl", "meshnet-system"],
        ),
    ];
    let ours = [
        "meshnet-proto",
        "meshnet-bus",
        "meshnet-radiosim",
        "meshnetd",
        "meshctl",
        "meshnet-sim",
        "meshnet-system",
        "xtask",
    ];
    for (package, may_use) in allowed {
        let tree = tree(package)?;
        for other in ours.iter().filter(|other| **other != package && tree.contains(**other)) {
            ensure!(may_use.contains(other), "{package} uses {other}");
        }
    }
    Ok(())
}

/// A second reading of `deny.toml` for machines without `cargo deny`.
#[test]
fn every_dependency_is_from_the_registry_and_under_a_licence_of_our_list() -> Result<()> {
    let allowed = licences()?;
    let output = Command::new(programs::cargo())
        .current_dir(workspace())
        .args(["metadata", "--format-version=1", "--locked"])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    for package in packages {
        let name = &package["name"];
        let licence = package["license"].as_str().with_context(|| format!("{name} states no licence"))?;
        ensure!(permits(licence, &allowed), "{name} is under {licence}");
        let Some(source) = package["source"].as_str() else { continue };
        ensure!(source == "registry+https://github.com/rust-lang/crates.io-index", "{name} is from {source}");
    }
    ensure!(packages.len() > 50, "only {} packages were looked at", packages.len());
    Ok(())
}

/// Returns the list in `deny.toml`.
fn licences() -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(workspace().join("deny.toml"))?;
    let list =
        text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).context("no allow list")?.0;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be met by allowed licences alone. Of its grammar, crates use `OR` (once written `/`),
/// `AND`, `WITH`, and parentheses around an alternative.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let flat = expression.replace('/', " OR ").replace(['(', ')'], "");
    if expression.contains('(') {
        // `(A OR B) AND C`: every part in its own right.
        return flat.split(" AND ").all(|part| permits(part, allowed));
    }
    flat.split(" OR ").any(|choice| choice.split(" AND ").all(|licence| allowed.contains(licence.trim())))
}

#[test]
fn licence_expressions_are_understood() {
    let allowed: BTreeSet<String> = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
    for good in ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(permits(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR Apache-2.0) AND GPL-3.0-only", ""] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}
