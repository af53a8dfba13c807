"""What was measured, as docs/performance.md: figures with their counts and spans, and ratios within one run."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.chain import RoundTrips
from benchmarks.engine import Figures, Spread
from benchmarks.journal import REPLAY, START_UP, VERIFY, Replay
from benchmarks.soak import Soak

HEAD = """# Performance

Written by `make bench`; not to be edited. Every figure is the median over {runs} runs with a warm-up outside, the span of
the runs in brackets. Engines that are compared took turns within one run, {chunk} trades each, so that whatever else the
machine was doing fell on all of them. Times are wall times; *CPU* is processor time of all threads, which other work on
the machine lengthens only as far as it slows the processor down. Targets are judged by this run, whatever else ran.

**The machine.** {machine}
"""
CHAIN_SHARE = 0.5  # of web3's round trip
TRADE_MS, TRADE_P99_MS, SKEW_P99_MS, REPLAY_RATE = 2.0, 10.0, 1.0, 100_000


class Yard(NamedTuple):
    """A fixed piece of Python, again and again while the rest was measured; milliseconds."""

    least_cpu: float
    median_cpu: float
    median_wall: float
    worst_wall: float


def yard(times: int = 300) -> Yard:
    """Measure how long a fixed piece of Python takes here, and how much longer because of what else is going on."""
    wall, cpu = [], []
    for _ in range(times):
        began, spent = time.perf_counter_ns(), time.thread_time_ns()
        sum(number * number for number in range(20_000))
        cpu.append((time.thread_time_ns() - spent) / 1e6)
        wall.append((time.perf_counter_ns() - began) / 1e6)
    return Yard(min(cpu), median(cpu), median(wall), max(wall))


def machine(yards: Sequence[Yard], *, first: bool) -> str:
    """Describe the machine in general words, how busy it was, and whether the benchmark went before other work."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    least = min(one.least_cpu for one in yards)
    slow = median(one.median_wall for one in yards) / least
    said = (
        f"{cores} cores, {platform.machine()}, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}. "
        f"A fixed loop of Python took {least:.2f} ms at best and {slow:.2f} times as long in the median, "
        f"{max(one.worst_wall for one in yards) / least:.1f} times at worst"
    )
    busy = "; other work was running." if slow > 1.2 else "."
    put = " All but memory was measured at real-time priority: other work had to wait." if first else ""
    return said + busy + put


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown, the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def with_part(page: str, part: str, said: str) -> str:
    """Return the page with this part, between comments of its name, in the place of what it said before, or at the end."""
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    pieces = (before.strip(), f"{begin}\n\n{said.strip()}\n\n{end}", after.strip())
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def ms(spread: Spread, share: str = "p50") -> str:
    """Return a quantile in ms with the span of the runs."""
    value = spread.p50 if share == "p50" else spread.p99
    low, high = spread.p50_range if share == "p50" else spread.p99_range
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def kept(is_kept: bool) -> str:
    return "kept" if is_kept else "**not kept**"


def engine_section(figures: Sequence[Figures], commit: Spread) -> str:
    """Return what a trade costs, and what of it is the journal's."""
    inside = [one for one in figures if one.venue == "in process"]
    plain = {(one.loop, one.legs): one for one in inside if one.journal == "none"}
    rows = [
        (
            f"{one.loop}, {one.legs} legs, {_journal(one)}",
            one.result.number,
            ms(one.wire),
            ms(one.wire, "p99"),
            ms(one.over),
            ms(one.over, "p99"),
            f"{one.cpu_ms:.2f}",
            f"{one.over.p50 / plain[one.loop, one.legs].over.p50:.2f}",
        )
        for one in inside
    ]
    durable = [one for one in inside if one.legs == 2 and one.journal == "on disk"]
    targets = "\n".join(
        f"- {one.loop}: median {one.over.p50:.2f} ms of {TRADE_MS:g} allowed "
        f"({kept(one.over.p50 < TRADE_MS)}), p99 {one.over.p99:.2f} of {TRADE_P99_MS:g} "
        f"({kept(one.over.p99 < TRADE_P99_MS)})."
        for one in durable
    )
    return f"""## The engine's own time for a trade

A MARKET trade from `execute_opportunity` on: to the wire (the last leg handed to its venue), and to the result less one
bare round trip of an order. The venues are in the process and answer one turn of the event loop later. *On disk* is a
`JournalFile`: SQLite with WAL and `synchronous=FULL`, so that every order's intent is synced before it is sent, and a
kill file that is looked for before each send. *uvloop* is measured where it is installed.

{table(("engine", "trades", "to wire p50, ms", "p99", "to result p50, ms", "p99", "CPU, ms", "× no journal"), rows)}
Asked of two legs with a journal on disk:

{targets}

SQLite alone, with the same settings and as much in one commit as a trade writes, took {ms(commit)} ms at the median and
{ms(commit, "p99")} ms at p99 on the same disk ({
        commit.number
    } commits): a slower disk adds its difference to every trade.
"""


def skew_section(figures: Sequence[Figures]) -> str:
    """Return how far apart the first and the last leg leave."""
    rows = [
        (
            f"{one.loop}, {one.legs} legs, {one.venue}, {_journal(one)}",
            one.skew.number,
            ms(one.skew),
            ms(one.skew, "p99"),
            kept(one.skew.p99 < SKEW_P99_MS),
        )
        for one in figures
        if one.journal != "in memory"
    ]
    return f"""## Skew between the legs

From the first to the last order of a trade: handed to its venue in the process, or written to its socket.

{table(("engine", "trades", "p50, ms", "p99", f"p99 below {SKEW_P99_MS:g} ms"), rows)}"""


