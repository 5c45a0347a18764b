//! `adamtrain predict`: pictures in, classes out, through the binary.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use adamtrain::data::digits;
use adamtrain::data::images::Images;
use common::{Outcome, Place, cifar_folder, finish, gzipped, idx_images, idx_labels};
use image::imageops::{FilterType, resize};
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

/// So many of the test images are asked about as files.
const FEW: usize = 300;

/// A run on `digits`, the classes that `eval` finds for the test split, and that split.
fn trained() -> (Place, Vec<u64>, Images) {
    let place = Place::new();
    place.succeed("--hidden 16 --epochs 1 --limit-train 2000 --out run");
    place.succeed("eval run --predictions classes.txt");
    let classes = fs::read_to_string(place.path("classes.txt")).unwrap();
    let classes = classes.lines().map(|line| line.parse().unwrap()).collect();
    (place, classes, digits::generate().1)
}

fn digit(images: &Images, index: usize) -> GrayImage {
    GrayImage::from_raw(28, 28, images.pixels[784 * index..][..784].to_vec()).unwrap()
}

fn file(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    file(picture, ImageFormat::Png)
}

/// A `.npy` file.
fn npy(kind: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), body].concat()
}

/// The events called `prediction`.
fn predictions(outcome: &Outcome) -> Vec<Value> {
    let mut events = outcome.events();
    events.retain(|event| event["event"] == "prediction");
    events
}

fn classes(outcome: &Outcome) -> Vec<u64> {
    predictions(outcome).iter().map(|event| event["class"].as_u64().unwrap()).collect()
}

#[test]
fn predictions_replace_files_alone() {
    let (place, ..) = trained();
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    place.run("eval run --predictions pipe").refused(7, &["pipe: is no regular file"]);
    assert!(!pipe.is_file());
}

