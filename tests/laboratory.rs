//! `adamtrain trace` and `adamtrain path`: rules by themselves.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use common::{Place, finish};
use serde_json::Value;

/// An `.npy` file of f64, in C's order.
fn npy(shape: &str, values: &[f64]) -> Vec<u8> {
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Gradients of five steps of three numbers, a zero among them, in few binary digits: the same in f32 and f64.
const GRADIENTS: [[f64; 3]; 5] =
    [[0.5, -2.0, 0.0], [0.25, 1.5, 0.0], [-1.0, 3.0, 8.0], [0.125, -0.5, -4.0], [2.0, 0.75, 1.0]];

fn csv() -> String {
    GRADIENTS.map(|row| row.map(|number| number.to_string()).join(",")).join("\n")
}

/// Adam in the words of the paper (Kingma & Ba 2014, Algorithm 1), written without a look at the program's.
macro_rules! textbook {
    ($name:ident, $number:ty) => {
        /// θ, m and v after each step.
        fn $name(theta: [f64; 3], alpha: f64, beta1: f64, beta2: f64, eps: f64) -> Vec<[[f64; 3]; 3]> {
            let [mut theta, mut m, mut v] = [theta.map(|x| x as $number), [0.0; 3], [0.0; 3]];
            let (beta1, beta2) = (beta1 as $number, beta2 as $number);
            let mut steps = Vec::new();
            for (t, g) in (1..).zip(GRADIENTS) {
                for i in 0..3 {
                    let g = g[i] as $number;
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                    let m_hat = m[i] / (1.0 - beta1.powi(t));
                    let v_hat = v[i] / (1.0 - beta2.powi(t));
                    theta[i] -= alpha as $number * m_hat / (v_hat.sqrt() + eps as $number);
                }
                steps.push([theta, m, v].map(|numbers: [$number; 3]| numbers.map(f64::from)));
            }
            steps
        }
    };
}

textbook!(adam_in_f64, f64);
textbook!(adam_in_f32, f32);

#[test]
fn a_trace_is_adam_as_the_paper_has_it_in_both_types() {
    let place = Place::new();
    place.write("g.csv", csv());
    place.write("t.csv", "1,-0.5,2\n");
    for (dtype, steps, bound) in [
        ("f64", adam_in_f64([1.0, -0.5, 2.0], 0.1, 0.875, 0.96875, 1e-8), 1e-14),
        // Five steps of a few roundings each, the paper's among them.
        ("f32", adam_in_f32([1.0, -0.5, 2.0], 0.1, 0.875, 0.96875, 1e-8), 2e-6),
    ] {
        let arguments = format!(
            "trace --gradients g.csv --theta t.csv --optimizer adam --lr 0.1 --beta1 0.875 --beta2 0.96875 --dtype {dtype} --json"
        );
        let events = place.succeed(&arguments).events();
        assert_eq!(events.len(), 6);
        let start = &events[0];
        assert_eq!((start["event"].as_str(), start["dtype"].as_str()), (Some("start"), Some(dtype)));
        assert_eq!((start["steps"].as_u64(), numbers(&start["shape"])), (Some(5), vec![3.0]));
        assert_eq!(start["hyperparameters"]["beta1"], 0.875);
        for (t, (event, expected)) in (1..).zip(events[1..].iter().zip(steps)) {
            assert_eq!((event["event"].as_str(), event["t"].as_u64()), (Some("step"), Some(t)));
            let found = [&event["theta"], &event["state"]["m"], &event["state"]["v"]].map(numbers);
            for (found, expected) in found.iter().zip(expected) {
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() <= bound * (1.0 + expected.abs()), "{dtype}, step {t}: {event}");
                }
            }
            assert_eq!(event["scalars"]["weight1"], 0.125);
        }
    }
}

