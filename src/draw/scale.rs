//! Where a number lies on an axis: evenly, by its logarithm, or by that of its distance to 1.

use crate::text::three_digits;

/// From this ratio of the largest to the smallest on, numbers are seen by their logarithm.
const WIDE: f64 = 8.0;

/// How alike steps are that count as equal.
const ALIKE: f64 = 0.01;

/// Margin at both ends, as a part of the whole.
const MARGIN: f64 = 0.04;

/// Up to so many swept values, each has a tick, if their labels are no longer than these.
const MOST_OWN_TICKS: usize = 8;
const MOST_LABEL: usize = 5;

/// Of more decades than these, not all have a tick.
const MOST_DECADES: usize = 12;

/// What the length of an axis is proportional to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// x.
    Linear,
    /// log₁₀ x.
    Log,
    /// −log₁₀(1 − x): 0.9, 0.99 and 0.999 lie equally far apart.
    Complement,
}

impl Spacing {
    fn of(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Log => x.log10(),
            Self::Complement => -(1.0 - x).log10(),
        }
    }
}

/// An axis from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What its length is proportional to.
    pub spacing: Spacing,
    low: f64,
    high: f64,
    /// Where 0 lies that has no logarithm.
    zero: Option<f64>,
}

/// A marked place of an axis: where, from 0 to 1, and its label.
pub type Tick = (f64, String);

impl Scale {
    /// For the values of a setting: by the logarithm if they are far apart or a factor apart, evenly if they are a step apart.
    pub fn of(values: &[f64]) -> Self {
        let values = sorted(values);
        let above: Vec<f64> = values.iter().copied().filter(|x| *x > 0.0).collect();
        let has_zero = values.first() == Some(&0.0);
        let complement: Vec<f64> = values.iter().rev().map(|x| 1.0 - x).collect();
        let is_even = are_alike(&values.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>());
        let spacing = if is_even || above.len() < 2 {
            Spacing::Linear
        } else if above.len() + usize::from(has_zero) == values.len() && is_geometric(&above) {
            Spacing::Log
        } else if complement[0] > 0.0 && values[0] >= 0.0 && is_geometric(&complement) {
            Spacing::Complement
        } else {
            Spacing::Linear
        };
        let shown = if spacing == Spacing::Log { &above } else { &values };
        let mut scale = Self::between(spacing, shown);
        if spacing == Spacing::Log && has_zero {
            // One usual step to the left of the smallest.
            let step = (spacing.of(above[above.len() - 1]) - spacing.of(above[0])) / (above.len() - 1) as f64;
            let zero = spacing.of(above[0]) - step.max(0.3);
            scale.low = zero - MARGIN * (scale.high - zero);
            scale.zero = Some(zero);
        }
        scale
    }

    /// For fractions such as accuracies: by the logarithm of 1 − x where those are far apart, as those of 0.9 and 0.99, else evenly.
    pub fn of_fractions(values: &[f64]) -> Self {
        let values = sorted(values);
        if let (Some(&low), Some(&high)) = (values.first(), values.last())
            && high > 0.9
            && high < 1.0
            && (1.0 - low) / (1.0 - high) >= WIDE
        {
            return Self::between(Spacing::Complement, &values);
        }
        Self::even(&values)
    }

    /// For whatever is seen evenly.
    pub fn even(values: &[f64]) -> Self {
        let values = sorted(values);
        let (Some(&low), Some(&high)) = (values.first(), values.last()) else {
            return Self { spacing: Spacing::Linear, low: 0.0, high: 1.0, zero: None };
        };
        let margin = (MARGIN * (high - low)).max(0.002);
        Self { spacing: Spacing::Linear, low: low - margin, high: high + margin, zero: None }
    }

    /// Evenly between two numbers, without a margin.
    pub fn from_to(low: f64, high: f64) -> Self {
        Self { spacing: Spacing::Linear, low, high, zero: None }
    }

    /// For numbers above 0, by their logarithm.
    pub fn log(values: &[f64]) -> Self {
        let above: Vec<f64> = sorted(values).into_iter().filter(|x| *x > 0.0).collect();
        Self::between(Spacing::Log, &above)
    }

    /// Whether its length is proportional to the numbers themselves.
    pub fn is_even(&self) -> bool {
        self.spacing == Spacing::Linear
    }

    fn between(spacing: Spacing, sorted: &[f64]) -> Self {
        let (low, high) = match sorted {
            [] => (0.0, 1.0),
            [first, .., last] => (spacing.of(*first), spacing.of(*last)),
            // Alone in the middle.
            [only] => (spacing.of(*only) - 0.5, spacing.of(*only) + 0.5),
        };
        let margin = MARGIN * (high - low);
        Self { spacing, low: low - margin, high: high + margin, zero: None }
    }

    /// Where `x` lies, from 0 to 1.
    pub fn at(&self, x: f64) -> f64 {
        let place = match self.zero {
            Some(zero) if x <= 0.0 => zero,
            _ => self.spacing.of(x),
        };
        self.share(place)
    }

