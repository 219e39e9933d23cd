#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lines and branches of the library that the tests reach, per file. Branches that only an exception
takes are not counted.

    cmake --preset coverage && cmake --build --preset coverage
    scripts/coverage.py [--run] [build/coverage]

--run forgets what was counted before and runs the tests of every kind but instructions (they are
stepped, and so slow): whole programs of unit, property, misuse, tools, model and stress tests, then
those of server, faults and memory checkers. What is long elsewhere is short here. Twins stay out,
whose bugs are not the library's, and signals, which come faster than this build can handle them.
Without it, whatever has run since the build is summed up.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTED = ("include/ringpool/", "src/")


PROGRAMS = {  # and what each leaves out, as a filter of GoogleTest
    "unit": "", "property": "", "misuse": "", "tools": "", "model": "model_twins*",
    "stress": "*twin*:*4096_buffers*:*signals.*",
}
SHORT = {"RINGPOOL_STRESS_SCALE": "0.1", "RINGPOOL_MODEL_SCALE": "0.01"}
LABELS = "^(server|fault|checkers)$"


def run_tests(build):
    """Runs them all, one after another; True if all passed. Needs the checks of a memory checker
    off in programs, as CTest has them."""
    for data in build.rglob("*.gcda"):
        data.unlink()
    environment = dict(os.environ, **SHORT)
    as_in_production = dict(environment, RINGPOOL_MEMORY_CHECKER="off")
    steps = [(suite, as_in_production, [build / "tests" / f"ringpool_{suite}_tests",
                                        f"--gtest_filter=-{left_out}", "--gtest_brief=1"])
             for suite, left_out in PROGRAMS.items()]
    steps.append((LABELS, environment,
                  ["ctest", "--test-dir", build, "-L", LABELS, "--no-tests=error"]))
    sound = True
    for name, variables, command in steps:
        start = time.monotonic()
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        verdict = "ok" if done.returncode == 0 else f"ended with {done.returncode}"
        print(f"{time.monotonic() - start:6.1f} s  {name}: {verdict}", flush=True)
        if done.returncode != 0:
            print(done.stdout[-4000:] + done.stderr[-1000:], file=sys.stderr)
            sound = False
    return sound


def notes_of(build):
    """What gcov says of each object that was run, as parsed JSON."""
    for data in sorted(build.rglob("*.gcda")):
        done = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout",
                               str(data)], cwd=build,
                              capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            yield json.loads(line)


def count(build):
    """{file: {place: times}} of lines and of branches, over all objects: a header's line counts
    wherever it was run. Places are line numbers, and (line, which) for branches."""
    lines = defaultdict(lambda: defaultdict(int))
    branches = defaultdict(lambda: defaultdict(int))
    for note in notes_of(build):
        for file in note["files"]:
            path = (Path(note["current_working_directory"]) / file["file"]).resolve()
            name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
            if not name.startswith(COUNTED):
                continue
            for line in file["lines"]:
                number = line["line_number"]
                lines[name][number] += line["count"]
                for which, branch in enumerate(line["branches"]):
                    if not branch["throw"]:
                        branches[name][number, which] += branch["count"]
    return lines, branches


def reached(counts):
    return sum(1 for times in counts.values() if times != 0)


def percent(counts):
    return 100 * reached(counts) / len(counts) if counts else 100.0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run the tests first")
    parser.add_argument("build", type=Path, nargs="?", default=ROOT / "build" / "coverage")
    asked = parser.parse_args()
    build = asked.build.resolve()
    sound = run_tests(build) if asked.run else True
    lines, branches = count(build)
    if not lines:
        print(f"no coverage data below {build}; to make some:\n{__doc__}", file=sys.stderr)
        return 1
    print(" lines  branches")
    for name, file in sorted(lines.items()):
        missed = sorted(line for line, times in file.items() if times == 0)
        shown = " ".join(map(str, missed[:12])) + (" ..." if len(missed) > 12 else "")
        print(f"{percent(file):5.1f} % {percent(branches[name]):6.1f} %  {name}  {shown}")
    for what, all_files in (("lines", lines), ("branches", branches)):
        total = {(name, place): times for name, file in all_files.items()
                 for place, times in file.items()}
        print(f"{percent(total):.1f} % of {what}: {reached(total)} of {len(total)}")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
