# SPDX-License-Identifier: MIT
"""The checks of the tree, on small trees: good ones pass, and each bad one fails by name."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import check_house  # noqa: E402
import check_layers  # noqa: E402
import check_orders  # noqa: E402
import cxx_source  # noqa: E402
import run_tests  # noqa: E402


class TreeTest(unittest.TestCase):
    """Writes files into a fresh tree and runs a check on it."""

    check = None

    def findings(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
            return sorted(map(str, set(type(self).check(Path(folder)))))

    def assert_clean(self, files):
        self.assertEqual(self.findings(files), [])

    def assert_found(self, files, *expected):
        """Exactly as many findings as expected texts, each containing its text."""
        found = self.findings(files)
        self.assertEqual(len(found), len(expected), found)
        for text in expected:
            self.assertTrue(any(text in one for one in found), f"{text!r} is not in {found}")


class SourceTest(unittest.TestCase):
    def test_code_keeps_offsets_and_loses_comments_and_literals(self):
        text = 'int a = 1\'000; // x.load()\nauto s = "y.load() // no"; /* z\n */ char c = \'"\';\n'
        source = cxx_source.Source("a.cpp", text)
        self.assertEqual(len(source.code), len(text))
        self.assertNotIn("load", source.code)
        self.assertIn("1'000;", source.code)
        self.assertIn("char c =", source.code)
        self.assertEqual([line for line, _ in source.comments], [1, 2])
        self.assertEqual(source.line_of(text.index("char")), 3)

    def test_raw_strings_are_literals(self):
        source = cxx_source.Source("a.cpp", 'auto s = R"x(// " load() )" )x"; int b;\n')
        self.assertNotIn("load", source.code)
        self.assertIn("int b;", source.code)
        self.assertEqual(source.comments, [])

    def test_arguments_split_at_outer_commas(self):
        self.assertEqual(cxx_source.split_arguments("f(a, b), {c, d}, e"), ["f(a, b)", "{c, d}", "e"])
        self.assertEqual(cxx_source.split_arguments("  "), [])


class LayersTest(TreeTest):
    check = staticmethod(check_layers.check)

    def test_down_is_accepted(self):
        self.assert_clean({
            "include/ringpool/config.hpp": "#include <cstddef>\n#include <sys/mman.h>\n",
            "include/ringpool/arena.hpp": '#include "ringpool/config.hpp"\n',
            "src/arena.cpp": '#include "ringpool/arena.hpp"\n// #include "ringpool/buffer.hpp"\n',
            "tools/ringpool/main.cpp": "#include <fmt/format.h>\n#include <ringpool/arena.hpp>\n",
        })

    def test_up_is_found(self):
        self.assert_found(
            {"include/ringpool/config.hpp": '#include "ringpool/arena.hpp"\n'},
            "include/ringpool/config.hpp:1: config (L0) includes upwards: arena (L1)")

    def test_up_from_a_source_is_found(self):
        self.assert_found(
            {"src/index_ring.cpp": '\n#include <ringpool/ring_buffer_pool.hpp>\n'},
            "src/index_ring.cpp:2: index_ring (L1) includes upwards: ring_buffer_pool (L3)")

    def test_c_has_layers_too(self):
        self.assert_found(
            {"src/adapters/c_api.cpp": '#include "ringpool/ringpool.h"\n',
             "include/ringpool/ringpool.h": '#include "ringpool/adapters/pmr.hpp"\n'},
            "include/ringpool/ringpool.h:1: ringpool includes adapters/pmr")

    def test_siblings_are_found(self):
        self.assert_found(
            {"include/ringpool/arena.hpp": '#include "ringpool/index_ring.hpp"\n'},
            "arena includes index_ring, a sibling in L1")

    def test_adapters_are_siblings_of_each_other_and_of_codecs(self):
        self.assert_found(
            {"include/ringpool/adapters/asio.hpp":
             '#include "ringpool/adapters/uring.hpp"\n#include "ringpool/codec/frame.hpp"\n'},
            "adapters/asio includes adapters/uring", "adapters/asio includes codec/frame")

    def test_a_part_takes_in_what_extends_its_name(self):
        self.assert_found(
            {"include/ringpool/detail/index_ring_impl.hpp": '#include "ringpool/index_ring.hpp"\n',
             "src/index_ring_wide.cpp": '#include "ringpool/index_cache.hpp"\n'},
            "index_ring (L1) includes upwards: index_cache (L2)")

    def test_a_circle_inside_a_group_is_found(self):
        self.assert_found(
            {"include/ringpool/error.hpp": '#include "ringpool/stats.hpp"\n',
             "include/ringpool/stats.hpp": '#include "ringpool/error.hpp"\n'},
            "a circle: error -> stats -> error")

    def test_a_file_without_a_layer_is_found(self):
        self.assert_found(
            {"include/ringpool/novelty.hpp": "",
             "src/arena.cpp": '#include "ringpool/novelty.hpp"\n'},
            "include/ringpool/novelty.hpp:1: has no layer", "which has no layer")

    def test_other_libraries_below_the_library_are_found(self):
        self.assert_found(
            {"src/arena.cpp": "#include <fmt/format.h>\n"},
            "fmt/format.h is neither standard nor the system's")

    def test_users_keep_to_public_headers(self):
        self.assert_found(
            {"src/arena.cpp": "",
             "tools/ringpool/a.cpp": "#include <ringpool/detail/atomics.hpp>\n",
             "bench/b.cpp": '#include "../src/pool_layout.hpp"\n'},
            "ringpool/detail/atomics.hpp is not a public header",
            "../src/pool_layout.hpp reaches into the library's tree")

    def test_an_empty_tree_is_found(self):
        self.assert_found({}, "nothing was checked")


EDGES = "// Edges (release -> acquire):\n//   R1 -> A1  put -> get   what\n"
PUT = "void put() { x_.store(1, detail::release); }  // R1 -> A1 (get): what was put\n"
GET = "int get() { return x_.load(detail::acquire); }  // A1 <- R1\n"


class OrdersTest(TreeTest):
    check = staticmethod(check_orders.check)

    def assert_ring(self, text, *expected):
        self.assert_found({"src/ring.cpp": text}, *expected)

    def test_a_labelled_pair_is_accepted(self):
        self.assert_ring(EDGES + PUT + GET)

    def test_ends_in_other_files_of_the_component_are_accepted(self):
        self.assert_clean({
            "include/ringpool/ring.hpp": EDGES + "void put();\nint get();\n",
            "include/ringpool/detail/ring_impl.hpp": PUT,
            "src/ring.cpp": "// A1 <- R1: sees what was put,\n// and more\n" + GET.split("//")[0] + "\n",
        })

    def test_every_spelling_of_an_order_is_accepted(self):
        for order in ("std::memory_order_relaxed", "std::memory_order::relaxed", "relaxed",
                      "detail::relaxed", "ringpool::detail::seq_cst"):
            self.assert_ring(f"int a = x.load({order});\n")
        self.assert_ring("x.compare_exchange_weak(a, f(b, c),\n    relaxed, relaxed);\n")

    def test_defaulted_orders_are_found(self):
        for call in ("x.load()", "x->store(1)", "x.exchange(g(a, relaxed))", "x.fetch_add(1)",
                     "flag.test_and_set()", "x.load(order)"):
            self.assert_ring(f"void f() {{ {call}; }}\n", "does not spell its order")

    def test_a_compare_exchange_needs_both_orders(self):
        for call in ("compare_exchange_weak(a, b)", "compare_exchange_strong(a, b, relaxed)"):
            self.assert_ring(f"void f() {{ x.{call}; }}\n", "does not spell both orders")

    def test_free_functions_with_a_default_are_found(self):
        self.assert_ring("void f() { std::atomic_store(&x, 1); }\n", "defaulted order")

    def test_operators_on_atomics_are_found(self):
        file_scope = "std::atomic<int> live{0};\nstd::atomic<std::map<int, int>*> top = nullptr;\n"
        for use in ("live++", "--live", "live += 2", "live = 3", "live <<= 1", "top = nullptr"):
            self.assert_ring(f"{file_scope}void f() {{ {use}; }}\n", "operator on the atomic")
        members = "struct s { std::atomic<int> count_{0}; atomic<int> items[4]; std::atomic<int> level; };\n"
        for use in ("count_++", "p->count_ = 1", "p->items[i + 1] = 2", "p->level |= 1", "++p->level"):
            self.assert_ring(f"{members}void f(s* p) {{ {use}; }}\n", "operator on the atomic")

    def test_operators_through_pointers_and_aliases_are_found(self):
        text = "using entry = std::atomic<int>;\nstruct s {{ entry* entries_ = nullptr; void f() {{ {}; }} }};\n"
        self.assert_ring(text.format("entries_[0] = 1"), "operator on the atomic entries_")
        self.assert_ring(text.format("*entries_ = 1"), "operator on the atomic entries_")
        self.assert_ring(text.format("entries_ = other"))

    def test_comparisons_and_namesakes_are_accepted(self):
        self.assert_ring("struct s { std::atomic<int> level; };\n"
                         "bool f(int level) { level = 2; ++level; return level == 3; }\n")
        self.assert_ring("std::atomic<int> live{0};\nint f() { return live.load(relaxed) == 1; }\n")

    def test_orphans_are_found(self):
        self.assert_ring(EDGES + PUT + "int get();\n", "orphan: nothing is labelled A1 <- R1")
        self.assert_ring(EDGES + GET, "orphan: nothing is labelled R1 -> A1")
        self.assert_ring(EDGES, "labelled A1 <- R1", "labelled R1 -> A1")

    def test_an_edge_that_is_not_listed_is_found(self):
        self.assert_ring(PUT + GET, "not in the list", "not in the list")
        self.assert_ring(EDGES + PUT + GET.replace("R1", "R1, R2"), "R2 -> A1 is not in the list")

    def test_an_edge_listed_twice_is_found(self):
        self.assert_ring(EDGES + "//   R1 -> A1 again\n" + PUT + GET, "listed twice")

    def test_a_label_on_the_wrong_operation_is_found(self):
        self.assert_ring(EDGES + PUT.replace("release", "relaxed") + GET, "no operation that releases")
        self.assert_ring(EDGES + PUT + GET.replace("acquire", "relaxed"), "no operation that acquires")
        self.assert_ring(EDGES + PUT + "// A1 <- R1\n" + "\n" * 8 + GET.split("//")[0],
                         "no operation that acquires", "acquire load has no label")

    def test_a_release_without_its_reason_is_found(self):
        self.assert_ring(EDGES + PUT.replace("(get): what was put", "what was put") + GET,
                         "is labelled `R1 -> A1 (function): why`")
        self.assert_ring(EDGES + PUT.replace("(get)", "(fetch)") + GET, "there is no fetch here")

    def test_an_operation_without_a_label_is_found(self):
        self.assert_ring("int f() { return x.load(acquire); }\n", "acquire load has no label")
        self.assert_ring("int f() { return x.exchange(1, acq_rel); }\n", "acq_rel exchange has no label")

    def test_labels_of_other_components_do_not_count(self):
        self.assert_found({"src/a.cpp": EDGES + PUT + "int get();\n", "src/b.cpp": GET},
                          "orphan: nothing is labelled A1 <- R1", "R1 -> A1 is not in the list")

    def test_an_empty_tree_is_found(self):
        self.assert_found({}, "nothing was checked")


SPDX = "// SPDX-License-Identifier: MIT\n"


class HouseTest(TreeTest):
    check = staticmethod(check_house.check)

    def test_a_kept_house_is_accepted(self):
        self.assert_clean({
            "include/ringpool/arena.hpp": SPDX + "#pragma once\n",
            "include/ringpool/detail/x.hpp": SPDX + "#pragma once\n",
            "include/ringpool/codec/frame.hpp": SPDX + "#pragma once\n",
            "tests/unit/arena_test.cpp": SPDX + '// "/t' + 'mp/" is fine in tests\n',
            "tests/unit/codec_frame_test.cpp": SPDX,
            "run": "#!/bin/sh\n# SPDX-License-Identifier: MIT\n",
        })

    def test_what_is_wrong_is_found(self):
        cases = {
            "int a;\n": "no line `SPDX",
            SPDX + "// TO" + "DO: later\n": "a loose end",
            SPDX + "// see /ro" + "ot/notes\n": "a path of one machine",
            SPDX + "// see /t" + "mp/notes\n": "below the temporary directory",
            SPDX + "int a; \n": "space at the end",
            SPDX + "int a;": "no new line at the end",
            SPDX + "\n" * 600: "601 lines",
        }
        for text, expected in cases.items():
            self.assert_found({"src/arena.cpp": text}, expected)

    def test_a_header_without_guard_is_found(self):
        self.assert_found({"tools/ringpool/a.hpp": SPDX}, "no `#pragma once`")
        self.assert_found({"tests/c/a.h": SPDX}, "no include guard")

    def test_c_is_code(self):
        self.assert_clean({"tests/c/a.h": SPDX + "#ifndef A\n", "tests/c/a.c": SPDX})
        self.assert_found({"tests/c/a.c": "int a;\n"}, "no line `SPDX")

    def test_long_headers_and_python_lines_are_found(self):
        long = SPDX + "#pragma once\n" + "\n" * 399
        self.assert_found({"include/ringpool/detail/a.hpp": long}, "401 lines")
        self.assert_clean({"include/ringpool/detail/a_impl.hpp": long})
        self.assert_found({"scripts/a.py": "# SPDX-License-Identifier: MIT\n" + "#" * 121 + "\n"},
                          "121 columns")

    def test_a_public_header_without_unit_test_is_found(self):
        self.assert_found({"include/ringpool/arena.hpp": SPDX + "#pragma once\n"},
                          "has no tests/unit/arena_test.cpp")

    def test_an_empty_tree_is_found(self):
        self.assert_found({}, "nothing was checked")


class JunitTest(unittest.TestCase):
    def test_cases_are_counted_by_what_became_of_them(self):
        report = """<testsuite>
            <testcase name="a" status="run"/>
            <testcase name="b" status="fail"><failure message=""/><system-out>why</system-out></testcase>
            <testcase name="c" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/></testcase>
            <testcase name="d" status="notrun"><skipped message="Unable to find executable"/></testcase>
            <testcase name="e" status="disabled"/>
        </testsuite>"""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "report.xml")
            path.write_text(report, "utf-8")
            self.assertEqual(run_tests.read_junit(path), (1, 2, [("b", "why"), ("d", "")]))


if __name__ == "__main__":
    unittest.main()
