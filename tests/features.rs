//! Tables and arrays by path: features that are floats, and NumPy's files.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use adamtrain::data::digits;
use adamtrain::data::images::Images;
use common::{Place, idx_images, idx_labels, meta, raw_tensors};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use serde_json::{Value, json};

/// Rows of two kinds of flowers, which size and colour tell apart: two numbers of very different size, and a word.
fn flowers(from: u64, to: u64) -> String {
    let mut text = "length,colour,weight,kind\n".to_owned();
    for row in from..to {
        let (is_rose, noise) = (row % 2 == 0, (row * 37 % 19) as f64 / 19.0);
        let length = if is_rose { 3.0 } else { 4.5 } + noise;
        let weight = 20_000.0 + if is_rose { 900.0 } else { -900.0 } * (1.0 - noise);
        let colour = if row % 3 == 0 {
            "white"
        } else if is_rose {
            "red"
        } else {
            "blue"
        };
        writeln!(text, "{length},{colour},{weight},{}", if is_rose { "rose" } else { "iris" }).unwrap();
    }
    text
}

const FLOWERS: &str = "--dataset flowers.csv --label kind --categorical colour";

fn with_flowers() -> Place {
    let place = Place::new();
    place.write("flowers.csv", flowers(0, 300));
    place
}

/// An `.npy` file.
fn npy(element: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), body].concat()
}

/// An archive of arrays, stored or packed as `np.savez` and `np.savez_compressed` do it.
fn npz(arrays: &[(&str, Vec<u8>)], is_packed: bool) -> Vec<u8> {
    let (mut bytes, mut index) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        let mut crc = Crc::new();
        crc.update(array);
        let mut stored = array.clone();
        if is_packed {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(array).unwrap();
            stored = encoder.finish().unwrap();
        }
        let name = format!("{name}.npy");
        let mut shared = [20_u16, 0, if is_packed { 8 } else { 0 }, 0, 0x21].map(u16::to_le_bytes).concat();
        shared.extend([crc.sum(), stored.len() as u32, array.len() as u32].map(u32::to_le_bytes).as_flattened());
        shared.extend([name.len() as u16, 0].map(u16::to_le_bytes).as_flattened());
        let place = bytes.len() as u32;
        bytes.extend([b"PK\x03\x04", &shared[..], name.as_bytes(), &stored].concat());
        let no_comment = [0; 10];
        index.extend([b"PK\x01\x02\x14\0", &shared[..], &no_comment, &place.to_le_bytes(), name.as_bytes()].concat());
    }
    let count = arrays.len() as u16;
    let end = [0, 0, count, count].map(u16::to_le_bytes).concat();
    let sizes = [index.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat();
    [bytes, index, b"PK\x05\x06".to_vec(), end, sizes, vec![0, 0]].concat()
}

