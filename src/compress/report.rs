//! What came of a compression: a row for each stage, a row for each layer, as text and as JSON.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Map, Value as Json, json};

use super::Request;
use super::coded::{Candidate, Measured, zeros};
use super::judge::Judge;
use super::ladder::Trained;
use crate::amc::{self, Parts};
use crate::device;
use crate::draw::{Axis, Chart, Estimate, Figure, Form, Overlay, Panel, Scale};
use crate::model::Shape;
use crate::report::table::{Side, aligned, duration};
use crate::report::{Style, answer};
use crate::run::write;

/// A stage on the way.
#[derive(Clone, Debug)]
pub struct Stage {
    name: String,
    bytes: u64,
    /// Share of the weights that are 0.
    sparsity: f64,
    /// The same where weights of units that reach no output, or are reached by no input, count as 0.
    effective: f64,
    valid: Option<f64>,
    test: Option<Measured>,
}

impl Stage {
    /// A net of the ladder, coded as it was trained.
    pub fn trained(trained: &Trained, coded: &Candidate, weights: u64) -> Self {
        let sparsity = trained.last.sparsity.unwrap_or_default();
        Self { sparsity, ..Self::coded("trained for size".into(), coded, weights, None) }
    }

    /// A file called `name`, of a net of so many weights before.
    fn coded(name: String, candidate: &Candidate, weights: u64, test: Option<Measured>) -> Self {
        let sparsity = 1.0 - candidate.net.nonzero() as f64 / (weights as f64).max(1.0);
        let (bytes, valid) = (candidate.bytes.len() as u64, Some(candidate.valid.error()));
        Self { name, bytes, sparsity, effective: sparsity, valid, test }
    }
}

