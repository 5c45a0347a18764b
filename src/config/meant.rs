//! What was probably meant by a value that its setting does not accept.

use super::augment::{Augment, PARTS};
use super::axes;
use super::settings::{SETTINGS, Setting};
use super::stretch::Stretch;
use super::value::{Kind, Value, closest, plain};
use crate::data::{SETS, Spec};
use crate::optim::FAMILIES;

/// Words that other programs have for what is called otherwise here, as [`plain`] writes them, and what to give instead: a value of
/// the same setting, or words of the command line.
type Synonyms = [(&'static [&'static str], &'static str)];

const OPTIMIZERS: &Synonyms = &[
    (&["amsgrad", "adamamsgrad", "amsgradadam"], "--optimizer adam --set optim.amsgrad=true"),
    (&["adamwamsgrad", "amsgradw", "amsgradadamw"], "--optimizer adamw --set optim.amsgrad=true"),
    (
        &["nesterov", "nag", "sgdnesterov", "nesterovsgd", "nesterovmomentum", "sgdnesterovmomentum"],
        "--optimizer sgd --set optim.momentum=0.9 --set optim.nesterov=true",
    ),
    (
        &["momentum", "sgdm", "msgd", "sgdmomentum", "sgdwithmomentum", "heavyball", "polyak"],
        "--optimizer sgd --set optim.momentum=0.9",
    ),
    (&["cadamw", "cautiousadamw", "cautious"], "--optimizer adamw --set optim.cautious=true"),
    (&["cadam", "cautiousadam"], "--optimizer adam --set optim.cautious=true"),
    (&["clion", "cautiouslion"], "--optimizer lion --set optim.cautious=true"),
    (&["adam8bit", "8bitadam", "adambnb8bit"], "--optimizer adam --state 8bit"),
    (&["adamw8bit", "8bitadamw", "adamwbnb8bit"], "--optimizer adamw --state 8bit"),
    (&["adam4bit", "4bitadam"], "--optimizer adam --state 4bit"),
    (&["adamw4bit", "4bitadamw"], "--optimizer adamw --state 4bit"),
    (&["gd", "gradientdescent", "vanilla", "vanillasgd", "plainsgd"], "sgd"),
    (&["fusedadam", "adamfused", "kingmaba"], "adam"),
    (
        &[
            "fusedadamw",
            "adamwfused",
            "pagedadamw",
            "pagedadamw8bit",
            "pagedadamw32bit",
            "adamwtorch",
            "adamwtorchfused",
            "adamwhf",
            "adamdecoupled",
            "adamweightdecay",
        ],
        "adamw",
    ),
    (&["lion8bit", "pagedlion8bit", "signmomentum"], "lion"),
    (&["adaminf", "adaminfinity"], "adamax"),
    (&["nesterovadam", "adamnesterov"], "nadam"),
    (&["rectifiedadam", "ranger"], "radam"),
    (&["lookaheadoptimizer", "lookaheadradam"], "lookahead"),
    (&["rms", "rmspropcentered"], "rmsprop"),
    (&["lars"], "lamb"),
    (&["amsbound", "adaboundamsgrad"], "--optimizer adabound --set optim.amsgrad=true"),
    (&["irprop", "rpropminus", "resilientbackprop", "resilientbackpropagation"], "rprop"),
    (&["averagedsgd", "averagesgd", "polyakruppert"], "asgd"),
    (&["bfgs", "limitedmemorybfgs", "quasinewton", "lbfgsnew", "strongwolfe"], "lbfgs"),
    (&["schedulefreeadam", "adamschedulefree", "sfadam", "sf"], "schedule-free-adamw"),
];

const SCHEDULES: &Synonyms = &[
    (&["none", "off", "const", "fixed", "flat", "constantlr"], "constant"),
    (
        &["warmupcosine", "cosinewarmup", "cosinewithwarmup", "linearwarmupcosine", "linearwarmupcosineannealing"],
        "--schedule cosine --warmup 1epoch",
    ),
    (&["constantwithwarmup", "warmupconstant"], "--schedule constant --warmup 1epoch"),
    (&["warmup", "linearwarmup", "warmuplr"], "--warmup 1epoch"),
    (&["linearwithwarmup", "warmuplinear", "warmuplineardecay"], "--schedule linear --warmup 1epoch"),
    (&["cos", "cosineannealing", "cosineannealinglr", "cosinedecay", "cosinelr", "halfcosine"], "cosine"),
    (
        &[
            "sgdr",
            "restarts",
            "warmrestarts",
            "cosinewithrestarts",
            "cosinewarmrestarts",
            "cosineannealingwarmrestarts",
            "cosinewithhardrestarts",
            "sgdrschedule",
        ],
        "cosine-restarts",
    ),
    (&["steplr", "stepdecay", "staircase"], "--schedule step --set schedule.step_epochs=10 --set schedule.gamma=0.1"),
    (
        &["multistep", "multisteplr", "multistepdecay", "piecewise", "piecewiseconstant", "piecewiseconstantdecay"],
        "--schedule milestones --set schedule.milestones=0.5,0.75",
    ),
    (&["exp", "exponentiallr", "expdecay"], "exponential"),
    (&["exponentialdecay", "expsteps", "exponentialstep"], "exponential-steps"),
    (
        &[
            "inversesquareroot",
            "inversesqrtlr",
            "invsqrt",
            "rsqrt",
            "sqrt",
            "noam",
            "noamlr",
            "transformer",
            "vaswani",
            "inversesqrtschedule",
        ],
        "inverse-sqrt",
    ),
    (&["poly", "polynomiallr", "polynomialdecay"], "polynomial"),
    (&["linearlr", "lineardecay", "lindecay"], "linear"),
    (&["onecyclelr", "1cycle", "superconvergence", "cyclic", "cycliclr", "cyclical", "triangular"], "one-cycle"),
    (&["reduceonplateau", "reducelronplateau", "reducelr", "onplateau"], "plateau"),
    (&["warmupstabledecay", "trapezoid", "trapezoidal"], "wsd"),
];

const AUGMENTATIONS: &Synonyms = &[
    (&["no", "off", "false", "identity", "0"], "none"),
    (&["yes", "on", "true", "1", "randomaffine", "rotation", "rotate", "translate", "geometric"], "affine"),
    (&["elastictransform", "elasticdistortion", "elasticdeformation", "simard", "deform"], "elastic"),
    (&["affineelastic", "both", "all"], "affine+elastic"),
    (&["mirror", "hflip", "randomflip", "randomhorizontalflip", "horizontalflip"], "flip"),
    (&["crop", "randomcrop", "cifar", "standard", "flipshift"], "flip+shift"),
    (&["erase", "erasing", "randomerasing", "cutouts", "mask", "occlusion"], "cutout"),
    (&["mix", "mixing", "mixups", "cutmix", "manifoldmixup"], "mixup"),
];

const DATA_SETS: &Synonyms = &[
    (&["cifar", "cifar100", "cifar10bin", "cifar10torchvision"], "cifar10"),
    (&["fashion", "fmnist", "zalando", "clothes"], "fashion-mnist"),
    (&["lecun", "handwritten", "qmnist", "mnist784"], "mnist"),
    (&["emnist", "emnistbalanced47"], "emnist-balanced"),
    (&["kuzushiji", "kuzushijimnist"], "kmnist"),
    (&["libsvmusps", "uspsdigits"], "usps"),
    (&["digit", "loaddigits", "sklearn", "toy", "synthetic", "embedded", "generated"], "digits"),
];

/// What other programs call settings and flags, as [`plain`] writes it, and what does the same here: the name of a flag, or words of the
/// command line.
pub const NAMES: &[(&[&str], &str)] = &[
    (&["learningrate", "eta", "steplength", "stepsize", "alpha0"], "lr"),
    (&["epsilon", "adamepsilon"], "eps"),
    (&["adambeta1", "b1"], "beta1"),
    (&["adambeta2", "b2"], "beta2"),
    (&["betas"], "--beta1 B1 --beta2 B2"),
    (&["wd", "l2", "decay", "weightdecayrate"], "weight-decay"),
    (&["opt", "optim", "optimiser", "algorithm", "algo"], "optimizer"),
    (&["scheduler", "lrscheduler", "lrschedule", "lrschedulertype", "sched"], "schedule"),
    (&["warmupsteps", "warmupepochs", "numwarmupsteps", "lrwarmup"], "warmup"),
    (&["batch", "bs", "batchsizetrain", "trainbatchsize", "perdevicetrainbatchsize", "b"], "batch-size"),
    (&["nepochs", "numepochs", "maxepochs", "numtrainepochs", "e"], "epochs"),
    (
        &[
            "layers",
            "hiddensize",
            "hiddensizes",
            "hiddenlayers",
            "hiddenlayersizes",
            "hiddendim",
            "hiddendims",
            "units",
            "widths",
            "width",
        ],
        "hidden",
    ),
    (&["data", "datasetname", "ds", "d"], "dataset"),
    (&["datapath", "dataroot", "datafolder", "datasetdir", "root"], "data-dir"),
    (&["augmentation", "augmentations", "aug", "dataaugmentation", "transform", "transforms", "distort"], "augment"),
    (
        &["valfraction", "valsplit", "validationsplit", "validationfraction", "valratio", "val", "valid", "holdout"],
        "valid-fraction",
    ),
    (&["maxtrain", "trainlimit", "limit", "subset", "ntrain", "maxtrainsamples"], "limit-train"),
    (
        &[
            "clip",
            "gradclip",
            "clipgrad",
            "clipgradnorm",
            "gradclipnorm",
            "maxgradnorm",
            "gradientclip",
            "gradientclipval",
        ],
        "clip-norm",
    ),
    (&["earlystopping", "earlystop", "earlystoppingpatience"], "patience"),
    (&["smoothing", "ls"], "label-smoothing"),
    (&["distill", "distil", "distillation", "distillfrom", "kd", "teachermodel", "teacherpath"], "teacher"),
    (&["randomseed", "rng", "manualseed", "randomstate"], "seed"),
    (&["gpu", "cuda", "usecuda", "usegpu"], "--device cuda"),
    (&["cpu", "nocuda", "nogpu"], "--device cpu"),
    (&["tf32", "allowtf32", "fp32"], "--precision tf32"),
    (&["numthreads", "nthreads", "workers", "numworkers", "jobs", "j", "t"], "threads"),
    (
        &["output", "outputdir", "outdir", "savedir", "savepath", "logdir", "rundir", "workdir", "o", "name", "run"],
        "out",
    ),
    (&["checkpoint", "ckpt", "load", "from", "pretrained", "initfrom", "weights"], "init"),
    (&["resumefrom", "resumefromcheckpoint", "continue", "restart"], "--out DIR --resume"),
    (&["saveinterval", "savefreq", "savesteps", "checkpointevery", "checkpointinterval"], "save-every"),
    (&["evalinterval", "evalfreq", "evalsteps", "evaluationstrategy", "evaluate"], "eval-every"),
    (&["timeout", "timelimit", "maxhours", "maxduration", "walltime"], "max-time"),
    (&["conf", "cfg", "configfile", "c"], "config"),
    (&["dryrun", "dry", "n", "check", "printconfig", "showconfig"], "--dry-run"),
    (&["silent", "noprogress", "s"], "--quiet"),
    (&["debug"], "-vv"),
    (&["sortby", "orderby", "order"], "sort"),
    (&["v", "ver"], "--version"),
];

/// The key of the setting that other programs call `name`.
pub fn key(name: &str) -> Option<&'static str> {
    let name = plain(name);
    let (_, flag) = NAMES.iter().find(|(words, _)| words.contains(&name.as_str()))?;
    SETTINGS.iter().find(|setting| setting.flag == Some(flag)).map(|setting| setting.key)
}

