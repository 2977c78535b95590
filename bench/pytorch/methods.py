"""The networks, losses and optimisers of `viewfold pretrain`, in plain PyTorch."""
import math

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

DEPTHS = {"resnet18": (BasicBlock, [2, 2, 2, 2]), "resnet50": (Bottleneck, [3, 4, 6, 3])}


class Encoder(nn.Module):
    """torchvision's ResNet in any width, without a classifier; with the 3x3 stem for small images."""

    def __init__(self, name, width, small, norm=nn.BatchNorm2d):
        super().__init__()
        block, counts = DEPTHS[name]
        self.conv1 = nn.Conv2d(3, width, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.bn1 = norm(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
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


class SimCLR(nn.Module):
    def __init__(self, name, width, small):
        super().__init__()
        self.encoder = Encoder(name, width, small)
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

    def update(self):
        pass


class SimSiam(nn.Module):
    def __init__(self, name, width, small):
        super().__init__()
        self.encoder = Encoder(name, width, small)
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

    def update(self):
        pass


class MoCoV2(nn.Module):
    """Symmetric for small images, as in the authors' CIFAR notebook."""

    def __init__(self, name, width, small):
        super().__init__()
        self.small = small
        self.momentum, self.temperature, length = (0.99, 0.1, 4096) if small else (0.999, 0.2, 65536)
        self.query = self.make_network(Encoder(name, width, small))
        self.key = self.make_network(Encoder(name, width, small, SplitBatchNorm))
        for source, target in zip(self.query.parameters(), self.key.parameters()):
            target.data.copy_(source.data)
            target.requires_grad = False
        self.register_buffer("queue", F.normalize(torch.randn(length, 128)))
        self.pointer = 0

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
    def update(self):
        self.queue[self.pointer : self.pointer + len(self.fresh)] = self.fresh
        self.pointer = (self.pointer + len(self.fresh)) % len(self.queue)


class LARS(torch.optim.Optimizer):
    """SimCLR's: the rate enters the momentum; vectors have neither decay nor adaptation."""

    def __init__(self, params, lr, weight_decay, momentum=0.9, trust=0.001, foreach=False):
        super().__init__(params, {"lr": lr})
        self.weight_decay, self.momentum, self.trust, self.foreach = weight_decay, momentum, trust, foreach

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                if "v" not in self.state[p]:
                    self.state[p]["v"] = torch.zeros_like(p)
            matrices = [p for p in params if p.dim() > 1]
            vectors = [p for p in params if p.dim() <= 1]
            (self.step_lists if self.foreach else self.step_each)(matrices, vectors, group["lr"])

    def step_each(self, matrices, vectors, lr):
        for p in matrices:
            grad = p.grad + self.weight_decay * p
            weight_norm, grad_norm = p.norm(), grad.norm()
            trust = self.trust * weight_norm / grad_norm if weight_norm > 0 and grad_norm > 0 else 1.0
            v = self.state[p]["v"].mul_(self.momentum).add_(grad * (lr * trust))
            p.sub_(v)
        for p in vectors:
            p.sub_(self.state[p]["v"].mul_(self.momentum).add_(p.grad, alpha=lr))

    def step_lists(self, matrices, vectors, lr):
        grads = torch._foreach_add([p.grad for p in matrices], matrices, alpha=self.weight_decay)
        norms = torch.stack([torch.stack(torch._foreach_norm(matrices)), torch.stack(torch._foreach_norm(grads))])
        weight_norms, grad_norms = norms
        trust = torch.where((norms > 0).all(0), self.trust * weight_norms / grad_norms, torch.ones(len(matrices)))
        torch._foreach_mul_(grads, (lr * trust).tolist())
        for params, update, alpha in ((matrices, grads, 1.0), (vectors, [p.grad for p in vectors], lr)):
            velocity = [self.state[p]["v"] for p in params]
            torch._foreach_mul_(velocity, self.momentum)
            torch._foreach_add_(velocity, update, alpha=alpha)
            torch._foreach_sub_(params, velocity)


METHODS = {"simclr": SimCLR, "simsiam": SimSiam, "moco_v2": MoCoV2}
# Large and small images.
SGD_SETTINGS = {"simsiam": ((0.05, 1e-4), (0.24, 5e-4)), "moco_v2": ((0.03, 1e-4), (0.03, 5e-4))}
LARS_SETTINGS = ((0.3, 1e-6), (1.0, 1e-4))


def make_optimizer(name, model, small, batch, foreach):
    params = [p for p in model.parameters() if p.requires_grad]
    lr, decay = LARS_SETTINGS[small] if name == "simclr" else SGD_SETTINGS[name][small]
    lr *= batch / 256
    if name == "simclr":
        return LARS(params, lr=lr, weight_decay=decay, foreach=foreach)
    return torch.optim.SGD(params, lr=lr, momentum=0.9, weight_decay=decay, foreach=foreach)
