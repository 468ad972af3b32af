#!/usr/bin/python3
"""Drives `make menuconfig` through a pseudo-terminal as a user would.

usage: drive_menuconfig.py KEYS COMMAND…
KEYS are typed one by one, each when the screen has come to rest; \\e, \\n \\d and \\b stand for
Escape, Enter, the down arrow and Backspace. Ends with the command's status, or 124 when it is still
there after 30 s."""

import os
import pty
import select
import sys
import time

NAMES = {"\\e": "\x1b\x1b", "\\n": "\r", "\\d": "\x1bOB", "\\b": "\x7f"}


def split_keys(text):
    keys, at = [], 0
    while at < len(text):
        step = 2 if text[at : at + 2] in NAMES else 1
        keys.append(NAMES.get(text[at : at + step], text[at : at + step]))
        at += step
    return keys


def main():
    keys, command = split_keys(sys.argv[1]), sys.argv[2:]
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="vt100", LINES="40", COLUMNS="100")
        os.execvp(command[0], command)
    deadline, screen = time.monotonic() + 30, b""
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.15 if screen or not keys else 5)
        if ready:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                data = b""
            if not data:
                break
            screen += data
        elif keys:
            os.write(terminal, keys.pop(0).encode())
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        return 124
    _, status = os.waitpid(child, 0)
    sys.stdout.write(screen.decode("utf-8", "replace"))
    return os.waitstatus_to_exitcode(status)


sys.exit(main())
