"""One spelling of a fact, and the hash that holds each record to the one before it.

A record is `[at,fact,key,{name:value,...}]` as UTF-8 JSON, names in order, no blanks. Everything that is read must be
spelled exactly so: whatever else could be said in JSON was not written by a journal. The chain tells of bad disks and
of edits by hand; who may write the file and knows how can write another chain, and file modes are what keeps them off.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple

import msgspec

from arbkit.core.errors import JournalDamaged

DEPTH = 4  # tuples within tuples
_Scalar = bool | int | str | None
_Value = _Scalar | tuple[_Scalar | tuple[_Scalar | tuple[_Scalar | tuple[_Scalar, ...], ...], ...], ...]
_plain: set[type] = {int, bool, str, type(None)}  # what the encoder writes as it is; enums are added as they are met


class Fact(NamedTuple):
    """One fact about an order or trade: when (ns), what, about which key, and its data in the order of their names."""

    at: int
    fact: str
    key: str
    data: Mapping[str, _Value]

    def get(self, name: str) -> object:
        """Return one value of the data; KeyError when it has none of that name."""
        return self.data[name]


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Fact)


def fact_of(at: int, fact: str, key: str, data: Mapping[str, object]) -> Fact:
    """Return a fact in its one form; TypeError for a value without one exact spelling (a float, a set, an object)."""
    return _decoder.decode(spell(at, fact, key, data))


def encode(fact: Fact) -> bytes:
    """Return the one spelling of a fact, without a line end."""
    return _encoder.encode(fact)


def spell(at: int, fact: str, key: str, data: Mapping[str, object]) -> bytes:
    """Return the one spelling of what happened; TypeError as `fact_of`."""
    if type(at) is int and type(fact) is type(key) is str and _is_plain(data.values(), DEPTH):
        try:
            return _encoder.encode((at, fact, key, data))  # nearly all there is: the encoder writes it as it must be
        except UnicodeEncodeError:
            pass
    kept = {_text(name): _exact(name, value, DEPTH) for name, value in data.items()}
    return _encoder.encode((operator.index(at), _text(fact), _text(key), kept))


def decode(number: int, body: bytes) -> Fact:
    """Read record `number`; JournalDamaged names it when it is spelled in any other way than `encode` does."""
    try:
        fact = _decoder.decode(body)
        exact = _encoder.encode(fact) == body
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise JournalDamaged(f"record {number} cannot be read: {error}") from None
    if not exact:
        raise JournalDamaged(f"record {number} is not spelled as a journal spells")
    return fact


def decode_block(first: int, bodies: Sequence[bytes]) -> list[Fact]:
    """Read records from number `first` on, as `decode` does one by one and in half the time."""
    lines = b"\n".join(bodies) + b"\n"
    try:
        facts = _decoder.decode_lines(lines)
        if len(facts) == len(bodies) and _encoder.encode_lines(facts) == lines:
            return facts
    except (msgspec.MsgspecError, ValueError, TypeError):
        pass  # it is in one of them, and that one is named
    return [decode(number, body) for number, body in enumerate(bodies, first)]


def link(before: bytes, body: bytes) -> bytes:
    """Return the hash of a record: sha256 over the hash of the one before it and its own body."""
    return hashlib.sha256(before + body).digest()


def genesis(account: str, environment: str, created: str) -> bytes:
    """Return what stands before the first record, so that records cannot be moved to another account's journal."""
    return hashlib.sha256(_encoder.encode([account, environment, created])).digest()


def digest(facts: Iterable[Fact]) -> str:
    """Return the sha256 over facts in order, a line each."""
    found = hashlib.sha256()
    for fact in facts:
        found.update(encode(fact) + b"\n")
    return found.hexdigest()


def _is_plain(values: Collection[object], depth: int) -> bool:
    """Tell whether all values are whole numbers, texts, truths, None, words of enums, or tuples of these, so deep."""
    if _plain.issuperset(map(type, values)):
        return True
    for value in values:
        kind = type(value)
        if kind is tuple and depth:
            if not _is_plain(value, depth - 1):  # type: ignore[arg-type]
                return False
        elif kind not in _plain:
            if not issubclass(kind, (StrEnum, IntEnum)):
                return False
            _plain.add(kind)
    return True


def _text(text: str) -> str:
    """Return a text that UTF-8 can spell: half a surrogate pair, which JSON may bring from a venue, is escaped."""
    if text.isascii():
        return text if type(text) is str else str(text)
    return text.encode(errors="backslashreplace").decode()


def _exact(name: str, value: object, depth: int) -> object:
    """Return a value in a form that is always written the same."""
    if isinstance(value, (bool, type(None))):
        return value
    if isinstance(value, int):
        return int(value)  # an IntEnum is written as its number
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (tuple, list)) and depth:
        return tuple([_exact(name, item, depth - 1) for item in value])
    raise TypeError(f"a journal keeps whole numbers, texts, truths and tuples ({DEPTH} deep), not {name}={value!r}")
