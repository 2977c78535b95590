#!/usr/bin/env python3
"""Compares viewfold's view operations with torchvision's, with the same parameters, on real photographs.

    python3 tools/view_parity.py build/release/view_parity_program [--images 100]

Takes images of the test split of ../shared/data/cifar10-jpeg.tar, resized to mixed sizes, and draws parameters
for each of them; runs both on uint8 and on float32 in [0, 1]. The reference is torchvision's tensor back end, and
Pillow where torchvision's tensors differ from it (said below, at the case). Prints the largest differences in grey
levels (1/255 in float) and fails when one is larger than allowed. Exits with 77 (skipped) when torchvision, Pillow
or the images are not there.
"""
import argparse
import io
import pathlib
import random
import subprocess
import sys
import tarfile

SKIPPED = 77
TAR = pathlib.Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "cifar10-jpeg.tar"

try:
    import numpy as np
    import torch
    import torchvision.transforms.functional as F
    from PIL import Image
    from torchvision.transforms import InterpolationMode
except ImportError as error:
    print("skipped: %s" % error)
    sys.exit(SKIPPED)

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC,
         "nearest": InterpolationMode.NEAREST}


class Case:
    """One operation with drawn parameters and what the reference makes of a tensor [C, H, W] with them.

    `levels`: largest difference allowed for uint8, in grey levels; `float_levels`: for float32, in 1/255.
    `share`: share of values that may differ by more, where a pixel is chosen and not mixed.
    """

    def __init__(self, label, op, settings, values, reference, levels=1, float_levels=1, share=0.0):
        self.label, self.op, self.settings, self.values = label, op, settings, values
        self.reference, self.levels, self.float_levels, self.share = reference, levels, float_levels, share


def antialiased_bicubic(image, size):
    """Pillow, which limits values between its two passes, as viewfold does and torchvision's tensors do not."""
    if image.dtype == torch.uint8:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(np.array(picture.resize((size, size), Image.BICUBIC))).permute(2, 0, 1)
    _, height, width = image.shape
    columns = F.resize(image, [height, size], MODES["bicubic"], antialias=True).clamp(0, 1)
    return F.resize(columns, [size, size], MODES["bicubic"], antialias=True).clamp(0, 1)


def resized(image, size, interpolation, antialias):
    if interpolation == "bicubic" and antialias:
        return antialiased_bicubic(image, size)
    result = F.resize(image, [size, size], MODES[interpolation], antialias=antialias)
    return result if image.dtype == torch.uint8 else result.clamp(0, 1)


def resize_cases(draw, height, width):
    box_height, box_width = draw.randint(4, height), draw.randint(4, width)
    y, x = draw.randint(0, height - box_height), draw.randint(0, width - box_width)
    size = draw.choice([17, 32, 48, 96])
    for interpolation in ("bilinear", "bicubic"):
        for antialias in (True, False):
            settings = {"size": size, "interpolation": interpolation, "antialias": str(antialias).lower()}
            suffix = " %s%s" % (interpolation, " antialias" if antialias else "")
            # Functions of the loop's variables as they are now.
            yield Case("random_resized_crop" + suffix, "random_resized_crop", settings,
                       [x, y, box_width, box_height, height, width],
                       lambda t, i=interpolation, a=antialias:
                       resized(F.crop(t, y, x, box_height, box_width), size, i, a))
            yield Case("resize" + suffix, "resize", settings, [height, width],
                       lambda t, i=interpolation, a=antialias: resized(t, size, i, a))
    yield Case("center_crop", "center_crop", {"size": size}, [height, width],
               lambda t: F.center_crop(F.resize(t, size, MODES["bilinear"], antialias=True), [size, size]))


