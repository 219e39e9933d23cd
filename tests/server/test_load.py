#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`ringpool load` against servers that echo and servers that lie. Usage: test_load.py PATH_OF_RINGPOOL"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from frame_client import run_on_terminal
from lying_echo import LyingEcho

RINGPOOL = "ringpool"


def run_load(port, *options, timeout=30):
    """Runs a short load; (exit code, report or None, standard output, standard error)."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        done = subprocess.run(
            [RINGPOOL, "load", "--connect", f"127.0.0.1:{port}", "--json", report, "--warm-up", "0.1", *options],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        content = None
        if os.path.exists(report):
            with open(report, encoding="utf-8") as file:
                content = json.load(file)
        return done.returncode, content, done.stdout, done.stderr


def load_lied_to(lie, *options, every=50):
    with LyingEcho(lie, every=every) as server:
        options = options or ("--connections", "8", "--pipeline", "4")
        code, report, _, _ = run_load(server.port, "--seconds", "0.2", "--drain", "0.2", *options)
        return code, report["faults"], server.lies.told


class HonestServer(unittest.TestCase):
    def check_clean(self, *options):
        with LyingEcho() as server:
            code, report, out, err = run_load(server.port, "--seconds", "0.3", *options)
            served = server.frames
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(report["frames"]["sent"], report["frames"]["echoed"])
        self.assertEqual(report["frames"]["sent"], served)
        self.assertEqual(report["bytes"]["sent"], report["bytes"]["echoed"])
        self.assertEqual(set(report["faults"].values()), {0})
        self.assertGreater(report["latency_ns"]["count"], 0)
        return report

    def test_closed_loop_is_clean_with_every_mix(self):
        for mix in ("game", "imix", "uniform:24-16384", "fixed:24", "fixed:16384"):
            with self.subTest(mix=mix):
                report = self.check_clean("--connections", "20", "--mix", mix)
                self.assertEqual(report["latency_counted_from"], "written")

    def test_pipelining_and_two_loops_are_clean(self):
        report = self.check_clean("--connections", "9", "--pipeline", "16", "--loops", "2")
        self.assertEqual(report["pipeline"], 16)

    def test_open_loop_sends_at_its_rate_and_counts_from_due(self):
        report = self.check_clean("--connections", "10", "--rate", "400")
        self.assertEqual(report["latency_counted_from"], "due")
        self.assertEqual(report["frames"]["sent"], 160)  # 400 a second for 0.1 + 0.3 s

    def test_a_rate_far_above_what_the_server_takes_ends_in_time_and_omits_nothing(self):
        with LyingEcho() as server:
            start = time.monotonic()
            code, report, _, _ = run_load(
                server.port, "--connections", "4", "--rate", "2000000", "--seconds", "0.3", "--drain", "0.3"
            )
            took = time.monotonic() - start
        self.assertEqual(code, 1)
        self.assertLess(took, 5)
        self.assertGreater(report["unsent"], 0)
        # All that fell due in 0.1 + 0.3 s.
        self.assertEqual(report["frames"]["sent"] + report["unsent"], 800_000)
        self.assertEqual(report["frames"]["echoed"] + report["faults"]["lost"], report["frames"]["sent"])

    def test_percentiles_rise_up_to_the_maximum(self):
        latency = self.check_clean("--connections", "20")["latency_ns"]
        rising = [latency[name] for name in ("min", "p50", "p90", "p99", "p99_9", "p99_99", "max")]
        self.assertEqual(rising, sorted(rising))
        self.assertGreater(rising[0], 0)

    def test_the_same_seed_sends_the_same_bytes(self):
        sent = []
        for seed in ("7", "7", "8"):
            report = self.check_clean("--connections", "3", "--rate", "500", "--seed", seed)
            sent.append(report["bytes"]["sent"])
        self.assertEqual(sent[0], sent[1])
        self.assertNotEqual(sent[0], sent[2])

    def test_a_stalled_server_shows_in_the_open_loop_latency_and_not_in_the_closed_one(self):
        """Coordinated omission: a stall delays all frames that fall due in it, not one a connection."""
        p90 = {}
        for name, options in (("closed", ()), ("open", ("--rate", "300"))):
            with LyingEcho(stall_seconds=0.5) as server:
                code, report, _, _ = run_load(server.port, "--connections", "2", "--seconds", "1.2", *options)
            self.assertEqual(code, 0)
            self.assertGreater(report["latency_ns"]["max"], 300e6)
            p90[name] = report["latency_ns"]["p90"]
        self.assertLess(p90["closed"], 50e6)
        self.assertGreater(p90["open"], 100e6)


class LyingServer(unittest.TestCase):
    """One lie each; the counter of exactly that lie moves, by exactly the number of lies told."""

    def check(self, lie, counter, *options, every=50, also=()):
        code, faults, told = load_lied_to(lie, *options, every=every)
        self.assertGreater(told, 0, "the server never lied: the test proves nothing")
        self.assertEqual(code, 1)
        self.assertEqual(faults[counter], told, faults)
        others = {name: count for name, count in faults.items() if name != counter and name not in also}
        self.assertEqual(set(others.values()), {0}, faults)

    def test_a_flipped_bit_is_corrupted(self):
        self.check("corrupt", "corrupted")

    def test_a_shortened_frame_is_corrupted(self):
        self.check("truncate", "corrupted")

    def test_a_dropped_frame_is_lost(self):
        self.check("drop", "lost", "--connections", "8", "--rate", "2000")

    def test_a_frame_echoed_twice_is_duplicated(self):
        self.check("duplicate", "duplicated")

    def test_a_frame_overtaken_is_out_of_order(self):
        # A frame still held back when the load stops sending never comes: one may be lost.
        self.check("reorder", "out_of_order", also=("lost",))

    def test_the_payload_of_another_connection_is_foreign(self):
        self.check("swap", "foreign")

    def test_a_negative_length_breaks_the_connection(self):
        self.check("negative_length", "bad_lengths", every=400, also=("disconnected", "lost"))

    def test_a_huge_length_breaks_the_connection(self):
        self.check("huge_length", "bad_lengths", every=400, also=("disconnected", "lost"))

    def test_a_connection_closed_by_the_server_is_counted(self):
        self.check("hang_up", "disconnected", every=400, also=("lost",))


class Arguments(unittest.TestCase):
    def check_rejected(self, *options, says):
        done = subprocess.run([RINGPOOL, "load", *options], capture_output=True, text=True, timeout=10)
        self.assertEqual(done.returncode, 2, done.stderr)
        for text in says:
            self.assertIn(text, done.stderr)

    def test_wrong_arguments_end_with_2_and_say_what_is_accepted(self):
        target = ("--connect", "127.0.0.1:9")
        self.check_rejected(says=["--connect is required"])
        self.check_rejected("--connect", "127.0.0.1", says=["'127.0.0.1'", "ADDR:PORT"])
        self.check_rejected("--connect", "127.0.0.1:0", says=["'0'", "1 to 65535"])
        self.check_rejected("--connect", "127.0.0.1:99999", says=["1 to 65535"])
        self.check_rejected("--connect", ":80", says=["address is missing"])
        self.check_rejected(*target, "--mix", "gaming", says=["'gaming'", "game, imix, uniform:A-B or fixed:N"])
        self.check_rejected(*target, "--mix", "fixed:23", says=["24 to"])
        self.check_rejected(*target, "--mix", "fixed:20000", says=["24 to 16384"])
        self.check_rejected(*target, "--connections", "0", says=["--connections", "1 to 1000000"])
        self.check_rejected(*target, "--pipeline", "0", says=["--pipeline", "1 to 1024"])
        self.check_rejected(*target, "--rate", "-5", says=["--rate"])
        self.check_rejected(*target, "--rate", "5", "--pipeline", "2", says=["--pipeline", "--rate"])
        self.check_rejected(*target, "--progress", "loud", says=["--progress", "plain"])
        self.check_rejected(*target, "--seconds", "soon", says=["--seconds"])
        self.check_rejected(*target, "--warp", "9", says=["--warp"])

    def test_no_server_is_a_clear_error(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port meanwhile
            code, _, _, err = run_load(taken.getsockname()[1], "--connections", "5")
        self.assertEqual(code, 3)
        self.assertIn("cannot connect to 127.0.0.1:", err)
        self.assertIn("Connection refused", err)

    def test_more_connections_than_descriptors_is_a_clear_error(self):
        code, _, _, err = run_load(9, "--connections", "1000000")
        self.assertEqual(code, 3)
        self.assertIn("file descriptors", err)


class Terminal(unittest.TestCase):
    def test_plain_progress_is_a_line_a_second_on_standard_error(self):
        with LyingEcho() as server:
            code, _, out, err = run_load(server.port, "--connections", "4", "--seconds", "2", "--progress", "plain")
        self.assertEqual(code, 0)
        lines = [line for line in err.splitlines() if line.startswith("load: ")]
        self.assertIn(len(lines), (2, 3), err)
        self.assertNotIn("\x1b", out + err)

    def test_a_bar_is_drawn_on_a_terminal_and_erased_before_the_report(self):
        with LyingEcho() as server:
            shown = run_on_terminal(self, [RINGPOOL, "load", "--connect", f"127.0.0.1:{server.port}",
                                           "--connections", "4", "--seconds", "0.6", "--warm-up", "0.1"])
        self.assertRegex(shown, r"\[#+\.+\]")
        report = shown.rindex("\r\x1b[K")
        self.assertIn("0 lost", shown[report:])
        self.assertNotIn("[#", shown[report:])

    def test_an_interrupt_ends_the_load_with_a_report(self):
        with LyingEcho() as server:
            load = subprocess.Popen(
                [RINGPOOL, "load", "--connect", f"127.0.0.1:{server.port}", "--connections", "4", "--seconds", "60"],
                stdout=subprocess.PIPE,
                text=True,
            )
            time.sleep(1.2)
            load.send_signal(signal.SIGINT)
            out, _ = load.communicate(timeout=10)
        self.assertEqual(load.returncode, 130)
        self.assertIn("(interrupted)", out)
        self.assertIn("0 lost", out)


if __name__ == "__main__":
    RINGPOOL = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
