//! The harness of the black-box suites and of the demo: drives the three real programs as a person or a script would.
//!
//! A [`Sandbox`] is a temporary place with a home, the programs and a folder to work in; its names hold a space and
//! letters outside ASCII. A [`Run`] is one command with what must come of it: strict unless said otherwise. A
//! [`Failure`] shows the whole command, what was expected and everything that was said.
//!
//! *Limitations*: Linux and macOS; the programs run as another user when the tests run as root, which needs `setpriv`.

mod choices;
pub mod crash;
pub mod demo;
mod failure;
pub mod http;
pub mod image;
pub mod pack;
mod part;
mod platform;
mod programs;
mod run;
mod sandbox;
pub mod small;
mod story;
pub mod terminal;
pub mod tree;
pub mod units;

pub use choices::Choices;
pub use failure::{Failure, Outcome, ensure};
pub use part::Part;
pub use programs::{Programs, workspace};
pub use run::{Done, Run, Started};
pub use sandbox::{Network, Sandbox};
pub use story::Story;
