#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks how the library uses atomics (include/ and src/).

1. Every operation spells its memory order, a compare-exchange both of them; nothing declared atomic
   is read-modified or assigned by an operator.
2. Pairs carry role labels at both ends. In a component (x.hpp, detail/x_*.hpp, x.cpp, x_*.cpp) one
   comment lists the edges below a line with the word "Edges": `R1 -> A1  who -> whom  what`. Each
   edge is marked at operations that release, `// R1 -> A1 (function): why`, and at operations that
   acquire, `// A1 <- R1`; and each acquire, release or acq_rel operation is so marked.
"""

import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from cxx_source import Finding, closing, main, read_sources, split_arguments

ORDER = re.compile(
    r"(?:std::)?memory_order(?:_|::)(\w+)"
    r"|(?:(?:ringpool::)?detail::)?(relaxed|acquire|release|acq_rel|seq_cst)"
)
ORDERS = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"}
RELEASING = {"release", "acq_rel", "seq_cst"}
ACQUIRING = {"consume", "acquire", "acq_rel", "seq_cst"}
LABELLED = {"consume", "acquire", "release", "acq_rel"}

OPERATION = re.compile(
    r"(?:\.|->)\s*(load|store|exchange|compare_exchange_weak|compare_exchange_strong"
    r"|fetch_(?:add|sub|and|or|xor|max|min)|test_and_set)\s*\("
)
FENCE = re.compile(r"\batomic_(?:thread|signal)_fence\s*\(")
DEFAULTED = re.compile(
    r"\batomic_(?:load|store|exchange|fetch_\w+|compare_exchange_(?:weak|strong))\s*\("
)
ARGUMENTS = {"load": (0, 1), "test_and_set": (0, 1)}  # others: (1, 1), compare-exchange: (2, 2)

LABELS = r"[A-Z]+[0-9]+(?:, *[A-Z]+[0-9]+)*"
ARROW = re.compile(rf"(?<![\w-])({LABELS}) *(->|<-) *({LABELS})(?!\w)(.*)")
ROLE = re.compile(r" *\((\w+(?:, *\w+)*)(?:\(\))?\): *\S")
REACH_LINES = 6  # from a label down to its operation


@dataclass
class Operation:
    source: object
    offset: int
    name: str
    orders: list
    labelled: bool = False

    @property
    def line(self):
        return self.source.line_of(self.offset)


@dataclass
class Component:
    """Files that share their labels, and what they say."""

    sources: list = field(default_factory=list)
    operations: list = field(default_factory=list)
    edges: dict = field(default_factory=dict)  # (releaser, acquirer) -> place
    ends: dict = field(default_factory=lambda: defaultdict(set))  # edge -> {"->", "<-"} seen


def component_names(paths):
    """{path: component}. A component is the shortest stem of a file that the name of a file is, or
    extends by `_word`s."""
    stems = {Path(path).stem for path in paths}

    def shortest(stem):
        words = stem.split("_")
        starts = ("_".join(words[:count]) for count in range(1, len(words) + 1))
        return next(start for start in starts if start in stems)

    return {path: shortest(Path(path).stem) for path in paths}


def order_of(argument):
    match = ORDER.fullmatch(re.sub(r"\s", "", argument))
    name = match and (match[1] or match[2])
    return name if name in ORDERS else None


def spelled_orders(name, arguments):
    """The orders that an operation spells, or None where one that it needs is not spelled."""
    values, orders = ARGUMENTS.get(name, (2, 2) if name.startswith("compare") else (1, 1))
    if len(arguments) != values + orders:
        return None
    found = [order_of(argument) for argument in arguments[values:]]
    return None if None in found else found


def scan_operations(source):
    """(operations, findings) of a file."""
    operations, findings = [], []
    for match in OPERATION.finditer(source.code):
        opening = match.end() - 1
        arguments = split_arguments(source.code[opening + 1 : closing(source.code, opening)])
        orders = spelled_orders(match[1], arguments)
        if orders is None:
            both = "both orders" if match[1].startswith("compare") else "its order"
            findings.append(source.finding(match.start(), f"{match[1]} does not spell {both}"))
        operations.append(Operation(source, match.start(), match[1], orders or []))
    for match in FENCE.finditer(source.code):
        order = order_of(source.code[match.end() : closing(source.code, match.end() - 1)])
        if order is None:
            findings.append(source.finding(match.start(), "fence does not spell its order"))
        operations.append(Operation(source, match.start(), "fence", [order]))
    for match in DEFAULTED.finditer(source.code):
        findings.append(source.finding(match.start(), "defaulted order: use the member function"))
    return sorted(operations, key=lambda one: one.offset), findings


# ---- Operators on atomics ------------------------------------------------------------------------

ATOMIC_TYPE = re.compile(r"\b(?:std::)?atomic(?:_flag\b|_\w+\b|\s*<)")
ALIAS = re.compile(r"\busing\s+(\w+)\s*=\s*(?:typename\s+)?[\w:\s]*\batomic\s*<")
DECLARATOR = re.compile(r"\s*(?:const\s*)?([*&]*)\s*(?:const\s+)?(\w+)\s*(\[|[;{=,)]|$)")
PLAIN_MEMBER = re.compile(r"[\w>&*]\s+[*&]*(\w+)\s*(?:[;{]|=(?!=))")
MODIFIES = r"(?:\+\+|--|(?:[-+*/%&|^]|<<|>>)?=(?!=))"


def scope_kinds(code):
    """A function that tells for an offset whether its innermost brace is a class's."""
    marks, stack = [(0, False)], [False]
    for match in re.finditer(r"[{}]", code):
        if match.group() == "{":
            head = re.split(r"[;{}]", code[: match.start()])[-1]
            is_class = re.search(r"\b(class|struct|union)\b", head) and not head.rstrip().endswith(")")
            stack.append(bool(is_class))
        elif len(stack) > 1:
            stack.pop()
        marks.append((match.start(), stack[-1]))

    def in_class(offset):
        return next(kind for start, kind in reversed(marks) if start <= offset)

    return in_class


