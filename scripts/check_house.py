#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what every file of the tree keeps: licence line, length, no loose ends, no private paths,
and a unit test for each public header."""

import re
import sys
from pathlib import Path

from cxx_source import Finding, main

FOLDERS = ("include", "src", "tools", "tests", "bench", "examples", "adapters", "scripts", "cmake", "docs")
TOP_FILES = ("CMakeLists.txt", "run", "test", ".ci/run", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LEFT_OUT = re.compile(r"(^|/)(__pycache__|fixtures)/|^bench/results/")
CODE = (".hpp", ".cpp", ".h", ".c", ".py", ".sh", ".cmake")
TEXT = (*CODE, ".txt", ".md", ".in", ".map")

MAX_HEADER_LINES = 400
MAX_SOURCE_LINES = 600  # and of detail/*_impl.hpp, which are sources in effect
MAX_PYTHON_COLUMNS = 120  # clang-format sees to C++

LOOSE_END = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|not imple" r"mented)\b")  # not this line
PRIVATE_PATH = re.compile(r"(?<![\w.])/(work|root|home)/")
TEMPORARY_PATH = re.compile(r"(?<![\w.}])/tm" r"p/")


def files_of(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in TEXT:
                yield path
    yield from (root / name for name in TOP_FILES if (root / name).is_file())


def check_lines(path, lines):
    for number, line in enumerate(lines, start=1):
        if LOOSE_END.search(line):
            yield Finding(path, number, "a loose end")
        if PRIVATE_PATH.search(line):
            yield Finding(path, number, "a path of one machine")
        if TEMPORARY_PATH.search(line) and not path.startswith("tests/"):
            yield Finding(path, number, "a path below the temporary directory")
        if line != line.rstrip():
            yield Finding(path, number, "space at the end of the line")
        if path.endswith(".py") and len(line) > MAX_PYTHON_COLUMNS:
            yield Finding(path, number, f"{len(line)} columns")


def check_file(path, text):
    lines = text.splitlines()
    is_code = path.endswith(CODE) or path in ("run", "test", ".ci/run", "CMakeLists.txt")
    if is_code and not any("SPDX-License-Identifier: MIT" in line for line in lines[:2]):
        yield Finding(path, 1, "no line `SPDX-License-Identifier: MIT` at the top")
    if path.endswith(".hpp") and "#pragma once" not in lines[:3]:
        yield Finding(path, 1, "no `#pragma once` below the licence")
    if path.endswith(".h") and not any(line.startswith("#ifndef ") for line in lines[:3]):
        yield Finding(path, 1, "no include guard below the licence")
    if text and not text.endswith("\n"):
        yield Finding(path, len(lines), "no new line at the end")
    is_header = path.endswith((".hpp", ".h")) and not path.endswith("_impl.hpp")
    longest = MAX_HEADER_LINES if is_header else MAX_SOURCE_LINES
    if path.startswith(("include/", "src/", "tools/")) and len(lines) > longest:
        yield Finding(path, longest + 1, f"{len(lines)} lines: is it two things?")
    yield from check_lines(path, lines)


def check_unit_tests(root):
    """tests/unit mirrors include/ringpool: a/b.hpp has a_b_test.cpp."""
    include = root / "include" / "ringpool"
    for header in sorted(include.rglob("*.hpp")):
        name = header.relative_to(include).with_suffix("").as_posix()
        test = root / "tests" / "unit" / (name.replace("/", "_") + "_test.cpp")
        if not name.startswith("detail/") and not test.is_file():
            path = header.relative_to(root).as_posix()
            yield Finding(path, 1, f"has no {test.relative_to(root).as_posix()}")


def check_readme(root):
    """The first program in README.md is examples/quick_start.cpp, which the tests compile and run."""
    readme = (root / "README.md").read_text("utf-8") if (root / "README.md").is_file() else ""
    shown = re.search(r"^```cpp\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    example = root / "examples" / "quick_start.cpp"
    if shown and example.is_file() and shown[1] not in example.read_text("utf-8"):
        yield Finding("README.md", 1, "its program differs from examples/quick_start.cpp")


def check(root):
    count = 0
    for file in files_of(root):
        path = file.relative_to(root).as_posix()
        if not LEFT_OUT.search(path):
            count += 1
            yield from check_file(path, file.read_text("utf-8"))
    if count == 0:
        yield Finding(".", 1, "no files: nothing was checked")
    yield from check_unit_tests(root)
    yield from check_readme(root)


if __name__ == "__main__":
    sys.exit(main(__doc__, check))