#[test]
fn a_decay_of_zero_keeps_nothing_of_the_gradients_before() {
    let place = Place::new();
    // Beside 10⁴ the last place of an f32 is 10⁻³, ten times the second gradient: the step is then the rate, whatever came before.
    place.write("g.csv", "1e4\n1e-4\n");
    for (optimizer, settings) in [
        ("rmsprop", "optim.alpha=0"),
        ("adam", "optim.beta1=0 --set optim.beta2=0"),
        ("nadamw", "optim.beta1=0 --set optim.beta2=0 --set optim.weight_decay=0"),
        ("adan", "optim.beta1=0 --set optim.beta2=0 --set optim.beta3=0"),
    ] {
        let last = |dtype: &str| {
            let arguments = format!(
                "trace --gradients g.csv --optimizer {optimizer} --lr 0.5 --dtype {dtype} --set {settings} --json"
            );
            let events = place.succeed(&arguments).events();
            numbers(&events[events.len() - 1]["theta"])[0]
        };
        let (found, expected) = (last("f32"), last("f64"));
        assert!((found - expected).abs() < 1e-4, "{optimizer}: {found}, {expected}");
    }
}

#[test]
fn gradients_come_from_numpy_from_text_and_from_standard_input() {
    let place = Place::new();
    let flat: Vec<f64> = GRADIENTS.concat();
    place.write("g.csv", csv());
    place.write("named.csv", format!("a;b;c\n{}\n", csv().replace(',', ";")));
    place.write("g.npy", npy("(5, 3)", &flat));
    let steps = |outcome: common::Outcome| outcome.expect(0).stdout;
    let whole = steps(place.run("trace --gradients g.csv --json"));
    for name in ["named.csv", "g.npy"] {
        assert_eq!(steps(place.run(&format!("trace --gradients {name} --json"))), whole, "{name}");
    }
    let mut piped = place.adamtrain("trace --gradients - --json");
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(csv().as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), whole);
    // A row of numbers alone: one parameter.
    place.write("one.npy", npy("(5,)", &flat[..5]));
    assert_eq!(place.succeed("trace --gradients one.npy --json").events()[1]["theta"].as_array().unwrap().len(), 1);
}

#[test]
fn muon_sees_matrices_and_other_rules_what_they_remember() {
    let place = Place::new();
    let gradients: Vec<f64> = (0..12).map(|k| f64::from(k % 5) - 2.0).collect();
    place.write("g.npy", npy("(2, 2, 3)", &gradients));
    place.write("flat.npy", npy("(2, 6)", &gradients));
    place.write("t.npy", npy("(2, 3)", &[0.0; 6]));
    let last = |arguments: &str| place.succeed(&format!("trace {arguments} --json")).events().pop().unwrap();
    let matrix = last("--optimizer muon --gradients g.npy");
    assert!(matrix["state"]["b"].is_array() && matrix["scalars"]["minus_step"].is_number(), "{matrix}");
    // Rows of numbers have the shape of the parameter that is given with them; without one they are no matrix.
    assert_eq!(last("--optimizer muon --gradients flat.npy --theta t.npy"), matrix);
    assert!(last("--optimizer muon --gradients flat.npy")["state"]["m"].is_array());
    let free = last("--optimizer schedule-free-adamw --gradients flat.npy");
    assert!(free["evaluation"] != free["theta"] && free["history"].as_array().unwrap().len() == 2, "{free}");
    let amsgrad = last("--gradients flat.npy --set optim.amsgrad=true");
    assert!(amsgrad["state"]["v_max"].is_array() && amsgrad["history"].is_null());
}

