//! Which checkpoint a path means: a file, the newest of a run, the best of a sweep, or `SWEEP#POINT`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::results::{self, PointEnd, best_of};
use super::{file_name, list, named, shard};
use crate::error::{Exit, Failure};
use crate::read;

/// The checkpoint file of a point in a sweep's directory: at its end, or where its validation loss was lowest.
pub fn of_point(sweep: &Path, point: usize, best: bool) -> PathBuf {
    let best = if best { "-best" } else { "" };
    sweep.join("ckpt").join(format!("point-{point:05}{best}.safetensors"))
}

/// The same where it lies: in the sweep's own folder, or in that of a shard that has not been gathered.
fn found(sweep: &Path, point: usize, best: bool) -> PathBuf {
    let own = of_point(sweep, point, best);
    let is_there = |path: &PathBuf| read::is_file(path).unwrap_or_default();
    let shards = if is_there(&own) { Vec::new() } else { shard::folders(sweep).unwrap_or_default() };
    shards.into_iter().map(|(_, folder)| of_point(&folder, point, best)).find(is_there).unwrap_or(own)
}

/// The checkpoint that `path` means, and its file: the file itself; of a run the newest that is whole, or with `best` the one with the
/// lowest validation loss; of a sweep that of its best point, or of the point that `#N` names, at its end or with `best` likewise.
///
/// Checkpoints of a run that are broken are named in warnings and passed over, as `--resume` does.
///
/// # Errors
/// If there is none ([`Exit::Run`]), or `best` stands beside a file ([`Exit::Usage`]).
pub fn open(path: &Path, best: bool) -> Result<(PathBuf, Checkpoint), Failure> {
    let metadata = match read::uninterrupted(|| fs::metadata(path)) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => match point_of(path) {
            Some((sweep, point)) => return of_sweep(&sweep, Some(point), best),
            None => return Err(missing(path, &format!("cannot be read: {error}"), ANY)),
        },
        Err(error) => return Err(missing(path, &format!("cannot be read: {error}"), ANY)),
    };
    if !metadata.is_dir() {
        if best {
            let what = format!("{}: is a file, and --best chooses among those of a run", path.display());
            return Err(Failure::new(Exit::Usage, what).hint("leave out --best, or give the run's folder"));
        }
        return file(path);
    }
    let description = path.join("sweep.toml");
    if read::is_file(&description).map_err(|error| read::failure(&description, &error))? {
        return of_sweep(path, None, best);
    }
    if best { best_of_run(path) } else { newest_of_run(path) }
}

const ANY: &str = "give a run directory, a sweep directory, SWEEP#POINT, or a checkpoint file";

fn missing(path: &Path, what: &str, hint: &str) -> Failure {
    Failure::new(Exit::Run, format!("{}: {what}", path.display())).hint(hint)
}

/// A checkpoint file that was named; where it is broken, an older one of its folder is named that is not.
fn file(path: &Path) -> Result<(PathBuf, Checkpoint), Failure> {
    match Checkpoint::read_whole(path)? {
        Ok(checkpoint) => Ok((path.to_owned(), checkpoint)),
        Err(failure) => Err(or_another(failure, path, path.parent().unwrap_or(Path::new(".")))),
    }
}

/// `failure` of `path`, with the newest other checkpoint of `folder` that is whole as what to do.
fn or_another(failure: Failure, path: &Path, folder: &Path) -> Failure {
    let is_other = |other: &PathBuf| other.file_name() != path.file_name();
    let is_whole = |other: &PathBuf| matches!(Checkpoint::read_whole(other), Ok(Ok(_)));
    let another = list(folder).ok().and_then(|found| found.into_iter().filter(is_other).find(is_whole));
    match another {
        Some(another) => failure.hint(format!("{} is whole", another.display())),
        None => failure,
    }
}

