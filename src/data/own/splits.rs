//! The two splits of data by path: a test split that is drawn, and what is odd about them.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use xxhash_rust::xxh3::xxh3_128;

use super::{Found, Wishes, refused};
use crate::data::images::Images;
use crate::error::{Exit, Failure};
use crate::rng::{Purpose, Stream};
use crate::text::counted;

/// Most classes, since a label is a byte.
const MOST_CLASSES: usize = 256;

/// Names of the training split, and of the test split: the first that is there.
pub const TRAIN: [&str; 2] = ["train", "training"];
pub const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// What to do about a picture that is broken.
pub const SKIP: &str = "mend or remove it, or leave out what is broken with --skip-broken";

/// The same where they are left out already.
const MEND: &str = "mend them, or fetch them again";

/// Images without those that are broken, whose places are given in order with what is wrong with each.
///
/// # Errors
/// If there is one and it is not to be left out, or none is left: the first, and how many more there are.
pub fn without_broken(mut images: Images, broken: &[(usize, Failure)], are_skipped: bool) -> Result<Images, Failure> {
    let Some((_, first)) = broken.first() else { return Ok(images) };
    let is_none_left = broken.len() >= images.len();
    if !are_skipped || is_none_left {
        let more = match broken.len() {
            1 => String::new(),
            count => format!(", and {} more like it", count - 1),
        };
        let (rest, hint) = if are_skipped { (": none of the split is left", MEND) } else { ("", SKIP) };
        return Err(Failure::new(Exit::Data, format!("{first}{more}{rest}")).hint(hint));
    }
    let mut is_broken = vec![false; images.len()];
    for (place, failure) in broken {
        tracing::warn!("{failure}; it is left out");
        is_broken[*place] = true;
    }
    let inputs = images.pixels.len() / images.len();
    let mut kept = 0;
    for place in (0..images.len()).filter(|place| !is_broken[*place]) {
        images.pixels.copy_within(place * inputs..(place + 1) * inputs, kept * inputs);
        images.labels[kept] = images.labels[place];
        kept += 1;
    }
    images.pixels.truncate(kept * inputs);
    images.labels.truncate(kept);
    Ok(images)
}

/// What was found, with the images counted that the test split will have.
///
/// # Errors
/// If a test split is asked for beside the one that there is ([`Exit::Usage`]).
pub fn promised(mut found: Found, wishes: &Wishes, path: &Path) -> Result<Found, Failure> {
    let tests: usize = found.test.iter().sum();
    if wishes.test_fraction > 0.0 {
        if tests > 0 {
            let what = format!("{}: has a test split of {}", path.display(), counted(tests as u64, found.unit()));
            return Err(Failure::new(Exit::Usage, what).hint("leave data.test_fraction out"));
        }
        for (train, test) in found.train.iter_mut().zip(&mut found.test) {
            *test = drawn(*train, wishes);
            *train -= *test;
        }
        let [trained, drawn] = [&found.train, &found.test].map(|counts| counts.iter().sum::<usize>());
        if trained == 0 || drawn == 0 {
            let (what, unit) = (if drawn == 0 { "to test by" } else { "to train on" }, found.unit());
            let fraction = wishes.test_fraction;
            let all = counted((trained + drawn) as u64, unit);
            let what = format!(
                "{}: --test-fraction {fraction} of {all}, class by class, leaves no {unit} {what}",
                path.display()
            );
            let hint = if drawn == 0 { "choose a larger --test-fraction" } else { "choose a smaller --test-fraction" };
            return Err(Failure::new(Exit::Usage, what).hint(hint));
        }
    }
    Ok(found)
}

/// Requires as many classes as there can be labels, and more than one unless one suffices.
pub fn expect_classes(classes: usize, wishes: &Wishes, path: &Path) -> Result<(), Failure> {
    let fewest = if wishes.of_net.is_some() { 1 } else { 2 };
    if (fewest..=MOST_CLASSES).contains(&classes) {
        return Ok(());
    }
    let found = if classes == 1 { "1 class".to_owned() } else { format!("{classes} classes") };
    let what = format!("has {found}, expected {fewest} to {MOST_CLASSES}");
    Err(refused(path, what))
}

/// How many of the images of a class are drawn for the test split.
fn drawn(count: usize, wishes: &Wishes) -> usize {
    (count as f64 * wishes.test_fraction).round() as usize
}

