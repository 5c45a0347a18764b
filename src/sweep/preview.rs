//! What a sweep will train, known before it begins: its axes, points and groups, and what they take.

use std::fmt::Write as _;

use anyhow::Result;
use candle_core::Device;
use serde_json::{Value as Json, json};

use super::points::{Axis, Group, Points};
use super::table::ranges;
use super::{Options, lanes_at_once, odd_settings, warn_of_choice};
use crate::device;
use crate::kernel::gpu;
use crate::lanes::teacher::SavedTeacher;
use crate::plan;
use crate::report::answer;
use crate::report::table::{Side, aligned, aligned_within, leaf, stdout_width, word, wrapped};
use crate::text::counted;

/// Values of points given one by one that are told.
const MOST_VALUES: usize = 20;

/// Points that can train together.
struct PlannedGroup {
    group: Group,
    /// Training examples of an epoch.
    examples: usize,
    /// How many of them train at once.
    lanes: usize,
    /// Steps of each point.
    steps: u64,
    /// Bytes that as many lanes take, on the host or on the GPU.
    bytes: u64,
}

/// Prints what would be trained; reads data only where that costs no download, and writes no file.
///
/// # Errors
/// If the device or the data is missing.
pub fn show(points: &Points, options: Options) -> Result<()> {
    let first = points.first();
    let on = first.device.open_at(first.precision)?;
    first.warn_of_unread_on(&on);
    points.expect_computed_on(&on)?;
    let groups = points.groups()?.into_iter().map(|group| PlannedGroup::of(group, options, &on));
    let groups = groups.collect::<Result<Vec<_>>>()?;
    warn_of_choice(points, options);
    for group in &groups {
        for odd in odd_settings(points, &group.group.members, group.examples)? {
            tracing::warn!("{odd}");
        }
    }
    let event = if options.style.json { Some(described(points, &groups, &on)?) } else { None };
    answer(event.as_ref(), || text(points, &groups, &on))
}

impl PlannedGroup {
    fn of(group: Group, options: Options, on: &Device) -> Result<Self> {
        let config = &group.config;
        let examples = plan::examples(config)?.0;
        let lanes = lanes_at_once(options, config, examples, on)?.min(group.members.len());
        let bytes = match gpu::free_bytes(on) {
            Some(_) => plan::device_bytes(config, examples, lanes as u64),
            None => plan::bytes(config, examples, lanes as u64, SavedTeacher::of(config)?.as_deref()),
        };
        Ok(Self { examples, lanes, steps: config.steps(examples), bytes, group })
    }

    /// How often a model of lanes is trained.
    fn rounds(&self) -> u64 {
        self.group.members.len().div_ceil(self.lanes) as u64
    }

    /// The epochs of all points together.
    fn epochs(&self) -> u64 {
        self.group.config.epochs.saturating_mul(self.group.members.len() as u64)
    }
}

fn described(points: &Points, groups: &[PlannedGroup], on: &Device) -> Result<Json> {
    let group = |group: &PlannedGroup| {
        let config = &group.group.config;
        json!({
            "points": group.group.members,
            "net": config.shape.to_string(),
            "optimizer": config.optimizer.name,
            "parameters": config.shape.parameters(),
            "examples": group.examples,
            "epochs": config.epochs,
            "steps": group.steps,
            "lanes": group.lanes,
            "rounds": group.rounds(),
            "memory_bytes": group.bytes,
        })
    };
    let point = |point: usize| -> Result<Json> {
        let (settings, derived) = (points.settings(point), points.derived(point)?);
        Ok(json!({"point": point, "settings": settings, "derived": derived}))
    };
    Ok(json!({
        "event": "dry_run",
        "axes": points.axes().iter().map(Axis::to_json).collect::<Vec<_>>(),
        "random": points.grid.wanted.random,
        "quasi": points.grid.wanted.quasi,
        "random_seed": points.grid.wanted.seed,
        "halving": points.halving,
        "device": device::name(on),
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
        "memory_bytes": groups.iter().map(|group| group.bytes).max(),
        "shard": points.shard(),
        "points": points.own().map(point).collect::<Result<Vec<_>>>()?,
    }))
}

