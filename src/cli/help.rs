//! `adamtrain help [TOPIC]`, and the two lengths of help: `-h` fits a screen, `--help` is everything.

use std::ffi::OsString;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command};

use super::{SUBCOMMANDS, WIDTH, refusal};
use crate::config::settings::{SETTINGS, Setting};
use crate::error::EXIT_CODES;
use crate::optim::FAMILIES;
use crate::report::answer;
use crate::report::table::{stdout_width, wrapped};

/// Examples and environment, for `--help` and the manual.
pub(super) const EXAMPLES: &str = "\
Examples:
  The linear net on `digits`, which needs no file:
    adamtrain
  MNIST from files, the CIFAR-10 run on a GPU:
    adamtrain --dataset mnist --data-dir data/mnist --hidden 300,100
    adamtrain --dataset cifar10 --lr 1e-3 --device cuda
  Another optimizer and schedule; early stopping on a validation split:
    adamtrain --optimizer adamw --lr 3e-3 --schedule cosine --warmup 1epoch
    adamtrain --valid-fraction 0.1 --patience 5 --epochs 100
  A file of settings with one of them changed, shown and not run:
    adamtrain --config configs/mnist-linear.toml --beta2 0.99 --dry-run
  Start, or go on after a kill, with the same command:
    adamtrain --out runs/a --resume
  For scripts:
    adamtrain --json --quiet --expect-accuracy 0.85 | tail -n 1

Environment:
  ADAMTRAIN_OPTIM__LR=0.01 sets optim.lr. Of several sources the last wins:
    default, --config, environment, flags; of two flags the second
  NO_COLOR, CLICOLOR=0 and CLICOLOR_FORCE=1 decide about colours
  ACCESSIBLE=1 and TERM=dumb ask for plain lines, as --no-animation";

/// What `-h` of training ends with.
pub(super) const EXAMPLES_OF_TRAINING: &str = "\
Examples:
  adamtrain --dataset mnist --data-dir data/mnist --hidden 300,100
  adamtrain sweep --lr 'log(1e-4,1e-1,16)' --valid-fraction 0.1
  adamtrain eval runs/mnist-mlp-001

`adamtrain --help` has every flag; `adamtrain help keys`, `json`, `exit-codes`.";

/// A topic that is no command: its name and its text.
type Topic = (&'static str, fn() -> String);

const TOPICS: [Topic; 3] = [("keys", keys), ("json", json), ("exit-codes", exit_codes)];

/// Its command line.
pub(super) fn command() -> Command {
    let topics: Vec<&str> = TOPICS.iter().map(|(name, _)| *name).collect();
    let topic = Arg::new("TOPIC").help(format!("A command, or one of {}", topics.join(", ")));
    Command::new("help")
        .about("Explain a command, or keys, json, exit-codes")
        .after_help("Examples:\n  adamtrain help sweep\n  adamtrain help keys | less\n  adamtrain help exit-codes")
        .arg(topic)
}

/// Prints what a topic is about; without one, the short help and the topics.
pub(super) fn run(typed: &ArgMatches) -> Result<()> {
    let Some(topic) = typed.get_one::<String>("TOPIC") else {
        return Ok(refusal::printed(in_one_list(super::command()).print_help())?);
    };
    if let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == topic) {
        return answer(None::<&()>, text);
    }
    if super::command().find_subcommand(topic).is_none() {
        return Err(refusal::unknown_topic(topic, &names()).into());
    }
    Ok(refusal::printed(asked_for(&["adamtrain".into(), topic.into(), "--help".into()])?.print())?)
}

/// The names of all topics, commands first.
pub(super) fn names() -> Vec<String> {
    let commands = SUBCOMMANDS.iter().map(|subcommand| subcommand.name.to_owned());
    std::iter::once("train".to_owned()).chain(commands).chain(TOPICS.map(|(name, _)| name.to_owned())).collect()
}

/// The help that `words` ask for, with all its texts, as the parser's answer.
pub(super) fn asked_for(words: &[OsString]) -> Result<clap::Error> {
    let line = super::accepted(super::command());
    // What is accepted is the same; only `-h` looks different.
    let line = if is_brief(words) { in_one_list(line) } else { line };
    line.try_get_matches_from(words).err().context("words that ask for help are a command")
}

/// Whether `-h` is among the words: then help comes in the short form.
fn is_brief(words: &[OsString]) -> bool {
    let is_short = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.ends_with('h');
    words.iter().any(|word| word.to_str().is_some_and(is_short))
}

/// The flags of training in one list, without headings, which would take as many lines as what stands under them; but for those that a
/// sweep has of its own.
fn in_one_list(command: Command) -> Command {
    let is_own = |arg: &Arg| arg.get_help_heading() == Some(super::sweep::HEADING);
    let plain = |command: Command| command.mut_args(|arg| if is_own(&arg) { arg } else { arg.help_heading(None) });
    let trains = |command: &Command| matches!(command.get_name(), "train" | "sweep");
    plain(command).mut_subcommands(|command| if trains(&command) { plain(command) } else { command })
}

