//! `adamtrain completions SHELL`: what a shell needs to complete command lines.
//!
//! bash, zsh and fish get a script that asks this program what may stand where the cursor is, so that runs and settings are known
//! too; elvish and PowerShell one that knows commands and flags.

mod complete;
mod words;

use std::ffi::OsString;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::report::answer;
use complete::{Candidate, candidates};
use words::Line;

/// Its command line.
pub fn completions() -> Command {
    Command::new("completions")
        .about("Print completions for a shell, with names, keys and runs")
        .after_help(
            "Examples:\n  source <(adamtrain completions bash)   # in ~/.bashrc\n  \
             source <(adamtrain completions zsh)    # in ~/.zshrc, after compinit\n  \
             adamtrain completions fish > ~/.config/fish/completions/adamtrain.fish",
        )
        .arg(Arg::new("SHELL").help("The shell").required(true).value_parser(value_parser!(Shell)))
        .arg(
            Arg::new("WORD")
                .last(true)
                .num_args(1..)
                .action(ArgAction::Append)
                .value_parser(value_parser!(OsString))
                .help("Print what may stand in place of the last of these words instead, which the scripts ask for"),
        )
}

/// Prints the script of a shell, or the candidates for a word.
pub fn complete(typed: &ArgMatches) -> Result<()> {
    let shell = *typed.get_one::<Shell>("SHELL").unwrap_or(&Shell::Bash);
    let words = typed.get_many::<OsString>("WORD").unwrap_or_default();
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    if !words.is_empty() {
        return answered(shell, &words);
    }
    let script = match shell {
        Shell::Bash => include_str!("shell/adamtrain.bash").to_owned(),
        Shell::Zsh => include_str!("shell/adamtrain.zsh").to_owned(),
        Shell::Fish => include_str!("shell/adamtrain.fish").to_owned(),
        _ => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut super::command(), "adamtrain", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    };
    answer(None::<&()>, || script)
}

/// Prints a candidate a line, as the shell's script reads them: value, tabulator, what it is; for bash the value as it is put in. A line
/// without a value asks the shell to complete `files` or `folders` itself.
fn answered(shell: Shell, words: &[String]) -> Result<()> {
    // bash hands over the line as it was typed, and the part of its last word that it replaces.
    let (line, replaced) = match (shell, words) {
        (Shell::Bash, [line, replaced]) => (Line::parse(line), replaced.as_str()),
        _ => (Line { words: words.to_vec(), is_open: false }, ""),
    };
    let kept = if shell == Shell::Bash { line.kept(replaced) } else { String::new() };
    let mut root = super::accepted(super::parsed(|_| true));
    root.build();
    let found = candidates(&root, &line.words);
    let lines = found.iter().filter_map(|candidate| match (candidate, shell) {
        (Candidate::Word(value, _), Shell::Bash) => Some(line.put_in(value.strip_prefix(&kept)?)),
        (Candidate::Word(value, about), _) => Some(format!("{value}\t{about}")),
        (Candidate::Files, _) => Some("\tfiles".to_owned()),
        (Candidate::Folders, _) => Some("\tfolders".to_owned()),
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { Ok(()) } else { answer(None::<&()>, || lines.join("\n")) }
}
