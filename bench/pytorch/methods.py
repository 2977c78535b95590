"""The networks, losses and optimisers of `viewfold pretrain`, in plain PyTorch."""
import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

DEPTHS = {"resnet18": (BasicBlock, [2, 2, 2, 2]), "resnet50": (Bottleneck, [3, 4, 6, 3])}


# Kernel and stride of the first layer.
STEMS = {"cifar": (3, 1), "half": (3, 2), "imagenet": (7, 2)}


class Encoder(nn.Module):
    """torchvision's ResNet in any width, without a classifier; only the stem "imagenet" is pooled."""

    def __init__(self, name, width, stem, norm=nn.BatchNorm2d):
        super().__init__()
        block, counts = DEPTHS[name]
        kernel, stride = STEMS[stem]
        self.conv1 = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = norm(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        stages, channels = [], width
        for i, count in enumerate(counts):
            blocks = []
            for j in range(count):
                planes, stride = width << i, 2 if i > 0 and j == 0 else 1
                out = planes * block.expansion
                shortcut = None
                if stride != 1 or channels != out:
                    shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), norm(out))
                blocks.append(block(channels, planes, stride, shortcut, norm_layer=norm))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.stages(x).mean((2, 3))


class SplitBatchNorm(nn.BatchNorm2d):
    """Batch norm over each of 8 parts of the batch, as in the CIFAR notebook of MoCo's authors."""

    def forward(self, x):
        n, c, h, w = x.shape
        if not x.is_contiguous():  # channels-last: parts of a batch are no channels of a smaller one
            parts = [super(SplitBatchNorm, self).forward(part) for part in x.chunk(8)]
            return torch.cat(parts)
        mean, var = self.running_mean.repeat(8), self.running_var.repeat(8)
        out = F.batch_norm(x.view(-1, c * 8, h, w), mean, var, self.weight.repeat(8), self.bias.repeat(8),
                           True, self.momentum, self.eps)
        self.running_mean.data.copy_(mean.view(8, c).mean(0))
        self.running_var.data.copy_(var.view(8, c).mean(0))
        return out.view(n, c, h, w)


def mlp(inputs, *widths, bias=True):
    """Linear layers with batch norm and ReLU between them; `bias` is the last layer's."""
    layers = []
    for width in widths[:-1]:
        layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(True)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, widths[-1], bias=bias))


class Method(nn.Module):
    """What trains an encoder, `self.encoder`; loss() takes all views of a batch, one after the other."""

    fixed_rate = ()  # parts whose learning rate stays at its peak

    def begin_epoch(self, epoch):
        """Before the first step of an epoch, counted from 0."""

    def update(self, progress=0.0):
        """After the optimiser's step; `progress` is the share of all steps done before this one."""


class SimCLR(Method):
    def __init__(self, encoder, small):
        super().__init__()
        self.encoder = Encoder(*encoder)
        features = self.encoder.features
        self.projector = nn.Sequential(nn.Linear(features, features), nn.ReLU(True), nn.Linear(features, 128))
        self.temperature = 0.5 if small else 0.1

    def loss(self, view0, view1):
        """NT-Xent, in float32."""
        z = self.projector(self.encoder(torch.cat([view0, view1]))).float()
        with torch.autocast("cpu", enabled=False):
            z = F.normalize(z)
            logits = z @ z.t() / self.temperature
            logits.fill_diagonal_(-math.inf)
            partner = torch.arange(len(z)).roll(len(z) // 2)
            return F.cross_entropy(logits, partner)


class SimSiam(Method):
    fixed_rate = ("predictor",)

    def __init__(self, encoder, small):
        super().__init__()
        self.encoder = Encoder(*encoder)
        layers, inputs = [], self.encoder.features
        for _ in range(1 if small else 2):
            layers += [nn.Linear(inputs, 2048, bias=False), nn.BatchNorm1d(2048), nn.ReLU(True)]
            inputs = 2048
        layers += [nn.Linear(2048, 2048, bias=False), nn.BatchNorm1d(2048, affine=False)]
        self.projector = nn.Sequential(*layers)
        self.predictor = nn.Sequential(nn.Linear(2048, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(True),
                                       nn.Linear(512, 2048))

    def loss(self, view0, view1):
        z0, z1 = self.projector(self.encoder(view0)), self.projector(self.encoder(view1))
        p0, p1 = self.predictor(z0), self.predictor(z1)
        with torch.autocast("cpu", enabled=False):
            similarity = [F.cosine_similarity(p.float(), z.detach().float()).mean() for p, z in ((p0, z1), (p1, z0))]
            return -sum(similarity) / 2


class MoCoV2(Method):
    """Symmetric for small images, as in the authors' CIFAR notebook."""

    def __init__(self, encoder, small):
        super().__init__()
        self.small = small
        self.momentum, self.temperature, length = (0.99, 0.1, 4096) if small else (0.999, 0.2, 65536)
        self.query = self.make_network(Encoder(*encoder))
        self.key = self.make_network(Encoder(*encoder, SplitBatchNorm))
        for source, target in zip(self.query.parameters(), self.key.parameters()):
            target.data.copy_(source.data)
            target.requires_grad = False
        self.register_buffer("queue", F.normalize(torch.randn(length, 128)))
        self.pointer = 0

    @property
    def encoder(self):
        return self.query[0]

    @staticmethod
    def make_network(encoder):
        return nn.Sequential(encoder, nn.Linear(encoder.features, encoder.features), nn.ReLU(True),
                             nn.Linear(encoder.features, 128))

    @torch.no_grad()
    def keys(self, view):
        order = torch.randperm(len(view))
        k = self.key(view[order].contiguous(memory_format=torch.channels_last))
        return F.normalize(k.float())[order.argsort()]

    def one_side(self, query, key):
        q, k = F.normalize(self.query(query).float()), self.keys(key)
        with torch.autocast("cpu", enabled=False):
            logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.t()], 1) / self.temperature
            return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long)), k

    def loss(self, view0, view1):
        with torch.no_grad():
            targets, sources = list(self.key.parameters()), list(self.query.parameters())
            torch._foreach_mul_(targets, self.momentum)
            torch._foreach_add_(targets, sources, alpha=1 - self.momentum)
        loss, keys = self.one_side(view0, view1)
        if self.small:
            second, more = self.one_side(view1, view0)
            loss, keys = loss + second, torch.cat([keys, more])
        self.fresh = keys
        return loss

    @torch.no_grad()
    def update(self, progress=0.0):
        self.queue[self.pointer : self.pointer + len(self.fresh)] = self.fresh
        self.pointer = (self.pointer + len(self.fresh)) % len(self.queue)


