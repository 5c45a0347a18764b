//! A figure as one SVG file that needs nothing else: no fonts, no styles, no scripts; on white, so that it is read on any page.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::scale::{Form, Scale, Tick};
use super::{Axis, Cell, Drawing, Figure, Line, MOST_CELLS, Panel, labelled};

/// Okabe & Ito 2008, told apart by the colour-blind; a dark grey in place of their yellow, which white swallows.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f"];

/// Viridis, by van der Walt & Smith 2015: even steps to the eye, in grey and for the colour-blind too.
const VIRIDIS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

const INK: &str = "#222222";
const PALE_INK: &str = "#555555";
const GRID: &str = "#e3e3e3";
const DIVERGED: &str = "#b00020";

/// For rectangles side by side: no seams.
const CRISP: &str = r#" shape-rendering="crispEdges""#;

/// Mean width of a character of [`TEXT`] pixels.
const CHAR: f64 = 6.3;
const TEXT: f64 = 11.0;
const MARGIN: f64 = 16.0;

/// Tooltips on more points than this make a file that is slow to open.
const MOST_TOOLTIPS: usize = 5_000;

/// More points than this on a line have no marks of their own.
const MOST_MARKS: usize = 200;

/// A rectangle.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn right(self) -> f64 {
        self.left + self.width
    }

    fn bottom(self) -> f64 {
        self.top + self.height
    }

    fn x(self, share: f64) -> f64 {
        self.left + share * self.width
    }

    /// Upwards.
    fn y(self, share: f64) -> f64 {
        self.bottom() - share * self.height
    }
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// The elements drawn so far.
#[derive(Default)]
struct Canvas {
    elements: String,
    /// How far they reach.
    width: f64,
    height: f64,
}

impl Canvas {
    fn reach(&mut self, x: f64, y: f64) {
        self.width = self.width.max(x);
        self.height = self.height.max(y);
    }

