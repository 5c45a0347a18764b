//! `adamtrain report`: pages that need nothing else and hold what they should.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;

use common::Place;

const SMALL: &str = "--hidden 8 --limit-train 400 --batch-size 50 --valid-fraction 0.2 --device cpu --threads 1 -q";

/// Elements of HTML that have no end.
const VOID: [&str; 4] = ["meta", "link", "img", "!DOCTYPE"];

/// Requires that each element ends where it should, that nothing comes from elsewhere, and that pictures have words.
fn expect_whole(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    // What stands in a style sheet is no markup.
    let (head, rest) = html.split_once("<style>").unwrap();
    let (style, body) = rest.split_once("</style>").unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    for (at, _) in head.match_indices('<').chain(body.match_indices('<').map(|(at, text)| (head.len() + at, text))) {
        let text = if at < head.len() { &head[at..] } else { &body[at - head.len()..] };
        let tag = &text[1..text.find('>').unwrap()];
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "…{}", &text[..text.len().min(80)]);
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        assert!(name != "script" && !tag.contains(" on"), "{tag}");
        assert!(name != "img" || tag.contains("alt=\"") && !tag.contains("alt=\"\""), "{tag}");
        for address in tag.split(['"']).filter(|text| text.contains("://")) {
            assert_eq!(address, "http://www.w3.org/2000/svg", "{tag}");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// What a headless browser says of a page on its console; none where there is no browser.
#[allow(clippy::print_stderr)]
fn console(place: &Place, page: &str) -> Option<String> {
    let path = place.path(page);
    for browser in ["chromium", "chromium-browser", "google-chrome"] {
        let mut command = Command::new(browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]);
        let Ok(output) = command.arg(format!("file://{}", path.display())).env("HOME", place.path("")).output() else {
            continue;
        };
        assert!(String::from_utf8_lossy(&output.stdout).contains("<h1>"), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        return Some(told.lines().filter(|line| line.contains("CONSOLE")).collect());
    }
    eprintln!("skipped: no headless browser is here");
    None
}

#[test]
fn a_run_s_page_holds_all_sections_and_needs_nothing_else() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 3 --health --out run"));
    let told = place.succeed("report run -o page.html").stdout;
    assert_eq!(told, "page.html\n");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    expect_whole(&html);
    for heading in [
        "Curves",
        "What is taken for what",
        "Surest mistakes",
        "Calibration",
        "What the first layer looks at",
        "Health",
        "Configuration",
        "How to repeat it",
    ] {
        assert!(html.contains(&format!(">{heading}</h2>")), "{heading}");
    }
    // The matrix is that of `eval`.
    let judged = place.answer("eval run --best");
    let accuracy = 100.0 * judged["accuracy"].as_f64().unwrap();
    assert!(
        html.contains(&format!("of 2000 examples of the test split are recognised, {accuracy:.2} %.")),
        "{accuracy}"
    );
    for (class, row) in judged["confusion"].as_array().unwrap().iter().enumerate() {
        let counts: Vec<u64> = row.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
        let line = html.lines().find(|line| line.starts_with(&format!("<tr><th scope=\"row\">{class}</th>"))).unwrap();
        let found: Vec<u64> = line
            .split("<td")
            .skip(1)
            .take(10)
            .map(|cell| cell.split(['>', '<']).nth(1).unwrap().parse().unwrap())
            .collect();
        assert_eq!(found, counts);
    }
    assert_eq!(html.matches("<figcaption>unit ").count(), 8);
    assert!(html.contains("--valid-fraction") && html.contains("adamtrain --config run/config.toml"));
    assert_eq!(console(&place, "page.html").unwrap_or_default(), "");
}

#[test]
fn a_linear_net_shows_what_each_class_is_and_names_are_only_words() {
    let place = Place::new();
    for (class, pixels) in [("a<b>&\"x\"", "255 0 0 0"), ("<script>", "0 255 0 0")] {
        for k in 0..12 {
            fs::create_dir_all(place.path("data").join(class)).unwrap();
            place.write(&format!("data/{class}/{k}.pgm"), format!("P2 2 2 255\n{pixels}\n"));
        }
    }
    place.succeed("--dataset data --test-fraction 0.25 --epochs 30 --lr 0.1 -q --out run");
    place.succeed("report run -o page.html");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    expect_whole(&html);
    assert!(html.contains("<figcaption>&lt;script&gt;</figcaption>") && html.contains("a&lt;b&gt;&amp;&quot;x&quot;"));
    assert!(html.contains("There are none.") && html.contains("100.00 %"), "two images are told apart");
    assert!(html.contains("train with --health"));
    // The data has gone: the rest is told.
    fs::remove_dir_all(place.path("data")).unwrap();
    place.succeed("report run -o page.html");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    expect_whole(&html);
    assert!(html.contains("The data could not be read") && html.contains("<figcaption>&lt;script&gt;</figcaption>"));
}

#[test]
fn sweeps_points_and_folders_have_pages() {
    let place = Place::new();
    place.succeed(&format!("sweep {SMALL} --lr 1e-3,1e-2 --seed 0..1 --epochs 2 --checkpoints all --out sweep"));
    place.succeed(&format!("{SMALL} --epochs 1 --out folder/run"));
    for (target, words) in [
        ("sweep", &[">Sweep</h2>", ">4 rows<", "The best point", "Surest mistakes"][..]),
        ("sweep#1", &["Surest mistakes", "`sweep.toml` beside it"]),
        ("folder", &["Surest mistakes", ">Curves</h2>"]),
        (".", &[">5 rows<", ">Table</h2>"]),
    ] {
        place.succeed(&format!("report {target} -o page.html"));
        let html = fs::read_to_string(place.path("page.html")).unwrap();
        expect_whole(&html);
        for word in words {
            assert!(html.contains(word), "{target}: {word}");
        }
    }
    assert_eq!(console(&place, "page.html").unwrap_or_default(), "");
    // A table of features has rows in place of pictures.
    let rows: Vec<String> = (0..60).map(|k| format!("{k},{},{}", k * 7 % 11, ["x", "y"][k % 2])).collect();
    place.write("t.csv", format!("a,b,kind\n{}\n", rows.join("\n")));
    place.succeed("--dataset t.csv --label kind --test-fraction 0.3 --epochs 1 -q --out features");
    place.succeed("report features -o page.html");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    expect_whole(&html);
    assert!(html.contains("Rows of the split, from 0") && !html.contains("<img"));
}

#[test]
fn what_makes_no_page_is_told() {
    let place = Place::new();
    place.run("report nowhere -o page.html").refused(4, &["nowhere", "No such file"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.run("report empty -o page.html").refused(4, &["holds no run"]);
    place.run("report empty").refused(2, &["--output"]);
    place.succeed(&format!("{SMALL} --epochs 1 --out run"));
    place.run("report run -o run").refused(7, &["no regular file"]);
    assert!(!place.path("page.html").exists());
    // A run without a checkpoint, or with metrics that are damaged, has a page of what is there.
    fs::remove_dir_all(place.path("run/ckpt")).unwrap();
    fs::write(place.path("run/metrics.jsonl"), "{").unwrap();
    place.succeed("report run -o page.html");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    expect_whole(&html);
    assert!(html.contains("There is no checkpoint to look at") && html.contains("There are no metrics yet."));
    // A FIFO in place of a file is not waited for.
    fs::remove_file(place.path("run/config.toml")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(place.path("run/config.toml")).status().unwrap();
    assert!(made.success());
    place.run("report run -o page.html");
}
