//! SOAP over matrices against the authors' code in f64, and with one mistake each.

use super::*;
use table::Draws;

fn soap_cases() -> impl Iterator<Item = &'static Case> {
    golden().iter().filter(|case| case.even)
}

fn sizes(case: &Case) -> impl Iterator<Item = usize> {
    case.shapes.iter().map(|shape| shape.iter().product())
}

/// The parts of numbers that belong to the matrices of a case.
fn parts(case: &Case, numbers: &[f64]) -> Vec<Vec<f64>> {
    let mut rest = numbers;
    let part = |size: usize| {
        let (own, others) = rest.split_at(size);
        rest = others;
        own.to_vec()
    };
    sizes(case).map(part).collect()
}

/// θ₀ of each matrix, and the gradients of each in `steps` steps.
fn inputs(case: &Case, steps: usize) -> (Vec<Vec<f64>>, Vec<Vec<Vec<f64>>>) {
    let (count, mut draws) = (sizes(case).sum(), Draws::new());
    let theta = parts(case, &draws.theta0(count));
    (theta, (0..steps).map(|_| parts(case, &draws.even(count))).collect())
}

/// The matrices of a case and their optimizer.
struct Matrices {
    parameters: Vec<Parameter>,
    optimizer: Box<dyn LaneOptimizer>,
    dtype: DType,
}

impl Matrices {
    fn of(case: &Case, theta: &[Vec<f64>], dtype: DType) -> Self {
        let parameter = |(theta, shape): (&Vec<f64>, &Vec<usize>)| {
            let var = Var::from_tensor(&tensor(theta, dtype).reshape(&shape[..]).unwrap()).unwrap();
            Parameter::new(&format!("{shape:?}"), &var)
        };
        let parameters: Vec<Parameter> = theta.iter().zip(&case.shapes).map(parameter).collect();
        let optimizer = (case.family.build)(&parameters, std::slice::from_ref(&case.hypers)).unwrap();
        Self { parameters, optimizer, dtype }
    }

    fn step(&mut self, gradients: &[Vec<f64>], lr: f64) {
        let shaped =
            |(own, parameter): (&Vec<f64>, &Parameter)| tensor(own, self.dtype).reshape(parameter.var.dims()).unwrap();
        let gradients: Vec<Tensor> = gradients.iter().zip(&self.parameters).map(shaped).collect();
        self.optimizer.step(&gradients, &[StepScalars { lr, gradient_scale: 1.0 }]).unwrap();
    }

    /// θ and the states of each matrix in turn.
    fn arrays(&self, case: &Case) -> Vec<Tensor> {
        let states = self.optimizer.state().unwrap();
        let own = states.chunks(case.states.len()).zip(&self.parameters);
        own.flat_map(|(states, parameter)| {
            let states = states.iter().map(|(_, tensor)| tensor.clone());
            std::iter::once(parameter.var.as_tensor().clone()).chain(states).collect::<Vec<_>>()
        })
        .collect()
    }
}

/// What an array is, by its place.
fn name_of(case: &Case, place: usize) -> &str {
    let place = place % (1 + case.states.len());
    place.checked_sub(1).map_or("θ", |state| &case.states[state])
}

/// Gives the columns of a basis the signs of another's; the answer says which changed theirs.
fn aligned(found: &mut [f64], golden: &[f64]) -> Vec<bool> {
    let n = golden.len().isqrt();
    let is_other = |k: usize| (0..n).map(|i| found[i * n + k] * golden[i * n + k]).sum::<f64>() < 0.0;
    let others: Vec<bool> = (0..n).map(is_other).collect();
    for (at, x) in found.iter_mut().enumerate() {
        if others[at % n] {
            *x = -*x;
        }
    }
    others
}