fn text(points: &Points, groups: &[PlannedGroup], on: &Device) -> String {
    let width = stdout_width().unwrap_or(usize::MAX);
    let mut text = String::new();
    for axis in points.axes() {
        let values: Vec<String> = axis.values.iter().map(|value| word(&value.to_json())).collect();
        let between = if values.iter().any(|value| value.contains(',')) { "; " } else { ", " };
        // Points given one by one may all have others.
        let more = if axis.is_listed() { values.len().saturating_sub(MOST_VALUES) } else { 0 };
        let more_text = if more > 0 { format!(" and {more} more") } else { String::new() };
        let told = axis.range.map_or_else(|| values[..values.len() - more].join(between), |range| range.to_string());
        let line = format!("axis     {}: {told}{more_text}", axis.setting.key);
        let _ = writeln!(text, "{}", wrapped(&line, width, 9));
    }
    let drawn = points.grid.wanted.in_words();
    let count = points.count() as u64;
    let part = points.shard().map(|shard| format!(", shard {shard} of {}", points.total())).unwrap_or_default();
    let _ = writeln!(text, "points   {count}{part}{drawn}, in {}", counted(groups.len() as u64, "group"));
    if let Some(halving) = points.halving {
        let most = groups.iter().map(|group| group.group.config.epochs).max().unwrap_or_default();
        let rungs: Vec<String> = halving.rungs().take_while(|rung| *rung < most).map(|rung| rung.to_string()).collect();
        let all: u64 = groups.iter().map(PlannedGroup::epochs).sum();
        let taken = groups
            .iter()
            .map(|PlannedGroup { group, .. }| halving.epochs_in_all(group.members.len(), group.config.epochs));
        let (eta, after, taken) = (halving.eta, rungs.join(", "), taken.sum::<u64>());
        let line = format!("halving  1 of {eta} goes on after epoch {after}: at most {taken} epochs of {all}");
        let _ = writeln!(text, "{}", wrapped(&line, width, 9));
    }
    let memory = groups.iter().map(|group| group.bytes).max().unwrap_or_default();
    let _ = writeln!(text, "memory   about {}", device::in_units(memory));
    let _ = writeln!(text, "device   {}\n", device::name(on));

    let names = ["points", "net", "optimizer", "parameters", "epochs", "steps", "lanes", "rounds", "memory"];
    let side = |name| if matches!(name, "points" | "net" | "optimizer") { Side::Left } else { Side::Right };
    let row = |group: &PlannedGroup| {
        let config = &group.group.config;
        vec![
            short(&ranges(&group.group.members)),
            short(&config.shape.to_string()),
            config.optimizer.name.to_owned(),
            config.shape.parameters().to_string(),
            config.epochs.to_string(),
            group.steps.to_string(),
            group.lanes.to_string(),
            group.rounds().to_string(),
            device::in_units(group.bytes),
        ]
    };
    let names = names.map(|name| (name, side(name))).to_vec();
    text += &aligned_within(width, &["epochs", "rounds", "optimizer"], names, groups.iter().map(row).collect());

    let keys: Vec<&str> = points.axes().iter().map(|axis| leaf(axis.setting.key)).collect();
    let names: Vec<(&str, Side)> =
        std::iter::once(("point", Side::Right)).chain(keys.into_iter().map(|key| (key, Side::Left))).collect();
    let row = |point: usize| std::iter::once(point.to_string()).chain(points.grid.words(point)).collect();
    text.push('\n');
    text + &aligned(&names, &points.own().map(row).collect::<Vec<_>>())
}

/// A list that is longer than its column, cut.
fn short(list: &str) -> String {
    const MOST: usize = 20;
    if list.chars().count() <= MOST {
        return list.to_owned();
    }
    list.chars().take(MOST - 1).collect::<String>() + "…"
}
