# SPDX-License-Identifier: MIT
"""Every frame comes back, however its bytes are cut, from every kind of buffer."""

import random
import socket
import threading
import unittest

import frame_client
from frame_client import Server, exchange, frame, payload_of, receive_exactly

SIZES = sorted({1, 2, 3, 5, 4096, 16383, 16384} |
               {size + step for size in (64, 256, 1024, 4096) for step in (-1, 0, 1)})


class Echo(unittest.TestCase):
    def check_all_sizes(self, *options):
        with Server(*options) as server, server.connect() as peer:
            for size in SIZES:
                exchange(self, peer, payload_of(size, 1))
            stats = server.settled()
            self.assertEqual(stats["frames"], len(SIZES))
            self.assertEqual(stats["bytes"], sum(SIZES))
            self.assertEqual(stats["connections"]["idle"], 1)
            return stats

    def test_every_size_comes_back_from_the_pool(self):
        stats = self.check_all_sizes()
        self.assertEqual(stats["heap_allocations_on_data_path"], 0)
        self.assertEqual(frame_client.in_use(stats), [0] * 5)
        self.assertEqual(sum(c["alloc_count"] for c in stats["classes"]),
                         sum(c["free_count"] for c in stats["classes"]) + stats["kernel_buffers"])

    def test_every_size_comes_back_from_malloc(self):
        stats = self.check_all_sizes("--buffers", "malloc")
        self.assertEqual(stats["heap_allocations_on_data_path"], len(SIZES))

    def test_every_size_comes_back_from_a_hardened_zeroing_pool(self):
        stats = self.check_all_sizes("--hardened", "--zero-on-free", "all")
        self.assertEqual(sum(c["misuse_count"] for c in stats["classes"]), 0)

    def test_frames_above_the_largest_class_come_from_upstream(self):
        with Server("--class", "256:64", "--max-frame", "1000000", "--upstream-budget",
                    "8000000") as server, server.connect() as peer:
            for size in (100, 257, 70000, 1000000):
                exchange(self, peer, payload_of(size, 2))
            stats = server.settled()
            self.assertGreaterEqual(sum(c["fallback_count"] for c in stats["classes"]), 3)
            if stats["heap_allocations_counted"]:
                self.assertGreaterEqual(stats["heap_allocations_on_data_path"], 3)

    def test_bytes_sent_one_by_one_make_the_same_frames(self):
        stream = b"".join(frame(payload_of(size, 3)) for size in (1, 2, 63, 64, 65, 257, 1, 3))
        with Server() as server, server.connect() as peer:
            for byte in stream:
                peer.sendall(bytes([byte]))
            self.assertEqual(receive_exactly(peer, len(stream)), stream)
            server.settled()

    def test_odd_pieces_of_a_long_stream_make_the_same_frames(self):
        rng = random.Random(4)
        stream = b"".join(frame(payload_of(rng.choice(SIZES), i)) for i in range(200))
        with Server() as server, server.connect() as peer:
            sender = threading.Thread(target=self.send_in_pieces, args=(peer, stream, rng))
            sender.start()
            self.assertEqual(receive_exactly(peer, len(stream)), stream)
            sender.join()

    @staticmethod
    def send_in_pieces(peer, stream, rng):
        at = 0
        while at < len(stream):
            size = rng.choice((1, 3, 7, 63, 501, 1999, 7001, 30011))
            peer.sendall(stream[at:at + size])
            at += size

    def test_many_small_frames_in_one_write_come_back_in_order(self):
        stream = b"".join(frame(payload_of(1 + i % 5, i)) for i in range(20000))
        with Server() as server, server.connect() as peer:
            sender = threading.Thread(target=peer.sendall, args=(stream,))
            sender.start()
            self.assertEqual(receive_exactly(peer, len(stream)), stream)
            sender.join()
            self.assertEqual(server.stats()["frames"], 20000)

    def test_connections_are_served_side_by_side_on_all_loops(self):
        with Server("--loops", "3") as server:
            peers = [server.connect() for _ in range(60)]
            for turn in range(5):
                for number, peer in enumerate(peers):
                    peer.sendall(frame(payload_of(50 + number, turn)))
                for number, peer in enumerate(peers):
                    expected = frame(payload_of(50 + number, turn))
                    self.assertEqual(receive_exactly(peer, len(expected)), expected)
            stats = server.stats()
            self.assertEqual(stats["connections"]["open"], 60)
            self.assertEqual(stats["frames"], 300)
            self.assertEqual(stats["loops"], 3)
            for peer in peers:
                peer.close()
            server.wait_for_stats(lambda s: s["connections"]["closed_by"]["peer"] == 60)

    def test_a_peer_that_shuts_its_side_down_still_gets_all_echoes(self):
        stream = b"".join(frame(payload_of(1000, i)) for i in range(50))
        with Server() as server, server.connect() as peer:
            peer.sendall(stream)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_exactly(peer, len(stream)), stream)
            self.assertEqual(peer.recv(1), b"")
            stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            self.assertEqual(stats["protocol_errors"]["truncated"], 0)


if __name__ == "__main__":
    frame_client.main()
