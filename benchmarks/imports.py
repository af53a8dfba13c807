"""How fast large recordings become tapes, and in how much memory: a part of `make bench`, Linux only.

The recordings are made up in pieces and are valid files of their formats; each import runs in a process of its own, whose
largest resident size (VmHWM: file pages that were mapped included) is what is reported. One of any size:
`python -m benchmarks.imports --rows 5000000 --tokens 50000`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arbkit.history.importers import pmxt, quotes
from benchmarks import report

HOUR = 1_780_002_000_000  # ms
TOKENS = 200
PIECE = 1 << 18
DEPTH = 15  # levels a side
CHANGE, TRADE, BOOK = range(3)
TOLD = np.dtype(
    [("token", "i4"), ("at", "i8"), ("late", "i8"), ("kind", "i1"), ("buy", "?"), ("depth", "i1"), ("size", "i4")]
)
CHILD = """
import json, sys, time
from arbkit.history.importers import import_recording, importer
importer(sys.argv[3])
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
idle = peak()
start, busy = time.perf_counter(), time.process_time()
report = import_recording(sys.argv[1], sys.argv[2], format=sys.argv[3])
spent, busy = time.perf_counter() - start, time.process_time() - busy
q = report.quality
told = [spent, busy, peak(), idle, q.rows_read, report.rows, report.markets]
print(json.dumps([*told, q.refused, q.measures.crossed, q.measures.prints]))
"""


class Imported(NamedTuple):
    """One import: seconds, those of the processor, MB, rows read, rows on the tape, and what must be so (nothing refused or crossed)."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    idle_mb: float  # before anything was read
    read: int
    rows: int
    markets: int
    refused: int
    crossed: int
    prints: int


