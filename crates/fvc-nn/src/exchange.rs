//! [`Exchange`]: gradients on their way between ranks while the backward pass goes on.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::collective::{Collective, CollectiveError};
use crate::{NamedGradients, NetworkError};

/// Numbers of a message at least, 4 MiB: smaller ones cost more for their number than for their bytes.
const BUCKET: usize = 1 << 20;

type Message = Vec<f32>;
type Answer = (Result<Message, CollectiveError>, Duration);

/// A thread that sums gradients over ranks, message by message in the order given. Every rank gives the
/// same names in the same order.
#[derive(Debug)]
pub(crate) struct Exchange {
    jobs: Option<Sender<Message>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    bucket: usize,
    ranks: usize,
    /// Names and lengths of what waits to be sent, and of each message that is under way.
    waiting: Vec<(String, usize)>,
    values: Message,
    under_way: Vec<Vec<(String, usize)>>,
    /// How long messages were under way, and how long that was waited for, since it was last asked.
    busy: Duration,
    waited: Duration,
}

/// Two whole numbers that tell lists of names and lengths apart; sums of as many as there may be ranks are exact.
fn mark_of(names: &[(String, usize)]) -> [f32; 2] {
    let mut hash = blake3::Hasher::new();
    for (name, length) in names {
        hash.update(name.as_bytes());
        hash.update(&(*length as u64).to_le_bytes());
    }
    let bytes = *hash.finalize().as_bytes();
    [0, 2].map(|at| f32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]) >> 4))
}

impl Exchange {
    /// Over the ranks of this channel, which nothing else may use.
    pub(crate) fn start(collective: Box<dyn Collective>) -> Result<Self, NetworkError> {
        let ranks = collective.size();
        let (jobs, taken) = channel::<Message>();
        let (give, answers) = channel::<Answer>();
        let thread = std::thread::Builder::new()
            .name("gradients".to_owned())
            .spawn(move || {
                while let Ok(mut values) = taken.recv() {
                    let start = Instant::now();
                    let summed = collective.sum_f32(&mut values).map(|()| values);
                    if give.send((summed, start.elapsed())).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| NetworkError::Internal { what: format!("gradients: {error}") })?;
        Ok(Self {
            jobs: Some(jobs),
            answers,
            thread: Some(thread),
            bucket: BUCKET,
            ranks,
            waiting: Vec::new(),
            values: Vec::new(),
            under_way: Vec::new(),
            busy: Duration::ZERO,
            waited: Duration::ZERO,
        })
    }

    /// Takes gradients that are complete on this rank.
    pub(crate) fn give<B: Backend>(&mut self, gradients: NamedGradients<B>) {
        for (name, gradient) in gradients {
            let values: Vec<f32> = gradient.into_data().to_vec().unwrap_or_default();
            self.waiting.push((name, values.len()));
            self.values.extend(values);
            if self.values.len() >= self.bucket {
                self.send();
            }
        }
    }

    fn send(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut values = std::mem::take(&mut self.values);
        // Which gradients these are: other names or another order would add up to nonsense of the right length.
        values.extend(mark_of(&self.waiting));
        self.under_way.push(std::mem::take(&mut self.waiting));
        // Should its thread be gone, the answer that does not come tells it.
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(values));
        }
    }

    /// Everything that was given since the last call, summed over ranks.
    pub(crate) fn take<B: Backend>(
        &mut self,
        device: &B::Device,
    ) -> Result<NamedGradients<B>, NetworkError> {
        self.send();
        let start = Instant::now();
        let mut gradients = NamedGradients::new();
        for names in std::mem::take(&mut self.under_way) {
            let Ok((answer, busy)) = self.answers.recv() else {
                let what = "the thread that exchanges gradients has ended".to_owned();
                return Err(NetworkError::Internal { what });
            };
            self.busy += busy;
            let values = answer?;
            let expected = mark_of(&names).map(|own| own * self.ranks as f32);
            let Some(mut rest) = values.strip_suffix(&expected[..]) else {
                let (name, _) = names.first().cloned().unwrap_or_default();
                let what =
                    format!("ranks have brought gradients of other parameters than {name}, ...");
                return Err(NetworkError::Internal { what });
            };
            for (name, length) in names {
                let (own, behind) = rest.split_at(length.min(rest.len()));
                rest = behind;
                let data = TensorData::new(own.to_vec(), [own.len()]);
                gradients.insert(name, Tensor::<B, 1>::from_data(data, device));
            }
        }
        self.waited += start.elapsed();
        Ok(gradients)
    }

    /// How long messages were under way, and how long this rank waited for them, since the last call.
    pub(crate) fn take_times(&mut self) -> (Duration, Duration) {
        (std::mem::take(&mut self.busy), std::mem::take(&mut self.waited))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
