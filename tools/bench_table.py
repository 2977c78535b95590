#!/usr/bin/env python3
"""Puts together what `make bench` measured: RESULTS/views-ops.json, RESULTS/views-recipes.json and a Markdown page.

    /usr/bin/python3 tools/bench_table.py RAW.jsonl RESULTS PAGE.md
"""
import datetime
import json
import os
import pathlib
import statistics
import sys

STEPS = ("brightness", "contrast", "saturation", "hue")
PROGRAMS = ("viewfold", "opencv", "pil", "tensor", "batch")
HEADS = {"viewfold": "viewfold", "opencv": "OpenCV", "pil": "Pillow", "tensor": "tensor", "batch": "batch"}
COMPARED = ("pil", "tensor", "opencv")

INTRODUCTION = """# How fast views are made

Written by `make bench` on {date}: {cpu}, {cores} cores; viewfold's kernels ran with {viewfold}. Views a second, more is
better; each number is the median of {rounds} rounds, in which the programs took turns.

- **viewfold**: `viewfold bench views`; draws parameters, applies them and writes normalised float32 into a batch.
- **OpenCV**: `bench_opencv_views`, C++ on {opencv}, built like viewfold; the functions that albumentations calls, with
  buffers that are kept. Its own threads are off.
- **Pillow**, **tensor**, **batch**: {pil}.
  Pillow images or uint8 tensors, one at a time; or many at once, which then share their parameters and so are other
  views than those of the rest of the table. PyTorch's own threads are off.

Two threads are two processes of a DataLoader where Python is concerned. With decoding on, each sample's JPEG file is
read and decoded once for all its views. The 500 x 375 sources are put together of small pictures
(`tools/bench_pictures.py`). Filters are each library's own: OpenCV shrinks by area where the others stretch a linear or
cubic filter, and Pillow blurs by repeated box filters. OpenCV's and Pillow's hue has 8 bits.
"""

TRAINING = "\n# How fast training is\n"

CLOSING = """
Crops and resizes work on the sources, other operations on pictures of the size of a view. Every program makes a new
picture and leaves the old one as it is. brightness, contrast, saturation and hue are the steps of color_jitter.
"""


def name_of(line):
    """color_jitter with three strengths at 0 is the fourth step alone."""
    if "recipe" in line:
        return line["recipe"]
    if line["op"] == "color_jitter" and "settings" in line:
        return next(step for step in STEPS if f"views.color_jitter.{step}" not in line["settings"])
    return line["op"]


def merge(lines, kind):
    """One row for everything that was measured under equal conditions, with the medians of all programs."""
    rows = {}
    for line in lines:
        if kind not in line:
            continue
        key = (line["size"], name_of(line), line["threads"], line["decode"])
        row = rows.setdefault(key, {
            kind: name_of(line), "size": line["size"], "threads": line["threads"], "decode": line["decode"],
            "source_height": line["source_height"], "source_width": line["source_width"],
            "views_per_sample": line["views_per_sample"], "views_per_second": {}, "rates": {}})
        row["rates"].setdefault(line["by"], []).extend(line["rates"])
    for row in rows.values():
        medians = {by: statistics.median(rates) for by, rates in row["rates"].items()}
        row["views_per_second"] = medians
        row["ratios"] = {f"viewfold / {by}": medians["viewfold"] / medians[by]
                         for by in PROGRAMS[1:] if "viewfold" in medians and by in medians}
    return [rows[key] for key in sorted(rows)]


def number(value):
    return "" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def ratio(value):
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def table(rows, columns):
    """columns: heads and what gives the cell of a row."""
    lines = ["| " + " | ".join(head for head, _ in columns) + " |",
             "|" + "|".join("---" if i == 0 else "---:" for i in range(len(columns))) + "|"]
    lines += ["| " + " | ".join(str(cell(row)) for _, cell in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def rate_columns(rows):
    present = [by for by in PROGRAMS if any(by in row["views_per_second"] for row in rows)]
    columns = [(HEADS[by], lambda row, by=by: number(row["views_per_second"].get(by))) for by in present]
    for by in COMPARED:
        columns.append((f"viewfold / {HEADS[by]}", lambda row, by=by: ratio(row["ratios"].get(f"viewfold / {by}"))))
    return columns


def page(operations, recipes, machine):
    text = INTRODUCTION.format(**machine)
    text += "\n## Whole recipes\n\n"
    text += table(recipes, [
        ("recipe", lambda row: row["recipe"]), ("px", lambda row: row["size"]),
        ("source", lambda row: f'{row["source_width"]} x {row["source_height"]}'),
        ("decoding", lambda row: row["decode"]), ("threads", lambda row: row["threads"]), *rate_columns(recipes)])
    for size in sorted({row["size"] for row in operations}):
        chosen = [row for row in operations if row["size"] == size]
        text += f"\n## Single operations, {size} px, one thread\n\n"
        text += table(chosen, [("operation", lambda row: row["op"]), *rate_columns(chosen)])
    text += CLOSING
    return text


def describe_machine(lines):
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    sets = {line["by"]: line["instruction_set"] for line in lines}
    what = ("by", "op", "recipe", "size", "threads", "decode", "settings")
    alike = [line for line in lines if all(line.get(key) == lines[0].get(key) for key in what)]
    return {"date": datetime.date.today().isoformat(), "cpu": models[0] if models else "unknown processor",
            "cores": os.cpu_count(), "rounds": sum(line["rounds"] for line in alike), "command": "make bench", **sets}


def training_section(path):
    """What tools/bench_training_table.py has written to the page."""
    text = path.read_text() if path.exists() else ""
    return text[text.index(TRAINING):] if TRAINING in text else ""


def main():
    raw, results, page_path = sys.argv[1:]
    lines = [json.loads(line) for line in open(raw)]
    machine = describe_machine(lines)
    merged = {kind: merge(lines, kind) for kind in ("op", "recipe")}
    for kind, name in (("op", "views-ops.json"), ("recipe", "views-recipes.json")):
        content = {"machine": machine, "rows": merged[kind]}
        pathlib.Path(results, name).write_text(json.dumps(content, indent=1) + "\n")
    path = pathlib.Path(page_path)
    training = training_section(path)
    path.write_text(page(merged["op"], merged["recipe"], machine) + training)


if __name__ == "__main__":
    main()
