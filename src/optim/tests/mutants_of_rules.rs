//! Rules as their papers print them, whole tensors at a time, with one mistake each: the golden cases must find every one.
//!
//! As for Adam in `properties.rs`, but of the rules that have golden cases of their own bounds, signs, averages and masks.

use super::*;

/// What a form works with in a step, with its mistake.
struct Form<'a> {
    case: &'a Case,
    mistake: &'a str,
    t: f64,
    lr: f64,
    /// What it keeps on the host; the same for all steps of a case.
    host: &'a mut Vec<f64>,
}

type Tensors = Vec<Vec<f64>>;

/// θ and the states after a step, from θ and the gradient, and the states before.
type Rule = fn(&mut Form<'_>, &[f64], &[f64], &[Vec<f64>]) -> Tensors;

impl Form<'_> {
    fn is(&self, mistake: &str) -> bool {
        self.mistake == mistake
    }

    /// `wrong` with this mistake.
    fn or(&self, mistake: &str, right: f64, wrong: f64) -> f64 {
        if self.is(mistake) { wrong } else { right }
    }

    /// A hyperparameter.
    fn number(&self, name: &str) -> f64 {
        self.case.number(name)
    }

    fn is_on(&self, name: &str) -> bool {
        let hyper = self.case.family.hypers.iter().find(|hyper| hyper.name() == name);
        hyper.is_some_and(|hyper| self.case.hypers.is_on(hyper))
    }

    /// 1 − βᵗ.
    fn corrected(&self, beta: &str) -> f64 {
        1.0 - self.number(beta).powf(self.t)
    }

    /// g with coupled decay.
    fn coupled(&self, theta: &[f64], g: &[f64]) -> Vec<f64> {
        zip(theta, g, |theta, g| g + self.number("weight_decay") * theta)
    }

    /// β·x + (1−β)·y.
    fn average(&self, beta: &str, x: &[f64], y: &[f64]) -> Vec<f64> {
        let beta = self.number(beta);
        zip(x, y, |x, y| beta * x + (1.0 - beta) * y)
    }

    /// The average of squares.
    fn average_square(&self, beta: &str, v: &[f64], g: &[f64]) -> Vec<f64> {
        let beta = self.number(beta);
        zip(v, g, |v, g| beta * v + (1.0 - beta) * g * g)
    }
}

fn zip(a: &[f64], b: &[f64], with: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| with(*a, *b)).collect()
}

