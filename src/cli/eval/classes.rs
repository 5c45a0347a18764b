//! Which class of a net each class of some data is: the one of the same name, or the one that `--map` says.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use clap::ArgMatches;

use crate::cli::is_typed;
use crate::config::value::{closest, plain};
use crate::data::imported::Imported;
use crate::data::numbers::{Column, Numbers};
use crate::data::own::Wishes;
use crate::data::{self, Spec};
use crate::error::{Exit, Failure};
use crate::text::quoted;

/// Most classes of a net that data can have labels of: a label is a byte.
const MOST: usize = 256;

/// Names that are told of many.
const TOLD: usize = 3;

/// What a net was trained on: all that other data must fit.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The net, in words: where it lies.
    pub path: String,
    /// Its data set, by name.
    pub data: String,
    /// Channels, rows and columns of an image.
    pub image: [usize; 3],
    /// Names of its classes, in the order of the logits.
    pub classes: Vec<String>,
    /// What its inputs are.
    pub numbers: Numbers,
    /// The columns that are its inputs, of a net that looks at a table.
    pub table: Vec<Column>,
    /// The column of a table that was the class.
    pub label: Option<String>,
}

impl Trained {
    /// The net at `path`, which was trained on this.
    pub fn on(path: &Path, spec: &Spec, settings: &BTreeMap<String, String>) -> Self {
        Self {
            path: path.display().to_string(),
            data: spec.name.clone(),
            image: [spec.channels, spec.rows, spec.columns],
            classes: spec.classes.clone(),
            numbers: spec.numbers,
            table: spec.table.clone(),
            label: settings.get("data.label").filter(|_| !spec.table.is_empty()).cloned(),
        }
    }

    /// The other data that `--dataset` names, if it is given; pictures of folders in the net's shape.
    ///
    /// # Errors
    /// If nothing that can be read lies there ([`Exit::Data`]).
    pub fn other(&self, typed: &ArgMatches) -> Result<Option<Arc<Spec>>> {
        let [channels, rows, columns] = self.image;
        let wishes = Wishes {
            // Pictures have no other number of channels.
            channels: matches!(channels, 1 | 3).then_some(channels),
            size: Some([rows, columns]).filter(|_| self.numbers.are_bytes()),
            skip_broken: typed.get_flag("skip-broken"),
            label: typed.get_one::<String>("label").or(self.label.as_ref()).cloned(),
            categorical: self
                .table
                .iter()
                .filter(|column| column.values.is_some())
                .map(|column| column.name.clone())
                .collect(),
            of_net: Some(self.table.clone()),
            ..Wishes::default()
        };
        let Some(name) = typed.get_one::<String>("dataset") else { return Ok(None) };
        let spec = data::spec_of(name, &wishes)?;
        if let Some(flag) =
            ["label", "skip-broken"].into_iter().find(|flag| is_typed(typed, flag)).filter(|_| !spec.is_by_path())
        {
            let what = format!("--{flag} is for data by path, and `{name}` is a published set");
            return Err(Failure::new(Exit::Usage, what).hint(format!("leave out --{flag}")).into());
        }
        let is_its_own = spec.name == self.data && !spec.is_by_path();
        Ok(Some(if is_its_own { spec.in_shape(self.image)? } else { spec }))
    }

    /// The classes of some data, by name or as `--map` says.
    ///
    /// # Errors
    /// As [`Classes::of`], and if its images have another shape ([`Exit::Run`]).
    pub fn classes_of(&self, data: &Spec, typed: &ArgMatches) -> Result<Classes, Failure> {
        self.expect_images(data)?;
        let map: Vec<&str> = typed.get_many::<String>("map").into_iter().flatten().map(String::as_str).collect();
        Classes::of(data, self, &map)
    }

    /// Requires images of the shape that the net takes.
    ///
    /// # Errors
    /// If they have another ([`Exit::Run`]).
    fn expect_images(&self, data: &Spec) -> Result<(), Failure> {
        let found = [data.channels, data.rows, data.columns];
        if (self.image, self.numbers, &self.table) == (found, data.numbers, &data.table) {
            return Ok(());
        }
        if !self.numbers.are_bytes() || !data.numbers.are_bytes() {
            let of = |numbers: Numbers, inputs: usize, table: &[Column]| match (numbers, table) {
                (Numbers::Bytes, _) => format!("images of {inputs} pixels"),
                (Numbers::Floats, []) => format!("arrays of {inputs} features"),
                (Numbers::Floats, _) => format!("tables of {inputs} features"),
            };
            let own = of(self.numbers, self.image.iter().product(), &self.table);
            let found = of(data.numbers, data.inputs(), &data.table);
            let what = format!("{}: its net was trained on {own}, and `{}` holds {found}", self.path, data.name);
            return Err(Failure::new(Exit::Run, what).hint("both must be of one kind, with the same columns"));
        }
        let told = |shape: [usize; 3]| {
            let [channels, rows, columns] = shape;
            format!("{channels}x{rows}x{columns} ({} inputs)", channels * rows * columns)
        };
        let (own, found) = (told(self.image), told(found));
        let what = format!("{}: its net takes images of {own}, but `{}` has images of {found}", self.path, data.name);
        Err(Failure::new(Exit::Run, what)
            .hint("channels, rows and columns must be the net's; folders of pictures are brought to them"))
    }
}

