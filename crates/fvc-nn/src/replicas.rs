//! [`Replicas`]: how the ranks of a training stand to each other.

use std::sync::Arc;

use crate::across::PassSums;
use crate::collective::{Collective, CollectiveError};
use crate::{NetworkConfig, NetworkError, TensorGroup, Weights};

/// Replicas of a network, each of which is one rank or a tensor group of them. Ranks of one replica have
/// numbers that follow each other, so that a machine or a fast link holds them.
#[derive(Debug)]
pub(crate) struct Replicas<'a> {
    ranks: &'a dyn Collective,
    group: Option<TensorGroup>,
}

impl<'a> Replicas<'a> {
    /// Each rank a replica.
    pub(crate) fn whole(ranks: &'a dyn Collective) -> Self {
        Self { ranks, group: None }
    }

    /// Every `parts` ranks a replica. All ranks call this.
    ///
    /// # Errors
    /// The network cannot be shared by so many, the ranks make up no whole replicas, or one of them has
    /// ended, lags or is elsewhere.
    pub(crate) fn of(
        ranks: &'a dyn Collective,
        parts: usize,
        network: &NetworkConfig,
    ) -> Result<Self, NetworkError> {
        network.check_tensor_parallel(parts, ranks.size())?;
        if parts == 1 {
            return Ok(Self::whole(ranks));
        }
        let group = TensorGroup::new(ranks.subset(ranks.rank() / parts)?);
        Ok(Self { ranks, group: Some(group) })
    }

    /// All ranks.
    pub(crate) fn ranks(&self) -> &'a dyn Collective {
        self.ranks
    }

    /// The ranks that share this one's replica, where there are others.
    pub(crate) fn group(&self) -> Option<&TensorGroup> {
        self.group.as_ref()
    }

    /// The same as passes know them.
    pub(crate) fn sums(&self) -> Option<Arc<PassSums>> {
        self.group.as_ref().map(|group| Arc::clone(group.sums()))
    }

    /// Ranks of a replica.
    pub(crate) fn parts(&self) -> usize {
        self.group.as_ref().map_or(1, TensorGroup::count)
    }

    /// Which replica this rank is of.
    pub(crate) fn number(&self) -> usize {
        self.ranks.rank() / self.parts()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.ranks.size() / self.parts()
    }

    /// Those ranks that have the same part of other replicas, where there are such. All ranks call this.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    pub(crate) fn of_same_part(&self) -> Result<Option<Box<dyn Collective>>, CollectiveError> {
        match &self.group {
            Some(group) if self.count() > 1 => Ok(Some(self.ranks.subset(group.position())?)),
            _ => Ok(None),
        }
    }

    /// Whether any rank of this replica says so; they go on together or not at all.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    pub(crate) fn any_of_replica(&self, own: bool) -> Result<bool, CollectiveError> {
        let mut sum = [f64::from(u8::from(own))];
        if let Some(group) = &self.group {
            group.sums().collective().sum_f64(&mut sum)?;
        }
        Ok(sum[0] > 0.0)
    }

    /// The weights of the whole network from a replica's parts. All ranks of the replica call this.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    pub(crate) fn whole_of(&self, own: Weights) -> Result<Weights, CollectiveError> {
        match &self.group {
            Some(group) => group.whole_of(&own),
            None => Ok(own),
        }
    }

    /// Waits for all ranks where replicas are shared: one that ends behind a call of its own replica would be
    /// missed by those that are still in theirs.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    pub(crate) fn meet(&self) -> Result<(), NetworkError> {
        if self.group.is_some() {
            self.ranks.barrier()?;
        }
        Ok(())
    }

    /// This rank's part of a whole network's weights.
    pub(crate) fn part_of(&self, whole: Weights) -> Weights {
        match &self.group {
            Some(group) => group.part_of(&whole),
            None => whole,
        }
    }

    /// Checks that sums inside of the last pass went well.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    pub(crate) fn check_pass(&self) -> Result<(), CollectiveError> {
        self.group.as_ref().map_or(Ok(()), |group| group.sums().check())
    }
}
