#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Very many connections: `ringpool million` in small, and what a load says of idle ones."""

import json
import os
import resource
import subprocess
import tempfile
import unittest

import frame_client
import lying_echo
from frame_client import Server


def available_bytes():
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def million(*options):
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        done = subprocess.run([frame_client.BINARY, "million", "--progress", "none", "--json", report,
                               *options], capture_output=True, text=True, timeout=100, check=False)
        if not os.path.exists(report):
            raise AssertionError(f"{done.returncode}: {done.stdout}{done.stderr}")
        with open(report) as file:
            return json.load(file), done


class Million(unittest.TestCase):
    def check(self, report, connections):
        self.assertEqual(report["faults"], 0)
        self.assertEqual(report["buffers_in_use"], 0)
        self.assertEqual(report["connections"], connections)
        # Of the whole process: what it has anyway is 13 MB, and spread over the fewer the thicker.
        own = report["private_dirty_bytes"] - 16e6
        self.assertLessEqual(own / connections, 48)
        print(f"{connections:,} connections in {report['setup_seconds']:.1f} s, "
              f"{report['user_bytes_per_connection']:.0f} bytes of user memory each, "
              f"{report['kernel_bytes_per_pair']:.0f} bytes of the kernel a pair")

    def test_15_000_connections_cost_little_and_lose_nothing(self):
        report, _ = million("--connections", "15000", "--active", "100", "--rounds", "2", "--rate",
                            "2000", "--seconds", "0.2", "--burst", "5000")
        self.check(report, 15000)
        self.assertEqual(report["rings"], 1)

    def test_100_000_connections_with_20_000_descriptors(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 20000:
            self.skipTest("it is for 20,000 descriptors")
        if available_bytes() < 3 << 30 or os.environ.get("RINGPOOL_SANITIZERS"):
            self.skipTest("it takes a gigabyte, and a server without sanitizers")
        report, _ = million("--connections", "100000", "--active", "200", "--rounds", "1", "--rate",
                            "2000", "--seconds", "0.2", "--burst", "0")
        self.check(report, 100000)

    def test_where_memory_is_missing_it_is_skipped_with_the_reason(self):
        done = subprocess.run([frame_client.BINARY, "million", "--connections", "3200000"],
                              capture_output=True, text=True, timeout=10, check=False,
                              stdin=subprocess.DEVNULL) if available_bytes() < 20 << 30 else None
        if done is None:
            self.skipTest("there is enough memory")
        self.assertEqual(done.returncode, 77)
        self.assertIn("3,200,000 connections, both ends here, need about", done.stderr)


class IdleConnections(unittest.TestCase):
    def load(self, address, *options):
        return subprocess.run(
            [frame_client.BINARY, "load", "--connect", "%s:%d" % address, "--connections", "10",
             "--seconds", "0.1", "--warm-up", "0.05", "--progress", "none", *options],
            capture_output=True, text=True, timeout=60, check=False)

    def test_a_load_reports_what_became_of_its_idle_connections(self):
        for backend in ("uring", "epoll"):
            with Server("--backend", backend) as server:
                done = self.load(server.address, "--idle", "3000")
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn("3,000 frames before and 3,000 after the load, 0 faults", done.stdout)

    def test_twin_a_server_that_changes_or_swaps_bytes_is_found(self):
        for lie in ("corrupt", "swap"):
            with lying_echo.LyingEcho(lie, every=10) as server:
                done = self.load(("127.0.0.1", server.port), "--idle", "200")
                self.assertEqual(done.returncode, 1)
                idle = next(line for line in done.stdout.splitlines() if " idle " in line)
                self.assertNotIn(" 0 faults", idle)

    def test_twin_a_server_that_hangs_up_is_an_error(self):
        with lying_echo.LyingEcho("hang_up", every=10) as server:
            done = self.load(("127.0.0.1", server.port), "--idle", "200")
            self.assertEqual(done.returncode, 3)
            self.assertIn("of 200 connections were not made or not answered", done.stderr)

    def test_twin_a_server_that_is_not_there_is_an_error(self):
        with Server() as server:
            address = server.address
        done = self.load(address, "--idle", "100")
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stderr, "Connection (refused|reset)")  # its ring may go later


if __name__ == "__main__":
    frame_client.main()
