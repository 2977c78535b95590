#!/usr/bin/env python3
"""Trains one method on CIFAR-10 in plain PyTorch, as `viewfold pretrain` would, and measures kNN: one JSON object.

    /usr/bin/python3 bench/pytorch/accuracy.py cifar10-jpeg.tar moco_v2 --seed 1 --warmup_epochs 0.5

is, with other random numbers,

    viewfold pretrain cifar10-jpeg.tar --method moco_v2 --seed 1 --data.limit 10000 --encoder.width 16 \\
        --encoder.stem half --train.epochs 10 --train.warmup_epochs 0.5 --out RUN
    viewfold evaluate RUN --on knn --controls off

IMAGES is an archive of JPEG files, train/CLASS/NAME.jpg and test/CLASS/NAME.jpg. As there, `limit` images are drawn at
random, a share of them is held out (and not used here), an epoch leaves out its last, incomplete batch, and what is
not given is the method's own (methods.py). float32, views of Pillow images in worker processes.
"""
import argparse
import io
import json
import math
import os
import pathlib
import sys
import tarfile
import time

# Threads of PyTorch that wait leave the cores to the processes that make views.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import numpy as np  # noqa: E402: after the environment
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import torchvision  # noqa: E402
from PIL import Image  # noqa: E402

from methods import METHODS, TRAINING, make_optimizer  # noqa: E402
from views import Recipe, Views, image_transforms  # noqa: E402