#[test]
fn pictures_of_either_polarity_get_the_classes_that_an_evaluation_finds() {
    let (place, expected, images) = trained();
    for folder in ["white", "black"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    for index in 0..FEW {
        let picture = digit(&images, index);
        place.write(&format!("white/{index:03}.png"), png(picture.clone()));
        let mut inverted = picture;
        image::imageops::invert(&mut inverted);
        place.write(&format!("black/{index:03}.png"), png(inverted));
    }
    let white = place.succeed("predict run white --json").says(&["300 pictures: taken as they are"]);
    assert_eq!(classes(&white), expected[..FEW]);
    let black = place.succeed("predict run black --json").says(&["300 pictures: 300 inverted"]);
    assert_eq!(classes(&black), expected[..FEW]);
    let end = black.end();
    assert_eq!((&end["pictures"], &end["inverted"], &end["resized"]), (&json!(300), &json!(300), &json!(0)));
    // Asked for or forbidden.
    assert_eq!(classes(&place.succeed("predict run black --invert yes --json")), expected[..FEW]);
    assert_ne!(classes(&place.succeed("predict run black --invert no --json")), expected[..FEW]);

    // What a picture gets does not depend on those beside it.
    for index in [0, 17, 299] {
        let alone = place.succeed(&format!("predict run white/{index:03}.png --json"));
        assert_eq!(predictions(&alone)[0], predictions(&white)[index]);
    }

    // The compressed net, by its own inference.
    place.succeed("compress run --quantize int8 --out net.amc");
    place.succeed("eval net.amc --predictions amc.txt");
    let of_file: Vec<u64> =
        fs::read_to_string(place.path("amc.txt")).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(classes(&place.succeed("predict net.amc black --json")), of_file[..FEW]);
    place.run("predict net.amc white --ema").refused(2, &["no moving average"]);
    place.run("predict net.amc white --device cuda").refused(2, &["on the CPU"]);
}

#[test]
fn arrays_hold_the_same_pictures() {
    let (place, expected, images) = trained();
    let pixels = &images.pixels;
    let of = |numbers: &dyn Fn(u8) -> Vec<u8>| pixels.iter().flat_map(|&pixel| numbers(pixel)).collect::<Vec<u8>>();
    let unit = of(&|pixel| (f32::from(pixel) / 255.0).to_le_bytes().to_vec());
    let wide = of(&|pixel| f64::from(pixel).to_le_bytes().to_vec());
    let inverted = of(&|pixel| vec![255 - pixel]);
    let idx = idx_images(2000, 28, 28, pixels);
    for (name, bytes) in [
        ("a.npy", npy("|u1", "(2000, 28, 28)", pixels)),
        ("b.npy", npy("|u1", "(2000, 784)", &inverted)),
        ("c.npy", npy("<f4", "(2000, 28, 28, 1)", &unit)),
        ("d.npy", npy("<f8", "(2000, 1, 28, 28)", &wide)),
        ("e", idx.clone()),
        ("f.gz", gzipped(&idx)),
    ] {
        place.write(name, bytes);
        assert_eq!(classes(&place.succeed(&format!("predict run {name} --json"))), expected, "{name}");
    }
    let last = predictions(&place.succeed("predict run a.npy --json")).pop().unwrap();
    assert_eq!((&last["path"], &last["index"]), (&json!("a.npy"), &json!(1999)));
    let text = place.succeed("predict run e").stdout;
    assert!(text.lines().nth(7).unwrap().starts_with(&format!("e#7: {} 0.", expected[7])), "{text}");

    // By standard input, and one in the size of the net.
    let mut command = place.adamtrain("predict run - --json");
    command.stdin(File::open(place.path("a.npy")).unwrap());
    assert_eq!(classes(&finish(&mut command)), expected);
    place.write("one.npy", npy("|b1", "(28, 28)", &pixels[..784].iter().map(|pixel| pixel / 128).collect::<Vec<_>>()));
    assert_eq!(classes(&place.succeed("predict run one.npy --json")).len(), 1);
}

#[test]
fn broken_arrays_are_named_and_take_no_memory() {
    let (place, _, images) = trained();
    let one = &images.pixels[..784];
    for (bytes, words) in [
        (npy("|u1", "(2, 28, 28)", one), "is 912 bytes long, expected 1696"),
        (npy("|u1", "(1, 28, 28)", &[one, &[0]].concat()), "is 913 bytes long, expected 912"),
        (npy("|u1", "(999999999999, 28, 28)", one), "is 912 bytes long, expected"),
        (npy("|u1", "(4294967296, 4294967296, 4294967296)", one), "expected one or more of 1 to 67108864 pixels"),
        (npy("|u1", "(18446744073709551615, 8192, 8192)", one), "promises more than can be"),
        (npy("|u1", "(99999999999999999999, 28, 28)", one), "no shape"),
        (npy("|u1", "(1, 2, 3, 4, 5)", one), "has the shape [1, 2, 3, 4, 5], expected [N, 784]"),
        (npy("|u1", "()", one), "has the shape []"),
        (npy("|u1", "(0, 28, 28)", &[]), "holds 0 pictures"),
        (npy("<i8", "(1, 784)", one), "type `<i8`, expected uint8"),
        (npy("|O", "(1, 784)", one), "type `|O`"),
        (npy("<f4", "(1, 7, 28)", &f32::NAN.to_le_bytes().repeat(196)), "number 0 is NaN, expected 0 to 1 or 0 to 255"),
        (npy("<f4", "(1, 7, 28)", &(-0.5_f32).to_le_bytes().repeat(196)), "numbers from -0.5 to -0.5"),
        (npy("<f4", "(1, 7, 28)", &256_f32.to_le_bytes().repeat(196)), "numbers from 256 to 256"),
        (b"\x93NUMPY\x01\0\xff\xff{".to_vec(), "ends before"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff{".to_vec(), "a header of 4294967295 bytes"),
        (b"\x93NUMPY\x09\0\x01\0\0\0{".to_vec(), "version 9"),
        (b"\x93NUM".to_vec(), "is no picture"),
        (idx_images(2, 28, 28, one), "is 800 bytes long, expected 1584"),
        (idx_images(u32::MAX, u32::MAX, u32::MAX, one), "4294967295x4294967295 pixels"),
        (idx_labels(3, &[1, 2, 3]), "IDX file of labels"),
        (gzipped(&idx_images(2, 28, 28, one)), "ends before what its header promises"),
        (gzipped(&idx_images(1, 28, 28, &[one, &[0]].concat())), "goes on behind the pictures"),
        (gzipped(b"a text"), "ends before"),
        (gzipped(b"a longer text"), "gzip file of neither"),
        (b"\x1f\x8b\x08".to_vec(), "ends before"),
    ] {
        place.write("array", &bytes);
        let outcome = finish(&mut place.under_shell("ulimit -v 1000000", "predict run array --device cpu"));
        outcome.expect(3).says(&["array: ", words]);
    }
    let mut fortran = npy("|u1", "(1, 28, 28)", one);
    let at = fortran.windows(5).position(|letters| letters == b"False").unwrap();
    fortran.splice(at..at + 5, *b"True ");
    place.write("array", fortran);
    place.run("predict run array").refused(3, &["Fortran's order", "ascontiguousarray"]);
}

#[test]
fn pictures_of_any_size_and_colour_are_converted_and_that_is_said() {
    let (place, expected, images) = trained();
    let large = resize(&digit(&images, 5), 280, 140, FilterType::Nearest);
    place.write("large.png", png(large.clone()));
    let colour = DynamicImage::ImageLuma8(large).into_rgb8();
    for (name, format) in [
        ("a.jpg", ImageFormat::Jpeg),
        ("b.bmp", ImageFormat::Bmp),
        ("c.gif", ImageFormat::Gif),
        ("d.webp", ImageFormat::WebP),
        ("e.ppm", ImageFormat::Pnm),
    ] {
        place.write(name, file(colour.clone(), format));
    }
    let inputs = "large.png a.jpg b.bmp c.gif d.webp e.ppm";
    let outcome = place.succeed(&format!("predict run {inputs} --json"));
    let outcome = outcome.says(&["6 pictures: 6 resized from 140x280 to 28x28, 5 from colour to grey"]);
    assert_eq!(classes(&outcome), vec![expected[5]; 6]);
    let converted = |event: &Value| event["converted"].clone();
    let plain =
        json!({ "channels": 1, "rows": 140, "columns": 280, "resized": true, "recoloured": false, "inverted": false });
    assert_eq!(converted(&predictions(&outcome)[0]), plain);
    let start = &outcome.events()[0];
    assert_eq!(
        (&start["image"], &start["ground"], &start["invert"]),
        (&json!([1, 28, 28]), &json!("dark"), &json!("auto"))
    );
    place.succeed("predict run large.png e.ppm --invert yes").says(&["2 inverted"]);
    let small = file(RgbImage::new(3, 2), ImageFormat::Png);
    place.write("small.png", small);
    place.succeed("predict run large.png small.png").says(&["2 resized from several sizes to 28x28"]);
    assert_eq!(place.succeed("predict run large.png -q").stderr, "");

    // A net of three channels takes grey as well, and inverts nothing unasked.
    cifar_folder(&place.path("cifar"), 20);
    place.succeed("--dataset cifar10 --data-dir cifar --epochs 1 --out colours");
    let outcome = place.succeed("predict colours large.png a.jpg --json").says(&["1 from grey to colour"]);
    assert!(predictions(&outcome).iter().all(|event| event["converted"]["inverted"] == false));
    assert_eq!(outcome.events()[0]["classes"][3], "cat");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_answered() {
    let (place, expected, images) = trained();
    let good = png(digit(&images, 0));
    place.write("good.png", &good);
    place.write("cut.png", &good[..good.len() / 2]);
    place.write("empty.png", "");
    place.write("text.png", "no picture");
    place.write("photo.tiff", b"II*\0\x08\0\0\0");
    place.write("bomb.pgm", "P5 1000000 1000000 255\n");
    place.write("bomb.bmp", {
        let mut bytes = file(RgbImage::new(2, 2), ImageFormat::Bmp);
        bytes[18..26].fill(0x0f);
        bytes
    });
    fs::create_dir(place.path("folder")).unwrap();
    finish(place.program("mkfifo").arg("fifo.png")).expect(0);
    for (input, words) in [
        ("cut.png", "cut.png: is broken"),
        ("empty.png", "empty.png: is empty"),
        ("text.png", "text.png: is no picture: expected PNG"),
        ("photo.tiff", "photo.tiff: is a picture of the format TIFF, expected PNG"),
        ("bomb.pgm", "bomb.pgm: is broken: has 1000000x1000000 pixels, expected 1 to 67108864"),
        ("bomb.bmp", "bomb.bmp: is broken"),
        ("folder", "folder: holds no picture"),
        ("absent.png", "absent.png: cannot be read: No such file"),
        ("fifo.png", "fifo.png: cannot be read: is no regular file"),
        ("-", "-: is empty"),
    ] {
        let outcome = place.run(&format!("predict run good.png {input} good.png")).expect(3);
        let outcome = outcome.says(&[words, "1 of 3 inputs could not be read"]);
        let answers: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!((answers.len(), answers[0]), (2, answers[1]), "{outcome:?}");
        assert!(answers[0].starts_with(&format!("good.png: {} 0.", expected[0])));
    }
    let events = place.run("predict run good.png cut.png --json").expect(3).events();
    assert_eq!((&events[2]["event"], &events[2]["path"]), (&json!("unreadable"), &json!("cut.png")));
    assert_eq!((&events[3]["pictures"], &events[3]["unreadable"]), (&json!(1), &json!(1)));
    place.run("predict nowhere good.png").refused(4, &["nowhere", "No such file"]);
    place.run("predict run").refused(2, &["INPUT"]);
    place.run("predict run good.png --top 0").refused(2, &["--top"]);
    place.run("predict run good.png --invert maybe").refused(2, &["maybe", "auto"]);
    place.run("predict run good.png --json --csv").refused(2, &["--csv"]);
}

#[test]
fn folders_are_searched_in_the_order_of_names_and_what_is_no_picture_is_passed_over() {
    let (place, _, images) = trained();
    let root = place.path("photos");
    fs::create_dir_all(root.join("b/deep")).unwrap();
    let picture = png(digit(&images, 0));
    let odd = OsStr::from_bytes(b"gr\xfc\xdfe, \"1\".png");
    for name in ["z.PNG", "b/10.png", "b/9.png", "b/deep/unnamed", "a\nb.png"] {
        fs::write(root.join(name), &picture).unwrap();
    }
    fs::write(root.join(odd), &picture).unwrap();
    for name in ["Thumbs.db", "notes.txt", "b/P5 is a text", "labels.npy"] {
        fs::write(root.join(name), "P5is a text").unwrap();
    }
    for name in [".DS_Store", "._z.PNG", "b/.hidden.png"] {
        fs::write(root.join(name), "\0\0\0\u{1}Bud1").unwrap();
    }
    symlink("..", root.join("b/up")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    let outcome = place.succeed("predict run photos --json");
    let outcome =
        outcome.says(&["6 pictures: ", "5 files passed over that are no pictures", "photos/b/up: leads back"]);
    let paths: Vec<_> = predictions(&outcome).iter().map(|event| event["path"].as_str().unwrap().to_owned()).collect();
    let expected = ["a\nb.png", "b/10.png", "b/9.png", "b/deep/unnamed", "gr\\xFC\\xDFe, \"1\".png", "z.PNG"]
        .map(|name| format!("photos/{name}"));
    assert_eq!(paths, expected);
    // A line a picture, whatever their names are.
    let text = place.succeed("predict run photos").stdout;
    assert!(text.lines().count() == 6 && text.starts_with("photos/a\\nb.png: "), "{text}");
    let table = place.succeed("predict run photos --csv --top 2").stdout;
    assert!(
        table.starts_with("path,index,class,name,probability,name_2,probability_2\n\"photos/a\nb.png\",,"),
        "{table}"
    );
    assert!(table.contains("\n\"photos/gr\\xFC\\xDFe, \"\"1\"\".png\",,"), "{table}");

    // An ending promises a picture.
    symlink("nowhere", root.join("gone.png")).unwrap();
    place.run("predict run photos").expect(3).says(&["photos/gone.png: cannot be read", "1 of 7 inputs"]);
}

#[test]
fn the_most_probable_classes_are_shown() {
    let (place, expected, images) = trained();
    place.write("a.png", png(digit(&images, 0)));
    let event = predictions(&place.succeed("predict run a.png --json --top 99")).remove(0);
    let top = event["top"].as_array().unwrap();
    let probabilities: Vec<f64> = top.iter().map(|one| one["probability"].as_f64().unwrap()).collect();
    assert_eq!((top.len(), &top[0]["class"], &top[0]["name"]), (10, &json!(expected[0]), &event["name"]));
    assert!(probabilities.is_sorted_by(|one, other| one >= other));
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let text = place.succeed("predict run a.png --top 3").stdout;
    assert_eq!(text.split(", ").count(), 3, "{text}");
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (place, _, images) = trained();
    place.write("a.npy", npy("|u1", "(2000, 784)", &images.pixels));
    let words = vec!["a.npy"; 200].join(" ");
    let outcome = finish(&mut place.under_shell(":", &format!("predict run {words} | head -n 1"))).expect(0);
    assert_eq!(outcome.stdout.lines().count(), 1);
}
