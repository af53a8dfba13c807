import pytest

from arbkit.core.errors import DataError
from arbkit.core.units import NS_PER_S
from arbkit.history.quality import REFUSALS_KEPT, Measures, Meter, QualityLog, QualityReport
from tests.builders import ASK, BID, TapeBuilder, a_market, a_table


def test_a_file_of_which_more_than_one_row_in_a_hundred_is_refused_fails() -> None:
    log = QualityLog()
    log.file("good.csv").rows_read = 100
    log.file("good.csv").refuse(7, "price: cannot be read", "'x'")
    log.check()
    log.file("bad.csv").rows_read = 99
    log.file("bad.csv").refuse(7, "price: cannot be read", "'x'")
    with pytest.raises(DataError, match=r"bad\.csv: 1 of 99 rows refused, .* line 7: price: cannot be read: 'x'"):
        log.check()


def test_all_refusals_are_counted_and_the_first_are_quoted() -> None:
    log = QualityLog()
    file = log.file("a.csv")
    for line in range(1_000):
        file.refuse(line, "size: not above zero")
    report = QualityReport.of(log, Measures())
    assert report.refused == 1_000
    assert len(report.refusals) == REFUSALS_KEPT
    assert report.refusals[3] == ("a.csv", 3, "size: not above zero")


def test_backward_stamps_are_counted_with_the_largest_step() -> None:
    file = QualityLog().file("a.csv")
    for before, now in ((5, 6), (6, 2), (2, 2), (2, 1)):
        file.stamped(now, before)
    assert (file.backward, file.backward_max_ns) == (2, 4)


def test_a_report_survives_plain_values_and_prints_itself() -> None:
    log = QualityLog()
    log.notes.append("a note on <all>")
    file = log.file("a.csv")
    file.rows_read = 10
    file.duplicates = 3
    file.quarantine(5, 2 * NS_PER_S)
    file.refuse(4, "price: cannot be read", "'x'")
    file.figures["share"] = 0.5
    file.note("said once")
    file.note("said once")
    report = QualityReport.of(log, Measures(rows=8, bests=4, bests_lower=1, book_ns=10, usable_ns=9))
    assert QualityReport.from_dict(report.to_dict()) == report
    assert (report.lower_share, report.usable_share) == (0.25, 0.9)
    text = str(report)
    for said in ("rows read", "1; 1 x price: cannot be read", "1 stretches, 5 rows, 2 s", "25.00% of 4", "share 0.5"):
        assert said in text
    assert text.count("said once") == 1
    assert "a note on &lt;all&gt;" in report._repr_html_()
    with pytest.raises(DataError, match="not a quality report"):
        QualityReport.from_dict({"files": []})


def test_an_empty_report_has_no_shares_to_divide() -> None:
    assert QualityReport().lower_share == 0
    assert QualityReport().usable_share == 0


def test_usable_time_leaves_out_gaps_crossed_books_and_silence() -> None:
    build = TapeBuilder()
    build.snapshot(0, [(40, 1)], [(42, 1)])
    build.level(10_000, BID, 42, 1)  # locked from 10 s
    build.level(20_000, BID, 42, 0)  # healthy again
    build.gap(30_000).snapshot(40_000, [(40, 1)], [(42, 1)])
    build.level(140_000, BID, 41, 1)  # 100 s later: 40 s of them silent
    found = build.tape().quality.measures
    assert (found.crossed, found.gaps, found.silences) == (1, 1, 1)
    assert found.silence_max_ns == 100 * NS_PER_S
    assert found.book_ns == 140 * NS_PER_S
    assert found.usable_ns == (10 + 10 + 60) * NS_PER_S


def test_another_book_of_the_venue_shows_that_the_stream_is_alive() -> None:
    build = TapeBuilder(a_table(a_market("a"), a_market("b"), a_market("c", venue="elsewhere")))
    build.snapshot(0, [(40, 1)]).snapshot(0, [(40, 1)], book=2).snapshot(0, [(40, 1)], book=4)
    build.level(50_000, BID, 41, 1, book=2)
    build.level(100_000, BID, 41, 1)
    build.level(100_000, BID, 41, 1, book=4)
    found = build.tape().quality.measures
    assert found.silences == 1  # that of the other venue
    assert found.usable_ns == (100 + 50 + 60) * NS_PER_S


def test_rows_that_a_venue_stamped_before_what_it_had_told_of_the_book_are_counted() -> None:
    build = TapeBuilder(a_table(a_market("a"), a_market("b")))
    build.snapshot(100, [(40, 1)], venue=50).snapshot(100, [(40, 1)], book=2, venue=90)
    for at, venue in ((110, 60), (120, 57), (130, 80), (140, 70)):
        build.level(at, BID, 41, 1, venue=venue)
    build.level(150, BID, 41, 1, book=2, venue=95)  # earlier than nothing of its own book
    report = build.tape(clocks="both").quality
    assert (report.measures.venue_back, report.measures.venue_back_max_ns) == (2, 10_000_000)
    assert "2, largest 0.010 s" in str(report)
    plain = report.to_dict()
    assert QualityReport.from_dict(plain) == report
    assert plain["venue_stamps_back"] == 2


def test_venue_stamps_that_were_not_counted_are_not_said_to_be_in_order() -> None:
    report = (
        TapeBuilder().snapshot(100, [(40, 1)], venue=50).level(110, BID, 41, 1, venue=40).tape(clocks="venue").quality
    )
    assert "not counted" in str(report)
    assert "venue_stamps_back" not in report.figures()
    plain = report.to_dict()
    assert QualityReport.from_dict(plain) == report
    for name in ("venue_back", "venue_back_max_ns"):  # as an earlier version wrote it
        del plain["measures"][name]
    assert QualityReport.from_dict(plain) == report


def test_a_meter_gives_the_same_in_pieces_of_any_size() -> None:
    build = TapeBuilder()
    build.snapshot(0, [(40, 1), (39, 1)], [(42, 1)])
    for i in range(1, 30):
        venue = i * 1_000 - i * 37 % 2_500
        build.level(i * 1_000, (BID, ASK)[i % 2], 35 + i % 9, i % 3, lower=i % 5 == 0, venue=venue)
    rows = build.tape().rows
    whole = Meter(lambda _: "venue", both_clocks=True)
    whole.add(rows)
    pieces = Meter(lambda _: "venue", both_clocks=True)
    pieces.add(rows.cut(slice(4)))
    for i in range(4, len(rows.book)):
        pieces.add(rows.cut(slice(i, i + 1)))
    assert pieces.finish() == whole.finish()
