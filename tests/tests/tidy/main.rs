//! The invariants of this tree, each as a test. ARCHITECTURE.md says why; what a reviewer says twice becomes one of these.

mod crates;
mod docs;
mod sources;
mod tree;
