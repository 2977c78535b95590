"""The view recipes of `viewfold pretrain` in torchvision, one image at a time, and for whole batches in plain torch."""
import io
import math
import pathlib
import random
import tarfile

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode

# Any other statistics take the same time.
MEAN, STD = [0.5] * 3, [0.25] * 3


class Recipe:
    """What `viewfold pretrain --method NAME` makes of an image of this size."""

    def __init__(self, method, size):
        self.size, self.small = size, size <= 64
        strength = 0.5 if self.small else 1.0
        self.jitter = [0.8 * strength] * 3 + [0.2 * strength] if method == "simclr" else [0.4, 0.4, 0.4, 0.1]
        self.scale = 0.2 if method == "simsiam" or (method == "moco_v2" and not self.small) else 0.08
        self.bicubic = method == "simclr"
        self.blurs = not self.small


def blur(image):
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


def image_transform(recipe):
    """torchvision's transforms of a Pillow image."""
    mode = InterpolationMode.BICUBIC if recipe.bicubic else InterpolationMode.BILINEAR
    steps = [T.RandomResizedCrop(recipe.size, scale=(recipe.scale, 1.0), interpolation=mode),
             T.RandomHorizontalFlip(),
             T.RandomApply([T.ColorJitter(*recipe.jitter)], 0.8),
             T.RandomGrayscale(0.2)]
    if recipe.blurs:
        steps.append(T.RandomApply([T.Lambda(blur)], 0.5))
    return T.Compose(steps + [T.ToTensor(), T.Normalize(MEAN, STD, inplace=True)])


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


class TwoViews(torch.utils.data.Dataset):
    """Two views of each image: of pixels in memory, or of JPEG files that are decoded at every access."""

    def __init__(self, images, transform):
        self.images, self.transform = images, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        item = self.images[index]
        image = decode(item) if isinstance(item, bytes) else Image.fromarray(item)
        return self.transform(image), self.transform(image)


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
    chances, but the order of the four colour operations is one for the batch."""

    def __init__(self, pixels, recipe, batch, out_type):
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        self.recipe, self.batch, self.out_type = recipe, batch, out_type
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
        area = height * width * torch.empty(10, n).uniform_(self.recipe.scale, 1.0)
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
        grid = F.affine_grid(theta, [n, 3, self.recipe.size, self.recipe.size], align_corners=False)
        mode = "bicubic" if self.recipe.bicubic else "bilinear"
        x = F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
        return x.clamp_(0, 1)

    def gray(self, x):
        return (x * self.luma).sum(1, keepdim=True)

    def factors(self, n, strength):
        return torch.empty(n, 1, 1, 1).uniform_(max(0.0, 1 - strength), 1 + strength)

    def jitter(self, x):
        brightness, contrast, saturation, hue = self.recipe.jitter
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