def wire_section(figures: Sequence[Figures]) -> str:
    """Return the whole trade against the bare round trip of the same client to the same server."""
    rows = [
        (
            f"{one.loop}, {one.legs} legs, {_journal(one)}",
            one.result.number,
            ms(one.bare),
            ms(one.bare, "p99"),
            ms(one.wire),
            ms(one.result),
            ms(one.result, "p99"),
            f"{one.result.p50 / one.bare.p50:.1f}",
            f"{one.asked:.0f}",
        )
        for one in figures
        if one.venue != "in process"
    ]
    head = (
        "engine", "trades", "bare p50, ms", "bare p99", "to wire p50", "trade p50", "trade p99",
        "trade / bare", "requests a trade",
    )  # fmt: skip
    return f"""## Against a venue behind a socket

A server of JSON lines in a process of its own, over loopback TCP. Beside every trade the same connection made one bare
round trip of one order. A trade asks each venue for its free cash before all legs leave together.

{table(head, rows)}"""


def replay_section(found: Sequence[Replay]) -> str:
    """Return how fast a new process takes over what an old one wrote."""
    verified = next(one for one in found if one.step == VERIFY)
    rows = [
        (
            one.step,
            f"{one.records:,}",
            f"{one.seconds:.2f} ({one.least:.2f}–{one.most:.2f})",
            f"{one.rate:,.0f}",
            f"{one.cpu_rate:,.0f}",
            f"{one.seconds / verified.seconds:.2f}",
        )
        for one in found
    ]
    whole = next(one for one in found if one.step == REPLAY)
    start = next(one for one in found if one.step == START_UP)
    return f"""## Replay of a journal

Real simulated trades of every outcome, repeated under new names. Folding gives what is open, owed and barred; *risk and
figures* takes reservations, positions, losses and metrics back as well, which is what `engine.start` does.

{table(("step", "records", "seconds", "records/s", "records/CPU s", "× verify"), rows)}
Asked of read, verify and fold together: {REPLAY_RATE:,} records a second; {whole.rate:,.0f} on the wall clock
({kept(whole.rate >= REPLAY_RATE)}), {whole.cpu_rate:,.0f} a processor second
({kept(whole.cpu_rate >= REPLAY_RATE)}). A start on a million records takes {1e6 / start.rate:.0f} s.
"""


def chain_section(asked: Sequence[RoundTrips], missing: str = "") -> str:
    """Return what a question to a node costs by our transport, by the pool of nodes and by web3."""
    head = "## A question to a chain's node"
    if not asked:
        return f"{head}\n\nNot measured here: {missing}.\n"

    def row(name: str, seconds: Sequence[float], ratios: Sequence[float]) -> tuple[str, ...]:
        low, high = min(seconds) * 1e3, max(seconds) * 1e3
        return name, f"{median(seconds) * 1e3:.3f} ({low:.3f}–{high:.3f})", f"{median(ratios):.2f}"

    rows = [
        row("one endpoint", [one.endpoint_s for one in asked], [one.ratio for one in asked]),
        row("the pool of nodes", [one.pool_s for one in asked], [one.pool_ratio for one in asked]),
        row("web3 over HTTP", [one.web3_s for one in asked], [1.0 for _ in asked]),
    ]
    share = median(one.ratio for one in asked)
    return f"""{head}

A balance, asked of a local node in turns by each way: medians of {asked[0].number} in each of {len(asked)} runs.

{table(("way", "p50, ms", "of web3's"), rows)}
Asked of one endpoint: {CHAIN_SHARE:g} of web3's round trip at most; {share:.2f} ({kept(share <= CHAIN_SHARE)}).
"""


def soak_section(found: Soak) -> str:
    """Return what a desk holds in memory as time goes on."""
    first, last = found.readings[0], found.readings[-1]
    rows = [
        (f"{one.days:.2f}", f"{one.trades:,}", f"{one.records:,}", f"{one.traced_mb:.3f}", f"{one.rss_mb:.1f}")
        for one in found.readings
    ]
    outcomes = ", ".join(f"{number:,} {name}" for name, number in sorted(found.outcomes.items()))
    grown = table(("line", "kB", "objects"), [(f"`{one.where}`", f"{one.kb:.1f}", one.objects) for one in found.grown])
    left = f" Still open at the end: {'; '.join(found.open)}." if found.open else " Nothing was open at the end."
    return f"""## Memory over time

{last.days:g} days of virtual time in {found.seconds:.0f} s: {outcomes}, with the reconciler and every watch running, and
venues that fill in part, miss, refuse, lose requests and answers and settle late. The journal keeps a count alone.{left}

{table(("days", "trades", "records", "traced, MB", "resident, MB"), rows)}
After the warm-up, in which the collector of figures fills its list of recent trades, what Python holds grew by
**{found.slope_mb * 1e3:+.0f} kB a day** ({found.slope_mb * 1e6 * last.days / max(1, last.trades):+.0f} bytes a trade), the
process by {found.slope_rss_mb * 1e3:+.0f} kB a day; it held {first.traced_mb:.2f} MB at the first reading and
{last.traced_mb:.2f} MB at the last. Where most was added since the warm-up:

{grown}"""


def _journal(one: Figures) -> str:
    return "no journal" if one.journal == "none" else f"journal {one.journal}"
