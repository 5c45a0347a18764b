//! L-BFGS: steps of Newton's kind from the last few changes of the gradient over the whole training split, with a line search.
//!
//! ```text
//!     dₖ = −Hₖ·gₖ                            by the two loops over the m last pairs sᵢ, yᵢ from γ·I, γ = sᵀy/yᵀy; d₁ = −g₁
//!     φ(t) = f(xₖ + t·dₖ)                    from t = α, the first time from α·min(1, 1/‖g₁‖₁)
//!     φ(t) ≤ φ(0) + 10⁻⁴·t·φ′(0),  |φ′(t)| ≤ 0.9·|φ′(0)|       the strong Wolfe conditions that end the search
//!     xₖ₊₁ = xₖ + t·dₖ,  sₖ = t·dₖ,  yₖ = gₖ₊₁ − gₖ            kept where sₖᵀyₖ > 10⁻¹⁰
//!     f = loss + λ/2·‖x‖²,  g = its gradient
//! ```
//!
//! Liu & Nocedal 1989, Math. Programming 45, 503–528; Nocedal & Wright 2006, Numerical Optimization, Algorithms 3.5, 7.4 and 7.5; as
//! `torch.optim.LBFGS` with `line_search_fn="strong_wolfe"`. An interval that holds a good t is found by cubic extrapolation, to at
//! most ten times the last t, and narrowed by cubic interpolation; after 25 trials, or where it is shorter than δ, its better end
//! is taken. It ends for good where max |gᵢ| ≤ ε, max |t·dᵢ| ≤ δ, |fₖ₊₁ − fₖ| < δ or gᵀd > −δ: from then on it stays.
//!
//! A step is an evaluation: it is given loss and gradient at the trial point and names the next one, which the parameters then are. The
//! net is evaluated and saved at xₖ, the state `x`. The history holds where the search stands, so that it goes on from any evaluation.
//! Deviations: a trial whose loss or gradient is not finite is halved, towards the best end known, where PyTorch goes on with it; an
//! interpolation that is no number is the middle; sums run in f64, over all parameters in the order of their names.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use super::driver::expect_on_host;
use super::prelude::*;
use super::store::lane_of;
use super::{Gradients, LaneOptimizer, Parameter, Parameters, StepScalars, expect_fitting, expect_numbers};
use crate::kernel::vectors::{self, Regularised, Vector};
use crate::kernel::{self, Views};

/// What a trial must win of what the slope promises, and the part of the slope that it must leave.
const C1: f64 = 1e-4;
const C2: f64 = 0.9;

/// Trials of a line search behind the first.
const MOST_TRIALS: u64 = 25;

/// The least sᵀy of a pair that is kept.
const LEAST_CURVATURE: f64 = 1e-10;

/// State of each parameter beside its pairs, which are `s0`, `dg0`, `s1` and so on: x, d, and the gradients at x and at two trials.
const STATE: [&str; 5] = ["x", "d", "g", "g1", "g2"];

pub static LBFGS: Family = Family {
    name: "lbfgs",
    aliases: &["l-bfgs"],
    about: "quasi-Newton steps on the whole split, with a line search",
    source: "Liu & Nocedal 1989; as torch.optim.LBFGS with strong_wolfe",
    file: include_str!("lbfgs.rs"),
    rates: Some([0.1, 10.0]),
    evaluates_elsewhere: true,
    is_joint: true,
    is_full_batch: true,
    on_gpu: false,
    state_count: Some(|hypers| 5 + 2 * hypers.count(&super::hyper::HISTORY_SIZE)),
    refuse: |hypers| {
        let is_none = hypers.count(&super::hyper::HISTORY_SIZE) == 0;
        is_none.then_some("`optim.history_size` is 0, and L-BFGS goes by the last pairs: give at least 1")
    },
    ..Family::new(Settings::HYPERS, &STATE, |parameters, lanes| {
        Ok(Box::new(Lbfgs::new(parameters, lanes.iter().map(Settings::new).collect())?))
    })
};

hyperparameters! {
    /// What a lane has of its own.
    pub struct Settings {
        lr = LR.or(1.0).meaning("α", "length of the first trial along a direction"),
        history_size: u64 = HISTORY_SIZE,
        tolerance_grad: f64 = TOLERANCE_GRAD,
        tolerance_change: f64 = TOLERANCE_CHANGE,
        weight_decay: f64 = WEIGHT_DECAY,
    }
}

