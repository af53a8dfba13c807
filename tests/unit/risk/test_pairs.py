# ruff: noqa: N802
"""Approvals of pairs: what they say, when they say it, and the file they stand in."""

from __future__ import annotations

import errno
import sys
import threading
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest

from arbkit.core.errors import ConfigError
from arbkit.core.model import Book, Kind, Market, MarketTable, Pair
from arbkit.core.units import NS_PER_S
from arbkit.risk import pairs
from arbkit.risk.pairs import FOR_EVER, PairApproval, PairBook, rules_hash
from tests.unit.risk.desk import ALPHA, BETA, NO_A, NO_B, NOW, TABLE, YES_A, YES_B, a_basket

HOUR = 3_600
END = NOW + HOUR * NS_PER_S
RULES = {"alpha:m": rules_hash("rules of alpha"), "beta:m": rules_hash("rules of beta")}


def approved(pair: Pair = TABLE.pairs[0], **changed: Any) -> PairApproval:
    one = PairApproval.of(
        pair, rules_a="rules of alpha", rules_b="rules of beta", approved_by="ann", now=NOW, valid_s=HOUR
    )
    return replace(one, **changed)


def refusal(*legs: Book, now: int = NOW, book: PairBook | None = None, **kwargs: Any) -> str:
    basket = a_basket(*(legs or (YES_A, NO_B)), kind=kwargs.pop("kind", Kind.CROSS_VENUE))
    return (book or PairBook((approved(),))).refusal(basket, now, **kwargs)


# -- what is refused -------------------------------------------------------------------------------------------


def test_an_approved_pair_is_traded_both_ways_round() -> None:
    for legs in ((YES_A, NO_B), (NO_A, YES_B), (NO_B, YES_A)):
        assert refusal(*legs, rules=RULES) == ""


def test_fault_G6_a_missing_approval_is_a_refusal() -> None:
    assert refusal(book=PairBook()) == "no approval: alpha:m with beta:m"
    other = replace(approved(), b="beta:n")
    assert refusal(book=PairBook((other,))) == "no approval: alpha:m with beta:m"


def test_fault_G6_an_approval_holds_from_its_time_and_expires_at_its_end() -> None:
    assert refusal(now=NOW - 1) == "no approval yet: alpha:m with beta:m, from 2024-10-04T12:00:00Z on"
    assert refusal(now=NOW) == ""
    assert refusal(now=END - 1) == ""
    assert refusal(now=END) == "the approval of alpha:m with beta:m expired at 2024-10-04T13:00:00Z"


def test_fault_G6_legs_that_do_not_fit_the_polarity_are_refused() -> None:
    opposite = PairBook((approved(polarity="opposite"),))
    assert refusal(YES_A, YES_B, book=opposite) == refusal(NO_A, NO_B, book=opposite) == ""
    assert refusal(YES_A, NO_B, book=opposite) == (
        "alpha:m with beta:m are approved as opposite: yes with no is no hedge"
    )
    assert refusal(YES_A, YES_B) == "alpha:m with beta:m are approved as same: yes with yes is no hedge"


def test_fault_G6_rules_that_changed_or_are_not_known_are_refused_and_unread_ones_are_not() -> None:
    assert refusal(rules=None) == ""
    for name in RULES:
        assert refusal(rules={**RULES, name: rules_hash("new")}) == (
            f"the rules of {name} have changed since they were approved"
        )
        assert refusal(rules={other: RULES[other] for other in RULES if other != name}) == (
            f"the rules of {name} are not known"
        )
    assert refusal(rules={}) == "the rules of alpha:m are not known"


def test_a_basket_within_a_venue_needs_no_approval_and_one_over_two_does_whatever_it_is_called() -> None:
    assert refusal(YES_A, NO_A, kind=Kind.COMPLEMENT, book=PairBook()) == ""
    assert refusal(YES_A, NO_B, kind=Kind.OUTCOMES, book=PairBook()).startswith("no approval")
    assert refusal(YES_A, NO_A, book=PairBook()).startswith("no approval")
    gamma = Book(4, Market(venue="gamma", id="m"), "yes", 5)
    assert refusal(YES_A, NO_B, gamma).startswith("no approval")


# -- the approval itself ---------------------------------------------------------------------------------------


