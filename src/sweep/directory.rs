//! The directory of a sweep: what it sweeps, a line per point and epoch, and checkpoints.
//!
//! ```text
//! sweep.toml          axes and common settings
//! sweep.json          where and when it was computed, and what its owner says of it
//! points.jsonl        the points, where they were given one by one
//! results.jsonl       an `epoch` line per point and epoch, a `point` line at each point's end
//! results.csv         a row a point that has ended
//! done.json           once all points have ended
//! lanes.safetensors   the lanes in progress, until the sweep has ended
//! rung-00004-…        points that wait after epoch 4 for those that are behind, in `sweep --halving`
//! ckpt/               point-00012.safetensors: the best point's, or every point's, at its end; with a validation split
//!                     point-00012-best.safetensors beside it, where its validation loss was lowest
//! shard-003-of-100/   the same of a part that its own process trains, in `sweep --shard 3/100`
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::halving::Halving;
use super::list;
use super::points::Points;
use super::saved::{Manifest, SavedLane, SavedLanes};
use super::waiting::Waiting;
use crate::config::layers::{Checkpoints, SWEEP};
use crate::config::settings::{SETTINGS, index};
use crate::digest::hex;
use crate::error::{Exit, Failure};
use crate::run::checkpoint::Checkpoint;
use crate::run::provenance::{OF_SWEEP, Provenance, Remarks, rewrite};
use crate::run::results::{self, PointEnd, ResultLine, best_of};
use crate::run::shard::{self, Shard};
use crate::run::write::{folder, folders, growing, is_folder, remove, remove_unfinished, replace, unwritable};
use crate::run::{lock, only_unfinished, read, resolve};
use crate::train::Record;

/// A sweep directory that this process holds.
#[derive(Debug)]
pub struct SweepDirectory {
    path: PathBuf,
    _lock: Option<File>,
    /// Of a shard, the directory of its sweep, which no process takes meanwhile.
    whole: Option<(PathBuf, Option<File>)>,
    results: File,
    /// Length of the results.
    results_bytes: u64,
    /// Digest of what the sweep computes.
    sweep: String,
    /// The file of points that come one by one.
    points: Option<File>,
    /// The points that have ended, by index.
    pub ended: BTreeMap<usize, PointEnd>,
    /// The lanes to go on with, if the sweep was stopped amid some.
    pub saved: Option<SavedLanes>,
    /// Points that wait for others.
    pub waiting: Waiting,
    /// Validation accuracies at rungs, by point and epochs.
    pub at_rungs: BTreeMap<(usize, u64), f64>,
    /// Where and when, and what is said of it; none where the sweep had ended before this process.
    provenance: Option<Provenance>,
    /// Folders made by this process, as long as the sweep has not begun: one that never begins leaves nothing behind.
    made: Option<Vec<PathBuf>>,
}

impl SweepDirectory {
    /// Takes the directory `out` for the sweep of `points` that `description` describes: absent, empty, or with `resume` one of
    /// the same sweep. Of what is neither ended nor saved there, nothing stays.
    ///
    /// # Errors
    /// If it holds something else ([`Exit::Usage`], [`Exit::Run`]), another process holds it ([`Exit::Busy`]) or it cannot be
    /// written ([`Exit::Output`]).
    pub fn open(out: &Path, resume: bool, description: &str, points: &Points) -> Result<Self> {
        let unwritten = |error: std::io::Error| unwritable(out, &error);
        is_folder(out)?;
        let made = folders(out).map_err(unwritten)?;
        let lock = lock::take(out, "sweeps in this directory").map_err(|busy| of_running_shard(out).unwrap_or(busy))?;
        let names = read::names(out).map_err(unwritten)?;
        // What a process leaves that was killed before its sweep began is nothing.
        let holds_something = !only_unfinished(out, &names)?;
        if holds_something && !resume {
            return Err(not_empty(out).into());
        }
        let begun = if holds_something { expect_same(out, description, points)? } else { description.to_owned() };
        // A sweep that an earlier version began is known by what that one wrote.
        let is_of_now = deciding(&begun) == deciding(description);
        let description = if is_of_now { description } else { &begun };
        let digest = hex(Sha256::new_with_prefix(deciding(description).join("\n")));
        let resumed = if holds_something { resumed(out, &digest, points)? } else { Resumed::default() };
        replace(&out.join(DESCRIPTION), description.as_bytes())?;
        if points.shard().is_none() {
            write_points(out, points)?;
        }
        folder(&out.join("ckpt"))?;
        remove_unfinished(out)?;
        remove_unfinished(&out.join("ckpt"))?;
        let lines = out.join(results::RESULTS);
        let open = growing(&lines);
        let is_new = !holds_something && points.shard().is_none();
        Ok(Self {
            path: out.to_owned(),
            _lock: lock,
            whole: None,
            results: open.map_err(|error| unwritable(&lines, &error))?,
            results_bytes: resumed.results_bytes,
            sweep: digest,
            points: None,
            at_rungs: resumed.at_rungs,
            ended: resumed.ended,
            saved: resumed.saved,
            waiting: resumed.waiting,
            provenance: None,
            made: is_new.then_some(made),
        })
    }

