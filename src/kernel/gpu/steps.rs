//! Steps without the host: steps are recorded once as a graph of launches and repeated from then on, up to [`MOST`] by one launch.
//!
//! The host tells the device the scalars of these steps, and where the first stands unless the launch before has led there
//! ([`StepPosition`]); all else is the same in every step with as many rows. So there are graphs of several lengths for whole batches and
//! one for the short batch at the end of an epoch. The first steps run launch by launch, which loads what has to be loaded and fills
//! every table. Where recording fails, steps go on so.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;
use candle_core::{Tensor, TensorId};

use super::position::{Place, StepPosition};
use super::queue::{Graph, Queue};
use crate::error::described;

/// Steps with as many rows that run launch by launch before some are recorded.
const WARM_UP: u64 = 2;

/// Steps that a launch holds at most. Recording a graph takes the host about as long as launching its steps one by one, a few
/// microseconds a kernel: a longer one would pay in long runs alone.
pub const MOST: usize = 64;

/// Bytes that the tables of a rule's scalars take for a lane, at most: 16 scalars for each step of a launch, rounded and as they were.
pub const TABLE_BYTES: u64 = (MOST * 16 * (size_of::<f32>() + size_of::<f64>())) as u64;

/// The lengths of graphs: any number of steps is a few of them.
const LENGTHS: [usize; 4] = [MOST, 16, 4, 1];

/// Steps that follow each other and have as many rows, as far as the device must know which they are.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// The rows of each.
    pub rows: usize,
    /// Where the first begins.
    pub place: Place,
    /// Samples from one to the next.
    pub samples: usize,
    /// How many they are: as many as [`Steps::length`] says.
    pub count: usize,
}

/// The steps of a trainer.
pub struct Steps {
    position: StepPosition,
    /// The order of samples that recorded steps read, and the tensor it was copied from.
    order: Option<(Tensor, TensorId)>,
    /// The images that they read.
    pixels: Option<TensorId>,
    /// Steps that have run launch by launch, by rows.
    warm: HashMap<usize, u64>,
    /// By rows and number of steps.
    graphs: HashMap<(usize, usize), Box<dyn Graph>>,
    /// Whether recording has failed, or is not wanted.
    is_eager: bool,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps")
            .field("graphs", &self.graphs.keys())
            .field("is_eager", &self.is_eager)
            .finish_non_exhaustive()
    }
}

impl Steps {
    /// On the device that holds `beside`. Nothing is recorded where `is_eager`.
    pub fn new(beside: &Tensor, is_eager: bool) -> Result<Self> {
        Ok(Self {
            position: StepPosition::new(beside)?,
            order: None,
            pixels: None,
            warm: HashMap::new(),
            graphs: HashMap::new(),
            is_eager,
        })
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
        self.forget();
        let kept = order.copy()?;
        self.order = Some((kept.clone(), order.id()));
        Ok(kept)
    }

    fn is_warming_up(&self, rows: usize) -> bool {
        self.is_eager || self.warm.get(&rows).is_none_or(|steps| *steps < WARM_UP)
    }

    /// How many of at most `most` steps of so many rows the next launch holds.
    pub fn length(&self, rows: usize, most: usize) -> usize {
        if self.is_warming_up(rows) {
            return 1;
        }
        LENGTHS.into_iter().find(|length| *length <= most).unwrap_or(1)
    }

    /// Takes steps, for each of which `body`, called with its number among them, asks for the launches.
    pub fn run(
        &mut self,
        queue: &Rc<dyn Queue>,
        launch: Launch,
        body: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let Launch { rows, place, samples, count } = launch;
        self.position.stand_at(&**queue, place)?;
        let (position, is_warming_up) = (&self.position, self.is_warming_up(rows));
        let mut all = || {
            (0..count).try_for_each(|index| position.within(place, index, || body(index)))?;
            Ok(position.ask_to_move(&**queue, count * samples)?)
        };
        if is_warming_up {
            *self.warm.entry(rows).or_default() += 1;
            all()?;
        } else if let Some(graph) = self.graphs.get(&(rows, count)) {
            graph.launch()?;
        } else {
            match queue.capture(&mut all) {
                Ok(graph) => {
                    graph.launch()?;
                    self.graphs.insert((rows, count), graph);
                }
                Err(error) => {
                    let why = described(&error);
                    tracing::warn!("the step is not recorded as a graph, and runs launch by launch: {why}");
                    self.is_eager = true;
                    all()?;
                }
            }
        }
        self.position.has_moved(count * samples);
        Ok(())
    }

    /// Forgets what was recorded.
    pub fn forget(&mut self) {
        self.warm.clear();
        self.graphs.clear();
    }

    /// How many graphs are recorded.
    pub fn recorded(&self) -> usize {
        self.graphs.len()
    }
}
