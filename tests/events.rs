//! What README.md lists of `--json`, held against what each command prints.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use common::Place;
use serde_json::Value;

type Names = BTreeSet<String>;

/// The fields of an event of a command.
#[derive(Clone, Default)]
struct Row {
    always: Names,
    sometimes: Names,
    /// Of the elements of a list.
    nested: BTreeMap<String, Names>,
}

/// The names between backticks that can be fields: `train.ema_decay` and `--health` are none.
fn names(text: &str) -> impl Iterator<Item = String> {
    let words = text.split('`').skip(1).step_by(2);
    words
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .map(str::to_owned)
}

/// The text without what stands in parentheses, and the names of what says `of each`, by the field before.
fn without_remarks(text: &str) -> (String, BTreeMap<String, Names>) {
    let mut nested = BTreeMap::new();
    let mut plain = String::new();
    for (index, part) in text.split('(').enumerate() {
        let (remark, rest) = if index == 0 { ("", part) } else { part.split_once(')').unwrap() };
        if remark.starts_with("of each `") {
            nested.insert(names(&plain).last().unwrap(), names(remark).collect());
        }
        plain += rest;
    }
    (plain, nested)
}

/// The table of README.md, by command and event; an event that has no name is `none`.
fn table() -> BTreeMap<(String, String), Row> {
    let page = include_str!("../README.md");
    let table = page.split_once("| command | event | fields |\n|---|---|---|\n").unwrap().1;
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for line in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [commands, event, fields] = cells[..] else { panic!("{line}") };
        let epoch = |rows: &BTreeMap<(String, String), Row>| rows[&("train".to_owned(), "epoch".to_owned())].clone();
        let row = if let Some(but) = fields.strip_prefix("as `epoch` without ") {
            let mut row = epoch(&rows);
            let but: Names = names(but).collect();
            row.sometimes.retain(|name| !but.contains(name));
            row
        } else {
            let (plain, nested) = without_remarks(fields);
            let (always, sometimes) = plain.split_once('[').unwrap_or((&plain, ""));
            let mut row = if fields.starts_with("the last epoch's") { epoch(&rows) } else { Row::default() };
            row.always.extend(names(always));
            row.sometimes.extend(names(sometimes));
            Row { nested, ..row }
        };
        for command in commands.split(',') {
            let key = (command.trim().trim_matches('`').to_owned(), event.trim_matches('`').to_owned());
            assert!(rows.insert(key, row.clone()).is_none(), "{line}");
        }
    }
    rows
}