    fn text(&mut self, x: f64, y: f64, anchor: Anchor, more: &str, text: &str) {
        let chars = text.chars().count() as f64 * CHAR;
        let (name, end) = match anchor {
            Anchor::Start => ("start", x + chars),
            Anchor::Middle => ("middle", x + chars / 2.0),
            Anchor::End => ("end", x),
        };
        if !more.contains("rotate") {
            self.reach(end, y + 4.0);
        }
        let (x, y, text) = (n(x), n(y), escaped(text));
        let _ = writeln!(self.elements, r#"<text x="{x}" y="{y}" text-anchor="{name}"{more}>{text}</text>"#);
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str, more: &str) {
        let (x1, y1, x2, y2) = (n(x1), n(y1), n(x2), n(y2));
        let _ = writeln!(self.elements, r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{stroke}"{more}/>"#);
    }

    fn rectangle(&mut self, frame: Frame, more: &str, tooltip: &str) {
        self.reach(frame.right(), frame.bottom());
        let (x, y, width, height) = (n(frame.left), n(frame.top), n(frame.width), n(frame.height));
        let _ = write!(self.elements, r#"<rect x="{x}" y="{y}" width="{width}" height="{height}"{more}"#);
        self.close("rect", tooltip);
    }

    fn path(&mut self, path: &str, more: &str, tooltip: &str) {
        let _ = write!(self.elements, r#"<path d="{path}"{more}"#);
        self.close("path", tooltip);
    }

    fn close(&mut self, element: &str, tooltip: &str) {
        let _ = match tooltip {
            "" => writeln!(self.elements, "/>"),
            text => writeln!(self.elements, "><title>{}</title></{element}>", escaped(text)),
        };
    }

    /// The mark of the line with this colour.
    fn mark(&mut self, (x, y): (f64, f64), colour: usize, tooltip: &str) {
        let corners = |corners: &[(f64, f64)]| {
            let points = corners.iter().map(|(dx, dy)| format!("{} {}", n(x + dx), n(y + dy)));
            format!("M{}Z", points.collect::<Vec<_>>().join("L"))
        };
        let path = match colour % 4 {
            0 => format!("M{} {}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0Z", n(x - 3.5), n(y)),
            1 => corners(&[(-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)]),
            2 => corners(&[(0.0, -4.4), (4.2, 3.2), (-4.2, 3.2)]),
            _ => corners(&[(0.0, -4.6), (4.6, 0.0), (0.0, 4.6), (-4.6, 0.0)]),
        };
        // The second four are hollow.
        let fill = if colour < 4 { COLOURS[colour % 8] } else { "#ffffff" };
        let stroke = COLOURS[colour % 8];
        self.path(&path, &format!(r#" fill="{fill}" stroke="{stroke}" stroke-width="1.4""#), tooltip);
    }

    /// The cross of a point that diverged.
    fn cross(&mut self, (x, y): (f64, f64), colour: &str, tooltip: &str) {
        let (l, r, t, b) = (n(x - 3.5), n(x + 3.5), n(y - 3.5), n(y + 3.5));
        let path = format!("M{l} {t}L{r} {b}M{l} {b}L{r} {t}");
        self.path(&path, &format!(r#" fill="none" stroke="{colour}" stroke-width="1.8""#), tooltip);
    }
}

/// A number of the file: finite, one digit after the point.
fn n(x: f64) -> String {
    let text = format!("{:.1}", if x.is_finite() { x } else { 0.0 });
    let text = text.strip_suffix(".0").unwrap_or(&text);
    (if text == "-0" { "0" } else { text }).to_owned()
}

/// Text for XML: no markup, and none of the characters that XML cannot hold.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

impl Figure {
    /// As an SVG file.
    pub fn to_svg(&self) -> String {
        let mut canvas = Canvas::default();
        // Titles are as wide as what they stand over, so they come last; the room for two lines of notes is kept.
        let top = 80.0;
        match &self.drawing {
            Drawing::Lines { x, x_scale, name, labels, panels } => {
                self.draw_lines(&mut canvas, top, (x, x_scale), (name, labels), panels);
            }
            Drawing::Heat { x, y, panels } => self.draw_heat(&mut canvas, top, (x, y), panels),
            Drawing::Dots { name, rows } => self.draw_dots(&mut canvas, top, name, rows),
        }
        let width = (canvas.width + MARGIN).max(480.0);
        let height = canvas.height + MARGIN;
        canvas.text(MARGIN, 28.0, Anchor::Start, r#" font-size="15" font-weight="bold""#, &self.title);
        let pale = format!(r#" fill="{PALE_INK}""#);
        for (k, line) in wrapped(&self.note, ((width - 2.0 * MARGIN) / CHAR) as usize).iter().enumerate() {
            canvas.text(MARGIN, 48.0 + 15.0 * k as f64, Anchor::Start, &pale, line);
        }
        let width = width.max(canvas.width + MARGIN);
        let (w, h, title) = (n(width), n(height), escaped(&self.title));
        let description = escaped(&format!("{}. {}", self.accuracy_axis(), self.note));
        format!(
            r##"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{w}" height="{h}" viewBox="0 0 {w} {h}" font-family="Helvetica, Arial, sans-serif" font-size="{TEXT}" fill="{INK}">
<title>{title}</title>
<desc>{description}</desc>
<rect width="{w}" height="{h}" fill="#ffffff"/>
{}</svg>
"##,
            canvas.elements
        )
    }

    fn draw_lines(
        &self,
        canvas: &mut Canvas,
        top: f64,
        (x, x_scale): (&Axis, &Scale),
        (name, labels): (&str, &[String]),
        panels: &[Panel<Vec<Line>>],
    ) {
        let values = x.numbers.as_deref().unwrap_or_default();
        let many = panels.len() > 1;
        let (columns, width, height) = if many { (columns(panels.len()), 220.0, 150.0) } else { (1, 540.0, 320.0) };
        let x_ticks = x_scale.ticks(values);
        let y_ticks = self.scale.round_ticks();
        let points: usize = panels.iter().flat_map(|panel| &panel.content).map(|line| line.points.len()).sum();
        let mut right = 0.0_f64;
        for (k, panel) in panels.iter().enumerate() {
            let (column, row) = (k % columns, k / columns);
            let frame = Frame {
                left: MARGIN + 56.0 + column as f64 * (width + 22.0),
                top: top + if many { 14.0 } else { 0.0 } + row as f64 * (height + 56.0),
                width,
                height,
            };
            right = right.max(frame.right());
            if many {
                canvas.text(frame.x(0.5), frame.top - 6.0, Anchor::Middle, r#" font-weight="bold""#, &panel.title);
            }
            axis_below(canvas, frame, &x_ticks, &minor(x_scale, values), x_scale.gap());
            axis_left(canvas, frame, &y_ticks, column == 0);
            // Names once a side.
            if k + columns >= panels.len() {
                canvas.text(frame.x(0.5), frame.bottom() + 34.0, Anchor::Middle, "", &x.name);
            }
            if column == 0 {
                turned(canvas, MARGIN + 8.0, frame.y(0.5), &self.axis_name(many));
            }
            // How many crosses stand at a place of x already.
            let mut crosses: HashMap<usize, usize> = HashMap::new();
            for line in &panel.content {
                let with_band = panel.content.len() <= 4;
                let tooltip = |(place, cell): &(usize, Cell)| {
                    if points > MOST_TOOLTIPS {
                        return String::new();
                    }
                    let line = if name.is_empty() { String::new() } else { format!(", {name} {}", labels[line.label]) };
                    format!("{} {}{line}: {}", x.name, x.labels[*place], cell.words())
                };
                let at = |place: usize| frame.x(x_scale.at(values[place]));
                // Lines over one another are thinner towards the last, so that none is hidden.
                let step = 0.6_f64.min(2.0 / labels.len() as f64);
                let width = 1.4 + step * (labels.len() - 1 - line.label) as f64;
                self.draw_line(canvas, frame, line, (with_band, width), &at, &tooltip);
                for point in line.points.iter().filter(|(_, cell)| cell.diverged > 0) {
                    let above = crosses.entry(point.0).or_default();
                    let place = (at(point.0), frame.bottom() - 6.0 - 8.0 * *above as f64);
                    *above += 1;
                    canvas.cross(place, COLOURS[line.label % COLOURS.len()], &tooltip(point));
                }
            }
        }
        let rows = if name.is_empty() { &[] } else { labels };
        legend(canvas, right + 18.0, top + 8.0, name, rows, self.diverged);
    }

    fn axis_name(&self, is_short: bool) -> String {
        if is_short { self.measure.to_owned() } else { self.accuracy_axis() }
    }

    /// A line through the means, broken where there is none, with what the seeds spread over.
    fn draw_line(
        &self,
        canvas: &mut Canvas,
        frame: Frame,
        line: &Line,
        (with_band, width): (bool, f64),
        at: &dyn Fn(usize) -> f64,
        tooltip: &dyn Fn(&(usize, Cell)) -> String,
    ) {
        let colour = COLOURS[line.label % COLOURS.len()];
        let y = |accuracy: f64| frame.y(self.scale.at(accuracy.clamp(0.0, 1.0)));
        for stretch in line.points.split(|(_, cell)| cell.mean.is_none()) {
            let path = |side: &dyn Fn(&Cell) -> f64| {
                let points = stretch.iter().map(|(place, cell)| format!("{} {}", n(at(*place)), n(y(side(cell)))));
                points.collect::<Vec<_>>()
            };
            let means = path(&|cell| cell.mean.unwrap_or_default());
            let is_spread = stretch.iter().any(|(_, cell)| cell.deviation.is_some());
            if is_spread && with_band && stretch.len() > 1 {
                let mut outline = path(&|cell| cell.spread().1);
                outline.extend(path(&|cell| cell.spread().0).into_iter().rev());
                let fill = format!(r#" fill="{colour}" fill-opacity="0.15" stroke="none""#);
                canvas.path(&format!("M{}Z", outline.join("L")), &fill, "");
            } else if is_spread {
                for (place, cell) in stretch.iter().filter(|(_, cell)| cell.deviation.is_some()) {
                    let (low, high) = cell.spread();
                    let more = r#" stroke-opacity="0.6""#;
                    canvas.line((at(*place), y(low)), (at(*place), y(high)), colour, more);
                }
            }
            if means.len() > 1 {
                let stroke = format!(r#" fill="none" stroke="{colour}" stroke-width="{}""#, n(width));
                canvas.path(&format!("M{}", means.join("L")), &stroke, "");
            }
        }
        if line.points.len() <= MOST_MARKS {
            for point in &line.points {
                if let Some(mean) = point.1.mean {
                    canvas.mark((at(point.0), y(mean)), line.label, &tooltip(point));
                }
            }
        }
    }

    fn draw_heat(
        &self,
        canvas: &mut Canvas,
        top: f64,
        (x, y): (&Axis, &Axis),
        panels: &[Panel<HashMap<(usize, usize), Cell>>],
    ) {
        let (across, mut up) = (x.thinned(MOST_CELLS), y.thinned(MOST_CELLS));
        // Numbers grow upwards; words are read downwards.
        if y.numbers.is_none() {
            up.reverse();
        }
        let many = panels.len() > 1;
        let columns = columns(panels.len());
        let side = if many { 260.0 } else { 520.0 };
        let cell_width = (side / across.len() as f64).clamp(2.0, 56.0);
        let cell_height = (0.75 * side / up.len() as f64).clamp(2.0, 34.0);
        let (width, height) = (cell_width * across.len() as f64, cell_height * up.len() as f64);
        let longest = y.labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as f64;
        let room = MARGIN + 24.0 + longest * CHAR;
        let cells = across.len() * up.len() * panels.len();
        let is_written = cell_width >= 34.0 && cell_height >= 15.0;
        let mut right = 0.0_f64;
        for (k, panel) in panels.iter().enumerate() {
            let (column, row) = (k % columns, k / columns);
            let frame = Frame {
                left: room + column as f64 * (width + 26.0),
                top: top + if many { 14.0 } else { 0.0 } + row as f64 * (height + 60.0),
                width,
                height,
            };
            right = right.max(frame.right());
            if many {
                canvas.text(frame.x(0.5), frame.top - 6.0, Anchor::Middle, r#" font-weight="bold""#, &panel.title);
            }
            for (i, &from_left) in across.iter().enumerate() {
                for (j, &from_below) in up.iter().enumerate() {
                    let Some(cell) = panel.content.get(&(from_left, from_below)) else { continue };
                    let square = Frame {
                        left: frame.left + i as f64 * cell_width,
                        top: frame.bottom() - (j + 1) as f64 * cell_height,
                        width: cell_width,
                        height: cell_height,
                    };
                    let tooltip = if cells > MOST_TOOLTIPS {
                        String::new()
                    } else {
                        let (x_label, y_label) = (&x.labels[from_left], &y.labels[from_below]);
                        format!("{} {x_label}, {} {y_label}: {}", x.name, y.name, cell.words())
                    };
                    self.draw_cell(canvas, square, cell, is_written, &tooltip);
                }
            }
            canvas.rectangle(frame, &format!(r#" fill="none" stroke="{PALE_INK}""#), "");
            let middles = |places: &[usize], labels: &[String]| -> Vec<Tick> {
                let middle = |k: usize| (k as f64 + 0.5) / places.len() as f64;
                places.iter().enumerate().map(|(k, &place)| (middle(k), labels[place].clone())).collect()
            };
            let ticks = middles(&across, &x.labels);
            let fits = labelled(&ticks, |label| (label.chars().count() as f64 + 1.0) * CHAR / frame.width);
            for ((share, label), _) in ticks.iter().zip(fits).filter(|(_, fits)| *fits) {
                canvas.text(frame.x(*share), frame.bottom() + 14.0, Anchor::Middle, "", label);
            }
            if k + columns >= panels.len() {
                canvas.text(frame.x(0.5), frame.bottom() + 32.0, Anchor::Middle, "", &x.name);
            }
            if column == 0 {
                let ticks = middles(&up, &y.labels);
                let fits = labelled(&ticks, |_| (TEXT + 1.0) / frame.height);
                for ((share, label), _) in ticks.iter().zip(fits).filter(|(_, fits)| *fits) {
                    canvas.text(frame.left - 6.0, frame.y(*share) + 4.0, Anchor::End, "", label);
                }
                turned(canvas, MARGIN + 4.0, frame.y(0.5), &y.name);
            }
        }
        let height = height.clamp(120.0, 390.0);
        self.colour_bar(canvas, Frame { left: right + 24.0, top: top + 14.0, width: 14.0, height });
    }

    fn draw_cell(&self, canvas: &mut Canvas, square: Frame, cell: &Cell, is_written: bool, tooltip: &str) {
        let centre = (square.x(0.5), square.y(0.5));
        let Some(mean) = cell.mean else {
            canvas.rectangle(square, r##" fill="#f0f0f0""##, tooltip);
            if square.width.min(square.height) >= 8.0 {
                canvas.cross(centre, DIVERGED, tooltip);
            }
            return;
        };
        let share = self.scale.at(mean);
        let is_best = self.best == Some(mean);
        let edge = if is_best { r##" stroke="#d55e00" stroke-width="2.5""## } else { "" };
        // The edge of the best one is drawn inside, or the next cell would cover it.
        let inner = if is_best {
            Frame {
                left: square.left + 1.2,
                top: square.top + 1.2,
                width: (square.width - 2.4).max(0.5),
                height: (square.height - 2.4).max(0.5),
            }
        } else {
            square
        };
        canvas.rectangle(inner, &format!(r#" fill="{}"{CRISP}{edge}"#, viridis(share)), tooltip);
        let ink = if share < 0.6 { "#ffffff" } else { "#000000" };
        if is_written {
            let text = if square.width >= 40.0 { format!("{mean:.4}") } else { format!("{mean:.3}") };
            let more = format!(r#" fill="{ink}" font-size="10" pointer-events="none""#);
            canvas.text(centre.0, centre.1 + 3.5, Anchor::Middle, &more, &text);
        }
        if cell.diverged > 0 && square.width.min(square.height) >= 15.0 {
            canvas.cross((square.right() - 6.0, square.top + 6.0), DIVERGED, tooltip);
        }
    }

    fn colour_bar(&self, canvas: &mut Canvas, frame: Frame) {
        const STEPS: usize = 64;
        for k in 0..STEPS {
            let step = frame.height / STEPS as f64;
            // A little taller than the step, or the seams show.
            let top = frame.bottom() - (k + 1) as f64 * step;
            let height = if k == 0 { step } else { step + 0.5 };
            let fill = format!(r#" fill="{}"{CRISP}"#, viridis((k as f64 + 0.5) / STEPS as f64));
            canvas.rectangle(Frame { top, height, ..frame }, &fill, "");
        }
        let ticks = self.scale.round_ticks();
        let fits = labelled(&ticks, |_| (TEXT + 1.0) / frame.height);
        for ((share, label), _) in ticks.iter().zip(fits).filter(|(_, fits)| *fits) {
            let y = frame.y(*share);
            canvas.line((frame.right(), y), (frame.right() + 4.0, y), INK, "");
            canvas.text(frame.right() + 7.0, y + 4.0, Anchor::Start, "", label);
        }
        canvas.text(frame.left, frame.top - 8.0, Anchor::Start, "", self.measure);
        let mut below = frame.bottom() + 18.0;
        if self.scale.form == Form::Complement {
            canvas.text(frame.left, below, Anchor::Start, &format!(r#" fill="{PALE_INK}""#), "log of the error");
            below += 16.0;
        }
        if self.diverged {
            canvas.cross((frame.left + 4.0, below - 4.0), DIVERGED, "");
            canvas.text(frame.left + 14.0, below, Anchor::Start, "", "diverged");
        }
    }

    fn draw_dots(&self, canvas: &mut Canvas, top: f64, name: &str, rows: &[(String, Cell)]) {
        let longest = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let longest = longest.max(name.chars().count()) as f64;
        let frame = Frame {
            left: MARGIN + 12.0 + longest * CHAR,
            top: top + 4.0,
            width: 420.0,
            height: 22.0 * rows.len() as f64 + 8.0,
        };
        let ticks = self.scale.round_ticks();
        let fits = labelled(&ticks, |label| (label.chars().count() as f64 + 1.0) * CHAR / frame.width);
        for ((share, label), fits) in ticks.iter().zip(fits) {
            let x = frame.x(*share);
            canvas.line((x, frame.top), (x, frame.bottom()), GRID, "");
            if fits {
                canvas.text(x, frame.bottom() + 15.0, Anchor::Middle, "", label);
            }
        }
        canvas.rectangle(frame, &format!(r#" fill="none" stroke="{PALE_INK}""#), "");
        canvas.text(frame.left - 8.0, frame.top - 8.0, Anchor::End, r#" font-weight="bold""#, name);
        canvas.text(frame.x(0.5), frame.bottom() + 34.0, Anchor::Middle, "", &self.accuracy_axis());
        for (k, (label, cell)) in rows.iter().enumerate() {
            let y = frame.top + 15.0 + 22.0 * k as f64;
            let x = |accuracy: f64| frame.x(self.scale.at(accuracy.clamp(0.0, 1.0)));
            canvas.text(frame.left - 8.0, y + 4.0, Anchor::End, "", label);
            canvas.text(frame.right() + 8.0, y + 4.0, Anchor::Start, "", &cell.words());
            if cell.diverged > 0 {
                canvas.cross((frame.left + 7.0, y), DIVERGED, "");
            }
            let Some(mean) = cell.mean else { continue };
            if cell.deviation.is_some() {
                let (low, high) = cell.spread();
                canvas.line((x(low), y), (x(high), y), COLOURS[0], r#" stroke-width="1.6""#);
                for accuracy in &cell.accuracies {
                    let path = format!("M{} {}a2 2 0 1 0 4 0a2 2 0 1 0 -4 0Z", n(x(*accuracy) - 2.0), n(y));
                    canvas.path(&path, &format!(r#" fill="{}" fill-opacity="0.35""#, COLOURS[0]), "");
                }
            }
            canvas.mark((x(mean), y), 0, &format!("{label}: {}", cell.words()));
        }
        if self.diverged {
            canvas.cross((frame.left + 4.0, frame.bottom() + 30.0), DIVERGED, "");
            canvas.text(frame.left + 14.0, frame.bottom() + 34.0, Anchor::Start, "", "diverged");
        }
    }
}

/// Panels beside one another.
fn columns(panels: usize) -> usize {
    if panels <= 3 { panels.max(1) } else { ((panels as f64).sqrt().ceil() as usize).min(4) }
}

/// Short lines between the ticks of a logarithmic axis.
fn minor(scale: &Scale, values: &[f64]) -> Vec<f64> {
    if scale.form != Form::Log || values.len() < 2 {
        return Vec::new();
    }
    let all = scale.decades(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    // Over many decades they would be a grey bar.
    if all.len() > 60 { Vec::new() } else { all.into_iter().map(|x| scale.at(x)).collect() }
}

fn axis_below(canvas: &mut Canvas, frame: Frame, ticks: &[Tick], minor: &[f64], gap: Option<f64>) {
    let bottom = frame.bottom();
    for &share in minor {
        canvas.line((frame.x(share), bottom), (frame.x(share), bottom + 3.0), PALE_INK, "");
    }
    let fits = labelled(ticks, |label| (label.chars().count() as f64 + 1.0) * CHAR / frame.width);
    for ((share, label), fits) in ticks.iter().zip(fits) {
        let x = frame.x(*share);
        canvas.line((x, frame.top), (x, bottom), GRID, "");
        canvas.line((x, bottom), (x, bottom + 5.0), INK, "");
        if fits {
            canvas.text(x, bottom + 18.0, Anchor::Middle, "", label);
        }
    }
    canvas.line((frame.left, bottom), (frame.right(), bottom), INK, "");
    if let Some(gap) = gap {
        for dx in [0.0, 4.0] {
            let x = frame.x(gap) + dx;
            canvas.line((x - 2.0, bottom + 4.0), (x + 2.0, bottom - 4.0), INK, "");
        }
    }
}

fn axis_left(canvas: &mut Canvas, frame: Frame, ticks: &[Tick], with_labels: bool) {
    let fits = labelled(ticks, |_| (TEXT + 2.0) / frame.height);
    for ((share, label), fits) in ticks.iter().zip(fits) {
        let y = frame.y(*share);
        canvas.line((frame.left, y), (frame.right(), y), GRID, "");
        canvas.line((frame.left - 4.0, y), (frame.left, y), INK, "");
        if fits && with_labels {
            canvas.text(frame.left - 7.0, y + 4.0, Anchor::End, "", label);
        }
    }
    canvas.line((frame.left, frame.top), (frame.left, frame.bottom()), INK, "");
}

/// Text that is read from below.
fn turned(canvas: &mut Canvas, x: f64, y: f64, text: &str) {
    let more = format!(r#" transform="rotate(-90 {} {})""#, n(x), n(y));
    canvas.text(x, y, Anchor::Middle, &more, text);
}

fn legend(canvas: &mut Canvas, x: f64, mut y: f64, name: &str, labels: &[String], diverged: bool) {
    if !labels.is_empty() {
        canvas.text(x, y, Anchor::Start, r#" font-weight="bold""#, name);
        y += 20.0;
    }
    for (k, label) in labels.iter().enumerate() {
        let more = r#" stroke-width="1.6""#;
        canvas.line((x, y - 4.0), (x + 24.0, y - 4.0), COLOURS[k % COLOURS.len()], more);
        canvas.mark((x + 12.0, y - 4.0), k, "");
        canvas.text(x + 32.0, y, Anchor::Start, "", label);
        y += 18.0;
    }
    if diverged {
        canvas.cross((x + 12.0, y - 4.0), PALE_INK, "");
        canvas.text(x + 32.0, y, Anchor::Start, "", "diverged");
    }
}

/// The colour of a share from 0 to 1.
fn viridis(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let low = (place.floor() as usize).min(VIRIDIS.len() - 2);
    let part = place - low as f64;
    let mixed = |k: usize| {
        let (a, b) = (f64::from(VIRIDIS[low][k]), f64::from(VIRIDIS[low + 1][k]));
        (a + part * (b - a)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mixed(0), mixed(1), mixed(2))
}

/// Two lines at most, cut between words.
fn wrapped(text: &str, chars: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = &mut lines[0];
        let is_full = !line.is_empty() && line.chars().count() + 1 + word.chars().count() > chars;
        if lines.len() == 1 && is_full {
            lines.push(String::new());
        }
        let count = lines.len();
        let line = &mut lines[count - 1];
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    lines
}
