//! [`MpiRank`]: ranks that are processes, on one machine or many.
//!
//! Before every sum or gathering each rank sends rank 0 a token that says what it brings, and rank 0 tells
//! all whether they go on: so that a rank which lags, has failed or is elsewhere is known by its number
//! while nothing is under way that could not be left. What follows is one call of MPI, which every rank has
//! entered or is about to.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::request::{LocalScope, Request, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{
    Communicator, CommunicatorCollectives, Destination, Equivalence, Group, Root, Source,
};
use serde::{Deserialize, Serialize};

use crate::collective::{Collective, CollectiveError, members_of};

const TOKEN: i32 = 1;
const VERDICT: i32 = 2;
/// Told to all ranks by one that ends, outside of every channel.
const GONE: i32 = 3;
/// Numbers and bytes of one call of MPI at most, which counts in 32 bits.
const MOST_AT_ONCE: usize = 1 << 28;
/// What rank 0 is given longer than the others, so that it is the one to say who did not come.
const SLACK: Duration = Duration::from_secs(5);
/// The most of a reason that is passed on: a message that MPI sends at once.
const MOST_OF_A_REASON: usize = 1000;

/// The first rank that said it ends, once it is known here.
static ENDED: OnceLock<CollectiveError> = OnceLock::new();

#[allow(clippy::needless_pass_by_value, reason = "errors, as they are found")]
fn engine(found: impl ToString) -> CollectiveError {
    CollectiveError::Engine { engine: "MPI", found: found.to_string() }
}

/// This process as one of those that `mpirun` or `srun` started, until it is dropped.
pub struct MpiWorld {
    // Told to MPI when it goes.
    _universe: Universe,
    local_rank: usize,
}

impl std::fmt::Debug for MpiWorld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MpiWorld").field("rank", &self.rank()).field("size", &self.size()).finish()
    }
}

impl MpiWorld {
    /// Joins the others; every process does, once.
    ///
    /// # Errors
    /// It has joined before, or this MPI allows one thread at a time only.
    pub fn join() -> Result<Self, CollectiveError> {
        let (universe, threading) = mpi::initialize_with_threading(Threading::Multiple)
            .ok_or_else(|| engine("expected the first start in this process, found a second"))?;
        if threading < Threading::Multiple {
            return Err(engine(format!(
                "expected a library with MPI_THREAD_MULTIPLE, found {threading:?}"
            )));
        }
        let world = SimpleCommunicator::world();
        let local_rank = world.split_shared(world.rank()).rank() as usize;
        Ok(Self { _universe: universe, local_rank })
    }

    /// This one's number.
    pub fn rank(&self) -> usize {
        SimpleCommunicator::world().rank() as usize
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        SimpleCommunicator::world().size() as usize
    }

    /// This one's number on its machine.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// A channel among all. `patience`: after how long a rank that does not come is given up; none: never.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn channel(&self, patience: Option<Duration>) -> Result<MpiRank, CollectiveError> {
        MpiRank::start(patience, None)
    }

    /// Ends all processes at once, this one with `code`, where an error has made it certain that they
    /// would wait for each other.
    pub fn end_all(&self, code: i32) -> ! {
        SimpleCommunicator::world().abort(code)
    }
}

/// What a rank brings to a call.
enum Load {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Gather(Vec<u8>),
    First(Vec<u8>),
}

impl Load {
    /// Kind and length, which all ranks' must have in common where the kind says so.
    fn token(&self, sequence: u64) -> [u64; 3] {
        let (kind, length) = match self {
            Self::F32(values) => (0, values.len()),
            Self::F64(values) => (1, values.len()),
            Self::Gather(bytes) => (2, bytes.len()),
            Self::First(bytes) => (3, bytes.len()),
        };
        [sequence, kind, length as u64]
    }
}

