"""`arbkit journal | kill | pairs`: what a person does around a running engine, and what they see of it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arbkit.cli.base import app, refusable, usage

if TYPE_CHECKING:
    from arbkit.journal.codec import Fact
    from arbkit.risk.kill_switch import KillFile

journal = typer.Typer(
    help="Look at a journal: nothing here writes to it, and an engine may be running.", no_args_is_help=True
)
app.add_typer(journal, name="journal")
pairs = typer.Typer(
    help="Which markets of two venues a person has found to ask the same question.", no_args_is_help=True
)
app.add_typer(pairs, name="pairs")

DAY_NS = 86_400 * 1_000_000_000
JournalPath = Annotated[Path, typer.Argument(help="A journal.")]
Unchecked = Annotated[bool, typer.Option("--unchecked", help="Whatever can be read of a damaged one, proven or not.")]


@journal.command()
def verify(path: JournalPath) -> None:
    """Read a journal from end to end: is every record what was written, and is it all there?"""

    def work() -> None:
        from arbkit.core.errors import JournalDamaged
        from arbkit.core.secrets import redacted
        from arbkit.journal import store

        latest = store.latest_of(path)
        meta, first_at, last_at = store.verify(path, tell=_remark)
        if lacking := latest.lacking(meta.records):
            raise JournalDamaged(f"{path}: whole as far as it goes, but {lacking}")
        typer.echo(f"{path}: whole")
        typer.echo(f"  records: {meta.records}")
        if meta.records:
            typer.echo(f"  from: {_utc(first_at)}\n  to: {_utc(last_at)}")
        typer.echo(f"  account: {_plain(redacted(meta.account))} ({_plain(meta.environment)})")
        typer.echo(f"  made: {meta.created}, version {meta.version}")
        typer.echo(f"  last hash: {meta.head.hex()}")
        if exposed := store.exposure(path):
            typer.echo(f"  exposed: {exposed}")

    refusable(work)


@journal.command()
def show(
    path: JournalPath,
    key: Annotated[str, typer.Option(help="Of one order, trade, market or account, and of a trade's orders.")] = "",
    fact: Annotated[str, typer.Option(help="Of one kind: order.sent, or order for all that begin so.")] = "",
    last: Annotated[int | None, typer.Option(min=1, help="Only the last N of them.")] = None,
    unchecked: Unchecked = False,
) -> None:
    """Print facts as a timeline: time (UTC), fact, key, data. What looks like a key to an account is masked."""

    def work() -> None:
        found = _last(_chosen(_facts(path, unchecked), key, fact), last)
        is_found = False
        try:
            for one in found:
                is_found = True
                typer.echo(_line(one))
        except BrokenPipeError:  # whoever listened, `head` for one, has heard enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        if not is_found and (key or fact):
            _remark("no fact there is of that key or kind")

    refusable(work)


@journal.command()
def export(
    path: JournalPath,
    out: Annotated[Path, typer.Argument(help="OUT.jsonl or OUT.csv.")],
    unchecked: Unchecked = False,
) -> None:
    """Write all facts to a file, one a line. What looks like a key to an account is masked."""
    if out.suffix not in (".jsonl", ".csv"):
        raise usage(f"{out}: the name of the file must end in .jsonl or .csv")

    def work() -> int:
        import csv

        from arbkit.core.errors import ConfigError
        from arbkit.core.files import written
        from arbkit.journal.named import not_to_be_written_over

        if why := not_to_be_written_over(out):
            raise ConfigError(f"{why}, and nothing was exported")
        count = 0
        with written(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            if out.suffix == ".csv":
                table.writerow(("time", "at", "fact", "key", "data"))
            for fact in _facts(path, unchecked):
                row = _row(fact)
                if out.suffix == ".csv":
                    table.writerow((row["time"], row["at"], row["fact"], row["key"], json.dumps(row["data"])))
                else:
                    file.write(json.dumps(row) + "\n")
                count += 1
        return count

    typer.echo(f"{refusable(work)} facts: {out}")


@app.command()
def kill(
    path: Annotated[Path, typer.Option("--journal", help="The journal of the engine that must stop.")],
    reason: Annotated[list[str] | None, typer.Argument(help="Why: it stands in the journal.")] = None,
    release: Annotated[bool, typer.Option("--release", help="Let it trade again.")] = False,
) -> None:
    """Stop an engine's entries at once and until released; it goes on cancelling and reducing."""

    why = " ".join(reason or ()).strip() or "by hand"

    def work() -> str:
        from arbkit.core.errors import ConfigError
        from arbkit.journal.named import not_a_journal
        from arbkit.journal.store import kill_path
        from arbkit.risk.kill_switch import KillFile

        if slip := not_a_journal(path):  # a slip of the pen must not look like a stop
            raise ConfigError(f"{slip}, so no engine was stopped or released")
        switch = KillFile(kill_path(path))
        if not release:
            switch.engage(why, time.time_ns())
            if switch.unwritten and switch.reasons():
                raise ConfigError(
                    f"it was killed before ({_plain(switch.engaged())}), but your reason cannot be added,"
                    f" and a release under way will not heed it: {switch.unwritten}"
                )
            return f"{_killed(switch)}\n  until: arbkit kill --release --journal {path}"
        seen = switch.content()
        if not switch.engaged():
            return "not killed: there is nothing to release"
        typer.echo(_killed(switch))
        if typer.prompt("type release to let the engine enter new trades").strip() != "release":
            raise ConfigError("not confirmed, and nothing was released")
        switch.release(why, time.time_ns(), seen)
        return "released"

    typer.echo(refusable(work))


