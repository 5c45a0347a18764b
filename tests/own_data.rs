//! `--dataset PATH`: data of the user's own, whatever lies there.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;

use adamtrain::data::digits;
use adamtrain::data::images::Images;
use common::Place;
use image::{GrayImage, Luma, Rgb, RgbImage};

/// Digits that the program draws itself.
fn drawn() -> &'static (Images, Images) {
    static DRAWN: OnceLock<(Images, Images)> = OnceLock::new();
    DRAWN.get_or_init(digits::generate)
}

fn picture(images: &Images, index: usize) -> GrayImage {
    GrayImage::from_raw(28, 28, images.pixels[index * 784..][..784].to_vec()).unwrap()
}

/// Writes the first `count` images as `FOLDER/CLASS/NUMBER.png`; classes at least `classes` are left out.
fn write_pictures(folder: &Path, images: &Images, count: usize, classes: u8) {
    for index in (0..count).filter(|index| images.labels[*index] < classes) {
        let class = folder.join(format!("digit {}", images.labels[index]));
        fs::create_dir_all(&class).unwrap();
        picture(images, index).save(class.join(format!("{index:05}.png"))).unwrap();
    }
}

/// A place with `letters/train` and `letters/test`.
fn with_pictures() -> Place {
    let place = Place::new();
    let (train, test) = drawn();
    write_pictures(&place.path("letters/train"), train, 400, 10);
    write_pictures(&place.path("letters/test"), test, 100, 10);
    place
}

#[test]
fn a_folder_of_pictures_is_trained_on_and_kept_in_the_cache() {
    let place = with_pictures();
    let first = place.succeed("data letters --json").says(&["500 images of 1x28x28", "of memory"]);
    let found = &first.events()[0];
    assert_eq!(found["name"], "letters");
    assert_eq!(found["shape"], serde_json::json!([1, 28, 28]));
    assert_eq!(found["classes"][3], "digit 3");
    assert_eq!((&found["train"]["examples"], &found["test"]["examples"]), (&400.into(), &100.into()));
    assert_eq!(found["cached"], false);
    let again = place.answer("data letters/");
    assert_eq!((&again["cached"], &again["sha256"]), (&true.into(), &found["sha256"]));

    place.succeed("--dataset letters --hidden 20 --epochs 8 --batch-size 32 --valid-fraction 0.1 -q --out run");
    let report = place.answer("eval run");
    assert!(report["accuracy"].as_f64().unwrap() > 0.6, "{report}");
    assert_eq!(report["dataset"], "letters");
    let text = place.succeed("eval run").stdout;
    assert!(text.contains("digit 3"), "{text}");

    // A picture that has changed is noticed, and so is one more.
    let changed = first_picture(&place.path("letters/train/digit 3"));
    GrayImage::from_pixel(28, 28, Luma([9])).save(&changed).unwrap();
    let other = place.answer("data letters");
    assert_eq!(other["cached"], false);
    assert_ne!(other["sha256"], found["sha256"]);
    fs::copy(&changed, changed.with_file_name("one-more.png")).unwrap();
    assert_eq!(place.answer("data letters")["train"]["examples"], 401);
}

#[test]
fn a_contact_sheet_shows_each_class() {
    let place = with_pictures();
    place.succeed("data letters --svg sheet.svg");
    let sheet = fs::read_to_string(place.path("sheet.svg")).unwrap();
    assert_eq!(sheet.matches("href=\"data:image/png;base64,").count(), 10);
    assert!((0..10).all(|digit| sheet.contains(&format!(">digit {digit}<"))), "{sheet}");
    place.run("data letters --svg .").refused(7, &["no regular file"]);
}