def end_of_type(code, match):
    """Offset behind an atomic type that starts at `match`."""
    if not match.group().endswith("<"):
        return match.end()
    depth, offset = 0, match.end() - 1
    while offset < len(code):
        depth += {"<": 1, ">": -1}.get(code[offset], 0)
        offset += 1
        if depth == 0:
            break
    return offset


def declared_atomics(source, aliases):
    """(name, is a member, is a pointer or an array, offset) of what a file declares as atomic."""
    in_class = scope_kinds(source.code)
    types = list(ATOMIC_TYPE.finditer(source.code))
    for alias in aliases:
        types += re.finditer(rf"\b{alias}\b(?!\s*=)", source.code)
    for match in types:
        end = end_of_type(source.code, match)
        declarator = DECLARATOR.match(source.code, end)
        if declarator and "&" not in declarator[1]:
            indirect = bool(declarator[1]) or declarator[3] == "["
            yield declarator[2], in_class(match.start()), indirect, declarator.start(2)


def operator_patterns(name, member, indirect):
    """Patterns of modifying uses, each with the offset of `name` as group 1."""
    owner = r"(?:\.|->)\s*" if member and not name.endswith("_") else r"(?<![\w])"
    subject = rf"{owner}({name})\b" + (r"\s*\[[^\]]*\]" if indirect else "")
    yield re.compile(rf"{subject}\s*{MODIFIES}")
    yield re.compile(rf"(?:\+\+|--)\s*[\w.>\-\[\]]*?{subject}")
    if indirect:
        yield re.compile(rf"(?<![\w)\]])\s*\*\s*(?:\w+(?:\.|->))*({name})\s*{MODIFIES}")


def plain_members(source):
    """Names of members that some class declares as something other than an atomic."""
    in_class = scope_kinds(source.code)
    for match in PLAIN_MEMBER.finditer(source.code):
        statement = re.split(r"[;{}]", source.code[: match.start(1)])[-1]
        if in_class(match.start(1)) and "atomic" not in statement:
            yield match[1]


def check_operators(component, plain):
    """`plain`: names that cannot be told from an atomic's by the access `x.name` alone."""
    aliases = {match[1] for source in component.sources for match in ALIAS.finditer(source.code)}
    declared = {
        (source.path, *one)
        for source in component.sources
        for one in declared_atomics(source, aliases)
    }
    declarations = {(path, offset) for path, _, _, _, offset in declared}
    for name, member, indirect in {one[1:4] for one in declared}:
        if member and not name.endswith("_") and name in plain:
            continue
        for pattern in operator_patterns(name, member, indirect):
            for source in component.sources:
                for match in pattern.finditer(source.code):
                    if (source.path, match.start(1)) not in declarations:
                        yield source.finding(match.start(1), f"operator on the atomic {name}")


