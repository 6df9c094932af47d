//! [`Cells`]: statistics of a frame by square cells, in one pass over its rows.

use fvc_media::Frame;

use crate::plane::Plane;

/// Smallest and largest side of a cell in pixels.
const SIDES: (usize, usize) = (16, 64);
/// Cells along the shorter side of the picture, where the bounds of a side allow it.
const CELLS_ACROSS: usize = 16;
/// Pixels of the reduced picture along a cell's side.
pub(crate) const REDUCED: usize = 8;
/// Every so many rows the colour channels are read.
const COLOUR_ROWS: usize = 4;
/// Positions for which steps between neighbours are summed apart: those of a macroblock.
pub(crate) const PHASES: usize = 16;

/// How a picture is cut into cells: a multiple of eight pixels wide, so that a cell holds whole
/// coding blocks; what is left over at the right and below belongs to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) side: usize,
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Layout {
    /// The cells of a picture; none where it has fewer than nine.
    pub(crate) fn of(width: usize, height: usize) -> Option<Self> {
        let ideal = (width.min(height) / CELLS_ACROSS).next_multiple_of(8);
        let side = ideal.clamp(SIDES.0, SIDES.1);
        let (columns, rows) = (width / side, height / side);
        (columns >= 3 && rows >= 3).then_some(Self { width, height, side, columns, rows })
    }

    pub(crate) fn cells(self) -> usize {
        self.columns * self.rows
    }

    /// Source pixels of a pixel of the reduced picture, along each side.
    fn reduction(self) -> usize {
        self.side / REDUCED
    }

    pub(crate) fn reduced_width(self) -> usize {
        self.columns * REDUCED
    }

    pub(crate) fn reduced_height(self) -> usize {
        self.rows * REDUCED
    }
}

/// Sums over the pixels of one cell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    luma: u32,
    luma_squares: u64,
    noise: u32,
    noise_squares: u64,
    noise_next: i64,
    noise_before: i64,
    flat: u32,
    gradient: u32,
    difference: u32,
    red: i32,
    blue: i32,
    chroma: u32,
}

/// What is kept of a cell of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    /// Mean grey level.
    pub(crate) luma: f32,
    /// Population standard deviation of the grey levels.
    pub(crate) contrast: f32,
    /// Noise level in grey levels: √(π/2) / 6 · mean |n|, n = the picture under the 3x3 kernel
    /// `[1 −2 1; −2 4 −2; 1 −2 1]` (J. Immerkær, "Fast noise variance estimation", 1996).
    pub(crate) noise: f32,
    /// mean |n| / √(mean n²): 0.80 of a normal distribution, less the heavier its tails (R. C. Geary, 1935).
    pub(crate) tails: f32,
    /// Correlation of n with its right neighbour.
    pub(crate) correlation: f32,
    /// Share of pixels where n is 0.
    pub(crate) flat: f32,
    /// Mean of |step to the right| + |step down|.
    pub(crate) gradient: f32,
    /// Mean |grey − grey of the frame before|.
    pub(crate) difference: f32,
    /// Correlation of n with that of the frame before.
    pub(crate) recurrence: f32,
    /// Mean R − G.
    pub(crate) red: f32,
    /// Mean B − G.
    pub(crate) blue: f32,
    /// Mean |second difference| of R − G and B − G along the row, two pixels apart.
    pub(crate) chroma: f32,
}

/// The fused pass and its scratch, which grows to the largest frame and is then reused.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    plane: Plane,
    before: Plane,
    noise: Vec<i16>,
    noise_before: Vec<i16>,
    bend: Vec<i16>,
    colour: [Vec<i16>; 2],
    sums: Vec<Sums>,
    squares_before: Vec<u64>,
    reduced_columns: Vec<u16>,
    /// The picture reduced by area mean to [`REDUCED`] pixels a cell's side.
    pub(crate) reduced: Vec<u8>,
    /// Σ |step| between rows by the upper one's number modulo 16, and between columns likewise.
    pub(crate) steps: [[u64; PHASES]; 2],
    /// How many steps these are.
    pub(crate) step_counts: [[u64; PHASES]; 2],
    /// Σ over rows of |second difference along the row|, by column, over all frames of the clip.
    pub(crate) bends_by_column: Vec<u64>,
    /// Σ over columns of |second difference along the column|, by row.
    pub(crate) bends_by_row: Vec<u64>,
    histogram: Vec<u32>,
}

