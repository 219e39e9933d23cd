# SPDX-License-Identifier: MIT
"""`serve --metrics`: what it tells over HTTP, and to whom it does not listen."""

import json
import os
import re
import socket
import subprocess
import time
import unittest

import frame_client
from frame_client import closed_by_server, exchange, frame, payload_of
from metrics_client import OPENMETRICS, ROOT, MeteredServer, samples


def families(openmetrics):
    """[name, type, unit, labels, help] of each family, in order."""
    rows = {}
    for line in openmetrics.splitlines():
        comment = re.match(r"# (HELP|TYPE|UNIT) (\S+) (.*)", line)
        if comment:
            rows.setdefault(comment[2], {})[comment[1]] = comment[3]
            last = rows[comment[2]]
        elif "{" in line:
            last["LABELS"] = re.findall(r'(\w+)="', line)
    suffix = {"counter": "_total", "info": "_info"}
    return [[name + suffix.get(row["TYPE"], ""), row["TYPE"], row.get("UNIT", ""),
             ", ".join(row.get("LABELS", [])), row["HELP"]] for name, row in rows.items()]


class Http(unittest.TestCase):
    def test_each_path_has_its_answer_and_others_have_none(self):
        with MeteredServer() as server:
            for path, kind, part in (("/metrics", "text/plain; version=0.0.4", "ringpool_capacity_buffers{"),
                                     ("/stats.json", "application/json", '"uptime_s"'),
                                     ("/healthz", "text/plain", "ok\n"), ("/", "text/html", "<")):
                status, headers, text = server.ask(path)
                self.assertEqual((status, headers["Cache-Control"]), (200, "no-store"), path)
                self.assertTrue(headers["Content-Type"].startswith(kind), headers["Content-Type"])
                self.assertIn(part, text)
                status, headers, text = server.ask(path, method="HEAD")
                self.assertEqual((status, text), (200, ""), path)
            self.assertEqual(server.ask("/metrics/more")[0], 404)
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
                status, headers, _ = server.ask("/metrics", method=method, data=b"x" * 100)
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)
            code, out, err = server.terminate()
            self.assertEqual((code, err), (0, ""))
            self.assertIn(f"ringpool: metrics on http://{server.metrics_address}/", out)

    def test_the_format_is_what_the_scraper_prefers(self):
        with MeteredServer() as server:
            for accept, is_open in ((OPENMETRICS, True), ("text/plain", False), ("*/*", False),
                                    (f"{OPENMETRICS};version=1.0.0;q=0.5,text/plain;q=0.4", True),
                                    (f"text/plain;q=0.5 , {OPENMETRICS} ; q=0.4", False),
                                    (f"{OPENMETRICS};q=0", False), (f"{OPENMETRICS};q=nonsense,;,", False)):
                _, headers, text = server.ask("/metrics", Accept=accept)
                self.assertEqual(headers["Content-Type"].startswith(OPENMETRICS), is_open, accept)
                self.assertEqual(text.endswith("# EOF\n"), is_open, accept)
                self.assertEqual("# UNIT " in text, is_open, accept)

    def test_options_that_cannot_be_met_are_explained(self):
        with MeteredServer() as server:
            for code, options, word in ((2, ("--metrics", "nowhere"), "--metrics 'nowhere' is not a numeric"),
                                        (2, ("--metrics-port-file", "f"), "needs --metrics"),
                                        (1, ("--metrics", "127.0.0.1:0", "--metrics-port-file", "/nowhere/port"),
                                         "cannot write /nowhere/port: No such file"),
                                        (1, ("--metrics", server.metrics_address), server.metrics_address)):
                run = subprocess.run([frame_client.BINARY, "serve", "--listen", "127.0.0.1:0", *options],
                                     capture_output=True, text=True, timeout=10)
                self.assertEqual(run.returncode, code, run.stderr)
                self.assertIn(word, run.stderr)


