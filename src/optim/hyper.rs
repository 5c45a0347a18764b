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
    /// Three real numbers.
    Triple(Range),
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
            (Self::Triple(range), HyperValue::Triple(numbers)) => {
                numbers.iter().all(|number| range.contains(*number)).then_some(value)
            }
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
            Self::Triple(range) => write!(f, "three numbers {range}"),
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
    /// Three real numbers.
    Triple([f64; 3]),
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
    &'static str => Self::Word,
    [f64; 3] => Self::Triple
);

impl fmt::Display for HyperValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => Shortest(*number).fmt(f),
            Self::Count(count) => f.pad(&count.to_string()),
            Self::Switch(on) => f.pad(if *on { "true" } else { "false" }),
            Self::Word(word) => f.pad(word),
            Self::Triple(numbers) => f.pad(&numbers.map(|number| Shortest(number).to_string()).join(",")),
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

    /// The same with another default.
    pub const fn or(self, default: f64) -> Self {
        Self { default: HyperValue::Number(default), ..self }
    }

    /// The same where it means something else.
    pub const fn meaning(self, symbol: &'static str, about: &'static str) -> Self {
        Self { symbol, about, ..self }
    }

    /// The same within another range.
    pub const fn within(self, range: Range) -> Self {
        Self { accepts: Accepts::Number(range), ..self }
    }

    /// The same, on by default.
    pub const fn on(self) -> Self {
        Self { default: HyperValue::Switch(true), ..self }
    }
}

/// The largest f32: what is larger would be infinite where it is used.
const MOST: f64 = f32::MAX as f64;

/// From `low` to `high`, each with or without.
pub const fn range(low: f64, with_low: bool, high: f64, with_high: bool) -> Range {
    Range { low, with_low, high, with_high }
}

/// [0, 1).
pub const SHARE: Range = range(0.0, true, 1.0, false);

const fn number(range: Range, default: f64) -> (Accepts, HyperValue) {
    (Accepts::Number(range), HyperValue::Number(default))
}

const fn count(most: u64, default: u64) -> (Accepts, HyperValue) {
    (Accepts::Count(most), HyperValue::Count(default))
}

const fn steps() -> (Accepts, HyperValue) {
    count(i64::MAX as u64, 0)
}

const fn switch(on: bool) -> (Accepts, HyperValue) {
    (Accepts::Switch, HyperValue::Switch(on))
}

const fn triple(range: Range, default: [f64; 3]) -> (Accepts, HyperValue) {
    (Accepts::Triple(range), HyperValue::Triple(default))
}

const fn word(words: &'static [&'static str]) -> (Accepts, HyperValue) {
    (Accepts::Word(words), HyperValue::Word(words[0]))
}

/// A rate: below this range it would be 0 or a denormal in f32.
const RATE: Range = range(1e-37, true, MOST, true);
/// ε: √v + ε·√(1−β₂ᵗ) must stay a normal f32 at v = 0: with 0/0 in its place a parameter without gradient would become NaN.
const ABOVE_0: Range = range(1e-30, true, MOST, true);
const NOT_NEGATIVE: Range = range(0.0, true, MOST, true);
const POWER: Range = range(0.0, true, 10.0, true);

/// A constant per hyperparameter (its name, letter in formulas, what it may be and what it does), and the list of all.
macro_rules! hypers {
    ($($constant:ident = $name:literal, $symbol:literal, $kind:expr, $about:literal;)*) => {
        $(
            #[doc = $about]
            pub const $constant: Hyper = Hyper {
                key: concat!("optim.", $name),
                symbol: $symbol,
                accepts: $kind.0,
                default: $kind.1,
                about: $about,
            };
        )*

        /// All hyperparameters of all families, in the order of help and of files.
        pub const ALL: &[Hyper] = &[$($constant),*];
    };
}

