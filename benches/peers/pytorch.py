#!/usr/bin/env python3
"""PyTorch's side of `cargo xtask peers`: the cases that predsim is timed at, in eager mode, f32, on CUDA where there is one.

    pytorch.py version         print which PyTorch runs on what
    pytorch.py time CASE       time one case, warmed up, and print a JSON object
    pytorch.py check FOLDER    compare the training steps' losses with predsim's golden cases
"""
import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

BATCH = 32              # samples of the convolutions
LEARNING_RATE = 5e-4    # the published program's
BETA = 0.99             # share of the similarity loss
FEWEST_RUNS, MOST_RUNS, WARM_UPS = 5, 100, 3
VGG8B = "128 256 M 256 512 M 512 M 512 M".split()

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# f32 as predsim computes it, not the tensor cores' shorter one.
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


# --------------------------------------------------------------------------- timing

def finish():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def timed(run):
    start = time.perf_counter()
    result = run()
    finish()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def measure(run, seconds):
    """Median seconds of a run, by the host's clock, as `predsim bench --wall` takes them."""
    warm_up = sum(timed(run) for _ in range(WARM_UPS))
    times, start = [], time.perf_counter()
    while len(times) < FEWEST_RUNS or (time.perf_counter() - start < seconds and len(times) < MOST_RUNS):
        times.append(timed(run))
    return dict(seconds=statistics.median(times), runs=len(times), warmup_seconds=warm_up)


# --------------------------------------------------------------------------- single operations

def random(*shape):
    return torch.rand(shape, device=DEVICE) - 0.5


def gemm(side):
    a, b = random(side, side), random(side, side)
    return lambda: a @ b


def convolution(what, cin, cout, side):
    x, w, bias = random(BATCH, cin, side, side), random(cout, cin, 3, 3), random(cout)
    dy = random(BATCH, cout, side, side)
    wants = [what == "dx", what == "dw", False]
    if what == "forward":
        return lambda: F.conv2d(x, w, bias, padding=1)
    return lambda: torch.ops.aten.convolution_backward(
        dy, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wants)


# --------------------------------------------------------------------------- networks

def pooling(channels, side, limit):
    """Kernel and padding of the average pooling before a convolution's classifier, and the features it leaves."""
    def features():
        return channels * math.ceil(side / kernel[0]) * math.ceil(side / kernel[1])
    kernel = [1, 1]
    while features() > limit and kernel[0] < side:
        kernel[0] *= 2
        if features() > limit:
            kernel[1] *= 2
    return kernel, [k // 2 if side % k else 0 for k in kernel], features()


class Block(nn.Module):
    """A convolution or linear map, batch normalisation and a rectifier; with a local loss, its two heads.

    Parameters are named as in the golden cases: `blocks.0.conv.weight`.
    """

    def __init__(self, kind, affine, norm, halved=False):
        super().__init__()
        self.kind, self.bn = kind, norm
        self.add_module(kind, affine)
        self.halved, self.pool = halved, None

    def add_heads(self, pred, sim, pool=None):
        self.pred, self.sim, self.pool = pred, sim, pool

    def forward(self, x):
        return F.relu(self.bn(getattr(self, self.kind)(x)))

    def hand_on(self, activation):
        return F.max_pool2d(activation, 2) if self.halved else activation

    def losses(self, activation, labels, target):
        pooled = F.avg_pool2d(activation, *self.pool) if self.pool else activation
        pred = F.cross_entropy(self.pred(pooled.flatten(1)), labels)
        seen = self.sim(activation)
        if seen.dim() == 4:
            seen = seen.flatten(2).std(dim=2)
        return pred, (similarity(seen) - target).square().mean()


def similarity(features):
    centred = features - features.mean(dim=1, keepdim=True)
    unit = centred / (1e-8 + torch.linalg.vector_norm(centred, dim=1, keepdim=True))
    return (unit @ unit.T).clamp(-1, 1)


class Network(nn.Module):
    def __init__(self, side, channels, plan, hidden, classes, local, dim_in_decoder=4096):
        super().__init__()
        self.blocks, self.classes, self.local = nn.ModuleList(), classes, local
        for position, width in enumerate(plan):
            if width == "M":
                continue
            halved = plan[position + 1:position + 2] == ["M"]
            block = Block("conv", nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), halved)
            if local:
                kernel, padding, features = pooling(width, side, dim_in_decoder)
                pool = None if kernel == [1, 1] else (kernel, kernel, padding)
                block.add_heads(nn.Linear(features, classes), nn.Conv2d(width, width, 3, padding=1, bias=False), pool)
            self.blocks.append(block)
            channels, side = width, side // 2 if halved else side
        features = channels * side * side
        for width in hidden:
            block = Block("linear", nn.Linear(features, width), nn.BatchNorm1d(width))
            if local:
                block.add_heads(nn.Linear(width, classes), nn.Linear(width, width, bias=False))
            self.blocks.append(block)
            features = width
        self.output = nn.Linear(features, classes)

    def make_optimizers(self, weight_decay=0.0):
        modules = [*self.blocks, self.output] if self.local else [self]
        self.optimizers = [torch.optim.Adam(m.parameters(), lr=LEARNING_RATE, weight_decay=weight_decay)
                           for m in modules]

    def update(self, index, loss):
        self.optimizers[index].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[index].step()

    def step(self, x, labels):
        """One training step: the blocks' two losses each, and the output layer's."""
        losses = []
        target = similarity(F.one_hot(labels, self.classes).float()) if self.local else None
        for index, block in enumerate(self.blocks):
            if block.kind == "linear":
                x = x.flatten(1)
            activation = block(x)
            if self.local:
                pred, sim = block.losses(activation, labels, target)
                activation = activation.detach()
                self.update(index, (1 - BETA) * pred + BETA * sim)
                losses.append((pred.detach(), sim.detach()))
            x = block.hand_on(activation)
        loss = F.cross_entropy(self.output(x), labels)
        self.update(-1, (1 - BETA) * loss if self.local else loss)
        return losses, loss.detach()


