//! Owns [`Group`]: the arithmetic of one group of blocks, a block at a time.
//!
//! The code is linear. Feeding the data blocks that are there gives parity as if the others were zero; the difference to the true
//! parity is the parity of the lost blocks alone, from which they are solved. So no more is held than the parity blocks of a group.

use std::thread;

use reed_solomon_erasure::galois_8::ReedSolomon;

use super::Layout;

/// Bytes of each block that are solved at once.
const STRIPE: usize = 64 << 10;

/// Parity of one group, complete once every data block was fed.
pub(crate) struct Group {
    codec: ReedSolomon,
    rows: Vec<Vec<u8>>,
    threads: usize,
}

impl Group {
    pub(crate) fn new(layout: &Layout, threads: usize) -> Self {
        let (data, parity) = (layout.data() as usize, layout.parity() as usize);
        let block = usize::try_from(layout.block()).expect("a block is at most 4 MiB");
        Self {
            codec: ReedSolomon::new(data, parity).expect("both numbers were checked, and are together below 256"),
            rows: vec![vec![0; block]; parity],
            threads: threads.max(1),
        }
    }

    /// Begins the next group.
    pub(crate) fn clear(&mut self) {
        self.rows.iter_mut().for_each(|row| row.fill(0));
    }

    /// Feeds data block `at` of the group, padded with zeros to the length of a block.
    pub(crate) fn feed(&mut self, at: usize, block: &[u8]) {
        // The first block overwrites what is there: it must come before every other one, or be zero and left out.
        let stripe = block.len().div_ceil(self.threads).next_multiple_of(64);
        let codec = &self.codec;
        let mut rows: Vec<_> = self.rows.iter_mut().map(|row| row.chunks_mut(stripe)).collect();
        thread::scope(|scope| {
            let mut pieces = block.chunks(stripe).map(|piece| {
                let parity: Vec<&mut [u8]> = rows.iter_mut().filter_map(Iterator::next).collect();
                (piece, parity)
            });
            let own = pieces.next();
            for (piece, mut parity) in pieces {
                scope.spawn(move || encode(codec, at, piece, &mut parity));
            }
            if let Some((piece, mut parity)) = own {
                encode(codec, at, piece, &mut parity);
            }
        });
    }

    /// The parity blocks.
    pub(crate) fn parity(&self) -> &[Vec<u8>] {
        &self.rows
    }

    /// Takes the true parity block `row` in; what is left is the parity of the blocks that were not fed.
    pub(crate) fn difference(&mut self, row: usize, parity: &[u8]) {
        self.rows[row]
            .iter_mut()
            .zip(parity)
            .for_each(|(own, true_one)| *own ^= true_one);
    }

    /// Solves the data blocks `lost` of the group from as many `rows` that [`Group::difference`] was called for.
    pub(crate) fn solve(mut self, lost: &[usize], rows: &[usize]) -> Vec<Vec<u8>> {
        let (data, parity) = (self.codec.data_shard_count(), self.codec.parity_shard_count());
        let block = self.rows.first().map_or(0, Vec::len);
        for start in (0..block).step_by(STRIPE) {
            let end = (start + STRIPE).min(block);
            let shard = |n: usize| match n.checked_sub(data) {
                None => (!lost.contains(&n)).then(|| vec![0; end - start]),
                Some(row) => rows.contains(&row).then(|| self.rows[row][start..end].to_vec()),
            };
            let mut shards: Vec<Option<Vec<u8>>> = (0..data + parity).map(shard).collect();
            self.codec
                .reconstruct_data(&mut shards)
                .expect("as many rows are there as blocks are lost, all of one length");
            for (place, n) in rows.iter().zip(lost) {
                let solved = shards[*n].as_deref().expect("it was just solved");
                self.rows[*place][start..end].copy_from_slice(solved);
            }
        }
        rows.iter()
            .take(lost.len())
            .map(|row| std::mem::take(&mut self.rows[*row]))
            .collect()
    }
}

fn encode(codec: &ReedSolomon, at: usize, piece: &[u8], parity: &mut [&mut [u8]]) {
    codec
        .encode_single_sep(at, piece, parity)
        .expect("the block is one of the group, and all pieces have one length");
}

#[cfg(test)]
mod tests {
    use super::Group;
    use crate::parity::Layout;

    /// Multiplication in GF(2^8) by the polynomial of FORMAT.md, bit by bit.
    fn times(mut a: u8, mut b: u8) -> u8 {
        let mut product = 0;
        while b != 0 {
            if b & 1 != 0 {
                product ^= a;
            }
            a = (a << 1) ^ if a & 0x80 != 0 { 0x1d } else { 0 };
            b >>= 1;
        }
        product
    }

    fn power(a: u8, n: usize) -> u8 {
        (0..n).fold(1, |p, _| times(p, a))
    }

