//! The data sets that are known by name.

use std::sync::{Arc, LazyLock};

use super::cifar::Cifar;
use super::digits;
use super::idx::Idx;
use super::numbers::Numbers;
use super::spec::{DataSource, Repository, Spec};

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
            source: DataSource::Files {
                format: &Idx { folders: &["MNIST/raw", "raw"] },
                hub: Repository { id: "ylecun/mnist", others: &["mnist"], folder: "mnist" },
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
            source: DataSource::Files {
                format: &Idx { folders: &["FashionMNIST/raw", "raw"] },
                hub: Repository {
                    id: "zalando-datasets/fashion_mnist",
                    others: &["fashion_mnist"],
                    folder: "fashion_mnist",
                },
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
            source: DataSource::Files {
                format: &Cifar,
                hub: Repository { id: "cifar10", others: &["uoft-cs/cifar10"], folder: "plain_text" },
            },
        },
    ];
    sets.map(Arc::new).into()
});

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

impl Spec {
    /// The data set called `name`.
    pub fn named(name: &str) -> Option<Arc<Self>> {
        SETS.iter().find(|spec| spec.name == name).cloned()
    }
}
