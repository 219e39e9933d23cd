# SPDX-License-Identifier: MIT
"""A run of the benchmark, bench/results/last.json: one panel for each of six workloads, and how long
one call takes, from the median to the longest."""

from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from plots.style import FAINT, FLOOR, INK, LINES, OURS, PEER, curve, finish, frame_curves, plain, save

PANELS = ("hot-pair", "held-random", "mixed-sizes", "bulk-32", "hand-off", "threads-64")
TAIL = ("ringpool", "empty loop", "DPDK + cache", "gperftools", "jemalloc", "mimalloc", "glibc malloc",
        "boost::lockfree::stack", "mutex and vector")
# Variants of one contender that would only lengthen a picture; the tables have them all.
LEFT_OUT = {"empty loop", "DPDK, no cache", "DPDK, no cache, RTS", "oneTBB fixed pool", "foonathan, mutex",
            "boost::lockfree::queue"}


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
    finish(figure, "A buffer taken and given back", note_of(run))
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
    curves = []
    for row in workload["contenders"]:
        if row["contender"] in TAIL:
            curves.append((row["contender"], [median(one[i] for one in row["samples"]) for i in order]))
    curves.sort(key=lambda one: one[1][-2])
    shades = iter(LINES)
    for name, values in curves:
        mine, base = name == "ringpool", name == "empty loop"
        curve(axes, values, name, OURS if mine else INK if base else next(shades), bold=mine, dashed=base)
    frame_curves(axes, [columns[i] for i in order], "nanoseconds, the clock's own included", "by p99.99")
    finish(figure, "How long one call takes: 64 threads on 2 processors", note_of(run))
    return figure


def note_of(run):
    machine = run["machine"]
    return (f"$ {run['command']}: medians; whiskers: the middle half of the rounds. "
            f"{machine['processor']}; {machine['compiler']}")


def draw(run, source):
    """speed and tail, beside the JSON."""
    workloads = {one["workload"]: one for one in run["workloads"]}
    for name, picture in (("speed", draw_speed), ("tail", draw_tail)):
        figure = picture(run, workloads)
        if figure is not None:
            save(figure, source.with_name(name))
