//! Tar archives as they stream by: plain files and folders, nothing else.
//!
//! ```text
//! entry    header of 512 bytes, then the content, then zeros up to a multiple of 512
//! end      two blocks of 512 zeros, then zeros
//! ```
//!
//! POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block". An extended header is skipped where it says nothing that
//! matters here, such as times; GNU's and old tar's headers differ in fields that are not read. Memory is that of one header.

use std::io::{self, ErrorKind, Read};

const BLOCK_BYTES: usize = 512;

/// Most bytes of an extended header; programs write some hundreds.
const MOST_EXTENSION: u64 = 1 << 16;

/// Most zeros after the end: programs fill records of 10,240 bytes, 20 blocks, or of a few hundred.
const MOST_TAIL: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryType {
    File,
    Folder,
    /// Something that is not read, in words.
    Other(&'static str),
}

/// An entry's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path; what is no UTF-8 is replaced.
    pub name: String,
    pub kind: EntryType,
    /// Length of its content.
    pub bytes: u64,
}

/// An archive that is read from its beginning to its end.
pub(super) struct Archive<R> {
    reader: R,
    /// What is left of the content, and the zeros behind it.
    left: u64,
    padding: u64,
}

impl<R: Read> Archive<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0 }
    }

    /// The next entry, whose content can then be read; none at the end, which is also that of what is read from.
    ///
    /// # Errors
    /// If the archive is cut or damaged.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            self.skip(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let mut header = [0; BLOCK_BYTES];
            self.block(&mut header)?;
            if header == [0; BLOCK_BYTES] {
                self.block(&mut header)?;
                if header != [0; BLOCK_BYTES] {
                    return Err(damaged(
                        "has a single block of zeros at the end of its tar archive, expected two".into(),
                    ));
                }
                return self.expect_end().map(|()| None);
            }
            let (entry, code) = parsed(&header)?;
            let padding = entry.bytes.next_multiple_of(BLOCK_BYTES as u64) - entry.bytes;
            if !matches!(code, b'x' | b'g') {
                if entry.kind == EntryType::File {
                    (self.left, self.padding) = (entry.bytes, padding);
                }
                return Ok(Some(entry));
            }
            if entry.bytes > MOST_EXTENSION {
                return Err(damaged(format!(
                    "has a tar header that is extended by {} bytes, expected at most {MOST_EXTENSION}",
                    entry.bytes
                )));
            }
            let mut extension = Vec::new();
            (&mut self.reader).take(entry.bytes).read_to_end(&mut extension)?;
            expect_harmless(&extension)?;
            self.padding = padding;
        }
    }

    /// The content of the entry that came last.
    pub fn content(&mut self) -> impl Read {
        Content(self)
    }

    fn block(&mut self, block: &mut [u8; BLOCK_BYTES]) -> io::Result<()> {
        self.reader.read_exact(block).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => damaged("ends before its tar archive does".into()),
            _ => error,
        })
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink())?;
        if skipped < bytes { Err(damaged("ends within an entry of its tar archive".into())) } else { Ok(()) }
    }

    /// Requires that nothing but some zeros follows.
    fn expect_end(&mut self) -> io::Result<()> {
        let mut block = [0; BLOCK_BYTES];
        let mut zeros = 0;
        loop {
            match self.reader.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    zeros += count as u64;
                    if zeros > MOST_TAIL || block[..count].iter().any(|&byte| byte != 0) {
                        return Err(damaged("goes on after the end of its tar archive".into()));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reads an entry's content.
struct Content<'a, R>(&'a mut Archive<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.0.reader).take(self.0.left).read(buffer)?;
        self.0.left -= count as u64;
        Ok(count)
    }
}

