//! What is asked about: files, folders, arrays and standard input, as pictures in the shape of the net, in order and in pieces.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;

use super::ground::Ground;
use crate::data::array::{self, Array, Source};
use crate::error::escaped;
use crate::picture::{self, Kind, Limits, Obstacle, Picture, Walk};
use crate::read;
use crate::text::shown;

/// How pictures become what the net takes.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// What is inverted.
    pub invert: Invert,
    /// How large a picture may be.
    pub limits: Limits,
}

/// Which pictures are inverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invert {
    /// None, or all.
    Always(bool),
    /// Those that have not this ground.
    UnlessOn(Ground),
}

/// A picture in the shape of the net, and what was done to it; or a row of features, to which nothing is done.
#[derive(Debug)]
pub struct Converted {
    /// As it was: channels, rows, columns.
    pub from: [usize; 3],
    /// Whether 255 − p stands for each pixel p.
    pub inverted: bool,
    /// u8 `[D]`, or the bytes of f32 `[D]`.
    pub pixels: Vec<u8>,
}

/// A picture that is asked about, or why it cannot be.
#[derive(Debug)]
pub struct Question {
    /// Its file, `-` for standard input.
    pub path: PathBuf,
    /// Its place in an array, from 0.
    pub index: Option<u64>,
    /// What the net is given.
    pub picture: Result<Converted, String>,
}

impl Conversion {
    /// The picture as the net takes it.
    fn apply(&self, picture: Picture, inverted: impl FnOnce(&Picture) -> bool) -> Converted {
        let from = picture.shape();
        let [channels, rows, columns] = self.shape;
        let picture = picture.to(channels, rows, columns);
        let inverted = inverted(&picture);
        let picture = if inverted { picture.inverted() } else { picture };
        Converted { from, inverted, pixels: picture.pixels }
    }

    /// Whether a picture in the shape of the net is to be inverted, by its own ground.
    fn inverts(&self, picture: &Picture) -> bool {
        match self.invert {
            Invert::Always(inverts) => inverts,
            Invert::UnlessOn(ground) => Ground::of(picture).is_some_and(|found| found != ground),
        }
    }
}

/// Gives all pictures of `inputs` to `each`, at most `most` at a time and in order, until it says that nobody wants more. Answers with the
/// number of files in folders that are no pictures.
///
/// # Errors
/// Of `each`.
pub fn ask(
    inputs: &[PathBuf],
    conversion: &Conversion,
    most: usize,
    mut each: impl FnMut(Vec<Question>) -> Result<bool>,
) -> Result<u64> {
    let mut tasks = Tasks { inputs: inputs.iter(), folder: None, limits: conversion.limits, passed_over: 0 };
    let mut waiting = Vec::new();
    let mut goes_on = true;
    while goes_on && let Some(task) = tasks.next() {
        if let Task::Array(path, bytes) = task {
            goes_on = waiting.is_empty() || each(answered(&mut waiting, conversion))?;
            goes_on = goes_on && of_array(&path, bytes.as_deref(), conversion, most, &mut each)?;
        } else {
            waiting.push(task);
            goes_on = waiting.len() < most || each(answered(&mut waiting, conversion))?;
        }
    }
    if goes_on && !waiting.is_empty() {
        each(answered(&mut waiting, conversion))?;
    }
    Ok(tasks.passed_over)
}

/// The pictures that wait, decoded on all cores; in memory are only as many at full size as there are threads.
fn answered(waiting: &mut Vec<Task>, conversion: &Conversion) -> Vec<Question> {
    let answer = |task: Task| {
        let (path, picture) = match task {
            Task::Picture(path, Some(bytes)) => (path, picture::decode(&bytes, &conversion.limits)),
            Task::Picture(path, None) | Task::Array(path, _) => {
                let bytes = read::bytes(&path, conversion.limits.file_bytes).map_err(|error| unread(&error));
                (path, bytes.and_then(|bytes| picture::decode(&bytes, &conversion.limits)))
            }
            Task::Refused(path, why) => (path, Err(why)),
        };
        let picture = picture.map(|picture| conversion.apply(picture, |picture| conversion.inverts(picture)));
        Question { path, index: None, picture }
    };
    waiting.par_drain(..).map(answer).collect()
}

