//! [`read_pytorch`]: weights as `torch.save` writes them. Of a pickle only data is understood; nothing in it
//! is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use zip::{CompressionMethod, ZipArchive};

use crate::{NetworkError, Weight};

/// What was found where something else was expected.
type Found<T> = Result<T, String>;

/// A value of a pickle. Containers are numbers of the reader's, so that a value that holds itself is no
/// trap.
#[derive(Clone, Debug)]
enum Value {
    Int(i64),
    Text(Rc<str>),
    /// A class or function, by its module and name.
    Class(Rc<str>),
    List(usize),
    Dict(usize),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
    /// Anything that no weight depends on.
    Other,
}

/// How a storage keeps its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F64,
    F32,
    F16,
    Bf16,
    /// Whole numbers and the like: no weights. How many bytes each has.
    NoFloat(usize),
}

impl Kind {
    fn of(class: &str) -> Found<Self> {
        Ok(match class.strip_prefix("torch ").and_then(|name| name.strip_suffix("Storage")) {
            Some("Double") => Self::F64,
            Some("Float") => Self::F32,
            Some("Half") => Self::F16,
            Some("BFloat16") => Self::Bf16,
            Some("Long" | "ComplexFloat") => Self::NoFloat(8),
            Some("Int") => Self::NoFloat(4),
            Some("Short") => Self::NoFloat(2),
            Some("Char" | "Byte" | "Bool") => Self::NoFloat(1),
            Some("ComplexDouble") => Self::NoFloat(16),
            _ => return Err(format!("numbers of the unknown kind {class:?}")),
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::NoFloat(bytes) => bytes,
        }
    }

    /// Number `at` of a storage's bytes.
    fn number(self, bytes: &[u8], at: usize) -> Option<f32> {
        fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
            bytes.get(at.checked_mul(N)?..)?.first_chunk().copied()
        }
        Some(match self {
            Self::F64 => f64::from_le_bytes(array(bytes, at)?) as f32,
            Self::F32 => f32::from_le_bytes(array(bytes, at)?),
            Self::F16 => half::f16::from_le_bytes(array(bytes, at)?).to_f32(),
            Self::Bf16 => half::bf16::from_le_bytes(array(bytes, at)?).to_f32(),
            Self::NoFloat(_) => return None,
        })
    }
}

/// Numbers in the file that tensors look at.
#[derive(Debug)]
struct Storage {
    kind: Kind,
    key: Rc<str>,
    count: usize,
}

/// A view of a storage.
#[derive(Debug)]
struct Tensor {
    storage: Rc<Storage>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Tensor {
    /// How many numbers it has; they all lie in the storage, and are not more than it has.
    fn count(&self) -> Option<usize> {
        let count = self.shape.iter().try_fold(1_usize, |all, &own| all.checked_mul(own))?;
        if count == 0 {
            return Some(0);
        }
        let mut last = self.offset;
        for (&length, &stride) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add((length - 1).checked_mul(stride)?)?;
        }
        (last < self.storage.count && count <= self.storage.count).then_some(count)
    }

    /// Its numbers in the order of its axes, the last running fastest.
    fn values(&self, bytes: &[u8]) -> Option<Vec<f32>> {
        let count = self.count()?;
        if bytes.len() < self.storage.count.checked_mul(self.storage.kind.bytes())? {
            return None;
        }
        let mut values = Vec::with_capacity(count);
        let mut place = vec![0; self.shape.len()];
        let mut at = self.offset;
        while values.len() < count {
            values.push(self.storage.kind.number(bytes, at)?);
            // One further, as a counter with a digit for each axis.
            for axis in (0..place.len()).rev() {
                place[axis] += 1;
                at += self.strides[axis];
                if place[axis] < self.shape[axis] {
                    break;
                }
                at -= self.strides[axis] * self.shape[axis];
                place[axis] = 0;
            }
        }
        Some(values)
    }
}

/// Reads one pickle after the other.
#[derive(Debug)]
struct Pickle<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: BTreeMap<u64, Value>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    /// Every storage that was spoken of.
    storages: BTreeMap<Rc<str>, Kind>,
}

/// More than any weight has.
const MOST_AXES: usize = 16;
/// Bytes of a longer name than any module gives its weights.
const LONGEST_NAME: usize = 1000;

const CUT: &str = "a pickle that ends too early";
const UNSOUND: &str = "a pickle that is not in order";

