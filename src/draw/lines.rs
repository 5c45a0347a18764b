//! Lines through means, with what the measurements spread over.

use std::collections::{BTreeMap, HashMap};

use super::axis::{Grid, draw_below, draw_left, draw_legend};
use super::canvas::{Canvas, DASHED, Frame, MARGIN, MIDDLE, MOST_TOOLTIPS, PALE_INK, SHADE, TOP, colour, n};
use super::{Chart, Estimate, Panel, Scale};

/// More points than this on a line have no marks of their own.
const MOST_MARKS: usize = 200;

/// Bands of more lines than these would lie over one another.
const MOST_BANDS: usize = 4;

/// A place on x, and what was measured there.
type Placed<'a> = (usize, &'a Estimate);

impl Chart {
    pub(super) fn draw_lines(&self, canvas: &mut Canvas, with_legend: bool) {
        let many = self.panels.len() > 1;
        let size = if many { (220.0, 150.0) } else { (540.0, 320.0) };
        let grid = Grid { panels: self.panels.len(), left: MARGIN + 56.0, size, gap: (22.0, 56.0) };
        let scale = self.x.scale();
        let points: usize = self.panels.iter().map(|panel| panel.cells.len()).sum();
        for (panel, place) in self.panels.iter().zip(grid.places()) {
            let frame = place.frame;
            grid.draw_title(canvas, frame, &panel.title);
            let lines = self.overlay.above(frame);
            draw_below(canvas, lines, &scale, &self.x.numbers, self.overlay.strip.is_none());
            draw_left(canvas, lines, &self.scale, place.is_leftmost);
            for &guide in &self.overlay.guides {
                let y = lines.y(self.at(guide));
                canvas.line((lines.left, y), (lines.right(), y), PALE_INK, DASHED);
            }
            self.overlay.draw_strip(canvas, frame, &scale, &self.x);
            self.overlay.draw_events(canvas, lines, &scale);
            // Names once a side.
            if place.is_lowest {
                canvas.text(frame.x(0.5), frame.bottom() + 34.0, MIDDLE, "", &self.x.name);
            }
            if place.is_leftmost {
                let name = if many { self.measure.clone() } else { self.title() };
                canvas.turned_text(MARGIN + 8.0, lines.y(0.5), &name);
            }
            Plot { chart: self, scale: &scale, frame: lines, with_tooltips: points <= MOST_TOOLTIPS }
                .draw(canvas, panel);
        }
        if with_legend {
            draw_legend(canvas, (grid.right() + 18.0, TOP + 8.0), self);
        }
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
        let (pale, lines): (BTreeMap<_, _>, BTreeMap<_, _>) =
            lines.into_iter().partition(|(line, _)| self.chart.overlay.pale.contains(line));
        for points in pale.values() {
            self.draw_pale(canvas, points);
        }
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
        let overlay = &self.chart.overlay;
        let dashes = if overlay.dashed.contains(&line) { DASHED } else { "" };
        for stretch in points.split(|(_, estimate)| estimate.mean.is_none()) {
            if stretch.iter().any(|(_, estimate)| estimate.deviation.is_some()) {
                self.draw_spread(canvas, stretch, colour(line), with_band);
            }
            if stretch.len() > 1 {
                let means = self.through(stretch, |estimate| estimate.mean.unwrap_or_default());
                let stroke = format!(r#" fill="none" stroke="{}" stroke-width="{}"{dashes}"#, colour(line), n(width));
                canvas.path(&format!("M{}", means.join("L")), &stroke, "");
            }
        }
        if overlay.are_curves || points.len() <= MOST_MARKS {
            let at = |k: usize| points.get(k).and_then(|(x, estimate)| Some((self.x(*x), self.y(estimate.mean?))));
            for (k, part) in overlay.marks((line, count), points.len()) {
                let (Some(here), (x, estimate)) = (at(k), points[k]) else { continue };
                let Some(next) = (if part > 0.0 { at(k + 1) } else { Some(here) }) else { continue };
                let place = (here.0 + part * (next.0 - here.0), here.1 + part * (next.1 - here.1));
                canvas.mark(place, line, &self.tooltip(line, x, estimate));
            }
        }
        self.draw_beyond(canvas, line, points);
    }

    /// An arrow where a line leaves the frame.
    fn draw_beyond(&self, canvas: &mut Canvas, line: usize, points: &[Placed]) {
        let (low, high) = self.chart.bounds;
        let mut was_out = false;
        for &(x, estimate) in points {
            let out = estimate.mean.filter(|mean| *mean < low || *mean > high);
            if let Some(mean) = out.filter(|_| !was_out) {
                canvas.arrow((self.x(x), self.y(mean)), mean > high, line, &self.tooltip(line, x, estimate));
            }
            was_out = out.is_some();
        }
    }

    /// A line without marks, behind the others.
    fn draw_pale(&self, canvas: &mut Canvas, points: &[Placed]) {
        for stretch in points.split(|(_, estimate)| estimate.mean.is_none()).filter(|stretch| stretch.len() > 1) {
            let means = self.through(stretch, |estimate| estimate.mean.unwrap_or_default());
            canvas.path(&format!("M{}", means.join("L")), &format!(r#" fill="none" stroke="{SHADE}""#), "");
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
