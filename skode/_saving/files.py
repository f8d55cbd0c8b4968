"""The file of a saved model: a ZIP archive with metadata in JSON and arrays in NumPy's format.

Nothing in such a file can be executed.  Entries are not compressed, so the arrays take no more
memory than the file.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
import struct
import zipfile
from contextlib import contextmanager, nullcontext, suppress

import numpy as np

METADATA, SUFFIX = "metadata.json", ".npy"
MOST_METADATA = 2**26  # bytes: JSON takes up to 20 times as much memory as text
DATA_DESCRIPTOR, UTF_8 = 0x08, 0x800  # flags of ZIP that do not affect how entries are read
HEAD = 256  # bytes that contain the header of any array
# The header of an array as NumPy writes it.  Any other is rejected before NumPy parses it.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>[<>|][biufMmU]\d{1,9}(?:\[\w+\])?)', 'fortran_order': (?:True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,18},|\d{1,18}(?:, \d{1,18})+)?)\), \} *\n",
    re.DOTALL,
)
# Exceptions of `zipfile` for damaged archives; the first is for unsupported features.
DAMAGED = (NotImplementedError, zipfile.BadZipFile, struct.error, EOFError, OverflowError)


def write(target, metadata, arrays):
    """Write a file.

    Parameters
    ----------
    target : path-like or binary file
        The destination.  A file at this path is replaced once the new one is complete.
    metadata : dict
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If the metadata are too large to be read again.
    """
    text = json.dumps(metadata, allow_nan=False).encode("ascii")
    if len(text) > MOST_METADATA:
        raise ValueError(
            f"skode.save cannot store parameters and names that take {len(text)} bytes; at most "
            f"{MOST_METADATA} are possible."
        )
    given = nullcontext(target) if hasattr(target, "write") else _replacing(target)
    # The entries have the default date of `ZipInfo`, so the same model gives the same bytes.
    with given as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA), text)
        for name, array in arrays.items():
            entry, large = zipfile.ZipInfo(name + SUFFIX), array.nbytes >= 2**31
            with archive.open(entry, "w", force_zip64=large) as stream:
                np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)


def read(file, check):
    """Read the metadata and the arrays of a binary file; `check` is first called with the metadata.

    Raises
    ------
    ValueError
        If the file was not written by `write`.
    """
    try:
        size = file.seek(0, os.SEEK_END)
        with zipfile.ZipFile(file) as archive:
            entries = _entries(archive)
            if METADATA not in entries:
                raise ValueError(f"it has no entry {METADATA}, so skode.save has not written it")
            metadata = _metadata(archive, entries.pop(METADATA), size)
            check(metadata)  # first, since other formats may have other entries
            arrays = _arrays(archive, entries, size)
    except DAMAGED as error:
        raise ValueError(f"it is damaged or was not written by skode.save ({error})") from error
    return metadata, arrays


@contextmanager
def opened(source):
    """Open a binary file for reading; yield it and its name for messages."""
    if hasattr(source, "read"):
        yield source, getattr(source, "name", "the file")
    else:
        path = os.fsdecode(source)
        with open(path, "rb") as file:
            yield file, path


def _entries(archive):
    """Return the entries of an archive by their names."""
    entries = {}
    for entry in archive.infolist():
        name = entry.filename
        if name in entries:
            raise ValueError(f"it has two entries {name!r}")
        entries[name] = entry
    return entries


def _opened(archive, entry, size):
    """Open an entry after checking that its data lie within the file."""
    plain = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
    if not plain or entry.flag_bits & ~(DATA_DESCRIPTOR | UTF_8):
        raise ValueError(f"its entry {entry.filename!r} is compressed or encrypted")
    if not 0 <= entry.header_offset <= size - entry.file_size:
        raise ValueError(f"its entry {entry.filename!r} does not lie within the file")
    return archive.open(entry)


def _metadata(archive, entry, size):
    if entry.file_size > MOST_METADATA:
        raise ValueError(f"its {METADATA} has {entry.file_size} bytes, more than {MOST_METADATA}")
    with _opened(archive, entry, size) as stream:
        text = stream.read()
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"its {METADATA} has two entries of the same name")
    return found


def _no_constant(name):
    raise ValueError(f"its {METADATA} holds {name}, which is not JSON")


def _arrays(archive, entries, size):
    """Read the arrays of the entries by their names."""
    if sum(entry.file_size for entry in entries.values()) > size:
        raise ValueError("its entries overlap")
    if unknown := [name for name in entries if not name.endswith(SUFFIX)]:
        raise ValueError(f"it has unknown entries: {', '.join(map(repr, unknown))}")
    return {
        name.removesuffix(SUFFIX): _array(archive, entry, size) for name, entry in entries.items()
    }


def _array(archive, entry, size):
    """Read the array of an entry, after checking that the file contains all of it."""
    with _opened(archive, entry, size) as stream:
        header = HEADER.match(stream.read(HEAD))
    if header is None:
        raise ValueError(f"its entry {entry.filename!r} is not an array of numbers or text")
    try:
        dtype = np.dtype(header["dtype"].decode())
    except (TypeError, ValueError) as error:
        raise ValueError(f"its entry {entry.filename!r} has an unknown type ({error})") from error
    shape = [int(number) for number in header["shape"].split(b",") if number]
    whole = header.end() == 10 + int.from_bytes(header["length"], "little")
    n_bytes = math.prod(shape) * dtype.itemsize
    if not whole or not dtype.itemsize or header.end() + n_bytes != entry.file_size:
        raise ValueError(
            f"its entry {entry.filename!r} should hold an array of shape {tuple(shape)} and type "
            f"{dtype}, but its length is not that of one"
        )
    with _opened(archive, entry, size) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


@contextmanager
def _replacing(path):
    """Yield a binary file that replaces `path` once it is complete, and is removed on errors."""
    path = os.path.realpath(os.fsdecode(path))
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with open(path, "wb") as file:  # a pipe or a device, which cannot be replaced
            yield file
        return
    part = os.path.join(os.path.dirname(path), f".skode-{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, part)
        os.replace(part, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.remove(part)
        if isinstance(error, OSError) and error.filename == part:  # name the file asked for
            raise type(error)(error.errno, error.strerror, path) from error
        raise
