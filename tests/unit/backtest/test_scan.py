import numpy as np
import pytest

from arbkit.backtest.scan import ScanResult, sample_tape, scan_tape
from arbkit.books import meta as m
from arbkit.core.errors import ConfigError, DataError
from arbkit.core.model import MarketTable
from arbkit.core.units import MICRO, NS_PER_MS, Cash, Size
from arbkit.detection.baskets import baskets
from arbkit.fees import FeeRule, rule
from arbkit.history.tape import Tape
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table, ms, shares

EVENT = {"event": "game", "payout": Cash(MICRO), "exclusive": True, "exhaustive": True, "void": "half"}
KNOWN = {**EVENT, "lot": Size(MICRO), "min_size": Size(MICRO)}


def game() -> MarketTable:
    return a_table(a_market("a", **KNOWN), a_market("b", **KNOWN))


def apart() -> TapeBuilder:
    """Two teams, a dollar and a cent for both: nothing to earn yet."""
    return TapeBuilder(game()).snapshot(0, [(30, 9)], [(52, 9)]).snapshot(1, [(30, 9)], [(49, 20)], book=2)


def scan(tape: Tape, kind: str = "outcomes", **more: object) -> ScanResult:
    asked: dict[str, object] = {"max_size": shares(100), "max_exposure": Cash(250 * MICRO), "fees": None}
    asked |= {"min_edge": Cash(100), "gross": True, **more}
    return scan_tape(tape, baskets(tape, [kind]), **asked)  # type: ignore[arg-type]


def columns(result: ScanResult, *names: str) -> list[tuple[object, ...]]:
    return list(zip(*(getattr(result, name).tolist() for name in names), strict=True))


def test_an_episode_lasts_from_the_first_good_boundary_to_the_first_bad_one() -> None:
    tape = apart().level(100, ASK, 50, 5).level(180, ASK, 50, 0).tape()
    found = scan(tape)
    assert columns(found, "start", "end", "open_ns", "censored") == [(ms(100), ms(180), 80 * NS_PER_MS, False)]
    (decision,) = found.opportunities()
    assert (decision.basket.id, decision.detected_at) == ("outcomes:game:yes", ms(100))
    assert (decision.size, decision.edge_gross, decision.exact) == (shares(5), 50_000, True)
    assert found.start_row[0] == len(tape) - 2


def test_between_two_rows_of_one_message_a_book_is_not_a_book() -> None:
    torn = apart().level(100, ASK, 50, 5, last=False).level(100, ASK, 50, 0)
    assert len(scan(torn.tape())) == 0


def test_re_entry_within_a_second_continues_and_later_begins_anew() -> None:
    builder = apart().level(100, ASK, 50, 5).level(200, ASK, 50, 0).level(1_200, ASK, 49, 5).level(1_300, ASK, 49, 0)
    found = scan(builder.tape())
    assert columns(found, "start", "end", "open_ns", "first_edge", "peak_edge") == [
        (ms(100), ms(1_300), 200 * NS_PER_MS, 10_000, 20_000)
    ]
    assert found.counters["pieces"] == 2
    again = scan(builder.level(2_301, ASK, 50, 5).level(2_400, ASK, 50, 0).tape())
    assert columns(again, "start", "end") == [(ms(100), ms(1_300)), (ms(2_301), ms(2_400))]
    assert len({o.id for o in again.opportunities()}) == 2


def test_peak_edge_is_the_largest_after_the_decision() -> None:
    builder = apart().level(100, ASK, 48, 5).level(110, ASK, 48, 0, last=False).level(110, ASK, 50, 5)
    found = scan(builder.level(120, ASK, 51, 9, book=2).level(500, ASK, 50, 0).tape())
    assert columns(found, "first_edge", "peak_edge") == [(30_000, 10_000)]


