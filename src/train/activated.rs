//! `act(bn(x))` or `act(x)`: what stands behind a map, in front of a pre-activated one, on a shortcut and at the end of a
//! wide ResNet.

use crate::gpu::Slice;
use crate::kernels::Activation;
use crate::kernels::batchnorm::{BatchNorm, MOMENTUM, Normalised};
use crate::kernels::batchnorm_backward::Upstream;
use crate::kernels::batchnorm_few::{Classifier, Dense, Sender};
use crate::kernels::gemm::Parts;
use crate::kernels::pool::PoolGeometry;
use crate::nn::{Shape, pad4};

use super::arena::NormPlace;
use super::build::Builder;
use super::map::Map;
use super::plan::Mode;
use super::work::Part;

/// What is to be applied.
#[derive(Debug, Clone, Copy)]
pub struct Activate {
    /// The normalisation, if there is one.
    pub norm: Option<NormPlace>,
    /// Share of the new batch in its running statistics.
    pub momentum: f32,
    /// What follows.
    pub activation: Activation,
    /// Shape of one sample.
    pub shape: Shape,
}

impl Activate {
    /// With the usual momentum.
    pub fn new(norm: Option<NormPlace>, activation: Activation, shape: Shape) -> Self {
        Self { norm, momentum: MOMENTUM, activation, shape }
    }

    /// Whether the moments of its input are wanted, in a step over `batch` samples.
    pub fn wants_moments(&self, batch: u32, mode: Mode) -> bool {
        mode == Mode::Train && self.norm.is_some() && !self.has_few_rows(batch)
    }

    /// Whether it is a trained norm of a batch's rows of features, so few that one workgroup takes a column of them.
    pub fn has_few_rows(&self, batch: u32) -> bool {
        let trained = self.norm.is_some_and(|place| place.gradient.is_some());
        trained
            && self.shape.h * self.shape.w == 1
            && BatchNorm { rows: batch, channels: pad4(self.shape.c) as u32 }.is_few()
    }
}

impl Upstream {
    /// That of a part of the samples.
    fn of(self, part: &mut Part<'_>) -> Self {
        let gradient = part.of(self.gradient);
        let pooled = self.pooled.map(|(slice, windows)| (part.of(slice), windows.of_batch(part.samples)));
        Self { gradient, pooled, ..self }
    }
}

/// What it has been applied to; enough for its backward.
#[derive(Debug, Clone, Copy)]
pub struct Activated {
    /// What was applied.
    pub what: Activate,
    /// Its input.
    pub x: Slice,
    /// Mean and inverse deviation of `x`, with a norm.
    pub saved: Option<Slice>,
}

impl Activated {
    /// Its norm as the kernels take it, if it has one.
    pub fn normalised(&self) -> Option<Normalised> {
        let (place, saved) = (self.what.norm?, self.saved?);
        Some(Normalised { y: self.x, saved, affine: place.affine, activation: self.what.activation })
    }

    /// The same without its activation.
    pub fn linear(self) -> Self {
        Self { what: Activate { activation: Activation::None, ..self.what }, ..self }
    }
}

/// How far what is to be normalised has come.
#[derive(Debug, Clone, Copy)]
pub enum Made {
    /// It is there.
    Whole,
    /// It is still to be added up from these.
    Parts(Parts),
    /// It is there, and so are its moments.
    WithMoments(TileMoments),
}

/// The moments of a map's output in tiles, as [`Map::forward_with_moments`] leaves them.
#[derive(Debug, Clone, Copy)]
pub struct TileMoments {
    /// Where.
    pub moments: Slice,
    /// Whose, for the whole batch.
    pub map: Map,
}

/// A norm behind its backward.
#[derive(Debug, Clone, Copy)]
pub struct NormFound {
    /// `[mean | 1 / deviation]`
    pub saved: Slice,
    /// `[gamma | beta]`
    pub affine: Slice,
    /// Their gradients.
    pub daffine: Slice,
}

