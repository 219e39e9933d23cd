# SPDX-License-Identifier: MIT
"""The comparison of servers: its arithmetic, and that no fault of a load or a server passes."""

import json
import sys
import tempfile
import time
import unittest
from pathlib import Path

SERVERS = Path(__file__).resolve().parent.parent.parent / "bench" / "servers"
sys.path.insert(0, str(SERVERS))

import compare  # noqa: E402
import figures  # noqa: E402
import processes  # noqa: E402


def report(echoed=1000, **faults):
    return {"frames": {"echoed": echoed, "per_second": 500.0}, "unsent": 0, "faults": {"lost": 0, **faults},
            "latency_ns": {"p50": 1000, "p99": 2500, "p99_9": 9000}}


def rounds(**cpu):
    """Rounds in which each server took that CPU time per frame."""
    return [{name: figures.sample(report(), values[i] * 1e-3, values[i] * 1e-3) for name, values in cpu.items()}
            for i in range(len(next(iter(cpu.values()))))]


class FiguresTest(unittest.TestCase):
    def test_ticks_are_found_behind_any_name(self):
        behind = " S 1 7 7 0 -1 4194304 110 0 0 0 321 45 6 7 20 0 3 0 999 8192 12"
        for name in ("ringpool", "a b", ") S 1 (", "x) 1 2 3"):
            self.assertEqual(figures.ticks(f"7 ({name}){behind}"), (321, 45))

    def test_cpu_time_is_shared_among_all_frames_that_came_back(self):
        one = figures.sample(report(echoed=4000), 0.02, 0.04)
        self.assertAlmostEqual(one["cpu_us_per_frame"], 5)
        self.assertAlmostEqual(one["stat_us_per_frame"], 10)
        self.assertEqual((one["p50_us"], one["p99_us"], one["p99_9_us"]), (1, 2.5, 9))
        self.assertEqual(one["frames_per_second"], 500)

    def test_ratios_are_paired_by_round(self):
        # The machine halves its speed in the second round. Ratios of medians would say 4 / 2.
        found = figures.summary(rounds(ringpool=(1, 2, 3), other=(1.5, 4, 4.5)), "ringpool")
        self.assertEqual(found["ringpool"]["ratio_to_base"], {"median": 1, "min": 1, "max": 1})
        for name, value in (("median", 1.5), ("min", 1.5), ("max", 2)):
            self.assertAlmostEqual(found["other"]["ratio_to_base"][name], value)
        self.assertAlmostEqual(found["other"]["cpu_us_per_frame"]["median"], 4)

    def test_any_figure_can_be_the_ratio(self):
        found = figures.paired_ratio([{"a": {"n": 1}, "b": {"n": 2}}, {"a": {"n": 6}, "b": {"n": 4}}], "a", "b", "n")
        self.assertEqual(found, {"median": 1, "min": 0.5, "max": 1.5})

    def test_kilobytes_are_read_by_name(self):
        text = "00400000-7fff [rollup]\nRss:            1234 kB\nPrivate_Dirty:     5 kB\nHugePages_Total:  0\n"
        self.assertEqual(figures.kilobytes(text), {"Rss": 1234, "Private_Dirty": 5})

    def test_without_the_base_there_are_no_ratios(self):
        found = figures.summary(rounds(other=(1, 2)), "ringpool")
        self.assertNotIn("ratio_to_base", found["other"])
        self.assertIn(" - ", figures.load_table(found)[1])

    def test_orders_are_shuffled_and_repeatable(self):
        servers = ["a", "b", "c", "d"]
        found = figures.orders(servers, 50, 1)
        self.assertEqual(found, figures.orders(servers, 50, 1))
        self.assertNotEqual(found, figures.orders(servers, 50, 2))
        self.assertTrue(all(sorted(one) == servers for one in found))
        self.assertEqual({one[0] for one in found}, set(servers))

    def test_the_common_rate_is_half_of_the_slowest(self):
        def at(rate):
            return {"frames_per_second": {"median": rate}}
        self.assertEqual(figures.common_rate({"a": at(812_345), "b": at(87_654)}), 44_000)

    def test_a_server_that_was_behind_in_one_round_is_named(self):
        def unsent(*values):
            return {"unsent": figures.spread(values)}
        self.assertEqual([line.split()[0] for line in figures.behind({"a": unsent(0, 0), "b": unsent(0, 0, 1)})], ["b"])

    def test_bytes_each_are_of_what_was_added(self):
        self.assertEqual(figures.bytes_each(1_000_000, 5_096_000, 1000), 4096)

    def test_numbers_have_three_digits(self):
        for value, text in ((0.123, "0.12"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")):
            self.assertEqual(figures.plain(value), text)

    def test_columns_are_aligned(self):
        self.assertEqual(figures.table(("", "n"), [("a", "1"), ("bcd", "12,000")]),
                         ["         n", "a        1", "bcd 12,000"])


class ChoiceTest(unittest.TestCase):
    """Of programs in a build folder, here shell scripts."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name)

    def program(self, name, script):
        path = self.build / name
        path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        path.chmod(0o755)
        return path

    def test_servers_are_those_that_are_built_and_know_their_options(self):
        self.program("ringpool", "echo '--buffers pool or malloc'")
        self.program("ringpool_bench_epoll_malloc_server", "")
        present, missing = compare.choose(self.build, None)
        self.assertEqual(list(present), ["ringpool", "ringpool-malloc", "epoll-malloc"])
        self.assertEqual(missing, {"ringpool-uring": "ringpool serve has no --backend",
                                   "asio": "ringpool_bench_asio_server is not built"})
        self.program("ringpool", "echo '--buffers pool or malloc; --backend epoll or uring'")
        self.assertIn("ringpool-uring", compare.choose(self.build, None)[0])

    def test_a_server_that_was_asked_for_and_is_missing_is_an_error(self):
        self.assertRaisesRegex(processes.Failed, "asio: .* is not built", compare.choose, self.build, ["asio"])

    def load(self, content, code=0):
        """What run_load makes of a load that writes this report and ends so."""
        text = json.dumps(content)
        self.program("ringpool", f"while [ $1 != --json ]; do shift; done\necho '{text}' > $2\nexit {code}")
        return processes.run_load(self.build / "ringpool", "127.0.0.1:1", ())

    def test_a_fault_that_a_load_reports_is_an_error(self):
        self.assertEqual(self.load(report())["frames"]["echoed"], 1000)
        with self.assertRaisesRegex(processes.Failed, "ended with 1"):
            self.load(report(), code=1)
        with self.assertRaisesRegex(processes.Failed, "'lost': 3"):
            self.load(report(lost=3))
        with self.assertRaises(processes.Failed):
            self.load(report(echoed=0))

    def test_a_server_that_does_not_start_or_ends_badly_is_an_error(self):
        with self.assertRaisesRegex(processes.Failed, "did not start"):
            processes.Server([self.program("ended", "exit 0")], 1)
        # $6 is the port file
        bad = self.program("bad", "trap 'exit 3' TERM\necho 127.0.0.1:1 > $6\nwhile :; do sleep 0.01; done")
        with processes.Server([bad], 1) as server, self.assertRaisesRegex(processes.Failed, "ended with 3"):
            server.stop()

    def test_statistics_are_those_written_at_a_signal(self):
        # $7 is the port file, $9 that of statistics
        server = self.program("ringpool", """trap 'echo {\\"n\\":$((n += 1))} > $9.tmp; mv $9.tmp $9' USR1
trap 'exit 0' TERM
echo 127.0.0.1:1 > $7
while :; do sleep 0.01; done""")
        with processes.Server([server, "serve"], 1) as one:
            self.assertEqual([one.statistics()["n"] for _ in range(2)], [1, 2])
            one.stop()
            self.assertEqual(one.final_statistics()["n"], 2)

    def test_the_two_clocks_of_a_process_agree(self):
        busy = self.program("busy", "echo 127.0.0.1:1 > $6\nwhile :; do :; done")
        with processes.Server([busy], 1) as server:
            time.sleep(0.3)
            fine, coarse = server.cpu_seconds(), server.stat_seconds()
        self.assertGreater(fine, 0.02)
        self.assertLess(abs(fine - coarse), 0.1)


if __name__ == "__main__":
    unittest.main()
