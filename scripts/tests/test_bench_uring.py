# SPDX-License-Identifier: MIT
"""What the io_uring server promises: the arithmetic, and that a broken promise is said to be short."""

import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

SERVERS = Path(__file__).resolve().parent.parent.parent / "bench" / "servers"
sys.path.insert(0, str(SERVERS))

import figures  # noqa: E402
import processes  # noqa: E402
import promises  # noqa: E402
import uring  # noqa: E402


def spread(*values):
    return figures.spread(values)


def statistics(deliveries, held, kernel=8):
    return {"rooms": {"deliveries": deliveries}, "buffers_in_use": held,
            "classes": [{"in_use": held}, {"in_use": kernel}]}


def call(name, repetition, rate, **more):
    return {"name": f"{name}/real_time", "run_type": "iteration", "repetition_index": repetition,
            "items_per_second": rate, **more}


SLABINFO = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables ...
TCP                  20     26   2432   13    8 : tunables    0    0    0 : slabdata      2      2      0
kmalloc-64          128    128     64   64    1 : tunables    0    0    0 : slabdata      2      2      0
"""


class PromisesTest(unittest.TestCase):
    def test_the_median_decides(self):
        self.assertTrue(promises.promise("", spread(0.5, 0.96, 2), least=0.95)["kept"])
        self.assertFalse(promises.promise("", spread(0.5, 0.94, 2), least=0.95)["kept"])
        self.assertTrue(promises.promise("", spread(0, 2, 9), most=2)["kept"])
        self.assertFalse(promises.promise("", spread(0, 2.1, 2.2), most=2)["kept"])

    def test_the_table_says_pass_or_short(self):
        lines = promises.promise_table([promises.promise("a", spread(1), most=1),
                                        promises.promise("b", spread(1), most=0.5)])
        self.assertTrue(lines[1].endswith("<= 1.00  pass"))
        self.assertTrue(lines[2].endswith("<= 0.50 short"))

    def test_powers_of_two(self):
        self.assertEqual([promises.power_of_two(n) for n in (1, 2, 3, 64, 65, 50_000)], [1, 2, 4, 64, 128, 65_536])

    def test_refusals_are_shared_among_frames(self):
        self.assertEqual(promises.starved_per_frame({"connections": {"starved": 30}, "frames": 120}), 0.25)

    def test_a_broadcast_counts_what_was_watched(self):
        found = promises.broadcast_sample(
            {"deliveries_per_second": 7.0}, (statistics(1000, 2), 10.0, 1.0),
            [(statistics(2000, 8), 10.5, 1.1), (statistics(3000, 4), 12.0, 1.2)], 4, 5_000_000)
        self.assertEqual(found["cpu_us_per_delivery"], 1000)  # 2 s for 2,000 deliveries
        self.assertAlmostEqual(found["user_us_per_delivery"], 100)
        self.assertEqual([found[name] for name in ("buffers_in_use", "buffers_per_frame", "with_kernel_buffers")],
                         [8, 2, 16])
        lines = promises.broadcast_table({"shared": {name: spread(value) for name, value in found.items()}})
        self.assertIn("5.00", lines[1])

    def test_slabs_are_counted_with_what_lies_between_objects(self):
        self.assertEqual(promises.slab_bytes(SLABINFO), {"TCP": 20 * 8 * 4096 / 13, "kmalloc-64": 128 * 64})

    def test_memory_is_that_of_what_was_added(self):
        before = {"user": 0, "meminfo": 1000, "caches": {"TCP": 100}}
        after = {"user": 640, "meminfo": 3000, "caches": {"TCP": 300, "io_kiocb": 50}}
        found = promises.memory_each(before, after, 10)
        self.assertEqual(found, {"user": 64, "meminfo": 200, "slab": 25, "caches": {"TCP": 20, "io_kiocb": 5}})

    def test_memory_is_shown_without_slabinfo_too(self):
        look = {"user": 0, "meminfo": 0, "caches": {}}
        summary = promises.idle_summary([{"epoll": promises.memory_each(look, look, 10)}])
        self.assertEqual(promises.memory_table(summary)[1].split(), ["epoll", *["0"] * 6, *["-"] * 3])
        self.assertEqual(promises.cache_table(summary), [])

    def test_caches_are_those_that_grow_most_in_any_mode(self):
        def of(**caches):
            return promises.memory_each({"user": 0, "meminfo": 0, "caches": {}},
                                        {"user": 0, "meminfo": 0, "caches": caches}, 1)
        summary = promises.idle_summary([{"a": of(TCP=2000, tiny=7), "b": of(TCP=1000, io_kiocb=256)}] * 3)
        self.assertEqual([line.split() for line in promises.cache_table(summary)[1:]],
                         [["TCP", "2,000", "1,000"], ["io_kiocb", "0", "256"]])

    def test_calls_are_compared_within_repetitions(self):
        # The machine halves its speed in the second repetition.
        report = {"benchmarks": [
            call("send/zero-copy/64", 0, 5e5, copied=1), call("send/plain/64", 0, 1e6),
            call("send/plain/64", 1, 5e5), call("send/zero-copy/64", 1, 2.5e5, copied=1),
            {**call("send/plain/64", 0, 1), "run_type": "aggregate"}]}
        rounds, failed = promises.calls_of(report)
        plain, zero_copy = promises.calls_summary(rounds)
        self.assertEqual(failed, {})
        self.assertEqual((plain["call"], plain["ratio"]["max"]), ("send/plain", 1))
        self.assertEqual(zero_copy["ratio"], {"median": 2, "min": 2, "max": 2})
        self.assertEqual(zero_copy["ns"]["median"], 3000)
        self.assertFalse(promises.calls_promises([zero_copy], ("send/zero-copy",))[0]["kept"])
        self.assertIn("100%", promises.calls_table([plain, zero_copy])[2])

    def test_a_call_that_failed_is_left_out(self):
        rounds, failed = promises.calls_of({"benchmarks": [
            call("receive/plain/64", 0, 1e6),
            {**call("receive/incremental/64", 0, 0), "error_occurred": True, "error_message": "Linux 6.12"}]})
        self.assertEqual(failed, {("receive/incremental", 64): "Linux 6.12"})
        self.assertEqual(list(rounds[0]), [("receive/plain", 64)])


class PartsTest(unittest.TestCase):
    def test_few_buffers_are_of_a_class_of_their_own(self):
        words = uring.with_receive_buffers(64)
        self.assertIn(f"{uring.RECEIVE_BYTES}:64", words)
        self.assertNotIn(uring.RECEIVE_BYTES, [size for size, _ in uring.OTHER_CLASSES])
        self.assertEqual(words[words.index("--receive-buffers") + 1], "64")

    def test_parts_that_did_not_run_stay_in_the_files(self):
        calls = {"about": {"time": "now"}, "summary": [], "promises": []}
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.object(sys, "argv", ["uring.py", "--part", "calls", "--output", folder]), \
                mock.patch.object(sys, "stdout"), mock.patch.object(uring, "measure", return_value=calls):
            Path(folder, "uring.json").write_text(json.dumps({"idle": {**calls, "about": {"time": "once"},
                                                                       "summary": {}}}), "utf-8")
            self.assertEqual(uring.main(), 0)
            text = Path(folder, "uring.txt").read_text("utf-8")
        self.assertLess(text.index("once"), text.index("now"))

    def test_a_part_that_fails_is_an_error_and_leaves_the_others(self):
        calls = {"about": {"time": "now"}, "summary": [], "promises": []}
        with mock.patch.object(sys, "argv", ["uring.py", "--quick", "--part", "cpu", "--part", "calls"]), \
                mock.patch.object(sys, "stdout", io.StringIO()) as told, \
                mock.patch.object(sys, "stderr", io.StringIO()) as complaint, \
                mock.patch.object(uring, "measure", side_effect=[processes.Failed("a fault"), calls]):
            self.assertEqual(uring.main(), 1)
        self.assertIn("--part calls", told.getvalue())
        self.assertEqual(complaint.getvalue(), "uring.py: cpu: a fault\n")

    def test_what_is_not_built_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            wanted = mock.Mock(build=Path(folder), many=10, rounds=7, seconds=1)
            for name, (_, run, _) in uring.PARTS.items():
                with self.subTest(name), self.assertRaisesRegex(processes.Failed, "not built"):
                    run(wanted)


if __name__ == "__main__":
    unittest.main()
