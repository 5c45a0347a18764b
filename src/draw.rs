//! Charts of numbers: lines, heat maps and dots, as one SVG file and as text for a terminal. Where the numbers come from is not known here.
//!
//! Who has results makes a [`Figure`] of them. Equal figures are equal bytes. What a figure is made of stands here, the drawing of a form in
//! a file each, all of them on [`canvas`] and [`axis`]; text.rs has the twin for terminals.
//!
//! plotters 0.3 would take away `canvas` and `axis` for about 220 lines of calls. It places on whole pixels, and has no tooltips, no labels
//! that make way for one another, no panels under one legend, no marks in the legend and no text.

mod axis;
mod braille;
mod canvas;
mod contour;
mod dots;
mod heat;
mod lines;
mod map;
mod overlay;
#[cfg(feature = "png")]
mod raster;
mod scale;
mod text;

use std::collections::BTreeMap;

use canvas::Canvas;
pub use canvas::escaped;
pub use contour::Heights;
pub use map::{Map, Way};
pub use overlay::{Event, Overlay, Strip};
#[cfg(feature = "png")]
pub use raster::to_png;
use scale::Spacing;
pub use scale::{Scale, label};

/// More lines than this in one panel cannot be told apart; there are as many colours.
pub const MOST_LINES: usize = 8;

/// A side of a heat map longer than this is thinned out.
pub const MOST_CELLS: usize = 256;

/// Charts beside one another, under one title.
#[derive(Debug)]
pub struct Figure {
    /// Its first line.
    pub title: String,
    /// What else is to be known; two lines at most.
    pub note: String,
    /// Left of the charts, whose legend is its own.
    pub map: Option<Map>,
    /// From left to right.
    pub charts: Vec<Chart>,
}

/// A measure over one or two axes.
#[derive(Debug)]
pub struct Chart {
    /// How it is drawn.
    pub form: Form,
    /// What the numbers are.
    pub measure: String,
    /// Where a number lies, along an axis or by colour.
    pub scale: Scale,
    /// No number lies beyond them; a deviation that does is cut off.
    pub bounds: (f64, f64),
    /// Along the lower edge; a dot chart has none.
    pub x: Axis,
    /// The lines, along the left edge of a heat map, or the rows of dots from the top. Without a name lines have no legend.
    pub y: Axis,
    /// At least one; a dot chart has one.
    pub panels: Vec<Panel>,
    /// The best mean, which a heat map frames and whose panel the text shows.
    pub best: Option<f64>,
    /// Whether the sign of what diverged is explained.
    pub diverged: bool,
    /// What a chart of lines shows besides them.
    pub overlay: Overlay,
}

/// What a chart looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line for each value of y, over the numbers of x.
    Lines,
    /// A colour for each pair of values.
    Heat,
    /// A dot for each value of y.
    Dots,
}

/// One of several panels; alone it needs no title.
#[derive(Debug, Default)]
pub struct Panel {
    /// Stands above it.
    pub title: String,
    /// What was measured, by the places on y and x.
    pub cells: BTreeMap<(usize, usize), Estimate>,
}

impl Panel {
    /// What was measured at each place on y, along x.
    fn lines(&self) -> BTreeMap<usize, Vec<(usize, &Estimate)>> {
        let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((y, x), estimate) in &self.cells {
            lines.entry(*y).or_default().push((*x, estimate));
        }
        lines
    }
}

impl Chart {
    /// The measure, and how its axis is spaced where that is not evenly.
    pub fn title(&self) -> String {
        let spacing = if self.scale.spacing == Spacing::Complement { " (log scale of the error)" } else { "" };
        format!("{}{spacing}", self.measure)
    }

    /// Where a number lies, from 0 to 1.
    fn at(&self, x: f64) -> f64 {
        self.scale.at(x.clamp(self.bounds.0, self.bounds.1))
    }

    /// Where a number lies, from 0 to 1, for who draws it elsewhere.
    #[cfg(feature = "watch")]
    pub fn place(&self, x: f64) -> f64 {
        self.at(x)
    }

    /// The number that lies at a share of the axis.
    #[cfg(feature = "watch")]
    pub fn number_at(&self, share: f64) -> f64 {
        self.scale.number_at(share)
    }

    /// What was measured at these places on x and y, in words.
    fn tooltip(&self, x: usize, y: usize, estimate: &Estimate) -> String {
        let of_y =
            if self.y.name.is_empty() { String::new() } else { format!(", {} {}", self.y.name, self.y.labels[y]) };
        format!("{} {}{of_y}: {}", self.x.name, self.x.labels[x], estimate.words())
    }
}

/// The values that occur along an axis.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// What they are values of.
    pub name: String,
    /// A label each.
    pub labels: Vec<String>,
    /// The values, in order; none where they are words.
    pub numbers: Vec<f64>,
    /// Whether they are time that passes, which is always seen evenly.
    pub is_time: bool,
}

impl Axis {
    /// Of time that passes, which comes to these numbers.
    pub fn of_time(name: &str, numbers: Vec<f64>) -> Self {
        let labels = numbers.iter().map(|number| label(*number)).collect();
        Self { name: name.to_owned(), labels, numbers, is_time: true }
    }

