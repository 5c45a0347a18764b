//! `adamtrain watch` on a terminal that Python plays: what is seen, and that the terminal is as it was, however it ends.

#![cfg(all(feature = "cli", feature = "watch"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;

use common::Place;

const SMALL: &str = "--hidden 8 --limit-train 400 --batch-size 50 --valid-fraction 0.2 --device cpu --threads 1 -q";

/// Runs the words of a command line on a terminal, waits until it shows a text, types keys or sends a signal, and prints as JSON the exit
/// code, all that was shown, and whether the terminal's modes are what they were.
const DRIVER: &str = r#"
import fcntl, json, os, pty, select, signal, struct, sys, termios, time
awaited, action, words = sys.argv[1], sys.argv[2], sys.argv[3:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.environ["TERM"] = "xterm-256color"
    os.execv(words[0], words)
shown, acted, code, end = b"", False, None, time.time() + 60
while time.time() < end:
    if select.select([master], [], [], 0.05)[0]:
        shown += os.read(master, 65536)
    if not acted and awaited.encode() in shown:
        acted = True
        if action.startswith("SIG"):
            os.kill(child, getattr(signal, action))
        else:
            os.write(master, action.encode())
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        code = os.waitstatus_to_exitcode(status)
        while select.select([master], [], [], 0.05)[0]:
            shown += os.read(master, 65536)
        break
else:
    os.kill(child, signal.SIGKILL)
print(json.dumps({"code": code, "acted": acted, "shown": shown.decode(errors="replace"), "restored": termios.tcgetattr(slave) == before}))
"#;

#[allow(clippy::print_stderr)]
fn on_terminal(place: &Place, awaited: &str, action: &str, arguments: &str) -> Option<serde_json::Value> {
    let mut command = Command::new("python3");
    command.args(["-c", DRIVER, awaited, action, common::BINARY]).args(arguments.split_whitespace());
    let Ok(output) = command.current_dir(place.path("")).env("HOME", place.path("")).output() else {
        eprintln!("skipped: python3 is not here");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_terminal_is_as_it_was_however_watching_ends() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 3 --out run"));
    let before = common::names(&place.path("run"));
    for (action, code) in [("q", 0), ("\x1b", 0), ("lxq", 0), ("\x03", 130), ("SIGTERM", 143), ("SIGHUP", 129)] {
        let Some(ended) = on_terminal(&place, "finished", action, "watch run") else { return };
        assert_eq!((&ended["code"], &ended["acted"]), (&code.into(), &true.into()), "{action:?}: {ended}");
        assert_eq!(ended["restored"], true, "{action:?}");
        let shown = ended["shown"].as_str().unwrap();
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
    let Some(ended) = on_terminal(&place, "sweep#0", "jjkq", "watch sweep") else { return };
    assert_eq!(ended["code"], 0, "{ended}");
    assert!(ended["shown"].as_str().unwrap().contains("sweep#1"), "{ended}");
    let ended = on_terminal(&place, "sweep#1", "q", "watch sweep#1").unwrap();
    assert_eq!(ended["code"], 0, "{ended}");
}

#[test]
fn a_run_that_vanishes_or_is_damaged_ends_nothing() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 1 --out run"));
    fs::write(place.path("run/metrics.jsonl"), "{\"event\":\"ep").unwrap();
    let Some(ended) = on_terminal(&place, "yet", "q", "watch run") else { return };
    assert_eq!(ended["code"], 0, "{ended}");
}

#[test]
fn where_there_is_no_terminal_or_no_run_it_is_told() {
    let place = Place::new();
    place.run("watch nowhere").refused(4, &["nowhere"]);
    place.succeed(&format!("{SMALL} --epochs 1 --out run"));
    place.run("watch run").refused(2, &["terminal", "adamtrain plot"]);
    place.run("watch run --every 0s").refused(2, &["--every", "1s"]);
}
