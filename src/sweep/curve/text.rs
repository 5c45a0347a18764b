//! A figure as plain text that fits a terminal of 80 columns. It stands below the table, which has the numbers.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::scale::{Scale, Tick};
use super::{Axis, Cell, Drawing, Figure, Line, MOST_LINES, Panel, labelled};

/// Columns of a figure.
const WIDTH: usize = 78;

/// Lines of a plot, without axis and legend.
const HEIGHT: usize = 13;

/// Rows of a dot chart, of which the best come first.
const MOST_DOTS: usize = 16;

/// Rows of a heat map, and the longest label beside them.
const MOST_ROWS: usize = 24;
const MOST_LABEL: usize = 24;

/// The marks of the lines of a panel.
const MARKS: [char; MOST_LINES] = ['o', '+', '*', '#', '@', '%', '=', '&'];

/// The mark of a point that diverged.
const DIVERGED: char = 'x';

/// From low to high, where there is no room for numbers.
const SHADES: [char; 9] = ['.', ':', '-', '=', '+', '*', '#', '%', '@'];

impl Figure {
    /// As lines of text.
    pub fn to_text(&self) -> String {
        let diverged = if self.diverged { format!("; {DIVERGED} diverged") } else { String::new() };
        let mut text = match &self.drawing {
            Drawing::Lines { x, x_scale, name, labels, panels } => {
                let (mut text, place) = heading(&self.accuracy_axis(), &diverged, panels, |lines| {
                    lines.iter().any(|line| line.points.iter().any(|(_, cell)| self.is_best(cell)))
                });
                if let Some(panel) = panels.get(place) {
                    self.write_lines(&mut text, (x, x_scale), (name, labels), &panel.content);
                }
                text
            }
            Drawing::Heat { x, y, panels } => {
                let (mut text, place) =
                    heading(self.measure, &diverged, panels, |map| map.values().any(|cell| self.is_best(cell)));
                if let Some(panel) = panels.get(place) {
                    self.write_heat(&mut text, x, y, &panel.content);
                }
                text
            }
            Drawing::Dots { name, rows } => {
                let mut text = format!("{}{diverged}\n", self.accuracy_axis());
                self.write_dots(&mut text, name, rows);
                text
            }
        };
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        text = lines.join("\n") + "\n";
        text
    }

    fn is_best(&self, cell: &Cell) -> bool {
        cell.mean.is_some() && cell.mean == self.best
    }

    fn write_lines(
        &self,
        text: &mut String,
        (x, x_scale): (&Axis, &Scale),
        (name, labels): (&str, &[String]),
        lines: &[Line],
    ) {
        let values = x.numbers.as_deref().unwrap_or_default();
        let y_ticks = self.scale.round_ticks();
        let room = y_ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0).max(4);
        let width = WIDTH - room - 3;
        let column = |place: usize| (x_scale.at(values[place]) * (width - 1) as f64).round() as usize;
        let row = |mean: f64| HEIGHT - 1 - (self.scale.at(mean) * (HEIGHT - 1) as f64).round() as usize;

        let mut grid = vec![vec![' '; width]; HEIGHT];
        let mut axis = vec!['-'; width];
        // Fewer lines than these are joined, more would be a tangle.
        if lines.len() <= 2 {
            for line in lines {
                for pair in line.points.windows(2) {
                    let (Some(from), Some(to)) = (pair[0].1.mean, pair[1].1.mean) else { continue };
                    let (first, last) = (column(pair[0].0), column(pair[1].0));
                    let (a, b) = (self.scale.at(from), self.scale.at(to));
                    for k in 0..last - first {
                        let share = a + k as f64 / (last - first) as f64 * (b - a);
                        grid[HEIGHT - 1 - (share * (HEIGHT - 1) as f64).round() as usize][first + k] = '.';
                    }
                }
                for (place, cell) in line.points.iter().filter(|(_, cell)| cell.deviation.is_some()) {
                    let (low, high) = cell.spread();
                    for line in &mut grid[row(high.min(1.0))..=row(low.max(0.0))] {
                        line[column(*place)] = '|';
                    }
                }
            }
        }
        for (place, label) in x_scale.ticks(values) {
            if !label.is_empty() {
                axis[(place * (width - 1) as f64).round() as usize] = '+';
            }
        }
        // The first line lies on top.
        for line in lines.iter().rev() {
            for (place, cell) in &line.points {
                if let Some(mean) = cell.mean {
                    grid[row(mean)][column(*place)] = MARKS[line.label % MARKS.len()];
                }
                if cell.diverged > 0 {
                    axis[column(*place)] = DIVERGED;
                }
            }
        }

