//! What runs on a device: operations on tensors, in place, into buffers that are kept from step to step.
//!
//! `ops` says what is done, each operation for both kinds of device: in host memory it borrows slices and runs the loops of `host`,
//! on a GPU it asks the queue of [`gpu`] for launches. Where nothing hurries, the elements are brought to host memory and back.
//! All `unsafe` of the program lies here.
//!
//! Every function with a `Result` fails where the device does or its memory does not suffice; what else it refuses, its docs say.
//! Shapes, everywhere: N examples, B batch (the rows in use may be fewer), D inputs, C classes, K lanes.

mod element;
pub mod gpu;
mod host;
mod lend;
mod ops;

pub use element::Element;
pub use gpu::is_on_gpu;
pub use gpu::kernel::{Kernel, Parts};
pub use host::borrow::Views;
pub use host::factored::{FactoredStep, Stack};
pub use host::muon::{MuonStep, NewtonSchulz, goes_by_stretches};
pub use host::soap::{Sides, SoapPhase, SoapRoom, SoapStep};
pub use host::sums::{ACCUMULATORS, piece_size};
pub use host::update::Scalars;
pub use host::warp::ImageSize;
pub use host::{alloc, limits, simd, team};
pub use lend::{lane, lend, lend_mut, shared_storage};
pub use ops::affine::{Affine, column_sums, column_sums_room, padded};
pub use ops::augment::{Augmentation, Ranges, gather_augmented};
pub use ops::clip::{clip_units, clip_value, sums_of_squares};
pub use ops::coded::{decoded, update_coded};
pub use ops::curvature::{add_squares, drawn_errors, squares, variances};
pub use ops::dropout::{Dropout, dropout, keep_scale};
pub use ops::elementwise::{add, average, average_lanes, copy, exchange, fill};
pub use ops::factored::FactoredUpdater;
pub use ops::gather::{Channel, Indices, gather};
pub use ops::inspect::{all_finite, compare_steps, mark_active, share_below};
pub use ops::loss::{Lesson, LossBatch, Totals, cross_entropy, distillation, loss_room};
pub use ops::mixup::{Mixup, mix};
pub use ops::muon::MuonUpdater;
pub use ops::project::{Pull, Quantizer, add_pull, keep_dense, project, soft_threshold, step_gradient};
pub use ops::relu::relu_backward;
pub use ops::soap::{SoapTensors, soap};
pub use ops::update::{Updater, first_pass, second_pass, update, update_in_two_passes};
pub use ops::vectors;
pub use ops::visit::{Visit, VisitedGradients};