def test_an_approval_says_what_was_read_by_whom_and_until_when() -> None:
    one = PairApproval.of(TABLE.pairs[0], rules_a="a", rules_b="b", approved_by="ann", now=NOW + 7, valid_s=2)
    assert (one.a, one.b, one.polarity, one.approved_by) == ("alpha:m", "beta:m", "same", "ann")
    assert (one.rules_a, one.rules_b) == (rules_hash("a"), rules_hash("b"))
    assert (one.approved_at, one.expires_at) == (NOW, NOW + 2 * NS_PER_S)
    assert rules_hash("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


WRONG = [
    ("a", "alpha", "`a` must be a market as venue:market, not 'alpha'"),
    ("a", ":m", "`a` must be a market"),
    ("b", "beta:", "`b` must be a market"),
    ("b", "alpha:m", "`b` must be another market than `a`, not 'alpha:m' again"),
    ("a", 7, "`a` must be a text, not 7"),
    ("polarity", "Same", "`polarity` must be 'same' or 'opposite', not 'Same'"),
    ("polarity", None, "`polarity` must be a text, not None"),
    ("rules_a", "f" * 63, "`rules_a` must be a sha256"),
    ("rules_a", "f" * 65, "`rules_a` must be a sha256"),
    ("rules_b", "F" * 64, "`rules_b` must be a sha256"),
    ("rules_b", "g" * 64, "`rules_b` must be a sha256"),
    ("approved_by", " ", "`approved_by` must name a person"),
    ("approved_at", -NS_PER_S, "`approved_at` must be a whole second from 1970 to 9999"),
    ("approved_at", NOW + 1, "`approved_at` must be a whole second"),
    ("approved_at", True, "`approved_at` must be a time, not True"),
    ("approved_at", float(NOW), "`approved_at` must be a time"),
    ("expires_at", FOR_EVER + NS_PER_S, "`expires_at` must be a whole second"),
    ("expires_at", NOW, "`expires_at` must be after `approved_at`"),
]


@pytest.mark.parametrize(("name", "value", "why"), WRONG)
def test_fault_G6_an_approval_that_cannot_be_meant_is_refused_by_the_name_of_its_field(
    name: str, value: Any, why: str
) -> None:
    with pytest.raises(ConfigError) as told:
        approved(**{name: value})
    assert why in str(told.value)


def test_an_approval_at_the_very_bounds_is_one() -> None:
    assert approved(approved_at=0, expires_at=FOR_EVER).expires_at == 253_370_764_800 * NS_PER_S
    assert approved(expires_at=NOW + NS_PER_S, rules_a="0123456789abcdef" * 4, a="x:y:z").a == "x:y:z"


def test_one_pair_has_one_approval_whichever_market_comes_first() -> None:
    turned = approved(a="beta:m", b="alpha:m")
    with pytest.raises(ConfigError, match="beta:m and alpha:m are approved twice"):
        PairBook((approved(), turned))
    assert PairBook((approved(),)).with_approval(turned).approvals == (turned,)


def test_what_a_person_approved_goes_by_its_names_and_is_not_changed_afterwards() -> None:
    for stated, name, value in ((approved(), "expires_at", FOR_EVER), (PairBook(), "approvals", (approved(),))):
        with pytest.raises(FrozenInstanceError):
            setattr(stated, name, value)
    with pytest.raises(TypeError):
        PairApproval("alpha:m", "beta:m", "same", *RULES.values(), "ann", NOW, END)  # type: ignore[misc]


def test_a_book_is_changed_into_a_new_one() -> None:
    other = approved(a="alpha:n")
    book = PairBook((approved(),)).with_approval(other)
    assert book.approvals == (approved(), other)
    assert book.without("beta:m", "alpha:m").approvals == (other,)
    assert book.without("beta:m", "gamma:m") == book


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"a": "alpha:m:yes"}, "`a` must be a market, venue:market, and 'alpha:m:yes' is one of its books"),
        ({"b": "beta:m:no"}, "`b` must be a market, venue:market, and 'beta:m:no' is one of its books"),
        ({"b": "alpha:n"}, "alpha:m and alpha:n are of one venue: within a venue no pair is approved"),
    ],
)
def test_fault_G6_names_that_no_basket_can_have_are_refused_with_the_reason(names: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError) as told:
        PairBook().with_approval(approved(**names))
    assert str(told.value) == why


# -- what a simulation takes for granted -----------------------------------------------------------------------


def test_assumed_pairs_are_those_of_the_market_table_at_any_time_and_say_so() -> None:
    stated = replace(ALPHA, resolution="as the league says")
    table = MarketTable((stated, BETA), (), (Pair(stated, BETA, "opposite"),))
    book = PairBook.assumed(table)
    assert book.is_assumed
    assert not PairBook().is_assumed
    assert [(one.a, one.b, one.polarity, one.approved_by) for one in book.approvals] == [
        ("alpha:m", "beta:m", "opposite", "assumed")
    ]
    for now in (0, NOW, FOR_EVER - 1):
        assert refusal(YES_A, YES_B, now=now, book=book) == ""
    assert refusal(YES_A, NO_B, book=book) != ""
    assert book.approvals[0].rules_a == rules_hash("as the league says")
    assert book.approvals[0].rules_b == rules_hash("")
    assert book.with_approval(approved()).is_assumed
    assert book.without("alpha:m", "beta:m").is_assumed


def test_assumed_pairs_are_never_written_down_as_approved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only assumed"):
        PairBook.assumed(TABLE).write(tmp_path / "pairs.toml")
    assert list(tmp_path.iterdir()) == []


# -- the file --------------------------------------------------------------------------------------------------

TEXT = f"""[[pair]]
a = "alpha:m"
b = "beta:m"
polarity = "same"
rules_a = "{RULES["alpha:m"]}"
rules_b = "{RULES["beta:m"]}"
approved_by = "ann"
approved_at = 2024-10-04T12:00:00Z
expires_at = 2024-10-04T13:00:00Z
"""