/// What is told at the end.
#[derive(Debug)]
pub struct Report {
    /// The stages, in their order.
    pub stages: Vec<Stage>,
    /// Nets that were trained.
    pub nets: usize,
    /// What was chosen among recipes: keys and values.
    pub recipe: Vec<(&'static str, String)>,
    started: Instant,
    parameters: u64,
    /// Weights of the run's net, biases aside.
    pub weights: u64,
    file: Option<File>,
}

/// The file and what it holds.
#[derive(Debug)]
struct File {
    path: String,
    bytes: usize,
    valid: Measured,
    test: Option<Measured>,
    nonzero: usize,
    weights: usize,
    shape: String,
    parts: Parts,
    layers: Vec<(usize, usize, usize)>,
    decode_seconds: f64,
    one_seconds: f64,
    batch_seconds: f64,
}

/// Settings as the command line takes them.
pub fn in_words(settings: &[(&'static str, String)]) -> String {
    settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// Images of a batch whose latency is told.
const BATCH: usize = 256;

impl Report {
    /// One whose first stage is the run itself, of a compression that began then.
    pub fn new(request: &Request, started: Instant) -> Self {
        let shape = &request.checkpoint.meta.model.shape;
        let parameters = shape.parameters();
        let weights = shape.layers().map(|(inputs, outputs)| (inputs * outputs) as u64).sum();
        let last = request.checkpoint.meta.progress.last.as_ref();
        let sparsity = zeros(&request.checkpoint) as f64 / (weights as f64).max(1.0);
        let dense = Stage {
            name: "run, f32".into(),
            bytes: 4 * parameters,
            sparsity,
            effective: sparsity,
            valid: last.and_then(|last| last.valid_accuracy).map(|accuracy| 1.0 - accuracy),
            test: None,
        };
        Self { stages: vec![dense], nets: 0, recipe: Vec::new(), started, parameters, weights, file: None }
    }

    /// Measures the file that was written: here the test images are looked at.
    ///
    /// # Errors
    /// If it cannot be read back.
    pub fn describe(&mut self, path: &Path, judge: &Judge, candidate: &Candidate) -> Result<()> {
        let started = Instant::now();
        let net = amc::Net::read(path)?;
        let decode_seconds = started.elapsed().as_secs_f64();
        let test = judge.test(&net);
        let timed = |images: usize| {
            let pixels = &judge.sample[..(images * judge.image.pixels()).min(judge.sample.len())];
            let mut seconds: Vec<f64> = (0..15)
                .map(|_| {
                    let started = Instant::now();
                    std::hint::black_box(net.logits(pixels));
                    started.elapsed().as_secs_f64()
                })
                .collect();
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        };
        let weights = net.layers.iter().map(|layer| layer.levels.len()).sum();
        self.stages.push(Stage::coded("file".into(), candidate, self.weights, test));
        self.file = Some(File {
            path: path.display().to_string(),
            bytes: candidate.bytes.len(),
            valid: candidate.valid,
            test,
            nonzero: net.nonzero(),
            weights,
            shape: net.shape().to_string(),
            parts: amc::parts(&net)?,
            layers: net.layers.iter().map(|layer| (layer.inputs, layer.outputs, layer.nonzero())).collect(),
            decode_seconds,
            one_seconds: timed(1),
            batch_seconds: timed(BATCH),
        });
        Ok(())
    }

    /// Prints it.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn print(&self, style: Style) -> Result<()> {
        answer(style.json.then(|| self.to_json()).as_ref(), || self.to_text())
    }

    fn to_json(&self) -> Json {
        let stage = |stage: &Stage| {
            json!({
                "stage": stage.name,
                "bytes": stage.bytes,
                "sparsity": stage.sparsity,
                "effective_sparsity": stage.effective,
                "valid_error": stage.valid,
                "test_error": stage.test.map(|test| test.error()),
            })
        };
        let mut event = json!({
            "event": "compress",
            "parameters": self.parameters,
            "nets": self.nets,
            "recipe": self.recipe.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<Map<_, _>>(),
            "seconds": self.started.elapsed().as_secs_f64(),
            "peak_bytes": device::peak_bytes(),
            "stages": self.stages.iter().map(stage).collect::<Vec<_>>(),
        });
        if let Some(file) = &self.file {
            let layers = file.layers.iter().zip(&file.parts.layers);
            let layer = |((inputs, outputs, nonzero), bits): (&(usize, usize, usize), &amc::LayerBits)| {
                json!({
                    "inputs": inputs, "outputs": outputs, "nonzero": nonzero, "mask_bits": bits.mask,
                    "sign_bits": bits.signs, "size_bits": bits.sizes, "bias_bits": bits.biases,
                })
            };
            let own = json!({
                "path": file.path,
                "bytes": file.bytes,
                "ratio": 4.0 * self.parameters as f64 / file.bytes as f64,
                "bits_per_parameter": 8.0 * file.bytes as f64 / self.parameters as f64,
                "net": file.shape,
                "nonzero": file.nonzero,
                "weights": file.weights,
                "valid_errors": file.valid.errors,
                "valid_examples": file.valid.of,
                "valid_error": file.valid.error(),
                "test_errors": file.test.map(|test| test.errors),
                "test_examples": file.test.map_or(0, |test| test.of),
                "test_error": file.test.map(|test| test.error()),
                "test_interval": file.test.map(|test| <[f64; 2]>::from(test.interval())),
                "decoding": { "seconds": file.decode_seconds },
                "image": { "seconds": file.one_seconds },
                "batch": { "images": BATCH, "seconds": file.batch_seconds },
                "layers": layers.map(layer).collect::<Vec<_>>(),
            });
            if let (Json::Object(event), Json::Object(own)) = (&mut event, own) {
                event.extend(own);
            }
        }
        event
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.2}%", 100.0 * share));
        let row = |stage: &Stage| {
            let (bytes, parameters) = (stage.bytes as f64, self.parameters as f64);
            let ratio = format!("{:.1}", 4.0 * parameters / bytes);
            let bits = format!("{:.3}", 8.0 * bytes / parameters);
            let test = stage.test.map(|test| {
                let (low, high) = test.interval();
                format!(
                    "{:.2}% ({}/{}) [{:.2}, {:.2}]",
                    100.0 * test.error(),
                    test.errors,
                    test.of,
                    100.0 * low,
                    100.0 * high
                )
            });
            let [zeros, effective] = [stage.sparsity, stage.effective].map(|share| percent(Some(share)));
            let (name, bytes, test) = (stage.name.clone(), stage.bytes.to_string(), test.unwrap_or("-".into()));
            vec![name, bytes, ratio, bits, zeros, effective, percent(stage.valid), test]
        };
        let names =
            ["stage", "bytes", "ratio", "bits/parameter", "zeros", "effective zeros", "valid error", "test error"];
        let side = |name: &'static str| if name == "stage" { Side::Left } else { Side::Right };
        let rows: Vec<Vec<String>> = self.stages.iter().map(row).collect();
        text += &aligned(&names.map(|name| (name, side(name))), &rows);
        if let Some(file) = &self.file {
            let layer =
                |(index, ((inputs, outputs, nonzero), bits)): (usize, (&(usize, usize, usize), &amc::LayerBits))| {
                    let mut cells = vec![index.to_string(), format!("{outputs}x{inputs}"), nonzero.to_string()];
                    let numbers = [bits.mask, bits.signs, bits.sizes, bits.biases];
                    cells.extend(numbers.map(|bits| format!("{:.0}", bits / 8.0)));
                    cells
                };
            let names = ["layer", "shape", "nonzero", "mask B", "sign B", "size B", "bias B"];
            let layers = file.layers.iter().zip(&file.parts.layers).enumerate();
            let rows: Vec<Vec<String>> = layers.map(layer).collect();
            let _ = writeln!(text, "\n{}", aligned(&names.map(|name| (name, Side::Right)), &rows).trim_end());
            let _ = writeln!(text, "\nfile     {} ({} bytes, {})", file.path, file.bytes, file.shape);
            let _ = writeln!(
                text,
                "speed    decoded in {:.1} ms; an image in {:.3} ms, {BATCH} in {:.2} ms",
                1e3 * file.decode_seconds,
                1e3 * file.one_seconds,
                1e3 * file.batch_seconds
            );
        }
        if !self.recipe.is_empty() {
            let _ = writeln!(text, "recipe   {}", in_words(&self.recipe));
        }
        let nets = crate::text::counted(self.nets as u64, "net");
        let _ = writeln!(text, "cost     {nets} trained, {}", duration(self.started.elapsed().as_secs_f64()));
        text
    }

    /// Writes the files of a front, from large to small, and reports them.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn finish_front(mut self, request: &Request, judge: &Judge, candidates: &[Candidate]) -> Result<i32> {
        let mut sorted: Vec<&Candidate> = candidates.iter().collect();
        sorted.sort_by_key(|candidate| (candidate.bytes.len(), candidate.valid.errors));
        // A file belongs to the front where no smaller one mistakes as few.
        let mut front: Vec<&Candidate> = Vec::new();
        for candidate in sorted {
            if front.last().is_none_or(|last| candidate.valid.errors < last.valid.errors) {
                front.push(candidate);
            }
        }
        write::folder(&request.out)?;
        for candidate in front.iter().rev() {
            let name = format!("{:06}.amc", candidate.bytes.len());
            write::replace(&request.out.join(&name), &candidate.bytes)?;
            let test = judge.test(&candidate.net);
            self.stages.push(Stage::coded(name, candidate, self.weights, test));
        }
        let figure = self.figure(&request.checkpoint.meta.model.shape, &judge.dataset);
        write::replace(&request.out.join("front.svg"), figure.to_svg().as_bytes())?;
        self.print(request.style)?;
        Ok(0)
    }

    /// Error over bytes, of the files of a front.
    fn figure(&self, run: &Shape, dataset: &str) -> Figure {
        // Behind the run itself.
        let mut files: Vec<&Stage> = self.stages.iter().skip(1).collect();
        files.sort_by_key(|stage| stage.bytes);
        let mut panel = Panel::default();
        let mut errors = Vec::new();
        for (x, stage) in files.iter().enumerate() {
            let of_split = [stage.valid, stage.test.map(|test| test.error())];
            for (y, error) in of_split.into_iter().enumerate() {
                let Some(percent) = error.map(|error| 100.0 * error) else { continue };
                errors.push(percent);
                panel.cells.insert((y, x), Estimate::of(vec![percent]));
            }
        }
        let bytes: Vec<f64> = files.iter().map(|stage| stage.bytes as f64).collect();
        let chart = Chart {
            form: Form::Lines,
            measure: "error in %".into(),
            scale: Scale::of(&errors),
            bounds: (0.0, 100.0),
            x: Axis {
                name: "bytes".into(),
                labels: bytes.iter().map(|bytes| format!("{bytes:.0}")).collect(),
                numbers: bytes,
                ..Axis::default()
            },
            y: Axis { name: "images".into(), labels: vec!["validation".into(), "test".into()], ..Axis::default() },
            panels: vec![panel],
            best: None,
            diverged: false,
            overlay: Overlay::default(),
        };
        let note = format!("{} of weights in f32", device::in_units(4 * self.parameters));
        Figure { title: format!("{run} on {dataset}, compressed"), note, map: None, charts: vec![chart] }
    }
}
