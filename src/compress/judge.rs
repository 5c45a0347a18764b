//! The images that files are judged by: those held out from training for choices, the test images for the one that was chosen.

use anyhow::Result;

use super::Request;
use super::coded::Measured;
use crate::amc::{Image, Net};
use crate::config::Config;
use crate::data::batches::Division;
use crate::data::images::Images;
use crate::data::{self, Spec};
use crate::error::{Exit, Failure};
use crate::kernel::Channel;

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
        let dataset = data::load(spec, config.data_dir.as_deref(), request.style.quiet)?;
        let train = &dataset.imported.train;
        let division = Division::new(train.len(), config.valid_fraction, config.limit_train, config.data_seed);
        let inputs = spec.inputs();
        let chosen = |indices: &[u32]| Images {
            pixels: indices.iter().flat_map(|&i| &train.pixels[i as usize * inputs..][..inputs]).copied().collect(),
            labels: indices.iter().map(|&i| train.labels[i as usize]).collect(),
        };
        Ok(Self {
            dataset: name(spec),
            image: Image { channels: spec.channels, height: spec.rows, width: spec.columns },
            classes: spec.classes.clone(),
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

    /// How a net does on the test images.
    pub fn test(&self, net: &Net) -> Measured {
        measure(net, &self.test)
    }
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
