#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes one HTML document of tools/ringpool/page, and a C++ raw string of it: the build calls this.

The style and the script go into the document. Its Content-Security-Policy names both by their
hashes, and allows nothing else but requests to the server that the page came from.
"""

import argparse
import base64
import hashlib
import sys
from pathlib import Path

MAX_BYTES = 40_000
DELIMITER = "page"
POLICY = ("default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
          "style-src {style}; script-src {script}")


def source_hash(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def put(document, place, text):
    if document.count(place) != 1:
        sys.exit(f"embed_page.py: index.html must have {place} once")
    return document.replace(place, text)


def assemble(folder):
    """The whole document."""
    document, style, script = ((folder / name).read_text("utf-8")
                               for name in ("index.html", "page.css", "page.js"))
    style, script = "\n" + style, "\n" + script
    policy = POLICY.format(style=source_hash(style), script=source_hash(script))
    document = put(document, "<style></style>", f"<style>{style}</style>")
    document = put(document, "<script></script>", f"<script>{script}</script>")
    # Ahead of what it speaks of.
    return put(document, '<meta charset="utf-8">\n', '<meta charset="utf-8">\n'
               f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where index.html, page.css and page.js are")
    parser.add_argument("html", type=Path, help="the document to write")
    parser.add_argument("string", type=Path, help="the raw string to write")
    wanted = parser.parse_args()
    document = assemble(wanted.folder)
    size = len(document.encode())
    if size >= MAX_BYTES:
        sys.exit(f"embed_page.py: {size} bytes, and {MAX_BYTES} are too many")
    if f"){DELIMITER}\"" in document:
        sys.exit(f"embed_page.py: the page contains the end of the raw string, ){DELIMITER}\"")
    wanted.html.write_text(document, "utf-8")
    wanted.string.write_text(f'R"{DELIMITER}({document}){DELIMITER}"\n', "utf-8")


if __name__ == "__main__":
    main()
