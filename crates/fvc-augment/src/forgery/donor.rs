//! Pixels of another clip: where in it they are taken.

use fvc_media::Frame;

use super::{Forgery, Region};
use crate::AugmentError;
use crate::frames;

/// What is taken of a donor: one of its frames for each frame of the span, and a place in them.
pub(super) struct Taken<'a> {
    /// As many frames as the span has.
    pub(super) frames: &'a [Frame],
    /// A place of the size that was asked for.
    pub(super) region: Region,
}

/// Where the record takes a rectangle of this size, for as many frames as its span has.
pub(super) fn taken<'a>(
    forgery: &Forgery,
    donor: &'a [Frame],
    width: u32,
    height: u32,
) -> Result<Taken<'a>, AugmentError> {
    let kind = forgery.name();
    let (donor_width, donor_height) = frames::common_size(kind, donor)?;
    if donor_width < width as usize || donor_height < height as usize {
        return Err(AugmentError::Donor {
            kind,
            expected: format!("at least {width}x{height} pixels"),
            found: format!("{donor_width}x{donor_height}"),
        });
    }
    let region = Region {
        x: place(forgery.value("donor_x")?, donor_width as u64 - u64::from(width)) as u32,
        y: place(forgery.value("donor_y")?, donor_height as u64 - u64::from(height)) as u32,
        width,
        height,
    };
    Ok(Taken { frames: run(forgery, donor)?, region })
}

/// The donor's frames that the record takes, as many as its span has.
pub(super) fn run<'a>(forgery: &Forgery, donor: &'a [Frame]) -> Result<&'a [Frame], AugmentError> {
    let length = forgery.length();
    if (donor.len() as u64) < length {
        return Err(AugmentError::Donor {
            kind: forgery.name(),
            expected: format!("at least {length} frames"),
            found: donor.len().to_string(),
        });
    }
    let start = place(forgery.value("donor_start")?, donor.len() as u64 - length) as usize;
    Ok(&donor[start..start + length as usize])
}

/// A share of 1 is the last place itself.
fn place(share: f64, room: u64) -> u64 {
    (share * room as f64).round() as u64
}
