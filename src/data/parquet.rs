//! Parquet files of labelled pictures in the hub's layout, row by row.
//!
//! ```text
//! image | img           a struct that holds `bytes`, the picture as its file has it
//! label | fine_label    a whole number; `info.features.NAME.names` of the JSON under the key `huggingface` names the classes
//! ```
//!
//! The readers of foreign formats are not ours to trust: broken files make them panic, or read for minutes. So they work on a thread
//! that the caller's can give up on, and are at most two pieces ahead.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use candle_datasets::hub::FileReader as _;
use parquet::basic::Type as Physical;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{self, Field};
use parquet::schema::types::{Type, TypePtr};

use super::file;
use crate::read::Steady;

/// A file of which nothing has come for this long does not end; a piece takes a tenth of a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Names of the column of pictures, and of that of labels: the first that is there.
const PICTURES: [&str; 2] = ["image", "img"];
const LABELS: [&str; 2] = ["label", "fine_label"];

/// A piece ends with the row that makes it so large.
const PIECE_ROWS: usize = 2048;
const PIECE_BYTES: usize = 16 << 20;

/// Rows that the reader of columns is ahead of them.
const BATCH_ROWS: usize = 256;

/// Most columns of a file, those within structs counted too. The reader of schemata calls itself for each that lies in another, and a stack
/// that overflows ends the program.
const MOST_COLUMNS: u64 = 4096;

/// Stack of the thread that reads, for as many calls; what is not used is not taken.
const STACK_BYTES: usize = 64 << 20;

/// What is read of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Labels alone: pictures are none.
    Labels,
    /// Pictures and labels.
    All,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// The coded picture, part of the page that it was read with; none where the row has none.
    pub picture: Option<ByteArray>,
    /// Its class, whatever number it is.
    pub label: i64,
}

/// What the end of a file says of it, before any row is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Rows.
    pub rows: u64,
    /// Names of the classes, where they are given.
    pub names: Option<Vec<String>>,
}

/// A file that is being read: an iterator of pieces, each of a few rows at least. After an error there is no more.
#[derive(Debug)]
pub(super) struct Table {
    /// What the end of the file says.
    pub head: Head,
    pieces: Receiver<News>,
    patience: Duration,
}

/// What comes of a file, or what is wrong with it.
type News = Result<Piece, String>;

enum Piece {
    Head(Head),
    Rows(Vec<Row>),
}

impl Table {
    /// Opens a file. Where nothing comes of it for `patience`, it is given up.
    ///
    /// # Errors
    /// If it cannot be read or has another layout: what is wrong, in words to stand behind its name.
    pub fn open(path: &Path, wanted: Wanted, patience: Duration) -> Result<Self, String> {
        let (sender, pieces) = mpsc::sync_channel(1);
        let path = path.to_owned();
        let work = move || {
            let outcome = crate::quietly(|| send(&path, wanted, &sender));
            if let Err(why) = outcome.unwrap_or_else(Err) {
                // Nobody listens after a time-out.
                let _ = sender.send(Err(why));
            }
        };
        let thread = std::thread::Builder::new().name("parquet".into()).stack_size(STACK_BYTES);
        thread.spawn(work).map_err(|error| error.to_string())?;
        let mut table = Self { head: Head::default(), pieces, patience };
        match table.news() {
            Some(Ok(Piece::Head(head))) => table.head = head,
            Some(Err(why)) => return Err(why),
            _ => return Err("gives nothing".to_owned()),
        }
        Ok(table)
    }

    fn news(&self) -> Option<News> {
        match self.pieces.recv_timeout(self.patience) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => Some(Err(format!("does not end: nothing came for {:?}", self.patience))),
        }
    }
}

impl Iterator for Table {
    type Item = Result<Vec<Row>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.news()? {
            Ok(Piece::Rows(rows)) => Some(Ok(rows)),
            Ok(Piece::Head(_)) => None,
            Err(why) => Some(Err(why)),
        }
    }
}

