#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every test and check of the tree: ./test calls this once the packages are there.

Each step's full output goes to build/logs/STEP.log; of a failed step the end is shown, or what the
failed test cases printed. The last line is `N passed, M failed`: a CTest case counts one, any other
step one.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "logs"
JOBS = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(len(os.sched_getaffinity(0)))
SHOWN_LINES = 40
SHOWN_CASES = 8


@dataclass
class Result:
    """What a step came to. `cases`: (name, output) of test cases that failed."""

    passed: int
    failed: int
    skipped: int = 0
    cases: list = field(default_factory=list)
    seconds: float = 0
    cpu_seconds: float = 0


@dataclass
class Step:
    name: str
    about: str
    run: object  # (log file) -> Result
    quick: bool = False
    more: bool = False  # in --all alone


def execute(log, *command, environment=None):
    """Runs a command with no input; its output goes to the log. Returns its exit code."""
    log.write("$ " + " ".join(map(str, command)) + "\n")
    log.flush()
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
        stderr=subprocess.STDOUT, env=environment, check=False,
    ).returncode


def one(ok):
    return Result(passed=int(ok), failed=int(not ok))


def commands(*lists):
    """A step of commands, all run, all to succeed."""
    return lambda log: one(all([execute(log, *command) == 0 for command in lists]))


def build(preset, *targets):
    """A step that configures and builds a preset."""

    def run(log):
        target = ("--target", *targets) if targets else ()
        return one(
            execute(log, "cmake", "--preset", preset) == 0
            and execute(log, "cmake", "--build", "--preset", preset, "-j", JOBS, *target) == 0
        )

    return run


def fixed_addresses(log):
    """The sanitizers of clang 14 cannot cope with as much randomness in addresses as newer kernels
    are set to: a prefix that runs a command without it, where that is allowed."""
    prefix = ("setarch", platform.machine(), "-R")
    if shutil.which("setarch") and execute(log, *prefix, "true") == 0:
        return prefix
    return ()


def read_junit(path):
    """(passed, skipped, [(name, output) of the failed]) of a CTest report."""
    passed, skipped, failed = 0, 0, []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        mark = case.find("skipped")
        if case.get("status") == "run":
            passed += 1
        elif case.get("status") == "disabled" or (
            mark is not None and re.match(r"SKIP_|SKIPPED", mark.get("message", ""))
        ):
            skipped += 1
        else:
            failed.append((case.get("name"), case.findtext("system-out") or ""))
    return passed, skipped, failed


def in_turn(first, second):
    """A step of two: the second's result, if the first succeeds."""

    def run(log):
        start = first(log)
        return second(log) if start.failed == 0 else start

    return run


def ctest(preset, *options):
    """A step that runs a preset's tests; each counts."""

    def run(log):
        report = LOGS / f"ctest-{preset}.xml"
        report.unlink(missing_ok=True)
        prefix = fixed_addresses(log) if preset in ("asan", "tsan", "fuzz") else ()
        code = execute(log, *prefix, "ctest", "--preset", preset, "-j", JOBS,
                       "--output-junit", report, *options)
        if not report.exists():
            return one(False)
        passed, skipped, cases = read_junit(report)
        if code != 0 and not cases or passed == 0:
            cases.append(("ctest", "it failed without a failed case, or ran none"))
        return Result(passed, len(cases), skipped, cases)

    return run


def programs(preset, left_out, *suites):
    """A step that runs whole test programs of a preset, in which a start costs more than a test.
    `left_out`: a filter of GoogleTest."""
    listed = json.loads((ROOT / "CMakePresets.json").read_text("utf-8"))["testPresets"]
    environment = dict(os.environ, RINGPOOL_MEMORY_CHECKER="off",
                       **next(one["environment"] for one in listed if one["name"] == preset))

    def run(log):
        total, prefix = Result(0, 0), fixed_addresses(log)
        for suite in suites:
            report = LOGS / f"{preset}-{suite}.xml"
            report.unlink(missing_ok=True)
            code = execute(log, *prefix, f"build/{preset}/tests/ringpool_{suite}_tests",
                           f"--gtest_filter=-{left_out}", f"--gtest_output=xml:{report}",
                           "--gtest_brief=1", environment=environment)
            cases = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else ()
            for case in cases:
                failure = case.find("failure")
                if failure is not None:
                    total.cases.append((f"{case.get('classname')}.{case.get('name')}",
                                        failure.get("message")))
                total.skipped += case.get("result") == "skipped"
                total.passed += case.get("result") == "completed" and failure is None
            if code != 0 and not total.cases or not report.exists():
                total.cases.append((suite, f"it ended with {code}: build/logs"))
        total.failed = len(total.cases)
        return total

    return run


def format_check(log):
    files = [
        path.relative_to(ROOT).as_posix()
        for folder in ("include", "src", "tools", "tests", "bench", "examples")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".hpp", ".cpp", ".h", ".c")
    ]
    ok = execute(log, "clang-format-14", "--dry-run", "-Werror", *files) == 0
    if not ok:
        log.write("\nto mend: clang-format-14 -i $(git ls-files '*.hpp' '*.cpp' '*.h' '*.c')\n")
    return one(ok)


def tidy(log):
    """clang-tidy on the library: its sources, and its headers through them."""
    return one(
        execute(log, "cmake", "--preset", "tidy") == 0
        and execute(log, "run-clang-tidy-14", "-quiet", "-p", "build/tidy", "-j", JOBS,
                    f"^{re.escape(str(ROOT))}/src/") == 0
    )


def script(name):
    return (sys.executable, f"scripts/{name}")