#[test]
fn the_cache_is_listed_and_cleared() {
    let place = with_pictures();
    assert_eq!(place.answer("data --cache")["bytes"], 0);
    place.succeed("data letters");
    let listed = place.answer("data --cache");
    let sets = listed["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 1);
    assert!(sets[0]["source"].as_str().unwrap().ends_with("/letters"), "{listed}");
    assert_eq!(sets[0]["bytes"], fs::metadata(sets[0]["path"].as_str().unwrap()).unwrap().len());
    assert!(place.succeed("data --cache").stdout.contains("1 data set"));
    assert_eq!(place.answer("data --clear")["sets"].as_array().unwrap().len(), 1);
    assert_eq!(place.answer("data --cache")["bytes"], 0);
    assert_eq!(place.answer("data letters")["cached"], false);
    for flag in ["letters", "--svg a.svg", "--label x", "--size 28"] {
        place.run(&format!("data {flag} --cache")).refused(2, &["--cache"]);
    }
}

#[test]
fn pixels_are_those_of_the_pictures_class_by_class() {
    let place = with_pictures();
    let (train, _) = drawn();
    // The same images as IDX files, in the order of the folders.
    let ordered = |images: &Images, count: usize| {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|index| images.labels[*index]);
        Images {
            pixels: order.iter().flat_map(|index| images.pixels[index * 784..][..784].to_vec()).collect(),
            labels: order.iter().map(|index| images.labels[*index]).collect(),
        }
    };
    fs::create_dir(place.path("idx")).unwrap();
    write_idx(&place, "idx/train", &ordered(train, 400), 28, 28);
    write_idx(&place, "idx/t10k", &ordered(&drawn().1, 100), 28, 28);
    assert_eq!(place.answer("data idx")["sha256"], place.answer("data letters")["sha256"]);
}

fn write_idx(place: &Place, name: &str, images: &Images, rows: u32, columns: u32) {
    let count = images.labels.len() as u32;
    let header = [2051, count, rows, columns].map(u32::to_be_bytes).concat();
    place.write(&format!("{name}-images-idx3-ubyte"), [header, images.pixels.clone()].concat());
    let header = [2049, count].map(u32::to_be_bytes).concat();
    place.write(&format!("{name}-labels-idx1-ubyte"), [header, images.labels.clone()].concat());
}

#[test]
fn without_test_images_validation_alone_is_reported_and_a_test_split_can_be_drawn() {
    let place = Place::new();
    write_pictures(&place.path("all"), &drawn().0, 400, 10);
    let trained = place.succeed("--dataset all --epochs 2 --valid-fraction 0.2 --out run");
    trained.says(&["no test split", "validation"]);
    let ran = place.succeed("--dataset all --epochs 2 --valid-fraction 0.2 --json -q --out again");
    let last = ran.events().into_iter().rfind(|event| event["event"] == "epoch").unwrap();
    assert!(last["test_loss"].is_null() && last["valid_loss"].is_f64(), "{last}");
    place.succeed("--dataset all --epochs 3 --valid-fraction 0.2 -q --out run --resume");
    place.run("eval run").refused(2, &["has no test images", "--split"]);
    let expecting = "--dataset all --epochs 1 --expect-accuracy 0.1 --out expecting";
    place.run(expecting).refused(2, &["--expect-accuracy", "`all` has none", "--test-fraction"]);
    assert!(!place.path("expecting").exists());
    assert_eq!(place.answer("eval run --split valid")["examples"], 80);

    let drawn = place.answer("data all --test-fraction 0.25");
    let counts = |split: &str| {
        let counts = drawn[split]["per_class"].as_array().unwrap();
        counts.iter().map(|count| count.as_u64().unwrap()).collect::<Vec<_>>()
    };
    for (train, test) in counts("train").into_iter().zip(counts("test")) {
        assert_eq!(test, ((train + test) as f64 * 0.25).round() as u64);
    }
    place.succeed("--dataset all --test-fraction 0.25 --epochs 1 -q --out third");
    assert_eq!(place.answer("eval third")["examples"], drawn["test"]["examples"]);
    assert_ne!(
        place.answer("eval third")["accuracy"],
        serde_json::Value::Null,
        "the same images are drawn again from what the run knows"
    );
    let other = with_pictures();
    other.run("data letters --test-fraction 0.1").refused(2, &["has a test split of 100 images"]);
    other.run("--dataset mnist --test-fraction 0.1").refused(2, &["does nothing", "--dataset"]);
}

