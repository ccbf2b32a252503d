//! Bytes in, verdict out: digests, keys, SSHSIG, the trust root. Opens no file and reads no clock.

mod digest;

pub use digest::{Digest, DigestError, Hasher};
