# SPDX-License-Identifier: MIT
"""The arithmetic and the tables of uring.py: nothing here runs a process or reads a file."""

from collections import Counter
from statistics import median

import figures

KERNEL_MEMORY = ("Slab", "KernelStack", "PageTables")  # of /proc/meminfo
PAGE_BYTES = 4096
SHOWN_CACHES = 8
LEAST_SHOWN_BYTES = 8  # a connection


def promise(what, found, least=None, most=None):
    """A figure, as figures.spread() has it, beside what it has to be: its median counts."""
    kept = found["median"] >= least if most is None else found["median"] <= most
    return {"what": what, **found, "target": f">= {least:.2f}" if most is None else f"<= {most:.2f}", "kept": kept}


def promise_table(promises):
    return figures.table(("", "median", "min", "max", "target", ""), [
        (one["what"], *(f"{one[name]:.3f}" for name in ("median", "min", "max")), one["target"],
         "pass" if one["kept"] else "short") for one in promises])


def power_of_two(count):
    """The smallest that is not below it."""
    return 1 << max(0, count - 1).bit_length()


# --- exhaustion ---

def starved_per_frame(statistics):
    return statistics["connections"]["starved"] / statistics["frames"]


def exhaustion_table(buffers, summary):
    head = ("", "buffers", "frames/s", "us/frame", "ENOBUFS/frame", "p50 us", "p99 us", "p99.9 us")
    return figures.table(head, [
        (name, f"{buffers[name]:,}", *(figures.plain(one[key]["median"]) for key in (
            "frames_per_second", "cpu_us_per_frame", "starved_per_frame", "p50_us", "p99_us", "p99_9_us")))
        for name, one in summary.items()])


# --- broadcast ---

def broadcast_sample(client, before, watched, window, resident_bytes):
    """One turn. `watched`: (statistics, CPU seconds, those in user mode) while it ran; `before`: at its
    start. Buffers in use are the most that were seen."""
    (first, first_cpu, first_user), (last, last_cpu, last_user) = before, watched[-1]
    deliveries = last["rooms"]["deliveries"] - first["rooms"]["deliveries"]
    held = max(statistics["buffers_in_use"] for statistics, *_ in watched)
    return {
        "deliveries_per_second": client["deliveries_per_second"],
        "cpu_us_per_delivery": (last_cpu - first_cpu) * 1e6 / deliveries,
        "user_us_per_delivery": (last_user - first_user) * 1e6 / deliveries,
        "buffers_in_use": held,
        "buffers_per_frame": held / window,
        "with_kernel_buffers": max(sum(one["in_use"] for one in statistics["classes"]) for statistics, *_ in watched),
        "resident_bytes": resident_bytes,
    }


def broadcast_table(summary):
    head = ("", "deliveries/s", "min", "max", "us/delivery", "in user mode", "buffers in use",
            "and the kernel's", "resident MB")
    return figures.table(head, [
        (name, *(figures.plain(one["deliveries_per_second"][key]) for key in ("median", "min", "max")),
         *(figures.plain(one[key]["median"]) for key in ("cpu_us_per_delivery", "user_us_per_delivery")),
         *(f"{one[key]['median']:,.0f}" for key in ("buffers_in_use", "with_kernel_buffers")),
         figures.plain(one["resident_bytes"]["median"] / 1e6)) for name, one in summary.items()])


# --- memory of idle connections ---

def slab_bytes(slabinfo):
    """{cache: bytes of its objects in use} of the text of /proc/slabinfo, slabinfo(5); an object's
    share of its slab's pages, so what lies between objects too."""
    found = {}
    for line in slabinfo.splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[1].isdigit():
            active, per_slab, pages = int(fields[1]), int(fields[4]), int(fields[5])
            found[fields[0]] = active * pages * PAGE_BYTES / per_slab
    return found


