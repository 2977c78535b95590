#!/usr/bin/env python3
"""Writes tests/augment/golden/views.golden: what Pillow and torchvision make of a few small images.

Resizing is Pillow's; colours, blur and rotation are those of torchvision's tensor back end (its Pillow
back end rounds the hue to 8 bits). Needs torch, torchvision, numpy and Pillow:

    python3 tools/make_golden_views.py

Format: a text line, followed by height * width * bands bytes (HWC), for each input and each case:
    image <name> <height> <width> <bands>
    case <operation> <name of the input> <height> <width> <bands> <number of parameters> <parameters...>
"""
import pathlib

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

FILTERS = {"bilinear": (Image.BILINEAR, InterpolationMode.BILINEAR),
           "bicubic": (Image.BICUBIC, InterpolationMode.BICUBIC)}


def make_inputs():
    """Smooth colours with an edge and saturated patches, and pure noise: hard cases for every filter."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:29, 0:33]
    smooth = np.stack([8 * x % 256, 255 - 6 * y, (x * y) % 256], axis=-1).astype(np.uint8)
    smooth[5:12, 20:30] = [255, 0, 10]
    smooth[18:24, 3:9] = 255
    noise = rng.integers(0, 256, size=(24, 20, 3), dtype=np.uint8)
    gray = rng.integers(0, 256, size=(19, 26, 1), dtype=np.uint8)
    return {"smooth": smooth, "noise": noise, "gray": gray}


def pil(image):
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def array(picture):
    values = np.asarray(picture)
    return values[:, :, None] if values.ndim == 2 else values


def with_tensor(function, image):
    """Applies a function of a [C, H, W] tensor to an HWC array."""
    return function(torch.from_numpy(image).permute(2, 0, 1)).permute(1, 2, 0).contiguous().numpy()


def in_float(function, image):
    """The same in [0, 1], rounded once at the end: torchvision's uint8 arithmetic cuts fractions off."""
    result = with_tensor(lambda t: function(t.to(torch.float32) / 255), image)
    return np.rint(result * 255).astype(np.uint8)


def jitter(tensor, order, factors):
    steps = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    for digit in str(order):
        tensor = steps[int(digit) - 1](tensor, factors[int(digit) - 1])
    return tensor


def resize_cases(inputs):
    boxes = {"smooth": [(0, 0, 33, 29), (4, 3, 20, 11), (30, 1, 3, 28)],
             "noise": [(0, 0, 20, 24), (2, 5, 13, 17)],
             "gray": [(0, 0, 26, 19), (11, 2, 6, 7)]}
    for name, of_image in boxes.items():
        picture = pil(inputs[name])
        for x, y, width, height in of_image:
            for size in (7, 26):
                for label, (pil_filter, torch_filter) in FILTERS.items():
                    numbers = [x, y, width, height, size, 1 if label == "bicubic" else 0]
                    box = (x, y, x + width, y + height)
                    yield "resize_box", name, numbers, array(picture.resize((size, size), pil_filter, box))
                    cropped = F.resized_crop(picture, y, x, height, width, [size, size], torch_filter)
                    yield "resized_crop", name, numbers, array(cropped)
        for size in (9, 24):
            square = F.center_crop(F.resize(picture, size, InterpolationMode.BILINEAR), [size, size])
            yield "center_crop", name, [size], array(square)


def color_cases(inputs):
    for name, image in inputs.items():
        for factor in (0.0, 0.37, 1.8):
            for op, function in (("brightness", F.adjust_brightness), ("contrast", F.adjust_contrast),
                                 ("saturation", F.adjust_saturation)):
                yield op, name, [factor], in_float(lambda t: function(t, factor), image)
        yield "solarize", name, [], with_tensor(lambda t: F.solarize(t, 128), image)
        yield "flip", name, [], with_tensor(F.hflip, image)
        if image.shape[2] == 1:
            continue
        for turns in (-0.5, -0.2, 0.05, 0.33):
            yield "hue", name, [turns], in_float(lambda t: F.adjust_hue(t, turns), image)
        yield "grayscale", name, [], in_float(lambda t: F.rgb_to_grayscale(t, 3), image)
        for order, factors in ((1234, [0.7, 1.3, 0.5, 0.1]), (4321, [1.6, 0.6, 1.7, -0.15]),
                               (2413, [1.1, 1.8, 0.3, 0.2])):
            yield "jitter", name, [order, *factors], in_float(lambda t: jitter(t, order, factors), image)


def filter_cases(inputs):
    for name, image in inputs.items():
        for radius, sigma in ((1, 0.1), (1, 0.8), (2, 1.5), (4, 2.0)):
            size = 2 * radius + 1
            blurred = with_tensor(lambda t: F.gaussian_blur(t, [size, size], [sigma, sigma]), image)
            yield "blur", name, [radius, sigma], blurred
        for degrees in (-30.0, 7.5, 90.0):
            turned = with_tensor(lambda t: F.rotate(t, degrees, InterpolationMode.BILINEAR), image)
            yield "rotation", name, [degrees], turned


def main():
    inputs = make_inputs()
    folder = pathlib.Path(__file__).resolve().parent.parent / "tests" / "augment" / "golden"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "views.golden", "wb") as out:
        for name, image in inputs.items():
            out.write(("image %s %d %d %d\n" % (name, *image.shape)).encode())
            out.write(image.tobytes())
        for cases in (resize_cases, color_cases, filter_cases):
            for op, name, numbers, result in cases(inputs):
                head = ["case", op, name, *result.shape, len(numbers), *numbers]
                out.write((" ".join(str(part) for part in head) + "\n").encode())
                out.write(np.ascontiguousarray(result, dtype=np.uint8).tobytes())


if __name__ == "__main__":
    main()
