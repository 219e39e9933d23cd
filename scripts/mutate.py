#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeds one bug after another into a copy of the concurrent core and runs the model checker on it, or
where the bug is in what the checker has no part of, other tests.

A mutant that the checker does not find, and for which no reason is written down below, is an error.
Needs the release build (./test build). Some four minutes on two processors.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
RING = "include/ringpool/detail/index_ring_impl.hpp"
CACHE = "include/ringpool/index_cache.hpp"
OWNER = "include/ringpool/detail/index_cache_impl.hpp"
RAIDER = "include/ringpool/detail/index_cache_raid.hpp"
SLOTS = "include/ringpool/detail/thread_slot_table.hpp"
COUNT = "include/ringpool/detail/reference_count.hpp"
SHARED = "include/ringpool/shared_buffer.hpp"
WAITERS = "include/ringpool/detail/wait_queue.hpp"
BUDGET = "include/ringpool/detail/spill_budget.hpp"
SAMPLES = "include/ringpool/detail/sampling.hpp"
POOL = "src/ring_buffer_pool.cpp"
SPILL = "src/ring_buffer_pool_spill.cpp"
CENSUS = "src/ring_buffer_pool_census.cpp"
SPILL_MODEL = "tests/model/spill_test.cpp"  # the steps of SPILL, as the checker runs them

MODEL = ("tests/model/*.cpp",)
RECORDS = ("tests/stress/census_test.cpp",)
SETS = ("tests/unit/census_test.cpp", "tests/unit/multi_size_ring_pool_spill_test.cpp")


@dataclass
class Mutant:
    name: str
    file: str
    old: str  # stands in the file exactly once
    new: str
    survives_because: str = ""
    also: tuple = ()  # (old, new), a second change
    tests: tuple = MODEL
    cases: str = "*"  # of those tests


