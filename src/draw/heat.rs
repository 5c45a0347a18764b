//! A heat map: a coloured rectangle for each pair of values, its mean written in it where there is room.

use super::axis::{Grid, labelled_across, labelled_upwards};
use super::canvas::{
    CHAR, Canvas, DIVERGED, END, Frame, INK, MARGIN, MIDDLE, MOST_TOOLTIPS, PALE, START, TOP, viridis,
};
use super::scale::{Spacing, Tick};
use super::{Chart, Estimate, MOST_CELLS, Panel, longest};

impl Chart {
    pub(super) fn draw_heat(&self, canvas: &mut Canvas) {
        let (x, y) = (&self.x, &self.y);
        let (across, mut up) = (x.thinned(MOST_CELLS), y.thinned(MOST_CELLS));
        // Numbers grow upwards; words are read downwards.
        if y.numbers.is_empty() {
            up.reverse();
        }
        let (x_ticks, y_ticks) = (middles(&across, &x.labels), middles(&up, &y.labels));
        let side = if self.panels.len() > 1 { 260.0 } else { 520.0 };
        let cell = ((side / across.len() as f64).clamp(2.0, 56.0), (0.75 * side / up.len() as f64).clamp(2.0, 34.0));
        let (width, height) = (cell.0 * across.len() as f64, cell.1 * up.len() as f64);
        let left = MARGIN + 24.0 + longest(&y.labels) as f64 * CHAR;
        let grid = Grid { panels: self.panels.len(), left, size: (width, height), gap: (26.0, 60.0) };
        for (panel, place) in self.panels.iter().zip(grid.places()) {
            let frame = place.frame;
            grid.draw_title(canvas, frame, &panel.title);
            self.draw_cells(canvas, frame, panel, (&across, &up), cell);
            canvas.border(frame);
            for (share, label) in labelled_across(&x_ticks, frame) {
                if let Some(label) = label {
                    canvas.text(frame.x(share), frame.bottom() + 14.0, MIDDLE, "", label);
                }
            }
            if place.is_lowest {
                canvas.text(frame.x(0.5), frame.bottom() + 32.0, MIDDLE, "", &x.name);
            }
            if !place.is_leftmost {
                continue;
            }
            for (share, label) in labelled_upwards(&y_ticks, frame, 1.0) {
                if let Some(label) = label {
                    canvas.text(frame.left - 6.0, frame.y(share) + 4.0, END, "", label);
                }
            }
            canvas.turned_text(MARGIN + 4.0, frame.y(0.5), &y.name);
        }
        let height = height.clamp(120.0, 390.0);
        draw_colour_bar(canvas, self, Frame { left: grid.right() + 24.0, top: TOP + 14.0, width: 14.0, height });
    }

    /// The inside of a panel: these places on x from the left, and on y from below.
    fn draw_cells(
        &self,
        canvas: &mut Canvas,
        frame: Frame,
        panel: &Panel,
        (across, up): (&[usize], &[usize]),
        (width, height): (f64, f64),
    ) {
        let with_tooltips = across.len() * up.len() * self.panels.len() <= MOST_TOOLTIPS;
        for (i, &k) in across.iter().enumerate() {
            for (j, &l) in up.iter().enumerate() {
                let Some(estimate) = panel.cells.get(&(l, k)) else { continue };
                let (left, top) = (frame.left + i as f64 * width, frame.bottom() - (j + 1) as f64 * height);
                let tooltip = if with_tooltips { self.tooltip(k, l, estimate) } else { String::new() };
                draw_cell(canvas, Frame { left, top, width, height }, self, estimate, &tooltip);
            }
        }
    }
}

/// A tick in the middle of each cell of a side.
fn middles(places: &[usize], labels: &[String]) -> Vec<Tick> {
    let middle = |k: usize| (k as f64 + 0.5) / places.len() as f64;
    places.iter().enumerate().map(|(k, &place)| (middle(k), labels[place].clone())).collect()
}

fn draw_cell(canvas: &mut Canvas, square: Frame, chart: &Chart, estimate: &Estimate, tooltip: &str) {
    let (centre, narrowest) = ((square.x(0.5), square.y(0.5)), square.width.min(square.height));
    let Some(mean) = estimate.mean else {
        canvas.rectangle(square, r##" fill="#f0f0f0""##, tooltip);
        if narrowest >= 8.0 {
            canvas.cross(centre, DIVERGED, tooltip);
        }
        return;
    };
    let share = chart.scale.at(mean);
    if chart.best == Some(mean) {
        // Its edge is drawn inside, or the next cell would cover it.
        let (width, height) = ((square.width - 2.4).max(0.5), (square.height - 2.4).max(0.5));
        let inner = Frame { left: square.left + 1.2, top: square.top + 1.2, width, height };
        canvas.cell(inner, &viridis(share), r##" stroke="#d55e00" stroke-width="2.5""##, tooltip);
    } else {
        canvas.cell(square, &viridis(share), "", tooltip);
    }
    if square.width >= 34.0 && square.height >= 15.0 {
        let ink = if share < 0.6 { "#ffffff" } else { "#000000" };
        let text = if square.width >= 40.0 { format!("{mean:.4}") } else { format!("{mean:.3}") };
        let more = format!(r#" fill="{ink}" font-size="10" pointer-events="none""#);
        canvas.text(centre.0, centre.1 + 3.5, MIDDLE, &more, &text);
    }
    if estimate.diverged > 0 && narrowest >= 15.0 {
        canvas.cross((square.right() - 6.0, square.top + 6.0), DIVERGED, tooltip);
    }
}

fn draw_colour_bar(canvas: &mut Canvas, chart: &Chart, frame: Frame) {
    const STEPS: usize = 64;
    for k in 0..STEPS {
        let step = frame.height / STEPS as f64;
        // A little taller than the step, or the seams show.
        let top = frame.bottom() - (k + 1) as f64 * step;
        let height = if k == 0 { step } else { step + 0.5 };
        canvas.cell(Frame { top, height, ..frame }, &viridis((k as f64 + 0.5) / STEPS as f64), "", "");
    }
    let scale = &chart.scale;
    for (share, label) in labelled_upwards(&scale.round_ticks(), frame, 1.0) {
        let Some(label) = label else { continue };
        let y = frame.y(share);
        canvas.line((frame.right(), y), (frame.right() + 4.0, y), INK, "");
        canvas.text(frame.right() + 7.0, y + 4.0, START, "", label);
    }
    canvas.text(frame.left, frame.top - 8.0, START, "", &chart.measure);
    let mut below = frame.bottom() + 18.0;
    if scale.spacing == Spacing::Complement {
        canvas.text(frame.left, below, START, PALE, "log of the error");
        below += 16.0;
    }
    if chart.diverged {
        canvas.explain_cross(frame.left, below);
    }
}