    /// Folders that were made for it too.
    pub fn add_made(&mut self, folders: Vec<PathBuf>) {
        if let Some(made) = &mut self.made {
            made.extend(folders);
        }
    }

    /// Keeps what is written from here on: the sweep has begun.
    pub fn keep(&mut self) {
        self.made = None;
    }

    /// Takes the folder of a shard in the directory `out` of a sweep, which is shared with the processes of the other shards; the first of
    /// them describes the sweep there. `descriptions` are the whole sweep's and the shard's.
    ///
    /// # Errors
    /// As [`SweepDirectory::open`], and if `out` holds another sweep or one that is cut otherwise ([`Exit::Run`]).
    pub fn open_shard(
        out: &Path,
        shard: Shard,
        resume: bool,
        descriptions: [&str; 2],
        points: &Points,
    ) -> Result<Self> {
        let [of_whole, own] = descriptions;
        let unwritten = |error: std::io::Error| unwritable(out, &error);
        is_folder(out)?;
        folders(out).map_err(unwritten)?;
        let file = out.join(DESCRIPTION);
        let is_described = || read::is_file(&file).map_err(|error| read::failure(&file, &error));
        let describe = || {
            let names = read::names(out).map_err(unwritten)?;
            if !only_unfinished(out, &names)? {
                return Err(not_empty(out));
            }
            replace(&file, of_whole.as_bytes())?;
            write_points(out, points)
        };
        let whole = lock::share(out, "works on the whole sweep in this directory", is_described, describe)?;
        expect_same(out, of_whole, points)?;
        let shards = shard::folders(out).map_err(|error| read::failure(out, &error))?;
        if let Some((other, _)) = shards.iter().find(|(other, _)| other.count != shard.count) {
            let what = format!("{}: is cut into {} shards, not {}", out.display(), other.count, shard.count);
            let failure = Failure::new(Exit::Run, what);
            return Err(failure.hint(format!("give --shard I/{}, or another --out", other.count)).into());
        }
        let mut directory = Self::open(&out.join(shard.folder()), resume, own, points)?;
        directory.whole = Some((out.to_owned(), whole));
        Ok(directory)
    }

    /// Takes over what the shards in the folder have computed of points that have neither ended nor are in progress here: their lines, and
    /// their checkpoints where they are kept. A line counts only where its settings are those of the point. The shards stay as they are.
    /// Answers how many points these are.
    ///
    /// # Errors
    /// If a shard is another sweep's or cannot be read ([`Exit::Run`]), or something cannot be written ([`Exit::Output`]).
    pub fn gather(&mut self, points: &Points, checkpoints: Checkpoints) -> Result<usize> {
        let before = self.ended.len();
        let is_whole = before == points.total();
        let saved = self.saved.iter().flat_map(|saved| &saved.manifest.points);
        let in_progress: HashSet<usize> = saved.copied().collect();
        let file = self.path.join(DESCRIPTION);
        let description = read::text(&file, MOST_DESCRIPTION).map_err(|error| read::failure(&file, &error))?;
        let mut best = best_of(self.ended.values()).cloned();
        for (_, folder) in shard::folders(&self.path).map_err(|error| read::failure(&self.path, &error))? {
            let lines = folder.join(results::RESULTS);
            // One that was killed before it began has none; of a sweep that has ended none is needed.
            let text = if is_whole {
                read::is_file(&lines).map(|is_there| is_there.then(Vec::new))
            } else {
                read::optional(read::bytes(&lines, results::MOST_BYTES))
            };
            let Some(text) = text.map_err(|error| read::failure(&lines, &error))? else { continue };
            expect_same(&folder, &description, points)?;
            if is_whole {
                continue;
            }
            let mut found = Results::of_ended(&text, &Waiting::default());
            found.ended.retain(|index, end| {
                let wrong = points.wrong(*index, end);
                if let Some(wrong) = &wrong {
                    tracing::warn!("{}: {wrong}: passed over", lines.display());
                }
                wrong.is_none() && !self.ended.contains_key(index) && !in_progress.contains(index)
            });
            best = self.take_over(&folder, found, best, checkpoints)?;
        }
        Ok(self.ended.len() - before)
    }

