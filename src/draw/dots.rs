//! A dot chart: a row with its label, the mean with what it spreads over, and the numbers in words.

use super::axis::labelled_across;
use super::canvas::{BOLD, CHAR, Canvas, DIVERGED, END, Frame, GRID, MARGIN, MIDDLE, START, TOP, WIDE, colour};
use super::{Axis, Chart, longest};

impl Chart {
    pub(super) fn draw_dots(&self, canvas: &mut Canvas) {
        let Axis { name, labels, .. } = &self.y;
        let frame = Frame {
            left: MARGIN + 12.0 + longest(labels.iter().chain([name])) as f64 * CHAR,
            top: TOP + 4.0,
            width: 420.0,
            height: 22.0 * labels.len() as f64 + 8.0,
        };
        for (share, label) in labelled_across(&self.scale.round_ticks(), frame) {
            let x = frame.x(share);
            canvas.line((x, frame.top), (x, frame.bottom()), GRID, "");
            if let Some(label) = label {
                canvas.text(x, frame.bottom() + 15.0, MIDDLE, "", label);
            }
        }
        canvas.border(frame);
        canvas.text(frame.left - 8.0, frame.top - 8.0, END, BOLD, name);
        canvas.text(frame.x(0.5), frame.bottom() + 34.0, MIDDLE, "", &self.title());

        let x = |value: f64| frame.x(self.at(value));
        for (&(row, _), estimate) in &self.panels[0].cells {
            let (y, label) = (frame.top + 15.0 + 22.0 * row as f64, &labels[row]);
            canvas.text(frame.left - 8.0, y + 4.0, END, "", label);
            canvas.text(frame.right() + 8.0, y + 4.0, START, "", &estimate.words());
            if estimate.diverged > 0 {
                canvas.cross((frame.left + 7.0, y), DIVERGED, "");
            }
            let Some(mean) = estimate.mean else { continue };
            if estimate.deviation.is_some() {
                let (low, high) = estimate.spread();
                canvas.line((x(low), y), (x(high), y), colour(0), WIDE);
                for value in &estimate.values {
                    canvas.speck((x(*value), y), colour(0));
                }
            }
            canvas.mark((x(mean), y), 0, &format!("{label}: {}", estimate.words()));
        }
        if self.diverged {
            canvas.explain_cross(frame.left, frame.bottom() + 34.0);
        }
    }
}
