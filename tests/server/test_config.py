# SPDX-License-Identifier: MIT
"""Configuration files and presets of `ringpool serve`, and SIGHUP: nothing lost, nothing left behind."""

import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

import frame_client
from frame_client import Server, exchange, frame, payload_of, receive_exactly
from metrics_client import MeteredServer, samples
from test_record import records_of

MIB = 1 << 20
SMALL = [(64, 1024), (1024, 1024), (4096, 512), (16384, 128)]
LARGE = [(64, 1024), (256, 1024), (4096, 8192), (16384, 128)]  # 32 MiB in one class


def classes(pairs):
    return "".join(f"[[pool.class]]\nbuffer_size = {size}\ncapacity = {count}\n" for size, count in pairs)


def counters_of(metrics):
    return {name: value for name, value in metrics.items() if re.search(r"_(total|count|sum|bucket)(\{|$)", name)}


def ran_backwards(before, now):
    return [name for name, value in counters_of(now).items() if value < before.get(name, 0)]


class Configured(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringpool-test-")
        self.addCleanup(folder.cleanup)
        self.file = os.path.join(folder.name, "serve.toml")

    def write(self, text):
        temporary = self.file + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, self.file)

    def reload(self, server, text):
        """Returns the statistics once the server has looked at the file."""
        before = server.stats()["configuration"]
        self.write(text)
        server.process.send_signal(signal.SIGHUP)
        looked = lambda c: c["reloads"] + c["refused_reloads"]
        return server.wait_for_stats(lambda s: looked(s["configuration"]) > looked(before))

    def command(self, *arguments):
        done = subprocess.run([frame_client.BINARY, "serve", *arguments], capture_output=True, text=True,
                              timeout=10, check=False)
        return done.returncode, done.stdout, done.stderr

    def ends_with_log(self, server, *lines):
        code, _, err = server.terminate()
        self.assertEqual(code, 0, err)
        self.assertEqual(err.splitlines(), [f"ringpool serve: {line}" for line in lines])


@unittest.skipIf(frame_client.BACKEND == "uring", "the same with either backend")
class Files(Configured):
    def test_what_a_file_comes_to_is_a_file_that_comes_to_the_same(self):
        self.write('preset = "gaming"\n[server]\nlisten = "127.0.0.1:0"\n')
        code, out, err = self.command("--check-config", self.file, "--hardened")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("hardened = true", out)
        self.assertIn("max_frame_bytes = 4096", out)
        self.write(out)
        self.assertEqual(self.command("--check-config", self.file), (0, out, ""))

    def test_a_bad_file_is_refused_with_all_that_is_wrong(self):
        self.write("[server]\nloop = 1\nmode = 2\n")
        wrong = [f"{self.file}:2:1: server.loop: there is no such key; did you mean server.loops?",
                 f'{self.file}:3:1: server.mode: 2 is not accepted; accepted: "echo" or "room"']
        self.assertEqual(self.command("--check-config", self.file), (2, "", "\n".join(wrong) + "\n"))
        code, _, err = self.command("--config", self.file)
        self.assertEqual((code, err.splitlines()), (2, [f"ringpool serve: {line}" for line in wrong]))

    def test_a_key_of_very_many_parts_is_an_error_and_no_overflow_of_the_stack(self):
        for text in (".".join(["a"] * 50000) + " = 1\n", "[" + ".".join(["a"] * 50000) + "]\n"):
            self.write(text)
            code, _, err = self.command("--check-config", self.file)
            self.assertEqual(code, 2)
            self.assertIn("a key of more than 16 parts; accepted: table.key", err)

    def test_of_very_many_faults_the_first_are_told_and_the_others_counted(self):
        self.write("".join(f"k{i} = 1\n" for i in range(1000)))
        lines = self.command("--check-config", self.file)[2].splitlines()
        self.assertEqual((len(lines), lines[-1]), (21, f"{self.file}: and 980 more"))

    def test_a_pipe_is_refused_and_not_waited_for(self):
        os.mkfifo(self.file)
        code, _, err = self.command("--config", self.file)
        self.assertEqual(code, 2)
        self.assertIn("it is a pipe or device; accepted: a file", err)

    def test_what_is_no_number_is_no_time(self):
        code, _, err = self.command("--idle-timeout", "nan")
        self.assertEqual(code, 2)
        self.assertIn("Value nan not in range 0 to 86400", err)

    def test_presets_are_printed_and_served(self):
        code, out, _ = self.command("--print-preset", "iot")
        self.assertEqual(code, 0)
        self.assertIn("capacity = 32768", out)
        self.assertEqual(self.command("--print-preset", "none")[0], 2)
        with Server("--preset", "iot") as server, server.connect() as peer:
            exchange(self, peer, payload_of(4000, 1))
            self.assertEqual([c["ring_size"] for c in server.settled()["classes"]], [32768, 4096, 1024, 256])