    /// Adds the results of a shard to those whose best is `old`; answers with the best of all. Checkpoints come before the lines that say
    /// that they are there.
    fn take_over(
        &mut self,
        folder: &Path,
        found: Results,
        old: Option<PointEnd>,
        checkpoints: Checkpoints,
    ) -> Result<Option<PointEnd>> {
        let best = best_of(old.iter().chain(found.ended.values())).cloned();
        let index_of = |best: &Option<PointEnd>| best.as_ref().map(|best| best.point);
        let is_new = index_of(&best) != index_of(&old);
        for index in found.ended.keys().filter(|index| match checkpoints {
            Checkpoints::Best => index_of(&best) == Some(**index),
            Checkpoints::All => true,
            Checkpoints::None => false,
        }) {
            for is_best in [true, false] {
                let path = resolve::of_point(folder, *index, is_best);
                let bytes = read::optional(read::bytes(&path, MOST_CHECKPOINT));
                if let Some(bytes) = bytes.map_err(|error| read::failure(&path, &error))? {
                    replace(&self.checkpoint(*index, is_best), &bytes)?;
                }
            }
        }
        self.write(&found.only(|point| found.ended.contains_key(&point)))?;
        self.sync()?;
        self.ended.extend(found.ended);
        if let Some(old) = old.filter(|_| is_new && checkpoints == Checkpoints::Best) {
            self.forget(old.point);
        }
        Ok(best)
    }

    /// Writes where and since when the sweep is computed, and what is said of it; of one that has ended, and that no points may come to
    /// (`goes_on`), what is said alone.
    ///
    /// # Errors
    /// If it cannot be read ([`Exit::Run`]) or written ([`Exit::Output`]).
    pub fn begin(&mut self, remarks: &Remarks, points: &Points, goes_on: bool) -> Result<(), Failure> {
        let before = Provenance::of_sweep(&self.path)?;
        let goes_on = goes_on || self.ended.len() < points.count();
        if goes_on {
            let done = self.path.join(DONE);
            remove(&done).map_err(|error| unwritable(&done, &error))?;
        }
        if before.end.is_none() || goes_on {
            let provenance = Provenance::begun(before, remarks);
            provenance.write_of_sweep(&self.path)?;
            self.provenance = Some(provenance);
        } else if *remarks != Remarks::default() {
            rewrite(&self.path.join(OF_SWEEP), |before| before.with(remarks))?;
        }
        Ok(())
    }

