//! `adamtrain man`: the manual pages in roff, one to standard output or one for each command into a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use clap_mangen::Man;

use super::help;
use crate::report::answer;
use crate::run::write::{folders, replace, unwritable};

/// Its command line.
pub fn command() -> Command {
    Command::new("man")
        .about("Print the manual, or write a page for each command")
        .after_help("Examples:\n  adamtrain man | man -l -\n  adamtrain man --out ~/.local/share/man/man1")
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath)
                .help("Write adamtrain.1, adamtrain-eval.1, … into DIR; without it one page is printed, with all commands"),
        )
}

/// Prints the page of training with each command's options behind it, or writes all pages.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let mut root = super::command();
    root.build();
    if let Some(out) = typed.get_one::<PathBuf>("out") {
        return write_pages(&root, out);
    }
    let page = whole(&root)?;
    answer(None::<&()>, || page)
}

/// The page of training, then the options and examples of each other command.
fn whole(root: &Command) -> Result<String> {
    let mut text = page(root)?;
    for command in root.get_subcommands().filter(|command| command.get_name() != "train") {
        let heading = format!("adamtrain {}", command.get_name());
        let (described, rest) = parts(command);
        text.extend([titled(&heading), about(command) + "\n", options(command)?, ".PP\n".to_owned(), described, rest]);
    }
    Ok(text)
}

/// What a command does, in a line.
fn about(command: &Command) -> String {
    escaped(&command.get_about().map(ToString::to_string).unwrap_or_default())
}

/// Writes a page for each command into the folder `out`, which is made where it is absent.
fn write_pages(root: &Command, out: &Path) -> Result<()> {
    folders(out).map_err(|error| unwritable(out, &error))?;
    for command in std::iter::once(root).chain(root.get_subcommands()) {
        replace(&out.join(format!("{}.1", name(command))), page(command)?.as_bytes())?;
    }
    Ok(())
}

/// What a command's page is called: `adamtrain-eval`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The page of a command. Words are not broken and lines not stretched: many of them are typed.
fn page(command: &Command) -> Result<String> {
    let (name, version) = (name(command), env!("CARGO_PKG_VERSION"));
    let (described, rest) = parts(command);
    let is_root = command.has_subcommands();
    let of_root = || section(|roff| Man::new(command.clone()).render_subcommands_section(roff));
    let parts = [
        format!(".TH {name} 1 \"\" \"adamtrain {version}\" \"User Commands\"\n.nh\n.ad l\n"),
        format!(".SH NAME\n{} \\- {}\n", escaped(name), about(command)),
        synopsis(command),
        if described.is_empty() { described } else { titled("Description") + &described },
        options(command)?,
        if is_root { of_root()? } else { String::new() },
        rest,
        if is_root { String::new() } else { titled("See also") + "\\fBadamtrain\\fR(1)\n" },
    ];
    Ok(parts.concat())
}

/// All flags and arguments, also those that `-h` leaves out.
fn options(command: &Command) -> Result<String> {
    let man = Man::new(command.clone().mut_args(|arg| arg.hide_short_help(false)));
    section(|roff| man.render_options_section(roff))
}

/// What a renderer of sections writes.
fn section(render: impl Fn(&mut dyn std::io::Write) -> std::io::Result<()>) -> Result<String> {
    let mut bytes = Vec::new();
    render(&mut bytes)?;
    String::from_utf8(bytes).context("a manual page that is no text")
}

/// How the command is called, as help says it.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let lines = usage.strip_prefix("Usage:").unwrap_or(&usage).lines();
    let lines: Vec<String> = lines.map(|line| escaped(line.trim())).collect();
    format!(".SH SYNOPSIS\n{}\n", lines.join("\n.br\n"))
}

/// What help ends with: what it says of the command, and the sections behind that.
fn parts(command: &Command) -> (String, String) {
    if matches!(command.get_name(), "adamtrain" | "train") {
        return (
            String::new(),
            roff(help::EXAMPLES) + &help::listed().map(|(heading, rows)| tagged(heading, &rows)).concat(),
        );
    }
    let text = command.get_after_long_help().or_else(|| command.get_after_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    let place = text.find("Examples:\n").unwrap_or(text.len());
    (roff(&text[..place]), roff(&text[place..]))
}

/// A section of names and what they are.
fn tagged(heading: &str, rows: &[(&str, String)]) -> String {
    let rows = rows.iter().map(|(name, about)| format!(".TP\n\\fB{}\\fR\n{}\n", escaped(name), escaped(about)));
    titled(heading) + &rows.collect::<String>()
}

/// The head of a section; what it has in parentheses stands below it.
fn titled(heading: &str) -> String {
    match heading.split_once(" (") {
        Some((title, rest)) => format!(".SH \"{}\"\n{}\n", title.to_uppercase(), escaped(rest.trim_end_matches(')'))),
        None => format!(".SH \"{}\"\n", escaped(heading).to_uppercase()),
    }
}

/// Lines of help that head a section.
const SECTIONS: [&str; 3] = ["Examples", "Environment", "Exit codes"];

/// Help as roff: lines that are set in stay lines, the others are filled as paragraphs.
fn roff(help: &str) -> String {
    let mut text = String::new();
    let mut is_set_in = false;
    for line in help.lines() {
        if line.starts_with(' ') != is_set_in {
            is_set_in = !is_set_in;
            text += if is_set_in { ".nf\n" } else { ".fi\n" };
        }
        text += &match line.strip_suffix(':') {
            Some(heading) if SECTIONS.contains(&heading) => titled(heading),
            _ if line.is_empty() => ".PP\n".to_owned(),
            _ => escaped(line.strip_prefix("  ").unwrap_or(line)) + "\n",
        };
    }
    text + if is_set_in { ".fi\n" } else { "" }
}

/// Text as roff reads it: nothing in it is a command.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
