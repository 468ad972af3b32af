"""Reads preset and .config files line by line, strictly: what Kconfig itself would drop without a
word is a problem with the corrected line here."""

import re

from problems import Problem, fail, shown

MAX_BYTES = 1 << 20
ASSIGNMENT = re.compile(r"CONFIG_([A-Z0-9_]+)=(.*)")
NOT_SET = re.compile(r"# CONFIG_([A-Z0-9_]+) is not set")
LOOSE_ASSIGNMENT = re.compile(r"\s*CONFIG_([A-Za-z0-9_]+)\s*=\s*(.*?)\s*")
LOOSE_NOT_SET = re.compile(r"\s*#\s*CONFIG_([A-Za-z0-9_]+)\s+is\s+not\s+set\s*", re.IGNORECASE)
STRING = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
BARE = re.compile(r"[^\s\"'#]+")


class Request:
    """One line that asks for a value. VALUE is without quotes; QUOTED tells whether it had them."""

    def __init__(self, path, line, name, value, quoted=False, said=None):
        self.path, self.line, self.name = path, line, name
        self.value, self.quoted = value, quoted
        self.said = said or name  # the name in the file, when an alias stands in between

    @property
    def where(self):
        return f"{shown(self.path)}:{self.line}"

    @property
    def shown_name(self):
        if self.said == self.name:
            return f"CONFIG_{self.name}"
        return f"CONFIG_{self.said} (now CONFIG_{self.name})"

    def renamed(self, name, value=None, quoted=None):
        return Request(
            self.path,
            self.line,
            name,
            self.value if value is None else value,
            self.quoted if quoted is None else quoted,
            self.said,
        )


def corrected_value(text):
    """TEXT as a value that would be accepted, or None: comments cut, quotes mended."""
    text = text.strip()
    whole = STRING.match(text)
    if whole and re.fullmatch(r"\s*(#.*)?", text[whole.end() :]):
        return whole.group(0)
    if text.startswith("'"):
        inner = text[1:].split("'", 1)[0]
        return '"' + inner + '"'
    if text.startswith('"'):
        inner = re.sub(r'\s+#.*$', "", text[1:]).rstrip('"')
        return '"' + re.sub(r'(?<!\\)"', "", re.sub(r'\\(?!["\\])', r"\\\\", inner)) + '"'
    bare = BARE.match(text)
    return bare.group(0) if bare else None


def what_is_odd(value):
    """Why VALUE is not read as it stands."""
    if re.fullmatch(r'"[^"]*', value):
        return "has a quote that is not closed"
    if value.startswith("'"):
        return "has single quotes, which Kconfig does not know"
    if re.fullmatch(r'"[^"]*\\[^"]*"', value):
        return "has a backslash that Kconfig would drop"
    if "#" in value:
        return "has a comment after its value"
    return "has text after its value"


def syntax(path, number, what, correction):
    fix = f"write: {correction}" if correction else "expected CONFIG_NAME=value or a # comment"
    return Problem("E_SYNTAX", f"{shown(path)}:{number}", f"{what}; {fix}")


def parse_line(path, number, line):
    """A Request, a Problem, or None for a blank or comment line."""
    match = NOT_SET.fullmatch(line)
    if match:
        return Request(path, number, match.group(1), "n")
    loose = LOOSE_NOT_SET.fullmatch(line)
    if loose:
        name = loose.group(1).upper()
        return syntax(
            path,
            number,
            f"CONFIG_{name} is switched off in a form Kconfig overlooks",
            f"# CONFIG_{name} is not set",
        )
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    match = ASSIGNMENT.fullmatch(line)
    if match:
        name, value = match.groups()
        if STRING.fullmatch(value):
            return Request(path, number, name, re.sub(r"\\(.)", r"\1", value[1:-1]), True)
        if value == "" or BARE.fullmatch(value):
            return Request(path, number, name, value)
        correction = corrected_value(value)
        return syntax(
            path,
            number,
            f"CONFIG_{name} {what_is_odd(value)}",
            correction and f"CONFIG_{name}={correction}",
        )
    loose = LOOSE_ASSIGNMENT.fullmatch(line)
    if loose:
        name, value = loose.group(1).upper(), corrected_value(loose.group(2))
        what = (
            "has small letters in its name"
            if name != loose.group(1)
            else "has blanks before it" if line[0].isspace() else "has blanks around ="
        )
        return syntax(
            path,
            number,
            f"CONFIG_{name} {what}, so Kconfig would not read it",
            value and f"CONFIG_{name}={value}",
        )
    return syntax(path, number, f"'{line.strip()[:60]}' is not a configuration line", None)


def read_text(path):
    with open(path, "rb") as source:
        data = source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        fail("E_SYNTAX", shown(path), f"larger than {MAX_BYTES} bytes, so not a configuration")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fail(
            "E_SYNTAX",
            f"{shown(path)}:{line}",
            f"byte {error.start} is not UTF-8; save the file as UTF-8",
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        fail("E_SYNTAX", f"{shown(path)}:{line}", "has a zero byte, so it is not a text file")
    return text


def read(path):
    """(requests, problems) of the file, in the order of its lines."""
    requests, problems = [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        result = parse_line(path, number, line.removesuffix("\r"))
        if isinstance(result, Problem):
            problems.append(result)
        elif result:
            requests.append(result)
    return requests, problems
