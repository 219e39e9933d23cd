# SPDX-License-Identifier: MIT
"""What an idle connection costs in user memory, seen from another process."""

import os
import resource
import socket
import struct
import time
import unittest

import frame_client
from frame_client import Server, frame, payload_of, receive_exactly


class IdleCost(unittest.TestCase):
    CONNECTIONS = 15000
    MOST_BYTES = 64

    def test_an_idle_connection_that_exchanged_frames_costs_at_most_64_bytes(self):
        needed = self.CONNECTIONS + 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < needed:
            self.skipTest(f"the descriptor limit is {hard}; this needs {needed}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with Server("--idle-timeout", "0") as server:
            self.open_and_exchange(server, 300)  # code, pool and kernel caches become resident
            server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            time.sleep(2.5)  # what the tables of those needed is trimmed
            before = server.private_dirty_bytes()
            peers = self.open_and_exchange(server, self.CONNECTIONS, keep=True)
            stats = server.wait_for_stats(
                lambda s: s["connections"]["idle"] == self.CONNECTIONS)
            self.assertEqual(stats["buffers_in_use"], 0)
            self.assertEqual(stats["heap_allocations_on_data_path"], 0)
            time.sleep(2.5)
            each = (server.private_dirty_bytes() - before) / self.CONNECTIONS
            print(f"{each:.1f} bytes of private memory an idle connection, "
                  f"{stats['bytes_per_connection']:.1f} in tables", flush=True)
            for peer in peers:
                peer.close()
        # Its record at least, less what the server let go of meanwhile: the measurement measures.
        self.assertGreater(each, 4)
        self.assertLessEqual(stats["bytes_per_connection"], self.MOST_BYTES)
        if not os.environ.get("RINGPOOL_SANITIZERS"):  # they keep books of their own on every block
            self.assertLessEqual(each, self.MOST_BYTES)

    def open_and_exchange(self, server, count, keep=False):
        peers = []
        data = frame(payload_of(200, 1)) + frame(payload_of(1500, 1))
        for number in range(count):
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.settimeout(5)
            peer.connect(server.address)
            peer.sendall(data)
            peers.append(peer)
        for peer in peers:
            self.assertEqual(receive_exactly(peer, len(data)), data)
        if not keep:
            for peer in peers:
                peer.close()
        return peers


if __name__ == "__main__":
    frame_client.main()
