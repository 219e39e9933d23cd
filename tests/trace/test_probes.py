# SPDX-License-Identifier: MIT
"""The static tracepoints are in the binary with the arguments that docs/tracing.md names, and are
passed as often as the pool's own statistics say.

    test_probes.py PROGRAM notes     what the binary says: readelf
    test_probes.py PROGRAM counts    what bpftrace counts; needs root, bpftrace and tracefs
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1]
SKIPPED = 77


def documented_probes():
    """{name: number of arguments} of the table in docs/tracing.md."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", (TOP / "docs" / "tracing.md").read_text("utf-8"), re.MULTILINE)
    return {name: len(re.findall(r"`\w+`", arguments)) for name, arguments in rows}


def probes_in(program):
    """{name: {numbers of arguments}} of the notes of provider `ringpool`."""
    notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
    found = {}
    for name, arguments in re.findall(r"Provider: ringpool\n\s+Name: (\w+)\n.*\n\s+Arguments: (.*)", notes):
        found.setdefault(name, set()).add(len(arguments.split()))
    return found


def probes_of_scripts():
    for script in sorted((TOP / "tools" / "trace").glob("*.bt")):
        for name in re.findall(r"usdt:\*:ringpool:(\w+)", script.read_text("utf-8")):
            yield script.name, name


class Notes(unittest.TestCase):
    def test_every_documented_probe_is_in_the_binary_and_no_other(self):
        self.assertEqual(probes_in(PROGRAM), {name: {count} for name, count in documented_probes().items()})

    def test_scripts_name_probes_that_there_are(self):
        self.assertEqual([at for at in probes_of_scripts() if at[1] not in documented_probes()], [])
        self.assertTrue(list(probes_of_scripts()))


COUNTING = """
BEGIN { printf("attached\\n"); }
usdt:*:ringpool:refill { @refill = sum(arg2); }
usdt:*:ringpool:flush { @flush = sum(arg2); }
usdt:*:ringpool:raid_begin { @raid_begin = count(); }
usdt:*:ringpool:raid_end { @raid_end = count(); }
usdt:*:ringpool:elastic /arg1 == 512/ { @elastic = count(); }
usdt:*:ringpool:upstream /arg2 == 512/ { @upstream = count(); }
usdt:*:ringpool:refusal /arg2 == 512/ { @refusal = count(); }
usdt:*:ringpool:wait_begin { @wait = count(); @open[arg3] = 1; }
usdt:*:ringpool:wait_end /@open[arg2]/ { @ended[arg3] = count(); }
END { clear(@open); }
"""


class Counts(unittest.TestCase):
    def trace(self, script):
        """(what the program printed, what the tracer printed)."""
        with subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as traced:
            tracer = subprocess.Popen(["bpftrace", "-p", str(traced.pid), *script],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for line in tracer.stdout:  # BEGIN prints one once all probes are there
                if not line.startswith("Attaching"):
                    break
            said, _ = traced.communicate("go\n", timeout=60)
            tracer.send_signal(signal.SIGINT)
            rest, errors = tracer.communicate(timeout=60)
            self.assertEqual(tracer.returncode, 0, errors)
            self.assertNotIn("failed to", errors)
            return dict(line.split() for line in said.splitlines()), rest

    def test_probes_are_passed_as_often_as_statistics_say(self):
        said, traced = self.trace(["-e", COUNTING])
        counts = dict(re.findall(r"^@(\w+(?:\[\d\])?): (\d+)$", traced, re.MULTILINE))
        for name in ("elastic", "upstream", "refusal", "wait"):
            self.assertEqual(counts.get(name), said[name], name)
        self.assertEqual(counts["ended[1]"], said["timed_out"])
        self.assertEqual(int(counts["ended[0]"]) + int(counts["ended[1]"]), int(said["wait"]))
        self.assertEqual(counts["raid_begin"], counts["raid_end"])
        self.assertGreaterEqual(int(counts["raid_begin"]), int(said["raid"]))  # clean ones are no raids
        self.assertGreater(int(said["raid"]), 0)
        self.assertGreater(int(counts["refill"]), 64)
        self.assertGreater(int(counts["flush"]), 0)

    def test_the_scripts_of_the_tree_say_something(self):
        for script, words in (("pool_activity.bt", ("@buffers_a_refill[512]", "@raid_ns[512]")),
                              ("waits.bt", ("@wait_us[512, 0]", "@wait_us[512, 1]", "@refused_bytes[512]"))):
            with self.subTest(script):
                _, traced = self.trace([str(TOP / "tools" / "trace" / script)])
                for word in words:
                    self.assertIn(word, traced)


def why_not_traced():
    if shutil.which("bpftrace") is None:
        return "bpftrace is not installed"
    if os.geteuid() != 0:
        return "it needs root"
    if not Path("/sys/kernel/tracing/uprobe_events").exists():
        return "tracefs is not mounted on /sys/kernel/tracing"
    return None


if __name__ == "__main__":
    if sys.argv[2] == "counts" and why_not_traced():
        print(f"skipped: {why_not_traced()}")
        sys.exit(SKIPPED)
    chosen = {"notes": "Notes", "counts": "Counts"}[sys.argv[2]]
    unittest.main(argv=[sys.argv[0], "-v", chosen])
