//! Points that come one by one on standard input, from whoever chooses them by what came of those before.
//!
//! ```text
//! {"id": 7, "lr": 1e-3, "hidden": "300,100"}      a point
//! {"stop": 7}                                     it leaves at once, and ends as `pruned`
//! ```
//!
//! What comes together trains together: lanes begin when nothing has come for a moment, and what comes meanwhile waits for them. A point is
//! on disk in the sweep's folder before it trains; said again under the same name, as after a kill, it is the same point, and its end is told
//! again. A line that is no point is answered with what is wrong, and changes nothing else.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufRead as _, Read as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::list::{Row, Said, said};
use super::{Sweep, WaitingGroup, parents_of};
use crate::error::{Failure, described, failure};
use crate::lanes::{Lanes, Stop};
use crate::run::Status;
use crate::run::results::ResultLine;
use crate::train::Progress;

/// A longer line is no point.
const MOST_LINE: u64 = 1 << 20;

/// So many lines wait to be heard, or are heard between two looks at what else there is to do.
const MOST_WAITING: usize = 1024;

/// So many points wait for lanes before these begin.
const MOST_ARRIVED: usize = 16 * MOST_WAITING;

/// Where nothing has come for so long, what has come begins.
const PAUSE: Duration = Duration::from_millis(3);

/// How often a process that waits looks whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(50);

/// What is heard on standard input.
enum Heard {
    /// A line, by its number from 1.
    Line(usize, Vec<u8>),
    /// Why there is no more of it, where that is not its end.
    Lost(usize, String),
}

/// Whoever chooses the points.
pub struct Conversation {
    heard: Receiver<Heard>,
    /// Whether there is nothing more to hear.
    is_over: bool,
    /// Numbers of points, by what they are called.
    known: HashMap<String, usize>,
    /// Points that wait for lanes.
    arrived: Vec<usize>,
    /// Points that are to leave, in training or saved.
    leaving: BTreeSet<usize>,
    /// Whether something was said that could not be heard.
    is_lost: bool,
}

impl Conversation {
    /// Begins to listen; these points are known from before.
    pub fn begin(rows: &[Row]) -> Self {
        let (sender, heard) = sync_channel(MOST_WAITING);
        std::thread::spawn(move || listen(&sender));
        let known = HashMap::new();
        let mut conversation =
            Self { heard, is_over: false, known, arrived: Vec::new(), leaving: BTreeSet::new(), is_lost: false };
        rows.iter().enumerate().for_each(|(point, row)| conversation.know(row, point));
        conversation
    }

    /// Remembers what a point is called: its id, or its number where none has that for an id.
    fn know(&mut self, row: &Row, point: usize) {
        match &row.id {
            Some(id) => {
                self.known.insert(id.to_string(), point);
            }
            None => {
                self.known.entry(point.to_string()).or_insert(point);
            }
        }
    }

    /// The next that was said; none where nothing comes for so long, or any more.
    fn next(&mut self, patience: Duration) -> Option<Heard> {
        let heard = if patience.is_zero() {
            self.heard.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            self.heard.recv_timeout(patience).map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        heard.map_err(|is_over| self.is_over |= is_over).ok()
    }
}

/// Hands on standard input line by line.
fn listen(sender: &SyncSender<Heard>) {
    let mut input = io::stdin().lock();
    for number in 1.. {
        let mut line = Vec::new();
        let heard = match input.by_ref().take(MOST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.len() as u64 == MOST_LINE && line.last() != Some(&b'\n') => {
                Heard::Lost(number, format!("the line is longer than {MOST_LINE} bytes: nothing more is read"))
            }
            Ok(_) => Heard::Line(number, line),
            Err(error) => Heard::Lost(number, format!("cannot be read: {error}")),
        };
        let is_lost = matches!(heard, Heard::Lost(..));
        // Nobody listens once the sweep has ended.
        if sender.send(heard).is_err() || is_lost {
            return;
        }
    }
}

impl Sweep {
    /// Whether something was said that could not be heard.
    pub(super) fn has_lost_words(&self) -> bool {
        self.conversation.as_ref().is_some_and(|conversation| conversation.is_lost)
    }

