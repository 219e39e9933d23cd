# SPDX-License-Identifier: MIT
"""Peers that lie, stall and reset hurt themselves alone."""

import socket
import struct
import time
import unittest

import frame_client
from frame_client import (Server, closed_by_server, exchange, frame, payload_of, receive_exactly)

LIES = [(0, "zero_length"), (-1, "negative_length"), (-2**31, "negative_length"),
        (16385, "too_long"), (2**31 - 1, "too_long")]


class Misbehaviour(unittest.TestCase):
    def test_a_lying_length_closes_that_connection_alone(self):
        with Server() as server, server.connect() as witness:
            expected = {"zero_length": 0, "negative_length": 0, "too_long": 0, "truncated": 0}
            for number, (length, kind) in enumerate(LIES):
                with server.connect() as liar:
                    exchange(self, liar, payload_of(10, number))
                    liar.sendall(struct.pack(">i", length))
                    self.assertTrue(closed_by_server(liar), f"length {length}")
                expected[kind] += 1
                exchange(self, witness, payload_of(100, number))
                server.wait_for_stats(lambda s: s["protocol_errors"] == expected)
            self.assertEqual(server.settled()["connections"]["open"], 1)

    def test_frames_before_a_lie_are_still_answered(self):
        good = b"".join(frame(payload_of(500, i)) for i in range(20))
        with Server() as server, server.connect() as liar:
            liar.sendall(good + struct.pack(">i", -5))
            self.assertEqual(receive_exactly(liar, len(good)), good)
            self.assertEqual(liar.recv(1), b"")

    def test_the_largest_frame_is_accepted_and_one_more_byte_is_not(self):
        with Server("--max-frame", "1000") as server:
            with server.connect() as peer:
                exchange(self, peer, payload_of(1000, 1))
                peer.sendall(frame(payload_of(1001, 1)))
                self.assertTrue(closed_by_server(peer))
            self.assertEqual(server.stats()["protocol_errors"]["too_long"], 1)

    def test_a_header_alone_holds_no_buffer_and_a_promise_the_smallest_at_most(self):
        with Server() as server, server.connect() as peer:
            peer.sendall(struct.pack(">i", 16384))
            server.wait_for_stats(lambda s: s["connections"]["idle"] == 0)
            self.assertEqual(server.stats()["buffers_in_use"], 0)
            peer.sendall(b"x" * 10)
            stats = server.wait_for_stats(lambda s: s["buffers_in_use"] != 0)
            self.assertEqual(frame_client.in_use(stats), [1, 0, 0, 0, 0])
            peer.sendall(b"y" * 16374)
            self.assertEqual(receive_exactly(peer, 16388)[4:], b"x" * 10 + b"y" * 16374)
            server.settled()

    def test_a_peer_that_leaves_inside_a_frame_is_counted_and_its_buffer_comes_back(self):
        with Server() as server:
            with server.connect() as peer:
                peer.sendall(frame(payload_of(300, 1))[:200])
                server.wait_for_stats(lambda s: s["buffers_in_use"] == 1)
            stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            self.assertEqual(stats["protocol_errors"]["truncated"], 1)
            self.assertEqual(stats["buffers_in_use"], 0)

    def test_resets_give_everything_back(self):
        with Server() as server, server.connect() as witness:
            for number in range(50):
                peer = server.connect()
                peer.sendall(frame(payload_of(2000, number)) * 20 + b"\0\0\1")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
            exchange(self, witness, payload_of(100, 1))
            server.wait_for_stats(lambda s: s["connections"]["open"] == 1)
            stats = server.settled()
            self.assertEqual(stats["connections"]["accepted"], 51)

    def test_half_a_frame_is_closed_at_its_deadline_though_bytes_trickle(self):
        with Server("--frame-timeout", "0.4") as server, server.connect() as witness:
            with server.connect() as slow:
                begin = time.monotonic()
                slow.sendall(frame(payload_of(100, 1))[:20])
                closed = False
                slow.settimeout(0.05)
                while not closed and time.monotonic() - begin < 5:
                    try:
                        slow.sendall(b"z")
                        closed = slow.recv(1) == b""
                    except socket.timeout:
                        pass
                    except ConnectionError:
                        closed = True
                took = time.monotonic() - begin
            self.assertTrue(closed)
            self.assertGreater(took, 0.35)
            self.assertLess(took, 2.0)
            exchange(self, witness, payload_of(10, 1))  # idle for longer, and not closed
            self.assertEqual(server.stats()["connections"]["closed_by"]["frame_timeout"], 1)

    def test_part_of_a_header_has_the_same_deadline(self):
        with Server("--frame-timeout", "0.3") as server, server.connect() as slow:
            slow.sendall(b"\0\0")
            self.assertTrue(closed_by_server(slow, 3))
            self.assertEqual(server.stats()["connections"]["closed_by"]["frame_timeout"], 1)

    def test_idle_connections_are_closed_and_busy_ones_are_not(self):
        with Server("--idle-timeout", "0.5") as server, server.connect() as busy:
            idle = [server.connect() for _ in range(20)]
            for peer in idle:
                exchange(self, peer, payload_of(10, 1))
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                exchange(self, busy, payload_of(10, 2))
                time.sleep(0.05)
            for peer in idle:
                self.assertTrue(closed_by_server(peer, 1))
                peer.close()
            stats = server.stats()
            self.assertEqual(stats["connections"]["closed_by"]["idle_timeout"], 20)
            self.assertEqual(stats["connections"]["open"], 1)


if __name__ == "__main__":
    frame_client.main()
