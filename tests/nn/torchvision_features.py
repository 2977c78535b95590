"""Loads encoders written by the test into torchvision and compares their features.

Usage: torchvision_features.py FILE.safetensors ...; each is named after its network and holds the
network's state, an "input" and the "features" that viewfold computed. Exit code 77: no torchvision.
"""
import json
import pathlib
import struct
import sys

try:
    import torch
    import torchvision
except ImportError as error:
    print(error)
    sys.exit(77)

TYPES = {"F32": torch.float32, "I64": torch.int64}


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    body = bytearray(data[8 + size:])
    tensors = {}
    for name, item in header.items():
        begin, end = item["data_offsets"]
        values = torch.frombuffer(body[begin:end], dtype=TYPES[item["dtype"]])
        tensors[name] = values.view(item["shape"])
    return tensors


def compare(path):
    state = read_safetensors(path)
    images, features = state.pop("input"), state.pop("features")
    network = getattr(torchvision.models, path.stem)(weights=None)
    network.fc = torch.nn.Identity()
    network.load_state_dict(state, strict=True)  # names and shapes, none missing, none left
    network.eval()
    with torch.no_grad():
        difference = (network(images) - features).abs().max().item()
    scale = features.abs().max().item()
    print(f"{path.stem}: largest difference {difference:.2e} of features up to {scale:.2f}")
    return difference <= 1e-4 and scale > 0.1


torch.set_num_threads(1)
sys.exit(0 if all([compare(pathlib.Path(name)) for name in sys.argv[1:]]) else 1)