/// A header's entry, and the code of its kind.
fn parsed(header: &[u8; BLOCK_BYTES]) -> io::Result<(Entry, u8)> {
    let field = |from: usize, length: usize| &header[from..from + length];
    // The check sum is taken with spaces in its own place.
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    let own: u64 = field(148, 8).iter().map(|&byte| u64::from(byte)).sum();
    if octal(field(148, 8)) != Some(sum - own + 8 * u64::from(b' ')) {
        return Err(damaged("has a tar header with a wrong check sum".into()));
    }
    let Some(bytes) = octal(field(124, 12)) else {
        return Err(damaged(format!("has a tar header with a length of `{}`", field(124, 12).escape_ascii())));
    };
    let text = |field: &[u8]| {
        let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
        String::from_utf8_lossy(&field[..end]).into_owned()
    };
    let mut name = text(field(0, 100));
    // GNU's own headers, which end the word with spaces, have no prefix.
    if field(257, 6) == b"ustar\0" && header[345] != 0 {
        name = format!("{}/{name}", text(field(345, 155)));
    }
    let code = header[156];
    let kind = match code {
        b'0' | 0 if name.ends_with('/') => EntryType::Folder,
        b'0' | 0 => EntryType::File,
        b'5' => EntryType::Folder,
        b'1' => EntryType::Other("a hard link"),
        b'2' => EntryType::Other("a link"),
        b'3' | b'4' => EntryType::Other("a device"),
        b'6' => EntryType::Other("a FIFO"),
        b'K' | b'L' => EntryType::Other("a long name"),
        b'S' => EntryType::Other("a file with holes"),
        _ => EntryType::Other("an entry of an unknown kind"),
    };
    Ok((Entry { name, kind, bytes }, code))
}

/// A number in octal digits among spaces, ended by a space or zero.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let is_number = !digits.is_empty() && digits.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    if !is_number || rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')))
}

/// Requires that an extended header does not change what entries are called or how long they are.
fn expect_harmless(extension: &[u8]) -> io::Result<()> {
    let mut rest = extension;
    while !rest.is_empty() {
        // "LENGTH KEY=VALUE\n", of which the length counts all.
        let record = (|| {
            let space = rest.iter().take(8).position(|&byte| byte == b' ')?;
            let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
            let record = rest.get(space + 1..length)?.strip_suffix(b"\n")?;
            let key = &record[..record.iter().position(|&byte| byte == b'=')?];
            Some((length, key))
        })();
        let Some((length, key)) = record else {
            return Err(damaged("has a tar header whose extension is damaged".into()));
        };
        if matches!(key, b"path" | b"size" | b"linkpath") || key.starts_with(b"GNU.sparse") {
            return Err(damaged(format!("has a tar header that is extended by `{}`", key.escape_ascii())));
        }
        rest = &rest[length..];
    }
    Ok(())
}