class Counts(unittest.TestCase):
    def test_they_are_those_of_what_happened(self):
        with MeteredServer("--loops", "1") as server:
            with server.connect() as peer, server.connect() as bad:
                for i in range(200):
                    exchange(self, peer, payload_of(500, i))
                bad.sendall(b"\0\0\0\0")
                self.assertTrue(closed_by_server(bad))
                server.settled()
                now = samples(server.scrape())
                told = json.loads(server.ask("/stats.json")[2])
            self.assertEqual(now["ringpool_server_frames_total"], 200)
            self.assertEqual(now["ringpool_server_payload_bytes_total"], 100_000)
            self.assertEqual(now['ringpool_server_connections{state="idle"}'], 1)
            self.assertEqual(now['ringpool_server_connections{state="active"}'], 0)
            self.assertEqual(now["ringpool_server_connections_accepted_total"], 2)
            self.assertEqual(now['ringpool_server_connections_closed_total{reason="protocol"}'], 1)
            self.assertEqual(now['ringpool_server_protocol_errors_total{kind="zero_length"}'], 1)
            self.assertGreater(now["process_resident_memory_bytes"], 1 << 20)
            self.assertLess(abs(now["process_start_time_seconds"] - time.time()), 60)
            self.assertEqual(now["ringpool_server_frame_size_bytes_count"], now["ringpool_server_frames_total"])
            self.assertEqual(now["ringpool_server_frame_size_bytes_sum"], told["bytes"])
            self.assertEqual(sum(one["count"] for one in told["size_histogram"]), told["frames"])
            looks = now["ringpool_server_service_time_seconds_count"]
            self.assertEqual(looks, 200 // 64)
            self.assertEqual(now['ringpool_server_service_time_seconds_bucket{le="+Inf"}'], looks)
            self.assertGreater(now["ringpool_server_service_time_seconds_sum"], 0)
            self.assertEqual(sum(told["service_time"]["counts"]), looks)
            self.assertEqual(len(told["service_time"]["counts"]), 1 + len(told["service_time"]["upper_ns"]))
            self.assertLess(abs(told["time_ms"] / 1000 - time.time()), 60)
            for size in (64, 256, 1024, 4096, 16384):
                free, cached, held, capacity = (
                    now[f'ringpool_{name}_buffers{{pool="serve",class="{size}"}}']
                    for name in ("free", "cached", "held", "capacity"))
                self.assertEqual(free + cached + held, capacity)
                self.assertEqual(held, told["kernel_buffers"] if size == 4096 else 0)
            for one in told["classes"]:
                for name in ("waiting", "wait_count", "wait_timeout_count", "wait_total_ns", "injected_count"):
                    self.assertEqual(one[name], 0)

    def test_docs_list_every_family(self):
        with MeteredServer() as server:
            rows = families(server.scrape(Accept=OPENMETRICS))
        table = "".join(f"| `{name}` | {kind} | {unit} | {labels} | {text} |\n"
                        for name, kind, unit, labels, text in rows)
        with open(os.path.join(ROOT, "docs", "metrics.md")) as file:
            self.assertIn(table, file.read(), f"docs/metrics.md does not have this table:\n{table}")


class Holders(unittest.TestCase):
    def test_they_are_told_where_allocations_are_sampled(self):
        with MeteredServer("--sample-interval", "1", "--sample-depth", "2", "--loops", "1") as server, \
                server.connect() as peer:
            peer.sendall(frame(payload_of(3000, 1))[:2000])
            kept = server.wait_for_stats(lambda s: s["buffers_in_use"])["holders"]
            self.assertEqual([one["buffer_size"] for one in kept], [64, 256, 1024, 4096, 16384])
            first = kept[3]["largest"][0]
            self.assertGreaterEqual(first["count"], 1)
            self.assertIn("ringpool", first["site"])
            self.assertEqual(len(first["callers"]), 1)
            self.assertGreaterEqual(first["oldest_ms"], 0)
            status, headers, text = server.ask("/outstanding")
            self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; charset=utf-8"))
            self.assertRegex(text, r"class 4096: [1-9]\d* held, [1-9]\d* of them sampled\n  ~[1-9].*ringpool")

    def test_without_sampling_there_are_none(self):
        with MeteredServer() as server:
            self.assertNotIn("holders", server.stats())
            status, _, text = server.ask("/outstanding")
            self.assertEqual(status, 404)
            self.assertIn("--sample-interval", text)


class Hostile(unittest.TestCase):
    def test_those_who_send_nothing_hold_up_nobody_and_no_memory(self):
        with MeteredServer("--loops", "1") as server, server.connect() as peer:
            exchange(self, peer, payload_of(100, 0))
            server.ask("/metrics")
            memory = server.private_dirty_bytes()
            descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            hordes = []
            for _ in range(200):
                one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                one.setblocking(False)
                host, _, port = server.metrics_address.rpartition(":")
                one.connect_ex((host, int(port)))
                hordes.append(one)
            time.sleep(0.2)
            self.assertLessEqual(len(os.listdir(f"/proc/{server.process.pid}/fd")), descriptors + 4)
            slowest = 0
            for i in range(200):
                begin = time.monotonic()
                exchange(self, peer, payload_of(100, i))
                slowest = max(slowest, time.monotonic() - begin)
            self.assertLess(slowest, 1)
            self.assertLess(server.private_dirty_bytes() - memory, 2 << 20)
            begin = time.monotonic()
            self.assertEqual(server.ask("/healthz")[0], 200)  # among them
            self.assertLess(time.monotonic() - begin, 5)
            for one in hordes:
                one.close()

    def test_requests_that_are_too_long_or_too_slow_are_cut_off(self):
        with MeteredServer() as server:
            drip = server.metrics_peer()
            begin = time.monotonic()
            for head in (b"X: " + b"a" * 100_000, b"\r\n".join(b"h%d: 1" % i for i in range(20_000)),
                         b"Range: bytes=" + b"0-," * 2700, b"Content-Length: 1000000000",
                         b"\0" * 9000, b"\r\n" * 5000):
                with server.metrics_peer() as peer:
                    try:
                        peer.sendall(b"POST /metrics HTTP/1.1\r\n" + head + b"\r\n\r\n")
                    except ConnectionError:
                        pass
                    self.assertTrue(closed_by_server(peer), head[:20])
            drip.settimeout(0.1)
            with self.assertRaises((ConnectionError, EOFError)), drip:  # a byte now and then is too slow as well
                while time.monotonic() < begin + 8:
                    drip.sendall(b"G")
                    try:
                        if not drip.recv(1000):
                            raise EOFError
                    except socket.timeout:
                        pass
            self.assertLess(time.monotonic() - begin, 4)
            self.assertEqual(server.ask("/healthz")[0], 200)

    def test_a_shutdown_does_not_wait_for_them(self):
        with MeteredServer() as server:
            peers = [server.metrics_peer() for _ in range(10)]
            begin = time.monotonic()
            self.assertEqual(server.terminate()[0], 0)
            self.assertLess(time.monotonic() - begin, 2)
            for peer in peers:
                peer.close()


if __name__ == "__main__":
    frame_client.main()
