//! The health of training for people: a table of the last epoch, and each trouble once, with how often it was met.

use std::fmt::Write as _;

use super::table::{Side, aligned, wrapped};
use crate::text::counted;
use crate::train::health::{Health, ParameterHealth};

/// A warning, as it was last told.
#[derive(Debug)]
struct Trouble {
    kind: String,
    words: String,
    first: u64,
    last: u64,
    count: u64,
}

/// The troubles of a run.
#[derive(Debug, Default)]
pub struct Troubles {
    met: Vec<Trouble>,
}

impl Troubles {
    /// Takes in the health of an epoch; answers what was not met before.
    pub fn take<'a>(&mut self, epoch: u64, health: &'a Health) -> Vec<&'a str> {
        let mut new = Vec::new();
        for words in &health.warnings {
            let kind = without_numbers(words);
            if let Some(trouble) = self.met.iter_mut().find(|trouble| trouble.kind == kind) {
                trouble.words.clone_from(words);
                trouble.last = epoch;
                trouble.count += 1;
            } else {
                new.push(words.as_str());
                self.met.push(Trouble { kind, words: words.clone(), first: epoch, last: epoch, count: 1 });
            }
        }
        new
    }

    /// Those that were met more than once, each in one line.
    pub fn again(&self) -> impl Iterator<Item = String> {
        self.met.iter().filter(|trouble| trouble.count > 1).map(|trouble| {
            let Trouble { words, first, last, count, .. } = trouble;
            format!("in {} from {first} to {last}: {words}", counted(*count, "epoch"))
        })
    }
}

/// What a warning is about: its words without the numbers, but for those in names.
fn without_numbers(words: &str) -> String {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    let mut kind = String::new();
    for (k, piece) in words.split('`').enumerate() {
        kind.extend(piece.chars().filter(|c| k % 2 == 1 || !is_of_number(*c)));
    }
    kind
}

/// The table of an epoch, a line a tensor, as lines of at most `width` characters.
pub fn table(epoch: u64, health: &Health, width: usize) -> String {
    let small = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.1e}"));
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.0}%", 100.0 * share));
    let row = |(name, of): (&String, &ParameterHealth)| {
        let layer = name.strip_suffix(".weight");
        let dead = layer.and_then(|layer| health.dead_units.get(layer)).copied();
        vec![
            name.clone(),
            small(of.gradient_norm),
            small(of.update_ratio),
            small(of.effective_lr),
            of.update_cosine.map_or("-".to_owned(), |cosine| format!("{cosine:.2}")),
            share(of.epsilon_share),
            share(dead),
        ]
    };
    let names = ["tensor", "gradient", "update_ratio", "effective_lr", "cosine", "ε_share", "dead"];
    let names = names.map(|name| (name, if name == "tensor" { Side::Left } else { Side::Right }));
    let mut text = aligned(&names, &health.parameters.iter().map(row).collect::<Vec<_>>());
    let clipped = match health.clipped_share {
        0.0 => String::new(),
        share => format!("; {:.0}% of the steps were clipped", 100.0 * share),
    };
    let about = "norm of the gradient, step over weights, step over gradient, cosine between steps, share that ε rules, \
                 dead units";
    let _ = writeln!(text, "{}", wrapped(&format!("health of epoch {epoch}: {about}{clipped}"), width, 2));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_and_counted() {
        let health =
            |words: &[&str]| Health { warnings: words.iter().map(ToString::to_string).collect(), ..Health::default() };
        let mut troubles = Troubles::default();
        assert_eq!(troubles.take(1, &health(&["`a.0`: 31 % dead", "`a.1`: 31 % dead"])).len(), 2);
        assert!(troubles.take(2, &health(&["`a.0`: 35.5 % dead"])).is_empty());
        assert!(troubles.take(5, &health(&["`a.0`: 40 % dead"])).is_empty());
        let again: Vec<String> = troubles.again().collect();
        assert_eq!(again, ["in 3 epochs from 1 to 5: `a.0`: 40 % dead"]);
    }
}