fn yogi(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> Tensors {
    let (own, update) = yogi_update(f, theta, g, states);
    let decoupled = f.or("decoupled decay", 0.0, f.lr * f.number("weight_decay"));
    let theta = zip(theta, &update, |theta, u| theta - decoupled * theta - u);
    [vec![theta], own.states].concat()
}

fn yogi_update(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> (Proposed, Vec<f64>) {
    let g = if f.is("decoupled decay") { g.to_vec() } else { f.coupled(theta, g) };
    let from_zero = |mistake: &str, state: &[f64]| {
        if f.is(mistake) && f.t == 1.0 { vec![0.0; state.len()] } else { state.to_vec() }
    };
    let (m, v) = (from_zero("m begins at 0", &states[0]), from_zero("v begins at 0", &states[1]));
    let m = f.average("beta1", &m, &g);
    let weight = 1.0 - f.number("beta2");
    let v = zip(&v, &g, |v, g| {
        let sign = crate::rule::Real::sign(v - g * g);
        match f.mistake {
            "Adam's v" => v + weight * (g * g - v),
            "v falls where it should rise" => v + weight * sign * g * g,
            "v moves by its own size" => v - weight * sign * v,
            "v never falls" => v - weight * sign.min(0.0) * g * g,
            _ => v - weight * sign * g * g,
        }
    });
    let (c1, c2) = (f.or("m as it is", f.corrected("beta1"), 1.0), f.or("v as it is", f.corrected("beta2"), 1.0));
    let eps = f.number("eps");
    let update = zip(&m, &v, |m, v| {
        let denominator = match f.mistake {
            "ε inside the root" => (v / c2 + eps).sqrt(),
            "ε before the correction" => (v.sqrt() + eps) / c2.sqrt(),
            _ => (v / c2).sqrt() + eps,
        };
        f.lr * (m / c1) / denominator
    });
    (Proposed { asked: m.clone(), g, states: vec![m, v] }, update)
}

const YOGI: &[&str] = &[
    "Adam's v",
    "v falls where it should rise",
    "v moves by its own size",
    "v never falls",
    "m begins at 0",
    "v begins at 0",
    "m as it is",
    "v as it is",
    "ε inside the root",
    "ε before the correction",
    "decoupled decay",
];

fn adabound(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> Tensors {
    let (own, update) = adabound_update(f, theta, g, states);
    let decoupled = f.or("decoupled decay", 0.0, f.lr * f.number("weight_decay"));
    let theta = zip(theta, &update, |theta, u| theta - decoupled * theta - u);
    [vec![theta], own.states].concat()
}

fn adabound_update(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> (Proposed, Vec<f64>) {
    let g = if f.is("decoupled decay") { g.to_vec() } else { f.coupled(theta, g) };
    let m = f.average("beta1", &states[0], &g);
    let v = f.average_square("beta2", &states[1], &g);
    let mut own = vec![m.clone(), v.clone()];
    let mut used = v.clone();
    if let Some(largest) = states.get(2) {
        let larger = zip(largest, &v, f64::max);
        own.push(larger.clone());
        used = if f.is("the maximum is not used") { v } else { larger };
    }
    let (c1, c2) = (f.corrected("beta1"), f.corrected("beta2"));
    let step = match f.mistake {
        "m as it is" => f.lr * c2.sqrt(),
        "v as it is" => f.lr / c1,
        _ => f.lr * c2.sqrt() / c1,
    };
    let eps = f.or("ε after the correction", f.number("eps"), f.number("eps") * c2.sqrt());
    let followed = f.or("the last rate does not follow the schedule", f.lr / f.case.lr(), 1.0);
    let last = f.number("final_lr") * followed;
    let closed = f.number("gamma") * f.or("bounds one step ahead", f.t, f.t + 1.0);
    let lower = f.or("no lower bound", last * (1.0 - 1.0 / (closed + 1.0)), 0.0);
    let upper = match f.mistake {
        "no upper bound" => f64::INFINITY,
        "both bounds by γ·t + 1" => last * (1.0 + 1.0 / (closed + 1.0)),
        _ => last * (1.0 + 1.0 / closed),
    };
    let update = zip(&m, &used, |m, v| {
        let rate = step / (v.sqrt() + eps);
        match f.mistake {
            "bounds of the step, not of the rate" => {
                m.signum() * (rate * m.abs()).clamp(lower, upper) * f64::from(m != 0.0)
            }
            _ => rate.clamp(lower, upper) * m,
        }
    });
    (Proposed { asked: m, g, states: own }, update)
}

const ADABOUND: &[&str] = &[
    "m as it is",
    "v as it is",
    "ε after the correction",
    "the last rate does not follow the schedule",
    "bounds one step ahead",
    "no lower bound",
    "no upper bound",
    "both bounds by γ·t + 1",
    "bounds of the step, not of the rate",
    "the maximum is not used",
    "decoupled decay",
];

fn schedule_free_sgd(f: &mut Form<'_>, y: &[f64], g: &[f64], states: &[Vec<f64>]) -> Tensors {
    let z = &states[0];
    f.host.resize(2, 0.0);
    let before = f.host[0];
    f.host[1] = f.host[1].max(f.lr);
    let rate = f.or("the rate of now, not the largest", f.host[1], f.lr);
    let power = f.or("weights without the rate", f.number("weight_lr_power"), 0.0);
    let weight = f.t.powf(f.or("weights without the step", f.number("r"), 0.0)) * rate.powf(power);
    f.host[0] += weight;
    let c = match f.mistake {
        "the sum of before" if before > 0.0 => weight / before,
        "a plain mean" => 1.0 / f.t,
        _ => weight / f.host[0],
    };
    let g = if f.is("decay at z") { f.coupled(z, g) } else { f.coupled(y, g) };
    let beta = f.or("β and 1 − β exchanged", f.number("momentum"), 1.0 - f.number("momentum"));
    let share = match f.mistake {
        "y takes the whole step" => 1.0,
        "y without the average's part" => 1.0 - beta,
        _ => 1.0 - beta * (1.0 - c),
    };
    let (lr, moved) = (f.lr, zip(z, &g, |z, g| z - f.lr * g));
    let target = if f.is("y towards the new z") { &moved } else { z };
    let towards: Vec<f64> = zip(y, target, |y, z| y + c * (z - y));
    [zip(&towards, &g, |y, g| y - lr * share * g), moved].to_vec()
}

const SCHEDULE_FREE_SGD: &[&str] = &[
    "the rate of now, not the largest",
    "weights without the rate",
    "weights without the step",
    "the sum of before",
    "a plain mean",
    "decay at z",
    "β and 1 − β exchanged",
    "y takes the whole step",
    "y without the average's part",
    "y towards the new z",
];

fn mars(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> Tensors {
    let beta1 = f.number("beta1");
    let gain = match f.mistake {
        "γ without β₁/(1−β₁)" => f.number("gamma"),
        "γ/(1−β₁)" => f.number("gamma") / (1.0 - beta1),
        _ => f.number("gamma") * (beta1 / (1.0 - beta1)),
    };
    let g = if f.is("coupled decay") { f.coupled(theta, g) } else { g.to_vec() };
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let shortened = |x: &[f64]| -> Vec<f64> {
        let length = match f.mistake {
            "always of length 1" => norm(x),
            "root mean square" => (norm(x) / (x.len() as f64).sqrt()).max(1.0),
            "each element" => return x.iter().map(|x| x.clamp(-1.0, 1.0)).collect(),
            "not shortened" => 1.0,
            _ => norm(x).max(1.0),
        };
        x.iter().map(|x| x / length).collect()
    };
    let before = &states[2];
    let corrected = |g: &[f64]| -> Vec<f64> {
        match f.mistake {
            "no first difference" if f.t == 1.0 => g.to_vec(),
            "the difference the other way" => zip(g, before, |g, before| gain * (before - g) + g),
            _ => zip(g, before, |g, before| gain * (g - before) + g),
        }
    };
    let c =
        if f.is("shortened before it is corrected") { corrected(&shortened(&g)) } else { shortened(&corrected(&g)) };
    let m = f.average("beta1", &states[0], &c);
    let v = f.average_square("beta2", &states[1], if f.is("v of g") { &g } else { &c });
    let (c1, c2) = (f.or("m as it is", f.corrected("beta1"), 1.0), f.or("v as it is", f.corrected("beta2"), 1.0));
    let eps = f.number("eps");
    let decay = if f.is("coupled decay") { 0.0 } else { f.number("weight_decay") };
    let update = zip(&m, &v, |m, v| match f.mistake {
        "ε inside the root" => (m / c1) / (v / c2 + eps).sqrt(),
        _ => (m / c1) / ((v / c2).sqrt() + eps),
    });
    let theta = zip(theta, &update, |theta, u| match f.mistake {
        "decay without the rate" => theta - decay * theta - f.lr * u,
        _ => theta - f.lr * (u + decay * theta),
    });
    let last = if f.is("the corrected gradient is kept") { c } else { g };
    vec![theta, m, v, last]
}

const MARS: &[&str] = &[
    "γ without β₁/(1−β₁)",
    "γ/(1−β₁)",
    "always of length 1",
    "root mean square",
    "each element",
    "not shortened",
    "shortened before it is corrected",
    "no first difference",
    "the difference the other way",
    "the corrected gradient is kept",
    "v of g",
    "m as it is",
    "v as it is",
    "ε inside the root",
    "coupled decay",
    "decay without the rate",
];

fn rprop(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> Tensors {
    let (mut theta, mut kept, mut steps) = (theta.to_vec(), g.to_vec(), states[1].clone());
    for i in 0..g.len() {
        let product = g[i] * states[0][i];
        let step = if f.t == 1.0 { f.or("begins at the shortest step", f.lr, f.number("step_min")) } else { steps[i] };
        let step = if f.is("the rate of now") { f.lr } else { step };
        let (minus, plus) = (f.number("eta_minus"), f.number("eta_plus"));
        let (minus, plus) = if f.is("η exchanged") { (plus, minus) } else { (minus, plus) };
        let factor = match f.mistake {
            _ if product > 0.0 => plus,
            _ if product < 0.0 => minus,
            "longer where a gradient is 0" => plus,
            _ => 1.0,
        };
        let low = f.or("no shortest step", f.number("step_min"), 0.0);
        let high = f.or("no longest step", f.number("step_max"), f64::INFINITY);
        let used = step;
        steps[i] = if f.is("bounds before the factor") {
            step.clamp(low, high) * factor
        } else {
            (step * factor).clamp(low, high)
        };
        if product < 0.0 && !f.is("no pause after a change of sign") {
            kept[i] = 0.0;
        }
        let moves = if f.is("moves in the pause") { g[i] } else { kept[i] };
        let sign = if moves == 0.0 { 0.0 } else { moves.signum() };
        theta[i] -= match f.mistake {
            "along the gradient" => moves * steps[i],
            "the step of before" => sign * used,
            "takes the last step back" if product < 0.0 => -states[0][i].signum() * used,
            _ => sign * steps[i],
        };
    }
    vec![theta, kept, steps]
}

const RPROP: &[&str] = &[
    "begins at the shortest step",
    "the rate of now",
    "η exchanged",
    "longer where a gradient is 0",
    "no shortest step",
    "no longest step",
    "bounds before the factor",
    "no pause after a change of sign",
    "moves in the pause",
    "along the gradient",
    "the step of before",
    "takes the last step back",
];

fn asgd(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> Tensors {
    f.host.resize(1, 0.0);
    let (lambda, power) = (f.number("lambd"), f.or("the rate falls as 1/t", f.number("alpha"), 1.0));
    let next = match f.mistake {
        "the rate falls by λ·t" => f.lr / (1.0 + lambda * f.t).powf(power),
        _ => f.lr / (1.0 + lambda * f.lr * f.t).powf(power),
    };
    let eta = match f.mistake {
        "the rate at once" => next,
        "the rate does not fall" => f.lr,
        _ if f.t == 1.0 => f.lr,
        _ => f.host[0],
    };
    f.host[0] = next;
    let decay = lambda * f.or("decay by α", eta, f.lr);
    let weight_decay = f.number("weight_decay");
    let new = zip(theta, g, |theta, g| {
        let coupled = if f.is("decoupled weight decay") { g } else { g + weight_decay * theta };
        match f.mistake {
            "decay after the step" => (theta - eta * coupled) * (1.0 - decay),
            "decoupled weight decay" => theta * (1.0 - decay - f.lr * weight_decay) - eta * coupled,
            "no decay" => theta - eta * coupled,
            _ => theta * (1.0 - decay) - eta * coupled,
        }
    });
    let since = match f.mistake {
        "the average a step early" => f.t - f.number("t0"),
        "the average a step late" => f.t - 2.0 - f.number("t0"),
        "averaged from the start" => f.t,
        _ => f.t - 1.0 - f.number("t0"),
    };
    let mu = 1.0 / since.max(1.0);
    let averaged = if f.is("the average of before the step") { theta } else { &new };
    let x = zip(&states[0], averaged, |x, new| if mu == 1.0 { new } else { x + mu * (new - x) });
    vec![new.clone(), x]
}

const ASGD: &[&str] = &[
    "the rate falls as 1/t",
    "the rate falls by λ·t",
    "the rate at once",
    "the rate does not fall",
    "decay by α",
    "decay after the step",
    "no decay",
    "decoupled weight decay",
    "the average a step early",
    "the average a step late",
    "averaged from the start",
    "the average of before the step",
];

/// What a step is made of beside its update: what the mask asks in place of it, the gradient as it is averaged, the new states.
struct Proposed {
    asked: Vec<f64>,
    g: Vec<f64>,
    states: Tensors,
}

/// α·u of the families with cautious updates, and the rest, as their papers print them. Decoupled decay is left to the caller.
fn proposed(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> (Proposed, Vec<f64>) {
    let (name, eps, lr) = (f.case.family.name, f.number("eps"), f.lr);
    let is_coupled = match name {
        "nadamw" | "ademamix" => false,
        _ => !f.is_on("decoupled"),
    };
    let g = if is_coupled { f.coupled(theta, g) } else { g.to_vec() };
    let update: Vec<f64>;
    let own: Tensors;
    let mut asked = None;
    match name {
        "nadam" | "nadamw" => {
            let momentum = |t: f64| f.number("beta1") * (1.0 - 0.5 * 0.96_f64.powf(t * f.number("momentum_decay")));
            let (mu, next) = (momentum(f.t), momentum(f.t + 1.0));
            let product = f.host.first().copied().unwrap_or(1.0) * mu;
            *f.host = vec![product];
            own = vec![f.average("beta1", &states[0], &g), f.average_square("beta2", &states[1], &g)];
            let ahead = zip(&g, &own[0], |g, m| (1.0 - mu) / (1.0 - product) * g + next / (1.0 - product * next) * m);
            let c2 = f.corrected("beta2");
            update = zip(&ahead, &own[1], |u, v| lr * u / ((v / c2).sqrt() + eps));
        }
        "radam" | "adabelief" => {
            let m = f.average("beta1", &states[0], &g);
            let is_belief = name == "adabelief";
            let v = if is_belief {
                let strayed = f.average_square("beta2", &states[1], &zip(&g, &m, |g, m| g - m));
                strayed.into_iter().map(|s| s + eps).collect()
            } else {
                f.average_square("beta2", &states[1], &g)
            };
            let (c1, c2, beta2) = (f.corrected("beta1"), f.corrected("beta2"), f.number("beta2"));
            let most = 2.0 / (1.0 - beta2) - 1.0;
            let rho = most - 2.0 * f.t * beta2.powf(f.t) / c2;
            let rectified = ((rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho)).sqrt();
            update = if is_belief && !f.is_on("rectify") {
                zip(&m, &v, |m, s| lr * (m / c1) / ((s / c2).sqrt() + eps))
            } else if rho > 5.0 {
                zip(&m, &v, |m, v| lr * (m / c1) * rectified * c2.sqrt() / (v.sqrt() + eps))
            } else {
                m.iter().map(|m| lr * (m / c1)).collect()
            };
            asked = Some(m.clone());
            own = vec![m, v];
        }
        "adopt" => {
            if f.t == 1.0 {
                own = vec![states[0].clone(), g.iter().map(|g| g * g).collect()];
                update = vec![0.0; g.len()];
            } else {
                let bound = (f.t - 1.0).powf(f.number("clip_exponent"));
                let scaled = zip(&g, &states[1], |g, v| (g / v.sqrt().max(eps)).clamp(-bound, bound));
                own = vec![f.average("beta1", &states[0], &scaled), f.average_square("beta2", &states[1], &g)];
                update = own[0].iter().map(|m| lr * m).collect();
            }
            asked = Some(own[0].clone());
        }
        "ademamix" => {
            let [m, slow] = [("beta1", &states[0]), ("beta3", &states[1])].map(|(beta, x)| f.average(beta, x, &g));
            let v = f.average_square("beta2", &states[2], &g);
            let (c1, c2, alpha) = (f.corrected("beta1"), f.corrected("beta2"), f.number("alpha"));
            let both = zip(&m, &slow, |m, slow| m / c1 + alpha * slow);
            update = zip(&both, &v, |u, v| lr * u / ((v / c2).sqrt() + eps));
            own = vec![m, slow, v];
        }
        "sgd" => {
            let b = zip(&states[0], &g, |b, g| f.number("momentum") * b + g);
            update = if f.is_on("nesterov") {
                zip(&b, &g, |b, g| lr * (g + f.number("momentum") * b))
            } else {
                b.iter().map(|b| lr * b).collect()
            };
            own = vec![b];
        }
        "rmsprop" => {
            let v = f.average_square("alpha", &states[0], &g);
            let mut states_of_g = vec![v.clone()];
            let mut variance = v;
            if f.is_on("centered") {
                let mean = f.average("alpha", &states[1], &g);
                variance = zip(&variance, &mean, |v, mean| v - mean * mean);
                states_of_g.push(mean);
            }
            let scaled = zip(&g, &variance, |g, v| g / (v.sqrt() + eps));
            let b = zip(&states[states.len() - 1], &scaled, |b, scaled| f.number("momentum") * b + scaled);
            update = b.iter().map(|b| lr * b).collect();
            own = [states_of_g, vec![b]].concat();
        }
        "yogi" => {
            let given: Vec<f64> = zip(&g, theta, |g, theta| g - f.number("weight_decay") * theta);
            let (found, of) = yogi_update(f, theta, &given, states);
            return (found, of);
        }
        "adabound" => {
            let given: Vec<f64> = zip(&g, theta, |g, theta| g - f.number("weight_decay") * theta);
            let (found, of) = adabound_update(f, theta, &given, states);
            return (found, of);
        }
        _ => panic!("{name} has no cautious updates here"),
    }
    let asked = asked.unwrap_or_else(|| update.clone());
    (Proposed { asked, g, states: own }, update)
}

fn cautious(f: &mut Form<'_>, theta: &[f64], g: &[f64], states: &[Vec<f64>]) -> Tensors {
    let (Proposed { asked, g: averaged, states }, update) = proposed(f, theta, g, states);
    let m = f.case.states.iter().position(|name| name == "m").map_or(&asked, |m| &states[m]);
    let asked = if f.is("the mask asks m") { m } else { &asked };
    let by = if f.is("the mask asks the gradient without decay") { g } else { &averaged };
    let agrees = zip(asked, by, |u, g| match f.mistake {
        "the mask also holds at 0" => f64::from(u * g >= 0.0),
        "the mask holds where signs differ" => f64::from(u * g < 0.0),
        _ => f64::from(u * g > 0.0),
    });
    let (sum, count) = (agrees.iter().sum::<f64>(), agrees.len() as f64);
    let spread = match f.mistake {
        "the others' share is lost" => 1.0,
        "n/(sum + 1)" => count / (sum + 1.0),
        "the others' share squared" => (count / sum).powi(2),
        _ => 1.0 / (sum / count).max(1e-3),
    };
    let taken =
        if f.is_on("cautious") { zip(&update, &agrees, |u, agrees| u * agrees * spread) } else { update.clone() };
    // Coupled decay is in the gradient; ADOPT's first step does nothing at all.
    let is_decoupled = f.is_on("decoupled") || matches!(f.case.family.name, "nadamw" | "ademamix");
    let idle = f.case.family.name == "adopt" && f.t == 1.0 && !f.is("decay in the first step");
    let decay = if is_decoupled && !idle { f.lr * f.number("weight_decay") } else { 0.0 };
    let mut new = theta.to_vec();
    for i in 0..theta.len() {
        let towards_0 = match f.mistake {
            "decay asks what the mask leaves" => taken[i] * theta[i] >= 0.0,
            "decay asks the gradient" => averaged[i] * theta[i] >= 0.0,
            "decay away from 0" => update[i] * theta[i] <= 0.0,
            "decay everywhere" => true,
            _ => update[i] * theta[i] >= 0.0,
        };
        let decays = towards_0 || !f.is_on("cautious_decay");
        new[i] = theta[i] - if decays { decay * theta[i] } else { 0.0 } - taken[i];
    }
    [vec![new], states].concat()
}

/// Mistakes of the mask, which the cases of every family with cautious updates must find.
const MASK: &[&str] = &[
    "the mask also holds at 0",
    "the mask holds where signs differ",
    "the others' share is lost",
    "n/(sum + 1)",
    "the others' share squared",
];

/// Mistakes of cautious decay, which the cases of every family that has it must find.
const DECAY: &[&str] =
    &["decay asks what the mask leaves", "decay asks the gradient", "decay away from 0", "decay everywhere"];

/// Whether one of the cases called so finds the form with this mistake.
fn is_found(rule: Rule, mistake: &str, mut is_own: impl FnMut(&Case) -> bool) -> bool {
    let mut count = 0;
    let found = vector_cases().filter(|case| is_own(case)).any(|case| {
        count += 1;
        let mut host = Vec::new();
        let lone = Lone::of(case, &table::inputs().theta0, DType::F64);
        let start = case.states.iter().map(|name| read(&lone.state(name))).collect();
        let worst = differences(case, DType::F64, start, |t, g, before| {
            let mut form = Form { case, mistake, t: t as f64, lr: case.lr_of_step(t), host: &mut host };
            rule(&mut form, &before[0], g, &before[1..])
        });
        let (line, good) = judged(case, &worst, |state| case.bound64(state).max(4.0));
        assert!(good || !mistake.is_empty(), "the textbook form without a mistake is held for a mutant: {line}");
        !good
    });
    assert!(found || count > 0, "no case");
    found
}

#[test]
fn every_mutant_of_the_rules_is_found() {
    let rules: [(&str, Rule, &[&str]); 6] = [
        ("yogi", yogi, YOGI),
        ("adabound", adabound, ADABOUND),
        ("schedule-free-sgd", schedule_free_sgd, SCHEDULE_FREE_SGD),
        ("mars", mars, MARS),
        ("rprop", rprop, RPROP),
        ("asgd", asgd, ASGD),
    ];
    let mut missed = Vec::new();
    for (name, rule, mistakes) in rules {
        let is_own = |case: &Case| case.family.name == name && !case.name.contains("cautious");
        is_found(rule, "", is_own);
        missed
            .extend(mistakes.iter().filter(|mistake| !is_found(rule, mistake, is_own)).map(|mistake| (name, *mistake)));
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_mutant_of_cautious_updates_is_found_in_every_family() {
    let families = ["sgd", "nadam", "nadamw", "radam", "rmsprop", "adabelief", "adopt", "ademamix", "yogi", "adabound"];
    let mut missed = Vec::new();
    for name in families {
        let family = family(name).unwrap();
        let decays = family.hyper("optim.cautious_decay").is_some();
        let mut mistakes = [MASK, if decays { DECAY } else { &[] }].concat();
        // u has not m's sign where it looks ahead or adds another average.
        if ["nadam", "nadamw", "ademamix"].contains(&name) {
            mistakes.push("the mask asks m");
        }
        if !["nadamw", "ademamix"].contains(&name) {
            mistakes.push("the mask asks the gradient without decay");
        }
        if name == "adopt" {
            mistakes.push("decay in the first step");
        }
        let is_own = |case: &Case| case.family.name == name && case.name.contains("cautious");
        is_found(cautious, "", is_own);
        missed.extend(mistakes.into_iter().filter(|mistake| !is_found(cautious, mistake, is_own)).map(|m| (name, m)));
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
