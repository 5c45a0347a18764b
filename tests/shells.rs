//! Completions in the shells themselves, and the manual in `man`.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use common::terminal::{Terminal, is_there};
use common::{BINARY, Place, TIME_OUT, finish};

/// A place with two runs and a sweep, and the program under its name.
fn place() -> Place {
    let place = Place::new();
    place.succeed("--limit-train 50 --epochs 1 -q --out runs/first");
    place.succeed("--limit-train 50 --epochs 1 -q --out runs/second");
    place.succeed("sweep --lr 1e-3,1e-2 --limit-train 50 --epochs 1 -q --out sweeps/swept");
    fs::create_dir(place.path("bin")).unwrap();
    symlink(BINARY, place.path("bin/adamtrain")).unwrap();
    fs::create_dir(place.path("my data")).unwrap();
    place.write("own.toml", "");
    place
}

/// What is typed before the key, and what the line is behind it.
const LINES: &[(&str, &str)] = &[
    ("adamtrain pred", "adamtrain predict "),
    ("adamtrain --optimizer li", "adamtrain --optimizer lion "),
    ("adamtrain --optimizer=li", "adamtrain --optimizer=lion "),
    ("adamtrain --dataset fash", "adamtrain --dataset fashion-mnist "),
    ("adamtrain --schedule lin", "adamtrain --schedule linear "),
    ("adamtrain train --sched", "adamtrain train --schedule "),
    ("adamtrain --set opt", "adamtrain --set optim."),
    ("adamtrain --set optim.weight_d", "adamtrain --set optim.weight_decay="),
    ("adamtrain --set optim.optimizer=li", "adamtrain --set optim.optimizer=lion "),
    ("adamtrain --set=optim.optimizer=li", "adamtrain --set=optim.optimizer=lion "),
    ("adamtrain sweep --optimizer adam,li", "adamtrain sweep --optimizer adam,lion "),
    ("adamtrain --augment flip+cut", "adamtrain --augment flip+cutout "),
    ("adamtrain eval runs/f", "adamtrain eval runs/first "),
    ("adamtrain compare adam li", "adamtrain compare adam lion "),
    ("adamtrain compare adam amsg", "adamtrain compare adam amsgrad "),
    ("adamtrain compare --tune weight_d", "adamtrain compare --tune weight_decay "),
    ("adamtrain predict runs/s", "adamtrain predict runs/second "),
    ("adamtrain inspect sw", "adamtrain inspect sweeps/swept "),
    ("adamtrain eval 'sweeps/swept#1", "adamtrain eval 'sweeps/swept#1' "),
    ("adamtrain export 'runs/f", "adamtrain export 'runs/first' "),
    ("adamtrain compress runs/f", "adamtrain compress runs/first "),
    ("adamtrain --init runs/f", "adamtrain --init runs/first "),
    ("adamtrain --resume --out runs/f", "adamtrain --resume --out runs/first "),
    ("adamtrain --config ow", "adamtrain --config own.toml "),
    ("adamtrain --data-dir my", "adamtrain --data-dir my\\ data/"),
    ("adamtrain optimizers mu", "adamtrain optimizers muon "),
    ("adamtrain trace --optimizer li", "adamtrain trace --optimizer lion "),
    ("adamtrain path --function ros", "adamtrain path --function rosenbrock "),
    ("adamtrain path --optimizer adam,amsg", "adamtrain path --optimizer adam,amsgrad "),
    ("adamtrain help ke", "adamtrain help keys "),
    ("adamtrain completions fi", "adamtrain completions fish "),
];

