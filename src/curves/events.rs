//! TensorBoard's event files: scalars, pictures and hyperparameters as records of protocol buffers.
//!
//! ```text
//! record   u64 length · u32 sum of the length · bytes · u32 sum of the bytes, all little-endian
//! sum      the CRC-32C, turned right by 15 bits, plus 0xa282ead8
//! ```
//!
//! The layout is that of TensorFlow's `record_writer.h`, `event.proto` and `summary.proto`, and of the hparams plugin's `plugin_data.proto`.

use serde_json::Value as Json;

use super::MEASURES;
use crate::protobuf::Message;
use crate::train::Record;

/// What the names of event files begin with; TensorBoard looks for it.
pub const FILE: &str = "events.out.tfevents.0000000000.adamtrain";

/// What every event file begins with.
const VERSION: &str = "brain.Event:2";

/// The polynomial of CRC-32C (Castagnoli 1993), its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

fn sum(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Event files in the making.
#[derive(Clone, Debug, Default)]
pub struct Events {
    bytes: Vec<u8>,
}

impl Events {
    /// One that says which version it is of; `wall_time` is in seconds since 1970.
    pub fn new(wall_time: f64) -> Self {
        let mut events = Self::default();
        events.put(Message::default().double(1, wall_time).text(3, VERSION));
        events
    }

    /// Records without that, to be appended to a file that has it.
    pub fn more() -> Self {
        Self::default()
    }

    /// The bytes of the records.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn put(&mut self, event: Message) {
        let event = event.into_bytes();
        let length = (event.len() as u64).to_le_bytes();
        for part in [&length[..], &sum(&length), &event, &sum(&event)] {
            self.bytes.extend_from_slice(part);
        }
    }

    fn summary(&mut self, wall_time: f64, step: u64, values: &[Message]) {
        let summary = Message::default().messages(1, values);
        self.put(Message::default().double(1, wall_time).number(2, step as i64).message(5, &summary));
    }

    /// The numbers of a line of the metrics, called `loss/train`, `accuracy/test`, `health/update_ratio/layers.0.weight` and so on.
    pub fn record(&mut self, wall_time: f64, record: &Record) {
        let mut named: Vec<(String, f64)> = Vec::new();
        for measure in MEASURES {
            named.extend((measure.of)(record).map(|value| (tag(measure.name), value)));
        }
        if let Some(health) = &record.health {
            for (name, of) in &health.parameters {
                let kinds = [
                    ("gradient_norm", of.gradient_norm),
                    ("update_ratio", of.update_ratio),
                    ("effective_lr", of.effective_lr),
                    ("update_cosine", of.update_cosine),
                    ("epsilon_share", of.epsilon_share),
                ];
                named.extend(
                    kinds.into_iter().filter_map(|(kind, value)| Some((format!("health/{kind}/{name}"), value?))),
                );
            }
            named.extend(health.dead_units.iter().map(|(layer, share)| (format!("health/dead_units/{layer}"), *share)));
        }
        let value = |(tag, value): &(String, f64)| Message::default().text(1, tag).float(2, *value as f32);
        self.summary(wall_time, record.step, &named.iter().map(value).collect::<Vec<_>>());
    }

    /// A picture.
    pub fn picture(&mut self, wall_time: f64, step: u64, tag: &str, png: &[u8], [width, height]: [usize; 2]) {
        let image = Message::default().number(1, height as i64).number(2, width as i64).number(3, 3).bytes(4, png);
        self.summary(wall_time, step, &[Message::default().text(1, tag).message(4, &image)]);
    }

    /// The settings of a run, and what they led to, for the page of hyperparameters.
    pub fn hyperparameters(
        &mut self,
        wall_time: f64,
        step: u64,
        settings: &[(String, Json)],
        metrics: &[(String, f64)],
    ) {
        let value = |value: &Json| match value {
            Json::Bool(on) => Message::default().number(4, i64::from(*on)),
            Json::Number(number) => Message::default().double(2, number.as_f64().unwrap_or_default()),
            Json::String(text) => Message::default().text(3, text),
            other => Message::default().text(3, &other.to_string()),
        };
        let kind = |value: &Json| match value {
            Json::Bool(_) => 2,
            Json::Number(_) => 3,
            _ => 1,
        };
        let info = |(name, value): &(String, Json)| Message::default().text(1, name).number(4, kind(value));
        let metric = |(tag, _): &(String, f64)| Message::default().message(1, &Message::default().text(2, tag));
        let experiment = Message::default()
            .messages(4, &settings.iter().map(info).collect::<Vec<_>>())
            .messages(5, &metrics.iter().map(metric).collect::<Vec<_>>());
        let entry = |(name, found): &(String, Json)| Message::default().text(1, name).message(2, &value(found));
        let begin =
            Message::default().messages(1, &settings.iter().map(entry).collect::<Vec<_>>()).double(5, wall_time);
        let end = Message::default().number(1, 1).double(2, wall_time);
        for (name, field, data) in
            [("experiment", 2, experiment), ("session_start_info", 3, begin), ("session_end_info", 4, end)]
        {
            let content = Message::default().message(field, &data);
            let plugin = Message::default().text(1, "hparams").bytes(2, &content.into_bytes());
            let tagged = Message::default().text(1, &format!("_hparams_/{name}"));
            self.summary(wall_time, 0, &[tagged.message(9, &Message::default().message(1, &plugin))]);
        }
        let scalar = |(tag, number): &(String, f64)| Message::default().text(1, tag).float(2, *number as f32);
        self.summary(wall_time, step, &metrics.iter().map(scalar).collect::<Vec<_>>());
    }
}

/// The name of a measure there: what is alike stands in one chart.
pub fn tag(name: &str) -> String {
    match name.rsplit_once('_') {
        Some((split, what @ ("loss" | "accuracy"))) => format!("{what}/{split}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn tags_put_splits_side_by_side() {
        assert_eq!(
            (tag("train_loss"), tag("ema_test_accuracy")),
            ("loss/train".to_owned(), "accuracy/ema_test".to_owned())
        );
        assert_eq!(tag("samples_per_second"), "samples_per_second");
    }
}
