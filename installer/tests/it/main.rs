//! The transaction engine as the machine sees it: real packs, real directories, and a hand that stops it anywhere.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod publisher;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod transaction;