/// What the next evaluation is of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    /// The point that it all begins at.
    #[default]
    Start,
    /// A trial, while no interval is known.
    Bracket,
    /// A trial inside one.
    Zoom,
    /// Nothing any more.
    Done,
}

const PHASES: [Phase; 4] = [Phase::Start, Phase::Bracket, Phase::Zoom, Phase::Done];

/// A point on the line that was evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct End {
    t: f64,
    f: f64,
    slope: f64,
    /// Which of the gradients is its: 0 is that at x.
    slot: usize,
}

/// Where a lane's search stands.
#[derive(Clone, Debug, Default, PartialEq)]
struct Search {
    phase: Phase,
    /// Directions so far.
    directions: u64,
    /// f at x.
    f: f64,
    /// gᵀd there.
    slope: f64,
    /// max |dᵢ|.
    longest: f64,
    /// Where the next evaluation is.
    t: f64,
    /// Trials behind the first.
    trials: u64,
    /// The ends of the interval; while there is none, the first is the trial before.
    ends: [End; 2],
    /// The better of them.
    low: usize,
    /// Whether the last trial fell close to an end.
    was_close: bool,
    /// The oldest pair, and how many there are.
    first: usize,
    count: usize,
    /// γ.
    scale: f64,
    /// 1/sᵀy of each pair, by its place.
    inverse: Vec<f64>,
}

/// Numbers of a search beside those of its pairs.
const NUMBERS: usize = 20;

impl Search {
    fn new(history: usize) -> Self {
        Self { scale: 1.0, inverse: vec![0.0; history], ..Self::default() }
    }

    /// As a history.
    fn numbers(&self) -> Vec<f64> {
        let phase = PHASES.iter().position(|phase| *phase == self.phase).unwrap_or_default() as f64;
        let own = [phase, self.directions as f64, self.f, self.slope, self.longest, self.t, self.trials as f64];
        let ends = self.ends.iter().flat_map(|end| [end.t, end.f, end.slope, end.slot as f64]);
        let rest = [self.low, usize::from(self.was_close), self.first, self.count].map(|number| number as f64);
        let rest = rest.into_iter().chain([self.scale]);
        own.into_iter().chain(ends).chain(rest).chain(self.inverse.iter().copied()).collect()
    }

    /// Takes what [`Search::numbers`] gave.
    fn read(&mut self, numbers: &[f64]) -> Result<()> {
        let expected = NUMBERS + self.inverse.len();
        ensure!(numbers.len() == expected, "{} numbers of history, expected {expected}", numbers.len());
        let (own, inverse) = numbers.split_at(NUMBERS);
        let whole = |place: usize, most: usize| -> Result<usize> {
            let number = own[place];
            ensure!(number.fract() == 0.0 && (0.0..=most as f64).contains(&number), "{number} in the history");
            Ok(number as usize)
        };
        let end = |place: usize| -> Result<End> {
            Ok(End { t: own[place], f: own[place + 1], slope: own[place + 2], slot: whole(place + 3, 2)? })
        };
        let history = inverse.len();
        *self = Self {
            phase: PHASES[whole(0, PHASES.len() - 1)?],
            directions: own[1] as u64,
            f: own[2],
            slope: own[3],
            longest: own[4],
            t: own[5],
            trials: own[6] as u64,
            ends: [end(7)?, end(11)?],
            low: whole(15, 1)?,
            was_close: own[16] != 0.0,
            first: whole(17, history.saturating_sub(1))?,
            count: whole(18, history)?,
            scale: own[19],
            inverse: inverse.to_vec(),
        };
        Ok(())
    }

    /// Whether the parameters are at a trial point.
    fn is_trying(&self) -> bool {
        matches!(self.phase, Phase::Bracket | Phase::Zoom)
    }

    /// The place of a pair, from the oldest.
    fn place(&self, pair: usize) -> usize {
        (self.first + pair) % self.inverse.len()
    }

    /// Which end of the interval is the better, and which the other.
    fn order(&mut self) {
        self.low = usize::from(self.ends[0].f > self.ends[1].f);
    }

    /// Whether a trial has not won enough.
    fn falls_short(&self, trial: End) -> bool {
        trial.f > self.f + C1 * trial.t * self.slope
    }

    /// Whether a trial is flat enough.
    fn is_flat(&self, trial: End) -> bool {
        trial.slope.abs() <= -C2 * self.slope
    }
}

