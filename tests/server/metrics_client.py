# SPDX-License-Identifier: MIT
"""What the tests of `serve --metrics` share."""

import os
import socket
import tempfile
import time
import urllib.error
import urllib.request

from frame_client import Server

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPENMETRICS = "application/openmetrics-text"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback alone
FRESHNESS = 0.1  # seconds for which the server answers from one look at itself


def samples(text):
    """{name with labels: value} of an exposition."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


class MeteredServer(Server):
    """A server with --metrics on a free loopback port."""

    def __init__(self, *options, **more):
        self.metrics_folder = tempfile.TemporaryDirectory(prefix="ringpool-test-")
        port_file = os.path.join(self.metrics_folder.name, "port")
        super().__init__("--metrics", "127.0.0.1:0", "--metrics-port-file", port_file, *options, **more)
        with open(port_file) as file:
            self.metrics_address = file.read().strip()

    def __exit__(self, *what):
        super().__exit__(*what)
        self.metrics_folder.cleanup()

    def ask(self, path, method="GET", data=None, **headers):
        """Status, headers and text of an answer."""
        request = urllib.request.Request(f"http://{self.metrics_address}{path}", method=method, data=data,
                                         headers={name.replace("_", "-"): text for name, text in headers.items()})
        try:
            with OPENER.open(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()

    def scrape(self, **headers):
        time.sleep(FRESHNESS)
        return self.ask("/metrics", **headers)[2]

    def metrics_peer(self, timeout=10):
        host, _, port = self.metrics_address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout)
