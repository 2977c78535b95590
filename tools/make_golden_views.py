#!/usr/bin/env python3
"""Writes tests/augment/golden/*.golden: what Pillow and torchvision make of a few small images.

views.golden: the operations of the published recipes. Resizing, and the luma of brightness, contrast, saturation and
grayscale, are Pillow's; hue, blur and rotation are those of torchvision's tensor back end (its Pillow back end rounds
the hue to 8 bits). operations.golden: all others, of torchvision's tensor back end, except the
antialiased bicubic resize, which is Pillow's. Needs torch, torchvision, numpy and Pillow:

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


def luma(levels):
    """Pillow's, in whole grey levels."""
    weighted = levels[:, :, 0] * 19595 + levels[:, :, 1] * 38470 + levels[:, :, 2] * 7471
    return np.floor(weighted / 65536 + 0.5)[:, :, None]


def brightened(levels, factor):
    return np.clip(levels * factor, 0, 255)


def contrasted(levels, factor):
    middle = levels.mean() if levels.shape[2] == 1 else np.floor(luma(levels).mean() + 0.5)
    return np.clip(middle + factor * (levels - middle), 0, 255)


def saturated(levels, factor):
    gray = levels if levels.shape[2] == 1 else luma(levels)
    return np.clip(gray + factor * (levels - gray), 0, 255)


def hue_turned(levels, turns):
    if levels.shape[2] == 1:
        return levels
    return with_tensor(lambda t: F.adjust_hue(t / 255, turns) * 255, levels.astype(np.float32)).astype(np.float64)


STEPS = [brightened, contrasted, saturated, hue_turned]


def rounded(levels):
    """Pillow's operations, but for hue, with fractions kept between steps and rounded at the end."""
    return np.floor(levels + 0.5).astype(np.uint8)


def jitter(image, order, factors):
    levels = image.astype(np.float64)
    for digit in str(order):
        levels = STEPS[int(digit) - 1](levels, factors[int(digit) - 1])
    return rounded(levels)


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
            for op, function in (("brightness", brightened), ("contrast", contrasted), ("saturation", saturated)):
                yield op, name, [factor], rounded(function(image.astype(np.float64), factor))
        yield "solarize", name, [], with_tensor(lambda t: F.solarize(t, 128), image)
        yield "flip", name, [], with_tensor(F.hflip, image)
        if image.shape[2] == 1:
            continue
        for turns in (-0.5, -0.2, 0.05, 0.33):
            yield "hue", name, [turns], in_float(lambda t: F.adjust_hue(t, turns), image)
        yield "grayscale", name, [], rounded(np.repeat(luma(image.astype(np.float64)), 3, 2))
        for order, factors in ((1234, [0.7, 1.3, 0.5, 0.1]), (4321, [1.6, 0.6, 1.7, -0.15]),
                               (2413, [1.1, 1.8, 0.3, 0.2])):
            yield "jitter", name, [order, *factors], jitter(image, order, factors)


def filter_cases(inputs):
    for name, image in inputs.items():
        for radius, sigma in ((1, 0.1), (1, 0.8), (2, 1.5), (4, 2.0)):
            size = 2 * radius + 1
            blurred = with_tensor(lambda t: F.gaussian_blur(t, [size, size], [sigma, sigma]), image)
            yield "blur", name, [radius, sigma], blurred
        for degrees in (-30.0, 7.5, 90.0):
            turned = with_tensor(lambda t: F.rotate(t, degrees, InterpolationMode.BILINEAR), image)
            yield "rotation", name, [degrees], turned


def point_cases(inputs):
    for name, image in inputs.items():
        yield "invert", name, [], with_tensor(F.invert, image)
        yield "equalize", name, [], with_tensor(F.equalize, image)
        yield "autocontrast", name, [], with_tensor(F.autocontrast, image)
        for bits in (1, 3, 6):
            yield "posterize", name, [bits], with_tensor(lambda t: F.posterize(t, bits), image)
        for gamma in (0.4, 0.9, 2.2):
            yield "gamma", name, [gamma], with_tensor(lambda t: F.adjust_gamma(t, gamma), image)
        for factor in (0.0, 0.6, 1.9):
            yield "sharpness", name, [factor], with_tensor(lambda t: F.adjust_sharpness(t, factor), image)
        for x, y, width, height in ((3, 5, 7, 2), (0, 0, 4, 11)):
            erased = with_tensor(lambda t: F.erase(t, y, x, height, width, torch.tensor(0)), image)
            yield "erase", name, [x, y, width, height], erased


def moving_cases(inputs):
    for name, image in inputs.items():
        yield "vertical_flip", name, [], with_tensor(F.vflip, image)
        for size in (11, 31):
            for label, (pil_filter, torch_filter) in FILTERS.items():
                for antialias in (False, True):
                    if label == "bicubic" and antialias:
                        square = array(pil(image).resize((size, size), pil_filter))
                    else:
                        square = with_tensor(
                            lambda t: F.resize(t, [size, size], torch_filter, antialias=antialias), image)
                    yield "resize", name, [size, int(label == "bicubic"), int(antialias)], square
        for angle, shift, scale, shear in ((0.0, [3, -2], 1.0, [0.0, 0.0]), (25.0, [0, 0], 1.3, [0.0, 0.0]),
                                           (-100.0, [-2, 4], 0.7, [12.0, -7.0])):
            moved = with_tensor(lambda t: F.affine(t, angle, shift, scale, shear, InterpolationMode.BILINEAR), image)
            yield "affine", name, [angle, *shift, scale, *shear], moved


def make_dull_inputs():
    """Few levels, one band of a single one; a gradient; fewer pixels than an equalisation needs."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[0:21, 0:18]
    dull = np.stack([60 + 4 * x + y, rng.integers(90, 99, size=x.shape), np.full(x.shape, 77)], axis=-1)
    gradient = (255 * (x + y) // 37)[:, :, None]
    tiny = rng.integers(0, 256, size=(12, 11, 3))
    return {"dull": dull.astype(np.uint8), "gradient": gradient.astype(np.uint8), "tiny": tiny.astype(np.uint8)}


def write_golden(path, inputs, groups):
    with open(path, "wb") as out:
        for name, image in inputs.items():
            out.write(("image %s %d %d %d\n" % (name, *image.shape)).encode())
            out.write(image.tobytes())
        for cases in groups:
            for op, name, numbers, result in cases(inputs):
                head = ["case", op, name, *result.shape, len(numbers), *numbers]
                out.write((" ".join(str(part) for part in head) + "\n").encode())
                out.write(np.ascontiguousarray(result, dtype=np.uint8).tobytes())


def main():
    folder = pathlib.Path(__file__).resolve().parent.parent / "tests" / "augment" / "golden"
    folder.mkdir(parents=True, exist_ok=True)
    write_golden(folder / "views.golden", make_inputs(), (resize_cases, color_cases, filter_cases))
    write_golden(folder / "operations.golden", make_dull_inputs(), (point_cases, moving_cases))


if __name__ == "__main__":
    main()
