# SPDX-License-Identifier: MIT
"""`ringpool top`: in a terminal, into a pipe, and when there is no server, or another one."""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import unittest

import frame_client
from metrics_client import MeteredServer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "page"))
from page_server import PageServer, bare, exhausted, well  # noqa: E402

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


class Screen:
    """As much of a terminal as `top` uses: where text goes, what is erased, which screen is shown."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines = [""] * rows
        self.row = self.column = 0
        self.alternate = False
        self.cursor = True
        self.odd = []  # what it does not know

    def feed(self, text):
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b", text):
            self.take(part)

    def take(self, part):
        if part == "\r":
            self.column = 0
        elif part == "\n":
            self.row += 1
            if self.row == self.rows:
                self.odd.append("scrolled")
                self.row -= 1
        elif not part.startswith("\x1b"):
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + part + line[self.column + len(part):]
            self.column += len(part)
            if self.column > self.columns:
                self.odd.append(f"too wide: {part}")
        elif part in ("\x1b[?1049h", "\x1b[?1049l"):
            self.alternate = part.endswith("h")
        elif part in ("\x1b[?25h", "\x1b[?25l"):
            self.cursor = part.endswith("h")
        elif part == "\x1b[H":
            self.row = self.column = 0
        elif part in ("\x1b[K", "\x1b[J", "\x1b[2J"):
            self.lines[self.row] = "" if part == "\x1b[2J" else self.lines[self.row][:self.column]
            for row in range(self.row + 1, self.rows) if part != "\x1b[K" else ():
                self.lines[row] = ""
        elif not re.fullmatch(r"\x1b\[([0-9;]*m|\?7[hl])", part):
            self.odd.append(repr(part))

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


class Terminal:
    """`top` in a pseudo-terminal."""

    def __init__(self, *arguments, columns=120, rows=30, **environment):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [frame_client.BINARY, "top", *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave
        self.raw = b""

    def resize(self, columns, rows):
        self.screen = Screen(columns, rows)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.03):
        """What comes in that time."""
        end = time.monotonic() + seconds
        while select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            self.raw += data
            self.screen.feed(data.decode("utf-8", "replace"))

    def wait_for(self, text, seconds=5):
        def shown():
            self.read()
            return text in self.screen.text()
        frame_client.until(shown, seconds, f"{text!r} is shown")

    def ended(self, seconds=5):
        """Its exit code; the terminal must be as it was."""
        def over():
            self.read()
            return self.process.poll() is not None
        frame_client.until(over, seconds, "it ends")
        self.read()
        return self.process.returncode

    def is_restored(self, test):
        test.assertFalse(self.screen.alternate)
        test.assertTrue(self.screen.cursor)
        test.assertEqual(self.raw.count(ENTER), self.raw.count(LEAVE))
        test.assertEqual(termios.tcgetattr(self.slave), self.before)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)


def run(*arguments, **environment):
    return subprocess.run([frame_client.BINARY, "top", *arguments], capture_output=True, text=True, timeout=15,
                          stdin=subprocess.DEVNULL, env={**os.environ, **environment}, check=False)


class Top(unittest.TestCase):
    def serve(self, state=well):
        server = PageServer(b"", state)
        self.addCleanup(server.stop)
        return server

    # --- in a terminal ---

    def test_it_shows_a_server_and_leaves_the_terminal_as_it_was(self):
        server = self.serve(exhausted)
        for end in ("q", signal.SIGINT, signal.SIGTERM):
            with self.subTest(end=end), Terminal(server.address, "--interval", "0.1") as terminal:
                terminal.wait_for("class 1024 is exhausted: 120 refusals/s")
                self.assertTrue(terminal.screen.alternate)
                self.assertFalse(terminal.screen.cursor)
                terminal.wait_for("k/s")
                if end == "q":
                    os.write(terminal.master, b"q")
                else:
                    terminal.process.send_signal(end)
                self.assertEqual(terminal.ended(), 0)
                terminal.is_restored(self)
                self.assertEqual(terminal.screen.odd, [])

    def test_it_follows_the_size_of_the_terminal(self):
        with Terminal(self.serve().address, "--interval", "0.1") as terminal:
            terminal.wait_for("waiting")
            for columns, rows in ((40, 10), (200, 50), (20, 3), (1, 1), (100, 24)):
                terminal.resize(columns, rows)
                terminal.process.send_signal(signal.SIGWINCH)
                terminal.wait_for("ringpool top"[:columns])
                terminal.screen.odd.clear()  # what was under way was of the old size
                terminal.read(0.12)
                self.assertEqual(terminal.screen.odd, [], (columns, rows))
            terminal.wait_for("16384 B")

    def test_it_tells_of_a_server_that_goes_comes_back_and_starts_anew(self):
        server = self.serve()
        with Terminal(server.address, "--interval", "0.1") as terminal:
            terminal.wait_for("OK    all well")
            server.stop()
            terminal.wait_for(f"GONE  no statistics from {server.address}: nothing listens there")
            terminal.wait_for("what follows is of")
            self.assertIn("16384 B", terminal.screen.text())
            server.restart_counters()
            server.start()
            terminal.wait_for("OK    all well")
            terminal.wait_for("the server restarted at")

    def test_it_can_be_suspended_and_go_on(self):
        with Terminal(self.serve().address, "--interval", "0.1") as terminal:
            terminal.wait_for("all well")
            os.kill(terminal.process.pid, signal.SIGTSTP)
            stopped = os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED)
            self.assertEqual(stopped.si_status, signal.SIGSTOP)
            terminal.read()
            terminal.is_restored(self)
            terminal.process.send_signal(signal.SIGCONT)
            frame_client.until(lambda: terminal.read() or terminal.screen.alternate, 5, "it draws again")

    def test_colours_are_for_terminals_that_want_them(self):
        server = self.serve(exhausted)
        for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            with Terminal(server.address, "--interval", "0.1", **environment) as terminal:
                terminal.wait_for("BAD   class 1024")
                self.assertEqual(b"\x1b[1;31m" in terminal.raw, coloured)

    # --- into a pipe ---

    def test_without_a_terminal_it_is_plain(self):
        server = self.serve(exhausted)
        for options in ((), ("--plain",)):
            done = run(server.address, "--once", "--interval", "0.1", *options)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertNotIn("\x1b", done.stdout)
            lines = done.stdout.splitlines()
            self.assertEqual(lines[1:4], [
                "BAD   class 1024 is exhausted: 120 refusals/s", "      class 1024: 7 wait for a buffer",
                "      class 4096 is full: 700 allocations/s from elastic memory or upstream"])
            row = next(line for line in lines if line.startswith("  1024 B"))
            self.assertRegex(row, r"\[#+\] +2,048 +2,048 +0 +2,048 +\S+ k +\S+ k +0 +1[12]\d +0 +7$")

    def test_plain_in_a_terminal_has_no_escape_sequences(self):
        with Terminal(self.serve().address, "--plain", "--once", "--interval", "0.1") as terminal:
            self.assertEqual(terminal.ended(), 0)
            self.assertIn(b"all well", terminal.raw)
            self.assertNotIn(b"\x1b", terminal.raw)

    def test_it_goes_on_picture_after_picture(self):
        process = subprocess.Popen([frame_client.BINARY, "top", self.serve().address, "--interval", "0.1"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        with process:
            seen = 0
            while seen < 3:
                seen += process.stdout.readline().startswith("ringpool top")
            process.terminate()
        self.assertEqual(process.returncode, -signal.SIGTERM)

    def test_what_a_server_does_not_say_is_a_dash_and_the_verdict_its_own(self):
        done = run(self.serve(bare).address, "--once", "--interval", "0.1")
        self.assertIn("OK    all well", done.stdout)
        self.assertIn("- median, - 99 %, - 99.9 %\n", done.stdout)

        def refusing(seconds):
            stats = bare(seconds)
            stats["classes"][0]["refusal_count"] = int(1000 * seconds)
            return stats
        done = run(self.serve(refusing).address, "--once", "--interval", "0.1")
        self.assertRegex(done.stdout, r"BAD   class 64 had no buffer: (9\d\d|1\.\d\d k) refusals/s")

    # --- what goes wrong ---

    def test_an_address_that_is_none_is_told_with_what_is_accepted(self):
        for address, why in (("localhost", "the port is missing"), ("127.0.0.1:http", "is not a number"),
                             ("127.0.0.1:0", "1 to 65535"), (":9000", "the address is missing")):
            done = run(address, "--once")
            self.assertEqual(done.returncode, 2)
            self.assertIn(why, done.stderr)
            self.assertIn("accepted: ADDR:PORT", done.stderr)
        self.assertEqual(run().returncode, 2)
        self.assertEqual(run("127.0.0.1:1", "--interval", "0").returncode, 2)

    def test_no_server_and_others_than_ringpool_are_told_apart(self):
        self.assert_fails("127.0.0.1:1", "nothing listens there")
        server = self.serve()
        for said, why in ((b"hello", "not a JSON object"), (b"{}", "key 'buffers' not found")):
            server.state = lambda _, said=said: said
            self.assert_fails(server.address, why)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
            self.assert_fails("127.0.0.1:%d" % listener.getsockname()[1], "no HTTP answer")

    def assert_fails(self, address, why):
        done = run(address, "--once", "--interval", "0.1")
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn(f"ringpool: no statistics from {address}: ", done.stderr)
        self.assertIn(why, done.stderr)

    def test_the_port_of_frames_is_told_from_that_of_metrics(self):
        with frame_client.Server() as server:
            self.assert_fails("%s:%d" % server.address, "not that of --listen")

    def test_an_endless_answer_is_cut_off(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def pour():
                peer, _ = listener.accept()
                with peer:
                    try:
                        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                        while True:
                            peer.sendall(b" " * 65536)
                    except OSError:
                        pass
            threading.Thread(target=pour, daemon=True).start()
            self.assert_fails("127.0.0.1:%d" % listener.getsockname()[1], "too long or too slow")

    # --- with a real server ---

    def test_a_real_server(self):
        with MeteredServer() as server, server.connect() as peer:
            for i in range(100):
                frame_client.exchange(self, peer, frame_client.payload_of(50, i))
            done = run(server.metrics_address, "--once", "--interval", "0.1")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("OK    all well", done.stdout)
            self.assertIn("1 open, 1 idle", done.stdout)
            self.assertIn("16384 B", done.stdout)


if __name__ == "__main__":
    frame_client.main()