    /// Writes that this process has ended.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn end(&self) -> Result<(), Failure> {
        let Some(provenance) = &self.provenance else { return Ok(()) };
        provenance.ended().write_of_sweep(&self.path)
    }

    /// Says that all is done: what waits for a file, such as make, waits for this one.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn finish(&self, outcome: &serde_json::Value) -> Result<(), Failure> {
        replace(&self.path.join(DONE), format!("{outcome}\n").as_bytes())
    }

    /// The directory; of a shard its own folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the whole sweep.
    pub fn whole(&self) -> &Path {
        self.whole.as_ref().map_or(&self.path, |(whole, _)| whole)
    }

    /// Counts on no lanes any more: all of them have ended or wait. What is written from here on stays, and files of points that wait no
    /// longer go.
    ///
    /// # Errors
    /// If something cannot be written or removed ([`Exit::Output`]).
    pub fn settle(&self) -> Result<()> {
        self.forget_lanes()?;
        Ok(self.waiting.sweep_up(&self.path)?)
    }

    /// Keeps a point that has come. It is on disk after [`SweepDirectory::sync_points`].
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn add_point(&mut self, line: &str) -> Result<(), Failure> {
        self.keep();
        let path = self.path.join(list::FILE);
        let unwritten = |error: std::io::Error| unwritable(&path, &error);
        let file = match self.points.take() {
            Some(file) => file,
            None => growing(&path).map_err(unwritten)?,
        };
        self.points.insert(file).write_all(line.as_bytes()).map_err(unwritten)
    }

    /// Puts the points that have come on disk.
    ///
    /// # Errors
    /// If they cannot be written ([`Exit::Output`]).
    pub fn sync_points(&self) -> Result<(), Failure> {
        let Some(file) = &self.points else { return Ok(()) };
        read::uninterrupted(|| file.sync_data()).map_err(|error| unwritable(&self.path.join(list::FILE), &error))
    }

    /// Appends lines to the results. They are on disk once the lanes are saved after them.
    ///
    /// # Errors
    /// If they cannot be written ([`Exit::Output`]).
    pub fn append(&mut self, lines: &[ResultLine]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.write(&lines.iter().map(|line| line.to_json().to_string() + "\n").collect::<String>())
    }

    /// Appends text to the results.
    fn write(&mut self, text: &str) -> Result<()> {
        let path = self.path.join(results::RESULTS);
        self.results.write_all(text.as_bytes()).map_err(|error| unwritable(&path, &error))?;
        self.results_bytes += text.len() as u64;
        Ok(())
    }

    /// Puts the results on disk.
    fn sync(&self) -> Result<()> {
        let path = self.path.join(results::RESULTS);
        Ok(read::uninterrupted(|| self.results.sync_data()).map_err(|error| unwritable(&path, &error))?)
    }

    /// Where the lanes in progress are saved.
    pub fn lanes(&self) -> PathBuf {
        self.path.join(LANES)
    }

    /// Saves the lanes in progress in place of those before.
    ///
    /// # Errors
    /// If they cannot be written ([`Exit::Output`]).
    pub fn save_lanes(&self, mut saved: SavedLanes) -> Result<()> {
        self.write_lanes(&mut saved, &self.lanes())
    }

    /// Writes lanes that count on the results so far.
    fn write_lanes(&self, saved: &mut SavedLanes, path: &Path) -> Result<()> {
        self.sync()?;
        saved.manifest.sweep.clone_from(&self.sweep);
        saved.manifest.results_bytes = self.results_bytes;
        saved.write(path)
    }

    /// Lets the lanes in progress, which have come to a rung, wait there: they are in progress no longer.
    ///
    /// # Errors
    /// If they cannot be written ([`Exit::Output`]).
    pub fn wait(&mut self, lanes: Vec<SavedLane>) -> Result<()> {
        let Some(epochs) = lanes.first().map(|lane| lane.checkpoint.meta.progress.epoch) else { return Ok(()) };
        let points: Vec<usize> = lanes.iter().map(|lane| lane.point).collect();
        let path = Waiting::file(&self.path, epochs, points[0]);
        let mut saved = SavedLanes { manifest: Manifest::new(points, Vec::new()), lanes };
        self.write_lanes(&mut saved, &path)?;
        self.waiting.add(&path, &saved);
        // Only then: until then they go on from where they were.
        self.forget_lanes()?;
        Ok(self.waiting.sweep_up(&self.path)?)
    }

    /// Takes in points that have ended, whose lines are written: they wait no longer. Their files stay until no lanes in progress count on
    /// them.
    pub fn take_in(&mut self, ends: Vec<PointEnd>) {
        let Self { waiting, ended, .. } = self;
        ended.extend(ends.into_iter().map(|end| (end.point, end)));
        waiting.retain(|point, _| !ended.contains_key(&point));
    }

    /// Removes the file of lanes in progress: there are none any more.
    ///
    /// # Errors
    /// If it is there and cannot be removed ([`Exit::Output`]).
    fn forget_lanes(&self) -> Result<()> {
        self.sync()?;
        Ok(remove(&self.lanes()).map_err(|error| unwritable(&self.lanes(), &error))?)
    }

    /// The checkpoint file of a point, at its end or where it was best.
    pub fn checkpoint(&self, point: usize, best: bool) -> PathBuf {
        resolve::of_point(&self.path, point, best)
    }

    /// Writes the checkpoint of a point, and that of its best evaluation where there is one.
    ///
    /// # Errors
    /// If they cannot be written ([`Exit::Output`]).
    pub fn save(&self, point: usize, checkpoint: &Checkpoint, best: Option<&Checkpoint>) -> Result<()> {
        best.map_or(Ok(()), |best| best.write(&self.checkpoint(point, true)))?;
        checkpoint.write(&self.checkpoint(point, false))
    }

    /// Removes the checkpoints of all points but `best`.
    ///
    /// # Errors
    /// If their folder cannot be read or one cannot be removed ([`Exit::Output`]).
    pub fn keep_alone(&self, best: Option<usize>) -> Result<()> {
        let kept: Vec<PathBuf> = best.iter().flat_map(|best| self.files(*best)).collect();
        let folder = self.path.join("ckpt");
        for name in read::names(&folder).map_err(|error| unwritable(&folder, &error))? {
            let path = folder.join(&name);
            if name.to_string_lossy().starts_with("point-") && !kept.contains(&path) {
                remove(&path).map_err(|error| unwritable(&path, &error))?;
            }
        }
        Ok(())
    }

    /// Removes the checkpoints of a point, if there are some.
    pub fn forget(&self, point: usize) {
        // A file that stays costs space and nothing else.
        self.files(point).iter().for_each(|file| drop(remove(file)));
    }

    fn files(&self, point: usize) -> [PathBuf; 2] {
        [false, true].map(|best| self.checkpoint(point, best))
    }
}

