"""V18 to V32: what venues do to fills, amounts, settlements and listings."""

from __future__ import annotations

from arbkit.core.model import Side
from arbkit.core.units import MICRO, NS_PER_S
from tests.simulation.faults.injector import Fault
from tests.simulation.faults.server import Exchange, ServerFill, ServerOrder
from tests.simulation.faults.table_venue import OnSubmit
from tests.simulation.faults.wire import Reply, Request


class V18(Fault):
    id, says = "V18", "orders are filled in part"
    at_most = 4

    def draw(self) -> None:
        self.share = self.rng.uniform(0.05, 0.95)

    def most_of(self, exchange: Exchange, placed: ServerOrder) -> int:
        size = placed.order.size
        if exchange.name == self.venue and self.left:
            part = int(size * self.share) // MICRO * MICRO
            if part < size:
                self.struck(placed.key, part // MICRO)
                return part
        return size


class V19(Fault):
    id, says = "V19", "what is left is below the smallest order"
    at_most = 3

    def draw(self) -> None:
        for name, exchange in self.world.exchanges.items():
            if any(book.min_size > MICRO for book in exchange.books.values()):
                self.venue = name

    def most_of(self, exchange: Exchange, placed: ServerOrder) -> int:
        least = exchange.books[placed.order.book.market.id].min_size
        if exchange.name == self.venue and self.left and least > MICRO and placed.order.size > least:
            self.struck(placed.key)
            return placed.order.size - self.rng.randrange(1, least // MICRO) * MICRO
        return placed.order.size


class V20(Fault):
    id, says = "V20", "more is filled than asked, or at a worse price"

    def draw(self) -> None:
        self.more = self.rng.random() < 0.5

    def word_of_fill(self, exchange: Exchange, placed: ServerOrder, price: int, part: int) -> tuple[int, int]:
        if exchange.name != self.venue or not self.left or placed.order.side is Side.SELL:
            return price, part
        if self.more:
            if part < placed.left:
                return price, part  # only the last fill can go beyond
            self.struck(placed.key, "more than asked")
            return price, part + self.rng.randint(1, 5) * MICRO
        worse = placed.order.limit + self.rng.randint(1, 3) * 10_000
        if worse >= MICRO:
            return price, part
        self.struck(placed.key, "beyond its limit")
        return worse, part


class V21(Fault):
    id, says = "V21", "tick or smallest size change, and nobody says so"
    lasts = (5.0, 20.0)

    def draw(self) -> None:
        self.book = self.a_book()
        self.what = self.rng.choice(("tick", "size"))

    def begins(self) -> None:
        book = self.book
        self.was = (book.grid, book.tick, book.min_size)
        if self.what == "tick":
            self.world.regrid(self.exchange, book, "0.02")
        else:
            book.min_size = self.rng.choice((7, 20)) * MICRO

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        said = reply.body.get("error") if reply.code == 400 and exchange.name == self.venue else None
        if request.kind == "submit" and said in ("tick", "size"):
            self.struck(request.key, said)
        return reply

    def ends(self) -> None:
        if self.what == "tick":
            self.world.regrid(self.exchange, self.book, "0.01")
        else:
            self.book.min_size = self.was[2]


class V22(OnSubmit):
    id, says = "V22", "an amount is refused for its decimals"

    def arrives(self, request: Request, exchange: Exchange) -> None:
        if self.meant(request) and request.key not in exchange.orders:
            request.stands_in = Reply(400, {"error": "precision"})
            self.struck(request.key)


class V23(Fault):
    id, says = "V23", "balances and positions are old, and sells are refused for want of them"
    at_most = 6

    def draw(self) -> None:
        self.old: dict[str, Reply] = {}
        self.refusals = self.rng.choice((0, 2, 4, 100))

    def begins(self) -> None:
        shares = {index: held for index, held in self.exchange.shares.items() if held}
        self.old = {
            "balance": Reply(200, {"cash": self.exchange.free_cash()}),
            "positions": Reply(200, {"shares": shares}),
        }

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        old = self.old.get(request.kind)
        if exchange.name == self.venue and self.left and old is not None and old.body != reply.body:
            self.struck(request.kind)
            return old
        return reply

    def arrives(self, request: Request, exchange: Exchange) -> None:
        if exchange.name != self.venue or request.kind != "submit" or not self.refusals:
            return
        assert request.order is not None
        if request.order.side is Side.SELL and request.key not in exchange.orders:
            self.refusals -= 1
            request.stands_in = Reply(400, {"error": "balance"})
            self.struck(request.key, "sell refused")


class V24(Fault):
    id, says = "V24", "a matched order fails at settlement"
    at_most = 3

    def draw(self) -> None:
        self.keys: list[str] = []

    def settlement(self, exchange: Exchange, fill: ServerFill, after: float, ends: str) -> tuple[float, str]:
        if fill.key in self.keys:
            return after, "failed"
        if exchange.settles and self.left and not self.keys:
            self.keys.append(fill.key)
        if fill.key in self.keys:
            self.struck(fill.key, fill.id)
            return after, "failed"
        return after, ends


class V25(Fault):
    id, says = "V25", "of the fills of one order some fail at settlement"
    at_most = 1

    def settlement(self, exchange: Exchange, fill: ServerFill, after: float, ends: str) -> tuple[float, str]:
        placed = exchange.orders[fill.key]
        if exchange.settles and self.left and (len(placed.fills) > 1 or placed.left):
            self.struck(fill.key, fill.id)
            return after, "failed"
        return after, ends


class V26(Fault):
    id, says = "V26", "a settlement takes very long"
    at_most = 3

    def draw(self) -> None:
        self.long_s = self.rng.uniform(15.0, 70.0)

    def settlement(self, exchange: Exchange, fill: ServerFill, after: float, ends: str) -> tuple[float, str]:
        if exchange.settles and self.left:
            self.struck(fill.key, fill.id, f"{self.long_s:.0f} s")
            return self.long_s, ends
        return after, ends


class V27(Fault):
    id, says = "V27", "rows move or repeat between pages, cursors run in circles"
    at_most = 12
    lasts = (15.0, 40.0)

    def draw(self) -> None:
        self.circle = self.rng.random() < 0.4

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if request.kind != "open" or exchange.name != self.venue or not self.left or reply.code != 200:
            return reply
        rows, cursor = list(reply.body["rows"]), reply.body["cursor"]
        if self.circle:
            self.struck("circle")
            return Reply(200, {"rows": rows, "cursor": "0"})
        if not request.cursor:
            self.struck("repeated")
            return Reply(200, {"rows": rows + rows[:1], "cursor": cursor or "0"})
        if request.cursor == "0":
            return Reply(200, {"rows": rows, "cursor": ""})
        return reply


class V28(Fault):
    id, says = "V28", "listings are of different times, and what is there is not found"
    at_most = 6

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if exchange.name != self.venue or not self.left or reply.code != 200:
            return reply
        if request.kind == "status":
            placed = exchange.orders[request.key]
            if exchange.now() - placed.at < 8 * NS_PER_S and self.rng.random() < 0.7:
                self.struck(request.key, "not listed yet")
                return Reply(404, {"error": "not_found"})
        if request.kind in ("open", "positions") and self.rng.random() < 0.7:
            name = "rows" if request.kind == "open" else "shares"
            if reply.body[name]:
                self.struck(request.kind, "a row is missing")
                rest = list(reply.body[name].items())[1:] if name == "shares" else reply.body[name][1:]
                return Reply(200, {**reply.body, name: dict(rest) if name == "shares" else rest})
        return reply


class V29(Fault):
    id, says = "V29", "a fill is told under the other outcome's name"
    at_most = 8

    def crossed(self, exchange: Exchange) -> bool:
        if exchange.name == self.venue and self.left:
            self.struck(exchange.name)
            return True
        return False


class V30(OnSubmit):
    id, says = "V30", "amounts come in another unit or type"
    at_most = 4

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if exchange.name != self.venue or not self.left or reply.code not in (200, 201):
            return reply
        if request.kind in ("submit", "status") and "fills" in reply.body:
            self.struck(request.kind, request.key)
            if self.rng.random() < 0.5 and reply.body["fills"]:
                fills = [(*fill[:2], f"{fill[2] / MICRO:.4f}", *fill[3:]) for fill in reply.body["fills"]]
                return Reply(reply.code, {**reply.body, "fills": fills})
            return Reply(reply.code, {**reply.body, "unit": "cents"})
        if request.kind == "balance":
            self.struck(request.kind)
            return Reply(200, {"cash": f"{reply.body['cash'] / MICRO:.4f}"})
        return reply


class V31(OnSubmit):
    id, says = "V31", "the version of an order is refused"

    def arrives(self, request: Request, exchange: Exchange) -> None:
        if self.meant(request) and request.key not in exchange.orders:
            request.stands_in = Reply(400, {"error": "version"})
            self.struck(request.key)


class V32(Fault):
    id, says = "V32", "somebody trades on our account by hand"
    at_most = 1
    lasts = (15.0, 30.0)

    def draw(self) -> None:
        self.book = self.a_book()
        self.what = self.rng.choice(("order", "position", "sale"))

    def begins(self) -> None:
        book = self.book
        price = (book.middle - 6) * book.tick
        shares = self.rng.randint(5, 20) * MICRO
        if self.what == "order":
            self.exchange.outside_order(book.yes, price, shares)
        elif self.what == "position":
            self.exchange.outside_trade(book.yes, price, shares)
        else:
            return  # there is nothing to sell yet
        self.struck(self.what, book.yes.name)

    def fact(self, name: str, key: str) -> None:
        if self.what == "sale" and name == "trade.done" and self.left:
            self.world.loop.after(self.rng.uniform(0.1, 2.0), self._sells)

    def _sells(self) -> None:
        """Sell all that trades which are over hold of some book."""
        going = [trade for trade in self.world.shadow.trades.values() if not (trade.over and trade.final)]
        for exchange in self.world.exchanges.values():
            for index in exchange.shares:
                needed = any(exchange.by_index[index].name in trade.books for trade in going)
                shares = 0 if needed else exchange.sellable(index)
                if self.left and shares > 0 and not any(o.rests for o in exchange.orders.values()):
                    exchange.outside_trade(exchange.by_index[index], 400_000, -shares)
                    self.struck(self.what, exchange.by_index[index].name)


FILL_FAULTS: tuple[type[Fault], ...] = (
    V18, V19, V20, V21, V22, V23, V24, V25, V26, V27, V28, V29, V30, V31, V32,
)  # fmt: skip
