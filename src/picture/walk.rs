//! The files below a folder, in an order that does not depend on the machine.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::read::{self, uninterrupted};

/// Goes through a folder and all below it: the names of each folder in the order of their bytes, a folder's content where its name stands.
///
/// Links are followed. Names that begin with a dot are passed over: they are hidden, and programs keep their own files under them. What is
/// held in memory are the names of the folders on the way down, about 60 bytes each: 60 MB for a folder of a million files.
#[derive(Debug)]
pub struct Walk {
    /// The folders on the way down.
    folders: Vec<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Device and inode, by which a folder is known under any name.
    identity: (u64, u64),
    /// Those that are left.
    names: std::vec::IntoIter<OsString>,
}

/// What keeps a walk from a folder.
#[derive(Debug)]
pub enum Obstacle {
    /// It lies inside itself: a link leads back to it.
    Loop(PathBuf),
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
}

impl Walk {
    /// Begins with a folder.
    ///
    /// # Errors
    /// If it is none, or cannot be read.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let metadata = uninterrupted(|| fs::metadata(folder))?;
        Ok(Self { folders: vec![Folder::new(folder.to_owned(), &metadata)?] })
    }
}

impl Folder {
    fn new(path: PathBuf, metadata: &fs::Metadata) -> io::Result<Self> {
        let mut names = read::names(&path)?;
        names.retain(|name| !name.as_bytes().starts_with(b"."));
        names.sort_unstable();
        Ok(Self { path, identity: (metadata.dev(), metadata.ino()), names: names.into_iter() })
    }
}

impl Iterator for Walk {
    /// A file, or whatever else is no folder.
    type Item = Result<PathBuf, Obstacle>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let folder = self.folders.last_mut()?;
            let Some(name) = folder.names.next() else {
                self.folders.pop();
                continue;
            };
            let path = folder.path.join(name);
            // Why a file cannot be read is told by who opens it.
            let Ok(metadata) = uninterrupted(|| fs::metadata(&path)) else { return Some(Ok(path)) };
            if !metadata.is_dir() {
                return Some(Ok(path));
            }
            let identity = (metadata.dev(), metadata.ino());
            if self.folders.iter().any(|above| above.identity == identity) {
                return Some(Err(Obstacle::Loop(path)));
            }
            match Folder::new(path.clone(), &metadata) {
                Ok(folder) => self.folders.push(folder),
                Err(error) => return Some(Err(Obstacle::Unreadable(path, error))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_names_whatever_these_are() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/empty")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        let latin = OsStr::from_bytes(b"gr\xfc\xdfe.png");
        for name in ["c.png", "b/z.png", "b/10.png", "b/9.png", "a b\n.png", ".DS_Store", ".git/x.png"] {
            fs::write(root.join(name), "").unwrap();
        }
        fs::write(root.join(latin), "").unwrap();
        // A link to a folder is followed, one into a folder above is not, and a link to nothing is a file that cannot be opened.
        symlink("b", root.join("d")).unwrap();
        symlink("..", root.join("b/up")).unwrap();
        symlink("nowhere", root.join("e.png")).unwrap();
        let mut found = Vec::new();
        let mut loops = Vec::new();
        for entry in Walk::new(root).unwrap() {
            match entry {
                Ok(path) => found.push(path.strip_prefix(root).unwrap().to_owned()),
                Err(Obstacle::Loop(path)) => loops.push(path.strip_prefix(root).unwrap().to_owned()),
                Err(obstacle) => panic!("{obstacle:?}"),
            }
        }
        let expected =
            ["a b\n.png", "b/10.png", "b/9.png", "b/z.png", "c.png", "d/10.png", "d/9.png", "d/z.png", "e.png"];
        let expected: Vec<_> = expected.iter().map(OsStr::new).chain([latin]).map(PathBuf::from).collect();
        assert_eq!(found, expected);
        assert_eq!(loops, [Path::new("b/up"), Path::new("d/up")]);
        assert!(Walk::new(&root.join("c.png")).is_err());
    }
}
