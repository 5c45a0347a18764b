//! A chart as plain text that fits a terminal.

use std::fmt::Write as _;

use super::axis::labelled;
use super::scale::{Scale, Tick};
use super::{Axis, Chart, Estimate, Form, MOST_LINES, Panel, longest};

/// Columns of a chart at least and at most, and lines of a plot without axis and legend.
const LEAST_WIDTH: usize = 30;
const MOST_WIDTH: usize = 78;
const HEIGHT: usize = 13;

/// Fewer lines than these are joined, more would be a tangle.
const MOST_JOINED: usize = 2;

/// Rows of a dot chart, rows of a heat map, and the longest label beside these.
const MOST_DOTS: usize = 16;
const MOST_ROWS: usize = 24;
const MOST_LABEL: usize = 24;

/// The marks of the lines of a panel.
const MARKS: [char; MOST_LINES] = ['o', '+', '*', '#', '@', '%', '=', '&'];

/// The mark of a point that diverged.
const DIVERGED: char = 'x';

/// From low to high, where there is no room for numbers.
const SHADES: [char; 9] = ['.', ':', '-', '=', '+', '*', '#', '%', '@'];

impl Chart {
    /// As lines of text for so many columns, but for its title; of several panels the one with the best point.
    pub(super) fn to_text(&self, picture: &str, width: usize) -> String {
        let width = width.clamp(LEAST_WIDTH, MOST_WIDTH);
        let is_best = |estimate: &Estimate| estimate.mean.is_some() && estimate.mean == self.best;
        let shown = self.panels.iter().find(|panel| panel.cells.values().any(is_best)).unwrap_or(&self.panels[0]);
        let mut text = if self.form == Form::Heat { self.measure.clone() } else { self.title() };
        if self.panels.len() > 1 {
            let _ = write!(text, ", {}, one of {} panels of {picture}", shown.title, self.panels.len());
        }
        if self.diverged {
            let _ = write!(text, "; {DIVERGED} diverged");
        }
        text.push('\n');
        match self.form {
            Form::Lines => self.write_lines(&mut text, shown, width),
            Form::Heat => self.write_heat(&mut text, shown, width),
            Form::Dots => self.write_dots(&mut text, shown, width),
        }
        text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    fn write_lines(&self, text: &mut String, panel: &Panel, columns: usize) {
        let (lines, values) = (panel.lines(), &self.x.numbers);
        let y_ticks = self.scale.round_ticks();
        let room = longest(y_ticks.iter().map(|(_, label)| label)).max(4);
        let width = columns - room - 3;
        let scale = self.x.scale();
        let x_ticks = scale.ticks(values);
        let column = |k: usize| place(scale.at(values[k]), width);

        let mut grid = vec![vec![' '; width]; HEIGHT];
        if lines.len() <= MOST_JOINED {
            for points in lines.values() {
                self.join(&mut grid, points, column);
            }
        }
        let mut axis = dashes(&x_ticks, width);
        // The first line lies on top.
        for ((line, k), estimate) in panel.cells.iter().rev() {
            if let Some(mean) = estimate.mean {
                grid[row(self.at(mean))][column(*k)] = MARKS[line % MARKS.len()];
            }
            if estimate.diverged > 0 {
                axis[column(*k)] = DIVERGED;
            }
        }

        let names: Vec<_> = labelled(&y_ticks, |_| 1.0 / (HEIGHT - 1) as f64).collect();
        for (k, line) in grid.iter().enumerate() {
            let label = names.iter().find_map(|(share, label)| label.filter(|_| row(*share) == k)).unwrap_or("");
            let edge = if label.is_empty() { '|' } else { '+' };
            let _ = writeln!(text, "{label:>room$} {edge} {}", line.iter().collect::<String>());
        }
        let _ = writeln!(text, "{:>room$} +-{}", "", axis.iter().collect::<String>());
        let _ = writeln!(text, "{:>room$}   {}", "", under(&x_ticks, width));
        let _ = writeln!(text, "{:>room$}   {:^width$}", "", self.x.name);
        write_legend(text, &self.y, columns);
    }

    /// Draws what joins the means of a line, and what each spreads over.
    fn join(&self, grid: &mut [Vec<char>], points: &[(usize, &Estimate)], column: impl Fn(usize) -> usize) {
        for pair in points.windows(2) {
            let (Some(from), Some(to)) = (pair[0].1.mean, pair[1].1.mean) else { continue };
            let (first, last) = (column(pair[0].0), column(pair[1].0));
            let (a, b) = (self.at(from), self.at(to));
            for k in 0..last - first {
                grid[row(a + k as f64 / (last - first) as f64 * (b - a))][first + k] = '.';
            }
        }
        for (k, estimate) in points.iter().filter(|(_, estimate)| estimate.deviation.is_some()) {
            let (low, high) = estimate.spread();
            for line in &mut grid[row(self.at(high))..=row(self.at(low))] {
                line[column(*k)] = '|';
            }
        }
    }

    fn write_heat(&self, text: &mut String, panel: &Panel, columns: usize) {
        let (x, y) = (&self.x, &self.y);
        let mut down = y.thinned(MOST_ROWS);
        if !y.numbers.is_empty() {
            down.reverse();
        }
        let room = longest(down.iter().map(|&k| &y.labels[k]).chain([&y.name])).min(MOST_LABEL).min(columns / 2);
        let across = x.thinned(columns - room - 2);
        let free = (columns - room - 2) / across.len().max(1);
        let width = [6, 4].into_iter().find(|width| *width <= free).unwrap_or(1);
        let cut = |label: &str| label.chars().take(room).collect::<String>();
        let _ = writeln!(text, "{:>room$} |", cut(&y.name));
        for &k in &down {
            let _ = write!(text, "{:>room$} |", cut(&y.labels[k]));
            for &i in &across {
                let cell = panel.cells.get(&(k, i)).map(|cell| in_cell(cell, &self.scale, width));
                let _ = write!(text, "{:>width$}", cell.unwrap_or_default());
            }
            text.push('\n');
        }
        let length = width * across.len();
        let _ = writeln!(text, "{:>room$} +{}", "", "-".repeat(length));
        let middle = |k: usize| ((k + 1) * width - 1) as f64 / (length.max(2) - 1) as f64;
        let ticks = across.iter().enumerate().map(|(k, &i)| (middle(k).min(1.0), x.labels[i].clone()));
        let _ = writeln!(text, "{:>room$}  {}", "", under(&ticks.collect::<Vec<_>>(), length));
        let _ = writeln!(text, "{:>room$}  {:^length$}", "", x.name);
        if width == 1 {
            let _ = writeln!(text, "from low to high: {}", SHADES.iter().collect::<String>());
        }
        if across.len() < x.labels.len() || down.len() < y.labels.len() {
            let _ = writeln!(text, "some values have no place here");
        }
    }

    fn write_dots(&self, text: &mut String, panel: &Panel, columns: usize) {
        let Axis { name, labels, .. } = &self.y;
        let shown = &labels[..labels.len().min(MOST_DOTS)];
        let room = longest(shown.iter().chain([name])).min(columns / 2);
        let cut = |label: &str| label.chars().take(room).collect::<String>();
        let width = columns - room - 3;
        let column = |value: f64| place(self.at(value), width);
        for (label, estimate) in shown.iter().zip(panel.cells.values()) {
            let mut line = vec![' '; width];
            if let Some(mean) = estimate.mean {
                let (low, high) = estimate.spread();
                line[column(low)..=column(high)].fill('-');
                line[column(mean)] = MARKS[0];
            }
            if estimate.diverged > 0 {
                line[0] = DIVERGED;
            }
            let _ = writeln!(text, "{:>room$} | {}", cut(label), line.iter().collect::<String>());
        }
        let ticks = self.scale.round_ticks();
        let _ = writeln!(text, "{:>room$} +-{}", cut(name), dashes(&ticks, width).iter().collect::<String>());
        let _ = writeln!(text, "{:>room$}   {}", "", under(&ticks, width));
        if labels.len() > shown.len() {
            let _ = writeln!(text, "{} more are in the table", labels.len() - shown.len());
        }
    }
}

/// The column or line of `count` at a share of an axis.
pub fn place(share: f64, count: usize) -> usize {
    (share * count.saturating_sub(1) as f64).round() as usize
}

/// The line, from above.
fn row(share: f64) -> usize {
    HEIGHT - 1 - place(share, HEIGHT)
}

/// An axis of dashes with a sign at each tick.
pub fn dashes(ticks: &[Tick], width: usize) -> Vec<char> {
    let mut axis = vec!['-'; width];
    for (share, _) in ticks {
        axis[place(*share, width)] = '+';
    }
    axis
}

fn write_legend(text: &mut String, lines: &Axis, width: usize) {
    if lines.name.is_empty() {
        return;
    }
    let mut line = format!("{}:", lines.name);
    for (label, mark) in lines.labels.iter().zip(MARKS.iter().cycle()) {
        if line.chars().count() + label.chars().count() + 5 > width {
            let _ = writeln!(text, "{line}");
            line.clear();
        }
        let _ = write!(line, "   {mark} {label}");
    }
    let _ = writeln!(text, "{line}");
}

/// A fraction as `.9312`, `.93` or a shade, as the width of a cell allows.
fn in_cell(estimate: &Estimate, scale: &Scale, width: usize) -> String {
    let Some(mean) = estimate.mean else { return DIVERGED.into() };
    if width == 1 {
        return SHADES[place(scale.at(mean), SHADES.len())].into();
    }
    let digits = if width == 6 { 4 } else { 2 };
    let number = format!("{mean:.digits$}");
    number.strip_prefix('0').map_or("1.".to_owned(), str::to_owned)
}

/// The labels of ticks on a line below an axis of `width` columns, those that have room.
pub fn under(ticks: &[Tick], width: usize) -> String {
    let mut line: Vec<char> = Vec::new();
    for (share, label) in ticks {
        let label: Vec<char> = label.chars().collect();
        let middle = place(*share, width);
        let start = middle.saturating_sub(label.len() / 2).min(width.saturating_sub(label.len()));
        if start < line.len() + usize::from(!line.is_empty()) {
            continue;
        }
        line.resize(start, ' ');
        line.extend(label);
    }
    line.into_iter().collect()
}
