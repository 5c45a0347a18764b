//! Charts of numbers: lines, heat maps and dots, as one SVG file and as text for a terminal. Where the numbers come from is not known here.
//!
//! Who has results makes a [`Figure`] of them. Equal figures are equal bytes. Types and what a figure is made of stand here, the drawing of a
//! form in a file each, all of them on [`canvas`] and [`axis`]; text.rs has the twin for terminals.
//!
//! plotters 0.3 draws the same forms from about 220 lines of calls, of which the scale of 1 − x is written by hand; what it takes away is
//! `canvas` and `axis`. It places on whole pixels, and has no tooltips, no labels that make way for one another, no panels under one legend,
//! no marks in the legend and no text, so that most of what is here would stay.

mod axis;
mod canvas;
mod dots;
mod heat;
mod lines;
mod scale;
mod text;

use std::collections::HashMap;

use canvas::Canvas;
pub use scale::{Scale, Spacing, label};

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
    /// From left to right.
    pub charts: Vec<Chart>,
}

/// A measure over one or two axes.
#[derive(Debug)]
pub struct Chart {
    /// What the numbers are.
    pub measure: Measure,
    /// The best mean, which a heat map frames and whose panel the text shows.
    pub best: Option<f64>,
    /// Whether the sign of what diverged is explained.
    pub diverged: bool,
    /// How they are drawn.
    pub form: Form,
}

/// What a chart looks like.
#[derive(Debug)]
pub enum Form {
    /// Lines over an axis of numbers.
    Lines(Lines),
    /// A colour for each pair of values.
    Heat(Heat),
    /// A dot in each row.
    Dots(Dots),
}

/// Lines over x; those of all panels have one legend.
#[derive(Debug)]
pub struct Lines {
    /// An axis of numbers.
    pub x: Axis,
    /// What the labels of the legend are values of; none where nothing needs one.
    pub name: String,
    /// The label of each line.
    pub labels: Vec<String>,
    /// At least one.
    pub panels: Vec<Panel<Vec<Line>>>,
}

/// Rectangles by their places on x and y.
#[derive(Debug)]
pub struct Heat {
    /// Along the lower edge.
    pub x: Axis,
    /// Along the left edge.
    pub y: Axis,
    /// At least one.
    pub panels: Vec<Panel<HashMap<(usize, usize), Estimate>>>,
}

/// Rows with a dot each.
#[derive(Debug)]
pub struct Dots {
    /// What the labels of the rows are values of.
    pub name: String,
    /// From the top, with their labels.
    pub rows: Vec<(String, Estimate)>,
}

/// One of several panels; alone it needs no title.
#[derive(Debug)]
pub struct Panel<T> {
    /// Stands above it.
    pub title: String,
    /// What it shows.
    pub content: T,
}

/// A line of a panel.
#[derive(Debug)]
pub struct Line {
    /// Its place in [`Lines::labels`], which decides its colour.
    pub label: usize,
    /// The place on x, in order, and what was measured there.
    pub points: Vec<(usize, Estimate)>,
}

/// What is measured, along an axis or by colour.
#[derive(Clone, Debug)]
pub struct Measure {
    /// As the axis is called.
    pub name: String,
    /// Where a number lies.
    pub scale: Scale,
    /// No number lies beyond them; a deviation that does is cut off.
    pub bounds: (f64, f64),
}

impl Measure {
    /// Its name, and how the axis is spaced where that is not evenly.
    fn title(&self) -> String {
        let spacing = if self.scale.spacing == Spacing::Complement { " (log scale of the error)" } else { "" };
        format!("{}{spacing}", self.name)
    }

    /// Where `x` lies, from 0 to 1.
    fn at(&self, x: f64) -> f64 {
        self.scale.at(x.clamp(self.bounds.0, self.bounds.1))
    }
}

/// The values that occur along an axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What they are values of.
    pub name: String,
    /// A label each.
    pub labels: Vec<String>,
    /// The values, in order, where they are numbers.
    pub numbers: Option<Vec<f64>>,
}