@pytest.mark.parametrize(
    ("how", "end", "censored"),
    [
        ("gap", 150, True),
        ("crossed", 150, True),
        ("closed", 150, False),
        ("silence", 60_100, True),
        ("end of tape", 200, True),
    ],
)
def test_an_episode_ends_where_sight_of_it_is_lost(how: str, end: int, censored: bool) -> None:
    builder = apart().level(100, ASK, 50, 5)
    if how == "gap":
        builder.gap(150, book=2)
    elif how == "crossed":
        builder.level(150, BID, 49, 3, book=2)
    elif how == "closed":
        builder.status(150, m.PAUSED)
    elif how == "silence":
        builder.level(90_000, ASK, 50, 0)
    else:
        builder.mark(200)
    assert columns(scan(builder.tape()), "end", "censored") == [(ms(end), censored)]


def test_a_book_that_is_quiet_on_a_live_stream_is_not_stale() -> None:
    builder = apart().level(100, ASK, 50, 5)
    for at in range(30_000, 200_000, 30_000):
        builder.mark(at, book=2)
    assert columns(scan(builder.level(200_000, ASK, 50, 0).tape()), "end", "censored") == [(ms(200_000), False)]


def pair() -> TapeBuilder:
    table = a_table(a_market("a", **KNOWN), both=True)
    return TapeBuilder(table).snapshot(0, [(30, 9)], [(52, 9)]).snapshot(0, [(30, 9)], [(49, 9)], book=1)


def test_mirrored_books_open_when_the_edge_has_stood_and_no_sooner() -> None:
    builder = pair().level(100, ASK, 50, 5).mark(150, book=1).level(199, BID, 40, 1).level(205, BID, 41, 1)
    found = scan(builder.level(230, ASK, 50, 0).tape(), "complement")
    assert columns(found, "start", "end") == [(ms(205), ms(230))]
    assert found.counters["unsynchronised"] == 0


def test_a_late_leg_is_no_opportunity_and_is_counted() -> None:
    found = scan(pair().level(100, ASK, 50, 5).level(140, ASK, 50, 0).mark(300).tape(), "complement")
    assert (len(found), found.counters["unsynchronised"]) == (0, 1)


def test_books_that_travelled_differently_long_do_not_open() -> None:
    builder = pair().level(60, BID, 30, 1, book=1, venue=-40).level(100, ASK, 50, 5).level(300, BID, 40, 1)
    found = scan(builder.tape(), "complement")
    assert (len(found), found.counters["unsynchronised"]) == (0, 1)
    told = scan(builder.level(310, BID, 31, 1, book=1).level(400, ASK, 50, 0).tape(), "complement")
    assert columns(told, "start") == [(ms(310),)]


def test_with_one_clock_both_bests_must_come_from_one_message() -> None:
    apart_in_time = pair().level(100, ASK, 50, 5).level(300, BID, 40, 1).level(400, ASK, 50, 0)
    assert len(scan(apart_in_time.tape("recv"), "complement")) == 0
    together = pair().level(100, ASK, 50, 5, last=False).level(100, ASK, 48, 5, book=1).level(300, BID, 40, 1)
    assert columns(scan(together.tape("recv"), "complement"), "start") == [(ms(300),)]


def test_net_episodes_pay_their_fees_and_gross_ones_tell_both_edges() -> None:
    fee = FeeRule(
        name="r", venue="any", valid_from=None, valid_until=None, taker_rate_ppm=70_000, maker_rate_ppm=0,
        exponent=1, step=10_000, rounding="ceil", minimum=0, balance_precision=0, source="a test",
    )  # fmt: skip
    tape = apart().level(100, ASK, 40, 5).level(200, ASK, 40, 0).tape()
    fees = {book.index: fee for book in tape.markets.books}
    (net,) = scan(tape, gross=False, fees=fees).opportunities()
    # 5 shares: 11 cents gross each; fees round up to 9 cents on either leg (0.084 and 0.0875 dollars)
    assert (net.size, net.edge_gross, net.edge) == (shares(5), 550_000, 550_000 - 90_000 - 90_000)
    (gross,) = scan(tape, fees=fees).opportunities()
    assert (gross.edge_gross, gross.edge) == (net.edge_gross, net.edge)


