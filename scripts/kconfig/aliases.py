"""Names of earlier and upstream configurations, translated by the rows of scripts/kconfig/aliases.

translate() is pure: requests in; requests, notes and problems out. The kinds of rows are explained
at the head of that file."""

import fnmatch
import os

import tree
from fragment import Request
from problems import Problem, listed

KINDS = {
    "rename": 2,
    "value": 3,
    "product": 3,
    "derived": 3,
    "ignored": 2,
    "absent": 2,
    "refused": 2,
}


class Row:
    def __init__(self, line, kind, old, rest):
        self.line, self.kind, self.old, self.rest = line, kind, old, rest

    def matches(self, name):
        return fnmatch.fnmatchcase(name, self.old)

    def target(self, name):
        """New name of a renamed symbol; what `*` stood for is carried over."""
        if "*" not in self.rest[0]:
            return self.rest[0]
        head, tail = self.old.split("*", 1)
        return self.rest[0].replace("*", name[len(head) : len(name) - len(tail)])

    @property
    def reason(self):
        return " ".join(self.rest)


def read_rows(path=None):
    """Rows of the table in order; the first that matches a name (and value) counts."""
    path = path or os.path.join(tree.ROOT, "scripts/kconfig/aliases")
    rows = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            kind, old, rest = words[0], words[1], words[2:]
            if kind not in KINDS or len(rest) < KINDS[kind] - 1:
                raise ValueError(f"{path}:{number}: not a row of a known kind: {line.strip()}")
            rows.append(Row(number, kind, old, rest))
    return rows


def renames(known):
    """(old, new) of plain renames to symbols in KNOWN; the binary tells the new name of an old
    one."""
    return [
        (row.old, row.rest[0])
        for row in read_rows()
        if row.kind == "rename" and "*" not in row.old and row.rest[0] in known
    ]


class Translation:
    """Result of translate(). `derived` are (request, name of the primary symbol or None) to be
    compared with the solver's answer; `products` are (request, new name, factor symbol). `used` are
    the line numbers of the rows that applied."""

    def __init__(self):
        self.requests, self.notes, self.problems = [], [], []
        self.derived, self.products, self.ignored, self.dropped = [], [], [], []
        self.used = []


def is_off(request):
    return request.value == "n" and not request.quoted or request.value == "" and request.quoted


def spelled(request):
    return f'"{request.value}"' if request.quoted else request.value


def literal(text):
    """A value of the table: (text without quotes, whether it is a string)."""
    quoted = len(text) >= 2 and text[0] == text[-1] == '"'
    return (text[1:-1], True) if quoted else (text, False)


def translate(requests, known):
    """Replaces old names in REQUESTS. KNOWN are the names of the tree; they win over patterns."""
    rows, out = read_rows(), Translation()
    for request in requests:
        apply_rows(request, rows, known, out, 0)
    if out.ignored:
        reasons = {}
        for request, why in out.ignored:
            reasons.setdefault(why, []).append(f"CONFIG_{request.said}")
        out.notes.append(
            "no effect here: "
            + "; ".join(f"{', '.join(who)} ({why})" for why, who in reasons.items())
        )
    if out.dropped:
        out.notes.append(
            "features this version does not have, left out: "
            + ", ".join(f"CONFIG_{r.said}" for r in out.dropped)
        )
    if out.derived:
        out.notes.append(
            "follow from other symbols, left out: "
            + ", ".join(f"CONFIG_{r.said}" for r, _ in out.derived)
        )
    return out


def apply_rows(request, rows, known, out, depth):
    """Appends what REQUEST becomes to OUT. A renamed request is looked up again, once."""
    if request.name in known:
        out.requests.append(request)
        return
    matching = [row for row in rows if row.matches(request.name)]
    by_value = [row for row in matching if row.kind in ("value", "derived")]
    for row in by_value:
        if literal(row.rest[0]) == (request.value, request.quoted):
            take_value(request, row, out)
            return
    others = [row for row in matching if row.kind not in ("value", "derived")]
    if others and depth < 2:
        take_row(request, others[0], rows, known, out, depth)
    elif is_off(request) and by_value:
        out.dropped.append(request)
    elif by_value:
        choices = listed(row.rest[0] for row in by_value)
        out.problems.append(
            Problem(
                "E_RANGE",
                request.where,
                f"{request.shown_name} is an earlier name that knows {choices} and "
                f"nothing of {spelled(request)}; use one of these or delete the line",
            )
        )
    else:
        out.requests.append(request)


def take_value(request, row, out):
    out.used.append(row.line)
    target = row.rest[1]
    if row.kind == "derived":
        out.derived.append((request, None if target == "-" else target))
    elif target == "-":
        out.ignored.append((request, " ".join(row.rest[2:]) or "that is how it works here"))
    else:
        name, _, value = target.partition("=")
        text, quoted = literal(value)
        out.requests.append(Request(request.path, request.line, name, text, quoted, request.said))
        out.notes.append(
            f"{request.where}: CONFIG_{request.said}={row.rest[0]} is now CONFIG_{target}"
        )


def take_row(request, row, rows, known, out, depth):
    out.used.append(row.line)
    if row.kind == "rename":
        name = row.target(request.name)
        if name in known:
            out.notes.append(f"{request.where}: CONFIG_{request.said} is now CONFIG_{name}")
        apply_rows(request.renamed(name), rows, known, out, depth + 1)
    elif row.kind == "product":
        out.products.append((request, row.rest[0], row.rest[1]))
    elif row.kind == "ignored":
        out.ignored.append((request, row.reason))
    elif is_off(request) or row.kind == "absent" and request.value != "y":
        out.dropped.append(request)
    else:
        out.problems.append(
            Problem(
                "E_UNKNOWN_SYMBOL",
                request.where,
                f"{request.shown_name}={spelled(request)} asks for {row.reason}, which this "
                "version does not have; delete the line",
            )
        )