NOT_UNDER_SANITIZERS = "*_twin*:*fenced*:misuse_matrix*:unload.loading*"

STEPS = (
    Step("scripts", "the checks' own tests, with trees that must fail",
         commands((sys.executable, "-m", "unittest", "discover", "-s", "scripts/tests"))),
    Step("layers", "includes go down", commands(script("check_layers.py"))),
    Step("orders", "memory orders and their labels", commands(script("check_orders.py"))),
    Step("house", "licence lines, lengths, loose ends", commands(script("check_house.py"))),
    Step("format", "clang-format 14", format_check),
    Step("build", "release: g++, -Werror", build("release"), quick=True),
    Step("test", "unit, property, model, stress, misuse, server, package",
         ctest("release", "-LE", "^more$"), quick=True),
    # Seeded bugs are found in the plain build, so their twins stay out of the builds below, and so
    # do the runs of the same bodies with membarrier refused.
    Step("asan-build", "AddressSanitizer, UndefinedBehaviorSanitizer; clang 14, -Werror",
         build("asan", "ringpool_unit_tests", "ringpool_uring_tests", "ringpool_stress_tests",
               "ringpool_misuse_tests")),
    Step("asan-test", "unit, io_uring, stress and misuse tests under them",
         programs("asan", NOT_UNDER_SANITIZERS, "unit", "uring", "misuse", "stress")),
    Step("tsan-build", "ThreadSanitizer; clang 14, -Werror", build("tsan", "ringpool_stress_tests")),
    Step("tsan-test", "stress tests under it", programs("tsan", NOT_UNDER_SANITIZERS, "stress")),
    Step("fuzz", "fuzz targets on their corpora and 2 s more, and those with a seeded bug",
         in_turn(build("fuzz", "ringpool_fuzz_quick"), ctest("fuzz", "-E", "command_line|config|readers"))),
    # What a change of the command, or a release, wants besides.
    Step("tidy", "clang-tidy 14 on the library", tidy, more=True),
    Step("more", "further ways to bring the library in, and the servers of the benchmarks",
         in_turn(build("release", "ringpool_bench_servers"), ctest("release", "-L", "^more$")), more=True),
    Step("fuzz-all", "likewise, the command line, files and the readers of traffic too",
         in_turn(build("fuzz"), ctest("fuzz")), more=True),
    Step("asan-all", "the command and everything else, and its tests, with AddressSanitizer",
         in_turn(build("asan"), ctest("asan", "-E", "_twin|server.demo")), more=True),
    Step("tsan-all", "likewise with ThreadSanitizer",
         in_turn(build("tsan"), ctest("tsan", "-E", "_twin|server.(demo|load|idle_cost)")), more=True),
    Step("clang-all", "likewise without a sanitizer", in_turn(build("clang"), ctest("clang")), more=True),
)


def show_failure(step, result):
    """The output of failed cases, else the end of the step's log."""
    path = LOGS / f"{step.name}.log"
    parts = result.cases[:SHOWN_CASES] or [("", path.read_text("utf-8", "replace"))]
    for name, output in parts:
        if name:
            print(f"  {name}")
        for line in output.splitlines()[-SHOWN_LINES:]:
            print(f"    | {line}")
    for name, _ in result.cases[SHOWN_CASES:]:
        print(f"  {name}")
    print(f"  all of it: {path.relative_to(ROOT)}", flush=True)


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_step(step):
    """Runs a step and prints its line."""
    start, cpu_start = time.monotonic(), cpu_seconds()
    with (LOGS / f"{step.name}.log").open("w", encoding="utf-8") as log:
        result = step.run(log)
    result.seconds = time.monotonic() - start
    result.cpu_seconds = cpu_seconds() - cpu_start
    verdict = "ok" if result.failed == 0 else f"{result.failed} FAILED"
    print(f"{step.name:<12} {result.seconds:6.1f} s  {verdict}", flush=True)
    if result.failed:
        show_failure(step, result)
    return result


def print_table(rows):
    def row(name, results, about):
        def total(member):
            return sum(getattr(result, member) for result in results)

        print(f"{name:<12} {total('passed'):>7} {total('failed'):>7} {total('skipped'):>8} "
              f"{total('seconds'):>8.1f} {total('cpu_seconds'):>8.1f}  {about}".rstrip())

    print(f"\n{'step':<12} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8} {'CPU s':>8}  what")
    for step, result in rows:
        row(step.name, [result], step.about)
    row("all", [result for _, result in rows], "")
    print()


def main():
    listing = "\n".join(f"  {step.name:<12}{'*' if step.more else ' '}{step.about}" for step in STEPS)
    parser = argparse.ArgumentParser(
        prog="./test", description="Builds and runs every test and check.",
        epilog="steps, in this order:\n" + listing,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the release build and its tests alone")
    parser.add_argument("--all", action="store_true", help="also the steps marked *: some 10 minutes more")
    parser.add_argument("step", nargs="*", help="run these steps alone")
    wanted = parser.parse_args()
    unknown = set(wanted.step) - {step.name for step in STEPS}
    if unknown:
        parser.error(f"no such step: {', '.join(sorted(unknown))}; there are:\n{listing}")
    if wanted.step:
        steps = [step for step in STEPS if step.name in wanted.step]
    elif wanted.quick:
        steps = [step for step in STEPS if step.quick]
    else:
        steps = [step for step in STEPS if wanted.all or not step.more]
    LOGS.mkdir(parents=True, exist_ok=True)
    rows = [(step, run_step(step)) for step in steps]
    print_table(rows)
    passed = sum(result.passed for _, result in rows)
    failed = sum(result.failed for _, result in rows)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