/// What may have been meant by `text`, which the setting refuses: as words of help, if there is anything to say.
pub fn hint(setting: &Setting, text: &str) -> Option<String> {
    let text = text.trim();
    let meant = match setting.key {
        "optim.optimizer" => synonym(OPTIMIZERS, text),
        "schedule.schedule" => synonym(SCHEDULES, text),
        "data.dataset" => synonym(DATA_SETS, text),
        _ => None,
    };
    let meant = meant.map(str::to_owned).or_else(|| match setting.kind {
        Kind::Augment => augment(text).map(|meant| meant.to_string()),
        Kind::Optimizer => closest(text, FAMILIES.iter().map(|family| family.name)).map(str::to_owned),
        Kind::Choice(words) | Kind::DataSet(words) => closest(text, words.iter().copied()).map(str::to_owned),
        Kind::Switch => switch(text).map(|on| on.to_string()),
        Kind::Widths { .. } => widths(setting, text),
        Kind::Stretch { .. } | Kind::Time => stretch(setting, text),
        Kind::Milestones => milestones(setting, text),
        Kind::Number(_) | Kind::Count { .. } => number(setting, text),
        Kind::Triple(_) => triple(setting, text),
        Kind::Device | Kind::Groups | Kind::Variant | Kind::Path | Kind::ImageSize | Kind::Columns { .. } => None,
    });
    match setting.kind {
        Kind::Device => device(text),
        Kind::Optimizer if meant.is_none() => Some("`adamtrain optimizers` shows what there is".to_owned()),
        _ => meant.map(|meant| format!("did you mean `{meant}`?")),
    }
}

