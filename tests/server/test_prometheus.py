# SPDX-License-Identifier: MIT
"""A Prometheus that scrapes `serve --metrics` with the rules, the alerts and the dashboard of
deploy/. A Prometheus finds its targets 5 s after its start, whatever it is told: it starts first, and
promtool's tests run meanwhile."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse

import frame_client
from frame_client import exchange, payload_of, until
from metrics_client import OPENER, ROOT, MeteredServer

DEPLOY = os.path.join(ROOT, "deploy")


@unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
class Promtool(unittest.TestCase):
    def run_tool(self, *arguments, text=None):
        run = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=30)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_the_text_format_passes_its_linter(self):
        with MeteredServer() as server:
            self.run_tool("check", "metrics", text=server.scrape())

    def test_rules_and_alerts_do_what_their_tests_say(self):
        folder = os.path.join(DEPLOY, "prometheus")
        self.run_tool("check", "rules", os.path.join(folder, "rules.yml"), os.path.join(folder, "alerts.yml"))
        self.run_tool("test", "rules", os.path.join(folder, "rules_test.yml"))


class Prometheus:
    """A real one on loopback, that scrapes `targets` and evaluates the rules of deploy/."""

    def __init__(self, targets):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpool-test-")
        config = os.path.join(self.folder.name, "prometheus.yml")
        with open(config, "w") as file:
            json.dump({  # which is YAML
                "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
                "rule_files": [os.path.join(DEPLOY, "prometheus", name) for name in ("rules.yml", "alerts.yml")],
                "scrape_configs": [{"job_name": "ringpool", "static_configs": [{"targets": targets}]}],
            }, file)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.log = open(os.path.join(self.folder.name, "log"), "w+")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder.name}/data",
             f"--web.listen-address={self.address}",
             "--scrape.discovery-reload-interval=100ms"],  # hidden; else up to 5 s more
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def query(self, expression):
        """The result; None while it does not answer yet."""
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with OPENER.open(url, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:  # it is starting
                    return None
                raise AssertionError(f"{expression}: {error.read().decode()}") from None
        except OSError:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise AssertionError(f"prometheus ended: {self.log.read()}") from None
            return None


def dashboard_expressions():
    """Of every panel, with the variables set."""
    with open(os.path.join(DEPLOY, "grafana", "ringpool.json")) as file:
        dashboard = json.load(file)
    values = {"$__rate_interval": "1m", "$__range": "1h", "$job": ".*", "$instance": ".*", "$pool": ".*"}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in values.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def setUpModule():
    """Promtool's tests come first, by their name."""
    if shutil.which("prometheus"):
        RealPrometheus.server = unittest.enterModuleContext(MeteredServer())
        RealPrometheus.prometheus = unittest.enterModuleContext(Prometheus([RealPrometheus.server.metrics_address]))


@unittest.skipUnless(shutil.which("prometheus"), "prometheus is not installed")
class RealPrometheus(unittest.TestCase):
    def test_it_scrapes_records_and_draws(self):
        prometheus = self.prometheus
        with self.server.connect() as peer:
            exchange(self, peer, payload_of(1000, 1))
            # This expression has a value once there were two scrapes and an evaluation between.
            recorded = until(lambda: prometheus.query('instance:ringpool_server_frames:rate5m'), 20, "a rule's value")
            self.assertEqual(recorded[0]["metric"]["job"], "ringpool")
            self.assertEqual(prometheus.query("up")[0]["value"][1], "1")
            self.assertEqual(prometheus.query("ringpool_server_frames_total")[0]["value"][1], "1")
            self.assertEqual(
                prometheus.query("count(ringpool_free_buffers + ringpool_cached_buffers + ringpool_held_buffers"
                                 " == ringpool_capacity_buffers)")[0]["value"][1], "5")
            ratios = until(lambda: prometheus.query("class:ringpool_held_buffers:ratio"), 5, "the fleet's ratio")
            self.assertEqual(sorted(int(one["metric"]["class"]) for one in ratios), [64, 256, 1024, 4096, 16384])
            url = f"http://{prometheus.address}/api/v1/targets/metadata"
            with OPENER.open(url, timeout=10) as answer:
                kinds = {one["metric"]: (one["type"], one["unit"]) for one in json.load(answer)["data"]}
            self.assertEqual(kinds["ringpool_wait_seconds"], ("counter", "seconds"))  # so it spoke OpenMetrics
            known = {one["metric"]["__name__"] for one in prometheus.query('{__name__=~".+"}')}
            count = 0
            for title, expression in dashboard_expressions():
                with self.subTest(panel=title, expression=expression):
                    self.assertIsNotNone(prometheus.query(expression))  # it parses
                    for name in re.findall(r"\b(?:ringpool|process)_\w+", expression):
                        self.assertIn(name, known)
                count += 1
            self.assertGreater(count, 20)


if __name__ == "__main__":
    if not shutil.which("promtool") and not shutil.which("prometheus"):
        print("skipped: neither promtool nor prometheus is installed")
        sys.exit(77)
    frame_client.main()
