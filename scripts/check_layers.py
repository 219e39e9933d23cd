#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that includes go strictly down the layers of the library.

Parts of one layer that `|` keeps apart never include each other; parts that stand together may, but
not in a circle. A part is a header below include/ringpool with what belongs to it by name: `arena`
is arena.hpp, detail/arena_*.hpp, src/arena.cpp and src/arena_*.cpp. ringpool is ringpool.hpp and
ringpool.h, which adapters/c_api implements. Tools, benchmarks and examples include public headers
only.
"""

import re
import sys
from pathlib import Path

from cxx_source import Finding, main, read_sources

LAYERS = """
L0  config  error  stats  owner_scope  detail/atomics  detail/backoff  detail/symbol
L1  arena | index_ring | size_classes | memory_checker | fault_plan
    | detail/counters  detail/thread_slot  detail/asymmetric_fence  detail/slot_map  detail/fork_list
      detail/gate_state  detail/reference_count  detail/sampling  detail/buffer_state  detail/slot_cache
      detail/probes  detail/spill_budget
L2  index_cache | buffer | shared_buffer | detail/upstream | detail/wait_queue
L3  pool_options  ring_buffer_pool  pool_layout  buffer_waiter  async_alloc
L4  multi_size_ring_pool  census  buffer_chain  chain_cursor | account
L5  codec/frame  codec/chain_frame  metrics  ringpool  adapters/c_api
    | adapters/pmr | adapters/asio | adapters/uring
"""

LIBRARY = ("include", "src")
USERS = ("tools", "bench", "examples")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
# Valgrind's client requests are macros, looked for with __has_include.
STANDARD_OR_SYSTEM = re.compile(r"[a-z_0-9]+|(?:(?:sys|linux|netinet|arpa|valgrind)/)?[a-z_0-9]+\.h")


def parse_layers(text):
    """{part: (layer, group)} of a table like LAYERS; a group is what `|` does not separate."""
    places, layer, group = {}, -1, 0
    for word in text.split():
        if re.fullmatch(r"L[0-9]+", word):
            layer, group = int(word[1:]), group + 1
        elif word == "|":
            group += 1
        else:
            places[word] = (layer, group)
    return places


def part_of(path, places):
    """The part that a library file belongs to: its own name, or the longest that its name extends
    by `_word`s. None if it has no place."""
    stem = Path(path).with_suffix("").as_posix()
    name = re.sub(r"^(include/ringpool|src)/", "", stem)
    while name:
        bare = name.removeprefix("detail/")
        for part in (name, bare, f"detail/{bare}"):
            if part in places:
                return part
        name = name.rpartition("_")[0]
    return None


def included_path(source, name):
    """The file below include/ or src/ that an include means, or None: not the library's."""
    if name.startswith("ringpool/"):
        return f"include/{name}"
    if source.path.startswith("src/"):
        return (Path(source.path).parent / name).as_posix()
    return None


def includes_of(source):
    """(offset, name, quoted) of each include directive that is code."""
    for match in INCLUDE.finditer(source.text):
        hash_sign = source.text.index("#", match.start())
        if source.code[hash_sign] == "#":
            yield hash_sign, match[1] or match[2], match[1] is not None


def judge(source, part, target, places):
    """What is wrong with `part` including `target`, or None."""
    (layer, group), (target_layer, target_group) = places[part], places[target]
    if target_layer > layer:
        return f"{part} (L{layer}) includes upwards: {target} (L{target_layer})"
    if target_layer == layer and target_group != group:
        return f"{part} includes {target}, a sibling in L{layer}"
    return None


def check_library_file(source, places, edges):
    part = part_of(source.path, places)
    if part is None:
        yield Finding(source.path, 1, "has no layer: give it one in scripts/check_layers.py")
        return
    for offset, name, quoted in includes_of(source):
        path = included_path(source, name) if quoted or name.startswith("ringpool/") else None
        if path is None:
            if not source.path.startswith("include/ringpool/adapters/"):
                if quoted or not STANDARD_OR_SYSTEM.fullmatch(name):
                    yield source.finding(offset, f"{name} is neither standard nor the system's")
            continue
        target = part_of(path, places)
        if target is None:
            yield source.finding(offset, f"includes {name}, which has no layer")
        elif target != part:
            wrong = judge(source, part, target, places)
            if wrong:
                yield source.finding(offset, wrong)
            if source.path.endswith(".hpp"):
                edges.setdefault(part, {})[target] = source.finding(offset, "")


def check_user_file(source):
    for offset, name, _ in includes_of(source):
        if name.startswith("ringpool/detail/"):
            yield source.finding(offset, f"{name} is not a public header")
        elif "src/" in name or "include/" in name:
            yield source.finding(offset, f"{name} reaches into the library's tree")


def circles(edges):
    """A finding for each circle of headers that include each other."""
    state = {}

    def visit(part, trail):
        state[part] = "open"
        for target, place in edges.get(part, {}).items():
            if state.get(target) == "open":
                circle = trail[trail.index(target):] + [target]
                yield Finding(place.path, place.line, "a circle: " + " -> ".join(circle))
            elif target not in state:
                yield from visit(target, trail + [target])
        state[part] = "done"

    for part in edges:
        if part not in state:
            yield from visit(part, [part])


def check(root, layers=LAYERS):
    places, edges = parse_layers(layers), {}
    sources = read_sources(root, LIBRARY)
    if not sources:
        yield Finding("include", 1, "no sources: nothing was checked")
    for source in sources:
        yield from check_library_file(source, places, edges)
    yield from circles(edges)
    for source in read_sources(root, USERS):
        yield from check_user_file(source)


if __name__ == "__main__":
    sys.exit(main(__doc__, check))
