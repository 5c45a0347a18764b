//! Steps without the host: a whole step is recorded once as a graph of launches and repeated from then on.
//!
//! The host tells the device where a step stands (a [`StepPosition`]) and the rule's scalars; all else is the same in every step with as many
//! rows. So there is a graph for whole batches and one for the short batch at the end of an epoch. The first steps run launch by
//! launch, which loads what has to be loaded and fills every table. Where recording fails, steps go on so.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;
use candle_core::{Tensor, TensorId};

use super::position::StepPosition;
use super::queue::{Graph, Queue};
use crate::error::described;

/// Steps with as many rows that run launch by launch before one is recorded.
const WARM_UP: u64 = 2;

/// A step, as far as the device must know which it is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its rows.
    pub rows: usize,
    /// Where it starts in the order of samples.
    pub start: usize,
    /// The number of its first sample over the whole run.
    pub sample: u64,
}

/// The steps of a trainer.
pub struct Steps {
    position: StepPosition,
    /// The order of samples that recorded steps read, and the tensor it was copied from.
    order: Option<(Tensor, TensorId)>,
    /// The images that they read.
    pixels: Option<TensorId>,
    /// By rows.
    graphs: HashMap<usize, Recording>,
    /// Whether recording has failed, or is not wanted.
    is_eager: bool,
}

enum Recording {
    /// So many steps have run.
    WarmingUp(u64),
    Recorded(Box<dyn Graph>),
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps")
            .field("rows", &self.graphs.keys())
            .field("is_eager", &self.is_eager)
            .finish_non_exhaustive()
    }
}

impl Steps {
    /// On the device that holds `beside`. Nothing is recorded where `is_eager`.
    pub fn new(beside: &Tensor, is_eager: bool) -> Result<Self> {
        Ok(Self { position: StepPosition::new(beside)?, order: None, pixels: None, graphs: HashMap::new(), is_eager })
    }

    /// The order of samples u32 `[N′]` of these images in the memory that steps read; it is copied there when it is another than
    /// before.
    pub fn order(&mut self, queue: &dyn Queue, order: &Tensor, pixels: &Tensor) -> Result<Tensor> {
        if self.pixels.replace(pixels.id()) != Some(pixels.id()) {
            self.order = None;
        }
        if let Some((kept, of)) = &mut self.order
            && kept.elem_count() == order.elem_count()
        {
            if *of != order.id() {
                let bytes = order.elem_count() * size_of::<u32>();
                queue.copy(super::memory::address::<u32>(order)?, super::memory::address::<u32>(kept)?, bytes)?;
                *of = order.id();
            }
            return Ok(kept.clone());
        }
        // Another length: what was recorded reads other memory.
        self.graphs.clear();
        let kept = order.copy()?;
        self.order = Some((kept.clone(), order.id()));
        Ok(kept)
    }

    /// Takes a step, for which `body` asks for the launches.
    pub fn run(&mut self, queue: &Rc<dyn Queue>, step: Step, body: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let Step { rows, start, sample } = step;
        self.position.write(&**queue, start, sample)?;
        let recording = self.graphs.entry(rows).or_insert(Recording::WarmingUp(0));
        if let Recording::WarmingUp(steps) = recording {
            if self.is_eager || *steps < WARM_UP {
                *steps += 1;
                return self.position.within(start, sample, body);
            }
            match self.position.within(start, sample, || queue.capture(body)) {
                Ok(graph) => *recording = Recording::Recorded(graph),
                Err(error) => {
                    let why = described(&error);
                    tracing::warn!("the step is not recorded as a graph, and runs launch by launch: {why}");
                    self.is_eager = true;
                    return self.position.within(start, sample, body);
                }
            }
        }
        match recording {
            Recording::Recorded(graph) => Ok(graph.launch()?),
            Recording::WarmingUp(_) => Ok(()),
        }
    }

    /// Forgets what was recorded.
    pub fn forget(&mut self) {
        self.graphs.clear();
    }

    /// How many steps are recorded.
    pub fn recorded(&self) -> usize {
        self.graphs.values().filter(|recording| matches!(recording, Recording::Recorded(_))).count()
    }
}
