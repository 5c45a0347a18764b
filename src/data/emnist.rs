//! EMNIST's six parts: their files' names, their classes, and how their images are turned upright.
//!
//! Cohen, Afshar, Tapson & van Schaik 2017, arXiv:1702.05373. The files are MNIST's in form, but each image is written column by column.

use super::images::Images;

/// One of the six.
#[derive(Debug)]
pub(super) struct Part {
    /// What the names of its files begin with.
    pub prefix: &'static str,
    /// Names of its classes, each a letter.
    pub letters: &'static str,
    /// The least label.
    pub first: u8,
    /// Images in the training and in the test split, as published.
    pub counts: [usize; 2],
    /// The published files and their MD5 sums.
    pub sums: [(&'static str, &'static str); 4],
}

const CASED: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Where a letter looks alike in both cases it is one class.
const MERGED: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt";
const DIGITS: &str = "0123456789";

/// All of them. The sums are those of the files in `gzip.zip`, as deeplearning4j's `EmnistFetcher` has them.
pub(super) static PARTS: [Part; 6] = [
    Part {
        prefix: "emnist-byclass-",
        letters: CASED,
        first: 0,
        counts: [697_932, 116_323],
        sums: [
            ("emnist-byclass-train-images-idx3-ubyte.gz", "712dda0bd6f00690f32236ae4325c377"),
            ("emnist-byclass-train-labels-idx1-ubyte.gz", "ee299a3ee5faf5c31e9406763eae7e43"),
            ("emnist-byclass-test-images-idx3-ubyte.gz", "1435209e34070a9002867a9ab50160d7"),
            ("emnist-byclass-test-labels-idx1-ubyte.gz", "7a0f934bd176c798ecba96b36fda6657"),
        ],
    },
    Part {
        prefix: "emnist-bymerge-",
        letters: MERGED,
        first: 0,
        counts: [697_932, 116_323],
        sums: [
            ("emnist-bymerge-train-images-idx3-ubyte.gz", "4a792d4df261d7e1ba27979573bf53f3"),
            ("emnist-bymerge-train-labels-idx1-ubyte.gz", "491be69ef99e1ab1f5b7f9ccc908bb26"),
            ("emnist-bymerge-test-images-idx3-ubyte.gz", "8eb5d34c91f1759a55831c37ec2a283f"),
            ("emnist-bymerge-test-labels-idx1-ubyte.gz", "c13f4cd5211cdba1b8fa992dae2be992"),
        ],
    },
    Part {
        prefix: "emnist-balanced-",
        letters: MERGED,
        first: 0,
        counts: [112_800, 18_800],
        sums: [
            ("emnist-balanced-train-images-idx3-ubyte.gz", "4041b0d6f15785d3fa35263901b5496b"),
            ("emnist-balanced-train-labels-idx1-ubyte.gz", "7a35cc7b2b7ee7671eddf028570fbd20"),
            ("emnist-balanced-test-images-idx3-ubyte.gz", "6818d20fe2ce1880476f747bbc80b22b"),
            ("emnist-balanced-test-labels-idx1-ubyte.gz", "acd3694070dcbf620e36670519d4b32f"),
        ],
    },
    Part {
        prefix: "emnist-letters-",
        letters: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        first: 1,
        counts: [124_800, 20_800],
        sums: [
            ("emnist-letters-train-images-idx3-ubyte.gz", "8795078f199c478165fe18db82625747"),
            ("emnist-letters-train-labels-idx1-ubyte.gz", "c16de4f1848ddcdddd39ab65d2a7be52"),
            ("emnist-letters-test-images-idx3-ubyte.gz", "382093a19703f68edac6d01b8dfdfcad"),
            ("emnist-letters-test-labels-idx1-ubyte.gz", "d4108920cd86601ec7689a97f2de7f59"),
        ],
    },
    Part {
        prefix: "emnist-digits-",
        letters: DIGITS,
        first: 0,
        counts: [240_000, 40_000],
        sums: [
            ("emnist-digits-train-images-idx3-ubyte.gz", "d2662ecdc47895a6bbfce25de9e9a677"),
            ("emnist-digits-train-labels-idx1-ubyte.gz", "2223fcfee618ac9c89ef20b6e48bcf9e"),
            ("emnist-digits-test-images-idx3-ubyte.gz", "a159b8b3bd6ab4ed4793c1cb71a2f5cc"),
            ("emnist-digits-test-labels-idx1-ubyte.gz", "8afde66ea51d865689083ba6bb779fac"),
        ],
    },
    Part {
        prefix: "emnist-mnist-",
        letters: DIGITS,
        first: 0,
        counts: [60_000, 10_000],
        sums: [
            ("emnist-mnist-train-images-idx3-ubyte.gz", "3663598a39195d030895b6304abb5065"),
            ("emnist-mnist-train-labels-idx1-ubyte.gz", "6c092f03c9bb63e678f80f8bc605fe37"),
            ("emnist-mnist-test-images-idx3-ubyte.gz", "fb51b6430fc4dd67deaada1bf25d4524"),
            ("emnist-mnist-test-labels-idx1-ubyte.gz", "ae7f6be798a9a5d5f2bd32e078a402dd"),
        ],
    },
];

impl Part {
    /// The part whose files' names begin so.
    pub fn of(prefix: &str) -> Option<&'static Self> {
        PARTS.iter().find(|part| part.prefix == prefix)
    }

    /// The part that a file called so belongs to.
    pub fn of_file(name: &str) -> Option<&'static Self> {
        PARTS.iter().find(|part| name.starts_with(part.prefix))
    }

    /// Names of its classes.
    pub fn classes(&self) -> Vec<String> {
        self.letters.chars().map(String::from).collect()
    }

    /// Numbers the labels from 0 and turns the images of this many rows and columns upright.
    pub fn set_right(&self, images: &mut Images, [rows, columns]: [usize; 2]) {
        images.labels.iter_mut().for_each(|label| *label = label.saturating_sub(self.first));
        let mut lying = vec![0; rows * columns];
        for image in images.pixels.chunks_exact_mut(rows * columns) {
            lying.copy_from_slice(image);
            turn(&lying, [rows, columns], image);
        }
    }
}

/// Turns an image upright that was written column by column: of as many rows and columns.
pub fn turn(lying: &[u8], [rows, columns]: [usize; 2], upright: &mut [u8]) {
    for (place, pixel) in lying.iter().enumerate() {
        let (column, row) = (place / rows, place % rows);
        upright[row * columns + column] = *pixel;
    }
}
