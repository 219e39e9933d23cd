# SPDX-License-Identifier: MIT
"""plot.py: each kind of report becomes pictures, anything else an error that says what is accepted."""

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

PLOT = Path(__file__).resolve().parent.parent.parent / "bench" / "plot.py"


def find_matplotlib(python):
    found = "import importlib.util; raise SystemExit(importlib.util.find_spec('matplotlib') is None)"
    return subprocess.run([python, "-c", found], check=False).returncode == 0


# Debian's own Python first: that is the one which Debian's matplotlib is for.
PYTHON = next((python for python in ("/usr/bin/python3", "python3")
               if shutil.which(python) and find_matplotlib(python)), None)

HISTOGRAM = {"p50": 40_000, "p90": 60_000, "p99": 90_000, "p99_9": 200_000, "p99_99": 900_000, "max": 2_000_000}
LOAD = {"latency_ns": HISTOGRAM, "send_delay_ns": HISTOGRAM, "latency_counted_from": "due", "connections": 3,
        "mix": {"name": "game"}, "rate": 1000, "frames": {"measured": 9, "per_second": 9.0}, "faults": {"lost": 0}}


def size_class(size, timeline):
    held = {"p50": 3, "p99": 5, "p99_9": 6, "peak": 7, "timeline": timeline}
    return {"buffer_size": size, "capacity": 8, "elastic_capacity": 2, "allocations": 5, "held": held}


def advice(timeline):
    classes = [size_class(64, timeline), size_class(4096, timeline)]
    sizes = [{"bytes": 1, "presence": 2.0}, {"bytes": 4000, "presence": 1.0}]
    return {"advised": {"classes": classes, "wasted_share": 0.0}, "today": {"classes": classes, "wasted_share": 0.2},
            "source": "a test", "traffic": {"timed": bool(timeline), "allocations": 10, "rate": 5.0, "seconds": 2.0,
                                            "sizes": sizes}}


@unittest.skipIf(PYTHON is None, "no matplotlib here")
class Plot(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_reports_become_pictures_beside_them_and_anything_else_an_error(self):
        reports = {"load": LOAD, "timed": advice([1, 2, 7]), "assumed": advice([]), "other": {"a": 1}, "number": 7}
        for name, report in reports.items():
            (self.folder / f"{name}.json").write_text(json.dumps(report), "utf-8")
        done = subprocess.run([PYTHON, PLOT, *(self.folder / f"{name}.json" for name in reports)],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 2, done.stderr)
        for name in ("other", "number"):
            self.assertRegex(done.stderr, f"{name}.json: no report .* accepted: the JSON of ./run bench")
        for name in ("load", "timed", "assumed"):
            self.assertIn("<svg", (self.folder / f"{name}.svg").read_text("utf-8"))
            self.assertTrue((self.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG"))


if __name__ == "__main__":
    unittest.main()