fn best_of_run(run: &Path) -> Result<(PathBuf, Checkpoint), Failure> {
    let folder = run.join("ckpt");
    let best = match named(&folder, "BEST")? {
        Some(best) => best,
        None => best_by_newest(run, &folder)?,
    };
    match Checkpoint::read_whole(&best)? {
        Ok(checkpoint) => Ok((best, checkpoint)),
        Err(failure) => Err(or_another(failure, &best, &folder)),
    }
}

/// The best checkpoint of a run that has lost its BEST: the newest one knows of it.
fn best_by_newest(run: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let Some(best) = newest_of_run(run)?.1.meta.progress.best else {
        return Err(missing(run, "holds no best checkpoint", "only a run with --valid-fraction has one"));
    };
    let path = folder.join(file_name(best.step));
    if read::is_file(&path).map_err(|error| read::failure(&path, &error))? {
        return Ok(path);
    }
    Err(missing(&path, "is missing, and was the best checkpoint", "without --best the newest one is taken"))
}

fn newest_of_run(run: &Path) -> Result<(PathBuf, Checkpoint), Failure> {
    let mut broken = Vec::new();
    for path in list(&run.join("ckpt"))? {
        match Checkpoint::read_whole(&path)? {
            Ok(checkpoint) => {
                for failure in broken {
                    tracing::warn!("{failure}; the next older one is used");
                }
                return Ok((path, checkpoint));
            }
            Err(failure) => broken.push(failure),
        }
    }
    Err(broken.into_iter().next().unwrap_or_else(|| missing(run, "holds no checkpoint", ANY)))
}

/// The sweep and the point that `SWEEP#POINT` names.
pub fn point_of(path: &Path) -> Option<(PathBuf, usize)> {
    let (sweep, point) = path.to_str()?.rsplit_once('#')?;
    Some((sweep.into(), point.parse().ok()?))
}

fn of_sweep(sweep: &Path, point: Option<usize>, best: bool) -> Result<(PathBuf, Checkpoint), Failure> {
    let description = sweep.join("sweep.toml");
    if !read::is_file(&description).map_err(|error| read::failure(&description, &error))? {
        return Err(missing(sweep, "holds no sweep: sweep.toml is missing", ANY));
    }
    let ended = read::optional(results::ended(sweep, results::MOST_BYTES));
    let ended = ended.map_err(|error| read::failure(&sweep.join("results.jsonl"), &error))?.unwrap_or_default();
    let Some(point) = point.or(best_of(ended.values()).map(|end| end.point)) else {
        let (what, hint) = match ended.len() {
            0 => ("no point of this sweep has ended", "go on with --resume"),
            _ if ended.values().all(PointEnd::has_diverged) => ("every point of this sweep has diverged", "lower --lr"),
            _ => ("no point of this sweep is the best: it has no validation split to choose by", CHOOSE),
        };
        return Err(missing(sweep, what, hint));
    };
    let path = found(sweep, point, best);
    if !read::is_file(&path).map_err(|error| read::failure(&path, &error))? {
        let (what, hint) = match ended.get(&point) {
            Some(end) if best && end.best.is_none() => {
                (format!("point {point} has no best evaluation"), "only a sweep with --valid-fraction has one")
            }
            Some(_) if best && read::is_file(&found(sweep, point, false)).unwrap_or_default() => (
                format!("holds no checkpoint of the best epoch of point {point}"),
                "without --best it is that of its end",
            ),
            Some(_) => (format!("holds no checkpoint of point {point}"), KEEP),
            None => (format!("its point {point} has not ended, or there is none"), KEEP),
        };
        return Err(missing(sweep, &what, hint));
    }
    Ok((path.clone(), Checkpoint::read(&path)?))
}

const CHOOSE: &str = "name one as SWEEP#POINT, or sweep with --valid-fraction";
const KEEP: &str =
    "`sweep --checkpoints all` keeps those of all points that did not diverge; --expand prints a point's own command";