class Reloads(Configured):
    def test_buffers_that_memory_does_not_hold_are_refused_at_the_start_and_by_sighup(self):
        vast = classes([(1 << 30, 1 << 14)])
        self.write(vast)
        code, _, err = self.command("--config", self.file, "--listen", "127.0.0.1:0")
        self.assertEqual(code, 2)
        self.assertIn("the --class buffers take 16777216 MiB from the start", err)
        self.write(classes(SMALL))
        with Server("--config", self.file, "--loops", "1") as server, server.connect() as peer:
            self.assertEqual(self.reload(server, vast)["configuration"]["refused_reloads"], 1)
            exchange(self, peer, payload_of(3000, 1))

    def test_half_frames_go_on_and_their_pools_are_there_until_they_are_done(self):
        self.write(classes(SMALL))
        with Server("--config", self.file, "--loops", "2") as server:
            with server.connect() as half, server.connect() as idle:
                exchange(self, idle, payload_of(3000, 1))
                sent = frame(payload_of(3000, 2))
                half.sendall(sent[:2000])
                server.wait_for_stats(lambda s: s["buffers_in_use"] > 0)
                before = self.reload(server, classes(LARGE))
                self.assertEqual([c["ring_size"] for c in before["classes"]], [n for _, n in LARGE])
                self.assertEqual(before["configuration"]["retired_sets"], 1)
                exchange(self, idle, payload_of(3000, 3))
                half.sendall(sent[2000:])
                self.assertEqual(receive_exactly(half, len(sent)), sent)
                after = server.wait_for_stats(lambda s: s["configuration"]["retired_sets"] == 0)
                self.assertEqual([c["buffer_size"] for c in after["retired_classes"]], [1024])
                exchange(self, half, payload_of(9000, 4))
                server.settled()

    def test_timeouts_and_limits_change_for_connections_that_are_open(self):
        tick = "frame_timeout_ms = 400\n"  # a sixteenth of the shortest: 25 ms
        self.write(f"[server]\nmax_frame_bytes = 4096\n{tick}")
        with Server("--config", self.file, "--loops", "1") as server, server.connect() as peer:
            exchange(self, peer, payload_of(4000, 1))
            self.reload(server, f"[server]\nmax_frame_bytes = 16384\nidle_timeout_ms = 300\nloops = 5\n{tick}")
            exchange(self, peer, payload_of(16000, 2))
            self.assertTrue(frame_client.closed_by_server(peer, 5))
            self.assertEqual(server.stats()["connections"]["closed_by"]["idle_timeout"], 1)
            self.ends_with_log(server, "reloaded: server.max_frame_bytes 4096 -> 16384; "
                                       "server.idle_timeout_ms 300000 -> 300")

    def test_what_needs_a_restart_is_named_and_stays(self):
        self.write("[server]\ndrain_timeout_ms = 1000\n")
        with Server("--config", self.file) as server:
            self.reload(server, "[server]\ndrain_timeout_ms = 2000\npin = true\n")
            self.ends_with_log(server, "reloaded: server.drain_timeout_ms 1000 -> 2000; not changed: "
                                       "server.pin false -> true (needs a restart)")

    def test_a_bad_file_changes_nothing(self):
        self.write(classes(SMALL))
        with Server("--config", self.file) as server, server.connect() as peer:
            stats = self.reload(server, classes(SMALL)[:-8] + "capacity = 3\n")
            self.assertEqual(stats["configuration"], {"reloads": 0, "refused_reloads": 1, "retired_sets": 0})
            self.assertEqual([c["ring_size"] for c in stats["classes"]], [n for _, n in SMALL])
            exchange(self, peer, payload_of(3000, 1))
            code, _, err = server.terminate()
            self.assertEqual(code, 0)
            self.assertRegex(err, "^ringpool serve: not reloaded, the configuration before stays: .*:12:")

    def test_counters_of_metrics_and_a_recording_go_on(self):
        self.write(classes(SMALL))
        path = self.file + ".record"
        with MeteredServer("--config", self.file, "--loops", "2", "--record", path, "--record-one-in", "1") as server, \
                server.connect() as peer:
            last, recorded = {}, 0
            for number in range(6):
                for i in range(20):
                    exchange(self, peer, payload_of(50 + 200 * i, number))
                if number:
                    self.reload(server, classes(LARGE if number % 2 else SMALL))
                now = samples(server.scrape())
                self.assertGreater(len(counters_of(now)), 20)
                self.assertEqual(ran_backwards(last, now), [])
                last.update(counters_of(now))
                for size, capacity in LARGE if number % 2 else SMALL:
                    self.assertEqual(capacity, sum(now[f'ringpool_{state}_buffers{{pool="serve",class="{size}"}}']
                                                   for state in ("free", "cached", "held")))
                self.assertEqual(now["ringpool_server_frames_total"], 20 * (number + 1))
                recording = json.loads(server.ask("/stats.json")[2])["recording"]
                self.assertEqual((recording["dropped"], recording["stopped"]), (0, ""))
                self.assertGreaterEqual(recording["samples"], recorded)
                recorded = recording["samples"]
            self.assertEqual(server.terminate()[0], 0)
            sizes = sorted(one[2] for one in records_of(path)[1])
            self.assertEqual(sizes, sorted(6 * [50 + 200 * i for i in range(20)]))
        with MeteredServer() as twin:  # a server that begins anew at its configuration
            self.assertIn("ringpool_server_frames_total", ran_backwards(last, samples(twin.scrape())))

    def test_twenty_changes_under_load_lose_nothing_and_leave_nothing(self):
        self.write(classes(SMALL))
        with Server("--config", self.file, "--loops", "2", descriptors=1024) as server:
            host, port = server.address
            load = subprocess.Popen(
                [frame_client.BINARY, "load", "--connect", f"{host}:{port}", "--connections", "50",
                 "--seconds", "100", "--warm-up", "0", "--pipeline", "4", "--progress", "none"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.addCleanup(load.kill)
            server.wait_for_stats(lambda s: s["frames"] > 0)
            most, last = 0, {}
            for number in range(20):
                stats = self.reload(server, classes(SMALL if number % 2 else LARGE))
                most = max(most, stats["resident_bytes"])
                counted = {c["buffer_size"]: c["alloc_count"]
                           for c in stats["classes"] + stats["retired_classes"]}
                for size, count in last.items():
                    self.assertGreaterEqual(counted[size], count, f"{size} ran backwards")
                last = counted
            load.send_signal(signal.SIGINT)
            out, _ = load.communicate(timeout=20)
            self.assertEqual(load.returncode, 130, f"it ended before the changes did: {out}")
            self.assertIn("0 lost, 0 corrupted, 0 out of order, 0 foreign, 0 duplicated", out)
            self.assertRegex(out, r"([\d,]+) sent, \1 came back")
            after = server.wait_for_stats(lambda s: s["configuration"]["retired_sets"] == 0)
            self.assertEqual(after["configuration"]["reloads"], 20)
            self.assertEqual(after["heap_allocations_on_data_path"], 0)
            self.assertLess(after["resident_bytes"], most - 16 * MIB)
            self.assertEqual(server.settled()["buffers_in_use"], 0)
            code, _, err = server.terminate()
            self.assertEqual((code, len(err.splitlines())), (0, 20), err)


if __name__ == "__main__":
    frame_client.main()
