//! `--where`: which rows are meant, as comparisons of columns and settings.
//!
//! ```text
//! or       and { "or" and }
//! and      not { "and" not }
//! not      { "not" } ( "(" or ")" | NAME OPERATOR VALUE )
//! operator =  !=  <  <=  >  >=  ~
//! ```
//!
//! A value is a word without blanks, parentheses, quotes and operators, or stands between quotes. What a row does not have equals the
//! word `none` alone, and is neither less nor more than anything.

mod compare;
mod words;

use super::Row;
use super::column::Column;
use super::key::{Asked, one};
use crate::error::{Exit, Failure, escaped};
use compare::Value;
use words::{Kind, Operator, Word, words};

/// Deeper than this nobody nests; the parser is bounded by it.
const MOST_DEPTH: usize = 64;

/// A condition, as typed.
#[derive(Clone, Debug)]
pub struct Condition(Node<Asked>);

/// A condition on rows.
#[derive(Clone, Debug)]
enum Node<C> {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Compare(C, Operator, Value),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// Where it is none, and what was expected there ([`Exit::Usage`]).
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut parser = Parser { words: words(text).map_err(|(at, what)| wrong(at, &what))?, place: 0, depth: 0 };
        let node = parser.any()?;
        match parser.next().kind {
            Kind::End => Ok(Self(node)),
            _ => Err(parser.expected("`and`, `or` or the end")),
        }
    }

    /// The rows that it is true of, in their order.
    pub fn select(&self, rows: Vec<Row>) -> Vec<Row> {
        // A name like `accuracy` means what all rows have.
        let node = self.0.resolved(&rows);
        rows.into_iter().filter(|row| node.is_true(row)).collect()
    }
}

impl Node<Asked> {
    fn resolved(&self, rows: &[Row]) -> Node<Column> {
        let all = |nodes: &[Self]| nodes.iter().map(|node| node.resolved(rows)).collect();
        match self {
            Self::Any(nodes) => Node::Any(all(nodes)),
            Self::All(nodes) => Node::All(all(nodes)),
            Self::Not(node) => Node::Not(Box::new(node.resolved(rows))),
            Self::Compare(asked, operator, value) => Node::Compare(asked.among(rows).column, *operator, value.clone()),
        }
    }
}

impl Node<Column> {
    fn is_true(&self, row: &Row) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.is_true(row)),
            Self::All(nodes) => nodes.iter().all(|node| node.is_true(row)),
            Self::Not(node) => !node.is_true(row),
            Self::Compare(column, operator, value) => value.holds(*column, *operator, row),
        }
    }
}

/// The failure at a character of the text, from 1.
fn wrong(at: usize, what: &str) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("--where, column {at}: {what}"));
    failure.hint("for example --where 'lr<1e-2 and (status=finished or tag=baseline)'; `adamtrain runs --help` has all")
}

/// What was typed, up to a length that a message holds.
fn cut(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    escaped(&if cut.len() < text.len() { cut + "…" } else { cut })
}

struct Parser {
    words: Vec<Word>,
    place: usize,
    depth: usize,
}

impl Parser {
    /// The next word: at the end, and behind it, the end.
    fn next(&self) -> &Word {
        &self.words[self.place.min(self.words.len() - 1)]
    }

    fn is_word(&self, name: &str) -> bool {
        matches!(&self.next().kind, Kind::Bare(text) if text.eq_ignore_ascii_case(name))
    }

    /// Passes over the word `name`, if it is the next.
    fn takes(&mut self, name: &str) -> bool {
        let is_next = self.is_word(name);
        self.place += usize::from(is_next);
        is_next
    }

    fn expected(&self, what: &str) -> Failure {
        let Word { at, kind } = self.next();
        let found = match kind {
            Kind::End => "the end".to_owned(),
            Kind::Bare(text) | Kind::Quoted(text) => format!("`{}`", cut(text)),
            Kind::Operator(_, text) => format!("`{text}`"),
            Kind::Open => "`(`".to_owned(),
            Kind::Close => "`)`".to_owned(),
        };
        wrong(*at, &format!("found {found}, expected {what}"))
    }

