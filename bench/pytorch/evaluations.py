#!/usr/bin/env python3
"""Times evaluations of viewfold beside PyTorch (kNN) and scikit-learn (linear probe) on the same features.

    cmake --build --preset release --target bench_evaluations
    /usr/bin/python3 bench/pytorch/evaluations.py                      features made for this: 60,000 x 512
    /usr/bin/python3 bench/pytorch/evaluations.py --features TRAIN.npy TEST.npy

The features of --features are those of `viewfold embed`; their classes are read from TRAIN.jsonl and TEST.jsonl beside
them. The programs take turns; printed are the medians, the median of the ratios of the turns, and one JSON object.
The linear rows need scikit-learn (Debian: apt-get install python3-sklearn).

knn            `knn` beside float32 matrix product, topk and vote in chunks: the same confusion matrix is expected
linear         `linear` with l2=1 beside StandardScaler and LogisticRegression(C=1)
linear_chosen  `linear`, which chooses its l2, beside the same choice of C among fits of LogisticRegression
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROWS = ("knn", "linear", "linear_chosen")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", nargs=2, type=pathlib.Path, metavar=("TRAIN.npy", "TEST.npy"))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("build/release/bench_evaluations"))
    options = parser.parse_args()
    if options.turns < 1 or options.threads < 1:
        parser.error("--turns and --threads from 1")
    if not options.program.is_file():
        parser.error(f"{options.program} is missing: build the target bench_evaluations")
    options.program = options.program.resolve()
    return options


OPTIONS = parse()
# OpenBLAS reads it when it is loaded.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(OPTIONS.threads)

import numpy as np  # noqa: E402: after the environment
import torch  # noqa: E402

from accuracy import knn_predictions  # noqa: E402


def make_features(rng, train=50000, test=10000, width=512, classes=10):
    """Ten classes of twelve clusters each in 24 dimensions, seen through a layer with ReLU: kNN near 80 %."""
    centres = rng.standard_normal((classes, 12, 24))
    layer = rng.standard_normal((24, width)) / np.sqrt(24)
    sets = []
    for count in (train, test):
        labels = rng.integers(classes, size=count)
        points = centres[labels, rng.integers(12, size=count)] + 1.15 * rng.standard_normal((count, 24))
        values = points @ layer + 0.3 * rng.standard_normal((count, width))
        sets.append((np.maximum(values, 0).astype(np.float32), labels))
    return sets


def classes_beside(path):
    lines = path.with_suffix(".jsonl")
    try:
        return [json.loads(line)["class"] for line in lines.read_text().splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{lines}: has no class in each line, as `viewfold embed` writes it ({error!r})")


def read_features(paths):
    names = [classes_beside(path) for path in paths]
    numbers = {name: i for i, name in enumerate(sorted(set(names[0])))}
    sets = []
    for path, own in zip(paths, names):
        values = np.load(path)
        if values.dtype != np.float32 or values.ndim != 2 or len(values) != len(own):
            raise SystemExit(f"{path}: is no float32 matrix with a row for each line of {path.with_suffix('.jsonl')}")
        unknown = sorted(set(own) - set(numbers))
        if unknown:
            raise SystemExit(f"{path}: class {unknown[0]} has no image in {paths[0]}")
        sets.append((np.ascontiguousarray(values), np.array([numbers[name] for name in own], np.int64)))
    return sets


def knn(train, test):
    return knn_predictions(*(torch.from_numpy(a) for a in train), torch.from_numpy(test[0])).numpy()


def scaled(train, test):
    from sklearn.preprocessing import StandardScaler
    scaler = StandardScaler()
    return scaler.fit_transform(train[0]), scaler.transform(test[0])


def linear(train, test):
    from sklearn.linear_model import LogisticRegression
    x, queries = scaled(train, test)
    return LogisticRegression(C=1.0, max_iter=500).fit(x, train[1]).predict(queries)


def linear_chosen(train, test):
    """The strengths are chosen on at most 30,000 rows, as viewfold does, and C is scaled to them."""
    from sklearn.linear_model import LogisticRegression
    x, queries = scaled(train, test)
    order = np.random.default_rng(1).permutation(len(x))[:30000]
    held, fit = order[: len(order) // 10], order[len(order) // 10:]
    best, chosen, model = -1.0, 0.0, LogisticRegression(max_iter=100, warm_start=True)
    for l2 in (1000.0, 100.0, 10.0, 1.0):
        model.set_params(C=len(x) / (l2 * len(fit)))
        accuracy = model.fit(x[fit], train[1][fit]).score(x[held], train[1][held])
        if accuracy > best:
            best, chosen = accuracy, l2
    return LogisticRegression(C=1 / chosen, max_iter=500).fit(x, train[1]).predict(queries)


# Theirs, and the words for viewfold's.
SIDES = {"knn": (knn, ["knn"]), "linear": (linear, ["linear", "l2=1"]), "linear_chosen": (linear_chosen, ["linear"])}


def own(folder, words):
    command = [OPTIONS.program, folder, words[0], str(OPTIONS.threads), *words[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{OPTIONS.program} ended with code {done.returncode}")
    return json.loads(done.stdout)


def compare(row, folder, train, test):
    theirs, words = SIDES[row]
    seconds, ratios = ([], []), []
    for turn in range(OPTIONS.turns):
        result = own(folder, words)
        start = time.perf_counter()
        predicted = theirs(train, test)
        seconds[1].append(time.perf_counter() - start)
        seconds[0].append(result["seconds"])
        ratios.append(seconds[1][-1] / seconds[0][-1])
        print(f"{row}, turn {turn + 1} of {OPTIONS.turns}: {seconds[0][-1]:.2f} s, {seconds[1][-1]:.2f} s",
              file=sys.stderr, flush=True)
    counts = np.zeros_like(result["confusion"])
    np.add.at(counts, (test[1], predicted), 1)
    return {"seconds": statistics.median(seconds[0]), "their_seconds": statistics.median(seconds[1]),
            "ratio": statistics.median(ratios), "accuracy": result["numbers"]["accuracy"],
            "their_accuracy": float((predicted == test[1]).mean()),
            "confusion_differs_by": int(np.abs(counts - result["confusion"]).sum()), "numbers": result["numbers"]}


def main():
    torch.set_num_threads(OPTIONS.threads)
    train, test = read_features(OPTIONS.features) if OPTIONS.features else make_features(np.random.default_rng(1))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for split, (values, labels) in (("train", train), ("test", test)):
            np.save(folder / f"{split}.npy", values)
            np.save(folder / f"{split}_labels.npy", labels)
        rows = {row: compare(row, folder, train, test) for row in OPTIONS.rows}
    print(f"{'':14} {'viewfold':>10} {'theirs':>10} {'ratio':>6} {'accuracy':>9} {'theirs':>9}")
    for row, r in rows.items():
        print(f"{row:14} {r['seconds']:8.2f} s {r['their_seconds']:8.2f} s {r['ratio']:6.2f} {r['accuracy']:9.2%} "
              f"{r['their_accuracy']:9.2%}")
    print(json.dumps({"threads": OPTIONS.threads, "train": train[0].shape, "test": test[0].shape, "rows": rows}))


if __name__ == "__main__":
    main()
