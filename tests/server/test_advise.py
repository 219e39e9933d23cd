#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`ringpool advise`, from input to configuration. Usage: test_advise.py PATH_OF_RINGPOOL"""

import json
import os
import random
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

RINGPOOL = "ringpool"


def write_bursts(path):
    """Frames of a chat: small ones, and now and then an answer to all at once."""
    chance, now = random.Random(3), 0
    with path.open("w", encoding="ascii") as table:
        table.write("at_ns,held_ns,size\n")
        for _ in range(3000):
            now += int(chance.expovariate(1 / 20_000))
            for _ in range(60 if chance.random() < 0.01 else 1):
                size = chance.choice((24, 70, 200, 200, 1500)) + chance.randrange(20)
                table.write(f"{now},{int(chance.expovariate(1e-6))},{size}\n")


class Advise(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def advise(self, *arguments, code=0):
        done = subprocess.run([RINGPOOL, "advise", *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_a_table_with_times_is_advised_on_and_the_pool_does_as_predicted(self):
        table, report, config = (self.folder / name for name in ("t.csv", "r.json", "c.toml"))
        write_bursts(table)
        out = self.advise(table, "--today", "64:16,2048:64", "--json", report, "--write", config)
        for words in ("today", "advised", "wasted", "resident", "Replayed"):
            self.assertIn(words, out)
        self.assertLessEqual(max(map(len, out.splitlines()[1:-1])), 100)
        said = json.loads(report.read_text("utf-8"))
        self.assertGreater(said["today"]["fallback_share"], 0)
        for name in ("today", "advised"):
            expected, seen = said[name]["fallback_share"], said[name]["replayed"]["fallback_share"]
            self.assertAlmostEqual(expected, seen, delta=0.2 * seen + 1e-12)
        self.assertLess(said["advised"]["wasted_bytes"], said["today"]["wasted_bytes"])
        self.check_config(config, said["advised"]["classes"])

    def check_config(self, config, advised):
        pool = tomllib.loads(config.read_text("utf-8"))["pool"]
        self.assertGreater(pool["upstream_budget_bytes"], 0)
        keys = ("buffer_size", "capacity", "elastic_capacity")
        self.assertEqual([[one[key] for key in keys] for one in pool["class"]],
                         [[one[key] for key in keys] for one in advised])
        for one in pool["class"]:
            self.assertEqual(one["capacity"] & (one["capacity"] - 1), 0)

    def test_a_mix_needs_a_rate_and_says_what_it_assumes(self):
        self.assertIn("give --rate", self.advise("mix:game", code=2))
        out = self.advise("mix:game", "--rate", 1e5, "--hold", 0.002, "--no-replay")
        self.assertIn("Erlang", out)
        self.assertIn("(--hold)", out)
        self.assertNotIn("Replayed", out)

    def test_a_pool_that_is_too_large_for_the_machine_is_not_tried(self):
        table = self.folder / "t.csv"
        table.write_text("at_ns,held_ns,size,weight\n0,9,100,1\n5,9,1073741824,9000\n", "utf-8")
        self.assertIn("Not replayed: that takes up to", self.advise(table))

    def test_a_configuration_that_was_written_can_be_compared_with(self):
        config, report = self.folder / "c.toml", self.folder / "r.json"
        self.advise("mix:imix", "--rate", 1e4, "--no-replay", "--write", config)
        self.advise("mix:imix", "--rate", 1e4, "--no-replay", "--config", config, "--json", report)
        said = json.loads(report.read_text("utf-8"))
        self.assertEqual(said["today"], said["advised"])
        config.write_text("[pool]\nno_such_key = 1\n", "utf-8")
        self.assertIn("no_such_key", self.advise("mix:imix", "--rate", 1e4, "--config", config, code=2))

    def test_classes_are_as_many_as_asked_for(self):
        report = self.folder / "r.json"
        self.advise("mix:uniform:24-16384", "--rate", 1e4, "--classes", 3, "--no-replay", "--json", report)
        self.assertEqual(len(json.loads(report.read_text("utf-8"))["advised"]["classes"]), 3)

    def test_bad_arguments_and_inputs_are_named_with_what_is_accepted(self):
        self.assertIn("accepted: a file (pcap", self.advise("no-such-file", code=3))
        self.assertIn("directory", self.advise(self.folder, code=3))
        self.assertIn("accepted: game, imix", self.advise("mix:chess", "--rate", 1, code=3))
        self.assertIn("auto nor 1 to 64", self.advise("mix:game", "--classes", "many", code=2))
        self.assertIn("a power of two", self.advise("mix:game", "--today", "64:100", code=2))
        self.assertIn("accepted: up to 1e+07", self.advise("mix:game", "--rate", 1e8, "--hold", 9, code=2))
        self.advise("mix:game", "--cover", 2, code=2)
        for option in ("--rate", "--hold", "--cover"):
            self.assertIn("Value nan not in range", self.advise("mix:game", option, "nan", code=2))
        self.assertIn("in range 0 to 65535", self.advise("mix:game", "--port", 99999, code=2))
        os.mkfifo(self.folder / "pipe")
        self.assertIn("is a pipe or device; accepted: a file", self.advise(self.folder / "pipe", code=3))
        self.advise(code=2)
        unwritable = self.folder / "no" / "r.json"
        self.assertIn("cannot write", self.advise("mix:game", "--rate", 1e4, "--no-replay", "--json",
                                                  unwritable, code=1))

    def test_an_empty_file_and_one_of_noise_are_errors(self):
        for name, content in (("empty", b""), ("noise", bytes(range(256))), ("pcap", b"\xd4\xc3\xb2\xa1")):
            path = self.folder / name
            path.write_bytes(content)
            self.assertIn(name, self.advise(path, "--rate", 1, code=3))


if __name__ == "__main__":
    RINGPOOL = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
