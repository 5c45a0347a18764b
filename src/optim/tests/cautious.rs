//! How far cautious updates go from their authors' code, and from the other reading of cautious decay beside them: the table of
//! `docs/optimizers.md`.

use super::*;
use crate::rule::Real as _;
use table::Draws;

const STEPS: usize = 60;

/// What another form does with one tensor: θ, g, m and v of one step t at the rate α.
type Other = fn(&Hypers, f64, i32, &mut [f64], &[f64], &mut [f64], &mut [f64]);

fn hyper(hypers: &Hypers, name: &str) -> f64 {
    hypers.number(HYPERS.iter().find(|hyper| hyper.name() == name).unwrap())
}

/// c_lion.py of kyleliang919/C-Optim, as of 2025-03-30.
fn authors_lion(h: &Hypers, lr: f64, _: i32, theta: &mut [f64], g: &[f64], m: &mut [f64], _: &mut [f64]) {
    let (beta1, beta2) = (hyper(h, "beta1"), hyper(h, "beta2"));
    let u: Vec<f64> = m.iter().zip(g).map(|(m, g)| (beta1 * m + (1.0 - beta1) * g).sign()).collect();
    let agreeing = u.iter().zip(g).filter(|(u, g)| *u * *g > 0.0).count();
    let spread = theta.len() as f64 / (agreeing as f64 + 1.0);
    for i in 0..theta.len() {
        theta[i] *= 1.0 - lr * hyper(h, "weight_decay");
        theta[i] -= if u[i] * g[i] > 0.0 { lr * u[i] * spread } else { 0.0 };
        m[i] = beta2 * m[i] + (1.0 - beta2) * g[i];
    }
}

/// c_adamw.py of the same, as of 2025-08-22, tensor by tensor (`foreach=False`), with its default ε.
fn authors_adamw(h: &Hypers, lr: f64, t: i32, theta: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64]) {
    let (beta1, beta2) = (hyper(h, "beta1"), hyper(h, "beta2"));
    for i in 0..theta.len() {
        theta[i] -= lr * hyper(h, "weight_decay") * theta[i];
        m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
    }
    let agreeing = m.iter().zip(g).filter(|(m, g)| *m * *g > 0.0).count();
    let mean = (agreeing as f64 / theta.len() as f64).max(1e-3);
    let step = lr * (1.0 - beta2.powi(t)).sqrt() / (1.0 - beta1.powi(t));
    for i in 0..theta.len() {
        theta[i] -= if m[i] * g[i] > 0.0 { step * m[i] / mean / (v[i].sqrt() + 1e-6) } else { 0.0 };
    }
}

/// AdamW with decay that asks the update after the mask, which is 0 where the mask stops it.
fn adamw_asked_after(h: &Hypers, lr: f64, t: i32, theta: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64]) {
    let (beta1, beta2) = (hyper(h, "beta1"), hyper(h, "beta2"));
    for i in 0..theta.len() {
        m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
    }
    let u = |i: usize| m[i] / (1.0 - beta1.powi(t)) / ((v[i] / (1.0 - beta2.powi(t))).sqrt() + hyper(h, "eps"));
    asked_after(h, lr, theta, g, &(0..g.len()).map(u).collect::<Vec<_>>());
}

/// Lion likewise.
fn lion_asked_after(h: &Hypers, lr: f64, _: i32, theta: &mut [f64], g: &[f64], m: &mut [f64], _: &mut [f64]) {
    let (beta1, beta2) = (hyper(h, "beta1"), hyper(h, "beta2"));
    let u: Vec<f64> = m.iter().zip(g).map(|(m, g)| (beta1 * m + (1.0 - beta1) * g).sign()).collect();
    asked_after(h, lr, theta, g, &u);
    m.iter_mut().zip(g).for_each(|(m, g)| *m = beta2 * *m + (1.0 - beta2) * g);
}

fn asked_after(h: &Hypers, lr: f64, theta: &mut [f64], g: &[f64], u: &[f64]) {
    let agreeing = u.iter().zip(g).filter(|(u, g)| *u * *g > 0.0).count();
    let mean = (agreeing as f64 / g.len() as f64).max(1e-3);
    for i in 0..theta.len() {
        let taken = if u[i] * g[i] > 0.0 { u[i] / mean } else { 0.0 };
        let decay = if taken * theta[i] >= 0.0 { hyper(h, "weight_decay") * theta[i] } else { 0.0 };
        theta[i] -= lr * (taken + decay);
    }
}

/// The distance of the two ends after 60 steps over `count` elements, as a share of this program's way.
fn apart(name: &str, count: usize, settings: &[(&str, HyperValue)], other: Other) -> f64 {
    let family = family(name).unwrap();
    let set = |hypers: Hypers, (name, value): &(&str, HyperValue)| {
        hypers.with(family.hypers.iter().find(|hyper| hyper.name() == *name).unwrap(), *value)
    };
    let hypers = settings.iter().fold(family.defaults().with(&hyper::CAUTIOUS, HyperValue::Switch(true)), set);
    let lr = hypers.number(family.lr());
    let mut draws = Draws::new();
    let start = draws.theta0(count);
    let mut lone = Lone::new(family, &hypers, &start, DType::F64);
    let (mut theirs, mut m, mut v) = (start.clone(), vec![0.0; count], vec![0.0; count]);
    for t in 1..=STEPS {
        let gradient = draws.gradient(count, t);
        lone.step(&gradient, lr);
        other(&hypers, lr, t as i32, &mut theirs, &gradient, &mut m, &mut v);
    }
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    distance(&lone.theta(), &theirs) / distance(&lone.theta(), &start)
}

#[test]
fn the_differences_of_cautious_updates_are_those_of_the_docs() {
    use HyperValue::{Number, Switch};
    let decay = |of: f64| [("weight_decay", Number(of)), ("cautious_decay", Switch(true))];
    let rows = [
        ("the authors' Lion, 63 elements", apart("lion", 63, &[], authors_lion)),
        ("the authors' Lion, 5 elements", apart("lion", 5, &[], authors_lion)),
        ("the authors' AdamW, `foreach=False`", apart("adamw", 63, &[], authors_adamw)),
        ("the same, `eps` 1e-6 here too", apart("adamw", 63, &[("eps", Number(1e-6))], authors_adamw)),
        ("decay asked after the mask, adamw, λ = 0.1", apart("adamw", 63, &decay(0.1), adamw_asked_after)),
        ("decay asked after the mask, lion, λ = 1", apart("lion", 63, &decay(1.0), lion_asked_after)),
    ];
    let rows: Vec<String> = rows.iter().map(|(what, apart)| format!("| {what} | {apart:.1e} |")).collect();
    let page = include_str!("../../../docs/optimizers.md");
    assert!(rows.iter().all(|row| page.contains(row)), "docs/optimizers.md lacks some of:\n{}", rows.join("\n"));
}
