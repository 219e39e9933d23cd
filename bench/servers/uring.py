#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures what `ringpool serve --backend uring` promises: throughput and tails when receive buffers
are few, CPU time per frame beside other servers, a broadcast from one buffer, the memory of idle
connections, and which of io_uring's calls pay."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import compare
import figures
import promises
from processes import (SPARE_DESCRIPTORS, Failed, Server, look_around_idle, pin_to, raise_descriptor_limit)

CALLS = "ringpool_bench_uring_calls"
ROOM_CLIENT = "ringpool_bench_room_client"
SERVE = ("ringpool", "serve")
URING = (*SERVE, "--backend", "uring")
IDLE_ROUNDS = 3
QUICK = {"rounds": 2, "seconds": 0.3, "many": 1000}
EXHAUSTION_CONNECTIONS = 1024
# A class of its own for receives: no frame of the mix `game` needs one of its size.
RECEIVE_BYTES = 2048
OTHER_CLASSES = ((64, 8192), (256, 4096), (1024, 4096), (4096, 1024), (16384, 256))
MOST_RECEIVE_BUFFERS = 32768
ROOM_PAYLOAD_BYTES = 1024
ROOM_WINDOW = 4
ROOM_COPY_BYTES = 2048  # the class that a header and a payload fit into
WATCH_SECONDS = 0.2
IDLE_MODES = {
    "uring, receive": (*URING, "--idle-mode", "receive", "--idle-timeout", "0"),
    "uring, poll": (*URING, "--idle-mode", "poll", "--idle-timeout", "0"),
    "epoll": (*SERVE, "--idle-timeout", "0"),
}


def arguments():
    parser = argparse.ArgumentParser(prog="./run bench-uring", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS,
                        help="repeatable; default: all. What the others last came to stays in the files")
    parser.add_argument("--rounds", type=int, help=f"{compare.LEAST_ROUNDS} (the default) or more; --quick: "
                        f"{QUICK['rounds']}")
    parser.add_argument("--seconds", type=float, help=f"of each turn; default: 2; --quick: {QUICK['seconds']}")
    parser.add_argument("--many", type=int, help="members of the room, and idle connections; default: 10,000; "
                        f"--quick: {QUICK['many']:,}")
    parser.add_argument("--rate", type=float, help="frames a second in all, where the rate is fixed; default: half of "
                        "what the slowest did in a closed loop")
    parser.add_argument("--loops", type=int, default=1, help="of each server; default: 1")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns; default: 1")
    parser.add_argument("--build", type=Path, default=compare.ROOT / "build" / "release", help="where the programs are")
    parser.add_argument("--output", type=Path, help="folder of uring.json and uring.txt; default: bench/results, or "
                        "nowhere with --quick")
    parser.add_argument("--quick", action="store_true", help="a short form, to see that it works; proves nothing")
    wanted = parser.parse_args()
    for name, usual in (("rounds", compare.LEAST_ROUNDS), ("seconds", 2), ("many", 10_000)):
        if getattr(wanted, name) is None:
            setattr(wanted, name, QUICK[name] if wanted.quick else usual)
    if wanted.rounds < (1 if wanted.quick else compare.LEAST_ROUNDS):
        parser.error(f"--rounds {wanted.rounds}: {compare.LEAST_ROUNDS} or more")
    if wanted.output is None and not wanted.quick:
        wanted.output = compare.ROOT / "bench" / "results"
    wanted.smoke = wanted.quick  # as compare.py calls it
    return wanted


def say(text):
    print(text, file=sys.stderr)


def program(wanted, command):
    """With the program's path. Failed where it is missing, or does not know its options."""
    why = compare.why_missing(wanted.build, command)
    if why is not None:
        raise Failed(why)
    return (wanted.build / command[0], *command[1:])


def traffic_of(wanted, connections):
    """For compare.run_rounds()."""
    return argparse.Namespace(**vars(wanted), connections=connections, mix="game")


