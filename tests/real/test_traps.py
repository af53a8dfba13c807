"""Recordings with known defects, and defects put into sound ones: none may look like an opportunity or fill an order."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import arbkit as ak
from arbkit.backtest.scan import ScanResult, scan_tape
from arbkit.backtest.scenario import Scenario
from arbkit.backtest.world import Replay
from arbkit.books import meta as m
from arbkit.core.errors import OrderRejected
from arbkit.core.model import Book, Health, MarketTable, Order, Side, TimeInForce
from arbkit.core.units import MICRO, NS_PER_MS, NS_PER_S, Cash, Price, Size
from arbkit.history.markets import market_table
from arbkit.history.tape import Rows, Tape
from tests.real.conftest import MARKETS, Recorded

pytestmark = pytest.mark.real_data


def utc(ns: int) -> pd.Timestamp:
    return pd.Timestamp(ns, tz="UTC")


# -- a recorder that lost step -------------------------------------------------------------------------------


def quarantine(tape: Tape) -> tuple[int, int]:
    """When the book of MIA was lost for long, and when a new session of the recorder found it again."""
    of_mia = tape.rows.book == 0
    kind = tape.rows.meta & m.KIND_MASK
    lost = tape.rows.ts_recv[of_mia & (kind == m.KIND_GAP)]
    found = tape.rows.ts_recv[of_mia & (kind == m.KIND_CLEAR)]
    start = int(lost[lost >= pd.Timestamp("2026-01-03 23:20", tz="UTC").value][0])
    return start, int(found[found > start][0])


def test_a_desynchronised_book_is_unknown_until_the_recorder_starts_anew(recorded: Recorded) -> None:
    tape, _ = recorded("mia_min")
    start, end = quarantine(tape)
    print(f"quarantined from {utc(start)} to {utc(end)}")
    assert utc(start).strftime("%H:%M") == "23:26"
    assert tape.quality.to_dict()["quarantined_s"] == pytest.approx((end - start) / NS_PER_S)
    for at in range(start, end, (end - start) // 20):
        assert not tape.books_at(at)[0].known
    assert tape.books_at(start - 1)[0].known
    assert tape.books_at(end)[0].known


def test_there_is_no_opportunity_and_no_fill_on_a_desynchronised_book(recorded: Recorded) -> None:
    """Decided every second to the very moment the book is lost; orders that rest then are not filled any more."""
    tape, baskets = recorded("mia_min")
    start, end = quarantine(tape)
    near = tape.slice(start - 120 * NS_PER_S, end + 60 * NS_PER_S)
    for min_edge in (-0.99, -0.01, 0.0001):
        episodes = ak.scan(near, baskets, edge="gross", min_edge=min_edge, rearm_s=0.0)
        inside = (episodes["start"] >= utc(start)) & (episodes["start"] < utc(end))
        assert not inside.any()
        assert not ((episodes["start"] < utc(start)) & (episodes["end"] > utc(start))).any()
    study = ak.compare(near, baskets, study="sample:1s", edge="gross", scenario=Scenario(queue="through"))
    decided = [o.detected_at for o in study.raw.opportunities]
    assert sum(at < start for at in decided) > 200
    assert not any(start <= at < end for at in decided)
    at = [
        fill.venue_at
        for cell in (*study.raw.cells, *study.raw.sensitivity)
        for result in cell.results
        for leg in result.trade.legs
        if leg.book.market.id == "MIA"
        for order in leg.orders
        for fill in order.fills
    ]
    before = max(when for when in at if when < start)
    print(
        f"{len(decided)} decisions, {len(at)} fills on MIA, the last {(start - before) / NS_PER_S:.3f} s before the loss"
    )
    assert not any(start <= when < end for when in at)
    assert sum(when < start for when in at) > 200


# -- one leg that arrives late -------------------------------------------------------------------------------


def late(tape: Tape, moved: np.ndarray, by_ms: int) -> Rows:
    """Return the rows with those of some books received later; the rows of one message and book stay together."""
    rows = tape.rows
    message = np.concatenate([[0], np.cumsum((rows.meta[:-1] & m.LAST) != 0)])
    shifted = np.isin(rows.book, moved)
    at = rows.ts_recv + shifted * by_ms * NS_PER_MS
    order = np.lexsort((np.arange(len(at)), shifted, message, at))
    cut, group = rows.cut(order), (message * 2 + shifted)[order]
    last = np.append(group[1:] != group[:-1], True)
    meta = np.where(last, cut.meta | m.LAST, cut.meta & ~np.uint8(m.LAST)).astype(np.uint8)
    return cut._replace(ts_recv=at[order], ts_venue=rows.ts_recv[order], meta=meta)


def tape_of(markets: MarketTable, rows: Rows, clocks: str) -> Tape:
    return Tape.from_columns(markets, **rows._asdict(), clocks=clocks)  # type: ignore[arg-type]


def not_linked(tape: Tape, rows: Rows, clocks: str) -> Tape:
    """The same rows as somebody reads them who takes the two tokens of a market for two markets of one event."""
    markets = tuple(
        replace(market, id=f"{market.id}-{token}", exclusive=True, exhaustive=True)
        for market in tape.markets.markets
        for token in ("yes", "no")
    )
    table = market_table(markets)
    alone = tuple(replace(book, recorded=book.outcome == "yes") for book in table.books)
    return tape_of(MarketTable(table.markets, alone), rows._replace(book=rows.book * 2), clocks)


def episodes(tape: Tape, kind: str, settle_ms: float = 100.0) -> ScanResult:
    asked = [basket for basket in ak.baskets(tape, kinds=(kind,)) if not basket.id.endswith(":no")]
    return scan_tape(
        tape, asked, min_edge=Cash(100), gross=True, fees=None, rearm_ns=0,
        max_size=Size(100 * MICRO), max_exposure=Cash(250 * MICRO), settle_ns=round(settle_ms * NS_PER_MS),
    )  # fmt: skip


def phantoms(tape: Tape) -> int:
    """Count by hand, over dictionaries: stretches of messages in which a pair of asks sums below one dollar."""
    books: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in tape.markets.books]
    known = [False] * len(books)
    below = [False] * (len(books) // 2)
    touched: set[int] = set()
    count = 0
    need = tape.markets.markets[0].min_size or 0
    columns = (c.tolist() for c in (tape.rows.book, tape.rows.meta, tape.rows.price, tape.rows.size))
    for book, meta, price, size in zip(*columns, strict=True):
        kind, side = meta & m.KIND_MASK, (meta & m.SIDE_MASK) >> m.SIDE_SHIFT
        if kind == m.KIND_CLEAR:
            books[book], known[book] = ({}, {}), True
        elif kind == m.KIND_GAP:
            known[book] = False
        elif kind == m.KIND_LEVEL:
            books[book][side - 1].pop(price, None)
            if size:
                books[book][side - 1][price] = size
        touched.add(book // 2)
        if not meta & m.LAST:
            continue
        for pair in touched:
            legs = (2 * pair, 2 * pair + 1)
            was = below[pair]
            below[pair] = all(known[leg] and sound(books[leg]) for leg in legs) and worth(books, legs, need)
            count += below[pair] and not was
        touched.clear()
    return count


def sound(book: tuple[dict[int, int], dict[int, int]]) -> bool:
    bids, asks = book
    return bool(asks) and not (bids and max(bids) >= min(asks))


def worth(books: list[tuple[dict[int, int], dict[int, int]]], legs: tuple[int, int], need: int) -> bool:
    """Tell whether the smallest legal size of both asks together costs less than its dollar by 0.0001 a share."""
    paid = 0
    for leg in legs:
        left = need
        for price, there in sorted(books[leg][1].items()):
            take = min(left, there)
            paid, left = paid + price * take, left - take
        if left:
            return False
    return paid <= (MICRO - 100) * need


def test_inside_one_market_nothing_was_ever_mispriced(recorded: Recorded) -> None:
    for name in ("tickscope", "resolvedkit"):
        tape, _ = recorded(name)
        found = episodes(tape, "complement")
        print(f"{name}: {found}")
        assert len(found) == 0
        assert found.counters["judged"] > 10_000
    tape, _ = recorded("tickscope")
    assert phantoms(tape) == 0
    assert len(episodes(not_linked(tape, tape.rows, "venue"), "outcomes")) == 0


@pytest.mark.parametrize("clocks", ["both", "recv"])
def test_a_leg_a_quarter_of_a_second_late_makes_phantoms_which_the_mirror_rule_sees_through(
    recorded: Recorded, clocks: str
) -> None:
    """Received 250 ms after its twin, a book is stale for as long: ten gaps in a quarter of an hour, none of them there."""
    tape, _ = recorded("tickscope")
    rows = late(tape, np.array([1, 3, 5, 7, 9, 11]), 250)
    apart, linked = (
        episodes(not_linked(tape, rows, clocks), "outcomes"),
        episodes(tape_of(tape.markets, rows, clocks), "complement"),
    )
    by_hand = phantoms(tape_of(tape.markets, rows, clocks))
    print(f"{clocks}: {len(apart)} phantoms without the rule ({by_hand} by hand), with it {linked.counters}")
    assert len(apart) == by_hand >= 10
    assert len(linked) == 0
    assert linked.counters["unsynchronised"] == by_hand


def test_a_leg_a_little_late_makes_phantoms_too_short_to_settle(recorded: Recorded) -> None:
    """50 ms do not show in the lags of the two books, but then a gap has to stand for 100 ms."""
    tape, _ = recorded("tickscope")
    rows = late(tape, np.array([1, 3, 5, 7, 9, 11]), 50)
    apart, linked = (
        episodes(not_linked(tape, rows, "both"), "outcomes"),
        episodes(tape_of(tape.markets, rows, "both"), "complement"),
    )
    print(f"{len(apart)} phantoms without the rule, with it {linked.counters}")
    assert len(apart) >= 5
    assert len(linked) == 0
    assert linked.counters["unsynchronised"] == len(apart)


# -- a line that never arrived -------------------------------------------------------------------------------


def session_without(real_data: Path, seq: int, to: Path) -> Tape:
    with gzip.open(real_data / "kalshi-ws-demo" / "session.jsonl.gz", "rt") as file:
        lines = [line for line in file if line.strip()]
    kept = [line for line in lines if json.loads(line).get("seq") != seq]
    assert len(kept) == len(lines) - 1
    (to / "session.jsonl").write_text("".join(kept))
    ak.import_recording(to / "session.jsonl", to / "tape", MARKETS / "kalshi_ws_demo.toml")
    return ak.read_tape(to / "tape")


def tried(tape: Tape, at: int) -> dict[str, tuple[Health, str]]:
    """Return, per recorded book, its health as received at a time, and why the venue refuses an order then."""
    replay = Replay(tape, None)
    replay.forward_to(at)
    world = replay.world(Scenario(queue="through", entry_ms=0, reply_ms=0))

    async def ask(book: Book) -> tuple[Health, str]:
        health = world.feed.view(book).health
        order = Order(f"try-{book.index}", book, Side.BUY, Price(10_000), Size(MICRO), TimeInForce.FAK)
        try:
            await world.venues["kalshi"].submit(order)
        except OrderRejected as refusal:
            return health, str(refusal)
        return health, ""

    async def main() -> dict[str, tuple[Health, str]]:
        return {book.market.id: await ask(book) for book in tape.markets.books if book.recorded}

    return world.run(main())


def test_after_a_lost_line_no_book_of_its_subscription_prices_or_takes_an_order(
    real_data: Path, tmp_path: Path
) -> None:
    tape = session_without(real_data, 1_000, tmp_path)
    assert tape.quality.measures.gaps == 5
    assert tape.quality.files[0]["figures"]["sequence holes"] == 1
    gaps = tape.rows.ts_recv[(tape.rows.meta & m.KIND_MASK) == m.KIND_GAP]
    assert not tape.books_at(int(gaps[0]))[0].known
    before, after = tried(tape, int(gaps[0]) - 1), tried(tape, int(tape.rows.ts_recv[-1]))
    assert len(before) == 5
    assert {why for _, why in before.values()} == {""}
    for health, why in after.values():
        assert health is Health.GAPPED
        assert why.startswith("gapped book")


def test_a_snapshot_behind_the_hole_makes_its_book_usable_again(real_data: Path, tmp_path: Path) -> None:
    """Line 3 is lost between the snapshots of the first book and of the others."""
    tape = session_without(real_data, 3, tmp_path)
    end = int(tape.rows.ts_recv[-1])
    known = {tape.markets.books[i].market.id for i, state in tape.books_at(end).items() if state.known}
    found = tried(tape, end)
    assert {name for name, (_, why) in found.items() if not why} == known
    (lost,) = set(found) - known
    assert found[lost] == (Health.GAPPED, "gapped book: the recording lost it and has not found it again")