impl Drop for SweepDirectory {
    fn drop(&mut self) {
        let is_empty = || self.results.metadata().is_ok_and(|metadata| metadata.len() == 0);
        let Some(made) = self.made.take().filter(|_| is_empty()) else { return };
        // What tells that it is a sweep goes last.
        for name in [results::RESULTS, OF_SWEEP, list::FILE] {
            let _ = remove(&self.path.join(name));
        }
        let _ = read::uninterrupted(|| fs::remove_dir(self.path.join("ckpt")));
        let _ = remove(&self.path.join(DESCRIPTION));
        for folder in &made {
            let _ = read::uninterrupted(|| fs::remove_dir(folder));
        }
    }
}

/// Writes the points that were given one by one, if they were.
fn write_points(out: &Path, points: &Points) -> Result<(), Failure> {
    points.grid.list().map_or(Ok(()), |list| replace(&out.join(list::FILE), list.to_text().as_bytes()))
}

fn not_empty(out: &Path) -> Failure {
    let what = format!("{}: holds something, expected an absent or empty folder", out.display());
    Failure::new(Exit::Usage, what).hint("go on with that sweep by --resume, or choose another folder with --out")
}

/// The failure of a sweep that cannot be taken while one of its shards trains; none where none does.
fn of_running_shard(out: &Path) -> Option<Failure> {
    let shards = shard::folders(out).ok()?;
    let running = shards.iter().find(|(_, folder)| lock::is_held(folder).unwrap_or_default());
    running.map(|(shard, folder)| {
        let busy = Failure::new(Exit::Busy, format!("{}: another process trains shard {shard}", folder.display()));
        busy.hint("wait until it has ended; `adamtrain runs` shows how all stand")
    })
}

/// Requires that the sweep in `out` is the one that `description` describes; answers with how it describes itself.
fn expect_same(out: &Path, description: &str, points: &Points) -> Result<String, Failure> {
    let file = out.join(DESCRIPTION);
    let then = read::optional(read::text(&file, MOST_DESCRIPTION)).map_err(|error| read::failure(&file, &error))?;
    let fail = |what: &str| Failure::new(Exit::Run, format!("{}: {what}", out.display()));
    let then =
        then.ok_or_else(|| fail("holds no sweep: sweep.toml is missing").hint("choose another folder with --out"))?;
    let unreadable = |error| fail(&format!("sweep.toml is no TOML: {error}"));
    let begun = then;
    let (mut then, now) = (entries_of(&begun).map_err(unreadable)?, entries_of(description).map_err(unreadable)?);
    // An earlier version did not say so.
    if DRAWN.iter().any(|key| then.contains_key(*key)) {
        then.entry(SEED.to_owned()).or_insert(toml::Value::Integer(0));
    }
    // An earlier version had no such setting.
    let is_new = |key: &str| points.hold_default(key);
    let text = |entry: Option<&toml::Value>| entry.map_or("not set".to_owned(), |value| cut(&value.to_string()));
    // Which points were given one by one says more than what they differ in.
    if LISTED.iter().any(|key| !is_same(now.get(*key), then.get(*key))) {
        let given = |entries: &BTreeMap<_, _>| if entries.contains_key(LISTED[0]) { "one by one" } else { "by axes" };
        let (before, here) = (given(&then), given(&now));
        let differs = if before == here { "others were given" } else { "they were given" };
        let what = format!("is a sweep of other points: {differs} {before} where it began, and here {here}");
        let hint = format!("go on with its own, in {}, by leaving --points out, or choose another --out", list::FILE);
        return Err(fail(&what).hint(hint));
    }
    for key in now.keys().chain(then.keys()) {
        let (now, then) = (now.get(key), then.get(key));
        // What the file says of the sweep itself is for people where it is there, but for which points there are and which of them leave.
        let is_told = key.starts_with(SWEEP) && !DRAWN.contains(&key.as_str()) && key != HALVING;
        let is_same = is_same(now, then) || then.is_none() && (is_told || is_new(key));
        // What its variants stand for is no entry of its own.
        if (decides(key) || key == VARIANT) && !is_same {
            let what = format!("is another sweep: `{key} = {}`, but it began with `{key} = {}`", text(now), text(then));
            let hint = "give the settings that the sweep began with, or choose another folder with --out";
            return Err(fail(&what).hint(hint));
        }
    }
    Ok(begun)
}