/// A slot for a gradient beside one that is kept.
fn free(kept: usize) -> usize {
    if kept == 1 { 2 } else { 1 }
}

/// The minimum of the cubic through two points with their slopes, within bounds; without one, their middle.
fn cubic(a: End, b: End, [least, most]: [f64; 2]) -> f64 {
    let d1 = a.slope + b.slope - 3.0 * (a.f - b.f) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    if square >= 0.0 {
        let d2 = square.sqrt();
        let t = if a.t <= b.t {
            b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2))
        } else {
            a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2.0 * d2))
        };
        if !t.is_nan() {
            return t.max(least).min(most);
        }
    }
    f64::midpoint(least, most)
}

/// What a search does after an evaluation.
enum Next {
    /// The end that is the better one becomes x.
    Accept,
    /// Another trial.
    Try(f64),
}

/// L-BFGS over parameters `[K, …]`; a lone lane takes any shape.
struct Lbfgs {
    names: Vec<String>,
    vars: Vec<Var>,
    /// Of each parameter, like it: x, d, and the gradients at x and at two trials.
    x: Vec<Tensor>,
    d: Vec<Tensor>,
    gradients: Vec<[Tensor; 3]>,
    /// The pairs s and y `[m, K, …]`.
    s: Vec<Tensor>,
    y: Vec<Tensor>,
    /// Lends all of them to a step without taking memory.
    _views: Views,
    /// The parameters that have elements, in the order in which sums run: that of their names, whatever order they come in.
    order: Vec<usize>,
    /// Elements of each parameter in a lane.
    sizes: Vec<usize>,
    settings: Vec<Settings>,
    searches: Vec<Search>,
    /// m of the lane that has most.
    history: usize,
    /// Of the step to come; none where they were not given.
    losses: Vec<f64>,
    scalars: Vec<StepScalars>,
    /// Steps that each lane has taken.
    steps: Vec<u64>,
    at_evaluation_point: bool,
    /// Products of the first loop over the pairs; kept so that a step allocates nothing.
    room: Vec<f64>,
}

impl Lbfgs {
    fn new(parameters: &Parameters, settings: Vec<Settings>) -> Result<Self> {
        expect_numbers(parameters)?;
        expect_on_host(parameters, LBFGS.name)?;
        let lanes = settings.len();
        let history = settings.iter().map(|settings| settings.history_size.max(1)).max().unwrap_or(1) as usize;
        let (mut x, mut d, mut gradients, mut s, mut y) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Parameter { name, var, .. } in parameters {
            let dims = var.dims();
            ensure!(
                lanes == 1 || dims.first() == Some(&lanes),
                "parameter `{name}` has shape {dims:?}, expected {lanes} lanes in front"
            );
            x.push(var.as_tensor().copy()?);
            d.push(var.zeros_like()?);
            gradients.push([var.zeros_like()?, var.zeros_like()?, var.zeros_like()?]);
            let pairs = [&[history], dims].concat();
            s.push(Tensor::zeros(&pairs[..], var.dtype(), var.device())?);
            y.push(Tensor::zeros(&pairs[..], var.dtype(), var.device())?);
        }
        let vars: Vec<Var> = parameters.iter().map(|parameter| parameter.var.clone()).collect();
        let mut order: Vec<usize> = (0..vars.len()).filter(|&index| vars[index].elem_count() > 0).collect();
        order.sort_unstable_by_key(|&index| &parameters[index].name);
        let tensors = vars.iter().map(Var::as_tensor).chain(&x).chain(&d).chain(gradients.iter().flatten());
        Ok(Self {
            names: parameters.iter().map(|parameter| parameter.name.clone()).collect(),
            _views: Views::new(tensors.chain(&s).chain(&y))?,
            sizes: vars.iter().map(|var| var.elem_count() / lanes).collect(),
            searches: vec![Search::new(history); lanes],
            losses: Vec::with_capacity(lanes),
            scalars: Vec::with_capacity(lanes),
            steps: vec![0; lanes],
            at_evaluation_point: false,
            room: vec![0.0; history],
            vars,
            x,
            d,
            gradients,
            s,
            y,
            order,
            settings,
            history,
        })
    }

