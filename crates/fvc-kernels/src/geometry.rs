//! Checked sizes of convolutions and pools.

use crate::error::KernelError;

/// The sizes of a convolution as one writes them down; [`ConvGeometry::new`] checks them.
///
/// Axes are depth (frames), height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    /// Samples in the batch.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Input positions per axis.
    pub input: [usize; 3],
    /// Taps per axis.
    pub kernel: [usize; 3],
    /// Input positions from one output to the next.
    pub stride: [usize; 3],
    /// Zeros before and after each axis.
    pub padding: [usize; 3],
    /// Input positions from one tap to the next; 1 is a dense kernel.
    pub dilation: [usize; 3],
    /// Groups that the channels fall into; input and output channels must divide by it.
    pub groups: usize,
}

impl ConvSpec {
    /// Stride 1, dilation 1, one group, and for odd kernels the padding that keeps the size.
    pub fn same(
        batch: usize,
        in_channels: usize,
        out_channels: usize,
        input: [usize; 3],
        kernel: [usize; 3],
    ) -> Self {
        Self {
            batch,
            in_channels,
            out_channels,
            input,
            kernel,
            stride: [1; 3],
            padding: kernel.map(|k| k / 2),
            dilation: [1; 3],
            groups: 1,
        }
    }
}

/// A convolution whose sizes are consistent, and small enough to count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    spec: ConvSpec,
    output: [usize; 3],
}

/// The product, or an error where it does not fit oneDNN's signed sizes.
pub(crate) fn volume(what: &str, sizes: &[usize]) -> Result<usize, KernelError> {
    sizes
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        // Room for strides in bytes.
        .filter(|&product| product <= isize::MAX as usize / 16)
        .ok_or_else(|| {
            KernelError::Geometry(format!("{what} has more elements than fit in memory"))
        })
}

fn positive(what: &str, sizes: &[usize]) -> Result<(), KernelError> {
    if sizes.contains(&0) {
        return Err(KernelError::Geometry(format!("{what} is zero in {sizes:?}")));
    }
    Ok(())
}

/// Positions of the output along one axis.
fn reach(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Result<usize, KernelError> {
    let padded = padding.checked_mul(2).and_then(|both| both.checked_add(input));
    let extent = (kernel - 1).checked_mul(dilation).and_then(|gaps| gaps.checked_add(1));
    match (padded, extent) {
        (Some(padded), Some(extent)) if extent <= padded => Ok((padded - extent) / stride + 1),
        _ => Err(KernelError::Geometry(format!(
            "a kernel of {kernel} with dilation {dilation} is wider than an input of {input} with padding {padding}"
        ))),
    }
}

impl ConvGeometry {
    /// Checks the sizes.
    ///
    /// # Errors
    ///
    /// [`KernelError::Geometry`] where a size is zero, the groups do not divide the channels, the kernel
    /// is wider than the padded input, or the tensors would not fit in an address space.
    pub fn new(spec: ConvSpec) -> Result<Self, KernelError> {
        let ConvSpec {
            batch,
            in_channels,
            out_channels,
            input,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        } = spec;
        positive("batch, channels or groups", &[batch, in_channels, out_channels, groups])?;
        positive("input", &input)?;
        positive("kernel", &kernel)?;
        positive("stride", &stride)?;
        positive("dilation", &dilation)?;
        if in_channels % groups != 0 || out_channels % groups != 0 {
            return Err(KernelError::Geometry(format!(
                "{groups} groups do not divide {in_channels} and {out_channels} channels"
            )));
        }
        let mut output = [0; 3];
        for axis in 0..3 {
            output[axis] =
                reach(input[axis], kernel[axis], stride[axis], padding[axis], dilation[axis])?;
        }
        volume("the input", &[batch, in_channels, input[0], input[1], input[2]])?;
        volume("the output", &[batch, out_channels, output[0], output[1], output[2]])?;
        volume("the kernel", &[in_channels, out_channels, kernel[0], kernel[1], kernel[2]])?;
        Ok(Self { spec, output })
    }

    /// The sizes it was made of.
    pub fn spec(&self) -> &ConvSpec {
        &self.spec
    }

    /// Output positions per axis.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Numbers in the input: batch × D × H × W × channels.
    pub fn input_len(&self) -> usize {
        self.spec.batch * self.spec.input.iter().product::<usize>() * self.spec.in_channels
    }

    /// Numbers in the output.
    pub fn output_len(&self) -> usize {
        self.spec.batch * self.output.iter().product::<usize>() * self.spec.out_channels
    }

    /// Numbers in the weights, [O, I/groups, kD, kH, kW].
    pub fn weights_len(&self) -> usize {
        self.spec.out_channels * (self.spec.in_channels / self.spec.groups) * self.taps()
    }

    /// Multiplications of one pass over the batch, taps on padding included.
    pub fn multiplications(&self) -> u64 {
        self.output_len() as u64
            * (self.spec.in_channels / self.spec.groups) as u64
            * self.taps() as u64
    }

    pub(crate) fn taps(&self) -> usize {
        self.spec.kernel.iter().product()
    }
}

/// The sizes of a pool as one writes them down; [`PoolGeometry::new`] checks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolSpec {
    /// Samples in the batch.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Input positions per axis.
    pub input: [usize; 3],
    /// Window per axis.
    pub kernel: [usize; 3],
    /// Input positions from one output to the next.
    pub stride: [usize; 3],
    /// Positions before and after each axis; at most half the window.
    pub padding: [usize; 3],
}

/// A pool whose sizes are consistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    spec: PoolSpec,
    output: [usize; 3],
}

impl PoolGeometry {
    /// Checks the sizes.
    ///
    /// # Errors
    ///
    /// [`KernelError::Geometry`] where a size is zero, the padding is more than half the window (a window
    /// could then hold no input), the window is wider than the padded input, or has more than 256 positions.
    pub fn new(spec: PoolSpec) -> Result<Self, KernelError> {
        let PoolSpec { batch, channels, input, kernel, stride, padding } = spec;
        positive("batch or channels", &[batch, channels])?;
        positive("input", &input)?;
        positive("kernel", &kernel)?;
        positive("stride", &stride)?;
        if volume("the window", &kernel)? > 256 {
            return Err(KernelError::Geometry(format!(
                "a window of {kernel:?} has more than 256 positions"
            )));
        }
        let mut output = [0; 3];
        for axis in 0..3 {
            if padding[axis] > kernel[axis] / 2 {
                return Err(KernelError::Geometry(format!(
                    "a padding of {} is more than half a window of {}",
                    padding[axis], kernel[axis]
                )));
            }
            output[axis] = reach(input[axis], kernel[axis], stride[axis], padding[axis], 1)?;
        }
        volume("the input", &[batch, channels, input[0], input[1], input[2]])?;
        volume("the output", &[batch, channels, output[0], output[1], output[2]])?;
        Ok(Self { spec, output })
    }

    /// The sizes it was made of.
    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// Output positions per axis.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Numbers in the input.
    pub fn input_len(&self) -> usize {
        self.spec.batch * self.spec.input.iter().product::<usize>() * self.spec.channels
    }

    /// Numbers in the output, and bytes of the record that a max-pool keeps for its gradient.
    pub fn output_len(&self) -> usize {
        self.spec.batch * self.output.iter().product::<usize>() * self.spec.channels
    }
}