/// The beginning of a text that may be long.
fn cut(text: &str) -> String {
    const MOST: usize = 200;
    let cut: String = text.chars().take(MOST).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

/// The entries of a `sweep.toml`, by section and name.
fn entries_of(text: &str) -> Result<BTreeMap<String, toml::Value>, toml::de::Error> {
    let sections: BTreeMap<String, BTreeMap<String, toml::Value>> = toml::from_str(text)?;
    let entry = |section: &str, (name, value)| (format!("{section}.{name}"), value);
    Ok(sections
        .into_iter()
        .flat_map(|(section, names)| names.into_iter().map(move |own| entry(&section, own)))
        .collect())
}

/// Whether two values are the same, however they are written.
fn is_same(a: Option<&toml::Value>, b: Option<&toml::Value>) -> bool {
    let number = |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    match (a, b) {
        (Some(toml::Value::Array(a)), Some(toml::Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(Some(a), Some(b)))
        }
        (Some(a), Some(b)) => a == b || number(a).is_some() && number(a) == number(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// The lanes to go on with and the results that stay, of which the file then holds no other: those that the lanes count on, or where
/// there are none those of the points that have ended.
fn resumed(out: &Path, digest: &str, points: &Points) -> Result<Resumed> {
    let (lanes, lines) = (out.join(LANES), out.join(results::RESULTS));
    let text =
        read::optional(read::bytes(&lines, results::MOST_BYTES)).map_err(|error| read::failure(&lines, &error))?;
    let text = text.unwrap_or_default();
    let waited =
        points.halving.map(|halving| Waiting::read(out, digest, halving, points)).transpose()?.unwrap_or_default();
    let without_lanes = || {
        let waiting = Waiting::told(&waited, &text);
        (None, Results::of_ended(&text, &waiting), waiting)
    };
    let usable = |saved: SavedLanes| {
        if let Some(defect) = saved.defect(digest, points) {
            return Err(format!("{}: {defect}", lanes.display()));
        }
        let lost = || format!("{}: results.jsonl has lost lines that it counts on", lanes.display());
        let own = &saved.manifest.points;
        let mut waiting = Waiting::told(&waited, saved.manifest.counted_on(&text).ok_or_else(lost)?);
        if saved.has_begun() {
            waiting.retain(|point, _| !own.contains(&point));
        }
        let results = Results::up_to(&text, &saved.manifest, &waiting).ok_or_else(lost)?;
        // Those that begin have no lines; those that go on from where they wait are all there.
        let waits = own.first().is_some_and(|first| waiting.get(*first).is_some());
        let have_lines = || results.points.iter().any(|point| own.contains(point));
        if !saved.has_begun() && (!waiting.hold_together(own) || !waits && have_lines()) {
            return Err(format!("{}: its points no longer wait where they go on from", lanes.display()));
        }
        Ok((Some(saved), results, waiting))
    };
    let found = match SavedLanes::read(&lanes)? {
        Ok(Some(saved)) => usable(saved),
        Ok(None) => Ok(without_lanes()),
        Err(failure) => Err(failure.to_string()),
    };
    let (saved, results, mut waiting) = found.unwrap_or_else(|what| {
        tracing::warn!("{what}; its points are trained again from where they waited, or from their start");
        without_lanes()
    });
    waiting.retain(|point, _| !results.ended.contains_key(&point));
    results.expect_own(points).map_err(|what| {
        let failure = Failure::new(Exit::Run, format!("{}: {what}", lines.display()));
        failure.hint("its lines were changed: begin the sweep again in another folder")
    })?;
    if text != results.text.as_bytes() {
        replace(&lines, results.text.as_bytes())?;
    }
    let (results_bytes, at_rungs) = (results.text.len() as u64, results.at_rungs(points));
    Ok(Resumed { saved, results_bytes, at_rungs, ended: results.ended, waiting })
}

/// What a sweep goes on from.
#[derive(Default)]
struct Resumed {
    saved: Option<SavedLanes>,
    results_bytes: u64,
    at_rungs: BTreeMap<(usize, u64), f64>,
    ended: BTreeMap<usize, PointEnd>,
    waiting: Waiting,
}

/// The `sweep.toml` of the sweep in `path`, if it holds one.
///
/// # Errors
/// If `path` can be no folder ([`Exit::Output`]), or the system does not say ([`Exit::Run`]).
pub fn description_of(path: &Path) -> Result<Option<PathBuf>, Failure> {
    if !is_folder(path)? {
        return Ok(None);
    }
    let file = path.join(DESCRIPTION);
    let is_there = read::is_file(&file).map_err(|error| read::failure(&file, &error))?;
    Ok(Some(file).filter(|_| is_there))
}

/// A checkpoint longer than this is no file of ours.
const MOST_CHECKPOINT: u64 = 1 << 40;

/// The file that describes a sweep.
const DESCRIPTION: &str = "sweep.toml";

/// The file that is there once all is done.
const DONE: &str = "done.json";

/// A description longer than this is another file.
const MOST_DESCRIPTION: u64 = 1 << 20;

/// The file of lanes in progress.
const LANES: &str = "lanes.safetensors";

/// What `results.jsonl` holds, or what of it stays.
struct Results<'a> {
    text: Cow<'a, str>,
    /// The point of each line.
    points: Vec<usize>,
    ended: BTreeMap<usize, PointEnd>,
}

impl<'a> Results<'a> {
    /// The results that saved lanes count on, if they are there: lines of these lanes, of points that wait and of those that have ended.
    fn up_to(text: &'a [u8], manifest: &Manifest, waiting: &Waiting) -> Option<Self> {
        let text = std::str::from_utf8(manifest.counted_on(text)?).ok();
        let text = text.filter(|text| text.is_empty() || text.ends_with('\n'))?;
        let (mut points, mut ended) = (Vec::new(), BTreeMap::new());
        for line in text.lines() {
            let line = ResultLine::parse(line.as_bytes())?;
            points.push(line.point());
            if let ResultLine::End(end) = line {
                ended.insert(end.point, end);
            }
        }
        let is_known = |point: &usize| match (ended.contains_key(point), manifest.points.contains(point)) {
            (has_ended, is_saved) if has_ended != is_saved => true,
            (has_ended, _) => !has_ended && waiting.get(*point).is_some(),
        };
        let is_ours = points.iter().chain(&manifest.points).all(is_known);
        is_ours.then(|| Self { text: text.into(), points, ended })
    }

    /// Requires that the line of each point that has ended tells the settings of that point.
    fn expect_own(&self, points: &Points) -> Result<(), String> {
        for (index, end) in &self.ended {
            points.wrong(*index, end).map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// The validation accuracies at rungs, by point and epochs.
    fn at_rungs(&self, points: &Points) -> BTreeMap<(usize, u64), f64> {
        let Some(halving) = points.halving else { return BTreeMap::new() };
        let lines = self.text.lines().filter_map(|line| ResultLine::parse(line.as_bytes()));
        let at_rung = |line| match line {
            ResultLine::Record(point, record) => at_rung(halving, point, &record),
            ResultLine::End(_) => None,
        };
        lines.filter_map(at_rung).collect()
    }

    /// The lines of points that have ended, and of those that wait those up to there.
    fn of_ended(text: &'a [u8], waiting: &Waiting) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut ended = BTreeMap::new();
        // Of each line its point, and its step where it is no end; none where it is none of a sweep's.
        let mut told: Vec<Option<(usize, Option<u64>)>> = Vec::new();
        for line in text.lines() {
            told.push(match ResultLine::parse(line.as_bytes()) {
                Some(ResultLine::Record(point, record)) => Some((point, Some(record.step))),
                Some(ResultLine::End(end)) => {
                    let point = end.point;
                    ended.insert(point, end);
                    Some((point, None))
                }
                None => None,
            });
        }
        let waited = |point: usize, step: u64| waiting.get(point).is_some_and(|at| step <= at.progress.step);
        for line in &mut told {
            *line =
                line.filter(|(point, step)| ended.contains_key(point) || step.is_some_and(|step| waited(*point, step)));
        }
        let points = told.iter().flatten().map(|(point, _)| *point).collect();
        let is_whole = text.is_empty() || text.ends_with('\n') && !text.contains('\r');
        let text = if told.iter().all(Option::is_some) && is_whole {
            text
        } else {
            lines_where(&text, told.iter().map(Option::is_some)).into()
        };
        Self { text, points, ended }
    }

    /// The lines of points for which `stays` says yes.
    fn only(&self, stays: impl Fn(usize) -> bool) -> Cow<'_, str> {
        if self.points.iter().all(|point| stays(*point)) {
            return Cow::Borrowed(&self.text);
        }
        lines_where(&self.text, self.points.iter().map(|point| stays(*point))).into()
    }
}

/// The lines of a text that stay.
fn lines_where(text: &str, stays: impl Iterator<Item = bool>) -> String {
    let kept = text.lines().zip(stays).filter(|(_, stays)| *stays);
    kept.flat_map(|(line, _)| [line, "\n"]).collect()
}

/// What a point is judged by at a rung, if this is its record there.
pub fn at_rung(halving: Halving, point: usize, record: &Record) -> Option<((usize, u64), f64)> {
    let is_there = record.event == "epoch" && halving.has_rung(record.epoch);
    record.valid_accuracy.filter(|_| is_there).map(|accuracy| ((point, record.epoch), accuracy))
}

/// Entries of `sweep.toml` that say how many points were drawn, and which.
const DRAWN: [&str; 2] = ["sweep.random", "sweep.quasi"];
const SEED: &str = "sweep.random_seed";

/// That which says by which rule points leave on their way.
const HALVING: &str = "sweep.halving";

/// That of the variants whose settings points have.
const VARIANT: &str = "optim.variant";

/// Entries of `sweep.toml` that say which points were given one by one.
const LISTED: [&str; 2] = ["sweep.points_file", "sweep.points_digest"];

/// Whether an entry of `sweep.toml` decides what is computed.
fn decides(key: &str) -> bool {
    let setting = index(key).map(|index| &SETTINGS[index]);
    setting.map_or(!["sweep.lanes", "sweep.shard"].contains(&key), |setting| {
        setting.decides || setting.key == "train.epochs"
    })
}

/// The lines of a description that decide what is computed.
fn deciding(description: &str) -> Vec<&str> {
    let mut section = "";
    let mut lines = Vec::new();
    for line in description.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        }
        let key = line.split_once(" = ").map(|(name, _)| format!("{section}.{name}"));
        if key.is_none_or(|key| decides(&key)) {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{Given, Sources};

    #[test]
    fn mutated_results_are_refused_or_read_and_nothing_else() {
        let given = Given { key: "optim.lr".into(), text: "0.001,0.1".into(), flag: "--lr".into() };
        let sources = Sources { command_line: vec![given], ..Sources::default() };
        let points = Points::load(&sources).unwrap();
        let line = |event: &str, point: usize| {
            let settings = points.settings(point);
            serde_json::json!({"event": event, "point": point, "settings": settings, "status": "finished"}).to_string()
                + "\n"
        };
        let whole = line("epoch", 0) + &line("epoch", 1) + &line("point", 0);
        let mut manifest = Manifest::new(vec![1], vec![]);
        manifest.results_bytes = whole.len() as u64;
        let nobody = Waiting::default();
        assert!(Results::up_to(whole.as_bytes(), &manifest, &nobody).is_some());
        crate::fuzz::run("results", &[whole.into_bytes()], |bytes| {
            let ended = Results::of_ended(bytes, &nobody);
            let saved = Results::up_to(bytes, &manifest, &nobody);
            assert!(bytes.len() >= saved.as_ref().map_or(0, |saved| saved.text.len()));
            [Some(ended), saved].into_iter().flatten().all(|results| results.expect_own(&points).is_ok())
        });
    }
}
