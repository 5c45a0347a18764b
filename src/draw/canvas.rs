//! The elements of an SVG file that needs nothing else: no fonts, no styles, no scripts; on white, so that it is read on any page.

use std::fmt::Write as _;

/// Okabe & Ito 2008, told apart by the colour-blind; a dark grey in place of their yellow, which white swallows.
const COLOURS: [&str; super::MOST_LINES] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f"];

/// Viridis, by van der Walt & Smith 2015: even steps to the eye, in grey and for the colour-blind too.
const VIRIDIS: [u32; 9] =
    [0x44_0154, 0x47_2c7a, 0x3b_518b, 0x2c_718e, 0x21_908d, 0x27_ad81, 0x5c_c863, 0xaa_dc32, 0xfd_e725];

pub const INK: &str = "#222222";
pub const PALE_INK: &str = "#555555";
pub const GRID: &str = "#e3e3e3";
pub const SHADE: &str = "#bdbdbd";
pub const DIVERGED: &str = "#b00020";

/// Further attributes.
pub const BOLD: &str = r#" font-weight="bold""#;
pub const PALE: &str = r##" fill="#555555""##;
pub const WIDE: &str = r#" stroke-width="1.6""#;
pub const DASHED: &str = r#" stroke-dasharray="5 3""#;

/// Mean width of a character of [`TEXT`] pixels.
pub const CHAR: f64 = 6.3;
pub const TEXT: f64 = 11.0;
pub const MARGIN: f64 = 16.0;

/// Between two charts.
const BESIDE: f64 = 14.0;

/// Where charts begin: below the title and two lines of notes.
pub const TOP: f64 = 80.0;

/// Tooltips on more points than this make a file that is slow to open.
pub const MOST_TOOLTIPS: usize = 5_000;

/// A rectangle.
#[derive(Clone, Copy)]
pub struct Frame {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Frame {
    pub fn right(self) -> f64 {
        self.left + self.width
    }

    pub fn bottom(self) -> f64 {
        self.top + self.height
    }

    pub fn x(self, share: f64) -> f64 {
        self.left + share * self.width
    }

