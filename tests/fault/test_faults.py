#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The n-th call of a function fails, n = 1, 2, ... until a run ends without reaching it.

Pools: no crash, nothing left behind, and a reason that names the call or what was asked for.
The command: a line on standard error and a non-zero exit, or a server that goes on serving, and
that holds no buffer and ends well afterwards. Arguments: the program of scenarios, the preloaded
library, the command. RINGPOOL_FAULT_SCALE=1 tries every n, not a choice of them.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from frame_client import frame  # noqa: E402

SCENARIOS, LIBRARY, COMMAND = sys.argv[1:4]
EVERY = os.environ.get("RINGPOOL_FAULT_SCALE", "0") != "0"
# May fail without an error: what is lost is speed, or is in what memory() reports.
BEST_EFFORT = ("madvise", "mbind", "mlock", "membarrier", "pthread_key_create", "clone",
               "pthread_setspecific")
# A pool on the stack takes nothing from the heap but for a look at /proc/self/smaps.
NOT_NEEDED = (("construct_pool", "malloc"), ("construct_set", "malloc"))


class Fault:
    """An environment in which a call fails, and whether it did."""

    def __init__(self, function, number, error, folder, later=False):
        self.fired_file = os.path.join(folder, f"fired-{function}-{number}-{error}")
        self.environment = dict(os.environ, LD_PRELOAD=LIBRARY,
                                RINGPOOL_FAULT=f"{function}:{number}:{error}",
                                RINGPOOL_FAULT_FIRED=self.fired_file,
                                # Freed blocks kept for a thread count as in use otherwise.
                                GLIBC_TUNABLES="glibc.malloc.tcache_count=0")
        if later:
            self.environment["RINGPOOL_FAULT_ARMED"] = "later"

    def fired(self):
        return os.path.exists(self.fired_file)


def numbers(few):
    """1, 2, 3 ...; beyond `few` in growing steps, unless all are asked for."""
    number = 1
    while True:
        yield number
        number += 1 if EVERY or number < few else 1 + number // 7


