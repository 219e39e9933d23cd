#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Memory checkers see into a pool: each deed of misbehave.cpp is reported at its first access.

Arguments: `TOOL=PROGRAM`, TOOL being asan, msan or memcheck; PROGRAM is misbehave.cpp, built for it.
The report must name the function that did it. With RINGPOOL_MEMORY_CHECKER=off the same programs run
to their end, which shows that it is the pool's doing, and that these checks can fail.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

PROGRAMS = dict(argument.split("=", 1) for argument in sys.argv[1:])
REPORTED = 87

INVALID = {
    "asan": r"AddressSanitizer: (use-after-poison|heap-buffer-overflow)",
    "memcheck": r"Invalid (read|write) of size 1",
}
UNDEFINED = {
    "msan": r"MemorySanitizer: use-of-uninitialized-value",
    "memcheck": r"Syscall param write\(buf\) points to uninitialised|depends on uninitialised",
}
GONE = {
    "asan": r"AddressSanitizer: SEGV",
    "memcheck": r"Invalid write of size 1",
    "msan": r"MemorySanitizer: SEGV",
}


def run(tool, *deeds, off=False):
    """(exit code, standard error) of deeds; of none: of the list of them, on standard output."""
    environment = dict(os.environ,
                       ASAN_OPTIONS=f"exitcode={REPORTED}:detect_leaks=1",
                       MSAN_OPTIONS=f"exit_code={REPORTED}")
    environment.pop("RINGPOOL_MEMORY_CHECKER", None)
    if off:
        environment["RINGPOOL_MEMORY_CHECKER"] = "off"
    command = [PROGRAMS[tool], *deeds]
    if tool == "memcheck" and deeds:
        command = ["valgrind", "-q", f"--error-exitcode={REPORTED}", *command]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    return done.returncode, (done.stderr if deeds else done.stdout).decode(errors="replace")


def first_report(tool, deed):
    """What the tool says first, up to where it ends; "" if it says nothing."""
    code, said = run(tool, deed)
    return said.split("\n\n")[0] if code != 0 else ""


def memcheck_reports(deeds):
    """Memcheck goes on after an error: {deed: its first report} of one run, since each takes seconds."""
    code, said = run("memcheck", *deeds)
    reports = re.split(r"^==\d+== $", said, flags=re.MULTILINE)
    return {deed: next((each for each in reports if f"::{deed}()" in each), "") for deed in deeds}


def expected(tool, deed):
    """What the tool must say of a deed: a pattern, "" for nothing at all, None: not its business."""
    if deed.startswith("nothing_"):
        return ""
    if deed == "use_after_destruction":
        return GONE[tool]
    kind = UNDEFINED if "uninitialised" in deed or "last_owner" in deed else INVALID
    return kind.get(tool)


class Checkers(unittest.TestCase):
    def test_every_deed_is_reported_where_it_is_done(self):
        for tool in PROGRAMS:
            deeds = [deed for deed in run(tool)[1].split() if expected(tool, deed)]
            self.assertGreater(len(deeds), 3)
            reports = memcheck_reports(deeds) if tool == "memcheck" else {
                deed: first_report(tool, deed) for deed in deeds}
            for deed in deeds:
                with self.subTest(tool=tool, deed=deed):
                    self.assertRegex(reports[deed], expected(tool, deed))
                    self.assertIn(deed, reports[deed])

    def test_right_use_is_not_reported(self):
        for tool in PROGRAMS:
            deeds = [deed for deed in run(tool)[1].split() if expected(tool, deed) == ""]
            self.assertEqual(len(deeds), 3)
            with self.subTest(tool=tool):
                self.assertEqual(run(tool, *deeds), (0, "done\n"))

    def test_twin_switched_off_they_see_nothing(self):
        for tool, *deeds in (("asan", "use_after_free", "overflow_into_a_held_neighbour"),
                             ("msan", "bytes_of_the_last_owner_sent"),
                             ("memcheck", "use_after_free", "bytes_of_the_last_owner_sent")):
            if tool in PROGRAMS:
                with self.subTest(tool=tool):
                    self.assertEqual(run(tool, *deeds, off=True)[0], 0)

    def test_twin_switched_off_a_pointer_in_a_buffer_is_a_leak(self):
        if "asan" in PROGRAMS:
            _, said = run("asan", "nothing_a_pointer_kept_in_a_buffer", off=True)
            self.assertIn("4321 byte(s) leaked", said)


if __name__ == "__main__":
    if "memcheck" in PROGRAMS and shutil.which("valgrind") is None:
        print("valgrind is missing: memcheck is left out")
        del PROGRAMS["memcheck"]
    unittest.main(argv=sys.argv[:1])