impl<'a> Pickle<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
            lists: Vec::new(),
            dicts: Vec::new(),
            storages: BTreeMap::new(),
        }
    }

    fn take(&mut self, count: u64) -> Found<&'a [u8]> {
        let count = usize::try_from(count).map_err(|_| CUT)?;
        let (own, rest) = self.rest.split_at_checked(count).ok_or(CUT)?;
        self.rest = rest;
        Ok(own)
    }

    /// A whole number of so many bytes, the lowest first.
    fn number(&mut self, bytes: u64) -> Found<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |all, &byte| (all << 8) | u64::from(byte)))
    }

    fn line(&mut self) -> Found<&'a str> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or(CUT)?;
        let line = self.take(end as u64)?;
        self.take(1)?;
        Ok(std::str::from_utf8(line).map_err(|_| UNSOUND)?.trim_end_matches('\r'))
    }

    fn text(&mut self, length_bytes: u64) -> Found<()> {
        let count = self.number(length_bytes)?;
        let text = std::str::from_utf8(self.take(count)?).map_err(|_| UNSOUND)?;
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn bytes(&mut self, length_bytes: u64) -> Found<()> {
        let count = self.number(length_bytes)?;
        self.take(count)?;
        self.stack.push(Value::Other);
        Ok(())
    }

    /// A whole number with a sign, of any length; one beyond 64 bits is no number of ours.
    fn long(&mut self, length_bytes: u64) -> Found<()> {
        let count = self.number(length_bytes)?;
        let bytes = self.take(count)?;
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xFF } else { 0 };
        let mut whole = [fill; 8];
        self.stack.push(if let Some(part) = whole.get_mut(..bytes.len()) {
            part.copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(whole))
        } else {
            Value::Other
        });
        Ok(())
    }

    fn pop(&mut self) -> Found<Value> {
        Ok(self.stack.pop().ok_or(UNSOUND)?)
    }

    fn since_mark(&mut self) -> Found<Vec<Value>> {
        let mark = self.marks.pop().ok_or(UNSOUND)?;
        if mark > self.stack.len() {
            return Err(UNSOUND.to_owned());
        }
        Ok(self.stack.split_off(mark))
    }

    fn list(&mut self, values: Vec<Value>) -> Value {
        self.lists.push(values);
        Value::List(self.lists.len() - 1)
    }

    fn dict(&mut self, values: Vec<Value>) -> Found<Value> {
        self.dicts.push(Vec::new());
        let number = self.dicts.len() - 1;
        self.add_pairs(number, values)?;
        Ok(Value::Dict(number))
    }

    fn add_pairs(&mut self, dict: usize, values: Vec<Value>) -> Found<()> {
        if !values.len().is_multiple_of(2) {
            return Err(UNSOUND.to_owned());
        }
        let mut values = values.into_iter();
        while let (Some(key), Some(value)) = (values.next(), values.next()) {
            self.dicts[dict].push((key, value));
        }
        Ok(())
    }

    fn fill_dict(&mut self, values: Vec<Value>) -> Found<()> {
        match self.stack.last() {
            Some(&Value::Dict(dict)) => self.add_pairs(dict, values),
            Some(Value::Other) => Ok(()),
            _ => Err(UNSOUND.to_owned()),
        }
    }

    fn fill_list(&mut self, values: Vec<Value>) -> Found<()> {
        match self.stack.last() {
            Some(&Value::List(list)) => {
                self.lists[list].extend(values);
                Ok(())
            }
            Some(Value::Other) => Ok(()),
            _ => Err(UNSOUND.to_owned()),
        }
    }

    fn remember(&mut self, number: u64) -> Found<()> {
        let top = self.stack.last().ok_or(UNSOUND)?.clone();
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, number: u64) -> Found<()> {
        self.stack.push(self.memo.get(&number).ok_or(UNSOUND)?.clone());
        Ok(())
    }

    fn items(&self, value: &Value) -> Found<&[Value]> {
        match value {
            Value::List(list) => Ok(&self.lists[*list]),
            _ => Err(UNSOUND.to_owned()),
        }
    }

    fn sizes(&self, value: &Value) -> Found<Vec<usize>> {
        self.items(value)?.iter().map(size).collect()
    }

    /// What stands for something outside the pickle: the numbers of tensors.
    fn persistent(&mut self, value: &Value) -> Found<Value> {
        let [Value::Text(what), Value::Class(class), Value::Text(key), _, count, view @ ..] =
            self.items(value)?
        else {
            return Err(UNSOUND.to_owned());
        };
        if **what != *"storage" || view.iter().any(|view| !matches!(view, Value::Other)) {
            return Err("tensors kept as PyTorch did before version 0.4".to_owned());
        }
        let storage = Storage { kind: Kind::of(class)?, key: key.clone(), count: size(count)? };
        self.storages.insert(storage.key.clone(), storage.kind);
        Ok(Value::Storage(Rc::new(storage)))
    }

    /// The few functions that a state dict is made of; any other is refused.
    fn call(&mut self, function: &Value, arguments: &Value) -> Found<Value> {
        let Value::Class(name) = function else { return Err(UNSOUND.to_owned()) };
        let given = self.items(arguments)?;
        match &**name {
            "collections OrderedDict" => {
                let pairs = match given.first() {
                    Some(pairs) => self.items(pairs)?.to_vec(),
                    None => Vec::new(),
                };
                let mut values = Vec::with_capacity(2 * pairs.len());
                for pair in &pairs {
                    let [key, value] = self.items(pair)? else { return Err(UNSOUND.to_owned()) };
                    values.extend([key.clone(), value.clone()]);
                }
                self.dict(values)
            }
            "torch._utils _rebuild_tensor" | "torch._utils _rebuild_tensor_v2" => {
                let [Value::Storage(storage), offset, shape, strides, ..] = given else {
                    return Err(UNSOUND.to_owned());
                };
                let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
                let offset = size(offset)?;
                if shape.len() != strides.len() || shape.len() > MOST_AXES {
                    return Err(UNSOUND.to_owned());
                }
                let tensor = Tensor { storage: storage.clone(), offset, shape, strides };
                Ok(Value::Tensor(Rc::new(tensor)))
            }
            "torch._utils _rebuild_parameter"
            | "torch._utils _rebuild_parameter_with_state"
            | "torch Size" => Ok(given.first().ok_or(UNSOUND)?.clone()),
            "torch device" | "torch.serialization _get_layout" => Ok(Value::Other),
            other => Err(format!("a pickle that calls `{}`", other.replace(' ', "."))),
        }
    }

    /// Runs one instruction; gives whether it was the last.
    fn instruction(&mut self) -> Found<bool> {
        let code = self.number(1)? as u8;
        match code {
            b'.' => return Ok(true),
            0x80 => {
                self.take(1)?;
            }
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'1' => {
                self.since_mark()?;
            }
            b'2' => {
                let top = self.stack.last().ok_or(UNSOUND)?.clone();
                self.stack.push(top);
            }
            b'N' | 0x88 | 0x89 | 0x8F => self.stack.push(Value::Other),
            b'I' | b'L' => {
                let number = self.line()?.trim_end_matches('L').parse();
                self.stack.push(number.map_or(Value::Other, Value::Int));
            }
            b'J' => {
                let number = self.number(4)? as u32;
                self.stack.push(Value::Int(i64::from(number.cast_signed())));
            }
            b'K' | b'M' => {
                let number = self.number(if code == b'K' { 1 } else { 2 })?;
                self.stack.push(Value::Int(number.cast_signed()));
            }
            0x8A => self.long(1)?,
            0x8B => self.long(4)?,
            b'F' => {
                self.line()?;
                self.stack.push(Value::Other);
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Other);
            }
            b'S' | b'V' => {
                let line = self.line()?;
                let text = if code == b'S' { line.trim_matches(['\'', '"']) } else { line };
                self.stack.push(Value::Text(text.into()));
            }
            b'U' | 0x8C => self.text(1)?,
            b'T' | b'X' => self.text(4)?,
            0x8D => self.text(8)?,
            b'C' => self.bytes(1)?,
            b'B' => self.bytes(4)?,
            0x8E | 0x96 => self.bytes(8)?,
            // Tuples are lists that nobody adds to.
            b']' | b')' => {
                let list = self.list(Vec::new());
                self.stack.push(list);
            }
            b'l' | b't' => {
                let values = self.since_mark()?;
                let list = self.list(values);
                self.stack.push(list);
            }
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(code - 0x84));
                let values = self.stack.split_off(start.ok_or(UNSOUND)?);
                let list = self.list(values);
                self.stack.push(list);
            }
            b'a' => {
                let value = self.pop()?;
                self.fill_list(vec![value])?;
            }
            b'e' | 0x90 => {
                let values = self.since_mark()?;
                self.fill_list(values)?;
            }
            b'}' => {
                let dict = self.dict(Vec::new())?;
                self.stack.push(dict);
            }
            b'd' => {
                let values = self.since_mark()?;
                let dict = self.dict(values)?;
                self.stack.push(dict);
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.fill_dict(vec![key, value])?;
            }
            b'u' => {
                let values = self.since_mark()?;
                self.fill_dict(values)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Class(format!("{module} {name}").into()));
            }
            0x93 => {
                let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                    return Err(UNSOUND.to_owned());
                };
                self.stack.push(Value::Class(format!("{module} {name}").into()));
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let value = self.call(&function, &arguments)?;
                self.stack.push(value);
            }
            // An object of some class, such as the settings of a training: never made, only passed by.
            0x81 | 0x92 => {
                for _ in 0..if code == 0x81 { 2 } else { 3 } {
                    self.pop()?;
                }
                self.stack.push(Value::Other);
            }
            // Of BUILD: what an object remembers beside, such as the versions of a state dict's modules.
            b'0' | b'b' => {
                self.pop()?;
            }
            b'Q' => {
                let value = self.pop()?;
                let storage = self.persistent(&value)?;
                self.stack.push(storage);
            }
            b'p' | b'g' => {
                let number = self.line()?.parse().map_err(|_| UNSOUND)?;
                if code == b'p' { self.remember(number) } else { self.recall(number) }?;
            }
            b'q' | b'r' => {
                let number = self.number(if code == b'q' { 1 } else { 4 })?;
                self.remember(number)?;
            }
            b'h' | b'j' => {
                let number = self.number(if code == b'h' { 1 } else { 4 })?;
                self.recall(number)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            other => return Err(format!("a pickle with the unknown instruction {other:#04x}")),
        }
        Ok(false)
    }

    /// The value of the next pickle.
    fn value(&mut self) -> Found<Value> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        while !self.instruction()? {}
        self.pop()
    }

    /// The tensors of a checkpoint: those of the state dict that it keeps, or all.
    fn tensors(&self, root: &Value) -> Found<BTreeMap<String, Rc<Tensor>>> {
        let Value::Dict(root) = root else {
            return Err("a pickle that is no dict of tensors, such as a whole module".to_owned());
        };
        let inside = |wanted: &str| {
            self.dicts[*root].iter().rev().find_map(|(key, value)| match (key, value) {
                (Value::Text(key), Value::Dict(dict)) if **key == *wanted => Some(*dict),
                _ => None,
            })
        };
        let own = ["state_dict", "model_state_dict", "model"].into_iter().find_map(inside);
        let mut tensors = BTreeMap::new();
        // Each dict once, as a pickle may have one hold itself.
        let mut seen = BTreeSet::new();
        let mut open = vec![(String::new(), own.unwrap_or(*root))];
        while let Some((path, dict)) = open.pop() {
            if !seen.insert(dict) {
                continue;
            }
            for (key, value) in &self.dicts[dict] {
                let Value::Text(key) = key else { continue };
                if path.len() + key.len() > LONGEST_NAME {
                    return Err("a name of more than 1000 bytes".to_owned());
                }
                match value {
                    Value::Tensor(tensor) => {
                        tensors.insert(format!("{path}{key}"), tensor.clone());
                    }
                    Value::Dict(inner) => open.push((format!("{path}{key}."), *inner)),
                    _ => {}
                }
            }
        }
        Ok(tensors)
    }
}

