//! Owns [`Window`]: a stretch of a file that reads like a file of its own.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes `start .. start + len` of `file`.
#[derive(Debug)]
pub(super) struct Window<F> {
    file: F,
    start: u64,
    len: u64,
    at: u64,
}

impl<F: Read + Seek> Window<F> {
    pub(super) fn new(mut file: F, start: u64, len: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(start))?;
        Ok(Self {
            file,
            start,
            len,
            at: 0,
        })
    }
}

impl<F: Read> Read for Window<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.at);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let got = self.file.read(&mut buf[..most])?;
        self.at += got as u64;
        Ok(got)
    }
}

impl<F: Seek> Seek for Window<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let place = at.and_then(|at| Some((at, self.start.checked_add(at)?)));
        let (at, absolute) = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.file.seek(SeekFrom::Start(absolute))?;
        self.at = at;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _, Seek as _, SeekFrom};

    use super::Window;

    #[test]
    fn nothing_outside_the_window_can_be_read() {
        let mut w = Window::new(Cursor::new(b"0123456789"), 3, 4).unwrap();
        let mut text = String::new();
        w.read_to_string(&mut text).unwrap();
        assert_eq!(text, "3456");
        assert_eq!(w.seek(SeekFrom::End(-1)).unwrap(), 3);
        text.clear();
        w.read_to_string(&mut text).unwrap();
        assert_eq!(text, "6");
        assert!(w.seek(SeekFrom::Current(-9)).is_err());
        w.seek(SeekFrom::Start(40)).unwrap();
        assert_eq!(w.read(&mut [0; 4]).unwrap(), 0);
    }
}