/// A token in words.
fn place([sequence, kind, length]: [u64; 3]) -> String {
    let what = match kind {
        0 => format!("a sum of {length} numbers of 32 bits"),
        1 => format!("a sum of {length} numbers of 64 bits"),
        2 => "a gathering".to_owned(),
        _ => "what rank 0 brings".to_owned(),
    };
    format!("{what}, call {sequence}")
}

/// What rank 0 tells all of a call.
#[derive(Serialize, Deserialize)]
enum Verdict {
    /// How much each rank brings.
    Go(Vec<u64>),
    Gone {
        rank: usize,
        why: String,
    },
    Late {
        rank: usize,
        seconds: u64,
    },
    Elsewhere {
        rank: usize,
        expected: String,
        found: String,
    },
}

impl Verdict {
    fn of(error: CollectiveError) -> Self {
        match error {
            CollectiveError::Gone { rank, why, .. } => Self::Gone { rank, why },
            CollectiveError::Late { rank, seconds, .. } => Self::Late { rank, seconds },
            CollectiveError::Elsewhere { rank, expected, found, .. } => {
                Self::Elsewhere { rank, expected, found }
            }
            CollectiveError::Engine { .. } => Self::Gone { rank: 0, why: error.to_string() },
        }
    }

    fn lengths(self, size: usize) -> Result<Vec<u64>, CollectiveError> {
        Err(match self {
            Self::Go(lengths) => return Ok(lengths),
            Self::Gone { rank, why } => CollectiveError::Gone { rank, size, why },
            Self::Late { rank, seconds } => CollectiveError::Late { rank, size, seconds },
            Self::Elsewhere { rank, expected, found } => {
                CollectiveError::Elsewhere { rank, size, expected, found }
            }
        })
    }
}

/// Waits without taking a processor from those who are waited for.
struct Wait {
    start: Instant,
    patience: Option<Duration>,
    rounds: u32,
}

impl Wait {
    fn new(patience: Option<Duration>) -> Self {
        Self { start: Instant::now(), patience, rounds: 0 }
    }

    /// Whether there is patience left; then some time has passed.
    fn goes_on(&mut self) -> bool {
        if self.patience.is_some_and(|patience| self.start.elapsed() > patience) {
            return false;
        }
        self.rounds += 1;
        match self.rounds {
            0..100 => std::thread::yield_now(),
            100..2000 => std::thread::sleep(Duration::from_micros(50)),
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
        true
    }
}

/// One channel: its communicator lives and is used on a thread of its own.
struct Channel {
    communicator: SimpleCommunicator,
    /// Its ranks, by their numbers among all.
    members: Vec<usize>,
    patience: Option<Duration>,
    sequence: u64,
}

impl Channel {
    /// Among these ranks; all where none are named.
    fn among(
        members: Option<Vec<usize>>,
        patience: Option<Duration>,
    ) -> Result<Self, CollectiveError> {
        let world = SimpleCommunicator::world();
        let all = 0..world.size() as usize;
        let members = members.unwrap_or_else(|| all.clone().collect());
        let communicator = if members.len() == all.len() {
            world.duplicate()
        } else {
            let ranks: Vec<i32> = members.iter().map(|&rank| rank as i32).collect();
            // A call of the members alone: other groups are made at the same time.
            let made = world.split_by_subgroup(&world.group().include(&ranks));
            made.ok_or_else(|| engine("expected a channel among some ranks, found none"))?
        };
        Ok(Self { communicator, members, patience, sequence: 0 })
    }

    fn rank(&self) -> usize {
        self.communicator.rank() as usize
    }

    fn size(&self) -> usize {
        self.communicator.size() as usize
    }

    /// A rank of this channel and how many there are in all, as errors name them.
    fn named(&self, rank: usize) -> (usize, usize) {
        let named = self.members.get(rank).copied().unwrap_or(rank);
        (named, SimpleCommunicator::world().size() as usize)
    }

