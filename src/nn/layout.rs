//! How parameters are ordered: PyTorch's order in files and golden cases, the device's in buffers.
//!
//! On the device channels come last and are padded with zeros to a multiple of four, so that kernels load
//! them as `vec4`. This module is the only place that knows both orders.

/// Rounds up to a multiple of four.
pub const fn pad4(n: usize) -> usize {
    n.div_ceil(4) * 4
}

/// The two orders of one parameter's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Biases and norms: `[len]`, on the device `[pad4(len)]`.
    Vector {
        /// Elements.
        len: usize,
    },
    /// Convolution kernels: `[cout, cin, kh, kw]`, on the device `[kh, kw, pad4(cin), pad4(cout)]`.
    Conv {
        /// Channels of the output.
        cout: usize,
        /// Channels of the input.
        cin: usize,
        /// Rows of the kernel.
        kh: usize,
        /// Columns of the kernel.
        kw: usize,
    },
    /// Fully connected weights: `[out, c * h * w]` over an input flattened in the order c, h, w; on the device
    /// `[h * w * pad4(c), pad4(out)]` over the input as it lies there, in the order h, w, c. An input that has
    /// always been dense has `h = w = 1`.
    Linear {
        /// Features of the output.
        out: usize,
        /// Rows of the input.
        h: usize,
        /// Columns of the input.
        w: usize,
        /// Channels of the input.
        c: usize,
    },
}

impl Layout {
    /// Elements in PyTorch's layout.
    pub const fn len(self) -> usize {
        match self {
            Self::Vector { len } => len,
            Self::Conv { cout, cin, kh, kw } => cout * cin * kh * kw,
            Self::Linear { out, h, w, c } => out * h * w * c,
        }
    }

    /// Whether the parameter has no elements.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Elements on the device, padding included; a multiple of four.
    pub const fn device_len(self) -> usize {
        self.device_len_u64() as usize
    }

    /// [`device_len`](Self::device_len) that does not overflow where `usize` has 32 bits.
    pub(super) const fn device_len_u64(self) -> u64 {
        match self {
            Self::Vector { len } => pad4(len) as u64,
            Self::Conv { cout, cin, kh, kw } => (kh * kw) as u64 * pad4(cin) as u64 * pad4(cout) as u64,
            Self::Linear { out, h, w, c } => (h * w) as u64 * pad4(c) as u64 * pad4(out) as u64,
        }
    }

    /// PyTorch's shape.
    pub fn torch_shape(self) -> Vec<usize> {
        match self {
            Self::Vector { len } => vec![len],
            Self::Conv { cout, cin, kh, kw } => vec![cout, cin, kh, kw],
            Self::Linear { out, h, w, c } => vec![out, c * h * w],
        }
    }

    /// From PyTorch's order to the device's, padding set to zero.
    ///
    /// # Panics
    /// If `values` does not hold [`len`](Self::len) elements.
    pub fn pack(self, values: &[f32]) -> Vec<f32> {
        assert_eq!(values.len(), self.len(), "elements to pack as {self:?}");
        let mut packed = vec![0.0; self.device_len()];
        self.for_each_pair(|torch, device| packed[device] = values[torch]);
        packed
    }

    /// From the device's order to PyTorch's; the padding is dropped.
    ///
    /// # Panics
    /// If `values` does not hold [`device_len`](Self::device_len) elements.
    pub fn unpack(self, values: &[f32]) -> Vec<f32> {
        assert_eq!(values.len(), self.device_len(), "elements to unpack from {self:?}");
        let mut unpacked = vec![0.0; self.len()];
        self.for_each_pair(|torch, device| unpacked[torch] = values[device]);
        unpacked
    }

