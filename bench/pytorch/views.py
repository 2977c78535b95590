"""The view recipes of `viewfold pretrain` in torchvision, one image at a time, and for whole batches in plain torch."""
import io
import math
import pathlib
import random
import tarfile
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode

# Where time is all that counts, any other statistics take as long.
MEAN, STD = [0.5] * 3, [0.25] * 3


class View(NamedTuple):
    """How one view of an image is made."""

    size: int
    scale: tuple  # smallest and largest area of the crop
    jitter: tuple  # strengths of brightness, contrast, saturation and hue
    bicubic: bool = False
    blur: float = 0.0  # probabilities
    solarize: float = 0.0


class Recipe:
    """What `viewfold pretrain --method NAME` makes of an image of this size: `views`, in order."""

    def __init__(self, method, size):
        self.small = size <= 64
        blur, strength = (0.0, 0.5) if self.small else (0.5, 1.0)
        strong = (0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
        if method == "simclr":
            self.views = [View(size, (0.08, 1.0), strong, True, blur)] * 2
        elif method in ("moco_v2", "simsiam"):
            scale = 0.08 if method == "moco_v2" and self.small else 0.2
            self.views = [View(size, (scale, 1.0), (0.4, 0.4, 0.4, 0.1), False, blur)] * 2
        elif method in ("byol", "vicreg"):
            self.views = [View(size, (0.08, 1.0), (0.4, 0.4, 0.2, 0.1), True, 2 * blur),
                          View(size, (0.08, 1.0), (0.4, 0.4, 0.2, 0.1), True, 0.2 * blur, 0.2)]
        else:
            little = max(4, (size * 96 // 224 + 2) // 4 * 4)
            self.views = ([View(size, (0.14, 1.0), strong, False, blur)] * 2
                          + [View(little, (0.05, 0.14), strong, False, blur)] * 6)


def blur(image):
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


def image_transform(view, mean=MEAN, std=STD):
    """torchvision's transforms of a Pillow image."""
    mode = InterpolationMode.BICUBIC if view.bicubic else InterpolationMode.BILINEAR
    steps = [T.RandomResizedCrop(view.size, scale=view.scale, interpolation=mode),
             T.RandomHorizontalFlip(),
             T.RandomApply([T.ColorJitter(*view.jitter)], 0.8),
             T.RandomGrayscale(0.2)]
    if view.blur > 0:
        steps.append(T.RandomApply([T.Lambda(blur)], view.blur))
    if view.solarize > 0:
        steps.append(T.RandomSolarize(128, view.solarize))
    return T.Compose(steps + [T.ToTensor(), T.Normalize(mean, std, inplace=True)])


def image_transforms(recipe, mean=MEAN, std=STD):
    """One for each view."""
    return [image_transform(view, mean, std) for view in recipe.views]


def read_files(source):
    """The JPEG files below train/ of an archive, or of a folder."""
    path = pathlib.Path(source)
    if path.is_dir():
        return [file.read_bytes() for file in sorted(path.rglob("*.jpg"))]
    with tarfile.open(path) as archive:
        return [archive.extractfile(m).read() for m in archive if m.isfile() and m.name.startswith("train/")]


def decode(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def load_pixels(source):
    """All images of one size, decoded: [N, H, W, 3] uint8."""
    return np.stack([np.asarray(decode(data)) for data in read_files(source)])


class Views(torch.utils.data.Dataset):
    """The views of each image: of pixels in memory, or of JPEG files that are decoded at every access."""

    def __init__(self, images, transforms):
        self.images, self.transforms = images, transforms

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        item = self.images[index]
        image = decode(item) if isinstance(item, bytes) else Image.fromarray(item)
        return tuple(transform(image) for transform in self.transforms)


class Endless(torch.utils.data.Sampler):
    """One random order behind the other, so that no epoch ends while the time is taken."""

    def __init__(self, count):
        super().__init__(None)
        self.count = count

    def __iter__(self):
        while True:
            yield from torch.randperm(self.count).tolist()


class WholeBatches:
    """Batches of views of small images, made on whole batches: every image has its own crop, flip, strengths and
    chances, but the order of the four colour operations is one for the batch. For recipes of two equal views."""

    def __init__(self, pixels, recipe, batch, out_type):
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        self.made, self.batch, self.out_type = recipe.views[0], batch, out_type
        self.mean, self.std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        self.luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        self.order = iter(Endless(len(pixels)))

    def __iter__(self):
        return self

    def __next__(self):
        indices = torch.tensor([next(self.order) for _ in range(self.batch)])
        images = self.pixels[indices].float().div_(255)
        return self.view(images), self.view(images)

    def view(self, images):
        x = self.crop_and_flip(images)
        chosen = (torch.rand(len(x)) < 0.8).nonzero().squeeze(1)
        x[chosen] = self.jitter(x[chosen])
        gray = (torch.rand(len(x)) < 0.2).nonzero().squeeze(1)
        x[gray] = self.gray(x[gray]).expand(-1, 3, -1, -1)
        x = x.sub_(self.mean).div_(self.std)
        return x.to(self.out_type, memory_format=torch.channels_last)

    def crop_and_flip(self, images):
        n, _, height, width = images.shape
        # Ten tries, as torchvision's; the first box that fits, else the whole image.
        area = height * width * torch.empty(10, n).uniform_(*self.made.scale)
        ratio = torch.empty(10, n).uniform_(math.log(3 / 4), math.log(4 / 3)).exp_()
        w, h = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (w <= width) & (h <= height) & (w > 0) & (h > 0)
        first = fits.float().argmax(0, keepdim=True)
        none = ~fits.any(0)
        w = w.gather(0, first)[0].masked_fill_(none, width)
        h = h.gather(0, first)[0].masked_fill_(none, height)
        left = (torch.rand(n) * (width - w + 1)).floor_()
        top = (torch.rand(n) * (height - h + 1)).floor_()
        sign = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 0, 2] = sign * w / width, (2 * left + w) / width - 1
        theta[:, 1, 1], theta[:, 1, 2] = h / height, (2 * top + h) / height - 1
        grid = F.affine_grid(theta, [n, 3, self.made.size, self.made.size], align_corners=False)
        mode = "bicubic" if self.made.bicubic else "bilinear"
        x = F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
        return x.clamp_(0, 1)

    def gray(self, x):
        return (x * self.luma).sum(1, keepdim=True)

    def factors(self, n, strength):
        return torch.empty(n, 1, 1, 1).uniform_(max(0.0, 1 - strength), 1 + strength)

    def jitter(self, x):
        brightness, contrast, saturation, hue = self.made.jitter
        for step in torch.randperm(4).tolist():
            if step == 0:
                x = x.mul_(self.factors(len(x), brightness)).clamp_(0, 1)
            elif step == 1:
                mean = self.gray(x).mean((1, 2, 3), keepdim=True)
                x = torch.lerp(mean, x, self.factors(len(x), contrast)).clamp_(0, 1)
            elif step == 2:
                x = torch.lerp(self.gray(x), x, self.factors(len(x), saturation)).clamp_(0, 1)
            else:
                x = self.shift_hue(x, torch.empty(len(x), 1, 1).uniform_(-hue, hue))
        return x

    @staticmethod
    def shift_hue(x, turns):
        """Through hue, saturation and value; back by f(k) = v - c max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6."""
        r, g, b = x.unbind(1)
        value, low = x.amax(1), x.amin(1)
        chroma = value - low
        safe = chroma.clamp_min(1e-8)
        hue = torch.where(value == r, (g - b) / safe,
                          torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4))
        hue = hue.add_(6 * turns)
        out = torch.empty_like(x)
        for channel, n in enumerate((5, 3, 1)):
            k = (hue + n).remainder_(6)
            weight = torch.minimum(k, 4 - k).clamp_(0, 1)
            torch.addcmul(value, chroma, weight, value=-1, out=out[:, channel])
        return out