    /// The first rank that said that it ends.
    fn ended(&self) -> Option<CollectiveError> {
        let world = SimpleCommunicator::world();
        if let Some((message, status)) = world.any_process().immediate_matched_probe_with_tag(GONE)
        {
            let mut bytes = vec![0_u8; status.count(u8::equivalent_datatype()).max(0) as usize];
            message.matched_receive_into(&mut bytes[..]);
            let why = String::from_utf8_lossy(&bytes).into_owned();
            let rank = status.source_rank().max(0) as usize;
            let size = world.size() as usize;
            ENDED.get_or_init(|| CollectiveError::Gone { rank, size, why });
        }
        ENDED.get().cloned()
    }

    /// A message of a rank, when it comes.
    fn hear(&self, rank: usize, tag: i32, wait: &mut Wait) -> Result<Vec<u8>, CollectiveError> {
        let process = self.communicator.process_at_rank(rank as i32);
        loop {
            if let Some((message, status)) = process.immediate_matched_probe_with_tag(tag) {
                let mut bytes = vec![0_u8; status.count(u8::equivalent_datatype()).max(0) as usize];
                message.matched_receive_into(&mut bytes[..]);
                return Ok(bytes);
            }
            if let Some(error) = self.ended() {
                return Err(error);
            }
            if !wait.goes_on() {
                let seconds = wait.patience.unwrap_or_default().as_secs();
                let (rank, size) = self.named(rank);
                return Err(CollectiveError::Late { rank, size, seconds });
            }
        }
    }

    fn tell(&self, rank: usize, tag: i32, bytes: &[u8]) {
        self.communicator.process_at_rank(rank as i32).send_with_tag(bytes, tag);
    }

    /// Returns when all ranks have come to the same call, with how much each brings.
    fn agree(&mut self, load: &Load) -> Result<Vec<u64>, CollectiveError> {
        let own = load.token(self.sequence);
        self.sequence += 1;
        let size = self.size();
        if self.rank() != 0 {
            self.tell(0, TOKEN, bytemuck::cast_slice(&own));
            let mut wait = Wait::new(self.patience.map(|patience| patience + SLACK));
            let verdict = self.hear(0, VERDICT, &mut wait)?;
            let verdict: Verdict = serde_json::from_slice(&verdict).map_err(engine)?;
            return verdict.lengths(self.named(0).1);
        }
        let found = self.all_tokens(own);
        let verdict = match &found {
            Ok(lengths) => Verdict::Go(lengths.clone()),
            Err(error) => Verdict::of(error.clone()),
        };
        let bytes = serde_json::to_vec(&verdict).map_err(engine)?;
        for rank in 1..size {
            self.tell(rank, VERDICT, &bytes);
        }
        found
    }

    fn all_tokens(&self, own: [u64; 3]) -> Result<Vec<u64>, CollectiveError> {
        let size = self.size();
        let mut wait = Wait::new(self.patience);
        let mut lengths = vec![own[2]];
        for rank in 1..size {
            let bytes = self.hear(rank, TOKEN, &mut wait)?;
            let mut token = [0_u64; 3];
            for (number, bytes) in token.iter_mut().zip(bytes.chunks_exact(8)) {
                *number = bytes.try_into().map_or(0, u64::from_ne_bytes);
            }
            // Of a gathering each brings what it has.
            let of_any_length = own[1] >= 2;
            if token[..2] != own[..2] || (!of_any_length && token != own) {
                let (expected, found) = (place(own), place(token));
                let (rank, size) = self.named(rank);
                return Err(CollectiveError::Elsewhere { rank, size, expected, found });
            }
            lengths.push(token[2]);
        }
        Ok(lengths)
    }

    /// Waits for a call that all ranks have agreed on.
    fn finish<'a, D: ?Sized>(&self, mut request: Request<'a, D, &LocalScope<'a>>) {
        let mut wait = Wait::new(self.patience.map(|patience| patience + 2 * SLACK));
        while let Err(still) = request.test() {
            request = still;
            if !wait.goes_on() {
                // Memory is lent to MPI, and there is no way to have it back: the process cannot go on.
                self.give_up();
            }
        }
    }

