# SPDX-License-Identifier: MIT
"""What one connection or room may hold, who is closed when buffers are short, and frames in pieces."""

import select
import socket
import struct
import threading
import time
import unittest

import frame_client
from frame_client import Server, closed_by_server, exchange, frame, in_use, payload_of, receive_exactly

EPOLL = frame_client.BACKEND == "epoll"
MIB = 1 << 20


def send_while_open(peer, data, seconds=20.0):
    """Sends over and over and reads nothing, until the connection is closed."""
    end = time.monotonic() + seconds
    peer.setblocking(False)
    try:
        sent = 0
        while time.monotonic() < end:
            select.select([], [peer], [], 0.05)
            try:
                sent += peer.send(data[sent % len(data):])
            except BlockingIOError:
                pass
    except OSError:  # it is closed, by either side
        pass


class Budgets(unittest.TestCase):
    def test_a_connection_holds_no_more_than_its_budget_and_loses_nothing(self):
        budget = 40000
        stream = b"".join(frame(payload_of(1 + i * 7 % 3000, i)) for i in range(4000))
        with Server("--connection-budget", str(budget), "--send-queue-bytes", str(8 * MIB), "--loops", "1",
                    "--max-frame", "4096") as server:
            with server.connect(receive_buffer=4096, timeout=10) as peer:
                sender = threading.Thread(target=peer.sendall, args=(stream,))
                sender.start()
                stats = server.wait_for_stats(lambda s: s["connections"]["slowed"] > 0)
                if EPOLL:  # io_uring may have received more before it stops
                    self.assertLessEqual(stats["budgets"]["connection_bytes"], budget)
                self.assertEqual(receive_exactly(peer, len(stream)), stream)
                sender.join()
            stats = server.settled()
            self.assertEqual(stats["frames"], 4000)
            self.assertEqual(stats["budgets"]["connection_bytes"], 0)

    def test_the_statistics_name_who_holds_most(self):
        with Server("--loops", "2") as server:
            peers = [server.connect() for _ in range(8)]
            for number, peer in enumerate(peers):  # halves of frames: each holds more than the last
                peer.sendall(frame(payload_of(1 << (number + 6), number))[:-1])
            stats = server.wait_for_stats(lambda s: s["budgets"]["connection_bytes"] >= 64 * 255)
            largest = stats["budgets"]["largest"]
            held = [one["bytes"] for one in largest]
            self.assertEqual(len(held), 5)
            self.assertEqual(held, sorted(held, reverse=True))
            if EPOLL:
                names = ["%s:%d" % peer.getsockname() for peer in peers]
                self.assertEqual(largest[0]["peer"], names[7])
                self.assertLessEqual({one["peer"] for one in largest}, set(names))
            for peer in peers:
                peer.close()
            self.assertEqual(server.wait_for_stats(lambda s: s["connections"]["open"] == 0)["budgets"]["largest"], [])

    def test_what_cannot_be_is_refused_at_the_start(self):
        for options, reason in (
                (("--connection-budget", "100"), "cannot hold one frame"),
                (("--connection-budget", "-1"), "--connection-budget"),
                (("--room-budget", "100000"), "needs --mode room"),
                (("--shed", "smallest"), "--shed")):
            with Server(*options, expect_start=False) as server:
                _, err = server.process.communicate(timeout=10)
                self.assertNotEqual(server.process.returncode, 0, options)
                self.assertIn(reason, err)


class Shedding(unittest.TestCase):
    """One that sends and never reads holds all buffers; a hundred others ask for an echo."""
    # With io_uring a second loop has offered buffers to its kernel, from which it serves small frames.
    OPTIONS = ("--class", "1024:512", "--max-frame", "1024", "--send-queue-bytes", str(64 * MIB),
               "--loops", "2" if EPOLL else "1")

    @staticmethod
    def wait_until_stuck(server):
        """Until no frame comes on for a while for want of buffers, or the hog is gone. The kernel's own buffers
        fill first, and grow, so that the first connection that finds none may go on at once."""
        last, since = None, time.monotonic()

        def stuck(stats):
            nonlocal last, since
            now = time.monotonic()
            if stats["frames"] != last:
                last, since = stats["frames"], now
            return stats["connections"]["closed_by"]["shed"] > 0 or (
                stats["connections"]["starved"] > 0 and now - since > 0.3)

        server.wait_for_stats(stuck, 20)

    def serve_beside_a_hog(self, server, honest_count, rounds, timeout):
        hog = server.connect(receive_buffer=4096)
        sender = threading.Thread(target=send_while_open, args=(
            hog, b"".join(frame(payload_of(1000, i)) for i in range(64))))
        sender.start()
        try:
            self.wait_until_stuck(server)
            peers = [server.connect(timeout=timeout) for _ in range(honest_count)]
            try:
                for number in range(rounds):
                    said = [payload_of(500 + number, i) for i in range(honest_count)]
                    for peer, payload in zip(peers, said):
                        peer.sendall(frame(payload))
                    for peer, payload in zip(peers, said):
                        self.assertEqual(receive_exactly(peer, 4 + len(payload)), frame(payload))
            finally:
                for peer in peers:
                    peer.close()
            return server.stats()
        finally:
            hog.close()
            sender.join()

    def test_the_hog_is_closed_and_the_others_lose_nothing(self):
        with Server(*self.OPTIONS, "--shed", "largest") as server:
            stats = self.serve_beside_a_hog(server, 100, 10, 10)
            self.assertEqual(stats["connections"]["closed_by"]["shed"], 1)
            self.assertEqual(stats["budgets"]["shed"], 1)
            server.settled()

    def test_without_shedding_the_same_hog_keeps_the_others_waiting(self):
        with Server(*self.OPTIONS, "--shed", "off") as server:
            with self.assertRaises(socket.timeout):
                self.serve_beside_a_hog(server, 8, 1, 0.5)
            self.assertEqual(server.stats()["connections"]["closed_by"]["shed"], 0)

    def test_nobody_is_closed_where_all_hold_alike(self):
        with Server("--class", "1024:16", "--max-frame", "1024", "--shed", "largest", "--loops", "1") as server:
            peers = [server.connect() for _ in range(32)]
            for peer in peers:
                peer.sendall(frame(payload_of(1000, 1))[:900])
            server.wait_for_stats(lambda s: s["connections"]["starved"] > 0)
            time.sleep(0.3)
            self.assertEqual(server.stats()["connections"]["closed_by"]["shed"], 0)
            for peer in peers:
                peer.close()


