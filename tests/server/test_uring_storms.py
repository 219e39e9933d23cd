# SPDX-License-Identifier: MIT
"""Storms over the io_uring server: what comes, leaves, dies or starves leaves nothing behind.

RINGPOOL_HOSTILE=full makes the clients as many as docs/proof.md says; far fewer without it.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import unittest

import frame_client
from frame_client import Server, exchange, frame, payload_of, receive_exactly, until

FULL = os.environ.get("RINGPOOL_HOSTILE") == "full"
SANITIZED = bool(os.environ.get("RINGPOOL_SANITIZERS"))
BOUND = (1 << 30) if SANITIZED else (8 << 20)  # bytes that a storm may leave resident; a quarantine is not counted

# A client in a process of its own: address, what to do, how often.
CLIENT = r"""
import socket, struct, sys, time
host, port, what, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
half = struct.pack(">i", 2000) + bytes(996)
whole = struct.pack(">i", 30) + bytes(30)
def connect():
    while True:
        try:
            return socket.create_connection((host, port))
        except OSError:  # the backlog is full
            time.sleep(0.01)
if what == "storm":
    for number in range(count):
        peer = connect()
        try:
            if number % 4:
                peer.sendall(half if number % 4 == 1 else whole)
            if number % 4 != 3:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        peer.close()
else:
    peers = [connect() for _ in range(count)]
    for number, peer in enumerate(peers):
        peer.sendall(half[:(1, 3, 4, 5, 700, 1000)[number % 6]])
    print("ready", flush=True)
    while True:  # goes on byte by byte until it is killed
        for peer in peers:
            try:
                peer.sendall(b"x")
            except OSError:
                pass
        time.sleep(0.02)
