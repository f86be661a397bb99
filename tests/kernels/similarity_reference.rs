//! Similarity matching in `f64`, sample by sample, as `src/kernels/similarity.rs` describes it.
//!
//! Means are taken relative to a first value, so that a constant map has deviation zero here, too, and not rounding noise,
//! which the cosine would blow up.

use predsim::kernels::similarity::{Mode, Similarity};

use crate::support::{Sum, random};

pub type Rows = Vec<Vec<f64>>;

/// The mean; of equal values exactly their value.
pub fn mean(values: &[f64]) -> f64 {
    values[0] + values.iter().map(|v| v - values[0]).sum::<f64>() / values.len() as f64
}

fn less_mean(values: &[f64]) -> Vec<f64> {
    let mean = mean(values);
    values.iter().map(|v| v - mean).collect()
}

/// The size of the terms of [`less_mean`]: the mean may vanish, but for the rounding of what it is the mean of.
fn terms_less_mean(values: &[f64]) -> Vec<f64> {
    let sizes: Vec<f64> = values.iter().map(|v| v.abs()).collect();
    let mean = mean(&sizes);
    sizes.into_iter().map(|size| size + mean).collect()
}

pub fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Centred features, each divided by the norm of all of a sample.
pub fn unit(centred: &[f64]) -> Vec<f64> {
    let size = norm(centred);
    centred.iter().map(|c| c / (1e-8 + size)).collect()
}

pub fn cosines(centred: &Rows) -> Rows {
    let units: Rows = centred.iter().map(|c| unit(c)).collect();
    let cosine = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>().clamp(-1.0, 1.0);
    units.iter().map(|a| units.iter().map(|b| cosine(a, b)).collect()).collect()
}

/// One similarity loss, to be computed here and on the device.
#[derive(Debug, Clone)]
pub struct Case {
    pub shape: Similarity,
    pub classes: u32,
    pub labels: Vec<u32>,
    pub z: Vec<f32>,
    /// The gradient is that of this times the loss.
    pub scale: f32,
}

impl Case {
    /// Maps of different strengths, as real ones are; zero in pad lanes.
    pub fn random(shape: Similarity, classes: u32, seed: u64) -> Self {
        let [spatial, channels, real] = [shape.spatial, shape.channels, shape.real_channels].map(|v| v as usize);
        let strengths = random(seed ^ 1, shape.batch as usize * channels);
        let strength = |i: usize| 1.1 + strengths[i / (spatial * channels) * channels + i % channels];
        let values = random(seed, shape.batch as usize * spatial * channels).into_iter().enumerate();
        let z = values.map(|(i, v)| if i % channels < real { v * strength(i) } else { 0.0 }).collect();
        let label = |v: &f32| ((v + 1.0) / 2.0 * classes as f32) as u32;
        let labels = random(seed ^ 2, shape.batch as usize).iter().map(label).collect();
        Self { shape, classes, labels, z, scale: 0.7 }
    }

    /// Where a value lies in z.
    pub fn at(&self, sample: usize, position: usize, channel: usize) -> usize {
        (sample * self.shape.spatial as usize + position) * self.shape.channels as usize + channel
    }

    pub fn map(&self, z: &[f64], sample: usize, channel: usize) -> Vec<f64> {
        (0..self.shape.spatial as usize).map(|position| z[self.at(sample, position, channel)]).collect()
    }

    /// Standard deviation of a map.
    pub fn deviation(&self, z: &[f64], sample: usize, channel: usize) -> f64 {
        norm(&less_mean(&self.map(z, sample, channel))) / f64::from(self.shape.spatial.max(2) - 1).sqrt()
    }

    /// Features of each sample; in flat mode position by position.
    fn features(&self, z: &[f64]) -> Rows {
        let real = self.shape.real_channels as usize;
        let features = |sample: usize| match self.shape.mode {
            Mode::SpatialStd => (0..real).map(|channel| self.deviation(z, sample, channel)).collect(),
            Mode::Flat => {
                let count = self.shape.spatial as usize * real;
                (0..count).map(|i| z[self.at(sample, i / real, i % real)]).collect::<Vec<f64>>()
            }
        };
        (0..self.shape.batch as usize).map(features).collect()
    }

    /// Features of each sample less their mean.
    pub fn centred(&self, z: &[f64]) -> Rows {
        self.features(z).iter().map(|row| less_mean(row)).collect()
    }