        let fits = labelled(&y_ticks, |_| 1.0 / (HEIGHT - 1) as f64);
        let mut names: HashMap<usize, &str> = HashMap::new();
        for ((share, label), _) in y_ticks.iter().zip(fits).filter(|(_, fits)| *fits) {
            names.entry(HEIGHT - 1 - (share * (HEIGHT - 1) as f64).round() as usize).or_insert(label);
        }
        for (k, line) in grid.iter().enumerate() {
            let label = names.get(&k).copied().unwrap_or("");
            let edge = if label.is_empty() { '|' } else { '+' };
            let _ = writeln!(text, "{label:>room$} {edge} {}", line.iter().collect::<String>());
        }
        let _ = writeln!(text, "{:>room$} +-{}", "", axis.iter().collect::<String>());
        let ticks = under(&x_scale.ticks(values), width);
        let _ = writeln!(text, "{:>room$}   {ticks}", "");
        let _ = writeln!(text, "{:>room$}   {:^width$}", "", x.name);
        if !name.is_empty() {
            let mut line = format!("{name}:");
            for (label, mark) in labels.iter().zip(MARKS.iter().cycle()) {
                if line.chars().count() + label.chars().count() + 5 > WIDTH {
                    let _ = writeln!(text, "{line}");
                    line.clear();
                }
                let _ = write!(line, "   {mark} {label}");
            }
            let _ = writeln!(text, "{line}");
        }
    }

    fn write_heat(&self, text: &mut String, x: &Axis, y: &Axis, map: &HashMap<(usize, usize), Cell>) {
        let mut down = y.thinned(MOST_ROWS);
        if y.numbers.is_some() {
            down.reverse();
        }
        let room = down.iter().map(|&k| y.labels[k].chars().count()).max().unwrap_or(0).max(y.name.chars().count());
        let room = room.min(MOST_LABEL);
        let across = x.thinned(WIDTH - room - 2);
        let free = (WIDTH - room - 2) / across.len().max(1);
        // `.9312`, `.93` or a shade.
        let width = [6, 4].into_iter().find(|width| *width <= free).unwrap_or(1);
        let cell = |at: (usize, usize)| -> String {
            let Some(cell) = map.get(&at) else { return String::new() };
            let Some(mean) = cell.mean else { return DIVERGED.into() };
            if width == 1 {
                return SHADES[(self.scale.at(mean) * (SHADES.len() - 1) as f64).round() as usize].into();
            }
            let digits = if width == 6 { 4 } else { 2 };
            let number = format!("{mean:.digits$}");
            number.strip_prefix('0').map_or("1.".to_owned(), str::to_owned)
        };
        let _ = writeln!(text, "{:>room$} |", y.name);
        for &k in &down {
            let label: String = y.labels[k].chars().take(room).collect();
            let _ = write!(text, "{label:>room$} |");
            for &i in &across {
                let _ = write!(text, "{:>width$}", cell((i, k)));
            }
            text.push('\n');
        }
        let length = width * across.len();
        let _ = writeln!(text, "{:>room$} +{}", "", "-".repeat(length));
        let middle = |k: usize| ((k + 1) * width - 1) as f64 / (length.max(2) - 1) as f64;
        let ticks: Vec<Tick> =
            across.iter().enumerate().map(|(k, &place)| (middle(k).min(1.0), x.labels[place].clone())).collect();
        let _ = writeln!(text, "{:>room$}  {}", "", under(&ticks, length));
        let _ = writeln!(text, "{:>room$}  {:^length$}", "", x.name);
        if width == 1 {
            let _ = writeln!(text, "from low to high: {}", SHADES.iter().collect::<String>());
        }
        if across.len() < x.len() || down.len() < y.len() {
            let _ = writeln!(text, "not all values have a place here");
        }
    }

    fn write_dots(&self, text: &mut String, name: &str, rows: &[(String, Cell)]) {
        let shown = &rows[..rows.len().min(MOST_DOTS)];
        let room = shown.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0).max(name.chars().count());
        let width = WIDTH - room - 3;
        let column = |accuracy: f64| (self.scale.at(accuracy.clamp(0.0, 1.0)) * (width - 1) as f64).round() as usize;
        for (label, cell) in shown {
            let mut line = vec![' '; width];
            if let Some(mean) = cell.mean {
                let (low, high) = cell.spread();
                line[column(low)..=column(high)].fill('-');
                line[column(mean)] = MARKS[0];
            }
            if cell.diverged > 0 {
                line[0] = DIVERGED;
            }
            let _ = writeln!(text, "{label:>room$} | {}", line.iter().collect::<String>());
        }
        let ticks = self.scale.round_ticks();
        let mut axis = vec!['-'; width];
        for (place, _) in &ticks {
            axis[(place * (width - 1) as f64).round() as usize] = '+';
        }
        let _ = writeln!(text, "{name:>room$} +-{}", axis.iter().collect::<String>());
        let _ = writeln!(text, "{:>room$}   {}", "", under(&ticks, width));
        if rows.len() > shown.len() {
            let _ = writeln!(text, "{} more are in the table", rows.len() - shown.len());
        }
    }
}

/// The first line, and which panel is shown: the one with the best point.
fn heading<T>(axis: &str, diverged: &str, panels: &[Panel<T>], has_best: impl Fn(&T) -> bool) -> (String, usize) {
    let place = panels.iter().position(|panel| has_best(&panel.content)).unwrap_or(0);
    let text = match panels.get(place) {
        Some(panel) if panels.len() > 1 => {
            format!("{axis}, {}, one of {} panels of curve.svg{diverged}\n", panel.title, panels.len())
        }
        _ => format!("{axis}{diverged}\n"),
    };
    (text, place)
}

/// The labels of ticks on a line below an axis of `width` columns, those that have room.
fn under(ticks: &[Tick], width: usize) -> String {
    let mut line: Vec<char> = Vec::new();
    for (place, label) in ticks {
        let label: Vec<char> = label.chars().collect();
        let middle = (place * width.saturating_sub(1) as f64).round() as usize;
        let start = middle.saturating_sub(label.len() / 2).min(width.saturating_sub(label.len()));
        if start < line.len() + usize::from(!line.is_empty()) {
            continue;
        }
        line.resize(start, ' ');
        line.extend(label);
    }
    line.into_iter().collect()
}
