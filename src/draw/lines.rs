//! Lines through means, with what the measurements spread over.

use std::collections::HashMap;

use super::axis::{Grid, draw_below, draw_left, draw_legend};
use super::canvas::{Anchor, COLOURS, Canvas, Frame, MARGIN, MOST_TOOLTIPS, TOP, n};
use super::scale::Scale;
use super::{Chart, Estimate, Line, Lines, Measure};

/// More points than this on a line have no marks of their own.
const MOST_MARKS: usize = 200;

/// Bands of more lines than these would lie over one another.
const MOST_BANDS: usize = 4;

type Point = (usize, Estimate);

impl Lines {
    pub(super) fn draw(&self, canvas: &mut Canvas, chart: &Chart) {
        let (scale, values) = (self.x.scale(), self.x.values());
        let many = self.panels.len() > 1;
        let size = if many { (220.0, 150.0) } else { (540.0, 320.0) };
        let grid = Grid::new(self.panels.len(), MARGIN + 56.0, size, (22.0, 56.0));
        let points: usize = self.panels.iter().flat_map(|panel| &panel.content).map(|line| line.points.len()).sum();
        for (panel, place) in self.panels.iter().zip(grid.places()) {
            let frame = place.frame;
            grid.draw_title(canvas, frame, &panel.title);
            draw_below(canvas, frame, &scale, values);
            draw_left(canvas, frame, &chart.measure.scale, place.is_leftmost);
            // Names once a side.
            if place.is_lowest {
                canvas.text(frame.x(0.5), frame.bottom() + 34.0, Anchor::Middle, "", &self.x.name);
            }
            if place.is_leftmost {
                let name = if many { chart.measure.name.clone() } else { chart.measure.title() };
                canvas.turned_text(MARGIN + 8.0, frame.y(0.5), &name);
            }
            let with_tooltips = points <= MOST_TOOLTIPS;
            Plot { lines: self, measure: &chart.measure, scale: &scale, frame, with_tooltips }
                .draw(canvas, &panel.content);
        }
        draw_legend(canvas, (grid.right() + 18.0, TOP + 8.0), &self.name, &self.labels, chart.diverged);
    }
}

/// The inside of a panel.
struct Plot<'a> {
    lines: &'a Lines,
    measure: &'a Measure,
    /// Of x.
    scale: &'a Scale,
    frame: Frame,
    with_tooltips: bool,
}

impl Plot<'_> {
    fn x(&self, place: usize) -> f64 {
        self.frame.x(self.scale.at(self.lines.x.values()[place]))
    }

    fn y(&self, value: f64) -> f64 {
        self.frame.y(self.measure.at(value))
    }

    fn draw(&self, canvas: &mut Canvas, lines: &[Line]) {
        // How many crosses stand at a place of x already.
        let mut crosses: HashMap<usize, usize> = HashMap::new();
        for line in lines {
            self.draw_line(canvas, line, lines.len() <= MOST_BANDS);
            for point in line.points.iter().filter(|(_, estimate)| estimate.diverged > 0) {
                let above = crosses.entry(point.0).or_default();
                let place = (self.x(point.0), self.frame.bottom() - 6.0 - 8.0 * *above as f64);
                *above += 1;
                canvas.cross(place, COLOURS[line.label % COLOURS.len()], &self.tooltip(line, point));
            }
        }
    }

    /// A line through the means, broken where there is none, with marks on it.
    fn draw_line(&self, canvas: &mut Canvas, line: &Line, with_band: bool) {
        let colour = COLOURS[line.label % COLOURS.len()];
        // Lines over one another are thinner towards the last, so that none is hidden.
        let behind = self.lines.labels.len() - 1 - line.label;
        let width = 1.4 + 0.6_f64.min(2.0 / self.lines.labels.len() as f64) * behind as f64;
        for stretch in line.points.split(|(_, estimate)| estimate.mean.is_none()) {
            if stretch.iter().any(|(_, estimate)| estimate.deviation.is_some()) {
                self.draw_spread(canvas, stretch, colour, with_band);
            }
            if stretch.len() > 1 {
                let means = self.through(stretch, |estimate| estimate.mean.unwrap_or_default());
                let stroke = format!(r#" fill="none" stroke="{colour}" stroke-width="{}""#, n(width));
                canvas.path(&format!("M{}", means.join("L")), &stroke, "");
            }
        }
        if line.points.len() <= MOST_MARKS {
            for point in &line.points {
                if let Some(mean) = point.1.mean {
                    canvas.mark((self.x(point.0), self.y(mean)), line.label, &self.tooltip(line, point));
                }
            }
        }
    }

    /// What points spread over: a band, or where there is none a line at each.
    fn draw_spread(&self, canvas: &mut Canvas, stretch: &[Point], colour: &str, with_band: bool) {
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
    fn through(&self, stretch: &[Point], number: impl Fn(&Estimate) -> f64) -> Vec<String> {
        let place = |(place, estimate): &Point| format!("{} {}", n(self.x(*place)), n(self.y(number(estimate))));
        stretch.iter().map(place).collect()
    }

    fn tooltip(&self, line: &Line, (place, estimate): &Point) -> String {
        if !self.with_tooltips {
            return String::new();
        }
        let Lines { x, name, labels, .. } = self.lines;
        let of_line = if name.is_empty() { String::new() } else { format!(", {name} {}", labels[line.label]) };
        format!("{} {}{of_line}: {}", x.name, x.labels[*place], estimate.words())
    }
}
