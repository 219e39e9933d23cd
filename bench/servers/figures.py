# SPDX-License-Identifier: MIT
"""The arithmetic and the tables of servers compared: nothing here runs a process or reads a file."""

import random
from statistics import median

LATENCIES = ("p50", "p99", "p99_9")


def ticks(stat):
    """(utime, stime) of the text of /proc/PID/stat, in clock ticks. The name of the program, in
    parentheses, may contain anything."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def kilobytes(text):
    """{name: kB} of the lines `name: N kB` of a text such as /proc/meminfo."""
    lines = (line.partition(":") for line in text.splitlines() if line.endswith(" kB"))
    return {name: int(rest.split()[0]) for name, _, rest in lines}


def orders(servers, rounds, seed):
    """Each round's order of the servers: shuffled, the same for the same seed."""
    source = random.Random(seed)
    return [source.sample(servers, len(servers)) for _ in range(rounds)]


def sample(report, cpu_seconds, stat_seconds):
    """One turn of one server. CPU time is that of the whole load, so the frames are all that came
    back, those of the warm-up included; rate and latency are of the time that was measured. CPU time
    by its clock and as /proc/PID/stat has it: the latter is coarse, and left out of the tables."""
    return {
        "cpu_us_per_frame": cpu_seconds * 1e6 / report["frames"]["echoed"],
        "stat_us_per_frame": stat_seconds * 1e6 / report["frames"]["echoed"],
        "frames_per_second": report["frames"]["per_second"],
        "unsent": report["unsent"],
        **{f"{name}_us": report["latency_ns"][name] / 1e3 for name in LATENCIES},
    }


def spread(values):
    return {"median": median(values), "min": min(values), "max": max(values)}


def paired_ratio(rounds, server, base, key):
    """The spread of the ratios within each round."""
    return spread([one[server][key] / one[base][key] for one in rounds])


def summary(rounds, base):
    """{server: figures} of rounds, each {server: sample}. `ratio_to_base` is that of CPU time per
    frame: above 1, a server takes more than `base`."""
    result = {}
    for server in rounds[0]:
        samples = [one[server] for one in rounds]
        figures = {name: spread([one[name] for one in samples]) for name in samples[0]}
        if base in rounds[0]:
            figures["ratio_to_base"] = paired_ratio(rounds, server, base, "cpu_us_per_frame")
        result[server] = figures
    return result


def common_rate(figures):
    """Half of what the slowest server did in a closed loop, to two digits: none is behind at it."""
    return float(f"{min(one['frames_per_second']['median'] for one in figures.values()) / 2:.1e}")


def bytes_each(before, after, count):
    return (after - before) / count


def plain(value):
    """Three digits: 0.123, 12.3, 123, 12,345."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, rows):
    """Lines of columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return [" ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
            .rstrip() for row in (head, *rows)]


def load_table(figures):
    head = ("", "us/frame", "min", "max", "ratio", "min", "max", "frames/s", "p50 us", "p99 us", "p99.9 us")
    rows = []
    for server, one in figures.items():
        cpu, ratio = one["cpu_us_per_frame"], one.get("ratio_to_base")
        rows.append((
            server, *(plain(cpu[name]) for name in ("median", "min", "max")),
            *(f"{ratio[name]:.3f}" if ratio else "-" for name in ("median", "min", "max")),
            plain(one["frames_per_second"]["median"]),
            *(plain(one[f"{name}_us"]["median"]) for name in LATENCIES)))
    return table(head, rows)


def behind(figures):
    """A line for each server whose latencies are those of a backlog."""
    return [f"{server} fell behind: frames were due and not sent"
            for server, one in figures.items() if one["unsent"]["max"] > 0]


def idle_table(figures):
    head = ("", "bytes each", "MB before", "MB with them")
    return table(head, [(server, plain(one["bytes_each"]), plain(one["before_bytes"] / 1e6),
                         plain(one["after_bytes"] / 1e6)) for server, one in figures.items()])
