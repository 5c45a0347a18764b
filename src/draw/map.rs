//! A map: level curves of a function of two variables from above, and ways over it.

use std::fmt::Write as _;

use super::axis::{labelled_across, labelled_upwards};
use super::canvas::{Canvas, END, Frame, INK, MARGIN, MIDDLE, TOP, colour, n};
use super::contour::{Heights, Share};
use super::{Scale, label};

/// Width and height of a map.
const SIZE: (f64, f64) = (430.0, 320.0);

/// The colours of the lowest and the highest curve.
const LOW: [f64; 3] = [96.0, 116.0, 150.0];
const HIGH: [f64; 3] = [221.0, 226.0, 235.0];

/// A function from above.
#[derive(Debug)]
pub struct Map {
    /// From and to, along x and y.
    pub window: [(f64, f64); 2],
    /// Over the window.
    pub heights: Heights,
    /// The heights of the curves, from the lowest.
    pub levels: Vec<f64>,
    /// In the order of the legend.
    pub ways: Vec<Way>,
    /// Where the function is least, with a star each.
    pub minima: Vec<(f64, f64)>,
}

/// A way over a map.
#[derive(Debug)]
pub struct Way {
    /// What it is called in tooltips.
    pub label: String,
    /// From its start to its end.
    pub points: Vec<(f64, f64)>,
    /// Places on it that are marked, by their index, with what is told of them.
    pub stops: Vec<(usize, String)>,
}

impl Map {
    /// Where a point lies.
    pub(super) fn share(&self, (x, y): (f64, f64)) -> Share {
        let [(left, right), (low, high)] = self.window;
        ((x - left) / (right - left), (y - low) / (high - low))
    }

    pub(super) fn scales(&self) -> [Scale; 2] {
        self.window.map(|(low, high)| Scale::from_to(low, high))
    }

    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let frame = Frame { left: MARGIN + 56.0, top: TOP, width: SIZE.0, height: SIZE.1 };
        self.draw_curves(canvas, frame);
        self.draw_axes(canvas, frame);
        for minimum in &self.minima {
            let (x, y) = self.share(*minimum);
            if is_inside((x, y)) {
                let words = format!("minimum at ({}, {})", label(minimum.0), label(minimum.1));
                canvas.star((frame.x(x), frame.y(y)), &words);
            }
        }
        for (line, way) in self.ways.iter().enumerate() {
            self.draw_way(canvas, frame, line, way);
        }
        // All begin at one place, and none hides another's end.
        if let Some(start) = self.ways.first().and_then(|way| way.points.first()) {
            let (x, y) = self.share(*start);
            canvas.ring((frame.x(x), frame.y(y)), &format!("start at ({}, {})", label(start.0), label(start.1)));
        }
        for (line, way) in self.ways.iter().enumerate().rev() {
            let (Some(end), Some((_, words))) = (way.points.last(), way.stops.last()) else { continue };
            let place = self.share(*end);
            if is_inside(place) {
                canvas.mark((frame.x(place.0), frame.y(place.1)), line, words);
            }
        }
    }

    fn draw_curves(&self, canvas: &mut Canvas, frame: Frame) {
        let last = self.levels.len().saturating_sub(1).max(1) as f64;
        // The lowest curve on top.
        for (k, &level) in self.levels.iter().enumerate().rev() {
            let at = |(x, y): &Share| format!("{} {}", n(frame.x(*x)), n(frame.y(*y)));
            let path = |curve: Vec<Share>| {
                let mut places: Vec<String> = curve.iter().map(at).collect();
                places.dedup();
                format!("M{}", places.join("L"))
            };
            let paths: String = self.heights.curves(level).into_iter().map(path).collect();
            if !paths.is_empty() {
                let stroke = shade(k as f64 / last);
                canvas.path(
                    &paths,
                    &format!(r#" fill="none" stroke="{stroke}" stroke-width="0.9""#),
                    &format!("f = {}", label(level)),
                );
            }
        }
    }

    fn draw_axes(&self, canvas: &mut Canvas, frame: Frame) {
        canvas.border(frame);
        let [x, y] = self.scales().map(|scale| scale.round_ticks());
        for (share, label) in labelled_across(&x, frame) {
            canvas.line((frame.x(share), frame.bottom()), (frame.x(share), frame.bottom() + 5.0), INK, "");
            canvas.text(frame.x(share), frame.bottom() + 18.0, MIDDLE, "", label.unwrap_or_default());
        }
        for (share, label) in labelled_upwards(&y, frame, 2.0) {
            canvas.line((frame.left - 4.0, frame.y(share)), (frame.left, frame.y(share)), INK, "");
            canvas.text(frame.left - 7.0, frame.y(share) + 4.0, END, "", label.unwrap_or_default());
        }
        canvas.text(frame.x(0.5), frame.bottom() + 34.0, MIDDLE, "", "x");
        canvas.turned_text(MARGIN + 8.0, frame.y(0.5), "y");
    }

    fn draw_way(&self, canvas: &mut Canvas, frame: Frame, line: usize, way: &Way) {
        let shares: Vec<Share> = way.points.iter().map(|point| self.share(*point)).collect();
        // Ways over one another are thinner towards the last, as in a chart of lines.
        let count = self.ways.len();
        let width = n(1.4 + 0.6_f64.min(2.0 / count as f64) * (count - 1 - line) as f64);
        let stroke = format!(
            r#" fill="none" stroke="{}" stroke-width="{width}" stroke-linejoin="round" stroke-opacity="0.9""#,
            colour(line)
        );
        let mut path = String::new();
        let mut end = None;
        for pair in shares.windows(2) {
            let Some((from, to)) = clipped(pair[0], pair[1]) else { continue };
            let at = |(x, y): Share| format!("{} {}", n(frame.x(x)), n(frame.y(y)));
            if end != Some(from) {
                let _ = write!(path, "M{}", at(from));
            }
            let _ = write!(path, "L{}", at(to));
            end = Some(to);
        }
        if !path.is_empty() {
            canvas.path(&path, &stroke, &way.label);
        }
        for (k, words) in way.stops.iter().rev().skip(1) {
            let place = shares[*k];
            if is_inside(place) {
                canvas.stop((frame.x(place.0), frame.y(place.1)), colour(line), words);
            }
        }
    }
}

