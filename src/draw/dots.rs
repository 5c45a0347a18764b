//! A dot chart: a row with its label, the mean with what it spreads over, and the numbers in words.

use super::axis::labelled_across;
use super::canvas::{Anchor, BOLD, CHAR, COLOURS, Canvas, DIVERGED, Frame, GRID, MARGIN, TOP};
use super::{Chart, Dots, longest};

impl Dots {
    pub(super) fn draw(&self, canvas: &mut Canvas, chart: &Chart) {
        let longest = longest(self.rows.iter().map(|(label, _)| label).chain([&self.name]));
        let frame = Frame {
            left: MARGIN + 12.0 + longest as f64 * CHAR,
            top: TOP + 4.0,
            width: 420.0,
            height: 22.0 * self.rows.len() as f64 + 8.0,
        };
        for (share, label) in labelled_across(&chart.measure.scale.round_ticks(), frame) {
            let x = frame.x(share);
            canvas.line((x, frame.top), (x, frame.bottom()), GRID, "");
            if let Some(label) = label {
                canvas.text(x, frame.bottom() + 15.0, Anchor::Middle, "", label);
            }
        }
        canvas.border(frame);
        canvas.text(frame.left - 8.0, frame.top - 8.0, Anchor::End, BOLD, &self.name);
        canvas.text(frame.x(0.5), frame.bottom() + 34.0, Anchor::Middle, "", &chart.measure.title());

        let x = |value: f64| frame.x(chart.measure.at(value));
        for (k, (label, estimate)) in self.rows.iter().enumerate() {
            let y = frame.top + 15.0 + 22.0 * k as f64;
            canvas.text(frame.left - 8.0, y + 4.0, Anchor::End, "", label);
            canvas.text(frame.right() + 8.0, y + 4.0, Anchor::Start, "", &estimate.words());
            if estimate.diverged > 0 {
                canvas.cross((frame.left + 7.0, y), DIVERGED, "");
            }
            let Some(mean) = estimate.mean else { continue };
            if estimate.deviation.is_some() {
                let (low, high) = estimate.spread();
                canvas.line((x(low), y), (x(high), y), COLOURS[0], r#" stroke-width="1.6""#);
                for value in &estimate.values {
                    canvas.speck((x(*value), y), 0);
                }
            }
            canvas.mark((x(mean), y), 0, &format!("{label}: {}", estimate.words()));
        }
        if chart.diverged {
            canvas.explain_cross(frame.left, frame.bottom() + 34.0);
        }
    }
}