def an_hour(path: Path, rows: int, tokens: int = TOKENS, seed: int = 0) -> None:
    """Write an hour of about so many rows, sorted by market, token and receipt, every best printed and true.

    Markets have two tokens that tell the same changes; few markets have most of them, and each token begins with a
    whole book. Of the rows 4 % are trades and 4 % whole books of up to 15 levels a side, the others changes.
    """
    markets = max(1, tokens // 2)
    share = 1 / np.arange(10, markets + 10)
    changes = np.maximum(1, rows / 2 * share / share.sum()).astype(int)
    np.random.default_rng(seed).shuffle(changes)
    held: list[np.ndarray] = []
    with pq.ParquetWriter(path, _hour_schema(), compression="zstd") as file:
        for market, n in enumerate(changes.tolist()):
            for no in (0, 1):
                held.append(_told((seed, market), n, market, no))
                if sum(map(len, held)) >= PIECE:
                    file.write_table(_hour_table(np.concatenate(held)), row_group_size=PIECE)
                    held = []
        if held:
            file.write_table(_hour_table(np.concatenate(held)))


def _hour_schema() -> pa.Schema:
    stamp, price = pa.timestamp("ms", tz="UTC"), pa.decimal128(9, 4)
    kinds = {
        "timestamp_received": stamp, "timestamp": stamp, "market": pa.binary(66), "event_type": pa.string(),
        "asset_id": pa.string(), "bids": pa.string(), "asks": pa.string(), "price": price, "size": pa.decimal128(18, 6),
        "side": pa.string(), "best_bid": price, "best_ask": price, "fee_rate_bps": pa.uint16(),
        "transaction_hash": pa.string(), "old_tick_size": price, "new_tick_size": price,
    }  # fmt: skip
    return pa.schema(list(kinds.items()))


def _told(seed: tuple[int, int], n: int, market: int, no: int) -> np.ndarray:
    """Return the rows of one token; those of NO are those of YES seen from the other side."""
    rng = np.random.default_rng(seed)
    told = np.zeros(n, TOLD)
    told["token"] = 2 * market + no
    told["at"] = np.sort(rng.integers(0, 3_600_000, n))
    told["late"] = rng.integers(5, 150, n)
    told["kind"] = rng.choice(3, n, p=(0.92, 0.04, 0.04))
    told["kind"][0] = BOOK
    told["buy"] = (rng.random(n) < 0.5) ^ bool(no)
    told["depth"] = np.where(told["kind"] == CHANGE, rng.integers(0, DEPTH, n), 0)
    told["size"] = rng.integers(0, 500, n)
    told["size"] += (told["depth"] == 0) & (told["size"] == 0)  # the best never goes: 0.45 and 0.55 stay true
    return told


def _hour_table(told: np.ndarray) -> pa.Table:
    n, kind, buy, depth = len(told), told["kind"], told["buy"], told["depth"]
    change, book = kind == CHANGE, kind == BOOK
    below = buy == change  # a buyer's order rests among the bids, and takes from the asks
    bids, asks = _books(told)
    at = pa.array(np.where(book, np.cumsum(book) - 1, 0), mask=~book)
    tokens, of = np.unique(told["token"], return_inverse=True)
    price, size = pa.decimal128(9, 4), pa.decimal128(18, 6)
    cents = pa.array([Decimal(cent).scaleb(-2) for cent in range(101)], price)
    columns = [
        pa.array(HOUR + told["at"]), pa.array(HOUR + told["at"] - told["late"]),
        pa.array([f"0x{token // 2:064x}".encode() for token in tokens.tolist()], pa.binary(66)).take(pa.array(of)),
        pa.array(["price_change", "last_trade_price", "book"]).take(pa.array(kind)),
        pa.array([f"{token:077d}" for token in tokens.tolist()]).take(pa.array(of)),
        bids.take(at), asks.take(at),
        cents.take(pa.array(np.where(below, 45 - depth, 55 + depth), mask=book)),
        pa.array([Decimal(shares) for shares in range(501)], size).take(pa.array(told["size"], mask=book)),
        pa.array(["SELL", "BUY"]).take(pa.array(buy.astype(int), mask=book)),
        cents.take(pa.array(np.full(n, 45), mask=~change)), cents.take(pa.array(np.full(n, 55), mask=~change)),
    ]  # fmt: skip
    schema = _hour_schema()
    columns += [pa.nulls(n, field.type) for field in list(schema)[len(columns) :]]
    return pa.table([column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)


def _books(told: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Return the texts of both sides of the whole books, after all that was told of their tokens in these rows.

    A piece ends between tokens, so that each begins with its first book: ten shares at every price.
    """
    sizes = {True: [10] * DEPTH, False: [10] * DEPTH}
    texts: dict[bool, list[str]] = {True: [], False: []}
    levels = {True: [f"0.{45 - i}" for i in range(DEPTH)], False: [f"0.{55 + i}" for i in range(DEPTH)]}
    token = -1
    for of, kind, buy, depth, size in told[["token", "kind", "buy", "depth", "size"]].tolist():
        if of != token:
            token, sizes = of, {True: [10] * DEPTH, False: [10] * DEPTH}
        if kind == CHANGE:
            sizes[buy][depth] = size
        elif kind == BOOK:
            for side, said in texts.items():
                pairs = zip(levels[side], sizes[side], strict=True)
                said.append("[" + ",".join(f'{{"price":"{p}","size":"{s}"}}' for p, s in pairs if s) + "]")
    return pa.array(texts[True], pa.string()), pa.array(texts[False], pa.string())


def a_day(path: Path, rows: int, markets: int = 10_000, seed: int = 0) -> None:
    """Write quotes that come to about so many rows of a tape, each quote moving one side."""
    rng = np.random.default_rng(seed)
    quotes_each = max(2, rows // (2 * markets))
    at = np.arange(quotes_each) * (86_000 // quotes_each) + HOUR // 1_000
    schema = pa.schema(
        [("ts", pa.timestamp("us")), ("slug", pa.string()), *((n, pa.float64()) for n in ("bid", "ask", *quotes.ALSO))]
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for first in range(0, markets, 100):
            names = [f"market-{first + i:05d}" for i in range(100) for _ in range(quotes_each)]
            n = len(names)
            bid = (40 + np.arange(n) % 7) / 100
            ask = rng.integers(50, 52) / 100 + np.zeros(n)
            columns = [
                pa.array(np.tile(at, 100) * 10**6).cast(pa.timestamp("us")),
                pa.array(names),
                pa.array(bid),
                pa.array(ask),
            ]
            columns += [pa.nulls(n, pa.float64()) for _ in quotes.ALSO]
            file.write_table(pa.table(columns, schema=schema))


MADE: dict[str, tuple[str, Callable[..., None]]] = {
    pmxt.IMPORTER.name: ("polymarket_orderbook_2026-05-28T21.parquet", an_hour),
    quotes.IMPORTER.name: ("quotes.parquet", a_day),
}


def measured(format: str, rows: int, folder: Path, **made_of: int) -> tuple[Imported, float, int]:
    """Make a recording and import it; return what came of it, the seconds of the making, and the file's bytes."""
    name, make = MADE[format]
    start = time.perf_counter()
    make(folder / name, rows, **made_of)
    made = time.perf_counter() - start
    done = subprocess.run(
        [sys.executable, "-c", CHILD, folder / name, folder / "tape", format],
        capture_output=True,
        text=True,
        check=True,
    )
    return Imported(*json.loads(done.stdout)), made, (folder / name).stat().st_size


def on_disk(folder: Path) -> Iterator[tuple[str, int]]:
    for path in (folder / "tape" / "rows", folder / "tape" / "replay.arrow"):
        files = path.iterdir() if path.is_dir() else [path]
        yield path.name, sum(file.stat().st_size for file in files)


# -- the page ------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A recording of the page."""

    what: str
    format: str
    rows: int
    made_of: dict[str, int]


HOURS = (
    Asked("an hour of 200 tokens", pmxt.IMPORTER.name, 5_000_000, {"tokens": 200}),
    Asked("an hour of 50,000 tokens", pmxt.IMPORTER.name, 5_000_000, {"tokens": 50_000}),
    Asked("a day of quotes", quotes.IMPORTER.name, 2 * 5_600_000, {"markets": 12_400}),
)
LONG = Asked("an hour of 50,000 tokens, long", pmxt.IMPORTER.name, 50_000_000, {"tokens": 50_000})
QUICK = (
    Asked("an hour of 50 tokens", pmxt.IMPORTER.name, 5_000, {"tokens": 50}),
    Asked("a day of quotes", quotes.IMPORTER.name, 5_000, {"markets": 100}),
)
PEAK_MB = 1_000


def measure(
    folder: Path, *, quick: bool, long: bool, say: Callable[[str], None]
) -> list[tuple[str, Imported, int, int]]:
    """Import recordings one after the other; return (what, what came of it, the file's bytes, the tape's Parquet)."""
    found = []
    for number, asked in enumerate(QUICK if quick else (*HOURS, LONG) if long else HOURS):
        say(f"an import: {asked.what}")
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{number}-") as own:
            got, _, size = measured(asked.format, asked.rows, Path(own), **asked.made_of)
            if (got.refused, got.crossed) != (0, 0):
                raise RuntimeError(
                    f"{asked.what}: {got.refused} rows refused, {got.crossed} books crossed: made wrongly"
                )
            found.append((asked.what, got, size, dict(on_disk(Path(own)))["rows"]))
    return found


def section(found: list[tuple[str, Imported, int, int]]) -> str:
    """Return the part of the page."""
    head = ("recording", "rows read", "books", "file, MB", "rows on the tape", "seconds", "CPU s", "read a CPU s",
            "Parquet, bytes a row", "peak, MB", "of it before, MB", f"below {PEAK_MB:,} MB")  # fmt: skip
    rows = [
        (
            what, f"{got.read:,}", f"{got.markets:,}", f"{size / 1e6:,.0f}", f"{got.rows:,}", f"{got.seconds:,.1f}",
            f"{got.cpu_seconds:,.1f}", f"{got.read / got.cpu_seconds:,.0f}", f"{kept_bytes / got.rows:.1f}",
            f"{got.peak_mb:,.0f}", f"{got.idle_mb:,.0f}", report.kept(got.peak_mb < PEAK_MB),
        )
        for what, got, size, kept_bytes in found
    ]  # fmt: skip
    return f"""## Imports

Recordings that are made up, imported once each by a process of its own. *Hours* are PMXT files of the whole market
channel, sorted by market, token and receipt: whole books of fifteen levels a side (4 % of the rows), trades (4 %) and
changes of both tokens of each market, few markets having most of them. *Quotes* are best prices. Peak is the largest
resident size with all mapped pages, *before* that of the interpreter with everything loaded.

{report.table(head, rows)}"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--format", choices=MADE, default=pmxt.IMPORTER.name)
    parser.add_argument("--tokens", type=int, help="of the hour: how many books there are")
    parser.add_argument("--folder", type=Path, help="where the files go (a temporary folder)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        found, made, size = measured(
            asked.format, asked.rows, Path(folder), **({"tokens": asked.tokens} if asked.tokens else {})
        )
        assert (found.refused, found.crossed) == (0, 0)
        print(f"{asked.format}: {found.read:,} rows in {size / 1e6:,.0f} MB, made in {made:.0f} s")
        print(f"imported in {found.seconds:.1f} s, {found.cpu_seconds:.1f} s of a processor: "
              f"{found.read / found.cpu_seconds:,.0f} rows read per processor second, "
              f"{found.rows:,} rows on the tape ({found.prints:,} prints)")  # fmt: skip
        print(f"largest resident size {found.peak_mb:,.0f} MB")
        for name, taken in on_disk(Path(folder)):
            print(f"{name}: {taken / found.rows:.1f} bytes a row")


if __name__ == "__main__":
    main()
