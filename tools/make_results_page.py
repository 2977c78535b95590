#!/usr/bin/env python3
"""Writes docs/results.md from the studies in results/: what `viewfold study` has found, as tables.

usage: tools/make_results_page.py [--check]     --check: fail when the page is not what results/ say
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"
NAMES = {"knn": "kNN", "linear": "linear"}

HEAD = """# Results of studies

Made by `tools/make_results_page.py` from the files that `viewfold study` wrote; what is behind them, and single runs,
are in [results/README.md](../results/README.md). Accuracy is of the encoder after its last epoch, in percent: mean and
standard deviation over the seeds. Differences are between runs of the same seed; the interval is Student's t. **A row
of one seed shows no difference that chance could not make.** Minutes are of training; where other work ran beside it
they say little.
"""


def percent(value):
    return f"{100 * value:.1f}"


def accuracy(arm, evaluation):
    found = arm["accuracy"].get(evaluation)
    if not found or found["n"] == 0:
        return "-"
    spread = f" ± {percent(found['sd'])}" if found["n"] > 1 else ""
    return percent(found["mean"]) + spread


def difference(arm, evaluation):
    found = arm.get("difference", {}).get(evaluation)
    if not found or found["n"] == 0:
        return "-"
    text = f"{100 * found['mean']:+.1f}"
    interval = found.get("interval_95")
    return f"{text} ({100 * interval[0]:+.1f} .. {100 * interval[1]:+.1f})" if interval else f"{text} (one seed)"


def table(study):
    evaluations = study["evaluations"]
    reference = study["reference"]
    head = ["arm", "seeds"]
    for evaluation in evaluations:
        name = NAMES.get(evaluation, evaluation)
        head += [name, f"{name} minus {reference}"]
    head.append("minutes")
    rows = []
    for arm in study["arms"]:
        seeds = max([found["n"] for found in arm["accuracy"].values()], default=0)
        if seeds == 0:
            continue
        row = [f"`{arm['name']}`", str(seeds)]
        for evaluation in evaluations:
            row += [accuracy(arm, evaluation), difference(arm, evaluation)]
        seconds = arm["wall_seconds"]
        row.append(f"{seconds['mean'] / 60:.1f}" if seconds["n"] else "-")
        rows.append(row)
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def audit_table(study, audit):
    """All numbers of an audit, arms side by side."""
    arms = [arm for arm in study["arms"] if arm.get("audits", {}).get(audit)]
    names = sorted({name for arm in arms for name in arm["audits"][audit]})
    lines = ["| " + " | ".join([audit] + [f"`{arm['name']}`" for arm in arms]) + " |", "|---|" + "--:|" * len(arms)]
    for name in names:
        row = [f"`{name}`"]
        for arm in arms:
            found = arm["audits"][audit].get(name)
            spread = f" ± {found['sd']:.2f}" if found and found["n"] > 1 else ""
            row.append(f"{found['mean']:.2f}{spread}" if found else "-")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def section(path):
    study = json.loads(path.read_text())
    if not isinstance(study.get("arms"), list):
        return None
    recipe = ROOT / "recipes" / (path.stem + ".toml")
    source = f"[recipe](../recipes/{recipe.name})" if recipe.exists() else "no recipe"
    missing = ""
    if study["missing"]:
        missing = f"\n\nNot run or not complete: {len(study['missing'])} of its runs."
    audits = "".join(f"\n\n{audit_table(study, audit)}" for audit in study.get("audits", []))
    measured = study["evaluations"] + study.get("audits", [])
    protocols = "\n".join(f"- {study['protocols'][name]}" for name in measured if name in study["protocols"])
    return (f"## {study['title']}\n\n{study['question']}\n\n{source}, [numbers](../results/{path.name}); "
            f"made on {'; '.join(study['machines'])}.\n\n{table(study)}{audits}{missing}\n\n{protocols}\n")


def page():
    sections = [section(path) for path in sorted((ROOT / "results").glob("*.json"))]
    return "\n".join([HEAD] + [text for text in sections if text])


def main():
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit(f"{PAGE.relative_to(ROOT)} is not what results/ say: run tools/make_results_page.py")
        return
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
