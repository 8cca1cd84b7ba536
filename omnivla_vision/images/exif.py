"""The rotation that a picture file asks its viewer for."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
# What comes before the TIFF structure in JPEG, PNG and WebP files, and the bytes between.
_BEFORE = ((b"Exif\0\0", 0), (b"eXIf", 0), (b"EXIF", 4))
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def orientation(data: bytes) -> int:
    """EXIF's orientation, 1 to 8, of a JPEG, PNG or WebP file; 1, upright, where it has none that can be read."""
    for mark, gap in _BEFORE:
        position = data.find(mark)
        if position >= 0:
            try:
                return _from_tiff(data[position + len(mark) + gap :])
            except struct.error:
                return 1
    return 1


def _from_tiff(data: bytes) -> int:
    order = _BYTE_ORDERS.get(data[:4])
    if order is None:
        return 1
    (position,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, position)
    for entry in range(entries):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, position + 2 + 12 * entry)
        if tag == _ORIENTATION:
            return int(value) if 1 <= value <= 8 else 1
    return 1
