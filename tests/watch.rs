//! `adamtrain watch` on a terminal: what is seen, and that the terminal is as it was, however it ends.

#![cfg(all(feature = "cli", feature = "watch"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;

use common::Place;
use common::terminal::Terminal;

const SMALL: &str = "--hidden 8 --limit-train 400 --batch-size 50 --valid-fraction 0.2 --device cpu --threads 1 -q";

/// Watches on a terminal of 100 columns until it shows a text, then types, or sends a signal: the exit code, all that was shown, and
/// whether the terminal's modes are what they were. None where there is no terminal.
fn on_terminal(place: &Place, awaited: &str, action: &str, arguments: &str) -> Option<(Option<i32>, String, bool)> {
    let line = format!(
        "before=$(stty -g); sh -c 'echo \"pid $$ \"; exec {} {arguments}'; code=$?; \
         [ \"$before\" = \"$(stty -g)\" ] && echo restored; exit $code",
        common::BINARY
    );
    let mut terminal = Terminal::start(place, 100, &line, &[("TERM", "xterm-256color")])?;
    terminal.read_until("pid ");
    let pid = terminal.word();
    terminal.read_until(awaited);
    match action.strip_prefix("SIG") {
        Some(signal) => {
            let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
            assert!(sent.unwrap().success(), "{action}");
        }
        None => terminal.send(action),
    }
    let (code, shown) = terminal.finish();
    let is_restored = shown.trim_end().ends_with("restored");
    Some((code, shown, is_restored))
}

#[test]
fn the_terminal_is_as_it_was_however_watching_ends() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 3 --out run"));
    let before = common::names(&place.path("run"));
    for (action, code) in [("q", 0), ("\x1b", 0), ("lxq", 0), ("\x03", 130), ("SIGTERM", 143), ("SIGHUP", 129)] {
        let Some((found, shown, is_restored)) = on_terminal(&place, "finished", action, "watch run") else { return };
        assert_eq!(found, Some(code), "{action:?}: {shown:?}");
        assert!(is_restored, "{action:?}: {shown:?}");
        let (on, off) = (shown.find("\x1b[?1049h").unwrap(), shown.rfind("\x1b[?1049l").unwrap());
        assert!(on < off && shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "{action:?}: {shown:?}");
        assert!(shown.contains("loss") && shown.contains("accuracy"), "{shown:?}");
    }
    // It read and wrote nothing.
    assert_eq!(common::names(&place.path("run")), before);
}

#[test]
fn a_sweep_is_watched_point_by_point() {
    let place = Place::new();
    place.succeed(&format!("sweep {SMALL} --lr 1e-3,1e-2 --epochs 2 --out sweep"));
    let Some((code, shown, _)) = on_terminal(&place, "sweep#0", "jjkq", "watch sweep") else { return };
    assert!(code == Some(0) && shown.contains("sweep#1"), "{code:?}: {shown:?}");
    let (code, shown, _) = on_terminal(&place, "sweep#1", "q", "watch sweep#1").unwrap();
    assert_eq!(code, Some(0), "{shown:?}");
}

#[test]
fn a_run_that_vanishes_or_is_damaged_ends_nothing() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 1 --out run"));
    fs::write(place.path("run/metrics.jsonl"), "{\"event\":\"ep").unwrap();
    let Some((code, shown, _)) = on_terminal(&place, "yet", "q", "watch run") else { return };
    assert_eq!(code, Some(0), "{shown:?}");
}

#[test]
fn where_there_is_no_terminal_or_no_run_it_is_told() {
    let place = Place::new();
    place.run("watch nowhere").refused(4, &["nowhere"]);
    place.succeed(&format!("{SMALL} --epochs 1 --out run"));
    place.run("watch run").refused(2, &["terminal", "adamtrain plot"]);
    place.run("watch run --every 0s").refused(2, &["--every", "1s"]);
}