def moving_cases(draw, height, width):
    yield Case("horizontal_flip", "horizontal_flip", {}, [1], F.hflip, 0, 0)
    yield Case("vertical_flip", "vertical_flip", {}, [1], F.vflip, 0, 0)
    degrees = draw.uniform(-180, 180)
    yield Case("rotation", "rotation", {}, [1, degrees],
               lambda t: F.rotate(t, degrees, InterpolationMode.BILINEAR))
    angle, scale = draw.uniform(-180, 180), draw.uniform(0.6, 1.6)
    shift = [draw.randint(-width // 4, width // 4), draw.randint(-height // 4, height // 4)]
    shear = [draw.uniform(-30, 30), draw.uniform(-30, 30)]
    for interpolation in ("bilinear", "nearest"):
        # Where a position lies in the middle between two pixels, rounding of its coordinates decides which is
        # the nearest.
        yield Case("affine " + interpolation, "affine", {"interpolation": interpolation},
                   [1, angle, *shift, scale, *shear],
                   lambda t, i=interpolation: F.affine(t, angle, shift, scale, shear, MODES[i]),
                   share=0.002 if interpolation == "nearest" else 0.0)


def pillow_for_bytes(function, image):
    """torchvision on Pillow for uint8, whose luma is rounded; that of its tensors is cut off."""
    if image.is_floating_point():
        return function(image)
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    return torch.from_numpy(np.array(function(picture))).permute(2, 0, 1)


def rounded_once(function, image):
    """In float, rounded at the end: torchvision's uint8 cuts fractions off, of luma and of results."""
    if image.is_floating_point():
        return function(image)
    return (function(image.to(torch.float32) / 255) * 255).round().to(torch.uint8)


def color_cases(draw):
    steps = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    factors = [draw.uniform(0.2, 1.8), draw.uniform(0.2, 1.8), draw.uniform(0.2, 1.8), draw.uniform(-0.5, 0.5)]
    for i, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        values = [1.0, 1.0, 1.0, 0.0]
        values[i] = factors[i]

        def step(image, i=i):
            return steps[i](image, factors[i])

        yield Case(name, "color_jitter", {}, [1, 1234, *values],
                   step if name == "hue" else lambda t, step=step: pillow_for_bytes(step, t), 2 if name == "hue" else 1)
        yield Case(name + ", rounded once", "color_jitter", {}, [1, 1234, *values],
                   lambda t, step=step: rounded_once(step, t))
    order = draw.sample([1, 2, 3, 4], 4)

    def in_sequence(image):
        for digit in order:
            image = steps[digit - 1](image, factors[digit - 1])
        return image

    # Two of the steps round luma of uint8, here in the middle of a sequence.
    yield Case("color_jitter, rounded once", "color_jitter", {}, [1, int("".join(map(str, order))), *factors],
               lambda t: rounded_once(in_sequence, t), 2)
    yield Case("grayscale", "grayscale", {}, [1], lambda t: F.rgb_to_grayscale(t, 3))


def in_bytes(function, image):
    """torchvision knows these for uint8 only: the levels of that are expected of floats too."""
    if not image.is_floating_point():
        return function(image)
    return function((image * 255).round().to(torch.uint8)).to(torch.float32) / 255


def point_cases(draw):
    threshold, bits = draw.uniform(0, 1), draw.randint(1, 8)
    gamma, factor = draw.uniform(0.4, 2.5), draw.uniform(0, 2)

    def solarize(image):
        return F.solarize(image, threshold if image.is_floating_point() else threshold * 255)

    yield Case("solarize", "solarize", {"threshold": "%.7f" % threshold}, [1], solarize)
    yield Case("invert", "invert", {}, [1], F.invert, 0, 0.001)
    yield Case("posterize", "posterize", {}, [1, bits], lambda t: in_bytes(lambda b: F.posterize(b, bits), t), 0)
    yield Case("equalize", "equalize", {}, [1], lambda t: in_bytes(F.equalize, t), 0)
    yield Case("autocontrast", "autocontrast", {}, [1], F.autocontrast)
    yield Case("gamma", "gamma", {}, [1, gamma], lambda t: F.adjust_gamma(t, gamma))
    yield Case("sharpness", "sharpness", {}, [1, factor], lambda t: F.adjust_sharpness(t, factor))


def filter_cases(draw, height, width):
    radius, sigma = max(1, min(height, width) // 20), draw.uniform(0.1, 2.0)
    size = 2 * radius + 1
    yield Case("gaussian_blur", "gaussian_blur", {}, [1, sigma],
               lambda t: F.gaussian_blur(t, [size, size], [sigma, sigma]))
    box_height, box_width = draw.randint(1, height), draw.randint(1, width)
    y, x = draw.randint(0, height - box_height), draw.randint(0, width - box_width)

    def mean(image):
        result = image.to(torch.float32).mean(dim=(1, 2), keepdim=True)
        return result if image.is_floating_point() else result.round().to(torch.uint8)

    for value, of in (("zero", lambda t: torch.tensor(0)), ("mean", mean)):
        yield Case("random_erasing " + value, "random_erasing", {"value": value},
                   [1, x, y, box_width, box_height, 0],
                   lambda t, of=of: F.erase(t, y, x, box_height, box_width, of(t)))


def cases_for(draw, height, width):
    yield from resize_cases(draw, height, width)
    yield from moving_cases(draw, height, width)
    yield from color_cases(draw)
    yield from point_cases(draw)
    yield from filter_cases(draw, height, width)


class Program:
    """The running program that applies viewfold's operations (tests/augment/parity/)."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def apply(self, case, image):
        """image: an HWC array of uint8 or float32."""
        settings = ["%s=%s" % item for item in case.settings.items()]
        words = [case.op, image.dtype.name, *image.shape, len(settings), *settings, len(case.values), *case.values]
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode() + image.tobytes())
        self.process.stdin.flush()
        head = self.process.stdout.readline().split()
        if len(head) != 2:
            raise SystemExit("%s: the program gave up" % case.label)
        shape = (int(head[0]), int(head[1]), image.shape[2])
        return np.frombuffer(self.process.stdout.read(int(np.prod(shape)) * image.itemsize), image.dtype).reshape(shape)

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def photographs(count):
    """Every so-manieth image of the test split, resized to mixed sizes."""
    draw = random.Random(3)
    with tarfile.open(TAR) as tar:
        names = [member for member in tar if member.name.startswith("test/") and member.name.endswith(".jpg")]
        for member in names[::len(names) // count][:count]:
            picture = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
            size = (draw.randint(20, 110), draw.randint(20, 110))
            yield np.array(picture.resize(size, Image.BICUBIC))


class Differences:
    """The largest ones of a case so far, in grey levels, for one type of pixels."""

    def __init__(self):
        self.largest, self.beyond, self.values = 0.0, 0, 0

    def add(self, made, expected, allowed):
        scale = 1.0 if made.dtype == np.uint8 else 255.0
        difference = np.abs(made.astype(np.float64) - expected.astype(np.float64)) * scale
        self.largest = max(self.largest, float(difference.max()))
        self.beyond += int((difference > allowed).sum())
        self.values += difference.size


def compare(program, count):
    """Runs all cases on all images: {(label, type): (Case, Differences)}, in the order of the cases."""
    found = {}
    for number, image in enumerate(photographs(count)):
        height, width, _ = image.shape
        for case in cases_for(random.Random(number), height, width):
            for pixels in (image, image.astype(np.float32) / 255):
                allowed = case.levels if pixels.dtype == np.uint8 else case.float_levels
                tensor = torch.from_numpy(pixels).permute(2, 0, 1)
                expected = case.reference(tensor).permute(1, 2, 0).numpy()
                made = program.apply(case, pixels)
                assert made.shape == expected.shape and made.dtype == expected.dtype, case.label
                _, differences = found.setdefault((case.label, pixels.dtype.name), (case, Differences()))
                differences.add(made, expected, allowed)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--images", type=int, default=100)
    arguments = parser.parse_args()
    if not TAR.exists():
        print("skipped: %s is not there" % TAR)
        sys.exit(SKIPPED)
    torch.set_num_threads(1)
    program = Program(arguments.program)
    found = compare(program, arguments.images)
    failed = program.close() != 0
    print("%-38s %-8s %8s %8s %9s" % ("operation", "pixels", "largest", "allowed", "beyond"))
    for (label, kind), (case, differences) in found.items():
        allowed = case.levels if kind == "uint8" else case.float_levels
        share = differences.beyond / differences.values
        wrong = share > case.share
        failed = failed or wrong
        print("%-38s %-8s %8.3f %8g %9.6f%s"
              % (label, kind, differences.largest, allowed, share, "  TOO LARGE" if wrong else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
