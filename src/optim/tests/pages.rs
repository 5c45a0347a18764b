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
    let (_, after) = rest.split_once("`: [docs/optimizers.md]").unwrap();
    let (paragraph, after) = after.split_once("\n\n").unwrap();
    let names: Vec<String> = FAMILIES.iter().map(|family| format!("`{}`", family.name)).collect();
    let list = filled(&format!("{}: [docs/optimizers.md]{paragraph}", names.join(", ")), 128);
    written("README.md", &format!("{before}## Optimizers\n\n{list}\n\n{after}"));
}

/// What the page says of a family beside prose: its formula, where no family before it has the same, and its defaults.
fn derived(family: &Family, before: &[&Family]) -> (Option<String>, String) {
    let is_new = before.iter().all(|other| other.file != family.file);
    let formula = is_new
        .then(|| family.formula().lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect());
    let defaults: Vec<String> =
        family.hypers.iter().map(|hyper| format!("`{}` {}", hyper.name(), hyper.default)).collect();
    (formula, format!("Defaults: {}.", defaults.join(", ")))
}

/// A section for a family that has none.
fn section(family: &Family, formula: Option<&str>, defaults: &str) -> String {
    let formula = formula.map(|formula| format!("\n{formula}")).unwrap_or_default();
    let state: Vec<String> = family.state.iter().map(|name| format!("`{name}`")).collect();
    let state = filled(&format!("State: {}. {defaults}", state.join(", ")), 125);
    format!("### {}\n{formula}\n{}.\n\n{state}\n\n", family.name, family.source)
}

#[test]
fn the_page_of_optimizers_follows_from_the_rules() {
    let page = page(PAGE);
    let (head, rest) = page.split_once("## The optimizers\n\n").unwrap();
    let (sections, tail) = rest.split_once("\n## ").unwrap();
    let sections = format!("{sections}\n");
    let mut all = String::new();
    for (index, family) in FAMILIES.iter().enumerate() {
        let (formula, defaults) = derived(family, &FAMILIES[..index]);
        let title = format!("### {}\n", family.name);
        let own = sections.split_inclusive('\n').collect::<Vec<_>>();
        let start = own.iter().position(|line| *line == title);
        let Some(start) = start else {
            all += &section(family, formula.as_deref(), &defaults);
            continue;
        };
        let end =
            own[start + 1..].iter().position(|line| line.starts_with("### ")).map_or(own.len(), |end| start + 1 + end);
        let text = own[start + 1..end].concat();
        let (block, prose) = text[1..]
            .split_at(text[1..].lines().take_while(|line| line.starts_with("    ")).map(|line| line.len() + 1).sum());
        assert_eq!(block.is_empty(), formula.is_none(), "{}: a formula on {PAGE}", family.name);
        // The last paragraph that speaks of defaults ends with them.
        let (prose, old) =
            prose.split_once("Defaults: ").unwrap_or_else(|| panic!("{}: no defaults on {PAGE}", family.name));
        let (prose, last) = prose.rsplit_once("\n\n").unwrap_or(("", prose));
        let (_, rest) = old.split_once("\n\n").unwrap_or((old, ""));
        let break_after = if prose.is_empty() { "" } else { "\n\n" };
        let (formula, last) = (formula.unwrap_or_default(), filled(&format!("{last}{defaults}"), 125));
        all += &format!("{title}\n{formula}{prose}{break_after}{last}\n\n{rest}");
    }
    let all = all.trim_end();
    written(PAGE, &format!("{head}## The optimizers\n\n{all}\n\n## {tail}"));
}

#[test]
fn the_page_of_optimizers_shows_the_file_of_one_as_it_is() {
    let file = family("adagrad").unwrap().file;
    let (_, code) = file.split_once("\n\nuse ").unwrap();
    assert!(page(PAGE).contains(&format!("```rust\nuse {code}```")), "{PAGE} shows adagrad.rs as it was");
}