def both_loads(servers, wanted, base, more=None):
    """(rounds of a closed loop, rounds at a fixed rate, result)"""
    closed = compare.run_rounds(servers, wanted, ("--pipeline", 4), more)
    summary = figures.summary(closed, base)
    rate = wanted.rate or figures.common_rate(summary)
    fixed = compare.run_rounds(servers, wanted, ("--rate", f"{rate:g}"), more)
    return closed, fixed, {
        "closed": {"summary": summary, "rounds": closed},
        "rate": {"rate": rate, "summary": figures.summary(fixed, base), "rounds": fixed},
        "facts": {"load": f"{wanted.connections} connections, mix {wanted.mix}, 4 outstanding on each, then "
                          f"{rate:,.0f} frames a second in all", "servers": compare.placement(wanted.loops)},
    }


# --- a: few receive buffers ---

def with_receive_buffers(count):
    classes = (*OTHER_CLASSES, (RECEIVE_BYTES, count))
    ring = min(MOST_RECEIVE_BUFFERS, count)
    return (*URING, "--receive-bytes", str(RECEIVE_BYTES), "--receive-buffers", str(ring),
            *(word for size, buffers in classes for word in ("--class", f"{size}:{buffers}")))


def run_exhaustion(wanted):
    connections = EXHAUSTION_CONNECTIONS
    buffers = {"ample": connections * 4, "1 per 16": connections // 16, "1 per 64": connections // 64}
    program(wanted, URING)
    servers = {name: (wanted.build / "ringpool", *with_receive_buffers(count)[1:]) for name, count in buffers.items()}
    closed, fixed, result = both_loads(
        servers, traffic_of(wanted, connections), "ample",
        lambda server: {"starved_per_frame": promises.starved_per_frame(server.final_statistics())})
    tight = [name for name in buffers if name != "ample"]
    return {**result, "buffers": buffers, "promises": [
        promises.promise("frames a second, 1 per 16 / ample",
                         figures.paired_ratio(closed, "1 per 16", "ample", "frames_per_second"), least=0.95),
        *(promises.promise(f"ENOBUFS a frame, {name}",
                           figures.spread([one[name]["starved_per_frame"] for one in closed]), most=0.5)
          for name in tight),
        promises.promise("p99.9 at the fixed rate, 1 per 64 / ample",
                         figures.paired_ratio(fixed, "1 per 64", "ample", "p99_9_us"), most=2),
    ]}


def render_exhaustion(result):
    return [line for title, key in (("Closed loop", "closed"), ("Fixed rate", "rate"))
            for line in (title, *promises.exhaustion_table(result["buffers"], result[key]["summary"]),
                         *figures.behind(result[key]["summary"]), "")][:-1]


# --- b: CPU time a frame, and tails ---

def run_cpu(wanted):
    servers, _ = compare.choose(wanted.build, list(compare.SERVERS))
    closed, fixed, result = both_loads(servers, traffic_of(wanted, 100), "ringpool-uring")
    return {**result, "promises": [
        *(promises.promise(f"CPU time a frame, ringpool-uring / {other}",
                           figures.paired_ratio(closed, "ringpool-uring", other, "cpu_us_per_frame"), most=most)
          for other, most in (("epoll-malloc", 1), ("asio", 0.95))),
        *(promises.promise(f"p99.9 at the fixed rate, {name} / ringpool-malloc",
                           figures.paired_ratio(fixed, name, "ringpool-malloc", "p99_9_us"), most=1)
          for name in ("ringpool-uring", compare.BASE)),
    ]}


def render_cpu(result):
    return ["Closed loop; ratio: to the CPU time of ringpool-uring", *figures.load_table(result["closed"]["summary"]),
            "", "Fixed rate", *figures.load_table(result["rate"]["summary"]),
            *figures.behind(result["rate"]["summary"])]


# --- c: one sender, many members ---

def watch_room(wanted, server, members, processors):
    """A sample, see promises.py."""
    client = subprocess.Popen(
        [wanted.build / ROOM_CLIENT, "--connect", server.where, "--members", str(members), "--payload-bytes",
         str(ROOM_PAYLOAD_BYTES), "--window", str(ROOM_WINDOW), "--seconds", str(wanted.seconds), "--warm-up",
         str(compare.SMOKE_SECONDS if wanted.quick else compare.WARM_UP_SECONDS)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=pin_to(processors))
    watched, resident = [], 0
    try:
        while client.poll() is None:
            now = (server.statistics(), server.cpu_seconds(), server.stat_times()[0])
            if now[0]["rooms"]["deliveries"] > 0 and now[0]["connections"]["open"] == members:
                watched.append(now)
                resident = max(resident, server.resident_bytes())
            time.sleep(WATCH_SECONDS if watched else WATCH_SECONDS / 10)
    finally:
        client.kill()
        told, complaint = client.communicate()
    if client.returncode != 0:
        raise Failed(f"{ROOM_CLIENT} ended with {client.returncode}:\n{complaint}")
    if len(watched) < 2:
        raise Failed("the room was too short to be watched: more --seconds")
    return promises.broadcast_sample(json.loads(told), watched[0], watched[1:], ROOM_WINDOW, resident)


def run_broadcast(wanted):
    members = min(wanted.many, raise_descriptor_limit() - SPARE_DESCRIPTORS)
    copies = promises.power_of_two(members * (ROOM_WINDOW + 1))
    command = program(wanted, (*URING, "--mode", "room"))
    program(wanted, (ROOM_CLIENT,))
    servers = {"shared": command,
               "copies": (*command, "--room-copies", "--class", "64:8192", "--class", f"{ROOM_COPY_BYTES}:{copies}",
                          "--class", "4096:1024", "--class", "16384:256")}
    own, others = compare.split_processors(wanted.loops)
    rounds = []
    for order in figures.orders(list(servers), wanted.rounds, wanted.seed):
        turns = {}
        for name in order:
            with Server(servers[name], wanted.loops, own) as server:
                turns[name] = watch_room(wanted, server, members, others)
                server.stop()
                drops = server.final_statistics()["rooms"]["drops"]
            if drops != 0:
                raise Failed(f"{name}: {drops} frames were not delivered")
            say(f"broadcast, round {len(rounds) + 1} of {wanted.rounds}: {name} "
                f"{turns[name]['deliveries_per_second']:,.0f} deliveries/s")
        rounds.append({name: turns[name] for name in servers})
    summary = {name: {key: figures.spread([one[name][key] for one in rounds]) for key in rounds[0][name]}
               for name in servers}
    return {
        "facts": {"load": f"{members} members, {ROOM_PAYLOAD_BYTES} bytes a frame, {ROOM_WINDOW} frames under way",
                  "servers": compare.placement(wanted.loops)},
        "summary": summary, "rounds": rounds,
        "promises": [
            promises.promise("deliveries a second, shared / copies",
                             figures.paired_ratio(rounds, "shared", "copies", "deliveries_per_second"), least=3),
            promises.promise("buffers a frame, shared", summary["shared"]["buffers_per_frame"], most=1),
        ]}


def render_broadcast(result):
    return promises.broadcast_table(result["summary"])


# --- d: idle connections ---

def memory_now(server):
    meminfo = figures.kilobytes(Path("/proc/meminfo").read_text("utf-8"))
    try:
        caches = promises.slab_bytes(Path("/proc/slabinfo").read_text("utf-8"))
    except PermissionError:
        caches = {}
    return {"user": server.memory_bytes("Private_Dirty"), "caches": caches,
            "meminfo": sum(meminfo.get(name, 0) for name in promises.KERNEL_MEMORY) * 1024}


def run_idle(wanted):
    count = min(wanted.many, raise_descriptor_limit() - SPARE_DESCRIPTORS)
    servers = {name: program(wanted, command) for name, command in IDLE_MODES.items()}
    settle = compare.SMOKE_SECONDS if wanted.quick else compare.SETTLE_SECONDS
    count_of_rounds = 1 if wanted.quick else IDLE_ROUNDS
    rounds = []
    for order in figures.orders(list(servers), count_of_rounds, wanted.seed):
        turns = {}
        for name in order:
            with Server(servers[name], wanted.loops) as server:
                before, after = look_around_idle(server, count, settle, lambda one=server: memory_now(one))
                server.stop()
            turns[name] = promises.memory_each(before, after, count)
            say(f"{count} idle: {name} {turns[name]['user']:.0f} bytes of user memory each")
        rounds.append({name: turns[name] for name in servers})
    return {"facts": {"load": f"{count} connections, each after one frame; the kernel's bytes are of both ends",
                      "rounds": str(count_of_rounds)},
            "summary": promises.idle_summary(rounds), "rounds": rounds, "promises": []}


def render_idle(result):
    by_cache = promises.cache_table(result["summary"])
    return [*promises.memory_table(result["summary"]), *(["", *by_cache] if by_cache else [])]


# --- e: calls ---

def run_calls(wanted):
    command = (wanted.build / CALLS, "--benchmark_format=json", f"--benchmark_repetitions={wanted.rounds}",
               "--benchmark_enable_random_interleaving=true", f"--benchmark_min_time={wanted.seconds / 10:g}")
    if not command[0].is_file():
        raise Failed(f"{CALLS} is not built: it needs Google Benchmark and liburing")
    say("calls: some minutes" if not wanted.quick else "calls")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"{CALLS} ended with {done.returncode}:\n{done.stderr}")
    rounds, failed = promises.calls_of(json.loads(done.stdout))
    summary = promises.calls_summary(rounds)
    return {"facts": {"load": "8 TCP pairs over loopback, a call on each, submitted together",
                      **{f"no {call}, {size} bytes": why for (call, size), why in failed.items()}},
            "summary": summary,
            "promises": promises.calls_promises(summary, ("send/zero-copy-registered", "receive/multishot"))}


def render_calls(result):
    return promises.calls_table(result["summary"])


# {part: (title, run, render)}
PARTS = {
    "exhaustion": ("Few receive buffers", run_exhaustion, render_exhaustion),
    "cpu": ("CPU time a frame, and tails", run_cpu, render_cpu),
    "broadcast": ("One sender, many members of a room", run_broadcast, render_broadcast),
    "idle": ("Memory of idle connections", run_idle, render_idle),
    "calls": ("Ways to send and to receive", run_calls, render_calls),
}


def measure(wanted, name):
    facts = {**compare.where_and_when("bench-uring"), "rounds": f"{wanted.rounds}, orders from seed {wanted.seed}"}
    found = PARTS[name][1](wanted)
    return {"about": {**facts, **found.pop("facts")}, **found}


def render(results):
    lines = ["us/frame: CPU time of the server; ratios are within rounds; medians of the rounds"]
    for name, (title, _, tables) in PARTS.items():
        if name in results:
            about = results[name]["about"]
            width = max(map(len, about))
            lines += ["", f"# {title} (--part {name})", ""]
            lines += [f"{what:<{width}}  {text}" for what, text in about.items()]
            lines += ["", *tables(results[name])]
            lines += ["", *promises.promise_table(results[name]["promises"])] if results[name]["promises"] else []
    return "\n".join(lines) + "\n"


def read_earlier(path):
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def main():
    wanted = arguments()
    file = wanted.output / "uring.json" if wanted.output else None
    results, failed = {}, []
    for name in wanted.part or PARTS:
        try:
            results[name] = measure(wanted, name)
        except Failed as error:
            failed.append(f"uring.py: {name}: {error}")
    if file is not None and results:
        wanted.output.mkdir(parents=True, exist_ok=True)
        every = {**read_earlier(file), **results}
        file.write_text(json.dumps(every, indent=1) + "\n", "utf-8")
        file.with_suffix(".txt").write_text(render(every), "utf-8")
    print(render(results), end="")
    print(*failed, sep="\n", end="\n" if failed else "", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
