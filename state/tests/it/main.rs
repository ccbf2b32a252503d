//! The install root as its users see it: real directories, faults, power cuts.

#[cfg(test)]
mod journal;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod power;
#[cfg(test)]
mod records;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
