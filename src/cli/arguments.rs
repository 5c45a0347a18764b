//! Flags and arguments that several commands have.

use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use crate::config::meant;
use crate::config::settings::{SETTINGS, Setting, index};
use crate::config::value::Kind;
use crate::data::SETS;
use crate::optim::FAMILIES;
use crate::run::provenance::{note, tag};

/// The settings that `-h` of training shows, with what it says of them in a line; it shows the flags of `SHOWN` too, and `--help` all.
const BRIEF: [(&str, &str); 8] = [
    ("data.dataset", "A name like mnist, or a path"),
    ("data.data_dir", "Folder with its files"),
    ("model.hidden", "Hidden widths, like 300,100"),
    ("optim.optimizer", "adam, adamw, sgd, lion, muon, …"),
    ("optim.lr", "Learning rate"),
    ("train.epochs", "Passes over the training split"),
    ("train.batch_size", "Samples of one step"),
    ("train.device", "auto, cpu, cuda or cuda:N"),
];

/// The flags beside settings that `-h` of training shows.
const SHOWN: [&str; 4] = ["set", "out", "resume", "json"];

pub(super) fn train_arguments() -> Vec<Arg> {
    let mut arguments: Vec<Arg> = SETTINGS.iter().filter_map(argument).collect();
    let run = |arg: Arg| arg.help_heading("Run");
    arguments.extend([
        run(Arg::new("config")
            .long("config")
            .value_name("FILE")
            .action(ArgAction::Append)
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help("Read settings from a TOML file; repeatable, the later wins")),
        run(set_argument("Set any key, also those without a flag; repeatable")),
        run(Arg::new("out")
            .long("out")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::DirPath)
            .help("Run directory [default: runs/<dataset>-<model>-NNN]")
            .long_help("Run directory: absent or empty, or with --resume [default: runs/<dataset>-<model>-NNN]")),
        run(Arg::new("resume")
            .long("resume")
            .action(ArgAction::SetTrue)
            .requires("out")
            .help("Start, continue or report the run in --out")
            .long_help("Start, continue, or print the result of the finished run in --out")),
        run(Arg::new("dry-run")
            .long("dry-run")
            .action(ArgAction::SetTrue)
            .conflicts_with("expect-accuracy")
            .help("Print the configuration with the origin of each value, sizes and steps; train nothing")),
        run(Arg::new("note")
            .long("note")
            .value_name("TEXT")
            .value_parser(note)
            .help("A note, kept in run.json and shown by `runs`; changes nothing that is computed")),
        run(Arg::new("tag")
            .long("tag")
            .value_name("NAME")
            .action(ArgAction::Append)
            .value_parser(tag)
            .help("A tag, likewise; repeatable: `runs --where tag=NAME` finds it")),
        run(Arg::new("expect-accuracy")
            .long("expect-accuracy")
            .value_name("F")
            .allow_negative_numbers(true)
            .value_parser(|text: &str| match text.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
                _ => Err("expected a number in [0, 1]"),
            })
            .help("Exit 1 when the final test accuracy is below F")),
    ]);
    arguments.extend(output_arguments());
    let is_shown = |arg: &Arg| {
        let id = arg.get_id().as_str();
        SHOWN.contains(&id) || BRIEF.iter().any(|(key, _)| index(key).is_some_and(|k| SETTINGS[k].flag == Some(id)))
    };
    arguments.into_iter().map(|arg| if is_shown(&arg) { arg } else { arg.hide_short_help(true) }).collect()
}

/// `--set`, which is read by [`given_by_set`].
pub(super) fn set_argument(help: &'static str) -> Arg {
    Arg::new("set")
        .long("set")
        .value_name("KEY=V")
        .action(ArgAction::Append)
        .value_parser(|pair: &str| {
            if pair.contains('=') {
                Ok(pair.to_owned())
            } else {
                Err("expected KEY=VALUE, for example optim.beta2=0.99")
            }
        })
        .help(help)
}

/// `--json`, `-v`, `-q` and `--no-animation`, for every command that answers.
pub(super) fn output_arguments() -> [Arg; 4] {
    let output = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help_heading("Output").help(help)
    };
    [
        output("json", "JSON lines on standard output"),
        output("verbose", "More on standard error")
            .short('v')
            .action(ArgAction::Count)
            .long_help("More on standard error; twice for all of it. RUST_LOG chooses by module"),
        output("quiet", "No progress on standard error").short('q'),
        output("no-animation", "Plain lines in place of what is drawn anew on a terminal, as for a screen reader")
            .hide_short_help(true)
            .long_help(
                "Plain lines in place of bars and tables that are drawn anew on a terminal, as for a screen reader. So it is where \
                 ACCESSIBLE is set to anything, and where TERM is dumb",
            ),
    ]
}

