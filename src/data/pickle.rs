//! Python's pickles as far as data sets need them: numbers, strings, lists, dicts and arrays of bytes. Nothing is run.
//!
//! A pickle is a program for a stack machine. This one knows the instructions that Python 2 and 3 write for such values in protocols
//! 2 to 5, and as callables numpy's constructors and `_codecs.encode`, as which protocol 2 has Python 3 write bytes. Whatever else a
//! file holds is refused by its name. Python's pickletools.py documents the instructions.
//!
//! Every value lies once in a list and is referred to by its place there, so a pickle that contains itself costs nothing; strings
//! stay in the file's bytes. Memory is bounded by the number of instructions, of which [`MOST_INSTRUCTIONS`] are followed.

use std::collections::HashMap;
use std::fmt;

/// Most instructions followed. An image takes two to eleven, so this is enough for 65,536 of them.
const MOST_INSTRUCTIONS: usize = 1 << 20;

/// Longest name of a module or callable.
const MOST_NAME: usize = 256;

/// The place of a value among those of its pickle.
pub(super) type Id = usize;

/// What a pickle may hold.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Truth(bool),
    /// A whole number.
    Whole(i64),
    /// `bytes`, or Python 2's `str`.
    Bytes(&'a [u8]),
    /// `str`.
    Text(&'a str),
    /// `bytes` of which each stands as a character up to U+00FF.
    Latin1(&'a str),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A dict: keys and values.
    Dict(Vec<(Id, Id)>),
    /// numpy's array of bytes; its content with the first index outermost, or, as Fortran has it, the last.
    Array { shape: Id, content: Id, fortran: bool },
    /// An array that has no content yet.
    EmptyArray,
    /// numpy's type of a byte.
    Byte,
    /// Something that can be called.
    Callable(Callable),
}

/// What a pickle may call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callable {
    /// numpy's `_reconstruct`: an array without content.
    Reconstruct,
    /// numpy's `_frombuffer`: an array with it.
    FromBuffer,
    /// The class of arrays, which is named and not called.
    Ndarray,
    /// numpy's `dtype`.
    Dtype,
    /// `_codecs.encode`.
    Encode,
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Object<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Follows the pickle that `bytes` is.
    ///
    /// # Errors
    /// What it holds that is not known, or lacks.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, place: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = machine.run()?;
        if machine.place != bytes.len() {
            return Err(format!("goes on after its end at byte {}", machine.place));
        }
        Ok(Self { values: machine.values, root })
    }

    /// The value of `key` in the dict that the pickle is, if it has it; the last one counts.
    ///
    /// # Errors
    /// If it is no dict.
    pub fn get(&self, key: &str) -> Result<Option<&Object<'a>>, String> {
        let Object::Dict(items) = &self.values[self.root] else {
            return Err("holds no dict".into());
        };
        let is_key = |&&(found, _): &&(Id, Id)| match self.values[found] {
            Object::Bytes(bytes) => bytes == key.as_bytes(),
            Object::Text(text) | Object::Latin1(text) => text == key,
            _ => false,
        };
        Ok(items.iter().rev().find(is_key).map(|&(_, value)| &self.values[value]))
    }

    /// The whole numbers of a list or tuple; none if it is something else.
    pub fn wholes(&self, value: &Object) -> Option<Vec<i64>> {
        let (Object::List(items) | Object::Tuple(items)) = value else {
            return None;
        };
        let whole = |&item: &Id| match self.values[item] {
            Object::Whole(number) => Some(number),
            _ => None,
        };
        items.iter().map(whole).collect()
    }

    /// The shape of an array of bytes, its content, and whether the last index is the outermost; none if it is something else.
    pub fn array(&self, value: &Object) -> Option<(Vec<i64>, &Object<'a>, bool)> {
        match *value {
            Object::Array { shape, content, fortran } => {
                Some((self.wholes(&self.values[shape])?, &self.values[content], fortran))
            }
            _ => None,
        }
    }
}

impl Object<'_> {
    /// Number of bytes; none if it has none.
    pub fn byte_count(&self) -> Option<usize> {
        match self {
            Object::Bytes(bytes) => Some(bytes.len()),
            Object::Latin1(text) => Some(text.chars().count()),
            _ => None,
        }
    }

    /// Appends the bytes to `to`.
    pub fn append_bytes(&self, to: &mut Vec<u8>) {
        match self {
            Object::Bytes(bytes) => to.extend_from_slice(bytes),
            // What is above U+00FF was refused.
            Object::Latin1(text) => to.extend(text.chars().map(|c| c as u8)),
            _ => {}
        }
    }
}

