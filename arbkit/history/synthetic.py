"""A made-up tape: two markets of one event whose books move together, one of them sometimes late.

It shows method, not market truth. ALPHA and BRAVO ask which of two sides wins, so a fair price p of one is 1 - p of
the other. Quotes of a market stand one or two cents apart around its own idea of the fair price. News moves one
market at once; the other follows after a delay, and until then one dollar is sold for less: the only source of
episodes. They come in number as asked for, apart from each other, with log-normal lives and mostly one cent wide.

What a real tape would give away is kept: flow comes in bursts, level sizes and trades have heavy tails, trades take
levels down (the level row stands before the print), half of the moves are trades that sweep the levels they clear,
and messages reach us milliseconds late, each market by a stream of its own. ALPHA is recorded as both of its books,
YES and NO in one message; of BRAVO only YES is, and its NO book is a mirror view. So YES and NO of one market never
cost less than one dollar together.

Medians and tails of level changes (260 to 370 shares, a tenth above 2,500) and of trades (30 to 38, a tenth above
330 to 430) are those of two recorded Kalshi books of one game in January 2026; the rest is chosen, not fitted.

    python -m arbkit.history.synthetic DEST --seed 0
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbkit.core.errors import ConfigError
from arbkit.core.grid import Grid
from arbkit.core.model import Market, MarketTable
from arbkit.core.units import MICRO, NS_PER_MS, NS_PER_S, Cash, Size
from arbkit.history.markets import market_table
from arbkit.history.synthetic_books import BACKGROUND, FOLLOW, JUMP, STEP, STEP_FOLLOW, play
from arbkit.history.tape import Tape

START = 1_790_000_000 * NS_PER_S  # 2026-09-21 14:13:20 UTC; any time would do
QUIETER = (3.0, 1.0)  # pauses of ALPHA, whose every level is told twice, and of BRAVO
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticSpec:
    """How long the tape is and how its world behaves. Times in the unit of their names, `m_` for a median.

    `life_tail` is the 99th percentile of episode lives over their median. Lives and widths are spread evenly over
    their distributions (one draw per slice of equal probability), so a tape of few episodes shows them too.
    """

    minutes: float = 14.0
    episodes: int = 180
    median_life_s: float = 0.1
    life_tail: float = 80.0
    one_cent_share: float = 0.7  # of episodes; the others are two to four cents wide
    rest_s: float = 1.5  # at least this long between the end of an episode and the next one
    steps_per_s: float = 0.4  # common moves of one cent, too small for a gap
    burst_messages: float = 14.0  # mean number in a burst
    burst_gap_ms: float = 12.5  # median gap inside a burst
    pause_ms: float = 1_100.0  # mean gap between bursts of BRAVO; ALPHA's are longer
    trade_share: float = 0.08  # of messages
    median_lag_ms: float = 4.0  # from the venue to us

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ConfigError(f"spec.{field.name} must be a finite number, not {value!r}")
        bounds = {
            "minutes": (0.1, 10_000),
            "episodes": (0, 1_000_000),
            "median_life_s": (0.001, 60),
            "life_tail": (1.001, 1_000),
            "one_cent_share": (0, 1),
            "rest_s": (0.1, 3_600),
            "steps_per_s": (0, 10),
            "burst_messages": (1, 1_000),
            "burst_gap_ms": (0.1, 10_000),
            "pause_ms": (1, 60_000),
            "trade_share": (0, 0.5),
            "median_lag_ms": (0.1, 1_000),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"spec.{name} = {getattr(self, name)!r} is outside {low}..{high}")
        if int(self.episodes) != self.episodes:
            raise ConfigError(f"spec.episodes must be a whole number, not {self.episodes!r}")


class Plan(NamedTuple):
    """What happens when, in order of venue time: seconds from the start, kind, market (0 or 1) and cents of edge."""

    at: Floats
    kind: NDArray[np.int64]
    market: NDArray[np.int64]
    cents: NDArray[np.int64]


def synthetic_tape(spec: SyntheticSpec | None = None, seed: int = 0) -> Tape:
    """Return a synthetic tape; the same spec and seed give the same tape.

    Raises ConfigError when the episodes asked for do not fit into the time.
    """
    spec = spec or SyntheticSpec()
    rng = np.random.Generator(np.random.Philox(seed))
    plan = _plan(spec, rng)
    rows = play(plan.kind, plan.market, plan.cents, spec.trade_share, rng)
    # Stamps in microseconds, as venues write them. Rows of one event share both stamps.
    venue = START + np.round(plan.at * 1e6).astype(np.int64) * 1_000
    lag = np.round(spec.median_lag_ms * NS_PER_MS * np.exp(0.6 * _persistent(rng, len(venue)))).astype(np.int64)
    recv = np.empty_like(venue)
    for market in (0, 1):  # one stream each: what is sent later does not arrive before
        mine = plan.market == market
        recv[mine] = np.maximum.accumulate(venue[mine] + lag[mine])
    order = np.argsort(recv[rows.event], kind="stable")  # rows of a message stay together
    event = rows.event[order]
    told = ", ".join(f"{key}={value:g}" for key, value in asdict(spec).items())
    return Tape.from_columns(
        markets(),
        ts_recv=recv[event],
        ts_venue=venue[event],
        book=rows.book[order],
        meta=rows.meta[order],
        price=rows.price[order],
        size=rows.size[order],
        clocks="both",
        source=f"arbkit.history.synthetic, seed {seed}: {told}",
        licence="Apache-2.0",
        synthetic=True,
    )


def markets() -> MarketTable:
    """Return the two markets; of BRAVO only YES is recorded."""
    two = tuple(
        Market(
            venue="synthetic",
            id=name,
            event="ALPHA-BRAVO",
            outcome=f"{name} wins",
            payout=Cash(MICRO),
            exclusive=True,
            exhaustive=True,
            void="half",
            grids=((0, Grid.of_tick("0.01")),),
            lot=Size(MICRO),
            min_size=Size(MICRO),
            fee_rules=((0, "synthetic-flat-low"),),
        )
        for name in ("ALPHA", "BRAVO")
    )
    return market_table(two, recorded=(0, 1, 2))


# -- the plan ------------------------------------------------------------------------------------------------


def _plan(spec: SyntheticSpec, rng: np.random.Generator) -> Plan:
    """Return all events: background messages of both markets, moves, and the bursts that moves set off."""
    duration = spec.minutes * 60
    starts, lives, cents = _episodes(spec, duration, rng)
    leaders = rng.integers(0, 2, len(starts))
    steps, delays = _steps(spec, duration, starts, lives, rng)
    step_leaders = rng.integers(0, 2, len(steps))
    none = np.zeros(len(steps), np.int64)
    parts = [
        (starts, JUMP, leaders, cents),
        (starts + lives, FOLLOW, 1 - leaders, cents),
        (steps, STEP, step_leaders, none),
        (steps + delays, STEP_FOLLOW, 1 - step_leaders, none),
    ]
    moves = [(at, market) for at, _, market, _ in parts]
    for who, quieter in enumerate(QUIETER):
        stirred = np.concatenate([at[market == who] for at, market in moves])
        at = np.concatenate([_bursts(spec, spec.pause_ms * quieter, duration, rng), _refills(spec, stirred, rng)])
        at = at[at < duration]
        parts.append((at, BACKGROUND, np.full(len(at), who), np.zeros(len(at), np.int64)))
    at = np.concatenate([part[0] for part in parts])
    kind = np.concatenate([np.full(len(part[0]), part[1]) for part in parts])
    market = np.concatenate([part[2] for part in parts]).astype(np.int64)
    width = np.concatenate([part[3] for part in parts]).astype(np.int64)
    order = np.argsort(at, kind="stable")
    # Both books open at the very start, before everything else.
    opening = np.zeros(2), np.full(2, BACKGROUND), np.arange(2), np.zeros(2, np.int64)
    columns = (at[order], kind[order], market[order], width[order])
    return Plan(*(np.concatenate(pair) for pair in zip(opening, columns, strict=True)))


def _episodes(
    spec: SyntheticSpec, duration: float, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return starts and lives in seconds and widths in cents, in order of time and apart by `rest_s`."""
    n = int(spec.episodes)
    bell = NormalDist()
    sigma = math.log(spec.life_tail) / bell.inv_cdf(0.99)
    slices = (np.arange(n) + rng.random(n)) / max(n, 1)
    z = np.array([bell.inv_cdf(min(max(p, 1e-9), 1 - 1e-9)) for p in slices.tolist()])
    lives = rng.permutation(spec.median_life_s * np.exp(sigma * z))
    slices = rng.permutation((np.arange(n) + 0.5) / max(n, 1))
    edges = spec.one_cent_share + (1 - spec.one_cent_share) * np.array([0.0, 0.65, 0.9])
    cents = 1 + np.searchsorted(edges, slices, side="right")
    spare = duration - float(lives.sum()) - (n + 1) * spec.rest_s
    if spare < 0:
        raise ConfigError(
            f"spec.episodes = {n} of {lives.mean() if n else 0:.2f} s on average and {spec.rest_s:g} s apart do not fit "
            f"into {spec.minutes:g} minutes"
        )
    before = np.sort(rng.random(n)) * spare + spec.rest_s * np.arange(1, n + 1)
    starts = before + np.concatenate([[0.0], np.cumsum(lives)[:-1]]) if n else before
    return starts, lives, cents.astype(np.int64)


