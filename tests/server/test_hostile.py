#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that mean harm, in numbers: half frames, resets, secrets left behind, a memory checker.

RINGPOOL_HOSTILE=full makes them as many as docs/proof.md says; a tenth or less without it.
"""

import json
import os
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
import types
import unittest

import frame_client
from frame_client import Server, closed_by_server, exchange, frame, payload_of

FULL = os.environ.get("RINGPOOL_HOSTILE") == "full"
SANITIZED = bool(os.environ.get("RINGPOOL_SANITIZERS"))
SECRET = b"\xa5SECRET\x5a"


def load(server, *options):
    """The report of `ringpool load`, which checks every byte that comes back."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        done = subprocess.run(
            [frame_client.BINARY, "load", "--connect", "%s:%d" % server.address, "--json", report,
             "--progress", "none", *options],
            capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        with open(report) as file:
            return json.load(file)


def leave_with_reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


class HalfFrames(unittest.TestCase):
    """Connections that promise a frame and send half of it, or part of a header."""

    COUNT = 10_000 if FULL else 1_000
    PAIRS = 7 if FULL else 3
    SECONDS = "1.5" if FULL else "0.4"

    def latency_of_honest(self, server):
        report = load(server, "--connections", "16", "--rate", "4000", "--seconds", self.SECONDS,
                      "--warm-up", "0.1")
        self.assertEqual(set(report["faults"].values()), {0})
        return report["latency_ns"]

    def test_they_cost_the_honest_little_and_are_reaped(self):
        timeout = 600 if FULL else 60
        with Server("--frame-timeout", str(timeout), "--class", "64:16384", "--class", "256:4096",
                    "--class", "1024:2048", "--class", "16384:256") as server:
            before, beside = [], []
            for _ in range(self.PAIRS):  # in turns: the machine changes within seconds
                before.append(self.latency_of_honest(server))
                slow = [server.connect() for _ in range(self.COUNT)]
                for number, peer in enumerate(slow):
                    whole = frame(payload_of(40, number))
                    peer.sendall(whole[:24] if number % 2 else whole[:2])
                server.wait_for_stats(lambda s: s["connections"]["open"] == self.COUNT, 30)
                beside.append(self.latency_of_honest(server))
                for peer in slow:
                    peer.close()
                server.wait_for_stats(lambda s: s["connections"]["open"] == 0, 30)
            p99 = [statistics.median(one["p99"] for one in turns) for turns in (before, beside)]
            print(f"p99 of honest clients beside {self.COUNT:,} half frames: {p99[1] / p99[0]:.2f} "
                  f"times of without ({p99[0] / 1e3:.0f} us), {self.PAIRS} pairs")
            if FULL:
                self.assertLessEqual(p99[1] / p99[0], 2.0)
            elif not SANITIZED:  # beside other tests the p99 of 0.4 s is theirs: the medians, then
                p50 = [min(one["p50"] for one in turns) for turns in (before, beside)]
                self.assertLessEqual(p50[1] / p50[0], 5.0)
            self.assertEqual(server.settled()["buffers_in_use"], 0)

    def test_all_are_reaped_at_their_deadline(self):
        with Server("--frame-timeout", "2", "--class", "64:16384", "--class", "16384:64") as server, \
             server.connect() as witness:
            begin = time.monotonic()
            slow = [server.connect() for _ in range(self.COUNT)]
            for peer in slow:
                peer.sendall(frame(payload_of(40, 1))[:24])
            sent = time.monotonic() - begin
            stats = server.wait_for_stats(
                lambda s: s["connections"]["closed_by"]["frame_timeout"] == self.COUNT, 30)
            took = time.monotonic() - begin
            print(f"{self.COUNT:,} half frames, sent in {sent:.1f} s, closed {took:.1f} s after "
                  "the first, deadline 2 s")
            self.assertLess(took, 2 + sent + 2)
            self.assertEqual(stats["buffers_in_use"], 0)
            exchange(self, witness, payload_of(30, 2))
            for peer in slow:
                peer.close()


def storm(server, count):
    half = frame(payload_of(2000, 1))[:1000]
    for number in range(count):
        peer = server.connect()
        if number % 4:
            peer.sendall(half if number % 4 == 1 else frame(payload_of(30, 2)))
        leave_with_reset(peer)


