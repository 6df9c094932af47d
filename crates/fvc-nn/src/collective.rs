//! [`Collective`]: what ranks that train one network together tell each other.
//!
//! Every rank makes the same calls in the same order. A rank that ends, lags or brings something else ends
//! the call of every other with an error that names it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why ranks could not come together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// A rank has ended, by a fault or a signal.
    #[error("Rank {rank} of {size} has ended: {why}")]
    Gone {
        /// Which.
        rank: usize,
        /// How many there are.
        size: usize,
        /// What it said, if it said anything.
        why: String,
    },
    /// A rank did not come in time.
    #[error("Rank {rank} of {size} did not come within {seconds} s")]
    Late {
        /// Which.
        rank: usize,
        /// How many there are.
        size: usize,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Ranks made other calls: their jobs or their builds differ.
    #[error("Rank {rank} of {size} is elsewhere: expected {expected}, found {found}")]
    Elsewhere {
        /// Which.
        rank: usize,
        /// How many there are.
        size: usize,
        /// What this rank brought.
        expected: String,
        /// What that one brought.
        found: String,
    },
    /// The library that carries the messages failed.
    #[error("{engine}: {found}")]
    Engine {
        /// Its name.
        engine: &'static str,
        /// What it said.
        found: String,
    },
}

/// Ranks, 0 to `size - 1`, of one training. Every call is made by all of them, in the same order, with
/// arguments of the same length unless said otherwise.
pub trait Collective: Send + Sync + std::fmt::Debug {
    /// This one's number.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What carries the messages.
    fn engine(&self) -> &'static str;

    /// Whether ranks are threads of one process.
    fn shares_process(&self) -> bool {
        false
    }

    /// Makes each value the sum of all ranks' values. Every rank has the same bits afterwards.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    fn sum_f32(&self, values: &mut [f32]) -> Result<(), CollectiveError>;

    /// As [`Collective::sum_f32`].
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    fn sum_f64(&self, values: &mut [f64]) -> Result<(), CollectiveError>;

    /// What every rank brought, by rank; lengths may differ.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Another channel among the same ranks, whose calls may run at the same time as this one's.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    fn duplicate(&self) -> Result<Box<dyn Collective>, CollectiveError>;

    /// A channel among the ranks that give the same `group`, numbered anew in their order. Errors name ranks
    /// by their numbers among all; a rank that ends, ends the calls of every group.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    fn subset(&self, group: usize) -> Result<Box<dyn Collective>, CollectiveError>;

    /// Tells the other ranks that this one ends, and why: their calls end with an error.
    fn abort(&self, why: &str);

    /// What rank 0 brought; what the others bring is not looked at.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    #[allow(clippy::wrong_self_convention, reason = "from rank 0, and into nothing")]
    fn from_first(&self, bytes: &[u8]) -> Result<Vec<u8>, CollectiveError> {
        let own = if self.rank() == 0 { bytes } else { &[] };
        Ok(self.gather(own)?.into_iter().next().unwrap_or_default())
    }

    /// Returns when every rank has come.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    fn barrier(&self) -> Result<(), CollectiveError> {
        self.gather(&[]).map(drop)
    }
}

/// One rank alone: every sum is its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn engine(&self) -> &'static str {
        "none"
    }

    fn sum_f32(&self, _values: &mut [f32]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn sum_f64(&self, _values: &mut [f64]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![bytes.to_vec()])
    }

    fn duplicate(&self) -> Result<Box<dyn Collective>, CollectiveError> {
        Ok(Box::new(Self))
    }

    fn subset(&self, _group: usize) -> Result<Box<dyn Collective>, CollectiveError> {
        Ok(Box::new(Self))
    }

    fn abort(&self, _why: &str) {}
}

/// Those of a channel's ranks, in their order, that gave the same group as the one at `own`: `told` is what
/// [`Collective::gather`] told of all groups, `ranks` are the channel's.
pub(crate) fn members_of(told: &[Vec<u8>], own: usize, ranks: &[usize]) -> Vec<usize> {
    let of_group = told.iter().zip(ranks).filter(|(group, _)| Some(*group) == told.get(own));
    of_group.map(|(_, &rank)| rank).collect()
}

