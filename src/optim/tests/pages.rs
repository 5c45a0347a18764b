//! README.md and docs/optimizers.md name what the list of optimizers names.

use super::*;

const PAGE: &str = "docs/optimizers.md";

fn page(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Words in lines of at most `width` letters.
fn filled(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            *line += if line.is_empty() { "" } else { " " };
            *line += word;
        }
    }
    lines.join("\n")
}

#[test]
fn the_list_in_the_readme_follows_from_the_rules() {
    let page = page("README.md");
    let (before, rest) = page.split_once("## Optimizers\n\n").unwrap();
    let (_, after) = rest.split_once("`:").unwrap();
    let (paragraph, after) = after.split_once("\n\n").unwrap();
    let names: Vec<String> = FAMILIES.iter().map(|family| format!("`{}`", family.name)).collect();
    let list = filled(&format!("{}:{paragraph}", names.join(", ")), 128);
    written("README.md", &format!("{before}## Optimizers\n\n{list}\n\n{after}"));
}

/// What follows from a family on the page: its formula as lines that are set in, and its defaults.
fn derived(family: &Family) -> (String, String) {
    let formula = family.formula().lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
    let defaults: Vec<String> =
        family.hypers.iter().map(|hyper| format!("`{}` {}", hyper.name(), hyper.default)).collect();
    (formula, format!("Defaults: {}.", defaults.join(", ")))
}

/// The section of a family: `own` with formula and defaults renewed, or a new one. The formula stands in the first section only of
/// those whose families share a file.
fn section(family: &Family, own: Option<&str>, is_first: bool) -> String {
    let (formula, defaults) = derived(family);
    let formula = if is_first { format!("{formula}\n") } else { String::new() };
    let Some(own) = own else {
        let state: Vec<String> = family.state.iter().map(|name| format!("`{name}`")).collect();
        let last = filled(&format!("State: {}. {defaults}", state.join(", ")), 125);
        return format!("{formula}{}.\n\n{last}\n\n", family.source);
    };
    let paragraph = |text: &str| -> String {
        match text.split_once("Defaults: ") {
            Some((before, _)) => filled(&format!("{before}{defaults}"), 125),
            None => text.to_owned(),
        }
    };
    let is_formula = |text: &&str| text.starts_with("    ");
    let mut paragraphs: Vec<&str> = own.split("\n\n").collect();
    assert!(own.contains("Defaults: "), "{}: no defaults on {PAGE}", family.name);
    assert_eq!(paragraphs.first().is_some_and(is_formula), is_first, "{}: its formula on {PAGE}", family.name);
    if is_first {
        paragraphs.remove(0);
    }
    formula + &paragraphs.into_iter().map(paragraph).collect::<Vec<_>>().join("\n\n") + "\n\n"
}

#[test]
fn the_page_of_optimizers_follows_from_the_rules() {
    let page = page(PAGE);
    let (head, rest) = page.split_once("## The optimizers\n\n").unwrap();
    let (sections, tail) = rest.split_once("\n\n## ").unwrap();
    let sections: Vec<(&str, &str)> =
        sections.split("\n\n### ").filter_map(|own| own.trim_start_matches("### ").split_once("\n\n")).collect();
    let titles = page.lines().skip_while(|line| *line != "## The optimizers").skip(1);
    let titles = titles.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("### ")).count();
    assert_eq!(titles, sections.len(), "a heading of {PAGE} has no empty line before or behind it");
    let find = |name: &str| sections.iter().find(|(title, _)| *title == name).map(|(_, text)| *text);
    let section = |(index, family): (usize, &&Family)| {
        let is_first = FAMILIES[..index].iter().all(|other| other.file != family.file);
        format!("### {}\n\n{}", family.name, section(family, find(family.name), is_first))
    };
    let all = FAMILIES.iter().enumerate().map(section).collect::<Vec<_>>().concat();
    written(PAGE, &format!("{head}## The optimizers\n\n{all}## {tail}"));
}

#[test]
fn the_page_of_optimizers_shows_the_file_of_one_as_it_is() {
    let file = family("adagrad").unwrap().file;
    let (_, code) = file.split_once("\n\nuse ").unwrap();
    assert!(page(PAGE).contains(&format!("```rust\nuse {code}```")), "{PAGE} shows adagrad.rs as it was");
}