class HoldsOn:
    """A server with a seeded bug, in this process: it keeps what it accepted."""

    def __init__(self):
        self.process = types.SimpleNamespace(pid=os.getpid())
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.kept = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in (self.listener, *self.kept):
            each.close()

    def connect(self):
        peer = socket.create_connection(self.listener.getsockname())
        self.kept.append(self.listener.accept()[0])
        return peer


class Storms(unittest.TestCase):
    COUNT = 1_000_000 if FULL else 20_000

    def test_connecting_and_resetting_leaves_nothing_behind(self):
        with Server() as server, server.connect() as witness:
            exchange(self, witness, payload_of(10, 1))
            before = descriptors(server)
            begin = time.monotonic()
            storm(server, self.COUNT)
            took = time.monotonic() - begin
            stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 1, 30)
            # A connection that was reset before it was accepted may never be seen.
            self.assertGreater(stats["connections"]["accepted"], self.COUNT // 2)
            self.assertEqual(server.settled()["buffers_in_use"], 0)
            self.assertEqual(descriptors(server), before)
            exchange(self, witness, payload_of(100, 3))
            print(f"{self.COUNT:,} connections and resets in {took:.0f} s: "
                  f"{stats['connections']['accepted']:,} accepted, {before} descriptors as before")

    def test_twin_a_server_that_keeps_what_it_accepted_is_found(self):
        with HoldsOn() as server:
            before = descriptors(server)
            storm(server, 50)
            self.assertGreater(descriptors(server), before)
            slow = server.connect()
            slow.sendall(frame(payload_of(40, 1))[:24])
            self.assertFalse(closed_by_server(slow, 0.3))
            slow.close()


class LeavesSecrets:
    """A client that starts frames full of a secret, and leaves inside them."""

    def __init__(self, server):
        self.server = server
        self.count = 0
        self.error = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.error is not None:
            raise self.error

    def run(self):
        try:
            while not self.stop.is_set():
                for size in (50, 200, 900, 3000, 12000):
                    with self.server.connect() as peer:
                        peer.sendall(frame(SECRET * (size // len(SECRET)))[:-7])
                        leave_with_reset(peer)
                        self.count += 1
                time.sleep(0.005)
        except OSError as error:
            self.error = error


class Secrets(unittest.TestCase):
    EXCHANGES = 1_000_000 if FULL else 50_000

    def test_no_byte_of_one_client_reaches_another(self):
        with Server() as server, LeavesSecrets(server) as secrets:
            exchanged = 0
            while exchanged < self.EXCHANGES:
                report = load(server, "--connections", "64", "--mix", "uniform:24-16384",
                              "--seconds", "4" if FULL else "0.5", "--warm-up", "0")
                self.assertEqual(set(report["faults"].values()), {0})
                exchanged += report["frames"]["echoed"]
            self.assertGreater(secrets.count, 20)
            print(f"{exchanged:,} exchanges, every byte checked, beside {secrets.count:,} frames "
                  "of secrets that were left half-way: nothing foreign")

    @unittest.skipIf(SANITIZED, "memcheck and sanitizers do not go together")
    @unittest.skipIf(frame_client.BACKEND == "uring",
                     "memcheck lets no thread run beside io_uring_enter, and does not see what it writes")
    def test_memcheck_sees_no_uninitialised_byte_sent(self):
        if subprocess.run(["valgrind", "--version"], capture_output=True, check=False).returncode:
            self.skipTest("valgrind is missing")
        with Server(through=["valgrind", "-q", "--error-exitcode=87"]) as server:
            with LeavesSecrets(server) as secrets:
                report = load(server, "--connections", "32", "--mix", "uniform:24-16384",
                              "--seconds", "60" if FULL else "2", "--warm-up", "0")
            self.assertEqual(set(report["faults"].values()), {0})
            code, _, err = server.terminate(30)
            self.assertEqual((code, err), (0, ""))
            print(f"under memcheck: {report['frames']['echoed']:,} exchanges, {secrets.count:,} "
                  "secrets left behind, no error")


if __name__ == "__main__":
    frame_client.main()
