#!/usr/bin/env python3
"""Makes the pictures that the benchmarks read: FOLDER/small, 256 JPEGs of 32 x 32, and FOLDER/large, 64 of 500 x 375.

    /usr/bin/python3 tools/bench_pictures.py FOLDER [SMALL]    SMALL: another number of small ones, at most 10,000

The small ones are CIFAR-10's where ../shared/data/cifar10-jpeg.tar is present, else Fashion-MNIST's, made RGB. The
large ones are put together of small ones at twice their size, so that their edges and their JPEG files are about as
dense as those of photographs of this size.
"""
import gzip
import io
import pathlib
import sys
import tarfile

from PIL import Image

SMALL_COUNT, LARGE_COUNT = 256, 64
SIDE = 32
LARGE = (500, 375)
QUALITY = 90
ROOT = pathlib.Path(__file__).resolve().parent.parent
CIFAR = ROOT.parent / "shared" / "data" / "cifar10-jpeg.tar"
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")


def cifar_files():
    """The first images of the test split, as the JPEG files that they are."""
    with tarfile.open(CIFAR) as archive:
        members = (m for m in archive if m.isfile() and "test/" in m.name and m.name.endswith(".jpg"))
        # Every 37th, to have all classes: they lie one behind the other.
        for number, member in enumerate(members):
            if number % 37 == 0:
                yield archive.extractfile(member).read()


def fashion_files():
    with gzip.open(FASHION) as file:
        file.read(16)
        while pixels := file.read(28 * 28):
            image = Image.frombytes("L", (28, 28), pixels).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
            yield jpeg(image)


def jpeg(image):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def mosaic(tiles, first):
    step = 2 * SIDE
    out = Image.new("RGB", LARGE)
    columns = -(-LARGE[0] // step)
    for at in range(columns * -(-LARGE[1] // step)):
        tile = tiles[(first + at) % len(tiles)].resize((step, step), Image.BICUBIC)
        out.paste(tile, (at % columns * step, at // columns * step))
    return out


def main():
    folder = pathlib.Path(sys.argv[1])
    small_count = int(sys.argv[2]) if len(sys.argv) > 2 else SMALL_COUNT
    source = cifar_files() if CIFAR.exists() else fashion_files()
    files = [data for _, data in zip(range(small_count), source)]
    for name in ("small", "large"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(files):
        (folder / "small" / f"{number:03d}.jpg").write_bytes(data)
    tiles = [Image.open(io.BytesIO(data)).convert("RGB") for data in files]
    for number in range(LARGE_COUNT):
        (folder / "large" / f"{number:03d}.jpg").write_bytes(jpeg(mosaic(tiles, 5 * number)))


if __name__ == "__main__":
    main()
