//! The picture of a sweep, `curve.svg` and its text: accuracy over the swept settings.
//!
//! What is drawn follows from the axes. The numeric one with most values lies along x, and each combination of the others is a
//! line, its points the means over seeds. Where that is more than `MOST_LINES` lines, a second long axis makes it a heat map,
//! and short ones make it several panels. Without a numeric axis the combinations stand below one another, the best on the
//! validation split first.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value as Json;

use crate::draw::{Axis, Chart, Estimate, Figure, Form, MOST_CELLS, MOST_LINES, Overlay, Panel, Scale, label};
use crate::error::escaped;
use crate::report::table::{leaf, word};
use crate::run::results::{CHOSEN_BY, PointEnd, measure_of};

/// The name of the file.
pub const FILE: &str = "curve.svg";

/// More panels, and rows of a dot chart, than these are not drawn.
const MOST_PANELS: usize = 24;
const MOST_ROWS: usize = 60;

/// Longest label, in characters.
const LABEL_CHARS: usize = 32;

/// The outcome of each combination of values, by their places on the axes.
type Estimates = BTreeMap<Vec<usize>, Estimate>;

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

/// The figure of points that have ended; `subject` says what they share.
pub fn figure<'a>(ended: impl IntoIterator<Item = &'a PointEnd>, subject: &str) -> Figure {
    let ended: Vec<&PointEnd> = ended.into_iter().collect();
    let measure = measure_of(ended.iter().copied()).unwrap_or("accuracy");
    let (axes, cells, seeds, left) = gathered(&ended, measure);
    let best = cells.iter().filter_map(|(at, cell)| Some((cell.mean?, at)));
    // The test split judges what was chosen, and chooses nothing.
    let best = best.filter(|(_, at)| (measure == CHOSEN_BY || cells.len() == 1) && !left.contains(*at));
    let best = best.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)));

    let diverged: usize = cells.values().map(|cell| cell.diverged).sum();
    let mut note = vec![format!("{} point{}", ended.len(), if ended.len() == 1 { "" } else { "s" })];
    note.extend((seeds > 1).then(|| format!("mean ± σ over {seeds} seeds")));
    note.extend((diverged > 0).then(|| format!("{diverged} diverged")));
    let pruned = ended.iter().filter(|end| end.is_pruned()).count();
    note.extend((pruned > 0).then(|| format!("{pruned} drawn as they stood when they left")));
    let all: Vec<usize> = (0..axes.len()).collect();
    note.extend(best.map(|(mean, at)| match words(&axes, &all, at, true) {
        settings if settings.is_empty() => format!("mean {mean:.4}"),
        settings => format!("best {mean:.4} at {settings}"),
    }));

    let best = best.map(|(mean, _)| mean);
    let (scale, diverged) = (Scale::of_fractions(&shown(&cells)), diverged > 0);
    let (form, x, y, panels) = arranged(&axes, cells, best.is_some(), &mut note);
    let overlay = Overlay::default();
    let chart =
        Chart { form, measure: measure.into(), scale, bounds: (0.0, 1.0), x, y, panels, best, diverged, overlay };
    Figure {
        title: if subject.is_empty() { measure.to_owned() } else { format!("{measure}: {subject}") },
        note: note.join("; "),
        map: None,
        charts: vec![chart],
    }
}

/// The value of a swept setting of a point that has ended.
fn value<'a>(end: &'a PointEnd, key: &str) -> &'a Json {
    end.settings.get(key).unwrap_or(&Json::Null)
}

/// The numbers that the axis of accuracies must have room for.
fn shown(cells: &Estimates) -> Vec<f64> {
    let of_cell = |cell: &Estimate| {
        let (mean, (low, high)) = (cell.mean?, cell.spread());
        // A deviation that reaches beyond 1 is cut off, not shown.
        Some([mean, low, high.min(mean.max(0.999))])
    };
    cells.values().filter_map(of_cell).flatten().collect()
}

/// The axes but the seed, the outcome of each combination by this accuracy, the number of seeds, and the combinations of which points left on their way.
fn gathered(ended: &[&PointEnd], measure: &str) -> (Vec<Axis>, Estimates, usize, HashSet<Vec<usize>>) {
    let keys = ended.first().into_iter().flat_map(|first| first.settings.keys());
    let keys: Vec<&String> = keys.filter(|key| *key != "train.seed").collect();
    let (axes, places): (Vec<Axis>, Vec<_>) = keys.iter().map(|key| axis(key, ended)).unzip();

    let (mut cells, mut left) = (Estimates::new(), HashSet::new());
    for end in ended {
        let at = keys.iter().zip(&places).map(|(key, places)| places[&value(end, key).to_string()]);
        let at: Vec<usize> = at.collect();
        if end.is_pruned() {
            left.insert(at.clone());
        }
        let cell = cells.entry(at).or_default();
        if end.has_diverged() {
            cell.diverged += 1;
        } else {
            cell.values.extend(end.accuracy_by(measure).map(|accuracy| accuracy.clamp(0.0, 1.0)));
        }
    }
    for cell in cells.values_mut() {
        *cell = std::mem::take(cell).settled();
    }
    let seeds = ended.iter().filter_map(|end| Some(end.settings.get("train.seed")?.to_string()));
    (axes, cells, seeds.collect::<HashSet<_>>().len(), left)
}

