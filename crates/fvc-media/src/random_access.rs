//! Which key frames of H.264 and H.265 a decode can start at and give the same pictures as a decode
//! from the start of the file.
//!
//! Containers and parsers also call pictures "key" at which an intra refresh begins: those are whole
//! only after as many frames as their recovery point says. Clean are, by ITU-T H.264 (7.4.1 and
//! D.2.8): instantaneous decoding refresh pictures, and recovery points of zero frames; by ITU-T
//! H.265 (7.4.2.2): every IRAP picture. Pictures that precede such a frame on the screen and follow
//! it in the file are not whole after it; nobody who seeks to it asks for them.

/// How the units of a packet are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Start codes (ITU-T H.264, annex B).
    StartCodes,
    /// Big-endian lengths of this many bytes (ISO/IEC 14496-15).
    Lengths(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standard {
    H264,
    H265,
}

/// Tells clean key frames of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomAccess {
    kind: Option<(Standard, Framing)>,
}

impl RandomAccess {
    /// For a codec by FFmpeg's name, with the stream's extradata.
    pub(crate) fn new(codec: &str, extradata: &[u8]) -> Self {
        let (standard, at) = match codec {
            "h264" => (Standard::H264, 4),
            "hevc" => (Standard::H265, 21),
            _ => return Self { kind: None },
        };
        // avcC and hvcC begin with version 1, start codes with zeros.
        let framing = match (extradata.first(), extradata.get(at)) {
            (Some(1), Some(lengths)) => Framing::Lengths(usize::from(lengths & 3) + 1),
            _ => Framing::StartCodes,
        };
        Self { kind: Some((standard, framing)) }
    }

    /// Whether a decode can start at this packet, which its container calls key.
    pub(crate) fn is_clean(self, packet: &[u8]) -> bool {
        match self.kind {
            None => true,
            Some((Standard::H264, framing)) => {
                units(packet, framing).any(|unit| match unit.first().map(|head| head & 0x1f) {
                    Some(5) => true,
                    Some(6) => recovers_at_once(unit.get(1..).unwrap_or_default()),
                    _ => false,
                })
            }
            Some((Standard::H265, framing)) => units(packet, framing).any(|unit| {
                unit.first().is_some_and(|head| (16..=21).contains(&((head >> 1) & 0x3f)))
            }),
        }
    }
}

/// The units of a packet, without what separates them.
fn units(packet: &[u8], framing: Framing) -> impl Iterator<Item = &[u8]> {
    let mut rest = packet;
    std::iter::from_fn(move || match framing {
        Framing::Lengths(size) => {
            let (length, behind) = rest.split_at_checked(size)?;
            let length = length.iter().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
            let (unit, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(unit)
        }
        Framing::StartCodes => {
            let start = find_start_code(rest)? + 3;
            let unit = rest.get(start..)?;
            let end = find_start_code(unit).unwrap_or(unit.len());
            rest = unit.get(end..)?;
            unit.get(..end)
        }
    })
}

fn find_start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

/// Whether an H.264 SEI unit (without its head) holds a recovery point of zero frames.
fn recovers_at_once(unit: &[u8]) -> bool {
    let payload = without_emulation_prevention(unit);
    let mut rest = payload.as_slice();
    while rest.len() > 2 {
        let Some((kind, behind)) = variable(rest) else { return false };
        let Some((size, behind)) = variable(behind) else { return false };
        let Some((message, behind)) = behind.split_at_checked(size) else { return false };
        if kind == 6 {
            // recovery_frame_cnt, ue(v): a leading one is zero.
            return message.first().is_some_and(|first| first & 0x80 != 0);
        }
        rest = behind;
    }
    false
}

/// A number as SEI messages write their kind and size: bytes of 255 add up until one is less.
fn variable(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    loop {
        let (&byte, behind) = bytes.split_first()?;
        value = value.checked_add(usize::from(byte))?;
        bytes = behind;
        if byte != 255 {
            return Some((value, bytes));
        }
    }
}

fn without_emulation_prevention(unit: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEI with an unrelated message of 300 bytes (kind 5), then a recovery point.
    fn sei(recovery: u8) -> Vec<u8> {
        let mut unit = vec![6, 5, 255, 45];
        unit.extend(std::iter::repeat_n(7, 300));
        unit.extend([6, 1, recovery, 0x80]);
        unit
    }

    fn packets(units: &[&[u8]]) -> [(RandomAccess, Vec<u8>); 2] {
        let codes: Vec<u8> =
            units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect();
        let lengths: Vec<u8> = units
            .iter()
            .flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat())
            .collect();
        [
            (RandomAccess::new("h264", &[0, 0, 0, 1, 0x67]), codes),
            (RandomAccess::new("h264", &[1, 100, 0, 31, 0xff]), lengths),
        ]
    }

    #[test]
    fn refresh_points_of_h264_are_clean_only_at_zero_frames() {
        // 0x84: the bit string 1 (zero). 0x11: 000 1000 1… (eight frames or so).
        for (units, clean) in [
            (vec![vec![9, 0xf0], vec![0x67, 1], vec![0x65, 0x88]], true),
            (vec![vec![9, 0xf0], sei(0x84), vec![0x61, 0x9a]], true),
            (vec![sei(0x11), vec![0x61, 0x9a]], false),
            (vec![vec![0x61, 0x9a]], false),
        ] {
            let units: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
            for (access, packet) in packets(&units) {
                assert_eq!(access.is_clean(&packet), clean, "{access:?} {packet:?}");
            }
        }
    }

    #[test]
    fn bytes_of_any_kind_are_no_trouble() {
        for (access, packet) in packets(&[&[6, 255, 255], &[6], &[]]) {
            for cut in 0..packet.len() {
                assert!(!access.is_clean(&packet[..cut]));
            }
        }
        assert!(!RandomAccess::new("h264", &[1, 2, 3, 4, 0xff]).is_clean(&[255; 40]));
        assert!(RandomAccess::new("vp9", &[]).is_clean(&[]));
    }

    #[test]
    fn random_access_pictures_of_h265_are_clean() {
        let access = RandomAccess::new("hevc", &[0, 0, 1, 0x40]);
        for (kind, clean) in [(19_u8, true), (20, true), (21, true), (1, false), (35, false)] {
            assert_eq!(access.is_clean(&[0, 0, 1, kind << 1, 1, 0xaf]), clean, "{kind}");
        }
    }
}
