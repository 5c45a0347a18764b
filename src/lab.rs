//! Rules looked at by themselves: the same updates that train, on gradients that a user has, or along functions of one or two variables.

pub mod array;
pub mod expression;
pub mod figure;
pub mod follower;
pub mod functions;
pub mod walk;