    /// Takes in what has been said; whether there was something.
    fn hear(&mut self, patience: Duration) -> Result<bool> {
        for count in 0..MOST_WAITING {
            let next = self.conversation.as_mut().and_then(|conversation| conversation.next(patience));
            let Some(heard) = next else { return Ok(count > 0) };
            self.answer(heard)?;
        }
        Ok(true)
    }

    fn answer(&mut self, heard: Heard) -> Result<()> {
        let (number, line) = match heard {
            Heard::Line(number, line) => (number, line),
            Heard::Lost(number, what) => {
                self.conversation.iter_mut().for_each(|conversation| conversation.is_lost = true);
                self.refuse(number, None, &what, None);
                return Ok(());
            }
        };
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let Some(list) = self.points.grid.list() else { return Ok(()) };
        match said(&line, &list.path, number) {
            Ok(Said::Point(row)) => self.take(number, &row),
            Ok(Said::Stop(id)) => self.stop_point(number, &id),
            Err(failure) => {
                let id = serde_json::from_slice::<Json>(&line).ok().and_then(|line| line.get("id").cloned());
                self.refuse(number, id.as_ref(), &failure.to_string(), failure.advice());
                Ok(())
            }
        }
    }

    /// Tells that a line is no point.
    fn refuse(&mut self, line: usize, id: Option<&Json>, what: &str, hint: Option<&str>) {
        self.emit(&json!({"event": "error", "line": line, "id": id, "message": what, "hint": hint}));
    }

    /// Takes in a point.
    fn take(&mut self, line: usize, row: &Row) -> Result<()> {
        let (id, point) = (row.id.clone(), self.points.total());
        let Some(conversation) = &self.conversation else { return Ok(()) };
        if let Some(known) = id.as_ref().and_then(|id| conversation.known.get(&id.to_string())).copied() {
            let is_same = self.points.grid.list().is_some_and(|list| list.rows[known].is_same(row));
            if !is_same {
                let what = format!("point {known} is called so and has other settings");
                self.refuse(line, id.as_ref(), &what, Some("give each point an id of its own"));
            } else if let Some(end) = self.directory.ended.get(&known).cloned() {
                self.tell(&ResultLine::End(end));
            }
            return Ok(());
        }
        if let Err(error) = self.points.add(row.clone(), &self.environment.device) {
            let hint = failure(&error).and_then(Failure::advice).map(str::to_owned);
            self.refuse(line, id.as_ref(), &described(&error), hint.as_deref());
            return Ok(());
        }
        self.directory.add_point(&row.to_line())?;
        if let Some(conversation) = &mut self.conversation {
            conversation.know(row, point);
            conversation.arrived.push(point);
        }
        Ok(())
    }

    /// Lets a point leave: now where it waits, else before the next step.
    fn stop_point(&mut self, line: usize, id: &Json) -> Result<()> {
        let known = |conversation: &Conversation| conversation.known.get(&id.to_string()).copied();
        let Some(point) = self.conversation.as_ref().and_then(known) else {
            self.refuse(line, Some(id), "no point is called so", None);
            return Ok(());
        };
        if self.directory.ended.contains_key(&point) {
            return Ok(());
        }
        let mut waits = false;
        let mut leave = |points: &mut Vec<usize>| {
            let before = points.len();
            points.retain(|other| *other != point);
            waits |= points.len() < before;
        };
        let is_saved = self.directory.saved.as_ref().is_some_and(|saved| saved.manifest.points.contains(&point));
        if !is_saved {
            self.conversation.iter_mut().for_each(|conversation| leave(&mut conversation.arrived));
            self.groups.iter_mut().for_each(|waiting| leave(&mut waiting.group.members));
            self.group.iter_mut().flat_map(|group| &mut group.chunks).for_each(&mut leave);
        }
        if waits {
            let reason = Some("it was asked to leave before it began".to_owned());
            let end = self.end_of(point, Status::Pruned, reason, None, &Progress::default())?;
            return self.write_down(vec![end]);
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.leaving.insert(point);
        }
        Ok(())
    }

