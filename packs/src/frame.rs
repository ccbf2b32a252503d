//! Owns the zstd frames of the format: made in one way, and looked at before a decoder sees them.
//!
//! Source: RFC 8878, section 3.1.1 (frames); packs/FORMAT.md, "Frames".

use std::io;

use zstd::{bulk, zstd_safe::CParameter};

use crate::limits;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Version of the bundled libzstd, as the manifest states it.
pub fn zstd_version() -> &'static str {
    zstd::zstd_safe::version_string()
}

/// Levels that [`Encoder::new`] takes.
pub const LEVELS: std::ops::RangeInclusive<i32> = 1..=22;

/// Why bytes are no frame of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than its own header.
    #[error("the zstd frame is cut short")]
    Short,
    /// Another kind of frame, or none.
    #[error("it is no zstd frame")]
    Magic,
    /// A reserved bit is set.
    #[error("the zstd frame has a reserved bit set")]
    Reserved,
    /// It needs a dictionary.
    #[error("the zstd frame asks for a dictionary")]
    Dictionary,
    /// It has no checksum.
    #[error("the zstd frame has no checksum")]
    NoChecksum,
    /// It does not say how long its content is.
    #[error("the zstd frame does not state its content size")]
    NoContentSize,
    /// Its window is over the limit.
    #[error("the zstd frame asks for a window of {0} bytes, at most {most} bytes are allowed", most = 1_u64 << limits::WINDOW_LOG_MAX)]
    Window(u64),
    /// It states another content size than the index.
    #[error("the zstd frame states {got} bytes of content, expected {expected} bytes")]
    ContentSize {
        /// As the frame states.
        got: u64,
        /// As signed.
        expected: u64,
    },
    /// Bytes follow the frame.
    #[error("{0} bytes follow the zstd frame")]
    Trailing(u64),
    /// The decoder refused it.
    #[error("the zstd frame does not decode: {0}")]
    Decode(String),
}

/// Length of the content that a frame states, after every other rule for its header was checked.
pub fn content_size(frame: &[u8]) -> Result<u64, FrameError> {
    let (magic, rest) = frame.split_first_chunk::<4>().ok_or(FrameError::Short)?;
    if *magic != MAGIC {
        return Err(FrameError::Magic);
    }
    let (&descriptor, mut rest) = rest.split_first().ok_or(FrameError::Short)?;
    if descriptor & 0x08 != 0 {
        return Err(FrameError::Reserved);
    }
    if descriptor & 0x03 != 0 {
        return Err(FrameError::Dictionary);
    }
    if descriptor & 0x04 == 0 {
        return Err(FrameError::NoChecksum);
    }
    let single = descriptor & 0x20 != 0;
    let mut window = 0;
    if !single {
        let (&byte, after) = rest.split_first().ok_or(FrameError::Short)?;
        let base = 1_u64 << (10 + (byte >> 3));
        window = base + base / 8 * u64::from(byte & 7);
        rest = after;
    }
    let size = match (descriptor >> 6, single) {
        (0, false) => return Err(FrameError::NoContentSize),
        (0, true) => little(rest, 1)?,
        (1, _) => little(rest, 2)? + 256,
        (2, _) => little(rest, 4)?,
        _ => little(rest, 8)?,
    };
    let window = if single { size } else { window };
    if window > 1 << limits::WINDOW_LOG_MAX {
        return Err(FrameError::Window(window));
    }
    Ok(size)
}

fn little(bytes: &[u8], n: usize) -> Result<u64, FrameError> {
    let bytes = bytes.get(..n).ok_or(FrameError::Short)?;
    Ok(bytes.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b)))
}

/// Checks that `frame` is one frame of the format, whole and alone, with `expected` bytes of content.
pub fn check(frame: &[u8], expected: u64) -> Result<(), FrameError> {
    let got = content_size(frame)?;
    if got != expected {
        return Err(FrameError::ContentSize { got, expected });
    }
    let len = zstd::zstd_safe::find_frame_compressed_size(frame).map_err(|_| FrameError::Short)?;
    if len != frame.len() {
        return Err(FrameError::Trailing((frame.len() - len) as u64));
    }
    Ok(())
}

/// Longest frame that holds `raw` bytes.
pub fn bound(raw: u64) -> u64 {
    // The documented bound of libzstd is `raw + raw / 256` and at most 64 bytes for small inputs; some room is left.
    raw + raw / 128 + 1024
}