/// What to do where `text` gives several values, each valid, to a setting that takes one: a sweep. `flag` is how it was given.
pub fn sweep(setting: &Setting, text: &str, flag: &str) -> Option<String> {
    let values = match axes::Spread::parse(setting, text).ok()? {
        axes::Spread::Values(values) => values,
        // It is drawn from: both ends stand for all of it.
        axes::Spread::Range(range) => vec![range.at(0.0), range.at(1.0)],
    };
    if values.len() <= 1 {
        return None;
    }
    // Widths of one net that are parted wrongly are no sweep.
    let is_list = match setting.kind {
        Kind::Milestones | Kind::Triple(_) => text.contains(';'),
        Kind::Widths { .. } => values.iter().any(is_deep),
        _ => true,
    };
    let word = match flag {
        "--set" => format!("--set {}={text}", setting.key),
        flag if flag.starts_with("--") => format!("{flag} {text}"),
        _ => return is_list.then(|| "several values are for `adamtrain sweep`".to_owned()),
    };
    let word = crate::text::quoted(&word.split(' ').map(str::to_owned).collect::<Vec<_>>());
    is_list.then(|| format!("several values are a sweep: `adamtrain sweep {word}`"))
}

fn is_deep(value: &Value) -> bool {
    matches!(value, Value::Widths(widths) if widths.len() != 1)
}

