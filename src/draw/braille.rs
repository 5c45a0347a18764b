//! Charts of lines and maps for a terminal, in the dots of braille: two by four in a character.

use std::fmt::Write as _;

use super::axis::labelled;
use super::contour::Share;
use super::map::{clipped, is_inside};
use super::scale::Tick;
use super::text::{dashes, place, under};
use super::{Chart, Estimate, Figure, Form, MOST_LINES, Map, longest};

/// Lines of text of a plot without axis and legend.
const HEIGHT: usize = 14;

/// The same of a map, and its greatest width.
const MAP_HEIGHT: usize = 20;
const MAP_WIDTH: usize = 100;

/// Level curves of a map; more would be a grey area.
const MAP_LEVELS: usize = 6;

/// Narrower than this no plot is drawn.
const LEAST_WIDTH: usize = 30;

/// Wider ones are no easier to read.
const MOST_WIDTH: usize = 160;

/// The colours of lines on dark and light terminals, of 256; the seventh is that of text.
const COLOURS: [&str; MOST_LINES] =
    ["38;5;32", "38;5;166", "38;5;36", "38;5;175", "38;5;178", "38;5;74", "39", "38;5;245"];
const PALE: &str = "38;5;240";

/// What tells lines apart where there are no colours.
const LETTERS: &[u8; MOST_LINES] = b"abcdefgh";

/// The first of the characters of braille; the bits of its dots follow.
const BRAILLE: u32 = 0x2800;

/// The bit of a dot, by column and row from the top.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// The dots of a plot.
struct Dots {
    width: usize,
    /// The bits of each character, and the line drawn there last.
    cells: Vec<(u8, usize)>,
    letters: Vec<Option<usize>>,
}

impl Dots {
    fn new(width: usize, height: usize) -> Self {
        Self { width, cells: vec![(0, 0); width * height], letters: vec![None; width * height] }
    }

    /// Sets the dot at a column of 2·width and a row of 4·height, from the top.
    fn set(&mut self, (x, y): (usize, usize), line: usize) {
        let (bits, drawn) = &mut self.cells[y / 4 * self.width + x / 2];
        *bits |= BITS[x % 2][y % 4];
        *drawn = line;
    }

    /// Joins two dots; of dashes every other four.
    fn join(&mut self, from: (usize, usize), to: (usize, usize), line: usize, dashed: bool) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |a: usize, b: usize, k: usize| {
            (a as f64 + (b as f64 - a as f64) * k as f64 / steps as f64).round() as usize
        };
        for k in 0..=steps {
            let dot = (between(from.0, to.0, k), between(from.1, to.1, k));
            if !dashed || (dot.0 + dot.1) % 6 < 3 {
                self.set(dot, line);
            }
        }
    }
}

impl Figure {
    /// As text for a terminal of so many columns, with ANSI's colours where they are wanted.
    pub fn to_braille(&self, width: usize, with_colours: bool) -> String {
        let mut text = format!("{}\n", self.title);
        if !self.note.is_empty() {
            let _ = writeln!(text, "{}", self.note);
        }
        if let Some(map) = &self.map {
            text += &map.to_braille(width.clamp(LEAST_WIDTH, MAP_WIDTH), with_colours);
        }
        for chart in &self.charts {
            text += &match chart.form {
                Form::Lines => chart.to_braille(width.clamp(LEAST_WIDTH, MOST_WIDTH), with_colours),
                Form::Heat | Form::Dots => chart.to_text("", width),
            };
        }
        text
    }
}

