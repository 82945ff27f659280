//! `cargo xtask deb`: the Debian packages, built the way Debian builds them.
//!
//! dpkg-buildpackage wants `debian/` at the top of a source tree and leaves its own files there, so it works on a copy
//! below `target/deb`; what Cargo builds lies beside the copy and outlives it, which makes a second build quick.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use meshnet_system::{programs, workspace};

use crate::{need, say};

mod changelog;
mod copy;
#[cfg(test)]
mod documents;
mod lint;

/// Builds the Debian packages and prints their paths.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the packages go
    #[arg(long, value_name = "DIR", default_value = "target/deb")]
    out: PathBuf,

    /// Append "+X" to the version, which makes it a later one
    #[arg(long, value_name = "X", value_parser = changelog::suffix)]
    version_suffix: Option<String>,

    /// See whether lintian and systemd have anything to say about them
    #[arg(long)]
    lint: bool,
}

/// Where everything of a build is.
struct Layout {
    /// The copy of the sources; dpkg-buildpackage puts what it makes beside it.
    source: PathBuf,
    /// Cargo's target directory.
    cargo: PathBuf,
}

/// Builds the packages.
///
/// # Errors
/// If something that it takes is missing and cannot be installed, if they do not build, or do not pass `--lint`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    need::tools(&[&need::BUILD_ESSENTIAL, &need::DEBHELPER])?;
    if arguments.lint {
        need::tools(&[&need::LINTIAN])?;
    }
    let base = workspace().join("target/deb");
    fs::create_dir_all(&base)?;
    let lock = File::create(base.join("lock"))?;
    lock.lock().context("waiting for another build of the packages")?;

    let layout = Layout { source: base.join("meshnet"), cargo: base.join("cargo") };
    prepare(&layout, arguments.version_suffix.as_deref())?;
    let made = build(&layout)?;
    if arguments.lint {
        say::step("Asking lintian and systemd");
        lint::check(&layout.source, &made)?;
    }
    deliver(&made, &arguments.out)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the copy be what the workspace is, with `debian/` where dpkg-buildpackage looks for it.
fn prepare(layout: &Layout, suffix: Option<&str>) -> Result<()> {
    let unwanted = [".git", "target", "packaging", "debian"];
    copy::mirror(workspace(), &layout.source, &unwanted).context("copying the sources")?;
    let debian = layout.source.join("debian");
    if debian.exists() {
        fs::remove_dir_all(&debian).context("removing what an earlier build left")?;
    }
    copy::mirror(&workspace().join("packaging/debian"), &debian, &[]).context("copying packaging/debian")?;
    if let Some(suffix) = suffix {
        changelog::extend(&debian.join("changelog"), suffix)?;
    }
    Ok(())
}

/// Builds, and returns the files that were made: packages and what describes them.
fn build(layout: &Layout) -> Result<Vec<PathBuf>> {
    say::step("Fetching the sources that Cargo.lock names");
    succeed(Command::new(programs::cargo()).args(["fetch", "--locked"]).current_dir(workspace()))?;

    say::step("Building the packages");
    let mut command = Command::new("dpkg-buildpackage");
    command
        .args(["--unsigned-source", "--unsigned-changes", "--build=binary"])
        // The compiler need not come from a Debian package.
        .arg("--build-profiles=pkg.meshnet.rustup")
        .current_dir(&layout.source)
        .env("CARGO_TARGET_DIR", &layout.cargo)
        .env("CARGO_HOME", cargo_home()?)
        // Ourselves, built already.
        .env("XTASK", std::env::current_exe().context("the path of this program")?)
        // The tests of the tree that the copy was made of are `cargo xtask test`.
        .env("DEB_BUILD_OPTIONS", "nocheck")
        // Standard output is for the paths.
        .stdout(std::io::stderr());
    succeed(&mut command)?;

    let beside = layout.source.parent().context("the sources have a parent")?;
    let listed = fs::read_to_string(layout.source.join("debian/files"))?;
    let mut made: Vec<PathBuf> =
        listed.lines().filter_map(|line| Some(beside.join(line.split_whitespace().next()?))).collect();
    ensure!(made.iter().any(|path| is_package(path)), "dpkg-buildpackage lists no package in debian/files");
    let described =
        made.iter().find(|path| path.extension().is_some_and(|extension| extension == "buildinfo"));
    made.extend(described.map(|path| path.with_extension("changes")));
    Ok(made)
}

/// Copies the packages to where they are wanted, and prints the paths.
fn deliver(made: &[PathBuf], out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let out = out.canonicalize()?;
    for package in made.iter().filter(|path| is_package(path)) {
        let wanted = out.join(package.file_name().context("a package has a name")?);
        if *package != wanted {
            fs::copy(package, &wanted).with_context(|| wanted.display().to_string())?;
        }
        println!("{}", wanted.display());
    }
    Ok(())
}

fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "deb")
}

/// Where Cargo keeps what it fetched: named outright, because debhelper builds with a home directory of its own.
fn cargo_home() -> Result<PathBuf> {
    match std::env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => Ok(PathBuf::from(std::env::var_os("HOME").context("no HOME")?).join(".cargo")),
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("running {}", command.get_program().display()))?;
    meshnet_system::interrupt::check()?;
    ensure!(status.success(), "{}: {status}", command.get_program().display());
    Ok(())
}
