"""The compiled scan against a plain one, episode by episode, and the live question against the compiled one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbkit.backtest.received import received
from arbkit.backtest.scan import ScanResult, scan_tape
from arbkit.backtest.scout import Episodes, scout_rows
from arbkit.books.edge import Limits, edge_at, largest_size, scratch
from arbkit.books.gate import OK, health_code
from arbkit.books.ladder import Ladders, forward, is_healthy
from arbkit.books.meta import LAST
from arbkit.books.view import LadderView, ladder_view
from arbkit.books.watch import fresh_watch
from arbkit.core.model import Basket, Book, Health
from arbkit.core.units import MICRO, Cash, Size
from arbkit.detection.opportunity import opportunity_in
from arbkit.detection.sizing import basket_quote
from arbkit.fees import FeeRule, rule
from arbkit.history.tape import Tape
from tests.property.plain_scan import MS, REARM, SETTLE, SILENCE, START, Asked, PlainScan, found_baskets, random_tape

# Fees that grow with the size without rounding, so that trying every size and trying every step must agree.
SMOOTH = {
    "name": "smooth", "venue": "any", "valid_from": None, "valid_until": None, "maker_rate_ppm": 0, "exponent": 1,
    "step": 1, "rounding": "half-up", "minimum": 0, "balance_precision": 0, "source": "a test",
}  # fmt: skip


def scanned(tape: Tape, asked: Asked, **more: int) -> ScanResult:
    return scan_tape(
        tape,
        found_baskets(tape),
        min_edge=Cash(asked.min_edge),
        gross=asked.gross,
        rearm_ns=REARM,
        max_size=Size(asked.max_size),
        max_exposure=Cash(asked.max_exposure),
        fees=asked.fees,
        max_silence_ns=SILENCE,
        settle_ns=SETTLE,
        **more,  # type: ignore[arg-type]
    )


def columns(result: ScanResult) -> list[tuple[object, ...]]:
    names = ("start_row", "basket", "start", "end", "open_ns", "censored", "first_edge", "peak_edge")
    names += ("size", "edge", "edge_gross", "exact")
    return list(zip(*(getattr(result, name).tolist() for name in names), strict=True))


def dated(tape: Tape) -> dict[int, list[tuple[int, FeeRule]]]:
    """Fees that change three seconds into the tape."""
    rules = [FeeRule(**SMOOTH, taker_rate_ppm=rate) for rate in (20_000, 80_000)]  # type: ignore[arg-type]
    return {book.index: [(START, rules[0]), (START + 3_000 * MS, rules[1])] for book in tape.markets.books}


def agree(tape: Tape, asked: Asked) -> int:
    plain = PlainScan(tape, found_baskets(tape), asked).run()
    fast = scanned(tape, asked)
    assert columns(fast) == plain.episodes()
    assert fast.counters["unsynchronised"] == plain.unsynchronised
    assert fast.counters["pieces"] == sum(map(len, plain.pieces.values()))
    return len(fast)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
    st.sampled_from([-30_000, 100, 10_000, 25_000]),
    st.sampled_from([MICRO // 2, 3 * MICRO, 6 * MICRO]),
    st.sampled_from([MICRO, 250 * MICRO]),
)
def test_gross_episodes_are_those_of_a_plain_scan(
    draw: int, messages: int, both: bool, one_clock: bool, min_edge: int, max_size: int, max_exposure: int
) -> None:
    tape = random_tape(np.random.default_rng(draw), messages, both, one_clock)
    agree(tape, Asked(min_edge, True, max_size, max_exposure))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("one_clock", [False, True])
def test_long_tapes_agree_too_and_are_not_empty(both: bool, one_clock: bool) -> None:
    found = 0
    for draw in range(40):
        found += agree(random_tape(np.random.default_rng(draw), 250, both, one_clock), Asked(-30_000))
    assert found > 600


@pytest.mark.parametrize("both", [False, True])
def test_net_episodes_agree_through_a_change_of_fees(both: bool) -> None:
    found = 0
    for draw in range(40):
        tape = random_tape(np.random.default_rng(draw), 120, both, False)
        found += agree(tape, Asked(-30_000, gross=False, fees=dated(tape)))
    assert found > 150


def test_chunks_of_any_length_give_one_result() -> None:
    tape = random_tape(np.random.default_rng(5), 250, True, False)
    whole = columns(scanned(tape, Asked(-30_000)))
    for rows in (1, 2, 7, 100):
        assert columns(scanned(tape, Asked(-30_000), chunk_rows=rows)) == whole


def test_a_client_that_hears_later_sees_the_same_later() -> None:
    tape = random_tape(np.random.default_rng(6), 120, True, False)
    now, later = (columns(scanned(tape, Asked(-30_000), feed_ns=ns)) for ns in (0, 7 * MS))
    assert [(row, k, at + 7 * MS, end + 7 * MS, *rest) for row, k, at, end, *rest in now] == [tuple(x) for x in later]  # type: ignore[operator]


# -- the live question against the compiled one --------------------------------------------------------------

RULES = {"v": rule("kalshi-2026-07-07"), "w": FeeRule(**SMOOTH | {"step": 10}, taker_rate_ppm=30_000)}  # type: ignore[arg-type]


def views_of(ladders: Ladders, basket: Basket, now: int) -> list[LadderView]:
    def view(book: Book) -> LadderView:
        grid = book.market.grid_at(now)
        return ladder_view(ladders, book, now, max_silence=SILENCE, grid=grid, fees=RULES[book.venue])

    return [view(leg) for leg in basket.legs]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([-60_000, -30_000, 100, 20_000]),
    st.booleans(),
    st.sampled_from([0, 3_000]),
)
def test_live_books_are_asked_what_the_compiled_scan_is_asked(
    draw: int, both: bool, min_edge: int, gross: bool, waited_ms: int
) -> None:
    rng = np.random.default_rng(draw)
    tape = random_tape(rng, 60, both, False)
    found = found_baskets(tape)
    fees = {book.index: RULES[book.venue] for book in tape.markets.books}
    limits = Limits(min_edge, int(gross), 6 * MICRO, 2**60)
    ladders, columns, arrays, _ = received(tape, found, limits, fees, SILENCE, 0)
    ends = np.flatnonzero(tape.rows.meta & LAST) + 1
    stop = int(rng.choice(ends[len(ends) // 2 :]))
    forward(ladders, columns, 0, stop, 2**62, False)
    sizes = ladders.level["size"]
    ladders.level["taken"][:] = np.minimum(sizes, rng.choice([0, 0, 500_000], sizes.shape))
    now, room = int(columns.at[stop - 1]) + waited_ms * MS, scratch(ladders, arrays)
    for book in tape.markets.books:
        assert (health_code(ladders, book.index, now, SILENCE) == OK) == is_healthy(ladders, book.index, now, SILENCE)
    for k, basket in enumerate(found):
        views = views_of(ladders, basket, now)
        enough, net, net_gross, exact = edge_at(ladders, arrays, k, basket.min_size, now, room)
        quote = basket_quote(views, basket, basket.min_size)
        assert (quote is not None) == bool(enough)
        if quote is not None:
            assert (quote.edge, quote.edge_gross, quote.exact) == (net, net_gross, bool(exact))
        live = opportunity_in(
            views, basket, Cash(min_edge), Size(limits.max_size), kind=basket.kind, gross=gross, now=now
        )
        opens = bool(enough) and (net_gross if gross else net) * MICRO >= min_edge * basket.min_size
        assert (live is not None) == (opens and all(view.health is Health.OK for view in views))
        if live is not None:
            size, *edges, true = largest_size(ladders, arrays, k, now, limits, room)
            assert (live.size, live.edge, live.edge_gross, live.exact) == (size, *edges, bool(true))


def openings(tape: Tape, asked: Asked, chunks: np.random.Generator | None) -> list[tuple[int, int]]:
    """Every (row, basket) at which the feed of a continuous run would wake its client, all baskets armed."""
    found = found_baskets(tape)
    limits = Limits(asked.min_edge, int(asked.gross), asked.max_size, asked.max_exposure)
    ladders, columns, arrays, rules = received(tape, found, limits, None, SILENCE, SETTLE)
    watch, room, armed = fresh_watch(arrays), scratch(ladders, arrays), np.ones(len(found), np.uint8)
    episodes = Episodes(np.full(len(found), -1, np.int64), np.full(len(found), -(2**62), np.int64))
    stops, at = [], 0
    while at < len(tape):
        stop = len(tape) if chunks is None else min(len(tape), at + int(chunks.integers(1, 5)))
        at, k = scout_rows(ladders, columns, arrays, rules, watch, episodes, armed, at, stop, 2**62, room)
        if k >= 0:
            stops.append((at - 1, int(k)))
    return stops


@pytest.mark.parametrize("both", [False, True])
def test_a_waiting_client_is_woken_where_the_scan_opens_whatever_the_chunks(both: bool) -> None:
    for draw in range(60):
        tape = random_tape(np.random.default_rng(draw), 120, both, False)
        asked = Asked((-60_000, -20_000, 100)[draw % 3])
        plain = PlainScan(tape, found_baskets(tape), asked).run()
        starts = sorted((piece.start_row, k) for k, pieces in plain.pieces.items() for piece in pieces)
        firsts = dict(reversed(starts))  # of several that open at once the first
        assert openings(tape, asked, None) == sorted(firsts.items())
        assert openings(tape, asked, np.random.default_rng(draw)) == sorted(firsts.items())
