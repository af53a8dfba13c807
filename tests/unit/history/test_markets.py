from pathlib import Path

import pytest

from arbkit.core.errors import DataError
from arbkit.core.grid import Grid
from arbkit.core.model import Market, Pair
from arbkit.history.markets import market_table, read_markets, table_from_dict, table_to_dict

SHIPPED = Path(__file__).parents[2] / "data" / "markets"

FILLED = {
    "venue": '"kalshi"', "id": '"A"', "event": '"game"', "outcome": '"A"', "payout": '"1"', "exclusive": "true",
    "exhaustive": "true", "void": '"half"', "tick": '"0.01"', "lot": '"1"', "min_size": '"1"', "fee_rule": '"unknown"',
    "start": '"unknown"', "close": '"unknown"', "resolution": '"unknown"', "source": '"file_a"',
}  # fmt: skip


def market(**changes: str | None) -> str:
    fields = {**FILLED, **changes}
    return "[[market]]\n" + "\n".join(f"{k} = {v}" for k, v in fields.items() if v is not None) + "\n"


def other(**changes: str | None) -> str:
    return market(**{"id": '"B"', "outcome": '"B"', "source": '"file_b"', **changes})


@pytest.fixture
def read(tmp_path: Path):
    def reading(text: str):
        path = tmp_path / "markets.toml"
        path.write_text(text)
        return read_markets(path)

    return reading


def test_a_filled_market_is_read_in_integers(read) -> None:
    (found,) = read(market(assumed='["void"]')).markets
    assert (found.payout, found.lot, found.min_size) == (1_000_000, 1_000_000, 1_000_000)
    assert found.grids == ((0, Grid.of_tick("0.01")),)
    assert found.fee_rules == ()
    assert found.start is None
    assert found.source == (("yes", "file_a"),)
    assert found.assumed == {"void"}


def test_a_tick_may_be_ranges_or_a_dated_history(read) -> None:
    ranges = '[{start="0", end="0.1", step="0.001"}, {start="0.1", end="1", step="0.01"}]'
    (found,) = read(market(tick=ranges)).markets
    assert found.grid_at(0).holds(99_000)
    dated = f'[{{from=2026-01-01T00:00:00Z, tick="0.01"}}, {{from="2026-02-01T00:00:00Z", tick={ranges}}}]'
    (found,) = read(market(tick=dated)).markets
    assert [len(grid.ranges) for _, grid in found.grids] == [1, 2]
    assert not found.grid_at(1_767_225_600_000_000_000).holds(99_000)
    assert found.grid_at(1_780_000_000_000_000_000).holds(99_000)


def test_a_fee_rule_may_have_a_dated_history(read) -> None:
    (found,) = read(market(fee_rule='[{from="1767225600", rule="old"}, {from="1777225600", rule="new"}]')).markets
    assert found.fee_rule_at(1_770_000_000_000_000_000) == "old"
    assert found.fee_rule_at(1_780_000_000_000_000_000) == "new"


def test_a_source_may_name_a_file_per_outcome(read) -> None:
    (found,) = read(market(source='{yes = "up", no = "down"}')).markets
    assert found.source == (("yes", "up"), ("no", "down"))


