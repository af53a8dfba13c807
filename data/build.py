"""Build the tapes of this folder anew: `python data/build.py [FOLDER]`, see README.md.

FOLDER holds books.parquet and markets.parquet of the package resolvedkit 0.1.0 (its `sample_data`). Without it only
the synthetic tape is built. The replay files are removed afterwards: they are three times as large as the rows they
are made from, and reading a tape does without.
"""

import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from arbkit.history.importers import import_recording
from arbkit.history.markets import read_markets
from arbkit.history.synthetic import main as synthetic

HERE = Path(__file__).parent
LICENCE = "MIT, Copyright (c) 2026 Elcara LLC-FZ (Resolved Markets); text in data/README.md"


def sample(recording: Path) -> None:
    """Import the three markets of resolvedkit.toml out of the recording."""
    wanted = [stem for market in read_markets(HERE / "resolvedkit.toml").markets for _, stem in market.source]
    markets = pq.read_table(recording / "markets.parquet", filters=[("slug", "in", wanted)])
    ids = markets.column("market_id").to_pylist()
    books = pq.read_table(recording / "books.parquet", filters=[("market_id", "in", ids)])
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "books.parquet", Path(folder) / "markets.parquet"]
        for table, file in zip((books, markets), files, strict=True):
            pq.write_table(table, file)
        report = import_recording(
            files,
            HERE / "resolvedkit_sample",
            HERE / "resolvedkit.toml",
            source="resolvedkit 0.1.0 (PyPI), sample_data/books.parquet, three of its markets",
            licence=LICENCE,
        )
    sys.stdout.write(f"{report}\n")


def main() -> None:
    synthetic([str(HERE / "synthetic_two_market"), "--seed", "0"])
    if len(sys.argv) > 1:
        sample(Path(sys.argv[1]))
    for file in HERE.glob("*/replay.arrow"):
        file.unlink()


if __name__ == "__main__":
    main()
