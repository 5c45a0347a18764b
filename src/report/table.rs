//! Tables in plain text: a line of names, a line a row, columns aligned.

use serde_json::Value as Json;

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

/// A setting's value as the command line takes it.
pub fn word(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(items) if items.is_empty() => "none".into(),
        Json::Array(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        Json::Null => "none".into(),
        other => other.to_string(),
    }
}

/// A setting's key without its section.
pub fn leaf(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// A number and what it counts: `1 epoch`, `2 epochs`.
pub fn counted(count: u64, of: &str) -> String {
    if count == 1 { format!("1 {of}") } else { format!("{count} {of}s") }
}

/// A number of a table, or a dash.
pub fn number(number: Option<f64>) -> String {
    // Four places are enough of a loss, and thirty digits are no number to a reader.
    number
        .map_or("-".into(), |number| if number.abs() < 1e6 { format!("{number:.4}") } else { format!("{number:.4e}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_short() {
        let text = [0.25, 999_999.0, 1e6, -3.5e31].map(|x| number(Some(x)));
        assert_eq!(text, ["0.2500", "999999.0000", "1.0000e6", "-3.5000e31"]);
    }

    #[test]
    fn columns_stand_under_their_names() {
        let rows = [vec!["σ".to_owned(), "1".into()], vec!["long".into(), "23".into()]];
        let text = aligned(&[("a", Side::Left), ("n", Side::Right)], &rows);
        assert_eq!(text, "a      n\nσ      1\nlong  23\n");
        assert_eq!(aligned(&[("a", Side::Left), ("b", Side::Left)], &[]), "a  b\n");
    }
}