@unittest.skipUnless(EPOLL, "frames in pieces are epoll's")
class LargeFrames(unittest.TestCase):
    POOL = ("--class", "64:64", "--class", "4096:16384", "--no-prefault", "--max-frame", str(MIB))

    def test_frames_around_the_borders_of_classes_and_pieces(self):
        sizes = [size + step for size in (64, 4096, 8192, 12288, 65536) for step in (-1, 0, 1)] + [MIB - 1, MIB]
        stream = b"".join(frame(payload_of(size, size)) for size in sizes)
        with Server(*self.POOL, "--loops", "1") as server:
            with server.connect(timeout=10) as peer:
                for size in sizes:  # a frame alone
                    exchange(self, peer, payload_of(size, 1))
                sender = threading.Thread(target=peer.sendall, args=(stream,))
                sender.start()  # one behind the other
                self.assertEqual(receive_exactly(peer, len(stream)), stream)
                sender.join()
                for at in range(0, 20000, 997):  # in small parts
                    peer.sendall(frame(payload_of(20000, 3))[at:at + 997 if at + 997 < 20000 else None])
                self.assertEqual(receive_exactly(peer, 20004), frame(payload_of(20000, 3)))
                server.settled()
                with server.connect() as bad:
                    bad.sendall(struct.pack(">i", MIB + 1))
                    self.assertTrue(closed_by_server(bad))
            stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            self.assertEqual(stats["frames"], 2 * len(sizes) + 1)
            self.assertEqual(stats["protocol_errors"]["too_long"], 1)
            self.assertEqual((stats["buffers_in_use"], stats["budgets"]["connection_bytes"]), (0, 0))
            self.assertEqual(stats["heap_allocations_on_data_path"], 0)

    def test_fifty_clients_with_frames_of_a_mebibyte(self):
        whole = frame(payload_of(MIB, 7))
        with Server(*self.POOL) as server:
            peers = [server.connect(timeout=20) for _ in range(50)]
            senders = [threading.Thread(target=peer.sendall, args=(whole,)) for peer in peers]
            for sender in senders:
                sender.start()
            for peer in peers:
                self.assertEqual(receive_exactly(peer, len(whole)), whole)
            for sender, peer in zip(senders, peers):
                sender.join()
                peer.close()
            stats = server.settled()
            self.assertEqual((stats["frames"], stats["bytes"]), (50, 50 * MIB))

    def test_a_slow_sender_holds_what_has_come_and_a_piece_at_most(self):
        came = 10000
        with Server(*self.POOL) as server:
            peers = [server.connect() for _ in range(20)]
            for peer in peers:
                peer.sendall(frame(payload_of(MIB, 1))[:4 + came])
            stats = server.wait_for_stats(lambda s: s["budgets"]["connection_bytes"] >= 20 * came)
            self.assertLessEqual(stats["budgets"]["connection_bytes"], 20 * (came + 4096))
            self.assertLessEqual(in_use(stats)[1], 20 * 3)
            self.assertEqual(stats["frames"], 0)
            for peer in peers:
                peer.close()
            stats = server.settled()
            self.assertEqual(stats["protocol_errors"]["truncated"], 20)

    def test_frames_that_wait_for_each_others_pieces_have_a_deadline(self):
        with Server("--class", "4096:64", "--max-frame", "200000", "--frame-timeout", "0.5", "--loops", "1") as server:
            peers = [server.connect() for _ in range(4)]
            for peer in peers:  # 49 pieces each
                peer.sendall(frame(payload_of(200000, 1))[:-1])
            server.wait_for_stats(lambda s: s["connections"]["closed_by"]["frame_timeout"] >= 3)
            with server.connect(timeout=6) as peer:
                exchange(self, peer, payload_of(200000, 2))
            for peer in peers:
                peer.close()


@unittest.skipIf(EPOLL, "rooms are io_uring's")
class RoomBudgets(unittest.TestCase):
    def test_who_holds_most_of_a_full_room_is_closed_and_the_others_get_all(self):
        with Server("--backend", "uring", "--mode", "room", "--loops", "1", "--send-queue-bytes", str(64 * MIB),
                    "--room-budget", "200000") as server:
            peers = [server.connect(receive_buffer=4096 if i == 0 else None) for i in range(4)]
            for peer in peers:
                exchange(self, peer, b"a room")
            for number in range(1500):  # the first of them reads nothing
                said = frame(payload_of(4000, number % 7))
                peers[1 + number % 3].sendall(said)
                for peer in peers[1:]:
                    self.assertEqual(receive_exactly(peer, len(said)), said)
            stats = server.wait_for_stats(lambda s: s["connections"]["closed_by"]["slow"] == 1)
            self.assertGreater(stats["budgets"]["over_limit"], 0)
            self.assertLessEqual(stats["budgets"]["room_bytes"], 200000)
            for peer in peers:
                peer.close()
            stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            self.assertEqual(stats["budgets"]["room_bytes"], 0)


if __name__ == "__main__":
    frame_client.main()
