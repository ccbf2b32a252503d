//! Owns the question whether a pack may be installed: whose it is, who signed it, and whether it is a replay.
//!
//! Order: trust root, signatures, manifest, floors. Every refusal is an exit code of its own; every pass is a verdict
//! that the receipt keeps.
//!
//! Source: signing/TRUST.md.

mod anchor;
mod error;
pub(crate) mod floors;
mod verdict;

pub(crate) use anchor::{Chain, Origin, Outside, Publisher, agree, first, named_file, pinned};
pub(crate) use error::TrustError;
pub(crate) use floors::{FloorError, Release};
pub(crate) use verdict::{Approval, ManifestRefusal, Offer, OfferError, approve, judge, unsigned};
