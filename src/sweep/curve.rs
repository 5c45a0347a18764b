//! Accuracy over the swept settings, as a picture and as text.
//!
//! What is drawn follows from the axes. The numeric one with most values lies along x, and each combination of the others is a
//! line, its points the means over seeds. Where that is more than [`MOST_LINES`] lines, a second long axis makes it a heat map,
//! and short ones make it several panels. Without a numeric axis the combinations stand below one another, the best on the
//! validation split first.

mod scale;
mod svg;
mod text;

use std::collections::HashMap;

use serde_json::Value as Json;

use super::table::mean_and_deviation;
use crate::error::escaped;
use crate::report::table::{leaf, word};
use crate::run::results::{CHOSEN_BY, PointEnd};
use scale::{Form, Scale, label};

/// More lines than this in one panel cannot be told apart; there are as many colours.
const MOST_LINES: usize = 8;

/// More panels than this are not drawn.
const MOST_PANELS: usize = 24;

/// More rows of a dot chart than this are not drawn.
const MOST_ROWS: usize = 60;

/// A side of a heat map longer than this is thinned out.
const MOST_CELLS: usize = 256;

/// Longest label, in characters.
const LABEL_CHARS: usize = 32;

/// The outcome of one combination over its seeds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Cell {
    accuracies: Vec<f64>,
    /// How many of its points diverged.
    diverged: usize,
    mean: Option<f64>,
    deviation: Option<f64>,
}

impl Cell {
    fn spread(&self) -> (f64, f64) {
        let (mean, deviation) = (self.mean.unwrap_or_default(), self.deviation.unwrap_or_default());
        (mean - deviation, mean + deviation)
    }

    /// `0.9312 ± 0.0008`, or what else there is to say.
    fn words(&self) -> String {
        let lost = if self.diverged > 0 { format!(", {} diverged", self.diverged) } else { String::new() };
        match (self.mean, self.deviation) {
            (None, _) => format!("{} diverged", self.diverged),
            (Some(mean), None) => format!("{mean:.4}{lost}"),
            (Some(mean), Some(deviation)) => format!("{mean:.4} ± {deviation:.4}{lost}"),
        }
    }
}

/// A swept setting, with the values that were met.
#[derive(Clone, Debug)]
struct Axis {
    name: String,
    labels: Vec<String>,
    /// The values as numbers, where all are.
    numbers: Option<Vec<f64>>,
}

impl Axis {
    fn len(&self) -> usize {
        self.labels.len()
    }

    /// Every k-th place, so that no more than `most` are left.
    fn thinned(&self, most: usize) -> Vec<usize> {
        (0..self.len()).step_by(self.len().div_ceil(most).max(1)).collect()
    }
}

/// A line of a panel: its label's place, and place on x and outcome of each point.
#[derive(Debug)]
struct Line {
    label: usize,
    points: Vec<(usize, Cell)>,
}

/// One of several panels.
#[derive(Debug)]
struct Panel<T> {
    title: String,
    content: T,
}

/// What is drawn.
#[derive(Debug)]
enum Drawing {
    Lines { x: Axis, x_scale: Scale, name: String, labels: Vec<String>, panels: Vec<Panel<Vec<Line>>> },
    Heat { x: Axis, y: Axis, panels: Vec<Panel<HashMap<(usize, usize), Cell>>> },
    Dots { name: String, rows: Vec<(String, Cell)> },
}

/// The outcome of a sweep, ready to be drawn.
#[derive(Debug)]
pub struct Figure {
    title: String,
    /// What the points are: seeds, diverged ones, the best one.
    note: String,
    measure: &'static str,
    scale: Scale,
    /// Whether some point diverged.
    diverged: bool,
    /// The highest mean.
    best: Option<f64>,
    drawing: Drawing,
}