/// A run or checkpoint file called `id`, and `--best`, for commands that read one.
pub(super) fn checkpoint_arguments(id: &'static str) -> [Arg; 2] {
    [
        Arg::new(id)
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("A run (its newest checkpoint), a sweep (its best point's), SWEEP#POINT, a checkpoint file, or a compressed net (.amc)"),
        Arg::new("best").long("best").action(ArgAction::SetTrue).help("A run's best checkpoint by validation loss"),
    ]
}

/// `--ema`, for commands that compute with a checkpoint.
pub(super) fn average_argument() -> Arg {
    let help = "The moving average of the weights, of a run with train.ema_decay";
    Arg::new("ema").long("ema").action(ArgAction::SetTrue).help(help)
}

/// `--device`, likewise.
pub(super) fn device_argument() -> Arg {
    Arg::new("device").long("device").value_name("NAME").help("auto, cpu, cuda or cuda:N")
}

/// The flag of a setting. Values are read by the configuration, which knows where they came from.
pub(super) fn argument(setting: &'static Setting) -> Option<Arg> {
    let heading = match setting.key.split('.').next() {
        Some("data" | "augment") => "Data",
        Some("model") => "Model",
        Some("optim") => "Optimizer",
        Some("schedule") => "Schedule",
        _ => "Training",
    };
    let argument = flag(setting, setting.flag?).help_heading(heading);
    // Of a sweep there are several.
    let argument = if setting.kind == Kind::Variant { argument.visible_alias("variants") } else { argument };
    Some(match BRIEF.iter().find(|(key, _)| *key == setting.key) {
        Some((_, brief)) => {
            let default = setting.default_words();
            // Of the defaults that optimizers have, that of most.
            let default = default.split(';').next().unwrap_or_default();
            argument.help(format!("{brief} [default: {default}]")).long_help(setting.full_help())
        }
        None => argument.help(setting.full_help()),
    })
}

/// A flag of this name for a setting.
pub(super) fn flag(setting: &'static Setting, name: &'static str) -> Arg {
    let hint = match (setting.kind, setting.metavar) {
        (Kind::Path, "DIR") => ValueHint::DirPath,
        (Kind::Path | Kind::DataSet(_), _) => ValueHint::AnyPath,
        _ => ValueHint::Other,
    };
    let argument = Arg::new(name).long(name).value_name(setting.metavar).value_hint(hint).allow_negative_numbers(true);
    // A switch may stand alone.
    let is_switch = matches!(setting.kind, Kind::Switch);
    if is_switch { argument.num_args(0..=1).require_equals(true).default_missing_value("true") } else { argument }
}

/// A name that the setting with this key takes, for an argument that is no setting itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameOf(pub &'static str);

impl TypedValueParser for NameOf {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &std::ffi::OsStr) -> Result<String, clap::Error> {
        let text = value.to_str().ok_or_else(|| clap::Error::new(ErrorKind::InvalidUtf8).with_cmd(command))?;
        let setting = index(self.0).map(|index| &SETTINGS[index]);
        if let Some(Ok(value)) = setting.map(|setting| setting.kind.parse(text)) {
            return Ok(value.to_string());
        }
        let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
        error.insert(ContextKind::InvalidArg, ContextValue::String(arg.map_or(String::new(), ToString::to_string)));
        error.insert(ContextKind::InvalidValue, ContextValue::String(text.to_string()));
        let names = self.possible_values().into_iter().flatten().map(|name| name.get_name().to_owned());
        let by_path = matches!(setting.map(|setting| setting.kind), Some(Kind::DataSet(_)))
            .then(|| "a path, or OWNER/NAME of the hub's cache".into());
        error.insert(ContextKind::ValidValue, ContextValue::Strings(names.chain(by_path).collect()));
        if let Some(hint) = setting.and_then(|setting| meant::hint(setting, text)) {
            error.insert(ContextKind::Custom, ContextValue::String(hint));
        }
        Err(error)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let kind = SETTINGS[index(self.0)?].kind;
        let names: Vec<&'static str> = match kind {
            Kind::Choice(words) | Kind::DataSet(words) => words.to_vec(),
            _ => FAMILIES.iter().map(|family| family.name).collect(),
        };
        Some(Box::new(names.into_iter().map(PossibleValue::new)))
    }
}

/// A data set's name as a positional argument or flag, of which the help is given; the names stand in its long help.
pub(super) fn dataset(argument: Arg) -> Arg {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let names: Vec<&str> = SETS.iter().map(|spec| spec.name.as_str()).collect();
    let argument = argument.long_help(format!("{help} [{}]", names.join(", "))).hide_possible_values(true);
    argument.value_hint(ValueHint::AnyPath).value_parser(NameOf("data.dataset"))
}
