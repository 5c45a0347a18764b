//! Words of a line as bash has them: taken apart where they are quoted, and quoted where they are put in.

/// A line as words without their quotes; the last one ends where the line does, and is empty behind a blank.
pub struct Line {
    pub words: Vec<String>,
    /// Whether the line ends inside quotes.
    pub is_open: bool,
}

impl Line {
    /// Reads a line.
    pub fn parse(text: &str) -> Self {
        let mut words = vec![String::new()];
        let mut is_begun = false;
        let mut quote = None;
        let mut letters = text.chars();
        while let Some(c) = letters.next() {
            let Some(word) = words.last_mut() else { break };
            match (c, quote) {
                (_, Some(q)) if c == q => quote = None,
                ('\\', None | Some('"')) => word.extend(letters.next()),
                // Inside quotes a blank is a letter.
                ('\'' | '"', None) => (quote, is_begun) = (Some(c), true),
                (' ' | '\t', None) if is_begun || !word.is_empty() => {
                    words.push(String::new());
                    is_begun = false;
                }
                (' ' | '\t', None) => {}
                _ => word.push(c),
            }
        }
        Self { words, is_open: quote.is_some() }
    }

    /// What stands in the last word before the part of it that bash replaces, which is `replaced`: bash ends words at `=` and `:`.
    pub fn kept(&self, replaced: &str) -> String {
        let end = if self.is_open { replaced.to_owned() } else { Self::parse(replaced).words.concat() };
        let word = self.words.last().map_or("", String::as_str);
        word.strip_suffix(end.as_str()).unwrap_or_default().to_owned()
    }

    /// A word as it is put in: inside quotes as it is, elsewhere with a backslash before what the shell would take for its own, and a
    /// blank behind it where it is whole.
    pub fn put_in(&self, word: &str) -> String {
        let is_plain = |c: char| self.is_open || c.is_alphanumeric() || "-_=.,/:+%@#".contains(c);
        let quote = |c: char| if is_plain(c) { String::from(c) } else { format!("\\{c}") };
        let is_whole = !self.is_open && !word.ends_with(['=', '/', '.']);
        word.chars().map(quote).chain(is_whole.then(|| " ".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_as_bash_does() {
        for (text, words, is_open) in [
            ("a b", &["a", "b"][..], false),
            ("a  b ", &["a", "b", ""], false),
            (r"a my\ runs/x", &["a", "my runs/x"], false),
            ("a 'my ru", &["a", "my ru"], true),
            (r#"a "x\"y" '' z"#, &["a", "x\"y", "", "z"], false),
            ("", &[""], false),
        ] {
            let line = Line::parse(text);
            assert_eq!(
                (&line.words[..], line.is_open),
                (&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..], is_open)
            );
        }
    }

    #[test]
    fn what_stands_before_the_replaced_part_stays() {
        for (line, replaced, kept) in [
            ("a --set optim.optimizer=ad", "ad", "optim.optimizer="),
            ("a --set optim.optimizer=", "", "optim.optimizer="),
            ("a --set optim.l", "optim.l", ""),
            (r"a my\ ru", r"my\ ru", ""),
            ("a 'my ru", "my ru", ""),
        ] {
            assert_eq!(Line::parse(line).kept(replaced), kept, "{line}");
        }
        assert_eq!(Line::parse("a b").put_in("my runs/a#1"), r"my\ runs/a#1 ");
        assert_eq!(Line::parse("a b").put_in("optim.lr="), "optim.lr=");
        assert_eq!(Line::parse("a 'b").put_in("my runs"), "my runs");
    }
}