def vgg8b_plan(width):
    return [item if item == "M" else int(int(item) * width) for item in VGG8B]


def training_step(model, local):
    if model == "mlp":
        network, batch = Network(28, 1, [], [1024] * 3, 10, local), 128
    else:
        network, batch = Network(28, 1, vgg8b_plan(0.5), [1024], 10, local), 64
    network.to(DEVICE)
    network.make_optimizers()
    x, labels = 2 * random(batch, 1, 28, 28), (torch.arange(batch) % 10).to(DEVICE)
    return lambda: network.step(x, labels)


CASES = {
    "gemm512": lambda: gemm(512),
    "gemm1024": lambda: gemm(1024),
    **{f"conv-{what}{side}": lambda what=what, cin=cin, cout=cout, side=side: convolution(what, cin, cout, side)
       for cin, cout, side in [(128, 256, 28), (256, 512, 14)] for what in ["forward", "dx", "dw"]},
    **{f"{model}-{name}": lambda model=model, local=local: training_step(model, local)
       for model in ["mlp", "vgg8b"] for name, local in [("backprop", False), ("local", True)]},
}


# --------------------------------------------------------------------------- the check

def load(path):
    """The tensors of a .safetensors file; so short that no package is needed for it."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    types = {"F32": torch.float32, "I32": torch.int32}
    return {name: torch.frombuffer(bytearray(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]]),
                                   dtype=types[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__"}


def check(folder):
    """The losses of a few steps from given weights, against the cases that predsim is tested with."""
    worst, names = 0.0, ["mlp_predsim", "vgg8b_predsim", "vgg8b_backprop"]
    for name in names:
        c = json.loads((folder / f"{name}.json").read_text())["config"]
        file = load(folder / f"{name}.safetensors")
        plan = vgg8b_plan(c["feat_mult"]) if c["model"] == "vgg8b" else []
        network = Network(c["input_dim"], c["input_ch"], plan, [c["num_hidden"]] * c["num_layers"],
                          c["num_classes"], not c["backprop"], c["dim_in_decoder"])
        initial = {key.removeprefix("init."): value for key, value in file.items() if key.startswith("init.")}
        # The file has no counters of batches, which nothing here reads.
        missing, unknown = network.load_state_dict(initial, strict=False)
        assert not unknown and all("num_batches_tracked" in key for key in missing), (missing, unknown)
        network.to(DEVICE)
        network.make_optimizers(c["weight_decay"])
        for t in range(c["steps"]):
            x, y = (file[key][t % c["batches"]].to(DEVICE) for key in "xy")
            blocks, out = network.step(x, y.long())
            pairs = [(out, file["loss_out"][t])]
            for i, (pred, sim) in enumerate(blocks):
                pairs += [(pred, file["loss_pred"][t, i]), (sim, file["loss_sim"][t, i])]
            for ours, golden in pairs:
                off = abs(float(ours) - float(golden)) / max(1.0, abs(float(golden)))
                if not off <= 1e-3:
                    sys.exit(f"pytorch.py: a loss of {name}, step {t}, is {float(ours)}, and {float(golden)} there")
                worst = max(worst, off)
    print(f"the losses of {', '.join(names)} are within {worst:.0e} of the golden ones (at most 1e-3)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version")
    timing = commands.add_parser("time")
    timing.add_argument("case", choices=CASES)
    timing.add_argument("--seconds", type=float, default=0.5)
    commands.add_parser("check").add_argument("folder", type=Path)
    arguments = parser.parse_args()
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    if arguments.command == "version":
        print(f"PyTorch {torch.__version__} on {where}")
    elif arguments.command == "check":
        check(arguments.folder)
    else:
        result = measure(CASES[arguments.case](), arguments.seconds)
        print(json.dumps(dict(adapter=where, version=f"PyTorch {torch.__version__}", **result)))


if __name__ == "__main__":
    main()