/// The settings that all points share, in words for a title; `value` gives a setting's value where it is one for all.
pub fn subject(value: impl Fn(&str) -> Option<String>) -> String {
    let hidden = value("model.hidden").map(|hidden| match hidden.as_str() {
        "none" => "linear net".to_owned(),
        widths => format!("hidden {widths}"),
    });
    let epochs = value("train.epochs").map(|epochs| format!("{epochs} epoch{}", if epochs == "1" { "" } else { "s" }));
    let words = [value("data.dataset"), hidden, value("optim.optimizer"), epochs];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

impl Figure {
    /// Of the `point` lines of points that have ended; `subject` says what they share.
    pub fn of<'a>(ended: impl IntoIterator<Item = &'a PointEnd>, subject: &str) -> Self {
        let ended: Vec<&PointEnd> = ended.into_iter().collect();
        let (axes, cells, seeds) = gathered(&ended);
        let measure = ended.first().map_or("accuracy", |end| end.accuracy().0);
        let mut shown: Vec<f64> = Vec::new();
        for cell in cells.values() {
            let (low, high) = cell.spread();
            // A deviation that reaches beyond 1 is cut off, not shown.
            shown.extend(cell.mean.into_iter().chain([low, high.min(cell.mean.unwrap_or_default().max(0.999))]));
            if cell.mean.is_none() {
                shown.truncate(shown.len() - 2);
            }
        }
        let best = cells.iter().filter_map(|(at, cell)| Some((cell.mean?, at)));
        // The test split judges what was chosen, and chooses nothing.
        let best = best
            .filter(|_| measure == CHOSEN_BY || cells.len() == 1)
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)));
        let settings = |at: &[usize]| {
            let words = axes.iter().zip(at).map(|(axis, &k)| format!("{} {}", axis.name, axis.labels[k]));
            words.collect::<Vec<_>>().join(", ")
        };
        let diverged: usize = cells.values().map(|cell| cell.diverged).sum();
        let mut note = vec![format!("{} point{}", ended.len(), if ended.len() == 1 { "" } else { "s" })];
        note.extend((seeds > 1).then(|| format!("mean ± σ over {seeds} seeds")));
        note.extend((diverged > 0).then(|| format!("{diverged} diverged")));
        note.extend(best.map(|(mean, at)| match settings(at) {
            settings if settings.is_empty() => format!("mean {mean:.4}"),
            settings => format!("best {mean:.4} at {settings}"),
        }));
        let best = best.map(|(mean, _)| mean);
        let drawing = drawing(&axes, cells, best.is_some(), &mut note);
        Self {
            title: if subject.is_empty() { measure.to_owned() } else { format!("{measure}: {subject}") },
            note: note.join("; "),
            measure,
            scale: Scale::of_accuracies(&shown),
            diverged: diverged > 0,
            best,
            drawing,
        }
    }

    /// What the axis of accuracies is called.
    fn accuracy_axis(&self) -> String {
        let form = if self.scale.form == Form::Complement { " (log scale of the error)" } else { "" };
        format!("{}{form}", self.measure)
    }
}

/// The axes but the seed, the outcome of each combination, and the number of seeds.
fn gathered(ended: &[&PointEnd]) -> (Vec<Axis>, HashMap<Vec<usize>, Cell>, usize) {
    let keys: Vec<&String> = ended.first().map(|first| first.settings.keys().collect()).unwrap_or_default();
    let keys: Vec<&String> = keys.into_iter().filter(|key| *key != "train.seed").collect();

    let mut values: Vec<Vec<&Json>> = vec![Vec::new(); keys.len()];
    let mut places: Vec<HashMap<String, usize>> = vec![HashMap::new(); keys.len()];
    let mut seeds: Vec<String> = Vec::new();
    let mut cells: HashMap<Vec<usize>, Cell> = HashMap::new();
    for end in ended {
        let mut at = Vec::with_capacity(keys.len());
        for (k, key) in keys.iter().enumerate() {
            let value = end.settings.get(*key).unwrap_or(&Json::Null);
            at.push(*places[k].entry(value.to_string()).or_insert_with(|| {
                values[k].push(value);
                values[k].len() - 1
            }));
        }
        if let Some(seed) = end.settings.get("train.seed").map(Json::to_string).filter(|seed| !seeds.contains(seed)) {
            seeds.push(seed);
        }
        let cell = cells.entry(at).or_default();
        match end.accuracy().1.filter(|_| !end.has_diverged()) {
            Some(accuracy) => cell.accuracies.push(accuracy.clamp(0.0, 1.0)),
            None => cell.diverged += 1,
        }
    }

    // Numbers in their order, words in that in which they were given.
    let mut axes = Vec::new();
    let mut moved: Vec<Vec<usize>> = Vec::new();
    for (key, values) in keys.iter().zip(&values) {
        let numbers: Option<Vec<f64>> = values.iter().map(|value| as_number(value)).collect();
        let mut order: Vec<usize> = (0..values.len()).collect();
        if let Some(numbers) = &numbers {
            order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        }
        let mut place = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new;
        }
        moved.push(place);
        let words = order.iter().map(|&k| match values[k].as_f64() {
            Some(number) => label(number),
            None => short(&word(values[k])),
        });
        axes.push(Axis {
            name: short(leaf(key)),
            labels: words.collect(),
            numbers: numbers.map(|numbers| order.iter().map(|&k| numbers[k]).collect()),
        });
    }
    let cells = cells.into_iter().map(|(at, mut cell)| {
        (cell.mean, cell.deviation) = mean_and_deviation(&cell.accuracies);
        (at.iter().zip(&moved).map(|(&k, place)| place[k]).collect(), cell)
    });
    let cells = cells.collect();
    (axes, cells, seeds.len())
}