    /// Features of each sample, centred and divided by their norm, with the size of the terms of the centring.
    fn units(&self, z: &[f64]) -> Vec<Vec<Sum>> {
        let row = |row: &Vec<f64>| {
            let (values, terms) = (unit(&less_mean(row)), terms_less_mean(row));
            let size = norm(&less_mean(row));
            values.into_iter().zip(terms).map(|(value, term)| Sum { value, size: term / size }).collect()
        };
        self.features(z).iter().map(row).collect()
    }

    /// T: the similarity of the labels as one-hot rows.
    fn target(&self) -> Rows {
        let one_hot = |label: u32| (0..self.classes).map(move |class| f64::from(u8::from(class == label)));
        let centred = self.labels.iter().map(|&label| less_mean(&one_hot(label).collect::<Vec<f64>>()));
        cosines(&centred.collect())
    }

    /// Row sums of `(S - T)^2 / N^2`.
    pub fn rows(&self, z: &[f64]) -> Vec<f64> {
        let (s, t) = (cosines(&self.centred(z)), self.target());
        let square = f64::from(self.shape.batch).powi(2);
        s.iter().zip(&t).map(|(s, t)| s.iter().zip(t).map(|(s, t)| (s - t).powi(2) / square).sum()).collect()
    }

    /// dL/du, L being `scale` times the loss: `S = u u^T` is symmetric, so each of its entries acts twice.
    fn unit_gradient(&self, z: &[f64]) -> Vec<Vec<Sum>> {
        let (s, t) = (cosines(&self.centred(z)), self.target());
        let units = self.units(z);
        let share = 4.0 * f64::from(self.scale) / f64::from(self.shape.batch).powi(2);
        let row = |(s, t): (&Vec<f64>, &Vec<f64>)| {
            let mut du = vec![Sum::default(); units[0].len()];
            for (j, other) in units.iter().enumerate() {
                for (du, u) in du.iter_mut().zip(other) {
                    // S - T may vanish, but for the rounding of both.
                    du.value += share * (s[j] - t[j]) * u.value;
                    du.size += share * (s[j].abs() + t[j].abs()) * u.size;
                }
            }
            du
        };
        s.iter().zip(&t).map(row).collect()
    }

    /// dL/df: `u = c / (eps + |c|)`, so c acts through |c|, too; then through the centring. Zero where |c| is.
    fn feature_gradient(&self, z: &[f64]) -> Vec<Vec<Sum>> {
        let centred = self.centred(z);
        let du = self.unit_gradient(z);
        let row = |((c, u), du): ((&Vec<f64>, Vec<Sum>), Vec<Sum>)| {
            let size = norm(c);
            if size == 0.0 {
                return vec![Sum::default(); c.len()];
            }
            let pull: f64 = du.iter().zip(&u).map(|(du, u)| du.value * u.value).sum();
            let pull_size: f64 = du.iter().zip(&u).map(|(du, u)| du.size * u.size).sum();
            let dc: Vec<f64> =
                du.iter().zip(&u).map(|(du, u)| du.value / (size + 1e-8) - u.value * pull / size).collect();
            let sizes = du.iter().zip(&u).map(|(du, u)| (du.size + u.size * pull_size) / size);
            less_mean(&dc).into_iter().zip(sizes).map(|(value, size)| Sum { value, size }).collect()
        };
        centred.iter().zip(self.units(z)).zip(du).map(row).collect()
    }

    /// dL/dz, in the layout of z. A map without deviation has none.
    pub fn gradient(&self, z: &[f64]) -> Vec<Sum> {
        let real = self.shape.real_channels as usize;
        let mut dz = vec![Sum::default(); z.len()];
        for (sample, df) in self.feature_gradient(z).into_iter().enumerate() {
            for (feature, df) in df.into_iter().enumerate() {
                match self.shape.mode {
                    Mode::Flat => dz[self.at(sample, feature / real, feature % real)] = df,
                    Mode::SpatialStd => self.put_map_gradient(z, [sample, feature], df, &mut dz),
                }
            }
        }
        dz
    }

    /// The standard deviation's gradient: `df (z - mean) / (f (positions - 1))`.
    fn put_map_gradient(&self, z: &[f64], [sample, channel]: [usize; 2], df: Sum, dz: &mut [Sum]) {
        let (map, deviation) = (self.map(z, sample, channel), self.deviation(z, sample, channel));
        if deviation == 0.0 {
            return;
        }
        let divisor = deviation * f64::from(self.shape.spatial - 1);
        for (position, (off, terms)) in less_mean(&map).into_iter().zip(terms_less_mean(&map)).enumerate() {
            let size = df.size * terms / divisor;
            dz[self.at(sample, position, channel)] = Sum { value: df.value * off / divisor, size };
        }
    }
}