impl Builder<'_> {
    /// Writes `act(bn(x))` to a new tensor `out_name`; with a `residual` `act(bn(x) + residual)`.
    pub fn activate(
        &mut self,
        what: Activate,
        x: Slice,
        residual: Option<Slice>,
        mode: Mode,
        names: [&str; 2],
    ) -> (Activated, Slice) {
        self.activate_made(what, x, Made::Whole, residual, mode, names)
    }

    /// The same of what may have come [less far or further](Made).
    pub fn activate_made(
        &mut self,
        what: Activate,
        x: Slice,
        made: Made,
        residual: Option<Slice>,
        mode: Mode,
        [name, out_name]: [&str; 2],
    ) -> (Activated, Slice) {
        if mode == Mode::Train && residual.is_none() && what.has_few_rows(self.batch) {
            return self.activate_few(what, x, made, [name, out_name]);
        }
        let out = self.activation(format!("{name}.{out_name}"), self.elements(what.shape));
        let saved = what.norm.map(|place| self.statistics(what, place, x, made, mode, [name, out_name]));
        let activated = Activated { what, x, saved };
        self.emit_applied(&activated, residual, out);
        (activated, out)
    }

    /// What is applied to each row, from its statistics on, to `out`.
    pub fn emit_applied(&mut self, of: &Activated, residual: Option<Slice>, out: Slice) {
        let Activated { what: Activate { activation, shape, .. }, x, .. } = *of;
        let [rows, channels] = self.matrix(shape);
        let per_sample = rows / self.batch;
        let of = of.normalised();
        self.emit_by_sample(move |part| {
            let norm = BatchNorm { rows: part.samples * per_sample, channels };
            let (x, out) = (part.of(x), part.of(out));
            let residual = residual.map(|residual| part.of(residual));
            vec![match (of.map(|of| Normalised { y: x, ..of }), residual) {
                (Some(of), Some(residual)) => norm.apply_onto(of, residual, out),
                (Some(of), None) => norm.apply(of, out),
                (None, Some(residual)) => norm.activate_onto(x, residual, out, activation),
                (None, None) => norm.activate(x, out, activation),
            }]
        });
    }

    /// What `place` normalises `x` by: in training the moments of the batch, else the running ones.
    pub fn statistics(
        &mut self,
        what: Activate,
        place: NormPlace,
        x: Slice,
        made: Made,
        mode: Mode,
        [name, out_name]: [&str; 2],
    ) -> Slice {
        let [rows, channels] = self.matrix(what.shape);
        let norm = BatchNorm { rows, channels };
        let per_sample = rows / self.batch;
        let saved = self.scratch(name, &format!("{out_name} saved"), 8 * u64::from(channels));
        if mode != Mode::Train {
            self.emit([norm.statistics_eval(place.running, saved)]);
            return saved;
        }
        if let Made::WithMoments(TileMoments { moments, map }) = made {
            self.emit_behind_parts(move |part| {
                let chunk_rows = part.rows(per_sample).size;
                let tile_rows = map.moment_rows(chunk_rows).expect("it has left moments");
                let rows = [tile_rows, chunk_rows];
                vec![norm.statistics_finish_of_tiles(rows, what.momentum, moments, place.running, saved)]
            });
            return saved;
        }
        let workspace = self.scratch(name, "norm partials", self.norm_workspace_bytes(norm));
        self.emit_by_sample(move |part| vec![norm.statistics_partial(part.rows(per_sample), part.of(x), workspace)]);
        self.emit_behind_parts(move |part| {
            let chunk_rows = part.rows(per_sample).size;
            vec![norm.statistics_finish(chunk_rows, what.momentum, workspace, place.running, saved)]
        });
        saved
    }

    /// [`Self::activate`] of [few rows](Activate::has_few_rows) in training. `x` is written too where it is still to be
    /// added up from parts.
    pub fn activate_few(
        &mut self,
        what: Activate,
        x: Slice,
        made: Made,
        [name, out_name]: [&str; 2],
    ) -> (Activated, Slice) {
        let place = what.norm.expect("few rows have a norm");
        let out = self.activation(format!("{name}.{out_name}"), self.elements(what.shape));
        let [rows, channels] = self.matrix(what.shape);
        let saved = self.scratch(name, &format!("{out_name} saved"), 8 * u64::from(channels));
        let of = Normalised { y: x, saved, affine: place.affine, activation: what.activation };
        let norm = BatchNorm { rows, channels };
        self.emit([match made {
            Made::Parts(parts) => norm.few_forward_of_parts(what.momentum, &parts, of, place.running, out),
            Made::Whole | Made::WithMoments(_) => norm.few_forward(what.momentum, of, place.running, out),
        }]);
        (Activated { what, x, saved: Some(saved) }, out)
    }

    /// Backward: `upstream.gradient` holds the dense part of the output's gradient, if there is one, and receives the
    /// input's. The norm's own gradients go to its arena.
    pub fn backward_activated(&mut self, of: &Activated, upstream: Upstream, name: &str) {
        if of.what.has_few_rows(self.batch) {
            let sender = upstream.pooled.map_or(Sender::Nobody, |(second, _)| Sender::Second(second));
            self.backward_few(of, upstream, None, sender);
            return;
        }
        let [rows, channels] = self.matrix(of.what.shape);
        let norm = BatchNorm { rows, channels };
        let Some((normalised, daffine)) = self.backward_norm(of, norm, upstream, name) else {
            self.emit_activation_backward(norm, of.x, upstream, of.what.activation);
            return;
        };
        let per_sample = rows / self.batch;
        self.emit_by_sample(move |part| {
            let norm = BatchNorm { rows: part.samples * per_sample, channels };
            let of = Normalised { y: part.of(normalised.y), ..normalised };
            vec![norm.backward_input(of, upstream.of(part), daffine, rows)]
        });
    }

    /// The same for [few rows](Activate::has_few_rows), with a gradient from `sender` beside the dense one, which is
    /// still to be added up where there are `parts`.
    pub fn backward_few(&mut self, of: &Activated, upstream: Upstream, parts: Option<Parts>, sender: Sender) {
        let (Some(place), Some(normalised)) = (of.what.norm, of.normalised()) else { return };
        let Some(derived) = place.gradient else { return };
        let [rows, channels] = self.matrix(of.what.shape);
        let bytes = match sender {
            Sender::Classifier(Classifier { bias, scores, .. }) => bias + 4 * u64::from(scores),
            Sender::Nobody | Sender::Second(_) => place.affine.bytes,
        };
        let [values, derived] = [place.affine, derived].map(|slice| Slice { bytes, ..slice });
        let operands = [upstream.gradient, values, derived];
        let dense = match parts {
            Some(parts) => Dense::Parts(parts),
            None if upstream.dense => Dense::There,
            None => Dense::Nothing,
        };
        self.emit([BatchNorm { rows, channels }.few_backward(normalised, operands, dense, sender)]);
    }

    /// Backward of an activation alone, of what entered it or, as signs are the same, of what it made.
    pub fn emit_activation_backward(&mut self, norm: BatchNorm, x: Slice, upstream: Upstream, activation: Activation) {
        let per_sample = norm.rows / self.batch;
        self.emit_by_sample(move |part| {
            let norm = BatchNorm { rows: part.samples * per_sample, ..norm };
            vec![norm.backward_activation(part.of(x), upstream.of(part), activation)]
        });
    }

    /// Average pooling from `x` to `out`.
    pub fn emit_average(&mut self, windows: PoolGeometry, x: Slice, out: Slice) {
        self.emit_by_sample(move |part| vec![windows.of_batch(part.samples).average(part.of(x), part.of(out))]);
    }

    /// The norm's own gradients alone, where nothing asks for the input's.
    pub fn backward_activated_affine(&mut self, of: &Activated, upstream: Upstream, name: &str) {
        let [rows, channels] = self.matrix(of.what.shape);
        let norm = BatchNorm { rows, channels };
        self.backward_norm(of, norm, upstream, name);
    }

    /// The gradients of a norm's own parameters, if there is a norm: where they are, and what it was.
    pub fn backward_norm_sums(&mut self, of: &Activated, upstream: Upstream, name: &str) -> Option<NormFound> {
        let [rows, channels] = self.matrix(of.what.shape);
        let (normalised, daffine) = self.backward_norm(of, BatchNorm { rows, channels }, upstream, name)?;
        Some(NormFound { saved: normalised.saved, affine: normalised.affine, daffine })
    }

    /// The gradients of a norm's own parameters: the norm as applied, and where they are.
    fn backward_norm(
        &mut self,
        of: &Activated,
        norm: BatchNorm,
        upstream: Upstream,
        name: &str,
    ) -> Option<(Normalised, Slice)> {
        let (place, normalised) = (of.what.norm?, of.normalised()?);
        let daffine = self.norm_gradient(place, norm.channels, name);
        let workspace = self.scratch(name, "norm gradient partials", self.norm_workspace_bytes(norm));
        let per_sample = norm.rows / self.batch;
        self.emit_by_sample(move |part| {
            let of = Normalised { y: part.of(normalised.y), ..normalised };
            vec![norm.backward_sums(part.rows(per_sample), of, upstream.of(part), workspace)]
        });
        self.emit_behind_parts(move |part| vec![norm.backward_finish(part.rows(per_sample).size, workspace, daffine)]);
        Some((normalised, daffine))
    }

    /// Where the gradients of a norm's own parameters go: nowhere of use where it has none in its arena.
    pub fn norm_gradient(&mut self, place: NormPlace, channels: u32, name: &str) -> Slice {
        place.gradient.unwrap_or_else(|| self.scratch(name, "unused norm gradient", 8 * u64::from(channels)))
    }

    /// Room for a norm's partial sums, in however many parts the batch comes.
    pub fn norm_workspace_bytes(&self, norm: BatchNorm) -> u64 {
        norm.workspace_bytes().max(norm.chunked_workspace_bytes(norm.rows / self.batch))
    }

    /// The gradient `from`, to be read while its successor is written to a new tensor: a pooled source of single pixels.
    pub fn elsewhere(&mut self, from: Slice, shape: Shape, name: String) -> Upstream {
        let gradient = self.activation(name, self.elements(shape));
        Upstream { gradient, dense: false, pooled: Some((from, self.windows(shape, [1, 1], [0, 0]))) }
    }

    /// Average pooling of maps of `shape`.
    pub fn windows(&self, shape: Shape, [kh, kw]: [usize; 2], [pad_h, pad_w]: [usize; 2]) -> PoolGeometry {
        PoolGeometry {
            batch: self.batch,
            height: shape.h as u32,
            width: shape.w as u32,
            channels: pad4(shape.c) as u32,
            kh: kh as u32,
            kw: kw as u32,
            pad_h: pad_h as u32,
            pad_w: pad_w as u32,
        }
    }
}
