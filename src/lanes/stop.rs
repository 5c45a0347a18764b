//! How training ends.

use crate::error::Exit;
use crate::run::Status;

/// Why training stopped.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// All epochs are done.
    Finished,
    /// The validation loss stopped falling.
    EarlyStopped,
    /// It has come to where it waits for others: it may go on later.
    AtRung,
    /// Who watches it has seen enough.
    Asked,
    /// Out of time.
    TimeLimit,
    /// A signal.
    Signal(i32),
    /// A number that is not finite: where, in words, once that is known.
    Diverged(Option<String>),
}

impl Stop {
    /// The status that `run.json` gets.
    pub fn status(&self) -> Status {
        match self {
            Self::Finished => Status::Finished,
            Self::EarlyStopped => Status::EarlyStopped,
            Self::AtRung => Status::Running,
            Self::Asked => Status::Pruned,
            Self::TimeLimit => Status::TimeLimit,
            Self::Signal(_) => Status::Interrupted,
            Self::Diverged(_) => Status::Diverged,
        }
    }

    /// The code that the process leaves with.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Finished | Self::EarlyStopped | Self::AtRung | Self::Asked => 0,
            Self::TimeLimit => Exit::Again as i32,
            Self::Signal(signal) => 128 + signal,
            Self::Diverged(_) => Exit::Diverged as i32,
        }
    }
}