/// Sends what a file holds, piece by piece, until nobody listens.
fn send(path: &Path, wanted: Wanted, pieces: &SyncSender<News>) -> Result<(), String> {
    let mut opened = file::open(path).map_err(|failure| unnamed(path, &failure.to_string()))?;
    expect_few_columns(&mut opened).map_err(|error| error.to_string())??;
    let reader = SerializedFileReader::new(opened.file).map_err(shortened)?;
    let metadata = reader.metadata().file_metadata().clone();
    let columns = Columns::of(metadata.schema(), wanted)?;
    let promised = metadata.num_rows();
    let rows = u64::try_from(promised).map_err(|_| format!("promises {promised} rows"))?;
    if pieces.send(Ok(Piece::Head(Head { rows, names: columns.names(&metadata)? }))).is_err() {
        return Ok(());
    }
    let all = RowIter::from_file_into(Box::new(reader)).project(Some(columns.projection(metadata.schema())?));
    let (mut piece, mut bytes, mut left) = (Vec::new(), 0, rows);
    for row in all.map_err(shortened)?.with_batch_size(BATCH_ROWS) {
        let place = rows - left;
        left = left.checked_sub(1).ok_or_else(|| format!("holds more than the {rows} rows that it promises"))?;
        let row = columns.row(row.map_err(shortened)?).map_err(|what| format!("row {place} {what}"))?;
        bytes += row.picture.as_ref().map_or(0, ByteArray::len);
        piece.push(row);
        if piece.len() == PIECE_ROWS || bytes >= PIECE_BYTES {
            bytes = 0;
            if pieces.send(Ok(Piece::Rows(std::mem::take(&mut piece)))).is_err() {
                return Ok(());
            }
        }
    }
    if !piece.is_empty() && pieces.send(Ok(Piece::Rows(piece))).is_err() {
        return Ok(());
    }
    if left > 0 {
        return Err(format!("holds {left} rows fewer than the {rows} that it promises"));
    }
    Ok(())
}

/// What a failure says behind the path that it begins with.
fn unnamed(path: &Path, text: &str) -> String {
    text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(text).to_owned()
}

/// Requires that a file ends as parquet files do, and that its schema is short. The schema is the second field of what stands before the
/// last eight bytes, in Thrift's compact protocol: a list, whose head says how many elements it has.
fn expect_few_columns(opened: &mut file::Opened) -> std::io::Result<Result<(), String>> {
    const MAGIC: &[u8; 4] = b"PAR1";
    let no_table = || Ok(Err("is no parquet file: it does not end as one".to_owned()));
    let mut file = Steady(&mut opened.file);
    let mut end = [0; 8];
    let Some(before) = opened.bytes.checked_sub(8) else { return no_table() };
    file.seek(SeekFrom::Start(before))?;
    file.read_exact(&mut end)?;
    let (length, magic) = end.split_at(4);
    let length = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
    let Some(begin) = before.checked_sub(length).filter(|_| magic == MAGIC) else { return no_table() };
    // A head needs 18 bytes at most: two of one byte and two numbers of at most five, and room to spare.
    let mut head = vec![0; length.min(32) as usize];
    file.seek(SeekFrom::Start(begin))?;
    file.read_exact(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match elements(&head) {
        Some(count) if count <= MOST_COLUMNS => Ok(()),
        Some(count) => Err(format!("has {count} columns, expected at most {MOST_COLUMNS}")),
        None => Err("is no parquet file: what its end says begins with no schema".to_owned()),
    })
}