impl Cells {
    /// Forgets the clip.
    pub(crate) fn start(&mut self, layout: Layout) {
        self.bends_by_column.clear();
        self.bends_by_column.resize(layout.width, 0);
        self.bends_by_row.clear();
        self.bends_by_row.resize(layout.height, 0);
        self.steps = [[0; PHASES]; 2];
        self.step_counts = [[0; PHASES]; 2];
        self.noise.clear();
        self.squares_before.clear();
    }

    /// The grey picture scanned last.
    pub(crate) fn plane(&self) -> &Plane {
        &self.plane
    }

    /// Shares of the grey levels in 64 classes of the frame scanned last.
    pub(crate) fn histogram(&self) -> [f32; 64] {
        let total: u32 = self.histogram.iter().sum();
        let mut shares = [0.0; 64];
        for (share, &count) in shares.iter_mut().zip(&self.histogram) {
            *share = count as f32 / total.max(1) as f32;
        }
        shares
    }

    /// Measures a frame; `follows` says whether the one before it belongs to the same clip and size.
    pub(crate) fn scan(
        &mut self,
        layout: Layout,
        frame: &Frame,
        follows: bool,
        into: &mut Vec<Cell>,
    ) {
        let Layout { width, height, side, columns, .. } = layout;
        std::mem::swap(&mut self.plane, &mut self.before);
        std::mem::swap(&mut self.noise, &mut self.noise_before);
        self.plane.resize(width, height);
        self.noise.resize(width * height, 0);
        self.bend.resize(width + 2, 0);
        let follows = follows && self.noise_before.len() == width * height;
        self.squares_before.resize(layout.cells(), 0);
        self.sums.clear();
        self.sums.resize(layout.cells(), Sums::default());
        self.reduced_columns.clear();
        self.reduced_columns.resize(layout.reduced_width() * layout.reduction(), 0);
        self.reduced.clear();
        self.histogram.clear();
        self.histogram.resize(64, 0);
        let rgb = |y: usize| &frame.data()[3 * width * y..3 * width * (y + 1)];
        self.plane.fill_row(0, rgb(0));
        for y in 0..height {
            if y + 1 < height {
                self.plane.fill_row(y + 1, rgb(y + 1));
            }
            let row = self.plane.row(y);
            let at = y as isize;
            let below = self.plane.mirrored_row(at + 1, 1);
            let noise = &mut self.noise[y * width..(y + 1) * width];
            let bends = filter(
                self.plane.mirrored_row(at - 1, 1),
                self.plane.mirrored_row(at, 1),
                below,
                &mut self.bend,
                noise,
            );
            self.bends_by_row[y] += u64::from(bends);
            add_bends(row, &mut self.bends_by_column[1..width - 1]);
            if y + 1 < height {
                self.steps[0][y % PHASES] += u64::from(difference(row, &below[1..=width]));
                self.step_counts[0][y % PHASES] += width as u64;
            }
            // A row in four is enough for means over the whole picture.
            if y % 4 == 0 {
                for &pixel in row {
                    self.histogram[usize::from(pixel >> 2)] += 1;
                }
                add_steps(row, &mut self.steps[1], &mut self.step_counts[1]);
            }
            let Some(sums) = self.sums.get_mut(y / side * columns..(y / side + 1) * columns) else {
                continue;
            };
            let colour = y % COLOUR_ROWS == 0;
            if colour {
                separate(rgb(y), &mut self.colour);
            }
            for (index, sums) in sums.iter_mut().enumerate() {
                let here = index * side..(index + 1) * side;
                let pixels = &row[here.clone()];
                let (luma, squares) = moments(pixels);
                sums.luma += luma;
                sums.luma_squares += u64::from(squares);
                let own = &noise[here.clone()];
                let (absolute, squares, flat) = noise_sums(own);
                sums.noise += absolute;
                sums.noise_squares += u64::from(squares);
                sums.flat += flat;
                sums.noise_next += i64::from(dot(&own[..side - 1], &own[1..]));
                sums.gradient += difference(&pixels[..side - 1], &pixels[1..]);
                sums.gradient += difference(pixels, &below[here.start + 1..=here.end]);
                if follows {
                    sums.difference += difference(pixels, &self.before.row(y)[here.clone()]);
                    let before = &self.noise_before[y * width..(y + 1) * width];
                    sums.noise_before += i64::from(dot(own, &before[here.clone()]));
                }
                if colour {
                    let [red, blue] = &self.colour;
                    sums.red += sum(&red[here.clone()]);
                    sums.blue += sum(&blue[here.clone()]);
                    sums.chroma += bend(&red[here.clone()]) + bend(&blue[here]);
                }
            }
            self.reduce_row(layout, y);
        }
        let pixels = (side * side) as f32;
        for (sums, before) in self.sums.iter().zip(&mut self.squares_before) {
            into.push(sums.cell(pixels, follows.then_some(*before)));
            *before = sums.noise_squares;
        }
    }