    /// The number that lies at a share of the axis.
    #[cfg(feature = "watch")]
    pub fn number_at(&self, share: f64) -> f64 {
        let place = self.low + share * (self.high - self.low);
        match self.spacing {
            Spacing::Linear => place,
            Spacing::Log => 10_f64.powf(place),
            Spacing::Complement => 1.0 - 10_f64.powf(-place),
        }
    }

    fn share(&self, place: f64) -> f64 {
        let share = (place - self.low) / (self.high - self.low);
        if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) }
    }

    /// Where the axis is broken between 0 and the numbers that have a logarithm.
    pub fn gap(&self) -> Option<f64> {
        self.zero.map(|zero| self.share(zero) + 0.02)
    }

    /// Ticks at few `values` themselves, else at round numbers.
    pub fn ticks(&self, values: &[f64]) -> Vec<Tick> {
        let values = sorted(values);
        let own = |values: &[f64]| values.iter().map(|&x| (self.at(x), label(x))).collect::<Vec<_>>();
        let are_few = values.len() <= MOST_OWN_TICKS;
        if are_few && values.iter().all(|&x| label(x).len() <= MOST_LABEL) {
            return own(&values);
        }
        let mut ticks = self.round_ticks();
        if ticks.len() < 2 {
            if are_few {
                return own(&values);
            }
            ticks = own(&[values[0], values[values.len() / 2], values[values.len() - 1]]);
        }
        ticks.splice(0..0, self.zero.map(|zero| (self.share(zero), "0".to_owned())));
        ticks
    }

    /// Ticks at round numbers, in order.
    pub fn round_ticks(&self) -> Vec<Tick> {
        match self.spacing {
            Spacing::Linear => self.even_ticks(self.low, self.high),
            Spacing::Log => {
                let decades = self.decades(&[1.0]);
                let numbers = if decades.len() < 2 { self.decades(&[1.0, 2.0, 5.0]) } else { decades };
                if numbers.len() < 2 {
                    return self.even_ticks(10_f64.powf(self.low), 10_f64.powf(self.high));
                }
                let every = numbers.len().div_ceil(MOST_DECADES).max(1);
                numbers.into_iter().step_by(every).map(|x| (self.at(x), power(x))).collect()
            }
            Spacing::Complement => {
                let ticks = self.complement_ticks();
                let (low, high) = (1.0 - 10_f64.powf(-self.low), 1.0 - 10_f64.powf(-self.high));
                if ticks.len() < 3 { self.even_ticks(low, high) } else { ticks }
            }
        }
    }

    /// Ticks at 0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, …
    fn complement_ticks(&self) -> Vec<Tick> {
        let tick = |exponent: i32, digit: u32| {
            let x = 1.0 - f64::from(digit) * 10_f64.powi(-exponent - 1);
            let place = self.spacing.of(x);
            // In decimal text, so that the label is 0.98 and not 0.98000000000000001.
            let text = format!("{x:.*}", exponent as usize + 1);
            let label = text.trim_end_matches('0').trim_end_matches('.').to_owned();
            (self.low..=self.high).contains(&place).then(|| (self.share(place), label))
        };
        (0..=16).flat_map(|exponent| [10, 5, 2].map(|digit| tick(exponent, digit))).flatten().collect()
    }

    /// The numbers digit · 10ᵏ on a logarithmic axis.
    pub fn decades(&self, digits: &[f64]) -> Vec<f64> {
        let start = self.zero.map_or(self.low, |zero| zero + MARGIN);
        let (first, last) = (start.floor().max(-330.0) as i32, self.high.ceil().min(310.0) as i32);
        let numbers = (first..=last).flat_map(|exponent| digits.iter().map(move |digit| digit * 10_f64.powi(exponent)));
        numbers.filter(|x| (start..=self.high).contains(&self.spacing.of(*x))).collect()
    }

    /// About five round numbers a step apart.
    fn even_ticks(&self, low: f64, high: f64) -> Vec<Tick> {
        let rough = (high - low) / 5.0;
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * unit).into_iter().find(|step| *step >= rough);
        let Some(step) = step.filter(|step| step.is_normal()) else { return Vec::new() };
        let (first, last) = ((low / step).ceil(), (high / step).floor());
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        let is_plain = high.abs() < 1e6 && step > 1e-5;
        let text = |x: f64| if is_plain { format!("{x:.decimals$}") } else { label(x) };
        let count = (last - first).clamp(0.0, 20.0) as usize;
        (0..=count).map(|k| (first + k as f64) * step).map(|x| (self.at(x), text(x))).collect()
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// Whether at least two numbers differ from their mean by no more than a small part of it.
fn are_alike(numbers: &[f64]) -> bool {
    let mean = numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
    numbers.len() >= 2 && numbers.iter().all(|number| (number - mean).abs() <= ALIKE * mean.abs())
}

