# SPDX-License-Identifier: MIT
"""Start, shutdown, and memory after a burst."""

import signal
import subprocess
import threading
import time
import unittest

import frame_client
from frame_client import (Server, closed_by_server, exchange, frame, payload_of, receive_exactly,
                          until)


class Options(unittest.TestCase):
    BAD = [
        (("--listen", "nowhere"), "ADDR:PORT"),
        (("--listen", "127.0.0.1:99999"), "ADDR:PORT"),
        (("--class", "64"), "SIZE:COUNT"),
        (("--class", "64:3", "--max-frame", "64"), "power of two"),
        (("--class", "64:4", "--class", "64:8", "--max-frame", "64"), "64"),
        (("--max-frame", "0"), "--max-frame"),
        (("--max-frame", "20000", "--backend", "uring"), "--backend epoll"),
        (("--max-frame", "20000", "--class", "4096:4", "--backend", "epoll"), "largest --class"),
        (("--buffers", "stack"), "--buffers"),
        (("--idle-timeout", "-1"), "--idle-timeout"),
        (("--loops", "many"), "--loops"),
        (("--no-such-option",), "--no-such-option"),
    ]

    def test_bad_options_are_explained_and_exit_with_2(self):
        for options, word in self.BAD:
            with self.subTest(options=options):
                run = subprocess.run([frame_client.BINARY, "serve", *options],
                                     capture_output=True, text=True, timeout=10)
                self.assertEqual(run.returncode, 2, run.stderr)
                self.assertIn(word, run.stderr)

    def test_an_address_in_use_is_an_error_that_names_it(self):
        with Server() as server:
            where = f"{server.address[0]}:{server.address[1]}"
            run = subprocess.run([frame_client.BINARY, "serve", "--listen", where],
                                 capture_output=True, text=True, timeout=10)
            self.assertEqual(run.returncode, 1)
            self.assertIn(where, run.stderr)


class Shutdown(unittest.TestCase):
    def test_a_signal_ends_it_with_one_line_at_each_end(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server() as server:
                with server.connect() as peer:
                    exchange(self, peer, payload_of(100, 1))
                server.process.send_signal(number)
                out, err = server.process.communicate(timeout=10)
                self.assertEqual((server.process.returncode, err), (0, ""))
                first, last = out.splitlines()
                self.assertIn(f"ringpool: listening on 127.0.0.1:{server.address[1]}", first)
                self.assertIn("served 1 frames, 100 bytes on 1 connections", last)

    def test_idle_connections_do_not_hold_the_shutdown_up(self):
        with Server("--drain-timeout", "8") as server:
            peers = [server.connect() for _ in range(100)]
            for peer in peers:
                exchange(self, peer, payload_of(10, 1))
            begin = time.monotonic()
            self.assertEqual(server.terminate()[0], 0)
            self.assertLess(time.monotonic() - begin, 3)
            self.assertEqual(server.final_stats()["connections"]["closed_by"]["drained"], 100)
            for peer in peers:
                peer.close()

    def test_a_frame_in_flight_is_finished_and_echoed(self):
        with Server() as server, server.connect() as peer, server.connect() as late:
            whole = frame(payload_of(5000, 1))
            peer.sendall(whole[:3000])
            server.wait_for_stats(lambda s: s["buffers_in_use"] == 1)
            server.process.send_signal(signal.SIGTERM)
            self.assertTrue(closed_by_server(late))  # it had nothing in flight
            until(lambda: self.is_refused(server), 3, "it accepts no more")
            peer.sendall(whole[3000:])
            self.assertEqual(receive_exactly(peer, len(whole)), whole)
            self.assertEqual(peer.recv(1), b"")
            out, _ = server.process.communicate(timeout=5)
            self.assertEqual(server.process.returncode, 0)
            self.assertIn("0 buffers in use", out)

    @staticmethod
    def is_refused(server):
        try:
            server.connect().close()
            return False
        except ConnectionError:
            return True

    def test_queued_frames_are_flushed_to_a_slow_reader(self):
        stream = b"".join(frame(payload_of(4000, i)) for i in range(800))
        with Server("--send-queue-bytes", "1000000") as server:
            with server.connect(receive_buffer=4096, timeout=10) as peer:
                sender = threading.Thread(target=peer.sendall, args=(stream,))
                sender.start()
                server.wait_for_stats(lambda s: s["buffers_in_use"] > 0)
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(receive_exactly(peer, len(stream)), stream)
                sender.join()
            self.assertEqual(server.process.wait(10), 0)

    def test_a_peer_that_never_finishes_is_closed_when_the_drain_is_over(self):
        with Server("--drain-timeout", "0.5") as server, server.connect() as peer:
            peer.sendall(frame(payload_of(100, 1))[:50])
            server.wait_for_stats(lambda s: s["buffers_in_use"] == 1)
            begin = time.monotonic()
            self.assertEqual(server.terminate()[0], 0)
            self.assertGreater(time.monotonic() - begin, 0.4)
            stats = server.final_stats()
            self.assertEqual(stats["connections"]["closed_by"]["drain_timeout"], 1)
            self.assertEqual(stats["buffers_in_use"], 0)

    def test_a_second_signal_ends_the_drain_at_once(self):
        with Server("--drain-timeout", "60", "--frame-timeout", "0") as server:
            with server.connect() as peer:
                peer.sendall(b"\0\0\1")
                server.wait_for_stats(lambda s: s["connections"]["idle"] == 0)
                server.process.send_signal(signal.SIGINT)
                time.sleep(0.3)
                self.assertIsNone(server.process.poll())
                server.process.send_signal(signal.SIGINT)
                self.assertEqual(server.process.wait(5), 0)


class SessionMemory(unittest.TestCase):
    def test_what_a_burst_needed_is_given_back(self):
        with Server("--loops", "1") as server:
            peers = [server.connect() for _ in range(2000)]
            for peer in peers:
                peer.sendall(frame(payload_of(50, 1))[:30])
            burst = server.wait_for_stats(lambda s: s["connections"]["idle"] == 0)
            self.assertGreater(burst["table_bytes"], 2000 * 64)
            for peer in peers:
                peer.sendall(frame(payload_of(50, 1))[30:])
                self.assertEqual(receive_exactly(peer, 54), frame(payload_of(50, 1)))
            server.settled()
            stats = server.wait_for_stats(lambda s: s["table_bytes"] <= 2000 * 48)
            self.assertEqual(stats["connections"]["open"], 2000)
            for peer in peers:
                peer.close()
            server.wait_for_stats(lambda s: s["table_bytes"] == 0)


if __name__ == "__main__":
    frame_client.main()