    /// Adds a row to the reduced picture.
    fn reduce_row(&mut self, layout: Layout, y: usize) {
        let reduction = layout.reduction();
        if y >= layout.rows * layout.side {
            return;
        }
        let row = &self.plane.row(y)[..self.reduced_columns.len()];
        for (column, &pixel) in self.reduced_columns.iter_mut().zip(row) {
            *column = column.wrapping_add(u16::from(pixel));
        }
        if y % reduction == reduction - 1 {
            let area = (reduction * reduction) as u16;
            for columns in self.reduced_columns.chunks_exact_mut(reduction) {
                let sum = columns.iter().fold(0_u16, |sum, &column| sum.wrapping_add(column));
                self.reduced.push(((sum + area / 2) / area) as u8);
                columns.fill(0);
            }
        }
    }
}

impl Sums {
    /// The means of a cell of so many pixels; `before`: Σ n² of the frame before.
    fn cell(&self, pixels: f32, before: Option<u64>) -> Cell {
        // √(π/2) / 6
        const TO_SIGMA: f32 = 0.208_885_69;
        let luma = self.luma as f32 / pixels;
        let variance = (f64::from(self.luma) / f64::from(pixels)).powi(2);
        let variance = self.luma_squares as f64 / f64::from(pixels) - variance;
        let squares = self.noise_squares as f32;
        let absolute = self.noise as f32 / pixels;
        // A cell without any noise has no tails and no correlation: it is as smooth as can be.
        let share = |sum: i64, of: f32| if of > 0.0 { sum as f32 / of } else { 0.0 };
        Cell {
            luma,
            contrast: variance.max(0.0).sqrt() as f32,
            noise: TO_SIGMA * absolute,
            tails: if squares > 0.0 { absolute / (squares / pixels).sqrt() } else { 0.0 },
            correlation: share(self.noise_next, squares),
            flat: self.flat as f32 / pixels,
            gradient: self.gradient as f32 / pixels,
            difference: if before.is_some() { self.difference as f32 / pixels } else { f32::NAN },
            recurrence: before.map_or(f32::NAN, |before| {
                share(self.noise_before, (squares * before as f32).sqrt())
            }),
            red: self.red as f32 * COLOUR_ROWS as f32 / pixels,
            blue: self.blue as f32 * COLOUR_ROWS as f32 / pixels,
            chroma: self.chroma as f32 * COLOUR_ROWS as f32 / pixels,
        }
    }
}

/// The 3x3 kernel `[1 −2 1; −2 4 −2; 1 −2 1]` of one row, whose neighbours come with one mirrored pixel
/// on each side; gives Σ |above − 2 · here + below|.
fn filter(above: &[u8], here: &[u8], below: &[u8], bend: &mut [i16], noise: &mut [i16]) -> u32 {
    let wide = here.len();
    let (above, below, bend) = (&above[..wide], &below[..wide], &mut bend[..wide]);
    for x in 0..wide {
        let (a, b, c) = (i16::from(above[x]), i16::from(here[x]), i16::from(below[x]));
        bend[x] = a.wrapping_sub(b.wrapping_add(b)).wrapping_add(c);
    }
    let pixels = noise.len();
    let (left, mid, right) = (&bend[..pixels], &bend[1..=pixels], &bend[2..pixels + 2]);
    for x in 0..pixels {
        let twice = mid[x].wrapping_add(mid[x]);
        noise[x] = left[x].wrapping_sub(twice).wrapping_add(right[x]);
    }
    mid.iter().map(|value| u32::from(value.unsigned_abs())).fold(0, u32::wrapping_add)
}

