"""How deep foreign JSON is nested, told before it is parsed.

Parsers call themselves for every level and rely on Python's recursion limit to stop in time. That limit is one for the
whole process and libraries raise it (py_ecc, which eth-account imports, sets 100,000): then a reply of brackets alone
overflows the C stack and ends the process.
"""

from __future__ import annotations

import re

DEEPEST = 200  # no message that we know of is nested a tenth as deep
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def too_deep(body: bytes) -> bool:
    """Tell whether a JSON text is nested deeper than `DEEPEST`, in time linear in its length."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    level = 0
    for bracket in _STRING.sub(b"", body).translate(None, _OTHERS):
        level += 1 if bracket in b"[{" else -1
        if level > DEEPEST:
            return True
    return False