"""


class UringServer(Server):
    def __init__(self, *options, **how):
        super().__init__("--backend", "uring", *options, **how)


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


class Storm(unittest.TestCase):
    """Each case: a witness before, the storm, and the same server after it."""

    def begin(self, server):
        self.witness = server.connect()
        exchange(self, self.witness, payload_of(500, 1))
        self.before = (descriptors(server), server.private_dirty_bytes())

    def end(self, server, seconds=20):
        """Descriptors, connections, buffers, memory are as before; then it ends."""
        stats = self.check_left(server, seconds)
        exchange(self, self.witness, payload_of(700, 2))
        self.witness.close()
        server.wait_for_stats(lambda s: s["connections"]["open"] == 0 and s["buffers_in_use"] == 0)
        code, out, err = server.terminate()
        self.assertEqual((code, err), (0, ""))
        self.assertIn(" 0 buffers in use", out)
        return stats

    def check_left(self, server, seconds):
        stats = server.wait_for_stats(
            lambda s: s["connections"]["open"] == 1 and s["connections"]["idle"] == 1 and
            s["buffers_in_use"] == 0, seconds, "what the storm left behind goes")
        self.assertEqual(descriptors(server), self.before[0])
        self.assertLess(server.private_dirty_bytes(), self.before[1] + BOUND)
        return stats

    def clients(self, server, what, count, processes=1):
        host, port = server.address
        started = [subprocess.Popen([sys.executable, "-c", CLIENT, host, str(port), what, str(count // processes)],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    text=True) for _ in range(processes)]
        for client in started:
            self.addCleanup(client.stdout.close)
            self.addCleanup(client.wait)
            self.addCleanup(client.kill)
        return started


class Coming(Storm):
    COUNT = 1_000_000 if FULL else 20_000

    def test_connecting_and_leaving_leaves_nothing_behind(self):
        with UringServer("--loops", "2") as server:
            self.begin(server)
            begin = time.monotonic()
            for client in self.clients(server, "storm", self.COUNT, 8 if FULL else 2):
                self.assertEqual(client.wait(3600), 0)
            took = time.monotonic() - begin
            stats = self.end(server)
            # A connection that was reset before it was accepted may never be seen.
            self.assertGreater(stats["connections"]["accepted"], self.COUNT // 2)
            print(f"{self.COUNT:,} connections in {took:.0f} s: {stats['connections']['accepted']:,} accepted, "
                  f"{self.before[0]} descriptors as before")

    def test_tables_that_a_burst_needed_are_gone_after_it(self):
        """A table holds as many connections as the process may have descriptors."""
        with UringServer("--loops", "1", descriptors=128) as server:
            self.begin(server)
            for _ in range(2):
                peers = [server.connect() for _ in range(400)]
                for number, peer in enumerate(peers):
                    peer.sendall(frame(payload_of(60, number))[:64 - number % 60])
                for number, peer in enumerate(peers):
                    peer.sendall(frame(payload_of(60, number))[64 - number % 60:])
                    self.assertEqual(receive_exactly(peer, 64), frame(payload_of(60, number)))
                self.assertGreaterEqual(server.stats()["rings"], 4)
                for peer in peers:
                    peer.close()
                # The first, and the one that accepts; each has a ring and an eventfd.
                server.wait_for_stats(lambda s: s["rings"] <= 2)
                until(lambda: descriptors(server) <= self.before[0] + 3, 5, "descriptors of tables that are gone")
            self.before = (descriptors(server), self.before[1])
            self.end(server)


class Dying(Storm):
    COUNT = 5_000 if FULL else 400

    def test_a_process_that_is_killed_inside_its_frames_leaves_nothing_behind(self):
        with UringServer("--loops", "2", "--frame-timeout", "60") as server:
            self.begin(server)
            for _ in range(10 if FULL else 2):
                (client,) = self.clients(server, "halves", self.COUNT)
                self.assertEqual(client.stdout.readline(), "ready\n")
                server.wait_for_stats(lambda s: s["connections"]["open"] == self.COUNT + 1, 20)
                exchange(self, self.witness, payload_of(3000, 3))
                client.send_signal(signal.SIGKILL)
                client.wait()
                self.check_left(server, 20)
            self.end(server)


class Starving(Storm):
    """Four buffers to receive into, two hundred busy connections: refused receives wait their turn."""

    SECONDS = 20 if FULL else 0.6
    CONNECTIONS = 200

    def test_every_frame_comes_back_though_buffers_are_few(self):
        for idle in ("receive", "poll"):
            for size in (200, 3000):  # in one piece, and in pieces
                with self.subTest(idle=idle, size=size):
                    self.starve(idle, size)

    def starve(self, idle, size):
        with UringServer("--loops", "1", "--class", "64:64", "--class", "1024:4", "--class", "4096:256", "--max-frame",
                    "4096", "--receive-bytes", "1024", "--receive-buffers", "4", "--idle-mode", idle) as server:
            self.begin(server)
            peers = [server.connect(timeout=10) for _ in range(self.CONNECTIONS)]
            end = time.monotonic() + self.SECONDS / 4
            count = 0
            while time.monotonic() < end:
                frames = [frame(payload_of(size + number % 17, count)) for number in range(len(peers))]
                for peer, whole in zip(peers, frames):
                    peer.sendall(whole)
                for peer, whole in zip(peers, frames):
                    self.assertEqual(receive_exactly(peer, len(whole)), whole)
                count += 1
            for number, peer in enumerate(peers):  # and they leave inside a frame
                peer.sendall(frames[number][:1 + number * 7 % 900])
                peer.close()
            stats = self.end(server)
            self.assertGreater(stats["connections"]["starved"], 0)
            print(f"idle {idle}, frames of {size}: {count * len(peers):,} frames from 4 buffers, "
                  f"{stats['connections']['starved']:,} refused receives")


class Cancelling(Storm):
    """Deadlines of 50 ms close connections while data for them arrives."""

    SECONDS = 30 if FULL else 1

    def disturb(self, server, seed, end):
        rng = random.Random(seed)
        stream = b"".join(frame(payload_of(size, 1)) for size in (20, 6000, 900, 16000)) * 20
        peers = []
        while time.monotonic() < end:
            try:
                if len(peers) < 40:
                    peer = server.connect(receive_buffer=2048)
                    peer.setblocking(False)
                    peers.append([peer, 0, rng.random() < 0.3])
                turn = peers[rng.randrange(len(peers))]
                whole = stream[turn[1] % len(stream):]
                turn[1] += turn[0].send(whole if turn[2] else whole[:rng.choice((1, 5, 500, 20000))])
                if rng.random() < 0.02:
                    time.sleep(0.04 + 0.02 * rng.random())  # right around the deadlines
                if not turn[2]:  # the others never read
                    turn[0].recv(rng.choice((10, 100000)))
            except BlockingIOError:
                pass
            except OSError:
                turn[0].close()
                peers.remove(turn)
        for peer, *_ in peers:
            peer.close()

    def storm(self, server):
        end = time.monotonic() + self.SECONDS / 2
        threads = [threading.Thread(target=self.disturb, args=(server, seed, end)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_deadlines_and_data_at_the_same_time_leave_nothing_behind(self):
        for idle in ("receive", "poll"):
            with UringServer("--loops", "2", "--idle-timeout", "0.05", "--frame-timeout", "0.05",
                             "--send-timeout", "0.05", "--send-queue-bytes", "8192",
                             "--idle-mode", idle) as server:
                before = descriptors(server), server.private_dirty_bytes()
                for _ in range(10):  # until each deadline was met
                    self.storm(server)
                    stats = server.wait_for_stats(
                        lambda s: s["connections"]["open"] == 0 and s["buffers_in_use"] == 0, 10, "all are gone")
                    self.assertEqual(descriptors(server), before[0])
                    self.assertLess(server.private_dirty_bytes(), before[1] + BOUND)
                    closed = stats["connections"]["closed_by"]
                    if all(closed[f"{what}_timeout"] for what in ("idle", "frame", "send")):
                        break
                else:
                    self.fail(json.dumps(closed))
                with server.connect() as peer:
                    exchange(self, peer, payload_of(5000, 1))
                self.assertEqual(server.terminate()[0], 0)
                print(f"idle {idle}: {stats['connections']['accepted']:,} connections, closed by {json.dumps(closed)}")


class GivingBack(Storm):
    """Between bursts the kernel's buffers are taken back, while the few that go on receive."""

    SECONDS = 20 if FULL else 1

    def test_no_frame_is_lost_while_buffers_are_taken_back(self):
        with UringServer("--loops", "1", "--send-timeout", "0.1") as server:  # a tick of 6 ms
            self.begin(server)
            burst = [server.connect() for _ in range(300)]
            few = [server.connect() for _ in range(6)]
            end = time.monotonic() + self.SECONDS
            serial = 0
            most = fewest = server.stats()["kernel_buffers"]
            while time.monotonic() < end:
                for peers, turns in ((burst, 1), (few, 40)):
                    for _ in range(turns):
                        serial += 1
                        whole = frame(payload_of(700, serial))
                        for peer in peers:
                            peer.sendall(whole)
                        for peer in peers:
                            self.assertEqual(receive_exactly(peer, len(whole)), whole)
                    owned = server.stats()["kernel_buffers"]
                    most, fewest = max(most, owned), min(fewest, owned)
            self.assertGreater(most, 4 * fewest)
            for peer in (*burst, *few):
                peer.close()
            self.end(server)
            print(f"kernel-owned buffers between {fewest} and {most}, {serial:,} rounds of frames, none lost")


