//! The types that settings have in a configuration: what each accepts, and how a value is read as it.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use super::stretch::{Milestones, Stretch};
use super::value::{GroupText, Kind, Range, Value};
use super::variant::Variant;
use crate::data::own::is_on_hub;
use crate::data::table::listed;
use crate::data::{SETS, Scaling, Spec};
use crate::device::Request;
use crate::kernel::gpu::Precision;
use crate::optim::{Decay, Family, family};

/// A width above this is a slip of the hand; the memory estimate judges those below.
const MOST_WIDTH: u64 = 1 << 20;

/// Rows and columns of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize(pub [usize; 2]);

impl ImageSize {
    /// `28x28`, or one number for both.
    pub fn parse(text: &str) -> Option<Self> {
        let (rows, columns) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
        let side = |text: &str| text.trim().parse::<usize>().ok().filter(|side| (1..=1 << 16).contains(side));
        Some(Self([side(rows)?, side(columns)?]))
    }
}

/// The name of a column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnName(pub String);

impl ColumnName {
    /// As it is, or quoted as in a table: `"none"` is a column of that name.
    pub fn parse(text: &str) -> Self {
        let is_quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
        let names = ColumnNames::parse(text).filter(|ColumnNames(names)| is_quoted && names.len() == 1);
        Self(names.and_then(|ColumnNames(mut names)| names.pop()).unwrap_or_else(|| text.to_owned()))
    }
}

/// Names of columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnNames(pub Vec<String>);

impl ColumnNames {
    /// `a,b`, or `[a,b]`; a name with a comma in it is quoted as in a table: `a,"b,c"`.
    pub fn parse(text: &str) -> Option<Self> {
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(inside.as_bytes());
        let record = reader.records().next()?.ok()?;
        Some(Self(record.iter().map(str::to_owned).collect()))
    }
}

impl fmt::Display for ColumnNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| listed(name)).collect();
        f.write_str(&names.join(","))
    }
}

/// A data set as it is named.
#[derive(Clone, Debug)]
pub enum DataName {
    /// One that the program knows.
    Known(Arc<Spec>),
    /// What lies under a path.
    At(PathBuf),
    /// One that the hub calls `OWNER/NAME`, from the hub's cache.
    OnHub(String),
}

/// A type that a setting's value is read as.
pub trait Field: Sized {
    /// The type of a value that is set: another than this only where it may be unset.
    type Set;

    /// The value as this type; none where it is of another kind.
    fn read(value: &Value) -> Option<Self>;
}

/// A type that alone says what its settings accept.
pub trait OfKind: Field {
    /// What they accept.
    fn kind() -> Kind;
}

macro_rules! fields {
    ($($type:ty $(, $kind:expr)?; $value:pat => $read:expr;)+) => {
        $(
            impl Field for $type {
                type Set = Self;

                fn read(value: &Value) -> Option<Self> {
                    if let $value = value { $read } else { None }
                }
            }

            $(impl OfKind for $type {
                fn kind() -> Kind {
                    $kind
                }
            })?
        )+
    };
}

