//! `--dataset photos.parquet` and `--dataset OWNER/NAME`: parquet files in the hub's layout, by path and from the hub's cache.

#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use adamtrain::data::digits;
use adamtrain::data::images::Images;
use common::{Place, finish, shared};
use image::{GrayImage, ImageFormat};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

/// Names of the classes in the files written here.
const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// A range of images as a parquet file that `datasets` could have written.
fn table(images: &Images, range: std::ops::Range<usize>) -> Vec<u8> {
    let picture = |index: usize| {
        let mut bytes = Cursor::new(Vec::new());
        let pixels = images.pixels[index * 784..][..784].to_vec();
        GrayImage::from_raw(28, 28, pixels).unwrap().write_to(&mut bytes, ImageFormat::Png).unwrap();
        ByteArray::from(bytes.into_inner())
    };
    let count = range.len();
    let labels: Vec<i64> = images.labels[range.clone()].iter().map(|label| i64::from(*label)).collect();
    let schema = "message schema { optional group image { optional binary bytes; optional binary path (UTF8); } \
                  optional int64 label; }";
    let info =
        json!({"info": {"features": {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}}});
    let pairs = vec![KeyValue::new("huggingface".to_owned(), info.to_string())];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for texts in [range.map(picture).collect(), vec![ByteArray::from("0.png"); count]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&vec![2; count]), None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; count]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

/// Writes both splits under a folder of a place: 300 training images in two files, 100 test images in one.
fn write_splits(place: &Place, folder: &str) {
    let (train, test) = digits::generate();
    fs::create_dir_all(place.path(folder)).unwrap();
    place.write(&format!("{folder}/train-00000-of-00002.parquet"), table(&train, 0..200));
    place.write(&format!("{folder}/train-00001-of-00002.parquet"), table(&train, 200..300));
    place.write(&format!("{folder}/test-00000-of-00001.parquet"), table(&test, 0..100));
}

fn counts(answer: &Value) -> [u64; 2] {
    ["train", "test"].map(|split| answer[split]["examples"].as_u64().unwrap())
}

#[test]
fn a_file_is_one_split_and_a_folder_has_both() {
    let place = Place::new();
    let (train, test) = digits::generate();
    place.write("photos.parquet", table(&train, 0..300));
    let alone = place.answer("data photos.parquet");
    assert_eq!(
        (&alone["name"], &alone["shape"], &alone["classes"]),
        (&"photos".into(), &json!([1, 28, 28]), &json!(NAMES))
    );
    assert_eq!((counts(&alone), &alone["cached"]), ([300, 0], &false.into()));
    assert_eq!(place.answer("data photos.parquet")["cached"], true);
    let drawn = place.answer("data photos.parquet --test-fraction 0.2");
    assert_eq!(counts(&drawn).iter().sum::<u64>(), 300);
    assert!((57..=63).contains(&counts(&drawn)[1]), "{drawn}");
    assert_eq!(place.answer("data photos.parquet --size 14 --channels 3")["shape"], json!([3, 14, 14]));

    // The layouts of a folder are the same data.
    write_splits(&place, "flat");
    write_splits(&place, "hub/data");
    write_splits(&place, "configured/plain_text");
    fs::create_dir_all(place.path("numbered/train")).unwrap();
    fs::create_dir_all(place.path("numbered/test")).unwrap();
    for (name, range) in [("0000", 0..200), ("0001", 200..300)] {
        place.write(&format!("numbered/train/{name}.parquet"), table(&train, range));
    }
    place.write("numbered/test/0000.parquet", table(&test, 0..100));
    let flat = place.answer("data flat");
    assert_eq!(counts(&flat), [300, 100]);
    for folder in ["hub", "configured", "numbered"] {
        assert_eq!(place.answer(&format!("data {folder}"))["sha256"], flat["sha256"], "{folder}");
    }

    place.succeed("--dataset flat --hidden 20 --epochs 8 --batch-size 32 -q --out run");
    let report = place.answer("eval run");
    assert!(report["accuracy"].as_f64().unwrap() > 0.6, "{report}");
    assert!(place.succeed("eval run").stdout.contains("seven"));
    place.succeed("--dataset flat --hidden 20 --epochs 9 --batch-size 32 -q --out run --resume");
    // Other data under the same path is noticed.
    place.write("flat/test-00000-of-00001.parquet", table(&test, 100..200));
    assert_ne!(place.answer("data flat")["sha256"], flat["sha256"]);
}

#[test]
fn splits_are_told_by_their_names() {
    let place = Place::new();
    let (train, test) = digits::generate();
    write_splits(&place, "both");
    place.write("both/validation-00000-of-00001.parquet", table(&test, 100..150));
    let said = place.succeed("data both --json").says(&["`validation` is passed over", "--valid-fraction"]);
    assert_eq!(counts(&said.events()[0]), [300, 100]);
    // Alone it judges, as folders of pictures have it.
    fs::remove_file(place.path("both/test-00000-of-00001.parquet")).unwrap();
    assert_eq!(counts(&place.answer("data both")), [300, 50]);
    place.run("data both --test-fraction 0.1").refused(2, &["has a test split of 50 images"]);
    fs::remove_file(place.path("both/train-00001-of-00002.parquet")).unwrap();
    place.run("data both").refused(3, &["train-00001-of-00002.parquet: is not there", "hint:"]);
    fs::remove_file(place.path("both/train-00000-of-00002.parquet")).unwrap();
    place.run("data both").refused(3, &["`validation` and none of `train`"]);

    fs::create_dir(place.path("plain")).unwrap();
    place.write("plain/b.parquet", table(&train, 200..300));
    place.write("plain/a.parquet", table(&train, 0..200));
    write_splits(&place, "trained");
    fs::remove_file(place.path("trained/test-00000-of-00001.parquet")).unwrap();
    assert_eq!(place.answer("data plain")["sha256"], place.answer("data trained")["sha256"]);
    write_splits(&place, "two/one");
    write_splits(&place, "two/another");
    place.run("data two").refused(3, &["2 data sets", "two/another"]);
    place.run("data both/nowhere.parquet").refused(3, &["nowhere.parquet", "No such file"]);
}