/// Every word of the tables above, with what it leads to, by the key of its setting.
#[cfg(test)]
fn tables() -> [(&'static str, &'static Synonyms); 4] {
    [
        ("optim.optimizer", OPTIMIZERS),
        ("schedule.schedule", SCHEDULES),
        ("data.dataset", DATA_SETS),
        ("augment.augment", AUGMENTATIONS),
    ]
}

fn synonym(table: &'static Synonyms, text: &str) -> Option<&'static str> {
    let text = plain(text);
    table.iter().find(|(words, _)| words.contains(&text.as_str())).map(|(_, meant)| *meant)
}

/// Each part of an augmentation as it was meant.
fn augment(text: &str) -> Option<Augment> {
    let meant = |word: &str| {
        let part = Augment::parse(word);
        part.or_else(|| Augment::parse(synonym(AUGMENTATIONS, word).or_else(|| closest(word, PARTS.into_iter()))?))
    };
    text.split(['+', ',', '&', '/']).map(meant).try_fold(Augment::default(), |all, part| Some(all.and(part?)))
}

/// On or off in another word.
pub fn switch(text: &str) -> Option<bool> {
    match plain(text).as_str() {
        "yes" | "y" | "on" | "1" | "t" => Some(true),
        "no" | "n" | "off" | "0" | "f" | "none" => Some(false),
        _ => None,
    }
}

/// `300x100` and the like; of a whole net's widths, those of the hidden layers.
fn widths(setting: &Setting, text: &str) -> Option<String> {
    let is_mark = |c: char| c.is_whitespace() || "x×*-/:;.+|_[](){}'\"".contains(c) || c == ',';
    let pieces: Vec<&str> = text.split(is_mark).filter(|piece| !piece.is_empty()).collect();
    let ends = |spec: &Spec, first: &str, last: &str| {
        (first.parse(), last.parse()) == (Ok(spec.inputs()), Ok(spec.classes.len()))
    };
    let hidden = match pieces.as_slice() {
        [first, hidden @ .., last] if SETS.iter().any(|spec| ends(spec, first, last)) => hidden,
        all => all,
    };
    let joined = if hidden.is_empty() { "none".to_owned() } else { hidden.join(",") };
    (!pieces.is_empty() && setting.kind.parse(&joined).is_ok()).then_some(joined)
}

/// Milestones parted otherwise, out of order, or without a unit: then they are epochs.
fn milestones(setting: &Setting, text: &str) -> Option<String> {
    let is_mark = |c: char| c.is_whitespace() || ",;:/+|[](){}".contains(c);
    let mut pieces: Vec<&str> = text.split(is_mark).filter(|piece| !piece.is_empty()).collect();
    let number = |piece: &str| piece.trim_end_matches(char::is_alphabetic).parse().unwrap_or(f64::NAN);
    pieces.sort_by(|a, b| number(a).total_cmp(&number(b)));
    pieces.dedup();
    let joined = pieces.join(",");
    let found = [&joined, &format!("{joined}epochs")].into_iter().find_map(|text| setting.kind.parse(text).ok());
    found.map(|value| value.to_string())
}

/// Three numbers parted otherwise.
fn triple(setting: &Setting, text: &str) -> Option<String> {
    let is_mark = |c: char| c.is_whitespace() || ",;:/|[](){}".contains(c);
    let pieces: Vec<&str> = text.split(is_mark).filter(|piece| !piece.is_empty()).collect();
    setting.kind.parse(&pieces.join(",")).ok().map(|value| value.to_string())
}

/// A stretch with a unit of another name, or without one.
fn stretch(setting: &Setting, text: &str) -> Option<String> {
    const UNITS: [(&str, &[&str]); 7] = [
        ("steps", &["it", "its", "iter", "iters", "iteration", "iterations", "batch", "batches", "update", "updates"]),
        ("epochs", &["e", "ep", "eps", "pass", "passes"]),
        ("s", &["sec", "secs", "second", "seconds"]),
        ("m", &["mins", "minute", "minutes"]),
        ("h", &["hr", "hrs", "hour", "hours"]),
        ("d", &["day", "days"]),
        ("ms", &["msec", "millisecond", "milliseconds"]),
    ];
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim().to_lowercase());
    let valid = |word: String| setting.kind.parse(&word).is_ok().then_some(word);
    if unit.is_empty() {
        return valid(format!("{number}s"));
    }
    let (own, _) = UNITS.iter().find(|(own, words)| *own == unit || words.contains(&unit.as_str()))?;
    let word = valid(format!("{number}{own}"))?;
    // As it is written back: `1epoch`.
    Some(match setting.kind.parse(&word) {
        Ok(Value::Stretch(stretch @ (Stretch::Steps(_) | Stretch::Epochs(_)))) => stretch.to_string(),
        _ => word,
    })
}

