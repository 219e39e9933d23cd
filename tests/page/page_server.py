# SPDX-License-Identifier: MIT
"""An HTTP server with the page and made-up statistics, for tests of what reads them."""

import http.server
import json
import math
import threading
import time

CLASSES = ((64, 8192), (256, 4096), (1024, 2048), (4096, 1024), (16384, 256))
REASONS = ("peer", "reset", "protocol", "idle_timeout", "frame_timeout", "send_timeout", "drained", "slow",
           "drain_timeout", "shed")


def size_class(size, ring, seconds, *, held, rate, cached=130, **further):
    """A class after `seconds` of `rate` allocations a second."""
    given = int(rate * seconds) + held
    return {"buffer_size": size, "ring_size": ring, "alloc_count": given, "free_count": given - held,
            "fallback_count": 0, "in_use": held, "cached": min(cached, ring - held), "available": ring - held,
            "peak_in_use": min(ring, held * 3 // 2 + 130), "elastic_capacity": 0, "elastic_in_use": 0,
            "upstream_alloc_count": 0, "upstream_in_use_bytes": 0, "oversize_count": 0,
            "raid_count": int(rate * seconds / 50000), "refusal_count": 0, "misuse_count": 0, "waiting": 0,
            "wait_count": 0, "wait_timeout_count": 0, "wait_total_ns": 0, "injected_count": 0, "spill_count": 0,
            **further}


def well(seconds):
    """A server that does fine: frames come in waves."""
    wave = 1 + 0.3 * math.sin(seconds / 9)
    done = seconds - 2.7 * math.cos(seconds / 9)  # the wave's integral
    classes = [size_class(size, ring, done, held=int(share * ring * wave), rate=rate)
               for (size, ring), share, rate in zip(CLASSES, (0.31, 0.42, 0.2, 0.11, 0.02),
                                                    (161_000, 53_000, 14_000, 2_400, 90))]
    frames = sum(one["free_count"] for one in classes)
    return {
        "version": "1.2.3", "time_ms": 1_790_000_000_000 + int(seconds * 1000), "uptime_s": seconds,
        "status": {"level": "ok", "text": "all well", "findings": []},
        "buffers": "pool", "backend": "epoll", "loops": 4, "rings": 0,
        "rooms": {"count": 0, "deliveries": 0, "drops": 0},
        "frames": frames, "bytes": frames * 167,
        "connections": {"open": 2000 + int(200 * wave), "idle": 1910, "accepted": 2200 + int(seconds * 12),
                        "closed": int(seconds * 12),
                        "closed_by": {**dict.fromkeys(REASONS, 0), "peer": int(seconds * 11),
                                      "reset": int(seconds)},
                        "turned_away": 0, "refused": 0, "slowed": 3, "starved": 0},
        "protocol_errors": {"zero_length": 0, "negative_length": 0, "too_long": 0, "truncated": 2},
        "classes": classes, "buffers_in_use": sum(one["in_use"] for one in classes), "kernel_buffers": 0,
        "receive_bytes": 0, "heap_allocations_on_data_path": 0, "heap_allocations_counted": True,
        "table_bytes": 59_400, "resident_bytes": 43_200_000 + int(900_000 * wave), "private_dirty_bytes": 39_000_000,
        "bytes_per_connection": 27.0,
        "service_time_us": {"p50": 6.1, "p99": 31 + 9 * wave, "p999": 118, "max": 2310},
        "size_histogram": [{"le": size, "count": int(share * frames)} for (size, _), share in
                           zip(CLASSES, (0.699, 0.23, 0.0606, 0.0104, 0))],
    }


def exhausted(seconds):
    """Class 1024 has nothing left; 4096 lives on elastic buffers."""
    stats = well(seconds)
    stats["classes"][2] = size_class(1024, 2048, seconds, held=2048, rate=9000, cached=0, peak_in_use=2048,
                                     refusal_count=int(120 * seconds), fallback_count=0, waiting=7,
                                     wait_count=400, wait_total_ns=10**9)
    stats["classes"][3] = size_class(4096, 1024, seconds, held=1024, rate=2400, cached=0, peak_in_use=1024,
                                     elastic_capacity=512, elastic_in_use=301, fallback_count=int(700 * seconds),
                                     upstream_in_use_bytes=6_400_000)
    stats["connections"]["starved"] = int(120 * seconds)
    found = [("bad", "class 1024 is exhausted: 120 refusals/s", 1024),
             ("warn", "class 1024: 7 wait for a buffer", 1024),
             ("warn", "class 4096 is full: 700 allocations/s from elastic memory or upstream", 4096)]
    stats["status"] = {"level": "bad", "text": found[0][1],
                       "findings": [{"level": level, "text": text, "class": size} for level, text, size in found]}
    return stats


def bare(seconds):
    """What a server says that knows none of the optional figures."""
    stats = well(seconds)
    for name in ("version", "time_ms", "uptime_s", "status", "service_time_us", "size_histogram"):
        del stats[name]
    for one in stats["classes"]:
        for name in ("waiting", "wait_count", "wait_timeout_count", "wait_total_ns", "injected_count", "spill_count"):
            del one[name]
    return stats


def on_malloc(seconds):
    return {**well(seconds), "buffers": "malloc", "classes": [], "size_histogram": None,
            "status": {"level": "ok", "text": "all well: buffers come from malloc", "findings": []}}


class PageServer:
    """`state`: a function of seconds to what /stats.json says; it may be changed at any time. One
    that returns bytes is answered as it is."""

    def __init__(self, html, state=well, speed=1.0):
        self.html, self.state, self.speed = html, state, speed
        self.start_seconds = 3723.0
        self.begin = time.monotonic()
        self.paths = []
        self.port = 0
        self.start()

    def start(self):
        """On the port it had before, if it had one."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.paths.append(self.path)
                if self.path == "/":
                    self.answer("text/html; charset=utf-8", outer.html)
                elif self.path == "/stats.json":
                    said = outer.state(outer.seconds())
                    self.answer("application/json", said if isinstance(said, bytes) else json.dumps(said).encode())
                else:
                    self.send_error(404)

            def answer(self, kind, body):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def seconds(self):
        return self.start_seconds + (time.monotonic() - self.begin) * self.speed

    def restart_counters(self):
        """As a server does that was started anew."""
        self.start_seconds, self.begin = 0.0, time.monotonic()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
