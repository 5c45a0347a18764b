//! Where tuning looks: as many points for each variant, spread evenly over ranges that follow from what its rule has by default.
//!
//! The first point is the variant as it was given, mostly the middle of all ranges. The others are, from the second on, those of Halton's sequence (Halton 1960, Numer. Math. 2, 84–90), the
//! same points of the unit cube for every variant: of one hyperparameter van der Corput's sequence, which fills its range evenly for any
//! number of points.

use crate::config::settings::{SETTINGS, index};
use crate::config::value::Value;
use crate::config::variant::Variant;
use crate::error::{Exit, Failure};
use crate::optim::{Accepts, Family, Hyper, HyperValue};
use crate::rng::halton::{BASES, halton};
use crate::text::three_digits;

/// Decades to each side of a default.
const DECADES: f64 = 2.0;

/// A range on which a hyperparameter is tuned: evenly in the logarithm of its distance to a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// The number, mostly 0.
    origin: f64,
    /// On which side of it: 1 above, −1 below.
    side: f64,
    /// Between what its distance lies.
    low: f64,
    high: f64,
}

impl Tuned {
    /// What a rule declares: for its rate what its family has, else by its default: four decades around it; of what lies below 1, two around
    /// its distance to 1, and at least a half of it. A weight decay that is off by default is tried from 1e-6 to 1e-2, a momentum as if it
    /// were 0.9. Of what is negative it is the size, and of what lies above a number the distance to it, which of a default that is the
    /// number itself is as large as that.
    pub fn of(family: &Family, hyper: &Hyper) -> Option<Self> {
        if let Some([low, high]) = family.rates.filter(|_| hyper.key == family.lr().key) {
            return Some(Self { origin: 0.0, side: 1.0, low, high });
        }
        let (Accepts::Number(range), HyperValue::Number(default)) = (hyper.accepts, hyper.default) else { return None };
        let factor = 10_f64.powf(DECADES);
        if range.high <= 1.0 && !range.with_high {
            let distance = if default > 0.0 { 1.0 - default } else { 0.1 };
            let (low, high) = (distance / factor.sqrt(), (distance * factor.sqrt()).min(0.5));
            return Some(Self { origin: 1.0, side: -1.0, low, high });
        }
        let around = |origin: f64, side: f64, distance: f64, most: f64| Self {
            origin,
            side,
            low: distance / factor,
            high: (distance * factor).min(most),
        };
        Some(match default {
            default if range.low > 0.0 => {
                let distance = if default > range.low { default - range.low } else { range.low };
                around(range.low, 1.0, distance, range.high - range.low)
            }
            default if default > 0.0 => around(0.0, 1.0, default, range.high),
            default if default < 0.0 => around(0.0, -1.0, -default, -range.low),
            _ => Self { origin: 0.0, side: 1.0, low: 1e-6, high: 1e-2 },
        })
    }

    /// The value at a share of the range, to three digits.
    pub fn at(self, share: f64) -> f64 {
        let Self { origin, side, low, high } = self;
        let distance = three_digits((low.ln() + share * (high.ln() - low.ln())).exp());
        let value = origin + side * distance;
        // As many digits as the distance has, so that none are of the addition's making.
        if origin == 0.0 { value } else { format!("{value:.8}").parse().unwrap_or(value) }
    }
}

/// The `count` candidates of a variant; what it sets itself is not tuned.
///
/// # Errors
/// If a name is no hyperparameter that can be tuned, or of the rule ([`Exit::Usage`]).
pub fn candidates(variant: &Variant, tuned: &[String], count: usize) -> Result<Vec<Variant>, Failure> {
    let mut ranges = Vec::new();
    for name in tuned {
        let key = format!("optim.{name}");
        let Some(place) = index(&key).filter(|_| variant.value(&key).is_none()) else { continue };
        // A rule that does not have it has less to tune.
        let Some(hyper) = variant.family.hyper(&key) else { continue };
        let range = Tuned::of(variant.family, hyper).ok_or_else(|| {
            let failure =
                Failure::new(Exit::Usage, format!("--tune: `{name}` is no real number, which alone is tuned"));
            failure.hint("give it to a variant: `adam amsgrad=true`")
        })?;
        ranges.push((&SETTINGS[place], range));
    }
    let mut candidates = vec![variant.clone()];
    // Where nothing is left to tune there is one.
    for number in (1..count as u64).take_while(|_| !ranges.is_empty()) {
        let mut candidate = variant.clone();
        for ((setting, range), base) in ranges.iter().zip(BASES) {
            candidate.settings.push((*setting, Value::Number(range.at(halton(number + 1, base)))));
        }
        candidates.push(candidate);
    }
    Ok(candidates)
}

/// How many hyperparameters can be tuned together.
pub const MOST_TUNED: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_candidate_is_a_variant_that_reads_back_and_the_first_is_as_given() {
        let variant = Variant::parse("adamw amsgrad beta2=0.99").unwrap();
        let tuned = ["lr", "weight_decay", "beta1", "beta2", "momentum"].map(str::to_owned);
        let found = candidates(&variant, &tuned, 32).unwrap();
        assert_eq!(found.len(), 32);
        assert_eq!(found[0].to_string(), "adamw amsgrad=true beta2=0.99");
        for candidate in &found {
            let text = candidate.to_string();
            assert_eq!(Variant::parse(&text).unwrap().to_string(), text);
        }
        for candidate in &found[1..] {
            let number = |key: &str| match candidate.value(key) {
                Some(Value::Number(number)) => *number,
                other => panic!("{key}: {other:?}"),
            };
            assert!((1e-5..=0.1).contains(&number("optim.lr")), "{candidate}");
            assert!((1e-4..=1.0).contains(&number("optim.weight_decay")), "{candidate}");
            assert!((0.5..=0.99).contains(&number("optim.beta1")), "{candidate}");
            assert_eq!(number("optim.beta2"), 0.99);
            assert!(candidate.value("optim.momentum").is_none());
        }
        assert!(candidates(&variant, &["bias_correction".to_owned()], 2).is_ok());
        assert!(candidates(&Variant::parse("adam").unwrap(), &["amsgrad".to_owned()], 2).is_err());
    }

    #[test]
    fn what_is_tuned_lies_where_its_rule_takes_it() {
        for (rule, name, least, most) in [
            ("rprop", "eta_plus", 1.002, 21.0),
            ("rprop", "eta_minus", 0.5, 0.95),
            ("adafactor", "beta2_decay", -10.0, -0.008),
            ("adafactor", "clip_threshold", 1.01, 101.0),
        ] {
            let variant = Variant::parse(rule).unwrap();
            let key = format!("optim.{name}");
            for candidate in &candidates(&variant, &[name.to_owned()], 64).unwrap()[1..] {
                let Some(Value::Number(number)) = candidate.value(&key) else { panic!("{candidate}") };
                assert!((least..=most).contains(number), "{candidate}");
                assert!(Variant::parse(&candidate.to_string()).is_ok(), "{candidate}");
            }
        }
    }
}