// Each type, what it accepts where it alone says so, and how it is read.
fields! {
    f64; Value::Number(number) | Value::Time(number) => Some(*number);
    u64; Value::Count(count) => Some(*count);
    u32; Value::Count(count) => u32::try_from(*count).ok();
    usize; Value::Count(count) => Some(*count as usize);
    Stretch; Value::Stretch(stretch) => Some(*stretch);
    bool, Kind::Switch; Value::Switch(on) => Some(*on);
    Vec<usize>, Kind::Widths { most: MOST_WIDTH };
        Value::Widths(widths) => Some(widths.iter().map(|&width| width as usize).collect());
    Milestones, Kind::Milestones; Value::Milestones(milestones) => Some(milestones.clone());
    Variant, Kind::Variant; Value::Text(text) => Self::parse(text).ok();
    Vec<GroupText>, Kind::Groups; Value::Groups(groups) => Some(groups.clone());
    PathBuf, Kind::Path; Value::Text(path) => Some(path.into());
    Request, Kind::Device; Value::Text(name) => Self::parse(name);
    &'static Family, Kind::Optimizer; Value::Text(name) => family(name);
    ImageSize, Kind::ImageSize; Value::Text(text) => Self::parse(text);
    ColumnName, Kind::Columns { several: false }; Value::Text(name) => Some(Self::parse(name));
    ColumnNames, Kind::Columns { several: true }; Value::Text(names) => Self::parse(names);
    DataName, Kind::DataSet(words(SETS.iter().map(|spec| spec.name.as_str())));
        Value::Text(name) => Some(match Spec::named(name) {
            Some(spec) => Self::Known(spec),
            // Paths have been made absolute.
            None if is_on_hub(name) => Self::OnHub(name.clone()),
            None => Self::At(name.into()),
        });
}

impl<T: Field> Field for Option<T> {
    type Set = T;

    fn read(value: &Value) -> Option<Self> {
        if let Value::Unset(_) = value { Some(None) } else { T::read(value).map(Some) }
    }
}

/// A type with a few named values.
pub trait Choice: Copy + 'static {
    /// Names and values, in the order of help.
    const NAMED: &'static [(&'static str, Self)];
}

impl<T: Choice> OfKind for T {
    fn kind() -> Kind {
        Kind::Choice(words(T::NAMED.iter().map(|(word, _)| *word)))
    }
}

impl<T: Choice> Field for T {
    type Set = Self;

    fn read(value: &Value) -> Option<Self> {
        let Value::Text(text) = value else { return None };
        T::NAMED.iter().find(|(word, _)| word == text).map(|(_, value)| *value)
    }
}

impl Choice for Scaling {
    const NAMED: &'static [(&'static str, Self)] = &Self::ALL;
}

impl Choice for Precision {
    const NAMED: &'static [(&'static str, Self)] = &Self::ALL;
}

impl Choice for Decay {
    const NAMED: &'static [(&'static str, Self)] = &Self::ALL;
}

/// The list that a kind of value keeps; it is made once, and stays.
fn words(words: impl Iterator<Item = &'static str>) -> &'static [&'static str] {
    words.collect::<Vec<_>>().leak()
}

/// What a setting accepts whose values are read as `T`.
pub struct Of<T>(pub Kind, PhantomData<T>);

/// What the type itself accepts.
pub fn any<T: OfKind>() -> Of<T> {
    Of(T::kind(), PhantomData)
}

pub fn number(range: Range) -> Of<f64> {
    Of(Kind::Number(range), PhantomData)
}

pub fn count<T: Integer>(least: u64, most: u64) -> Of<T> {
    Of(Kind::Count { least, most }, PhantomData)
}

/// A type that holds whole numbers.
pub trait Integer {}

impl Integer for u32 {}
impl Integer for u64 {}
impl Integer for usize {}

/// See [`Kind::Stretch`].
pub fn stretch(bare: Option<&'static str>, time: bool, zero: bool) -> Of<Stretch> {
    Of(Kind::Stretch { bare, time, zero }, PhantomData)
}

/// Seconds.
pub fn time() -> Of<f64> {
    Of(Kind::Time, PhantomData)
}

/// From `low` to the largest f32: what is larger would be infinite where it is used.
pub const fn from(low: f64) -> Range {
    Range { low, with_low: true, high: f32::MAX as f64, with_high: true }
}

/// As [`from`], without `low` itself.
pub const fn above(low: f64) -> Range {
    Range { with_low: false, ..from(low) }
}

impl Range {
    pub(super) const fn to(self, high: f64) -> Self {
        Self { high, ..self }
    }

    pub(super) const fn below(self, high: f64) -> Self {
        Self { high, with_high: false, ..self }
    }
}
