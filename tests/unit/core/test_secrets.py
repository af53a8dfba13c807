# ruff: noqa: N802
"""Secrets that meet everything that prints, and texts that hold keys meeting the mask."""

import base64
import copy
import json
import logging
import pickle
import random
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.core.secrets import MASK, RedactSecrets, Secret, fingerprint, is_key_like, redacted
from arbkit.journal.memory import MemoryJournal

WORD = "hunter2-and-more"
SECRET = Secret(WORD)
KEY = "0x" + "4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAwX\nq0Zz8m==\n-----END RSA PRIVATE KEY-----"
ENCODED = base64.b64encode(random.Random(4).randbytes(32)).decode()


@dataclass(frozen=True)
class Account:
    name: str
    key: Secret


ACCOUNT = Account("main", SECRET)


# -- the type ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        lambda: repr(SECRET),
        lambda: str(SECRET),
        lambda: f"{SECRET} {SECRET!s} {SECRET!r} {SECRET!a} {SECRET:>40}",
        lambda: f"{SECRET}",
        lambda: "{0} {0!r}".format(SECRET),  # noqa: UP032
        lambda: repr(ACCOUNT),
        lambda: repr([SECRET, {"key": SECRET}, (SECRET,)]),
        lambda: repr(asdict(ACCOUNT)),
        lambda: repr(replace(ACCOUNT, name="other")),
        lambda: json.dumps({"key": SECRET}, default=str),
        lambda: repr(ValueError(SECRET)) + str(ValueError("refused", SECRET)),
        lambda: repr(copy.copy(ACCOUNT)) + repr(copy.deepcopy(ACCOUNT)),
        lambda: repr(dir(SECRET)) + repr(SECRET.__class__.__dict__),
    ],
)
def test_fault_U6_nothing_that_prints_shows_a_secret(shown: Callable[[], str]) -> None:
    assert WORD not in shown()


@pytest.mark.parametrize(
    "leak",
    [
        lambda: json.dumps({"key": SECRET}),
        lambda: json.dumps(asdict(ACCOUNT)),
        lambda: pickle.dumps(SECRET),
        lambda: pickle.dumps(ACCOUNT),
        lambda: vars(SECRET),
        lambda: list(SECRET),  # type: ignore[call-overload]
        lambda: SECRET + "x",  # type: ignore[operator]
        lambda: hash(SECRET),
        lambda: {SECRET: 1},
        lambda: SECRET[0],  # type: ignore[index]
    ],
)
def test_a_secret_is_refused_where_it_would_be_read(leak: Callable[[], object]) -> None:
    with pytest.raises((TypeError, AttributeError)) as refusal:
        leak()
    assert WORD not in str(refusal.value)


def test_fault_U6_a_traceback_shows_no_secret() -> None:
    def sign(key: Secret) -> None:
        raise RuntimeError(f"the venue does not take {key}, the {key!r} of {ACCOUNT}")

    try:
        sign(SECRET)
    except RuntimeError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "the venue does not take ***" in told
    assert WORD not in told.replace(f'WORD = "{WORD}"', "")


def test_fault_U6_a_journal_refuses_a_secret() -> None:
    journal = MemoryJournal()
    for value in (SECRET, (1, SECRET), [SECRET]):
        with pytest.raises(TypeError) as refusal:
            journal.append(0, "session.started", "main", key=value)
        assert WORD not in str(refusal.value)
    assert journal.facts == ()


def test_only_reveal_gives_the_text() -> None:
    assert SECRET.reveal() == WORD
    assert Secret(WORD) == SECRET
    assert Secret("other") != SECRET
    assert SECRET != WORD
    assert WORD != SECRET


def test_a_secret_is_never_empty_and_never_changes() -> None:
    with pytest.raises(ValueError, match="empty"):
        Secret("")
    with pytest.raises(AttributeError):
        SECRET._value = "mine"
    with pytest.raises(AttributeError):
        del SECRET._value


# -- text that holds one -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (f"key {PEM} end", "key *** end"),
        (PEM[:50], "***"),  # cut off: what there is of it is gone all the same
        ("https://me:pa@ss@rpc.example:8545/x", "https://***@rpc.example:8545/x"),
        ("wss://token@host/", "wss://***@host/"),
        ("https://polygon.example/v2/abCDe1234567890abcdefgh?x=1", "https://polygon.example/v2/***?x=1"),
        ("GET /orders?api_key=abc&size=3&token=t", "GET /orders?api_key=***&size=3&token=***"),
        ("POLY_API_KEY: 6e8f-1 POLY_PASSPHRASE: x", "POLY_API_KEY: *** POLY_PASSPHRASE: ***"),
        ("KALSHI-ACCESS-SIGNATURE=ab/c==", "KALSHI-ACCESS-SIGNATURE=***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("sent Bearer abcdefgh12", "sent Bearer ***"),
        ('{"apiKey": "two words", "size": "3"}', '{"apiKey": "***", "size": "3"}'),
        ("{'secret': 'it\\'s', 'size': 3}", "{'secret': '***', 'size': 3}"),
        ("mnemonic = 'one two three'", "mnemonic = '***'"),
        (f"made {ENCODED}.", "made ***."),
        (f"/v1/{ENCODED.replace('/', '_').replace('+', '-')}/x", "/v1/***/x"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d", "jwt ***"),
    ],
)
def test_fault_U6_key_material_in_a_text_is_masked(text: str, seen: str) -> None:
    assert redacted(text) == seen


