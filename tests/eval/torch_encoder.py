"""Loads an encoder that viewfold wrote as any PyTorch program would, and compares its features.

Usage: torch_encoder.py FOLDER with card.json, encoder.safetensors, encoder.pt and expected.safetensors
(images [N, C, H, W] in [0, 1] and the features [N, D] that viewfold computed). Exits with 0 when all agree
within 1e-4, with 77 when PyTorch or torchvision is not installed.
"""

import json
import pathlib
import struct
import sys

try:
    import torch
    import torchvision
    from torch.nn import functional
except ImportError as error:
    print(f"cannot compare: {error}")
    sys.exit(77)

TOLERANCE = 1e-4
TYPES = {"F32": torch.float32, "I64": torch.int64}


def read_safetensors(path):
    """The format in ten lines: length, JSON header, data."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = bytearray(data[8 + size + begin : 8 + size + end])
        tensors[name] = torch.frombuffer(raw, dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class Patches(torch.nn.Module):
    """That of docs/pytorch.md."""

    def __init__(self, architecture, weights):
        super().__init__()
        self.step = {"cifar": 1, "half": 2, "imagenet": 4}[architecture["stem"]]
        for name in ["mean", "whitening", "dictionary", "cell_mean", "projection"]:
            self.register_buffer(name, torch.zeros_like(weights[name]))
        self.embedding = torch.nn.Parameter(torch.zeros_like(weights["embedding"]))

    def forward(self, x):
        height, width = ((side - 6) // self.step + 1 for side in x.shape[2:])
        patches = functional.unfold(x, 6, stride=self.step).transpose(1, 2)
        patches = patches - patches.mean(2, keepdim=True)
        patches = patches / (patches.square().mean(2, keepdim=True) + 1e-5).sqrt()
        patches = functional.normalize((patches - self.mean) @ self.whitening, dim=2)
        patches = patches.bfloat16().float()
        codes = (patches @ self.dictionary.T > 0.4).float()
        places = functional.normalize(codes @ self.embedding, dim=2).transpose(1, 2)
        cells = functional.adaptive_avg_pool2d(places.reshape(len(x), -1, height, width), 4)
        cells = functional.normalize(cells.sign() * (cells.abs() + 1e-12).sqrt(), dim=1).flatten(1)
        return (cells - self.cell_mean) @ self.projection


def make_torchvision(architecture):
    """torchvision's network; other widths by changing the width of its first stage."""
    width = architecture["width"]
    block, layers = {
        "resnet10": (torchvision.models.resnet.BasicBlock, [1, 1, 1, 1]),
        "resnet18": (torchvision.models.resnet.BasicBlock, [2, 2, 2, 2]),
        "resnet50": (torchvision.models.resnet.Bottleneck, [3, 4, 6, 3]),
    }[architecture["name"]]
    model = torchvision.models.ResNet(block, layers)
    if width != 64:
        model.inplanes = width
        for stage in range(4):
            layer = model._make_layer(block, width << stage, layers[stage], stride=1 if stage == 0 else 2)
            setattr(model, f"layer{stage + 1}", layer)
        model.bn1 = torch.nn.BatchNorm2d(width)
    kernel, stride = {"cifar": (3, 1), "half": (3, 2), "imagenet": (7, 2)}[architecture["stem"]]
    model.conv1 = torch.nn.Conv2d(
        architecture["in_channels"], width, kernel, stride=stride, padding=kernel // 2, bias=False
    )
    if kernel == 3:
        model.maxpool = torch.nn.Identity()
    model.fc = torch.nn.Identity()
    return model.eval()


def main(folder):
    card = json.loads((folder / "card.json").read_text())
    expected = read_safetensors(folder / "expected.safetensors")
    mean = torch.tensor(card["input"]["mean"]).view(1, -1, 1, 1)
    std = torch.tensor(card["input"]["std"]).view(1, -1, 1, 1)
    images = (expected["images"] - mean) / std
    weights = read_safetensors(folder / card["weights"]["file"])
    architecture = card["architecture"]
    is_patches = architecture["name"] == "patches"
    model = Patches(architecture, weights).eval() if is_patches else make_torchvision(architecture)
    model.load_state_dict(weights, strict=True)
    script = torch.jit.load(str(folder / "encoder.pt"))
    assert set(dict(script.named_parameters())) == set(dict(model.named_parameters()))
    worst = 0.0
    with torch.no_grad():
        for name, network in (("PyTorch", model), ("TorchScript", script.eval())):
            features = network(images)
            assert features.shape == expected["features"].shape, features.shape
            difference = (features - expected["features"]).abs().max().item()
            print(f"{name}: {len(images)} images, {features.shape[1]} features, largest difference {difference:.1e}")
            worst = max(worst, difference)
    return 0 if worst < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