#[test]
fn as_text_a_trace_has_a_block_for_each_step() {
    let place = Place::new();
    place.write("g.csv", csv());
    let text = place.succeed("trace --gradients g.csv --optimizer adamw").stdout;
    assert!(text.starts_with("adamw in f64, shape [3]: lr 0.001,"), "{text}");
    for words in
        ["step 1: weight1 1.000000e-1", "step 5:", "gradient", "theta", "\n  v ", "theta          -1.000000e-3"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_cannot_be_traced_is_refused() {
    let place = Place::new();
    place.write("g.csv", csv());
    place.write("empty.csv", "");
    place.write("words.csv", "1,2\n3,four\n");
    place.write("ragged.csv", "1,2\n3\n");
    place.write("huge.csv", "1e300\n");
    place.write("two.csv", "1,2\n");
    place.write("cut.npy", &npy("(5, 3)", &[0.0; 15])[..100]);
    place.write("none.npy", npy("(5, 0)", &[]));
    place.write("infinite.npy", npy("(1,)", &[f64::INFINITY]));
    for (arguments, code, words) in [
        ("--gradients absent.csv", 3, &["absent.csv", "cannot be read"][..]),
        ("--gradients empty.csv", 3, &["empty.csv: holds no numbers"]),
        ("--gradients words.csv", 3, &["words.csv: line 2, column 2: `four` is no number"]),
        ("--gradients ragged.csv", 3, &["line 2 has 1 numbers, and line 1 has 2"]),
        ("--gradients cut.npy", 3, &["cut.npy", "[5, 3]"]),
        ("--gradients none.npy", 3, &["holds no numbers"]),
        ("--gradients infinite.npy", 3, &["number 1 is inf"]),
        ("--gradients huge.csv --dtype f32", 3, &["1e300 is larger than any f32", "--dtype f64"]),
        ("--gradients g.csv --theta two.csv", 3, &["two.csv: holds 2 numbers, expected 3", "[5, 3]"]),
        ("--gradients .", 3, &["cannot be read"]),
        ("--gradients g.csv --optimizer sgd --beta1 0.9", 2, &["beta1", "sgd"]),
        ("--gradients g.csv --optimizer sophia", 2, &["sophia takes the curvature", "gradients alone"]),
        ("--gradients g.csv --beta1 2", 2, &["beta1", "[0, 1)"]),
        ("--gradients g.csv --set train.epochs=3", 2, &["train.epochs", "no net is trained"]),
        ("--gradients g.csv --set optim.state=8bit", 2, &["optim.state", "as numbers"]),
        ("--gradients g.csv --set optim.cautious=true --set optim.amsgrad=true", 2, &["not defined"]),
        ("--gradients g.csv --dtype f16", 2, &["f16"]),
        ("", 2, &["--gradients"]),
    ] {
        place.run(&format!("trace {arguments}")).refused(code, words);
    }
    place.succeed("trace --gradients huge.csv");
}

fn rule<'a>(event: &'a Value, label: &str) -> &'a Value {
    event["rules"].as_array().unwrap().iter().find(|rule| rule["label"] == label).unwrap()
}

#[test]
fn adam_comes_to_the_foot_of_a_bowl_and_is_followed_on_its_way() {
    let place = Place::new();
    let event = place.answer("path --function quadratic --optimizer adam,lion --lr 0.05 --steps 1000");
    let adam = rule(&event, "adam");
    assert!(adam["distance"].as_f64().unwrap() < 1e-3 && adam["value"].as_f64().unwrap() < 1e-6, "{}", adam["end"]);
    assert_eq!(adam["points"].as_array().unwrap().len(), 1001);
    assert_eq!(numbers(&adam["points"][0]), [-4.0, 2.0]);
    // The first step of Adam is as long as its rate on each axis, whatever the gradient.
    let first = numbers(&adam["points"][1]);
    assert!((first[0] + 3.95).abs() < 1e-6 && (first[1] - 1.95).abs() < 1e-6, "{first:?}");
    assert_eq!(
        numbers(&rule(&event, "lion")["points"][1]).iter().map(|x| (x * 1e6).round()).collect::<Vec<_>>(),
        [-3.95e6, 1.95e6]
    );
    assert_eq!(event["minimum"], serde_json::json!([[0.0, 0.0]]));
}

#[test]
fn on_the_losses_of_reddi_adam_goes_to_the_worst_point_and_amsgrad_to_the_best() {
    let place = Place::new();
    let event = place.answer("path --function reddi --optimizer adam,amsgrad");
    let (adam, amsgrad) = (rule(&event, "adam"), rule(&event, "amsgrad"));
    assert_eq!(adam["settings"]["beta2"], 0.99);
    assert_eq!(amsgrad["settings"]["amsgrad"], true);
    let end = |rule: &Value| numbers(&rule["end"])[0];
    assert!(end(adam) > 0.99 && end(amsgrad) < -0.95, "{} {}", end(adam), end(amsgrad));
    assert!(adam["regret"].as_f64().unwrap() > 1.5 * amsgrad["regret"].as_f64().unwrap());
    assert!(adam["points"].as_array().unwrap().len() <= 2_002);
}