/// Makes frames: content size and checksum, no dictionary, one thread, one call each.
pub struct Encoder(bulk::Compressor<'static>);

impl Encoder {
    /// `window_log` 0 leaves the window to the level.
    pub fn new(level: i32, window_log: u32) -> io::Result<Self> {
        let mut encoder = bulk::Compressor::new(level)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        encoder.set_parameter(CParameter::ContentSizeFlag(true))?;
        encoder.set_parameter(CParameter::DictIdFlag(false))?;
        if window_log != 0 {
            encoder.set_parameter(CParameter::WindowLog(window_log))?;
        }
        Ok(Self(encoder))
    }

    /// The frame of `raw`; the same input gives the same bytes, whatever was made before.
    pub fn encode(&mut self, raw: &[u8]) -> io::Result<Vec<u8>> {
        self.0.compress(raw)
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

/// Decodes frames whose compressed bytes were compared with a signed hash before.
pub struct Decoder(bulk::Decompressor<'static>);

impl Decoder {
    /// Takes the memory of one decoder.
    pub fn new() -> io::Result<Self> {
        bulk::Decompressor::new().map(Self)
    }

    /// Decodes `frame` into `out`, which holds exactly `raw_len` bytes afterwards.
    ///
    /// Memory: `raw_len` bytes; nothing is taken before the header of the frame states the same length.
    pub fn decode(&mut self, frame: &[u8], raw_len: u64, out: &mut Vec<u8>) -> Result<(), FrameError> {
        check(frame, raw_len)?;
        let len = usize::try_from(raw_len).map_err(|e| FrameError::Decode(e.to_string()))?;
        out.clear();
        out.reserve_exact(len);
        let got = self
            .0
            .decompress_to_buffer(frame, out)
            .map_err(|e| FrameError::Decode(e.to_string()))? as u64;
        if got != raw_len {
            let expected = raw_len;
            return Err(FrameError::ContentSize { got, expected });
        }
        Ok(())
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

#[cfg(test)]
mod tests {
    use zstd::zstd_safe::CParameter;

    use super::{Decoder, Encoder, FrameError, check, content_size};

    fn with(set: impl Fn(&mut zstd::bulk::Compressor<'static>), raw: &[u8]) -> Vec<u8> {
        let mut c = zstd::bulk::Compressor::new(3).unwrap();
        c.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
        set(&mut c);
        c.compress(raw).unwrap()
    }

    #[test]
    fn every_length_of_content_size_is_read_and_round_trips() {
        let mut out = Vec::new();
        for len in [1, 255, 256, 65_791, 65_792, 300_000] {
            let raw = vec![7; len];
            let frame = Encoder::new(3, 23).unwrap().encode(&raw).unwrap();
            assert_eq!(content_size(&frame), Ok(len as u64));
            Decoder::new().unwrap().decode(&frame, len as u64, &mut out).unwrap();
            assert_eq!(out, raw);
        }
    }

    #[test]
    fn frames_that_are_not_of_the_format_never_reach_the_decoder() {
        let raw = [1; 1000];
        let good = Encoder::new(3, 0).unwrap().encode(&raw).unwrap();
        assert_eq!(check(&good, 1000), Ok(()));
        let no_sum = with(|c| c.set_parameter(CParameter::ChecksumFlag(false)).unwrap(), &raw);
        assert_eq!(check(&no_sum, 1000), Err(FrameError::NoChecksum));
        let no_size = with(|c| c.set_parameter(CParameter::ContentSizeFlag(false)).unwrap(), &raw);
        assert_eq!(check(&no_size, 1000), Err(FrameError::NoContentSize));
        assert_eq!(
            check(&good, 999),
            Err(FrameError::ContentSize {
                got: 1000,
                expected: 999
            })
        );
        assert_eq!(check(&[&good[..], &[0]].concat(), 1000), Err(FrameError::Trailing(1)));
        assert_eq!(
            check(&[&good[..], &good].concat(), 1000),
            Err(FrameError::Trailing(good.len() as u64))
        );
        assert_eq!(check(&good[..good.len() - 1], 1000), Err(FrameError::Short));
        assert_eq!(check(&good[..3], 1000), Err(FrameError::Short));
        assert_eq!(check(&[0x5e, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], 0), Err(FrameError::Magic));
        for (bits, error) in [
            (0x08, FrameError::Reserved),
            (0x01, FrameError::Dictionary),
            (0x03, FrameError::Dictionary),
        ] {
            let mut bad = good.clone();
            bad[4] |= bits;
            assert_eq!(check(&bad, 1000), Err(error));
        }
        // Window descriptor 18 << 3: 2^28 bytes; not a single segment, 8 bytes of content size.
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0b1100_0100, 18 << 3, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(check(&wide, 1), Err(FrameError::Window(1 << 28)));
        let mut lies = good.clone();
        let last = lies.len() - 1;
        lies[last] ^= 1;
        let mut out = Vec::new();
        let verdict = Decoder::new().unwrap().decode(&lies, 1000, &mut out);
        assert!(
            matches!(verdict, Err(FrameError::Decode(_))),
            "a checksum that lies: {verdict:?}"
        );
    }
}