/// A number, or the width of a net with one hidden layer.
fn as_number(value: &Json) -> Option<f64> {
    let number = match value {
        Json::Array(widths) if widths.len() == 1 => widths[0].as_f64(),
        other => other.as_f64(),
    };
    number.filter(|number| number.is_finite())
}

/// A label of the file's own words: none too long, and no control characters.
fn short(text: &str) -> String {
    let text = escaped(text);
    if text.chars().count() <= LABEL_CHARS {
        return text;
    }
    text.chars().take(LABEL_CHARS - 1).collect::<String>() + "…"
}

/// Decides what is drawn.
fn drawing(axes: &[Axis], cells: HashMap<Vec<usize>, Cell>, ranked: bool, note: &mut Vec<String>) -> Drawing {
    let numeric = (0..axes.len()).filter(|&k| axes[k].numbers.is_some());
    let Some(x) = numeric.max_by_key(|&k| (axes[k].len(), std::cmp::Reverse(k))) else {
        let name: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
        return dots(axes, cells, name.join(", "), ranked, note);
    };
    let rest: Vec<usize> = (0..axes.len()).filter(|&k| k != x && axes[k].len() > 1).collect();
    let lines = rest.iter().fold(1_usize, |lines, &k| lines.saturating_mul(axes[k].len()));
    let by_length = |k: &&usize| (axes[**k].len(), std::cmp::Reverse(**k));
    let longest = rest.iter().max_by_key(by_length).copied().filter(|_| lines > MOST_LINES);
    match longest {
        Some(y) if axes[y].len() > MOST_LINES => heat(axes, cells, (x, y), &without(&rest, &[y]), note),
        // The longest that fits makes the lines of a panel, the others the panels.
        Some(line) => curves(axes, cells, x, &[line], &without(&rest, &[line]), note),
        None => curves(axes, cells, x, &rest, &[], note),
    }
}

fn without(all: &[usize], some: &[usize]) -> Vec<usize> {
    all.iter().copied().filter(|k| !some.contains(k)).collect()
}

/// The places of a combination on some axes, and their words.
fn part(axes: &[Axis], at: &[usize], chosen: &[usize], with_names: bool) -> (Vec<usize>, String) {
    let words = chosen.iter().map(|&k| {
        let label = &axes[k].labels[at[k]];
        if with_names { format!("{} {label}", axes[k].name) } else { label.clone() }
    });
    (chosen.iter().map(|&k| at[k]).collect(), words.collect::<Vec<_>>().join(", "))
}

/// Combinations in their fixed order: axes as in the table of settings, the last one fastest.
fn ordered(cells: HashMap<Vec<usize>, Cell>) -> Vec<(Vec<usize>, Cell)> {
    let mut cells: Vec<_> = cells.into_iter().collect();
    cells.sort_by(|a, b| a.0.cmp(&b.0));
    cells
}

