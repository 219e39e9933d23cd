# SPDX-License-Identifier: MIT
"""The live page in a headless Chromium: what it says, in every state of a server, and how it looks.

usage: test_page.py PATH-OF-RINGPOOL PATH-OF-THE-PAGE [--pictures FOLDER]
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import browser
import page_server
from page_server import PageServer, bare, exhausted, on_malloc, well

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "server"))
import frame_client  # noqa: E402

BINARY = PAGE = PICTURES = None
WIDTHS = (320, 360, 480, 481, 768, 1024, 1216, 1217, 1280, 1920, 2560)

# [text, contrast] of each element with a text of its own, by the WCAG's formula; what is hidden is left out.
CONTRASTS = """(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = channels(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (!own.length || !element.checkVisibility()) continue;
    const a = luminance(channels(getComputedStyle(element).color).slice(0, 3)), b = luminance(behind(element));
    found.push([own[0].data.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
})()"""


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.browser.resize(1440)
        self.browser.colours("light")
        self.browser.driver.get("about:blank")
        self.browser.console()
        self.browser.driver.get_log("performance")

    def open(self, state=well, answers=3):
        """A server in that state, and the page after some answers."""
        server = PageServer(PAGE, state)
        self.addCleanup(server.stop)
        self.addCleanup(self.browser.driver.get, "about:blank")
        self.browser.open(server.address)
        self.until(lambda: self.asked(server) >= answers, f"{answers} answers")
        time.sleep(0.1)
        return server

    @staticmethod
    def asked(server):
        return server.paths.count("/stats.json")

    def until(self, condition, what, seconds=10):
        return frame_client.until(condition, seconds, what)

    def text(self, selector):
        return self.browser.text(selector).replace("\u00a0", " ")

    def level(self):
        return self.browser.run("document.getElementById('main').dataset.level")

    def cells(self, row):
        """{heading: text} of a class."""
        heads = self.browser.run("[...document.querySelectorAll('#heads th')].map((one) => one.textContent)")
        texts = self.browser.run("[...document.querySelectorAll('#rows tr')[arguments[0]].cells]"
                                 ".map((one) => one.innerText)", row)
        return dict(zip(heads, (one.replace("\u00a0", " ").strip() for one in texts)))

    def number(self, text):
        value, _, unit = text.replace(",", "").partition(" ")
        return float(value) * {"": 1, "k": 1e3, "M": 1e6}[unit]

    # --- what it says ---

    def test_a_server_that_is_well(self):
        server = self.open()
        self.assertEqual((self.level(), self.text("#verdict")), ("ok", "all well"))
        self.assertIn("version 1.2.3 · epoll, 4 loops · buffers from the pool · up 1:02:0", self.text("#about"))
        self.assertIn(server.address, self.text("#about"))
        self.assertRegex(self.text("#tiles"), r"Frames\n\d+ k/s\n")
        self.assertRegex(self.text("#tiles"), r"Payload\n[\d.]+ MiB/s\n")
        self.assertRegex(self.text("#tiles"), r"Connections open\n2,\d\d\d\nup to 2,\d\d\d in 3 minutes\n"
                                              r"1,910 idle, 1[12](\.\d)? /s")
        self.assertRegex(self.text("#tiles"), r"median 6\.10 µs, 99\.9 % 118 µs, max 2\.31 ms")
        self.assertRegex(self.text("#tiles"), r"27 B a connection, 0 B from upstream")
        first = self.cells(0)
        self.assertEqual(first["Class"], "64 B")
        self.assertEqual((first["Refusals, /s"], first["Waiting"]), ("0", "0"))
        self.assertAlmostEqual(self.number(first["Allocs, /s"]), 161_000, delta=60_000)
        self.assertRegex(self.text("#sizes"), r"64 B\s+[\d,]+\s+69\.9 %")
        self.assertRegex(self.text("#closed"), r"peer\s+[\d,]+\s+1[01]")
        self.assertIn("all well", self.browser.driver.title)
        self.assertEqual(self.browser.console(), [])

    def test_an_exhausted_class_jumps_out(self):
        self.open(exhausted)
        self.assertEqual((self.level(), self.text("#verdict")), ("bad", "class 1024 is exhausted: 120 refusals/s"))
        self.assertEqual(self.text("#findings").splitlines(), [
            "class 1024: 7 wait for a buffer", "class 4096 is full: 700 allocations/s from elastic memory or upstream"])
        self.assertAlmostEqual(self.number(self.cells(2)["Refusals, /s"]), 120, delta=5)
        self.assertAlmostEqual(self.number(self.cells(3)["Fallbacks, /s"]), 700, delta=10)
        self.assertEqual(self.cells(2)["Waiting"], "7")
        levels = self.browser.run("[...document.querySelectorAll('#rows tr')].map((one) => one.dataset.level)")
        self.assertEqual(levels, ["ok", "ok", "bad", "warn", "ok"])
        self.assertIn("2,048 held, 0 cached, 0 free of 2,048; peak 2,048", self.bar(2))
        self.assertIn("301 of 512 elastic", self.bar(3))
        self.assertEqual(self.browser.console(), [])

    def bar(self, row):
        return self.browser.run("document.querySelectorAll('#rows .bar')[arguments[0]].getAttribute('aria-label')", row)

    def test_what_a_server_does_not_say_is_a_dash(self):
        self.open(bare)
        self.assertEqual((self.level(), self.text("#verdict")), ("none", "this server sends no verdict"))
        self.assertIn("Service time, 99th percentile\n–\n–\nmedian –, 99.9 % –\n", self.text("#tiles"))
        self.assertEqual(self.cells(0)["Waiting"], "–")
        self.assertEqual(self.text("#sizes").split(), ["–", "–", "–"])
        self.assertNotRegex(self.text("body"), "NaN|undefined|null|Infinity")
        self.assertEqual(self.browser.console(), [])

    def test_a_server_without_a_pool(self):
        self.open(on_malloc)
        self.assertEqual(self.text("#verdict"), "all well: buffers come from malloc")
        self.assertIn("No pool", self.text("#no-classes"))
        self.assertFalse(self.browser.run("document.getElementById('classes').checkVisibility()"))
        self.assertEqual(self.browser.console(), [])

    def test_tails_come_out_of_a_histogram_where_a_server_has_one(self):
        def with_histogram(seconds):
            stats = well(seconds)
            del stats["service_time_us"]
            stats["service_time"] = {"total_ns": 0, "upper_ns": [1024, 2048, 4096],
                                     "counts": [0, int(seconds * 500), 0, 0]}
            return stats
        self.open(with_histogram)
        self.assertIn("Service time, 99th percentile\n2.04 µs\n", self.text("#tiles"))
        self.assertIn("median 1.54 µs, 99.9 % 2.05 µs\n", self.text("#tiles"))

    def test_a_server_that_goes_and_comes_back(self):
        server = self.open()
        server.stop()
        self.until(lambda: self.level() == "gone", "the page says that it is gone")
        self.assertRegex(self.text("#verdict"), r"^no answer from the server; what is below is of \d\d:\d\d:\d\d$")
        self.assertIn("no answer", self.browser.driver.title)
        server.start()
        self.until(lambda: self.level() == "ok", "the page says that it is back")
        self.assertEqual(self.text("#verdict"), "all well")

    def test_a_server_started_anew_has_no_rates_of_before(self):
        server = self.open()
        server.restart_counters()
        self.until(lambda: "The server restarted at" in self.text("#notice"), "the page tells of it")
        self.until(lambda: "up 0:00:0" in self.text("#about"), "the new server")
        self.assertNotIn("-", self.text("#rows"))
        self.assertEqual(self.level(), "ok")

    def test_another_server_is_told_from_ringpool(self):
        server = self.open()
        for said in (b"hello", b"[]", b"{}", b'{"classes": []}', b"null"):
            server.state = lambda _, said=said: said
            self.until(lambda: self.text("#verdict").startswith("the server does not answer with statistics"), said)
            server.state = well
            self.until(lambda: self.level() == "ok", "well again")

    def test_text_of_a_server_stays_text(self):
        bait = "<img src=x onerror=document.title=1><script>document.title=1</script>"

        def hostile(seconds):
            stats = exhausted(seconds)
            stats["version"] = stats["backend"] = stats["status"]["text"] = bait
            stats["status"]["level"] = bait
            stats["status"]["findings"] = [{"level": bait, "text": bait, "class": 64}] * 3
            stats["connections"]["closed_by"] = {bait: 1}
            stats["protocol_errors"] = {bait: 1}
            return stats
        self.open(hostile)
        self.assertEqual(self.text("#verdict"), bait)
        self.assertEqual(self.browser.run("document.querySelectorAll('img, main script').length"), 0)
        self.assertEqual(self.browser.console(), [])

    def test_nothing_is_asked_of_anybody_else(self):
        server = self.open(exhausted)
        urls = set()
        for entry in self.browser.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.add(message["params"]["request"]["url"])
        urls = {one for one in urls if not one.startswith(("data:", "about:", "chrome:"))}
        self.assertEqual(urls, {f"http://{server.address}/", f"http://{server.address}/stats.json"})
        self.assertLessEqual(set(server.paths), {"/", "/stats.json"})

    # --- when it asks ---

    def test_it_asks_once_a_second(self):
        server = self.open()
        begin = self.asked(server)
        time.sleep(3)
        self.assertIn(self.asked(server) - begin, (2, 3))

    def test_the_button_pauses_it_from_the_keyboard_too(self):
        from selenium.webdriver.common.keys import Keys
        server = self.open()
        body = self.browser.driver.find_element("tag name", "body")
        body.send_keys(Keys.TAB)
        self.assertEqual(self.browser.run("document.activeElement.id"), "pause")
        outline = self.browser.run("getComputedStyle(document.activeElement).outlineStyle")
        self.assertEqual(outline, "solid")
        self.browser.driver.switch_to.active_element.send_keys(Keys.SPACE)
        self.assertEqual(self.browser.run("document.getElementById('pause').getAttribute('aria-pressed')"), "true")
        time.sleep(0.3)
        begin = self.asked(server)
        time.sleep(2)
        self.assertEqual(self.asked(server), begin)
        self.browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.until(lambda: self.asked(server) > begin + 1, "it goes on")

    def test_it_does_not_ask_while_nobody_sees_it(self):
        server = self.open()
        self.show_window("minimized")
        self.until(lambda: self.browser.run("document.hidden"), "it is hidden")
        time.sleep(0.3)
        begin = self.asked(server)
        time.sleep(2.5)
        self.assertEqual(self.asked(server), begin)
        self.show_window("normal")
        self.until(lambda: self.asked(server) > begin + 1, "it goes on")

    def show_window(self, state):
        window = self.browser.command("Browser.getWindowForTarget")["windowId"]
        self.browser.command("Browser.setWindowBounds", windowId=window, bounds={"windowState": state})

    # --- how it looks ---

    def test_there_is_no_scrolling_sideways_from_320_pixels_on(self):
        for state in (well, exhausted, bare):
            self.open(state)
            for width in WIDTHS:
                with self.subTest(state=state.__name__, width=width):
                    self.browser.resize(width)
                    time.sleep(0.1)
                    self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), width)
                    self.assertEqual(self.overflowing(), [])

    def overflowing(self):
        """Texts wider than their boxes, or beyond the page."""
        return self.browser.run("""[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility() &&
          !one.closest('svg, thead') && (one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0 &&
          getComputedStyle(one).display !== 'inline' || one.getBoundingClientRect().right > innerWidth + 1))
          .map((one) => one.id + ' ' + one.className + ' ' + one.textContent.slice(0, 40))""")

    def test_each_text_has_a_contrast_of_4_5_light_and_dark_in_every_state(self):
        for state in (well, exhausted, bare):
            server = self.open(state)
            for scheme in ("light", "dark"):
                self.browser.colours(scheme)
                time.sleep(0.2)
                found = self.browser.run(CONTRASTS)
                self.assertGreater(len(found), 60)
                self.assertEqual([one for one in found if one[1] < 4.5], [], (state.__name__, scheme))
            server.stop()
            self.until(lambda: self.level() == "gone", "gone")
            for scheme in ("dark", "light"):
                self.browser.colours(scheme)
                time.sleep(0.2)
                self.assertEqual([one for one in self.browser.run(CONTRASTS) if one[1] < 4.5], [])
            server.start()

    def test_dark_is_dark_and_light_is_light(self):
        self.open()
        shades = {}
        for scheme in ("light", "dark"):
            self.browser.colours(scheme)
            shades[scheme] = self.browser.run("getComputedStyle(document.body).backgroundColor")
        self.assertEqual(shades, {"light": "rgb(245, 246, 248)", "dark": "rgb(14, 18, 23)"})

    def test_the_table_is_one_for_a_screen_reader_in_both_layouts(self):
        self.open(exhausted)
        for width in (1440, 360):
            self.browser.resize(width)
            time.sleep(0.2)
            nodes = self.browser.command("Accessibility.getFullAXTree")["nodes"]
            roles = [one["role"]["value"] for one in nodes if not one["ignored"]]
            self.assertEqual(roles.count("rowheader") >= 5, True, roles)
            self.assertGreaterEqual(roles.count("columnheader"), 13)
            self.assertGreaterEqual(roles.count("table"), 4)
            self.assertIn("status", roles)
            for one in nodes:
                if not one["ignored"] and one["role"]["value"] in ("image", "button", "table", "img") and \
                        one["role"]["value"] != "table":
                    self.assertTrue(one["name"]["value"], one)

    # --- with a real server ---

    def test_a_real_server_under_load_and_then_exhausted(self):
        with_metrics = "--metrics" in subprocess.run([BINARY, "serve", "--help"], capture_output=True,
                                                     text=True, check=True).stdout
        if not with_metrics:
            self.skipTest("this ringpool has no serve --metrics")
        with tempfile.TemporaryDirectory(prefix="ringpool-page-") as folder:
            port_file = os.path.join(folder, "metrics")
            options = ("--class", "64:64", "--class", "1024:2", "--max-frame", "1024", "--loops", "1",
                       "--metrics", "127.0.0.1:0", "--metrics-port-file", port_file)
            with frame_client.Server(*options) as server:
                self.until(lambda: os.path.exists(port_file), "it tells its port")
                self.browser.open(pathlib.Path(port_file).read_text("utf-8").strip())
                self.addCleanup(self.browser.driver.get, "about:blank")
                self.load(server)
                self.exhaust(server)
                self.assertEqual(self.browser.console(), [])

    def load(self, server):
        with subprocess.Popen([BINARY, "load", "--connect", "%s:%d" % server.address, "--connections", "4", "--mix",
                               "fixed:64", "--max-frame", "1024", "--seconds", "30", "--progress", "none"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                self.until(lambda: self.text("#tiles .tile:nth-child(3) .value") == "4", "four connections")
                self.until(lambda: re.match(r"[\d.]+ k/s$", self.text("#tiles .tile:nth-child(1) .value")), "a rate")
                self.until(lambda: "s\n" in self.text("#tiles .tile:nth-child(4)"), "tails")
                self.assertEqual(self.cells(0)["Class"], "64 B")
                self.assertEqual((self.level(), self.text("#verdict")), ("ok", "all well"))
                self.assertNotRegex(self.text("body"), "NaN|undefined|Infinity")
            finally:
                process.kill()

    def exhaust(self, server):
        """Four clients each begin a frame that needs one of two buffers."""
        with contextlib.ExitStack() as peers:
            for _ in range(4):
                peers.enter_context(server.connect()).sendall(frame_client.frame(bytes(1000))[:500])
            self.until(lambda: re.match(r"class 1024 is exhausted: [\d.]+( k)? refusals/s$", self.text("#verdict")),
                       "it is exhausted")
            self.assertEqual(self.level(), "bad")
            self.assertEqual((self.cells(1)["Held"], self.cells(1)["Free"]), ("2", "0"))


def take_pictures(folder):
    """light, dark, narrow and exhausted, with three minutes of history each."""
    from PIL import Image  # Debian: python3-pil
    folder.mkdir(parents=True, exist_ok=True)
    one = browser.Browser()
    try:
        for name, state, scheme, width in (("light", well, "light", 1280), ("dark", well, "dark", 1280),
                                           ("exhausted", exhausted, "light", 1280), ("narrow", exhausted, "dark", 360)):
            with PageServer(PAGE, state, speed=12) as server:
                one.resize(width, 1000)
                one.colours(scheme)
                one.open(server.address, faster=12)
                time.sleep(15.5)
                picture = folder / f"page-{name}.png"
                one.picture(picture, whole=width != 360)
                reduced = Image.open(picture).convert("RGB").quantize(128, dither=Image.Dither.NONE)
                reduced.save(picture, optimize=True)  # half of the bytes, for the repository
                one.driver.get("about:blank")
    finally:
        one.close()


def main():
    global BINARY, PAGE
    if len(sys.argv) < 3:
        sys.exit(__doc__.split("\n\n")[1])
    reason = browser.why_not()
    if reason:
        print(reason)
        sys.exit(77)
    BINARY = frame_client.BINARY = os.path.abspath(sys.argv.pop(1))
    PAGE = pathlib.Path(sys.argv.pop(1)).read_bytes()
    if sys.argv[1:2] == ["--pictures"]:
        take_pictures(pathlib.Path(sys.argv[2]))
    else:
        unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
