//! [`Plane`]: the grey picture all features but the colour ones are measured on.

/// Mirrored pixels kept left and right of every row, enough for a 5x5 window.
pub(crate) const MARGIN: usize = 2;

/// Grey levels 0 to 255 with a mirrored margin (reflect-101) left and right of each row.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    width: usize,
    height: usize,
    stride: usize,
    data: Vec<u8>,
}

impl Plane {
    /// Takes on another size; the memory is kept and only ever grows.
    pub(crate) fn resize(&mut self, width: usize, height: usize) {
        self.width = width;
        self.height = height;
        self.stride = width + 2 * MARGIN;
        let needed = self.stride * height;
        if self.data.len() < needed {
            self.data.resize(needed, 0);
        }
    }

    /// Width in pixels, without the margins.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// Row `y` without its margins, `width` pixels.
    pub(crate) fn row(&self, y: usize) -> &[u8] {
        &self.wide_row(y)[MARGIN..MARGIN + self.width]
    }

    /// Row `y` with its margins, `width + 2 * MARGIN` pixels.
    pub(crate) fn wide_row(&self, y: usize) -> &[u8] {
        &self.data[y * self.stride..(y + 1) * self.stride]
    }

    /// Row `y` (which may lie above or below the picture: mirrored) with `margin` pixels each side.
    pub(crate) fn mirrored_row(&self, y: isize, margin: usize) -> &[u8] {
        let row = self.wide_row(reflect_101(y, self.height));
        &row[MARGIN - margin..MARGIN + self.width + margin]
    }

    /// Fills row `y` from `3 * width` bytes of packed RGB.
    ///
    /// `(9798 R + 19235 G + 3735 B + 16384) >> 15`: OpenCV's fixed-point form of
    /// 0.299 R + 0.587 G + 0.114 B, equal to it for every one of the 2^24 colours.
    pub(crate) fn fill_row(&mut self, y: usize, rgb: &[u8]) {
        let row = &mut self.data[y * self.stride..(y + 1) * self.stride];
        let inner = &mut row[MARGIN..MARGIN + self.width];
        for (grey, pixel) in inner.iter_mut().zip(rgb.chunks_exact(3)) {
            let weighted = 9798_u32
                .wrapping_mul(u32::from(pixel[0]))
                .wrapping_add(19235_u32.wrapping_mul(u32::from(pixel[1])))
                .wrapping_add(3735_u32.wrapping_mul(u32::from(pixel[2])));
            *grey = (weighted.wrapping_add(16384) >> 15) as u8;
        }
        for step in 1..=MARGIN {
            row[MARGIN - step] = row[MARGIN + reflect_101(-(step as isize), self.width)];
            let beyond = self.width - 1 + step;
            row[MARGIN + beyond] = row[MARGIN + reflect_101(beyond as isize, self.width)];
        }
    }
}

/// The position inside `0..length` that a position outside it mirrors to, the edge pixel itself
/// not repeated (`gfedcb|abcdefgh|gfedcba`); a picture one pixel long has only that pixel.
pub(crate) fn reflect_101(position: isize, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let last = length as isize - 1;
    let mut inside = position;
    while inside < 0 || inside > last {
        inside = if inside < 0 { -inside } else { 2 * last - inside };
    }
    inside as usize
}
