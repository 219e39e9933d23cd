#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the two counts of a hot pair cost: builds the library with and without them, static and
position-independent, and runs both in turn. Prints nanoseconds a pair, medians of the differences of
neighbouring runs with the 10th and 90th percentile.

    python3 bench/micro/counter_cost.py [ROUNDS]
"""

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
COUNT = re.compile(r"^ *detail::add_single_writer\(cache\.(allocs|frees), std::uint64_t\{1\}\);\n", re.MULTILINE)
FLAGS = {"static": [], "shared object": ["-fPIC"]}
FEWEST_ROUNDS = 5


def build(folder, counted, flags):
    tree = folder / ("with" if counted else "without")
    shutil.rmtree(tree, ignore_errors=True)
    for part in ("include", "src"):
        shutil.copytree(TOP / part, tree / part)
    header = tree / "include" / "ringpool" / "index_cache.hpp"
    text, removed = COUNT.subn("", header.read_text("utf-8"))
    if removed != 2:
        sys.exit(f"counter_cost.py: {header.name} has {removed} counts of a hit, 2 are known")
    if not counted:
        header.write_text(text, "utf-8")
    library = sorted(tree.glob("src/*.cpp"))
    if flags:
        shared = tree / "libringpool.so"
        subprocess.run(["g++", "-std=c++20", "-O2", "-DNDEBUG", *flags, "-shared", f"-I{tree}/include", f"-I{tree}/src",
                        *library, "-o", shared, "-pthread"], check=True)
        library = [shared, f"-Wl,-rpath,{tree}"]
    program = tree / "pair"
    subprocess.run(["g++", "-std=c++20", "-O2", "-DNDEBUG", *flags, f"-I{tree}/include", f"-I{tree}/src",
                    TOP / "bench" / "micro" / "counter_cost.cpp", *library, "-o", program, "-pthread"], check=True)
    return program


def run(program):
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return [float(word) for word in printed.split()]


def describe(values):
    ordered = sorted(values)
    tenth = len(ordered) // 10
    return f"{statistics.median(ordered):6.2f} ({ordered[tenth]:.2f} to {ordered[-1 - tenth]:.2f})"


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    if rounds < FEWEST_ROUNDS:
        sys.exit(f"counter_cost.py: {rounds} rounds; accepted: {FEWEST_ROUNDS} and more")
    for name, flags in FLAGS.items():
        with tempfile.TemporaryDirectory(prefix="ringpool-bench-") as folder:
            programs = [build(Path(folder), counted, flags) for counted in (True, False)]
            pairs = [[run(program) for program in programs] for _ in range(rounds)]
        for at, what in enumerate(("a pair", "a pair among 32")):
            print(f"{name + ', ' + what:<32} {describe([one[0][at] for one in pairs])} ns, of it the counts "
                  f"{describe([one[0][at] - one[1][at] for one in pairs])}", flush=True)


if __name__ == "__main__":
    main()
