//! What stands on a terminal: lines that fit it, colours where they are wanted, and nothing that moves where that was asked for.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use common::terminal::{Terminal, screen};
use common::{BINARY, Place};

/// A run in which the bar is drawn more than once.
const RUN: &str = "--hidden 64 --limit-train 2000 --epochs 3 --batch-size 20 --threads 1";

fn on_terminal(columns: usize, arguments: &str, environment: &[(&str, &str)]) -> Option<String> {
    let place = Place::new();
    let (code, text) = Terminal::start(&place, columns, &format!("{BINARY} {arguments}"), environment)?.finish();
    assert_eq!(code, Some(0), "{text}");
    Some(text)
}

/// Lines whose times, which differ from run to run, are dashes.
fn without_times<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let is_time = |word: &str| word.ends_with('s') && word.starts_with(|c: char| c.is_ascii_digit());
    let word = |word| if is_time(word) { "-" } else { word };
    let lines = lines.map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn what_stands_on_a_terminal_in_the_end_is_what_a_pipe_gets_line_for_line() {
    for columns in [40, 80, 200] {
        for arguments in [
            format!("{RUN} --out a"),
            format!("{RUN} --out a --valid-fraction 0.1 --optimizer schedule-free-adamw"),
            format!("sweep {RUN} --lr 1e-4,1e-3,1e-2 --seed 0..2 --valid-fraction 0.1 --out a"),
        ] {
            let Some(text) = on_terminal(columns, &arguments, &[]) else { return };
            let place = Place::new();
            let piped = common::finish(place.adamtrain(&arguments).env("COLUMNS", columns.to_string())).expect(0);
            let lines: Vec<&str> = piped.stderr.lines().chain(piped.stdout.lines()).collect();
            for line in &lines {
                assert!(line.chars().count() <= columns, "{columns} columns: `{line}` of {arguments}");
            }
            let found = screen(&text, columns);
            let found = without_times(found.iter().map(String::as_str));
            let mut expected = without_times(lines.into_iter());
            // The epochs of a sweep are a table there, which goes away.
            if arguments.starts_with("sweep") {
                expected.drain(..expected.len().saturating_sub(found.len()));
            }
            assert_eq!(found, expected, "{columns} columns: {arguments}");
        }
    }
}

#[test]
fn nothing_moves_where_that_is_asked_for() {
    for (flag, environment) in [
        ("--no-animation", &[][..]),
        ("", &[("ACCESSIBLE", "1")]),
        ("", &[("TERM", "dumb")]),
        // Its warnings have colours.
        ("--no-animation --lr 1e-3,1e-2", &[("NO_COLOR", "1")]),
    ] {
        let command = if flag.contains(',') { "sweep" } else { "train" };
        let arguments = format!("{command} {RUN} --out a {flag}");
        let Some(text) = on_terminal(80, &arguments, environment) else { return };
        assert!(!text.contains('\u{1b}') && !text.replace("\r\n", "\n").contains('\r'), "{arguments}: {text:?}");
        assert!(command == "sweep" || text.contains("test acc"), "{arguments}: {text:?}");
    }
    let Some(text) = on_terminal(80, &format!("{RUN} --out a"), &[]) else { return };
    assert!(text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn colours_are_where_they_are_wanted_in_help_errors_and_warnings_alike() {
    // What goes to standard output, then what goes to standard error.
    let commands = ["--help", "optimizers lino", "--warmup 2000steps --limit-train 300 --epochs 2 --dry-run -q"];
    let has_colours = |text: &str| text.contains("\u{1b}[") && text.contains('m');
    for (environment, on_a_terminal, in_a_pipe) in [
        (&[][..], true, false),
        (&[("NO_COLOR", "1")], false, false),
        (&[("NO_COLOR", "")], true, false),
        (&[("CLICOLOR_FORCE", "1")], true, true),
        (&[("CLICOLOR", "0")], false, false),
        (&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false, false),
        (&[("TERM", "dumb")], false, false),
        (&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], true, true),
    ] {
        for arguments in commands {
            let place = Place::new();
            let mut command = place.adamtrain(arguments);
            let piped = common::finish(command.envs(environment.iter().copied()));
            let piped = piped.stdout + &piped.stderr;
            assert_eq!(has_colours(&piped), in_a_pipe, "{arguments} in a pipe with {environment:?}: {piped:?}");
            let Some(terminal) = Terminal::start(&place, 80, &format!("{BINARY} {arguments}"), environment) else {
                continue;
            };
            let (_, text) = terminal.finish();
            assert_eq!(has_colours(&text), on_a_terminal, "{arguments} on a terminal with {environment:?}: {text:?}");
        }
    }
}
