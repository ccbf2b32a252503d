//! Owns the way from bytes of a pipe to lines of a log: cut, masked, never waiting for a line to end.

use super::mask::{Mask, TELLING};

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
    /// The end of what has been given of the same line: too little to be held back, but a secret may begin there.
    seen: Vec<u8>,
}

impl Assembler {
    /// Takes bytes, gives the lines that are finished by them.
    pub(crate) fn push(&mut self, bytes: &[u8], mask: &Mask) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.open.extend_from_slice(bytes);
        while let Some(end) = self.open.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.open.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            pieces.push(piece(&self.seen, line, false, mask));
            self.seen.clear();
        }
        while self.open.len() > LONGEST {
            // What may be the beginning of a secret stays behind for the next piece.
            let end = LONGEST - mask.open_end(&self.open[..LONGEST], 1);
            let line: Vec<u8> = self.open.drain(..end.max(1)).collect();
            pieces.push(piece(&self.seen, &line, true, mask));
            self.seen.clear();
        }
        pieces
    }

    /// Gives what there is of a line that does not end; `last` says that nothing more will come.
    pub(crate) fn flush(&mut self, last: bool, mask: &Mask) -> Option<Piece> {
        let all = [&self.seen[..], &self.open].concat();
        let keep = if last { 0 } else { mask.open_end(&all, TELLING) };
        let line: Vec<u8> = self.open.drain(..self.open.len().saturating_sub(keep)).collect();
        let piece = (!line.is_empty()).then(|| piece(&self.seen, &line, !last, mask));
        if piece.is_some() {
            let given = &all[..all.len() - self.open.len()];
            self.seen = given[given.len().saturating_sub(TELLING - 1)..].to_vec();
        }
        piece
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

fn piece(seen: &[u8], line: &[u8], cut: bool, mask: &Mask) -> Piece {
    Piece {
        text: readable(&mask.apply(seen, line)),
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

    #[test]
    fn a_secret_that_is_cut_anywhere_does_not_show() {
        let secret = b"secretvalue";
        for cut in 1..secret.len() {
            let (mask, mut a) = (Mask::new([("s", "secretvalue")]), Assembler::default());
            // By the writer, who pauses there; and once more.
            a.push(&[b"prompt ", &secret[..cut]].concat(), &mask);
            let mut shown: String = a.flush(false, &mask).map(|p| p.text).unwrap_or_default();
            a.push(&secret[cut..=cut], &mask);
            shown.extend(a.flush(false, &mask).map(|p| p.text));
            shown.extend(
                a.push(&[&secret[cut + 1..], b" x\n"].concat(), &mask)
                    .into_iter()
                    .map(|p| p.text),
            );
            // At most three of its characters, which tell nothing.
            let begun = &"secretvalue"[..if cut < 4 { (cut + 1).min(3) } else { 0 }];
            assert_eq!(shown, format!("prompt {begun}***(s) x"), "{cut}");

            // By us, because the line is too long.
            let mut long = vec![b'x'; LONGEST - cut];
            long.extend_from_slice(secret);
            let mut shown: String = a.push(&long, &mask).into_iter().map(|p| p.text).collect();
            shown.extend(a.flush(true, &mask).map(|p| p.text));
            assert!(shown.ends_with("x***(s)"), "{cut}: {}", &shown[LONGEST - 20..]);
        }
    }
}