/// The elements of the schema of a file that ends with a text that begins so.
fn elements(head: &[u8]) -> Option<u64> {
    const VERSION: u8 = 0x15; // field 1, a number
    const SCHEMA: u8 = 0x19; // the field after it, a list
    const STRUCT: u8 = 0x0c;
    let mut bytes = head.iter().copied();
    let number = |bytes: &mut dyn Iterator<Item = u8>| -> Option<u64> {
        let mut number = 0;
        for place in 0..5 {
            let byte = bytes.next()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    };
    if bytes.next()? != VERSION {
        return None;
    }
    number(&mut bytes)?;
    if bytes.next()? != SCHEMA {
        return None;
    }
    let list = bytes.next()?;
    match (list & 0x0f, list >> 4) {
        (STRUCT, 15) => number(&mut bytes),
        (STRUCT, short) => Some(u64::from(short)),
        _ => None,
    }
}

/// The columns that are read.
struct Columns {
    picture: Option<TypePtr>,
    label: TypePtr,
}

impl Columns {
    fn of(schema: &Type, wanted: Wanted) -> Result<Self, String> {
        let is_there = |name: &&str| schema.get_fields().iter().find(|field| field.name() == *name).cloned();
        let single = |field: &TypePtr| {
            let info = field.get_basic_info();
            !info.has_repetition() || info.repetition() != parquet::basic::Repetition::REPEATED
        };
        let is_picture = |field: &TypePtr| {
            let bytes = |inner: &TypePtr| {
                inner.name() == "bytes" && inner.is_primitive() && inner.get_physical_type() == Physical::BYTE_ARRAY
            };
            single(field) && field.is_group() && field.get_fields().iter().any(bytes)
        };
        let is_label = |field: &TypePtr| {
            single(field)
                && field.is_primitive()
                && matches!(field.get_physical_type(), Physical::INT32 | Physical::INT64)
        };
        let picture = PICTURES.iter().find_map(|name| is_there(name).filter(is_picture));
        let label = LABELS.iter().find_map(|name| is_there(name).filter(is_label));
        match (picture, label) {
            (Some(picture), Some(label)) => Ok(Self { picture: (wanted == Wanted::All).then_some(picture), label }),
            (None, _) => Err(format!("has no column `image` or `img` that holds `bytes`: {}", listed(schema))),
            (_, None) => Err(format!("has no column `label` of whole numbers: {}", listed(schema))),
        }
    }

    /// A schema of these columns alone, and of a picture of its bytes.
    fn projection(&self, schema: &Type) -> Result<Type, String> {
        let mut fields = Vec::new();
        if let Some(picture) = &self.picture {
            let info = picture.get_basic_info();
            let bytes = picture.get_fields().iter().filter(|field| field.name() == "bytes").cloned().collect();
            let mut group = Type::group_type_builder(picture.name()).with_fields(bytes);
            group =
                group.with_converted_type(info.converted_type()).with_logical_type(info.logical_type_ref().cloned());
            if info.has_repetition() {
                group = group.with_repetition(info.repetition());
            }
            fields.push(Arc::new(group.with_id(info.has_id().then(|| info.id())).build().map_err(shortened)?));
        }
        fields.push(self.label.clone());
        Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(shortened)
    }

    /// Names of the classes, where the file has them as `datasets` writes them.
    fn names(&self, metadata: &FileMetaData) -> Result<Option<Vec<String>>, String> {
        let pairs = metadata.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        let text = pairs.iter().find(|pair| pair.key == "huggingface").and_then(|pair| pair.value.as_deref());
        // What is there besides is not ours, and need not even be JSON.
        let json: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(text).ok());
        let pointer = format!("/info/features/{}/names", self.label.name());
        let Some(names) = json.as_ref().and_then(|json| json.pointer(&pointer)?.as_array()) else { return Ok(None) };
        let names: Vec<String> = names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        match names.iter().find(|name| name.len() > MOST_NAME_BYTES) {
            Some(name) => {
                Err(format!("the name of a class has {} bytes, expected at most {MOST_NAME_BYTES}", name.len()))
            }
            None => Ok(Some(names).filter(|names| !names.is_empty())),
        }
    }

    /// A row, or what is wrong with it.
    fn row(&self, row: record::Row) -> Result<Row, String> {
        let (mut picture, mut label) = (None, None);
        for (name, field) in row.into_columns() {
            match field {
                Field::Group(group) if name != self.label.name() => {
                    picture = group.into_columns().into_iter().find_map(|(name, field)| match field {
                        Field::Bytes(bytes) if name == "bytes" => Some(bytes),
                        _ => None,
                    });
                }
                field if name == self.label.name() => label = number(&field),
                _ => {}
            }
        }
        Ok(Row { picture, label: label.ok_or("has no label")? })
    }
}