def test_a_book_is_written_to_be_read_by_people_and_read_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pairs.toml"
    book = PairBook((approved(), approved(a='alp"ha\\:m\n\x7f\x01é', approved_by="J. 'O' \"B\"")))
    PairBook((approved(),)).write(path)
    assert path.read_text() == TEXT
    book.write(path)
    assert "é" in path.read_text(encoding="utf-8")
    assert PairBook.read(path) == book
    PairBook().write(str(path))
    assert PairBook.read(str(path)) == PairBook()


def test_two_who_change_a_file_at_once_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "very" / "deep" / "pairs.toml"
    inside, others = threading.Event(), []

    def slowly(book: PairBook) -> PairBook:
        other = threading.Thread(target=lambda: PairBook.revise(path, quickly))
        other.start()
        others.append(other)
        assert not inside.wait(0.1)  # it waits until this change is written
        return book.with_approval(approved(a="alpha:slow"))

    def quickly(book: PairBook) -> PairBook:
        inside.set()
        return book.with_approval(approved(a="alpha:quick"))

    PairBook.revise(path, slowly)
    others[0].join()
    assert [one.a for one in PairBook.read(path).approvals] == ["alpha:slow", "alpha:quick"]


def test_a_change_that_is_refused_leaves_the_file_as_it_was_and_to_the_next(tmp_path: Path) -> None:
    def refused(book: PairBook) -> PairBook:
        raise ConfigError("no")

    path = tmp_path / "pairs.toml"
    with pytest.raises(ConfigError, match="no"):
        PairBook.revise(path, refused)
    assert not path.exists()
    assert PairBook.revise(path, lambda book: book.with_approval(approved())).approvals == (approved(),)
    assert PairBook.read(path).approvals == (approved(),)


def test_a_file_that_somebody_does_not_let_go_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "PATIENCE_S", 0.01)
    path = tmp_path / "pairs.toml"

    def meanwhile(book: PairBook) -> PairBook:
        with pytest.raises(ConfigError, match=r"another process has been changing it for 0\.01 s"):
            PairBook.revise(path, lambda other: other)
        return book

    PairBook.revise(path, meanwhile)


@pytest.mark.skipif(sys.platform == "win32", reason="files are locked otherwise there")
def test_where_no_file_can_be_locked_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    path = tmp_path / "pairs.toml"
    with pytest.raises(OSError, match="not implemented"):
        PairBook.revise(path, lambda book: book.with_approval(approved()))
    assert not path.exists()


def test_times_may_be_written_in_any_zone(tmp_path: Path) -> None:
    path = tmp_path / "pairs.toml"
    path.write_text(TEXT.replace("2024-10-04T12:00:00Z", "2024-10-04T14:00:00+02:00"))
    assert PairBook.read(path).approvals == (approved(),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = ", "not TOML"),
        ("pairs = []", "unknown key `pairs`; there is [[pair]]"),
        ("z = 1\ny = 2", "unknown key `y`"),
        ("[pair]\na = 1", "`pair` must be written as [[pair]]"),
        ("pair = [1]", "pair 1: must be a table"),
        (TEXT + "colour = 1", "pair 1: unknown field `colour`"),
        (TEXT.replace("2024-10-04T12:00:00Z", '"2024-10-04"'), "pair 1: `approved_at` must be a date and time"),
        (TEXT.replace("2024-10-04T12:00:00Z", "2024-10-04T12:00:00"), "`approved_at` must be a date and time"),
        (TEXT.replace("2024-10-04T12:00:00Z", "2024-10-04"), "`approved_at` must be a date and time"),
        (TEXT.replace("2024-10-04T12:00:00Z", "1728043200"), "`approved_at` must be a date and time"),
        (TEXT.replace("12:00:00Z", "12:00:00.5Z"), "with its zone, in whole seconds"),
        (TEXT.replace('"same"', '"sam"'), "pair 1: `polarity` must be 'same' or 'opposite', not 'sam'"),
        (TEXT.replace('"ann"', "7"), "pair 1: `approved_by` must be a text, not 7"),
        (TEXT + TEXT.replace("beta:m", "beta"), "pair 2: `b` must be a market as venue:market, not 'beta'"),
        (TEXT + TEXT, "alpha:m and beta:m are approved twice"),
    ],
)
def test_fault_G6_a_file_that_cannot_be_meant_is_refused_by_name_pair_and_field(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "pairs.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as told:
        PairBook.read(path)
    assert str(told.value).startswith(f"{path}: ")
    assert why in str(told.value)


@pytest.mark.parametrize("name", [field.name for field in fields(PairApproval)])
def test_fault_G6_no_field_of_a_pair_has_a_default(tmp_path: Path, name: str) -> None:
    path = tmp_path / "pairs.toml"
    path.write_text("\n".join(line for line in TEXT.splitlines() if not line.startswith(f"{name} ")))
    with pytest.raises(ConfigError, match=f"pair 1: field `{name}` is missing"):
        PairBook.read(path)


def test_a_file_that_is_not_there_or_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone.toml: no such file"):
        PairBook.read(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        PairBook.read(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        PairBook.read(tmp_path / "bytes.toml")
