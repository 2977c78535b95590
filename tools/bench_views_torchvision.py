#!/usr/bin/env python3
"""Times the same views as `viewfold bench views`, made by torchvision: one JSON object a line.

    /usr/bin/python3 tools/bench_views_torchvision.py FOLDER --backend pil,tensor,batch --recipe simclr --size 32
    /usr/bin/python3 tools/bench_views_torchvision.py FOLDER --backend pil --op gaussian_blur,hue --size 224

Back ends: "pil" works on Pillow images and makes tensors at the end; "tensor" on uint8 tensors, one image at a
time; "batch" on many images at once, which then all get the same parameters (torchvision has no others). More than
one thread means that many worker processes of a DataLoader. Pillow's images are blurred by Pillow, as MoCo does:
torchvision's blur would go through tensors and back.
"""
import argparse
import itertools
import json
import pathlib
import random
import statistics
import time

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms as T
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode

MEAN, STD = [0.5] * 3, [0.25] * 3
GRID = 4
NOISE = np.random.default_rng(1)
TAKE_SOURCES = ("center_crop", "random_resized_crop", "resize")


def crop(size, scale=(0.08, 1.0), interpolation=InterpolationMode.BILINEAR):
    return T.RandomResizedCrop(size, scale=scale, interpolation=interpolation, antialias=True)


