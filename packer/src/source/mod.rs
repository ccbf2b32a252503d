//! Owns where components come from.