    #[allow(clippy::print_stderr, reason = "nobody is left to hand an error to")]
    fn give_up(&self) -> ! {
        let seconds = self.patience.unwrap_or_default().as_secs();
        let (rank, size) = self.named(self.rank());
        eprintln!(
            "fvc: rank {rank} of {size}: a rank has ended inside of a call: nothing came for {seconds} s"
        );
        self.communicator.abort(1)
    }

    fn sum<T: Equivalence + Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let mut sums = vec![T::default(); values.len()];
        for (own, sums) in values.chunks(MOST_AT_ONCE).zip(sums.chunks_mut(MOST_AT_ONCE)) {
            scope(|scope| {
                let operation = SystemOperation::sum();
                let request =
                    self.communicator.immediate_all_reduce_into(scope, own, sums, operation);
                self.finish(request);
            });
        }
        sums
    }

    fn gather(&self, own: &[u8], lengths: &[u64]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let mut counts = Vec::with_capacity(lengths.len());
        let mut starts = Vec::with_capacity(lengths.len());
        let mut total = 0_i32;
        for &length in lengths {
            let next = i32::try_from(length).ok().and_then(|length| total.checked_add(length));
            let Some(next) = next else {
                return Err(engine(format!(
                    "expected a gathering of less than 2 GiB, found {}",
                    lengths.iter().sum::<u64>()
                )));
            };
            starts.push(total);
            counts.push(next - total);
            total = next;
        }
        if total == 0 {
            return Ok(vec![Vec::new(); lengths.len()]);
        }
        let mut all = vec![0_u8; total as usize];
        // The address of an empty buffer of Rust may be the one that MPI has as the sign of another meaning.
        let own = [own, &[0]].concat();
        let own = &own[..own.len() - 1];
        {
            let mut parts = PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
            scope(|scope| {
                let request =
                    self.communicator.immediate_all_gather_varcount_into(scope, own, &mut parts);
                self.finish(request);
            });
        }
        let part = |(start, count): (&i32, &i32)| {
            all[*start as usize..(*start + *count) as usize].to_vec()
        };
        Ok(starts.iter().zip(&counts).map(part).collect())
    }

    fn first(&self, own: Vec<u8>, length: u64) -> Vec<u8> {
        let mut bytes = if self.rank() == 0 { own } else { vec![0; length as usize] };
        for part in bytes.chunks_mut(MOST_AT_ONCE) {
            scope(|scope| {
                let root = self.communicator.process_at_rank(0);
                let request = root.immediate_broadcast_into(scope, part);
                self.finish(request);
            });
        }
        bytes
    }

    fn answer(&mut self, load: Load) -> Result<Answer, CollectiveError> {
        if let Some(error) = self.ended() {
            return Err(error);
        }
        let lengths = self.agree(&load)?;
        Ok(match load {
            Load::F32(values) => Answer::F32(self.sum(&values)),
            Load::F64(values) => Answer::F64(self.sum(&values)),
            Load::Gather(bytes) => Answer::Bytes(self.gather(&bytes, &lengths)?),
            Load::First(bytes) => {
                let length = lengths.first().copied().unwrap_or(0);
                Answer::Bytes(vec![self.first(bytes, length)])
            }
        })
    }
}

enum Answer {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
}

type Answers = Receiver<Result<Answer, CollectiveError>>;

/// A rank that is a process of its own. What it calls MPI for, a thread of each channel does: handles of
/// MPI stay on the thread that they were made on.
#[derive(Debug)]
pub struct MpiRank {
    rank: usize,
    size: usize,
    patience: Option<Duration>,
    /// The ranks of this channel, by their numbers among all.
    members: Vec<usize>,
    line: Mutex<Option<(Sender<Load>, Answers)>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&place(self.token(0)))
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

