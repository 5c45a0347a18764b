//! What was found: a line an event, or a table a section with failures first.

use std::fmt::Write as _;

use candle_core::{Result, Tensor};
use serde_json::json;

/// Numbers that were compared bit by bit; one NaN is as good as another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bits {
    pub numbers: u64,
    pub different: u64,
}

impl Bits {
    /// Adds the f32 numbers of two tensors.
    pub fn add(&mut self, found: &Tensor, expected: &Tensor) -> Result<()> {
        let read = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let (found, expected) = (read(found)?, read(expected)?);
        if found.len() != expected.len() {
            candle_core::bail!("{} numbers against {}", found.len(), expected.len());
        }
        self.numbers += found.len() as u64;
        let differ = |(a, b): &(&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
        self.different += found.iter().zip(&expected).filter(differ).count() as u64;
        Ok(())
    }
}

/// The largest |a − b| relative to the largest |b|; infinite where a number is missing or not finite.
pub fn difference(found: &Tensor, expected: &Tensor) -> Result<f64> {
    let read = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let (found, expected) = (read(found)?, read(expected)?);
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(f64::from(*x).abs()));
    let apart = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    // Not `max`, which would hide a NaN.
    let most = apart.fold(0.0, |most: f64, x| if x > most || x.is_nan() { x } else { most });
    if most == 0.0 && found.len() == expected.len() {
        return Ok(0.0);
    }
    let relative = most / largest;
    Ok(if relative.is_finite() && found.len() == expected.len() { relative } else { f64::INFINITY })
}

/// A comparison: of bits, or of a difference that has a bound.
struct Check {
    name: String,
    bits: Option<Bits>,
    bound: Option<(f64, f64)>,
    holds: bool,
}

/// Events as they come, or tables.
pub struct Report {
    json: bool,
    section: &'static str,
    checks: Vec<Check>,
    speeds: Vec<[String; 4]>,
    count: usize,
    failed: usize,
}

impl Report {
    pub fn new(json: bool) -> Self {
        Self { json, section: "", checks: Vec::new(), speeds: Vec::new(), count: 0, failed: 0 }
    }

    /// Begins a section.
    pub fn section(&mut self, name: &'static str) {
        self.flush();
        self.section = name;
    }

    /// A comparison of bits, which must be the same.
    pub fn bits(&mut self, name: impl Into<String>, bits: Bits) {
        let holds = bits.different == 0 && bits.numbers > 0;
        self.add(Check { name: name.into(), bits: Some(bits), bound: None, holds });
    }

    /// A difference, which must lie within its bound.
    pub fn within(&mut self, name: impl Into<String>, difference: f64, bound: f64) {
        let holds = difference <= bound;
        self.add(Check { name: name.into(), bits: None, bound: Some((difference, bound)), holds });
    }

    fn add(&mut self, check: Check) {
        self.count += 1;
        self.failed += usize::from(!check.holds);
        if self.json {
            println!(
                "{}",
                json!({
                    "event": "check",
                    "section": self.section,
                    "name": check.name,
                    "numbers": check.bits.map(|bits| bits.numbers),
                    "different": check.bits.map(|bits| bits.different),
                    "difference": check.bound.map(|(difference, _)| difference),
                    "bound": check.bound.map(|(_, bound)| bound),
                    "ok": check.holds,
                })
            );
        } else {
            self.checks.push(check);
        }
    }

    /// A time, and the rate that it makes.
    pub fn speed(&mut self, name: &str, fields: &serde_json::Value) {
        if self.json {
            let mut line = json!({"event": "speed", "name": name});
            let all = line.as_object_mut().into_iter().zip(fields.as_object());
            all.for_each(|(line, fields)| line.extend(fields.clone()));
            println!("{line}");
            return;
        }
        let number = |key: &str| fields[key].as_f64();
        let rate = [("gigabytes_per_second", "GB/s"), ("teraflops", "TFLOP/s")];
        let rate = rate.iter().find_map(|(key, unit)| Some(format!("{:.4} {unit}", number(key)?)));
        let share = number("share").map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share));
        let time = number("microseconds").map_or_else(String::new, |time| format!("{time:.2}"));
        self.speeds.push([name.to_owned(), time, rate.unwrap_or_default(), share]);
    }

    fn flush(&mut self) {
        let mut text = String::new();
        self.checks.sort_by_key(|check| check.holds);
        if !self.checks.is_empty() {
            let _ = writeln!(text, "| {} | numbers | other bits | difference | bound | holds |", self.section);
            text.push_str("|---|---:|---:|---:|---:|---|\n");
        }
        for Check { name, bits, bound, holds } in self.checks.drain(..) {
            let (numbers, different) = bits.map_or_else(Default::default, |Bits { numbers, different }| {
                (numbers.to_string(), different.to_string())
            });
            let (difference, most) = bound.map_or_else(Default::default, |(difference, bound)| {
                (format!("{difference:.2e}"), format!("{bound:.0e}"))
            });
            let holds = if holds { "yes" } else { "**no**" };
            let _ = writeln!(text, "| {name} | {numbers} | {different} | {difference} | {most} | {holds} |");
        }
        if !self.speeds.is_empty() {
            let _ = writeln!(text, "| {} | µs | rate | share |\n|---|---:|---:|---:|", self.section);
        }
        for row in self.speeds.drain(..) {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        if !text.is_empty() {
            println!("{text}");
        }
    }

    /// Ends the report; answers whether everything holds.
    pub fn end(&mut self) -> bool {
        self.flush();
        let Self { count, failed, .. } = *self;
        if self.json {
            println!("{}", json!({"event": "end", "checks": count, "failed": failed}));
        } else {
            println!("{count} checks, {failed} do not hold");
        }
        failed == 0
    }
}
