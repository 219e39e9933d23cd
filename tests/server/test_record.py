# SPDX-License-Identifier: MIT
"""`serve --record`: what is in the file, and what a full or impossible one does to the server."""

import os
import signal
import struct
import subprocess
import tempfile
import unittest

import frame_client
from frame_client import BACKEND, Server, exchange, frame, payload_of, receive_exactly

HEADER = struct.Struct("<8sIIQII")
BLOCK = struct.Struct("<IIII")
RECORD = struct.Struct("<QQII")


def records_of(path):
    """(at_ns, held_ns, bytes, weight) of each record, and the header."""
    with open(path, "rb") as file:
        data = file.read()
    header = HEADER.unpack_from(data)
    records, at = [], HEADER.size
    while at < len(data):
        mark, _, count, _ = BLOCK.unpack_from(data, at)
        assert mark == 0x4B4C4252, hex(mark)
        at += BLOCK.size
        records += [RECORD.unpack_from(data, at + i * RECORD.size) for i in range(count)]
        at += count * RECORD.size
    return header, records


class Recording(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringpool-test-")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "record")

    def test_every_frame_is_there_with_its_size_and_how_long_it_was_held(self):
        with Server("--record-one-in", "1", "--record", self.path) as server:
            with server.connect() as peer:
                for size in (10, 2000, 300):
                    exchange(self, peer, payload_of(size, 1))
                run = b"".join(frame(payload_of(size, 2)) for size in (20, 21, 22))
                peer.sendall(run)
                self.assertEqual(receive_exactly(peer, len(run)), run)
            self.assertEqual(server.terminate()[0], 0)
            (magic, version, one_in, _, record_bytes, _), records = records_of(self.path)
            self.assertEqual((magic, version, one_in, record_bytes),
                             (b"RPREC\r\n\x1a", 1, 1, RECORD.size))
            self.assertEqual(sorted(one[2] for one in records), [10, 20, 21, 22, 300, 2000])
            for _, held, _, weight in records:
                self.assertEqual(weight, 1)
                self.assertLess(held, 5_000_000_000)
            stats = server.final_stats()["recording"]
            self.assertEqual((stats["samples"], stats["dropped"], stats["stopped"]), (6, 0, ""))
            self.assertEqual(stats["bytes"], os.path.getsize(self.path))

    def test_what_is_written_each_second_is_there_when_the_server_is_killed(self):
        with Server("--record-one-in", "1", "--record", self.path) as server:
            with server.connect() as peer:
                exchange(self, peer, payload_of(100, 1))
                frame_client.until(lambda: os.path.getsize(self.path) > HEADER.size, 5, "a block is written")
            server.process.kill()
            server.process.wait()
            self.assertEqual([one[2] for one in records_of(self.path)[1]], [100])

    def test_a_file_that_may_grow_no_more_ends_the_recording_and_not_the_server(self):
        with Server("--record-one-in", "1", "--record", self.path,
                    through=["prlimit", f"--fsize={1 << 16}"]) as server:
            with server.connect() as peer:
                run = frame(b"x") * 1000
                for _ in range(5):
                    peer.sendall(run)
                    self.assertEqual(receive_exactly(peer, len(run)), run)
                stats = server.wait_for_stats(lambda s: s["recording"]["stopped"])["recording"]
                self.assertEqual(stats["stopped"], "it cannot be written: File too large")
                self.assertEqual(stats["bytes"], os.path.getsize(self.path))
                self.assertEqual(len(records_of(self.path)[1]), stats["samples"])
                exchange(self, peer, payload_of(100, 1))

    def test_a_file_that_cannot_be_made_is_an_error_at_once(self):
        run = subprocess.run([frame_client.BINARY, "serve", "--listen", "127.0.0.1:0", "--backend", BACKEND,
                              "--record", "/nowhere/at/all"], capture_output=True, text=True, timeout=10)
        self.assertEqual(run.returncode, 1)
        self.assertIn("cannot record to /nowhere/at/all: No such file or directory", run.stderr)

    def test_a_pipe_is_refused_at_once_and_not_waited_for(self):
        os.mkfifo(self.path)
        run = subprocess.run([frame_client.BINARY, "serve", "--listen", "127.0.0.1:0", "--backend", BACKEND,
                              "--record", self.path], capture_output=True, text=True, timeout=10)
        self.assertEqual(run.returncode, 1)
        self.assertIn("a pipe or socket (accepted: a file)", run.stderr)

    def test_statistics_that_may_not_be_written_are_an_error_that_the_server_survives(self):
        stats = self.path + ".json"
        command = ["prlimit", "--fsize=64", frame_client.BINARY, "serve", "--listen", "127.0.0.1:0",
                   "--backend", BACKEND, "--stats-file", stats]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            server.stdout.readline()  # it listens
            server.send_signal(signal.SIGUSR1)
            self.assertEqual(server.stderr.readline(), f"ringpool serve: cannot write {stats}: File too large\n")
            server.terminate()
            self.assertEqual(server.wait(10), 0)


if __name__ == "__main__":
    frame_client.main()
