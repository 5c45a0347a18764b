//! Data sets as files, cache and hub: what is read, what is refused, and that both are the same in every form.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use common::{
    CIFAR_NAMES, IDX_NAMES, Place, cifar_batch, cifar_folder, finish, gzipped, idx_files, idx_folder, idx_images,
    idx_labels, images, metrics, names, shared,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The digest of the embedded set: it never changes, or old runs cannot be resumed.
const DIGITS: &str = "8cc3a90367e6e971df359d9c7b267a1334f60e5be5b54101cf2943336d374b42";

/// The digest of MNIST, by another program:
///
/// ```python
/// import gzip, hashlib, struct
/// h = hashlib.sha256()
/// for name, header in [("train-images-idx3", 16), ("train-labels-idx1", 8), ("t10k-images-idx3", 16), ("t10k-labels-idx1", 8)]:
///     body = gzip.open(f"{name}-ubyte.gz").read()[header:]
///     h.update(struct.pack("<Q", len(body)) + body)
/// ```
const MNIST: &str = "979e081520cdfe92cbc9643ead5b074180ca1113bbc6dc45cf9621bbecaef15c";

/// The digest of Fashion-MNIST, by the same program, from the files of Debian's package dataset-fashion-mnist.
const FASHION_MNIST: &str = "cb991ffa68f04198396170795f7d73772182465a45140610f6c6b6fa98745470";