#[test]
fn broken_files_are_refused_naming_them_and_end() {
    let place = Place::new();
    let whole = table(&digits::generate().0, 0..60);
    let refuse = |bytes: &[u8], words: &[&str]| {
        place.write("photos.parquet", bytes);
        let outcome = finish(&mut place.under_shell("ulimit -v 3000000", "data photos.parquet"));
        outcome.refused(3, &[&["photos.parquet: "], words].concat());
    };
    refuse(b"", &["is no parquet file"]);
    refuse(b"<html>404 Not Found</html>", &["is no parquet file"]);
    refuse(&whole[..whole.len() / 2], &["is no parquet file", "fetch it again"]);
    let mut zeroed = whole.clone();
    zeroed[4..2000].fill(0);
    refuse(&zeroed, &["fetch it again"]);
    fs::remove_file(place.path("photos.parquet")).unwrap();
    fs::create_dir(place.path("photos.parquet")).unwrap();
    place.run("data photos.parquet").refused(3, &["holds no data set", "a parquet file"]);
}

/// What the program says with this hub's home.
fn at_home(place: &Place, arguments: &str) -> common::Outcome {
    let mut command = place.adamtrain(arguments);
    finish(command.env("HF_HOME", place.path("home")).env("HF_ENDPOINT", "http://127.0.0.1:9"))
}

#[test]
fn a_set_of_the_hub_s_cache_is_read_by_its_name_and_nothing_is_fetched() {
    let place = Place::new();
    let repository = "home/hub/datasets--someone--my-digits";
    write_splits(&place, &format!("{repository}/snapshots/0a/data"));
    write_splits(&place, &format!("{repository}/snapshots/0b/data"));
    let (train, _) = digits::generate();
    place.write(&format!("{repository}/snapshots/0b/data/train-00001-of-00002.parquet"), table(&train, 300..400));
    fs::create_dir_all(place.path(&format!("{repository}/refs"))).unwrap();
    place.write(&format!("{repository}/refs/main"), "0a");
    write_splits(&place, "here/data");
    let by_path = place.answer("data here");
    let ask = || at_home(&place, "data someone/my-digits --json").expect(0).events().remove(0);
    let found = ask();
    assert_eq!((&found["name"], &found["source"]), (&"my-digits".into(), &"hub someone/my-digits at 0a".into()));
    assert_eq!((&found["sha256"], &found["cached"]), (&by_path["sha256"], &false.into()));
    assert_eq!(ask()["cached"], true);
    place.write(&format!("{repository}/refs/main"), "0b");
    assert_ne!(ask()["sha256"], found["sha256"]);

    // A run knows it by its name, from any folder.
    at_home(&place, "--dataset someone/my-digits --epochs 2 -q --out run").expect(0);
    assert!(fs::read_to_string(place.path("run/config.toml")).unwrap().contains("\"someone/my-digits\""));
    at_home(&place, "--dataset someone/my-digits --epochs 3 -q --out run --resume").expect(0);
    at_home(&place, "eval run --json").expect(0);
    at_home(&place, "eval run --dataset someone/my-digits --json").expect(0);
    at_home(&place, "--dataset someone/my-digits --test-fraction 0.1").refused(2, &["has a test split"]);
    at_home(&place, "data someone/my-digits --data-dir here").refused(2, &["--data-dir does nothing"]);

    // A path comes first; the folder `someone` alone does not.
    fs::create_dir_all(place.path("someone")).unwrap();
    assert_eq!(ask()["name"], "my-digits");
    write_splits(&place, "someone/my-digits");
    assert_eq!(ask()["source"], place.path("someone/my-digits").display().to_string());

    let home = place.path("home/hub").display().to_string();
    at_home(&place, "data nobody/nothing").refused(
        3,
        &[
            "`nobody/nothing`: neither a path nor in the hub's cache",
            &home,
            "download --repo-type dataset nobody/nothing",
        ],
    );
    at_home(&place, "data ylecun/mnist").refused(3, &["neither a path", "--dataset mnist fetches it"]);
    at_home(&place, "data someone/nothing").refused(3, &["someone/nothing", "No such file"]);
    fs::create_dir_all(place.path("home/hub/datasets--some--scripts/snapshots/c")).unwrap();
    place.write("home/hub/datasets--some--scripts/snapshots/c/loader.py", "import this");
    at_home(&place, "data some/scripts").refused(3, &["holds no parquet files", "refs/convert/parquet"]);
    at_home(&place, "data a/b/c").refused(2, &["digits, mnist", "OWNER/NAME"]);
    at_home(&place, "data nowhere").refused(2, &["digits, mnist", "OWNER/NAME"]);
    at_home(&place, "data mnits").refused(2, &["did you mean `mnist`?"]);
}

#[test]
fn mnist_of_the_hub_is_the_same_by_the_hub_s_name_and_by_ours() {
    let Some(hub) = shared("hf-cache") else {
        return;
    };
    let place = Place::new();
    let ask = |name: &str| {
        let mut command = place.adamtrain(&format!("data {name} --json"));
        finish(command.env("HF_HOME", &hub)).expect(0).events().remove(0)
    };
    assert_eq!(ask("ylecun/mnist")["sha256"], ask("mnist")["sha256"]);
}
