# SPDX-License-Identifier: MIT
"""What the server tests share: a server process, frames, and waiting with a limit."""

import json
import os
import pty
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = None  # the command under test; set by main()
BACKEND = os.environ.get("RINGPOOL_BACKEND", "epoll")  # what a server waits with, unless it is told


def frame(payload):
    return struct.pack(">i", len(payload)) + payload


def payload_of(size, seed):
    return random.Random(seed * 1_000_003 + size).randbytes(size)


def in_use(stats):
    """Buffers in use by class, without those that the kernel may fill when something comes."""
    counts = [one["in_use"] for one in stats["classes"]]
    if stats["kernel_buffers"]:
        fits = [one["buffer_size"] >= stats["receive_bytes"] for one in stats["classes"]]
        counts[fits.index(True)] -= stats["kernel_buffers"]
    return counts


def until(condition, seconds, what):
    """Waits until condition() is true; fails the test when it is not so in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds} s")


class Server:
    """`ringpool serve` on a free loopback port."""

    def __init__(self, *options, descriptors=None, expect_start=True, through=()):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpool-test-")
        self.port_file = os.path.join(self.folder.name, "port")
        self.stats_file = os.path.join(self.folder.name, "stats.json")
        command = [*through, BINARY, "serve", "--listen", "127.0.0.1:0", "--port-file", self.port_file,
                   "--stats-file", self.stats_file, *options]
        if "--backend" not in options and "malloc" not in options:
            command += ["--backend", BACKEND]

        def limit_descriptors():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True,
                                        preexec_fn=limit_descriptors if descriptors else None)
        if expect_start:
            until(lambda: os.path.exists(self.port_file) or self.process.poll() is not None, 10,
                  "the server starts")
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.process.communicate()}")
            with open(self.port_file) as file:
                host, _, port = file.read().strip().rpartition(":")
            self.address = (host, int(port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def connect(self, timeout=5.0, receive_buffer=None):
        peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.settimeout(timeout)
        try:
            peer.connect(self.address)
        except OSError:
            peer.close()
            raise
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer

    def stats(self):
        """Asks the server for its statistics."""
        if os.path.exists(self.stats_file):
            os.unlink(self.stats_file)
        self.process.send_signal(signal.SIGUSR1)
        until(lambda: os.path.exists(self.stats_file), 5, "the statistics are written")
        return self.final_stats()

    def final_stats(self):
        with open(self.stats_file) as file:
            return json.load(file)

    def wait_for_stats(self, condition, seconds=5, what="the statistics say so"):
        """Asks until condition(stats) holds; returns those."""
        end = time.monotonic() + seconds
        while True:
            stats = self.stats()
            if condition(stats):
                return stats
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {seconds} s: {json.dumps(stats)}")
            time.sleep(0.02)

    def settled(self):
        """The statistics once nothing is in flight: an echo arrives before its buffer is back."""
        return self.wait_for_stats(
            lambda s: s["buffers_in_use"] == 0 and
            s["connections"]["idle"] == s["connections"]["open"], what="nothing is in flight")

    def private_dirty_bytes(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Private_Dirty:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no Private_Dirty in smaps_rollup")

    def terminate(self, seconds=10):
        """SIGTERM; returns exit code, standard output and standard error."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


def receive_exactly(peer, size):
    parts = bytearray()
    while len(parts) < size:
        part = peer.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise AssertionError(f"the server closed after {len(parts)} of {size} bytes")
        parts += part
    return bytes(parts)


def exchange(test, peer, payload):
    peer.sendall(frame(payload))
    test.assertEqual(receive_exactly(peer, 4 + len(payload)), frame(payload))


def closed_by_server(peer, seconds=5.0):
    """True when the server closes (or resets) the connection in time; what it sent is dropped."""
    peer.settimeout(seconds)
    try:
        while peer.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except socket.timeout:
        return False


def run_on_terminal(test, command, environment=os.environ):
    """What a command writes to a terminal; it must succeed."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(command[0], command, {**environment, "TERM": "xterm"})
    shown = b""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the child has closed its side
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    test.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
    return shown.decode()


def main():
    global BINARY
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PATH-OF-RINGPOOL [unittest arguments]")
    BINARY = os.path.abspath(sys.argv.pop(1))
    sys.modules["frame_client"].BINARY = BINARY
    unittest.main(module="__main__", verbosity=2)
