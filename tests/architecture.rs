//! Who may import whom: docs/architecture.md lists the rooms of `src`, and imports point down that list alone.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in the order of the document, from the top.
fn rooms() -> Vec<String> {
    let text = include_str!("../docs/architecture.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect()
}

/// All Rust files below `folder`, but tests that have files of their own.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The room that a file of `src` belongs to.
fn room_of(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The rooms that a file imports, with the line that does: of what is compiled into the program.
fn imports(text: &str) -> Vec<(String, String)> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for rest in line.split("crate::").skip(1) {
            let names = rest.strip_prefix('{').map_or(rest, |group| group.split('}').next().unwrap());
            let is_group = rest.starts_with('{');
            for name in names.split(',').take(if is_group { usize::MAX } else { 1 }) {
                let name: String = name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                found.push((name, line.trim().to_owned()));
            }
        }
    }
    found
}

#[test]
fn imports_point_down_the_list_of_rooms() {
    let rooms = rooms();
    let floor: BTreeMap<&str, usize> = rooms.iter().map(String::as_str).zip(0..).collect();
    let mut sources = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&src, &mut sources);
    let mut wrong = Vec::new();
    for path in &sources {
        let file = path.strip_prefix(&src).unwrap();
        let room = room_of(file);
        // The contents page, and what unit tests share.
        if room == "lib" || room == "fuzz" {
            continue;
        }
        let Some(own) = floor.get(room.as_str()) else {
            wrong.push(format!("docs/architecture.md does not list the room `{room}`"));
            continue;
        };
        for (imported, line) in imports(&fs::read_to_string(path).unwrap()) {
            // What is no room stands in lib.rs itself: it belongs to the ground.
            let is_below = floor.get(imported.as_str()).is_none_or(|floor| floor > own);
            if imported != room && !is_below {
                wrong.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not point down:\n{}", wrong.join("\n"));
    let empty =
        rooms.iter().filter(|room| !sources.iter().any(|path| room_of(path.strip_prefix(&src).unwrap()) == **room));
    assert_eq!(empty.collect::<Vec<_>>(), [""; 0], "docs/architecture.md lists rooms that are not there");
}
