# SPDX-License-Identifier: MIT
"""The live page as a file: its size, what it refers to, and that it is well-formed."""

import base64
import hashlib
import html.parser
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tools" / "ringpool" / "page"
VOID = {"meta", "link", "br", "img", "input", "hr"}


def embed(folder, into):
    return subprocess.run([sys.executable, ROOT / "scripts" / "embed_page.py", folder, into / "index.html",
                           into / "page_html.inc"], capture_output=True, text=True, check=False)


class Reader(html.parser.HTMLParser):
    """Elements in the order they end in, and what is wrong with them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.faults, self.attributes, self.texts = [], [], [], {}
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> where {self.open[-1:]} is open")
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data


def faults_of(text):
    """What the page must not have, as sentences."""
    reader = Reader(text)
    found = list(reader.faults)
    if len(text.encode()) >= 40_000:
        found.append("40 kB or more")
    for tag, name, value in reader.attributes:
        if name.startswith("on"):
            found.append(f"a handler in an attribute: {tag} {name}")
        if name == "style":
            found.append(f"a style in an attribute: {tag}")
        if name in ("src", "href") and not value.startswith(("data:", "#")):
            found.append(f"refers to another file: {value}")
    names = [value for _, name, value in reader.attributes if name == "id"]
    found += [f"two elements {one}" for one in sorted(set(names)) if names.count(one) > 1]
    for one in re.findall(r"(?:https?:)?//[a-z][^\s'\"`<)]*", re.sub(r"(?m)^\s*//.*$|\s// .*$", "", text)):
        if one != "http://www.w3.org/2000/svg":
            found.append(f"an address: {one}")
    found += [f"puts text in as HTML: {one}" for one in
              re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)]
    used = set(re.findall(r"find\('([\w-]+)'\)", reader.texts.get("script", "")))
    found += [f"the script wants {one}, which there is not" for one in sorted(used - set(names))]
    policy = next((value for _, name, value in reader.attributes if name == "content" and "default-src" in value), "")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(reader.texts.get(tag, "").encode()).digest()).decode()
        if f"{tag}-src 'sha256-{digest}'" not in policy:
            found.append(f"its policy does not allow its own {tag}")
    return found


class PageFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ringpool-page-")
        cls.made = pathlib.Path(cls.folder.name)
        done = embed(SOURCE, cls.made)
        assert done.returncode == 0, done.stderr
        cls.page = (cls.made / "index.html").read_text("utf-8")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_the_page_has_no_faults(self):
        self.assertEqual(faults_of(self.page), [])

    def test_the_string_is_the_page(self):
        string = (self.made / "page_html.inc").read_text("utf-8")
        self.assertEqual(string, f'R"page({self.page})page"\n')

    def test_twin_each_kind_of_fault_is_found(self):
        for old, new, fault in (
                ("<h1>", "<h1><b>", "</h1> where ['b'] is open"),
                ("<h1>", '<h1 onclick="x()">', "a handler in an attribute: h1 onclick"),
                ("<h1>", '<h1 style="color: red">', "a style in an attribute: h1"),
                ('href="data:,"', 'href="icon.png"', "refers to another file: icon.png"),
                ("<h1>", '<h1 id="rows">', "two elements rows"),
                ("fetch('stats.json'", "fetch('https://example.org/stats.json'",
                 "an address: https://example.org/stats.json"),
                ("where.textContent = text", "where.innerHTML = text", "puts text in as HTML: innerHTML"),
                ('id="rows"', 'id="lines"', "the script wants rows, which there is not"),
                ("--held: #1f5fcf", "--held: #1f5fce", "its policy does not allow its own style"),
                ("POLL_MS = 1000", "POLL_MS = 1001", "its policy does not allow its own script"),
                ("<h1>", "<h1>" + "x" * 20_000, "40 kB or more")):
            with self.subTest(fault=fault):
                self.assertIn(old, self.page)
                self.assertIn(fault, faults_of(self.page.replace(old, new, 1)))

    def test_twin_a_page_too_large_is_not_built(self):
        with tempfile.TemporaryDirectory(prefix="ringpool-page-") as name:
            folder = pathlib.Path(name)
            for file in ("index.html", "page.css", "page.js"):
                (folder / file).write_text((SOURCE / file).read_text("utf-8"), "utf-8")
            (folder / "page.js").write_text("//" + "x" * 40_000 + "\n", "utf-8")
            done = embed(folder, folder)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("40000 are too many", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
