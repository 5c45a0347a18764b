//! What is answered: a line a picture, as text, JSON or CSV; and what was done to the pictures, in numbers.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::Ground;
use super::judge::Judge;
use super::questions::{Converted, Question};
use crate::amc::first_largest;
use crate::error::escaped;
use crate::report::csv::field;
use crate::report::{Output, with_format};
use crate::text::{counted, shown};
use crate::train::finite;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// JSON lines.
    Json,
    /// RFC 4180, with lines that end as those of this system.
    Csv,
}

/// What is known before the first picture.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The net.
    pub judge: &'a Judge,
    /// `--invert`.
    pub invert: &'a str,
    /// The ground of the net's training pictures, where it is known.
    pub ground: Option<Ground>,
}

/// Writes answers and counts.
#[derive(Debug)]
pub struct Answers<'a> {
    form: Form,
    /// How many classes are shown, 1 to all.
    top: usize,
    classes: &'a [String],
    output: Output,
    counts: Counts,
}

/// What became of the inputs.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pictures that were answered.
    pub pictures: u64,
    /// What could not be read.
    pub unreadable: u64,
    /// The first of it, and why.
    pub first_unreadable: Option<String>,
    resized: u64,
    /// From colour to grey, or back.
    recoloured: u64,
    inverted: u64,
    passed_over: u64,
    /// Rows and columns of the first that was resized; none where others had another size.
    size: Option<[usize; 2]>,
}

impl<'a> Answers<'a> {
    /// To be written in this form, the `top` most probable of `classes` for each picture.
    pub fn new(form: Form, top: usize, classes: &'a [String]) -> Self {
        Self { form, top, classes, output: Output::default(), counts: Counts::default() }
    }

    /// Writes what stands before the first answer.
    pub fn open(&mut self, opening: &Opening<'_>) {
        let Opening { judge, invert, ground } = opening;
        match self.form {
            Form::Text => {}
            Form::Json => self.output.line(
                &with_format(json!({
                    "event": "start",
                    "path": shown(&judge.path),
                    "dataset": Some(&judge.dataset).filter(|name| !name.is_empty()),
                    "image": judge.shape,
                    "classes": judge.classes,
                    "invert": invert,
                    "ground": ground.map(Ground::word),
                }))
                .to_string(),
            ),
            Form::Csv => {
                let more =
                    (2..=self.top).fold(String::new(), |text, rank| text + &format!(",name_{rank},probability_{rank}"));
                self.output.line(&format!("path,index,class,name,probability{more}"));
            }
        }
    }

    /// Writes the answers to some questions; `logits` are those of the pictures among them, in their order.
    pub fn give(&mut self, questions: &[Question], logits: &[Vec<f64>], shape: [usize; 3]) {
        let mut logits = logits.iter();
        let mut lines = Vec::with_capacity(questions.len());
        for question in questions {
            match &question.picture {
                Ok(picture) => {
                    self.counts.add(picture, shape);
                    let Some(logits) = logits.next() else { continue };
                    lines.push(self.answer(question, picture, &ranked(logits, self.top), shape));
                }
                Err(why) => {
                    let what = format!("{}: {why}", shown(&question.path));
                    tracing::warn!("{}", escaped(&what));
                    if self.form == Form::Json {
                        let mut event = json!({ "event": "unreadable", "path": shown(&question.path) });
                        if let Some(index) = question.index {
                            event["index"] = index.into();
                        }
                        event["reason"] = why.as_str().into();
                        lines.push(event.to_string());
                    }
                    self.counts.unreadable += 1;
                    self.counts.first_unreadable.get_or_insert(what);
                }
            }
        }
        if !lines.is_empty() {
            self.output.line(&lines.join("\n"));
        }
    }

    /// Whether somebody still reads.
    pub fn are_wanted(&self) -> bool {
        self.output.is_open()
    }