class Leaks:
    """A server with a seeded bug, in this process: of what it accepted it keeps every hundredth."""

    def __init__(self):
        self.process = types.SimpleNamespace(pid=os.getpid())
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.kept = []

    def storm(self, count):
        for number in range(count):
            peer = socket.create_connection(self.listener.getsockname())
            accepted = self.listener.accept()[0]
            peer.close()
            if number % 100 == 7:
                self.kept.append(accepted)
            else:
                accepted.close()

    def private_dirty_bytes(self):
        return UringServer.private_dirty_bytes(self)

    def wait_for_stats(self, condition, *_):
        stats = {"connections": {"open": 1, "idle": 1}, "buffers_in_use": 0}  # as it believes
        return condition(stats) and stats


class Twins(Storm):
    def leak(self, count):
        server = Leaks()
        try:
            self.before = (descriptors(server), server.private_dirty_bytes())
            server.storm(count)
            self.check_left(server, 1)
        finally:
            for each in (server.listener, *server.kept):
                each.close()

    def test_twin_one_kept_descriptor_is_found(self):
        self.leak(7)
        with self.assertRaises(AssertionError):
            self.leak(8)

    def test_twin_memory_that_is_kept_is_found(self):
        server = Leaks()
        self.before = (descriptors(server), server.private_dirty_bytes())
        self.check_left(server, 1)
        kept = bytearray(random.Random(1).randbytes(1 << 20) * ((BOUND >> 20) + 1))
        with self.assertRaises(AssertionError):
            self.check_left(server, 1)
        del kept
        server.listener.close()


if __name__ == "__main__":
    frame_client.main()