/// Largest elements.
fn most(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0_f64, |a, x| if x.is_nan() { f64::INFINITY } else { a.max(x.abs()) })
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    most(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// By array, the largest difference of a step from each of the authors' states, in units of the array's largest element; of θ, of the
/// longest step, beyond an ulp. Of steps that change bases in the second place.
fn worst_of_a_step(case: &Case) -> Vec<[f64; 2]> {
    let (theta, gradients) = inputs(case, case.steps64.len());
    let mut matrices = Matrices::of(case, &theta, DType::F64);
    let arrays = matrices.arrays(case);
    let mut before: Vec<Vec<f64>> = arrays.iter().map(read).collect();
    let mut worst = vec![[0.0_f64; 2]; 1 + case.states.len()];
    for (t, golden) in case.steps64.iter().enumerate() {
        matrices.step(&gradients[t], case.lr_of_step(t + 1));
        let frequency = case.hypers.count(&hyper::PRECONDITION_FREQUENCY) as usize;
        let changes = usize::from(t == 0 || t.is_multiple_of(frequency));
        for (place, ((array, golden), before)) in arrays.iter().zip(golden).zip(&before).enumerate() {
            let mut found = read(array);
            // The signs of eigenvectors are free; those of an orthonormal factor are the authors'.
            if t == 0 && name_of(case, place).starts_with("basis") {
                aligned(&mut found, golden);
            }
            let difference = if name_of(case, place) == "θ" {
                let rounding = ulp(most(golden), DType::F64);
                (distance(&found, golden) - rounding).max(0.0) / distance(golden, before).max(f64::MIN_POSITIVE)
            } else {
                distance(&found, golden) / most(golden).max(f64::MIN_POSITIVE)
            };
            let worst = &mut worst[place % (1 + case.states.len())][changes];
            *worst = worst.max(difference);
            crate::kernel::copy(&tensor(golden, DType::F64).reshape(array.dims()).unwrap(), array).unwrap();
        }
        before.clone_from(golden);
    }
    worst
}

/// In units of the largest element. m: the authors turn it out of the bases and back in every step, four sums of up to 12 products. A
/// basis: a power iteration and eigenvectors lose what the eigenvalues of a Gram matrix span.
fn bound(name: &str) -> f64 {
    f64::EPSILON
        * match name {
            "m" => 16.0,
            "basis_left" | "basis_right" => 64.0,
            _ => 2.0,
        }
}

#[test]
fn one_step_of_soap_from_the_authors_state_is_theirs() {
    let mut report = String::new();
    for case in soap_cases() {
        let _ = write!(report, "{:<16}", case.name);
        for (place, [stays, changes]) in worst_of_a_step(case).into_iter().enumerate() {
            let name = name_of(case, place);
            let good = stays.max(changes) <= bound(name);
            let _ = write!(report, " {name} {stays:.1e} {changes:.1e}{}", if good { "" } else { " ABOVE" });
        }
        report += "\n";
    }
    assert!(!report.contains("ABOVE"), "{report}");
}

#[test]
fn a_thousand_steps_of_soap_stay_on_the_authors_path() {
    let mut report = String::new();
    for case in soap_cases() {
        let (theta, gradients) = inputs(case, 1000);
        for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 4e-6)] {
            let mut matrices = Matrices::of(case, &theta, dtype);
            for (t, gradients) in gradients.iter().enumerate() {
                matrices.step(gradients, case.lr() * (1.0 - 0.5 * (t + 1) as f64 / 3000.0));
            }
            for (parameter, far) in matrices.parameters.iter().zip(&case.far) {
                let error = distance(&read(&parameter.var), far) / most(far);
                let good = error <= bound;
                let _ = writeln!(report, "{:<16} {dtype:?} {error:.1e}{}", case.name, if good { "" } else { " ABOVE" });
            }
        }
    }
    assert!(!report.contains("ABOVE"), "relative to the largest element:\n{report}");
}