/// Whether a place lies in the window.
pub(super) fn is_inside((x, y): Share) -> bool {
    (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y)
}

/// The part of a stretch that lies in the window (Liang & Barsky 1984).
pub(super) fn clipped(from: Share, to: Share) -> Option<(Share, Share)> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (mut first, mut last) = (0.0_f64, 1.0_f64);
    for (step, room) in [(-dx, from.0), (dx, 1.0 - from.0), (-dy, from.1), (dy, 1.0 - from.1)] {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            first = first.max(room / step);
        } else {
            last = last.min(room / step);
        }
    }
    let at = |part: f64| (from.0 + part * dx, from.1 + part * dy);
    // The ends that were not cut keep their bits.
    let ends = (if first == 0.0 { from } else { at(first) }, if last == 1.0 { to } else { at(last) });
    (first <= last).then_some(ends)
}

/// The colour of a curve, by its share of the way from the lowest to the highest.
fn shade(share: f64) -> String {
    let mixed = |k: usize| (LOW[k] + share * (HIGH[k] - LOW[k])).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mixed(0), mixed(1), mixed(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_cut_at_the_edges() {
        assert_eq!(clipped((0.2, 0.2), (0.8, 0.4)), Some(((0.2, 0.2), (0.8, 0.4))));
        assert_eq!(clipped((-1.0, 0.5), (3.0, 0.5)), Some(((0.0, 0.5), (1.0, 0.5))));
        assert_eq!(clipped((0.5, 0.5), (0.5, 2.5)), Some(((0.5, 0.5), (0.5, 1.0))));
        assert_eq!(clipped((2.0, 0.0), (2.0, 1.0)), None);
        assert_eq!(clipped((-1.0, 0.9), (0.1, 2.0)), None);
        assert_eq!(clipped((0.5, 0.5), (0.5, 0.5)), Some(((0.5, 0.5), (0.5, 0.5))));
    }
}