/// The stack machine.
struct Machine<'a> {
    bytes: &'a [u8],
    place: usize,
    values: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at which a mark was set.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    /// Follows instructions up to the end and returns what is left on the stack.
    fn run(&mut self) -> Result<Id, String> {
        for _ in 0..MOST_INSTRUCTIONS {
            let begin = self.place;
            let code = self.take(1)?[0];
            let at = |what: String| format!("byte {begin}, instruction {}: {what}", Code(code));
            if code == b'.' {
                let root = self.pop().map_err(at)?;
                return if self.stack.is_empty() && self.marks.is_empty() {
                    Ok(root)
                } else {
                    Err(at("values are left".into()))
                };
            }
            self.follow(code).map_err(at)?;
        }
        Err(format!("has more than {MOST_INSTRUCTIONS} instructions"))
    }

    fn follow(&mut self, code: u8) -> Result<(), String> {
        match code {
            // PROTO
            0x80 => match self.take(1)?[0] {
                2..=5 => Ok(()),
                version => Err(format!("protocol {version}, expected 2 to 5")),
            },
            // FRAME: says how much comes at once
            0x95 => self.take(8).map(drop),
            // Constants: NONE, NEWTRUE, NEWFALSE
            b'N' => self.push(Object::None),
            0x88 => self.push(Object::Truth(true)),
            0x89 => self.push(Object::Truth(false)),
            // Numbers: BININT1, BININT2, BININT
            b'K' => self.whole(1),
            b'M' => self.whole(2),
            b'J' => self.number(4).and_then(|bits| self.push(Object::Whole((bits as u32 as i32).into()))),
            // Bytes: SHORT_BINSTRING, SHORT_BINBYTES, BINSTRING, BINBYTES, BINBYTES8, BYTEARRAY8
            b'U' | b'C' => self.string(1).and_then(|bytes| self.push(Object::Bytes(bytes))),
            b'T' | b'B' => self.string(4).and_then(|bytes| self.push(Object::Bytes(bytes))),
            0x8e | 0x96 => self.string(8).and_then(|bytes| self.push(Object::Bytes(bytes))),
            // Text: SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
            0x8c => self.text(1),
            b'X' => self.text(4),
            0x8d => self.text(8),
            // Containers: EMPTY_LIST, EMPTY_DICT, EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, MARK, TUPLE
            b']' => self.push(Object::List(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(code - 0x84));
                let from = from.filter(|&from| from >= self.floor()).ok_or("the stack is empty")?;
                let items = self.stack.split_off(from);
                self.push(Object::Tuple(items))
            }
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Object::Tuple(items))
            }
            // Content: APPEND, APPENDS, SETITEM, SETITEMS
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(&items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)
            }
            // Memory: BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => self.number(1).and_then(|key| self.put(key)),
            b'r' => self.number(4).and_then(|key| self.put(key)),
            0x94 => self.put(self.memo.len() as u64),
            b'h' => self.number(1).and_then(|key| self.recall(key)),
            b'j' => self.number(4).and_then(|key| self.recall(key)),
            // Callables: GLOBAL, STACK_GLOBAL, REDUCE, BUILD
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.callable(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module], &self.values[name]) {
                    (&Object::Text(module), &Object::Text(name)) => self.callable(module, name),
                    _ => Err("a name is no text".into()),
                }
            }
            b'R' => self.reduce(),
            b'b' => self.build(),
            _ => Err("not one that data sets need".into()),
        }
    }

    /// The next `count` bytes.
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.place..];
        let taken =
            rest.get(..count).ok_or_else(|| format!("ends at byte {}, within an instruction", self.bytes.len()))?;
        self.place += count;
        Ok(taken)
    }

    /// A number of `width` bytes, little endian.
    fn number(&mut self, width: usize) -> Result<u64, String> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Bytes after their number, which has `width` bytes.
    fn string(&mut self, width: usize) -> Result<&'a [u8], String> {
        let count = self.number(width)?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// A line of a name.
    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.place..];
        let end = rest.iter().take(MOST_NAME).position(|&byte| byte == b'\n').ok_or("a name does not end")?;
        self.place += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|error| format!("a name: {error}"))
    }

    fn whole(&mut self, width: usize) -> Result<(), String> {
        let number = self.number(width)?;
        self.push(Object::Whole(number as i64))
    }

    fn text(&mut self, width: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.string(width)?).map_err(|error| error.to_string())?;
        self.push(Object::Text(text))
    }

    /// Puts a value on the stack.
    #[allow(clippy::unnecessary_wraps)] // as all instructions do
    fn push(&mut self, value: Object<'a>) -> Result<(), String> {
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// The height below which the stack is another container's.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.stack.len() <= self.floor() {
            return Err("the stack is empty".into());
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let from = self.marks.pop().ok_or("there is no mark")?;
        Ok(self.stack.split_off(from))
    }

    /// The value on top of the stack.
    fn top(&mut self) -> Result<&mut Object<'a>, String> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        let top = *top.ok_or("the stack is empty")?;
        Ok(&mut self.values[top])
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        match self.top()? {
            Object::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err("there is no list".into()),
        }
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("a key has no value".into());
        };
        match self.top()? {
            Object::Dict(dict) => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err("there is no dict".into()),
        }
    }

    fn put(&mut self, key: u64) -> Result<(), String> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        self.memo.insert(key, *top.ok_or("the stack is empty")?);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), String> {
        self.stack.push(*self.memo.get(&key).ok_or("nothing was remembered")?);
        Ok(())
    }

    fn callable(&mut self, module: &str, name: &str) -> Result<(), String> {
        let callable = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Callable::Reconstruct,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Callable::FromBuffer,
            ("numpy", "ndarray") => Callable::Ndarray,
            ("numpy", "dtype") => Callable::Dtype,
            ("_codecs", "encode") => Callable::Encode,
            _ => return Err(format!("`{module}.{name}`, which data sets do not need")),
        };
        self.push(Object::Callable(callable))
    }

    /// Calls what lies below the arguments.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let (Object::Tuple(ids), &Object::Callable(callable)) = (&self.values[arguments], &self.values[callable])
        else {
            return Err("no call".into());
        };
        let ids: Vec<Id> = ids.iter().copied().take(4).collect();
        let arguments: Vec<&Object<'a>> = ids.iter().map(|&id| &self.values[id]).collect();
        let made = match (callable, &arguments[..]) {
            (Callable::Reconstruct, [Object::Callable(Callable::Ndarray), ..]) => Object::EmptyArray,
            (
                Callable::FromBuffer,
                &[Object::Bytes(_), Object::Byte, Object::Tuple(_), &Object::Text(order @ ("C" | "F"))],
            ) => Object::Array { shape: ids[2], content: ids[0], fortran: order == "F" },
            (Callable::Dtype, [Object::Text("u1") | Object::Bytes(b"u1"), ..]) => Object::Byte,
            (Callable::Dtype, [Object::Text(name), ..]) => {
                return Err(format!("numbers of type `{name}`, expected `u1`"));
            }
            (Callable::Dtype, [Object::Bytes(name), ..]) => {
                return Err(format!("numbers of type `{}`, expected `u1`", name.escape_ascii()));
            }
            (Callable::Encode, &[&Object::Text(text), Object::Text("latin1")]) => {
                if text.chars().any(|c| c > '\u{ff}') {
                    return Err("a character that is no byte".into());
                }
                Object::Latin1(text)
            }
            _ => return Err(format!("`{callable:?}` with other arguments than data sets need")),
        };
        self.push(made)
    }

    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let Object::Tuple(state) = &self.values[state] else {
            return Err("no state".into());
        };
        // Of an array: version, shape, type of its numbers, whether the last index is outermost, content.
        let state = <[Id; 5]>::try_from(&state[..]).ok();
        match (self.top()?, state) {
            // The order of a byte's bytes is none.
            (Object::Byte, _) => Ok(()),
            (Object::EmptyArray, Some([_, shape, of, order, content])) => {
                if !matches!(self.values[of], Object::Byte) {
                    return Err("an array of something else than bytes".into());
                }
                let Object::Truth(fortran) = self.values[order] else {
                    return Err("an array of an unknown order".into());
                };
                *self.top()? = Object::Array { shape, content, fortran };
                Ok(())
            }
            _ => Err("the state of something else than an array of bytes".into()),
        }
    }
}

