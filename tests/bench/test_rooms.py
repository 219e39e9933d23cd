# SPDX-License-Identifier: MIT
"""The client that measures rooms: it counts what came, and no wrong byte passes. And uring.py runs.
Usage:

  test_rooms.py PATH-OF-RINGPOOL PATH-OF-CLIENT [unittest arguments]
"""

import json
import socket
import subprocess
import sys
import threading
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
URING = TESTS.parent / "bench" / "servers" / "uring.py"
sys.path[:0] = [str(URING.parent), str(TESTS / "server")]

from frame_client import receive_exactly  # noqa: E402
from processes import Failed, Server  # noqa: E402

SKIPPED = 77
HEADER_BYTES = 4
PAYLOAD_BYTES = 100


def run_client(where, members, *options):
    return subprocess.run(
        [CLIENT, "--connect", where, "--members", str(members), "--payload-bytes", str(PAYLOAD_BYTES), "--warm-up",
         "0.05", "--seconds", "0.2", *options], capture_output=True, text=True, timeout=30, check=False)


class Room:
    """A server of one room on a thread, which may spoil frames: spoil(number, member, data) is what
    is sent instead of a frame."""

    def __init__(self, members, spoil):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where = "127.0.0.1:{}".format(self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self.run, args=(members, spoil), daemon=True)
        self.thread.start()

    def run(self, members, spoil):
        peers = []
        try:
            for _ in range(members):
                peers.append(self.listener.accept()[0])
                peers[-1].sendall(receive_exactly(peers[-1], HEADER_BYTES + len("crowd")))
            number = 0
            while data := receive_exactly(peers[0], HEADER_BYTES + PAYLOAD_BYTES):
                for member, peer in enumerate(peers):
                    peer.sendall(spoil(number, member, data))
                number += 1
        except (OSError, AssertionError):
            pass  # the client ended
        finally:
            for peer in peers:
                peer.close()
            self.listener.close()


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class RoomClientTest(unittest.TestCase):
    MEMBERS = 5

    def told_by(self, spoil):
        return run_client(Room(self.MEMBERS, spoil).where, self.MEMBERS)

    def test_an_honest_room_is_measured(self):
        done = self.told_by(lambda number, member, data: data)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        told = json.loads(done.stdout)
        self.assertEqual(told["deliveries"], told["frames"] * self.MEMBERS)
        self.assertGreater(told["deliveries_per_second"], 0)

    def test_a_byte_that_differs_is_found(self):
        for at in (0, HEADER_BYTES, HEADER_BYTES + PAYLOAD_BYTES - 1):
            with self.subTest(at):
                done = self.told_by(lambda number, member, data, at=at:
                                    flip(data, at) if (number, member) == (7, 3) else data)
                self.assertEqual(done.returncode, 1)
                self.assertIn("member 3 got another frame 7 than was sent", done.stderr)

    def test_a_frame_that_is_left_out_or_comes_twice_is_found(self):
        for times in (0, 2):
            with self.subTest(times):
                done = self.told_by(lambda number, member, data, times=times:
                                    data * times if (number, member) == (7, 4) else data)
                self.assertEqual(done.returncode, 1)
                self.assertIn("member 4 got ", done.stderr)

    def test_a_room_that_closes_is_found(self):
        def close_at_seven(number, member, data):
            if number == 7:
                raise OSError
            return data
        done = self.told_by(close_at_seven)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "was closed by the server|could not send")

    def test_bad_options_are_told(self):
        for options in (("--members", "0"), ("--payload-bytes", "7"), ("--window", "0"), ("--connect", "here")):
            self.assertEqual(run_client("127.0.0.1:1", 1, *options).returncode, 2)


class UringTest(unittest.TestCase):
    """Against `ringpool serve`, where it can use io_uring."""

    ROOM = ("serve", "--backend", "uring", "--mode", "room", "--receive-buffers", "4")

    def setUp(self):
        try:
            self.server = Server([RINGPOOL, *self.ROOM], loops=1)
        except Failed:
            self.skipTest("no io_uring here")
        self.addCleanup(self.server.__exit__)

    def test_every_member_of_a_room_gets_every_frame(self):
        done = run_client(self.server.where, 100)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.server.stop()
        told, statistics = json.loads(done.stdout), self.server.final_statistics()
        self.assertEqual(told["deliveries"], told["frames"] * 100)
        self.assertEqual(statistics["rooms"]["deliveries"], told["deliveries"])

    def test_the_short_form_runs(self):
        done = subprocess.run(
            [sys.executable, URING, "--quick", "--rounds", "1", "--seconds", "0.2", "--part", "exhaustion", "--build",
             Path(RINGPOOL).parent], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"ENOBUFS a frame, 1 per 16 .* (pass|short)\n")


if __name__ == "__main__":
    RINGPOOL, CLIENT = sys.argv[1:3]
    if not Path(CLIENT).is_file():
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