    /// A lane of a parameter's tensor.
    fn vector<'a>(&self, tensor: &'a Tensor, index: usize, lane: usize) -> Vector<'a> {
        let count = self.sizes[index];
        Vector { tensor, start: lane * count, count }
    }

    /// A lane's pair in this place.
    fn pair<'a>(&self, tensor: &'a Tensor, index: usize, lane: usize, place: usize) -> Vector<'a> {
        let count = self.sizes[index];
        Vector { tensor, start: (place * self.settings.len() + lane) * count, count }
    }

    /// The gradient at the parameters as they stand.
    fn regularised<'a>(&'a self, gradient: &'a Tensor, index: usize, lane: usize) -> Regularised<'a> {
        Regularised {
            gradient: self.vector(gradient, index, lane),
            scale: self.scalars[lane].gradient_scale,
            theta: self.vector(&self.vars[index], index, lane),
            decay: self.settings[lane].weight_decay,
        }
    }

    /// A sum over all parameters.
    fn sum(&self, of: impl Fn(usize) -> candle_core::Result<f64>) -> Result<f64> {
        let mut total = 0.0;
        for &index in &self.order {
            total += of(index)?;
        }
        Ok(total)
    }

    fn most(&self, of: impl Fn(usize) -> candle_core::Result<f64>) -> Result<f64> {
        let mut most = 0.0_f64;
        for &index in &self.order {
            most = most.max(of(index)?);
        }
        Ok(most)
    }

    fn each(&self, body: impl Fn(usize) -> candle_core::Result<()>) -> Result<()> {
        Ok(self.order.iter().try_for_each(|&index| body(index))?)
    }

    /// A lane's step: what the evaluation was of, and what comes of it.
    fn advance(&mut self, lane: usize, gradients: &dyn Gradients) -> Result<()> {
        let mut search = std::mem::take(&mut self.searches[lane]);
        let outcome = self.take(lane, &mut search, gradients);
        self.searches[lane] = search;
        outcome
    }

    fn take(&mut self, lane: usize, search: &mut Search, gradients: &dyn Gradients) -> Result<()> {
        if search.phase == Phase::Done {
            return Ok(());
        }
        let gradient = |index: usize| match gradients.gradient(index, &self.vars[index]) {
            Some(gradient) => Ok(self.regularised(gradient, index, lane)),
            None => candle_core::bail!("parameter `{}` has no gradient", self.names[index]),
        };
        let f = self.losses[lane] + self.decay(lane, |index| &self.vars[index])?;
        if search.phase == Phase::Start {
            self.each(|index| {
                let of = |tensor| self.vector(tensor, index, lane);
                vectors::gather_gradient(gradient(index)?, of(&self.gradients[index][0]))?;
                vectors::copy(of(&self.vars[index]), of(&self.x[index]))
            })?;
            if !(f + self.magnitude(lane)?).is_finite() {
                return Ok(());
            }
            search.f = f;
            if self.has_arrived(lane)? {
                search.phase = Phase::Done;
                return Ok(());
            }
            return self.set_out(lane, search);
        }
        let slope = self.sum(|index| vectors::slope(gradient(index)?, self.vector(&self.d[index], index, lane)))?;
        let trial = End { t: search.t, f, slope, slot: 0 };
        let (next, slot) = if f.is_finite() && slope.is_finite() {
            let least = self.settings[lane].tolerance_change;
            if search.phase == Phase::Bracket { bracketed(search, trial, least) } else { zoomed(search, trial, least) }
        } else {
            (shortened(search), None)
        };
        if let Some(slot) = slot {
            self.each(|index| {
                vectors::gather_gradient(gradient(index)?, self.vector(&self.gradients[index][slot], index, lane))
            })?;
        }
        match next {
            Next::Try(t) => {
                search.t = t;
                self.go(lane, t)
            }
            Next::Accept => self.accept(lane, search),
        }
    }

    /// λ/2·‖x‖².
    fn decay<'a>(&self, lane: usize, x: impl Fn(usize) -> &'a Tensor) -> Result<f64> {
        match self.settings[lane].weight_decay {
            0.0 => Ok(0.0),
            decay => Ok(0.5 * decay * self.sum(|index| vectors::square(self.vector(x(index), index, lane)))?),
        }
    }

    /// ‖g‖₁ at x.
    fn magnitude(&self, lane: usize) -> Result<f64> {
        self.sum(|index| vectors::magnitude(self.vector(&self.gradients[index][0], index, lane)))
    }

    /// Whether the gradient at x is as good as 0.
    fn has_arrived(&self, lane: usize) -> Result<bool> {
        let largest = |index: usize| vectors::largest(self.vector(&self.gradients[index][0], index, lane));
        Ok(self.most(largest)? <= self.settings[lane].tolerance_grad)
    }

    /// Moves the parameters to a trial point.
    fn go(&self, lane: usize, t: f64) -> Result<()> {
        self.each(|index| {
            let of = |tensor| self.vector(tensor, index, lane);
            vectors::move_into(of(&self.x[index]), t, of(&self.d[index]), of(&self.vars[index]))
        })
    }

    /// Moves the parameters to x.
    fn rest(&self, lane: usize) -> Result<()> {
        self.each(|index| {
            let of = |tensor| self.vector(tensor, index, lane);
            vectors::copy(of(&self.x[index]), of(&self.vars[index]))
        })
    }

    /// Makes the better end of the interval x, keeps the pair, and goes on from there or ends.
    fn accept(&mut self, lane: usize, search: &mut Search) -> Result<()> {
        let end = search.ends[search.low];
        let before = std::mem::replace(&mut search.f, end.f);
        if end.slot != 0 {
            self.keep_pair(lane, search, end)?;
            self.each(|index| {
                let of = |tensor| self.vector(tensor, index, lane);
                vectors::move_along(end.t, of(&self.d[index]), of(&self.x[index]))?;
                let own = &self.gradients[index];
                vectors::copy(of(&own[end.slot]), of(&own[0]))
            })?;
        }
        let least = self.settings[lane].tolerance_change;
        let moved = end.t * search.longest;
        if self.has_arrived(lane)? || moved <= least || (search.f - before).abs() < least {
            search.phase = Phase::Done;
            return self.rest(lane);
        }
        self.set_out(lane, search)
    }

    /// Keeps s and y of the step to this end, in place of the oldest where there is no room, if their product is large enough.
    fn keep_pair(&self, lane: usize, search: &mut Search, end: End) -> Result<()> {
        let of = |tensor, index| self.vector(tensor, index, lane);
        let (mut ys, mut yy) = (0.0, 0.0);
        for &index in &self.order {
            let own = &self.gradients[index];
            let (new, old) = (of(&own[end.slot], index), of(&own[0], index));
            let [a, b] = vectors::curvature(end.t, of(&self.d[index], index), new, old)?;
            (ys, yy) = (ys + a, yy + b);
        }
        if ys <= LEAST_CURVATURE {
            return Ok(());
        }
        let most = self.settings[lane].history_size as usize;
        if search.count == most {
            search.first = search.place(1);
        } else {
            search.count += 1;
        }
        let place = search.place(search.count - 1);
        search.inverse[place] = 1.0 / ys;
        search.scale = ys / yy;
        self.each(|index| {
            let own = &self.gradients[index];
            let (new, old) = (of(&own[end.slot], index), of(&own[0], index));
            vectors::subtract_into(new, old, self.pair(&self.y[index], index, lane, place))?;
            vectors::scale_into(end.t, of(&self.d[index], index), self.pair(&self.s[index], index, lane, place))
        })
    }

    /// A new direction from x, and the first trial along it.
    fn set_out(&mut self, lane: usize, search: &mut Search) -> Result<()> {
        let lr = self.scalars[lane].lr;
        search.directions += 1;
        self.each(|index| {
            let of = |tensor| self.vector(tensor, index, lane);
            vectors::scale_into(-1.0, of(&self.gradients[index][0]), of(&self.d[index]))
        })?;
        let t = if search.directions == 1 { (1.0 / self.magnitude(lane)?).min(1.0) * lr } else { lr };
        if search.directions > 1 {
            self.turn(lane, search)?;
        }
        search.slope = self.sum(|index| {
            let of = |tensor| self.vector(tensor, index, lane);
            vectors::product(of(&self.gradients[index][0]), of(&self.d[index]))
        })?;
        // A slope that is no number ends it too.
        if search.slope.is_nan() || search.slope > -self.settings[lane].tolerance_change {
            search.phase = Phase::Done;
            return self.rest(lane);
        }
        search.longest = self.most(|index| vectors::largest(self.vector(&self.d[index], index, lane)))?;
        search.ends[0] = End { t: 0.0, f: search.f, slope: search.slope, slot: 0 };
        (search.phase, search.trials, search.was_close, search.t) = (Phase::Bracket, 0, false, t);
        self.go(lane, t)
    }

    /// d ← H·d, by the two loops over the pairs.
    fn turn(&mut self, lane: usize, search: &Search) -> Result<()> {
        let mut room = std::mem::take(&mut self.room);
        for pair in (0..search.count).rev() {
            let place = search.place(pair);
            let product = self.sum(|index| {
                vectors::product(
                    self.pair(&self.s[index], index, lane, place),
                    self.vector(&self.d[index], index, lane),
                )
            })?;
            room[pair] = product * search.inverse[place];
            self.each(|index| {
                let y = self.pair(&self.y[index], index, lane, place);
                vectors::move_along(-room[pair], y, self.vector(&self.d[index], index, lane))
            })?;
        }
        self.each(|index| vectors::scale(search.scale, self.vector(&self.d[index], index, lane)))?;
        for (pair, along) in room.iter().enumerate().take(search.count) {
            let place = search.place(pair);
            let product = self.sum(|index| {
                vectors::product(
                    self.pair(&self.y[index], index, lane, place),
                    self.vector(&self.d[index], index, lane),
                )
            })?;
            let by = along - product * search.inverse[place];
            self.each(|index| {
                let s = self.pair(&self.s[index], index, lane, place);
                vectors::move_along(by, s, self.vector(&self.d[index], index, lane))
            })?;
        }
        self.room = room;
        Ok(())
    }
}

