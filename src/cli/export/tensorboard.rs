//! `adamtrain export RUN --to FOLDER/`: runs as TensorBoard's event files, a folder for each where there are several.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use serde_json::{Value as Json, json};

use crate::cli::report::judged::{self, Judged};
use crate::cli::report::weights::Layer;
use crate::cli::{eval, plot};
use crate::config::settings::SETTINGS;
use crate::curves::MOST_METRICS;
use crate::curves::events::{self, Events, tag};
use crate::error::{Exit, Failure, described};
use crate::listing::Row;
use crate::listing::epochs::{self, Unreadable};
use crate::report::answer;
use crate::run::{resolve, write};
use crate::text::counted;
use crate::train::Record;

/// Whether `to` is a folder for event files: what ends with a slash.
pub fn is_meant(to: &Path) -> bool {
    to.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Writes the runs at `path` and answers.
///
/// # Errors
/// If there are none, they cannot be read, or the files cannot be written.
pub fn export(path: &Path, to: &Path, json: bool) -> Result<()> {
    let rows = plot::rows(&[path.to_owned()])?;
    if rows.is_empty() {
        let failure = Failure::new(Exit::Run, format!("{}: holds no run and no sweep", path.display()));
        return Err(failure.hint("`adamtrain runs` shows what there is").into());
    }
    let is_alone = rows.len() == 1;
    let mut bytes = 0;
    let add = |records: &mut Vec<Record>, record| records.push(record);
    for (row, records) in rows.iter().zip(epochs::gathered(&rows, MOST_METRICS, add)) {
        let folder = if is_alone { to.to_owned() } else { to.join(name(row, path)) };
        let mut events = of_row(row, &records.map_err(Unreadable::failure)?);
        if is_alone {
            pictures(row, &mut events)?;
        }
        let events = events.into_bytes();
        bytes += events.len();
        write::folders(&folder).map_err(|error| write::unwritable(&folder, &error))?;
        write::replace(&folder.join(events::FILE), &events)?;
    }
    let told = json!({
        "event": "export",
        "path": to.display().to_string(),
        "from": path.display().to_string(),
        "kind": "tensorboard",
        "runs": rows.len(),
        "bytes": bytes,
    });
    let count = counted(rows.len() as u64, "run");
    answer(json.then_some(&told), || format!("{count} in {0}; tensorboard --logdir {0}", to.display()))
}

/// The name of a row's folder: its path below what was asked for, a point's number after the sweep's name.
fn name(row: &Row, asked: &Path) -> String {
    let path = Path::new(&row.path);
    let below = path.strip_prefix(asked).ok().filter(|below| !below.as_os_str().is_empty()).unwrap_or(path);
    let plain = |c: char| if matches!(c, '#' | '/') { '-' } else { c };
    let name: String = below.display().to_string().chars().map(plain).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() { "run".to_owned() } else { name }
}

fn of_row(row: &Row, records: &[Record]) -> Events {
    // When the metrics were written last, less the training since: the files themselves do not say.
    let file = row.directory.join(if row.point.is_some() { "results.jsonl" } else { "metrics.jsonl" });
    let written = std::fs::metadata(file).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let written = written.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64());
    let all: f64 = records.iter().filter(|record| record.event == "epoch").map(|record| record.seconds).sum();
    let start = written - all;
    let mut events = Events::new(start);
    let settings: Vec<(String, Json)> = settings(row);
    let last = row.last.as_ref();
    let metrics: Vec<(String, f64)> = last.into_iter().flat_map(measured).collect();
    events.hyperparameters(start, last.map_or(0, |last| last.step), &settings, &metrics);
    let mut seconds = 0.0;
    for record in records {
        events.record(start + seconds + record.seconds, record);
        if record.event == "epoch" {
            seconds += record.seconds;
        }
    }
    events
}

/// What the net of a run takes for what, and what its first layer looks at, where there is a checkpoint and its data.
fn pictures(row: &Row, events: &mut Events) -> Result<()> {
    let Ok((path, checkpoint)) = resolve::open(Path::new(&row.path), row.best.is_some() && row.point.is_none()) else {
        return Ok(());
    };
    let (net, step) = (judged::net(&path, &checkpoint)?, checkpoint.meta.progress.step);
    let (_, spec) = eval::known(&path, &checkpoint, std::iter::empty())?;
    match Judged::by(&path, &checkpoint, &net, None) {
        #[cfg(feature = "png")]
        Ok(judged) => confusion(&judged, step, events)?,
        #[cfg(not(feature = "png"))]
        Ok(_) => tracing::warn!("this program was built without the feature `png`, so there is no confusion matrix"),
        Err(error) => {
            tracing::warn!("the data could not be read, so there is no confusion matrix: {}", described(&error));
        }
    }
    let Some(layer) = Layer::of(&net)?.filter(|_| Layer::is_seen(&spec)) else { return Ok(()) };
    for unit in layer.strongest() {
        let name = if layer.next.is_none() { spec.classes[unit].clone() } else { format!("unit {unit}") };
        let png = layer.picture(unit, layer.most(unit), &spec)?;
        events.picture(0.0, step, &format!("weights/{name}"), &png, [spec.columns, spec.rows]);
    }
    Ok(())
}

/// The confusion matrix as a picture.
#[cfg(feature = "png")]
fn confusion(judged: &Judged, step: u64, events: &mut Events) -> Result<()> {
    let confusion = judged::confusion(&judged.verdicts, judged.spec.classes.len());
    let png = crate::cli::png(&judged::confusion_figure(&confusion, &judged.spec.classes).to_svg())?;
    let (width, height) =
        image::ImageReader::new(std::io::Cursor::new(&png)).with_guessed_format()?.into_dimensions()?;
    events.picture(0.0, step, "confusion", &png, [width as usize, height as usize]);
    Ok(())
}

/// The settings that decide what a run computes.
fn settings(row: &Row) -> Vec<(String, Json)> {
    let deciding = SETTINGS.iter().enumerate().filter(|(_, setting)| setting.decides);
    deciding.filter_map(|(k, setting)| Some((setting.key.to_owned(), row.settings.get(k)?.to_json()))).collect()
}

/// What a run came to.
fn measured(record: &Record) -> Vec<(String, f64)> {
    let measures = [
        ("train_loss", record.train_loss),
        ("valid_loss", record.valid_loss),
        ("valid_accuracy", record.valid_accuracy),
        ("test_loss", record.test_loss),
        ("test_accuracy", record.test_accuracy),
    ];
    measures.into_iter().filter_map(|(name, value)| Some((format!("end/{}", tag(name)), value?))).collect()
}
