//! Lines through means, with what the measurements spread over.

use std::collections::HashMap;

use super::axis::{Grid, draw_below, draw_left, draw_legend};
use super::canvas::{Canvas, Frame, MARGIN, MIDDLE, MOST_TOOLTIPS, TOP, colour, n};
use super::{Chart, Estimate, Panel, Scale};

/// More points than this on a line have no marks of their own.
const MOST_MARKS: usize = 200;

/// Bands of more lines than these would lie over one another.
const MOST_BANDS: usize = 4;

/// A place on x, and what was measured there.
type Placed<'a> = (usize, &'a Estimate);

impl Chart {
    pub(super) fn draw_lines(&self, canvas: &mut Canvas) {
        let many = self.panels.len() > 1;
        let size = if many { (220.0, 150.0) } else { (540.0, 320.0) };
        let grid = Grid { panels: self.panels.len(), left: MARGIN + 56.0, size, gap: (22.0, 56.0) };
        let scale = Scale::of(&self.x.numbers);
        let points: usize = self.panels.iter().map(|panel| panel.cells.len()).sum();
        for (panel, place) in self.panels.iter().zip(grid.places()) {
            let frame = place.frame;
            grid.draw_title(canvas, frame, &panel.title);
            draw_below(canvas, frame, &scale, &self.x.numbers);
            draw_left(canvas, frame, &self.scale, place.is_leftmost);
            // Names once a side.
            if place.is_lowest {
                canvas.text(frame.x(0.5), frame.bottom() + 34.0, MIDDLE, "", &self.x.name);
            }
            if place.is_leftmost {
                let name = if many { self.measure.clone() } else { self.title() };
                canvas.turned_text(MARGIN + 8.0, frame.y(0.5), &name);
            }
            Plot { chart: self, scale: &scale, frame, with_tooltips: points <= MOST_TOOLTIPS }.draw(canvas, panel);
        }
        draw_legend(canvas, (grid.right() + 18.0, TOP + 8.0), &self.y, self.diverged);
    }
}

/// The inside of a panel.
struct Plot<'a> {
    chart: &'a Chart,
    /// Of x.
    scale: &'a Scale,
    frame: Frame,
    with_tooltips: bool,
}

impl Plot<'_> {
    fn x(&self, place: usize) -> f64 {
        self.frame.x(self.scale.at(self.chart.x.numbers[place]))
    }

    fn y(&self, value: f64) -> f64 {
        self.frame.y(self.chart.at(value))
    }

    fn draw(&self, canvas: &mut Canvas, panel: &Panel) {
        let lines = panel.lines();
        // How many crosses stand at a place of x already.
        let mut crosses: HashMap<usize, usize> = HashMap::new();
        for (&line, points) in &lines {
            self.draw_line(canvas, line, points, lines.len() <= MOST_BANDS);
            for &(x, estimate) in points.iter().filter(|(_, estimate)| estimate.diverged > 0) {
                let above = crosses.entry(x).or_default();
                let place = (self.x(x), self.frame.bottom() - 6.0 - 8.0 * *above as f64);
                *above += 1;
                canvas.cross(place, colour(line), &self.tooltip(line, x, estimate));
            }
        }
    }

    /// A line through the means, broken where there is none, with marks on it.
    fn draw_line(&self, canvas: &mut Canvas, line: usize, points: &[Placed], with_band: bool) {
        // Lines over one another are thinner towards the last, so that none is hidden.
        let count = self.chart.y.labels.len();
        let width = 1.4 + 0.6_f64.min(2.0 / count as f64) * (count - 1 - line) as f64;
        for stretch in points.split(|(_, estimate)| estimate.mean.is_none()) {
            if stretch.iter().any(|(_, estimate)| estimate.deviation.is_some()) {
                self.draw_spread(canvas, stretch, colour(line), with_band);
            }
            if stretch.len() > 1 {
                let means = self.through(stretch, |estimate| estimate.mean.unwrap_or_default());
                let stroke = format!(r#" fill="none" stroke="{}" stroke-width="{}""#, colour(line), n(width));
                canvas.path(&format!("M{}", means.join("L")), &stroke, "");
            }
        }
        if points.len() <= MOST_MARKS {
            for &(x, estimate) in points {
                if let Some(mean) = estimate.mean {
                    canvas.mark((self.x(x), self.y(mean)), line, &self.tooltip(line, x, estimate));
                }
            }
        }
    }

    /// What points spread over: a band, or where there is none a line at each.
    fn draw_spread(&self, canvas: &mut Canvas, stretch: &[Placed], colour: &str, with_band: bool) {
        if with_band && stretch.len() > 1 {
            let mut outline = self.through(stretch, |estimate| estimate.spread().1);
            outline.extend(self.through(stretch, |estimate| estimate.spread().0).into_iter().rev());
            let fill = format!(r#" fill="{colour}" fill-opacity="0.15" stroke="none""#);
            canvas.path(&format!("M{}Z", outline.join("L")), &fill, "");
            return;
        }
        for (place, estimate) in stretch.iter().filter(|(_, estimate)| estimate.deviation.is_some()) {
            let (x, (low, high)) = (self.x(*place), estimate.spread());
            canvas.line((x, self.y(low)), (x, self.y(high)), colour, r#" stroke-opacity="0.6""#);
        }
    }

    /// The places of a number of each point, as a path has them.
    fn through(&self, stretch: &[Placed], number: impl Fn(&Estimate) -> f64) -> Vec<String> {
        let place = |(place, estimate): &Placed| format!("{} {}", n(self.x(*place)), n(self.y(number(estimate))));
        stretch.iter().map(place).collect()
    }

    fn tooltip(&self, line: usize, x: usize, estimate: &Estimate) -> String {
        if self.with_tooltips { self.chart.tooltip(x, line, estimate) } else { String::new() }
    }
}
