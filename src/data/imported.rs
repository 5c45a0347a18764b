//! Both splits of a data set with their digest and the sums that normalisation needs.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::images::Images;
use crate::digest::hex;
use crate::kernel::simd::{Width, vectorised};

/// Sums over one channel's pixels, exact: mean and variance of the channel follow from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSums {
    /// Σ pixel
    pub sum: u64,
    /// Σ pixel²
    pub squares: u64,
}

/// Both splits with what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The training split.
    pub train: Images,
    /// The test split.
    pub test: Images,
    /// SHA-256, in hexadecimal, of training pixels and labels, then test pixels and labels; before each its length as a
    /// little-endian u64.
    pub sha256: String,
    /// Sums over the training pixels, one per channel.
    pub channel_sums: Vec<ChannelSums>,
    /// Whether the files that they were read from are the published ones, by their sums; none where that is not known.
    pub published: Option<bool>,
}

/// What takes a pass over the pixels to know.
pub(super) struct Digests {
    /// [`Imported::sha256`].
    pub sha256: String,
    /// [`Imported::channel_sums`].
    pub channel_sums: Vec<ChannelSums>,
}

impl Digests {
    /// Those of images that have `channels` planes of equal size, one after the other.
    pub fn of(train: &Images, test: &Images, channels: usize) -> Self {
        let (sha256, channel_sums) = rayon::join(|| digest(arrays(train, test)), || channel_sums(train, channels));
        Self { sha256, channel_sums }
    }
}

impl Imported {
    /// Digests `train` and `test`, whose images have `channels` planes of equal size, one after the other.
    #[must_use]
    pub fn new(train: Images, test: Images, channels: usize) -> Self {
        let Digests { sha256, channel_sums } = Digests::of(&train, &test, channels);
        Self { train, test, sha256, channel_sums, published: None }
    }

    /// As [`Imported::new`], of what the program itself draws: its digest is known.
    #[must_use]
    pub fn drawn(train: Images, test: Images, channels: usize, sha256: &str) -> Self {
        let channel_sums = channel_sums(&train, channels);
        Self { train, test, sha256: sha256.to_owned(), channel_sums, published: None }
    }
}

/// The arrays of a data set in the order in which they are digested and kept.
pub(super) fn arrays<'a>(train: &'a Images, test: &'a Images) -> [&'a [u8]; 4] {
    [&train.pixels, &train.labels, &test.pixels, &test.labels]
}

fn digest(arrays: [&[u8]; 4]) -> String {
    let mut sha256 = Sha256::new();
    for array in arrays {
        sha256.update((array.len() as u64).to_le_bytes());
        sha256.update(array);
    }
    hex(sha256)
}

vectorised! {
    /// The sums of some pixels and of their squares.
    fn sums_of [] [] (pixels: &[u8]) -> [u32; 2] {
        let sum = pixels.iter().map(|&pixel| u32::from(pixel)).sum();
        let squares = pixels.iter().map(|&pixel| u32::from(pixel) * u32::from(pixel)).sum();
        [sum, squares]
    }
}

fn channel_sums(images: &Images, channels: usize) -> Vec<ChannelSums> {
    let image_bytes = images.pixels.len().checked_div(images.len()).unwrap_or(0);
    let plane_bytes = image_bytes.checked_div(channels).unwrap_or(0);
    debug_assert_eq!(plane_bytes * channels * images.len(), images.pixels.len());
    let zero = || vec![ChannelSums::default(); channels];
    if plane_bytes == 0 {
        return zero();
    }
    let width = Width::detect();
    let add = |mut sums: Vec<ChannelSums>, image: &[u8]| {
        for (total, plane) in sums.iter_mut().zip(image.chunks_exact(plane_bytes)) {
            // u32 suffices for 66,051 squares of a byte, and its lanes are twice as many as u64's.
            for part in plane.chunks(1 << 16) {
                let [sum, squares] = sums_of(width, part);
                total.sum += u64::from(sum);
                total.squares += u64::from(squares);
            }
        }
        sums
    };
    let merge = |mut sums: Vec<ChannelSums>, others: Vec<ChannelSums>| {
        for (total, other) in sums.iter_mut().zip(others) {
            total.sum += other.sum;
            total.squares += other.squares;
        }
        sums
    };
    images.pixels.par_chunks_exact(image_bytes).fold(zero, add).reduce(zero, merge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SETS;
    use crate::data::spec::DataSource;

    #[test]
    fn the_digest_of_what_is_drawn_is_the_published_one() {
        let mut drawn = 0;
        for spec in SETS.iter() {
            let DataSource::Generated(generate) = spec.source else { continue };
            let (train, test) = generate();
            assert_eq!(Some(&*Imported::new(train, test, spec.summed()).sha256), spec.published, "{}", spec.name);
            drawn += 1;
        }
        assert_eq!(drawn, 1);
    }

    #[test]
    fn the_digest_covers_lengths_and_order() {
        let digest = |train: [&[u8]; 2], test: [&[u8]; 2]| {
            let images = |[pixels, labels]: [&[u8]; 2]| Images { pixels: pixels.into(), labels: labels.into() };
            super::digest(arrays(&images(train), &images(test)))
        };
        // python3 -c "import hashlib,struct as s;print(hashlib.sha256(b''.join(s.pack('<Q',len(x))+x for x in
        // [b'ab',b'\0',b'cd',b'\1'])).hexdigest())"
        let expected = "3195114b20af4c3ab8c874da47f648a09804341bbb0e393dbea8a24e6aed6efe";
        assert_eq!(digest([b"ab", b"\0"], [b"cd", b"\x01"]), expected);
        assert_ne!(digest([b"a", b"b\0"], [b"cd", b"\x01"]), expected);
        assert_ne!(digest([b"cd", b"\x01"], [b"ab", b"\0"]), expected);
    }

    #[test]
    fn channel_sums_are_those_of_the_training_pixels_alone() {
        let train = Images { pixels: vec![1, 2, 10, 20, 3, 255, 0, 255], labels: vec![0, 1] };
        let test = Images { pixels: vec![99; 4], labels: vec![0] };
        let sums = Imported::new(train, test, 2).channel_sums;
        let [first, second] = sums[..] else { panic!("two channels") };
        assert_eq!((first.sum, first.squares), (261, 1 + 4 + 9 + 65_025));
        assert_eq!((second.sum, second.squares), (285, 100 + 400 + 65_025));
    }

    #[test]
    fn channel_sums_of_large_white_planes_do_not_overflow() {
        let plane = (1 << 16) + 5;
        let train = Images { pixels: vec![255; 4 * plane], labels: vec![0, 1] };
        let sums = channel_sums(&train, 2);
        let sum = 2 * plane as u64 * 255;
        assert_eq!(sums, [ChannelSums { sum, squares: sum * 255 }; 2]);
    }
}
