//! What a chart of curves shows besides its lines: dashes, what happened on the way, and a strip below with a number over the same axis.

use super::axis::draw_below;
use super::canvas::{Canvas, DIVERGED, END, Frame, GRID, INK, MIDDLE, PALE, PALE_INK, n};
use super::{Axis, Scale, label};

/// Height of a strip, and what lies between it and the lines.
const STRIP: f64 = 40.0;
const GAP: f64 = 10.0;

/// Marks of a curve.
const MARKS: usize = 9;

/// More events of a kind than these are not drawn: they would be a grey bar.
const MOST_EVENTS: usize = 40;

/// Something that happened at a place on x.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where on x.
    pub x: f64,
    /// What.
    pub words: String,
    /// Whether it is trouble; if not, it is what was looked for.
    pub is_warning: bool,
}

/// A number over the same axis as the lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    /// What it is.
    pub name: String,
    /// Its values, by places on x.
    pub values: Vec<(usize, f64)>,
}

/// What is drawn besides lines.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// Whether lines are curves: their points need no marks, a few tell them apart.
    pub are_curves: bool,
    /// The lines that are dashed.
    pub dashed: Vec<usize>,
    /// The lines that are pale, and are in no legend.
    pub pale: Vec<usize>,
    /// What happened.
    pub events: Vec<Event>,
    /// Numbers along y at which a line stands through each panel.
    pub guides: Vec<f64>,
    /// What is drawn below.
    pub strip: Option<Strip>,
}

impl Overlay {
    /// The frame of lines whose chart is `frame`: what a strip leaves of it.
    pub(super) fn above(&self, frame: Frame) -> Frame {
        let taken = if self.strip.is_some() { STRIP + GAP } else { 0.0 };
        Frame { height: frame.height - taken, ..frame }
    }

    /// Where a line of `count` points has its marks: at each, or of a curve at a few places between them, at others for each line, so that
    /// equal lines are seen. A place is that of the point before it, and the way from there to the next.
    pub(super) fn marks(&self, (line, lines): (usize, usize), count: usize) -> Vec<(usize, f64)> {
        if !self.are_curves || count < 2 {
            return (0..count).map(|k| (k, 0.0)).collect();
        }
        let marks = MARKS.min(count - 1);
        let spacing = (count - 1) as f64 / marks as f64;
        let place = |mark: usize| (mark as f64 + (line as f64 + 0.5) / lines.max(1) as f64) * spacing;
        (0..marks).map(place).map(|place| (place as usize, place.fract())).collect()
    }

    /// Lines at what happened, with words at the top.
    pub(super) fn draw_events(&self, canvas: &mut Canvas, frame: Frame, scale: &Scale) {
        for is_warning in [true, false] {
            for event in self.events.iter().filter(|event| event.is_warning == is_warning).take(MOST_EVENTS) {
                let x = frame.x(scale.at(event.x));
                let colour = if is_warning { DIVERGED } else { INK };
                canvas.line(
                    (x, frame.top),
                    (x, frame.bottom()),
                    colour,
                    r#" stroke-dasharray="2 3" stroke-opacity="0.7""#,
                );
                let (l, r, t, b) = (n(x - 4.0), n(x + 4.0), n(frame.top - 7.0), n(frame.top));
                let fill = format!(r#" fill="{colour}""#);
                canvas.path(&format!("M{l} {t}L{r} {t}L{} {b}Z", n(x)), &fill, &event.words);
                if !is_warning {
                    canvas.text(x, frame.top - 10.0, MIDDLE, PALE, &event.words);
                }
            }
        }
    }

    /// The strip at the foot of `frame`, whose labels stand below it.
    pub(super) fn draw_strip(&self, canvas: &mut Canvas, frame: Frame, scale: &Scale, x: &Axis) {
        let Some(strip) = &self.strip else { return };
        let own = Frame { top: frame.bottom() - STRIP, height: STRIP, ..frame };
        let numbers: Vec<f64> = strip.values.iter().map(|(_, value)| *value).collect();
        draw_below(canvas, own, scale, &x.numbers, true);
        canvas.line((own.left, own.top), (own.left, own.bottom()), PALE_INK, "");
        canvas.line((own.left, own.top), (own.right(), own.top), GRID, "");
        let (least, most) = numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        if most > least {
            canvas.text(own.left - 7.0, own.top + 8.0, END, PALE, &label(most));
            canvas.text(own.left - 7.0, own.bottom(), END, PALE, &label(least));
        } else if let Some(only) = numbers.first() {
            canvas.text(own.left - 7.0, own.top + STRIP / 2.0 + 4.0, END, PALE, &label(*only));
        }
        let middle = |share: f64| own.y(0.08 + 0.84 * share);
        let place = |(place, value): &(usize, f64)| {
            // All alike lie in the middle.
            let share = if most > least { (value - least) / (most - least) } else { 0.5 };
            format!("{} {}", n(own.x(scale.at(x.numbers[*place]))), n(middle(share)))
        };
        let places: Vec<String> = strip.values.iter().map(place).collect();
        if places.len() > 1 {
            canvas.path(
                &format!("M{}", places.join("L")),
                &format!(r#" fill="none" stroke="{PALE_INK}" stroke-width="1.2""#),
                "",
            );
        }
        canvas.turned_text(frame.left - 48.0, own.top + STRIP / 2.0, &strip.name);
    }
}