#[test]
fn the_decay_of_the_gram_matrices_is_that_of_the_second_moment_unless_given() {
    let family = family("soap").unwrap();
    let of = |beta: f64| {
        let hypers = family.defaults().with(&hyper::SHAMPOO_BETA, HyperValue::Number(beta));
        let var = Var::from_tensor(&tensor(&[1.0; 6], DType::F64).reshape((2, 3)).unwrap()).unwrap();
        let mut optimizer = (family.build)(&[Parameter::new("x", &var)], &[hypers]).unwrap();
        let gradient = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 7.0], DType::F64).reshape((2, 3)).unwrap();
        optimizer.step(&vec![gradient], &[StepScalars { lr: 1e-3, gradient_scale: 1.0 }]).unwrap();
        let state = optimizer.state().unwrap();
        read(&state.iter().find(|(name, _)| name == "x.left").unwrap().1)
    };
    assert_eq!(of(-1.0), of(0.95));
    assert_eq!(of(0.0), [14.0, 35.0, 35.0, 90.0]);
}

#[test]
fn lanes_have_one_longest_side() {
    let family = family("soap").unwrap();
    let lanes = [3, 4].map(|most| family.defaults().with(&hyper::MAX_PRECOND_DIM, HyperValue::Count(most)));
    let var = Var::zeros((2, 3, 4), DType::F32, &Device::Cpu).unwrap();
    let error = (family.build)(&[Parameter::new("x", &var)], &lanes).err().unwrap().to_string();
    assert!(error.contains("max_precond_dim"), "{error}");
}

/// SOAP as the paper and the authors' code have it, in plain sums, with one mistake each.
mod mutants {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Mistake {
        Nothing,
        FirstStepCounted,
        FirstStepMoves,
        NoFirstCorrection,
        NoSecondCorrection,
        EpsilonInsideTheRoot,
        EpsilonCorrected,
        BetasSwapped,
        DecayBeforeTheStep,
        DecayWithoutTheRate,
        DecayCoupled,
        BasesOfThisGradient,
        FirstMomentLeftBehind,
        SecondMomentLeftBehind,
        SecondMomentAcross,
        NotSorted,
        FromTheLeast,
        NoPowerIteration,
        EigenvectorsAnew,
        GramOfTheStepBefore,
        GramByTheWrongBeta,
        GramSummed,
        GramsSwapped,
        TurnedBackwards,
        TurnedFromTheLeftAlone,
        FirstMomentUnturned,
        SecondMomentUnturned,
        StepUnturned,
        FrequencyOneStepLate,
        DividedByTheNorm,
        NotNormalised,
        MomentsOfTheFirstStep,
    }
    use Mistake::*;

    const ALL: [Mistake; 31] = [
        FirstStepCounted,
        FirstStepMoves,
        NoFirstCorrection,
        NoSecondCorrection,
        EpsilonInsideTheRoot,
        EpsilonCorrected,
        BetasSwapped,
        DecayBeforeTheStep,
        DecayWithoutTheRate,
        DecayCoupled,
        BasesOfThisGradient,
        FirstMomentLeftBehind,
        SecondMomentLeftBehind,
        SecondMomentAcross,
        NotSorted,
        FromTheLeast,
        NoPowerIteration,
        EigenvectorsAnew,
        GramOfTheStepBefore,
        GramByTheWrongBeta,
        GramSummed,
        GramsSwapped,
        TurnedBackwards,
        TurnedFromTheLeftAlone,
        FirstMomentUnturned,
        SecondMomentUnturned,
        StepUnturned,
        FrequencyOneStepLate,
        DividedByTheNorm,
        NotNormalised,
        MomentsOfTheFirstStep,
    ];

    #[derive(Clone, Debug)]
    struct Dense {
        rows: usize,
        columns: usize,
        data: Vec<f64>,
    }

    impl Dense {
        fn new(rows: usize, columns: usize, of: impl Fn(usize, usize) -> f64) -> Self {
            let data = (0..rows * columns).map(|at| of(at / columns, at % columns)).collect();
            Self { rows, columns, data }
        }

        fn at(&self, i: usize, j: usize) -> f64 {
            self.data[i * self.columns + j]
        }

        fn t(&self) -> Self {
            Self::new(self.columns, self.rows, |i, j| self.at(j, i))
        }