/// Both splits, the test split drawn from the training split where one is asked for: the same part of each class, by seed.
pub fn divided((train, test): (Images, Images), wishes: &Wishes) -> (Images, Images) {
    if wishes.test_fraction == 0.0 || !test.is_empty() {
        return (train, test);
    }
    let inputs = train.pixels.len() / train.len().max(1);
    let mut of_class = vec![Vec::new(); MOST_CLASSES];
    for (place, label) in (0_u32..).zip(&train.labels) {
        of_class[usize::from(*label)].push(place);
    }
    let mut is_test = vec![false; train.len()];
    for (class, mut places) in of_class.into_iter().enumerate() {
        Stream::new(wishes.test_seed, Purpose::Test, class as u64).shuffle(&mut places);
        places[..drawn(places.len(), wishes)].iter().for_each(|place| is_test[*place as usize] = true);
    }
    let taken = |of_test: bool| {
        let places = (0..train.len()).filter(|place| is_test[*place] == of_test);
        let mut images = Images::default();
        for place in places {
            images.pixels.extend_from_slice(&train.pixels[place * inputs..][..inputs]);
            images.labels.push(train.labels[place]);
        }
        images
    };
    (taken(false), taken(true))
}

/// Says what is odd: classes that stand in one split alone, and test images that are trained on.
pub fn warn(found: &Found, path: &Path, train: &Images, test: &Images) {
    let (path, unit) = (path.display(), found.unit());
    // As they are, for what is broken was counted before it was left out.
    let counts = [train, test].map(|images| {
        let mut counts = [0_usize; MOST_CLASSES];
        images.labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
        counts
    });
    for (name, counts) in found.classes.iter().zip(counts[0].iter().zip(&counts[1])) {
        match counts {
            (0, 0) => tracing::warn!("{path}: no {unit} is of the class `{name}`"),
            (0, _) => tracing::warn!("{path}: no training {unit} is of the class `{name}`"),
            (_, 0) if !test.is_empty() => tracing::warn!("{path}: no test {unit} is of the class `{name}`"),
            _ => {}
        }
    }
    let copies = copies(train, test);
    if copies > 0 {
        let of = counted(test.len() as u64, &format!("test {unit}"));
        tracing::warn!("{path}: {copies} of {of} are training {unit}s too, which makes the test easier than it looks");
    }
}

/// How many test images are pixel for pixel among the training images.
fn copies(train: &Images, test: &Images) -> usize {
    let inputs = (train.pixels.len() / train.len().max(1)).max(1);
    let trained: HashSet<u128> = train.pixels.chunks_exact(inputs).map(xxh3_128).collect();
    test.pixels.chunks_exact(inputs).filter(|image| trained.contains(&xxh3_128(image))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(labels: &[u8]) -> Images {
        let pixels = (0..labels.len()).flat_map(|place| [place as u8, 7]).collect();
        Images { pixels, labels: labels.to_vec() }
    }

    #[test]
    fn a_drawn_test_split_has_the_same_part_of_each_class_and_is_drawn_by_seed() {
        let labels: Vec<u8> = (0..100).map(|place| u8::from(place >= 80)).collect();
        let draw = |test_seed| {
            divided(
                (images(&labels), Images::default()),
                &Wishes { test_fraction: 0.2, test_seed, ..Wishes::default() },
            )
        };
        let (train, test) = draw(1);
        let ones = |images: &Images| images.labels.iter().map(|label| usize::from(*label)).sum::<usize>();
        assert_eq!((train.len(), test.len(), ones(&train), ones(&test)), (80, 20, 16, 4));
        let mut all: Vec<u8> = train.pixels.chunks(2).chain(test.pixels.chunks(2)).map(|image| image[0]).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<u8>>());
        assert_eq!(draw(1), (train, test.clone()));
        assert_ne!(draw(2).1, test);
    }

    #[test]
    fn what_is_broken_is_left_out_unless_nothing_would_be_left() {
        let broken = |places: &[usize]| -> Vec<(usize, Failure)> {
            places.iter().map(|place| (*place, Failure::new(Exit::Data, format!("{place}.png: is broken")))).collect()
        };
        let left = without_broken(images(&[0, 1, 2]), &broken(&[1]), true).unwrap();
        assert_eq!((left.labels, left.pixels), (vec![0, 2], vec![0, 7, 2, 7]));
        for (places, are_skipped, words) in [
            (&[1][..], false, "1.png: is broken"),
            (&[0, 1, 2], false, "0.png: is broken, and 2 more like it"),
            (&[0, 1, 2], true, "0.png: is broken, and 2 more like it: none of the split is left"),
        ] {
            let failure = without_broken(images(&[0, 1, 2]), &broken(places), are_skipped).unwrap_err();
            assert_eq!(failure.to_string(), words);
        }
    }

    #[test]
    fn copies_are_counted_by_their_pixels() {
        let (train, mut test) = (images(&[0, 1, 2]), images(&[2, 2]));
        assert_eq!(copies(&train, &test), 2);
        test.pixels[0] = 99;
        assert_eq!(copies(&train, &test), 1);
        assert_eq!(copies(&train, &Images::default()), 0);
    }
}