/// Most bytes of the name of a class, as of that of a folder.
const MOST_NAME_BYTES: usize = 255;

fn number(field: &Field) -> Option<i64> {
    match *field {
        Field::Byte(number) => Some(number.into()),
        Field::Short(number) => Some(number.into()),
        Field::Int(number) => Some(number.into()),
        Field::Long(number) => Some(number),
        Field::UByte(number) => Some(number.into()),
        Field::UShort(number) => Some(number.into()),
        Field::UInt(number) => Some(number.into()),
        Field::ULong(number) => i64::try_from(number).ok(),
        _ => None,
    }
}

/// The columns that a file has.
fn listed(schema: &Type) -> String {
    /// Names that are told.
    const TOLD: usize = 12;
    let names = schema.get_fields().iter().take(TOLD).map(|field| format!("`{}`", clipped(field.name())));
    let more = if schema.get_fields().len() > TOLD { " and others" } else { "" };
    format!("it has {}{more}", names.collect::<Vec<_>>().join(", "))
}

/// A parquet file's error, which may cite the whole of a column.
#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
fn shortened(error: ParquetError) -> String {
    clipped(&error.to_string())
}

fn clipped(text: &str) -> String {
    const MOST_LETTERS: usize = 200;
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    use parquet::basic::Compression;
    use parquet::data_type::{ByteArrayType, Int32Type, Int64Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    /// A parquet file as `datasets` writes it, of these pictures and labels, either of which may be null.
    pub(crate) struct Written<'a> {
        pub columns: [&'a str; 2],
        pub pictures: Vec<Option<Vec<u8>>>,
        pub labels: Vec<Option<i64>>,
        pub names: &'a [&'a str],
        pub compression: Compression,
    }

    impl<'a> Written<'a> {
        pub fn new(pictures: &[Vec<u8>], labels: &[i64]) -> Self {
            Self {
                columns: ["image", "label"],
                pictures: pictures.iter().cloned().map(Some).collect(),
                labels: labels.iter().copied().map(Some).collect(),
                names: &[],
                compression: Compression::SNAPPY,
            }
        }

        pub fn named(self, names: &'a [&'a str]) -> Self {
            Self { names, ..self }
        }

        pub fn bytes(&self) -> Vec<u8> {
            let [image, label] = self.columns;
            let schema = format!(
                "message schema {{ optional group {image} {{ optional binary bytes; optional binary path (UTF8); }} \
                 optional int64 {label}; }}"
            );
            let json = serde_json::json!({ "info": { "features": { label: { "names": self.names, "_type": "ClassLabel" } } } });
            let pairs = (!self.names.is_empty()).then(|| vec![KeyValue::new("huggingface".into(), json.to_string())]);
            let properties =
                WriterProperties::builder().set_compression(self.compression).set_key_value_metadata(pairs).build();
            let mut bytes = Vec::new();
            let schema = Arc::new(parse_message_type(&schema).unwrap());
            let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
            let mut group = writer.next_row_group().unwrap();
            let levels: Vec<i16> = self.pictures.iter().map(|picture| if picture.is_some() { 2 } else { 0 }).collect();
            let pictures: Vec<ByteArray> = self.pictures.iter().flatten().cloned().map(ByteArray::from).collect();
            let paths = vec![ByteArray::from("0.png"); pictures.len()];
            for texts in [pictures, paths] {
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
                column.close().unwrap();
            }
            let levels: Vec<i16> = self.labels.iter().map(|label| i16::from(label.is_some())).collect();
            let labels: Vec<i64> = self.labels.iter().flatten().copied().collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(&labels, Some(&levels), None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
            writer.close().unwrap();
            bytes
        }
    }

    /// A file of one column of numbers.
    fn of_one_column(schema: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&[1], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    /// Reads a file of these bytes.
    fn read(bytes: &[u8], wanted: Wanted) -> Result<(Head, Vec<Row>), String> {
        let folder = crate::fuzz::folder();
        let path = folder.path().join("a.parquet");
        std::fs::write(&path, bytes).unwrap();
        let mut table = Table::open(&path, wanted, Duration::from_secs(5))?;
        let mut rows = Vec::new();
        for piece in table.by_ref() {
            rows.extend(piece?);
        }
        Ok((table.head, rows))
    }

    #[test]
    fn rows_and_names_are_those_of_the_file() {
        let pictures = [b"a".to_vec(), b"bc".to_vec()];
        let row = |picture: Option<&[u8]>, label| Row { picture: picture.map(|bytes| bytes.to_vec().into()), label };
        let written = Written { columns: ["img", "fine_label"], ..Written::new(&pictures, &[1, -1]) };
        let (head, rows) = read(&written.bytes(), Wanted::All).unwrap();
        assert_eq!((head.rows, head.names), (2, None));
        assert_eq!(rows, [row(Some(b"a"), 1), row(Some(b"bc"), -1)]);
        let (head, rows) = read(&written.named(&["cat", "dog"]).bytes(), Wanted::Labels).unwrap();
        assert_eq!(head.names.unwrap(), ["cat", "dog"]);
        assert_eq!(rows, [row(None, 1), row(None, -1)]);

        let mut nulls = Written::new(&pictures, &[0, 1]);
        nulls.pictures[1] = None;
        assert_eq!(read(&nulls.bytes(), Wanted::All).unwrap().1[1], row(None, 1));
        nulls.labels[0] = None;
        assert_eq!(read(&nulls.bytes(), Wanted::All).unwrap_err(), "row 0 has no label");
        let many = Written::new(&vec![b"x".to_vec(); 5000], &vec![3; 5000]);
        assert_eq!(read(&many.bytes(), Wanted::All).unwrap().1, vec![row(Some(b"x"), 3); 5000]);
    }

    #[test]
    fn files_of_another_layout_are_refused_with_what_they_have() {
        let why = |bytes: &[u8]| read(bytes, Wanted::All).unwrap_err();
        let refused = why(&of_one_column("message schema { required int32 label; }"));
        assert_eq!(refused, "has no column `image` or `img` that holds `bytes`: it has `label`");
        let pictures = [b"a".to_vec()];
        let refused = why(&Written { columns: ["image", "digit"], ..Written::new(&pictures, &[1]) }.bytes());
        assert_eq!(refused, "has no column `label` of whole numbers: it has `image`, `digit`");
        let long = "x".repeat(256);
        let long = [long.as_str()];
        assert!(
            why(&Written::new(&pictures, &[0]).named(&long).bytes()).contains("has 256 bytes, expected at most 255")
        );
        for bytes in [&b""[..], b"PAR1", b"a text, and a long one", b"PAR1\xff\xff\xff\x7fPAR1"] {
            assert!(why(bytes).contains("is no parquet file"), "{bytes:?}");
        }
    }

    #[test]
    fn a_schema_deep_within_itself_overflows_no_stack() {
        // Each element: required, called `m`, and one within it.
        let element = [0x35, 0, 0x18, 1, b'm', 0x15, 2, 0];
        let of = |count: u32| {
            let head = [
                0x15,
                2,
                0x19,
                0xfc,
                (count & 0x7f) as u8 | 0x80,
                (count >> 7 & 0x7f) as u8 | 0x80,
                (count >> 14) as u8,
            ];
            let end = [&head[..], &element.repeat(count as usize)].concat();
            [b"PAR1", &end[..], &(end.len() as u32).to_le_bytes(), b"PAR1"].concat()
        };
        assert_eq!(read(&of(1_000_000), Wanted::All).unwrap_err(), "has 1000000 columns, expected at most 4096");
        assert!(read(&of(4096), Wanted::All).is_err());
    }
}
