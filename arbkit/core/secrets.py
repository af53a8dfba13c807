"""What must never be seen: a type that does not show its value, and a mask for text that may hold one.

A key is kept as a `Secret` from the moment it is read. Whatever prints, formats, logs, copies or pickles it meets
`***` or a TypeError. Text that comes from elsewhere (a venue's error page, a traceback, a URL) goes through
`redacted`, and a handler with `RedactSecrets` does that to everything it is given.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import traceback
from collections.abc import Iterable
from typing import Any, Final, NoReturn

MASK: Final = "***"


class Secret:
    """A text that shows itself only to `reveal`. It cannot be changed, pickled, iterated or used as a key."""

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("an empty text is no secret")
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        """Return the text itself, for the one place that signs or sends with it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        """Compare in a time that tells nothing of where two secrets differ; a plain text is never equal."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash is a value that gets printed

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled: give the other process the reference it was read from")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a secret does not change")


# -- what looks like a secret ----------------------------------------------------------------------------------

# Names under which keys travel: settings, headers, query strings. A bare `token` is one, a `token_id` is a market's.
KEY_NAMES: Final = (
    r"(?:[a-z0-9]+[-_]){0,4}(?:api[-_]?key(?:[-_]?id)?|api[-_]?secret|access[-_]?key|private[-_]?key|signing[-_]?key|"
    r"secret(?:[-_]?key)?|passphrase|pass[-_]?phrase|password|passwd|pwd|mnemonic|seed[-_]?phrase|"
    r"token|signature|authorization|cookie|credentials?)"
)
KEY_NAME = re.compile(KEY_NAMES, re.IGNORECASE)

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0[xX])*[0-9a-fA-F]{64}(?:[0-9a-fA-F]{64})?(?![0-9A-Za-z])")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
# The two alphabets of base64, apart: what has a slash and a dash is a path.
_BASE64 = re.compile(
    r"(?<![\w+/=-])[A-Za-z0-9+/]{40,}={0,2}(?![\w+/=-])|(?<![\w+=-])[A-Za-z0-9_-]{40,}={0,2}(?![\w+=-])", re.ASCII
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_USER = re.compile(r"(?<=://)[^\s/?#'\"]+@")
_PATH_KEY = re.compile(r"(://[^\s/?#]+/(?:[\w.-]+/)*?v\d+/)(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}")
_NAMED = re.compile(
    rf"(?<![A-Za-z0-9])(?P<name>{KEY_NAMES})(?P<is>['\"]?\s*(?:[=:]|=>)\s*(?:(?:bearer|basic|token)\s+)?)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s&,;'\")\]}]+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?<![A-Za-z0-9])(bearer|basic)\s+(?!\*)[A-Za-z0-9+/_.~=-]{8,}", re.IGNORECASE)


def is_key_like(text: str) -> bool:
    """Tell whether a text is, or holds, what could be a key whatever it is called: PEM, 32 or 64 bytes in hex, a JWT."""
    return any(pattern.search(text) for pattern in (_PEM, _HEX, _JWT))


def has_login(text: str) -> bool:
    """Tell whether a text holds a URL with a user or password in it."""
    return _USER.search(text) is not None


def redacted(text: str, known: Iterable[Secret] = ()) -> str:
    """Return the text with everything masked that is, or looks like, key material.

    `known` secrets are masked wherever they stand, whatever they look like. A 32-byte hex number may be a key or the
    hash of an order: it becomes a fingerprint, from which the number cannot be found but by which lines can be
    compared. Too much is masked rather than too little.
    """
    for value in sorted((secret.reveal() for secret in known), key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _PEM.sub(MASK, text)
    text = _USER.sub(f"{MASK}@", text)
    text = _PATH_KEY.sub(rf"\1{MASK}", text)
    text = _NAMED.sub(_named, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    text = _JWT.sub(MASK, text)
    text = _HEX.sub(lambda found: fingerprint(found.group()), text)
    return _BASE64.sub(lambda found: MASK if _is_mixed(found.group()) else found.group(), text)


def fingerprint(text: str) -> str:
    """Return a short name of a long random text that tells nothing about it: the mask and 8 digits of its SHA-256."""
    return MASK + hashlib.sha256(text.lower().removeprefix("0x").encode()).hexdigest()[:8]


def _named(found: re.Match[str]) -> str:
    value = found["value"]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found['name']}{found['is']}{quote}{MASK}{quote}"


def _is_mixed(text: str) -> bool:
    """Tell whether a run has capitals, small letters and more, as 999 of 1,000 random ones do; an address is none."""
    if _ADDRESS.fullmatch(text):
        return False
    capitals, small = sum(c.isupper() for c in text), sum(c.islower() for c in text)
    return capitals >= 5 and small >= 5 and not text.replace("/", "").isalpha()


# -- logs ------------------------------------------------------------------------------------------------------

_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class RedactSecrets(logging.Filter):
    """A filter for handlers: message, extra fields, traceback and stack of a record are redacted before they are seen.

    The record itself is changed, so that no handler after this one sees more. Nothing is ever dropped.
    """

    def __init__(self, known: Iterable[Secret] = ()) -> None:
        super().__init__()
        self._known = tuple(known)

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record; always true."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001  (an argument's own __str__ may raise anything; a log must not)
            message = f"a log message could not be written: {type(error).__name__} in {record.msg!r}"
        record.msg, record.args = self._hide(message), None
        for name in vars(record).keys() - _PLAIN:
            setattr(record, name, self._named(name, getattr(record, name)))
        if record.exc_info:
            if record.exc_info[0] is not None:
                record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            record.exc_info = None  # the exception itself would take its text past us
        if record.exc_text:
            record.exc_text = self._hide(record.exc_text)
        if record.stack_info:
            record.stack_info = self._hide(record.stack_info)
        return True

    def _hide(self, text: str) -> str:
        return redacted(text, self._known)

    def _value(self, value: object) -> object:
        if value is None or isinstance(value, (bool, int, float, Secret)):
            return value
        if isinstance(value, dict):
            return {self._value(key): self._named(key, item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._value(item) for item in value]
        return self._hide(str(value))

    def _named(self, name: object, value: object) -> object:
        """Mask a text that is called a key, whatever it looks like."""
        if isinstance(value, str) and KEY_NAME.fullmatch(str(name)):
            return MASK
        return self._value(value)
