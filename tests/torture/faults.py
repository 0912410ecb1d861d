"""Generators of faults: what a disk, a kill, a careless hand or a hostile one may make of a file. All are functions of
a seed, so that a failure names what made it."""

import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

ESCAPES = "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\nb", "\u202egnp"
TEXTS = ("", "x", "-", "000000064", *ESCAPES, "\ud800", "é" * 300, "NaN")
NUMBERS = (0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e308, float("nan"), float("inf"), -float("inf"))


def json_value(rng: random.Random, depth: int = 2) -> Any:
    """A JSON value of any kind."""
    kinds = ["null", "flag", "number", "text"] + (["list", "dict"] if depth else [])
    kind = rng.choice(kinds)
    if kind == "null":
        return None
    if kind == "flag":
        return rng.random() < 0.5
    if kind == "number":
        return rng.choice(NUMBERS)
    if kind == "text":
        return rng.choice(TEXTS)
    parts = [json_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return parts if kind == "list" else {rng.choice(("images", "name", "0", *TEXTS)): part for part in parts}


def with_another(rng: random.Random, whole: Any, changed: Callable[[Any], Any]) -> Any:
    """A list or a dictionary in which one part is changed, or is gone."""
    whole = whole.copy()
    key = rng.choice(list(whole)) if isinstance(whole, dict) else rng.randrange(len(whole))
    if rng.random() < 0.15:
        del whole[key]
    else:
        whole[key] = changed(whole[key])
    return whole


def other_json(rng: random.Random, value: Any, depth: int = 3) -> Any:
    """An honest JSON value in which one part is of another kind, or is gone."""
    if not depth or not isinstance(value, dict | list) or not value or rng.random() < 0.2:
        return json_value(rng)
    return with_another(rng, value, lambda part: other_json(rng, part, depth - 1))


def odd_text(rng: random.Random, value: Any) -> bytes:
    """The JSON text of a value, another one, or hardly any JSON."""
    kind = rng.randrange(8)
    if kind == 0:
        return b"[" * 100_000
    if kind == 1:
        return b'{"images": ' + b"9" * 10_000 + b"}"
    if kind == 2:
        return damaged(rng, json.dumps(value).encode())
    return json.dumps(other_json(rng, value)).encode()


def damaged(rng: random.Random, content: bytes) -> bytes:
    """The bytes of a file with one fault: bits flipped, cut off, a stretch of zeros or of noise, a part twice."""
    if not content:
        return b"\0"
    start = rng.randrange(len(content))
    stop = min(len(content), start + rng.choice((1, 4, 512, 4096)))
    kind = rng.randrange(5)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + bytes(stop - start) + content[stop:]
    if kind == 2:
        return content[:start] + rng.randbytes(stop - start) + content[stop:]
    if kind == 3:
        return content[:stop] + content[start:]
    return content[:start] + bytes([content[start] ^ 1 << rng.randrange(8)]) + content[start + 1 :]


def tar_entry(name: str, size: int, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: Any) -> bytes:
    """An entry of a tar archive that claims `size` bytes and has those of `content`."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    for key, value in fields.items():
        setattr(entry, key, value)
    return entry.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def sparse_entry(name: str, size: int) -> bytes:
    """An entry of old GNU tar that is one hole."""
    head = bytearray(tar_entry(name, 0, tarfile.GNUTYPE_SPARSE))
    head[386:410] = b"%011o\0%011o\0" % (0, 0)
    head[483:495] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def lying_tar(rng: random.Random, picture: bytes) -> bytes:
    """A tar archive of a picture and an entry that is not what it claims."""
    good = tar_entry("good.png", len(picture), content=picture)
    huge = rng.choice((2**20, 2**33, 2**60, 2**80))
    odd = [
        lambda: tar_entry("huge.png", huge),
        lambda: sparse_entry("holes.png", huge),
        lambda: tar_entry("name", huge, tarfile.GNUTYPE_LONGNAME, b"x" * 512),
        lambda: tar_entry("pax", huge, tarfile.XHDTYPE, b"30 size=1152921504606846976\n"),
        lambda: tar_entry("pax", 28, tarfile.XHDTYPE, b"28 size=11529215046068469760") + good,
        lambda: tar_entry("global", huge, tarfile.XGLTYPE, b"x" * 100),
        lambda: tar_entry("map", 1024, tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n") + good,
        lambda: tar_entry("link.png", 0, tarfile.SYMTYPE, linkname="/etc/passwd"),
        lambda: tar_entry("/etc/passwd.png", len(picture), content=picture),
        lambda: tar_entry("../up.png", len(picture), content=picture),
        lambda: tar_entry("pipe.png", 0, tarfile.FIFOTYPE),
        lambda: rng.randbytes(512),
        lambda: damaged(rng, good),
    ]
    parts = [good, rng.choice(odd)()]
    rng.shuffle(parts)
    whole = b"".join(parts) + bytes(1024)
    return gzip.compress(whole, 1) if rng.random() < 0.3 else whole


def lying_zip(rng: random.Random, picture: bytes) -> bytes:
    """A zip archive of pictures of which the directory, or some byte, is not what it was."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", picture)
    content = bytearray(file.getvalue())
    if rng.random() < 0.5:
        return damaged(rng, bytes(content))
    place = content.find(b"PK\x01\x02") + rng.choice((20, 24, 42))  # its sizes, and where it lies
    content[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x10"))
    return bytes(content)


def table(rng: random.Random, names: list[str]) -> bytes:
    """A table of attributes that nobody would write."""
    kind = rng.randrange(7)
    if kind == 0:
        return rng.randbytes(2000)
    if kind == 1:
        return b"file," + b'"' * 3000
    if kind == 2:
        return ("file," + ",".join(f"c{i}" for i in range(3000)) + "\n" + names[0] + ",1" * 3000).encode()
    if kind == 3:
        cells = (*TEXTS, "nan", "1e999", "-" * 500)
        rows = "".join(f"{name},{rng.choice(cells)}\n" for name in names)
        return f"file,a\n{rows}".encode(errors="replace")
    if kind == 4:
        return ("file,a\n" + f"{names[0]},{'9' * 5000}\n").encode()
    if kind == 5:
        return damaged(rng, ("file;hair;age\n" + "".join(f"{name};red;{i}\n" for i, name in enumerate(names))).encode())
    return ("\ufefffile\ta\x1b[31m\t\t\n" + "".join(f"{name}\t{i}\n" for i, name in enumerate(names))).encode("utf-16")


def array_file(rng: random.Random) -> tuple[str, bytes]:
    """A .npy or .npz file with a fault: its suffix and its bytes."""
    images = np.zeros((4, 8, 8, 1), np.uint8)
    plain, packed = io.BytesIO(), io.BytesIO()
    np.save(plain, images)
    np.savez(packed, images=images, labels=np.arange(4))
    content = plain.getvalue()
    shape = rng.choice(
        (b"(4,8,8,-1)", b"(-4,8,8,1)", b"()", b"(2**62,8,8)", b"(4000000000000,8)", b"(4,", b"(4,8,8,1e9)")
    )
    odd: list[Callable[[], tuple[str, bytes]]] = [
        lambda: (".npy", damaged(rng, content)),
        lambda: (".npy", content.replace(b"(4, 8, 8, 1), }    ", shape + b", }".ljust(19 - len(shape)), 1)),
        lambda: (".npz", damaged(rng, packed.getvalue())),
        lambda: (".npz", _npz({"images.npy": rng.choice((b"none", b"", content[:70]))})),
        lambda: (".npz", _npz({"images.npy": content, "labels.npy": b"none"})),
        lambda: (".npz", _npz({rng.choice(TEXTS) or "x": content})),
    ]
    return rng.choice(odd)()


def _npz(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.encode(errors="replace").decode(), content)
    return file.getvalue()


def other_state(rng: random.Random, state: Any, depth: int = 5) -> Any:
    """What `state.pt` holds, with a part of it of another kind or shape."""
    import torch

    if isinstance(state, torch.Tensor):
        return rng.choice((torch.zeros(3, 5), state.flatten()[:-1], state.double(), torch.zeros(()), None, "weights"))
    if not depth or not isinstance(state, dict | list) or not state or rng.random() < 0.1:
        other = (None, True, -1, 2**70, float("nan"), "text", [], {}, [1, "x"], {"images": "x"}, torch.ones(2))
        return rng.choice(other)
    return with_another(rng, state, lambda part: other_state(rng, part, depth - 1))
