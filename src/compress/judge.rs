//! The images that files are judged by: those held out from training for choices, the test images for the one that was chosen.

use std::path::Path;

use anyhow::Result;

use super::Request;
use super::coded::Measured;
use crate::amc::{Image, Net};
use crate::config::Config;
use crate::data::batches::Division;
use crate::data::images::Images;
use crate::data::imported::Imported;
use crate::data::{self, Spec};
use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use crate::run::checkpoint::Meta;

/// Images of the training split that say how large hidden outputs become.
const SAMPLE: usize = 2000;

/// Images with their classes.
#[derive(Debug)]
pub struct Judge {
    /// Name of the data set.
    pub dataset: String,
    /// Size of an image.
    pub image: Image,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Normalisation of the pixels, as the nets were trained.
    pub channels: Vec<Channel>,
    /// Images trained on, a sample.
    pub sample: Vec<u8>,
    valid: Images,
    test: Images,
}

impl Judge {
    /// Those of a configuration's data.
    ///
    /// # Errors
    /// If the data is missing or broken.
    pub fn new(config: &Config, request: &Request) -> Result<Self> {
        let spec = &config.dataset;
        if !spec.numbers.are_bytes() {
            let what = format!("a compressed net looks at images, and `{}` holds features", spec.name);
            return Err(Failure::new(Exit::Usage, what)
                .hint("`adamtrain export` writes its net in other formats")
                .into());
        }
        let mut dataset = data::load(spec, config.data_dir.as_deref(), request.style.quiet)?;
        let mut classes = spec.classes.clone();
        // Nets that are trained learn the classes of the data as it is; the run's own has those that it was trained on.
        if request.format.is_some() {
            classes = classes_of(&request.checkpoint.meta).unwrap_or(classes);
            label_as(&classes, &mut dataset.imported, spec, &request.path)?;
            let held_out = request.checkpoint.meta.config.get("data.valid_fraction");
            if held_out.is_none_or(|fraction| fraction == "0") {
                tracing::warn!(
                    "{}: the run held out no images: what is said of its validation images is of images that it was trained on",
                    request.path.display()
                );
            }
        }
        let train = &dataset.imported.train;
        let division = Division::new(train.len(), config.valid_fraction, config.limit_train, config.data_seed);
        let inputs = spec.inputs();
        let chosen = |indices: &[u32]| Images {
            pixels: indices.iter().flat_map(|&i| &train.pixels[i as usize * inputs..][..inputs]).copied().collect(),
            labels: indices.iter().map(|&i| train.labels[i as usize]).collect(),
        };
        if division.valid.is_empty() {
            let what = format!("no image of `{}` is held out to judge files by", spec.name);
            return Err(Failure::new(Exit::Usage, what).hint("--set data.valid_fraction=0.5 holds out more").into());
        }
        Ok(Self {
            dataset: name(spec),
            image: Image { channels: spec.channels, height: spec.rows, width: spec.columns },
            classes,
            channels: dataset.channels(config.scaling),
            sample: chosen(&division.train[..division.train.len().min(SAMPLE)]).pixels,
            valid: chosen(&division.valid),
            test: dataset.imported.test,
        })
    }

    /// How a net does on the images held out.
    pub fn valid(&self, net: &Net) -> Measured {
        measure(net, &self.valid)
    }

    /// How a net does on the test images, where there are some.
    pub fn test(&self, net: &Net) -> Option<Measured> {
        (!self.test.is_empty()).then(|| measure(net, &self.test))
    }
}

/// The names of the classes of a checkpoint's net, if they are known.
fn classes_of(meta: &Meta) -> Option<Vec<String>> {
    match &meta.data.described {
        Some(described) => Some(described.classes.clone()),
        None => Spec::named(&meta.data.name).map(|spec| spec.classes.clone()),
    }
}

/// Labels images of classes that are called so, or some of these, by their places among them.
fn label_as(classes: &[String], data: &mut Imported, spec: &Spec, path: &Path) -> Result<(), Failure> {
    let place = |name: &String| {
        classes.iter().position(|class| class == name).and_then(|place| u8::try_from(place).ok()).ok_or_else(|| {
            let what = format!("{}: `{name}` of `{}` is no class of its net", path.display(), spec.name);
            Failure::new(Exit::Run, what).hint("give data whose classes have the names of the net's by --dataset")
        })
    };
    let places: Vec<u8> = spec.classes.iter().map(place).collect::<Result<_, _>>()?;
    let labels = data.train.labels.iter_mut().chain(&mut data.test.labels);
    labels.for_each(|label| *label = places[usize::from(*label)]);
    Ok(())
}

fn measure(net: &Net, images: &Images) -> Measured {
    let mut measured = Measured { errors: 0, of: images.len() as u64, loss: 0.0 };
    for ((predicted, loss), &label) in net.judged(&images.pixels, &images.labels).into_iter().zip(&images.labels) {
        measured.errors += u64::from(predicted != usize::from(label));
        measured.loss += loss;
    }
    measured.loss /= (images.len() as f64).max(1.0);
    measured
}

/// What the file calls the data set: by the name of a published one its own readers take that for it, so somebody's own of that name is
/// told from it.
fn name(spec: &Spec) -> String {
    let is_taken = spec.is_by_path() && Spec::named(&spec.name).is_some();
    if is_taken { format!("./{}", spec.name) } else { spec.name.clone() }
}
