"""Text and tokens of `make bench-peers`, the same for every side."""
import array
import collections
import gzip
import hashlib
import os
import re
from pathlib import Path

TEXT_BYTES = 8 << 20
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
# Debian's package, and where set-up unpacks it on a system that leaves out /usr/share/doc.
PACKAGES = [Path("/usr/share/doc"), CACHE / "knlp/linux-doc/usr/share/doc"]


def sources():
    """English kernel documentation, or where it is not installed the text of this project."""
    for packages in PACKAGES:
        for root in sorted(packages.glob("linux-doc*")):
            found = sorted(p for p in root.rglob("*.rst*") if p.name.endswith((".rst", ".rst.gz"))
                           and "translations" not in p.parts)
            if found:
                return "kernel documentation", found
    here = Path(__file__).resolve().parents[2]
    return "sources of this project", sorted(p for pattern in ("*.md", "docs/*.md", "src/**/*.cpp", "include/**/*.h")
                                             for p in here.glob(pattern))


def make_text(scratch):
    """scratch/text.txt, at most TEXT_BYTES of UTF-8; (path, what it is)."""
    path = scratch / "text.txt"
    what, files = sources()
    if not path.exists():
        parts, size = [], 0
        for file in files:
            data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            parts.append(data.decode("utf-8", errors="replace"))
            size += len(data)
            if size >= TEXT_BYTES:
                break
        text = "\n".join(parts).encode()[:TEXT_BYTES].decode("utf-8", errors="ignore")
        path.write_text(text, encoding="utf-8", newline="")
    return path, what


def ids_of(text, vocab_size):
    """Bytes for 257, the most frequent characters below that, the most frequent words above: text that a model
    of that vocabulary can learn from. The last id stands for everything else."""
    if vocab_size == 257:
        return array.array("H", list(text.encode()))
    pieces = list(text) if vocab_size < 257 else re.findall(r" ?\w+|\s|[^\w\s]", text)
    ranked = {piece: rank for rank, (piece, _) in enumerate(collections.Counter(pieces).most_common(vocab_size - 1))}
    return array.array("H", [ranked.get(piece, vocab_size - 1) for piece in pieces])


def make_tokens(scratch, vocab_size):
    """scratch/tokens-V.bin: uint16 without header."""
    path = scratch / f"tokens-{vocab_size}.bin"
    if not path.exists():
        text, _ = make_text(scratch)
        path.write_bytes(ids_of(text.read_text(encoding="utf-8"), vocab_size).tobytes())
    return path


def make_llmc_tokens(path, ids):
    """A token file with llm.c's header: 256 int32 (magic, version, count), then uint16."""
    header = array.array("i", [20240520, 1, len(ids)] + 253 * [0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.tobytes() + ids.tobytes())


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
