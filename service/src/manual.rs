//! Man pages and shell completions, made from a program's command line: what the package installs.

use std::io;
use std::path::Path;

use clap_complete::Shell;

/// Writes the man pages of a program and of its commands, and its completions for bash, zsh and fish, into
/// `dir`, which exists.
///
/// # Errors
/// When a file cannot be written.
pub fn write(mut command: clap::Command, dir: &Path) -> io::Result<()> {
    let name = command.get_name().to_owned();
    clap_mangen::generate_to(without_help(command.clone()), dir)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, &name, dir)?;
    }
    Ok(())
}

/// The command "help" needs no page of its own.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let command = clap::Command::new("weir")
            .about("Holds water")
            .subcommand(
                clap::Command::new("gate").subcommand(clap::Command::new("open").about("Lets it through")),
            )
            .subcommand(clap::Command::new("generate").hide(true));
        write(command, dir.path()).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["_weir", "weir-gate-open.1", "weir-gate.1", "weir.1", "weir.bash", "weir.fish"]);
        let page = std::fs::read_to_string(dir.path().join("weir-gate-open.1")).unwrap();
        assert!(page.contains("Lets it through"), "{page}");
    }
}
