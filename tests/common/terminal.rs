//! A program on a terminal of its own, which `script` of util-linux lends.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Place, TIME_OUT};

/// Whether a program is installed; else says that the test is skipped.
#[allow(clippy::print_stderr)]
pub fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: `{program}` is not installed");
    }
    found
}

/// A terminal, and what was written to it.
pub struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    text: String,
    seen: usize,
    deadline: Instant,
}

impl Terminal {
    /// Starts a line of `sh` on a terminal of so many columns; none where there is no `script`.
    pub fn start(place: &Place, columns: usize, line: &str, environment: &[(&str, &str)]) -> Option<Self> {
        if !is_there("script") {
            return None;
        }
        let mut command = place.program("script");
        command.args(["-qefc", &format!("stty cols {columns} rows 50; {line}"), "/dev/null"]);
        command.env("TERM", "xterm").env("SHELL", "/bin/sh").envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, output) = channel();
        let mut stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Some(Self { child, input, output, text: String::new(), seen: 0, deadline: Instant::now() + TIME_OUT })
    }

    /// Types.
    pub fn send(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).unwrap();
    }

    /// Reads up to the next place where `word` stands.
    pub fn read_until(&mut self, word: &str) {
        loop {
            if let Some(place) = self.text[self.seen..].find(word) {
                self.seen += place + word.len();
                return;
            }
            assert!(self.read(), "no `{word}` in {:?}", self.text);
        }
    }

    /// The word that stands next, once a blank stands behind it.
    pub fn word(&mut self) -> String {
        let start = self.seen;
        self.read_until(" ");
        self.text[start..self.seen].trim().to_owned()
    }

    /// Reads on; false where the program has ended.
    fn read(&mut self) -> bool {
        match self.output.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs: {:?}", self.text),
        }
        true
    }

    /// Waits for the end; answers with the exit code and all that was written.
    pub fn finish(mut self) -> (Option<i32>, String) {
        while self.read() {}
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(Instant::now() < self.deadline, "it hangs: {:?}", self.text);
            std::thread::sleep(Duration::from_millis(1));
        };
        (code, std::mem::take(&mut self.text))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that stand on a terminal of so many columns in the end, also those that have left it, without blanks at their ends.
pub fn screen(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\u{1b}' if letters.next_if_eq(&'[').is_some() => {
                let mut number = String::new();
                let end = letters.find(|c| {
                    number.extend(c.is_ascii_digit().then_some(c));
                    c.is_ascii_alphabetic()
                });
                let count = number.parse().unwrap_or(1);
                match end {
                    Some('A') => row = usize::saturating_sub(row, count),
                    Some('B') => row += count,
                    Some('C') => column += count,
                    Some('D') => column = usize::saturating_sub(column, count),
                    Some('G') => column = count - 1,
                    // 2 is the whole line, which is written anew from its beginning.
                    Some('K') if number == "2" => lines[row].clear(),
                    Some('K') => lines[row].truncate(column),
                    Some('J') => lines.truncate(row + 1),
                    Some('m' | 'h' | 'l') => {}
                    other => panic!("a sequence that this terminal does not know: {number}{other:?}"),
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            _ => {
                // A terminal goes to the next line only where there is something to put into it.
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
}
