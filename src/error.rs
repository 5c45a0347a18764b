//! Failures as a user meets them: an exit code, what was found, and what to do about it.
//!
//! Everything returns [`anyhow::Result`]. Where the cause is known, a [`Failure`] goes into the chain; `main` looks for
//! it, prints the chain and leaves with its code. An error without one is unexpected and leaves with 1.

use std::fmt;

/// Makes [`Exit`] and its list: each code with what it says, which is its doc, its row of README.md and its line of help.
macro_rules! exits {
    ($($(#[doc = $about:literal])+ $name:ident = $code:literal;)+) => {
        /// Exit codes of failures, and of what did not come to its end. Scripts rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Exit {
            $($(#[doc = $about])+ $name = $code,)+
        }

        /// Every code with which the process leaves, and when.
        pub const EXIT_CODES: &[(&str, &str)] = &[
            ("0", " done"),
            $((stringify!($code), concat!($($about),+)),)+
            ("129, 130, 143", " hang-up, interrupt, terminate; saved"),
        ];
    };
}

exits! {
    /// unexpected, or below `--expect-accuracy`
    Unexpected = 1;
    /// flags or configuration
    Usage = 2;
    /// data missing or broken
    Data = 3;
    /// run, checkpoint or model missing, broken or another's
    Run = 4;
    /// device, or memory that does not suffice
    Device = 5;
    /// another process works in the run directory
    Busy = 6;
    /// output cannot be written
    Output = 7;
    /// diverged: `reason` names epoch, step and the first tensor that was not finite
    Diverged = 8;
    /// `compress`: no file meets what was asked of it; the best that was reached is left in place and named
    Missed = 9;
    /// `--max-time` is over; saved, run again
    Again = 75;
}

/// An error whose exit code is known.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure that `message` describes: the thing, what was found, what was expected.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The code that the process leaves with.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What the user can do, where there is something.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The failure that classifies `error`, if one is in its chain.
pub fn failure(error: &anyhow::Error) -> Option<&Failure> {
    // Added as context it is not in the chain, but the error can be taken for it; as a cause it is.
    error.downcast_ref().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

/// An error and its causes in one line, without the stack that candle adds where `RUST_BACKTRACE` asks for it.
pub fn described(error: &anyhow::Error) -> String {
    let word =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref().map_or_else(|| cause.to_string(), plain);
    error.chain().map(word).collect::<Vec<_>>().join(": ")
}

/// candle's own words for an error.
pub fn plain(error: &candle_core::Error) -> String {
    use candle_core::Error;
    match error {
        Error::WithBacktrace { inner, .. } => plain(inner),
        Error::Context { inner, context } => format!("{context}: {}", plain(inner)),
        Error::WithPath { inner, path } => format!("{}: {}", path.display(), plain(inner)),
        other => other.to_string(),
    }
}

/// `text` with control characters escaped: names from files and the command line must not steer a terminal.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The exit code for `error`: its failure's, or [`Exit::Unexpected`].
pub fn exit_code(error: &anyhow::Error) -> Exit {
    failure(error).map_or(Exit::Unexpected, Failure::exit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped("a\x1b[31mé\n"), "a\\u{1b}[31mé\\n");
    }

    #[test]
    fn an_error_of_candle_is_one_line_whatever_it_carries() {
        let backtrace = Box::new(std::backtrace::Backtrace::force_capture());
        let inner = Box::new(candle_core::Error::Msg("out of memory".into()));
        let error = candle_core::Error::WithBacktrace { inner, backtrace }.context("drawing the net");
        let error = anyhow::Error::from(error).context("training");
        assert_eq!(described(&error), "training: drawing the net: out of memory");
    }

    #[test]
    fn a_failure_keeps_its_code_under_added_context() {
        let error = Err::<(), _>(Failure::new(Exit::Data, "bad magic").hint("fetch it again"))
            .context("reading MNIST")
            .unwrap_err();
        assert_eq!(exit_code(&error), Exit::Data);
        assert_eq!(failure(&error).and_then(Failure::advice), Some("fetch it again"));
        let error = anyhow::anyhow!("odd").context(Failure::new(Exit::Run, "broken")).context("reading");
        assert_eq!(exit_code(&error), Exit::Run);
        assert_eq!(exit_code(&anyhow::anyhow!("odd")), Exit::Unexpected);
    }
}