/// What comes of a trial while no interval is known, and the slot for its gradient.
fn bracketed(search: &mut Search, trial: End, least: f64) -> (Next, Option<usize>) {
    let last = search.ends[0];
    let trial = End { slot: free(last.slot), ..trial };
    let slot = Some(trial.slot);
    if search.trials >= MOST_TRIALS {
        search.ends = [End { t: 0.0, f: search.f, slope: search.slope, slot: 0 }, trial];
        search.order();
        return (Next::Accept, slot);
    }
    let is_behind = search.falls_short(trial) || search.trials > 1 && trial.f >= last.f;
    if !is_behind && search.is_flat(trial) {
        search.ends[0] = trial;
        search.low = 0;
        return (Next::Accept, slot);
    }
    if is_behind || trial.slope >= 0.0 {
        search.ends = [last, trial];
        search.order();
        search.phase = Phase::Zoom;
        return (narrowed(search, least), slot);
    }
    let bounds = [trial.t + 0.01 * (trial.t - last.t), trial.t * 10.0];
    search.ends[0] = trial;
    search.trials += 1;
    (Next::Try(cubic(last, trial, bounds)), slot)
}

/// The same of a trial inside the interval.
fn zoomed(search: &mut Search, trial: End, least: f64) -> (Next, Option<usize>) {
    search.trials += 1;
    let (low, high) = (search.low, 1 - search.low);
    let (best, other) = (search.ends[low], search.ends[high]);
    let slot;
    if search.falls_short(trial) || trial.f >= best.f {
        slot = free(best.slot);
        search.ends[high] = End { slot, ..trial };
        search.order();
    } else {
        let is_found = search.is_flat(trial);
        let turns = !is_found && trial.slope * (other.t - best.t) >= 0.0;
        let kept = if turns { best } else { other };
        slot = free(kept.slot);
        search.ends[high] = kept;
        search.ends[low] = End { slot, ..trial };
        if is_found {
            return (Next::Accept, Some(slot));
        }
    }
    let next = if search.trials >= MOST_TRIALS { Next::Accept } else { narrowed(search, least) };
    (next, Some(slot))
}