#[test]
fn pictures_of_several_sizes_are_brought_to_one_that_is_asked_for() {
    let place = with_pictures();
    let folder = place.path("letters/train/digit 1");
    RgbImage::from_pixel(40, 30, Rgb([200, 10, 10])).save(folder.join("wide.jpg")).unwrap();
    place.run("data letters").refused(3, &["2 sizes", "500 of 28x28", "1 of 30x40", "wide.jpg", "--size 28x28"]);
    // One picture has colours.
    assert_eq!(place.answer("data letters --size 14x12")["shape"], serde_json::json!([3, 14, 12]));
    assert_eq!(place.answer("data letters --size 14 --channels 1")["shape"], serde_json::json!([1, 14, 14]));
    place.run("data letters --size 0").refused(2, &["28x28"]);
    place.run("data letters --channels 2").refused(2, &["1, 3"]);
    place.succeed("--dataset letters --size 14 --channels 1 --epochs 1 -q --out run");
    assert_eq!(place.answer("eval run")["examples"], 100);
}

#[test]
fn what_is_broken_is_named_and_left_out_only_when_asked() {
    let place = with_pictures();
    let folder = place.path("letters/train/digit 1");
    let whole = fs::read(first_picture(&folder)).unwrap();
    fs::write(folder.join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.join("text.png"), "no picture").unwrap();
    let refused = place.run("data letters").refused(3, &["digit 1", "--skip-broken"]);
    assert!(refused.stderr.contains("cut.png") || refused.stderr.contains("text.png"), "{refused:?}");
    let skipped = place.succeed("data letters --skip-broken --json").says(&["cut.png", "text.png", "left out"]);
    assert_eq!(skipped.events()[0]["train"]["examples"], 400);
    place.succeed("--dataset letters --skip-broken --epochs 1 -q --out run");
    assert_eq!(place.answer("data letters --skip-broken")["cached"], true);
    // All of a class, then all of the split.
    let all =
        |name: &str| fs::read_dir(place.path("letters/train").join(name)).unwrap().map(|file| file.unwrap().path());
    all("digit 1").for_each(|file| fs::write(file, "no picture").unwrap());
    place.succeed("data letters --skip-broken").says(&["no training image is of the class `digit 1`"]);
    for class in 0..10 {
        all(&format!("digit {class}")).for_each(|file| fs::write(file, "no picture").unwrap());
    }
    place.run("data letters --skip-broken").refused(3, &["none of the split is left"]);
}

#[test]
fn odd_things_in_folders_are_decided() {
    let place = with_pictures();
    let train = place.path("letters/train");
    let class = train.join("digit 1");
    fs::write(class.join(".DS_Store"), "x").unwrap();
    fs::write(class.join("Thumbs.db"), "x").unwrap();
    assert!(!place.succeed("data letters -q").stderr.contains("passed over"));
    fs::write(class.join("notes.txt"), "x").unwrap();
    symlink(&train, class.join("circle")).unwrap();
    let (images, _) = drawn();
    fs::create_dir(class.join("deep")).unwrap();
    let odd = class.join("deep").join(OsStr::from_bytes(b"\xff\xfe.png"));
    fs::copy(first_picture(&class), &odd).unwrap();
    let said = place.succeed("data letters --json").says(&["notes.txt", "circle", "not followed"]);
    assert_eq!(said.events()[0]["train"]["examples"], 401);
    // The odd one is a copy of a training picture, and as a test picture it is told.
    fs::rename(&odd, place.path("letters/test/digit 1/copy.png")).unwrap();
    place.succeed("data letters").says(&["1 of 101 test images", "training images too"]);

    fs::create_dir(train.join("empty")).unwrap();
    place.run("data letters").refused(3, &["`empty`", "no picture"]);
    fs::remove_dir(train.join("empty")).unwrap();
    write_pictures(&place.path("new/train"), images, 60, 3);
    write_pictures(&place.path("new/test"), images, 60, 4);
    place.succeed("data new").says(&["no training image is of the class `digit 3`"]);
    write_pictures(&place.path("alone"), images, 60, 1);
    place.run("data alone").refused(3, &["1 class", "2 to 256"]);
    // A class may be called as a split is.
    write_pictures(&place.path("vehicles"), images, 60, 3);
    fs::rename(place.path("vehicles/digit 1"), place.path("vehicles/train")).unwrap();
    assert_eq!(place.answer("data vehicles")["classes"], serde_json::json!(["digit 0", "digit 2", "train"]));
    for class in 0..257 {
        fs::create_dir_all(place.path(&format!("many/{class}"))).unwrap();
    }
    place.run("data many").refused(3, &["257 classes", "2 to 256"]);
    write_pictures(&place.path("untrained/test"), images, 60, 3);
    place.run("data untrained").refused(3, &["none called `train`"]);
    fs::create_dir_all(place.path("void/a")).unwrap();
    fs::create_dir_all(place.path("void/b")).unwrap();
    place.run("data void").refused(3, &["no folder in it holds a picture"]);
    fs::create_dir(place.path("bare")).unwrap();
    place.run("data bare").refused(3, &["holds no data set", "expected"]);
    place.run("data ./nowhere").refused(3, &["nowhere", "No such file"]);
    place.run("data nowhere").refused(2, &["digits, mnist", "path"]);
}