/// Puts `make`'s content into the panel of each combination of the axes `of_panel`.
fn panels<T: Default>(
    axes: &[Axis],
    cells: HashMap<Vec<usize>, Cell>,
    of_panel: &[usize],
    note: &mut Vec<String>,
    mut put: impl FnMut(&mut T, Vec<usize>, Cell),
) -> Vec<Panel<T>> {
    let mut panels: Vec<(Vec<usize>, Panel<T>)> = Vec::new();
    let mut places: HashMap<Vec<usize>, usize> = HashMap::new();
    for (at, cell) in ordered(cells) {
        let (key, title) = part(axes, &at, of_panel, true);
        let place = *places.entry(key.clone()).or_insert_with(|| {
            panels.push((key, Panel { title, content: T::default() }));
            panels.len() - 1
        });
        put(&mut panels[place].1.content, at, cell);
    }
    panels.sort_by(|a, b| a.0.cmp(&b.0));
    if panels.len() > MOST_PANELS {
        note.push(format!("the first {MOST_PANELS} of {} panels are drawn", panels.len()));
        panels.truncate(MOST_PANELS);
    }
    panels.into_iter().map(|(_, panel)| panel).collect()
}

fn curves(
    axes: &[Axis],
    cells: HashMap<Vec<usize>, Cell>,
    x: usize,
    of_line: &[usize],
    of_panel: &[usize],
    note: &mut Vec<String>,
) -> Drawing {
    let mut keys: Vec<(Vec<usize>, String)> = cells.keys().map(|at| part(axes, at, of_line, false)).collect();
    keys.sort();
    keys.dedup();
    let panels = panels(axes, cells, of_panel, note, |lines: &mut Vec<Line>, at, cell| {
        let (key, _) = part(axes, &at, of_line, false);
        let label = keys.binary_search_by(|(other, _)| other.cmp(&key)).unwrap_or_default();
        let place = lines.iter().position(|line| line.label == label).unwrap_or_else(|| {
            lines.push(Line { label, points: Vec::new() });
            lines.len() - 1
        });
        lines[place].points.push((at[x], cell));
    });
    let mut panels = panels;
    for panel in &mut panels {
        panel.content.sort_by_key(|line| line.label);
        panel.content.iter_mut().for_each(|line| line.points.sort_by_key(|(x, _)| *x));
    }
    let names: Vec<&str> = of_line.iter().map(|&k| axes[k].name.as_str()).collect();
    Drawing::Lines {
        x: axes[x].clone(),
        x_scale: Scale::of(axes[x].numbers.as_deref().unwrap_or_default()),
        name: names.join(", "),
        labels: keys.into_iter().map(|(_, label)| label).collect(),
        panels,
    }
}

fn heat(
    axes: &[Axis],
    cells: HashMap<Vec<usize>, Cell>,
    (x, y): (usize, usize),
    of_panel: &[usize],
    note: &mut Vec<String>,
) -> Drawing {
    for k in [x, y] {
        let thinned = axes[k].thinned(MOST_CELLS).len();
        if thinned < axes[k].len() {
            note.push(format!("{thinned} of {} values of {} are drawn", axes[k].len(), axes[k].name));
        }
    }
    let put = |map: &mut HashMap<(usize, usize), Cell>, at: Vec<usize>, cell| {
        map.insert((at[x], at[y]), cell);
    };
    let panels = panels(axes, cells, of_panel, note, put);
    Drawing::Heat { x: axes[x].clone(), y: axes[y].clone(), panels }
}

fn dots(
    axes: &[Axis],
    cells: HashMap<Vec<usize>, Cell>,
    name: String,
    ranked: bool,
    note: &mut Vec<String>,
) -> Drawing {
    let all: Vec<usize> = (0..axes.len()).collect();
    let rows = ordered(cells).into_iter().map(|(at, cell)| (short(&part(axes, &at, &all, false).1), cell));
    let mut rows: Vec<(String, Cell)> = rows.collect();
    if ranked {
        rows.sort_by(|a, b| b.1.mean.unwrap_or(-1.0).total_cmp(&a.1.mean.unwrap_or(-1.0)));
    }
    if rows.len() > MOST_ROWS {
        note.push(format!("the {} {MOST_ROWS} of {} are drawn", if ranked { "best" } else { "first" }, rows.len()));
        rows.truncate(MOST_ROWS);
    }
    Drawing::Dots { name, rows }
}