SIZE = 32
CLASSES = 10


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("method", choices=sorted(METHODS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=10000, help="images that are drawn; 0: all")
    parser.add_argument("--hold_out", type=float, default=0.05, help="share of them that is left out")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--stem", choices=("cifar", "half"), default="half")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    train = parser.add_argument_group("instead of the method's own")
    train.add_argument("--optimizer", choices=("sgd", "lars"))
    train.add_argument("--base_lr", type=float, help="for 256 images")
    train.add_argument("--weight_decay", type=float)
    train.add_argument("--decay_norm_and_bias", type=int, choices=(0, 1))
    train.add_argument("--warmup_epochs", type=float, help="by itself at most a tenth of the epochs")
    options = parser.parse_args()
    if options.epochs < 1 or options.batch_size < 2 or options.limit < 0 or not 0 <= options.hold_out < 1:
        parser.error("--epochs from 1, --batch_size from 2, --limit from 0 and --hold_out from 0 to below 1")
    return options


def training_of(options):
    own = TRAINING[options.method][True]
    own = own._replace(warmup_epochs=min(own.warmup_epochs, 0.1 * options.epochs))
    given = {name: getattr(options, name) for name in own._fields if getattr(options, name, None) is not None}
    return own._replace(**given)


def read_images(path):
    """Pixels [N, 32, 32, 3] uint8 and labels [N] of both splits, in the order of their names."""
    files = {"train": [], "test": []}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                parts = member.name.split("/")
                if member.isfile() and len(parts) == 3 and parts[0] in files:
                    files[parts[0]].append((parts[1], parts[2], archive.extractfile(member).read()))
    except (OSError, tarfile.TarError) as error:
        raise SystemExit(f"{path}: cannot be read as an archive ({error})")
    names = sorted({entry[0] for entry in files["train"]})
    if len(names) != CLASSES or names != sorted({entry[0] for entry in files["test"]}):
        raise SystemExit(f"{path}: has not the same {CLASSES} classes below train/ and test/")
    return {split: decode(path, sorted(entries), names) for split, entries in files.items()}


def decode(path, entries, names):
    pixels = np.empty((len(entries), SIZE, SIZE, 3), np.uint8)
    labels = torch.empty(len(entries), dtype=torch.long)
    for i, (name, file, data) in enumerate(entries):
        image = Image.open(io.BytesIO(data)).convert("RGB")
        if image.size != (SIZE, SIZE):
            raise SystemExit(f"{path}: {name}/{file} is no image of {SIZE} x {SIZE} pixels")
        pixels[i] = np.asarray(image)
        labels[i] = names.index(name)
    return pixels, labels


def choose(count, options):
    """The images that are learned from: a random `limit`, less those held out."""
    chosen = torch.randperm(count)[: options.limit or count]
    chosen = chosen[math.floor(options.hold_out * len(chosen) + 0.5):]
    if len(chosen) < options.batch_size:
        raise SystemExit(f"{len(chosen)} images to learn from do not fill a batch of {options.batch_size}")
    return chosen.sort().values.numpy()


def share_of_rate(step, total, warmup):
    """Linear warm-up, then half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def train(model, loader, training, options):
    optimizer = make_optimizer(training, model, options.batch_size, foreach=True)
    peak = training.base_lr * options.batch_size / 256
    total, step = options.epochs * len(loader), 0
    warmup = math.floor(training.warmup_epochs * len(loader) + 0.5)
    for epoch in range(options.epochs):
        start, losses = time.perf_counter(), 0.0
        model.begin_epoch(epoch)
        for views in loader:
            optimizer.param_groups[0]["lr"] = peak * share_of_rate(step, total, warmup)
            loss = model.loss(*(view.contiguous(memory_format=torch.channels_last) for view in views))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            model.update(step / total)
            if not loss.isfinite():
                raise SystemExit(f"the loss is not finite at step {step + 1}")
            step, losses = step + 1, losses + loss.item()
        print(f"epoch {epoch + 1} of {options.epochs}: loss {losses / len(loader):.4f}, "
              f"{time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)


@torch.no_grad()
def features_of(encoder, pixels, mean, std):
    encoder.eval()
    parts = []
    for batch in torch.from_numpy(pixels).split(500):
        x = (batch.permute(0, 3, 1, 2).float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        parts.append(encoder(x.contiguous(memory_format=torch.channels_last)))
    return torch.cat(parts)


def knn_predictions(bank, labels, queries, k=200, temperature=0.1):
    """The vote of `viewfold evaluate --on knn`: cosine, weights exp(cos / T) in float64; best class [Q]."""
    bank, k, predicted = F.normalize(bank), min(k, len(bank)), []
    classes = int(labels.max()) + 1
    for part in F.normalize(queries).split(1000):
        cosine, index = (part @ bank.t()).topk(k)
        weight = ((cosine.double() - cosine[:, :1].double()) / temperature).exp()
        scores = torch.zeros(len(part), classes, dtype=torch.double).scatter_add_(1, labels[index], weight)
        predicted.append(scores.argmax(1))
    return torch.cat(predicted)


def main():
    options = parse()
    training = training_of(options)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    images = read_images(options.images)
    pixels = images["train"][0][choose(len(images["train"][0]), options)]
    values = pixels.reshape(-1, 3) / 255
    mean, std = (torch.tensor(v, dtype=torch.float) for v in (values.mean(0), values.std(0)))
    recipe = Recipe(options.method, SIZE)
    loader = torch.utils.data.DataLoader(
        Views(pixels, image_transforms(recipe, mean.tolist(), std.tolist())), options.batch_size, shuffle=True,
        drop_last=True, num_workers=options.workers, persistent_workers=options.workers > 0)
    model = METHODS[options.method](("resnet18", options.width, options.stem), recipe.small)
    model = model.to(memory_format=torch.channels_last).train()
    start = time.perf_counter()
    train(model, loader, training, options)
    seconds = time.perf_counter() - start
    bank, queries = (features_of(model.encoder, images[split][0], mean, std) for split in ("train", "test"))
    predicted = knn_predictions(bank, images["train"][1], queries)
    accuracy = (predicted == images["test"][1]).double().mean().item()
    print(json.dumps({
        "method": options.method, "seed": options.seed, "knn": round(accuracy, 4), "seconds": round(seconds, 1),
        "images": len(pixels), "steps": options.epochs * len(loader), "encoder": "resnet18", "width": options.width,
        "stem": options.stem, "batch_size": options.batch_size, "epochs": options.epochs, **training._asdict(),
        "versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}"}))


if __name__ == "__main__":
    main()