    /// `V · (V above)^-1` by Gauss, as FORMAT.md says.
    fn matrix(k: usize, m: usize) -> Vec<Vec<u8>> {
        let row = |r: usize| -> Vec<u8> { (0..k).map(|c| power(u8::try_from(r).unwrap(), c)).collect() };
        let mut top: Vec<Vec<u8>> = (0..k).map(row).collect();
        let mut inverse: Vec<Vec<u8>> = (0..k).map(|r| (0..k).map(|c| u8::from(r == c)).collect()).collect();
        for c in 0..k {
            let pivot = (c..k).find(|r| top[*r][c] != 0).unwrap();
            top.swap(c, pivot);
            inverse.swap(c, pivot);
            let scale = power(top[c][c], 254);
            for x in 0..k {
                top[c][x] = times(top[c][x], scale);
                inverse[c][x] = times(inverse[c][x], scale);
            }
            for r in (0..k).filter(|r| *r != c) {
                let factor = top[r][c];
                for x in 0..k {
                    top[r][x] ^= times(factor, top[c][x]);
                    inverse[r][x] ^= times(factor, inverse[c][x]);
                }
            }
        }
        (k..k + m)
            .map(|r| {
                let v = row(r);
                (0..k)
                    .map(|c| (0..k).fold(0, |sum, x| sum ^ times(v[x], inverse[x][c])))
                    .collect()
            })
            .collect()
    }

    fn blocks(layout: &Layout) -> Vec<Vec<u8>> {
        let noise = |seed: usize, i: usize| ((i * 31 + seed * 17) ^ (i >> 7) ^ (seed * i)).to_le_bytes()[0];
        let len = usize::try_from(layout.block()).unwrap();
        (0..layout.data() as usize)
            .map(|n| (0..len).map(|i| noise(n, i)).collect())
            .collect()
    }

    #[test]
    fn parity_is_the_matrix_product_that_the_format_states() {
        for (k, m) in [(32, 2), (32, 8), (5, 3)] {
            let layout = Layout::new(k, m, 4096, 1 << 20).unwrap();
            let blocks = blocks(&layout);
            let mut group = Group::new(&layout, 3);
            blocks.iter().enumerate().for_each(|(n, block)| group.feed(n, block));
            for (row, coefficients) in matrix(k as usize, m as usize).iter().enumerate() {
                for i in [0, 1, 63, 64, 1365, 1366, 4095] {
                    let sum = blocks
                        .iter()
                        .zip(coefficients)
                        .fold(0, |sum, (block, c)| sum ^ times(*c, block[i]));
                    assert_eq!(group.parity()[row][i], sum, "k {k}, row {row}, byte {i}");
                }
            }
        }
    }

    #[test]
    fn any_lost_blocks_come_back_from_any_as_many_parity_blocks() {
        let layout = Layout::new(32, 3, 4096, 1 << 20).unwrap();
        let blocks = blocks(&layout);
        let mut whole = Group::new(&layout, 1);
        blocks.iter().enumerate().for_each(|(n, block)| whole.feed(n, block));
        for lost in [vec![0], vec![31], vec![0, 1], vec![7, 30], vec![0, 15, 31]] {
            for first in 0..=3 - lost.len() {
                let rows: Vec<usize> = (first..first + lost.len()).collect();
                comes_back(&layout, &blocks, whole.parity(), &lost, &rows);
            }
        }
    }

    #[test]
    fn any_two_of_34_blocks_come_back() {
        let layout = Layout::new(32, 2, 4096, 1 << 20).unwrap();
        let blocks = blocks(&layout);
        let mut whole = Group::new(&layout, 1);
        blocks.iter().enumerate().for_each(|(n, block)| whole.feed(n, block));
        let pairs = (0..34).flat_map(|a| (a + 1..34).map(move |b| [a, b]));
        let mut tried = 0;
        for pair in pairs {
            // Those above 31 are parity: what is lost of it only cannot help.
            let lost: Vec<usize> = pair.into_iter().filter(|n| *n < 32).collect();
            let rows: Vec<usize> = (0..2)
                .filter(|row| !pair.contains(&(32 + row)))
                .take(lost.len())
                .collect();
            if !lost.is_empty() {
                comes_back(&layout, &blocks, whole.parity(), &lost, &rows);
            }
            tried += 1;
        }
        assert_eq!(tried, 561);
    }

    fn comes_back(layout: &Layout, blocks: &[Vec<u8>], parity: &[Vec<u8>], lost: &[usize], rows: &[usize]) {
        let mut group = Group::new(layout, 2);
        let there = blocks.iter().enumerate().filter(|(n, _)| !lost.contains(n));
        there.for_each(|(n, block)| group.feed(n, block));
        for row in rows {
            group.difference(*row, &parity[*row]);
        }
        let solved = group.solve(lost, rows);
        assert!(
            solved.iter().zip(lost).all(|(got, n)| *got == blocks[*n]),
            "{lost:?} from {rows:?}"
        );
    }
}
