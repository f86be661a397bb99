//! The max pooling behind a block, in one pass with the norm and the activation in front of it.

use crate::gpu::Slice;
use crate::kernels::batchnorm_pool::Pooled;
use crate::kernels::pool::MaxPool;
use crate::nn::{Block, Order};

use super::activated::{Activated, Made};
use super::block::{BlockPass, WithHeads};
use super::build::Builder;
use super::plan::Mode;
use super::work::Part;

impl Builder<'_> {
    /// Whether nothing stands between a block's activation and what comes next.
    pub fn pools_itself(block: &Block, mode: Mode) -> bool {
        let dropped = mode == Mode::Train && block.dropout > 0.0;
        block.order == Order::Post && block.shortcut.is_none() && !dropped
    }

    /// The maxima of `act(bn(map))` to `pass.out`, from the map's output there. The activation itself is stored for
    /// heads and for an inspection; else the way back makes it again.
    pub fn activate_and_pool(
        &mut self,
        block: &Block,
        pass: &mut BlockPass,
        pool: MaxPool,
        made: Made,
        mode: Mode,
        heads: WithHeads,
    ) {
        let seen = match mode {
            Mode::Train => heads == WithHeads::Yes && block.heads.any(),
            Mode::Evaluate => heads == WithHeads::Yes && block.heads.pred,
            Mode::Inspect => true,
        };
        let (what, x, names) = (self.behind(block), pass.out, [block.name.as_str(), "h"]);
        let saved = what.norm.map(|place| self.statistics(what, place, x, made, mode, names));
        let h = seen.then(|| self.activation(format!("{}.h", block.name), self.elements(block.out_shape)));
        let out = self.activation(format!("{}.out", block.name), self.elements(block.out_shape.max_pooled()));
        let behind = Activated { what, x, saved };
        match h {
            // The maxima would take room beside the heads.
            Some(h) if mode == Mode::Train => self.emit_applied(&behind, None, h),
            h => self.emit_pooled(&behind, pool, h, out),
        }
        (pass.behind, pass.a, pass.out) = (Some(behind), h, out);
    }

    /// Behind the heads: the maxima that [`Self::activate_and_pool`] has left for then.
    pub fn pool_late(&mut self, pass: &BlockPass, mode: Mode) {
        let (Some(behind), Some(pool), Some(_)) = (pass.behind, pass.pooled, pass.a) else { return };
        if mode == Mode::Train {
            self.emit_pooled(&behind, pool, None, pass.out);
        }
    }

    fn emit_pooled(&mut self, behind: &Activated, pool: MaxPool, h: Option<Slice>, out: Slice) {
        let of = pooled(behind);
        self.emit_by_sample(move |part| {
            let pool = MaxPool { batch: part.samples, ..pool };
            let of = Pooled { x: part.of(of.x), ..of };
            let h = h.map(|h| part.of(h));
            vec![pool.activated(of, h, part.of(out))]
        });
    }

    /// Backward from the gradient of the maxima to that of the map's output. The norm's own gradients go to its arena.
    pub fn backward_pooled(&mut self, behind: &Activated, pool: MaxPool, dmaxima: Slice, name: &str) -> Slice {
        let (of, shape) = (pooled(behind), behind.what.shape);
        let part_of = move |part: &mut Part<'_>| {
            let pool = MaxPool { batch: part.samples, ..pool };
            (pool, Pooled { x: part.of(of.x), ..of }, part.of(dmaxima))
        };
        let daffine = behind.what.norm.map(|place| {
            let windows = pool.windows();
            let per_sample = windows.rows / self.batch;
            let daffine = self.norm_gradient(place, pool.channels, name);
            let workspace = self.scratch(name, "norm gradient partials", self.norm_workspace_bytes(windows));
            self.emit_by_sample(move |part| {
                let (pool, of, dmaxima) = part_of(part);
                vec![pool.activated_sums(windows, part.rows(per_sample), of, dmaxima, workspace)]
            });
            self.emit_behind_parts(move |part| {
                vec![windows.backward_finish(part.rows(per_sample).size, workspace, daffine)]
            });
            daffine
        });
        let [rows, _] = self.matrix(shape);
        let dx = self.activation(format!("{name}.dy"), self.elements(shape));
        self.emit_by_sample(move |part| {
            let (pool, of, dmaxima) = part_of(part);
            vec![pool.activated_input(of, dmaxima, daffine, rows, part.of(dx))]
        });
        dx
    }
}

fn pooled(behind: &Activated) -> Pooled {
    let norm = behind.normalised().map(|of| [of.saved, of.affine]);
    Pooled { x: behind.x, norm, activation: behind.what.activation }
}