impl Axis {
    /// How many values there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Every k-th place, so that no more than `most` are left.
    pub fn thinned(&self, most: usize) -> Vec<usize> {
        (0..self.len()).step_by(self.len().div_ceil(most).max(1)).collect()
    }

    fn values(&self) -> &[f64] {
        self.numbers.as_deref().unwrap_or_default()
    }

    fn scale(&self) -> Scale {
        Scale::of(self.values())
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

impl From<f64> for Estimate {
    fn from(value: f64) -> Self {
        Self { values: vec![value], diverged: 0, mean: Some(value), deviation: None }
    }
}

impl Estimate {
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
        for chart in &self.charts {
            let mut alone = Canvas::default();
            match &chart.form {
                Form::Lines(lines) => lines.draw(&mut alone, chart),
                Form::Heat(heat) => heat.draw(&mut alone, chart),
                Form::Dots(dots) => dots.draw(&mut alone, chart),
            }
            canvas.put_beside(&alone);
        }
        let measures: Vec<String> = self.charts.iter().map(|chart| chart.measure.title()).collect();
        canvas.into_file(&self.title, &self.note, &measures.join(", "))
    }

    /// As lines of text for 80 columns; of several panels one, where `picture` is the file that has all of them.
    pub fn to_text(&self, picture: &str) -> String {
        self.charts.iter().map(|chart| chart.to_text(picture)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run has: loss and accuracy over its epochs, on two splits.
    fn curves() -> Figure {
        let epochs = [1.0, 2.0, 3.0, 4.0, 5.0];
        let chart = |name: &str, train: [f64; 5], test: [f64; 5], scale: fn(&[f64]) -> Scale, most: f64| Chart {
            measure: Measure { name: name.into(), scale: scale(&[train, test].concat()), bounds: (0.0, most) },
            best: None,
            diverged: false,
            form: Form::Lines(Lines {
                x: Axis { name: "epoch".into(), labels: epochs.map(label).into(), numbers: Some(epochs.into()) },
                name: "split".into(),
                labels: vec!["train".into(), "test".into()],
                panels: vec![Panel {
                    title: String::new(),
                    content: [train, test]
                        .iter()
                        .enumerate()
                        .map(|(label, values)| Line {
                            label,
                            points: values.iter().map(|&value| value.into()).enumerate().collect(),
                        })
                        .collect(),
                }],
            }),
        };
        let (loss, test_loss) = ([1.9, 0.8, 0.4, 0.2, 0.1], [1.2, 0.7, 0.5, 0.45, 0.5]);
        let (accuracy, test_accuracy) = ([0.4, 0.8, 0.9, 0.95, 0.99], [0.5, 0.8, 0.85, 0.87, 0.86]);
        Figure {
            title: "runs/a".into(),
            note: "mnist, linear net".into(),
            charts: vec![
                chart("loss", loss, test_loss, Scale::even, f64::INFINITY),
                chart("accuracy", accuracy, test_accuracy, Scale::of_fractions, 1.0),
            ],
        }
    }

    #[test]
    fn two_charts_stand_beside_one_another() {
        let svg = curves().to_svg();
        for word in [
            ">loss</text>",
            ">accuracy (log scale of the error)</text>",
            ">1.5</text>",
            ">train</text>",
            "<g transform=\"translate(",
        ] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        assert!(svg.contains("<title>epoch 2, split test: 0.7000</title>"), "{svg}");
        // A loss above 1 is drawn where it lies, at the top of its frame.
        let first = svg.split("fill=\"none\" stroke=\"#0072b2\"").next().and_then(|text| text.rsplit("d=\"M").next());
        let y = first.and_then(|path| path.split(['L', ' ']).nth(1)).and_then(|y| y.parse::<f64>().ok());
        assert!(y.is_some_and(|y| y < 100.0), "{first:?}");
        assert_eq!(svg, curves().to_svg());

        let text = curves().to_text("curves.svg");
        assert!(text.contains("loss\n") && text.contains("split:   o train   + test"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