    /// Where its numbers lie.
    fn scale(&self) -> Scale {
        if self.is_time { Scale::even(&self.numbers) } else { Scale::of(&self.numbers) }
    }

    /// Every k-th place, so that no more than `most` are left.
    pub fn thinned(&self, most: usize) -> Vec<usize> {
        let count = self.labels.len();
        (0..count).step_by(count.div_ceil(most).max(1)).collect()
    }
}

/// What was measured several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Each of the measurements.
    pub values: Vec<f64>,
    /// How many gave none.
    pub diverged: usize,
    /// None where all diverged.
    pub mean: Option<f64>,
    /// From two on.
    pub deviation: Option<f64>,
}

impl Estimate {
    /// Of these measurements: their mean, and from two on their sample standard deviation.
    pub fn of(values: Vec<f64>) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let (mean, deviation) = ((n > 0.0).then_some(mean), (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()));
        Self { values, diverged: 0, mean, deviation }
    }

    /// What its measurements give, with as many that gave none.
    pub fn settled(self) -> Self {
        Self { diverged: self.diverged, ..Self::of(self.values) }
    }

    /// Mean − deviation and mean + deviation.
    pub fn spread(&self) -> (f64, f64) {
        let (mean, deviation) = (self.mean.unwrap_or_default(), self.deviation.unwrap_or_default());
        (mean - deviation, mean + deviation)
    }

    /// `0.9312 ± 0.0008`, or what else there is to say.
    fn words(&self) -> String {
        let diverged = if self.diverged > 0 { format!(", {} diverged", self.diverged) } else { String::new() };
        match (self.mean, self.deviation) {
            (None, _) => format!("{} diverged", self.diverged),
            (Some(mean), None) => format!("{mean:.4}{diverged}"),
            (Some(mean), Some(deviation)) => format!("{mean:.4} ± {deviation:.4}{diverged}"),
        }
    }
}

/// Characters of the longest of some texts.
fn longest<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.chars().count()).max().unwrap_or(0)
}

impl Figure {
    /// As an SVG file.
    pub fn to_svg(&self) -> String {
        let mut canvas = Canvas::default();
        if let Some(map) = &self.map {
            map.draw(&mut canvas);
        }
        for (k, chart) in self.charts.iter().enumerate() {
            let mut alone = Canvas::default();
            // Of charts with the same lines, the last has the legend.
            let next = self.charts.get(k + 1).map(|next| (&next.y.name, &next.y.labels));
            let with_legend = next != Some((&chart.y.name, &chart.y.labels));
            match chart.form {
                Form::Lines => chart.draw_lines(&mut alone, with_legend),
                Form::Heat => chart.draw_heat(&mut alone),
                Form::Dots => chart.draw_dots(&mut alone),
            }
            canvas.put_beside(&alone);
        }
        let measures: Vec<String> = self.charts.iter().map(Chart::title).collect();
        canvas.into_file(&self.title, &self.note, &measures.join(", "))
    }

    /// As lines of text for a terminal of so many columns, but for titles; of several panels one, where `picture` is the file that has all
    /// of them.
    pub fn to_text(&self, picture: &str, width: usize) -> String {
        self.charts.iter().map(|chart| chart.to_text(picture, width)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run has: a measure over its epochs, on two splits.
    fn curve(name: &str, train: [f64; 4], test: [f64; 4], scale: fn(&[f64]) -> Scale, most: f64) -> Chart {
        let line = |y, values: [f64; 4]| (0..4).map(move |x| ((y, x), Estimate::of(vec![values[x]])));
        Chart {
            form: Form::Lines,
            measure: name.into(),
            scale: scale(&[train, test].concat()),
            bounds: (0.0, most),
            x: Axis::of_time("epoch", vec![1.0, 2.0, 3.0, 4.0]),
            y: Axis { name: "split".into(), labels: vec!["train".into(), "test".into()], ..Axis::default() },
            panels: vec![Panel { title: String::new(), cells: line(0, train).chain(line(1, test)).collect() }],
            best: None,
            diverged: false,
            overlay: Overlay::default(),
        }
    }

    fn curves() -> Figure {
        let loss = curve("loss", [1.9, 0.8, 0.4, 0.2], [1.2, 0.7, 0.5, 0.45], Scale::even, f64::INFINITY);
        let accuracy = curve("accuracy", [0.4, 0.8, 0.9, 0.99], [0.5, 0.8, 0.85, 0.87], Scale::of_fractions, 1.0);
        Figure { title: "runs/a".into(), note: "mnist, linear net".into(), map: None, charts: vec![loss, accuracy] }
    }

    #[test]
    fn two_charts_stand_beside_one_another() {
        let svg = curves().to_svg();
        for word in [">loss<", ">accuracy (log scale of the error)<", ">1.5<", ">train<", "<g transform=\"translate("] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        assert!(svg.contains("<title>epoch 2, split test: 0.7000</title>"), "{svg}");
        // A loss above 1 is drawn where it lies, at the top of its frame.
        assert!(svg.contains(&format!(" {:.1}L", 400.0 - 320.0 * (1.9 - 0.132) / (1.968 - 0.132))), "{svg}");
        assert_eq!(svg, curves().to_svg());

        let text = curves().to_text("curves.svg", 80);
        assert!(text.contains("loss\n") && text.contains("split:   o train   + test"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
