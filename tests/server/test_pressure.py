# SPDX-License-Identifier: MIT
"""Slow readers, no buffers, no descriptors: bounded, counted, never hung, nothing lost."""

import select
import socket
import threading
import time
import unittest

import frame_client
from frame_client import Server, exchange, frame, payload_of, receive_exactly


def send_until_blocked(peer, data, quiet=0.3):
    """Sends over and over until the socket takes nothing for a while; returns how many bytes."""
    peer.setblocking(False)
    sent = 0
    while select.select([], [peer], [], quiet)[1]:
        try:
            at = sent % len(data)
            sent += peer.send(data[at:])
        except BlockingIOError:
            pass
    return sent


class SlowReaders(unittest.TestCase):
    def test_a_reader_that_never_reads_is_slowed_then_closed_and_memory_is_bounded(self):
        data = b"".join(frame(payload_of(1000, i)) for i in range(64))
        with Server("--send-timeout", "2", "--send-queue-bytes", "32768") as server:
            with server.connect(receive_buffer=4096) as peer, server.connect() as witness:
                send_until_blocked(peer, data)
                stats = server.stats()
                held = sum(count * c["buffer_size"] for count, c in
                           zip(frame_client.in_use(stats), stats["classes"]))
                self.assertGreater(held, 0)
                # One queued over and one half decoded; or all that the kernel had to receive into.
                over = 2 * 1024 if frame_client.BACKEND == "epoll" else 256 * 4096
                self.assertLessEqual(held, 32768 + over)
                self.assertGreater(stats["connections"]["slowed"], 0)
                exchange(self, witness, payload_of(1000, 1))
                server.wait_for_stats(
                    lambda s: s["connections"]["closed_by"]["send_timeout"] == 1, 6)
                server.settled()
                exchange(self, witness, payload_of(1000, 2))

    def test_a_slowed_reader_that_reads_again_gets_every_frame(self):
        stream = b"".join(frame(payload_of(1 + i * 7 % 3000, i)) for i in range(4000))
        with Server("--send-queue-bytes", "8192", "--loops", "1") as server:
            with server.connect(receive_buffer=4096, timeout=10) as peer, \
                 server.connect() as witness:
                sender = threading.Thread(target=peer.sendall, args=(stream,))
                sender.start()
                server.wait_for_stats(lambda s: s["connections"]["slowed"] > 0)
                for number in range(20):  # others are read while its input is parked
                    exchange(self, witness, payload_of(5000, number))
                self.assertEqual(receive_exactly(peer, len(stream)), stream)
                sender.join()
            stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            self.assertEqual(stats["frames"], 4020)
            self.assertEqual(stats["buffers_in_use"], 0)

    def test_two_slowed_readers_on_one_loop_get_every_frame(self):
        stream = b"".join(frame(payload_of(1 + i * 13 % 900, i)) for i in range(6000)) * 3
        with Server("--send-queue-bytes", "4096", "--loops", "1") as server:
            peers = [server.connect(receive_buffer=4096, timeout=10) for _ in range(2)]
            senders = [threading.Thread(target=peer.sendall, args=(stream,)) for peer in peers]
            for sender in senders:
                sender.start()
            server.wait_for_stats(lambda s: s["connections"]["slowed"] >= 2)
            for peer in peers:
                self.assertEqual(receive_exactly(peer, len(stream)), stream)
            for sender, peer in zip(senders, peers):
                sender.join()
                peer.close()


class Upstream(unittest.TestCase):
    def test_frames_that_come_in_parts_are_whole_where_the_heap_serves_them(self):
        """One that took from the heap what had come, and wrote the rest behind it, ran into its neighbours."""
        frames = [frame(payload_of(3000, i)) for i in range(8)]
        with Server("--class", "4096:2", "--class", "16384:2", "--cache-limit", "0", "--upstream-budget", "1000000",
                    "--loops", "1", "--receive-buffers", "1") as server:
            peers = [server.connect() for _ in frames]
            for peer, one in zip(peers, frames):
                peer.sendall(one[:1000])
            server.wait_for_stats(lambda s: s["classes"][0]["upstream_in_use_bytes"] >= 4 * 1000)
            for peer, one in zip(peers, frames):
                peer.sendall(one[1000:])
            for peer, one in zip(peers, frames):
                self.assertEqual(receive_exactly(peer, len(one)), one)
                peer.close()
            self.assertEqual(server.terminate()[0], 0)


