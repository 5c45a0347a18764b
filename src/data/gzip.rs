//! Gzip files (RFC 1952): all members one after the other, and nothing behind them.
//!
//! flate2 inflates a member and checks its CRC; its reader of several members takes whatever follows the last for a damaged one.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// First bytes of a member (RFC 1952, 2.3.1).
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Most members without content in a row: nothing else bounds them. Programs write one at the end of a file at most.
const MOST_EMPTY: u32 = 1 << 16;

/// Reads what the members of a gzip file hold.
pub(super) struct Reader<R> {
    /// The member that is being read; none at the end.
    member: Option<GzDecoder<R>>,
    /// Members without content since the last byte.
    empty: u32,
    /// Whether the member that is being read has given a byte.
    gave: bool,
    /// Zeros behind the last member.
    zeros: u64,
}

/// Most zeros behind the last member.
const MOST_ZEROS: u64 = 1 << 20;

impl<R: BufRead> Reader<R> {
    /// Begins with the first member, whose header is read at once. `reader` must bear interrupted calls itself.
    pub fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)), empty: 0, gave: false, zeros: 0 }
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(member) = &mut self.member else {
                return Ok(0);
            };
            let count = member.read(buffer)?;
            if count > 0 {
                (self.empty, self.gave) = (0, true);
                return Ok(count);
            }
            let rest = member.get_mut().fill_buf()?;
            if rest.is_empty() {
                self.member = None;
                return Ok(0);
            }
            // Tapes and block devices fill the last block with zeros, as gzip itself bears.
            let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
            if zeros > 0 && self.zeros < MOST_ZEROS {
                self.zeros += zeros as u64;
                member.get_mut().consume(zeros);
                continue;
            }
            if self.zeros > 0 || !rest.starts_with(&MAGIC[..rest.len().min(MAGIC.len())]) {
                let what = "goes on after its gzip stream with what is not gzip";
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            self.empty += u32::from(!self.gave);
            if self.empty > MOST_EMPTY {
                let what = format!("holds more than {MOST_EMPTY} gzip members without content in a row");
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            self.gave = false;
            self.member = self.member.take().map(|member| GzDecoder::new(member.into_inner()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::{BufReader, Write as _};

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], at_a_time: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Reader::new(BufReader::with_capacity(at_a_time, bytes)).read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn members_are_joined_however_few_bytes_come_at_a_time() {
        let bytes = [member(b"one"), member(b""), member(b"two"), member(b"")].concat();
        for at_a_time in [1, 2, 3, 7, 1 << 16] {
            assert_eq!(read(&bytes, at_a_time).unwrap(), b"onetwo");
            assert_eq!(read(&member(b""), at_a_time).unwrap(), b"");
        }
    }

    #[test]
    fn what_follows_the_last_member_is_told_apart_from_a_cut_one() {
        for zeros in [1, 511, 70_000] {
            let padded = [member(b"one"), vec![0; zeros]].concat();
            for at_a_time in [1, 7, 1 << 16] {
                assert_eq!(read(&padded, at_a_time).unwrap(), b"one");
            }
        }
        for rest in [&b"\0\0more"[..], b"\0\x1f\x8b", b"more", b"\x1e\x8b", b"\x1f\x8c, a longer rest"] {
            let error = read(&[&member(b"one"), rest].concat(), 1 << 16).unwrap_err().to_string();
            assert!(error.contains("with what is not gzip"), "{error}");
        }
        let two = [member(b"one"), member(b"two")].concat();
        let first = member(b"one").len();
        for length in first + 2..two.len() {
            let error = read(&two[..length], 1 << 16).unwrap_err();
            assert!(!error.to_string().contains("not gzip"), "{length}: {error}");
        }
        assert!(read(&two[..=first], 1 << 16).is_err());
    }

    #[test]
    fn members_without_content_in_a_row_are_read_up_to_a_bound() {
        let empty = member(b"");
        let most = [&empty.repeat(MOST_EMPTY as usize)[..], &member(b"one")].concat();
        assert_eq!(read(&most, 1 << 16).unwrap(), b"one");
        let most = [&most[..], &most].concat();
        assert_eq!(read(&most, 1 << 16).unwrap(), b"oneone");
        let more = [&empty[..], &most].concat();
        assert!(read(&more, 1 << 16).unwrap_err().to_string().contains("without content in a row"));
    }
}