    fn any(&mut self) -> Result<Node<Asked>, Failure> {
        let mut nodes = vec![self.all()?];
        while self.takes("or") {
            nodes.push(self.all()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self) -> Result<Node<Asked>, Failure> {
        let mut nodes = vec![self.not()?];
        while self.takes("and") {
            nodes.push(self.not()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn not(&mut self) -> Result<Node<Asked>, Failure> {
        let mut is_turned = false;
        while self.takes("not") {
            is_turned = !is_turned;
        }
        let node = if self.next().kind == Kind::Open { self.inside()? } else { self.comparison()? };
        Ok(if is_turned { Node::Not(Box::new(node)) } else { node })
    }

    fn inside(&mut self) -> Result<Node<Asked>, Failure> {
        if self.depth == MOST_DEPTH {
            return Err(wrong(self.next().at, &format!("more than {MOST_DEPTH} parentheses are open")));
        }
        (self.depth, self.place) = (self.depth + 1, self.place + 1);
        let node = self.any()?;
        if self.next().kind != Kind::Close {
            return Err(self.expected("`and`, `or` or `)`"));
        }
        (self.depth, self.place) = (self.depth - 1, self.place + 1);
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node<Asked>, Failure> {
        let Word { at, kind: Kind::Bare(name) } = self.next().clone() else {
            return Err(self.expected("a column or setting, `not` or `(`"));
        };
        if name.starts_with('-') || ["and", "or"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return Err(self.expected("a column or setting, `not` or `(`"));
        }
        let asked = one(&name, &format!("--where, column {at}"))?;
        self.place += 1;
        let Kind::Operator(operator, _) = self.next().kind else {
            return Err(self.expected("one of = != < <= > >= ~"));
        };
        self.place += 1;
        let Word { at, kind: Kind::Bare(text) | Kind::Quoted(text) } = self.next().clone() else {
            return Err(self.expected(&format!("a value for `{}`", cut(&name))));
        };
        let value = Value::read(asked.first(), operator, &text);
        let value =
            value.map_err(|expected| wrong(at, &format!("`{name}` is compared with `{}`, {expected}", cut(&text))))?;
        self.place += 1;
        Ok(Node::Compare(asked, operator, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::index;
    use crate::listing::RowSettings;
    use crate::run::provenance::Provenance;
    use crate::train::Record;
    use std::rc::Rc;

    /// A row whose settings are given by key.
    fn row(settings: &[(&str, &str)]) -> Row {
        let own = settings.iter().map(|(key, text)| {
            let k = index(key).unwrap();
            (k, Some(crate::config::layers::lenient(k, text)))
        });
        let provenance = Provenance {
            note: Some("Why it (fails)".into()),
            tags: vec!["baseline".into(), "v2".into()],
            start: Some("2026-11-29T09:30:00Z".into()),
            ..Provenance::default()
        };
        Row {
            status: "early_stopped",
            epochs: 7,
            seconds: Some(90.0),
            last: Some(Record { test_accuracy: Some(0.9), ..Record::default() }),
            settings: RowSettings { common: Rc::default(), own: own.collect() },
            provenance: Rc::new(provenance),
            ..Row::new("runs/Mnist-2".into())
        }
    }

    #[test]
    fn conditions_hold_as_they_read() {
        let row = row(&[
            ("optim.lr", "0.01"),
            ("optim.optimizer", "adam"),
            ("model.hidden", "300,100"),
            ("train.clip_norm", "none"),
            ("train.save_every", "10s"),
        ]);
        for (text, expected) in [
            ("lr=1e-2", true),
            ("lr = 0.010", true),
            ("optim.lr<1e-2", false),
            ("lr<=1e-2 and lr>=1e-2 and not lr!=0.01", true),
            ("lr>-1", true),
            ("optimizer=Adam", true),
            ("optimizer!=sgd", true),
            ("optimizer~DA", true),
            ("hidden=300,100", true),
            ("hidden = '300, 100'", true),
            ("hidden=none", false),
            ("clip_norm=none", true),
            ("clip-norm<5 or clip_norm>=5", false),
            ("beta2=none", true),
            ("beta2!=0.9", true),
            ("beta2<0.9 or beta2>0.1", false),
            ("status=early-stopped", true),
            ("status~stop", true),
            ("epochs>=7", true),
            ("time<2m", true),
            ("seconds>1m and seconds=90", true),
            ("acc>0.8", true),
            ("test_accuracy>0.8 and valid_accuracy=none", true),
            ("valid_accuracy<2", false),
            ("tag=baseline", true),
            ("tag=base", false),
            ("tags~base", true),
            ("tag!=v3", true),
            ("tag=none", false),
            ("note~'it (f'", true),
            ("note=\"why it (fails)\"", false),
            ("path~MNIST", true),
            ("start=2026-11-29", true),
            ("start>2026-11-29 or start<2026-11", false),
            ("start>=2026-11-29T09:30", true),
            ("end=none", true),
            ("lr=1 or lr=2 and epochs=7 or epochs=7", true),
            ("(lr=1 or lr=0.01) and epochs=8", false),
            ("not not epochs=7", true),
            ("NOT epochs=8 AND epochs==7", true),
            ("save_every=10s", true),
            ("save_every>1steps", false),
        ] {
            let condition = Condition::parse(text).unwrap_or_else(|failure| panic!("{text}: {failure}"));
            assert_eq!(condition.select(vec![row.clone()]).len(), usize::from(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, words) in [
            ("", &["column 1:", "found the end", "expected a column or setting"][..]),
            ("lr", &["column 3:", "found the end", "one of = !="]),
            ("lr <", &["column 5:", "a value for `lr`"]),
            ("lr<1e-2 status=finished", &["column 9:", "found `status`", "expected `and`, `or` or the end"]),
            ("(lr<1 or epochs=2", &["column 18:", "expected `and`, `or` or `)`"]),
            ("lr<1)", &["column 5:", "found `)`"]),
            ("lrr<1", &["column 1:", "no column or setting `lrr`"]),
            ("epochs=2 and lr=fast", &["column 17:", "`lr` is compared with `fast`", "expected a number"]),
            ("optimizer<adam", &["column 11:", "is no number"]),
            ("optimizer=adamm", &["column 11:"]),
            ("status=finish", &["column 8:", "expected one of finished"]),
            ("start>yesterday", &["column 7:", "expected a date"]),
            ("note~'it", &["column 6:", "no second `'`"]),
            ("lr ! 2", &["column 4:", "`!`"]),
            ("and lr=1", &["column 1:", "found `and`"]),
            ("--lr=1", &["column 1:", "`--lr`"]),
        ] {
            let failure = Condition::parse(text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            for word in words {
                assert!(failure.to_string().contains(word), "`{text}`: no `{word}` in {failure}");
            }
        }
        let hint = Condition::parse("test_acuracy>1").unwrap_err();
        assert!(hint.advice().unwrap().contains("`test_accuracy`"), "{:?}", hint.advice());
        let deep = |depth: usize| format!("{}lr=1{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Condition::parse(&deep(MOST_DEPTH)).is_ok());
        assert!(Condition::parse(&deep(MOST_DEPTH + 1)).unwrap_err().to_string().contains("are open"));
        assert!(Condition::parse(&("not ".repeat(100_000) + "lr=1")).is_ok());
        assert!(Condition::parse(&"(".repeat(100_000)).is_err());
    }

    /// A condition as text, and what it is of a row with these epochs.
    fn composed(random: &mut crate::rng::Stream, depth: u32) -> (String, bool) {
        if depth == 0 {
            let number = u64::from(random.below(14));
            let (operator, holds) = [
                ("=", 7 == number),
                ("!=", 7 != number),
                ("<", 7 < number),
                ("<=", 7 <= number),
                (">", 7 > number),
                (">=", 7 >= number),
            ][random.below(6) as usize];
            return (format!("epochs{operator}{number}"), holds);
        }
        let (left, a) = composed(random, depth - 1);
        let (right, b) = composed(random, depth - 1);
        match random.below(3) {
            0 => (format!("({left}) and ({right})"), a && b),
            1 => (format!("({left} or {right})"), a || b),
            _ => (format!("not ({left})"), !a),
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_composed_is_read_as_it_was_meant(seed: u64, depth in 0_u32..6) {
            let mut random = crate::rng::Stream::new(seed, crate::rng::Purpose::Order, 0);
            let (text, expected) = composed(&mut random, depth);
            let found = Condition::parse(&text).unwrap().select(vec![row(&[])]);
            proptest::prop_assert_eq!(found.len(), usize::from(expected), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9=!<>~()'\" .,é\u{1b}-]{0,60}|\\PC{0,40}") {
            match Condition::parse(&text) {
                Ok(condition) => proptest::prop_assert!(condition.select(vec![row(&[])]).len() < 2),
                Err(failure) => {
                    let told = failure.to_string();
                    proptest::prop_assert!(told.starts_with("--where, column ") && !told.contains('\u{1b}'), "{}", told);
                    let column: String = told["--where, column ".len()..].chars().take_while(char::is_ascii_digit).collect();
                    proptest::prop_assert!(column.parse::<usize>().unwrap() <= text.chars().count() + 1);
                }
            }
        }
    }
}
