#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lines and branches of the library that the tests reach, per file. Branches that only an exception
takes are not counted.

    cmake --preset coverage && cmake --build --preset coverage && ctest --preset coverage
    scripts/coverage.py [build/coverage]
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTED = ("include/ringpool/", "src/")


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
    build = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "coverage").resolve()
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
