//! Owns the way from bytes of a pipe to lines of a log: cut, masked, never waiting for a line to end.

use super::mask::Mask;

/// A longer line is cut.
const LONGEST: usize = 64 << 10;

/// One line, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    /// More of the same line follows.
    pub(crate) cut: bool,
}

/// The unfinished line of one pipe.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    open: Vec<u8>,
}

impl Assembler {
    /// Takes bytes, gives the lines that are finished by them.
    pub(crate) fn push(&mut self, bytes: &[u8], mask: &Mask) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.open.extend_from_slice(bytes);
        while let Some(end) = self.open.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.open.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            pieces.push(piece(line.strip_suffix(b"\r").unwrap_or(line), false, mask));
        }
        while self.open.len() > LONGEST {
            // What may be the beginning of a secret stays behind for the next piece.
            let end = LONGEST - mask.open_end(&self.open[..LONGEST]);
            let line: Vec<u8> = self.open.drain(..end.max(1)).collect();
            pieces.push(piece(&line, true, mask));
        }
        pieces
    }

    /// Gives what there is of a line that does not end; `last` says that nothing more will come.
    pub(crate) fn flush(&mut self, last: bool, mask: &Mask) -> Option<Piece> {
        let keep = if last { 0 } else { mask.open_end(&self.open) };
        let line: Vec<u8> = self.open.drain(..self.open.len() - keep).collect();
        (!line.is_empty()).then(|| piece(&line, !last, mask))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

fn piece(line: &[u8], cut: bool, mask: &Mask) -> Piece {
    Piece {
        text: readable(&mask.apply(line)),
        cut,
    }
}

/// UTF-8 as it is, other bytes as `\xNN`, so that nothing is lost.
fn readable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.extend(["\\x".to_owned(), format!("{byte:02x}")]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Assembler, LONGEST, Mask};

    #[test]
    fn lines_come_whole_whatever_the_chunks() {
        let (mask, mut a) = (Mask::default(), Assembler::default());
        assert_eq!(a.push(b"one\r\ntw", &mask)[0].text, "one");
        let pieces = a.push(b"o\n\xff!\n", &mask);
        assert_eq!(
            pieces.iter().map(|p| p.text.as_str()).collect::<Vec<_>>(),
            ["two", "\\xff!"]
        );
        assert!(a.is_empty());
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_nothing_of_a_secret_shows() {
        let (mask, mut a) = (Mask::new([("s", "secretvalue")]), Assembler::default());
        let mut long = vec![b'x'; LONGEST - 4];
        long.extend_from_slice(b"secretvalue and more");
        let mut shown: String = a.push(&long, &mask).into_iter().map(|p| p.text).collect();
        shown.extend(a.flush(true, &mask).map(|p| p.text));
        assert!(shown.ends_with("x***(s) and more"), "{}", &shown[LONGEST - 8..]);

        assert!(a.push(b"prompt secretv", &mask).is_empty());
        let early = a.flush(false, &mask).expect("the safe part is given");
        assert_eq!((early.text.as_str(), early.cut), ("prompt ", true));
        assert_eq!(a.push(b"alue\n", &mask)[0].text, "***(s)");
    }
}
