"""What the strict check finds: one line a problem, one a note, in knlp's own form on stderr."""

import os
import sys

STATUS_CONFIG = 2
STATUS_IO = 4


class Problem:
    """One error, said as `knlp: error[CODE]: where: text; fix`."""

    def __init__(self, code, where, text):
        self.code, self.where, self.text = code, where, text

    def without_code(self):
        return f"{self.where}: {self.text}" if self.where else self.text

    def __str__(self):
        return f"knlp: error[{self.code}]: {self.without_code()}"


class ConfigError(Exception):
    """Carries every problem of one file."""

    def __init__(self, problems):
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


def fail(code, where, text):
    raise ConfigError([Problem(code, where, text)])


def note(text):
    sys.stderr.write(f"knlp: note: {text}\n")


def shown(path):
    """PATH as a user would write it: relative when that is shorter and stays below here."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def distance(a, b):
    """Edit distance of two names."""
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return previous[-1]


def nearest(name, names, count=3):
    """The COUNT names of NAMES closest to NAME, best first; ties in the order of NAMES."""
    return sorted(names, key=lambda other: distance(name, other))[:count]


def listed(words, last="or"):
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + f" {last} " + words[-1]


def run(main):
    """Calls MAIN(argv) and ends with its status; problems and I/O errors become lines and 2 or
    4."""
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        sys.exit(STATUS_CONFIG)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"knlp: error[E_IO]: {where}{error.strerror or error}\n")
        sys.exit(STATUS_IO)
    except KeyboardInterrupt:
        sys.exit(130)
