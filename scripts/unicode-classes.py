#!/usr/bin/env python3
"""Writes src/data/unicode_ranges.inc: the Unicode classes that GPT-2's word pattern needs.

Letters (general category L*), numbers (N*) and White_Space, as closed ranges of code points, from Python's
unicodedata. Python 3.11 and PCRE2 10.42, the reference of tests/data/test_pretoken.cpp, both have Unicode 14.
Usage: scripts/unicode-classes.py > src/data/unicode_ranges.inc
"""
import sys
import unicodedata

# PropList.txt, property White_Space; it has not changed since Unicode 6.3.
WHITE_SPACE = [0x9, 0xA, 0xB, 0xC, 0xD, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
               0x202F, 0x205F, 0x3000]


def ranges(members):
    """Closed ranges of an ascending sequence of integers."""
    out = []
    for code_point in members:
        if out and out[-1][1] + 1 == code_point:
            out[-1][1] = code_point
        else:
            out.append([code_point, code_point])
    return out


def category(letter):
    return [c for c in range(0x110000) if unicodedata.category(chr(c)).startswith(letter)]


def main():
    print(f"// Made by scripts/unicode-classes.py from Unicode {unicodedata.unidata_version}: "
          "first, last, class.")
    for name, members in (("kLetter", category("L")), ("kNumber", category("N")), ("kSpace", WHITE_SPACE)):
        line = ""
        for first, last in ranges(members):
            row = f"{{0x{first:X}, 0x{last:X}, CharClass::{name}}},"
            if len(line) + len(row) > 98:
                print(line)
                line = ""
            line += row + " "
        print(line.rstrip())


if __name__ == "__main__":
    sys.exit(main())
