#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws what a run of the benchmark wrote: plot.py bench/results/last.json

Beside the JSON: speed.svg and .png (one panel for each of six workloads), tail.svg and .png (how long
one call takes, from the median to the longest).
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  the backend is chosen first
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: E402

OURS, FLOOR, PEER, INK, FAINT = "#d1495b", "#5c8a8a", "#b9c2cb", "#22303c", "#dfe4e8"
PANELS = ("hot-pair", "held-random", "mixed-sizes", "bulk-32", "hand-off", "threads-64")
# The peers' lines in the picture of the tail, by rising p99.99.
LINES = ("#3d5a80", "#6a9fb5", "#5c8a8a", "#7f9c3b", "#e0a33e", "#8d6a9f", "#a0522d", "#777777")
TAIL = ("ringpool", "empty loop", "DPDK + cache", "gperftools", "jemalloc", "mimalloc", "glibc malloc",
        "boost::lockfree::stack", "mutex and vector")
# Variants of one contender that would only lengthen a picture; the tables have them all.
LEFT_OUT = {"empty loop", "DPDK, no cache", "DPDK, no cache, RTS", "oneTBB fixed pool", "foonathan, mutex",
            "boost::lockfree::queue"}
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": FAINT, "axes.spines.top": False,
    "axes.spines.right": False, "axes.spines.left": False, "svg.fonttype": "path", "svg.hashsalt": "ringpool",
}


def plain(value, _position=None):
    """1234 as 1,234; 0.5 as 0.5."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def ours_in(workload):
    return "ringpool, sizes" if workload == "mixed-sizes" else "ringpool"


def middle_half(row):
    """First and third quartile of its rounds; one round that was disturbed does not show."""
    ordered = sorted(sample[0] for sample in row["samples"])
    return max(ordered[len(ordered) // 4], 1e-3), ordered[-1 - len(ordered) // 4]


def draw_panel(axes, workload, ours):
    """Bars on a log scale, the best on top, each with its median and the span of its rounds."""
    key, mine = workload["workload"], ours_in(workload["workload"])
    rows = [row for row in workload["contenders"]
            if row["median"] > 0 and row["contender"] not in LEFT_OUT
            and (row["contender"] == mine or row["contender"] not in ours)]
    names = [row["contender"] for row in rows]
    medians = [row["median"] for row in rows]
    colours = [OURS if name == mine else FLOOR if name == "thread-local vector" else PEER for name in names]
    axes.set_xscale("log")
    spans = [middle_half(row) for row in rows]
    base = next((row["median"] for row in workload["contenders"]
                 if row["contender"] == "empty loop" and key == "hand-off"), None)
    least = min([*medians, *([base] if base else [])])
    axes.set_xlim(least / 1.6, max(most for _, most in spans) * 3.2)
    axes.barh(names, medians, color=colours, height=0.72, zorder=2)
    axes.hlines(names, [low for low, _ in spans], [high for _, high in spans],
                color=INK, linewidth=0.8, alpha=0.55, zorder=3)
    for row, (_, high) in zip(rows, spans):
        axes.annotate(plain(row["median"]), (high, row["contender"]), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=7.5,
                      fontweight="bold" if row["contender"] == mine else "normal")
    if base:
        axes.axvline(base, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=4)
        axes.annotate("the channel alone", (base, -0.55), fontsize=7, ha="left", va="bottom",
                      xytext=(4, 0), textcoords="offset points")
        axes.set_ylim(-1.35, len(rows) - 0.5)
    for label in axes.get_yticklabels():
        if label.get_text() == mine:
            label.set_fontweight("bold")
            label.set_color(OURS)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    span = max(most for _, most in spans) / least
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if span < 500 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=FAINT, linewidth=0.7, zorder=0)
    better = "more is better" if workload["better"] == "more" else "less is better"
    axes.set_title(workload["title"], loc="left", fontsize=9.5, fontweight="bold", pad=16)
    axes.text(0, 1.012, f"{workload['unit']}, {better}", transform=axes.transAxes, fontsize=7.5, va="bottom")


def draw_speed(run, workloads):
    panels = [workloads[key] for key in PANELS if key in workloads]
    if not panels:
        return None
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(5.4 * columns, 3.6 * lines), squeeze=False)
    for axes, workload in zip(grid.flat, panels):
        draw_panel(axes, workload, run["ours"])
    for axes in list(grid.flat)[len(panels):]:
        axes.remove()
    finish(figure, run, "A buffer taken and given back")
    return figure


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def draw_tail(run, workloads):
    workload = workloads.get("tail-64")
    if workload is None:
        return None
    columns = workload["columns"]
    order = [columns.index(name) for name in ("p50", "p99", "p99.9", "p99.99", "longest")]
    figure, axes = pyplot.subplots(figsize=(8.6, 5))
    axes.set_yscale("log")
    curves = []
    for row in workload["contenders"]:
        if row["contender"] in TAIL:
            curves.append((row["contender"], [median(one[i] for one in row["samples"]) for i in order]))
    curves.sort(key=lambda curve: curve[1][-2])
    shades = iter(LINES)
    for name, values in curves:
        mine, base = name == "ringpool", name == "empty loop"
        axes.plot(range(len(order)), values, marker="o", markersize=6 if mine else 4,
                  color=OURS if mine else INK if base else next(shades), linewidth=2.6 if mine else 1.3,
                  linestyle=(0, (3, 2)) if base else "-", label=name, zorder=4 if mine else 3)
    axes.set_xticks(range(len(order)), [columns[i] for i in order])
    axes.set_ylabel("nanoseconds, the clock's own included")
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=FAINT, linewidth=0.7, zorder=0)
    axes.legend(frameon=False, fontsize=8, loc="upper left", title="by p99.99", alignment="left")
    finish(figure, run, "How long one call takes: 64 threads on 2 processors")
    return figure


def finish(figure, run, title):
    machine = run["machine"]
    height = figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.08 / height, title, ha="left", va="top", fontsize=13, fontweight="bold")
    figure.text(0.012, 0.004, f"$ {run['command']}: medians; whiskers: the middle half of the rounds. "
                f"{machine['processor']}; {machine['compiler']}", fontsize=6.5, ha="left", va="bottom")
    figure.tight_layout(rect=(0, 0.25 / height, 1, 1 - 0.32 / height), h_pad=1.6, w_pad=1.6)


def main():
    source = Path(sys.argv[1])
    run = json.loads(source.read_text("utf-8"))
    workloads = {one["workload"]: one for one in run["workloads"]}
    pyplot.rcParams.update(STYLE)
    for name, draw in (("speed", draw_speed), ("tail", draw_tail)):
        figure = draw(run, workloads)
        if figure is not None:
            figure.savefig(source.with_name(f"{name}.svg"), metadata={"Date": None})
            figure.savefig(source.with_name(f"{name}.png"), dpi=160)
            pyplot.close(figure)


if __name__ == "__main__":
    main()