impl Chart {
    fn to_braille(&self, width: usize, with_colours: bool) -> String {
        let ticks = self.scale.round_ticks();
        let room = longest(ticks.iter().map(|(_, label)| label)).max(4);
        let dots = self.dots(width - room - 3);
        let mut text = format!("\n{}\n", self.title());
        let row = |share: f64| HEIGHT - 1 - place(share, HEIGHT);
        let names: Vec<_> = labelled(&ticks, |_| 1.0 / (HEIGHT - 1) as f64).collect();
        for (k, line) in dots.cells.chunks(dots.width).enumerate() {
            let label = names.iter().find_map(|(share, label)| label.filter(|_| row(*share) == k)).unwrap_or("");
            let edge = if label.is_empty() { '│' } else { '┤' };
            let _ = write!(text, "{label:>room$} {edge}");
            for (column, (bits, drawn)) in line.iter().enumerate() {
                let letter = dots.letters[k * dots.width + column].filter(|_| !with_colours);
                match (*bits, letter) {
                    (_, Some(line)) => text.push(char::from(LETTERS[line % MOST_LINES])),
                    (0, None) => text.push(' '),
                    (bits, None) => self.put(&mut text, &braille(bits).to_string(), *drawn, with_colours),
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        let below: Vec<Tick> = self.x.scale().ticks(&self.x.numbers);
        let axis: String = dashes(&below, dots.width).into_iter().map(|c| if c == '+' { '┴' } else { '─' }).collect();
        let _ = writeln!(text, "{:>room$} └{axis}", "");
        let _ = writeln!(text, "{:>room$}  {}", "", under(&below, dots.width));
        let _ = writeln!(text, "{:>room$}  {}", "", format!("{:^1$}", self.x.name, dots.width).trim_end());
        if !self.y.name.is_empty() {
            let _ = writeln!(text, "{}", self.y.name);
            let shown = self.y.labels.iter().enumerate().filter(|(line, _)| !self.overlay.pale.contains(line));
            for (line, label) in shown {
                let sample = if self.overlay.dashed.contains(&line) { "⠒ ⠒" } else { "⠒⠒⠒" };
                text.push_str("  ");
                self.put(&mut text, sample, line, with_colours);
                let letter =
                    if with_colours { String::new() } else { format!("{} ", char::from(LETTERS[line % MOST_LINES])) };
                let _ = writeln!(text, " {letter}{label}");
            }
        }
        text
    }

    /// Text in the colour of a line.
    fn put(&self, text: &mut String, what: &str, line: usize, with_colours: bool) {
        let colour = if self.overlay.pale.contains(&line) { PALE } else { colour_of(line) };
        *text += &coloured(what, colour, with_colours);
    }

    fn dots(&self, width: usize) -> Dots {
        let mut dots = Dots::new(width, HEIGHT);
        let scale = self.x.scale();
        let Some(panel) = self.panels.first() else { return dots };
        let lines = panel.lines();
        let dot = |(place_on_x, estimate): &(usize, &Estimate)| {
            let (x, y) = (scale.at(self.x.numbers[*place_on_x]), self.at(estimate.mean?));
            Some((place(x, 2 * width), 4 * HEIGHT - 1 - place(y, 4 * HEIGHT)))
        };
        // The first line lies on top, and those that are pale below all.
        for (&line, points) in lines.iter().rev() {
            let is_dashed = self.overlay.dashed.contains(&line);
            let mut before = None;
            let places: Vec<Option<(usize, usize)>> = points.iter().map(dot).collect();
            for &here in &places {
                if let Some(here) = here {
                    dots.join(before.unwrap_or(here), here, line, is_dashed && before.is_some());
                }
                before = here;
            }
            let marks = if self.overlay.pale.contains(&line) {
                Vec::new()
            } else {
                self.overlay.marks((line, lines.len()), places.len())
            };
            for (k, part) in marks {
                let Some(here) = places[k] else { continue };
                let next = places.get(k + 1).copied().flatten().unwrap_or(here);
                let between = |a: usize, b: usize| (a as f64 + part * (b as f64 - a as f64)).round() as usize;
                let (x, y) = (between(here.0, next.0), between(here.1, next.1));
                dots.letters[y / 4 * width + x / 2] = Some(line);
            }
        }
        dots
    }
}

/// The line of a map's curves.
const CURVES: usize = usize::MAX;

impl Map {
    /// Curves in grey, where there are colours to tell them from ways; ways with a letter at their ends, `*` at a minimum.
    fn to_braille(&self, width: usize, with_colours: bool) -> String {
        let [across, up] = self.scales();
        let ticks = up.round_ticks();
        let room = longest(ticks.iter().map(|(_, label)| label)).max(4);
        let dots = self.dots(width - room - 3, with_colours);
        let mut text = "\ny\n".to_owned();
        let row = |share: f64| MAP_HEIGHT - 1 - place(share, MAP_HEIGHT);
        let names: Vec<_> = labelled(&ticks, |_| 1.0 / (MAP_HEIGHT - 1) as f64).collect();
        let stars: Vec<usize> = self
            .minima
            .iter()
            .map(|minimum| self.share(*minimum))
            .filter(|share| is_inside(*share))
            .map(|(x, y)| row(y) * dots.width + place(x, dots.width))
            .collect();
        for (k, line) in dots.cells.chunks(dots.width).enumerate() {
            let label = names.iter().find_map(|(share, label)| label.filter(|_| row(*share) == k)).unwrap_or("");
            let edge = if label.is_empty() { '│' } else { '┤' };
            let _ = write!(text, "{label:>room$} {edge}");
            for (column, (bits, drawn)) in line.iter().enumerate() {
                let cell = k * dots.width + column;
                match (*bits, dots.letters[cell]) {
                    (_, Some(line)) => {
                        let letter = char::from(LETTERS[line % MOST_LINES]).to_string();
                        text += &coloured(&letter, colour_of(line), with_colours);
                    }
                    _ if stars.contains(&cell) => text.push('*'),
                    (0, None) => text.push(' '),
                    (bits, None) => text += &coloured(&braille(bits).to_string(), colour_of(*drawn), with_colours),
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        let below = across.round_ticks();
        let axis: String = dashes(&below, dots.width).into_iter().map(|c| if c == '+' { '┴' } else { '─' }).collect();
        let _ = writeln!(text, "{:>room$} └{axis}", "");
        let _ = writeln!(text, "{:>room$}  {}", "", under(&below, dots.width));
        let _ = writeln!(text, "{:>room$}  {}", "", format!("{:^1$}", "x", dots.width).trim_end());
        text
    }

    fn dots(&self, width: usize, with_curves: bool) -> Dots {
        let mut dots = Dots::new(width, MAP_HEIGHT);
        let dot = |(x, y): Share| (place(x, 2 * width), 4 * MAP_HEIGHT - 1 - place(y, 4 * MAP_HEIGHT));
        let every = self.levels.len().div_ceil(MAP_LEVELS).max(1);
        for &level in self.levels.iter().step_by(every).filter(|_| with_curves) {
            for pair in self.heights.curves(level).iter().flat_map(|curve| curve.windows(2)) {
                dots.join(dot(pair[0]), dot(pair[1]), CURVES, false);
            }
        }
        // The first lies on top.
        for (line, way) in self.ways.iter().enumerate().rev() {
            let shares: Vec<Share> = way.points.iter().map(|point| self.share(*point)).collect();
            for (from, to) in shares.windows(2).filter_map(|pair| clipped(pair[0], pair[1])) {
                dots.join(dot(from), dot(to), line, false);
            }
            if let Some(end) = shares.last().filter(|end| is_inside(**end)) {
                let (x, y) = dot(*end);
                dots.letters[y / 4 * width + x / 2] = Some(line);
            }
        }
        dots
    }
}

fn colour_of(line: usize) -> &'static str {
    if line == CURVES { PALE } else { COLOURS[line % MOST_LINES] }
}

/// Text in a colour.
fn coloured(what: &str, colour: &str, with_colours: bool) -> String {
    if with_colours { format!("\x1b[{colour}m{what}\x1b[0m") } else { what.to_owned() }
}

/// The character of these dots.
fn braille(bits: u8) -> char {
    char::from_u32(BRAILLE + u32::from(bits)).unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_where_it_was_set() {
        let mut dots = Dots::new(2, HEIGHT);
        dots.set((0, 0), 0);
        dots.set((1, 3), 0);
        dots.set((3, 4 * HEIGHT - 1), 5);
        assert_eq!(braille(dots.cells[0].0), '⢁');
        assert_eq!(dots.cells[2 * HEIGHT - 1], (0x80, 5));
        dots.join((0, 0), (3, 0), 1, false);
        assert_eq!((braille(dots.cells[0].0), braille(dots.cells[1].0)), ('⢉', '⠉'));
    }
}