/// Gives the pictures of an array to `each`. All of it is inverted or nothing: as most of its first pictures ask for.
fn of_array(
    path: &Path,
    bytes: Option<&[u8]>,
    conversion: &Conversion,
    most: usize,
    each: &mut impl FnMut(Vec<Question>) -> Result<bool>,
) -> Result<bool> {
    let source = bytes.map_or(Source::File(path), Source::Bytes);
    let refused = |why| vec![Question { path: path.to_owned(), index: None, picture: Err(why) }];
    let mut array = match Array::open(source, conversion.shape, &conversion.limits) {
        Ok(array) => array,
        Err(why) => return each(refused(why)),
    };
    let (mut index, mut inverts) = (0, None);
    while index < array.count() {
        let pictures = match array.next(most) {
            Ok(pictures) => pictures,
            Err(why) => return each(refused(why)),
        };
        let [channels, rows, columns] = conversion.shape;
        let inverts = *inverts.get_or_insert_with(|| {
            let shown = |picture: &&Picture| conversion.inverts(&(*picture).clone().to(channels, rows, columns));
            2 * pictures.iter().filter(shown).count() > pictures.len()
        });
        let pictures: Vec<_> = pictures.into_par_iter().map(|picture| conversion.apply(picture, |_| inverts)).collect();
        let question = |(picture, index)| Question { path: path.to_owned(), index: Some(index), picture: Ok(picture) };
        let questions: Vec<_> = pictures.into_iter().zip(index..).map(question).collect();
        index += questions.len() as u64;
        if !each(questions)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is to be done for an input, or for a file in a folder.
enum Task {
    /// Decode a file, or bytes that came from standard input.
    Picture(PathBuf, Option<Vec<u8>>),
    /// Read an array likewise.
    Array(PathBuf, Option<Vec<u8>>),
    /// Say why there is no picture.
    Refused(PathBuf, String),
}

/// The tasks that inputs come to, one after the other.
struct Tasks<'a> {
    inputs: std::slice::Iter<'a, PathBuf>,
    folder: Option<FolderAsked>,
    limits: Limits,
    /// Files in folders that are no pictures.
    passed_over: u64,
}

/// A folder that was asked about.
struct FolderAsked {
    path: PathBuf,
    walk: Walk,
    /// Whether nothing has been found in it.
    is_empty: bool,
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        loop {
            if let Some(folder) = &mut self.folder {
                for found in folder.walk.by_ref() {
                    let task = match found {
                        Ok(path) => in_folder(path),
                        Err(Obstacle::Unreadable(path, error)) => Some(Task::Refused(path, unread(&error))),
                        Err(Obstacle::Loop(path)) => {
                            tracing::warn!(
                                "{}: leads back to a folder above it and is passed over",
                                escaped(&shown(&path))
                            );
                            continue;
                        }
                    };
                    let Some(task) = task else {
                        self.passed_over += 1;
                        continue;
                    };
                    folder.is_empty = false;
                    return Some(task);
                }
                let FolderAsked { path, is_empty, .. } = self.folder.take()?;
                if is_empty {
                    return Some(Task::Refused(path, "holds no picture".to_owned()));
                }
            }
            let path = self.inputs.next()?.clone();
            match asked(path.clone(), &self.limits) {
                Ok(Asked::Task(task)) => return Some(task),
                Ok(Asked::Folder(walk)) => self.folder = Some(FolderAsked { path, walk, is_empty: true }),
                Err(error) => return Some(Task::Refused(path, unread(&error))),
            }
        }
    }
}

/// What an input is.
enum Asked {
    Task(Task),
    Folder(Walk),
}

fn asked(path: PathBuf, limits: &Limits) -> io::Result<Asked> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        read::Steady(io::stdin().lock()).take(limits.file_bytes + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limits.file_bytes {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("is longer than {} bytes", limits.file_bytes),
            ));
        }
        let is_array = array::is_array(&bytes);
        return Ok(Asked::Task(if is_array {
            Task::Array(path, Some(bytes))
        } else {
            Task::Picture(path, Some(bytes))
        }));
    }
    if read::is_folder(&path)? {
        return Ok(Asked::Folder(Walk::new(&path)?));
    }
    let is_array = array::is_array(&start(&path)?);
    Ok(Asked::Task(if is_array { Task::Array(path, None) } else { Task::Picture(path, None) }))
}

/// The first bytes of a file.
fn start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read::Steady(read::open(path)?).take(Kind::START as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The task that a file in a folder comes to; none where it is no picture, by its name and by its first bytes.
fn in_folder(path: PathBuf) -> Option<Task> {
    if Kind::is_named(&path) {
        return Some(Task::Picture(path, None));
    }
    match start(&path) {
        Ok(start) if Kind::of(&start) == Kind::Other => None,
        Ok(_) => Some(Task::Picture(path, None)),
        Err(error) if read::is_other(error.kind()) => None,
        Err(error) => Some(Task::Refused(path, unread(&error))),
    }
}

fn unread(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}