fn damaged(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fuzz;

    /// A header whose check sum is right.
    pub(crate) fn header(name: &str, code: u8, bytes: usize) -> Vec<u8> {
        let mut header = vec![0; BLOCK_BYTES];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{bytes:011o}").as_bytes());
        header[156] = code;
        header[257..265].copy_from_slice(b"ustar  \0");
        sealed(header)
    }

    fn sealed(mut header: Vec<u8>) -> Vec<u8> {
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }

    /// An entry with its content.
    pub(crate) fn entry(name: &str, code: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = [&header(name, code, content.len())[..], content].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        bytes
    }

    /// An archive of plain files, filled up as GNU tar does.
    pub(crate) fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries.concat();
        bytes.resize((bytes.len() + 2 * BLOCK_BYTES).next_multiple_of(20 * BLOCK_BYTES), 0);
        bytes
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<(Entry, Vec<u8>)>> {
        let mut archive = Archive::new(bytes);
        let mut found = Vec::new();
        while let Some(entry) = archive.next()? {
            let mut content = Vec::new();
            archive.content().read_to_end(&mut content)?;
            found.push((entry, content));
        }
        Ok(found)
    }

    #[track_caller]
    fn refused(bytes: &[u8], words: &str) {
        let message = read(bytes).unwrap_err().to_string();
        assert!(message.contains(words), "{message}\nlacks\n{words}");
    }

    fn good() -> Vec<u8> {
        let long = vec![7; 513];
        let times = b"30 mtime=1258407600.123456789\n";
        archive(&[
            entry("a/", b'5', b""),
            entry("a/pax", b'x', times),
            entry("a/one", b'0', b"one"),
            entry("a/long", 0, &long),
            entry("a/empty", b'0', b""),
            entry("a/link", b'2', b""),
        ])
    }

    #[test]
    fn entries_come_with_their_content() {
        let found = read(&good()).unwrap();
        let names: Vec<&str> = found.iter().map(|(entry, _)| entry.name.as_str()).collect();
        assert_eq!(names, ["a/", "a/one", "a/long", "a/empty", "a/link"]);
        let kinds: Vec<EntryType> = found.iter().map(|(entry, _)| entry.kind).collect();
        assert_eq!(
            kinds,
            [EntryType::Folder, EntryType::File, EntryType::File, EntryType::File, EntryType::Other("a link")]
        );
        assert_eq!((&found[1].1[..], &found[2].1[..]), (&b"one"[..], &[7; 513][..]));
    }

    #[test]
    fn content_that_nobody_reads_is_skipped() {
        let bytes = archive(&[entry("a", b'0', &[1; 1000]), entry("b", b'0', b"b")]);
        let mut archive = Archive::new(&bytes[..]);
        assert_eq!(archive.next().unwrap().unwrap().name, "a");
        assert_eq!(archive.content().read(&mut [0; 10]).unwrap(), 10);
        assert_eq!(archive.next().unwrap().unwrap().name, "b");
        assert!(archive.next().unwrap().is_none());
    }

    #[test]
    fn an_archive_is_whole_or_refused() {
        let entries = [entry("a", b'0', &[1; 600]), entry("b", b'0', b"b")];
        let whole = archive(&entries);
        let end = entries.concat().len() + 2 * BLOCK_BYTES;
        for length in 0..end {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        assert!(read(&whole[..end]).is_ok() && read(&whole[..end + 7]).is_ok());
        refused(&[&whole[..], b"more"].concat(), "goes on after the end");
        refused(&[&whole[..], &vec![0; MOST_TAIL as usize]].concat(), "goes on after the end");
        refused(&[&entries.concat()[..], &[0; BLOCK_BYTES], &entries.concat()].concat(), "a single block of zeros");
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for place in [0, 100, 124, 130, 156, 257, 345] {
            let mut bytes = good();
            bytes[place] ^= 1;
            refused(&bytes, "wrong check sum");
        }
        for length in
            [&b"0000000000 9"[..], b"-00000000001", b"           \0", b"\x80\0\0\0\0\0\0\0\0\0\0\x01", b"99999999999\0"]
        {
            let mut header = header("a", b'0', 0);
            header[124..136].copy_from_slice(length);
            refused(&archive(&[sealed(header)]), "with a length of");
        }
        refused(&archive(&[header("a", b'0', 0o77_777_777_777)]), "ends");
        refused(&archive(&[entry("a", b'x', b"12 path=a/b\n")]), "extended by `path`");
        refused(&archive(&[entry("a", b'g', b"22 GNU.sparse.major=1\n")]), "extended by `GNU.sparse.major`");
        refused(&archive(&[entry("a", b'x', b"99 mtime=1\n")]), "extension is damaged");
        refused(&archive(&[header("a", b'x', 1 << 20)]), "extended by 1048576 bytes");
    }

    #[test]
    fn mutated_archives_are_refused_or_read() {
        // Most damage to a header is told by its check sum, so that is made right again in half of the inputs.
        let mut number = 0_u32;
        fuzz::run("tar", &[good()], |bytes| {
            number += 1;
            let mut bytes = bytes.to_vec();
            if number.is_multiple_of(2) {
                for header in bytes.chunks_exact_mut(BLOCK_BYTES).filter(|header| &header[257..262] == b"ustar") {
                    header.copy_from_slice(&sealed(header.to_vec()));
                }
            }
            match read(&bytes) {
                Ok(found) => {
                    assert!(found.iter().map(|(_, content)| content.len()).sum::<usize>() < bytes.len());
                    true
                }
                Err(_) => false,
            }
        });
    }
}