/// Which of the ticks can have a label if each is `width(label)` of the axis long: those that touch none before.
fn labelled(ticks: &[scale::Tick], width: impl Fn(&str) -> f64) -> Vec<bool> {
    let mut end = f64::NEG_INFINITY;
    let fits = |(place, label): &scale::Tick| {
        let half = width(label) / 2.0;
        let fits = place - half > end;
        if fits {
            end = place + half;
        }
        fits
    };
    ticks.iter().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Status;
    use crate::train::Record;
    use proptest::prelude::*;
    use serde_json::{Map, json};

    /// A `point` line; without an accuracy it diverged.
    fn end(settings: &Json, accuracy: Option<f64>) -> PointEnd {
        PointEnd {
            point: 0,
            settings: settings.as_object().cloned().unwrap_or_default(),
            derived: Map::new(),
            status: if accuracy.is_some() { Status::Finished } else { Status::Diverged },
            reason: None,
            last: Some(Record { valid_accuracy: accuracy, ..Record::default() }),
            epochs: 1,
            best: None,
        }
    }

    /// Every number in the attributes of an SVG file.
    fn numbers(svg: &str) -> Vec<f64> {
        let quoted = svg.split('"').skip(1).step_by(2);
        let words = quoted.flat_map(|text| text.split(|c: char| c.is_whitespace() || "ML aZ(),".contains(c)));
        let words = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// Draws both ways, and checks what holds for every figure.
    fn drawn(ended: &[PointEnd]) -> (String, String) {
        let figure = Figure::of(ended, "digits");
        let (svg, text) = (figure.to_svg(), figure.to_text());
        assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        assert!(numbers(&svg).iter().all(|number| number.is_finite() && number.abs() < 1e5));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        (svg, text)
    }

    #[test]
    fn a_line_is_a_combination_and_its_points_are_means_over_seeds() {
        let mut ended = Vec::new();
        for lr in [1e-4, 1e-3, 1e-2, 1e-1] {
            for beta2 in [0.99, 0.999] {
                for seed in 0..5 {
                    let accuracy = (lr < 0.1 || beta2 < 0.995).then_some(0.9 + lr + 1e-4 * f64::from(seed));
                    ended.push(end(&json!({"optim.lr": lr, "optim.beta2": beta2, "train.seed": seed}), accuracy));
                }
            }
        }
        let (svg, text) = drawn(&ended);
        for word in
            ["mean ± σ over 5 seeds", ">lr</text>", ">beta2</text>", ">0.99</text>", ">1e-3</text>", "5 diverged"]
        {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        assert!(svg.contains("<title>lr 1e-4, beta2 0.99: 0.9003 ± 0.0002</title>"), "{svg}");
        assert!(text.contains("beta2:   o 0.99   + 0.999") && text.contains("; x diverged"), "{text}");
        assert!(text.lines().any(|line| line.contains("+-") && line.contains('x')), "{text}");
    }

    #[test]
    fn two_long_axes_are_a_heat_map_and_short_ones_are_panels() {
        let grid = |n: u32, m: u32, more: u32| {
            let mut ended = Vec::new();
            for (a, b, c) in (0..n * m * more).map(|k| (k / m / more, k / more % m, k % more)) {
                let settings = json!({
                    "optim.lr": 10_f64.powf(-f64::from(a) / 3.0),
                    "optim.weight_decay": 10_f64.powf(-f64::from(b) / 3.0),
                    "train.batch_size": 32 * (c + 1),
                });
                ended.push(end(&settings, Some(0.5 + 0.001 * f64::from(a * b + c))));
            }
            drawn(&ended)
        };
        let (svg, text) = grid(10, 10, 1);
        assert!(svg.matches("<rect").count() > 100 && !svg.contains("<path"), "a heat map");
        assert!(text.contains("weight_decay |") && text.contains(".5810"), "{text}");
        assert!(grid(10, 10, 3).0.contains(">batch_size 64</text>"));
        let (svg, text) = grid(10, 8, 3);
        assert!(svg.contains(">batch_size 64</text>") && svg.contains("<path"), "panels of lines");
        assert!(text.contains("one of 3 panels"), "{text}");
        assert!(grid(100, 9, 1).1.contains("from low to high"));
        assert!(grid(400, 9, 1).0.contains("200 of 400 values of lr are drawn"));
        assert!(grid(30, 29, 28).0.contains("the first 24 of 28 panels are drawn"));
    }

    #[test]
    fn words_are_a_dot_chart_the_best_first() {
        let mut ended = Vec::new();
        for (optimizer, accuracy) in [("adam", Some(0.9)), ("sgd", None), ("lion", Some(0.95))] {
            for seed in 0..2 {
                ended.push(end(&json!({"optim.optimizer": optimizer, "train.seed": seed}), accuracy));
            }
        }
        let (svg, text) = drawn(&ended);
        let place = |word: &str| svg.find(&format!(">{word}</text>")).unwrap();
        assert!(place("lion") < place("adam") && place("adam") < place("sgd"));
        assert!(svg.contains(">0.9500 ± 0.0000</text>") && svg.contains(">2 diverged</text>"), "{svg}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("lion |") && lines[3].contains("sgd | x"), "{text}");
    }

    #[test]
    fn sweeps_without_a_curve_are_drawn_all_the_same() {
        drawn(&[]);
        drawn(&[end(&json!({}), Some(0.5))]);
        drawn(&[end(&json!({"train.seed": 1}), Some(0.5)), end(&json!({"train.seed": 2}), Some(0.6))]);
        drawn(&[end(&json!({"optim.lr": 0.1}), Some(1.0))]);
        drawn(&[end(&json!({"optim.lr": 0.1}), Some(0.0)), end(&json!({"optim.lr": 0.2}), Some(1.0))]);
        let (svg, _) = drawn(&[end(&json!({"optim.lr": 1e-2}), None), end(&json!({"optim.lr": 1e30}), None)]);
        assert!(svg.contains("2 points; 2 diverged"), "{svg}");
        let thousand: Vec<PointEnd> =
            (1..=1000).map(|k| end(&json!({"optim.lr": k}), Some(1.0 / f64::from(k)))).collect();
        drawn(&thousand);
        // What a damaged file may hold.
        drawn(&[end(&json!({}), None), end(&json!({"optim.lr": "fast"}), Some(-3.0)), end(&json!([1]), Some(7.0))]);
    }

    #[test]
    fn text_is_escaped() {
        let settings = json!({"optim.group": "<b a=\"1\">&'\u{0}\u{1b}[31m"});
        let figure = Figure::of(&[end(&settings, Some(0.5))], "</title><script>");
        let svg = figure.to_svg();
        assert!(!svg.contains("<script") && !svg.contains("<b") && !svg.contains('\u{1b}') && !svg.contains('\0'));
        assert!(svg.contains("&lt;b a=&quot;1&quot;&gt;&amp;&apos;"), "{svg}");
        assert!(!figure.to_text().contains('\u{1b}'));
    }

    #[test]
    fn the_subject_leaves_out_what_is_swept() {
        let all = |key: &str| match key {
            "data.dataset" => Some("mnist".to_owned()),
            "model.hidden" => Some("none".to_owned()),
            "train.epochs" => Some("1".to_owned()),
            _ => None,
        };
        assert_eq!(subject(all), "mnist, linear net, 1 epoch");
        assert_eq!(subject(|_| None), "");
    }

    proptest! {
        #[test]
        fn every_number_drawn_is_finite(points in proptest::collection::vec(
            (0_usize..6, 0_usize..4, 0_usize..3, proptest::option::of(0.0..=1.0_f64)), 0..60,
        ), values in proptest::collection::vec(proptest::num::f64::NORMAL, 6)) {
            let ended: Vec<PointEnd> = points.iter().map(|(a, b, c, accuracy)| {
                let settings: Map<String, Json> = Map::from_iter([
                    ("optim.lr".to_owned(), json!(values[*a])),
                    ("optim.beta2".to_owned(), if b % 2 == 0 { json!(b) } else { json!(null) }),
                    ("train.seed".to_owned(), json!(c)),
                ]);
                end(&Json::Object(settings), *accuracy)
            }).collect();
            drawn(&ended);
        }
    }
}
