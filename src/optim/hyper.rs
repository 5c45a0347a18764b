//! Hyperparameters: what each is called, what it may be, and the values of one optimizer.

use std::collections::BTreeMap;
use std::fmt;

/// Bounds of a real number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lower bound.
    pub low: f64,
    /// Whether it belongs to the range.
    pub with_low: bool,
    /// Upper bound; may be infinite.
    pub high: f64,
    /// Whether it belongs to the range.
    pub with_high: bool,
}

impl Range {
    /// Whether `number` lies within.
    pub fn contains(self, number: f64) -> bool {
        let low = number > self.low || self.with_low && number >= self.low;
        let high = number < self.high || self.with_high && number <= self.high;
        low && high && number.is_finite()
    }
}

impl fmt::Display for Range {
    /// `in [0, 1)`, or `> 0` where any f32 above will do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, with_low, high, with_high } = *self;
        if high >= f64::from(f32::MAX) {
            let sign = if with_low { ">=" } else { ">" };
            return write!(f, "{sign} {}", Shortest(low));
        }
        let open = if with_low { '[' } else { '(' };
        let close = if with_high { ']' } else { ')' };
        write!(f, "in {open}{}, {}{close}", Shortest(low), Shortest(high))
    }
}

/// A real number as files hold it: the shortest text that reads back to the same bits, with `.0` left off, and from a million on in
/// scientific form.
pub struct Shortest(pub f64);

impl fmt::Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.0.abs() >= 1e6 { format!("{:e}", self.0) } else { format!("{:?}", self.0) };
        f.pad(text.strip_suffix(".0").unwrap_or(&text))
    }
}

/// What a hyperparameter may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accepts {
    /// A real number.
    Number(Range),
    /// A whole number up to the bound.
    Count(u64),
    /// On or off.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Accepts {
    /// The value as it is kept, if it may be: a whole number may stand for a real one.
    pub fn fitted(self, value: HyperValue) -> Option<HyperValue> {
        match (self, value) {
            (Self::Number(_), HyperValue::Count(count)) => self.fitted(HyperValue::Number(count as f64)),
            (Self::Number(range), HyperValue::Number(number)) => range.contains(number).then_some(value),
            (Self::Count(most), HyperValue::Count(count)) => (count <= most).then_some(value),
            (Self::Switch, HyperValue::Switch(_)) => Some(value),
            (Self::Word(words), HyperValue::Word(word)) => words.contains(&word).then_some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(range) => write!(f, "a number {range}"),
            Self::Count(_) => f.write_str("a count"),
            Self::Switch => f.write_str("true or false"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// A value of a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HyperValue {
    /// A real number.
    Number(f64),
    /// A whole number.
    Count(u64),
    /// On or off.
    Switch(bool),
    /// A word.
    Word(&'static str),
}

macro_rules! values {
    ($($kind:ty => $value:expr),*) => {$(
        impl From<$kind> for HyperValue {
            fn from(value: $kind) -> Self {
                ($value)(value)
            }
        }
    )*};
}

values!(
    f64 => Self::Number,
    u64 => Self::Count,
    i32 => |value: i32| u64::try_from(value).map_or(Self::Number(value.into()), Self::Count),
    bool => Self::Switch,
    &'static str => Self::Word
);

impl fmt::Display for HyperValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => Shortest(*number).fmt(f),
            Self::Count(count) => f.pad(&count.to_string()),
            Self::Switch(on) => f.pad(if *on { "true" } else { "false" }),
            Self::Word(word) => f.pad(word),
        }
    }
}

/// A hyperparameter, with the default that it has in one family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// Its key: `optim.` and its name.
    pub key: &'static str,
    /// Its letter in the formulas.
    pub symbol: &'static str,
    /// What it may be.
    pub accepts: Accepts,
    /// Its default.
    pub default: HyperValue,
    /// What it does.
    pub about: &'static str,
}

impl Hyper {
    /// Its name, without `optim.`.
    pub fn name(&self) -> &'static str {
        self.key.rsplit('.').next().unwrap_or(self.key)
    }

    pub(super) const fn or(self, default: f64) -> Self {
        Self { default: HyperValue::Number(default), ..self }
    }

    pub(super) const fn meaning(self, symbol: &'static str, about: &'static str) -> Self {
        Self { symbol, about, ..self }
    }

    pub(super) const fn within(self, range: Range) -> Self {
        Self { accepts: Accepts::Number(range), ..self }
    }

    pub(super) const fn on(self) -> Self {
        Self { default: HyperValue::Switch(true), ..self }
    }
}

/// The largest f32: what is larger would be infinite where it is used.
const MOST: f64 = f32::MAX as f64;