/// An instruction as its character or number.
struct Code(u8);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_ascii_graphic() { write!(f, "`{}`", self.0 as char) } else { write!(f, "0x{:02x}", self.0) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fuzz;
    use proptest::prelude::*;

    /// A batch as Python 2 wrote the original ones: protocol 2, strings of bytes.
    ///
    /// `columns` pixels an image, all of them in `data`.
    pub(crate) fn original(labels: &[u8], columns: u16, data: &[u8]) -> Vec<u8> {
        let string = |bytes: &[u8]| [b"T", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
        let count = (labels.len() as u16).to_le_bytes();
        let labels: Vec<u8> = labels.iter().flat_map(|&label| [b'K', label]).collect();
        let names: Vec<u8> = (0..u16::from_le_bytes(count)).flat_map(|_| *b"U\x05a.pngq\x20").collect();
        [
            &b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("[..],
            &labels,
            b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01b\x87Rq\n(K\x01M",
            &count,
            b"M",
            &columns.to_le_bytes(),
            b"\x86cnumpy\ndtype\nq\x0bU\x02u1K\x00K\x01\x87Rq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            &string(data),
            b"tbU\tfilenamesq\r]q\x0e(",
            &names,
            b"eu.",
        ]
        .concat()
    }

    /// As Python 3 writes `{b"labels": [3, 1], b"data": numpy.array([[1, 200], [3, 4]], "u1")}` in a protocol.
    ///
    /// ```python
    /// pickle.dumps({b"labels": [3, 1], b"data": numpy.array([[1, 200], [3, 4]], "u1")}, protocol)   # numpy 2.4
    /// ```
    const OF_PYTHON_3: [&[u8]; 4] = [
        b"\x80\x02}q\x00(c_codecs\x0aencode\x0aq\x01X\x06\x00\x00\x00labelsq\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05]q\x06(K\x03K\x01eh\x01X\x04\x00\x00\x00dataq\x07h\x03\x86q\x08Rq\x09cnumpy._core.multiarray\x0a_reconstruct\x0aq\x0acnumpy\x0andarray\x0aq\x0bK\x00\x85q\x0ch\x01X\x01\x00\x00\x00bq\x0dh\x03\x86q\x0eRq\x0f\x87q\x10Rq\x11(K\x01K\x02K\x02\x86q\x12cnumpy\x0adtype\x0aq\x13X\x02\x00\x00\x00u1q\x14\x89\x88\x87q\x15Rq\x16(K\x03X\x01\x00\x00\x00|q\x17NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x18b\x89h\x01X\x05\x00\x00\x00\x01\xc3\x88\x03\x04q\x19h\x03\x86q\x1aRq\x1btq\x1cbu.",
        b"\x80\x03}q\x00(C\x06labelsq\x01]q\x02(K\x03K\x01eC\x04dataq\x03cnumpy._core.multiarray\x0a_reconstruct\x0aq\x04cnumpy\x0andarray\x0aq\x05K\x00\x85q\x06C\x01bq\x07\x87q\x08Rq\x09(K\x01K\x02K\x02\x86q\x0acnumpy\x0adtype\x0aq\x0bX\x02\x00\x00\x00u1q\x0c\x89\x88\x87q\x0dRq\x0e(K\x03X\x01\x00\x00\x00|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x10b\x89C\x04\x01\xc8\x03\x04q\x11tq\x12bu.",
        b"\x80\x04\x95\xab\x00\x00\x00\x00\x00\x00\x00}\x94(C\x06labels\x94]\x94(K\x03K\x01eC\x04data\x94\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02K\x02\x86\x94h\x07\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C\x04\x01\xc8\x03\x04\x94t\x94bu.",
        b"\x80\x05\x95\x96\x00\x00\x00\x00\x00\x00\x00}\x94(C\x06labels\x94]\x94(K\x03K\x01eC\x04data\x94\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x04\x00\x00\x00\x00\x00\x00\x00\x01\xc8\x03\x04\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x02K\x02\x86\x94\x8c\x01C\x94t\x94R\x94u.",
    ];

    #[test]
    fn the_original_s_form_and_all_of_python_3_are_read() {
        let ours = original(&[3, 1], 2, &[1, 200, 3, 4]);
        for bytes in OF_PYTHON_3.into_iter().chain([&ours[..]]) {
            let pickle = Pickle::read(bytes).unwrap();
            let labels = pickle.get("labels").unwrap().unwrap();
            assert_eq!(pickle.wholes(labels).unwrap(), [3, 1]);
            let (shape, content, fortran) = pickle.array(pickle.get("data").unwrap().unwrap()).unwrap();
            assert_eq!((shape, content.byte_count(), fortran), (vec![2, 2], Some(4), false));
            let mut bytes = Vec::new();
            content.append_bytes(&mut bytes);
            assert_eq!(bytes, [1, 200, 3, 4]);
            assert!(pickle.get("fine_labels").unwrap().is_none() && pickle.array(labels).is_none());
        }
    }

    #[track_caller]
    fn refused(bytes: &[u8], words: &str) {
        let message = Pickle::read(bytes).unwrap_err();
        assert!(message.contains(words), "{message}\nlacks\n{words}");
    }

    #[test]
    fn what_would_run_something_is_refused_by_its_name() {
        refused(
            b"\x80\x02cos\nsystem\nU\x02id\x85R.",
            "byte 2, instruction `c`: `os.system`, which data sets do not need",
        );
        refused(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "`os.system`");
        refused(b"\x80\x02c__builtin__\neval\n.", "`__builtin__.eval`");
        refused(b"\x80\x02(ios\nsystem\n.", "instruction `i`: not one that data sets need");
        refused(b"\x80\x02\x81.", "instruction 0x81: not one");
        refused(b"\x80\x02cnumpy\ndtype\nU\x02f4\x85R.", "numbers of type `f4`, expected `u1`");
        refused(b"\x80\x02cnumpy\nndarray\n)R.", "`Ndarray` with other arguments");
        refused(b"\x80\x01.", "protocol 1, expected 2 to 5");
    }

    #[test]
    fn what_the_stack_does_not_hold_is_an_error() {
        for code in b"aesut\x85\x86\x87qRb.\x94\x93h" {
            assert!(Pickle::read(&[*code, 0]).is_err() && Pickle::read(&[b'(', *code, 0]).is_err());
            assert!(Pickle::read(&[b'N', b'(', *code, 0]).is_err(), "{}", Code(*code));
        }
        refused(b"", "ends at byte 0");
        refused(b"NN.", "values are left");
        refused(b"N..", "goes on after its end at byte 2");
        refused(b"T\xff\xff\xff\xffabc.", "ends at byte 9");
        refused(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.", "ends at byte 13");
    }

    #[test]
    fn a_pickle_that_contains_itself_or_doubles_takes_no_memory() {
        let pickle = Pickle::read(b"}q\x00U\x06labelsh\x00s.").unwrap();
        assert!(pickle.wholes(pickle.get("labels").unwrap().unwrap()).is_none());
        let mut doubled = b"]q\x00".to_vec();
        for _ in 0..60 {
            doubled.extend(b"(h\x00h\x00tq\x00");
        }
        // A list below many pairs of pairs: 2^60 elements, were they copied.
        doubled.extend(b"\x85");
        refused(&doubled, "ends at byte");
        doubled.truncate(doubled.len() - 1);
        let deep = [&vec![b']'; 1 << 19][..], &vec![b'a'; (1 << 19) - 1], b"."].concat();
        Pickle::read(&deep).unwrap();
        refused(&vec![b']'; (1 << 20) + 1], "more than 1048576 instructions");
    }

    #[test]
    fn mutated_pickles_are_refused_or_read() {
        let mut seeds = vec![original(&[3, 1], 2, &[1, 200, 3, 4])];
        seeds.extend(OF_PYTHON_3.map(<[u8]>::to_vec));
        fuzz::run("pickle", &seeds, |bytes| {
            let Ok(pickle) = Pickle::read(bytes) else { return false };
            for key in ["labels", "data"] {
                let Ok(Some(value)) = pickle.get(key) else { continue };
                pickle.wholes(value);
                if let Some((_, content, _)) = pickle.array(value) {
                    let mut bytes = Vec::new();
                    content.append_bytes(&mut bytes);
                    assert_eq!(bytes.len(), content.byte_count().unwrap_or(0));
                }
            }
            true
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn any_instructions_are_followed_without_panic(
            bytes in proptest::collection::vec(proptest::sample::select(&b"NK\x01U\x02]}()\x85\x86\x87teasuqhcRb.\x80\x8c\x93\x94\0"[..]), 0..60),
        ) {
            let _ = Pickle::read(&bytes);
        }
    }
}