/// What a rank brings to a meeting, and what all take from it.
#[derive(Clone, Debug)]
enum Load {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
}

impl Load {
    /// Two ranks that bring other kinds or lengths are not at the same place.
    fn place(&self) -> String {
        match self {
            Self::F32(values) => format!("a sum of {} numbers of 32 bits", values.len()),
            Self::F64(values) => format!("a sum of {} numbers of 64 bits", values.len()),
            Self::Bytes(_) => "a gathering".to_owned(),
        }
    }

    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::F32(sums), Self::F32(values)) => {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            (Self::F64(sums), Self::F64(values)) => {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            (Self::Bytes(all), Self::Bytes(own)) => all.extend(own),
            // Kinds were compared before.
            _ => {}
        }
    }
}

#[derive(Debug, Default)]
struct Meeting {
    /// What those who have come brought.
    brought: Vec<Option<Load>>,
    /// What came of it, and who has not taken it yet.
    result: Option<Result<Arc<Load>, CollectiveError>>,
    to_take: usize,
}

#[derive(Debug)]
struct State {
    /// One meeting place a channel.
    meetings: Vec<Meeting>,
    gone: Vec<Option<String>>,
}

#[derive(Debug)]
struct Team {
    size: usize,
    patience: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

impl Team {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rank that is a thread of this process.
#[derive(Debug)]
pub struct ThreadRank {
    team: Arc<Team>,
    /// Who meets here, by their numbers in the team.
    members: Vec<usize>,
    /// This one's number among them.
    rank: usize,
    channel: usize,
}

impl ThreadRank {
    /// `size` ranks for as many threads. One that waits longer than `patience` for another ends with an
    /// error.
    pub fn team(size: usize, patience: Duration) -> Vec<Self> {
        let state = State { meetings: vec![Meeting::of(size)], gone: vec![None; size] };
        let team =
            Arc::new(Team { size, patience, state: Mutex::new(state), changed: Condvar::new() });
        let members: Vec<usize> = (0..size).collect();
        let of =
            |rank| Self { team: Arc::clone(&team), members: members.clone(), rank, channel: 0 };
        (0..size).map(of).collect()
    }

    /// This one's number in the team.
    fn own_number(&self) -> usize {
        self.members.get(self.rank).copied().unwrap_or(self.rank)
    }

    /// A meeting place of these members, which the first of them makes: all of this channel's ranks come
    /// to hear which it is.
    fn meeting_of(&self, members: Vec<usize>) -> Result<Self, CollectiveError> {
        let own = self.own_number();
        let made = if members.first() == Some(&own) {
            let mut state = self.team.state();
            state.meetings.push(Meeting::of(members.len()));
            state.meetings.len() - 1
        } else {
            0
        };
        let told = self.gather(&(made as u64).to_le_bytes())?;
        let first = self.members.iter().position(|rank| Some(rank) == members.first());
        let told = first.and_then(|at| told.into_iter().nth(at)).unwrap_or_default();
        let channel = told.try_into().map_or(0, |bytes| u64::from_le_bytes(bytes) as usize);
        let rank = members.iter().position(|&rank| rank == own).unwrap_or(0);
        Ok(Self { team: Arc::clone(&self.team), members, rank, channel })
    }

    fn missing(state: &State, size: usize) -> Option<CollectiveError> {
        let found =
            state.gone.iter().enumerate().find_map(|(rank, why)| Some((rank, why.clone()?)));
        found.map(|(rank, why)| CollectiveError::Gone { rank, size, why })
    }

