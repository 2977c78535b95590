#!/usr/bin/env python3
"""Times the training steps of `viewfold bench train` in plain PyTorch: one JSON object.

    /usr/bin/python3 bench/pytorch/train.py IMAGES --setting default --method simclr --encoder resnet18 --width 16
    /usr/bin/python3 bench/pytorch/train.py FOLDER --setting best --encoder resnet50 --width 64 --size 224 --batch 32

IMAGES is an archive of JPEG files below train/, or a folder. Those of 64 px and less are decoded into memory before;
larger ones are read into memory as files and decoded for every sample.

"default" is what the tutorials do: float32, torchvision's transforms of Pillow images in two worker processes, the
threads that PyTorch takes by itself. "best" is the fastest that we have found; docs/performance.md lists what was tried.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import sys
import time

# Read when the process starts, so it starts itself again with them.
BEST_ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1", "GOMP_SPINCOUNT": "20000"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--setting", choices=("default", "best"), default="default")
    parser.add_argument("--method", choices=("simclr", "simsiam", "moco_v2"), default="simclr")
    parser.add_argument("--encoder", choices=("resnet18", "resnet50"), default="resnet18")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--milliseconds", type=int, default=3000)
    best = parser.add_argument_group("parts of the setting, to see what each gives")
    best.add_argument("--precision", choices=("fp32", "bf16"))
    best.add_argument("--layout", choices=("contiguous", "channels_last"))
    best.add_argument("--views", choices=("images", "batches"), help="batches: small images only, in the main process")
    best.add_argument("--workers", type=int, help="0: views are made between the steps")
    best.add_argument("--threads", type=int, help="0: PyTorch's own choice")
    best.add_argument("--foreach", type=int, choices=(0, 1), help="whether the optimiser works on lists of tensors")
    best.add_argument("--environment", type=int, choices=(0, 1), help="whether the variables of best are set")
    options = parser.parse_args()
    for name, value in settings(options).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def settings(options):
    if options.setting == "default":
        return {"precision": "fp32", "layout": "contiguous", "views": "images", "workers": 2, "threads": 0,
                "foreach": 0, "environment": 0}
    small = options.size <= 64
    return {"precision": "bf16", "layout": "channels_last", "views": "batches" if small else "images",
            "workers": 0 if small else 2, "threads": os.cpu_count(), "foreach": 1, "environment": 1}


OPTIONS = parse()
if OPTIONS.environment and any(name not in os.environ for name in BEST_ENVIRONMENT):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**BEST_ENVIRONMENT, **os.environ})

import torch  # noqa: E402: after the environment
import torchvision  # noqa: E402

from methods import METHODS, TRAINING, make_optimizer  # noqa: E402
from views import Endless, Recipe, Views, WholeBatches, image_transforms, load_pixels, read_files  # noqa: E402


def make_batches(options, recipe):
    images = load_pixels(options.images) if recipe.small else read_files(options.images)
    if options.views == "batches":
        kind = torch.bfloat16 if options.precision == "bf16" else torch.float32
        return WholeBatches(images, recipe, options.batch, kind), len(images)
    dataset = Views(images, image_transforms(recipe))
    loader = torch.utils.data.DataLoader(dataset, options.batch, sampler=Endless(len(images)),
                                         num_workers=options.workers, drop_last=True)
    return iter(loader), len(images)


class Training:
    def __init__(self, options, recipe):
        self.options = options
        self.layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
        stem = "cifar" if recipe.small else "imagenet"
        model = METHODS[options.method]((options.encoder, options.width, stem), recipe.small)
        self.model = model.to(memory_format=self.layout).train()
        training = TRAINING[options.method][recipe.small]
        self.optimizer = make_optimizer(training, model, options.batch, bool(options.foreach))
        # Rates do not change what a step costs; the schedule is there because everyone has one.
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 10000)
        self.batches, self.images = make_batches(options, recipe)
        self.waited = 0.0

    def step(self):
        start = time.perf_counter()
        views = next(self.batches)
        self.waited += time.perf_counter() - start
        views = [view.contiguous(memory_format=self.layout) for view in views]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.precision == "bf16"):
            loss = self.model.loss(*views)
        self.optimizer.zero_grad(set_to_none=self.options.setting == "best")
        loss.backward()
        self.optimizer.step()
        self.model.update()
        self.schedule.step()
        if not loss.isfinite():
            raise SystemExit("the loss is not finite")

    def run(self, seconds):
        """Steps for at least `seconds`: their number, the time they took, and what of it was waiting."""
        self.waited, steps, start = 0.0, 0, time.perf_counter()
        while steps == 0 or time.perf_counter() - start < seconds:
            self.step()
            steps += 1
        return steps, time.perf_counter() - start, self.waited


def workers_private_mb():
    """What the worker processes have for themselves."""
    total = 0
    for child in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for line in pathlib.Path(f"/proc/{child}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def main():
    options = OPTIONS
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    recipe = Recipe(options.method, options.size)
    training = Training(options, recipe)
    training.step()
    training.run(options.milliseconds / 1000)
    rates, waited, passed, taken, workers = [], 0.0, 0.0, 0, 0.0
    for _ in range(options.rounds):
        steps, seconds, wait = training.run(options.milliseconds / 1000)
        rates.append(steps * options.batch * 2 / seconds)
        waited, passed, taken = waited + wait, passed + seconds, taken + steps
        workers = max(workers, workers_private_mb())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({
        "benchmark": "train", "by": f"pytorch {options.setting}", "views_per_second": statistics.median(rates),
        "data_wait": waited / passed, "peak_rss_mb": peak + workers, "method": options.method,
        "encoder": options.encoder, "width": options.width, "size": options.size, "batch": options.batch,
        "precision": options.precision, "threads": torch.get_num_threads(), "loader_threads": options.workers,
        "images": training.images, "images_in": "memory" if recipe.small else "files", "views_per_sample": 2,
        "rounds": options.rounds, "milliseconds": options.milliseconds, "steps": taken, "rates": rates,
        "settings": {name: getattr(options, name) for name in settings(options)},
        "versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}",
    }))


if __name__ == "__main__":
    main()