// Each with the default of Adam, or of the family that has it alone.
hypers! {
    LR = "lr", "α", number(RATE, 1e-3), "learning rate";
    BETA1 = "beta1", "β₁", number(SHARE, 0.9), "decay of the first moment";
    BETA2 = "beta2", "β₂", number(SHARE, 0.999), "decay of the second moment";
    BETA3 = "beta3", "β₃", number(SHARE, 0.99), "decay of the third average";
    EPS = "eps", "ε", number(ABOVE_0, 1e-8), "keeps the denominator away from 0";
    WEIGHT_DECAY = "weight_decay", "λ", number(NOT_NEGATIVE, 0.0), "weight decay";
    MOMENTUM = "momentum", "μ", number(SHARE, 0.0), "decay of the momentum buffer";
    DAMPENING = "dampening", "δ", number(range(0.0, true, 1.0, true), 0.0),
        "part of the gradient kept out of the buffer";
    NESTEROV = "nesterov", "", switch(false), "look one step of momentum ahead";
    ALPHA = "alpha", "α", number(NOT_NEGATIVE, 0.0), "decay, or weight of an average";
    RHO = "rho", "ρ", number(SHARE, 0.9), "decay of both averages";
    CENTERED = "centered", "", switch(false), "divide by the deviation of the gradient in place of its root mean square";
    AMSGRAD = "amsgrad", "", switch(false), "divide by the largest second moment so far (Reddi et al. 2018)";
    MOMENTUM_DECAY = "momentum_decay", "ψ", number(NOT_NEGATIVE, 4e-3), "how fast the momentum reaches β₁";
    CONSTANT_BETA1 = "constant_beta1", "", switch(false), "β₁ from the first step, without the momentum schedule";
    LR_DECAY = "lr_decay", "η", number(NOT_NEGATIVE, 0.0), "decay of the learning rate per step";
    INITIAL_ACCUMULATOR = "initial_accumulator", "", number(NOT_NEGATIVE, 0.0),
        "what the sum of squares begins with";
    DECOUPLED = "decoupled", "", switch(false), "weight decay acts on the parameter itself, not through the gradient";
    RECTIFY = "rectify", "", switch(true), "rectify the variance of the first steps, as RAdam does";
    PROXIMAL = "proximal", "", switch(true), "decay as a division by 1 + αλ after the step";
    FINAL_LR = "final_lr", "α∞", number(RATE, 0.1), "what the rates of all elements end at, that of SGD";
    GAMMA = "gamma", "γ", number(range(1e-30, true, 1.0, false), 1e-3), "how fast the bounds of the rates close";
    UPDATE_INTERVAL = "update_interval", "k", count(i64::MAX as u64, 10), "steps from one estimate of the curvature to the next";
    ETA_MINUS = "eta_minus", "η⁻", number(range(0.0, false, 1.0, false), 0.5),
        "factor on an element's step where its gradient has changed sign";
    ETA_PLUS = "eta_plus", "η⁺", number(range(1.0, false, MOST, true), 1.2),
        "factor on an element's step where its gradient has kept its sign";
    STEP_MIN = "step_min", "Δ₋", number(RATE, 1e-6), "the shortest step";
    STEP_MAX = "step_max", "Δ₊", number(RATE, 50.0), "the longest step";
    LAMBD = "lambd", "λ′", number(NOT_NEGATIVE, 1e-4), "how fast the rate falls, and decay of the parameter by it";
    AVERAGED_FROM = "t0", "t₀", number(NOT_NEGATIVE, 1e6), "the step after which the average begins";
    CLIP_EXPONENT = "clip_exponent", "c", number(range(0.0, true, 1.0, true), 0.25),
        "bounds the scaled gradient by (t−1)ᶜ";
    MIX_WARMUP = "alpha_warmup", "", steps(), "steps over which the slow average's weight rises from 0; 0 for none";
    BETA3_WARMUP = "beta3_warmup", "", steps(), "steps over which β₃ rises from β₁; 0 for none";
    STEP_POWER = "r", "r", number(POWER, 0.0), "power of the step in the average's weights";
    LR_POWER = "weight_lr_power", "p", number(POWER, 2.0), "power of the learning rate in the average's weights";
    NS_STEPS = "ns_steps", "", count(100, 5), "Newton–Schulz iterations";
    NS_COEFFICIENTS = "ns_coefficients", "a, b, c", triple(range(-100.0, true, 100.0, true), [3.4445, -4.775, 2.0315]),
        "coefficients of a Newton–Schulz iteration: of X, of G·X and of G²·X";
    ADJUST = "adjust", "", word(&["original", "match_rms_adamw", "spectral_unclamped"]),
        "scale of a matrix's step: √max(1, rows/columns), 0.2·√max(rows, columns) or √(rows/columns)";
    ADAM_LR = "adam_lr", "α′", number(RATE, 1e-3), "learning rate of what is left to AdamW";
    SYNC_PERIOD = "sync_period", "K", count(i64::MAX as u64, 5), "steps between two of the slow weights";
    SLOW_STEP = "slow_step_size", "a", number(range(0.0, false, 1.0, true), 0.5),
        "part of the way that the slow weights go after the fast ones";
    CAUTIOUS = "cautious", "", switch(false), "move only where update and gradient agree in sign (Liang et al. 2024)";
    CAUTIOUS_DECAY = "cautious_decay", "", switch(false),
        "decay only where update and parameter agree in sign (Chen et al. 2025)";
    BETA2_DECAY = "beta2_decay", "γ", number(range(-10.0, true, 0.0, true), -0.8), "power of the step in the weight of its squares: 1 − β₂ = t^γ";
    EPS1 = "eps1", "ε₁", number(NOT_NEGATIVE, 0.0), "the least root of the second moment; 0 for the type's own, 1.2e-7 in f32";
    EPS2 = "eps2", "ε₂", number(NOT_NEGATIVE, 1e-3), "the least that a parameter's root mean square counts for";
    CLIP_THRESHOLD = "clip_threshold", "d", number(range(1.0, true, MOST, true), 1.0), "the largest root mean square of an update";
    D0 = "d0", "d₀", number(range(1e-12, true, MOST, true), 1e-6), "what the estimate of the distance begins with";
    D_COEF = "d_coef", "c", number(RATE, 1.0), "factor on the estimate of the distance: the steps are longer by as much";
    GROWTH_RATE = "growth_rate", "", number(NOT_NEGATIVE, 0.0), "the most that the distance grows by in a step, at least 1; 0 for no bound";
    BIAS_CORRECTION = "bias_correction", "", switch(false), "correct the averages for their start at 0";
    SAFEGUARD_WARMUP = "safeguard_warmup", "", switch(false), "leave the rate out of the denominator, for a long warm-up";
    SHAMPOO_BETA = "shampoo_beta", "β₃", number(range(-1.0, true, 1.0, false), -1.0),
        "decay of the Gram matrices; below 0 it is β₂";
    PRECONDITION_FREQUENCY = "precondition_frequency", "f", count(i64::MAX as u64, 10), "steps from one basis to the next";
    MAX_PRECOND_DIM = "max_precond_dim", "", count(i64::MAX as u64, 512),
        "the longest side of a weight that has a basis of its own; a longer one keeps the axes";
    NORMALIZE_GRADS = "normalize_grads", "", switch(false), "divide each tensor's step by its root mean square";
    HISTORY_SIZE = "history_size", "m", count(1000, 10), "pairs of a step and its change of the gradient that are kept";
    TOLERANCE_GRAD = "tolerance_grad", "ε", number(NOT_NEGATIVE, 1e-7), "ends where no element of the gradient is larger";
    TOLERANCE_CHANGE = "tolerance_change", "δ", number(NOT_NEGATIVE, 1e-9), "ends where f, or every element, changes by less";
    STATE = "state", "", word(&["32bit", "8bit", "4bit"]), "how the moments are kept: as they are, or as codes with a scale a block";
}

