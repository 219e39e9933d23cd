#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws reports, each as SVG and PNG beside its JSON: plot.py FILE...

Of a run of the benchmark (bench/results/last.json) speed and tail; of `ringpool load --json` and
`ringpool advise --json` one picture of the JSON's name.
"""

import json
import sys
from pathlib import Path

try:
    from matplotlib import pyplot
    from plots import advice, load, style, workloads
except ImportError as error:
    sys.exit(f"plot.py: {error}: it needs python3-matplotlib")

# What a report is, by a key that it alone has.
KINDS = {"workloads": workloads.draw, "latency_ns": load.draw, "advised": advice.draw}


def draw(path):
    """An error, or None."""
    try:
        report = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        return f"{path}: {error}"
    kind = next((key for key in KINDS if isinstance(report, dict) and key in report), None)
    if kind is None:
        return (f"{path}: no report that can be drawn; accepted: the JSON of ./run bench, ringpool load and "
                "ringpool advise")
    KINDS[kind](report, path)
    return None


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    pyplot.rcParams.update(style.STYLE)
    faults = [fault for fault in map(draw, map(Path, sys.argv[1:])) if fault]
    if faults:
        sys.exit("\n".join(f"plot.py: {fault}" for fault in faults))


if __name__ == "__main__":
    main()
