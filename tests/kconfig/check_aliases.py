#!/usr/bin/python3 -B
"""Holds tests/kconfig/fixtures/aliases.txt against the alias table: each line becomes what it says,
and each row of the table is used. One line a difference; status 1 when there is any."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("KNLP_SRC") or os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "scripts/kconfig"))

import aliases
import fragment
import tree


def outcome(result):
    """What a translation of one line came to, in the words of the fixture file."""
    if result.problems:
        return "error " + str(result.problems[0])
    for request, new, factor in result.products:
        return f"product {new} {factor}"
    for request, primary in result.derived:
        return f"derived {primary or '-'}"
    if result.ignored:
        return "ignored"
    if result.dropped:
        return "dropped"
    request = result.requests[0]
    return f"CONFIG_{request.name}={aliases.spelled(request)}"


def main():
    names = {s.name for s in tree.ordered_symbols(tree.load())}
    path, used, bad = os.path.join(HERE, "fixtures/aliases.txt"), set(), []
    with open(path, encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            if " -> " not in text:
                continue
            line, expected = text.rstrip("\n").split(" -> ")
            result = aliases.translate([fragment.parse_line(path, number, line)], names)
            used |= set(result.used)
            found = outcome(result)
            same = (
                expected.startswith("error ")
                and found.startswith("error ")
                and expected[6:] in found
            )
            if not same and found != expected:
                bad.append(f"aliases.txt:{number}: {line}: expected '{expected}', became '{found}'")
    bad += [
        f"aliases:{row.line}: no fixture uses the row {row.kind} {row.old}"
        for row in aliases.read_rows()
        if row.line not in used
    ]
    print("\n".join(bad) or f"{len(used)} rows used")
    return 1 if bad else 0


sys.exit(main())
