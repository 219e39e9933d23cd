# SPDX-License-Identifier: MIT
"""A report of `ringpool advise --json`: the sizes with the classes of today and those advised, and how
many buffers of each advised class were held, beside its capacity."""

import math

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from plots.style import FAINT, FLOOR, INK, OURS, PEER, bytes_text, counted, finish, plain, save

MOST_PANELS = 9
COLUMNS = 3


def steps_of(sizes):
    """(edge, presence) by steps that look alike on a log scale, 16 to a doubling."""
    steps = {}
    for one in sizes:
        step = math.ceil(16 * math.log2(one["bytes"]))
        steps[step] = steps.get(step, 0.0) + one["presence"]
    total = sum(steps.values())
    return [(step, 100 * presence / total) for step, presence in sorted(steps.items())]


def draw_sizes(axes, report):
    """Which sizes memory goes to, as a share, and where classes end."""
    steps = steps_of(report["traffic"]["sizes"])
    axes.bar([2 ** ((step - 0.5) / 16) for step, _ in steps], [share for _, share in steps],
             width=[2 ** (step / 16) - 2 ** ((step - 1) / 16) for step, _ in steps], color=PEER, zorder=2)
    axes.set_xscale("log", base=2)
    most = max(share for _, share in steps)
    axes.set_ylim(0, most * 1.34)
    ends = {name: [one["buffer_size"] for one in report[name]["classes"]] for name in ("today", "advised")}
    for name, colour, dashes, height in (("today", FLOOR, (0, (4, 3)), 1.30), ("advised", OURS, "-", 1.16)):
        waste = plain(100 * report[name]["wasted_share"])
        axes.vlines(ends[name], 0, most * height, color=colour, linestyle=dashes, linewidth=1.5, zorder=3,
                    label=f"{name}: {len(ends[name])} classes, {waste} % of their bytes wasted")
        for size in ends[name]:
            axes.annotate(bytes_text(size), (size, most * height), xytext=(-2, 0), textcoords="offset points",
                          fontsize=7, color=colour, ha="right", va="top")
    low = min(report["traffic"]["sizes"][0]["bytes"], *ends["advised"])
    high = max(report["traffic"]["sizes"][-1]["bytes"], *ends["advised"], *ends["today"])
    axes.set_xlim(low / 1.3, high * 1.25)
    axes.xaxis.set_major_locator(FixedLocator([2 ** i for i in range(0, 32)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(bytes_text))
    axes.set_xlabel("bytes asked for")
    axes.set_ylabel("% of what is held" if report["traffic"]["timed"] else "% of the allocations")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncol=2, borderaxespad=0.2)
    axes.grid(axis="y", color=FAINT, linewidth=0.7, zorder=0)


def draw_class(axes, one, seconds):
    """Held over time, or what is assumed of it, below the ring's capacity and the elastic one."""
    held, ring = one["held"], one["capacity"]
    everything = ring + one["elastic_capacity"]
    times = held["timeline"]
    if times:
        parts = [seconds * i / len(times) for i in range(len(times) + 1)]
        axes.stairs(times, parts, fill=True, color=PEER, zorder=2)
        axes.set_xlim(0, seconds)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("seconds", fontsize=7.5)
    else:
        names = (("p50", "p50"), ("p99", "p99"), ("p99_9", "p99.9"), ("peak", "most"))
        axes.bar([name for _, name in names], [held[key] for key, _ in names], color=PEER, width=0.6, zorder=2)
    axes.axhline(ring, color=OURS, linewidth=1.6, zorder=4)
    if everything > ring:
        axes.axhline(everything, color=OURS, linewidth=1.2, linestyle=(0, (2, 2)), zorder=4)
    top = max(everything, held["peak"], 1)
    axes.set_ylim(0, top * 1.22)
    elastic = f"elastic {counted(one['elastic_capacity'])}"
    labels = [(ring, f"ring {counted(ring)}"), (everything, elastic)]
    if everything < ring * 1.2:  # two labels would cover each other
        labels = [(everything, f"{labels[0][1]}, {elastic}" if everything > ring else labels[0][1])]
    for height, text in labels:
        axes.annotate(text, (1, height), xycoords=axes.get_yaxis_transform(), xytext=(0, 2),
                      textcoords="offset points", ha="right", fontsize=7, color=OURS, zorder=5)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(labelsize=7.5)
    axes.grid(axis="y", color=FAINT, linewidth=0.7, zorder=0)
    axes.set_title(f"{counted(one['buffer_size'])} bytes: most held {counted(held['peak'])}",
                   loc="left", fontsize=8.5, color=INK)


def draw(report, source):
    classes = sorted(report["advised"]["classes"], key=lambda one: -one["allocations"])[:MOST_PANELS]
    classes.sort(key=lambda one: one["buffer_size"])
    lines = -(-len(classes) // COLUMNS)
    figure = pyplot.figure(figsize=(9.6, 3.6 + 2.0 * lines))
    grid = figure.add_gridspec(1 + lines, COLUMNS, height_ratios=[1.5] + [1] * lines)
    draw_sizes(figure.add_subplot(grid[0, :]), report)
    for i, one in enumerate(classes):
        draw_class(figure.add_subplot(grid[1 + i // COLUMNS, i % COLUMNS]), one, report["traffic"]["seconds"])
    left_out = len(report["advised"]["classes"]) - len(classes)
    more = f"; {left_out} classes of fewer allocations are not shown" if left_out else ""
    traffic = report["traffic"]
    finish(figure, "Size classes for this traffic, and buffers held of each",
           f"ringpool advise: {report['source']}; {counted(traffic['allocations'])} allocations, "
           f"{counted(traffic['rate'])} a second{more}")
    save(figure, source.with_suffix(""))
