"""A training step of Deep InfoMax in plain PyTorch: the baseline of benchmarks/train_speed.py.

    PYTHON_WITH_TORCH benchmarks/torch_step.py \
        '{"estimator": "jsd", "units": 512, "precision": "float32", "batch": 64,
          "product_shape": [4096, 2048, 2048]}'

Written for this benchmark from the paper's equations, without any of our code: basic32x32 (Hjelm et
al. 2019, Table 1), the encode-and-dot-product critic with U units on all pairs of a batch (appendix
A), JSD (eq. 4) or infoNCE (eq. 5) with the global feature as the query, no prior matching, Adam
with the authors' betas (0.5, 0.999). It is as fast as we can write it without a compiler: local
features are rows, so that 1x1 convolutions are matrix products, and convolutions are channels last.

A worker of `interleaved`: prints its facts, then takes a step whenever it reads "step", and
multiplies large matrices in the same precision whenever it reads "product".
"""

import json
import sys

import torch
from interleaved import peak_memory, serve
from torch import nn
from torch.nn import functional as F  # noqa: N812, PyTorch's convention

LEARNING_RATE = 1e-4
LOCATIONS, CHANNELS, GLOBAL = 64, 128, 64  # of basic32x32's local map and global feature


def convolution(inputs: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, filters, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
    )


class Encoder(nn.Module):
    """Images [N, 3, 32, 32] -> local rows [N·64, 128] and globals [N, 64]."""

    def __init__(self):
        super().__init__()
        self.local = nn.Sequential(convolution(3, 64), convolution(64, CHANNELS))
        self.top = nn.Sequential(
            convolution(CHANNELS, 256),
            nn.Flatten(),
            nn.Linear(4 * 4 * 256, 1024, bias=False),
            nn.BatchNorm1d(1024),
            nn.ReLU(),
            nn.Linear(1024, GLOBAL),
        )

    def forward(self, images):
        local_map = self.local(images)  # [N, 128, 8, 8]
        return local_map.permute(0, 2, 3, 1).reshape(-1, CHANNELS), self.top(local_map)


class Projection(nn.Module):
    """[dense without bias, batch norm, ReLU, dense] + a linear shortcut; layer norm."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.hidden = nn.Linear(inputs, units, bias=False)
        self.norm = nn.BatchNorm1d(units)
        self.out = nn.Linear(units, units)
        self.shortcut = nn.Linear(inputs, units, bias=False)
        with torch.no_grad():
            self.shortcut.weight.uniform_(-0.01, 0.01)
            self.shortcut.weight.fill_diagonal_(1.0)
        self.layer_norm = nn.LayerNorm(units)

    def forward(self, rows):
        hidden = F.relu(self.norm(self.hidden(rows)))
        return self.layer_norm(self.out(hidden) + self.shortcut(rows))


class DeepInfoMax(nn.Module):
    """The loss of a batch: minus the estimate of local mutual information.

    Args:
        estimator: "jsd" or "infonce".
        units: U.
    """

    def __init__(self, estimator: str, units: int):
        super().__init__()
        self.estimate = {"jsd": jensen_shannon, "infonce": info_nce}[estimator]
        self.encoder = Encoder()
        self.project_local = Projection(CHANNELS, units)
        self.project_global = Projection(GLOBAL, units)

    def forward(self, images):
        local, y = self.encoder(images)
        local_codes = self.project_local(local).float()  # [N·L, U]
        global_codes = self.project_global(y).float()  # [N, U]
        with torch.autocast("cpu", enabled=False):
            scores = global_codes @ local_codes.T
            return -self.estimate(scores.view(len(images), len(images), LOCATIONS))


def joint_and_product(scores):
    """Scores [N, N, L] -> joint [N, L], of a global with its own image, and product, the others."""
    n = len(scores)
    joint = scores.diagonal().T
    product = scores.reshape(n * n, -1)[1:].reshape(n - 1, n + 1, -1)[:, :-1].reshape(n, n - 1, -1)
    return joint, product


def jensen_shannon(scores):
    joint, product = joint_and_product(scores)
    return -F.softplus(-joint).mean() - F.softplus(product).mean()


def info_nce(scores):
    joint, product = joint_and_product(scores)
    negatives = product.flatten(1).logsumexp(1, keepdim=True)  # [N, 1], shared by all locations
    count = 1 + product[0].numel()
    return (joint - torch.logaddexp(joint, negatives)).mean() + torch.tensor(float(count)).log()


def make_step(estimator: str, units: int, precision: str, batch: int):
    """A function that takes a step on the same images and returns the loss."""
    torch.manual_seed(0)
    model = DeepInfoMax(estimator, units).to(memory_format=torch.channels_last)
    images = (2 * torch.rand(batch, 3, 32, 32) - 1).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, betas=(0.5, 0.999), fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model(images)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def make_product(rows: int, inputs: int, outputs: int, precision: str):
    """A function that multiplies [rows, inputs] by [inputs, outputs]."""
    dtype = getattr(torch, precision)
    a, b = torch.randn(rows, inputs, dtype=dtype), torch.randn(inputs, outputs, dtype=dtype)
    return lambda: (a @ b)[0, 0].item()


def main() -> None:
    settings = json.loads(sys.argv[1])
    shape = settings.pop("product_shape")
    step = make_step(**settings)
    for _ in range(3):
        step()
    facts = {"memory": peak_memory(), "version": torch.__version__}
    serve(facts, {"step": step, "product": make_product(*shape, settings["precision"])})


if __name__ == "__main__":
    main()