#[test]
fn a_search_for_rates_is_told_and_finds_better_ones() {
    let place = Place::new();
    let arguments = "path --function rosenbrock --optimizer adam,sgd,lion --steps 200";
    let (plain, tuned) = (place.answer(arguments), place.answer(&format!("{arguments} --tune")));
    for label in ["adam", "sgd", "lion"] {
        let value = |event: &Value| {
            let values = numbers(&rule(event, label)["values"]);
            values.into_iter().fold(f64::INFINITY, f64::min)
        };
        assert!(value(&tuned) <= value(&plain), "{label}");
        assert_eq!((&rule(&plain, label)["tuned"], &rule(&tuned, label)["tuned"]), (&false.into(), &true.into()));
    }
    let text = place.succeed(&format!("{arguments} --tune")).stdout;
    assert!(text.contains("--tune: the rate, of four a decade") && text.contains("gradients: exact"), "{text}");
    let far = "path --function rosenbrock --optimizer sgd --lr 0.1";
    assert!(rule(&place.answer(far), "sgd")["diverged"].is_u64());
    let text = place.succeed(far).stdout;
    assert!(text.contains("sgd: diverged in step"), "{text}");
}

#[test]
fn a_picture_has_curves_ways_and_a_legend() {
    let place = Place::new();
    place.succeed("path --function rosenbrock --optimizer adam,amsgrad,sgd,lion --lr 0.002 --svg a.svg");
    place.succeed("path --optimizer adam,amsgrad,sgd,lion --lr 0.002 --svg b.svg");
    let svg = fs::read_to_string(place.path("a.svg")).unwrap();
    assert_eq!(svg, fs::read_to_string(place.path("b.svg")).unwrap());
    for words in [
        ">rosenbrock: f = (1 - x)^2 + 100*(y - x^2)^2<",
        "<title>f = ",
        "<title>minimum at (1, 1)</title>",
        "<title>start at (-1.2, 1)</title>",
        "<title>adam, lr 0.002, step 100: x ",
        ">lion, lr 0.002<",
        ">rule<",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(svg.matches("<title>f = ").count() > 8 && svg.len() < 500_000, "{} bytes", svg.len());
    place.succeed("path --function 'x' --steps 5 --svg c.svg".replace('\'', "").as_str());
    assert!(fs::read_to_string(place.path("c.svg")).unwrap().contains(">f = x<"));
}

#[test]
fn noise_follows_the_seed() {
    let place = Place::new();
    let end = |more: &str| {
        let event =
            place.answer(&format!("path --function noisy-quadratic --optimizer sgd --lr 0.05 --steps 50 {more}"));
        numbers(&rule(&event, "sgd")["end"])
    };
    assert_eq!(end(""), end("--seed 0"));
    assert_ne!(end(""), end("--seed 1"));
    assert_ne!(end(""), end("--noise 2"));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let place = Place::new();
    let path = |words: &[&str]| finish(&mut place.command(&[&["path"], words].concat()));
    for (words, told) in [
        (&["--function", "rosenbrok"][..], &["did you mean `rosenbrock`?"][..]),
        (&["--function", "x^2 + z"], &["`z` is neither"]),
        (&["--function", "x +"], &["ends where"]),
        (&["--function", "ln(x - 5)"], &["not finite at the start", "--start"]),
        (&["--optimizer", "adm"], &["adm", "adam"]),
        (&["--optimizer", "sgd beta1=0.9"], &["a hyperparameter of sgd", "`beta1`"]),
        (&["--optimizer", "adam,sophia"], &["sophia takes the curvature", "gradients alone"]),
        (&["--optimizer", "adam beta1=7"], &["beta1", "[0, 1)"]),
        (&["--optimizer", "adam schedule.warmup=5steps"], &["schedule.warmup", "no net is trained"]),
        (&["--optimizer", "adam,adam"], &["twice"]),
        (&["--optimizer", "sgd nesterov=true"], &["momentum"]),
        (&["--condition", "3"], &["--condition does nothing", "quadratic"]),
        (&["--noise", "3"], &["--noise does nothing"]),
        (&["--seed", "3"], &["--seed does nothing"]),
        (&["--start", "1"], &["--start has 1 numbers"]),
        (&["--start", "a"], &["expected one or two numbers"]),
        (&["--function", "reddi", "--start", "2"], &["[-1, 1]"]),
        (&["--steps", "0"], &["1.."]),
        (&["--lr", "0"], &["expected a number"]),
        (&["--lr", "1", "--tune"], &["--tune"]),
    ] {
        path(words).refused(2, told);
    }
    path(&["--svg", "absent/a.svg", "--steps", "3"]).expect(7);
    assert!(path(&["--start", "-1.5,2", "--steps", "3"]).expect(0).stdout.contains("-1.5"));
}