def byol_regression(prediction, target):
    """Squared distance of unit rows (BYOL, Eq. 2)."""
    return 2 - 2 * F.cosine_similarity(prediction.float(), target.detach().float()).mean()


class BYOL(Method):
    def __init__(self, encoder, small):
        super().__init__()
        hidden, self.momentum = (1024, 0.99) if small else (4096, 0.996)
        self.encoder = Encoder(*encoder)
        self.projector = mlp(self.encoder.features, hidden, 256, bias=False)
        self.predictor = mlp(256, hidden, 256, bias=False)
        self.target = copy.deepcopy(nn.Sequential(self.encoder, self.projector)).requires_grad_(False)

    def loss(self, view0, view1):
        p0, p1 = (self.predictor(self.projector(self.encoder(view))) for view in (view0, view1))
        with torch.no_grad():
            z0, z1 = self.target(view0), self.target(view1)
        with torch.autocast("cpu", enabled=False):
            return byol_regression(p0, z1) + byol_regression(p1, z0)

    @torch.no_grad()
    def update(self, progress=0.0):
        tau = 1 - (1 - self.momentum) * (math.cos(math.pi * progress) + 1) / 2
        targets = list(self.target.parameters())
        torch._foreach_mul_(targets, tau)
        torch._foreach_add_(targets, [*self.encoder.parameters(), *self.projector.parameters()], alpha=1 - tau)


@torch.no_grad()
def sinkhorn(scores, epsilon=0.05, iterations=3):
    """Assignments [B, K] that use all prototypes alike: columns, then rows are divided by their sums, as logarithms."""
    log_q = scores / epsilon
    for _ in range(iterations):
        log_q = log_q - log_q.logsumexp(0, keepdim=True)
        log_q = log_q - log_q.logsumexp(1, keepdim=True)
    return log_q.exp()


class SwAV(Method):
    """For small images without the queue, as Un-Mix's CIFAR preset; views: two large ones, then the small ones."""

    def __init__(self, encoder, small):
        super().__init__()
        if not small:
            raise SystemExit("SwAV of large images needs its queue, which is not here: take views of 64 px or less")
        self.encoder = Encoder(*encoder)
        self.projector = mlp(self.encoder.features, 512, 128)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(100, 128)))
        self.frozen = True

    def begin_epoch(self, epoch):
        self.frozen = epoch < 1

    def loss(self, *views):
        with torch.no_grad():
            self.prototypes.copy_(F.normalize(self.prototypes))
        # Without a gradient the optimiser leaves them alone.
        prototypes = self.prototypes.detach() if self.frozen else self.prototypes
        z = [F.normalize(self.projector(self.encoder(view)).float()) for view in views]
        with torch.autocast("cpu", enabled=False):
            scores = [rows @ prototypes.t() for rows in z]
            targets = [sinkhorn(rows.detach()) for rows in scores[:2]]
            losses = [F.cross_entropy(rows / 0.1, target) for t, target in enumerate(targets)
                      for v, rows in enumerate(scores) if v != t]
            return sum(losses) / len(losses)


