#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `ringpool serve --record` costs: CPU time per frame with and without, on both backends, in
rounds in which each server has its turn, in random order. Less than 1 % drowns in what other programs
do to a machine, so that a server which records every frame has its turns too: what that costs, divided
by 64, is judged. Beside it the instructions of a frame in the server itself, as callgrind counts them
(epoll alone)."""

import argparse
import json
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import figures
from compare import ROOT, run_rounds, where_and_when
from processes import Failed

MOST_SHARE = 0.01
ONE_IN = 64  # what serve records by default
BACKENDS = ("epoll", "uring")
FRAMES = (20_000, 220_000)  # two counts, so that start and end cancel out
BATCH = b"".join(struct.pack(">i", size) + bytes(size) for size in (64,) * 14 + (128,) * 3 + (256,) * 2 + (512,))
BATCH_FRAMES = 20
START_SECONDS = 30


def arguments():
    parser = argparse.ArgumentParser(prog="bench/servers/record_cost.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="default: 21")
    parser.add_argument("--seconds", type=float, default=1, help="of each turn; default: 1")
    parser.add_argument("--connections", type=int, default=100, help="default: 100")
    parser.add_argument("--pipeline", type=int, default=4, help="frames outstanding on each; default: 4")
    parser.add_argument("--mix", default="game", help="payload sizes, see `ringpool load --help`; default: game")
    parser.add_argument("--loops", type=int, default=1, help="of each server; default: 1")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns; default: 1")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="where ringpool is")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results",
                        help="folder of record_cost.json and record_cost.txt; default: bench/results")
    parser.add_argument("--smoke", action="store_true", help="proves nothing")
    return parser.parse_args()


def exchange_batches(where, count):
    host, _, port = where.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as peer:
        for _ in range(count // BATCH_FRAMES):
            peer.sendall(BATCH)
            if peer.recv(len(BATCH), socket.MSG_WAITALL) != BATCH:
                raise Failed("an echo differs from its frames")


def count_instructions(program, options, frames, folder):
    """Of a whole server that serves so many frames."""
    port_file, counts = Path(folder, "port"), Path(folder, "callgrind")
    port_file.unlink(missing_ok=True)
    with subprocess.Popen(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", program, "serve", "--listen",
             "127.0.0.1:0", "--loops", "1", "--port-file", port_file, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + START_SECONDS
            while not port_file.exists():
                if server.poll() is not None or time.monotonic() > end:
                    raise Failed("ringpool did not start under valgrind")
                time.sleep(0.05)
            exchange_batches(port_file.read_text("utf-8").strip(), frames)
        finally:
            server.send_signal(signal.SIGTERM)
    return int(re.search(r"^(?:summary|totals): (\d+)", counts.read_text("utf-8"), re.MULTILINE)[1])


def instructions_per_frame(program, options, folder):
    few, many = (count_instructions(program, options, frames, folder) for frames in FRAMES)
    return round((many - few) / (FRAMES[1] - FRAMES[0]), 2)


def measure_instructions(wanted, folder):
    program = wanted.build / "ringpool"
    return {"without": instructions_per_frame(program, (), folder),
            "with": instructions_per_frame(program, ("--record", Path(folder, "record")), folder)}


def about():
    command = shlex.join(["python3", "bench/servers/record_cost.py", *sys.argv[1:]])
    return {**where_and_when("record_cost.py"), "command": command}


def measure(wanted, folder):
    servers = {}
    for backend in BACKENDS:
        plain = (wanted.build / "ringpool", "serve", "--backend", backend)
        servers[backend] = plain
        servers[f"{backend} --record"] = (*plain, "--record", str(Path(folder, backend)))
        servers[f"{backend} all"] = (*servers[f"{backend} --record"], "--record-one-in", "1")
    rounds = run_rounds(servers, wanted, ("--pipeline", wanted.pipeline))
    ratios = {backend: {kind: figures.paired_ratio(rounds, f"{backend} {kind}", backend, "cpu_us_per_frame")
                        for kind in ("--record", "all")} for backend in BACKENDS}
    return {"about": about(), "rounds": rounds, "ratios": ratios,
            "instructions": measure_instructions(wanted, folder), "summary": figures.summary(rounds, BACKENDS[0])}


def share_of(ratio):
    """What recording one frame in 64 adds to the CPU time of a frame."""
    return (ratio["all"]["median"] - 1) / ONE_IN


def render(result):
    lines = [f"{name:<10} {text}" for name, text in result["about"].items()]
    lines += ["", *figures.load_table(result["summary"]), ""]
    for backend, ratio in result["ratios"].items():
        one, every = ratio["--record"], ratio["all"]
        lines += [f"{backend}: of the CPU time per frame without, medians of the rounds (least to most)",
                  f"  --record                    {one['median']:.3f} ({one['min']:.3f} to {one['max']:.3f})",
                  f"  --record --record-one-in 1  {every['median']:.3f} ({every['min']:.3f} to {every['max']:.3f})",
                  f"  so one in {ONE_IN} costs          {share_of(ratio):.2%}; at most {MOST_SHARE:.0%}"]
    counts = result["instructions"]
    lines.append(f"epoll: {counts['without']} instructions a frame in the server itself, "
                 f"{counts['with']} with --record")
    return "\n".join(lines) + "\n"


def main():
    wanted = arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="ringpool-bench-") as folder:
            result = measure(wanted, folder)
    except Failed as error:
        print(f"record_cost.py: {error}", file=sys.stderr)
        return 1
    wanted.output.mkdir(parents=True, exist_ok=True)
    (wanted.output / "record_cost.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    text = render(result)
    (wanted.output / "record_cost.txt").write_text(text, "utf-8")
    print(text, end="")
    return 0 if wanted.smoke or all(share_of(one) <= MOST_SHARE for one in result["ratios"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