    /// Writes what stands behind the last answer.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn close(mut self, passed_over: u64) -> Result<Counts> {
        self.counts.passed_over = passed_over;
        let Counts { pictures, unreadable, resized, recoloured, inverted, .. } = self.counts;
        if self.form == Form::Json {
            let event = json!({
                "event": "end", "pictures": pictures, "resized": resized, "recoloured": recoloured, "inverted": inverted,
                "passed_over": passed_over, "unreadable": unreadable,
            });
            self.output.line(&event.to_string());
        }
        self.output.finish()?;
        Ok(self.counts)
    }

    /// The line for a picture, of classes with their probabilities.
    fn answer(&self, question: &Question, picture: &Converted, ranked: &[(usize, f64)], shape: [usize; 3]) -> String {
        let path = shown(&question.path);
        let (class, probability) = ranked[0];
        let name = |class: usize| self.classes[class].as_str();
        match self.form {
            Form::Text => {
                let place = question.index.map_or(String::new(), |index| format!("#{index}"));
                let mut text = format!("{}{place}: {} {probability:.4}", escaped(&path), escaped(name(class)));
                for &(class, probability) in &ranked[1..] {
                    let _ = write!(text, ", {} {probability:.4}", escaped(name(class)));
                }
                text
            }
            Form::Json => {
                let of = |&(class, probability): &(usize, f64)| json!({ "class": class, "name": name(class), "probability": finite(probability) });
                let [channels, rows, columns] = picture.from;
                let mut event = json!({ "event": "prediction", "path": path });
                if let Some(index) = question.index {
                    event["index"] = index.into();
                }
                event["class"] = class.into();
                event["name"] = name(class).into();
                event["probability"] = json!(finite(probability));
                event["top"] = Value::Array(ranked.iter().map(of).collect());
                event["converted"] = json!({
                    "channels": channels, "rows": rows, "columns": columns, "resized": is_resized(picture, shape),
                    "recoloured": channels != shape[0], "inverted": picture.inverted,
                });
                event.to_string()
            }
            Form::Csv => {
                let index = question.index.map_or(String::new(), |index| index.to_string());
                let mut text = format!("{},{index},{class},{},{probability}", field(&path), field(name(class)));
                for &(class, probability) in &ranked[1..] {
                    let _ = write!(text, ",{},{probability}", field(name(class)));
                }
                text
            }
        }
    }
}

impl Counts {
    fn add(&mut self, picture: &Converted, shape: [usize; 3]) {
        let [channels, rows, columns] = picture.from;
        self.pictures += 1;
        self.recoloured += u64::from(channels != shape[0]);
        self.inverted += u64::from(picture.inverted);
        if is_resized(picture, shape) {
            self.size = if self.resized == 0 {
                Some([rows, columns])
            } else {
                self.size.filter(|&size| size == [rows, columns])
            };
            self.resized += 1;
        }
    }

    /// What was done, in a sentence.
    pub fn told(&self, [channels, rows, columns]: [usize; 3], invert: &str, ground: Option<Ground>) -> String {
        let mut parts = Vec::new();
        if self.resized > 0 {
            let from = self.size.map_or("several sizes".to_owned(), |[rows, columns]| format!("{rows}x{columns}"));
            parts.push(format!("{} resized from {from} to {rows}x{columns}", self.resized));
        }
        if self.recoloured > 0 {
            let way = if channels == 1 { "from colour to grey" } else { "from grey to colour" };
            parts.push(format!("{} {way}", self.recoloured));
        }
        if self.inverted > 0 {
            parts.push(format!("{} inverted", self.inverted));
        }
        if parts.is_empty() {
            parts.push("taken as they are".to_owned());
        }
        let mut text = format!("{}: {}", counted(self.pictures, "picture"), parts.join(", "));
        if self.passed_over > 0 {
            let _ = write!(text, "; {} passed over that are no pictures", counted(self.passed_over, "file"));
        }
        if channels == 1 && invert == "auto" && ground.is_none() {
            text += "; whether the net was trained on white on black is not known, so none was inverted: --invert yes does it";
        }
        text
    }
}

fn is_resized(picture: &Converted, shape: [usize; 3]) -> bool {
    picture.from[1..] != shape[1..]
}

/// The `top` most probable classes with their probabilities, softmax in f64; of equal ones the first.
pub fn ranked(logits: &[f64], top: usize) -> Vec<(usize, f64)> {
    let most = logits[first_largest(logits)];
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    // By the logits, of which more differ; 0 and −0 are the same.
    classes.sort_by(|&one, &other| (logits[other] + 0.0).total_cmp(&(logits[one] + 0.0)));
    classes.into_iter().take(top).map(|class| (class, powers[class] / sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_most_probable_comes_first() {
        assert_eq!(ranked(&[1.0, 3.0, 3.0, -1.0], 4).iter().map(|one| one.0).collect::<Vec<_>>(), [1, 2, 0, 3]);
        assert_eq!(ranked(&[-0.0, 0.0], 1)[0], (0, 0.5));
        let far = ranked(&[1e300, -1e300], 2);
        assert_eq!(far, [(0, 1.0), (1, 0.0)]);
    }
}
