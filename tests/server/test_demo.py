#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`ringpool demo` and the command's front door. Usage: test_demo.py PATH_OF_RINGPOOL"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from frame_client import run_on_terminal

RINGPOOL = "ringpool"

SHORT = ["demo", "--connections", "60", "--rounds", "1", "--round-seconds", "0.4"]
SHORT += ["--open-rounds", "1", "--open-round-seconds", "0.4"]
LONG = ["demo", "--connections", "60", "--rounds", "1000"]


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.environment = dict(os.environ, TMPDIR=self.folder.name)
        self.addCleanup(self.folder.cleanup)

    def start(self, arguments):
        return subprocess.Popen(
            [RINGPOOL, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_and_await_servers(self):
        demo = self.start(LONG)
        self.addCleanup(demo.kill)
        self.assertTrue(wait_until(lambda: len(children_of(demo.pid)) == 2, 10), "the demo started no servers")
        time.sleep(0.7)  # into the traffic
        return demo, children_of(demo.pid)

    def test_a_short_demo_is_clean_and_reports_both_sides(self):
        with tempfile.TemporaryDirectory() as other:
            report_file = os.path.join(other, "report.json")
            demo = self.start([*SHORT, "--json", report_file])
            out, err = demo.communicate(timeout=30)
            self.assertEqual((demo.returncode, err), (0, ""), out)
            with open(report_file, encoding="utf-8") as file:
                report = json.load(file)
        self.assertEqual(os.listdir(self.folder.name), [], "files were left behind")
        self.check_text(out)
        for name in ("pool", "malloc"):
            self.check_side(report["sides"][name])
        pool = report["sides"]["pool"]["server"]
        self.assertEqual(pool["idle"]["heap_allocations_on_data_path"], 0)
        self.assertGreater(sum(row["alloc_count"] for row in pool["idle"]["classes"]), 0)
        for row in pool["idle"]["classes"]:
            self.assertEqual(row["alloc_count"], row["free_count"], row)

    def check_text(self, out):
        self.assertIn("All is well", out)
        self.assertNotIn("\x1b", out)
        self.assertLessEqual(max(len(line) for line in out.splitlines()), 100)
        for words in ("lost", "corrupted", "p99.9", "The pool, by size class", "buffers held, all idle", "resident"):
            self.assertIn(words, out)

    def check_side(self, side):
        self.assertGreater(side["echoed_frames"], 100)
        self.assertEqual(side["echoed_frames"], side["sent_frames"])
        self.assertEqual((side["lost"], side["corrupted"], side["foreign"]), (0, 0, 0))
        self.assertEqual(side["server"]["idle"]["frames"], side["echoed_frames"])
        self.assertEqual(side["server"]["idle"]["buffers_in_use"], 0)
        self.assertGreater(side["server"]["idle"]["resident_bytes"], 0)
        self.assertGreater(side["server"]["loaded"]["frames"], 0)

    def test_an_interrupt_ends_the_demo_and_its_servers(self):
        demo, servers = self.start_and_await_servers()
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=10)
        self.assertEqual(demo.returncode, 130, err)
        self.assertIn("interrupted", err)
        self.assertEqual(out, "")
        self.assertEqual([pid for pid in servers if is_running(pid)], [])
        self.assertEqual(os.listdir(self.folder.name), [], "files were left behind")

    def test_the_servers_end_when_the_demo_is_killed(self):
        demo, servers = self.start_and_await_servers()
        demo.kill()
        demo.communicate(timeout=10)
        ended = wait_until(lambda: not any(is_running(pid) for pid in servers), 10)
        self.assertTrue(ended, "a server outlived the demo")

    def test_a_server_that_dies_ends_the_demo_with_a_clear_error(self):
        demo, servers = self.start_and_await_servers()
        os.kill(servers[0], signal.SIGKILL)
        out, err = demo.communicate(timeout=15)
        self.assertEqual((demo.returncode, out), (3, ""))
        self.assertIn("the server (pool) ended while it was driven", err)
        self.assertFalse(is_running(servers[1]))

    def test_without_a_temporary_directory_it_says_so(self):
        self.environment["TMPDIR"] = "/nonexistent"
        demo = self.start(SHORT)
        _, err = demo.communicate(timeout=10)
        self.assertEqual(demo.returncode, 3)
        self.assertIn("TMPDIR", err)

    def test_colours_on_a_terminal_and_none_with_no_color(self):
        for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            with self.subTest(coloured=coloured):
                environment = {name: value for name, value in self.environment.items() if name != "NO_COLOR"}
                shown = run_on_terminal(self, [RINGPOOL, *SHORT], {**environment, **variables})
                report = shown[shown.index("ringpool demo") - 8 :]
                self.assertEqual("\x1b[1;36m" in report, coloured)
                self.assertIn("All is well", report)
                self.assertRegex(shown, r"\[#+\.+\]")


class FrontDoor(unittest.TestCase):
    def run_command(self, *arguments):
        done = subprocess.run([RINGPOOL, *arguments], capture_output=True, text=True, timeout=10)
        return done.returncode, done.stdout, done.stderr

    def test_version(self):
        code, out, _ = self.run_command("version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^ringpool \d+\.\d+\.\d+\n$")

    def test_help_names_every_subcommand(self):
        code, out, _ = self.run_command("--help")
        self.assertEqual(code, 0)
        for name in ("serve", "load", "demo", "version"):
            self.assertIn(name, out)

    def test_help_is_plain_text(self):
        for name in ("serve", "load", "demo"):
            _, out, _ = self.run_command(name, "--help")
            self.assertIn("Usage", out)
            self.assertTrue(all(c.isprintable() or c == "\n" for c in out), out)

    def test_no_subcommand_and_an_unknown_one_end_with_2(self):
        for arguments in ((), ("fly",), ("demo", "--connections", "0"), ("demo", "--rounds", "x"),
                          ("demo", "--rate", "nan"),
                          ("load", "--connect", "127.0.0.1:1", "--rate", "nan"),
                          ("top", "127.0.0.1:1", "--interval", "nan"), ("million", "--rate", "nan")):
            code, _, err = self.run_command(*arguments)
            self.assertEqual(code, 2, arguments)
            self.assertNotEqual(err, "")


if __name__ == "__main__":
    RINGPOOL = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