def test_pairs_name_markets_by_venue_and_id_or_by_id_alone(read) -> None:
    text = market() + other(event='"other"') + '[[pair]]\na = "kalshi:A"\nb = "B"\npolarity = "opposite"\n'
    (pair,) = read(text).pairs
    assert (pair.a.id, pair.b.id, pair.polarity) == ("A", "B", "opposite")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (market(tikc='"0.01"'), r"kalshi:A: unknown field `tikc`"),
        (market(tick=None), r"kalshi:A: field `tick` is missing"),
        (market(tick="0.01"), r"kalshi:A: field `tick`: must be text"),
        (market(tick='"0.03"'), r"kalshi:A: field `tick`: not a price grid"),
        (market(tick='[{from="2026-01-01T00:00:00Z", tick="0.01"}, {from="2025-01-01T00:00:00Z", tick="0.01"}]'),
         r"field `tick`: dated entries must be in order"),
        (market(lot="1.0"), r"field `lot`: must be written as text"),
        (market(min_size='"-5"'), r"field `min_size`: not a size"),
        (market(payout='"0"'), r"field `payout`: must be above zero"),
        (market(exclusive='"yes"'), r"field `exclusive`: must be true, false"),
        (market(void='"maybe"'), r"field `void`: must be one of"),
        (market(start="2026-01-01T00:00:00"), r"field `start`: .* no time zone"),
        (market(start="2026-01-02T00:00:00Z", close="2026-01-01T00:00:00Z"), r"field `close`: is not after start"),
        (market(resolution='"perhaps"'), r"field `resolution`"),
        (market(source='"unknown"'), r"field `source` cannot be unknown"),
        (market(source='{yes = "x", no = "x"}'), r"field `source`: both outcomes name one source"),
        (market(assumed='["start"]'), r"field `assumed`: 'start' is unknown"),
        (market(assumed='["colour"]'), r"field `assumed`: there is no field 'colour'"),
        (market(assumed='"void"'), r"field `assumed`: must be a list"),
        (market() + market(source='"file_b"'), r"kalshi:A: field `id`: stated twice"),
        (market() + other(source='"file_a"'), r"kalshi:B: field `source`: 'file_a' already belongs to kalshi:A"),
        (market() + other(exhaustive="false"), r"kalshi:B: field `exhaustive`: false, but true in A"),
        (market() + other(exclusive='"unknown"'), r"kalshi:B: field `exclusive`: unknown, but true in A"),
        (market() + '[[pair]]\na = "A"\nb = "B"\npolarity = "same"\n', r"pair 1: field `b`: no market is named 'B'"),
        (market() + '[[pair]]\na = "A"\nb = "A"\npolarity = "same"\n', r"pair 1: field `b`: pairs A with itself"),
        (market() + other() + '[[pair]]\na = "A"\nb = "B"\npolarity = "equal"\n', r"pair 1: field `polarity`"),
        (market() + other() + '[[pair]]\na = "A"\nb = "B"\n', r"pair 1: field `polarity` is missing"),
        (market() + other() + '[[pair]]\na = "A"\nb = "B"\npolarity = "same"\nwhy = 1\n', r"pair 1: unknown field `why`"),
        (market() + other(event='"unknown"', outcome='"unknown"') + '[[pair]]\na = "A"\nb = "B"\npolarity = "same"\n',
         r"pair 1: field `b`: 'B' is an unknown market"),
        ("market = [1, 2]", r"market number 1 must be a table under \[\[market\]\], not 1"),
        (market() + "[pair]\na = 1\n", r"pair number 1 must be a table under \[\[pair\]\]"),
        ("pair = [1]\n" + market(), r"pair number 1 must be a table under \[\[pair\]\], not 1"),
        (market(lot='"99999999999999999999"'), r"kalshi:A: field `lot`: more than a tape can hold"),
        ("", r"states no \[\[market\]\]"),
        ("[[markets]]\n", r"unknown table `markets`"),
        ("market = nonsense", r"not a readable TOML file"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_naming_market_and_field(read, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as refusal:
        read(text)
    assert "markets.toml" in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.toml: no such markets file"):
        read_markets(tmp_path / "nowhere.toml")


def test_books_are_numbered_two_per_market_and_mirror_each_other() -> None:
    table = market_table([Market(venue="v", id="a"), Market(venue="v", id="b")], recorded=[0, 3])
    assert [(b.name, b.index, b.mirror, b.recorded) for b in table.books] == [
        ("v:a:yes", 0, 1, True), ("v:a:no", 1, 0, False), ("v:b:yes", 2, 3, False), ("v:b:no", 3, 2, True),
    ]  # fmt: skip


def test_a_table_survives_plain_values(read) -> None:
    text = market(fee_rule='"kalshi"', assumed='["void"]') + other(source='{yes = "up", no = "down"}')
    spec = read(text)
    table = market_table(spec.markets, [Pair(*spec.markets, "same")], recorded=[0])
    assert table_from_dict(table_to_dict(table)) == table


def test_a_plain_market_with_a_foreign_field_is_refused() -> None:
    plain = table_to_dict(market_table([Market(venue="v", id="a")]))
    plain["markets"][0]["colour"] = "red"
    with pytest.raises(DataError, match="colour"):
        table_from_dict(plain)


@pytest.mark.parametrize("name", ["nyk_lac", "bos_den", "mia_min"])
def test_the_games_markets_files_say_what_they_guess(name: str) -> None:
    spec = read_markets(SHIPPED / f"{name}.toml")
    assert len(spec.markets) == 2
    for found in spec.markets:
        assert found.exclusive
        assert found.exhaustive
        assert found.void == "half"
        assert {"void", "exhaustive", "lot"} <= found.assumed
        assert found.fee_rules == ()
