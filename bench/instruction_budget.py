#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the instructions of each path of the pool, as callgrind counts them, to a budget.

  instruction_budget.py check PROGRAM BUILD      fails where a path takes more than its budget
  instruction_budget.py update PROGRAM BUILD     writes what it takes now as the budget
  instruction_budget.py twin PROGRAM BUILD       halves the budget: every path must be found out

PROGRAM is ringpool_bench_paths. BUILD names compiler and machine, as `g++ 12 x86_64`: counts depend
on both. A build without a budget is skipped (exit code 77).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BUDGET = Path(__file__).resolve().parent / "instruction_budget.json"
TOLERANCE = 1.03  # another glibc, or a change of layout, moves a count by a little
SKIPPED = 77


def instructions(text):
    """(name, instructions per turn) of one dump; None if it is not of a path."""
    label = re.search(r"^desc: Trigger: Client Request: (.+)/(\d+)$", text, re.MULTILINE)
    total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    if not label or not total:
        return None
    return label[1], round(int(total[1]) / int(label[2]), 2)


def count(program):
    """{path: instructions per turn}; of dumps with one name the last counts."""
    with tempfile.TemporaryDirectory() as folder:
        command = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", program)
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if ran.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{ran.stdout}")
        dumps = sorted(Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        found = dict(filter(None, (instructions(path.read_text("utf-8")) for path in dumps)))
    if not found:
        sys.exit("callgrind counted nothing")
    return found


def over(found, budget):
    """Paths that take more than their budget, or have none, or are in it and were not counted."""
    return {path for path in found.keys() | budget.keys()
            if path not in found or path not in budget or found[path] > budget[path] * TOLERANCE}


def show(found, budget, wrong):
    print(f"{'instructions per turn':<28} {'now':>9} {'budget':>9}")
    for path in dict.fromkeys((*found, *budget)):
        print(f"{path:<28} {found.get(path, '-'):>9} {budget.get(path, '-'):>9}"
              f"{'  OVER' if path in wrong else ''}")
    if any(found.get(path, budget[path]) < 0.9 * budget[path] for path in budget):
        print("well below the budget: `update` keeps what was won")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("check", "update", "twin"))
    parser.add_argument("program")
    parser.add_argument("build")
    wanted = parser.parse_args()
    budgets = json.loads(BUDGET.read_text("utf-8")) if BUDGET.is_file() else {}
    if wanted.action != "update" and wanted.build not in budgets:
        print(f"no budget for {wanted.build}: `instruction_budget.py update` makes one")
        return SKIPPED
    found = count(wanted.program)
    if wanted.action == "update":
        budgets[wanted.build] = found
        BUDGET.write_text(json.dumps(budgets, indent=1) + "\n", "utf-8")
        show(found, found, set())
        return 0
    budget = budgets[wanted.build]
    if wanted.action == "twin":
        budget = {path: most / 2 for path, most in budget.items()}
    wrong = over(found, budget)
    show(found, budget, wrong)
    return int(bool(wrong)) if wanted.action == "check" else int(wrong != set(found))


if __name__ == "__main__":
    sys.exit(main())
