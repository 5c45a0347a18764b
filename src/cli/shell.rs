//! `adamtrain completions SHELL` and `adamtrain man`: what a shell and its user read of the command line.

use anyhow::Result;
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::report::answer;

/// The command line of `completions`.
pub fn completions() -> Command {
    let shell = Arg::new("SHELL")
        .help("The shell, e.g. `adamtrain completions bash > /etc/bash_completion.d/adamtrain`")
        .required(true)
        .value_parser(value_parser!(Shell));
    Command::new("completions").about("Print completions for a shell").arg(shell)
}

/// Prints completions.
pub fn complete(typed: &ArgMatches) -> Result<()> {
    let mut script = Vec::new();
    let shell = *typed.get_one::<Shell>("SHELL").unwrap_or(&Shell::Bash);
    clap_complete::generate(shell, &mut super::command(), "adamtrain", &mut script);
    print(&script)
}

/// The command line of `man`.
pub fn man() -> Command {
    Command::new("man").about("Print the manual page in roff, e.g. `adamtrain man | man -l -`")
}

/// Prints the manual page: training, then each command with its options.
pub fn print_man() -> Result<()> {
    let mut page = Vec::new();
    let command = super::command();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for command in command.get_subcommands().filter(|command| !matches!(command.get_name(), "train" | "help")) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        page.extend(format!(".SH ADAMTRAIN {}\n{about}\n", command.get_name().to_uppercase()).into_bytes());
        clap_mangen::Man::new(command.clone()).render_options_section(&mut page)?;
    }
    print(&page)
}

fn print(bytes: &[u8]) -> Result<()> {
    answer(None::<&()>, || String::from_utf8_lossy(bytes).into_owned())
}