/// The digest that `data --json` must give for these arrays.
fn digest(arrays: [&[u8]; 4]) -> String {
    let mut hash = Sha256::new();
    for array in arrays {
        hash.update((array.len() as u64).to_le_bytes());
        hash.update(array);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What `data NAME` says of a folder.
fn describe(place: &Place, name: &str, folder: &Path) -> Value {
    place.answer(&format!("data {name} --data-dir {}", folder.display()))
}

#[test]
fn digits_are_the_same_on_every_machine() {
    let place = Place::new();
    let digits = place.answer("data digits");
    assert_eq!(digits["event"], "data");
    assert_eq!(digits["sha256"], DIGITS);
    assert_eq!(digits["shape"], json!([1, 28, 28]));
    assert_eq!(digits["train"]["examples"], 10_000);
    assert_eq!(digits["test"]["examples"], 2_000);
    assert_eq!(digits["train"]["per_class"], json!(vec![1000; 10]));
    // It needs nothing and leaves nothing.
    assert!(place.entries().is_empty() && names(&place.cache()).is_empty());
    let text = place.succeed("data digits").stdout;
    assert!(text.contains(DIGITS) && text.contains("10000"), "{text}");
}

#[test]
fn sets_with_a_name_are_brought_to_another_shape_by_every_command() {
    let place = Place::new();
    let folder = place.path("mnist");
    idx_folder(&folder, 60, 30);
    let words = format!("data mnist --data-dir {}", folder.display());
    let whole = place.answer(&words);
    let small = place.answer(&format!("{words} --size 14x12"));
    assert_eq!((&small["shape"], &small["train"]["examples"]), (&json!([1, 14, 12]), &json!(60)));
    // Whether the files are the published ones cannot be told by images in another shape.
    assert_eq!((&small["cached"], &small["published"]), (&json!(false), &Value::Null));
    assert_ne!(small["sha256"], whole["sha256"]);
    let again = place.answer(&format!("{words} --size 14x12"));
    assert_eq!((&again["cached"], &again["sha256"]), (&json!(true), &small["sha256"]));
    assert_eq!(place.answer(&words)["sha256"], whole["sha256"]);
    assert_eq!(place.answer(&format!("{words} --size 28"))["cached"], true);
    let colour = place.answer(&format!("{words} --channels 3"));
    assert_eq!(colour["shape"], json!([3, 28, 28]));
    // Grey in colour is three times the same.
    assert_eq!(colour["standard"].as_array().unwrap().len(), 3);

    let cifar = place.path("cifar");
    cifar_folder(&cifar, 5);
    let grey = place.answer(&format!("data cifar10 --data-dir {} --channels 1 --size 16", cifar.display()));
    assert_eq!((&grey["shape"], &grey["train"]["examples"]), (&json!([1, 16, 16]), &json!(25)));

    place.run("data digits --size 4097x4097").refused(2, &["16785409 numbers", "expected at most", "--size"]);
    place.succeed("--size 14 --hidden 8 --epochs 2 -q --out run");
    let trained = metrics(&place.path("run")).last().unwrap()["test_accuracy"].clone();
    assert_eq!(place.answer("inspect run")["image"], json!([1, 14, 14]));
    let accuracy = |words: &str| place.answer(words)["accuracy"].clone();
    assert_eq!((accuracy("eval run"), accuracy("eval run --dataset digits")), (trained.clone(), trained));
    place.succeed("--size 14 --hidden 8 --epochs 3 -q --out run --resume");
    place.succeed("compress run --max-bytes 1000 --out small.amc --rungs 2 --epochs 1 --teacher none -q");
    assert_eq!(accuracy("eval small.amc"), accuracy("eval small.amc --dataset digits"));
    place.succeed("export run --quantize int8 --to net.onnx");
    place.succeed("export small.amc --quantize int8 --to small.onnx");
    place.succeed("sweep --size 14 --lr 1e-3,1e-2 --epochs 1 -q --out sweep");
}

#[test]
fn idx_files_are_the_same_data_raw_and_gzipped_and_under_both_names() {
    let place = Place::new();
    let files = idx_files(50, 20);
    let expected = digest([&files[0][16..], &files[1][8..], &files[2][16..], &files[3][8..]]);
    for (form, name) in [
        ("raw", "train-images-idx3-ubyte"),
        ("gz", "train-images-idx3-ubyte.gz"),
        ("dotted", "train-images.idx3-ubyte"),
        ("dotted-gz", "train-images.idx3-ubyte.gz"),
    ] {
        let folder = place.path(form);
        fs::create_dir(&folder).unwrap();
        for (plain, bytes) in IDX_NAMES.iter().zip(&files) {
            let spelled = plain.replace("-idx", if name.contains(".idx") { ".idx" } else { "-idx" });
            let zipped = Path::new(name).extension().is_some_and(|end| end == "gz");
            let (spelled, bytes) = if zipped { (spelled + ".gz", gzipped(bytes)) } else { (spelled, bytes.clone()) };
            fs::write(folder.join(spelled), bytes).unwrap();
        }
        assert!(folder.join(name).is_file());
        let found = describe(&place, "mnist", &folder);
        assert_eq!(found["sha256"], expected, "{form}");
        assert_eq!(found["train"]["examples"], 50);
        assert_eq!(found["test"]["examples"], 20);
        let labels = &files[1][8..];
        let mut counts = [0; 10];
        for &label in labels {
            counts[usize::from(label)] += 1;
        }
        assert_eq!(found["train"]["per_class"], json!(counts));
    }
    // The same bytes are clothes under another name.
    let clothes = describe(&place, "fashion-mnist", &place.path("raw"));
    assert_eq!(clothes["sha256"], expected);
    assert_eq!(clothes["classes"][0], "t-shirt");
}

/// 28×28 images that are written column by column, as EMNIST has them, with these labels.
fn column_by_column(files: &[Vec<u8>; 4]) -> [Vec<u8>; 4] {
    let mut turned = files.clone();
    for bytes in [0, 2] {
        for image in turned[bytes][16..].chunks_exact_mut(784) {
            let upright = image.to_vec();
            for (place, pixel) in image.iter_mut().enumerate() {
                *pixel = upright[place % 28 * 28 + place / 28];
            }
        }
    }
    turned
}

#[test]
fn kmnist_and_emnist_are_read_by_name_from_where_they_are_unpacked() {
    let place = Place::new();
    let files = idx_files(60, 30);
    let expected = digest([&files[0][16..], &files[1][8..], &files[2][16..], &files[3][8..]]);
    idx_folder(&place.path("root/KMNIST/raw"), 60, 30);
    let found = describe(&place, "kmnist", &place.path("root"));
    assert_eq!(found["sha256"], expected);
    assert_eq!(found["classes"], json!(["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]));
    // Whether unpacked files are the published ones, whose sums are those of the packed ones, is not known.
    assert_eq!(found["published"], Value::Null);
    fs::create_dir(place.path("packed")).unwrap();
    for (name, bytes) in IDX_NAMES.iter().zip(&files) {
        place.write(&format!("packed/{name}.gz"), gzipped(bytes));
    }
    for _first_and_cached in 0..2 {
        assert_eq!(describe(&place, "kmnist", &place.path("packed"))["published"], false);
    }
    let text =
        place.succeed("data kmnist --data-dir packed -v").says(&["are not the published files of `kmnist`"]).stdout;
    assert!(text.contains("files    not the published ones"), "{text}");

    let mut files = column_by_column(&files);
    for (part, first) in [("digits", 0), ("letters", 1)] {
        fs::create_dir_all(place.path("root/EMNIST/raw")).unwrap();
        for file in [1, 3] {
            files[file][8..].iter_mut().for_each(|label| *label += first);
        }
        for (name, bytes) in IDX_NAMES.iter().zip(&files) {
            place.write(&format!("root/EMNIST/raw/emnist-{part}-{}", name.replace("t10k", "test")), bytes);
        }
        let found = describe(&place, &format!("emnist-{part}"), &place.path("root"));
        assert_eq!(found["sha256"], expected, "{part}: upright, and numbered from 0");
        assert_eq!(place.answer(&format!("data root/EMNIST/raw/emnist-{part}"))["sha256"], expected);
    }
    let letters = describe(&place, "emnist-letters", &place.path("root"));
    assert_eq!((letters["classes"].as_array().unwrap().len(), &letters["classes"][0]), (26, &json!("A")));
    let labels = place.path("root/EMNIST/raw/emnist-letters-test-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels).unwrap();
    bytes[8] = 0;
    fs::write(&labels, bytes).unwrap();
    let words = &["emnist-letters-test-labels-idx1-ubyte", "image 0 is labelled 0, expected 1 to 26"];
    broken(&place, "emnist-letters", &place.path("root"), words);
    broken(&place, "emnist-bymerge", &place.path("root"), &["has no `emnist-bymerge-train-images-idx3-ubyte`"]);
    place.succeed("--dataset emnist-digits --data-dir root --epochs 1 -q --out run");
    place.run("--dataset emnist").refused(2, &["did you mean `emnist-balanced`?"]);
}

#[test]
fn usps_is_read_from_text_and_from_bzip2() {
    let place = Place::new();
    let line = |label: usize| {
        let pixels =
            (0..256).map(|place| format!(" {}:{:.4}", place + 1, ((place * label) % 256) as f32 / 127.5 - 1.0));
        format!("{label}{}\n", pixels.collect::<String>())
    };
    fs::create_dir(place.path("text")).unwrap();
    place.write("text/usps", (1..=10).map(line).collect::<String>());
    place.write("text/usps.t", [line(3), line(10)].concat());
    let found = describe(&place, "usps", &place.path("text"));
    assert_eq!((&found["shape"], &found["published"]), (&json!([1, 16, 16]), &Value::Null));
    assert_eq!((&found["train"]["per_class"], &found["test"]["per_class"][9]), (&json!(vec![1; 10]), &json!(1)));
    fs::create_dir(place.path("packed")).unwrap();
    for name in ["usps", "usps.t"] {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        let text = fs::read(place.path("text").join(name)).unwrap();
        std::io::Write::write_all(&mut encoder, &text).unwrap();
        place.write(&format!("packed/{name}.bz2"), encoder.finish().unwrap());
    }
    let packed = describe(&place, "usps", &place.path("packed"));
    assert_eq!((&packed["sha256"], &packed["published"]), (&found["sha256"], &json!(false)));
    place.succeed("--dataset usps --data-dir packed --epochs 1 --batch-size 5 -q --out trained");
    place.write("packed/usps.t.bz2", "<html>404 Not Found</html>");
    broken(&place, "usps", &place.path("packed"), &["usps.t.bz2", "line 1: the label is `<html>404`"]);
}

#[test]
fn a_set_that_is_not_fetched_says_where_its_files_are() {
    let place = Place::new();
    for (name, words) in [("kmnist", "codh.rois.ac.jp/kmnist"), ("emnist-letters", "gzip.zip"), ("usps", "usps.t.bz2")]
    {
        let refused = place.run(&format!("--dataset {name} --epochs 1 --out run"));
        refused.refused(3, &[&format!("`{name}` needs --data-dir"), "hint:", words]);
    }
}

#[test]
fn cifar_batches_are_read_in_order_from_the_folder_or_the_archive_s_own() {
    let place = Place::new();
    cifar_folder(&place.path("flat"), 7);
    cifar_folder(&place.path("nested/cifar-10-batches-bin"), 7);
    let part = |names: &[&str]| {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for name in names {
            for record in fs::read(place.path("flat").join(name)).unwrap().chunks(3073) {
                labels.push(record[0]);
                pixels.extend_from_slice(&record[1..]);
            }
        }
        (pixels, labels)
    };
    let (train, test) = (part(&CIFAR_NAMES[..5]), part(&CIFAR_NAMES[5..]));
    let expected = digest([&train.0, &train.1, &test.0, &test.1]);
    for form in ["flat", "nested"] {
        let found = describe(&place, "cifar10", &place.path(form));
        assert_eq!(found["sha256"], expected, "{form}");
        assert_eq!(found["shape"], json!([3, 32, 32]));
        assert_eq!(found["train"]["examples"], 35);
        assert_eq!(found["standard"].as_array().unwrap().len(), 3);
    }
    place.succeed(&format!("--dataset cifar10 --data-dir {} --epochs 2 --hidden 5", place.path("flat").display()));
}

/// A batch of CIFAR-10's Python version as Python 2 wrote it: `b"labels"` and `b"data"`, with what else stands there.
fn pickled(batch: &[u8]) -> Vec<u8> {
    let records: Vec<&[u8]> = batch.chunks(3073).collect();
    let labels: Vec<u8> = records.iter().flat_map(|record| [b'K', record[0]]).collect();
    let pixels: Vec<u8> = records.iter().flat_map(|record| &record[1..]).copied().collect();
    let count = (records.len() as u16).to_le_bytes();
    [
        &b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("[..],
        &labels,
        b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\0\x85q\tU\x01b\x87Rq\n(K\x01M",
        &count,
        b"M\0\x0c\x86cnumpy\ndtype\nq\x0bU\x02u1K\0K\x01\x87Rq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T",
        &(pixels.len() as u32).to_le_bytes(),
        &pixels,
        b"tbU\tfilenamesq\r]q\x0e(U\x05a.pngq\x0fU\x05b.pngq\x10eu.",
    ]
    .concat()
}

/// Packs a folder of `place` with the system's tar.
fn packed(place: &Place, root: &str, folder: &str, archive: &str) {
    let mut tar = place.program("tar");
    tar.args(["-czf", archive, folder]).current_dir(place.path(root));
    assert!(tar.status().unwrap().success());
}

#[test]
fn cifar_is_the_same_in_every_published_form() {
    let place = Place::new();
    let python: [&str; 6] = CIFAR_NAMES.map(|name| name.trim_end_matches(".bin"));
    let (binary_folder, python_folder) = ("cifar-10-batches-bin", "cifar-10-batches-py");
    cifar_folder(&place.path("flat"), 3);
    for (form, names) in [(binary_folder, CIFAR_NAMES), (python_folder, python)] {
        let folder = place.path("root").join(form);
        fs::create_dir_all(&folder).unwrap();
        for (name, source) in names.iter().zip(CIFAR_NAMES) {
            let batch = fs::read(place.path("flat").join(source)).unwrap();
            fs::write(folder.join(name), if form == python_folder { pickled(&batch) } else { batch }).unwrap();
        }
        fs::write(folder.join("readme.html"), "<html>").unwrap();
    }
    let expected = describe(&place, "cifar10", &place.path("flat"));
    let is_same = |root: &str| {
        let found = describe(&place, "cifar10", &place.path(root));
        assert_eq!(found["sha256"], expected["sha256"], "{root}");
        assert_eq!(found["train"], expected["train"], "{root}");
        // It is kept, and found again.
        assert_eq!(
            (&found["cached"], &describe(&place, "cifar10", &place.path(root))["cached"]),
            (&json!(false), &json!(true))
        );
    };
    is_same("root/cifar-10-batches-py");
    for (folder, archive) in [(python_folder, "cifar-10-python.tar.gz"), (binary_folder, "cifar-10-binary.tar.gz")] {
        let moved = format!("of-{folder}");
        fs::create_dir(place.path(&moved)).unwrap();
        packed(&place, "root", folder, archive);
        fs::rename(place.path("root").join(folder), place.path(&moved).join(folder)).unwrap();
        is_same(&moved);
        let alone = format!("packed-{folder}");
        fs::create_dir(place.path(&alone)).unwrap();
        fs::rename(place.path("root").join(archive), place.path(&alone).join(archive)).unwrap();
        is_same(&alone);
    }
    // Who waits for an archive is told so, once.
    let line = |arguments: &str| {
        fs::remove_dir_all(place.cache()).unwrap();
        let folder = place.path("packed-cifar-10-batches-py");
        place.succeed(&format!("data cifar10 --data-dir {} {arguments}", folder.display())).stderr
    };
    assert!(line("").contains("reading cifar10 from ") && line("").matches("for the first time").count() == 1);
    assert_eq!(line("-q"), "");
    assert_eq!(place.succeed("data cifar10 --data-dir packed-cifar-10-batches-py").stderr, "");
}

#[test]
fn hostile_cifar_archives_and_pickles_are_refused_naming_the_file() {
    let place = Place::new();
    let folder = "root/cifar-10-batches-py";
    fs::create_dir_all(place.path(folder)).unwrap();
    let good = |seed: u64| pickled(&cifar_batch(2, seed));
    for (seed, name) in CIFAR_NAMES.iter().enumerate() {
        place.write(&format!("{folder}/{}", name.trim_end_matches(".bin")), good(seed as u64));
    }
    let pack = || packed(&place, "root", "cifar-10-batches-py", "../cifar-10-python.tar.gz");
    let place_of = |name: &str| place.path(folder).join(name);
    let refuse =
        |words: &[&str]| broken(&place, "cifar10", &place.path(""), &[&["cifar-10-python.tar.gz"], words].concat());

    place.write(&format!("{folder}/data_batch_4"), b"\x80\x02cos\nsystem\nU\x04trueq\x01\x85R.");
    broken(&place, "cifar10", &place.path("root"), &["data_batch_4", "`os.system`"]);
    pack();
    refuse(&["data_batch_4", "`os.system`"]);
    place.write(&format!("{folder}/data_batch_4"), good(3));
    pack();
    let whole = fs::read(place.path("cifar-10-python.tar.gz")).unwrap();
    for (what, bytes) in [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("its last byte lost", whole[..whole.len() - 1].to_vec()),
        ("empty", Vec::new()),
        ("a page", b"<html>404 Not Found</html>".to_vec()),
        ("more behind it", [&whole[..], b"more"].concat()),
        ("packed twice", gzipped(&whole)),
    ] {
        place.write("cifar-10-python.tar.gz", bytes);
        refuse(if what == "more behind it" { &["what is not gzip"] } else { &[] });
    }
    fs::remove_file(place_of("data_batch_2")).unwrap();
    pack();
    refuse(&["has no `cifar-10-batches-py/data_batch_2`"]);
    std::os::unix::fs::symlink("/etc/passwd", place_of("data_batch_2")).unwrap();
    pack();
    refuse(&["data_batch_2: is a link"]);
    fs::remove_file(place_of("data_batch_2")).unwrap();
    place.write(&format!("{folder}/data_batch_2"), good(1));
    place.write(&format!("{folder}/other"), "");
    pack();
    refuse(&["cifar-10-batches-py/other: is none of the files"]);
}

#[test]
fn a_second_start_reads_the_cache_and_a_touched_byte_is_noticed() {
    let place = Place::new();
    let folder = place.path("mnist");
    idx_folder(&folder, 40, 20);
    let first = describe(&place, "mnist", &folder);
    let second = describe(&place, "mnist", &folder);
    assert_eq!(first["cached"], false);
    assert_eq!(second["cached"], true);
    assert_eq!(second["sha256"], first["sha256"]);
    assert_eq!(second["train"], first["train"]);
    assert_eq!(second["standard"], first["standard"]);

    // Another way to the same folder is the same folder.
    std::os::unix::fs::symlink(&folder, place.path("link")).unwrap();
    assert_eq!(describe(&place, "mnist", &place.path("link"))["cached"], true);

    let path = folder.join(IDX_NAMES[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[16] ^= 1;
    fs::write(&path, bytes).unwrap();
    // A clock may tick too slowly to tell two writes apart.
    let later = SystemTime::now() + Duration::from_secs(5);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(later).unwrap();
    let changed = describe(&place, "mnist", &folder);
    assert_eq!(changed["cached"], false);
    assert_ne!(changed["sha256"], first["sha256"]);
    assert_eq!(describe(&place, "mnist", &folder)["cached"], true);
    assert_eq!(names(&place.cache().join("adamtrain")).len(), 1);
}

/// The one file of the data cache.
fn cached_file(place: &Place) -> PathBuf {
    let folder = place.cache().join("adamtrain");
    let names = names(&folder);
    assert_eq!(names.len(), 1, "{names:?}");
    folder.join(&names[0])
}

#[test]
fn a_damaged_cache_is_repaired_with_a_warning() {
    let place = Place::new();
    let folder = place.path("mnist");
    idx_folder(&folder, 40, 20);
    let arguments = format!("data mnist --data-dir {} --json", folder.display());
    let good = describe(&place, "mnist", &folder);
    let whole = fs::read(cached_file(&place)).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let mut longer = whole.clone();
    longer.push(0);
    for (what, bytes) in [
        ("a pixel", flipped(whole.len() / 2)),
        ("the last label", flipped(whole.len() - 1)),
        ("the magic", flipped(0)),
        ("the header's length", flipped(14)),
        ("the header", flipped(40)),
        ("cut", whole[..whole.len() / 3].to_vec()),
        ("cut in the header", whole[..30].to_vec()),
        ("empty", Vec::new()),
        ("longer", longer),
        ("zeros", vec![0; whole.len()]),
    ] {
        fs::write(cached_file(&place), bytes).unwrap();
        let outcome = place.succeed(&arguments);
        assert!(outcome.stderr.contains("WARN"), "{what}: {outcome:?}");
        let found = outcome.events().remove(0);
        assert_eq!(found["cached"], false, "{what}");
        assert_eq!(found["sha256"], good["sha256"], "{what}");
        assert_eq!(fs::read(cached_file(&place)).unwrap(), whole, "{what}");
    }

    // A folder in its place cannot be replaced, and hurts nobody.
    let path = cached_file(&place);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let found = place.succeed(&arguments).says(&["WARN"]).events().remove(0);
    assert_eq!(found["sha256"], good["sha256"]);
}

#[test]
fn a_cache_that_cannot_be_written_costs_time_alone() {
    let place = Place::new();
    let folder = place.path("mnist");
    idx_folder(&folder, 40, 20);
    let arguments = format!("data mnist --data-dir {} --json", folder.display());
    place.write("file", "");
    for cache in ["/dev/null", "/proc/nowhere", place.path("file").to_str().unwrap()] {
        let mut command = place.adamtrain(&arguments);
        let outcome = finish(command.env("XDG_CACHE_HOME", cache)).expect(0);
        assert!(outcome.stderr.contains("cache"), "{outcome:?}");
    }
}

#[test]
fn many_first_starts_at_once_all_read_the_same() {
    let place = Place::new();
    let folder = place.path("mnist");
    idx_folder(&folder, 40, 20);
    let arguments = format!("data mnist --data-dir {} --json", folder.display());
    let started: Vec<_> = (0..6).map(|_| common::Running::start(&mut place.adamtrain(&arguments))).collect();
    let found: Vec<_> =
        started.into_iter().map(|running| running.finish().expect(0).events().remove(0)["sha256"].clone()).collect();
    assert!(found.iter().all(|sha256| *sha256 == found[0]));
    cached_file(&place);
}

/// Requires that training on `folder` is refused with 3 and words, in little memory, and leaves nothing behind.
fn broken(place: &Place, name: &str, folder: &Path, words: &[&str]) {
    let arguments = format!("--dataset {name} --data-dir {} --out run", folder.display());
    // `-v` counts KiB: enough for the program, too little for what a header may promise.
    let outcome = finish(&mut place.under_shell("ulimit -v 1500000", &arguments));
    assert_eq!(outcome.code(), Some(3), "{words:?}: {outcome:?}");
    let outcome = outcome.refused(3, words);
    assert!(outcome.stderr.contains("hint:"), "{outcome:?}");
    assert!(!place.path("run").exists(), "{outcome:?}");
}

#[test]
fn folders_that_are_missing_empty_or_none_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    place.write("file", "");
    for name in ["mnist", "fashion-mnist", "cifar10"] {
        broken(&place, name, &place.path("gone"), &["gone", "No such file"]);
        broken(&place, name, &place.path("empty"), &["empty", "has no `"]);
        broken(&place, name, &place.path("file"), &["file", "expected a folder"]);
    }
    idx_folder(&place.path("partial"), 5, 5);
    fs::remove_file(place.path("partial").join(IDX_NAMES[3])).unwrap();
    broken(&place, "mnist", &place.path("partial"), &[IDX_NAMES[3]]);
    cifar_folder(&place.path("four"), 2);
    fs::remove_file(place.path("four").join(CIFAR_NAMES[2])).unwrap();
    broken(&place, "cifar10", &place.path("four"), &[CIFAR_NAMES[2]]);
}

#[test]
fn hostile_idx_files_are_refused_naming_the_file() {
    let place = Place::new();
    let folder = place.path("mnist");
    idx_folder(&folder, 20, 10);
    let (pixels, labels) = images(20, 784, 1);
    let whole_images = idx_images(20, 28, 28, &pixels);
    let whole_labels = idx_labels(20, &labels);
    let patched = |bytes: &[u8], at: usize, with: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let most = u32::MAX;
    let mut table: Vec<(String, usize, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, file: usize, bytes: Vec<u8>| {
        table.push((what.to_owned(), file, gzipped(&bytes)));
        table.push((what.to_owned(), file, bytes));
    };
    add("magic of labels", 0, patched(&whole_images, 0, &2049_u32.to_be_bytes()));
    add("magic of images", 1, patched(&whole_labels, 0, &2051_u32.to_be_bytes()));
    add("little endian", 0, patched(&whole_images, 0, &2051_u32.to_le_bytes()));
    add("no image", 0, idx_images(0, 28, 28, &[]));
    add("one image too many", 0, idx_images(21, 28, 28, &pixels));
    add("one image too few", 0, idx_images(19, 28, 28, &pixels));
    add("4 billion images", 0, idx_images(most, 28, 28, &pixels));
    add("2^60 pixels", 0, idx_images(1 << 20, 1 << 20, 1 << 20, &pixels));
    add("2^96 pixels", 0, idx_images(most, most, most, &pixels));
    add("no rows", 0, idx_images(20, 0, 28, &[]));
    add("other dimensions", 0, idx_images(20, 14, 56, &pixels));
    add("smaller dimensions", 0, idx_images(80, 14, 14, &pixels));
    add("4 billion labels", 1, idx_labels(most, &labels));
    add("fewer labels than images", 1, idx_labels(19, &labels[..19]));
    add("trailing byte", 1, [&whole_labels[..], &[0]].concat());
    add("trailing pixels", 0, [&whole_images[..], &[0; 784]].concat());
    add("label 10", 1, patched(&whole_labels, 12, &[10]));
    add("label 255", 1, patched(&whole_labels, 27, &[255]));
    add("empty", 0, Vec::new());
    add("text", 0, b"<html>404 Not Found</html>".to_vec());
    for length in [1, 3, 4, 8, 15, 16, 17, 800, whole_images.len() - 1] {
        add(&format!("cut to {length}"), 0, whole_images[..length].to_vec());
    }

    let zipped = gzipped(&whole_images);
    let flipped = |at: usize| patched(&zipped, at, &[zipped[at] ^ 1]);
    for length in [2, 9, 10, 11, 40, zipped.len() / 2, zipped.len() - 8, zipped.len() - 1] {
        table.push((format!("gz cut to {length}"), 0, zipped[..length].to_vec()));
    }
    table.push(("gz with a wrong CRC".into(), 0, flipped(zipped.len() - 5)));
    table.push(("gz with a wrong length".into(), 0, flipped(zipped.len() - 1)));
    table.push(("gz flipped".into(), 0, flipped(zipped.len() / 2)));
    let trailing = [&zipped[..], b"more"].concat();
    table.push(("gz with trailing bytes".into(), 0, trailing));
    let twice = [&zipped[..], &zipped[..]].concat();
    table.push(("gz twice".into(), 0, twice));
    let nested = gzipped(&zipped);
    table.push(("gz in gz".into(), 0, nested));

    for (what, file, bytes) in table {
        let path = folder.join(IDX_NAMES[file]);
        let good = fs::read(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        let outcome = place.run(&format!("data mnist --data-dir {}", folder.display()));
        assert_eq!(outcome.code(), Some(3), "{what}: {outcome:?}");
        // The second image file or label file is named where the two disagree.
        let split = &IDX_NAMES[file][..5];
        outcome.refused(3, &[split, "-ubyte", "hint:"]);
        fs::write(&path, good).unwrap();
    }
    assert!(names(&place.cache()).is_empty());
    describe(&place, "mnist", &folder);
}

#[test]
fn promises_and_bombs_take_no_memory() {
    let place = Place::new();
    let folder = place.path("mnist");
    idx_folder(&folder, 20, 10);
    let path = folder.join(IDX_NAMES[0]);
    for bytes in [
        idx_images(u32::MAX, 28, 28, &[0; 784]),
        gzipped(&idx_images(u32::MAX, 28, 28, &[0; 784])),
        gzipped(&idx_images(u32::MAX, u32::MAX, u32::MAX, &[])),
    ] {
        fs::write(&path, bytes).unwrap();
        broken(&place, "mnist", &folder, &[IDX_NAMES[0]]);
    }
    // 2 GiB of zeros behind an honest header, in about 9 MB: more than `broken` lets the process have.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut write = |bytes: &[u8]| std::io::Write::write_all(&mut encoder, bytes).unwrap();
    write(&idx_images(20, 28, 28, &[]));
    let zeros = vec![0; 1 << 20];
    for _ in 0..2048 {
        write(&zeros);
    }
    fs::write(&path, encoder.finish().unwrap()).unwrap();
    broken(&place, "mnist", &folder, &[IDX_NAMES[0], "more than"]);
}

#[test]
fn hostile_cifar_files_are_refused_naming_the_file() {
    let place = Place::new();
    let folder = place.path("cifar");
    cifar_folder(&folder, 4);
    let whole = cifar_batch(4, 9);
    let labelled = |label: u8| {
        let mut bytes = whole.clone();
        bytes[2 * 3073] = label;
        bytes
    };
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("cut in a label", whole[..3074].to_vec()),
        ("one byte short", whole[..whole.len() - 1].to_vec()),
        ("one byte long", [&whole[..], &[0]].concat()),
        ("label 10", labelled(10)),
        ("label 255", labelled(255)),
        ("the Python version", b"\x80\x04\x95 pickle".to_vec()),
        ("gzipped", gzipped(&whole)),
    ] {
        for name in [CIFAR_NAMES[1], CIFAR_NAMES[5]] {
            let path = folder.join(name);
            let good = fs::read(&path).unwrap();
            fs::write(&path, &bytes).unwrap();
            let outcome = place.run(&format!("data cifar10 --data-dir {}", folder.display()));
            assert_eq!(outcome.code(), Some(3), "{what}: {outcome:?}");
            outcome.refused(3, &[name, "hint:"]);
            fs::write(&path, good).unwrap();
        }
    }
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let place = Place::new();
    let folder = place.path("mnist");
    for (name, data, file) in [("mnist", "mnist", IDX_NAMES[0]), ("cifar10", "cifar", CIFAR_NAMES[0])] {
        let folder = if data == "mnist" { folder.clone() } else { place.path(data) };
        idx_folder(&folder, 5, 5);
        cifar_folder(&folder, 2);
        let path = folder.join(file);
        fs::remove_file(&path).unwrap();

        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let arguments = format!("data {name} --data-dir {}", folder.display());
        place.run(&arguments).refused(3, &[file, "FIFO"]);
        fs::remove_file(&path).unwrap();

        fs::create_dir(&path).unwrap();
        place.run(&arguments).refused(3, &[file, "folder"]);
        fs::remove_dir(&path).unwrap();

        for target in ["/dev/zero", "/nowhere", path.to_str().unwrap()] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            place.run(&arguments).refused(3, &[file]);
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_folder_for_generated_data_is_refused() {
    let place = Place::new();
    place.run("--epochs 1 --limit-train 100 --data-dir nowhere -q").refused(2, &["--data-dir", "--dataset mnist"]);
    place.run("data digits --data-dir nowhere").refused(2, &["--data-dir", "digits"]);
}

#[test]
fn without_network_the_hub_answers_within_ten_seconds_with_remedies() {
    let place = Place::new();
    // One listens and never answers; on the other's port nobody listens.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for (name, endpoint) in [("mnist", "http://127.0.0.1:9"), ("cifar10", silent.as_str())] {
        let started = Instant::now();
        let mut command = place.adamtrain(&format!("--dataset {name} --out run"));
        let outcome = finish(command.env("HF_ENDPOINT", endpoint));
        let took = started.elapsed();
        let words: &[&str] = if cfg!(feature = "hub") {
            &["--data-dir", "HF_HOME", "--dataset digits"]
        } else {
            &["--data-dir", "without the hub", "--dataset digits"]
        };
        let outcome = outcome.refused(3, words);
        assert!(took < Duration::from_secs(10), "{took:?}: {outcome:?}");
        assert!(place.entries().is_empty());
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn real_mnist_is_the_same_from_gzipped_idx_from_the_hub_and_from_the_cache() {
    let place = Place::new();
    if let Some(folder) = shared("mnist") {
        let first = describe(&place, "mnist", &folder);
        assert_eq!((&first["sha256"], &first["published"]), (&json!(MNIST), &json!(true)));
        assert_eq!(first["train"]["examples"], 60_000);
        assert_eq!(first["train"]["per_class"][1], 6_742);
        assert_eq!(first["test"]["per_class"][5], 892);
        let second = describe(&place, "mnist", &folder);
        assert_eq!(second["cached"], true);
        assert_eq!(second["sha256"], MNIST);
    }
    if !cfg!(feature = "hub") {
        eprintln!("skipped: built without the hub");
        return;
    }
    let Some(hub) = shared("hf-cache") else {
        return;
    };
    let ask = |home: &Path| {
        let mut command = place.adamtrain("data mnist --json");
        finish(command.env("HF_HOME", home)).expect(0).events().remove(0)
    };
    let first = ask(&hub);
    assert_eq!((&first["cached"], &first["sha256"]), (&json!(false), &json!(MNIST)));
    let second = ask(&hub);
    assert_eq!((&second["cached"], &second["sha256"]), (&json!(true), &json!(MNIST)));
    // What came from the hub once is there when the hub's cache is not.
    let third = ask(&place.path("gone"));
    assert_eq!((&third["cached"], &third["sha256"]), (&json!(true), &json!(MNIST)));
}

#[test]
fn the_files_of_another_set_are_told_once() {
    let place = Place::new();
    let Some(folder) = shared("mnist") else {
        return;
    };
    for (name, count) in [("fashion-mnist", 1), ("mnist", 0)] {
        for _first_and_cached in 0..2 {
            let outcome = place.succeed(&format!("data {name} --data-dir {} -q", folder.display()));
            let warning = format!("these are the files of `mnist`, read as `{name}`");
            assert_eq!(outcome.stderr.matches(&warning).count(), count, "{outcome:?}");
            assert_eq!(outcome.stderr.lines().count(), count, "{outcome:?}");
        }
    }
    // Where Debian's package of it is installed.
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    if folder.is_dir() {
        let arguments = format!("data mnist --data-dir {} --json", folder.display());
        let outcome = place.succeed(&arguments).says(&["these are the files of `fashion-mnist`, read as `mnist`"]);
        assert_eq!(outcome.events()[0]["sha256"], FASHION_MNIST);
    }
}

#[cfg(feature = "hub")]
#[test]
fn a_hub_cache_that_lacks_a_part_or_cannot_be_read_is_3() {
    let place = Place::new();
    let ask = || {
        let mut command = place.adamtrain("data cifar10");
        finish(command.env("HF_HOME", place.path("home")).env("HF_HUB_OFFLINE", "1"))
    };
    let repository = "home/hub/datasets--uoft-cs--cifar10";
    let snapshot = format!("{repository}/snapshots/a/plain_text");
    fs::create_dir_all(place.path(&snapshot)).unwrap();
    for name in ["test-00000-of-00001", "train-00000-of-00003", "train-00002-of-00003"] {
        place.write(&format!("{snapshot}/{name}.parquet"), "");
    }
    ask().refused(3, &["plain_text/train-00001-of-00003.parquet: is not there", "fetch the data set again"]);
    fs::remove_dir_all(place.path(repository)).unwrap();
    place.write(repository, "a file where a folder should be");
    ask().refused(3, &["datasets--uoft-cs--cifar10", "Not a directory"]);
}

#[cfg(feature = "hub")]
#[test]
fn damaged_files_in_the_hub_s_cache_are_3_and_end() {
    let Some(hub) = shared("hf-cache") else {
        return;
    };
    let repository = "hub/datasets--ylecun--mnist";
    let snapshot = std::fs::read_dir(hub.join(repository).join("snapshots")).unwrap().next().unwrap().unwrap();
    let from = |split: &str| snapshot.path().join(format!("mnist/{split}/0000.parquet"));
    let reference = "refs/refs/convert/parquet";
    let revision = std::fs::read(hub.join(repository).join(reference)).unwrap();
    let whole = std::fs::read(from("test")).unwrap();
    let zeroed = |range: std::ops::Range<usize>| {
        let mut bytes = whole.clone();
        bytes[range].fill(0);
        bytes
    };
    let end = whole.len();
    let damages = [
        ("its first 4 KB zeroed", zeroed(0..4096)),
        ("its second half zeroed", zeroed(end / 2..end)),
        ("zeros before the footer", zeroed(end - (128 << 10)..end - (64 << 10))),
        ("its first byte removed", whole[1..].to_vec()),
        ("cut in half", whole[..end / 2].to_vec()),
        ("empty", Vec::new()),
    ];
    for (name, bytes) in damages {
        let place = Place::new();
        let folder = format!("home/{repository}");
        std::fs::create_dir_all(place.path(&format!("{folder}/{reference}")).parent().unwrap()).unwrap();
        place.write(&format!("{folder}/{reference}"), &revision);
        let revision = String::from_utf8_lossy(&revision).trim().to_owned();
        let snapshot = format!("{folder}/snapshots/{revision}/mnist");
        for split in ["test", "train"] {
            std::fs::create_dir_all(place.path(&format!("{snapshot}/{split}"))).unwrap();
        }
        place.write(&format!("{snapshot}/test/0000.parquet"), bytes);
        let train = place.write(&format!("{snapshot}/train/0000.parquet"), "");
        std::fs::copy(from("train"), train).unwrap();
        let mut command = place.adamtrain("data mnist");
        let outcome = finish(command.env("HF_HOME", place.path("home")));
        assert_eq!(outcome.code(), Some(3), "{name}: {outcome:?}");
        outcome.refused(3, &["the hub's files of `mnist` are broken", "fetch them again"]);
    }
}
