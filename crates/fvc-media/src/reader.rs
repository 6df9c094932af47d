//! [`Reader`]: sources to facts and frames, through a child process, within limits.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cache::{CachedFailure, FailedDuring, MediaRecord};
use crate::protocol::{CHILD_ARGUMENT, End, Info, Job, Message, Request};
use crate::{
    CacheError, ClipReport, ContentId, DecodeCounters, DecodeVerdict, Facts, FileKey, Frame,
    FrameCount, FrameCountOrigin, FrameIndex, FrameSpan, Limits, MediaCache, MediaError,
    PartialPolicy, ReadMode, Reason, ResolvedSampling, Sampling, Thumbnail, Window,
};

/// How often a waiting parent looks at its clock and at the cancel flag.
const TICK: Duration = Duration::from_millis(50);

/// How much of a child's complaints is kept.
const STDERR_BYTES: u64 = 8192;

/// What a file is, by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// BLAKE3 of the bytes.
    pub content_id: ContentId,
    /// How many there are.
    pub bytes: u64,
}

/// What a look at container and packets found.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// BLAKE3 of the bytes.
    pub content_id: ContentId,
    /// Facts; the frame count is corrected where the file was decoded before.
    pub facts: Facts,
    /// The frame index.
    pub index: FrameIndex,
}

/// Reads sources. Cheap to clone; one for each process is enough.
///
/// Every look at a source runs in a child process of this same program (see
/// [`crate::child_main_if_requested`]), so that a crash, a hang or a memory limit costs one failure
/// and nothing else.
#[derive(Clone, Debug)]
pub struct Reader {
    limits: Arc<Limits>,
    program: Option<PathBuf>,
    cache: Option<Arc<MediaCache>>,
    partial: PartialPolicy,
    cancel: Arc<AtomicBool>,
    counters: Arc<DecodeCounters>,
}

