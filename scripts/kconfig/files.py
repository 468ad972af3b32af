"""Writing files so that a reader sees the old one or the new one, and a lock against a second
make."""

import contextlib
import fcntl
import os


def write_atomic(path, text):
    """Replaces PATH by TEXT: temporary file beside it, fsync, rename. The temporary name is always
    the same, so that a killed writer leaves one at most; callers that may meet hold locked()."""
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, path) from error  # write() names no file
        raise


def write_if_changed(path, text):
    """write_atomic, unless PATH holds TEXT already; True when it wrote."""
    with contextlib.suppress(FileNotFoundError):
        with open(path, encoding="utf-8", newline="") as old:
            if old.read() == text:
                return False
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    write_atomic(path, text)
    return True


@contextlib.contextmanager
def locked(directory):
    """Holds an exclusive lock on DIRECTORY itself, so that no lock file is left in it."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