# ---- Labels --------------------------------------------------------------------------------------


def names(text):
    return [name.strip() for name in text.split(",")]


def edge_lists(source):
    """(line, match of an arrow) below each "Edges" line, to the end of its comment."""
    code_lines = source.code.split("\n")
    listing, last = False, 0
    for line, text in source.comments:
        if line != last + 1 or code_lines[line - 1].strip():
            listing = False
        last = line
        if re.search(r"\bEdges\b", text):
            listing = True
            continue
        arrow = ARROW.search(text) if listing else None
        if arrow and arrow[2] == "->":
            yield line, arrow


def labels(source):
    """(line, match of an arrow) in comments that are no edge list."""
    listed = {line for line, _ in edge_lists(source)}
    for line, text in source.comments:
        arrow = None if line in listed else ARROW.search(text)
        if arrow:
            yield line, arrow


def operations_marked(source, line, operations):
    """The operations of the statement that a label at `line` marks: its own line's, else the
    next line's with any."""
    near = [one for one in operations if one.source is source and 0 <= one.line - line <= REACH_LINES]
    first = min((one.line for one in near), default=None)
    return [one for one in near if one.line == first]


def check_label(component, source, line, arrow):
    """Findings about one label; notes the ends of edges and the operations it marks."""
    releases = arrow[2] == "->"
    pairs = [(a, b) if releases else (b, a) for a in names(arrow[1]) for b in names(arrow[3])]
    for pair in pairs:
        if pair not in component.edges:
            yield Finding(source.path, line, f"{pair[0]} -> {pair[1]} is not in the list of edges")
        component.ends[pair].add(arrow[2])
    if releases:
        role = ROLE.match(arrow[4])
        if not role:
            yield Finding(source.path, line, "a release is labelled `R1 -> A1 (function): why`")
        for function in names(role[1]) if role else []:
            if not any(re.search(rf"\b{function}\b", other.code) for other in component.sources):
                yield Finding(source.path, line, f"there is no {function} here that could acquire")
    marked = operations_marked(source, line, component.operations)
    wanted = RELEASING if releases else ACQUIRING
    fitting = [one for one in marked if wanted & set(one.orders)]
    if not fitting:
        kind = "releases" if releases else "acquires"
        yield Finding(source.path, line, f"the label marks no operation that {kind}")
    for one in fitting:
        one.labelled = True


def check_labels(component):
    for source in component.sources:
        for line, arrow in edge_lists(source):
            for pair in ((a, b) for a in names(arrow[1]) for b in names(arrow[3])):
                if pair in component.edges:
                    yield Finding(source.path, line, f"{pair[0]} -> {pair[1]} is listed twice")
                component.edges[pair] = (source.path, line)
    for source in component.sources:
        for line, arrow in labels(source):
            yield from check_label(component, source, line, arrow)
    for (releaser, acquirer), place in component.edges.items():
        ends = component.ends[releaser, acquirer]
        if "->" not in ends:
            yield Finding(*place, f"orphan: nothing is labelled {releaser} -> {acquirer}")
        if "<-" not in ends:
            yield Finding(*place, f"orphan: nothing is labelled {acquirer} <- {releaser}")
    for one in component.operations:
        if LABELLED & set(one.orders) and not one.labelled and one.name != "fence":
            yield one.source.finding(one.offset, f"{'/'.join(one.orders)} {one.name} has no label")


def check(root):
    components = defaultdict(Component)
    sources = read_sources(root, ("include", "src"))
    if not sources:
        yield Finding("include", 1, "no sources: nothing was checked")
    names_of = component_names([source.path for source in sources])
    for source in sources:
        component = components[names_of[source.path]]
        component.sources.append(source)
        operations, findings = scan_operations(source)
        component.operations += operations
        yield from findings
    plain = {name for source in sources for name in plain_members(source)}
    for component in components.values():
        yield from check_operators(component, plain)
        yield from check_labels(component)


if __name__ == "__main__":
    sys.exit(main(__doc__, check))