MUTANTS = (
    # ---- The table of thread slots
    Mutant("a slot is taken without acquire", SLOTS,
           "seen | (std::uint64_t{1} << bit), acquire,", "seen | (std::uint64_t{1} << bit), relaxed,"),
    Mutant("a slot is given up without release", SLOTS,
           "~(std::uint64_t{1} << (slot % 64)), release);", "~(std::uint64_t{1} << (slot % 64)), relaxed);"),
    Mutant("two threads get one slot", SLOTS,
           "seen | (std::uint64_t{1} << bit), acquire,", "seen, acquire,"),
    # ---- Shared buffers
    Mutant("a drop is relaxed", COUNT,
           "return handles_.fetch_sub(1, acq_rel) == 1;", "return handles_.fetch_sub(1, relaxed) == 1;"),
    Mutant("a drop does not release", COUNT,
           "return handles_.fetch_sub(1, acq_rel) == 1;", "return handles_.fetch_sub(1, acquire) == 1;"),
    Mutant("a drop does not acquire", COUNT,
           "return handles_.fetch_sub(1, acq_rel) == 1;", "return handles_.fetch_sub(1, release) == 1;"),
    Mutant("a drop that finds itself alone does not acquire", COUNT,
           "    if (handles_.load(acquire) == 1) {\n", "    if (handles_.load(relaxed) == 1) {\n"),
    Mutant("a drop is a load and a store", COUNT,
           "return handles_.fetch_sub(1, acq_rel) == 1;",
           "const std::uint32_t seen = handles_.load(acquire);\n"
           "    handles_.store(seen - 1, release);\n    return seen == 1;"),
    Mutant("a drop that is not the last does not count", COUNT,
           "return handles_.fetch_sub(1, acq_rel) == 1;", "return false;"),
    Mutant("a drop looks at the count after it", COUNT,
           "return handles_.fetch_sub(1, acq_rel) == 1;",
           "handles_.fetch_sub(1, acq_rel);\n    return handles_.load(acquire) == 0;"),
    Mutant("a drop is the last of two", COUNT,
           "    if (handles_.load(acquire) == 1) {\n", "    if (handles_.load(acquire) <= 2) {\n"),
    Mutant("a drop does not look before it subtracts", COUNT,
           "    if (handles_.load(acquire) == 1) {\n      return true;\n    }\n", "",
           survives_because="the subtraction alone is right; the look spares an only handle the exchange"),
    Mutant("a copy is a load and a store", COUNT,
           "    if (handles_.fetch_add(1, relaxed) < max_handles) [[likely]] {\n",
           "    handles_.store(handles_.load(relaxed) + 1, relaxed);\n    {\n"),
    Mutant("a new owner does not acquire", COUNT,
           "return handles_.load(acquire) == 1;  // A3 <- R1", "return handles_.load(relaxed) == 1;"),
    Mutant("who is not alone becomes the owner", SHARED,
           "if (references != nullptr && !references->is_only()) {", "if (references == nullptr) {"),
    Mutant("a copy is not counted", SHARED,
           "if (references != nullptr && !references->try_add()) [[unlikely]] {",
           "if (references == nullptr) {"),
    Mutant("a slice gives back its part alone", SHARED,
           "  [[nodiscard]] std::byte* start() const noexcept { return data_ - offset_; }",
           "  [[nodiscard]] std::byte* start() const noexcept { return data_; }"),
    # ---- The ring
    Mutant("indices are counted before they are placed", RING,
           "  for (std::span<const slot_index> rest = slots; !rest.empty();) {",
           "  available_.fetch_add(slots.size(), detail::seq_cst);\n"
           "  for (std::span<const slot_index> rest = slots; !rest.empty();) {",
           also=("  available_.fetch_add(slots.size(), detail::seq_cst);\n}", "}")),
    Mutant("a placer ignores the unsafe mark", RING,
           "(seen & unsafe_bit()) != 0 && head_.load(detail::acquire) > ticket",
           "(seen & unsafe_bit()) != 0 && ticket == ~word{0}"),
    Mutant("a taker does not mark an occupied entry unsafe", RING,
           ": seen | unsafe_bit();", ": seen;"),
    Mutant("a taker does not tag an entry that it passes", RING,
           "empty ? tag(ticket) | (seen & unsafe_bit())", "empty ? seen"),
    Mutant("the exchange that changes nothing is left out", RING,
           "    // R3 -> A3 (place_one): passed, and head_ was moved before\n",
           "    if (passed == seen) {\n      return false;\n    }\n",
           survives_because="it takes one entry passed in two rounds of the ring and a stale look at "
                            "head_: beyond the bounds. Kept for the argument in index_ring.hpp"),
    Mutant("a placer does not look at the cycle", RING,
           "const bool passed = cycle_of(seen) >= ticket >> entry_bits_;",
           "const bool passed = cycle_of(seen) == ~word{0};"),
    Mutant("a placer writes over an occupied entry", RING,
           "if (passed || occupied) {", "if (passed || (occupied && ticket == ~word{0})) {"),
    Mutant("a taken entry is not emptied", RING,
           "      cell.fetch_and(~index_mask(), detail::release);\n", ""),
    Mutant("an empty ring is not looked at again", RING,
           "return count != 0 ? count : pop_returned(out);", "return count;",
           survives_because="a refusal without it has a call in flight for each buffer, which the "
                            "promise allows; with it, all buffers were held at one moment"),
    Mutant("fresh indices are claimed by a store", RING,
           "if (fresh_.compare_exchange_weak(first, first + count, detail::seq_cst, "
           "detail::seq_cst)) {",
           "fresh_.store(first + count, detail::seq_cst);\n    {"),
    Mutant("placed indices are claimed by a store", RING,
           "if (available_.compare_exchange_weak(seen, seen - count, detail::seq_cst, "
           "detail::seq_cst)) {",
           "available_.store(seen - count, detail::seq_cst);\n    {"),
    Mutant("a pusher forgets to count", RING,
           "  available_.fetch_add(slots.size(), detail::seq_cst);", ""),
    # ---- The owner of a cache
    Mutant("a pop does not look at the gate", CACHE,
           "  const std::uint64_t top = level - 2;                            "
           "// wraps where there is no item\n  if (top >= limit) [[unlikely]] {",
           "  const std::uint64_t top = level - 2;\n  if (top >= limit && top >= 64) {"),
    Mutant("a push does not look at the gate", CACHE,
           "  if (end >= limit) [[unlikely]] {", "  if (end >= limit && end >= 64) {"),
    Mutant("a call that missed does not count as ended", CACHE,
           "cache.seq.store(seq + (level > 1 ? 2 : 0), detail::release);",
           "cache.seq.store(seq, detail::release);"),
    Mutant("the first use of a slot is not made known", OWNER,
           "while (top < slot &&", "while (top < slot && top != 0 &&"),
    Mutant("an owner does not fence where membarrier is refused", OWNER,
           "  if (fenced) {\n    Policy::full_fence();", "  if (fenced) {\n    Policy::light_fence();"),
    Mutant("a refill fills a closed cache", OWNER,
           "  if (now.limit != 0) {\n    const std::uint64_t level = "
           "now.cache->level.load(detail::relaxed);\n    const std::size_t room = now.limit - "
           "std::min<std::size_t>(level - 1, now.limit);",
           "  if (now.cache != nullptr) {\n    const std::uint64_t level = "
           "now.cache->level.load(detail::relaxed);\n    const std::size_t room = 2;"),
    Mutant("a bulk fills a closed cache", CACHE,
           "  return {&cache, seq, cache.level.load(detail::relaxed) == 0 ? 0 : limit};",
           "  return {&cache, seq, cache.level.load(detail::relaxed) == 0 ? 0 : limit + 2};"),
    Mutant("a hit is not counted", CACHE,
           "  detail::add_single_writer(cache.allocs, std::uint64_t{1});\n", ""),
    Mutant("a flush keeps what it gave away", OWNER,
           "  cache.level.store(held - count + 1, detail::relaxed);",
           "  cache.level.store(held - count + 2, detail::relaxed);"),
    # ---- The raider
    Mutant("no membarrier", RAIDER,
           "const detail::heavy_result fence = Policy::heavy_fence();",
           "const detail::heavy_result fence = detail::heavy_result::made;"),
    Mutant("the gate is not closed", RAIDER,
           "change_gate([](gate_state& g) { ++g.raiders; });",
           "change_gate([](gate_state&) {});"),
    Mutant("a raider takes from an owner under way", RAIDER,
           "    if ((seq & 1) != 0) {\n      result.every_owner_was_idle = false;",
           "    if (seq == ~std::uint64_t{0}) {\n      result.every_owner_was_idle = false;"),
    Mutant("two raiders empty one cache", RAIDER,
           "  if (level <= 1 ||\n      !cache.level.compare_exchange_strong(level, 1, "
           "detail::relaxed, detail::relaxed)) {",
           "  if (level > 1) {\n    cache.level.store(1, detail::relaxed);\n  } else {"),
    Mutant("owners under way are not looked at again", RAIDER,
           "!ordered || fingerprint() == seen.fingerprint)", "!ordered || true)"),
    Mutant("a refusal is called clean though an owner was under way", RAIDER,
           "clean = found == 0 && seen.every_owner_was_idle;", "clean = found == 0;"),
    Mutant("clean outlives the closed gate", RAIDER,
           "g.clean = !g.open && !g.opening && (g.clean || clean);", "g.clean = g.clean || clean;"),
    Mutant("a gate that is about to open is called clean", RAIDER,
           "g.clean = !g.open && !g.opening && (g.clean || clean);",
           "g.clean = !g.open && (g.clean || clean);"),
    Mutant("a clean gate is opened without a word", RAIDER,
           "      g.opening = true;\n      g.clean = false;", "      g.opening = true;"),
    Mutant("openings are not counted", RAIDER,
           "  openings_.fetch_add(1, detail::seq_cst);", "  "),
    Mutant("a refusal does not look at the count of openings", RAIDER,
           "ring_->empty() &&\n         openings_.load(detail::seq_cst) == openings;",
           "ring_->empty() && openings <= ~std::uint64_t{0};"),
    Mutant("a refusal does not look at the gate", RAIDER,
           "gate_state::unpack(gate_.load(detail::seq_cst)).clean && ring_->empty()",
           "ring_->empty()"),
    Mutant("two threads open the gate", RAIDER,
           "mine = !g.open && !g.opening && g.raiders == 0;", "mine = !g.open && g.raiders == 0;",
           survives_because="the second opener's count may serve a third's opening: that takes four "
                            "threads, more than the programs have"),
    Mutant("the gate opens under a raid", RAIDER,
           "mine = !g.open && !g.opening && g.raiders == 0;", "mine = !g.open && !g.opening;",
           survives_because="a raider keeps the limit at 0 all the same; what is saved is a useless "
                            "opening"),
    Mutant("the surplus of a raid is lost", RAIDER,
           "    ring_->push_bulk({slots + 1, found - 1});\n", ""),
    Mutant("a raid is never counted down", RAIDER,
           "    g.raiders -= g.raiders != 0 ? 1 : 0;  "
           "// 0: a handler forked inside this raid, see after_fork\n", "",
           survives_because="the gate then stays closed: every call uses the ring. Slower, equally "
                            "exact; unit tests see it (index_cache_test.cpp)"),
    # ---- Those who wait
    Mutant("waiters: no look after the fence", WAITERS,
           "  serve(gate, take, deliver);\n  return ordered ?", "  return ordered ?"),
    Mutant("waiters: the gate is not closed", WAITERS, "      gate.set_waited(true);\n", ""),
    Mutant("waiters: the gate is opened for the last but one", WAITERS,
           "if (node.fits && --fit_count_ == 0) {", "if (node.fits && --fit_count_ <= 1) {"),
    Mutant("waiters: neither a fence nor a wait for calls under way", WAITERS,
           "const bool ordered = !settles || gate.settle();", "const bool ordered = true;"),
    Mutant("waiters: no fence before the look", RAIDER,
           "if (const auto result = Policy::heavy_fence();",
           "if (const auto result = detail::heavy_result::made;"),
    Mutant("waiters: calls under way are not waited for", RAIDER,
           "if ((seen & 1) == 0 || &cache == own) {", "if ((seen & 1) <= 1 || &cache == own) {"),
    Mutant("waiters: who finds the lock taken leaves no mark", WAITERS,
           "lock_.fetch_or(locked | again, acq_rel)", "lock_.fetch_or(locked, acq_rel)"),
    Mutant("waiters: a mark is lost when the lock is given up", WAITERS,
           "return (lock_.fetch_and(0, release) & again) != 0;",
           "lock_.fetch_and(0, release);\n  return false;"),
    Mutant("waiters: a server does not look at the mark", WAITERS,
           "} while (!lock_.compare_exchange_strong(seen, 0, release, relaxed));",
           "  lock_.fetch_and(0, release);\n  } while (seen != locked);"),
    Mutant("waiters: a cancelled one stays in the list", WAITERS,
           "    unlink(node, gate);\n    node.now", "    node.now"),
    Mutant("waiters: what a delivery frees is not looked at", WAITERS,
           "      frame->again = true;\n", ""),
    # ---- Buffers lent to smaller classes
    Mutant("spill: the bound is not given back", BUDGET,
           "{ held_.fetch_sub(1, relaxed); }", "{}", cases="spill_model*"),
    Mutant("spill: the bound is taken by a load and a store", BUDGET,
           "    } while (!held_.compare_exchange_weak(seen, seen + 1, relaxed, relaxed));",
           "    } while (false);\n    held_.store(seen + 1, relaxed);", cases="spill_model*"),
    Mutant("spill: no fence between the bound given back and the look at the ring", SPILL_MODEL,
           "      budget_.give_back();\n      model::full_fence();\n",
           "      budget_.give_back();\n", cases="spill_model*",
           survives_because="not found within the bounds of the programs; that it is needed rests on the "
                            "argument at lend"),
    Mutant("spill: no fence before a waiter's look at the bound", SPILL_MODEL,
           "    if (!looks) {\n      model::full_fence();\n    }\n", "", cases="spill_model*",
           survives_because="likewise"),
    Mutant("spill: the state of a lent buffer is not set", SPILL,
           "      states_[to_number(given.slot)].store(buffer_state::lent, detail::relaxed);\n", "",
           tests=SETS),
    Mutant("spill: the free of a lent buffer gives nothing back", CENSUS,
           "    lent_.give_back();\n", "", tests=SETS),
    Mutant("spill: a forked child does not count sampled buffers as lent", SPILL,
           "return detail::is_lent(one.load(detail::relaxed));",
           "return one.load(detail::relaxed) == buffer_state::lent;", tests=SETS),
    # ---- Samples
    Mutant("sampling: a reader does not look at the version again", SAMPLES,
           "return version % 2 == 0 && version == version_.load(relaxed);",
           "return version % 2 == 0;", tests=RECORDS),
    Mutant("sampling: the version is not odd while a record is written", SAMPLES,
           "    version_.store(version + 1, relaxed);  ", "    ", tests=RECORDS),
    Mutant("sampling: a sampled buffer stays so when it is free", POOL,
           "    states_[number].store(free, detail::relaxed);  // published by the push\n  }\n"
           "  if (seen",
           "    states_[number].store(seen == buffer_state::sampled ? seen : free, detail::relaxed);\n"
           "  }\n  if (seen", tests=SETS),
    Mutant("sampling: a sampled buffer is no longer lent", CENSUS,
           "lent ? buffer_state::lent_sampled", "lent ? buffer_state::sampled", tests=SETS),
    Mutant("sampling: a trip stays where no cache served", CENSUS,
           "    cache_.rearm();\n", "    (void)0;\n", tests=SETS),
    Mutant("sampling: calls that no cache serves are not counted", CENSUS,
           "if (tripped || home.miss_is_due()) {", "if (tripped) {", tests=SETS),
)


