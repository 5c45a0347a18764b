//! The words of a condition, each with its place.

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `~`: has this text in it.
    Contains,
}

/// A word and the character that it begins at, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub at: usize,
    pub kind: Kind,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Bare(String),
    Quoted(String),
    /// With how it was typed.
    Operator(Operator, &'static str),
    Open,
    Close,
    End,
}

/// The longest first: `<=` is not `<`.
const OPERATORS: [(&str, Operator); 8] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::More),
    ("~", Operator::Contains),
];

/// The words of `text`, of which the last is the end; or where it is wrong, and how.
pub fn words(text: &str) -> Result<Vec<Word>, (usize, String)> {
    let mut found = Vec::new();
    let (mut rest, mut at) = (text, 1);
    loop {
        let blanks = rest.chars().take_while(|c| c.is_whitespace()).count();
        (rest, at) = (rest.trim_start(), at + blanks);
        let Some(first) = rest.chars().next() else {
            found.push(Word { at, kind: Kind::End });
            return Ok(found);
        };
        let (kind, length) = next(rest, first).map_err(|what| (at, what))?;
        let (taken, behind) = rest.split_at(length);
        found.push(Word { at, kind });
        (rest, at) = (behind, at + taken.chars().count());
    }
}

/// The word that `rest` begins with, and its bytes.
fn next(rest: &str, first: char) -> Result<(Kind, usize), String> {
    if let Some((text, operator)) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text)) {
        return Ok((Kind::Operator(*operator, text), text.len()));
    }
    Ok(match first {
        '(' => (Kind::Open, 1),
        ')' => (Kind::Close, 1),
        '\'' | '"' => {
            let inside = &rest[1..];
            let end = inside.find(first).ok_or(format!("there is no second `{first}`"))?;
            (Kind::Quoted(inside[..end].to_owned()), end + 2)
        }
        '!' => return Err("`!` stands alone, expected `!=` or `not`".to_owned()),
        _ => {
            let ends = |c: char| c.is_whitespace() || "()'\"=!<>~".contains(c);
            let end = rest.find(ends).unwrap_or(rest.len());
            (Kind::Bare(rest[..end].to_owned()), end)
        }
    })
}