/// A number in another way of writing: with a comma, in percent, with an exponent where it is whole.
fn number(setting: &Setting, text: &str) -> Option<String> {
    let valid = |word: String| setting.kind.parse(&word).is_ok().then_some(word);
    let is_whole = |number: f64| number.fract() == 0.0 && (0.0..1e15).contains(&number);
    if let Some(share) = text.strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok()) {
        return valid(format!("{}", share / 100.0));
    }
    if text.matches(',').count() == 1 && text.chars().all(|c| c.is_ascii_digit() || ",eE-+".contains(c)) {
        return valid(text.replace(',', "."));
    }
    let bare = text.replace(['_', '\'', ' '], "");
    let number = bare.parse::<f64>().ok()?;
    match setting.kind {
        Kind::Count { .. } if is_whole(number) => valid(format!("{number}")),
        _ => valid(bare),
    }
}

fn device(text: &str) -> Option<String> {
    const OTHERS: [&str; 14] = [
        "mps", "metal", "rocm", "hip", "amd", "xpu", "tpu", "npu", "opencl", "vulkan", "directml", "dml", "ane",
        "intel",
    ];
    let word = plain(text).replace(':', "");
    let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &word[name.len()..];
    if matches!(name, "cuda" | "gpu" | "nvidia" | "") && !word.is_empty() && !text.contains('-') {
        let number = if number.is_empty() { String::new() } else { format!(":{number}") };
        let meant = format!("cuda{number}");
        // A number beyond all that there are.
        return Some(if meant == text {
            "GPUs are counted from 0".to_owned()
        } else {
            format!("did you mean `{meant}`?")
        });
    }
    if OTHERS.contains(&name) {
        return Some("there are the CPU and NVIDIA's GPUs: `cpu`, `cuda`; `adamtrain doctor` shows them".to_owned());
    }
    closest(name, ["auto", "cpu", "cuda"].into_iter()).map(|word| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::layers::{Given, Sources};
    use crate::config::settings::index;

    fn told(key: &str, text: &str) -> String {
        let setting = &SETTINGS[index(key).unwrap()];
        assert!(setting.parse(text).is_err(), "{key} takes {text}");
        hint(setting, text).unwrap_or_default()
    }

    #[test]
    fn every_synonym_is_refused_itself_and_leads_to_something_valid() {
        for (key, table) in tables() {
            for (words, meant) in table {
                for word in *words {
                    assert_eq!(plain(word), *word);
                    assert!(told(key, word).contains(&format!("`{meant}`")), "{word}");
                }
                let mut given = Vec::new();
                let mut rest = meant.split_whitespace().peekable();
                if !meant.starts_with("--") {
                    given.push((key.to_owned(), (*meant).to_owned()));
                    rest = "".split_whitespace().peekable();
                }
                while let (Some(flag), Some(value)) = (rest.next(), rest.next()) {
                    let of_flag = SETTINGS.iter().find(|setting| setting.flag == flag.strip_prefix("--"));
                    let of_flag = of_flag.map_or("", |setting| setting.key);
                    let (key, value) = value.split_once('=').unwrap_or((of_flag, value));
                    given.push((key.to_owned(), value.to_owned()));
                }
                // A schedule on a plateau needs a validation split.
                given.push(("data.valid_fraction".to_owned(), "0.1".to_owned()));
                let given = given.into_iter().map(|(key, text)| Given { key, text, flag: "--set".into() });
                Config::load(&Sources { command_line: given.collect(), ..Sources::default() })
                    .unwrap_or_else(|error| panic!("{meant}: {error:#}"));
            }
        }
    }

    #[test]
    fn what_is_meant_is_found() {
        for (key, text, words) in [
            ("optim.optimizer", "adma", "`adam`"),
            ("optim.optimizer", "adamaz", "`adamax`"),
            ("optim.optimizer", "adamast", "`adamax`"),
            ("optim.optimizer", "adafacter", "`adafactor`"),
            ("optim.optimizer", "zzz", "adamtrain optimizers"),
            ("schedule.schedule", "Cosine_Annealing", "`cosine`"),
            ("data.dataset", "cifar", "`cifar10`"),
            ("data.dataset", "mnits", "`mnist`"),
            ("model.hidden", "300x100", "`300,100`"),
            ("model.hidden", "300-100", "`300,100`"),
            ("model.hidden", "300 100", "`300,100`"),
            ("model.hidden", "784-300-100-10", "`300,100`"),
            ("model.hidden", "(300, 100)", "`300,100`"),
            ("train.device", "gpu", "`cuda`"),
            ("train.device", "GPU:1", "`cuda:1`"),
            ("train.device", "cuda0", "`cuda:0`"),
            ("train.device", "0", "`cuda:0`"),
            ("train.device", "mps", "`cpu`, `cuda`"),
            ("train.epochs", "1e3", "`1000`"),
            ("train.epochs", "10.0", "`10`"),
            ("data.limit_train", "1_000", "`1000`"),
            ("model.dropout", "50%", "`0.5`"),
            ("optim.ns_coefficients", "2 -1.5 0.5", "`2,-1.5,0.5`"),
            ("schedule.milestones", "30,60", "`30,60epochs`"),
            ("schedule.milestones", "[60, 30, 90]", "`30,60,90epochs`"),
            ("schedule.milestones", "0.75 0.5", "`0.5,0.75`"),
            ("schedule.milestones", "500/800steps", "`500,800steps`"),
            ("schedule.schedule", "MultiStepLR", "--schedule milestones"),
            ("optim.lr", "0,001", "`0.001`"),
            ("train.save_every", "10", "`10s`"),
            ("train.save_every", "5 minutes", "`5m`"),
            ("train.save_every", "1 iteration", "`1step`"),
            ("train.health", "yes", "`true`"),
            ("augment.augment", "elastc", "`elastic`"),
            ("augment.augment", "flip+flip", "`flip`"),
            ("augment.augment", "rotate + cutuot", "`affine+cutout`"),
            ("augment.augment", "crop+flip+mixup", "`flip+shift+mixup`"),
        ] {
            assert!(told(key, text).contains(words), "{key} {text}: {}", told(key, text));
        }
        for (key, text) in [
            ("model.hidden", "a,b"),
            ("train.device", "zzzz"),
            ("optim.lr", "fast"),
            ("optim.lr", "-1"),
            ("augment.augment", "flip+zzz"),
        ] {
            assert_eq!(told(key, text), "", "{key} {text}");
        }
    }

    #[test]
    fn several_values_are_a_sweep() {
        let told = |key: &str, text: &str, flag: &str| sweep(&SETTINGS[index(key).unwrap()], text, flag);
        assert!(told("optim.lr", "1e-3,1e-2", "--lr").unwrap().contains("`adamtrain sweep --lr 1e-3,1e-2`"));
        assert!(told("optim.lr", "log(1e-3,1e-2,4)", "--set").unwrap().contains("'optim.lr=log(1e-3,1e-2,4)'"));
        assert!(told("model.hidden", "none;300,100", "--hidden").unwrap().contains("--hidden 'none;300,100'"));
        assert_eq!(told("model.hidden", "300;100", "--hidden"), None);
        assert_eq!(told("optim.lr", "0,001", "--lr"), None);
        assert_eq!(told("optim.lr", "1e-3", "--lr"), None);
    }

    #[test]
    fn names_in_any_spelling_are_one() {
        for (key, text, name) in [
            ("optim.optimizer", "AdamW", "adamw"),
            ("optim.optimizer", "adam_w", "adamw"),
            ("optim.optimizer", "SF-AdamW", "schedule-free-adamw"),
            ("optim.optimizer", "ScheduleFree", "schedule-free-adamw"),
            ("data.dataset", "MNIST", "mnist"),
            ("data.dataset", "CIFAR-10", "cifar10"),
            ("data.dataset", "Fashion_MNIST", "fashion-mnist"),
            ("schedule.schedule", "OneCycle", "one-cycle"),
            ("schedule.schedule", "WSD", "wsd"),
            ("train.device", "CUDA:1", "cuda:1"),
            ("train.health", "True", "true"),
            ("train.clip_norm", "None", "none"),
        ] {
            let value = SETTINGS[index(key).unwrap()].parse(text).unwrap();
            assert_eq!(value.to_string(), name);
        }
    }
}
