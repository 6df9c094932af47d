//! The decoder child: the same program, started with a hidden argument, with the video as its
//! standard input and nothing else worth stealing.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use crate::decode::{DecodeError, Wanted, decode};
use crate::demux::{demux, open};
use crate::protocol::{CHILD_ARGUMENT, Info, Job, Message, Request, Trouble};
use crate::truncation::missing_end;
use crate::{Limits, Reason};

/// Turns this process into a decoder child when it was started as one, and does not return then.
///
/// Must be the first statement of `main` in every program that reads video with
/// [`crate::Reader`]: the reader starts that same program again, once for each look at a source.
pub fn child_main_if_requested() {
    let mut arguments = std::env::args();
    if arguments.nth(1).as_deref() != Some(CHILD_ARGUMENT) {
        return;
    }
    let code = match arguments.next() {
        Some(request) => run(&request),
        None => 2,
    };
    // The child has nothing to unwind; the parent has all it will get.
    #[allow(clippy::exit)]
    std::process::exit(code);
}

fn run(request: &str) -> i32 {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let request: Request = match serde_json::from_str(request) {
        Ok(request) => request,
        Err(_) => return 2,
    };
    confine(&request.limits);
    ffmpeg_next::util::log::set_level(ffmpeg_next::util::log::Level::Quiet);
    if let Err(error) = ffmpeg_next::init() {
        let trouble =
            Trouble::new(Reason::DecoderUnavailable, "FFmpeg to start", error.to_string());
        return i32::from(Message::Trouble(trouble).write(&mut out).is_err());
    }
    match work(&request, &mut out) {
        Err(DecodeError::Trouble(trouble)) => {
            i32::from(Message::Trouble(trouble).write(&mut out).is_err())
        }
        // Done, or the parent has heard enough.
        Ok(()) | Err(DecodeError::Gone) => 0,
    }
}

/// The video, from its start, on a descriptor of its own that shares the position.
fn video() -> io::Result<File> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn work(request: &Request, out: &mut impl Write) -> Result<(), DecodeError> {
    let limits = &request.limits;
    let source = video().map_err(|error| {
        Trouble::new(Reason::Unreadable, "a file that can be read", error.to_string())
    })?;
    let mut opened = open(source, limits)?;
    let mut demuxed = demux(&mut opened, request.bytes, limits)?;
    drop(opened);
    if demuxed.damage.is_none()
        && let Ok(mut source) = video()
    {
        demuxed.damage = missing_end(&mut source, &demuxed.facts.container, request.bytes);
    }
    let gone = |_: io::Error| DecodeError::Gone;
    let (positions, sampling, whole, thumbnails) = match &request.job {
        Job::Probe => {
            let info = Info { facts: demuxed.facts, index: demuxed.index, sampling: None };
            return Message::Info(Box::new(info)).write(out).map_err(gone);
        }
        Job::Sample { content_id, sampling, resolved, whole, thumbnails } => {
            let resolved = match resolved {
                Some(resolved) => resolved.clone(),
                None => sampling.resolve(content_id, &demuxed.index),
            };
            (resolved.positions(), Some(resolved), *whole, *whole && *thumbnails)
        }
        Job::Spans { spans } => {
            let mut positions = Vec::new();
            for &(first, last) in spans {
                // More than the file can hold is no reason to reserve memory for it.
                let last = last.min(demuxed.index.frames().saturating_sub(1));
                positions.extend(first..=last.max(first));
            }
            positions.sort_unstable();
            positions.dedup();
            (positions, None, false, false)
        }
    };
    let (index, facts) = (demuxed.index, demuxed.facts);
    let orientation = (facts.mirrored, facts.rotation);
    Message::Info(Box::new(Info { facts, index: index.clone(), sampling }))
        .write(out)
        .map_err(gone)?;
    let wanted = Wanted { positions: &positions, whole, thumbnails };
    let mut end =
        decode(video, &index, orientation, &wanted, limits, &mut |message| message.write(out))?;
    end.promised = demuxed.promised.unwrap_or(0);
    if whole {
        // What the container shows to be missing counts although every packet decodes.
        if let Some(damage) = demuxed.damage {
            end.damage.get_or_insert(damage);
        }
    }
    Message::End(end).write(out).map_err(gone)
}

/// Descriptors that a decode needs: the three standard ones, and the video twice when a container is
/// opened again.
const DESCRIPTORS: u64 = 6;

/// Limits that the system enforces, whatever happens in here: memory, no files to write, no
/// descriptors but its own few, no core dumps, no new privileges, and no life after the parent's.
#[allow(unsafe_code)] // system calls on plain values
fn confine(limits: &Limits) {
    let limit = |resource, most: u64| {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the structure is a valid value that the call only reads.
        unsafe { libc::setrlimit(resource, &raw const limit) };
    };
    limit(libc::RLIMIT_AS, limits.child_memory_bytes);
    limit(libc::RLIMIT_FSIZE, 0);
    limit(libc::RLIMIT_CORE, 0);
    // What our own parent left open for us by accident is closed. Where the system is too old for
    // the call, the descriptors stay open, as they would in any child.
    // SAFETY: nothing of ours is open yet beyond the three standard descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    limit(libc::RLIMIT_NOFILE, DESCRIPTORS);
    // SAFETY: prctl with plain integers.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
    }
    // SAFETY: sets one number that FFmpeg's allocator reads.
    unsafe {
        ffmpeg_next::ffi::av_max_alloc(
            usize::try_from(limits.child_memory_bytes / 2).unwrap_or(usize::MAX),
        );
    }
}