/// A command whose `-h` ends with its examples alone, and whose `--help` with all that it says.
pub(super) fn in_two_lengths(command: Command) -> Command {
    let Some(all) = command.get_after_help().map(ToString::to_string) else { return command };
    let all = all.lines().map(broken).collect::<Vec<_>>().join("\n");
    let examples = all.find("Example").map_or("", |start| &all[start..]);
    let examples = examples.split("\n\n").next().unwrap_or_default().to_owned();
    if examples == all { command.after_help(all) } else { command.after_help(examples).after_long_help(all) }
}

/// A line that is set in, as lines that fit help and a page of the manual: a pipe goes on behind its bar, as a shell reads it.
fn broken(line: &str) -> String {
    const ROOM: usize = 73;
    match line.split_once(" | ") {
        Some((first, rest)) if line.starts_with("  ") && line.chars().count() > ROOM => {
            format!("{first} |\n      {rest}")
        }
        _ => line.to_owned(),
    }
}

/// A heading of what `--help` of training ends with, and what stands under it: names and what they are.
type Listed = (&'static str, Vec<(&'static str, String)>);

/// Optimizers, settings without a flag, and exit codes.
pub(super) fn listed() -> [Listed; 3] {
    let families = FAMILIES.iter().map(|family| (family.name, family.about.to_owned()));
    let settings = SETTINGS.iter().filter(|setting| setting.flag.is_none());
    let settings = settings.map(|setting| (setting.key, setting.full_help()));
    let codes = EXIT_CODES.iter().map(|(code, about)| (*code, about.trim().to_owned()));
    [
        ("Optimizers (`adamtrain optimizers NAME` shows one with its formula)", families.collect()),
        ("Keys without a flag, for --set and --config", settings.collect()),
        ("Exit codes", codes.collect()),
    ]
}

/// What `--help` of training ends with.
pub(super) fn after_help() -> String {
    let [optimizers, keys, codes] = listed().map(|(heading, rows)| {
        let line = |(name, about): &(&str, String)| wrapped(&format!("  {name:<27} {about}"), WIDTH, 30);
        format!("{heading}:\n{}", rows.iter().map(line).collect::<Vec<_>>().join("\n"))
    });
    [optimizers.as_str(), &keys, EXAMPLES, &codes].join("\n\n")
}

/// Where lines end: at the terminal's edge, but not beyond what is easily read.
fn width() -> usize {
    stdout_width().unwrap_or(WIDTH).min(WIDTH)
}

/// Every setting, by section.
fn keys() -> String {
    let mut text =
        "Each by its key in TOML, --set KEY=V, --KEY V and ADAMTRAIN_SECTION__NAME, or by its flag.\n".to_owned();
    text = wrapped(&text, width(), 0);
    let mut section = "";
    for setting in SETTINGS.iter() {
        let own = setting.key.split('.').next().unwrap_or_default();
        if own != section {
            section = own;
            let _ = writeln!(text, "\n[{section}]");
        }
        let _ = writeln!(text, "{}", key(setting));
    }
    text
}

/// A setting: its key and flag, then what it does, accepts and defaults to.
fn key(setting: &Setting) -> String {
    let flag = setting.flag.map(|flag| format!("  --{flag}")).unwrap_or_default();
    let accepts = setting.accepts().map(|accepts| format!("accepts {accepts}"));
    let default = Some(format!("default {}", setting.default_words()));
    let lines = [Some(setting.help.to_owned()), accepts, default];
    let lines = lines.into_iter().flatten().map(|line| wrapped(&format!("      {line}"), width(), 8));
    std::iter::once(format!("  {}{flag}", setting.key)).chain(lines).collect::<Vec<_>>().join("\n")
}

/// The codes, a line each.
fn exit_codes() -> String {
    let line = |(code, about): &(&str, &str)| wrapped(&format!("  {code:<13} {}", about.trim()), width(), 16) + "\n";
    EXIT_CODES.iter().map(line).collect()
}

/// The part of README.md about `--json`, as text.
fn json() -> String {
    const PAGE: &str = include_str!("../../README.md");
    let part = PAGE.split_once("\n## For scripts\n").map_or("", |(_, rest)| rest);
    let part = part.split("| exit code |").next().unwrap_or_default();
    let mut text = String::new();
    for block in part.trim().split("\n\n") {
        if block.starts_with('|') {
            block.lines().skip(2).for_each(|row| write_event(&mut text, row));
        } else {
            let words = block.replace('\n', " ");
            let _ = writeln!(text, "{}\n", wrapped(&words, width(), 0));
        }
    }
    text
}

/// A row of the table of events: command and event, and below them the fields.
fn write_event(text: &mut String, row: &str) {
    let cells: Vec<String> = row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    if let [command, event, fields] = cells.as_slice() {
        let _ = writeln!(text, "{command}: {event}\n{}\n", wrapped(&format!("  {fields}"), width(), 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_help_says_of_json_is_the_table_of_the_readme() {
        let text = json();
        assert!(text.starts_with("`--json` writes one event a line") && !text.contains('|'), "{text}");
        for words in ["\ntrain: start\n", "\nschedules: schedules\n", "\nAccuracies are fractions."] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn the_readme_has_the_exit_codes() {
        let page = include_str!("../../README.md").split_once("| exit code | |\n|---|---|\n").unwrap().1;
        let rows: Vec<String> = page.lines().take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
        let expected: Vec<String> =
            EXIT_CODES.iter().map(|(code, about)| format!("| {code} | {} |", about.trim())).collect();
        assert_eq!(rows, expected);
    }
}
