"""JSON5, as far as Zenoh's configuration files use it."""

from __future__ import annotations

import json
import re
from typing import Any

STRING = r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
COMMENT = re.compile(rf"{STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
# A comma before a closing bracket, or a name without quotation marks.
LOOSE = re.compile(rf"{STRING}|(?P<comma>,(?=\s*[}}\]]))|[A-Za-z_$][\w$]*(?=\s*:)", re.DOTALL)


def loads(text: str) -> Any:
    """Parse JSON with comments, names without quotation marks, single ones, and commas before a closing bracket.

    Raises:
        ValueError: it is not that.
    """
    without_comments = COMMENT.sub(lambda found: found["string"] or " ", text)
    return json.loads(LOOSE.sub(_as_json, without_comments))


def _as_json(found: re.Match[str]) -> str:
    text = found.group()
    if found["comma"]:
        return ""
    if found["string"] is None:
        return f'"{text}"'
    return text if text[0] == '"' else json.dumps(text[1:-1].replace("\\'", "'"))