/// The net's class of each class of some data, in the data's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(Vec<u8>);

impl Classes {
    /// By what `--map` says, and else by name. Where that is not the order of the net, it is told.
    ///
    /// # Errors
    /// If a class of the data is none of the net's ([`Exit::Run`]), or `--map` names a class that there is not ([`Exit::Usage`]).
    pub fn of(data: &Spec, net: &Trained, map: &[&str]) -> Result<Self, Failure> {
        let (theirs, ours) = (&data.classes, &net.classes);
        if ours.len() > MOST {
            let what = format!("{}: its net has {} classes, expected at most {MOST}", net.path, ours.len());
            return Err(Failure::new(Exit::Run, what).hint("labels are bytes: no data has more classes"));
        }
        let mut said = vec![None; theirs.len()];
        for text in map {
            for (their, our) in pairs(text, data, ours)? {
                if said[their].replace(our).is_some_and(|other| other != our) {
                    let what = format!("--map says twice which class `{}` is", theirs[their]);
                    return Err(Failure::new(Exit::Usage, what));
                }
            }
        }
        let class = |(name, said): (&String, Option<usize>)| said.or_else(|| position(ours, name));
        let found: Vec<Option<usize>> = theirs.iter().zip(said.iter().copied()).map(class).collect();
        if let Some(known) = found.iter().copied().collect::<Option<Vec<usize>>>() {
            tell(data, net, &known, !map.is_empty());
            return Ok(Self(known.iter().map(|class| *class as u8).collect()));
        }
        let is_taken: HashSet<usize> = found.iter().flatten().copied().collect();
        let unknown: Vec<&str> =
            theirs.iter().zip(&found).filter(|(_, class)| class.is_none()).map(|(name, _)| name.as_str()).collect();
        let free: Vec<&str> = ours
            .iter()
            .enumerate()
            .filter(|(class, _)| !is_taken.contains(class))
            .map(|(_, name)| name.as_str())
            .collect();
        Err(strangers(data, net, &unknown, &free))
    }

    /// Labels both splits as the net does.
    pub fn label(&self, data: &mut Imported) {
        let labels = data.train.labels.iter_mut().chain(&mut data.test.labels);
        // Labels below the number of classes: that was checked where the data was read.
        labels.for_each(|label| *label = self.0[usize::from(*label)]);
    }
}

/// Says where classes are not those of the net, one for one and in its order.
fn tell(data: &Spec, net: &Trained, known: &[usize], is_mapped: bool) {
    let (name, count, all) = (&data.name, known.len(), net.classes.len());
    let taken = if is_mapped { "taken as --map says, and else by name" } else { "taken by name" };
    if known.iter().collect::<HashSet<_>>().len() < all {
        tracing::warn!("`{name}` has {count} classes, the net {all}: they are {taken}");
    } else if !known.iter().copied().eq(0..all) {
        tracing::warn!("`{name}` has the net's classes in another order: they are {taken}");
    }
}

/// Classes that are none of the net's, of which some have none of the data's.
fn strangers(data: &Spec, net: &Trained, unknown: &[&str], free: &[&str]) -> Failure {
    let (name, path) = (&data.name, &net.path);
    let (is, of) = if unknown.len() == 1 { ("is", "class") } else { ("are", "classes") };
    let others = match free {
        [] => told(&net.classes.iter().map(String::as_str).collect::<Vec<_>>()),
        free => told(free),
    };
    let own = if free.is_empty() { "has" } else { "also has" };
    let what = format!("{path}: {} of `{name}` {is} no {of} of its net, which {own} {others}", told(unknown));
    // Of those that are left, the one that looks like it.
    let like = |their: &str| {
        let same = free.iter().copied().find(|our| plain(our) == plain(their));
        same.or_else(|| closest(their, free.iter().copied())).or(free.first().copied())
    };
    let first = unknown.first().copied().unwrap_or_default();
    let our = like(first).or(net.classes.first().map(String::as_str)).unwrap_or_default();
    let example = quoted(&["--map".to_owned(), format!("{first}={our}")]);
    Failure::new(Exit::Run, what).hint(format!(
        "say which is which with --map THEIRS=OURS,THEIRS=OURS, as in `{example}`; equal names need none"
    ))
}

/// The first of some names, and how many more there are.
fn told(names: &[&str]) -> String {
    let words: Vec<String> = names.iter().take(TOLD).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(TOLD);
    words.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn position(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|other| other == name)
}

