//! Owns the text around an SSH signature: two marker lines and base64 between them, nothing else.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::SshSigError;

pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
pub(super) const END: &str = "-----END SSH SIGNATURE-----";
/// A signature of ours has about 320 bytes.
pub(super) const MAX_BYTES: usize = 4096;
/// What `ssh-keygen` writes.
const WIDTH: usize = 70;
/// What other tools write at most.
const MAX_WIDTH: usize = 76;

pub(super) fn encode(blob: &[u8]) -> String {
    let base64 = STANDARD.encode(blob);
    let mut out = format!("{BEGIN}\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(WIDTH.min(rest.len()));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str(END);
    out.push('\n');
    out
}

/// Undoes [`encode`]; lines may be of any width up to 76, and end with LF.
pub(super) fn decode(file: &[u8]) -> Result<Vec<u8>, SshSigError> {
    if file.len() > MAX_BYTES {
        return Err(SshSigError::TooLarge(file.len()));
    }
    let line = |text: &str| format!("{text}\n").into_bytes();
    let body = file.strip_prefix(&line(BEGIN)[..]).ok_or(SshSigError::NoBegin)?;
    let body = body.strip_suffix(&line(END)[..]).ok_or(SshSigError::NoEnd)?;
    let body = body.strip_suffix(b"\n").ok_or(SshSigError::Base64)?;
    let mut base64 = Vec::with_capacity(body.len());
    for line in body.split(|&b| b == b'\n') {
        if line.is_empty() || line.len() > MAX_WIDTH {
            return Err(SshSigError::Base64);
        }
        base64.extend_from_slice(line);
    }
    // The strict engine: full padding, no stray bits in the last character, no white space.
    STANDARD.decode(base64).map_err(|_| SshSigError::Base64)
}