/// Types each line and the key into a shell, which at another key writes what its line is then to the next file, and empties it.
fn typed(shell: &str, start: &str, setup: &str) {
    if !is_there(shell) {
        return;
    }
    let place = place();
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    let Some(mut terminal) = Terminal::start(&place, 200, start, &[("PATH", &path), ("TERM", "dumb")]) else { return };
    terminal.send(&format!("{setup}\nPS1='rea''dy> '\n"));
    terminal.read_until("ready> ");
    let mut wrong = Vec::new();
    for (number, (line, expected)) in LINES.iter().enumerate() {
        let file = place.path(&format!("line-{number}"));
        terminal.send(&format!("{line}\t\u{14}"));
        let deadline = Instant::now() + TIME_OUT;
        let found = loop {
            match fs::read_to_string(&file) {
                Ok(text) if text.ends_with('\n') => break text,
                _ => assert!(Instant::now() < deadline, "{shell} does not answer to `{line}`"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        // Whether a blank follows a closing quote or a folder is the shell's own custom.
        let found = found.trim_end_matches('\n');
        if found.trim_end() != expected.trim_end() || !expected.contains(['\'', '/']) && found != *expected {
            wrong.push(format!("`{line}` became `{found}`, expected `{expected}`"));
        }
    }
    assert!(wrong.is_empty(), "{shell}:\n{}", wrong.join("\n"));
    terminal.send("exit\n");
    terminal.finish();
}

#[test]
fn bash_completes_commands_flags_values_keys_and_runs() {
    let setup = "bind 'set enable-bracketed-paste off'; source <(adamtrain completions bash)\n\
                 bind -x '\"\\C-t\": printf \"%s\\n\" \"$READLINE_LINE\" > line-$((N++)); READLINE_LINE= READLINE_POINT=0'";
    typed("bash", "exec bash --norc --noprofile -i", setup);
}

#[test]
fn zsh_completes_commands_flags_values_keys_and_runs() {
    let setup = "unsetopt zle_bracketed_paste 2>/dev/null; autoload -U compinit; compinit -D -u; source <(adamtrain completions zsh)\n\
                 line() { print -r -- $BUFFER > line-$((N++)); BUFFER= }; zle -N line; bindkey '^T' line; bindkey '^I' complete-word";
    typed("zsh", "exec zsh -f -i", setup);
}

#[test]
fn fish_completes_commands_flags_values_keys_and_runs() {
    if !is_there("fish") {
        return;
    }
    let place = place();
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    for (line, expected) in LINES {
        let word = expected.trim_end().rsplit(' ').next().unwrap();
        let word = word.trim_matches('\'');
        let word = if expected.contains("my\\ ") { "my data/" } else { word };
        let script = "adamtrain completions fish | source; complete -C $argv[1]";
        let mut command = place.program("fish");
        let outcome = finish(command.args(["--no-config", "-c", script, line]).env("PATH", &path)).expect(0);
        let found: Vec<&str> = outcome.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
        let is_it = |found: &&str| found.replace('\\', "").trim_matches('\'') == word;
        assert!(found.len() == 1 && found.iter().all(is_it), "`{line}`: expected `{word}`, found {outcome:?}");
    }
}

#[test]
fn every_candidate_that_is_offered_comes_with_what_it_is() {
    let place = place();
    let offered = |words: &str| place.succeed(&format!("completions zsh -- adamtrain {words}")).stdout;
    // An empty last word.
    let all = |words: &[&str]| {
        let mut arguments = vec!["completions", "fish", "--", "adamtrain"];
        arguments.extend(words);
        arguments.push("");
        finish(&mut place.command(&arguments)).expect(0).stdout
    };
    assert!(all(&[]).contains("sweep\tTrain every combination"));
    assert!(all(&["--optimizer"]).contains("lion\tsteps of one size"));
    assert!(all(&["--schedule"]).contains("cosine\talong half a cosine"));
    assert!(all(&["eval"]).contains("runs/first\tfinished, 0."));
    assert!(all(&["--set"]).lines().all(|line| line.contains(".\t")));
    // What an optimizer does not have is not offered with it.
    assert!(offered("--set optim.mom").contains("optim.momentum=\t"));
    assert!(!offered("--optimizer lion --set optim.mom").contains("optim.momentum="));
    // A flag once, but for those that add up; the other spelling counts.
    assert!(offered("--lr 1 --l").contains("--label") && !offered("--lr 1 --l").contains("--lr"));
    assert!(!offered("--weight_decay 1 --weight").contains("--weight-decay"));
    assert!(offered("--set a=b --set").contains("--set\t"));
    assert_eq!(offered("--health="), "--health=true\t\n--health=false\t\n");
    assert!(offered("eval runs/first --split v").contains("valid\t"));
    assert_eq!(offered("--seed 1"), "");
    assert_eq!(offered("nonsense"), "");
}

#[test]
fn a_manual_page_for_each_command_is_written_whole() {
    let place = Place::new();
    place.succeed("man --out share/man1");
    let pages = common::names(&place.path("share/man1"));
    for command in ["", "-train", "-sweep", "-eval", "-man", "-help"] {
        assert!(pages.contains(&format!("adamtrain{command}.1")), "{command}: {pages:?}");
    }
    for page in &pages {
        let name = page.strip_suffix(".1").unwrap();
        let text = fs::read_to_string(place.path(&format!("share/man1/{page}"))).unwrap();
        assert!(text.contains(&format!(".TH {name} 1 ")), "{page}");
    }
    // Again, over those that are there; and where they cannot be written.
    place.succeed("man --out share/man1");
    place.write("file", "");
    place.run("man --out file").refused(7, &["file"]);
    place.run("man --out /proc/x").refused(7, &["/proc/x"]);
    if !is_there("man") {
        return;
    }
    for page in &pages {
        let mut command = place.program("man");
        command
            .args(["--warnings", "-l", &format!("share/man1/{page}")])
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8");
        let shown = finish(command.env("MANPAGER", "cat")).expect(0);
        assert_eq!(shown.stderr, "", "{page}");
        let roff = fs::read_to_string(place.path(&format!("share/man1/{page}"))).unwrap();
        let entries: Vec<Vec<&str>> =
            roff.split("\n.TP\n").skip(1).map(|entry| entry.lines().take(2).collect()).collect();
        assert!(
            entries.iter().all(|entry| entry.len() == 2 && !entry[1].is_empty() && !entry[1].starts_with('.')),
            "{page}: {entries:?}"
        );
        // Examples are lines as they are in help.
        let command = page.strip_suffix(".1").unwrap().replace("adamtrain", "").replace('-', "");
        let help = place.succeed(&format!("{command} --help")).stdout;
        let mut examples = help.lines().filter(|line| line.starts_with("  adamtrain ")).map(str::trim);
        let lines: Vec<&str> = shown.stdout.lines().map(str::trim).collect();
        let missing = examples.find(|example| !lines.contains(example));
        assert_eq!(missing, None, "{page}: {}", shown.stdout);
        assert!(shown.stdout.lines().all(|line| line.chars().count() <= 80), "{page}: {}", shown.stdout);
    }
}
