# SPDX-License-Identifier: MIT
"""Servers and loads as processes, and what /proc says of them."""

import json
import os
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import figures

START_SECONDS = 10
STOP_SECONDS = 10
STATISTICS_SECONDS = 10
SPARE_DESCRIPTORS = 500
IDLE_PAYLOAD = bytes(range(250)) * 4
FEW_CONNECTIONS = 300  # below SPARE_DESCRIPTORS


class Failed(Exception):
    """A server or a load did not do what it should."""


class Server:
    """A server on a free port, from its start to the end of a with-block."""

    def __init__(self, command, loops, processors=None):
        self.name = Path(command[0]).name
        self.folder = tempfile.TemporaryDirectory(prefix="ringpool-bench-")
        port_file = Path(self.folder.name, "port")
        self.stats_file = Path(self.folder.name, "statistics")
        with_stats = ("--stats-file", str(self.stats_file)) if "serve" in command else ()
        self.process = subprocess.Popen(
            [*map(str, command), "--listen", "127.0.0.1:0", "--loops", str(loops), "--port-file", str(port_file),
             *with_stats],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=pin_to(processors))
        self.pid = self.process.pid
        end = time.monotonic() + START_SECONDS
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise Failed(f"{self.name} did not start")
            time.sleep(0.005)
        self.where = port_file.read_text("utf-8").strip()

    def stop(self):
        """SIGTERM, which must end it with 0."""
        self.process.terminate()
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end at SIGTERM") from None
        if code != 0:
            raise Failed(f"{self.name} ended with {code}")

    def final_statistics(self):
        """Of `ringpool serve`, which writes them as it ends."""
        return json.loads(self.stats_file.read_text("utf-8"))

    def statistics(self):
        """Of `ringpool serve` while it runs."""
        self.stats_file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + STATISTICS_SECONDS
        while not self.stats_file.exists():  # it appears whole
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed(f"{self.name} wrote no statistics")
            time.sleep(0.005)
        return self.final_statistics()

    def cpu_seconds(self):
        """Of all its threads, those that ended included, to the nanosecond: its CPU clock, see
        clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.pid << 3) | 2)

    def stat_seconds(self):
        """utime + stime of /proc/PID/stat: steps of 10 ms, and percents off where ticks are sampled."""
        return sum(self.stat_times())

    def stat_times(self):
        """(utime, stime)"""
        text = Path(f"/proc/{self.pid}/stat").read_text("utf-8")
        return tuple(ticks / os.sysconf("SC_CLK_TCK") for ticks in figures.ticks(text))

    def memory_bytes(self, kind):
        """Of smaps_rollup: Rss, Private_Dirty ..."""
        return figures.kilobytes(Path(f"/proc/{self.pid}/smaps_rollup").read_text("utf-8"))[kind] * 1024

    def resident_bytes(self):
        return self.memory_bytes("Rss")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def pin_to(processors):
    return (lambda: os.sched_setaffinity(0, processors)) if processors else None


def run_load(ringpool, where, options, processors=None):
    """The report of `ringpool load`. Any fault that it finds is an error here."""
    with tempfile.TemporaryDirectory(prefix="ringpool-bench-") as folder:
        report = Path(folder, "report.json")
        done = subprocess.run(
            [str(ringpool), "load", "--connect", where, "--progress", "none", "--json", str(report),
             *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=pin_to(processors), check=False)
        if done.returncode != 0:
            raise Failed(f"ringpool load ended with {done.returncode}:\n{done.stdout}")
        result = json.loads(report.read_text("utf-8"))
    if any(result["faults"].values()) or result["frames"]["echoed"] == 0:
        raise Failed(f"ringpool load found faults: {result['faults']}")
    return result


def measure_load(server, ringpool, options, processors=None):
    """A sample, see figures.py."""
    cpu, stat = server.cpu_seconds(), server.stat_seconds()
    report = run_load(ringpool, server.where, options, processors)
    return figures.sample(report, server.cpu_seconds() - cpu, server.stat_seconds() - stat)


def raise_descriptor_limit():
    """Returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def exchange_frames(where, count):
    """Sockets of `count` connections, each after one frame there and back."""
    host, _, port = where.rpartition(":")
    data = struct.pack(">i", len(IDLE_PAYLOAD)) + IDLE_PAYLOAD
    peers = []
    for _ in range(count):
        peer = socket.create_connection((host, int(port)), timeout=5)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves no port in use
        peer.sendall(data)
        peers.append(peer)
    for peer in peers:
        if peer.recv(len(data), socket.MSG_WAITALL) != data:
            raise Failed("an echo differs from its frame")
    return peers


def look_around_idle(server, count, settle_seconds, look):
    """What `look()` says before `count` idle connections and with them. A few come first and stay:
    code and caches are resident by then, and nothing is free for the many to use again."""
    few = exchange_frames(server.where, FEW_CONNECTIONS)
    time.sleep(settle_seconds)
    before = look()
    many = exchange_frames(server.where, count)
    time.sleep(settle_seconds)
    after = look()
    for peer in (*few, *many):
        peer.close()
    return before, after


def measure_idle(server, count, settle_seconds):
    """Resident bytes of `count` idle connections."""
    before, after = look_around_idle(server, count, settle_seconds, server.resident_bytes)
    return {"connections": count, "before_bytes": before, "after_bytes": after,
            "bytes_each": figures.bytes_each(before, after, count)}
