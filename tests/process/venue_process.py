"""A simulated venue in a process of its own: `python -m tests.process.venue_process alpha beta --seed 3`.

It prints one line, the ports of its venues on 127.0.0.1 as JSON, and serves until its standard input ends, so that it
never outlives whoever started it. It matches by itself and shares no code with the engine's simulators; whatever
reaches it is dealt with, whether its sender still lives or not. `admin.*` calls are for tests.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from arbkit.core.errors import Cause
from tests.process.messages import (
    Habits,
    Reply,
    Request,
    Truth,
    WireBook,
    WireFill,
    WireOrder,
    WirePage,
    WireReport,
    levels,
)
from tests.rig import NO_B, YES_A

MICRO = 1_000_000
LOT = MICRO
TICK = 10_000
OPENING = 1_000_000 * MICRO
PAGE = 3  # rows of a listing at once, so that it has pages
BUY = 1

encode = msgspec.json.encode


class RefusedError(Exception):
    """The order is not live and never was."""

    def __init__(self, why: str, cause: Cause = Cause.OTHER) -> None:
        super().__init__(why)
        self.cause = cause


class UnheardOfError(Exception):
    """There is no such order here, now."""


class Bell:
    """Tells all who wait that something changed; take `next` before looking, then wait for it."""

    def __init__(self) -> None:
        self.next = asyncio.Event()

    def ring(self) -> None:
        self.next.set()
        self.next = asyncio.Event()


@dataclass
class Kept:
    """An order as the venue has it."""

    order: WireOrder
    status: str = "open"
    fills: list[WireFill] = field(default_factory=list)
    reason: str = ""
    at: int = 0
    bell: Bell = field(default_factory=Bell)

    @property
    def standing(self) -> list[WireFill]:
        return [fill for fill in self.fills if fill.settlement != "voided"]

    @property
    def left(self) -> int:
        return self.order.size - sum(fill.size for fill in self.fills)

    @property
    def rests(self) -> bool:
        return self.status in ("open", "partial")

    @property
    def over(self) -> bool:
        return not self.rests

    def report(self) -> WireReport:
        return WireReport(self.order.key, self.status, tuple(self.fills), self.at, self.reason)


class Exchange:
    """One venue: books, orders by key, one account."""

    def __init__(self, name: str, seed: str) -> None:
        self.name = name
        self.draw = random.Random(f"{name} {seed}")
        self.habits = Habits()
        self.cash = OPENING
        self.kept: dict[str, Kept] = {}
        self.arrivals: dict[str, int] = {}
        self.conflicts: list[str] = []
        self.books: dict[str, WireBook] = {}
        self.bell = Bell()
        self._fills = 0

    # -- orders --------------------------------------------------------------------------------------------------

    def submit(self, order: WireOrder) -> WireReport:
        """Take an order, once for each key; another order under a known key is refused and remembered as a conflict."""
        self.arrivals[order.key] = self.arrivals.get(order.key, 0) + 1
        known = self.kept.get(order.key)
        if known is None:
            known = self.kept[order.key] = Kept(order, at=time.time_ns())
            try:
                self._check(order)
            except RefusedError as no:
                known.status, known.reason = "rejected", str(no)
                raise
            self._match(known)
        elif known.order != order:
            self.conflicts.append(f"{known.order} and then {order}")
            raise RefusedError(f"{order.key} stands for another order")
        elif known.status == "rejected":
            raise RefusedError(known.reason)
        return known.report()

    def cancel(self, key: str) -> WireReport:
        known = self.find(key)
        if known.rests:
            self._end(known, "cancelled")
        return known.report()

    def find(self, key: str) -> Kept:
        if key not in self.kept:
            raise UnheardOfError(f"{self.name} knows no order {key}")
        return self.kept[key]

    def _check(self, order: WireOrder) -> None:
        book = self.book(order.book)
        if order.limit % TICK or not 0 < order.limit < MICRO:
            raise RefusedError(f"price {order.limit} is not on the grid", Cause.TERMS)
        if order.size < LOT or order.size % LOT:
            raise RefusedError(f"size {order.size} is not legal", Cause.TERMS)
        if order.post_only and book.asks and order.limit >= book.asks[0][0]:
            raise RefusedError("a post-only order would cross", Cause.CROSSES)
        if order.side == BUY and _paid(order.limit, order.size) > self.free():
            raise RefusedError("not enough cash", Cause.FUNDS)
        if order.side != BUY and order.size > self._sellable(order.book):
            raise RefusedError(f"sells {order.size} of {self._sellable(order.book)} settled", Cause.FUNDS)
        if order.key.find(self.habits.only) >= 0 and self._happens(self.habits.refuse):
            raise RefusedError("not now")

    def _match(self, known: Kept) -> None:
        order = known.order
        if not order.post_only:
            book = self.book(order.book)
            there = book.asks if order.side == BUY else book.bids
            within = [level for level in there if order.side * (level[0] - order.limit) <= 0]
            if order.tif != "FOK" or sum(size for _, size in within) >= order.size:
                left, rest = order.size, list(there)
                for at, (price, size) in enumerate(within):
                    part = min(size, left)
                    left -= part
                    rest[at] = (price, size - part)
                    if part:
                        self._fill(known, price, part, maker=False)
                kept = tuple(level for level in rest if level[1])
                asks, bids = (kept, book.bids) if order.side == BUY else (book.asks, kept)
                self.set_book(WireBook(order.book, bids, asks))
        if known.left and order.tif != "GTC":
            self._end(known, "cancelled")

    def hit(self, book: str, price: int, size: int) -> None:
        """Let somebody sell into what rests at `price` or better."""
        for known in self.kept.values():
            order = known.order
            if size and known.rests and order.book == book and order.side == BUY and order.limit >= price:
                part = min(size, known.left)
                size -= part
                self._fill(known, order.limit, part, maker=True)

    def _fill(self, known: Kept, price: int, size: int, *, maker: bool) -> None:
        self._fills += 1
        fee = 0 if maker else self._fee_due(known, price, size)
        fill = WireFill(f"{self.name}-{self._fills}", price, size, fee, maker, time.time_ns(), "provisional")
        known.fills.append(fill)
        self._move(known, fill, 1)
        if known.left:
            known.status = "partial"
        else:
            self._end(known, "filled")
        low, high = self.habits.settle_ms
        if high:
            asyncio.get_running_loop().call_later(self._ms((low, high)), self._settle, known, fill.id)
        else:
            self._settle(known, fill.id)
        known.bell.ring()

    def _fee_due(self, known: Kept, price: int, size: int) -> int:
        """Return the fee of one more fill: a share of all that the order has taken, rounded up once."""
        before = sum(fill.price * fill.size for fill in known.fills)
        fees = [-(-whole * self.habits.fees_ppm // MICRO**2) for whole in (before, before + price * size)]
        return fees[1] - fees[0]

    def _settle(self, known: Kept, name: str) -> None:
        at = next(at for at, fill in enumerate(known.fills) if fill.id == name)
        fill = known.fills[at]
        voided = self._happens(self.habits.void)
        known.fills[at] = msgspec.structs.replace(fill, settlement="voided" if voided else "confirmed")
        if voided:
            self._move(known, fill, -1)
        known.bell.ring()

    def _move(self, known: Kept, fill: WireFill, sign: int) -> None:
        order = known.order
        paid = _paid(fill.price, fill.size) if order.side == BUY else -(fill.price * fill.size // MICRO)
        self.cash -= sign * (paid + fill.fee)

    def _end(self, known: Kept, status: str) -> None:
        known.status, known.at = status, time.time_ns()
        known.bell.ring()

    # -- the account: shares follow from the fills, and are nowhere counted twice ----------------------------------

    def shares(self) -> dict[str, int]:
        held: dict[str, int] = {}
        for known in self.kept.values():
            for fill in known.standing:
                held[known.order.book] = held.get(known.order.book, 0) + known.order.side * fill.size
        return {book: size for book, size in held.items() if size}

    def _sellable(self, book: str) -> int:
        settled = 0
        for known in self.kept.values():
            if known.order.book == book:
                buys = known.order.side == BUY
                settled += sum(f.size for f in known.fills if f.settlement == "confirmed") if buys else 0
                settled -= 0 if buys else sum(fill.size for fill in known.standing)
        return settled

    def free(self) -> int:
        resting = [known for known in self.kept.values() if known.rests and known.order.side == BUY]
        return self.cash - sum(_paid(known.order.limit, known.left) for known in resting)

    def page(self, cursor: str) -> WirePage:
        """Return one page of what is open, in the order it came; a cursor is the last key that was told."""
        open_now = [known for known in self.kept.values() if known.rests]
        start = int(cursor or 0)
        rows = tuple((known.order, known.order.size - known.left) for known in open_now[start : start + PAGE])
        return WirePage(rows, str(start + PAGE) if start + PAGE < len(open_now) else "")

    def truth(self) -> Truth:
        orders = {key: (known.order, known.report()) for key, known in self.kept.items()}
        return Truth(self.name, OPENING, self.cash, self.shares(), orders, dict(self.arrivals), tuple(self.conflicts))

    # -- the books -------------------------------------------------------------------------------------------------

    def book(self, name: str) -> WireBook:
        return self.books.get(name) or WireBook(name, (), ())

    def set_book(self, book: WireBook) -> None:
        self.books[book.book] = book
        self.bell.ring()

    async def crowd(self) -> None:
        """Move the books at random and trade with what rests, for as long as that is the habit."""
        while True:
            await asyncio.sleep(self.draw.uniform(0.05, 0.18))
            if not self.habits.crowd:
                continue
            name, middle = (YES_A, 40) if self.name == "alpha" else (NO_B, 55)
            for known in [known for known in self.kept.values() if known.rests]:
                if self._happens(500):
                    size = self.draw.randint(1, known.order.size // LOT) * LOT
                    self.hit(known.order.book, known.order.limit, size)
            best, more = middle + self.draw.randint(-2, 2), self.draw.randint(1, 3)
            asks = levels([(best, self.draw.randint(2, 25)), (best + more, self.draw.randint(2, 40))])
            bids = levels([(best - more, self.draw.randint(2, 25)), (best - more - 2, 40)])
            self.set_book(WireBook(name, bids if self._happens(900) else (), asks))

    # -- habits ----------------------------------------------------------------------------------------------------

    def _happens(self, thousandths: int) -> bool:
        return self.draw.randrange(1000) < thousandths

    def loses(self, thousandths: int, key: str) -> bool:
        return self.habits.only in key and self._happens(thousandths)

    def _ms(self, span: tuple[float, float]) -> float:
        return self.draw.uniform(*span) / 1000

    def before_s(self) -> float:
        return self._ms(self.habits.before_ms)

    def late_s(self) -> float:
        return self._ms(self.habits.late_ms) if self._happens(self.habits.late) else 0.0

    def after_s(self) -> float:
        slow = self._ms(self.habits.slow_ms) if self._happens(self.habits.slow) else 0.0
        return slow + self._ms(self.habits.after_ms)


def _paid(price: int, size: int) -> int:
    return -(-price * size // MICRO)


# -- the wire ----------------------------------------------------------------------------------------------------


class Connection:
    """One client: every request is a task of its own, and outlives the connection it came by."""

    def __init__(self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._exchange = exchange
        self._reader = reader
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: dict[str, Callable[[msgspec.Raw], Any]] = {
            "open_orders": lambda value: exchange.page(_read(value, str)),
            "time": lambda value: time.time_ns(),
            "balance": lambda value: exchange.free(),
            "positions": lambda value: exchange.shares(),
            "admin.truth": lambda value: exchange.truth(),
            "admin.habits": lambda value: setattr(exchange, "habits", _read(value, Habits)),
            "admin.book": lambda value: exchange.set_book(_read(value, WireBook)),
            "admin.hit": lambda value: exchange.hit(*_read(value, tuple[str, int, int])),
        }

    async def serve(self) -> None:
        with suppress(ConnectionError):
            while line := await self._reader.readline():
                task = asyncio.create_task(self._answer(msgspec.json.decode(line, type=Request)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._writer.close()

    async def _answer(self, asked: Request) -> None:
        try:
            async for value, last in self._dealt_with(asked):
                self._write(Reply(asked.id, msgspec.Raw(encode(value)), last))
        except RefusedError as no:
            self._write(Reply(asked.id, error="rejected", why=str(no), cause=no.cause.value))
        except UnheardOfError as no:
            self._write(Reply(asked.id, error="unknown", why=str(no)))
        except ConnectionAbortedError:
            self._writer.transport.abort()

    async def _dealt_with(self, asked: Request) -> AsyncIterator[tuple[Any, bool]]:
        exchange = self._exchange
        if asked.call.startswith("admin."):
            yield self._calls[asked.call](asked.value), True
            return
        if asked.call == "watch":
            while not self._writer.is_closing():
                bell = exchange.bell.next
                yield tuple(exchange.books.values()), False
                await bell.wait()
            return
        await asyncio.sleep(exchange.before_s())
        match asked.call:
            case "submit" | "cancel":
                yield await self._written(asked), True
            case "status":
                key = _read(asked.value, str)
                known = exchange.kept.get(key)
                report = known.report() if known else WireReport(key, "unknown", reason="not found")
                await asyncio.sleep(exchange.after_s())
                yield report, True
            case "reports":
                known = exchange.find(_read(asked.value, str))
                while not self._writer.is_closing():
                    bell = known.bell.next
                    yield known.report(), known.over
                    if known.over:
                        return
                    await bell.wait()
            case call:
                value = self._calls[call](asked.value)
                await asyncio.sleep(exchange.after_s())
                yield value, True

    async def _written(self, asked: Request) -> WireReport:
        """Deal with what changes something; the connection may break before or after."""
        exchange = self._exchange
        order = _read(asked.value, WireOrder) if asked.call == "submit" else None
        if order:
            await asyncio.sleep(exchange.late_s())
        key = order.key if order else _read(asked.value, str)
        if exchange.loses(exchange.habits.lose_request, key):
            raise ConnectionAbortedError
        try:
            report = exchange.submit(order) if order else exchange.cancel(key)
        finally:
            await asyncio.sleep(exchange.after_s())
        if exchange.loses(exchange.habits.lose_answer, key):
            raise ConnectionAbortedError
        return report

    def _write(self, reply: Reply) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(reply) + b"\n")


def _read(value: msgspec.Raw, kind: Any) -> Any:
    return msgspec.json.decode(value, type=kind)


async def main(names: list[str], seed: str) -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    ports, crowds = {}, []
    for name in names:
        exchange = Exchange(name, seed)
        crowds.append(asyncio.create_task(exchange.crowd()))
        server = await asyncio.start_server(
            lambda reader, writer, exchange=exchange: Connection(exchange, reader, writer).serve(), "127.0.0.1", 0
        )
        ports[name] = server.sockets[0].getsockname()[1]
    print(encode(ports).decode(), flush=True)
    await ended.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seed", default="0")
    settings = parser.parse_args()
    asyncio.run(main(settings.names, settings.seed))