    fn meet(&self, own: Load) -> Result<Arc<Load>, CollectiveError> {
        let size = self.team.size;
        let start = Instant::now();
        let mut state = self.team.state();
        // The last meeting here may not have been left by all yet.
        loop {
            if let Some(error) = Self::missing(&state, size) {
                return Err(error);
            }
            if state.meetings[self.channel].result.is_none() {
                break;
            }
            state = self.wait(state, start)?;
        }
        let meeting = &mut state.meetings[self.channel];
        meeting.brought[self.rank] = Some(own);
        if meeting.brought.iter().all(Option::is_some) {
            meeting.conclude(self.rank, &self.members, size);
            self.team.changed.notify_all();
        }
        loop {
            let meeting = &mut state.meetings[self.channel];
            if let Some(result) = meeting.result.clone() {
                meeting.to_take -= 1;
                if meeting.to_take == 0 {
                    meeting.result = None;
                    self.team.changed.notify_all();
                }
                return result;
            }
            if let Some(error) = Self::missing(&state, size) {
                return Err(error);
            }
            state = self.wait(state, start)?;
        }
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        start: Instant,
    ) -> Result<MutexGuard<'a, State>, CollectiveError> {
        let left = self.team.patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            let brought = &state.meetings[self.channel].brought;
            let absent = brought.iter().position(Option::is_none).unwrap_or(self.rank);
            let rank = self.members.get(absent).copied().unwrap_or(absent);
            let seconds = self.team.patience.as_secs();
            let error = CollectiveError::Late { rank, size: self.team.size, seconds };
            state.gone[self.own_number()].get_or_insert_with(|| error.to_string());
            self.team.changed.notify_all();
            return Err(error);
        }
        let (state, _) =
            self.team.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        Ok(state)
    }
}

impl Meeting {
    fn of(size: usize) -> Self {
        Self { brought: (0..size).map(|_| None).collect(), result: None, to_take: 0 }
    }

    /// All have come: sums in the order of ranks, whoever came first.
    fn conclude(&mut self, last: usize, members: &[usize], size: usize) {
        let mut loads: Vec<Load> = self.brought.iter_mut().filter_map(Option::take).collect();
        let place = loads[last].place();
        let elsewhere = loads.iter().map(Load::place).enumerate().find(|(_, own)| *own != place);
        self.result = Some(if let Some((at, found)) = elsewhere {
            let rank = members.get(at).copied().unwrap_or(at);
            Err(CollectiveError::Elsewhere { rank, size, expected: place, found })
        } else {
            let mut loads = loads.drain(..);
            let mut all = loads.next().unwrap_or(Load::Bytes(Vec::new()));
            loads.for_each(|load| all.add(load));
            Ok(Arc::new(all))
        });
        self.to_take = self.brought.len();
    }
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        // A channel ends with its rank, which tells it.
        if self.channel == 0 {
            self.abort("its thread has ended");
        }
    }
}

impl Collective for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.members.len()
    }

    fn engine(&self) -> &'static str {
        "threads"
    }

    fn shares_process(&self) -> bool {
        true
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<(), CollectiveError> {
        if let Load::F32(sums) = &*self.meet(Load::F32(values.to_vec()))? {
            values.copy_from_slice(sums);
        }
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), CollectiveError> {
        if let Load::F64(sums) = &*self.meet(Load::F64(values.to_vec()))? {
            values.copy_from_slice(sums);
        }
        Ok(())
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        match &*self.meet(Load::Bytes(vec![bytes.to_vec()]))? {
            Load::Bytes(all) => Ok(all.clone()),
            Load::F32(_) | Load::F64(_) => Ok(Vec::new()),
        }
    }

    fn duplicate(&self) -> Result<Box<dyn Collective>, CollectiveError> {
        Ok(Box::new(self.meeting_of(self.members.clone())?))
    }

    fn subset(&self, group: usize) -> Result<Box<dyn Collective>, CollectiveError> {
        let told = self.gather(&(group as u64).to_le_bytes())?;
        Ok(Box::new(self.meeting_of(members_of(&told, self.rank, &self.members))?))
    }

    fn abort(&self, why: &str) {
        let mut state = self.team.state();
        state.gone[self.own_number()].get_or_insert_with(|| why.to_owned());
        drop(state);
        self.team.changed.notify_all();
    }
}
