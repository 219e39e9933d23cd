# SPDX-License-Identifier: MIT
"""A report of `ringpool load --json`: how long an echo took, from the median to the longest."""

from matplotlib import pyplot

from plots.style import LINES, OURS, counted, curve, finish, frame_curves, save

PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "p99_99": "p99.99", "max": "longest"}


def microseconds(histogram):
    return [max(histogram[key], 1) / 1e3 for key in PERCENTILES]


def draw(report, source):
    figure, axes = pyplot.subplots(figsize=(7.2, 4.2))
    curve(axes, microseconds(report["latency_ns"]), f"from when it was {report['latency_counted_from']}",
          OURS, bold=True)
    if "send_delay_ns" in report:
        curve(axes, microseconds(report["send_delay_ns"]), "of it, before it was sent", LINES[0])
    frame_curves(axes, list(PERCENTILES.values()), "microseconds")
    frames = report["frames"]
    faults = sum(report["faults"].values())
    pace = f"{counted(report['rate'])} frames a second" if "rate" in report else f"{report['pipeline']} outstanding"
    finish(figure, "How long an echo takes",
           f"ringpool load: {counted(report['connections'])} connections, {report['mix']['name']} mix, {pace}; "
           f"{counted(frames['measured'])} frames, {counted(frames['per_second'])} a second, {counted(faults)} faults")
    save(figure, source.with_suffix(""))
