//! [`Loader`]: threads that read batches ahead of the network. They live as long as the training.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sampler::Excerpt;
use crate::{ClipBatch, ClipSource, FrameShape, NetworkError};

/// A batch with the excerpts that it holds, in order.
#[derive(Debug)]
pub struct LoadedBatch {
    /// The clips.
    pub clips: ClipBatch,
    /// What they are.
    pub excerpts: Vec<Excerpt>,
}

type Job = (u64, Vec<Excerpt>);
type Done = (u64, Result<LoadedBatch, NetworkError>);

/// Threads that read batches, at most a bounded number ahead.
pub struct Loader {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    prefetch: usize,
    next_job: u64,
    waited: Duration,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Loader")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

/// The batches of one pass, in the order asked for.
#[derive(Debug)]
pub struct Batches<'a> {
    loader: &'a mut Loader,
    waiting: std::vec::IntoIter<Vec<Excerpt>>,
    /// The next batch to hand out, and how many are on their way.
    next: u64,
    under_way: u64,
    early: BTreeMap<u64, Result<LoadedBatch, NetworkError>>,
}

/// Reads the frames of a batch and puts them side by side.
///
/// # Errors
/// A clip cannot be read or holds fewer frames than the excerpt names.
pub fn load_batch(
    clips: &dyn ClipSource,
    shape: FrameShape,
    excerpts: Vec<Excerpt>,
) -> Result<LoadedBatch, NetworkError> {
    let mut frames = Vec::with_capacity(excerpts.len());
    for excerpt in &excerpts {
        let window = clips.window(&excerpt.key, excerpt.window)?;
        let found = window.len();
        let own: Vec<_> = window.into_iter().skip(excerpt.first).take(excerpt.frames).collect();
        if own.len() != excerpt.frames {
            return Err(NetworkError::Internal {
                what: format!(
                    "window {} of variant {} of source {}: expected {} frames from {}, found {found}",
                    excerpt.window,
                    excerpt.key.variant,
                    excerpt.key.content_id,
                    excerpt.frames,
                    excerpt.first
                ),
            });
        }
        frames.push(own);
    }
    Ok(LoadedBatch { clips: ClipBatch::of(frames, shape)?, excerpts })
}

impl Loader {
    /// Starts `threads` threads (one at least) that keep up to `prefetch` batches ready.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        clips: &Arc<dyn ClipSource>,
        shape: FrameShape,
        threads: usize,
        prefetch: usize,
    ) -> Result<Self, NetworkError> {
        let prefetch = prefetch.max(1);
        let (jobs, taken) = sync_channel::<Job>(prefetch);
        let (give, done): (Sender<Done>, Receiver<Done>) = channel();
        let taken = Arc::new(Mutex::new(taken));
        let mut running = Vec::new();
        for number in 0..threads.max(1) {
            let (taken, give, clips) = (Arc::clone(&taken), give.clone(), Arc::clone(clips));
            let thread = std::thread::Builder::new()
                .name(format!("loader {number}"))
                .spawn(move || {
                    loop {
                        let job = taken.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((at, excerpts)) = job else { return };
                        let batch = load_batch(&*clips, shape, excerpts);
                        if give.send((at, batch)).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|error| NetworkError::Internal { what: format!("loader: {error}") })?;
            running.push(thread);
        }
        Ok(Self {
            jobs: Some(jobs),
            done,
            threads: running,
            prefetch,
            next_job: 0,
            waited: Duration::ZERO,
        })
    }

    /// Hands out these batches in their order, while those behind are read.
    pub fn pass(&mut self, batches: Vec<Vec<Excerpt>>) -> Batches<'_> {
        let next = self.next_job;
        let mut pass = Batches {
            loader: self,
            waiting: batches.into_iter(),
            next,
            under_way: 0,
            early: BTreeMap::new(),
        };
        for _ in 0..pass.loader.prefetch {
            pass.send_one();
        }
        pass
    }

    /// How long was waited for batches since the last call.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Without jobs to come the threads end.
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // One that panicked has told so already.
            drop(thread.join());
        }
    }
}

impl Batches<'_> {
    fn send_one(&mut self) {
        let Some(excerpts) = self.waiting.next() else { return };
        let Some(jobs) = &self.loader.jobs else { return };
        if jobs.send((self.loader.next_job, excerpts)).is_ok() {
            self.loader.next_job += 1;
            self.under_way += 1;
        }
    }

    fn receive(&mut self) -> Option<Result<LoadedBatch, NetworkError>> {
        loop {
            if let Some(batch) = self.early.remove(&self.next) {
                self.next += 1;
                return Some(batch);
            }
            if self.under_way == 0 {
                return None;
            }
            let Ok((at, batch)) = self.loader.done.recv() else {
                let what = "the loader's threads have ended".to_owned();
                self.under_way = 0;
                return Some(Err(NetworkError::Internal { what }));
            };
            self.under_way -= 1;
            self.early.insert(at, batch);
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<LoadedBatch, NetworkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let batch = self.receive();
        self.loader.waited += start.elapsed();
        self.send_one();
        batch
    }
}

impl Drop for Batches<'_> {
    fn drop(&mut self) {
        // What is on its way belongs to this pass and to no other.
        while self.under_way > 0 && self.loader.done.recv().is_ok() {
            self.under_way -= 1;
        }
    }
}
