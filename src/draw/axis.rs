//! What stands around the numbers: panels in rows, axes with ticks and labels, the legend.

use super::Chart;
use super::canvas::{
    BOLD, CHAR, Canvas, DASHED, END, Frame, GRID, INK, MIDDLE, PALE_INK, START, TEXT, TOP, WIDE, colour,
};
use super::scale::{Scale, Spacing, Tick};

/// Where panels stand.
pub struct Grid {
    pub panels: usize,
    pub left: f64,
    /// Width and height of a panel.
    pub size: (f64, f64),
    /// Between two columns, and between two rows.
    pub gap: (f64, f64),
}

/// Where one of them stands.
pub struct Place {
    pub frame: Frame,
    pub is_leftmost: bool,
    pub is_lowest: bool,
}

impl Grid {
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let (width, height) = self.size;
        let columns = if self.panels <= 3 { self.panels } else { ((self.panels as f64).sqrt().ceil() as usize).min(4) };
        // Several have titles.
        let top = TOP + if self.panels > 1 { 14.0 } else { 0.0 };
        (0..self.panels).map(move |k| {
            let left = self.left + (k % columns) as f64 * (width + self.gap.0);
            let frame = Frame { left, top: top + (k / columns) as f64 * (height + self.gap.1), width, height };
            Place { frame, is_leftmost: k % columns == 0, is_lowest: k + columns >= self.panels }
        })
    }

    pub fn right(&self) -> f64 {
        self.places().map(|place| place.frame.right()).fold(0.0, f64::max)
    }

    /// The title of a panel, where there are several.
    pub fn draw_title(&self, canvas: &mut Canvas, frame: Frame, title: &str) {
        if self.panels > 1 {
            canvas.text(frame.x(0.5), frame.top - 6.0, MIDDLE, BOLD, title);
        }
    }
}

/// The place of each tick, and its label where it has room: if each is `width(label)` of the axis long and touches none before.
pub fn labelled(ticks: &[Tick], width: impl Fn(&str) -> f64) -> impl Iterator<Item = (f64, Option<&str>)> {
    let mut end = f64::NEG_INFINITY;
    ticks.iter().map(move |(share, label)| {
        let half = width(label) / 2.0;
        let fits = share - half > end;
        if fits {
            end = share + half;
        }
        (*share, fits.then_some(label.as_str()))
    })
}

/// [`labelled`] for labels beside one another.
pub fn labelled_across(ticks: &[Tick], frame: Frame) -> impl Iterator<Item = (f64, Option<&str>)> {
    labelled(ticks, move |label| (label.chars().count() as f64 + 1.0) * CHAR / frame.width)
}

/// [`labelled`] for labels above one another, with so many pixels between them.
pub fn labelled_upwards(ticks: &[Tick], frame: Frame, between: f64) -> impl Iterator<Item = (f64, Option<&str>)> {
    labelled(ticks, move |_| (TEXT + between) / frame.height)
}

/// The lower axis, for the values that lie along it.
pub fn draw_below(canvas: &mut Canvas, frame: Frame, scale: &Scale, values: &[f64], with_labels: bool) {
    let bottom = frame.bottom();
    for share in minor_ticks(scale, values) {
        canvas.line((frame.x(share), bottom), (frame.x(share), bottom + 3.0), PALE_INK, "");
    }
    for (share, label) in labelled_across(&scale.ticks(values), frame) {
        let x = frame.x(share);
        canvas.line((x, frame.top), (x, bottom), GRID, "");
        if !with_labels {
            continue;
        }
        canvas.line((x, bottom), (x, bottom + 5.0), INK, "");
        if let Some(label) = label {
            canvas.text(x, bottom + 18.0, MIDDLE, "", label);
        }
    }
    canvas.line((frame.left, bottom), (frame.right(), bottom), INK, "");
    if let Some(gap) = scale.gap() {
        for dx in [0.0, 4.0] {
            let x = frame.x(gap) + dx;
            canvas.line((x - 2.0, bottom + 4.0), (x + 2.0, bottom - 4.0), INK, "");
        }
    }
}

/// Short lines between the ticks of a logarithmic axis.
fn minor_ticks(scale: &Scale, values: &[f64]) -> Vec<f64> {
    if scale.spacing != Spacing::Log || values.len() < 2 {
        return Vec::new();
    }
    let all = scale.decades(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    // Over many decades they would be a grey bar.
    if all.len() > 60 { Vec::new() } else { all.into_iter().map(|x| scale.at(x)).collect() }
}

/// The left axis.
pub fn draw_left(canvas: &mut Canvas, frame: Frame, scale: &Scale, with_labels: bool) {
    for (share, label) in labelled_upwards(&scale.round_ticks(), frame, 2.0) {
        let y = frame.y(share);
        canvas.line((frame.left, y), (frame.right(), y), GRID, "");
        canvas.line((frame.left - 4.0, y), (frame.left, y), INK, "");
        if let Some(label) = label.filter(|_| with_labels) {
            canvas.text(frame.left - 7.0, y + 4.0, END, "", label);
        }
    }
    canvas.line((frame.left, frame.top), (frame.left, frame.bottom()), INK, "");
}

/// The marks of lines with their labels, below the name of what differs; and the cross of what diverged.
pub fn draw_legend(canvas: &mut Canvas, (x, mut y): (f64, f64), chart: &Chart) {
    let Chart { y: lines, overlay, diverged, .. } = chart;
    if !lines.name.is_empty() {
        canvas.text(x, y, START, BOLD, &lines.name);
        y += 20.0;
        for (k, label) in lines.labels.iter().enumerate().filter(|(k, _)| !overlay.pale.contains(k)) {
            let dashes = if overlay.dashed.contains(&k) { DASHED } else { "" };
            canvas.line((x, y - 4.0), (x + 24.0, y - 4.0), colour(k), &format!("{WIDE}{dashes}"));
            canvas.mark((x + 12.0, y - 4.0), k, "");
            canvas.text(x + 32.0, y, START, "", label);
            y += 18.0;
        }
    }
    if *diverged {
        canvas.cross((x + 12.0, y - 4.0), PALE_INK, "");
        canvas.text(x + 32.0, y, START, "", "diverged");
    }
}