fn size(value: &Value) -> Found<usize> {
    match value {
        Value::Int(number) => Ok(usize::try_from(*number).map_err(|_| UNSOUND)?),
        _ => Err(UNSOUND.to_owned()),
    }
}

/// The weights of tensors whose storages `bytes` gives; `limit` bounds how many numbers there may be.
fn load(
    tensors: BTreeMap<String, Rc<Tensor>>,
    limit: u64,
    mut bytes: impl FnMut(&Storage) -> Found<Rc<[u8]>>,
) -> Found<BTreeMap<String, Weight>> {
    let mut weights = BTreeMap::new();
    let mut numbers = 0_u64;
    // Views of one storage stand beside one another, as a rule.
    let mut last: Option<(Rc<str>, Rc<[u8]>)> = None;
    for (name, tensor) in tensors {
        if matches!(tensor.storage.kind, Kind::NoFloat(_)) {
            // Counters such as num_batches_tracked.
            continue;
        }
        let unsound = || format!("{name:?}, of which not all numbers are there");
        numbers = numbers.saturating_add(tensor.count().ok_or_else(unsound)? as u64);
        if numbers > limit {
            return Err("more weights than a file of its size can have".to_owned());
        }
        let key = &tensor.storage.key;
        let known = last.take().filter(|(own, _)| own == key);
        let own = match known {
            Some((_, own)) => own,
            None => bytes(&tensor.storage)?,
        };
        let values = tensor.values(&own).ok_or_else(unsound)?;
        last = Some((key.clone(), own));
        weights.insert(name, Weight { shape: tensor.shape.clone(), values });
    }
    Ok(weights)
}

