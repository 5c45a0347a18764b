//! What is kept of a run or a sweep beside its results: where and when it was computed, and what its owner says of it.
//!
//! Nothing of it decides what is computed. Of a run it stands in `run.json`, of a sweep in `sweep.json`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::write::replace;
use crate::device;
use crate::error::{Exit, Failure};
use crate::read;

/// A file of it longer than this is another file.
const MOST_BYTES: u64 = 16 << 20;

/// The file of a sweep.
pub const OF_SWEEP: &str = "sweep.json";

/// A tag longer than this, in characters, is a note.
const LONGEST_TAG: usize = 64;

/// What the owner says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// A note, in place of the one before.
    pub note: Option<String>,
    /// Tags, beside those before.
    pub tags: Vec<String>,
}

/// Where and when, and what is said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The owner's note.
    pub note: Option<String>,
    /// The owner's tags, in the order given.
    pub tags: Vec<String>,
    /// Name of the machine, of the last process.
    pub host: Option<String>,
    /// Its operating system and kernel.
    pub os: Option<String>,
    /// When the first process began, as RFC 3339 in UTC.
    pub start: Option<String>,
    /// When the last process ended; none while it trains, or if it was killed.
    pub end: Option<String>,
    /// The most memory that a process of it held, in bytes, among those that ended by themselves.
    pub peak_bytes: Option<u64>,
}

impl Provenance {
    /// Of a process that begins now; `before` is what earlier ones left.
    #[must_use]
    pub fn begun(before: Self, remarks: &Remarks) -> Self {
        let now = Self {
            host: device::host(),
            os: device::os(),
            start: before.start.clone().or_else(|| Some(timestamp(SystemTime::now()))),
            end: None,
            ..before
        };
        now.with(remarks)
    }

    /// The same with these remarks: another note, more tags.
    #[must_use]
    pub fn with(mut self, remarks: &Remarks) -> Self {
        if let Some(note) = &remarks.note {
            self.note = Some(note.clone()).filter(|note| !note.is_empty());
        }
        for tag in &remarks.tags {
            if !self.tags.contains(tag) {
                self.tags.push(tag.clone());
            }
        }
        self
    }

    /// The same at the end of this process.
    #[must_use]
    pub fn ended(&self) -> Self {
        Self {
            end: Some(timestamp(SystemTime::now())),
            peak_bytes: self.peak_bytes.max(device::peak_bytes()),
            ..self.clone()
        }
    }

    /// That of the sweep in `path`, as far as its file is there and whole: a sweep goes on without it.
    ///
    /// # Errors
    /// If it is there and cannot be read ([`Exit::Run`]).
    pub fn of_sweep(path: &Path) -> Result<Self, Failure> {
        let path = path.join(OF_SWEEP);
        match read::text(&path, MOST_BYTES) {
            Ok(text) => Ok(serde_json::from_str(&text).unwrap_or_default()),
            Err(error) if read::is_other(error.kind()) => Ok(Self::default()),
            Err(error) => Err(read::failure(&path, &error)),
        }
    }

    /// Writes that of the sweep in `path`.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn write_of_sweep(&self, path: &Path) -> Result<(), Failure> {
        replace(&path.join(OF_SWEEP), format!("{:#}\n", json!(self)).as_bytes())
    }
}

/// Replaces note and tags in the file `run.json` or `sweep.json`, of which everything else stays as it is; an absent `sweep.json` is made.
///
/// # Errors
/// If it holds something else ([`Exit::Run`]) or cannot be written ([`Exit::Output`]).
pub fn rewrite(file: &Path, change: impl FnOnce(Provenance) -> Provenance) -> Result<(), Failure> {
    let text = match read::text(file, MOST_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.ends_with(OF_SWEEP) => "{}".to_owned(),
        Err(error) => return Err(read::failure(file, &error)),
    };
    let broken = |error| Failure::new(Exit::Run, format!("{}: is broken: {error}", file.display()));
    let mut fields: Map<String, Json> = serde_json::from_str(&text).map_err(broken)?;
    let before = Provenance::deserialize(Json::Object(fields.clone())).map_err(broken)?;
    let Provenance { note, tags, .. } = change(before);
    fields.insert("note".to_owned(), json!(note));
    fields.insert("tags".to_owned(), json!(tags));
    replace(file, format!("{:#}\n", Json::Object(fields)).as_bytes())
}

/// A note: a line of text, so that a table and a command with it are lines too.
///
/// # Errors
/// What is expected.
pub fn note(text: &str) -> Result<String, String> {
    if text.contains(char::is_control) {
        return Err("expected one line of text, without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// A tag: a word, so that a list of them is one too.
///
/// # Errors
/// What is expected.
pub fn tag(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:/+@#%".contains(c);
    let is_word = text.starts_with(|c: char| c.is_alphanumeric()) && text.chars().all(is_plain);
    if is_word && text.chars().count() <= LONGEST_TAG {
        return Ok(text.to_owned());
    }
    Err(format!("expected a word of letters, digits and - _ . : / + @ # %, at most {LONGEST_TAG} characters"))
}

/// A moment as RFC 3339 in UTC, to the second: `2026-11-29T09:30:00Z`. What lies before 1970 is 1970.
fn timestamp(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Year, month and day of the Gregorian calendar, so many days after 1 January 1970.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // All periods of 400 years have as many days.
    let mut year = 1970 + 400 * (days / 146_097);
    days %= 146_097;
    let length = |year| if is_leap(year) { 366 } else { 365 };
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_dates_in_utc() {
        // As `date -u -d @SECONDS +%FT%TZ` prints them.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_second_process_keeps_the_first_ones_start_and_remarks() {
        let remarks = |note: Option<&str>, tags: &[&str]| Remarks {
            note: note.map(str::to_owned),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        };
        let before = Provenance { start: Some("then".into()), end: Some("later".into()), ..Provenance::default() };
        let first = Provenance::begun(before, &remarks(Some("why"), &["a", "b", "a"]));
        assert_eq!((first.start.as_deref(), &first.end, first.tags.join(",")), (Some("then"), &None, "a,b".to_owned()));
        let second = Provenance::begun(first.ended(), &remarks(None, &["c", "a"]));
        assert_eq!((second.note.as_deref(), second.tags.join(",")), (Some("why"), "a,b,c".to_owned()));
        assert_eq!(second.with(&remarks(Some(""), &[])).note, None);
        assert!(first.ended().end.is_some() && first.ended().peak_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_tag_is_a_word_and_a_note_is_a_line() {
        assert!(note("why, \"this\" – 'é'").is_ok() && note("").is_ok());
        assert!(note("two\nlines").is_err() && note("\u{1b}[31m").is_err());
        assert_eq!(tag("v1.2/größe").as_deref(), Ok("v1.2/größe"));
        for text in ["", "a b", "a,b", "-a", "a\n", "\"a\"", "a=b", &"a".repeat(65)] {
            assert!(tag(text).is_err(), "{text}");
        }
    }
}
