"""CYCLONEDDS_URI: a list of XML in place and of files, the last of which wins."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from omnivla_vision.errors import VisionError

# A comment, a declaration, or a tag: its slash, its name, its attributes, and the slash of an empty element.
TAG = re.compile(r"<!--.*?-->|<\?.*?\?>|<(/?)([\w:.-]*)([^>]*?)(/?)>", re.DOTALL)
SIZE = re.compile(r"(\d+(?:\.\d+)?) *(B|kB|KiB|MB|MiB|GB|GiB)?")
# Cyclone DDS's manual: kB is 2^10 bytes, MB 2^20, GB 2^30.
UNIT_BYTES = {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class CycloneConfigError(VisionError):
    """The configuration in CYCLONEDDS_URI is none that Cyclone DDS starts with."""


def receive_buffer_size(uri: str, *, domain: str) -> tuple[int | None, int | None]:
    """The attributes min and max of SocketReceiveBufferSize for that domain, in bytes; None for "default".

    Raises:
        CycloneConfigError: a part of `uri` cannot be read; the message says which.
    """
    sizes: dict[str, int | None] = {"min": None, "max": None}
    for root in _documents(uri):
        for element in _elements(root, domain):
            name, attributes = _local(element.tag), {_local(key): value for key, value in element.attrib.items()}
            if name == "minimumsocketreceivebuffersize":  # its name before Cyclone DDS 0.9
                attributes = {"min": element.text or ""}
            elif name != "socketreceivebuffersize":
                continue
            sizes |= {key: _size(attributes[key]) for key in sizes if key in attributes}
    return sizes["min"], sizes["max"]


def _documents(uri: str) -> Iterator[ElementTree.Element]:
    rest = uri.strip(", \t\n")
    while rest:
        if rest.startswith("<"):
            text, rest = _in_place(rest)
            where = f"'{text}'"
        else:
            where, _, rest = rest.partition(",")
            try:
                text = Path(where.removeprefix("file://")).read_text()
            except OSError as error:
                raise CycloneConfigError(f"{where}: {error.strerror or error}") from error
        try:
            yield ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise CycloneConfigError(f"{where} is not XML: {error}") from error
        rest = rest.lstrip(", \t\n")


def _in_place(text: str) -> tuple[str, str]:
    """The first element, and what comes after it. Cyclone DDS lets </> close any, and the end of the text close all."""
    whole, position, opened = "", 0, list[str]()
    for tag in TAG.finditer(text):
        slash, name, _, empty = tag.groups()
        whole += text[position : tag.start()]
        position = tag.end()
        if slash:
            innermost = opened.pop() if opened else ""
            whole += f"</{name or innermost}>"
        else:
            whole += tag.group()
            if name and not empty:
                opened.append(name)
        if name is not None and not opened:
            return whole, text[position:]
    return whole + text[position:] + "".join(f"</{name}>" for name in reversed(opened)), ""


def _elements(element: ElementTree.Element, domain: str) -> Iterator[ElementTree.Element]:
    """All that count for the domain: those of another one do not."""
    if _local(element.tag) == "domain":
        ids = [value for key, value in element.attrib.items() if _local(key) == "id"]
        if ids and ids[0] not in ("any", domain):
            return
    yield element
    for child in element:
        yield from _elements(child, domain)


def _local(name: str) -> str:
    """Without a namespace; Cyclone DDS does not tell upper from lower case."""
    return name.rpartition("}")[2].lower()


def _size(text: str) -> int | None:
    if text.lower() == "default":
        return None
    match = SIZE.fullmatch(text)
    if match is None:
        raise CycloneConfigError(f"SocketReceiveBufferSize: found '{text}', expected a size such as 16MiB")
    return round(float(match[1]) * UNIT_BYTES[(match[2] or "B").rstrip("Bi")])