def compiler_command():
    """How tests/model/model_test.cpp is compiled, without what is to be made of it."""
    entries = json.loads((BUILD / "compile_commands.json").read_text("utf-8"))
    line = next(one["command"] for one in entries if one["file"].endswith("model_test.cpp"))
    words = [word for word in shlex.split(line)
             if word not in ("-Winvalid-pch", "-include", "-Werror", "ccache")
             and not word.endswith("cmake_pch.hxx")]
    return words[:words.index("-MD" if "-MD" in words else "-o")]


def apply(mutant, folder):
    for name in ("include", "src", "tests"):
        shutil.copytree(ROOT / name, folder / name)
    path = folder / mutant.file
    text = path.read_text("utf-8")
    for old, new in filter(None, (mutant.also, (mutant.old, mutant.new))):
        if text.count(old) != 1:
            raise SystemExit(f"mutant `{mutant.name}`: its text stands {text.count(old)} times "
                             f"in {mutant.file}")
        text = text.replace(old, new)
    path.write_text(text, "utf-8")


def quietly(command, folder):
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=300)


def run(mutant):
    """(verdict, the test that found it, or what went wrong)"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apply(mutant, folder)
        command = [word.replace(str(ROOT / "include"), str(folder / "include"))
                   for word in compiler_command()]
        sources = [str(one) for test in mutant.tests for one in sorted(folder.glob(test))]
        sources += [str(folder / mutant.file)] if mutant.file.startswith("src/") else []
        command += ["-O1", "-o", "ringpool_unit_tests", *sources, str(BUILD / "libringpool.a"),
                    "-lgmock", "-lgtest", "-lgtest_main", "-lpthread"]
        built = quietly([word for word in command if word != "-c"], folder)
        if built.returncode != 0:
            return "error", built.stderr[-2000:]
        try:
            ran = quietly(["./ringpool_unit_tests", "--gtest_fail_fast",
                           f"--gtest_filter={mutant.cases}-model_twins*:*twin_*"], folder)
            to_the_end = mutant.tests == MODEL and mutant.cases == "*" and not mutant.survives_because
            if ran.returncode == 0 and to_the_end:  # of a large one
                ran = quietly(["env", "RINGPOOL_MODEL_SCALE=8", "./ringpool_unit_tests",
                               "--gtest_filter=*owners_that_were_under_way"], folder)
        except subprocess.TimeoutExpired:
            return "killed", "it did not come to an end"
        if ran.returncode == 0:
            return "survived", ""
        found = re.search(r"\[  FAILED  \] (\S+)", ran.stdout)
        return "killed", found[1] if found else f"ended with {ran.returncode}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", default="", help="mutants with this in their name")
    wanted = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if wanted.only in mutant.name]
    if not mutants or not (BUILD / "libringpool.a").exists():
        parser.error("no such mutant" if not mutants else "build first: ./test build")
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for mutant, (verdict, detail) in zip(mutants, pool.map(run, mutants)):
            unexplained = verdict == "error" or (verdict == "survived") != bool(
                mutant.survives_because)
            bad += unexplained
            print(f"{'!' if unexplained else ' '} {verdict:<9} {mutant.name}: "
                  f"{detail or mutant.survives_because}", flush=True)
    print(f"{len(mutants) - bad} as expected, {bad} not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
