#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lines of the library that the tests reach, per file.

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
        done = subprocess.run(["gcov", "--json-format", "--stdout", str(data)], cwd=build,
                              capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            yield json.loads(line)


def count_lines(build):
    """{file: {line: times run}} over all objects: a header's line counts wherever it was run."""
    counts = defaultdict(lambda: defaultdict(int))
    for note in notes_of(build):
        for file in note["files"]:
            path = (Path(note["current_working_directory"]) / file["file"]).resolve()
            name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
            if name.startswith(COUNTED):
                for line in file["lines"]:
                    counts[name][line["line_number"]] += line["count"]
    return counts


def main():
    build = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "coverage").resolve()
    counts = count_lines(build)
    if not counts:
        print(f"no coverage data below {build}; to make some:\n{__doc__}", file=sys.stderr)
        return 1
    lines, reached = 0, 0
    for name, file in sorted(counts.items()):
        missed = sorted(line for line, times in file.items() if times == 0)
        lines, reached = lines + len(file), reached + len(file) - len(missed)
        shown = " ".join(map(str, missed[:12])) + (" ..." if len(missed) > 12 else "")
        print(f"{100 * (len(file) - len(missed)) / len(file):6.1f} %  {name}  {shown}")
    print(f"{100 * reached / lines:6.1f} %  {reached} of {lines} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