/// A picture of a folder.
fn first_picture(folder: &Path) -> std::path::PathBuf {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.min_by_key(|path| path.extension().is_none_or(|ending| ending != "png")).unwrap()
}

#[test]
fn idx_files_of_any_size_and_of_emnist_are_upright_and_named() {
    let place = Place::new();
    fs::create_dir(place.path("emnist")).unwrap();
    let images = |labels: Vec<u8>, count: usize| Images {
        // Two rows of three, written column by column.
        pixels: [0, 30, 10, 40, 20, 50].repeat(count),
        labels,
    };
    write_idx(&place, "emnist/emnist-letters-train", &images(vec![1, 26, 5], 3), 2, 3);
    write_idx(&place, "emnist/emnist-letters-test", &images(vec![2, 3], 2), 2, 3);
    write_idx(&place, "emnist/emnist-digits-train", &images(vec![1, 9, 5], 3), 2, 3);
    place.run("data emnist").refused(3, &["2 sets", "emnist-letters"]);
    let letters = place.answer("data emnist/emnist-letters");
    assert_eq!((&letters["classes"][0], letters["classes"].as_array().unwrap().len()), (&"A".into(), 26));
    assert_eq!((&letters["train"]["per_class"][0], &letters["train"]["per_class"][25]), (&1.into(), &1.into()));
    assert_eq!(letters["shape"], serde_json::json!([1, 2, 3]));

    fs::create_dir(place.path("plain")).unwrap();
    let upright = |labels: Vec<u8>, count: usize| Images { pixels: [0, 10, 20, 30, 40, 50].repeat(count), labels };
    write_idx(&place, "plain/train", &upright(vec![0, 25, 4], 3), 2, 3);
    write_idx(&place, "plain/t10k", &upright(vec![1, 2], 2), 2, 3);
    let plain = place.answer("data plain");
    assert_eq!((plain["classes"].as_array().unwrap().len(), &plain["sha256"]), (26, &letters["sha256"]));

    // So `predict` looks at them.
    place.succeed("--dataset emnist/emnist-letters --epochs 3 --lr 0.1 -q --out run");
    let [lying, upright] = ["emnist/emnist-letters-test", "plain/t10k"].map(|name| {
        let said = place.succeed(&format!("predict run {name}-images-idx3-ubyte --csv")).stdout;
        said.lines().map(|line| line.split_once(',').unwrap().1.to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(lying, upright);

    // What a Mac leaves beside its files is none of them.
    for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        place.write(&format!("plain/._{name}"), "Mac OS X");
    }
    assert_eq!(place.answer("data plain")["sha256"], plain["sha256"]);
    let labels = place.path("plain/t10k-labels-idx1-ubyte");
    fs::rename(&labels, place.path("labels")).unwrap();
    place.run("data plain").refused(3, &["has `t10k-images-idx3-ubyte` and no `t10k-labels-idx1-ubyte`"]);
    fs::rename(place.path("labels"), &labels).unwrap();
    fs::remove_file(place.path("plain/train-labels-idx1-ubyte")).unwrap();
    place.run("data plain").refused(3, &["has `train-images-idx3-ubyte` and no `train-labels-idx1-ubyte`"]);
}

#[test]
fn an_own_set_with_the_name_of_a_published_one_is_not_taken_for_it() {
    let place = Place::new();
    // Black on white, where all published grey sets are white on black.
    for folder in ["own/digits", "own/scans"] {
        let (train, test) = drawn();
        let [train, test] = [train, test].map(|images| Images {
            pixels: images.pixels.iter().map(|pixel| 255 - pixel).collect(),
            labels: images.labels.clone(),
        });
        write_pictures(&place.path(folder).join("train"), &train, 300, 10);
        write_pictures(&place.path(folder).join("test"), &test, 50, 10);
    }
    let answers = ["digits", "scans"].map(|name| {
        place.succeed(&format!("--dataset own/{name} --hidden 16 --epochs 4 -q --out {name}"));
        place.succeed(&format!("compress {name} --quantize int8 --out {name}.amc -q"));
        place.run(&format!("eval {name}.amc")).refused(2, &["which is not known"]);
        let said = place.succeed(&format!("predict {name} own/scans/test --csv"));
        said.stdout
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_link_that_leads_to_other_pictures_of_the_same_names_sizes_and_times_is_noticed() {
    let place = Place::new();
    for (version, grey) in [("one", 10), ("two", 200)] {
        for class in ["a", "b"] {
            let folder = place.path(version).join(class);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..6 {
                let path = folder.join(format!("{number}.pgm"));
                GrayImage::from_pixel(4, 4, Luma([grey + number])).save(&path).unwrap();
                let file = fs::File::options().write(true).open(&path).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }
        }
    }
    let digest = |version: &str| {
        let _ = fs::remove_file(place.path("now"));
        std::os::unix::fs::symlink(place.path(version), place.path("now")).unwrap();
        place.answer("data now")["sha256"].clone()
    };
    let [one, two, again] = ["one", "two", "one"].map(digest);
    assert!(one != two && one == again, "{one}, {two}, {again}");
}

#[test]
fn lanes_of_a_sweep_and_their_own_runs_agree_on_data_by_path() {
    let place = with_pictures();
    place.succeed("sweep --dataset letters --lr 1e-3,3e-3 --epochs 2 --checkpoints all -q --out sweep");
    place.succeed("--dataset letters --lr 3e-3 --epochs 2 --data-seed 0 -q --out run");
    let [lane, own] = ["eval sweep#1", "eval run"].map(|words| place.answer(words)["loss"].clone());
    assert_eq!(lane, own);
    let repeated = place.succeed("--config run/config.toml -q --out again").expect(0);
    assert_eq!(place.answer("eval again")["loss"], own, "{repeated:?}");
    fs::rename(place.path("letters"), place.path("elsewhere")).unwrap();
    place.run("eval run").refused(3, &["letters", "No such file"]);
    assert_eq!(place.answer("eval run --dataset elsewhere")["loss"], own);
    // What the run was trained on is known without its folder.
    let said = place.succeed("predict run elsewhere/test --csv");
    assert!(said.stdout.contains(",digit 0,"), "{said:?}");
    let exported = place.answer("export run --to net.json");
    assert_eq!((&exported["classes"][7], &exported["image"]), (&"digit 7".into(), &serde_json::json!([1, 28, 28])));
    place.run("export run --to net.h --quantize int8").refused(3, &["letters", "No such file"]);
}

/// A place with a run trained on `letters`, and what `eval` says of its test split.
fn with_run() -> (Place, serde_json::Value) {
    let place = with_pictures();
    place.succeed("--dataset letters --hidden 20 --epochs 8 --batch-size 32 --valid-fraction 0.1 -q --out run");
    let own = place.answer("eval run");
    (place, own)
}

/// Writes the pictures of the drawn test split under other names of classes.
fn write_renamed(folder: &Path, count: usize, name: impl Fn(u8) -> Option<&'static str>) {
    let (_, test) = drawn();
    for index in 0..count {
        let Some(name) = name(test.labels[index]) else { continue };
        fs::create_dir_all(folder.join(name)).unwrap();
        picture(test, index).save(folder.join(name).join(format!("{index:05}.png"))).unwrap();
    }
}

#[test]
fn classes_of_other_data_are_taken_by_name_or_as_they_are_mapped() {
    const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "digit 9"];
    let (place, own) = with_run();
    assert_eq!(own["classes"][3], "digit 3");

    // Other names are an error that says what to do, but for one that is the same.
    write_renamed(&place.path("words"), 100, |label| Some(NAMES[usize::from(label)]));
    let words =
        ["`eight`, `five`, `four` and 6 more", "`words`", "no classes of its net", "`digit 0`", "--map THEIRS=OURS"];
    place.run("eval run --dataset words --split train").refused(4, &words);
    let map: Vec<String> = (0..9).map(|class| format!("{}=digit {class}", NAMES[class])).collect();
    let eval = |file: &str, maps: &[&str]| {
        let mut words = vec!["eval", file, "--dataset", "words", "--split", "train", "--json", "-q"];
        words.extend(maps.iter().flat_map(|map| ["--map", map]));
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        common::finish(&mut place.command(&words))
    };
    let found = eval("run", &[&map.join(",")]).expect(0).events().remove(0);
    for key in ["accuracy", "confusion", "per_class", "classes", "examples"] {
        assert_eq!(found[key], own[key], "{key}");
    }
    assert_eq!(found["dataset"], "words");
    // Given apart it is the same.
    let maps: Vec<&str> = map.iter().map(String::as_str).collect();
    assert_eq!(eval("run", &maps).expect(0).events(), std::slice::from_ref(&found));
    eval("run", &maps[1..])
        .refused(4, &["`zero` of `words` is no class", "also has `digit 0`", "--map 'zero=digit 0'"]);
    eval("run", &["zero"]).refused(2, &["--map is `zero`", "THEIRS=OURS"]);
    eval("run", &["nought=digit 0"]).refused(2, &["`nought` is no class of `words`"]);
    eval("run", &["zero=digit 10"]).refused(2, &["`digit 10` is no class of the net", "digit 1"]);
    eval("run", &["zero=digit 0,zero=digit 1"]).refused(2, &["twice", "`zero`"]);
    place.run("eval run --map a=b").refused(2, &["--map needs", "--dataset"]);

    // Another order, and some of the classes: by name, and told.
    place.succeed("--dataset words --hidden 20 --epochs 2 --batch-size 32 -q --out other");
    let turned = |label: u8| Some(NAMES[usize::from(label)]).filter(|name| *name != "six");
    write_renamed(&place.path("few"), 100, turned);
    let said =
        place.succeed("eval other --dataset few --split train --json").says(&["9 classes, the net 10", "by name"]);
    let few = said.events().remove(0);
    let six = few["classes"].as_array().unwrap().iter().position(|name| name == "six").unwrap();
    assert_eq!(
        (&few["per_class"][six]["examples"], &few["per_class"][six]["accuracy"]),
        (&0.into(), &serde_json::Value::Null)
    );
    let whole = place.answer("eval other --split train");
    for class in (0..10).filter(|class| *class != six) {
        assert_eq!(few["confusion"][class], whole["confusion"][class]);
    }
    write_renamed(&place.path("one"), 100, |label| Some("digit 3").filter(|_| label == 3));
    let one = place.answer("eval run --dataset one --split train");
    assert_eq!(one["confusion"], {
        let mut rows = vec![serde_json::json!(vec![0; 10]); 10];
        rows[3] = own["confusion"][3].clone();
        serde_json::json!(rows)
    });
    place.run("--dataset one --epochs 1 --out alone").refused(3, &["1 class", "2 to 256"]);

    // A compressed net is judged alike.
    place.succeed("compress run --quantize int8 --max-bytes 100000 --out net.amc -q");
    let compressed = place.answer("eval net.amc --dataset letters");
    let same = eval("net.amc", &[&map.join(",")]).expect(0).events().remove(0);
    assert_eq!((&same["confusion"], &same["classes"]), (&compressed["confusion"], &own["classes"]));
    eval("net.amc", &[]).refused(4, &["`eight`", "no classes of its net", "--map"]);
    let same = place.answer("eval net.amc --dataset one --split train");
    assert_eq!((&same["examples"], &same["per_class"][3]["class"]), (&one["examples"], &"digit 3".into()));
}

#[test]
fn the_classes_of_a_net_in_another_order_are_those_of_the_same_names() {
    let place = with_pictures();
    // As numbers, 2 stands before 10.
    let numbers = |folder: &str, more: Option<&str>| {
        for (class, name) in [(1, "2"), (2, "10"), (3, "3")] {
            let (from, to) = (place.path(&format!("letters/train/digit {class}")), place.path(folder).join(name));
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(&from).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        if let Some(more) = more {
            let to = place.path(folder).join(more);
            fs::create_dir_all(&to).unwrap();
            fs::copy(first_picture(&place.path("letters/train/digit 1")), to.join("a.png")).unwrap();
        }
    };
    numbers("numbers", None);
    numbers("words", Some("x"));
    place.succeed("--dataset words --epochs 6 --batch-size 8 -q --out run");
    assert_eq!(place.answer("eval run --split train")["classes"], serde_json::json!(["10", "2", "3", "x"]));
    assert_eq!(place.answer("data numbers")["classes"], serde_json::json!(["2", "3", "10"]));
    let own = place.answer("eval run --split train");
    let other = place.answer("eval run --dataset numbers --split train");
    for class in 0..3 {
        assert_eq!(other["confusion"][class], own["confusion"][class]);
    }
    numbers("again", Some("4"));
    let said = ["`4` of `again` is no class of its net", "also has `x`", "--map 4=x"];
    place.run("eval run --dataset again --split train").refused(4, &said);
    let mapped =
        place.succeed("eval run --dataset again --split train --map 4=x --json").says(&["another order", "--map"]);
    assert_eq!(mapped.events()[0]["confusion"], own["confusion"]);
}

#[test]
fn pictures_of_other_data_are_brought_to_the_shape_of_the_net_and_other_images_are_refused() {
    let (place, own) = with_run();
    // In colours, and twice as large: the same pictures when they are halved.
    let (_, test) = drawn();
    for index in 0..100 {
        let large = image::imageops::resize(&picture(test, index), 56, 56, image::imageops::FilterType::Nearest);
        let colours = RgbImage::from_fn(56, 56, |x, y| Rgb([large.get_pixel(x, y).0[0]; 3]));
        let class = place.path(&format!("large/digit {}", test.labels[index]));
        fs::create_dir_all(&class).unwrap();
        colours.save(class.join(format!("{index}.png"))).unwrap();
    }
    let found = place.answer("eval run --dataset large --split train");
    assert_eq!(found["examples"], 100);
    let [found, own] = [&found, &own].map(|report| report["accuracy"].as_f64().unwrap());
    assert!((found - own).abs() < 0.05, "{found} {own}");
    fs::write(place.path("large/digit 3/broken.png"), "no picture").unwrap();
    place.run("eval run --dataset large --split train").refused(3, &["broken.png", "--skip-broken"]);
    let skipped = place.answer("eval run --dataset large --split train --skip-broken");
    assert_eq!(skipped["examples"], 100);
    place.run("eval run --dataset large --skip-broken").refused(2, &["`large` has no test images", "--split train"]);

    fs::create_dir(place.path("idx")).unwrap();
    let flat = Images { pixels: vec![7; 784 * 2], labels: vec![0, 1] };
    write_idx(&place, "idx/train", &flat, 14, 56);
    place.run("eval run --dataset idx --split train").refused(4, &["1x28x28", "`idx`", "1x14x56"]);
    place.succeed("compress run --quantize int8 --max-bytes 100000 --out net.amc -q");
    place.run("eval net.amc --dataset idx --split train").refused(4, &["1x28x28", "`idx`", "1x14x56"]);
    assert_eq!(place.answer("eval net.amc --dataset large --split train --skip-broken")["examples"], 100);
}

#[test]
fn names_of_classes_and_the_shape_of_images_travel_with_the_run() {
    let (place, own) = with_run();
    let classes = own["classes"].clone();
    let image = serde_json::json!([1, 28, 28]);
    let data = common::summary(&place.path("run"))["data"].clone();
    assert_eq!((&data["classes"], &data["image"]), (&classes, &image));
    let start = place.succeed("--dataset letters --epochs 1 -q --json --out again").events().remove(0);
    assert_eq!((&start["data"]["classes"], &start["data"]["image"]), (&classes, &image));
    fs::rename(place.path("letters"), place.path("elsewhere")).unwrap();
    let inspected = place.answer("inspect run");
    assert_eq!((&inspected["classes"], &inspected["image"]), (&classes, &image));
    let text = place.succeed("inspect run").stdout;
    assert!(text.contains("1x28x28") && text.contains("digit 0, digit 1"), "{text}");
    // The folder that the run divided is known wherever it lies.
    let end = common::summary(&place.path("run"))["last"].clone();
    assert_eq!(place.answer("eval run --dataset elsewhere")["loss"], end["test_loss"]);
}