class NoBuffers(unittest.TestCase):
    SMALL = ("--class", "64:4", "--class", "1024:4", "--max-frame", "1024")

    def test_many_connections_share_few_buffers_and_lose_nothing(self):
        with Server(*self.SMALL) as server:
            peers = [server.connect() for _ in range(50)]
            stream = b"".join(frame(payload_of(1 + i * 97 % 1024, i)) for i in range(60))
            for peer in peers:
                peer.sendall(stream)
            for peer in peers:
                self.assertEqual(receive_exactly(peer, len(stream)), stream)
                peer.close()
            stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            self.assertEqual(stats["frames"], 3000)
            self.assertEqual(stats["buffers_in_use"], 0)

    def test_a_starved_connection_goes_on_when_buffers_come_back(self):
        with Server(*self.SMALL, "--loops", "1") as server:  # two may each have one for the kernel
            holders = [server.connect() for _ in range(4)]
            for holder in holders:
                holder.sendall(frame(payload_of(1000, 1))[:900])
            server.wait_for_stats(lambda s: frame_client.in_use(s)[1] == 4)
            with server.connect(timeout=0.3) as starved:
                starved.sendall(frame(payload_of(800, 2)) + frame(payload_of(10, 3)))
                server.wait_for_stats(lambda s: s["connections"]["starved"] > 0)
                with self.assertRaises(socket.timeout):
                    starved.recv(1)
                holders[0].sendall(frame(payload_of(1000, 1))[900:])
                starved.settimeout(5)
                expected = frame(payload_of(800, 2)) + frame(payload_of(10, 3))
                self.assertEqual(receive_exactly(starved, len(expected)), expected)
            for holder in holders:
                holder.close()

    def test_holders_that_stall_are_closed_and_free_the_starved(self):
        with Server(*self.SMALL, "--frame-timeout", "0.5") as server:
            holders = [server.connect() for _ in range(8)]
            for holder in holders:
                holder.sendall(frame(payload_of(1000, 1))[:900])
            with server.connect(timeout=6) as starved:
                exchange(self, starved, payload_of(1000, 2))
            server.wait_for_stats(lambda s: s["connections"]["closed_by"]["frame_timeout"] >= 4)
            for holder in holders:
                holder.close()

    def test_elastic_buffers_serve_what_the_ring_cannot(self):
        with Server("--class", "1024:4", "--max-frame", "1024", "--elastic", "64") as server:
            holders = [server.connect() for _ in range(20)]
            for holder in holders:
                holder.sendall(frame(payload_of(1000, 1))[:900])
            stats = server.wait_for_stats(lambda s: s["buffers_in_use"] == 20)
            self.assertEqual(stats["classes"][0]["elastic_in_use"], 16 + stats["kernel_buffers"])
            if frame_client.BACKEND == "epoll":  # io_uring may first find its buffers too few
                self.assertEqual(stats["connections"]["starved"], 0)
            for holder in holders:
                holder.sendall(frame(payload_of(1000, 1))[900:])
                self.assertEqual(receive_exactly(holder, 1004), frame(payload_of(1000, 1)))
                holder.close()


class NoDescriptors(unittest.TestCase):
    @unittest.skipIf(frame_client.BACKEND == "epoll", "a connection is a descriptor there")
    def test_io_uring_serves_more_connections_than_descriptors(self):
        with Server("--loops", "1", descriptors=40) as server:
            peers = [server.connect() for _ in range(300)]
            for peer in peers:
                exchange(self, peer, payload_of(10, 1))
            self.assertEqual(server.stats()["rings"], 8)
            for peer in peers:
                peer.close()
            server.wait_for_stats(lambda s: s["connections"]["open"] == 0 and s["rings"] <= 2)
            with server.connect() as peer:
                exchange(self, peer, payload_of(10, 1))

    @unittest.skipIf(frame_client.BACKEND == "uring", "it has direct descriptors")
    def test_connections_beyond_the_limit_are_turned_away_without_spinning(self):
        with Server("--loops", "1", descriptors=40) as server:
            kept, turned_away = [], 0
            for _ in range(60):
                peer = server.connect()
                try:
                    exchange(self, peer, payload_of(10, 1))
                    kept.append(peer)
                except (AssertionError, ConnectionError):
                    turned_away += 1
                    peer.close()
            self.assertGreater(len(kept), 10)
            self.assertGreater(turned_away, 10)
            before = self.cpu_ticks(server)
            time.sleep(0.5)
            self.assertLess(self.cpu_ticks(server) - before, 10)  # of 50
            for peer in kept:
                peer.close()
            server.wait_for_stats(lambda s: s["connections"]["open"] == 0)
            with server.connect() as peer:
                exchange(self, peer, payload_of(10, 1))
            self.assertEqual(server.stats()["connections"]["turned_away"], turned_away)

    @staticmethod
    def cpu_ticks(server):
        with open(f"/proc/{server.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    frame_client.main()