impl MpiRank {
    /// A channel among these ranks, in ascending order; among all where none are named. Every one of them
    /// calls this, in the same order as other calls.
    fn start(
        patience: Option<Duration>,
        members: Option<Vec<usize>>,
    ) -> Result<Self, CollectiveError> {
        let (give, taken) = channel::<Load>();
        let (answer, answers) = channel();
        let (made, ready) = channel::<Result<_, CollectiveError>>();
        let thread = std::thread::Builder::new()
            .name("mpi".to_owned())
            .spawn(move || {
                // Made by all members in the same order, since it is a call of all of them.
                let mut own = match Channel::among(members, patience) {
                    Ok(own) => own,
                    Err(error) => return drop(made.send(Err(error))),
                };
                if made.send(Ok((own.rank(), own.size(), own.members.clone()))).is_err() {
                    return;
                }
                while let Ok(load) = taken.recv() {
                    if answer.send(own.answer(load)).is_err() {
                        return;
                    }
                }
            })
            .map_err(engine)?;
        let (rank, size, members) = ready.recv().map_err(engine)??;
        let line = Mutex::new(Some((give, answers)));
        Ok(Self { rank, size, patience, members, line, thread: Some(thread) })
    }

    /// Another channel, with another patience.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    pub fn with_patience(&self, patience: Duration) -> Result<Self, CollectiveError> {
        self.barrier()?;
        Self::start(Some(patience), Some(self.members.clone()))
    }

    fn call(&self, load: Load) -> Result<Answer, CollectiveError> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = || engine("the thread of a channel has ended");
        let (give, answers) = line.as_ref().ok_or_else(ended)?;
        give.send(load).map_err(|_| ended())?;
        answers.recv().map_err(|_| ended())?
    }
}

impl Drop for MpiRank {
    fn drop(&mut self) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Collective for MpiRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn engine(&self) -> &'static str {
        "MPI"
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<(), CollectiveError> {
        if let Answer::F32(sums) = self.call(Load::F32(values.to_vec()))? {
            values.copy_from_slice(&sums);
        }
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), CollectiveError> {
        if let Answer::F64(sums) = self.call(Load::F64(values.to_vec()))? {
            values.copy_from_slice(&sums);
        }
        Ok(())
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        match self.call(Load::Gather(bytes.to_vec()))? {
            Answer::Bytes(all) => Ok(all),
            Answer::F32(_) | Answer::F64(_) => Ok(Vec::new()),
        }
    }

    fn from_first(&self, bytes: &[u8]) -> Result<Vec<u8>, CollectiveError> {
        let own = if self.rank == 0 { bytes.to_vec() } else { Vec::new() };
        match self.call(Load::First(own))? {
            Answer::Bytes(all) => Ok(all.into_iter().next().unwrap_or_default()),
            Answer::F32(_) | Answer::F64(_) => Ok(Vec::new()),
        }
    }

    fn duplicate(&self) -> Result<Box<dyn Collective>, CollectiveError> {
        self.barrier()?;
        Ok(Box::new(Self::start(self.patience, Some(self.members.clone()))?))
    }

    fn subset(&self, group: usize) -> Result<Box<dyn Collective>, CollectiveError> {
        let told = self.gather(&(group as u64).to_le_bytes())?;
        let members = members_of(&told, self.rank, &self.members);
        Ok(Box::new(Self::start(self.patience, Some(members))?))
    }

    /// Tells the others, outside of every channel; who waits for this rank ends with an error.
    fn abort(&self, why: &str) {
        let world = SimpleCommunicator::world();
        let (own, size) = (world.rank() as usize, world.size() as usize);
        let error = CollectiveError::Gone { rank: own, size, why: why.to_owned() };
        if ENDED.set(error).is_err() {
            // Another was first, and everybody is told of that one.
            return;
        }
        let why = if why.is_empty() { "without a reason" } else { why };
        let mut end = why.len().min(MOST_OF_A_REASON);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        for rank in (0..size).filter(|&rank| rank != own) {
            world.process_at_rank(rank as i32).send_with_tag(&why.as_bytes()[..end], GONE);
        }
    }
}