class Faults(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpool-fault-")
        self.addCleanup(self.folder.cleanup)

    # ---- Pools ------------------------------------------------------------------------------

    def run_scenario(self, scenario, function, number, error):
        fault = Fault(function, number, error, self.folder.name, later=True)
        done = subprocess.run([SCENARIOS, scenario], env=fault.environment, capture_output=True,
                              text=True, timeout=60, check=False)
        what = f"{scenario}, {function} call {number}, {errno.errorcode[error]}"
        self.assertEqual(done.returncode, 0, f"{what}: {done.stdout} {done.stderr}")
        return fault.fired(), json.loads(done.stdout), what

    def each_call_of(self, scenario, function, error):
        noticed = 0
        for number in numbers(few=40):
            fired, told, what = self.run_scenario(scenario, function, number, error)
            self.assertEqual((told["descriptors"], told["mappings"], told["heap_bytes"]), (0, 0, 0),
                             f"{what}: left behind: {told}")
            self.assertFalse(told["said"].startswith("LOST"), f"{what}: {told}")
            if not fired:
                self.assertEqual(told["said"], "ok", what)
                optional = function in BEST_EFFORT or (scenario, function) in NOT_NEEDED
                self.assertTrue(noticed or optional, f"{what}: no call was noticed")
                return
            noticed += told["said"] not in ("", "ok")

    def test_construction(self):
        for scenario in ("create_pool", "construct_pool", "construct_set"):
            for function, errors in {
                "malloc": (errno.ENOMEM,),
                "mmap": (errno.ENOMEM, errno.EPERM),
                "mprotect": (errno.ENOMEM,),
                "madvise": (errno.ENOMEM, errno.EINVAL),
                "mlock": (errno.ENOMEM, errno.EPERM),
                "mbind": (errno.EPERM, errno.ENOSYS),
                "membarrier": (errno.ENOSYS, errno.EPERM),
                "pthread_key_create": (errno.EAGAIN,),
            }.items():
                for error in errors:
                    with self.subTest(scenario=scenario, function=function, error=error):
                        self.each_call_of(scenario, function, error)

    def test_use(self):
        for function, error in (("malloc", errno.ENOMEM), ("madvise", errno.EINVAL),
                                ("membarrier", errno.EPERM),
                                ("pthread_setspecific", errno.ENOMEM)):
            with self.subTest(function=function):
                self.each_call_of("use_pool", function, error)

    def test_twin_a_mapping_left_behind_is_found(self):
        fired, told, _ = self.run_scenario("leaky", "mmap", 2, errno.ENOMEM)
        self.assertTrue(fired)
        self.assertEqual(told["mappings"], 1, told)

    # ---- The command ------------------------------------------------------------------------

    def serve_once(self, function, number, error):
        """Runs a server under a fault, has some frames echoed, and ends it. True if it fired."""
        fault = Fault(function, number, error, self.folder.name)
        what = f"serve, {function} call {number}, {errno.errorcode[error]}"
        port_file = os.path.join(self.folder.name, "port")
        stats_file = os.path.join(self.folder.name, "stats")
        for path in (port_file, stats_file):
            if os.path.exists(path):
                os.remove(path)
        process = subprocess.Popen(
            [COMMAND, "serve", "--listen", "127.0.0.1:0", "--port-file", port_file,
             # The JSON library allocates in functions that must not throw, and so ends a process
             # whose heap is spent.
             *([] if function == "malloc" else ["--stats-file", stats_file]),
             "--loops", "1", "--max-frame", "1024", "--class", "64:64", "--class", "1024:64"],
            env=fault.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        try:
            end = time.monotonic() + 10
            while not os.path.exists(port_file) and process.poll() is None:
                self.assertLess(time.monotonic(), end, f"{what}: neither serves nor ends")
                time.sleep(0.002)
            if process.poll() is None:
                with open(port_file, encoding="utf-8") as file:
                    port = int(file.read().rpartition(":")[2])
                self.exchange(port, process)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            _, complaint = process.communicate(timeout=10)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode == 0:
            if os.path.exists(stats_file):
                with open(stats_file, encoding="utf-8") as file:
                    self.assertEqual(json.load(file)["buffers_in_use"], 0, what)
        else:
            self.assertGreater(process.returncode, 0, f"{what}: killed by a signal: {complaint}")
            self.assertRegex(complaint, r"^ringpool( serve)?: .+", f"{what}: no reason")
            self.assertTrue(fault.fired(), f"{what}: {complaint}")
        return fault.fired()

    def exchange(self, port, process):
        """One connection may be lost to the fault. The next ones must be served, if the server is
        still there: it may have ended with a reason."""
        served = 0
        for _ in range(4):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                    sent = frame(b"x" * 600)
                    client.sendall(sent)
                    got = b""
                    while len(got) < len(sent):
                        part = client.recv(65536)
                        if not part:
                            break
                        got += part
                    served += got == sent
            except OSError:
                pass
        if process.poll() is None:
            self.assertGreaterEqual(served, 3, "more than one connection was lost to one fault")

    def test_serve(self):
        for function, error in (
            ("socket", errno.EMFILE), ("bind", errno.EADDRINUSE), ("listen", errno.EADDRINUSE),
            ("getsockname", errno.ENOBUFS), ("setsockopt", errno.ENOPROTOOPT),
            ("accept4", errno.EMFILE), ("accept4", errno.ECONNABORTED),
            ("epoll_create1", errno.EMFILE), ("epoll_ctl", errno.ENOSPC),
            ("epoll_wait", errno.EINTR), ("recv", errno.ECONNRESET), ("sendmsg", errno.ENOBUFS),
            ("pipe2", errno.ENFILE), ("open", errno.EACCES), ("pthread_create", errno.EAGAIN),
            ("mmap", errno.ENOMEM), ("malloc", errno.ENOMEM),
        ):
            with self.subTest(function=function, error=errno.errorcode[error]):
                few = 3 if function in ("malloc", "mmap") else 12
                for number in numbers(few):
                    if not self.serve_once(function, number, error):
                        break


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