def vicreg(z0, z1):
    """The authors' loss: 25 invariance + 25 variance + covariance."""
    loss = 25 * F.mse_loss(z0, z1)
    for z in (z0, z1):
        z = z - z.mean(0)
        n, d = z.shape
        loss = loss + 25 / 2 * F.relu(1 - torch.sqrt(z.square().sum(0) / (n - 1) + 1e-4)).mean()
        covariance = z.t() @ z / (n - 1)
        loss = loss + (covariance.square().sum() - covariance.diagonal().square().sum()) / d
    return loss


class VICReg(Method):
    def __init__(self, encoder, small):
        super().__init__()
        width = 2048 if small else 8192
        self.encoder = Encoder(*encoder)
        self.expander = mlp(self.encoder.features, width, width, width, bias=False)

    def loss(self, view0, view1):
        z0, z1 = (self.expander(self.encoder(view)).float() for view in (view0, view1))
        with torch.autocast("cpu", enabled=False):
            return vicreg(z0, z1)


class LARS(torch.optim.Optimizer):
    """SimCLR's: the rate enters the momentum; without `decay_all`, vectors have neither decay nor adaptation."""

    def __init__(self, params, lr, weight_decay, decay_all=False, trust=0.001, foreach=False):
        super().__init__(params, {"lr": lr})
        self.weight_decay, self.decay_all, self.trust, self.foreach = weight_decay, decay_all, trust, foreach
        self.momentum = 0.9

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                if "v" not in self.state[p]:
                    self.state[p]["v"] = torch.zeros_like(p)
            adapted = [p for p in params if self.decay_all or p.dim() > 1]
            plain = [p for p in params if not self.decay_all and p.dim() <= 1]
            (self.step_lists if self.foreach else self.step_each)(adapted, plain, group["lr"])

    def step_each(self, adapted, plain, lr):
        for p in adapted:
            grad = p.grad + self.weight_decay * p
            weight_norm, grad_norm = p.norm(), grad.norm()
            trust = self.trust * weight_norm / grad_norm if weight_norm > 0 and grad_norm > 0 else 1.0
            v = self.state[p]["v"].mul_(self.momentum).add_(grad * (lr * trust))
            p.sub_(v)
        for p in plain:
            p.sub_(self.state[p]["v"].mul_(self.momentum).add_(p.grad, alpha=lr))

    def step_lists(self, adapted, plain, lr):
        grads = torch._foreach_add([p.grad for p in adapted], adapted, alpha=self.weight_decay)
        norms = torch.stack([torch.stack(torch._foreach_norm(adapted)), torch.stack(torch._foreach_norm(grads))])
        weight_norms, grad_norms = norms
        trust = torch.where((norms > 0).all(0), self.trust * weight_norms / grad_norms, torch.ones(len(adapted)))
        torch._foreach_mul_(grads, (lr * trust).tolist())
        for params, update, alpha in ((adapted, grads, 1.0), (plain, [p.grad for p in plain], lr)):
            if not params:
                continue
            velocity = [self.state[p]["v"] for p in params]
            torch._foreach_mul_(velocity, self.momentum)
            torch._foreach_add_(velocity, update, alpha=alpha)
            torch._foreach_sub_(params, velocity)


METHODS = {"simclr": SimCLR, "simsiam": SimSiam, "moco_v2": MoCoV2, "byol": BYOL, "swav": SwAV, "vicreg": VICReg}


class Training(NamedTuple):
    """What each method sets of viewfold's [train]."""

    optimizer: str
    base_lr: float
    weight_decay: float
    decay_norm_and_bias: bool = True
    warmup_epochs: float = 0
    lars_trust: float = 0.001


# Large and small images.
TRAINING = {
    "simclr": (Training("lars", 0.3, 1e-6, False, 10), Training("lars", 1.0, 1e-4, False, 10)),
    "simsiam": (Training("sgd", 0.05, 1e-4), Training("sgd", 0.24, 5e-4)),
    "moco_v2": (Training("sgd", 0.03, 1e-4), Training("sgd", 0.03, 5e-4)),
    "byol": (Training("lars", 0.2, 1.5e-6, False, 10), Training("sgd", 0.12, 5e-4)),
    "swav": (Training("lars", 0.6, 1e-6, True, 10), Training("lars", 0.6, 1e-6, True, 5)),
    "vicreg": (Training("lars", 0.2, 1e-6, False, 10), Training("lars", 0.3, 1e-4, False, 10, 0.02)),
}


def make_optimizer(training, model, batch, foreach):
    """Groups of parameters: those that follow the schedule, and those whose rate stays (which may be none)."""
    fixed = [p for part in model.fixed_rate for p in getattr(model, part).parameters()]
    others = [p for p in model.parameters() if p.requires_grad and all(p is not q for q in fixed)]
    groups = [{"params": others}] + ([{"params": fixed}] if fixed else [])
    lr, decay = training.base_lr * batch / 256, training.weight_decay
    if training.optimizer == "lars":
        return LARS(groups, lr, decay, training.decay_norm_and_bias, training.lars_trust, foreach)
    if not training.decay_norm_and_bias:
        raise SystemExit("sgd without decay of vectors is not here: no method asks for it")
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, weight_decay=decay, foreach=foreach)