def blur(size, backend):
    """10 % of the side as the kernel, made odd, at least 3; sigma is the radius of Pillow's blur."""
    if backend == "pil":
        return lambda image: image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
    return T.GaussianBlur(2 * max(1, size // 20) + 1, (0.1, 2.0))


def erase_pil(image):
    size = torch.empty(3, image.height, image.width)
    top, left, height, width, _ = T.RandomErasing.get_params(size, (0.02, 0.33), (0.3, 3.3), [0.0])
    out = image.copy()
    out.paste((0, 0, 0), (left, top, left + width, top + height))
    return out


def add_noise_pil(image):
    values = np.asarray(image, dtype=np.float32)
    noise = NOISE.standard_normal(values.shape, dtype=np.float32) * np.float32(255 * random.uniform(0.0, 0.05))
    return Image.fromarray(np.clip(values + noise + 0.5, 0, 255).astype(np.uint8))


def add_noise_tensor(image):
    noise = torch.randn(image.shape) * (255 * random.uniform(0.0, 0.05))
    return (image + noise + 0.5).clamp_(0, 255).to(torch.uint8)


def shuffle_pil(image):
    width, height = image.width // GRID, image.height // GRID
    out = image.copy()
    for to, at in enumerate(random.sample(range(GRID * GRID), GRID * GRID)):
        x, y = at % GRID * width, at // GRID * height
        out.paste(image.crop((x, y, x + width, y + height)), (to % GRID * width, to // GRID * height))
    return out


def shuffle_tensor(image):
    *lead, height, width = image.shape
    h, w = height // GRID, width // GRID
    tiles = image[..., : GRID * h, : GRID * w].reshape(*lead, GRID, h, GRID, w).transpose(-3, -2)
    tiles = tiles.reshape(*lead, GRID * GRID, h, w)[..., torch.randperm(GRID * GRID), :, :]
    out = image.clone()
    out[..., : GRID * h, : GRID * w] = (
        tiles.reshape(*lead, GRID, GRID, h, w).transpose(-3, -2).reshape(*lead, GRID * h, GRID * w))
    return out


def operations(size, backend):
    """viewfold's operations at its defaults, each certain to happen; and the four steps of color_jitter alone."""
    pil = backend == "pil"
    bilinear = InterpolationMode.BILINEAR
    return {
        "additive_noise": add_noise_pil if pil else add_noise_tensor,
        "affine": T.RandomAffine(15, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation=bilinear),
        "autocontrast": F.autocontrast,
        "brightness": T.ColorJitter(brightness=0.4),
        "center_crop": T.Compose([T.Resize(size, bilinear, antialias=True), T.CenterCrop(size)]),
        "color_jitter": T.ColorJitter(0.4, 0.4, 0.4, 0.1),
        "contrast": T.ColorJitter(contrast=0.4),
        "equalize": F.equalize,
        "gamma": lambda image: F.adjust_gamma(image, random.uniform(0.7, 1.5)),
        "gaussian_blur": blur(size, backend),
        "grayscale": T.Grayscale(3),
        "horizontal_flip": F.hflip,
        "hue": T.ColorJitter(hue=0.1),
        "invert": F.invert,
        "posterize": lambda image: F.posterize(image, random.randint(4, 8)),
        "rand_augment": T.RandAugment(),
        "random_erasing": erase_pil if pil else T.RandomErasing(p=1.0),
        "random_resized_crop": crop(size),
        "resize": T.Resize([size, size], bilinear, antialias=True),
        "rotation": T.RandomRotation(15, bilinear),
        "saturation": T.ColorJitter(saturation=0.4),
        "sharpness": lambda image: F.adjust_sharpness(image, random.uniform(0.1, 1.9)),
        "solarize": lambda image: F.solarize(image, 128),
        "tile_shuffle": shuffle_pil if pil else shuffle_tensor,
        "trivial_augment": T.TrivialAugmentWide(),
        "vertical_flip": F.vflip,
    }


def simclr_view(backend, side, first, small):
    strength = 0.5 if small else 1.0
    jitter = T.ColorJitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
    steps = [first, T.RandomHorizontalFlip(0.5), T.RandomApply([jitter], 0.8), T.RandomGrayscale(0.2)]
    if not small:
        steps.append(T.RandomApply([blur(side, backend)], 0.5))
    steps.append(T.ToTensor() if backend == "pil" else T.ConvertImageDtype(torch.float32))
    steps.append(T.Normalize(MEAN, STD, inplace=True))
    return T.Compose(steps)


def recipe(name, size, backend):
    """Groups of views: (how many, their size, what makes one)."""
    small = size <= 64
    if name == "simclr":
        return [(2, size, simclr_view(backend, size, crop(size, interpolation=InterpolationMode.BICUBIC), small))]
    if name == "swav":
        part = (size * 96 // 224 + 2) // 4 * 4
        return [(2, size, simclr_view(backend, size, crop(size, (0.14, 1.0)), small)),
                (6, part, simclr_view(backend, part, crop(part, (0.05, 0.14)), small))]
    raise SystemExit(f"the recipes here are simclr and swav, not {name}")


def read(path, backend):
    if backend == "pil":
        return Image.open(path).convert("RGB")
    return torchvision.io.read_image(str(path), torchvision.io.ImageReadMode.RGB)


def compact(image):
    """equalize() refuses tensors that a crop has left with gaps."""
    return image.contiguous() if isinstance(image, torch.Tensor) else image


class Samples(torch.utils.data.Dataset):
    """All views of a sample, as what a DataLoader takes; without end."""

    def __init__(self, sources, groups, backend, decode):
        self.sources, self.groups, self.backend, self.decode = sources, groups, backend, decode

    def __len__(self):
        return 1 << 40

    def __getitem__(self, index):
        source = self.sources[index % len(self.sources)]
        if self.decode:
            source = read(source, self.backend)
        return [torch.stack([make(source) for _ in range(views)]) for views, _, make in self.groups]


class Endless(torch.utils.data.Sampler):
    def __init__(self):
        super().__init__(None)

    def __iter__(self):
        return itertools.count()


def rate_of(work, views, seconds):
    """Views a second of calls of `work` that each make `views`."""
    calls, start = 0, time.perf_counter()
    while True:
        work()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= seconds:
            return calls * views / passed


def time_one_process(samples, views, options):
    """As the workers of the other programs: views go to rows of a batch."""
    rows = 16
    batches = [torch.empty(rows, count, 3, side, side) for count, side, _ in samples.groups]
    positions = itertools.count()

    def work():
        position = next(positions)
        source = samples.sources[position % len(samples.sources)]
        if samples.decode:
            source = read(source, samples.backend)
        for batch, (count, _, make) in zip(batches, samples.groups):
            for i in range(count):
                batch[position % rows, i] = make(source)

    rate_of(work, views, options.seconds / 5)
    return [rate_of(work, views, options.seconds) for _ in range(options.rounds)]


def time_workers(samples, views, threads, options):
    batch = 64 if options.size <= 64 else 4
    loader = torch.utils.data.DataLoader(samples, batch_size=batch, sampler=Endless(), num_workers=threads)
    batches = iter(loader)
    for _ in range(3 * threads):
        next(batches)
    return [rate_of(lambda: next(batches), batch * views, options.seconds) for _ in range(options.rounds)]


def time_batches(tensors, groups, views, options):
    count = 32 if options.size <= 96 else 16
    stacked = torch.stack([tensors[i % len(tensors)] for i in range(count)])

    def work():
        for number, _, make in groups:
            for _ in range(number):
                make(stacked)

    rate_of(work, count * views, options.seconds / 5)
    return [rate_of(work, count * views, options.seconds) for _ in range(options.rounds)]


def time_operation(run, sources, backend, options):
    if backend == "batch":
        return time_batches(sources, [(1, 0, run)], 1, options)
    images = itertools.cycle(sources)
    rate_of(lambda: run(next(images)), 1, options.seconds / 5)
    return [rate_of(lambda: run(next(images)), 1, options.seconds) for _ in range(options.rounds)]


def tell(rates, what, backend, sources, options, threads=1, decode="off", views=1):
    height, width = F.get_dimensions(sources[0])[1:]
    versions = f"torchvision {torchvision.__version__}, torch {torch.__version__}, Pillow {PIL.__version__}"
    print(json.dumps({
        "benchmark": "views", "by": backend, **what, "views_per_second": statistics.median(rates),
        "rounds": options.rounds, "milliseconds": options.milliseconds, "rates": rates, "size": options.size,
        "threads": threads, "decode": decode, "images": len(sources), "source_height": height,
        "source_width": width, "bands": 3, "views_per_sample": views,
        "instruction_set": versions,
    }), flush=True)


def run_operations(names, decoded, backend, options):
    known = operations(options.size, backend)
    cut = known["center_crop"]
    views = [compact(cut(image)) for image in decoded]
    for name in names:
        if name in known:
            sources = decoded if name in TAKE_SOURCES else views
            tell(time_operation(known[name], sources, backend, options), {"op": name}, backend, sources, options)


def run_recipe(name, paths, decoded, backend, options):
    groups = recipe(name, options.size, backend)
    views = sum(count for count, _, _ in groups)
    if backend == "batch":
        rates = time_batches(decoded, groups, views, options)
        tell(rates, {"recipe": name}, backend, decoded, options, views=views)
        return
    for decode, threads in itertools.product(options.decode.split(","), map(int, options.threads.split(","))):
        samples = Samples(paths if decode == "on" else decoded, groups, backend, decode == "on")
        rates = (time_one_process(samples, views, options) if threads == 1
                 else time_workers(samples, views, threads, options))
        tell(rates, {"recipe": name}, backend, decoded, options, threads, decode, views)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--backend", default="pil,tensor,batch")
    parser.add_argument("--recipe", default="")
    parser.add_argument("--op", default="")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--decode", default="off")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--milliseconds", type=int, default=300)
    options = parser.parse_args()
    options.seconds = options.milliseconds / 1000
    torch.set_num_threads(1)
    paths = sorted(path for path in pathlib.Path(options.folder).rglob("*") if path.is_file())
    for backend in options.backend.split(","):
        decoded = [read(path, backend) for path in paths]
        run_operations([name for name in options.op.split(",") if name], decoded, backend, options)
        for name in filter(None, options.recipe.split(",")):
            run_recipe(name, paths, decoded, backend, options)


if __name__ == "__main__":
    main()