#[test]
fn a_table_is_trained_on_evaluated_and_asked() {
    let place = with_flowers();
    let found = place.answer(&format!("data {}", FLOWERS.trim_start_matches("--dataset ")));
    assert_eq!(found["features"], json!(["length", "colour=blue", "colour=red", "colour=white", "weight"]));
    assert_eq!((&found["classes"], &found["numbers"]), (&json!(["iris", "rose"]), &json!("floats")));
    assert_eq!(found["train"]["per_class"], json!([150, 150]));

    place.succeed(&format!("{FLOWERS} --test-fraction 0.2 --epochs 30 --lr 1e-2 --batch-size 16 -q --out run"));
    let report = place.answer("eval run");
    assert!(report["accuracy"].as_f64().unwrap() > 0.95, "{report}");
    assert_eq!(report["per_class"][1]["class"], "rose");
    // Features are scaled by the training split, each by itself.
    let path = common::checkpoint(&place.path("run"), "best")
        .unwrap_or_else(|| common::checkpoints(&place.path("run"))[0].clone());
    let meta = meta(&path);
    assert_eq!(meta["model"]["scale"].as_array().unwrap().len(), 5);
    assert_eq!(meta["config"]["data.scaling"], "standard");

    // Rows in another order of columns, without the class, one of them with a value that was never seen.
    place.write("new.csv", "weight;id;length;colour\n20900;7;3.1;red\n19100;8;5.4;blue\n");
    let said = place.succeed("predict run new.csv --json").events();
    let names: Vec<&Value> =
        said.iter().filter(|event| event["event"] == "prediction").map(|event| &event["name"]).collect();
    assert_eq!(names, ["rose", "iris"]);
    place.write("odd.csv", "weight,length,colour\n20900,3.1,red\n19100,5.4,green\n");
    let odd = place.run("predict run odd.csv").expect(3);
    let odd = odd.says(&["line 3, column `colour` (3)", "`green` is none of the 3 values"]);
    assert!(odd.stdout.starts_with("odd.csv#0: rose"), "{odd:?}");
    // A row that cannot be read is told, and those behind it are answered.
    place.write("gap.csv", "weight,length,colour\n20900,3.1,red\n19100,,blue\n19100,5.4\n19100,5.4,blue\n");
    let said = place.run("predict run gap.csv --json").expect(3);
    let told: Vec<(Value, Value)> = said
        .events()
        .iter()
        .filter(|event| !event["index"].is_null())
        .map(|event| (event["event"].clone(), event["index"].clone()))
        .collect();
    let expected = [("prediction", 0), ("unreadable", 1), ("unreadable", 2), ("prediction", 3)];
    assert_eq!(told, expected.map(|(event, index)| (json!(event), json!(index))));
    let mut asked = place.adamtrain("predict run - --csv");
    let file = fs::File::open(place.path("new.csv")).unwrap();
    let said = common::finish(asked.stdin(file)).expect(0);
    assert!(said.stdout.contains("-,0,1,rose"), "{said:?}");
    place.write("short.csv", "weight,length\n1,2\n");
    place.run("predict run short.csv").refused(3, &["no column `colour`"]);
    // The same rows as an array, already in the order of the inputs.
    let rows: Vec<u8> = [3.1, 0.0, 1.0, 0.0, 20_900.0, 5.4, 1.0, 0.0, 0.0, 19_100.0]
        .iter()
        .flat_map(|x: &f64| x.to_le_bytes())
        .collect();
    place.write("rows.npy", npy("<f8", "(2, 5)", &rows));
    let [of_table, of_array] = ["new.csv", "rows.npy"].map(|file| {
        let said = place.succeed(&format!("predict run {file} --csv")).stdout;
        said.lines().skip(1).map(|line| line.split(',').next_back().unwrap().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(of_table, of_array);
    place.write("longer.npy", [npy("<f8", "(2, 5)", &rows), b"junk".to_vec()].concat());
    place.run("predict run longer.npy --csv").expect(3).says(&["longer.npy", "goes on behind its 2 rows"]);
    // Channels behind one another or side by side, as arrays that are trained on lie.
    let pixels: Vec<u8> = (0..24 * 12_u32).flat_map(|k| ((k * k % 97) as f32 / 97.0).to_le_bytes()).collect();
    for (name, array) in [
        ("x_train", npy("<f4", "(24, 2, 2, 3)", &pixels)),
        ("y_train", npy("|u1", "(24,)", &[0, 1, 2].repeat(8))),
        ("x_test", npy("<f4", "(24, 2, 2, 3)", &pixels)),
        ("y_test", npy("|u1", "(24,)", &[0, 1, 2].repeat(8))),
    ] {
        place.write(&format!("{name}.npy"), array);
    }
    place.succeed("--dataset x_train.npy --epochs 30 --lr 0.1 --batch-size 8 -q --out colours");
    place.succeed("eval colours --predictions taken.txt");
    let taken = fs::read_to_string(place.path("taken.txt")).unwrap();
    let said = place.succeed("predict colours x_test.npy --csv").stdout;
    let classes: Vec<&str> = said.lines().skip(1).map(|line| line.split(',').nth(3).unwrap()).collect();
    assert_eq!(classes, taken.lines().collect::<Vec<_>>());

    // Whole numbers that one float stands for are two classes.
    let numbers: Vec<String> = (0..20).map(|row| format!("{row},{}", 9_007_199_254_740_992_u64 + row % 2)).collect();
    place.write("numbers.csv", format!("x,c\n{}\n", numbers.join("\n")));
    assert_eq!(place.answer("data numbers.csv --label c")["classes"].as_array().unwrap().len(), 2);
    place.run("predict run rows.npy --invert yes").refused(2, &["--invert"]);
    place.run("compress run --quantize int8").refused(2, &["holds features"]);
    place.run(&format!("{FLOWERS} --augment affine")).refused(2, &["--augment", "features"]);
    place.run("data flowers.csv --label kind --ignore colour --svg a.svg").refused(2, &["--svg"]);
    place.run(&format!("{FLOWERS} --size 2x2")).refused(2, &["--size does nothing for tables"]);
    place.run(&format!("{FLOWERS} --data-dir .")).refused(2, &["--data-dir does nothing"]);
}

#[test]
fn resumed_and_swept_runs_on_features_are_those_that_went_through() {
    let place = with_flowers();
    let common = format!("{FLOWERS} --hidden 8 --data-seed 0 --batch-size 16 -q");
    place.succeed(&format!("{common} --lr 3e-3 --epochs 6 --out whole"));
    place.succeed(&format!("{common} --lr 3e-3 --epochs 3 --out parts"));
    place.succeed("--out parts --resume --epochs 6 -q");
    place.succeed(&format!("sweep {common} --lr 1e-3,3e-3 --epochs 6 --checkpoints all --out sweep"));
    let [whole, parts] =
        ["whole", "parts"].map(|run| raw_tensors(common::checkpoints(&place.path(run)).last().unwrap()));
    assert_eq!(whole, parts);
    let lane = raw_tensors(&place.path("sweep/ckpt/point-00001.safetensors"));
    assert_eq!(whole["layers.0.weight"], lane["layers.0.weight"]);
    let [lane, own] =
        ["sweep#1", "whole"].map(|run| place.answer(&format!("eval {run} --split train"))["loss"].clone());
    assert_eq!(lane, own);
}

#[test]
fn a_net_of_features_is_evaluated_on_other_tables_with_the_columns_that_it_knows() {
    let place = with_flowers();
    place.succeed(&format!("{FLOWERS} --epochs 20 --lr 1e-2 --batch-size 16 -q --out run"));
    let own = place.answer("eval run --split train")["loss"].clone();
    // The same rows, with columns in another order, one more, and not all of the words.
    let turned: String = flowers(0, 300)
        .lines()
        .map(|row| {
            let [length, colour, weight, kind]: [&str; 4] = row.split(',').collect::<Vec<_>>().try_into().unwrap();
            format!("{kind};{weight};{weight};{colour};{length}\n").replacen("weight", "more", 1)
        })
        .collect();
    place.write("turned.csv", turned);
    assert_eq!(place.answer("eval run --dataset turned.csv --split train")["loss"], own);
    place.write("few.csv", "weight,length,colour,kind\n20900,3.1,red,rose\n19100,5.4,red,iris\n");
    assert_eq!(place.answer("eval run --dataset few.csv --split train")["accuracy"], 1.0);
    place.write("odd.csv", "weight,length,colour,kind\n20900,3.1,green,rose\n");
    place.run("eval run --dataset odd.csv --split train").refused(3, &["line 2", "`green` is none of the 3 values"]);
    place.write("sorts.csv", "weight,length,colour,kind\n20900,3.1,red,tulip\n");
    place.run("eval run --dataset sorts.csv --split train").refused(4, &["tulip", "--map"]);
    assert_eq!(place.answer("eval run --dataset sorts.csv --split train --map tulip=rose")["accuracy"], 1.0);
    place.write("other.csv", "weight,length,colour,sort\n20900,3.1,red,rose\n");
    place.run("eval run --dataset other.csv --split train").refused(3, &["no column `kind`", "--label"]);
    assert_eq!(place.answer("eval run --dataset other.csv --split train --label sort")["accuracy"], 1.0);
    place.run("eval run --dataset digits").refused(4, &["tables of 5 features", "images of 784 pixels"]);
}

#[test]
fn the_data_is_described_as_the_environment_says_that_it_is_read() {
    let place = with_flowers();
    let described = |name: &str, value: &str| {
        let mut command = place.adamtrain("data flowers.csv --ignore colour --json");
        common::finish(command.env("ADAMTRAIN_DATA__LABEL", "kind").env(name, value))
    };
    let events = described("ADAMTRAIN_DATA__TEST_FRACTION", "0.2").expect(0).events();
    assert_eq!(events[0]["test"]["examples"], 60);
    // What is for training says nothing here.
    described("ADAMTRAIN_DATA__VALID_FRACTION", "0.2").expect(0);
    described("ADAMTRAIN_OPTIM__LR", "0.2").expect(0);
    described("ADAMTRAIN_DATA__LABLE", "kind").refused(2, &["ADAMTRAIN_DATA__LABLE", "data.label"]);
    let mut odd = place.command(&[OsStr::from_bytes(b"data"), OsStr::from_bytes(b"b\xFF.csv")]);
    common::finish(&mut odd).refused(2, &["no UTF-8 text"]);
}

#[test]
fn a_start_from_a_net_of_other_columns_is_told() {
    let place = with_flowers();
    place.succeed(&format!("{FLOWERS} --epochs 1 -q --out run"));
    place.write("others.csv", flowers(0, 30).replace("weight", "mass").replace("rose", "tulip"));
    place
        .succeed("--dataset others.csv --label kind --categorical colour --epochs 1 --init run --out others")
        .says(&["input `weight` is `mass` here", "class `rose` is `tulip` here"]);
}

#[test]
fn cells_and_columns_that_are_wrong_are_named() {
    let place = with_flowers();
    place
        .run("--dataset flowers.csv")
        .refused(2, &["which column is the class", "length, colour, weight, kind", "--label"]);
    place.run("--dataset flowers.csv --label sort").refused(3, &["no column `sort`", "length, colour"]);
    let words = ["line 2, column `colour` (2)", "`white` is no number", "--categorical colour"];
    place.run("--dataset flowers.csv --label kind").refused(3, &words);
    place.succeed("data flowers.csv --label kind --ignore colour");
    place.write("holes.csv", "a,b,k\n1,2,x\n3,NA,y\n");
    place.run("--dataset holes.csv --label k").refused(3, &["line 3, column `b` (2)", "is missing (`NA`)"]);
    place.write("open.csv", "a,k\n1,x\n2,\"y\n3,x\n");
    place.run("--dataset open.csv --label k").refused(3, &["line 3", "never closed"]);
    place.write("a,b.csv", "a,k\n1,x\n2,y\n3,x\n");
    place.succeed("sweep --dataset a,b.csv --label k --lr 1e-3,1e-2 --epochs 1 -q --out commas");
    place.write("d.csv", "a,k\n1,x\n2,y\n3,y\n4,x\n");
    place.write("e.csv", "a,k\n1,x\n2,y\n");
    place.succeed("sweep --dataset d.csv,e.csv --label k --epochs 1 --checkpoints all -q --out two");
    let [first, second] =
        ["two#0", "two#1"].map(|point| place.answer(&format!("eval {point} --split train"))["examples"].clone());
    assert_eq!((first, second), (json!(4), json!(2)));
    place.write("c.csv", "\"x,y\",z,k\nu,1,x\nv,2,y\n");
    assert_eq!(place.answer("data c.csv --label k --ignore \"x,y\"")["features"], json!(["z"]));
    place
        .run("--dataset c.csv --label k --ignore \"x,y\" --test-fraction 0.01")
        .refused(2, &["--test-fraction 0.01", "larger"]);
    let config = "[data]\ndataset = \"c.csv\"\nlabel = \"k\"\nignore = [\"x,y\"]\n";
    place.write("c.toml", config);
    assert!(place.succeed("--config c.toml --dry-run").stdout.contains(r#"ignore = "\"x,y\"""#));
    place.write("none.csv", "none,None,a\nx,1,1\ny,2,1\nx,1,0\ny,3,4\n");
    place.run("data none.csv").refused(2, &["its columns are '\"none\"', '\"None\"', a"]);
    assert_eq!(place.answer("data none.csv --label \"none\" --ignore \"None\"")["features"], json!(["a"]));
    place.succeed("--dataset none.csv --label \"none\" --ignore \"None\" --epochs 1 -q --out none");
    place.succeed("--dataset none.csv --label \"none\" --ignore \"None\" --epochs 2 -q --out none --resume");
    place.succeed("eval none --split train");
    place.write("one.csv", "a,k\n1,x\n2,x\n");
    place.run("--dataset one.csv --label k").refused(3, &["1 class"]);
    place.run("--dataset flowers.csv --label kind --categorical kind").refused(2, &["`kind` is the class"]);
    place.run("--dataset digits --label kind").refused(2, &["data.label", "does nothing"]);
    fs::create_dir(place.path("split")).unwrap();
    place.write("split/train.csv", "a,k\n1,x\n2,y\n");
    place.write("split/test.csv", "a\n1\n");
    place.run("--dataset split --label k").refused(3, &["test.csv", "no column `k`", "predict"]);
    place.write("split/test.csv", "k,a\nx,7\n");
    assert_eq!(place.answer("data split --label k")["test"]["per_class"], json!([1, 0]));
}

/// So many of the images that the program draws.
fn drawn(images: &Images, count: usize) -> Images {
    Images { pixels: images.pixels[..count * 784].to_vec(), labels: images.labels[..count].to_vec() }
}

#[test]
fn arrays_of_bytes_are_the_images_of_idx_files() {
    let place = Place::new();
    for folder in ["idx", "files", "flat"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    let (train, test) = digits::generate();
    let (train, test) = (drawn(&train, 300), drawn(&test, 100));
    for (name, images) in [("train", &train), ("t10k", &test)] {
        let count = images.labels.len() as u32;
        place.write(&format!("idx/{name}-images-idx3-ubyte"), idx_images(count, 28, 28, &images.pixels));
        place.write(&format!("idx/{name}-labels-idx1-ubyte"), idx_labels(count, &images.labels));
    }
    let sha256 = place.answer("data idx")["sha256"].clone();
    let labels =
        |images: &Images| images.labels.iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect::<Vec<u8>>();
    let arrays = [
        ("x_train", npy("|u1", "(300, 28, 28)", &train.pixels)),
        ("y_train", npy("<i8", "(300,)", &labels(&train))),
        ("x_test", npy("|u1", "(100, 28, 28, 1)", &test.pixels)),
        ("y_test", npy("|u1", "(100, 1)", &test.labels)),
    ];
    for (file, is_packed) in [("stored.npz", false), ("packed.npz", true)] {
        place.write(file, npz(&arrays, is_packed));
        let found = place.answer(&format!("data {file}"));
        assert_eq!((&found["sha256"], &found["shape"]), (&sha256, &json!([1, 28, 28])), "{file}");
    }
    for (name, array) in &arrays {
        place.write(&format!("files/{name}.npy"), array);
    }
    assert_eq!(place.answer("data files")["sha256"], sha256);
    assert_eq!(place.answer("data files/x_train.npy")["sha256"], sha256);
    // Rows of bytes are features, or with a size images.
    place.write("flat/X.npy", npy("|u1", "(300, 784)", &train.pixels));
    place.write("flat/y.npy", npy("|u1", "(300,)", &train.labels));
    assert_eq!(place.answer("data flat/X.npy --size 28x28")["numbers"], "bytes");
    let found = place.answer("data flat");
    assert_eq!((&found["numbers"], &found["shape"]), (&json!("floats"), &json!([784, 1, 1])));
    place.run("data flat --size 5x5").refused(3, &["784 numbers", "5x5"]);
    place.succeed("--dataset flat --hidden 16 --epochs 5 --test-fraction 0.2 -q --out run");
    assert!(place.answer("eval run")["accuracy"].as_f64().unwrap() > 0.3);
}

#[test]
fn arrays_of_floats_and_words_are_read_and_odd_ones_refused() {
    let place = Place::new();
    let numbers: Vec<u8> = (0..24).flat_map(|number| (number as f32 / 4.0).to_le_bytes()).collect();
    let words: Vec<u8> = ["no", "si", "no", "si"]
        .iter()
        .flat_map(|word| word.chars().flat_map(|c| u32::from(c).to_le_bytes()))
        .collect();
    let write = |x: Vec<u8>, y: Vec<u8>| place.write("a.npz", npz(&[("X", x), ("y", y)], true));
    let good = || npy("<U2", "(4,)", &words);
    write(npy("<f4", "(4, 2, 3)", &numbers), good());
    let found = place.answer("data a.npz");
    assert_eq!((&found["classes"], &found["shape"]), (&json!(["no", "si"]), &json!([1, 2, 3])));
    write(npy("<f4", "(4, 6)", &numbers), good());
    assert_eq!(place.answer("data a.npz")["shape"], json!([6, 1, 1]));

    let mut with_nan = numbers.clone();
    with_nan[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
    write(npy("<f4", "(4, 6)", &with_nan), good());
    place.run("data a.npz").refused(3, &["X.npy", "number 4 of example 1 is NaN"]);
    write(npy("<f4", "(3, 6)", &numbers[..72]), good());
    place.run("data a.npz").refused(3, &["3 examples", "4 labels"]);
    write(npy("<f4", "(4, 6)", &numbers), npy("<f4", "(4,)", &numbers[..16]));
    place.run("data a.npz").refused(3, &["y.npy", "label 1 is 0.25"]);
    write(npy("<c8", "(4, 3)", &numbers), good());
    place.run("data a.npz").refused(3, &["`<c8`"]);
    let large: Vec<u8> = (0..4).flat_map(|_| 1e300_f64.to_le_bytes()).collect();
    write(npy("<f8", "(4, 1)", &large), good());
    place.run("data a.npz").refused(3, &["number 0 of example 0 is 1e300, expected a finite 32-bit float"]);
    write(npy("<f4", "(4, 6)", &numbers), npy("|S2", "(4,)", b"nosinosi"));
    place.run("data a.npz").refused(3, &["labels of the type `|S2`", "y.astype(str)"]);
    write(npy("<f4", "(4, 600000000)", &numbers), good());
    place.run("data a.npz").refused(3, &["X.npy", "bytes long, expected 9600000"]);
    place.write("a.npz", npz(&[("foo", good())], false));
    place.run("data a.npz").refused(3, &["arrays foo", "x_train"]);
    let mut damaged = npz(&[("X", npy("<f4", "(4, 6)", &numbers)), ("y", good())], false);
    damaged[150] ^= 1;
    place.write("a.npz", damaged);
    place.run("data a.npz").refused(3, &["X.npy", "check sum"]);
    let others = [("x_train", npy("<f4", "(4, 6)", &numbers)), ("y_train", good()), ("x_test", good())];
    place.write("half.npz", npz(&others, true));
    place.succeed("data half.npz").says(&["1 array passed over", "x_test"]);
    place.write("a.npz", "no zip");
    place.run("data a.npz").refused(3, &["no zip archive"]);
    fs::create_dir(place.path("alone")).unwrap();
    place.write("alone/x_train.npy", good());
    place.run("data alone/x_train.npy").refused(3, &["array of their labels", "y_train.npy"]);
}

#[test]
fn a_net_of_features_is_exported_as_it_computes() {
    let place = with_flowers();
    place.succeed(&format!("{FLOWERS} --hidden 6 --epochs 5 --batch-size 16 -q --out run"));
    place.succeed("export run --to net.h");
    let exported = place.answer("export run --to net.onnx");
    assert_eq!(exported["image"], json!([5, 1, 1]));
    let described: Value = {
        place.succeed("export run --to net.json");
        serde_json::from_slice(&fs::read(place.path("net.json")).unwrap()).unwrap()
    };
    assert_eq!((&described["features"][3], &described["inputs"]), (&json!("colour=white"), &json!("floats")));
    place.run("export run --to int8.h --quantize int8").refused(2, &["features"]);
    place.run("export run --to u8.onnx --input u8").refused(2, &["features"]);
    let main = "#include \"net.h\"\n#include <stdio.h>\nint main(void) { const float rows[2][5] = {{3.1f,0,1,0,20900}, {5.4f,1,0,0,19100}};\n\
                for (int row = 0; row < 2; row++) { float l[NET_CLASSES]; net_logits(rows[row], l); printf(\"%s %.6f\\n\", net_classes[net_predict(rows[row])], l[1] - l[0]); }\n return 0; }\n";
    place.write("main.c", main);
    let words = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "main.c", "-o", "main"];
    let Ok(compiled) = place.program("cc").args(words).output() else { return };
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let said = place.program("./main").output().unwrap().stdout;
    place.write("new.csv", "weight,length,colour\n20900,3.1,red\n19100,5.4,blue\n");
    let events = place.succeed("predict run new.csv --json").events();
    let predictions: Vec<&Value> = events.iter().filter(|event| event["event"] == "prediction").collect();
    for (line, prediction) in String::from_utf8(said).unwrap().lines().zip(&predictions) {
        let (name, difference) = line.split_once(' ').unwrap();
        assert_eq!(name, prediction["name"]);
        // Of two classes, the logit of a probability is the difference of the logits.
        let probability = prediction["probability"].as_f64().unwrap();
        let expected = (probability / (1.0 - probability)).ln();
        assert!((difference.parse::<f64>().unwrap().abs() - expected).abs() < 1e-4, "{line} {expected}");
    }
    assert_eq!(predictions.len(), 2);
}
