//! Ways of rules as pictures: of two variables a map with the ways over it, of one the way over steps; beside it values or regret.

use super::functions::{Point, Problem};
use super::walk::Walk;
use crate::draw::{Axis, Chart, Estimate, Figure, Form, Heights, Map, Overlay, Panel, Scale, Way, label};

/// Points of a line that are drawn.
const MOST_POINTS: usize = 400;

/// Points of a way over a map.
const MOST_PLACES: usize = 4_000;

/// Corners along x and y between which level curves are drawn, and how many these are.
const CORNERS: (usize, usize) = (181, 135);
const LEVELS: usize = 18;

/// Ways that lead farther than this many windows away are cut off.
const MOST_WIDER: f64 = 2.0;

/// A margin around ways, as a share of what they take.
const MARGIN: f64 = 0.12;

/// From this ratio of the largest to the smallest on, values are seen by their logarithm.
const WIDE: f64 = 20.0;

/// The picture of some rules' ways, with a label each, along a function.
pub fn of(problem: &Problem, labels: &[String], walks: &[Walk], note: &str) -> Figure {
    let steps = walks.iter().map(|walk| walk.points.len().saturating_sub(1)).max().unwrap_or_default();
    let picked = picked(steps);
    let title = if problem.name == problem.formula {
        format!("f = {}", problem.formula)
    } else {
        format!("{}: f = {}", problem.name, problem.formula)
    };
    let chart = |line: &Lines| line.chart(&picked, labels, walks);
    if problem.variables() == 2 {
        let least = problem.minima.first().map(|minimum| problem.value(*minimum));
        let measure = if least.is_some_and(|least| least != 0.0) { "f above its minimum" } else { "f" };
        let values = Lines {
            measure,
            of: &|walk| walk.values.clone(),
            kind: Kind::Values(least.unwrap_or_default()),
            guides: Vec::new(),
        };
        let map = Some(map(problem, labels, walks));
        let legend = "ring: start; star: minimum; dots at steps 1, 2, 5, 10, …";
        return Figure { title, note: [note, legend].join("; "), map, charts: vec![chart(&values)] };
    }
    let guides = problem.minima.iter().map(|minimum| minimum[0]).collect();
    let places = Lines {
        measure: "x",
        of: &|walk| walk.points.iter().map(|point| point[0]).collect(),
        kind: Kind::Places,
        guides,
    };
    let beside = if problem.gradients.are_online() {
        // There is none before the first step.
        let regret = |walk: &Walk| {
            [walk.regret.first().copied().unwrap_or_default()].into_iter().chain(walk.regret.iter().copied()).collect()
        };
        Lines { measure: "average regret", of: &{ regret }, kind: Kind::Regret, guides: vec![0.0] }
            .chart(&picked, labels, walks)
    } else {
        chart(&Lines { measure: "f", of: &|walk| walk.values.clone(), kind: Kind::Values(0.0), guides: Vec::new() })
    };
    let stretch = picked.get(1).copied().unwrap_or(1) - picked.first().copied().unwrap_or(0);
    let mut notes = vec![note.to_owned()];
    notes.extend((!problem.minima.is_empty()).then(|| "dashed: where f is least".to_owned()));
    notes.extend((stretch > 1).then(|| format!("each point stands for {stretch} steps: mean, and ± σ as a band")));
    Figure { title, note: notes.join("; "), map: None, charts: vec![chart(&places), beside] }
}

/// The steps of which lines are drawn: all, or the last of equal stretches.
fn picked(steps: usize) -> Vec<usize> {
    let every = steps.div_ceil(MOST_POINTS).max(1);
    let mut picked: Vec<usize> = (0..=steps).step_by(every).collect();
    if picked.last() != Some(&steps) {
        picked.push(steps);
    }
    picked
}

/// What numbers are, and so how they are seen.
#[derive(Clone, Copy)]
enum Kind {
    /// The mean over a stretch stands for it.
    Places,
    /// Counted from this number, by their logarithm where they are far apart.
    Values(f64),
    /// In a frame that leaves the first ones out, which are a thousand times larger than the rest.
    Regret,
}

/// The share of a line that regret leaves out of its frame.
const UNSETTLED: f64 = 0.03;

/// What a chart shows of ways.
struct Lines<'a> {
    measure: &'a str,
    /// The numbers, from that before the first step.
    of: &'a dyn Fn(&Walk) -> Vec<f64>,
    kind: Kind,
    guides: Vec<f64>,
}