@pytest.mark.parametrize(
    "text",
    [
        "token_id=71321045679252212594626385532706912750332728571942532289631379312455583992563",
        "/home/Anna/Recordings/arbitrage-betting/Kalshi_NYK_JAN07_WIN.csv.gz: line 7",
        "/Users/Anna/Documents/Recordings/JanuaryGames/NewYork",
        "https://external-api.kalshi.com/trade-api/v2/portfolio/orders/0e6ae2c0-7d3b-4a5c-9d0f-1c2b3a4d5e6f",
        "cross_venue:alpha:m:yes+beta:m:no.market.0",
        "KXNBAGAME-26JAN07NYKLAC-NYK at 0.44, size 10.5, funder 0x90F8bf6A479f320ead074411a4B0e7944Ea8c9C1",
        "limit max_exposure: 251.00 of 250.00 dollars, leg 0 alpha:m:yes",
        "",
    ],
)
def test_what_is_no_key_stays_readable(text: str) -> None:
    assert redacted(text) == text


def test_a_number_of_32_bytes_leaves_a_fingerprint_to_compare_lines_by() -> None:
    seen = redacted(f"signed with {KEY}")
    assert KEY[2:10] not in seen
    assert seen == f"signed with {fingerprint(KEY)}" == redacted(f"signed with {KEY[2:].upper()}")
    assert redacted(KEY.replace("4f", "4e")) != redacted(KEY)


@pytest.mark.parametrize("mark", ["0X", "0x0x", "0x0X"])
def test_a_key_in_hex_is_one_however_its_mark_is_written(mark: str) -> None:
    key = mark + "5e" * 32
    assert is_key_like(f"# {key}")
    assert "5e5e" not in redacted(f"holder: {key}")


def test_a_known_secret_is_masked_whatever_it_looks_like() -> None:
    known = (Secret("abc"), Secret("abcdef"))
    assert redacted("xabcdefx abc", known) == "x***x ***"


@given(st.text(max_size=60), st.binary(min_size=32, max_size=32), st.text(max_size=60))
def test_no_key_in_hex_survives_whatever_stands_around_it(before: str, key: bytes, after: str) -> None:
    assert key.hex() not in redacted(f"{before} {key.hex()} {after}")
    assert key.hex() not in redacted(f"{before}\n0x{key.hex()}\t{after}")


@given(st.text(max_size=300))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = redacted(text)
    assert redacted(once) == once


# -- logs --------------------------------------------------------------------------------------------------------


class Seen(logging.Handler):
    """What a handler with the filter writes, as plain text."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(RedactSecrets((SECRET,)))
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.text = ""
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record) + "\n"
        self.records.append(record)


@pytest.fixture
def log() -> tuple[logging.Logger, Seen]:
    logger, seen = logging.Logger("a.venue"), Seen()  # noqa: LOG001  (one that no other test hears of)
    logger.addHandler(seen)
    return logger, seen


def test_fault_U6_a_log_line_shows_no_key(log: tuple[logging.Logger, Seen]) -> None:
    logger, seen = log
    logger.warning("refused with api_key=%s, %s and %d", "abc", PEM, 3)
    logger.warning("sent %s", WORD)
    logger.warning("headers %s", {"POLY_API_KEY": "abc"})
    assert seen.text == (
        "WARNING refused with api_key=***, *** and 3\nWARNING sent ***\nWARNING headers {'POLY_API_KEY': '***'}\n"
    )


def test_fault_U6_extra_fields_are_redacted_too(log: tuple[logging.Logger, Seen]) -> None:
    logger, seen = log
    fields = {
        "api_key": "abc",
        "deep": {"secret": "s", "url": "https://a:b@c/", "n": [1, KEY]},
        "key": SECRET,
        "size": 3,
    }
    logger.error("venue.refused", extra=fields)
    record = vars(seen.records[0])
    assert record["api_key"] == MASK
    assert record["deep"] == {"secret": MASK, "url": f"https://{MASK}@c/", "n": [1, fingerprint(KEY)]}
    assert record["key"] is SECRET
    assert record["size"] == 3


def test_fault_U6_a_logged_exception_and_stack_show_no_key(log: tuple[logging.Logger, Seen]) -> None:
    logger, seen = log
    try:
        raise ConnectionError(f"https://anna:{WORD}@rpc.example refused {KEY}")
    except ConnectionError:
        logger.exception("rpc.failed", stack_info=True)
    assert "ConnectionError: https://***@rpc.example refused ***" in seen.text
    assert "Stack (most recent call last)" in seen.text
    assert KEY[2:] not in seen.text
    assert seen.records[0].exc_info is None  # a handler that reports exceptions itself finds none
    seen.text = ""
    logger.error("nothing.raised", exc_info=True)  # noqa: LOG014
    assert seen.text == "ERROR nothing.raised\n"


def test_a_message_that_cannot_be_formed_is_told_not_raised(log: tuple[logging.Logger, Seen]) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ZeroDivisionError(WORD)

    logger, seen = log
    logger.error("what %s", Broken())
    logger.error("too %s many", 1, 2)  # noqa: PLE1205
    assert seen.text.splitlines() == [
        "ERROR a log message could not be written: ZeroDivisionError in 'what %s'",
        "ERROR a log message could not be written: TypeError in 'too %s many'",
    ]
