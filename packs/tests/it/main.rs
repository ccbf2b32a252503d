//! The format from outside: what is written can be read, by Kojibox and by stock tools, and nothing else can.

#[cfg(test)]
mod damaged;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod medium;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod properties;
#[cfg(test)]
#[cfg(unix)]
mod recovery;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod roundtrip;
#[cfg(test)]
mod sick;
#[cfg(test)]
mod single_file;
#[cfg(test)]
mod swapped;
#[cfg(test)]
mod virtual_blob;
#[cfg(test)]
mod writing;