        fn times(&self, other: &Self) -> Self {
            let element = |i, j| (0..self.columns).map(|k| self.at(i, k) * other.at(k, j)).sum();
            Self::new(self.rows, other.columns, element)
        }

        fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
            Self::new(self.rows, self.columns, |i, j| of(self.at(i, j), other.at(i, j)))
        }

        fn columns_by(&self, order: &[usize]) -> Self {
            Self::new(self.rows, self.columns, |i, j| self.at(i, order[j]))
        }
    }

    /// The numbers' places from large to small.
    fn descending(values: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
        order
    }

    /// Jacobi 1846, in cycles.
    fn eigenvectors(matrix: &Dense) -> Dense {
        let n = matrix.rows;
        let (mut a, mut q) = (matrix.clone(), Dense::new(n, n, |i, j| f64::from(i == j)));
        for _ in 0..60 {
            for i in 0..n {
                for j in i + 1..n {
                    let angle = 0.5 * (2.0 * a.at(i, j)).atan2(a.at(j, j) - a.at(i, i));
                    let turned = |row: usize, column: usize| match (row, column) {
                        (r, c) if (r == i || r == j) && r == c => angle.cos(),
                        (r, c) if r == i && c == j => angle.sin(),
                        (r, c) if r == j && c == i => -angle.sin(),
                        (r, c) => f64::from(r == c),
                    };
                    let turn = Dense::new(n, n, turned);
                    (a, q) = (turn.t().times(&a).times(&turn), q.times(&turn));
                }
            }
        }
        q.columns_by(&descending(&(0..n).map(|i| a.at(i, i)).collect::<Vec<_>>()))
    }

    /// Gram and Schmidt, twice over.
    fn orthonormal(matrix: &Dense) -> Dense {
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for k in 0..matrix.columns {
            let mut own: Vec<f64> = (0..matrix.rows).map(|i| matrix.at(i, k)).collect();
            for _ in 0..2 {
                for other in &columns {
                    let along: f64 = own.iter().zip(other).map(|(x, y)| x * y).sum();
                    own.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
                }
            }
            let length = own.iter().map(|x| x * x).sum::<f64>().sqrt();
            columns.push(own.iter().map(|x| x / length).collect());
        }
        Dense::new(matrix.rows, matrix.columns, |i, k| columns[k][i])
    }

    /// θ and the states of a matrix, by name.
    type State<'a> = Box<dyn Fn(&str) -> Option<Dense> + 'a>;

    /// Of a side: its Gram matrix and its basis, none where it has the axes.
    type Side = Option<(Dense, Dense)>;

    /// A step, from the arrays before it to those after it; the signs of bases are `golden`'s.
    // As long as the formula, with each mistake where it is made.
    #[allow(clippy::too_many_lines)]
    fn stepped(
        case: &Case,
        mistake: Mistake,
        t: usize,
        shape: &[usize],
        before: &[Vec<f64>],
        gradient: &[f64],
        golden: &[Vec<f64>],
    ) -> Vec<Vec<f64>> {
        let is = |this: Mistake| mistake == this;
        let [rows, columns] = *shape else { unreachable!() };
        let place = |name: &str| case.states.iter().position(|state| state == name).map(|place| place + 1);
        let named: State<'_> = Box::new(|name: &str| {
            let data = before[place(name)?].clone();
            let n = data.len() / if matches!(name, "m" | "v") { rows } else { data.len().isqrt() };
            Some(Dense { rows: data.len() / n, columns: n, data })
        });
        let sides: [Side; 2] = ["left", "right"].map(|side| Some((named(side)?, named(&format!("basis_{side}"))?)));
        let lr = case.lr_of_step(t);
        let [eps, decay] = ["eps", "weight_decay"].map(|name| case.number(name));
        let [mut beta1, mut beta2] = ["beta1", "beta2"].map(|name| case.number(name));
        if is(BetasSwapped) {
            (beta1, beta2) = (beta2, beta1);
        }
        let given = case.number("shampoo_beta");
        let beta3 = match mistake {
            GramByTheWrongBeta if given < 0.0 => beta1,
            GramByTheWrongBeta => beta2,
            _ if given < 0.0 => beta2,
            _ => given,
        };
        let mut theta = Dense { rows, columns, data: before[0].clone() };
        let mut g = Dense { rows, columns, data: gradient.to_vec() };
        if is(DecayCoupled) {
            g = g.with(&theta, |g, theta| g + decay * theta);
        }
        let into = |x: &Dense, sides: &[Side; 2]| {
            let flips = is(TurnedBackwards);
            let x = match &sides[0] {
                Some((_, q)) => if flips { q.clone() } else { q.t() }.times(x),
                None => x.clone(),
            };
            match &sides[1] {
                Some((_, q)) if !is(TurnedFromTheLeftAlone) => x.times(&if flips { q.t() } else { q.clone() }),
                _ => x,
            }
        };
        let back = |x: &Dense, sides: &[Side; 2]| {
            let flips = is(TurnedBackwards);
            let x = match &sides[0] {
                Some((_, q)) => if flips { q.t() } else { q.clone() }.times(x),
                None => x.clone(),
            };
            match &sides[1] {
                Some((_, q)) if !is(TurnedFromTheLeftAlone) => x.times(&if flips { q.clone() } else { q.t() }),
                _ => x,
            }
        };
        let [mut m, mut v] = ["m", "v"].map(|name| named(name).unwrap());

        let counted = t - 1;
        let frequency = case.hypers.count(&hyper::PRECONDITION_FREQUENCY) as usize;
        let refines = counted > 0 && (counted + usize::from(is(FrequencyOneStepLate))).is_multiple_of(frequency);
        // The Gram matrices after this gradient, and the bases and the order that follow from them.
        let mut orders: [Option<Vec<usize>>; 2] = [None, None];
        let mut new = sides.clone();
        for (index, side) in new.iter_mut().enumerate() {
            let Some((gram, basis)) = side else { continue };
            let of_rows = (index == 0) != (is(GramsSwapped) && rows == columns);
            let own = if of_rows { g.times(&g.t()) } else { g.t().times(&g) };
            let weight = if is(GramSummed) { 1.0 } else { 1.0 - beta3 };
            let after = gram.with(&own, |old, new| beta3 * old + weight * new);
            let used = if is(GramOfTheStepBefore) { &*gram } else { &after };
            if counted == 0 {
                *basis = eigenvectors(used);
                if is(FromTheLeast) {
                    let last = basis.columns - 1;
                    *basis = basis.columns_by(&(0..=last).map(|k| last - k).collect::<Vec<_>>());
                }
            } else if refines {
                let image = basis.t().times(used).times(basis);
                let values: Vec<f64> = (0..basis.columns).map(|k| image.at(k, k)).collect();
                let mut order = descending(&values);
                match mistake {
                    FromTheLeast => order.reverse(),
                    NotSorted => order.sort_unstable(),
                    _ => {}
                }
                let sorted = basis.columns_by(&order);
                *basis = match mistake {
                    NoPowerIteration => sorted,
                    EigenvectorsAnew => eigenvectors(used),
                    _ => orthonormal(&used.times(&sorted)),
                };
                orders[index] = Some(order);
            }
            *gram = after;
            // A sign more or less changes nothing but signs.
            if let Some(place) = place(["basis_left", "basis_right"][index]) {
                aligned(&mut basis.data, &golden[place]);
            }
        }

        if counted > 0 || is(FirstStepMoves) || is(MomentsOfTheFirstStep) {
            let used = if is(BasesOfThisGradient) || counted == 0 { &new } else { &sides };
            let turned = into(&g, used);
            m = m.with(if is(FirstMomentUnturned) { &g } else { &turned }, |m, g| beta1 * m + (1.0 - beta1) * g);
            v = v.with(if is(SecondMomentUnturned) { &g } else { &turned }, |v, g| beta2 * v + (1.0 - beta2) * g * g);
            let count = if is(FirstStepCounted) { t } else { counted.max(1) } as i32;
            let corrects = case.hypers.is_on(&hyper::BIAS_CORRECTION);
            let correction = |beta: f64, without: bool| if corrects && !without { 1.0 - beta.powi(count) } else { 1.0 };
            let (c1, c2) = (correction(beta1, is(NoFirstCorrection)), correction(beta2, is(NoSecondCorrection)));
            let eps_of = if is(EpsilonCorrected) { eps * c2.sqrt() } else { eps };
            let direction = m.with(&v, |m, v| match mistake {
                EpsilonInsideTheRoot => m / (v + eps).sqrt(),
                _ => m / (v.sqrt() + eps_of),
            });
            let mut u = if is(StepUnturned) { direction } else { back(&direction, used) };
            if case.hypers.is_on(&hyper::NORMALIZE_GRADS) && !is(NotNormalised) {
                let mean = if is(DividedByTheNorm) { 1.0 } else { u.data.len() as f64 };
                let length = (u.data.iter().map(|u| u * u).sum::<f64>() / mean).sqrt();
                u.data.iter_mut().for_each(|u| *u /= 1e-30 + length);
            }
            if counted > 0 || is(FirstStepMoves) {
                let step_size = lr * c2.sqrt() / c1;
                let shrunk = match mistake {
                    DecayWithoutTheRate => 1.0 - decay,
                    DecayCoupled => 1.0,
                    _ => 1.0 - lr * decay,
                };
                theta = theta.with(&u, |theta, u| match mistake {
                    DecayBeforeTheStep => theta * shrunk - step_size * u,
                    _ => (theta - step_size * u) * shrunk,
                });
            }
        }
        if refines && !is(FirstMomentLeftBehind) {
            m = into(&back(&m, &sides), &new);
        }
        let [mut of_rows, mut of_columns] = orders;
        if is(SecondMomentAcross) && rows == columns {
            std::mem::swap(&mut of_rows, &mut of_columns);
        }
        if !is(SecondMomentLeftBehind) {
            v = of_rows.map_or_else(|| v.clone(), |order| v.t().columns_by(&order).t());
            v = of_columns.map_or_else(|| v.clone(), |order| v.columns_by(&order));
        }
        let [left, right] = new;
        let mut after = vec![theta.data, m.data, v.data];
        let both = [left, right];
        after.extend(both.iter().flatten().map(|(gram, _)| gram.data.clone()));
        after.extend(both.into_iter().flatten().map(|(_, basis)| basis.data));
        after
    }

    fn is_found(mistake: Mistake) -> bool {
        soap_cases().any(|case| {
            let (theta, gradients) = inputs(case, case.steps64.len());
            let per = 1 + case.states.len();
            let first = &case.steps64[0];
            let mut before: Vec<Vec<f64>> = first.iter().map(|array| vec![0.0; array.len()]).collect();
            for (k, theta) in theta.iter().enumerate() {
                before[per * k].clone_from(theta);
            }
            case.steps64.iter().enumerate().any(|(t, golden)| {
                let own = gradients[t].iter().zip(&case.shapes).enumerate();
                let found: Vec<Vec<f64>> = own
                    .flat_map(|(k, (gradient, shape))| {
                        let place = per * k..per * (k + 1);
                        stepped(case, mistake, t + 1, shape, &before[place.clone()], gradient, &golden[place])
                    })
                    .collect();
                let is_found =
                    found.iter().zip(golden).zip(&before).enumerate().any(|(place, ((found, golden), old))| {
                        // Of θ, what it has moved by.
                        let scale = if place % per == 0 { distance(golden, old) } else { most(golden) };
                        distance(found, golden) > 1e-9 * scale + 4.0 * ulp(most(golden), DType::F64)
                    });
                before.clone_from(golden);
                is_found
            })
        })
    }

    #[test]
    fn every_mutant_of_soap_is_found() {
        assert!(!is_found(Nothing), "the textbook form without a mistake is held for a mutant");
        let missed: Vec<&Mistake> = ALL.iter().filter(|mistake| !is_found(**mistake)).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}