/// α of RMSprop, which is a decay.
pub const SMOOTHING: Hyper = ALPHA.within(SHARE).or(0.99).meaning("a", "decay of the second moment");
/// α of AdEMAMix, which is a weight.
pub const MIX: Hyper = ALPHA.or(2.0).meaning("a", "weight of the slow average");

/// α of ASGD, which is a power.
pub const FALL: Hyper = ALPHA.or(0.75).meaning("a", "power of the steps by which the rate falls");
/// γ of Sophia, which is a factor.
pub const CURVATURE_SCALE: Hyper = GAMMA
    .within(NOT_NEGATIVE)
    .or(0.04)
    .meaning("γ", "factor on the curvature: the larger, the shorter steps are and the fewer are clipped");
/// γ of MARS, which is a weight.
pub const CORRECTION: Hyper =
    GAMMA.within(NOT_NEGATIVE).or(0.025).meaning("γ", "weight of the correction by the last gradient");

/// A field of a rule: `f64`, `u64`, `bool`, a word or three numbers.
pub trait RuleField: Sized {
    /// The value as a field; `None` where it is of another kind.
    fn of(value: HyperValue) -> Option<Self>;
}

macro_rules! field {
    ($kind:ty: $($pattern:pat => $value:expr),+) => {
        impl RuleField for $kind {
            fn of(value: HyperValue) -> Option<Self> {
                match value {
                    $($pattern => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

field!(f64: HyperValue::Number(number) => number, HyperValue::Count(count) => count as f64);
field!(u64: HyperValue::Count(count) => count);
field!(bool: HyperValue::Switch(on) => on);
field!(&'static str: HyperValue::Word(word) => word);
field!([f64; 3]: HyperValue::Triple(numbers) => numbers);

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

    /// The value as a number, whole number, switch, word or three numbers; `None` where it is of another kind.
    pub fn field<T: RuleField>(&self, hyper: &Hyper) -> Option<T> {
        T::of(self.get(hyper))
    }

    /// A real number.
    pub fn number(&self, hyper: &Hyper) -> f64 {
        self.field(hyper).unwrap_or(f64::NAN)
    }

    /// A whole number.
    pub fn count(&self, hyper: &Hyper) -> u64 {
        self.field(hyper).unwrap_or(0)
    }

    /// On or off.
    pub fn is_on(&self, hyper: &Hyper) -> bool {
        self.field(hyper).unwrap_or(false)
    }

    /// A word.
    pub fn word(&self, hyper: &Hyper) -> &'static str {
        self.field(hyper).unwrap_or("")
    }
}
