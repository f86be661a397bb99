//! The average pooling in front of a block's local classifier.

use super::shape::Shape;

/// Average pooling in front of a convolutional `pred` head: stride = kernel, padding counts in the divisor,
/// which is always `kh * kw`, and rows that no window reaches are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Rows of a window.
    pub kh: usize,
    /// Columns of a window.
    pub kw: usize,
    /// Rows of zeros above and below.
    pub pad_h: usize,
    /// Columns of zeros left and right.
    pub pad_w: usize,
}

impl Pool {
    /// The published pooling rule: the window's height and width are doubled in turn, height first, until at
    /// most `limit` features are left or the window covers the map; half a window of padding where it does
    /// not divide the side. `None` where the map is small enough as it is.
    ///
    /// The published rule knows square maps only. For others a side is doubled while it is smaller than its
    /// side of the map, which is the same rule when the sides are equal.
    pub fn plan(map: Shape, limit: usize) -> Option<Self> {
        let (mut kh, mut kw) = (1, 1);
        let left = |kh, kw| map.c * map.h.div_ceil(kh) * map.w.div_ceil(kw);
        while left(kh, kw) > limit && (kh < map.h || kw < map.w) {
            if kh < map.h {
                kh *= 2;
            }
            if left(kh, kw) > limit && kw < map.w {
                kw *= 2;
            }
        }
        let margin = |k: usize, side: usize| if side.is_multiple_of(k) { 0 } else { k / 2 };
        (kh > 1 || kw > 1).then(|| Self { kh, kw, pad_h: margin(kh, map.h), pad_w: margin(kw, map.w) })
    }

    /// The pooling of a `map` for at most `limit` features or as near as it gets; `counted` is the map as the published
    /// script counts it.
    ///
    /// That script divides the sides of a map by every stride, rounding down, where a convolution rounds up. Behind an odd
    /// side the map is larger by one. Where the pooling planned for the smaller map gives as many features on the true
    /// one, it is kept, so that results agree; where it does not, the published script fails, and the rule is applied to
    /// the true map.
    pub fn published(map: Shape, counted: Shape, limit: usize) -> Option<Self> {
        let fits = |pool: &Self| pool.out_shape(map) == pool.out_shape(counted);
        let published = if counted.elements() > 0 { Self::plan(counted, limit) } else { None };
        published.filter(fits).or_else(|| Self::plan(map, limit))
    }

    /// Shape of the pooled map.
    pub const fn out_shape(self, map: Shape) -> Shape {
        Shape {
            h: (map.h + 2 * self.pad_h - self.kh) / self.kh + 1,
            w: (map.w + 2 * self.pad_w - self.kw) / self.kw + 1,
            c: map.c,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(side: usize, c: usize) -> Shape {
        Shape { h: side, w: side, c }
    }

    /// The published rule, which knows square maps only (see [`Pool::plan`]).
    fn published(side: usize, c: usize, limit: usize) -> (usize, usize) {
        let (mut kh, mut kw) = (1, 1);
        let n = |kh, kw| c * side.div_ceil(kh) * side.div_ceil(kw);
        while n(kh, kw) > limit && kh < side {
            kh *= 2;
            if n(kh, kw) > limit {
                kw *= 2;
            }
        }
        (kh, kw)
    }

    proptest! {
        #[test]
        fn pooling_of_square_maps_is_the_published_rule(side in 1usize..100, c in 1usize..600, limit in 1usize..5000) {
            let got = Pool::plan(square(side, c), limit).map_or((1, 1), |p| (p.kh, p.kw));
            prop_assert_eq!(got, published(side, c, limit));
        }

        #[test]
        fn pooled_maps_fit_the_limit_or_are_one_pixel(h in 1usize..100, w in 1usize..100, c in 1usize..600, limit in 1usize..5000) {
            let map = Shape { h, w, c };
            if let Some(pool) = Pool::plan(map, limit) {
                let out = pool.out_shape(map);
                // The rule counts ceil(side / k); the pooling's own arithmetic has to agree.
                prop_assert_eq!(out, Shape { h: h.div_ceil(pool.kh), w: w.div_ceil(pool.kw), c });
                prop_assert!(out.elements() <= limit || (out.h, out.w) == (1, 1));
                prop_assert!(map.elements() > limit);
            } else {
                prop_assert!(map.elements() <= limit || (h, w) == (1, 1));
            }
        }
    }

    #[test]
    fn a_wide_map_is_pooled_along_its_width() {
        let map = Shape { h: 1, w: 12, c: 8 };
        let pool = Pool::plan(map, 32).unwrap();
        assert_eq!((pool.kh, pool.kw, pool.pad_h, pool.pad_w), (1, 4, 0, 0));
        let map = Shape { h: 3, w: 12, c: 8 };
        let pool = Pool::plan(map, 16).unwrap();
        assert_eq!((pool.kh, pool.kw, pool.pad_h, pool.pad_w), (4, 8, 2, 4));
        assert_eq!(pool.out_shape(map), Shape { h: 1, w: 2, c: 8 });
    }

    #[test]
    fn an_odd_strided_map_is_pooled_as_published_where_that_can_be() {
        // 33 rows become 17, which the published script takes for 16: four windows of four rows, the last row left out.
        let pool = Pool::published(square(17, 8), square(16, 8), 128).unwrap();
        assert_eq!((pool.kh, pool.kw, pool.pad_h, pool.pad_w), (4, 4, 0, 0));
        assert_eq!(pool.out_shape(square(17, 8)), square(4, 8));
        assert_eq!(Pool::plan(square(17, 8), 128).map(|p| p.pad_h), Some(4));
        // 15 rows become 8, taken for 7: padded windows of two rows would be one too many.
        let pool = Pool::published(square(8, 8), square(7, 8), 128).unwrap();
        assert_eq!((pool, pool.pad_h), (Pool::plan(square(8, 8), 128).unwrap(), 0));
        assert_eq!(Pool::published(square(17, 8), square(17, 8), 128), Pool::plan(square(17, 8), 128));
        assert_eq!(Pool::published(square(1, 8), square(0, 8), 4), None);
    }
}