def _steps(
    spec: SyntheticSpec, duration: float, starts: Floats, lives: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return times and delays (s) of common moves of one cent, one after the other and none near an episode."""
    n = rng.poisson(spec.steps_per_s * duration)
    at = np.sort(rng.random(n)) * duration
    delays = np.minimum(spec.median_life_s * np.exp(rng.standard_normal(n)), 0.5)
    nearest = np.searchsorted(starts, at)
    begins = np.concatenate([starts, [duration]])[nearest]
    ended = np.concatenate([[0.0], starts + lives])[nearest]
    quiet = (at > ended + 0.05) & (at + delays < begins - 0.05)
    at, delays = at[quiet], delays[quiet]
    kept: list[int] = []
    free = 0.0
    for i, (begin, delay) in enumerate(zip(at.tolist(), delays.tolist(), strict=True)):
        if begin > free:
            kept.append(i)
            free = begin + delay + 0.01
    return at[kept], delays[kept]


def _bursts(spec: SyntheticSpec, pause_ms: float, duration: float, rng: np.random.Generator) -> Floats:
    """Return the times of one market's background messages: short gaps in bursts, long ones between them."""
    mean = (pause_ms + (spec.burst_messages - 1) * spec.burst_gap_ms * math.exp(0.5)) / spec.burst_messages
    pieces: list[Floats] = []
    at = 0.001
    while at < duration:
        n = int(1.1 * (duration - at) * 1_000 / mean) + 100
        pause = rng.random(n) < 1 / spec.burst_messages
        gaps = np.where(pause, rng.exponential(pause_ms, n), _gaps(spec, rng, n))
        pieces.append(at + np.cumsum(gaps) / 1_000)
        at = float(pieces[-1][-1])
    return np.concatenate(pieces)


def _refills(spec: SyntheticSpec, moved: Floats, rng: np.random.Generator) -> Floats:
    """Return the times of the messages that a move sets off in its market."""
    n = 12
    gaps = _gaps(spec, rng, len(moved) * n).reshape(-1, n)
    return (moved[:, None] + np.cumsum(gaps, axis=1) / 1_000)[rng.random((len(moved), n)) < 0.7]


def _gaps(spec: SyntheticSpec, rng: np.random.Generator, n: int) -> Floats:
    return spec.burst_gap_ms * np.exp(rng.standard_normal(n))


def _persistent(rng: np.random.Generator, n: int) -> Floats:
    """Return a slowly varying standard normal series: a mean over the last 64 of white noise."""
    span = 64
    total = np.concatenate([[0.0], np.cumsum(rng.standard_normal(n + span))])
    return np.asarray((total[span : n + span] - total[:n]) / math.sqrt(span))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a synthetic tape of the default spec to a folder."""
    parser = argparse.ArgumentParser(prog="python -m arbkit.history.synthetic", description=main.__doc__)
    parser.add_argument("dest", metavar="DEST", help="folder of the tape; a tape that stands there is replaced")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=SyntheticSpec().minutes)
    parser.add_argument("--episodes", type=int, default=SyntheticSpec().episodes)
    given = parser.parse_args(arguments)
    tape = synthetic_tape(SyntheticSpec(minutes=given.minutes, episodes=given.episodes), given.seed)
    tape.write(given.dest)
    sys.stdout.write(f"{given.dest}: {tape!r}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