def _killed(switch: KillFile) -> str:
    """Return why the switch is thrown, the first reason first."""
    return "\n  and: ".join([f"killed: {_plain(switch.engaged())}", *map(_plain, switch.reasons()[1:])])


@pairs.command("list")
def list_(file: Annotated[Path, typer.Argument(help="A file of approved pairs.")]) -> None:
    """List the approvals, and until when they hold."""

    def work() -> None:
        from arbkit.risk.pairs import PairBook

        approvals = PairBook.read(file).approvals
        typer.echo(f"{len(approvals)} approved pairs")
        for one in approvals:
            ends = "EXPIRED" if one.expires_at <= time.time_ns() else "until"
            typer.echo(f"  {_plain(one.a)}  {_plain(one.b)}  {one.polarity}")
            typer.echo(f"    {ends} {_day(one.expires_at)}, by {_plain(one.approved_by)} {_day(one.approved_at)}")

    refusable(work)


@pairs.command()
def approve(
    file: Annotated[Path, typer.Argument(help="A file of approved pairs, made if it is not there.")],
    a: Annotated[str, typer.Argument(help="A market as venue:market.")],
    b: Annotated[str, typer.Argument(help="The market on the other venue.")],
    polarity: Annotated[str, typer.Option(help="same: YES there is YES here; or opposite.")],
    rules: Annotated[
        tuple[Path, Path], typer.Option(metavar="TEXT_A TEXT_B", help="The rules of both as you read them.")
    ],
    by: Annotated[str, typer.Option(help="Your name.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is believed.")],
) -> None:
    """Approve a pair on the text of its rules; an earlier approval of the pair is replaced."""
    if polarity not in ("same", "opposite"):
        raise usage(f"--polarity: {polarity!r} is not one of same, opposite")

    def work() -> str:
        from arbkit.core.units import NS_PER_S
        from arbkit.risk.pairs import PairApproval, PairBook, rules_hash

        now = time.time_ns() // NS_PER_S * NS_PER_S
        approval = PairApproval(
            a=a,
            b=b,
            polarity="same" if polarity == "same" else "opposite",
            rules_a=rules_hash(_rules(rules[0])),
            rules_b=rules_hash(_rules(rules[1])),
            approved_by=by,
            approved_at=now,
            expires_at=now + days * DAY_NS,
        )
        PairBook.revise(file, lambda book: book.with_approval(approval))
        return f"approved: {_plain(a)} and {_plain(b)}, {polarity}, until {_day(approval.expires_at)}"

    typer.echo(refusable(work))


