#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares `ringpool serve` with reference servers: CPU time per frame, frames a second, tails of
latency, memory of idle connections. Rounds in which each server has its turn, in random order."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import figures
from processes import (SPARE_DESCRIPTORS, Failed, Server, measure_idle, measure_load, raise_descriptor_limit)

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = "ringpool"
# A program of the build and its options. One whose program is not there, or does not name its options
# in its help, is left out.
SERVERS = {
    BASE: ("ringpool", "serve"),
    "ringpool-malloc": ("ringpool", "serve", "--buffers", "malloc"),
    "ringpool-uring": ("ringpool", "serve", "--backend", "uring"),
    "asio": ("ringpool_bench_asio_server",),
    "epoll-malloc": ("ringpool_bench_epoll_malloc_server",),
}
LEAST_ROUNDS = 7
WARM_UP_SECONDS = 0.3
SETTLE_SECONDS = 2.5  # in which a server gives back memory that it does not need
SMOKE_SECONDS = 0.05  # instead of both


def arguments():
    parser = argparse.ArgumentParser(prog="./run bench-servers", description=__doc__)
    parser.add_argument("--server", action="append", choices=SERVERS, help="repeatable; default: all there are")
    parser.add_argument("--mode", choices=("both", "closed", "rate"), default="both",
                        help="closed loop, fixed rate, or one after the other (the default)")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help=f"{LEAST_ROUNDS} (the default) or more")
    parser.add_argument("--seconds", type=float, default=2, help="of each turn; default: 2")
    parser.add_argument("--connections", type=int, default=100, help="default: 100")
    parser.add_argument("--pipeline", type=int, default=4,
                        help="closed loop: frames outstanding on each connection; default: 4")
    parser.add_argument("--rate", type=float, help="fixed rate: frames a second in all; default: half of what the "
                        "slowest server did in a closed loop")
    parser.add_argument("--mix", default="game", help="payload sizes, see `ringpool load --help`; default: game")
    parser.add_argument("--loops", type=int, default=1, help="of each server; default: 1")
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections; 0: none; default: 10,000")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns; default: 1")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="where the programs are")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results",
                        help="folder of servers.json and servers.txt; default: bench/results")
    parser.add_argument("--smoke", action="store_true", help="any number of rounds; proves nothing")
    wanted = parser.parse_args()
    if wanted.rounds < (1 if wanted.smoke else LEAST_ROUNDS):
        parser.error(f"--rounds {wanted.rounds}: {LEAST_ROUNDS} or more")
    if wanted.mode == "rate" and wanted.rate is None:
        parser.error("--mode rate needs a --rate")
    return wanted


def why_missing(build, command):
    """Why a server cannot be run; None if it can."""
    program, *words = command
    if not (build / program).is_file():
        return f"{program} is not built"
    if any(word.startswith("-") for word in words):
        told = subprocess.run([build / program, words[0], "--help"], capture_output=True, text=True, check=False)
        unknown = [word for word in words[1:] if word not in told.stdout]
        if unknown:
            return f"{program} {words[0]} has no {unknown[0]}"
    return None


def choose(build, asked):
    """({name: command}, {name: why it is left out}); what was asked for and is missing is an error."""
    present, missing = {}, {}
    for name in asked or SERVERS:
        why = why_missing(build, SERVERS[name])
        if why is None:
            present[name] = (build / SERVERS[name][0], *SERVERS[name][1:])
        elif asked:
            raise Failed(f"{name}: {why}")
        else:
            missing[name] = why
    return present, missing


def split_processors(loops):
    """(of the server, of the load): apart where there are enough, else anywhere."""
    usable = sorted(os.sched_getaffinity(0))
    return (set(usable[:loops]), set(usable[loops:])) if loops < len(usable) else (None, None)