def memory_each(before, after, count):
    """What each of `count` connections takes: of looks with user, meminfo and caches in bytes."""
    grown = {name: figures.bytes_each(before["caches"].get(name, 0), bytes_now, count)
             for name, bytes_now in after["caches"].items()}
    return {
        "user": figures.bytes_each(before["user"], after["user"], count),
        "meminfo": figures.bytes_each(before["meminfo"], after["meminfo"], count),
        "slab": sum(grown.values()) if grown else None,
        "caches": grown,
    }


def idle_summary(rounds):
    """{mode: medians} of rounds, each {mode: memory_each()}."""
    result = {}
    for mode in rounds[0]:
        samples = [one[mode] for one in rounds]
        names = set().union(*(one["caches"] for one in samples))
        result[mode] = {
            **{key: None if samples[0][key] is None else figures.spread([one[key] for one in samples])
               for key in ("user", "meminfo", "slab")},
            "caches": {name: median(one["caches"].get(name, 0) for one in samples) for name in names},
        }
    return result


def signed(value):
    return f"{value:,.0f}"


def memory_table(summary):
    head = ("bytes a connection", "user", "min", "max", "kernel: meminfo", "min", "max", "slabinfo", "min", "max")
    return figures.table(head, [
        (mode, *(signed(one[key][name]) if one[key] else "-" for key in ("user", "meminfo", "slab")
                 for name in ("median", "min", "max"))) for mode, one in summary.items()])


def cache_table(summary):
    """The kernel's caches that grow most, whatever the mode; empty where they cannot be read."""
    most = Counter()
    for one in summary.values():
        for name, value in one["caches"].items():
            most[name] = max(most[name], value)
    names = [name for name, value in most.most_common(SHOWN_CACHES) if value >= LEAST_SHOWN_BYTES]
    if not names:
        return []
    return figures.table(("bytes a connection, by cache", *summary), [
        (name, *(signed(one["caches"].get(name, 0)) for one in summary.values())) for name in names])


# --- ways to send and receive ---

def calls_of(report):
    """([{(call, bytes): sample}] by repetition, {(call, bytes): why it failed}) of a report of Google Benchmark."""
    rounds, failed = {}, {}
    for one in report["benchmarks"]:
        if one["run_type"] != "iteration":
            continue
        call, size = one["name"].removesuffix("/real_time").rsplit("/", 1)
        if one.get("error_occurred"):
            failed[call, int(size)] = one["error_message"]
        else:
            rounds.setdefault(one["repetition_index"], {})[call, int(size)] = {
                "ns": 1e9 / one["items_per_second"], "copied": one.get("copied", 0)}
    whole = [one for _, one in sorted(rounds.items())]
    return [{key: value for key, value in one.items() if key not in failed} for one in whole], failed


def calls_summary(rounds):
    """[{call, bytes, ns, ratio, copied}]; the ratio is to the plain call, within each repetition."""
    result = []
    for call, size in sorted(rounds[0], key=lambda key: (key[0].split("/")[0], key[1], len(key[0]), key[0])):
        plain = (call.split("/")[0] + "/plain", size)
        result.append({"call": call, "bytes": size,
                       "ns": figures.spread([one[call, size]["ns"] for one in rounds]),
                       "ratio": figures.paired_ratio(rounds, (call, size), plain, "ns") if plain in rounds[0] else None,
                       "copied": median(one[call, size]["copied"] for one in rounds)})
    return result


def calls_promises(summary, calls):
    return [promise(f"{one['call']} / plain, {one['bytes']:,} bytes", one["ratio"], most=1)
            for one in summary if one["call"] in calls and one["ratio"]]


def calls_table(summary):
    head = ("", "bytes", "ns/call", "min", "max", "ratio", "min", "max", "copied")
    return figures.table(head, [
        (one["call"], f"{one['bytes']:,}", *(figures.plain(one["ns"][name]) for name in ("median", "min", "max")),
         *(f"{one['ratio'][name]:.3f}" if one["ratio"] else "-" for name in ("median", "min", "max")),
         f"{one['copied']:.0%}" if "zero-copy" in one["call"] else "") for one in summary])