/// The axis of a setting, and the place of each value: numbers in their order, words in that in which they were met.
fn axis(key: &str, ended: &[&PointEnd]) -> (Axis, HashMap<String, usize>) {
    let mut met = HashSet::new();
    let mut values: Vec<&Json> = ended.iter().map(|end| value(end, key)).collect();
    values.retain(|value| met.insert(value.to_string()));
    let is_numeric = values.iter().all(|value| as_number(value).is_some());
    if is_numeric {
        values.sort_by(|a, b| as_number(a).partial_cmp(&as_number(b)).unwrap_or(Ordering::Equal));
    }
    let words = values.iter().map(|value| value.as_f64().map_or_else(|| short(&word(value)), label));
    let axis = Axis {
        name: short(leaf(key)),
        labels: words.collect(),
        numbers: values.iter().filter(|_| is_numeric).filter_map(|value| as_number(value)).collect(),
        is_time: false,
    };
    (axis, values.iter().enumerate().map(|(place, value)| (value.to_string(), place)).collect())
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

/// The form, and the axes that lie along x, that make the lines, rows or y, and that make the panels.
fn form(axes: &[Axis]) -> (Form, Option<usize>, Vec<usize>, Vec<usize>) {
    let by_length = |k: &usize| (axes[*k].labels.len(), Reverse(*k));
    let numeric = (0..axes.len()).filter(|&k| !axes[k].numbers.is_empty());
    let Some(x) = numeric.max_by_key(by_length) else {
        return (Form::Dots, None, (0..axes.len()).collect(), vec![]);
    };
    let mut rest: Vec<usize> = (0..axes.len()).filter(|&k| k != x && axes[k].labels.len() > 1).collect();
    let count = rest.iter().fold(1_usize, |count, &k| count.saturating_mul(axes[k].labels.len()));
    let Some(longest) = rest.iter().copied().max_by_key(by_length).filter(|_| count > MOST_LINES) else {
        return (Form::Lines, Some(x), rest, vec![]);
    };
    // The longest that fits makes the lines of a panel, the others the panels.
    rest.retain(|&k| k != longest);
    let form = if axes[longest].labels.len() > MOST_LINES { Form::Heat } else { Form::Lines };
    (form, Some(x), vec![longest], rest)
}

/// The form, x, y and panels of a chart; what is left out of it is told in the `note`.
fn arranged(axes: &[Axis], cells: Estimates, ranked: bool, note: &mut Vec<String>) -> (Form, Axis, Axis, Vec<Panel>) {
    let (form, x, of_y, of_panel) = form(axes);
    let mut rows = combinations(&cells, &of_y);
    if form == Form::Dots {
        if ranked {
            let mean = |row: &Vec<usize>| cells[row].mean.unwrap_or(-1.0);
            rows.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        }
        if rows.len() > MOST_ROWS {
            note.push(format!("the {} {MOST_ROWS} of {} are drawn", if ranked { "best" } else { "first" }, rows.len()));
            rows.truncate(MOST_ROWS);
        }
    }
    for axis in x.iter().chain(&of_y).map(|&k| &axes[k]).filter(|_| form == Form::Heat) {
        let (thinned, count) = (axis.thinned(MOST_CELLS).len(), axis.labels.len());
        if thinned < count {
            note.push(format!("{thinned} of {count} values of {} are drawn", axis.name));
        }
    }
    // Without points there is a panel all the same.
    let mut keys = if cells.is_empty() { vec![vec![]] } else { combinations(&cells, &of_panel) };
    if keys.len() > MOST_PANELS {
        note.push(format!("the first {MOST_PANELS} of {} panels are drawn", keys.len()));
        keys.truncate(MOST_PANELS);
    }

    let panel = |key: &Vec<usize>| Panel { title: words(axes, &of_panel, key, true), ..Panel::default() };
    let mut panels: Vec<Panel> = keys.iter().map(panel).collect();
    let [row_of, panel_of] = [&rows, &keys].map(|all| all.iter().cloned().zip(0..).collect::<HashMap<_, usize>>());
    for (at, cell) in cells {
        if let (Some(&row), Some(&panel)) = (row_of.get(&part(&at, &of_y)), panel_of.get(&part(&at, &of_panel))) {
            panels[panel].cells.insert((row, x.map_or(0, |x| at[x])), cell);
        }
    }
    (form, x.map(|x| axes[x].clone()).unwrap_or_default(), joined(axes, &of_y, &rows, form), panels)
}

/// The axis of some combinations.
fn joined(axes: &[Axis], chosen: &[usize], rows: &[Vec<usize>], form: Form) -> Axis {
    let names: Vec<&str> = chosen.iter().map(|&k| axes[k].name.as_str()).collect();
    let labels = rows.iter().map(|row| words(axes, chosen, row, false));
    Axis {
        name: names.join(", "),
        labels: labels.map(|label| if form == Form::Dots { short(&label) } else { label }).collect(),
        numbers: if let [only] = chosen { axes[*only].numbers.clone() } else { vec![] },
        is_time: false,
    }
}

/// Where a combination lies on some axes.
fn part(at: &[usize], chosen: &[usize]) -> Vec<usize> {
    chosen.iter().map(|&k| at[k]).collect()
}

/// What combinations there are of some axes, the last one fastest.
fn combinations(cells: &Estimates, chosen: &[usize]) -> Vec<Vec<usize>> {
    let all: BTreeSet<Vec<usize>> = cells.keys().map(|at| part(at, chosen)).collect();
    all.into_iter().collect()
}

/// A combination of some axes in words.
fn words(axes: &[Axis], chosen: &[usize], at: &[usize], with_names: bool) -> String {
    let words = chosen.iter().zip(at).map(|(&k, &place)| match &axes[k] {
        axis if with_names => format!("{} {}", axis.name, axis.labels[place]),
        axis => axis.labels[place].clone(),
    });
    words.collect::<Vec<_>>().join(", ")
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
        let figure = figure(ended, "digits");
        let (svg, text) = (figure.to_svg(), figure.to_text(FILE, 80));
        assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        assert!(numbers(&svg).iter().all(|number| number.is_finite() && number.abs() < 1e5));
        for width in [30, 40, 80] {
            let text = figure.to_text(FILE, width);
            // The title is broken by who prints it.
            assert!(text.lines().skip(1).all(|line| line.chars().count() <= width), "{width} columns:\n{text}");
        }
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
        for word in ["mean ± σ over 5 seeds", ">lr<", ">beta2<", ">0.99<", ">1e-3<", "5 diverged"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        assert!(svg.contains("<title>lr 1e-4, beta2 0.99: 0.9003 ± 0.0002</title>"), "{svg}");
        assert!(text.contains("beta2:   o 0.99   + 0.999") && text.contains("; x diverged"), "{text}");
        assert!(text.lines().any(|line| line.contains("+-") && line.contains('x')), "{text}");
    }

    #[test]
    fn two_long_axes_are_a_heat_map_and_short_ones_are_panels() {
        let grid = |n: u32, m: u32, more: u32| {
            let point = |k: u32| {
                let (a, b, c) = (k / m / more, k / more % m, k % more);
                let [lr, weight_decay] = [a, b].map(|k| 10_f64.powf(-f64::from(k) / 3.0));
                let settings =
                    json!({"optim.lr": lr, "optim.weight_decay": weight_decay, "train.batch_size": 32 * (c + 1)});
                end(&settings, Some(0.5 + 0.001 * f64::from(a * b + c)))
            };
            drawn(&(0..n * m * more).map(point).collect::<Vec<_>>())
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
        let point = |k: usize| {
            let (optimizer, accuracy) = [("adam", Some(0.9)), ("sgd", None), ("lion", Some(0.95))][k / 2];
            end(&json!({"optim.optimizer": optimizer, "train.seed": k % 2}), accuracy)
        };
        let (svg, text) = drawn(&[0, 1, 2, 3, 4, 5].map(point));
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
        drawn(&(1..=1000).map(|k| end(&json!({"optim.lr": k}), Some(1.0 / f64::from(k)))).collect::<Vec<_>>());
        // What a damaged file may hold.
        drawn(&[end(&json!({}), None), end(&json!({"optim.lr": "fast"}), Some(-3.0)), end(&json!([1]), Some(7.0))]);
    }

    #[test]
    fn text_is_escaped() {
        let settings = json!({"optim.group": "<b a=\"1\">&'\u{0}\u{1b}[31m"});
        let figure = figure(&[end(&settings, Some(0.5))], "</title><script>");
        let svg = figure.to_svg();
        assert!(!svg.contains("<script") && !svg.contains("<b") && !svg.contains('\u{1b}') && !svg.contains('\0'));
        assert!(svg.contains("&lt;b a=&quot;1&quot;&gt;&amp;&apos;"), "{svg}");
        assert!(!figure.to_text(FILE, 80).contains('\u{1b}'));
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
                let beta2 = if b % 2 == 0 { json!(b) } else { json!(null) };
                end(&json!({"optim.lr": values[*a], "optim.beta2": beta2, "train.seed": c}), *accuracy)
            }).collect();
            drawn(&ended);
        }
    }
}
