"""`python -m benchmarks.imports --rows 5000000`: how fast a large recording becomes a tape, and in how much memory.

The recording is made up in pieces and is a valid file of its format; the import runs in a process of its own, whose
largest resident size (VmHWM: file pages that were mapped included) is what is reported. Linux only.
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

HOUR = 1_780_002_000_000  # ms
TOKENS = 200
PIECE = 1 << 18
CHILD = """
import json, sys, time
from arbkit.history.importers import import_recording
start, busy = time.perf_counter(), time.process_time()
report = import_recording(sys.argv[1], sys.argv[2], format=sys.argv[3])
spent, busy = time.perf_counter() - start, time.process_time() - busy
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
q = report.quality
print(json.dumps([spent, busy, peak / 1024, q.rows_read, report.rows, q.refused, q.measures.crossed, q.measures.prints]))
"""


class Imported(NamedTuple):
    """One import: seconds, those of the processor, MB, rows read, rows on the tape, and what must be so (nothing refused or crossed)."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    read: int
    rows: int
    refused: int
    crossed: int
    prints: int


def an_hour(path: Path, rows: int, tokens: int = TOKENS, seed: int = 0) -> None:
    """Write an hour of changes and 4 % trades of so many tokens, sorted by token, every best printed and true."""
    rng = np.random.default_rng(seed)
    each = rows // tokens
    with pq.ParquetWriter(path, _hour_schema(), compression="zstd") as file:
        for token in range(tokens):
            at = np.sort(rng.integers(0, 3_600_000, each))
            for start in range(0, each, PIECE):
                part = at[start : start + PIECE]
                file.write_table(_changes(rng, part, f"token-{token:05d}", opens=start == 0))


def _hour_schema() -> pa.Schema:
    stamp, price = pa.timestamp("ms", tz="UTC"), pa.decimal128(9, 4)
    kinds = {
        "timestamp_received": stamp, "timestamp": stamp, "market": pa.binary(66), "event_type": pa.string(),
        "asset_id": pa.string(), "bids": pa.string(), "asks": pa.string(), "price": price, "size": pa.decimal128(18, 6),
        "side": pa.string(), "best_bid": price, "best_ask": price, "fee_rate_bps": pa.uint16(),
        "transaction_hash": pa.string(), "old_tick_size": price, "new_tick_size": price,
    }  # fmt: skip
    return pa.schema(list(kinds.items()))


def _changes(rng: np.random.Generator, at: np.ndarray, token: str, *, opens: bool) -> pa.Table:
    n = len(at)
    trade, buy = rng.random(n) < 0.04, rng.random(n) < 0.5
    depth = rng.integers(0, 15, n)
    price = np.where(buy, 45 - depth, 55 + depth)
    price = np.where(trade, np.where(buy, 55, 45), price)
    size = rng.integers(0, 500, n)
    size = np.where((depth == 0) | trade, size + 1, size)  # the best never goes: 0.45 and 0.55 are true throughout
    event = np.where(trade, "last_trade_price", "price_change").astype(object)
    bids: list[str | None] = [None] * n
    asks: list[str | None] = [None] * n
    if opens:
        event[0] = "book"
        bids[0], asks[0] = '[{"price":"0.45","size":"10"}]', '[{"price":"0.55","size":"10"}]'
    prices = [Decimal(p).scaleb(-2) for p in range(101)]
    sizes = [Decimal(s) for s in range(502)]
    stamp = HOUR + at
    told = ~trade
    columns = [
        stamp, stamp - rng.integers(5, 150, n), pa.array([b"m" * 66] * n, pa.binary(66)), pa.array(event, pa.string()),
        pa.array([token] * n), pa.array(bids, pa.string()), pa.array(asks, pa.string()),
        pa.array([prices[p] for p in price], pa.decimal128(9, 4)), pa.array([sizes[s] for s in size], pa.decimal128(18, 6)),
        pa.array(np.where(buy, "BUY", "SELL").astype(object), pa.string()),
        pa.array([prices[45] if t else None for t in told], pa.decimal128(9, 4)),
        pa.array([prices[55] if t else None for t in told], pa.decimal128(9, 4)),
    ]  # fmt: skip
    schema = _hour_schema()
    arrays = [
        pa.array(c).cast(f.type) if isinstance(c, np.ndarray) else c for c, f in zip(columns, schema, strict=False)
    ]
    arrays += [pa.nulls(n, field.type) for field in list(schema)[len(arrays) :]]
    return pa.table(arrays, schema=schema)


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
