"""Types that Kconfig has not: the machine line `Type: …` in the help of a string symbol.

float[0,1)  a number, the brackets telling which ends belong to it
enum(a,b)   one of the words            list(int), list(enum a,b)   several, separated by commas
device      auto, cpu, cuda or cuda:N   path, bytes                 a path; a size such as 512K, 2G
text        any one line
"""

import re

FLOAT = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
INTERVAL = re.compile(r"float\s*([\[(])\s*([^,]+)\s*,\s*([^\])]+)\s*([\])])")
LIST = re.compile(r"list\((int|enum\s+(.*))\)")
ENUM = re.compile(r"enum\((.*)\)")
DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")
BYTES = re.compile(r"[0-9]{1,15}[KMGT]?")
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def words(text):
    return [word.strip() for word in text.split(",")]


def known(kind):
    """Whether KIND is a type this file can check; the tree lint asks."""
    return bool(
        kind in ("device", "path", "bytes", "text")
        or INTERVAL.fullmatch(kind)
        or LIST.fullmatch(kind)
        or ENUM.fullmatch(kind)
    )


def check_float(match, text):
    if not FLOAT.fullmatch(text):
        return "E_TYPE", f"is not a number such as 0.1 or 6e-4 in {match.group(0)[5:].strip()}"
    value = float(text)
    low, high = float(match.group(2)), float(match.group(3))
    above = value > low if match.group(1) == "(" else value >= low
    below = value < high if match.group(4) == ")" else value <= high
    if not (above and below):
        return "E_RANGE", f"is outside {match.group(0)[5:].strip()}"
    return None


def check(kind, text):
    """None when TEXT is of KIND, else (code, what is wrong with it)."""
    interval = INTERVAL.fullmatch(kind)
    if interval:
        return check_float(interval, text)
    enum = ENUM.fullmatch(kind)
    if enum:
        allowed = words(enum.group(1))
        return None if text in allowed else ("E_TYPE", "is none of " + ", ".join(allowed))
    several = LIST.fullmatch(kind)
    if several:
        return check_list(several, text)
    if kind == "device" and not DEVICE.fullmatch(text):
        return "E_TYPE", "is none of auto, cpu, cuda, cuda:N"
    if kind == "bytes" and not BYTES.fullmatch(text):
        return "E_TYPE", "is not a size such as 4096, 512K or 2G"
    if kind in ("path", "text") and any(ord(c) < 32 for c in text):
        return "E_TYPE", f"is not a {kind}: it has a control character"
    return None


def check_list(several, text):
    if text == "":
        return None
    if several.group(1) == "int":
        bad = next((w for w in words(text) if not INTEGER.fullmatch(w)), None)
        return None if bad is None else ("E_TYPE", f"has '{bad}', which is no whole number")
    allowed = words(several.group(2))
    bad = next((w for w in words(text) if w not in allowed), None)
    return (
        None if bad is None else ("E_TYPE", f"has '{bad}', which is none of " + ", ".join(allowed))
    )