@pairs.command()
def revoke(
    file: Annotated[Path, typer.Argument(help="A file of approved pairs.")],
    a: Annotated[str, typer.Argument(help="A market as venue:market.")],
    b: Annotated[str, typer.Argument(help="The market on the other venue.")],
) -> None:
    """Take an approval back; an engine that runs goes on by the file as it was when it started."""

    def work() -> str:
        from arbkit.core.errors import ConfigError
        from arbkit.risk.pairs import PairBook

        def without(book: PairBook) -> PairBook:
            left = book.without(a, b)
            if left == book:
                raise ConfigError(f"{file}: there is no approval of {a} with {b}")
            return left

        if not file.exists():
            raise ConfigError(f"{file}: no such file")
        PairBook.revise(file, without)
        return f"revoked: {_plain(a)} and {_plain(b)}"

    typer.echo(refusable(work))


def _rules(path: Path) -> str:
    """Read the text of a market's rules; an empty one was not read by anybody."""
    from arbkit.core.errors import DataError

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text in UTF-8") from None
    if not text.strip():
        raise DataError(f"{path}: there are no rules in it")
    return text


# -- facts for people ------------------------------------------------------------------------------------------


def _facts(path: Path, unchecked: bool) -> Iterator[Fact]:
    from arbkit.journal.reading import read_journal

    return read_journal(path, check=not unchecked, tell=_remark)


def _remark(words: str) -> None:
    typer.echo(words, err=True)


def _chosen(facts: Iterable[Fact], key: str, kind: str) -> Iterator[Fact]:
    """Yield the facts about a key (as it is, or as it is shown) and, of a trade, those about its orders."""
    from arbkit.core.secrets import redacted

    about = {key}
    for one in facts:
        if key:
            if one.data.get("trade") in about or redacted(one.key) == key:
                about.add(one.key)
            if one.key not in about:
                continue
        if not kind or one.fact == kind or one.fact.startswith(f"{kind}."):
            yield one


def _last(facts: Iterable[Fact], count: int | None) -> Iterator[Fact]:
    """Yield the last so many facts, or all; before a damaged record those before it."""
    if count is None:
        yield from facts
        return
    kept: deque[Fact] = deque(maxlen=min(count, sys.maxsize))
    try:
        kept.extend(facts)
    finally:
        yield from kept


def _row(fact: Fact) -> dict[str, Any]:
    from arbkit.core.secrets import redacted

    data = {name: _masked(name, value) for name, value in fact.data.items()}
    return {"time": _utc(fact.at), "at": fact.at, "fact": redacted(fact.fact), "key": redacted(fact.key), "data": data}


def _masked(name: str, value: object) -> object:
    from arbkit.core.secrets import KEY_NAME, MASK, redacted

    if isinstance(value, tuple):
        return [_masked(name, item) for item in value]
    if not isinstance(value, str):
        return value
    return MASK if KEY_NAME.fullmatch(name) else redacted(value)


def _line(fact: Fact) -> str:
    row = _row(fact)
    data = " ".join(f"{_plain(name)}={json.dumps(value)}" for name, value in row["data"].items())
    return f"{row['time']}  {_plain(row['fact']):<18} {_plain(row['key'])}  {data}".rstrip()


def _plain(text: str) -> str:
    """Return a text that cannot steer a terminal: what is not plain ASCII is escaped."""
    return json.dumps(text)[1:-1]


def _day(at: int) -> str:
    return _utc(at)[:16] + "Z"


def _utc(at: int) -> str:
    """Return ns since the epoch as a time of day in UTC, all nine digits of it."""
    second, ns = divmod(at, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}.{ns:09d}Z"
    except (OverflowError, ValueError, OSError):  # no time that a calendar has
        return f"{at} ns"