/// Whether numbers above 0, in order, are far apart or a factor apart.
fn is_geometric(sorted: &[f64]) -> bool {
    let steps: Vec<f64> = sorted.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect();
    sorted[sorted.len() - 1] / sorted[0] >= WIDE || are_alike(&steps)
}

/// A number to three digits, as short as it goes.
pub fn label(x: f64) -> String {
    let rounded = three_digits(x);
    // What three digits cannot tell apart from 1 or from its neighbours keeps its digits: 0.9999.
    let shown = if (rounded - x).abs() > 1e-9 * x.abs() && x.abs() > 0.9 && x.abs() < 1e6 {
        format!("{x:.5}").parse().unwrap_or(x)
    } else {
        rounded
    };
    if shown != 0.0 && (shown.abs() < 0.01 || shown.abs() >= 1e6) { format!("{shown:e}") } else { shown.to_string() }
}

/// A label of a logarithmic axis: 1e-3, 2e-3, 1, 10.
fn power(x: f64) -> String {
    if (1.0..1e4).contains(&x) { format!("{x:.0}") } else { format!("{x:.0e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn numbers_are_seen_as_they_were_spread() {
        let spacing = |values: &[f64]| Scale::of(values).spacing;
        let geometric = [&[1e-4, 1e-3, 1e-2][..], &[0.0, 1e-4, 1e-3, 1e-2], &[1e-3, 1e-2], &[1.0, 2.0, 4.0]];
        assert_eq!(geometric.map(spacing), [Spacing::Log; 4]);
        assert_eq!([&[0.9, 0.99, 0.999], &[0.0, 0.9, 0.99]].map(|values| spacing(values)), [Spacing::Complement; 2]);
        let even =
            [&[0.1, 0.2, 0.3][..], &[0.001, 0.0505, 0.1], &[0.0, 0.1, 0.2, 0.5], &[-1.0, 1.0, 100.0], &[5.0], &[]];
        assert_eq!(even.map(spacing), [Spacing::Linear; 6]);
        assert!((Scale::of(&[0.9, 0.99, 0.999]).at(0.99) - 0.5).abs() < 1e-9);
        let scale = Scale::of(&[0.0, 1e-4, 1e-3, 1e-2]);
        assert!(scale.at(0.0) < scale.gap().unwrap() && scale.gap().unwrap() < scale.at(1e-4));
    }

    #[test]
    fn few_values_have_their_own_ticks_and_many_have_decades() {
        let ticks = |values: &[f64]| labels(Scale::of(values).ticks(values));
        assert_eq!(ticks(&[3e-4, 1e-3]), ["3e-4", "1e-3"]);
        for step in [1, 3] {
            let values = (0..16).step_by(step).map(|k| 1e-4 * 10_f64.powf(f64::from(k) / 5.0));
            assert_eq!(ticks(&values.collect::<Vec<_>>()), ["1e-4", "1e-3", "1e-2", "1e-1"]);
        }
        assert_eq!(ticks(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]), ["0", "2", "4", "6", "8"]);
        let values: Vec<f64> = (10..20).map(|k| f64::from(k) / 100.0 + 0.0001).collect();
        assert!(ticks(&values).contains(&"0.12".to_owned()));
    }

    #[test]
    fn accuracies_near_one_are_told_apart() {
        let scale = Scale::of_fractions(&[0.1, 0.9, 0.985]);
        assert_eq!(scale.spacing, Spacing::Complement);
        assert!(labels(scale.round_ticks()).contains(&"0.98".to_owned()), "{:?}", scale.round_ticks());
        assert_eq!(Scale::of_fractions(&[0.1, 1.0]).spacing, Spacing::Linear);
        assert_eq!(labels(Scale::of_fractions(&[0.1, 0.5]).round_ticks()), ["0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert!(Scale::of_fractions(&[0.5]).round_ticks().len() < 10);
        assert!(!Scale::of_fractions(&[]).round_ticks().is_empty());
    }

    #[test]
    fn labels_are_short_and_tell_values_apart() {
        let numbers = [0.0, 0.0001, 0.000_251_188_643_15, 0.1, 0.999, 0.9999, 128.0, 1024.0, 1e7];
        assert_eq!(numbers.map(label), ["0", "1e-4", "2.51e-4", "0.1", "0.999", "0.9999", "128", "1024", "1e7"]);
    }

    proptest::proptest! {
        #[test]
        fn every_number_has_a_place(values in proptest::collection::vec(proptest::num::f64::NORMAL | proptest::num::f64::ZERO, 0..20)) {
            for scale in [Scale::of(&values), Scale::of_fractions(&values)] {
                for x in &values {
                    proptest::prop_assert!((0.0..=1.0).contains(&scale.at(*x)));
                }
                for (place, label) in scale.ticks(&values) {
                    proptest::prop_assert!((0.0..=1.0).contains(&place) && !label.is_empty());
                }
                proptest::prop_assert!(scale.round_ticks().len() < 60);
            }
        }
    }
}