def run_rounds(servers, wanted, traffic, more=None):
    """[{server: sample}]; a fresh process for each turn. `more(server)` adds to a sample, once the
    server has ended."""
    own, others = split_processors(wanted.loops)
    options = ("--connections", wanted.connections, "--seconds", wanted.seconds, "--mix", wanted.mix,
               "--warm-up", SMOKE_SECONDS if wanted.smoke else WARM_UP_SECONDS, *traffic)
    rounds = []
    for number, order in enumerate(figures.orders(list(servers), wanted.rounds, wanted.seed), start=1):
        turns = {}
        for name in order:
            with Server(servers[name], wanted.loops, own) as server:
                turns[name] = measure_load(server, wanted.build / "ringpool", options, others)
                server.stop()
                turns[name].update(more(server) if more else {})
            print(f"{' '.join(map(str, traffic))}, round {number} of {wanted.rounds}: {name} "
                  f"{turns[name]['cpu_us_per_frame']:.2f} us/frame", file=sys.stderr)
        rounds.append({name: turns[name] for name in servers})
    return rounds


def run_idle(servers, wanted):
    count = min(wanted.idle, raise_descriptor_limit() - SPARE_DESCRIPTORS)
    result = {}
    for name, command in servers.items():
        with Server(command, wanted.loops) as server:
            result[name] = measure_idle(server, count, SMOKE_SECONDS if wanted.smoke else SETTLE_SECONDS)
            server.stop()
        print(f"{count} idle: {name} {result[name]['bytes_each']:.0f} bytes each", file=sys.stderr)
    return result


def where_and_when(command):
    """The machine, as {what: text}."""
    processor = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
                      if line.startswith("model name")), "unknown")
    system = os.uname()
    return {
        "command": shlex.join(["./run", command, *sys.argv[1:]]),
        "processor": f"{processor}, {os.cpu_count()} processors",
        "kernel": f"{system.sysname} {system.release} {system.machine}",
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def placement(loops):
    own, others = split_processors(loops)
    return f"{loops} loops, " + (f"on processors {sorted(own)}, the load on {sorted(others)}" if own else
                                 "on the load's processors")


def about(wanted, missing):
    """What a reader of the figures has to know, as {what: text}."""
    return {
        **where_and_when("bench-servers"),
        "load": f"{wanted.connections} connections, mix {wanted.mix}, {wanted.seconds:g} s a turn",
        "servers": placement(wanted.loops),
        "rounds": f"{wanted.rounds}, orders from seed {wanted.seed}",
        **{f"no {name}": why for name, why in missing.items()},
    }


def render(result):
    facts = result["about"]
    width = max(map(len, facts))
    lines = [f"{name:<{width}}  {text}" for name, text in facts.items()]
    lines.append(f"us/frame: CPU time of the server; ratio: to that of {BASE} in the same round; medians of the rounds")
    for title, key in (("Closed loop, {pipeline} frames outstanding on each connection", "closed"),
                       ("Fixed rate, {rate:,.0f} frames a second in all; latency counts from when a frame was due",
                        "rate")):
        if key in result:
            mode = result[key]
            lines += ["", title.format(**mode), *figures.load_table(mode["summary"]), *figures.behind(mode["summary"])]
    if "idle" in result:
        count = next(iter(result["idle"].values()))["connections"]
        lines += ["", f"{count:,} idle connections, each after one frame of 1,000 bytes: resident memory",
                  *figures.idle_table(result["idle"])]
    return "\n".join(lines) + "\n"


def compare(wanted):
    servers, missing = choose(wanted.build, wanted.server)
    result = {"about": about(wanted, missing)}
    rate = wanted.rate
    if wanted.mode in ("both", "closed"):
        rounds = run_rounds(servers, wanted, ("--pipeline", wanted.pipeline))
        result["closed"] = {"pipeline": wanted.pipeline, "summary": figures.summary(rounds, BASE), "rounds": rounds}
        rate = rate or figures.common_rate(result["closed"]["summary"])
    if wanted.mode in ("both", "rate"):
        rounds = run_rounds(servers, wanted, ("--rate", f"{rate:g}"))
        result["rate"] = {"rate": rate, "summary": figures.summary(rounds, BASE), "rounds": rounds}
    if wanted.idle > 0:
        result["idle"] = run_idle(servers, wanted)
    return result


def main():
    wanted = arguments()
    try:
        result = compare(wanted)
    except Failed as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 1
    wanted.output.mkdir(parents=True, exist_ok=True)
    (wanted.output / "servers.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    text = render(result)
    (wanted.output / "servers.txt").write_text(text, "utf-8")
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
