# SPDX-License-Identifier: MIT
"""What the checks of the tree share: a C++ file split into code and comments, and findings."""

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<line_comment>//[^\n]*)
      | (?P<block_comment>/\*.*?\*/)
      | (?P<raw_string>R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)")
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<number>\b[0-9](?:'?[0-9a-zA-Z_.])*)
      | (?P<character>'(?:[^'\\\n]|\\.)+')
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, order=True)
class Finding:
    """A place that breaks a rule."""

    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


@dataclass
class Source:
    """A C++ file. `code` is `text` with comments and the insides of literals made blank, so that
    offsets agree; `comments` are (first line, text), one for each `//`."""

    path: str  # relative to the root, with forward slashes
    text: str
    code: str = field(init=False)
    comments: list = field(init=False)

    def __post_init__(self):
        self.comments = []
        self.code = TOKEN.sub(self._blank, self.text)
        self._line_starts = [0] + [match.end() for match in re.finditer("\n", self.text)]

    def _blank(self, match):
        kind, text = match.lastgroup, match.group()
        if match["line_comment"] or match["block_comment"]:
            line = self.text.count("\n", 0, match.start()) + 1
            self.comments.append((line, text))
        elif kind == "number":
            return text
        return re.sub(r"[^\n]", " ", text)

    def line_of(self, offset):
        low, high = 0, len(self._line_starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._line_starts[middle] <= offset else (low, middle)
        return low + 1

    def finding(self, offset, message):
        return Finding(self.path, self.line_of(offset), message)


def read_sources(root, folders, suffixes=(".hpp", ".cpp", ".h", ".c")):
    """The C++ and C files below `folders` of `root`, sorted by path."""
    paths = [
        path
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in suffixes and path.is_file()
    ]
    return [Source(path.relative_to(root).as_posix(), path.read_text("utf-8")) for path in paths]


def closing(text, opening):
    """Offset of the bracket that closes the one at `opening`; len(text) if nothing does."""
    depth = 0
    for offset in range(opening, len(text)):
        if text[offset] in "([{":
            depth += 1
        elif text[offset] in ")]}":
            depth -= 1
            if depth == 0:
                return offset
    return len(text)


def split_arguments(text):
    """The parts of `text` between its outer commas, stripped; [] for blank text."""
    parts, depth, start = [], 0, 0
    for offset, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:offset].strip())
            start = offset + 1
    parts.append(text[start:].strip())
    return [] if parts == [""] else parts


def main(description, check):
    """Runs `check(root) -> findings` as a command; exit code 1 if anything was found."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "root", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent,
        help="the tree to check (default: the one this script is in)",
    )
    findings = sorted(set(check(parser.parse_args().root)))
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} finding(s)", file=sys.stderr)
    return 1 if findings else 0