    /// The lanes that are to leave.
    pub(super) fn asked_to_leave(&mut self, lanes: &Lanes) -> Result<Vec<usize>> {
        if self.conversation.is_none() {
            return Ok(Vec::new());
        }
        self.hear(Duration::ZERO)?;
        let Some(conversation) = &mut self.conversation else { return Ok(Vec::new()) };
        if conversation.leaving.is_empty() {
            return Ok(Vec::new());
        }
        conversation.leaving.retain(|point| !self.directory.ended.contains_key(point));
        let running: Vec<usize> = lanes.running().map(|lane| lane.index).collect();
        let leavers: Vec<usize> = running.into_iter().filter(|point| conversation.leaving.remove(point)).collect();
        Ok(leavers)
    }

    /// Waits for points where none is left, and puts those that have come into groups: none, where no more come, or something stops the
    /// sweep.
    pub(super) fn await_points(&mut self) -> Result<()> {
        if self.conversation.is_none() {
            return Ok(());
        }
        // What has ended is told for good, however long nothing comes.
        self.directory.settle()?;
        while self.groups.is_empty() {
            self.hear(Duration::ZERO)?;
            self.stopped = self.reason_to_stop();
            let Some(Conversation { is_over, arrived, .. }) = &self.conversation else { return Ok(()) };
            if self.stopped.is_some() || *is_over && arrived.is_empty() {
                return Ok(());
            }
            if arrived.is_empty() {
                let next = self.conversation.as_mut().and_then(|conversation| conversation.next(LOOK));
                next.map_or(Ok(()), |heard| self.answer(heard))?;
                continue;
            }
            while self.waiting_for_lanes() < MOST_ARRIVED && self.reason_to_stop().is_none() && self.hear(PAUSE)? {}
            self.directory.sync_points()?;
            let arrived = self.conversation.as_mut().map(|conversation| std::mem::take(&mut conversation.arrived));
            for group in self.points.grouped(&arrived.unwrap_or_default())? {
                let parents = parents_of(&group.config, true);
                self.groups.push_back(WaitingGroup { group, parents });
            }
        }
        Ok(())
    }

    fn waiting_for_lanes(&self) -> usize {
        self.conversation.as_ref().map_or(0, |conversation| conversation.arrived.len())
    }

    /// Whether points of a group have a net, data or another run to begin with or to learn from that they do not share with all.
    pub(super) fn have_own_wishes(&self, points: &[usize]) -> bool {
        let settings = points.first().map(|point| self.points.settings(*point)).unwrap_or_default();
        let is_wish = |key: &String| {
            ["data.", "model.", "teacher."].iter().any(|section| key.starts_with(section))
                || ["train.init", "train.batch_size"].contains(&key.as_str())
        };
        settings.keys().any(is_wish)
    }

    /// Ends points that cannot be trained, for a reason that the others do not share; that is told.
    pub(super) fn give_up(&mut self, points: &[usize], error: &anyhow::Error) -> Result<()> {
        let hint = failure(error).and_then(Failure::advice).map(str::to_owned);
        let what = described(error);
        let mut ends = Vec::new();
        for &point in points {
            let id = self.points.grid.id(point).cloned();
            let line = self.points.grid.list().map_or(0, |list| list.rows[point].line);
            self.refuse(line, id.as_ref(), &what, hint.as_deref());
            let reason = Some(format!("it cannot be trained: {what}"));
            ends.push(self.end_of(point, Status::Pruned, reason, None, &Progress::default())?);
        }
        self.write_down(ends)
    }

    /// What stops a sweep that waits.
    fn reason_to_stop(&self) -> Option<Stop> {
        self.environment.reason_to_stop(self.points.first().max_time)
    }
}
