# SPDX-License-Identifier: MIT
"""Colours, figures and lettering of every picture, and curves of percentiles."""

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  the backend is chosen first
from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: E402

OURS, FLOOR, PEER, INK, FAINT = "#d1495b", "#5c8a8a", "#b9c2cb", "#22303c", "#dfe4e8"
# Further lines of one picture.
LINES = ("#3d5a80", "#6a9fb5", "#5c8a8a", "#7f9c3b", "#e0a33e", "#8d6a9f", "#a0522d", "#777777")
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": FAINT, "axes.spines.top": False,
    "axes.spines.right": False, "axes.spines.left": False, "svg.fonttype": "path", "svg.hashsalt": "ringpool",
}


def plain(value, _position=None):
    """1234 as 1,234; 0.5 as 0.5."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def counted(value, _position=None):
    """1234 as 1,234; 0 as 0."""
    return f"{value:,.0f}"


def bytes_text(value, _position=None):
    """96 as 96, 4096 as 4 Ki."""
    for unit, name in ((1 << 20, " Mi"), (1 << 10, " Ki")):
        if value >= unit and value % unit == 0:
            return f"{value // unit:,.0f}{name}"
    return f"{value:,.0f}"


def curve(axes, values, name, colour, bold=False, dashed=False):
    """One line of percentiles, from the lowest on."""
    axes.plot(range(len(values)), values, marker="o", markersize=6 if bold else 4, color=colour,
              linewidth=2.6 if bold else 1.3, linestyle=(0, (3, 2)) if dashed else "-", label=name,
              zorder=4 if bold else 3)


def frame_curves(axes, columns, unit, title=None):
    """Axes and legend of curves of percentiles: a log scale of `unit`."""
    axes.set_yscale("log")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_ylabel(unit)
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=FAINT, linewidth=0.7, zorder=0)
    axes.legend(frameon=False, fontsize=8, loc="upper left", title=title, alignment="left")


def finish(figure, title, note):
    """Title and, in small letters at the foot, where the figures are from."""
    height = figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.08 / height, title, ha="left", va="top", fontsize=13, fontweight="bold")
    figure.text(0.012, 0.004, note, fontsize=6.5, ha="left", va="bottom")
    figure.tight_layout(rect=(0, 0.25 / height, 1, 1 - 0.32 / height), h_pad=1.6, w_pad=1.6)


def save(figure, path):
    """As path.svg and path.png."""
    figure.savefig(path.with_name(f"{path.name}.svg"), metadata={"Date": None})
    figure.savefig(path.with_name(f"{path.name}.png"), dpi=160)
    pyplot.close(figure)
