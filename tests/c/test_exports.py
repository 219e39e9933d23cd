#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that a library exports the functions that a C header declares, all of them and nothing else.

    test_exports.py HEADER LIBRARY
"""

import re
import subprocess
import sys
from pathlib import Path


def declared(header):
    """Names of the functions that are marked RP_API."""
    return set(re.findall(r"^RP_API\b[^;(]*?\b(\w+)\(", Path(header).read_text("utf-8"), re.MULTILINE))


def exported(library):
    """Names of the dynamic symbols, without versions; the versions' own names (A) left out."""
    lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines if line.split()[-2] != "A"}


def main(header, library):
    functions, symbols = declared(header), exported(library)
    wrong = [f"{name} is exported, and no function of the header" for name in sorted(symbols - functions)]
    wrong += [f"{name} is declared, and not exported" for name in sorted(functions - symbols)]
    if not functions:
        wrong.append("no functions: nothing was checked")
    print("\n".join(wrong) or f"{len(functions)} functions, and nothing else")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