impl Lines<'_> {
    fn chart(&self, picked: &[usize], labels: &[String], walks: &[Walk]) -> Chart {
        let mut panel = Panel::default();
        for (line, walk) in walks.iter().enumerate() {
            let below = if let Kind::Values(below) = self.kind { below } else { 0.0 };
            let numbers: Vec<f64> = (self.of)(walk).iter().map(|number| number - below).collect();
            let mut before = 0;
            for (place, &step) in picked.iter().enumerate() {
                let stretch = numbers.get(before..=step).unwrap_or_default();
                before = step + 1;
                let values = match self.kind {
                    Kind::Places => stretch.to_vec(),
                    _ => stretch.last().copied().into_iter().collect(),
                };
                if !values.is_empty() {
                    panel.cells.insert((line, place), Estimate::of(values));
                }
            }
        }
        let first = if let Kind::Regret = self.kind { (UNSETTLED * picked.len() as f64).ceil() as usize } else { 0 };
        let settled = panel.cells.iter().filter(|((_, place), _)| *place >= first);
        let means: Vec<f64> = settled.filter_map(|(_, cell)| cell.mean).collect();
        let (scale, bounds) = self.seen(&means);
        Chart {
            form: Form::Lines,
            measure: self.measure.to_owned(),
            scale,
            bounds,
            x: Axis::of_time("step", picked.iter().map(|&step| step as f64).collect()),
            y: Axis { name: "rule".to_owned(), labels: labels.to_vec(), ..Axis::default() },
            panels: vec![panel],
            best: None,
            diverged: false,
            overlay: Overlay { are_curves: true, guides: self.guides.clone(), ..Overlay::default() },
        }
    }

    fn seen(&self, means: &[f64]) -> (Scale, (f64, f64)) {
        let widest = (f64::NEG_INFINITY, f64::INFINITY);
        let above = means.iter().copied().filter(|mean| *mean > 0.0);
        let (least, most) =
            above.fold((f64::INFINITY, 0.0_f64), |(least, most), mean| (least.min(mean), most.max(mean)));
        // What is 0 but for roundings lies at the foot.
        let least = least.max(most * 1e-16);
        let scale = Scale::even(&means.iter().copied().chain(self.guides.iter().copied()).collect::<Vec<_>>());
        match self.kind {
            Kind::Values(_) if means.iter().all(|mean| *mean >= -1e-12) && most / least >= WIDE => {
                (Scale::log(&[least, most]), (least, widest.1))
            }
            Kind::Regret => (scale, (widest.0, most)),
            _ => (scale, widest),
        }
    }
}

fn map(problem: &Problem, labels: &[String], walks: &[Walk]) -> Map {
    let window = window(problem, walks);
    let [(left, right), (low, high)] = window;
    let heights =
        Heights::of(CORNERS.0, CORNERS.1, |(x, y)| problem.value([left + x * (right - left), low + y * (high - low)]));
    let ways = labels.iter().zip(walks).map(|(label, walk)| way(label, walk)).collect();
    let minima = problem.minima.iter().map(|minimum| (minimum[0], minimum[1])).collect();
    Map { window, levels: heights.levels(LEVELS), heights, ways, minima }
}

fn way(name: &str, walk: &Walk) -> Way {
    let last = walk.points.len().saturating_sub(1);
    let every = walk.points.len().div_ceil(MOST_PLACES).max(1);
    let kept: Vec<usize> = (0..=last).filter(|step| step.is_multiple_of(every) || *step == last).collect();
    let told = |step: usize| {
        let (point, value) = (walk.points[step], walk.values[step]);
        format!("{name}, step {step}: x {}, y {}, f {}", label(point[0]), label(point[1]), label(value))
    };
    // 1, 2, 5, 10, 20, …
    let round = (0..9).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_usize.pow(power)));
    let stops: Vec<usize> = round.take_while(|step| *step < last).chain([last]).collect();
    // A stop between two places that are kept stands at the nearest before it.
    let place = |step: usize| kept.partition_point(|&other| other <= step) - 1;
    Way {
        label: name.to_owned(),
        points: kept.iter().map(|&step| (walk.points[step][0], walk.points[step][1])).collect(),
        stops: stops.into_iter().map(|step| (place(step), told(step))).collect(),
    }
}

/// What a map shows: the function's own window, and the ways as far as they do not lead too far away.
fn window(problem: &Problem, walks: &[Walk]) -> [(f64, f64); 2] {
    let points = || walks.iter().flat_map(|walk| walk.points.iter()).chain([&problem.start]);
    [0, 1].map(|axis| {
        let (from, to) = problem.window.map_or_else(|| own(problem.start, axis), |window| window[axis]);
        let wider = MOST_WIDER * (to - from);
        let (low, high) =
            points().map(|point| point[axis]).fold((from, to), |(low, high), at| (low.min(at), high.max(at)));
        let (low, high) = (low.max(from - wider), high.min(to + wider));
        let margin = MARGIN * (high - low);
        (if low < from { low - margin } else { from }, if high > to { high + margin } else { to })
    })
}

/// The window of a function of which nothing is known: around its start.
fn own(start: Point, axis: usize) -> (f64, f64) {
    let half = 1.5 * start[0].abs().max(start[1].abs()).max(0.5);
    (start[axis] - half, start[axis] + half)
}