def test_net_without_fees_is_refused_and_so_is_a_basket_of_another_tape() -> None:
    tape = apart().tape()
    with pytest.raises(ConfigError, match="net edges need fee rules"):
        scan(tape, gross=False)
    with pytest.raises(DataError, match="no fee rule for venue:b:yes"):
        scan(tape, gross=False, fees={0: rule("none"), 1: rule("none")})
    strangers = baskets(a_table(a_market("x", **KNOWN), a_market("y", **KNOWN)), ["outcomes"])
    with pytest.raises(DataError, match="venue:x:yes is not a book of this tape"):
        scan_tape(tape, strangers, min_edge=Cash(1), gross=True, max_size=Size(1), max_exposure=Cash(1), fees=None)


def test_a_size_that_the_bounds_cut_below_the_smallest_legal_one_stays_in_the_list() -> None:
    tape = apart().level(100, ASK, 50, 5).tape()
    (found,) = scan(tape, max_exposure=Cash(MICRO // 4)).opportunities()
    assert found.size < found.basket.min_size


def test_a_pass_that_is_interrupted_keeps_what_it_saw() -> None:
    tape = apart().level(100, ASK, 50, 5).level(200, BID, 40, 3).level(300, ASK, 50, 0).tape()

    def stop(done: int, _: int) -> None:
        if tape.rows.ts_recv[done - 1] == ms(200):
            raise KeyboardInterrupt

    found = scan(tape, progress=stop, chunk_rows=1)
    assert found.rows == len(tape) - 1
    assert columns(found, "end", "censored") == [(ms(200), True)]


def test_an_empty_list_of_baskets_and_an_empty_tape_give_empty_columns() -> None:
    tape, nothing = apart().tape(), Cash(0)
    none = scan_tape(tape, [], min_edge=nothing, gross=True, max_size=Size(1), max_exposure=nothing, fees=None)
    assert (len(none), none.rows) == (0, len(tape))
    assert scan(TapeBuilder(game()).tape()).opportunities() == ()


# -- decisions at fixed times --------------------------------------------------------------------------------


def sample(tape: Tape, every_ms: int, **more: object) -> ScanResult:
    asked: dict[str, object] = {"max_size": shares(12), "max_exposure": Cash(250 * MICRO), "fees": None, "gross": True}
    return sample_tape(tape, baskets(tape, ["outcomes"])[:1], every_ms * NS_PER_MS, **{**asked, **more})  # type: ignore[arg-type]


def test_a_study_decides_at_fixed_times_on_the_books_as_received_whatever_they_earn() -> None:
    found = sample(apart().level(130, ASK, 50, 5).mark(250).tape(), 50)
    assert columns(found, "start", "size", "edge_gross") == [
        (ms(50), shares(9), -90_000),
        (ms(100), shares(9), -90_000),
        (ms(150), shares(12), 5 * 10_000 - 7 * 10_000),
        (ms(200), shares(12), 5 * 10_000 - 7 * 10_000),
        (ms(250), shares(12), 5 * 10_000 - 7 * 10_000),
    ]
    assert len({o.id for o in found.opportunities()}) == 5


def test_a_study_does_not_decide_on_unhealthy_or_empty_books() -> None:
    builder = apart().gap(120).snapshot(220, [(30, 9)], [(52, 9)]).level(320, ASK, 52, 0).mark(400)
    found = sample(builder.tape(), 100)
    assert columns(found, "start") == [(ms(100),), (ms(300),)]
    assert found.counters == {"judged": 4, "unhealthy": 1, "thin": 1, "pieces": 2}
    with pytest.raises(ConfigError, match="every so many ns"):
        sample(builder.tape(), 0)


def test_the_row_of_a_decision_is_the_last_one_received_by_then() -> None:
    tape = apart().level(130, ASK, 50, 5).mark(250).tape()
    found = sample(tape, 50)
    received = np.searchsorted(tape.rows.ts_recv, found.start, side="right") - 1
    assert found.start_row.tolist() == received.tolist()


def test_a_study_that_ends_between_two_decisions_has_looked_at_the_whole_tape() -> None:
    tape = apart().mark(120).mark(140).tape()

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    assert sample(tape, 100).rows == len(tape)
    assert sample(tape, 100, progress=stop).rows == len(tape) - 2