impl Reader {
    /// A reader without a cache that refuses partly decodable sources.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: Arc::new(limits),
            program: None,
            cache: None,
            partial: PartialPolicy::Refuse,
            cancel: Arc::new(AtomicBool::new(false)),
            counters: Arc::new(DecodeCounters::default()),
        }
    }

    /// Starts this program as the child in place of the running one.
    #[must_use]
    pub fn with_child_program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Remembers what it finds, failures included.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<MediaCache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// What becomes of a source of which only part decodes.
    #[must_use]
    pub fn with_partial(mut self, policy: PartialPolicy) -> Self {
        self.partial = policy;
        self
    }

    /// A flag that stops any look within a tenth of a second.
    #[must_use]
    pub fn with_cancel(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancel = flag;
        self
    }

    /// The same reader with counters of its own, at zero.
    #[must_use]
    pub fn counted_apart(&self) -> Self {
        Self { counters: Arc::new(DecodeCounters::default()), ..self.clone() }
    }

    /// How often this reader (and its clones) opened a decoder.
    pub fn counters(&self) -> Arc<DecodeCounters> {
        Arc::clone(&self.counters)
    }

    /// The content id of a file: from the cache when path, size, time and inode are as before, else
    /// by hashing.
    ///
    /// # Errors
    /// There is no such file, it is no regular file, is empty, too large, or cannot be read.
    pub fn identify(&self, path: &Path) -> Result<Identity, MediaError> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                MediaError::new(path, Reason::Missing, "a file", "nothing at this path")
            }
            _ => unreadable(path, &error),
        })?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() { "a folder" } else { "a device, pipe or socket" };
            return Err(MediaError::new(path, Reason::NotAFile, "a regular file", found));
        }
        if metadata.len() == 0 {
            return Err(MediaError::new(path, Reason::Empty, "a video", "a file of 0 bytes"));
        }
        if metadata.len() > self.limits.bytes {
            return Err(MediaError::new(
                path,
                Reason::LimitExceeded,
                format!("at most {} bytes", self.limits.bytes),
                format!("{} bytes", metadata.len()),
            ));
        }
        let key = FileKey::of(path).map_err(|error| unreadable(path, &error))?;
        if let Some(cache) = &self.cache
            && let Some(content_id) = cache.identity(&key).map_err(|error| trouble(path, &error))?
        {
            return Ok(Identity { content_id, bytes: key.bytes() });
        }
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let content_id = self.hash(path, file)?;
        // A file that was written to meanwhile has bytes of two times; its hash is of neither.
        let after = FileKey::of(path).map_err(|error| unreadable(path, &error))?;
        if after != key {
            return Err(MediaError::new(
                path,
                Reason::Changed,
                "a file that keeps still while it is read",
                "one that is being written",
            ));
        }
        if let Some(cache) = &self.cache {
            cache.put_identity(&key, &content_id).map_err(|error| trouble(path, &error))?;
        }
        Ok(Identity { content_id, bytes: key.bytes() })
    }

    fn hash(&self, path: &Path, file: File) -> Result<ContentId, MediaError> {
        let cancelled = || cancelled(path);
        ContentId::of_reader(StoppableReader { file, cancel: &self.cancel }).map_err(|error| {
            if self.cancel.load(Ordering::Relaxed) { cancelled() } else { unreadable(path, &error) }
        })
    }

    /// Facts and frame index, without decoding.
    ///
    /// # Errors
    /// Everything that [`Self::identify`] refuses, and files that are no allowed container, hold no
    /// video, are beyond a limit or damaged. A failure that is known from before is returned
    /// without opening the file.
    pub fn probe(&self, path: &Path) -> Result<Probe, MediaError> {
        let Identity { content_id, bytes } = self.identify(path)?;
        if let Some(failure) = self.known_failure(path, &content_id)?
            && failure.during == FailedDuring::Probe
        {
            return Err(recall(path, failure));
        }
        if let Some(record) = self.known_record(path, &content_id)? {
            return Ok(Probe { content_id, facts: record.facts, index: record.index });
        }
        self.counters.count_probe();
        let mut info = None;
        let ended = self.ask(path, bytes, Job::Probe, &mut |message| {
            if let Message::Info(found) = message {
                info = Some(found);
            }
            ControlFlow::Continue(())
        });
        self.remember(path, &content_id, FailedDuring::Probe, ended)?;
        let info = info.ok_or_else(|| nonsense(path, "no facts"))?;
        let Info { facts, index, .. } = *info;
        self.put_record(path, &content_id, &facts, &index, None)?;
        Ok(Probe { content_id, facts, index })
    }

    /// Decodes a source once and hands each window of the sampling to `sink` as soon as it is
    /// complete, in order. One window and one frame are in memory at most.
    ///
    /// # Errors
    /// As [`Self::probe`]; further a file of which no window decodes, or only part where the policy
    /// refuses that, a child that crashes, hangs or eats memory, and [`Reason::Cancelled`] when the
    /// sink breaks.
    pub fn read_clip(
        &self,
        path: &Path,
        sampling: &Sampling,
        mode: ReadMode,
        sink: &mut dyn FnMut(Window) -> ControlFlow<()>,
    ) -> Result<ClipReport, MediaError> {
        self.read(path, sampling, mode, sink, None)
    }

    /// As [`Self::read_clip`] of the whole file, and hands over a [`Thumbnail`] of the first frame of
    /// every eighth of a second, in order, in the same decode. What comes after damage, up to the
    /// next whole key frame, has none.
    ///
    /// # Errors
    /// As [`Self::read_clip`].
    pub fn read_clip_and_thumbnails(
        &self,
        path: &Path,
        sampling: &Sampling,
        sink: &mut dyn FnMut(Window) -> ControlFlow<()>,
        thumbnails: &mut dyn FnMut(Thumbnail),
    ) -> Result<ClipReport, MediaError> {
        self.read(path, sampling, ReadMode::WholeFile, sink, Some(thumbnails))
    }

    fn read<'a>(
        &self,
        path: &Path,
        sampling: &Sampling,
        mode: ReadMode,
        sink: &'a mut dyn FnMut(Window) -> ControlFlow<()>,
        thumbnails: Option<&'a mut dyn FnMut(Thumbnail)>,
    ) -> Result<ClipReport, MediaError> {
        let Identity { content_id, bytes } = self.identify(path)?;
        if let Some(failure) = self.known_failure(path, &content_id)? {
            return Err(recall(path, failure));
        }
        if let Some(MediaRecord { verdict: Some(verdict), .. }) =
            self.known_record(path, &content_id)?
        {
            self.accept(path, &verdict)?;
        }
        let resolved = match &self.cache {
            Some(cache) => cache
                .sampling(&content_id, &sampling.policy())
                .map_err(|error| trouble(path, &error))?,
            None => None,
        };
        let whole = mode == ReadMode::WholeFile;
        let wants_thumbnails = thumbnails.is_some();
        let job = Job::Sample {
            content_id,
            sampling: sampling.clone(),
            resolved,
            whole,
            thumbnails: wants_thumbnails,
        };
        let mut gatherer = Gatherer::new(sink, thumbnails);
        let (info, end) =
            self.decode(path, &content_id, bytes, job, &mut |message| gatherer.take(message))?;
        let complete = gatherer.delivered;
        let report = self.settle(path, &content_id, info, end, whole)?;
        if complete == 0 {
            let failure = CachedFailure {
                reason: Reason::Corrupt,
                expected: "at least one window of frames that decode".to_owned(),
                found: match &report.verdict {
                    DecodeVerdict::Partial { detail, .. } => detail.clone(),
                    _ => format!("{} frames", report.decoded_frames),
                },
                during: FailedDuring::Decode,
            };
            self.put_failure(path, &content_id, &failure)?;
            return Err(recall(path, failure));
        }
        Ok(report)
    }

    /// Decodes a source once, as far as needed, and hands over every frame of `spans` in display
    /// order, each once.
    ///
    /// # Errors
    /// As [`Self::read_clip`].
    pub fn read_frames(
        &self,
        path: &Path,
        spans: &[FrameSpan],
        sink: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<ClipReport, MediaError> {
        let Identity { content_id, bytes } = self.identify(path)?;
        if let Some(failure) = self.known_failure(path, &content_id)? {
            return Err(recall(path, failure));
        }
        let job = Job::Spans { spans: spans.iter().map(|span| (span.first, span.last)).collect() };
        let (info, end) =
            self.decode(path, &content_id, bytes, job, &mut |message| match message {
                Message::Picture(picture) => match Frame::new(
                    picture.width,
                    picture.height,
                    picture.rgb,
                    picture.position,
                    picture.time,
                ) {
                    Ok(frame) => sink(frame),
                    Err(_) => ControlFlow::Break(()),
                },
                _ => ControlFlow::Continue(()),
            })?;
        self.settle(path, &content_id, info, end, false)
    }

    /// The only function that starts a decode of a source.
    fn decode(
        &self,
        path: &Path,
        content_id: &ContentId,
        bytes: u64,
        job: Job,
        sink: &mut dyn FnMut(Message) -> ControlFlow<()>,
    ) -> Result<(Info, End), MediaError> {
        self.counters.count_source();
        let mut info: Option<Info> = None;
        let mut end: Option<End> = None;
        let ended = self.ask(path, bytes, job, &mut |message| match message {
            Message::Info(found) => {
                let sampling = found.sampling.clone();
                info = Some(*found);
                match (&self.cache, sampling) {
                    (_, None) => ControlFlow::Continue(()),
                    (_, Some(sampling)) => sink(Message::Info(Box::new(Info {
                        // The gatherer needs the positions only.
                        facts: match &info {
                            Some(info) => info.facts.clone(),
                            None => return ControlFlow::Break(()),
                        },
                        index: FrameIndex {
                            time_base: crate::Rational::new(0, 1),
                            packets: Vec::new(),
                            frame_times: Vec::new(),
                        },
                        sampling: Some(sampling),
                    }))),
                }
            }
            Message::End(found) => {
                end = Some(found);
                ControlFlow::Continue(())
            }
            other => sink(other),
        });
        self.remember(path, content_id, FailedDuring::Decode, ended)?;
        match (info, end) {
            (Some(info), Some(end)) => Ok((info, end)),
            _ => Err(nonsense(path, "an answer without an end")),
        }
    }

    /// Corrects the facts by what the decode saw, judges, and remembers.
    fn settle(
        &self,
        path: &Path,
        content_id: &ContentId,
        info: Info,
        end: End,
        whole: bool,
    ) -> Result<ClipReport, MediaError> {
        let Info { mut facts, mut index, sampling } = info;
        let promised = end.promised.max(index.frames());
        if let Some(times) = end.frame_times {
            index.frame_times = times;
            facts.frame_count =
                FrameCount { frames: end.decoded, origin: FrameCountOrigin::Decoded };
        }
        let verdict = match end.damage {
            Some(detail) => DecodeVerdict::Partial { decoded: end.decoded, promised, detail },
            None if whole => DecodeVerdict::Ok,
            None => DecodeVerdict::Sampled,
        };
        self.put_record(path, content_id, &facts, &index, Some(&verdict))?;
        if let (Some(cache), Some(sampling)) = (&self.cache, &sampling) {
            cache.put_sampling(content_id, sampling).map_err(|error| trouble(path, &error))?;
        }
        self.accept(path, &verdict)?;
        Ok(ClipReport {
            facts,
            index,
            sampling: sampling
                .unwrap_or(ResolvedSampling { policy: String::new(), windows: Vec::new() }),
            verdict,
            decoded_frames: end.decoded,
        })
    }

    /// Refuses a partly decodable source where the policy says so.
    fn accept(&self, path: &Path, verdict: &DecodeVerdict) -> Result<(), MediaError> {
        match verdict {
            DecodeVerdict::Partial { decoded, promised, detail }
                if self.partial == PartialPolicy::Refuse =>
            {
                Err(MediaError::new(
                    path,
                    Reason::Partial,
                    format!("{promised} frames without damage"),
                    format!("{decoded} frames; {detail}"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Starts a child, hands it the open file, and gives its messages to `sink` until it ends, the
    /// clock runs out, or somebody asks to stop. The child is always waited for.
    fn ask(
        &self,
        path: &Path,
        bytes: u64,
        job: Job,
        sink: &mut dyn FnMut(Message) -> ControlFlow<()>,
    ) -> Result<(), MediaError> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let request = Request { limits: (*self.limits).clone(), bytes, job };
        let request = serde_json::to_string(&request)
            .map_err(|error| unavailable(path, &error.to_string()))?;
        let program = match &self.program {
            Some(program) => program.clone(),
            None => {
                std::env::current_exe().map_err(|error| unavailable(path, &error.to_string()))?
            }
        };
        let mut command = Command::new(&program);
        // Nothing of the environment is the child's business but where the system's loader looks.
        command.env_clear();
        if let Some(folders) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", folders);
        }
        let mut child = command
            .arg(CHILD_ARGUMENT)
            .arg(request)
            // Out of reach of the terminal's Ctrl-C, which is for us to answer.
            .process_group(0)
            .stdin(Stdio::from(file))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| unavailable(path, &format!("{}: {error}", program.display())))?;
        let deadline = Instant::now()
            .checked_add(Duration::from_secs_f64(self.limits.wall_clock_seconds.min(1e9)));
        let pipes = Pipes::of(&mut child, &self.limits);
        let outcome = match &pipes {
            Some(pipes) => self.listen(&pipes.messages, deadline, sink),
            None => Heard::Nonsense("no pipes".to_owned()),
        };
        if !matches!(outcome, Heard::Ended) {
            // It may be gone already; then there is nothing to kill.
            drop(child.kill());
        }
        let status = child.wait().map_err(|error| unavailable(path, &error.to_string()))?;
        let complaints = pipes.map_or_else(String::new, Pipes::finish);
        match outcome {
            Heard::Ended if status.success() => Ok(()),
            Heard::Trouble(trouble) => Err(MediaError {
                path: path.to_owned(),
                reason: trouble.reason,
                expected: trouble.expected,
                found: trouble.found,
            }),
            Heard::Cancelled => Err(cancelled(path)),
            Heard::TimedOut => Err(MediaError::new(
                path,
                Reason::TimedOut,
                format!("an end within {} seconds", self.limits.wall_clock_seconds),
                "a decoder still at work",
            )),
            Heard::Ended | Heard::Nonsense(_) => {
                let signal = status.signal();
                if complaints.contains("memory allocation of") {
                    return Err(MediaError::new(
                        path,
                        Reason::OutOfMemory,
                        format!("at most {} bytes of memory", self.limits.child_memory_bytes),
                        "a decoder that asked for more",
                    ));
                }
                // No decoder ends itself by these, so the file is not to blame, and a cache must not
                // remember it against the file.
                if let Some(
                    signal @ (libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP),
                ) = signal.filter(|_| matches!(outcome, Heard::Ended))
                {
                    return Err(MediaError::new(
                        path,
                        Reason::Killed,
                        "a decoder that is left to finish",
                        format!("one ended from outside by signal {signal}"),
                    ));
                }
                if let Some(signal) = signal.filter(|_| !matches!(outcome, Heard::Nonsense(_))) {
                    return Err(MediaError::new(
                        path,
                        Reason::Crashed,
                        "a decoder that lives",
                        format!("one ended by signal {signal}"),
                    ));
                }
                match (&outcome, status.code()) {
                    (Heard::Nonsense(what), _) => Err(nonsense(path, what)),
                    (_, Some(code)) => Err(MediaError::new(
                        path,
                        Reason::Crashed,
                        "a decoder that ends with 0",
                        format!("{code}; {}", complaints.lines().next().unwrap_or("no message")),
                    )),
                    (_, None) => Err(nonsense(path, "no exit status")),
                }
            }
        }
    }

    fn listen(
        &self,
        messages: &Receiver<std::io::Result<Message>>,
        mut deadline: Option<Instant>,
        sink: &mut dyn FnMut(Message) -> ControlFlow<()>,
    ) -> Heard {
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Heard::Cancelled;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Heard::TimedOut;
            }
            match messages.recv_timeout(TICK) {
                Ok(Ok(Message::Trouble(trouble))) => return Heard::Trouble(trouble),
                Ok(Ok(message)) => {
                    let before = Instant::now();
                    if sink(message).is_break() {
                        return Heard::Cancelled;
                    }
                    // What we do with a frame is our time and not the file's.
                    deadline = deadline.and_then(|deadline| deadline.checked_add(before.elapsed()));
                }
                // A cut message is how a crash looks from here.
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Heard::Ended;
                }
                Ok(Err(error)) => return Heard::Nonsense(error.to_string()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Heard::Ended,
            }
        }
    }

    fn known_failure(
        &self,
        path: &Path,
        content_id: &ContentId,
    ) -> Result<Option<CachedFailure>, MediaError> {
        match &self.cache {
            Some(cache) => {
                cache.failure(content_id, &self.limits).map_err(|error| trouble(path, &error))
            }
            None => Ok(None),
        }
    }

    fn known_record(
        &self,
        path: &Path,
        content_id: &ContentId,
    ) -> Result<Option<MediaRecord>, MediaError> {
        match &self.cache {
            Some(cache) => cache.record(content_id).map_err(|error| trouble(path, &error)),
            None => Ok(None),
        }
    }

    fn put_record(
        &self,
        path: &Path,
        content_id: &ContentId,
        facts: &Facts,
        index: &FrameIndex,
        verdict: Option<&DecodeVerdict>,
    ) -> Result<(), MediaError> {
        let Some(cache) = &self.cache else { return Ok(()) };
        let record =
            MediaRecord { facts: facts.clone(), index: index.clone(), verdict: verdict.cloned() };
        cache.put_record(content_id, &record).map_err(|error| trouble(path, &error))
    }

    fn put_failure(
        &self,
        path: &Path,
        content_id: &ContentId,
        failure: &CachedFailure,
    ) -> Result<(), MediaError> {
        let Some(cache) = &self.cache else { return Ok(()) };
        cache.put_failure(content_id, &self.limits, failure).map_err(|error| trouble(path, &error))
    }

    /// Passes a result on; a failure that the bytes decide is remembered first.
    fn remember(
        &self,
        path: &Path,
        content_id: &ContentId,
        during: FailedDuring,
        result: Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        if let Err(error) = &result
            && error.reason.is_about_the_bytes()
        {
            let failure = CachedFailure {
                reason: error.reason,
                expected: error.expected.clone(),
                found: error.found.clone(),
                during,
            };
            self.put_failure(path, content_id, &failure)?;
        }
        result
    }
}

/// How listening to a child ended.
enum Heard {
    Ended,
    Trouble(crate::protocol::Trouble),
    Cancelled,
    TimedOut,
    Nonsense(String),
}

/// The child's two outputs, read by a thread each so that the parent can look at its clock.
struct Pipes {
    messages: Receiver<std::io::Result<Message>>,
    reading: JoinHandle<()>,
    complaints: JoinHandle<String>,
}

impl Pipes {
    fn of(child: &mut Child, limits: &Arc<Limits>) -> Option<Self> {
        let (stdout, stderr) = (child.stdout.take()?, child.stderr.take()?);
        let limits = Arc::clone(limits);
        // Two messages ahead: the child converts a frame while the parent works on another.
        let (sender, messages) = sync_channel(2);
        let reading = std::thread::spawn(move || {
            let mut input = BufReader::with_capacity(1 << 16, stdout);
            loop {
                match Message::read(&mut input, &limits) {
                    Ok(Some(message)) => {
                        if sender.send(Ok(message)).is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        // Nobody listening any more is no error here.
                        drop(sender.send(Err(error)));
                        return;
                    }
                }
            }
        });
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            let kept = stderr.by_ref().take(STDERR_BYTES).read_to_end(&mut text);
            // The rest is drained so that the child never waits for us.
            let drained = std::io::copy(&mut stderr, &mut std::io::sink());
            if kept.is_err() || drained.is_err() {
                text.extend_from_slice(b" (cut)");
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        Some(Self { messages, reading, complaints })
    }

    fn finish(self) -> String {
        let Self { messages, reading, complaints } = self;
        drop(messages);
        // A reading thread that panicked has nothing more to say.
        drop(reading.join());
        complaints.join().unwrap_or_else(|_| String::new())
    }
}

/// Puts frames into their windows and hands the complete ones on, in order.
struct Gatherer<'a> {
    sink: &'a mut dyn FnMut(Window) -> ControlFlow<()>,
    thumbnails: Option<&'a mut dyn FnMut(Thumbnail)>,
    windows: Vec<Vec<u64>>,
    /// The window that is being filled, and its frames so far.
    current: usize,
    frames: Vec<Frame>,
    delivered: usize,
}

impl<'a> Gatherer<'a> {
    fn new(
        sink: &'a mut dyn FnMut(Window) -> ControlFlow<()>,
        thumbnails: Option<&'a mut dyn FnMut(Thumbnail)>,
    ) -> Self {
        Self { sink, thumbnails, windows: Vec::new(), current: 0, frames: Vec::new(), delivered: 0 }
    }

    fn take(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            Message::Info(info) => {
                self.windows = info.sampling.map_or_else(Vec::new, |sampling| sampling.windows);
                ControlFlow::Continue(())
            }
            Message::Picture(picture) => {
                let Ok(frame) = Frame::new(
                    picture.width,
                    picture.height,
                    picture.rgb,
                    picture.position,
                    picture.time,
                ) else {
                    return ControlFlow::Break(());
                };
                self.place(&frame)
            }
            Message::Thumbnail(thumbnail) => {
                if let Some(take) = &mut self.thumbnails {
                    take(thumbnail);
                }
                ControlFlow::Continue(())
            }
            Message::End(_) | Message::Trouble(_) => ControlFlow::Continue(()),
        }
    }

    /// A frame may stand several times in a window, and at the end of one and the start of the next.
    fn place(&mut self, frame: &Frame) -> ControlFlow<()> {
        while let Some(window) = self.windows.get(self.current) {
            match window.get(self.frames.len()) {
                Some(&wanted) if wanted == frame.index => self.frames.push(frame.clone()),
                Some(&wanted) if wanted > frame.index => return ControlFlow::Continue(()),
                // A frame of this window did not come: the window stays incomplete and is dropped.
                _ => {
                    self.frames.clear();
                    self.current += 1;
                    continue;
                }
            }
            if self.frames.len() == window.len() {
                let complete =
                    Window { index: self.current, frames: std::mem::take(&mut self.frames) };
                self.current += 1;
                self.delivered += 1;
                (self.sink)(complete)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// A file that stops being read when somebody asks to stop.
struct StoppableReader<'a> {
    file: File,
    cancel: &'a AtomicBool,
}

impl Read for StoppableReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("stopped"));
        }
        self.file.read(buffer)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> MediaError {
    MediaError::new(path, Reason::Unreadable, "a file that can be read", error.to_string())
}

fn cancelled(path: &Path) -> MediaError {
    MediaError::new(path, Reason::Cancelled, "time to finish", "a request to stop")
}

fn unavailable(path: &Path, found: &str) -> MediaError {
    MediaError::new(path, Reason::DecoderUnavailable, "a decoder child", found)
}

fn nonsense(path: &Path, found: &str) -> MediaError {
    MediaError::new(path, Reason::DecoderUnavailable, "an answer of a decoder child", found)
}

fn trouble(path: &Path, error: &CacheError) -> MediaError {
    let reason = match error {
        // One entry is one source's.
        CacheError::DamagedEntry { .. } => Reason::DecoderUnavailable,
        _ => Reason::CacheUnavailable,
    };
    MediaError::new(path, reason, "a media cache that works", error.to_string())
}

fn recall(path: &Path, failure: CachedFailure) -> MediaError {
    MediaError::new(path, failure.reason, failure.expected, failure.found)
}