    /// Upwards.
    pub fn y(self, share: f64) -> f64 {
        self.bottom() - share * self.height
    }
}

/// Where a text stands at its place, and the part of it that lies to the right.
type Anchor = (&'static str, f64);
pub const START: Anchor = ("start", 1.0);
pub const MIDDLE: Anchor = ("middle", 0.5);
pub const END: Anchor = ("end", 0.0);

/// The elements drawn so far. `more` are further attributes, with a blank in front of each.
#[derive(Default)]
pub struct Canvas {
    elements: String,
    /// How far they reach.
    width: f64,
    height: f64,
}

impl Canvas {
    fn reach(&mut self, x: f64, y: f64) {
        self.width = self.width.max(x);
        self.height = self.height.max(y);
    }

    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, more: &str, text: &str) {
        self.reach(x + anchor.1 * text.chars().count() as f64 * CHAR, y + 4.0);
        let (x, y, anchor, text) = (n(x), n(y), anchor.0, escaped(text));
        let _ = writeln!(self.elements, r#"<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{text}</text>"#);
    }

    /// Text that is read from below, its middle at (x, y).
    pub fn turned_text(&mut self, x: f64, y: f64, text: &str) {
        self.text(x, y, MIDDLE, &format!(r#" transform="rotate(-90 {} {})""#, n(x), n(y)), text);
    }

    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str, more: &str) {
        let (x1, y1, x2, y2) = (n(x1), n(y1), n(x2), n(y2));
        let _ = writeln!(self.elements, r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{stroke}"{more}/>"#);
    }

    pub fn rectangle(&mut self, frame: Frame, more: &str, tooltip: &str) {
        self.reach(frame.right(), frame.bottom());
        let (x, y, width, height) = (n(frame.left), n(frame.top), n(frame.width), n(frame.height));
        let _ = write!(self.elements, r#"<rect x="{x}" y="{y}" width="{width}" height="{height}"{more}"#);
        self.close("rect", tooltip);
    }

    /// A rectangle among others, without seams.
    pub fn cell(&mut self, frame: Frame, fill: &str, more: &str, tooltip: &str) {
        self.rectangle(frame, &format!(r#" fill="{fill}" shape-rendering="crispEdges"{more}"#), tooltip);
    }

    /// The edge of a panel.
    pub fn border(&mut self, frame: Frame) {
        self.rectangle(frame, &format!(r#" fill="none" stroke="{PALE_INK}""#), "");
    }

    pub fn path(&mut self, path: &str, more: &str, tooltip: &str) {
        let _ = write!(self.elements, r#"<path d="{path}"{more}"#);
        self.close("path", tooltip);
    }

    fn close(&mut self, element: &str, tooltip: &str) {
        let _ = match tooltip {
            "" => writeln!(self.elements, "/>"),
            text => writeln!(self.elements, "><title>{}</title></{element}>", escaped(text)),
        };
    }

    /// The mark of a line.
    pub fn mark(&mut self, (x, y): (f64, f64), line: usize, tooltip: &str) {
        let corners = |corners: &[(f64, f64)]| {
            let points = corners.iter().map(|(dx, dy)| format!("{} {}", n(x + dx), n(y + dy)));
            format!("M{}Z", points.collect::<Vec<_>>().join("L"))
        };
        let path = match line % 4 {
            0 => format!("M{} {}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0Z", n(x - 3.5), n(y)),
            1 => corners(&[(-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)]),
            2 => corners(&[(0.0, -4.4), (4.2, 3.2), (-4.2, 3.2)]),
            _ => corners(&[(0.0, -4.6), (4.6, 0.0), (0.0, 4.6), (-4.6, 0.0)]),
        };
        // The second four are hollow.
        let stroke = colour(line);
        let fill = if line < 4 { stroke } else { "#ffffff" };
        self.path(&path, &format!(r#" fill="{fill}" stroke="{stroke}" stroke-width="1.4""#), tooltip);
    }

    /// The arrow of a line that goes on beyond its frame, upwards or downwards.
    pub fn arrow(&mut self, (x, y): (f64, f64), is_up: bool, line: usize, tooltip: &str) {
        let (l, r, tip) = (n(x - 4.5), n(x + 4.5), n(if is_up { y - 8.0 } else { y + 8.0 }));
        let path = format!("M{l} {y}L{r} {y}L{} {tip}Z", n(x), y = n(y));
        self.path(&path, &format!(r#" fill="{}" stroke="none""#, colour(line)), tooltip);
    }

    /// A measurement among those that a mark stands for.
    pub fn speck(&mut self, (x, y): (f64, f64), colour: &str) {
        let path = format!("M{} {}a2 2 0 1 0 4 0a2 2 0 1 0 -4 0Z", n(x - 2.0), n(y));
        self.path(&path, &format!(r#" fill="{colour}" fill-opacity="0.35""#), "");
    }

    /// A place on a way.
    pub fn stop(&mut self, (x, y): (f64, f64), colour: &str, tooltip: &str) {
        let path = format!("M{} {}a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0 -4.8 0Z", n(x - 2.4), n(y));
        self.path(&path, &format!(r##" fill="#ffffff" stroke="{colour}" stroke-width="1.2""##), tooltip);
    }

    /// Where ways begin.
    pub fn ring(&mut self, (x, y): (f64, f64), tooltip: &str) {
        let path = format!("M{} {}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", n(x - 5.0), n(y));
        self.path(&path, &format!(r#" fill="none" stroke="{INK}" stroke-width="1.6""#), tooltip);
    }

    /// Where ways are to end: a star of five points.
    pub fn star(&mut self, (x, y): (f64, f64), tooltip: &str) {
        let corner = |k: u32| {
            let radius = if k.is_multiple_of(2) { 7.5 } else { 3.0 };
            let (sin, cos) = (f64::from(k) * std::f64::consts::PI / 5.0).sin_cos();
            format!("{} {}", n(x + radius * sin), n(y - radius * cos))
        };
        let path = format!("M{}Z", (0..10).map(corner).collect::<Vec<_>>().join("L"));
        self.path(&path, &format!(r##" fill="{INK}" stroke="#ffffff" stroke-width="0.8""##), tooltip);
    }

    /// The cross of a point that diverged.
    pub fn cross(&mut self, (x, y): (f64, f64), colour: &str, tooltip: &str) {
        let (l, r, t, b) = (n(x - 3.5), n(x + 3.5), n(y - 3.5), n(y + 3.5));
        let path = format!("M{l} {t}L{r} {b}M{l} {b}L{r} {t}");
        self.path(&path, &format!(r#" fill="none" stroke="{colour}" stroke-width="1.8""#), tooltip);
    }

    /// What a cross means.
    pub fn explain_cross(&mut self, x: f64, y: f64) {
        self.cross((x + 4.0, y - 4.0), DIVERGED, "");
        self.text(x + 14.0, y, START, "", "diverged");
    }

    /// Puts what another holds to the right of all that is here.
    pub fn put_beside(&mut self, other: &Self) {
        let left = if self.width > 0.0 { self.width + BESIDE } else { 0.0 };
        if left == 0.0 {
            self.elements += &other.elements;
        } else {
            let _ = write!(self.elements, "<g transform=\"translate({} 0)\">\n{}</g>\n", n(left), other.elements);
        }
        self.reach(left + other.width, other.height);
    }

    /// The file, with its title and notes; `measures` is what a screen reader is told before the notes.
    pub fn into_file(mut self, title: &str, note: &str, measures: &str) -> String {
        // Titles are as wide as what they stand over, so they come last.
        let width = (self.width + MARGIN).max(480.0);
        let height = self.height + MARGIN;
        self.text(MARGIN, 28.0, START, &format!(r#" font-size="15"{BOLD}"#), title);
        let (first, second) = wrapped(note, ((width - 2.0 * MARGIN) / CHAR) as usize);
        self.text(MARGIN, 48.0, START, PALE, first);
        if !second.is_empty() {
            self.text(MARGIN, 63.0, START, PALE, second);
        }
        let width = width.max(self.width + MARGIN);
        let (w, h, title) = (n(width), n(height), escaped(title));
        let description = escaped(&format!("{measures}. {note}"));
        format!(
            r##"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{w}" height="{h}" viewBox="0 0 {w} {h}" font-family="Helvetica, Arial, sans-serif" font-size="{TEXT}" fill="{INK}">
<title>{title}</title>
<desc>{description}</desc>
<rect width="{w}" height="{h}" fill="#ffffff"/>
{}</svg>
"##,
            self.elements
        )
    }
}

/// A number of the file: finite, one digit after the point.
pub fn n(x: f64) -> String {
    let text = format!("{:.1}", if x.is_finite() { x } else { 0.0 });
    let text = text.strip_suffix(".0").unwrap_or(&text);
    (if text == "-0" { "0" } else { text }).to_owned()
}

/// Text for XML: no markup, and none of the characters that XML cannot hold.
pub fn escaped(text: &str) -> String {
    let written = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&apos;".to_owned(),
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => "\u{fffd}".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(written).collect()
}

/// The colour of a line.
pub fn colour(line: usize) -> &'static str {
    COLOURS[line % COLOURS.len()]
}

/// The colour of a share from 0 to 1.
pub fn viridis(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let low = (place.floor() as usize).min(VIRIDIS.len() - 2);
    let part = place - low as f64;
    let mixed = |shift: u32| {
        let [a, b] = [VIRIDIS[low], VIRIDIS[low + 1]].map(|colour| f64::from((colour >> shift) & 0xff));
        (a + part * (b - a)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mixed(16), mixed(8), mixed(0))
}

/// Two lines, cut between words; the second takes what does not fit into the first.
fn wrapped(text: &str, chars: usize) -> (&str, &str) {
    let ends = text.match_indices(' ').map(|(end, _)| end).chain([text.len()]);
    let fits = |end: &usize| text[..*end].chars().count() <= chars;
    let end = ends.clone().take_while(fits).last().or(ends.clone().next()).unwrap_or_default();
    (&text[..end], text[end..].trim_start())
}