#[test]
fn every_command_prints_the_fields_that_the_readme_lists_and_no_others() {
    let place = Place::new();
    let rows = table();
    let mut seen: BTreeMap<(String, String), Names> = BTreeMap::new();
    place.write("table.csv", "x,y,kind\n1,2,a\n3,4,b\n5,6,a\n");
    place.write("rows.csv", "x,y\n1,2\n3,\n");
    place.succeed("--dataset table.csv --label kind --epochs 1 -q --out runs/table");
    place.write("points.jsonl", "{\"id\": 1, \"lr\": 0.1}\n{\"id\": 2, \"lr\": \"0.2\"}\n");
    let said = place.write("said.jsonl", "{\"id\": 1, \"lr\": 0.1}\nno point\n");
    place.write("gradients.csv", "1,2\n3,-4\n");
    place.write("picture.pgm", "P2 2 2 255\n0 1 2 255\n");
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }\n";
    place.write("array.npy", [b"\x93NUMPY\x01\0", &[header.len() as u8, 0][..], header.as_bytes(), b"abcd"].concat());
    let small = "--limit-train 300 --valid-fraction 0.1 --eval-every 1steps --set train.ema_decay=0.9";
    for (command, arguments) in [
        ("train", format!("{small} --epochs 2 --health --out runs/a")),
        ("train", format!("{small} --epochs 2 --health --out runs/a --resume")),
        (
            "train",
            "train --limit-train 300 --epochs 1 --eval-every 1steps --set train.non_finite=skip --out runs/b"
                .to_owned(),
        ),
        (
            "train",
            "train --limit-train 300 --epochs 2 --eval-every 1steps --prune 0.5 --quantize 4 --set quantize.after=0.2 --out runs/c"
                .to_owned(),
        ),
        (
            "sweep",
            format!("sweep {small} --epochs 1 --lr 1e-3,1e-2 --health --set train.non_finite=skip --out sweeps/a"),
        ),
        (
            "sweep",
            "sweep --limit-train 300 --epochs 1 --eval-every 1steps --prune 0.5,0.8 --quantize 4 --set quantize.after=0.2 --out sweeps/b"
                .to_owned(),
        ),
        ("sweep", "sweep --limit-train 300 --epochs 1 --eval-every 1steps --points points.jsonl --out sweeps/c".to_owned()),
        ("sweep", "sweep --limit-train 300 --epochs 1 --points - --out sweeps/d".to_owned()),
        ("compare", "compare adam lion --limit-train 300 --epochs 1 --budget 2 --seed 0 --out c".to_owned()),
        ("sweep --dry-run", "sweep --lr 1e-3,1e-2 --dry-run".to_owned()),
        ("sweep --expand", "sweep --lr 1e-3,1e-2 --expand".to_owned()),
        ("--dry-run", "--dry-run".to_owned()),
        ("eval", "eval runs/a".to_owned()),
        ("predict", "predict runs/a picture.pgm array.npy absent.png --top 2".to_owned()),
        ("predict", "predict runs/table rows.csv".to_owned()),
        ("inspect", "inspect runs/a".to_owned()),
        ("compress", "compress runs/a --quantize int8 --out a.amc".to_owned()),
        ("inspect FILE.amc", "inspect a.amc".to_owned()),
        ("export", "export runs/a --to a.npz".to_owned()),
        ("export --to FOLDER/", "export runs/a --to tb/".to_owned()),
        ("data", "data digits".to_owned()),
        ("data --cache", "data --cache".to_owned()),
        ("runs", "runs".to_owned()),
        ("plot", "plot runs sweeps".to_owned()),
        ("report", "report runs/a -o report.html".to_owned()),
        ("runs --by-seed", "runs --by-seed".to_owned()),
        ("runs diff", "runs diff runs/a runs/b".to_owned()),
        ("runs rm", "runs rm --keep 1 runs sweeps".to_owned()),
        ("doctor", "doctor".to_owned()),
        ("optimizers", "optimizers".to_owned()),
        ("schedules", "schedules".to_owned()),
        ("trace", "trace --gradients gradients.csv --optimizer schedule-free-adamw".to_owned()),
        ("path", "path --function himmelblau --steps 3".to_owned()),
    ] {
        // One of the pictures is not there.
        let code = if command == "predict" { 3 } else { 0 };
        let mut process = place.adamtrain(&format!("{arguments} -q --json"));
        let outcome = common::finish(process.stdin(File::open(&said).unwrap())).expect(code);
        for line in outcome.stdout.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let key = (command.to_owned(), event["event"].as_str().unwrap_or("none").to_owned());
            let row = rows.get(&key).unwrap_or_else(|| panic!("README.md does not list {key:?}"));
            let found: Names = event.as_object().unwrap().keys().cloned().collect();
            let missing: Vec<_> = row.always.difference(&found).collect();
            let extra: Vec<_> =
                found.iter().filter(|name| !row.always.union(&row.sometimes).any(|n| n == *name)).collect();
            assert!(missing.is_empty() && extra.is_empty(), "{key:?}: missing {missing:?}, not listed {extra:?}");
            for (list, names) in &row.nested {
                for one in event[list].as_array().unwrap() {
                    assert_eq!(one.as_object().unwrap().keys().cloned().collect::<Names>(), *names, "{key:?}: {list}");
                }
            }
            let is_first = outcome.stdout.starts_with(line) && key.1 != "none";
            assert_eq!(found.contains("format"), is_first || key.0.starts_with("runs"), "{key:?}: format");
            assert!(event["format"].is_null() || event["format"] == 1, "{key:?}");
            seen.entry(key).or_default().extend(found);
        }
    }
    for (key, row) in &rows {
        let seen = seen.get(key).unwrap_or_else(|| panic!("{key:?} was not printed"));
        // What a point's line has of its own.
        let is_elsewhere = |name: &str| key.0 == "train" && ["point", "id"].contains(&name);
        let unseen: Vec<_> = row.sometimes.iter().filter(|name| !seen.contains(*name) && !is_elsewhere(name)).collect();
        assert!(unseen.is_empty(), "{key:?}: never printed: {unseen:?}");
    }
    assert!(include_str!("../README.md").contains("`format` behind it, now 1:"));
}
