#!/usr/bin/env python3
"""Puts together what `make bench-pytorch` measured: RESULT.json, and the section of training at the end of a page.

    /usr/bin/python3 tools/bench_training_table.py RAW.jsonl RESULT.json PAGE.md

Rows that were not measured this time keep what RESULT.json says of them.
"""
import datetime
import json
import os
import pathlib
import statistics
import sys

from bench_table import TRAINING, table

INTRODUCTION = TRAINING + """
Written by `make bench-pytorch`: {cpu}, {cores} cores. Whole steps, from images in memory to updated weights: views,
forward, loss, backward, optimiser. Views a second, more is better. The programs took turns; a number is the median of
all rounds, a ratio the median of the ratios of the turns.

- **viewfold**: `viewfold bench train`, which is `viewfold pretrain` without its run directory.
- **default**: `bench/pytorch/train.py --setting default`, plain PyTorch as its tutorials write it: float32, torchvision's
  transforms of Pillow images, a DataLoader with two workers, as many threads as PyTorch takes by itself.
- **best**: `--setting best`, the fastest of what was tried ([performance.md](performance.md) says what that was).

Networks, losses, optimisers, batches and recipes are the same (`bench/pytorch`), the images, too: CIFAR-10 at 32 px,
decoded before; at 224 px JPEG files of 500 x 375, which both decode for every sample. ResNet-18 has the stem for small
images; ResNet-50 is the standard one. {versions}.

- **ceiling**: what viewfold's rate is of the rate at which LibTorch multiplies two matrices of 2048 x 2048 in the same
  precision, if a step were nothing but the multiply-adds of its convolutions and matrix products.
- **waiting**: share of viewfold's time in which training waited for views.
- **memory**: the largest resident size of the process, for PyTorch with what its workers have for themselves.
- **others**: the most of a core that other processes used during a measurement; what they disturb more is repeated.
"""


def by_program(lines):
    found = {}
    for line in lines:
        found.setdefault(line["by"], []).append(line)
    return found


def median_of(lines, key):
    return statistics.median(line[key] for line in lines)


def ratio_of(ours, theirs, key):
    """The median of the ratios of turns."""
    return statistics.median(a[key] / b[key] for a, b in zip(ours, theirs))


def compared(name, lines):
    programs = by_program(lines)
    ours = programs["viewfold"]
    row = {"row": name, **{key: ours[0][key] for key in ("method", "encoder", "width", "size", "batch")},
           "turns": len(ours), "other_processes": max(line["other_processes"] for line in lines), "views_per_second": {}, "peak_rss_mb": {}, "rates": {}, "setting": {},
           "share_of_ceiling": median_of(ours, "share_of_ceiling"), "data_wait": median_of(ours, "data_wait"),
           "gflop_per_view": ours[0]["gflop_per_view"], "breakdown": ours[-1]["breakdown"],
           "ceiling": ours[-1]["ceiling"], "ratios": {}, "memory_ratios": {}}
    for by, measured in programs.items():
        row["rates"][by] = [rate for line in measured for rate in line["rates"]]
        row["views_per_second"][by] = statistics.median(row["rates"][by])
        row["peak_rss_mb"][by] = median_of(measured, "peak_rss_mb")
        row["setting"][by] = {key: measured[0][key] for key in ("precision", "threads", "loader_threads")}
        if by != "viewfold":
            row["ratios"][f"viewfold / {by}"] = ratio_of(ours, measured, "views_per_second")
            row["memory_ratios"][f"viewfold / {by}"] = ratio_of(ours, measured, "peak_rss_mb")
            row["versions"] = measured[0]["versions"]
    return row


def disturbed(lines, alone):
    return {"row": "busy", **{key: lines[0][key] for key in ("method", "encoder", "width", "size", "batch")},
            "turns": len(lines), "views_per_second": {"alone": median_of(alone, "views_per_second"),
                                                      "beside a busy process": median_of(lines, "views_per_second")},
            "ratio": ratio_of(lines, alone, "views_per_second"), "data_wait": median_of(lines, "data_wait")}


def merge(lines):
    by_row = {}
    for line in lines:
        by_row.setdefault(line["row"], []).append(line)
    rows = {name: compared(name, found) for name, found in by_row.items() if not name.startswith("busy")}
    if "busy" in by_row:
        rows["busy"] = disturbed(by_row["busy"], by_row["busy-alone"])
    return rows


def percent(share):
    return f"{100 * share:.1f} %"


def rate(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def times(value):
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def page_section(content):
    rows = [row for row in content["rows"] if row["row"] != "busy"]
    text = INTRODUCTION.format(**content["machine"])
    if rows:
        text += "\n" + table(rows, [
            ("run", lambda row: f'{row["method"]}, {row["encoder"]}, width {row["width"]}'),
            ("px", lambda row: row["size"]), ("batch", lambda row: row["batch"]), ("turns", lambda row: row["turns"]),
            *((head, lambda row, by=by: rate(row["views_per_second"][by])) for head, by in
              (("viewfold", "viewfold"), ("default", "pytorch default"), ("best", "pytorch best"))),
            ("viewfold / default", lambda row: times(row["ratios"]["viewfold / pytorch default"])),
            ("viewfold / best", lambda row: times(row["ratios"]["viewfold / pytorch best"])),
            ("ceiling", lambda row: percent(row["share_of_ceiling"])),
            ("waiting", lambda row: percent(row["data_wait"])),
            ("memory / default", lambda row: times(row["memory_ratios"]["viewfold / pytorch default"])),
            ("memory / best", lambda row: times(row["memory_ratios"]["viewfold / pytorch best"])),
            ("others", lambda row: f"{row['other_processes']:.2f}")])
    for row in content["rows"]:
        if row["row"] == "busy":
            alone, beside = row["views_per_second"].values()
            text += (f"\nBeside one other process that keeps a core busy, viewfold ({row['method']}, width {row['width']}, "
                     f"{row['size']} px) makes {rate(beside)} views a second instead of {rate(alone)}: "
                     f"{percent(row['ratio'])}.\n")
    return text


def describe_machine(rows):
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    versions = next((row["versions"] for row in rows if "versions" in row), "")
    return {"date": datetime.date.today().isoformat(), "cpu": models[0] if models else "unknown processor",
            "cores": os.cpu_count(), "command": "make bench-pytorch", "versions": versions}


def main():
    raw, result, page = map(pathlib.Path, sys.argv[1:])
    rows = merge([json.loads(line) for line in raw.read_text().splitlines()])
    if result.exists():
        rows = {**{row["row"]: row for row in json.loads(result.read_text())["rows"]}, **rows}
    content = {"machine": describe_machine(rows.values()), "rows": list(rows.values())}
    result.write_text(json.dumps(content, indent=1) + "\n")
    section = page_section(content)
    text = page.read_text() if page.exists() else ""
    page.write_text((text[:text.index(TRAINING)] if TRAINING in text else text) + section)
    print(section)


if __name__ == "__main__":
    main()