pub(super) const fn range(low: f64, with_low: bool, high: f64, with_high: bool) -> Range {
    Range { low, with_low, high, with_high }
}

pub(super) const SHARE: Range = range(0.0, true, 1.0, false);

const fn number(key: &'static str, symbol: &'static str, range: Range, default: f64, about: &'static str) -> Hyper {
    Hyper { key, symbol, accepts: Accepts::Number(range), default: HyperValue::Number(default), about }
}

const fn switch(key: &'static str, about: &'static str) -> Hyper {
    Hyper { key, symbol: "", accepts: Accepts::Switch, default: HyperValue::Switch(false), about }
}

const fn steps(key: &'static str, about: &'static str) -> Hyper {
    Hyper { key, symbol: "", accepts: Accepts::Count(i64::MAX as u64), default: HyperValue::Count(0), about }
}

// Each with the default of Adam, or of the family that has it alone.

/// Learning rate. Below its range it would be 0 or a denormal in f32.
pub const LR: Hyper = number("optim.lr", "α", range(1e-37, true, MOST, true), 1e-3, "learning rate");
/// β₁.
pub const BETA1: Hyper = number("optim.beta1", "β₁", SHARE, 0.9, "decay of the first moment");
/// β₂.
pub const BETA2: Hyper = number("optim.beta2", "β₂", SHARE, 0.999, "decay of the second moment");
/// β₃.
pub const BETA3: Hyper = number("optim.beta3", "β₃", SHARE, 0.99, "decay of the third average");
/// ε. √v + ε·√(1−β₂ᵗ) must stay a normal f32 at v = 0: with 0/0 in its place a parameter without gradient would become NaN.
pub const EPS: Hyper =
    number("optim.eps", "ε", range(1e-30, true, MOST, true), 1e-8, "keeps the denominator away from 0");
/// λ.
pub const WEIGHT_DECAY: Hyper = number("optim.weight_decay", "λ", range(0.0, true, MOST, true), 0.0, "weight decay");
/// μ.
pub const MOMENTUM: Hyper = number("optim.momentum", "μ", SHARE, 0.0, "decay of the momentum buffer");
/// Dampening.
pub const DAMPENING: Hyper =
    number("optim.dampening", "δ", range(0.0, true, 1.0, true), 0.0, "part of the gradient kept out of the buffer");
/// What RMSprop calls α, and what AdEMAMix does.
pub const ALPHA: Hyper =
    number("optim.alpha", "α", range(0.0, true, MOST, true), 0.0, "decay, or weight of an average");
/// α of RMSprop.
pub const SMOOTHING: Hyper = ALPHA.within(SHARE).or(0.99).meaning("a", "decay of the second moment");
/// α of AdEMAMix.
pub const MIX: Hyper = ALPHA.or(2.0).meaning("a", "weight of the slow average");
/// ρ of Adadelta.
pub const RHO: Hyper = number("optim.rho", "ρ", SHARE, 0.9, "decay of both averages");
/// ψ of NAdam.
pub const MOMENTUM_DECAY: Hyper =
    number("optim.momentum_decay", "ψ", range(0.0, true, MOST, true), 4e-3, "how fast the momentum reaches β₁");
/// Decay of Adagrad's rate.
pub const LR_DECAY: Hyper =
    number("optim.lr_decay", "η", range(0.0, true, MOST, true), 0.0, "decay of the learning rate per step");
/// Start of Adagrad's sum.
pub const INITIAL_ACCUMULATOR: Hyper =
    number("optim.initial_accumulator", "", range(0.0, true, MOST, true), 0.0, "what the sum of squares begins with");
/// Exponent of ADOPT's bound.
pub const CLIP_EXPONENT: Hyper =
    number("optim.clip_exponent", "c", range(0.0, true, 1.0, true), 0.25, "bounds the scaled gradient by (t−1)ᶜ");
/// Exponent of the step in the weights of a schedule-free average.
pub const STEP_POWER: Hyper =
    number("optim.r", "r", range(0.0, true, 10.0, true), 0.0, "power of the step in the average's weights");
/// Exponent of the rate in the weights of a schedule-free average.
pub const LR_POWER: Hyper = number(
    "optim.weight_lr_power",
    "p",
    range(0.0, true, 10.0, true),
    2.0,
    "power of the learning rate in the average's weights",
);
/// Learning rate of what Muon leaves to AdamW.
pub const ADAM_LR: Hyper =
    number("optim.adam_lr", "α′", range(1e-37, true, MOST, true), 1e-3, "learning rate of what is left to AdamW");
/// Warm-up of AdEMAMix's α.
pub const MIX_WARMUP: Hyper =
    steps("optim.alpha_warmup", "steps over which the slow average's weight rises from 0; 0 for none");
