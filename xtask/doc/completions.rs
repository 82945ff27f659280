//! What makes a shell ask meshctl for completions, so that it knows the names of live peers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

/// The variable by which meshctl knows that a shell asks.
const VARIABLE: &str = "COMPLETE";

/// Writes a file for each shell, named as the shell looks for it.
pub(super) fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let shells: [(&str, &dyn EnvCompleter); 3] =
        [("meshctl.bash", &Bash), ("_meshctl", &Zsh), ("meshctl.fish", &Fish)];
    for (name, shell) in shells {
        let mut text = Vec::new();
        shell.write_registration(VARIABLE, "meshctl", "meshctl", "meshctl", &mut text)?;
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_shell_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        super::write(folder.path()).unwrap();
        for name in ["meshctl.bash", "_meshctl", "meshctl.fish"] {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(text.contains("COMPLETE") && text.contains("meshctl"), "{name}");
        }
        let zsh = std::fs::read_to_string(folder.path().join("_meshctl")).unwrap();
        assert!(zsh.starts_with("#compdef meshctl"));
    }
}