    /// Calls `f` with the index in PyTorch's order and on the device of every element, in PyTorch's order.
    fn for_each_pair(self, mut f: impl FnMut(usize, usize)) {
        // All three are [out, c, h, w] against [h, w, c, out], with sides of one where there are none.
        let (out, c, h, w) = match self {
            Self::Vector { len } => (len, 1, 1, 1),
            Self::Conv { cout, cin, kh, kw } => (cout, cin, kh, kw),
            Self::Linear { out, h, w, c } => (out, c, h, w),
        };
        // A vector has no input whose channels would be padded.
        let rows = if matches!(self, Self::Vector { .. }) { 1 } else { pad4(c) };
        let columns = pad4(out);
        let mut torch = 0;
        for o in 0..out {
            for ch in 0..c {
                for y in 0..h {
                    for x in 0..w {
                        f(torch, ((y * w + x) * rows + ch) * columns + o);
                        torch += 1;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pad4_rounds_up() {
        assert_eq!([0, 1, 3, 4, 5, 8, 1023].map(pad4), [0, 4, 4, 4, 8, 8, 1024]);
    }

    #[test]
    fn a_vector_is_padded_behind() {
        let layout = Layout::Vector { len: 5 };
        assert_eq!(layout.pack(&[1., 2., 3., 4., 5.]), [1., 2., 3., 4., 5., 0., 0., 0.]);
    }

    #[test]
    fn a_convolution_by_hand() {
        // Two outputs, one input, 1x2 kernel: element [o, 0, 0, x] is 10 o + x + 1.
        let layout = Layout::Conv { cout: 2, cin: 1, kh: 1, kw: 2 };
        let packed = layout.pack(&[1., 2., 11., 12.]);
        let pad = [0.0; 4];
        let rows = [[1., 11., 0., 0.], pad, pad, pad, [2., 12., 0., 0.], pad, pad, pad];
        assert_eq!(packed, rows.concat());
        assert_eq!(layout.torch_shape(), [2, 1, 1, 2]);
    }

    #[test]
    fn a_linear_map_over_a_flattened_one_by_hand() {
        // One output over a map of 2 channels, one row, 2 columns; PyTorch's order is (c, w).
        let layout = Layout::Linear { out: 1, h: 1, w: 2, c: 2 };
        let packed = layout.pack(&[1., 2., 3., 4.]);
        let row = |v: f32| [v, 0., 0., 0.];
        // Column 0: channels 0 and 1, then two rows of padding; then column 1.
        let rows = [1., 3., 0., 0., 2., 4., 0., 0.].map(row);
        assert_eq!(packed, rows.concat());
        assert_eq!(layout.torch_shape(), [1, 4]);
    }

    #[test]
    fn a_dense_linear_map_is_a_padded_transpose() {
        let layout = Layout::Linear { out: 2, h: 1, w: 1, c: 3 };
        let packed = layout.pack(&[1., 2., 3., 4., 5., 6.]);
        let rows = [[1., 4., 0., 0.], [2., 5., 0., 0.], [3., 6., 0., 0.], [0.; 4]];
        assert_eq!(packed, rows.concat());
    }

    fn layouts() -> impl Strategy<Value = Layout> {
        prop_oneof![
            (1usize..40).prop_map(|len| Layout::Vector { len }),
            (1usize..10, 1usize..10, 1usize..8, 1usize..8).prop_map(|(cout, cin, kh, kw)| Layout::Conv {
                cout,
                cin,
                kh,
                kw
            }),
            (1usize..10, 1usize..6, 1usize..6, 1usize..10)
                .prop_map(|(out, h, w, c)| { Layout::Linear { out, h, w, c } }),
        ]
    }

    proptest! {
        #[test]
        fn unpack_undoes_pack(layout in layouts()) {
            let values: Vec<f32> = (1..=layout.len()).map(|i| i as f32).collect();
            let packed = layout.pack(&values);
            prop_assert_eq!(packed.len(), layout.device_len());
            prop_assert_eq!(packed.len() % 4, 0);
            // Each value lies in one place, and all else is padding.
            let mut kept: Vec<f32> = packed.iter().copied().filter(|&v| v != 0.0).collect();
            kept.sort_by(f32::total_cmp);
            prop_assert_eq!(&kept, &values);
            prop_assert_eq!(layout.torch_shape().iter().product::<usize>(), layout.len());
            prop_assert_eq!(layout.unpack(&packed), values);
        }

        #[test]
        fn elements_lie_where_the_contract_says(
            (cout, cin, kh, kw) in (1usize..7, 1usize..7, 1usize..4, 1usize..4),
        ) {
            let n = cout * cin * kh * kw;
            let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let conv = Layout::Conv { cout, cin, kh, kw }.pack(&values);
            let linear = Layout::Linear { out: cout, h: kh, w: kw, c: cin }.pack(&values);
            for (i, &value) in values.iter().enumerate() {
                let (o, rest) = (i / (cin * kh * kw), i % (cin * kh * kw));
                let (ch, y, x) = (rest / (kh * kw), rest / kw % kh, rest % kw);
                let at = ((y * kw + x) * pad4(cin) + ch) * pad4(cout) + o;
                prop_assert_eq!(conv[at], value);
                prop_assert_eq!(linear[at], value);
            }
        }
    }
}