/// Files of PyTorch 1.6 and later: a zip with a pickle and a file for each storage.
fn read_zip(
    mut archive: ZipArchive<BufReader<File>>,
    length: u64,
) -> Found<BTreeMap<String, Weight>> {
    let pickle = archive
        .file_names()
        .find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .ok_or("a zip without data.pkl")?
        .to_owned();
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    let mut entry = |name: &str| -> Found<Vec<u8>> {
        let mut entry = archive.by_name(name).map_err(|error| format!("{name}: {error}"))?;
        // PyTorch never compresses; what does could be far larger than the file.
        if entry.compression() != CompressionMethod::Stored || entry.size() > length {
            return Err(format!("{name}, compressed"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
        Ok(bytes)
    };
    if entry(&format!("{folder}byteorder")).is_ok_and(|order| order != b"little") {
        return Err("numbers with the highest byte first".to_owned());
    }
    let pickle = entry(&pickle)?;
    let mut reader = Pickle::new(&pickle);
    let root = reader.value()?;
    let tensors = reader.tensors(&root)?;
    load(tensors, length, |storage| Ok(entry(&format!("{folder}data/{}", storage.key))?.into()))
}

/// What files of PyTorch before 1.6 begin with: a pickle of one number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Files of PyTorch before 1.6: five pickles (that number, the version, the machine, the weights, the keys
/// of storages), then each storage's count and numbers.
fn read_legacy(bytes: &[u8]) -> Found<BTreeMap<String, Weight>> {
    let mut reader = Pickle::new(bytes);
    for _ in 0..3 {
        reader.value()?;
    }
    let root = reader.value()?;
    let tensors = reader.tensors(&root)?;
    let keys = reader.value()?;
    let keys: Vec<Value> = reader.items(&keys)?.to_vec();
    let mut found: BTreeMap<Rc<str>, Rc<[u8]>> = BTreeMap::new();
    for key in keys {
        let Value::Text(key) = key else { return Err(UNSOUND.to_owned()) };
        let kind = *reader.storages.get(&key).ok_or(UNSOUND)?;
        let count = reader.number(8)?;
        let numbers = reader.take(count.checked_mul(kind.bytes() as u64).ok_or(CUT)?)?;
        found.insert(key, numbers.into());
    }
    load(tensors, bytes.len() as u64, |storage| {
        found.get(&storage.key).cloned().ok_or_else(|| CUT.to_owned())
    })
}

/// The float tensors of a file as `torch.save` writes it: a state dict, or a checkpoint that keeps one
/// under `state_dict`, `model_state_dict` or `model`.
pub(crate) fn read_pytorch(path: &Path) -> Result<BTreeMap<String, Weight>, NetworkError> {
    let io = |source| NetworkError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut head = Vec::new();
    file.by_ref().take(LEGACY.len() as u64).read_to_end(&mut head).map_err(io)?;
    let read = if head == LEGACY {
        let bytes = std::fs::read(path).map_err(io)?;
        read_legacy(&bytes)
    } else {
        ZipArchive::new(BufReader::new(file))
            .map_err(|error| error.to_string())
            .and_then(|archive| read_zip(archive, length))
    };
    read.map_err(|found| NetworkError::File {
        path: path.to_owned(),
        expected: "weights as torch.save writes them".to_owned(),
        found,
    })
}
