//! The two number types that activations come in.

// The conversions are the innermost operations of loops that are compiled for several instruction sets;
// left to themselves they may stay calls into code for the base set.
#![allow(clippy::inline_always)]

use half::bf16;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

/// Which number type an [`Element`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ElementKind {
    /// 32-bit IEEE floats.
    F32,
    /// The upper half of one: 8 bits of exponent, 7 of fraction.
    Bf16,
}

/// A number type of activations: `f32` or `half::bf16`. Sums are always kept in more than it.
pub trait Element:
    sealed::Sealed + Copy + Send + Sync + Default + PartialEq + std::fmt::Debug + 'static
{
    /// Which type this is.
    const KIND: ElementKind;

    /// The number zero.
    const ZERO: Self;

    /// The number as `f32`; exact.
    fn to_f32(self) -> f32;

    /// The nearest number of this type; ties to even.
    fn from_f32(value: f32) -> Self;

    /// An integer that orders as the numbers do: -0 just below 0, a NaN without a sign above all.
    #[doc(hidden)]
    fn order(self) -> i32;

    /// The number that [`Element::order`] gave this integer for.
    #[doc(hidden)]
    fn from_order(order: i32) -> Self;

    /// An order and a rank in one integer, so that a maximum of integers finds both.
    #[doc(hidden)]
    type Ranked: Copy + Ord + Send + Sync + 'static;

    /// Less than every number with any rank.
    #[doc(hidden)]
    const LEAST: Self::Ranked;

    #[doc(hidden)]
    fn ranked(self, rank: u8) -> Self::Ranked;

    /// The same number with `rank` added to a rank that had room for it.
    #[doc(hidden)]
    fn rank_more(ranked: Self::Ranked, rank: u8) -> Self::Ranked;

    #[doc(hidden)]
    fn unranked(ranked: Self::Ranked) -> (Self, u8);
}

impl Element for f32 {
    const KIND: ElementKind = ElementKind::F32;
    const ZERO: Self = 0.0;
    type Ranked = i64;
    const LEAST: i64 = i64::MIN;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn order(self) -> i32 {
        let bits = self.to_bits() as i32;
        bits ^ ((bits >> 31) & i32::MAX)
    }

    #[inline(always)]
    fn from_order(order: i32) -> Self {
        f32::from_bits((order ^ ((order >> 31) & i32::MAX)) as u32)
    }

    #[inline(always)]
    fn ranked(self, rank: u8) -> i64 {
        (i64::from(self.order()) << 32) | i64::from(rank)
    }

    #[inline(always)]
    fn rank_more(ranked: i64, rank: u8) -> i64 {
        ranked.wrapping_add(i64::from(rank))
    }

    #[inline(always)]
    fn unranked(ranked: i64) -> (Self, u8) {
        (Self::from_order((ranked >> 32) as i32), ranked as u8)
    }
}

impl Element for bf16 {
    const KIND: ElementKind = ElementKind::Bf16;
    const ZERO: Self = bf16::ZERO;
    type Ranked = i32;
    const LEAST: i32 = i32::MIN;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        // As `half` does it, but without a branch, so that loops over it vectorise.
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
    }

    #[inline(always)]
    fn order(self) -> i32 {
        let bits = i32::from(self.to_bits() as i16);
        bits ^ ((bits >> 31) & 0x7fff)
    }

    #[inline(always)]
    fn from_order(order: i32) -> Self {
        bf16::from_bits((order ^ ((order >> 31) & 0x7fff)) as u16)
    }

    #[inline(always)]
    fn ranked(self, rank: u8) -> i32 {
        (self.order() << 16) | i32::from(rank)
    }

    #[inline(always)]
    fn rank_more(ranked: i32, rank: u8) -> i32 {
        ranked.wrapping_add(i32::from(rank))
    }

    #[inline(always)]
    fn unranked(ranked: i32) -> (Self, u8) {
        (Self::from_order(ranked >> 16), ranked as u8)
    }
}
