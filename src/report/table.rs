//! Tables in plain text: a line of names, a line a row, columns aligned.

use serde_json::Value as Json;

use crate::optim::Shortest;

/// Between two columns.
const GAP: &str = "  ";

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// The table under `names`, as lines without blanks at their ends.
pub fn aligned(names: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let length = |cell: &str| cell.chars().count();
    let mut widths: Vec<usize> = names.iter().map(|(name, _)| length(name)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = length(cell).max(*width);
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let start = text.len();
        for (k, ((cell, (_, side)), width)) in cells.zip(names).zip(&widths).enumerate() {
            text.push_str(if k > 0 { GAP } else { "" });
            let blanks = " ".repeat(width - length(cell));
            match side {
                Side::Left => text.extend([cell, &blanks]),
                Side::Right => text.extend([&blanks, cell]),
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    };
    line(&mut names.iter().map(|(name, _)| *name));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// The same in at most `width` characters, as far as leaving out the columns `spare`, in this order, brings it there.
pub fn aligned_within(
    width: usize,
    spare: &[&str],
    mut names: Vec<(&str, Side)>,
    mut rows: Vec<Vec<String>>,
) -> String {
    let mut text = aligned(&names, &rows);
    for spare in spare {
        if text.lines().all(|line| line.chars().count() <= width) {
            break;
        }
        let Some(place) = names.iter().rposition(|(name, _)| name == spare) else { continue };
        names.remove(place);
        for row in &mut rows {
            row.remove(place);
        }
        text = aligned(&names, &rows);
    }
    text
}

/// A setting's value as the command line takes it.
pub fn word(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(items) if items.is_empty() => "none".into(),
        Json::Array(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        Json::Null => "none".into(),
        Json::Number(number) if number.is_f64() => Shortest(number.as_f64().unwrap_or_default()).to_string(),
        other => other.to_string(),
    }
}

/// A setting's key without its section.
pub fn leaf(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Where the lines of standard output end: at the terminal's edge, or where `COLUMNS` says that it is; none where they are read by a
/// program.
pub fn stdout_width() -> Option<usize> {
    width_of(terminal_size::terminal_size_of(std::io::stdout()))
}

/// The same of standard error.
pub fn stderr_width() -> Option<usize> {
    width_of(terminal_size::terminal_size_of(std::io::stderr()))
}

fn width_of(terminal: Option<(terminal_size::Width, terminal_size::Height)>) -> Option<usize> {
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.map(|(width, _)| usize::from(width.0)).or_else(columns).filter(|width| *width > 0)
}

/// `text` broken at blanks into lines of at most `width` characters, where a word does not take more; all but the first begin with
/// `indent` blanks.
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for (k, word) in text.split(' ').enumerate() {
        let count = word.chars().count();
        if k > 0 && count > 0 && length + 1 + count > width && length > indent {
            lines.truncate(lines.trim_end().len());
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            length = indent;
        } else if k > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += count;
    }
    lines
}

/// Each line of `text`, broken where it is longer than `width`; those that fit stay as they are.
pub fn wrapped_lines(text: &str, width: usize) -> String {
    let line = |line: &str| if line.chars().count() > width { wrapped(line, width, 2) } else { line.to_owned() };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A time for people in six characters: `0.52ms`, `1.23s`, `12m05s`.
pub fn duration(seconds: f64) -> String {
    let short = |number: f64, unit: &str| match number {
        ..9.995 => format!("{number:.2}{unit}"),
        ..99.95 => format!("{number:.1}{unit}"),
        _ => format!("{number:.0}{unit}"),
    };
    let pair =
        |number: u64, of: u64, units: [&str; 2]| format!("{}{}{:02}{}", number / of, units[0], number % of, units[1]);
    match seconds {
        ..0.9995 => short(1000.0 * seconds, "ms"),
        ..119.5 => short(seconds, "s"),
        ..3599.5 => pair(seconds.round() as u64, 60, ["m", "s"]),
        ..359_970.0 => pair((seconds / 60.0).round() as u64, 60, ["h", "m"]),
        _ => pair((seconds / 3600.0).round() as u64, 24, ["d", "h"]),
    }
}

/// A number of a table, or a dash.
pub fn number(number: Option<f64>) -> String {
    // Four places are enough of a loss, and thirty digits are no number to a reader: eight characters.
    let digits = |number: f64| match number.abs() {
        ..1e3 => 4,
        ..1e4 => 3,
        ..1e5 => 2,
        _ => 1,
    };
    number.map_or("-".into(), |number| match number.abs() {
        ..1e6 => format!("{number:.0$}", digits(number)),
        ..1e10 => format!("{number:.4e}"),
        _ => format!("{number:.3e}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_short() {
        let text = [0.25, 1234.5, 999_999.0, 1e6, 3.5e31].map(|x| number(Some(x)));
        assert_eq!(text, ["0.2500", "1234.500", "999999.0", "1.0000e6", "3.500e31"]);
        assert_eq!(number(Some(f64::NAN)), "NaN");
    }

    #[test]
    fn times_are_short() {
        let text = [0.0, 5.2e-4, 0.0123, 0.9996, 61.0, 119.6, 3599.9, 4e5, 1e7].map(duration);
        assert_eq!(text, ["0.00ms", "0.52ms", "12.3ms", "1.00s", "61.0s", "2m00s", "1h00m", "4d15h", "115d18h"]);
    }

    #[test]
    fn text_is_broken_at_blanks() {
        assert_eq!(wrapped("one two three", 7, 2), "one two\n  three");
        assert_eq!(wrapped("one  two   three", 9, 2), "one  two\n  three");
        assert_eq!(wrapped("a-long-word b", 3, 2), "a-long-word\n  b");
        assert_eq!(wrapped("", 3, 2), "");
    }

    #[test]
    fn columns_stand_under_their_names() {
        let rows = [vec!["σ".to_owned(), "1".into()], vec!["long".into(), "23".into()]];
        let text = aligned(&[("a", Side::Left), ("n", Side::Right)], &rows);
        assert_eq!(text, "a      n\nσ      1\nlong  23\n");
        assert_eq!(aligned(&[("a", Side::Left), ("b", Side::Left)], &[]), "a  b\n");
    }
}