/// The next trial inside the interval, which keeps away from its ends where it came close to one before.
fn narrowed(search: &mut Search, least: f64) -> Next {
    let [a, b] = search.ends;
    if (b.t - a.t).abs() * search.longest < least {
        return Next::Accept;
    }
    let (left, right) = (a.t.min(b.t), a.t.max(b.t));
    let mut t = cubic(a, b, [left, right]);
    let away = 0.1 * (right - left);
    let is_close = (right - t).min(t - left) < away;
    let moves = is_close && (search.was_close || t >= right || t <= left);
    if moves {
        t = if (t - right).abs() < (t - left).abs() { right - away } else { left + away };
    }
    search.was_close = is_close && !moves;
    Next::Try(t)
}

/// What comes of a trial that is not finite: one at half the way from the best point known, or that point.
fn shortened(search: &mut Search) -> Next {
    search.trials += 1;
    if search.phase == Phase::Bracket {
        search.low = 0;
    }
    let from = search.ends[search.low].t;
    if search.trials >= MOST_TRIALS { Next::Accept } else { Next::Try(f64::midpoint(from, search.t)) }
}

impl LaneOptimizer for Lbfgs {
    fn check(&self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (name, var)) in self.names.iter().zip(&self.vars).enumerate() {
            expect_fitting(name, var, gradients.gradient(index, var))?;
        }
        let is_told = self.losses.len() == self.settings.len();
        ensure!(is_told, "{} goes by the loss of each step, which was not given: `backward_step` gives it", LBFGS.name);
        Ok(())
    }

    fn wants_losses(&self) -> bool {
        true
    }

    fn take_losses(&mut self, losses: &[f64]) {
        self.losses.clear();
        self.losses.extend_from_slice(losses);
    }

    fn accepted_loss(&self, lane: usize) -> Result<Option<f64>> {
        let search = &self.searches[lane];
        if search.directions == 0 {
            return Ok(None);
        }
        Ok(Some(search.f - self.decay(lane, |index| &self.x[index])?))
    }

    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()> {
        let lanes = self.settings.len();
        ensure!(scalars.len() == lanes, "{} lanes of scalars, expected {lanes}", scalars.len());
        self.at_training_point()?;
        self.steps.iter_mut().for_each(|steps| *steps += 1);
        self.scalars.clear();
        self.scalars.extend_from_slice(scalars);
        Ok(())
    }

    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()> {
        (0..self.settings.len()).try_for_each(|lane| self.advance(lane, gradients))?;
        self.losses.clear();
        Ok(())
    }

    fn steps(&self, lane: usize) -> u64 {
        self.steps[lane]
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            let [g, g1, g2] = &self.gradients[index];
            let own = [&self.x[index], &self.d[index], g, g1, g2];
            tensors.extend(STATE.iter().zip(own).map(|(part, tensor)| (format!("{name}.{part}"), tensor.clone())));
            for pair in 0..self.history {
                tensors.push((format!("{name}.s{pair}"), self.s[index].get(pair)?));
                tensors.push((format!("{name}.dg{pair}"), self.y[index].get(pair)?));
            }
        }
        Ok(tensors)
    }

    fn history(&self, lane: usize) -> Vec<f64> {
        self.searches[lane].numbers()
    }

    fn stand_after(&mut self, lane: usize, steps: u64, history: &[f64]) -> Result<()> {
        self.searches[lane].read(history)?;
        self.steps[lane] = steps;
        Ok(())
    }

    fn begin_anew(&mut self, lane: usize) -> Result<()> {
        let lanes = self.settings.len();
        for (_, tensor) in self.state()? {
            kernel::fill(&lane_of(&tensor, lane, lanes)?, 0.0)?;
        }
        self.searches[lane] = Search::new(self.history);
        self.steps[lane] = 0;
        Ok(())
    }

    fn resume_after(&mut self, lanes: &[(u64, Vec<f64>)]) -> Result<()> {
        let expected = self.settings.len();
        ensure!(lanes.len() == expected, "{} lanes of history, expected {expected}", lanes.len());
        lanes.iter().enumerate().try_for_each(|(lane, (steps, history))| self.stand_after(lane, *steps, history))?;
        self.at_evaluation_point = true;
        self.at_training_point()
    }

    fn at_evaluation_point(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.at_evaluation_point, true) {
            return Ok(());
        }
        let mut trying = (0..self.searches.len()).filter(|&lane| self.searches[lane].is_trying());
        trying.try_for_each(|lane| self.rest(lane))
    }

    fn at_training_point(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.at_evaluation_point, false) {
            return Ok(());
        }
        let mut trying = self.searches.iter().enumerate().filter(|(_, search)| search.is_trying());
        trying.try_for_each(|(lane, search)| self.go(lane, search.t))
    }

    fn scalars(&self, _: usize, lane: usize) -> Vec<(&'static str, f64)> {
        if self.steps[lane] == 0 {
            return Vec::new();
        }
        let Search { directions, f, slope, t, .. } = self.searches[lane];
        vec![("direction", directions as f64), ("f", f), ("slope", slope), ("t", t)]
    }

    fn ruled_by_epsilon(&self, _: usize) -> Result<Vec<(String, Option<f64>)>> {
        Ok(self.names.iter().map(|name| (name.clone(), None)).collect())
    }
}
