"""Foreign JSON is looked at before a parser that calls itself for every level sees it."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.nesting import DEEPEST, too_deep
from arbkit.wire.kalshi import Malformed, decode

VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(['"', "]]]]", "[[[[", '\\"[', "{", "\\"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=400,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_what_is_not_deep_is_never_called_so_whatever_its_strings_hold(value: object) -> None:
    assert depth(value) <= DEEPEST
    assert not too_deep(json.dumps([value, ["]"] * 300, ["["] * 300]).encode())


@pytest.mark.parametrize("opening", ["[", '{"a":', '["]]]",', '[1,{"b":', '["\\"]",'])
def test_the_deepest_that_is_allowed_passes_and_one_more_does_not(opening: str) -> None:
    levels = sum(1 for mark in opening if mark in "[{")
    whole = DEEPEST // levels
    assert not too_deep((opening * whole).encode())
    assert too_deep((opening * (whole + 1)).encode())


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert not too_deep(msgspec.json.encode([[1, [2]] for _ in range(5_000)]))


def test_a_reply_of_brackets_alone_does_not_end_a_process_whose_recursion_limit_was_raised() -> None:
    code = (
        "import asyncio, sys; sys.setrecursionlimit(100_000)\n"
        "from arbkit.chain.rpc import RPCEndpoint\n"
        "from arbkit.chain.transport import EndpointUnavailable\n"
        "endpoint = RPCEndpoint('http://127.0.0.1:1')\n"
        "try:\n    endpoint._matched([1], b'[' * 1_000_000)\n"
        "except EndpointUnavailable:\n    print('refused')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "refused\n")


def test_a_venue_message_of_brackets_alone_is_malformed() -> None:
    for text in (b"[" * 100_000, b'{"type": "ok", "more": ' + b"[" * 100_000):
        with pytest.raises(Malformed, match="nested too deep"):
            decode(text)
