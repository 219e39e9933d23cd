# SPDX-License-Identifier: MIT
"""A reference server of the benchmark is a correct one: under load, with bytes that trickle, with a
peer that does not read, with bad lengths. And compare.py measures it. Usage:

  test_servers.py PATH-OF-RINGPOOL NAME PATH-OF-SERVER|none [unittest arguments]
"""

import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
COMPARE = TESTS.parent / "bench" / "servers" / "compare.py"
sys.path[:0] = [str(COMPARE.parent), str(TESTS / "server")]

from frame_client import closed_by_server, exchange, frame, payload_of, receive_exactly  # noqa: E402
from processes import Server, run_load  # noqa: E402

SKIPPED = 77
LARGEST = 16384


class ServerTest(unittest.TestCase):
    def setUp(self):
        self.server = Server([PROGRAM], loops=2)
        self.addCleanup(self.server.__exit__)

    def connect(self, receive_buffer=None):
        host, _, port = self.server.where.rpartition(":")
        peer = socket.socket()
        self.addCleanup(peer.close)
        if receive_buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.settimeout(5)
        peer.connect((host, int(port)))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer

    def test_a_load_comes_back_without_a_fault(self):
        report = run_load(RINGPOOL, self.server.where, (
            "--connections", 20, "--pipeline", 8, "--mix", f"uniform:24-{LARGEST}", "--loops", 2,
            "--warm-up", 0, "--seconds", 0.3))
        self.assertEqual(set(report["faults"].values()), {0})
        self.assertGreater(report["frames"]["echoed"], 100)

    def test_a_frame_that_trickles_comes_back(self):
        peer = self.connect()
        data = frame(payload_of(60, 1))
        for one in data:
            peer.sendall(bytes([one]))
        self.assertEqual(receive_exactly(peer, len(data)), data)

    def test_frames_cut_anywhere_come_back(self):
        peer, source = self.connect(), random.Random(1)
        for _ in range(20):
            sizes = [source.choice((1, 7, 300, 4092, 4093, LARGEST)) for _ in range(4)]
            data = b"".join(frame(payload_of(size, 1)) for size in sizes)
            cuts = sorted(source.sample(range(1, len(data)), 5))
            for start, end in zip([0, *cuts], [*cuts, len(data)]):
                peer.sendall(data[start:end])
            self.assertEqual(receive_exactly(peer, len(data)), data)

    def test_a_peer_that_does_not_read_for_a_while_gets_everything(self):
        peer = self.connect(receive_buffer=4096)
        data = b"".join(frame(payload_of(LARGEST, seed)) for seed in range(10)) * 50  # above what sockets hold
        peer.settimeout(10)
        writer = threading.Thread(target=peer.sendall, args=(data,))
        writer.start()
        writer.join(0.2)
        self.assertTrue(writer.is_alive(), "everything was taken: the server had never to wait")
        self.assertTrue(receive_exactly(peer, len(data)) == data)
        writer.join()

    def test_a_bad_length_closes_after_the_frames_before_it(self):
        for length in (0, -1, LARGEST + 1, -2**31):
            with self.subTest(length=length):
                peer = self.connect()
                data = frame(payload_of(500, 1)) * 3
                peer.sendall(data + length.to_bytes(4, "big", signed=True))
                self.assertEqual(receive_exactly(peer, len(data)), data)
                self.assertTrue(closed_by_server(peer))

    def test_peers_that_leave_inside_a_frame_harm_nobody(self):
        stays = self.connect()
        for size in (0, 2, 4, 100):
            leaves = self.connect()
            leaves.sendall(frame(payload_of(500, 1))[:size])
            leaves.close()
            exchange(self, stays, payload_of(500, 2))

    def test_it_ends_with_connections_open(self):
        peers = [self.connect() for _ in range(20)]
        for peer in peers:
            exchange(self, peer, payload_of(5000, 1))
        peers[0].sendall(frame(payload_of(500, 1))[:100])
        self.server.stop()  # fails unless its exit code is 0


class CompareTest(unittest.TestCase):
    def test_a_comparison_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            ran = subprocess.run(
                [sys.executable, COMPARE, "--smoke", "--rounds", "2", "--seconds", "0.05", "--idle", "50", "--server",
                 "ringpool", "--server", NAME, "--build", Path(PROGRAM).parent, "--output", folder],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertEqual(Path(folder, "servers.txt").read_text("utf-8"), ran.stdout)
            result = json.loads(Path(folder, "servers.json").read_text("utf-8"))
        for mode in ("closed", "rate"):
            self.assertEqual(list(result[mode]["summary"]), ["ringpool", NAME])
            self.assertEqual(result[mode]["summary"]["ringpool"]["ratio_to_base"]["median"], 1)
            self.assertGreater(result[mode]["summary"][NAME]["cpu_us_per_frame"]["min"], 0)
        self.assertEqual(result["idle"][NAME]["connections"], 50)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    RINGPOOL, NAME, PROGRAM = sys.argv[1:4]
    if PROGRAM == "none":
        print("what it needs is missing")
        sys.exit(SKIPPED)
    del sys.argv[1:4]
    unittest.main(verbosity=2)