/// Adds |left − 2 · here + right| of all inner pixels to the sums by column.
fn add_bends(row: &[u8], sums: &mut [u64]) {
    let pixels = sums.len();
    let (left, mid, right) = (&row[..pixels], &row[1..=pixels], &row[2..pixels + 2]);
    for x in 0..pixels {
        let (l, m, r) = (i16::from(left[x]), i16::from(mid[x]), i16::from(right[x]));
        let bend = l.wrapping_sub(m.wrapping_add(m)).wrapping_add(r);
        sums[x] = sums[x].wrapping_add(u64::from(bend.unsigned_abs()));
    }
}

/// Adds |step| to the right neighbour by the column's number modulo 16.
fn add_steps(row: &[u8], sums: &mut [u64; PHASES], counts: &mut [u64; PHASES]) {
    let mut lanes = [0_u32; PHASES];
    let last = row.len() - 1;
    let (whole, rest) = row[..last].as_chunks::<PHASES>();
    let (next, next_rest) = row[1..].as_chunks::<PHASES>();
    for (here, next) in whole.iter().zip(next) {
        for phase in 0..PHASES {
            lanes[phase] = lanes[phase].wrapping_add(u32::from(here[phase].abs_diff(next[phase])));
        }
    }
    for (phase, (here, next)) in rest.iter().zip(next_rest).enumerate() {
        lanes[phase] = lanes[phase].wrapping_add(u32::from(here.abs_diff(*next)));
    }
    for phase in 0..PHASES {
        sums[phase] += u64::from(lanes[phase]);
        counts[phase] += (whole.len() + usize::from(phase < rest.len())) as u64;
    }
}

/// R − G and B − G of packed RGB pixels.
fn separate(rgb: &[u8], colour: &mut [Vec<i16>; 2]) {
    let [red, blue] = colour;
    red.resize(rgb.len() / 3, 0);
    blue.resize(rgb.len() / 3, 0);
    for ((red, blue), pixel) in red.iter_mut().zip(blue).zip(rgb.chunks_exact(3)) {
        let green = i16::from(pixel[1]);
        *red = i16::from(pixel[0]).wrapping_sub(green);
        *blue = i16::from(pixel[2]).wrapping_sub(green);
    }
}

/// Sum and sum of squares of at most 64 pixels.
fn moments(pixels: &[u8]) -> (u32, u32) {
    let (mut sum, mut squares) = (0_u32, 0_i32);
    for &pixel in pixels {
        sum = sum.wrapping_add(u32::from(pixel));
        let pixel = i32::from(i16::from(pixel));
        squares = squares.wrapping_add(pixel.wrapping_mul(pixel));
    }
    (sum, squares as u32)
}

/// Σ |n|, Σ n² and the number of zeros of at most 64 values up to 4080: the squares' sum fits 32 bits.
fn noise_sums(noise: &[i16]) -> (u32, u32, u32) {
    let (mut absolute, mut squares, mut zeros) = (0_u32, 0_i32, 0_u16);
    for &value in noise {
        absolute = absolute.wrapping_add(u32::from(value.unsigned_abs()));
        let wide = i32::from(value);
        squares = squares.wrapping_add(wide.wrapping_mul(wide));
        zeros = zeros.wrapping_add(u16::from(value == 0));
    }
    (absolute, squares as u32, u32::from(zeros))
}

/// Σ a b; fits 32 bits as above.
fn dot(a: &[i16], b: &[i16]) -> i32 {
    let mut sum = 0_i32;
    for (&a, &b) in a.iter().zip(b) {
        sum = sum.wrapping_add(i32::from(a).wrapping_mul(i32::from(b)));
    }
    sum
}

/// Σ |a − b|.
pub(crate) fn difference(a: &[u8], b: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for (&a, &b) in a.iter().zip(b) {
        sum = sum.wrapping_add(u32::from(a.abs_diff(b)));
    }
    sum
}

fn sum(values: &[i16]) -> i32 {
    values.iter().fold(0, |sum: i32, &value| sum.wrapping_add(i32::from(value)))
}

/// Σ |second difference| two pixels apart: chroma is stored for every other pixel only, and what lies
/// between is the player's interpolation.
fn bend(values: &[i16]) -> u32 {
    let pixels = values.len() - 4;
    let (left, mid, right) = (&values[..pixels], &values[2..pixels + 2], &values[4..pixels + 4]);
    let mut sum = 0_u32;
    for x in 0..pixels {
        let bend = left[x].wrapping_sub(mid[x].wrapping_add(mid[x])).wrapping_add(right[x]);
        sum = sum.wrapping_add(u32::from(bend.unsigned_abs()));
    }
    sum
}
