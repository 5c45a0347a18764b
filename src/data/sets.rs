//! The data sets that are known by name.

use std::sync::{Arc, LazyLock};

use super::cifar::Cifar;
use super::digits;
use super::emnist::{self, Part};
use super::idx::Idx;
use super::numbers::Numbers;
use super::spec::{DataSource, Repository, Spec};
use super::usps::Usps;
use crate::error::Failure;

/// All of them, from simple to hard: a new one of a known format is one entry.
pub static SETS: LazyLock<Vec<Arc<Spec>>> = LazyLock::new(|| {
    let sets = [
        Spec {
            name: "digits".into(),
            about: "digits drawn from stroke skeletons by the program itself; needs no file and no network".into(),
            channels: 1,
            rows: 28,
            columns: 28,
            numbers: Numbers::Bytes,
            table: Vec::new(),
            classes: words("0 1 2 3 4 5 6 7 8 9"),
            train: 10_000,
            test: 2_000,
            published: Some("8cc3a90367e6e971df359d9c7b267a1334f60e5be5b54101cf2943336d374b42"),
            original: None,
            source: DataSource::Generated(digits::generate),
        },
        Spec {
            name: "mnist".into(),
            about: "handwritten digits, LeCun, Cortes & Burges 1998".into(),
            channels: 1,
            rows: 28,
            columns: 28,
            numbers: Numbers::Bytes,
            table: Vec::new(),
            classes: words("0 1 2 3 4 5 6 7 8 9"),
            train: 60_000,
            test: 10_000,
            published: Some("979e081520cdfe92cbc9643ead5b074180ca1113bbc6dc45cf9621bbecaef15c"),
            original: None,
            source: DataSource::Files {
                format: &Idx {
                    folders: &["MNIST/raw", "raw"],
                    part: None,
                    home: "its four files are at https://ossci-datasets.s3.amazonaws.com/mnist/; without `--data-dir` the hub is asked",
                },
                sums: &[],
                hub: Some(Repository { id: "ylecun/mnist", others: &["mnist"], folder: "mnist" }),
            },
        },
        Spec {
            name: "fashion-mnist".into(),
            about: "photographs of clothes in MNIST's format, Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747".into(),
            channels: 1,
            rows: 28,
            columns: 28,
            numbers: Numbers::Bytes,
            table: Vec::new(),
            classes: words("t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot"),
            train: 60_000,
            test: 10_000,
            // From Debian's package dataset-fashion-mnist, by the program beside MNIST's digest in tests/data.rs.
            published: Some("cb991ffa68f04198396170795f7d73772182465a45140610f6c6b6fa98745470"),
            original: None,
            source: DataSource::Files {
                format: &Idx {
                    folders: &["FashionMNIST/raw", "raw"],
                    part: None,
                    home: "its four files are at https://github.com/zalandoresearch/fashion-mnist; without `--data-dir` the hub is asked",
                },
                sums: &[],
                hub: Some(Repository {
                    id: "zalando-datasets/fashion_mnist",
                    others: &["fashion_mnist"],
                    folder: "fashion_mnist",
                }),
            },
        },
        Spec {
            name: "cifar10".into(),
            about: "small colour photographs, Krizhevsky 2009".into(),
            channels: 3,
            rows: 32,
            columns: 32,
            numbers: Numbers::Bytes,
            table: Vec::new(),
            classes: words("airplane automobile bird cat deer dog frog horse ship truck"),
            train: 50_000,
            test: 10_000,
            published: None,
            original: None,
            source: DataSource::Files {
                format: &Cifar,
                sums: &[],
                hub: Some(Repository { id: "cifar10", others: &["uoft-cs/cifar10"], folder: "plain_text" }),
            },
        },
    ];
    // After MNIST and Fashion-MNIST, before CIFAR-10.
    let mut sets = Vec::from(sets);
    sets.splice(
        3..3,
        std::iter::once(kmnist()).chain(OF_EMNIST.iter().zip(&emnist::PARTS).map(of_emnist)).chain([usps()]),
    );
    sets.into_iter().map(Arc::new).collect()
});

fn kmnist() -> Spec {
    Spec {
        name: "kmnist".into(),
        about: "cursive Japanese characters in MNIST's format, Clanuwat et al. 2018, arXiv:1812.01718".into(),
        channels: 1,
        rows: 28,
        columns: 28,
        numbers: Numbers::Bytes,
        table: Vec::new(),
        classes: words("o ki su tsu na ha ma ya re wo"),
        train: 60_000,
        test: 10_000,
        published: None,
        original: None,
        source: DataSource::Files {
            format: &Idx {
                folders: &["KMNIST/raw", "raw"],
                part: None,
                home: "its four files, which are called as MNIST's, are at http://codh.rois.ac.jp/kmnist/; keep them in a folder of their own",
            },
            // As torchvision has them.
            sums: &[
                ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
                ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
                ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
                ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
            ],
            hub: None,
        },
    }
}

/// How the parts of EMNIST are read, in their order.
static OF_EMNIST: [Idx; 6] = {
    const fn of(part: &'static Part) -> Idx {
        Idx {
            folders: &["EMNIST/raw", "raw", "gzip", "EMNIST/raw/gzip"],
            part: Some(part),
            home: "its four files are in https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip; unpack it and give the folder that holds them",
        }
    }
    [
        of(&emnist::PARTS[0]),
        of(&emnist::PARTS[1]),
        of(&emnist::PARTS[2]),
        of(&emnist::PARTS[3]),
        of(&emnist::PARTS[4]),
        of(&emnist::PARTS[5]),
    ]
};

fn of_emnist((format, part): (&'static Idx, &'static Part)) -> Spec {
    let [train, test] = part.counts;
    Spec {
        name: part.prefix.trim_end_matches('-').to_owned(),
        about: "handwritten letters and digits in MNIST's format, upright, Cohen et al. 2017, arXiv:1702.05373".into(),
        channels: 1,
        rows: 28,
        columns: 28,
        numbers: Numbers::Bytes,
        table: Vec::new(),
        classes: part.classes(),
        train,
        test,
        published: None,
        original: None,
        source: DataSource::Files { format, sums: &part.sums, hub: None },
    }
}

fn usps() -> Spec {
    Spec {
        name: "usps".into(),
        about: "handwritten digits of US post codes, 16x16, Hull 1994, as LIBSVM's data sets have them".into(),
        channels: 1,
        rows: 16,
        columns: 16,
        numbers: Numbers::Bytes,
        table: Vec::new(),
        classes: words("0 1 2 3 4 5 6 7 8 9"),
        train: 7_291,
        test: 2_007,
        published: None,
        original: None,
        source: DataSource::Files {
            format: &Usps,
            // As torchvision has them.
            sums: &[
                ("usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"),
                ("usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118"),
            ],
            hub: None,
        },
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

impl Spec {
    /// The data set called `name`.
    pub fn named(name: &str) -> Option<Arc<Self>> {
        SETS.iter().find(|spec| spec.name == name).cloned()
    }

    /// The data set called `name` with images of this shape: channels, rows and columns.
    ///
    /// # Errors
    /// As [`Spec::in_shape`].
    pub fn named_in_shape(name: &str, shape: [usize; 3]) -> Result<Option<Arc<Self>>, Failure> {
        Self::named(name).map(|spec| spec.in_shape(shape)).transpose()
    }
}