/// The pairs that one `--map` says: `THEIRS=OURS` with commas between them. A pair of names that hold such marks stands alone.
fn pairs(text: &str, data: &Spec, ours: &[String]) -> Result<Vec<(usize, usize)>, Failure> {
    let pair = |text: &str| {
        let at =
            |(at, _): (usize, &str)| Some((position(&data.classes, &text[..at])?, position(ours, &text[at + 1..])?));
        text.match_indices('=').find_map(at)
    };
    if let Some(pair) = pair(text) {
        return Ok(vec![pair]);
    }
    let of_word = |word: &str| {
        pair(word).or_else(|| pair(word.trim())).ok_or_else(|| match word.split_once('=') {
            None => Failure::new(Exit::Usage, format!("--map is `{word}`, expected THEIRS=OURS"))
                .hint("left of the `=` stands a class of the data, right of it one of the net"),
            Some((their, _)) if position(&data.classes, their.trim()).is_none() => {
                unnamed(word, their.trim(), &format!("`{}`", data.name), &data.classes)
            }
            Some((_, our)) => unnamed(word, our.trim(), "the net", ours),
        })
    };
    text.split(',').map(of_word).collect()
}

/// A class that is none of those of `what`.
fn unnamed(word: &str, name: &str, what: &str, classes: &[String]) -> Failure {
    let names: Vec<&str> = classes.iter().map(String::as_str).collect();
    let like = closest(name, names.iter().copied()).map_or(String::new(), |like| format!("did you mean `{like}`? "));
    Failure::new(Exit::Usage, format!("--map is `{word}`: `{name}` is no class of {what}"))
        .hint(format!("{like}it has {}", told(&names)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Description;
    use crate::data::images::Images;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(|name| name.replace('~', " ")).collect()
    }

    fn map(theirs: &str, ours: &str, map: &[&str]) -> Result<Vec<u8>, Failure> {
        let data = other(names(theirs));
        let net = trained(names(ours));
        Classes::of(&data, &net, map).map(|Classes(classes)| classes)
    }

    fn other(classes: Vec<String>) -> Spec {
        let (numbers, table) = (Numbers::Bytes, Vec::new());
        Spec::described("other", &Description { image: [1, 2, 3], classes, numbers, table })
    }

    fn trained(classes: Vec<String>) -> Trained {
        let (numbers, table) = (Numbers::Bytes, Vec::new());
        Trained { path: "run".into(), data: "toy".into(), image: [1, 2, 3], classes, numbers, table, label: None }
    }

    #[test]
    fn classes_are_taken_by_name_and_by_what_is_said() {
        for (theirs, ours, said, expected) in [
            ("a b c", "a b c", &[][..], &[0, 1, 2][..]),
            ("c a b", "a b c", &[], &[2, 0, 1]),
            ("c a", "a b c", &[], &[2, 0]),
            ("c", "a b c", &[], &[2]),
            ("x b y", "a b c", &["x=c,y=a"], &[2, 1, 0]),
            ("x b y", "a b c", &["x=c", "y=a"], &[2, 1, 0]),
            ("x y", "a b", &[" x=b, y=a "], &[1, 0]),
            // Several may be one, and what is said goes before the name.
            ("a b c", "a b", &["c=b,b=a"], &[0, 0, 1]),
            // Marks of the list in names.
            ("a=b c,d", "p,q r=s", &["a=b=p,q", "c,d=r=s"], &[0, 1]),
        ] {
            assert_eq!(map(theirs, ours, said).unwrap(), expected, "{theirs} {ours} {said:?}");
        }
    }

    #[test]
    fn what_maps_nowhere_and_what_is_said_wrongly_is_told() {
        for (theirs, ours, said, words) in [
            ("a x y", "a b c", &[][..], "`x`, `y` of `other` are no classes of its net, which also has `b`, `c`"),
            ("a Bee", "a bee", &[], "--map Bee=bee`"),
            ("my~cat dog", "cat dog", &[], "--map 'my cat=cat'`"),
            ("a b z", "a b", &[], "`z` of `other` is no class of its net, which has `a`, `b`"),
            ("p q r s t", "a b c d e", &[], "`p`, `q`, `r` and 2 more"),
            ("a b", "a b", &["a"], "--map is `a`, expected THEIRS=OURS"),
            ("a b", "a b", &[""], "expected THEIRS=OURS"),
            ("kitten b", "a b", &["kittne=a"], "`kittne` is no class of `other` (did you mean `kitten`?"),
            ("x b", "a b", &["x=z"], "`z` is no class of the net"),
            ("x b", "a b", &["x=a,x=b"], "twice which class `x` is"),
        ] {
            let failure = map(theirs, ours, said).unwrap_err();
            let told = format!("{failure} ({})", failure.advice().unwrap_or_default());
            assert!(told.contains(words), "{theirs} {said:?}: {told}");
        }
        let many: Vec<String> = (0..257).map(|class| class.to_string()).collect();
        let net = trained(many);
        let data = other(names("1 2"));
        assert!(Classes::of(&data, &net, &[]).unwrap_err().to_string().contains("257 classes"));
    }

    #[test]
    fn labels_become_those_of_the_net() {
        let images = |labels: &[u8]| Images { pixels: vec![0; labels.len()], labels: labels.to_vec() };
        let mut data = Imported::new(images(&[0, 1, 2, 0]), images(&[1]), 1);
        Classes(vec![2, 0, 1]).label(&mut data);
        assert_eq!((&*data.train.labels, &*data.test.labels), (&[2, 0, 1, 2][..], &[0][..]));
    }
}