/// Warm-up of AdEMAMix's β₃.
pub const BETA3_WARMUP: Hyper = steps("optim.beta3_warmup", "steps over which β₃ rises from β₁; 0 for none");
/// Newton–Schulz steps of Muon.
pub const NS_STEPS: Hyper = Hyper {
    accepts: Accepts::Count(100),
    default: HyperValue::Count(5),
    ..steps("optim.ns_steps", "Newton–Schulz iterations")
};
/// Muon's scale.
pub const ADJUST: Hyper = Hyper {
    key: "optim.adjust",
    symbol: "",
    accepts: Accepts::Word(&["original", "match_rms_adamw", "spectral_unclamped"]),
    default: HyperValue::Word("original"),
    about: "scale of a matrix's step: √max(1, rows/columns), 0.2·√max(rows, columns) or √(rows/columns)",
};
/// Nesterov's momentum.
pub const NESTEROV: Hyper = switch("optim.nesterov", "look one step of momentum ahead");
/// AMSGrad.
pub const AMSGRAD: Hyper = switch("optim.amsgrad", "divide by the largest second moment so far (Reddi et al. 2018)");
/// Constant β₁ in NAdam.
pub const CONSTANT_BETA1: Hyper =
    switch("optim.constant_beta1", "β₁ from the first step, without the momentum schedule");
/// Centred RMSprop.
pub const CENTERED: Hyper =
    switch("optim.centered", "divide by the deviation of the gradient in place of its root mean square");
/// Decoupled decay, where a family has both.
pub const DECOUPLED: Hyper =
    switch("optim.decoupled", "weight decay acts on the parameter itself, not through the gradient");
/// Rectification in AdaBelief.
pub const RECTIFY: Hyper = switch("optim.rectify", "rectify the variance of the first steps, as RAdam does").on();
/// Proximal decay in Adan.
pub const PROXIMAL: Hyper = switch("optim.proximal", "decay as a division by 1 + αλ after the step").on();
/// Cautious updates.
pub const CAUTIOUS: Hyper =
    switch("optim.cautious", "move only where update and gradient agree in sign (Liang et al. 2024)");
/// Cautious decay.
pub const CAUTIOUS_DECAY: Hyper =
    switch("optim.cautious_decay", "decay only where update and parameter agree in sign (Chen et al. 2025)");

/// All hyperparameters of all families, in the order of help and of files.
pub const ALL: &[Hyper] = &[
    LR,
    BETA1,
    BETA2,
    BETA3,
    EPS,
    WEIGHT_DECAY,
    MOMENTUM,
    DAMPENING,
    NESTEROV,
    ALPHA,
    RHO,
    CENTERED,
    AMSGRAD,
    MOMENTUM_DECAY,
    CONSTANT_BETA1,
    LR_DECAY,
    INITIAL_ACCUMULATOR,
    DECOUPLED,
    RECTIFY,
    PROXIMAL,
    CLIP_EXPONENT,
    MIX_WARMUP,
    BETA3_WARMUP,
    STEP_POWER,
    LR_POWER,
    NS_STEPS,
    ADJUST,
    ADAM_LR,
    CAUTIOUS,
    CAUTIOUS_DECAY,
];

/// The hyperparameters of one optimizer, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hypers(BTreeMap<&'static str, HyperValue>);

impl Hypers {
    /// The defaults in `list`.
    pub fn defaults(list: &[Hyper]) -> Self {
        Self(list.iter().map(|hyper| (hyper.key, hyper.default)).collect())
    }

    /// The same with another value.
    pub fn with(mut self, hyper: &Hyper, value: HyperValue) -> Self {
        self.0.insert(hyper.key, value);
        self
    }

    /// The value of `hyper`; its own default where the family does not have it.
    pub fn get(&self, hyper: &Hyper) -> HyperValue {
        self.0.get(hyper.key).copied().unwrap_or(hyper.default)
    }

    /// A real number.
    pub fn number(&self, hyper: &Hyper) -> f64 {
        match self.get(hyper) {
            HyperValue::Number(number) => number,
            HyperValue::Count(count) => count as f64,
            _ => f64::NAN,
        }
    }

    /// A whole number.
    pub fn count(&self, hyper: &Hyper) -> u64 {
        if let HyperValue::Count(count) = self.get(hyper) { count } else { 0 }
    }

    /// On or off.
    pub fn is_on(&self, hyper: &Hyper) -> bool {
        self.get(hyper) == HyperValue::Switch(true)
    }

    /// A word.
    pub fn word(&self, hyper: &Hyper) -> &'static str {
        if let HyperValue::Word(word) = self.get(hyper) { word } else { "" }
    }
}
