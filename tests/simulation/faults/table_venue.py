"""V1 to V17: what venues do to orders, cancels and their answers."""

from __future__ import annotations

from typing import Any

from arbkit.core.units import MICRO, NS_PER_S
from tests.simulation.faults.injector import Fault
from tests.simulation.faults.market import ServerBook
from tests.simulation.faults.server import Exchange, ServerOrder
from tests.simulation.faults.wire import BROKEN, Reply, Request


class OnSubmit(Fault):
    """A fault of the way of orders to a venue, or of any venue in a third of the runs."""

    def draw(self) -> None:
        self.anywhere = self.rng.random() < 0.34
        self.also_undo = self.rng.random() < 0.5

    def meant(self, request: Request) -> bool:
        if request.kind != "submit" or not self.left or not (self.anywhere or request.venue == self.venue):
            return False
        assert request.order is not None
        return self.also_undo or request.order.purpose.value == "entry"


class V1(OnSubmit):
    id, says = "V1", "an order is lost on its way"
    at_most = 3

    def sends(self, request: Request) -> None:
        if self.meant(request):
            request.lost = True
            self.struck(request.key)


class V2(OnSubmit):
    id, says = "V2", "an order is taken and the answer is lost"
    at_most = 3

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if self.meant(request):
            request.lose_answer = True
            self.struck(request.key)
        return reply


class V3(OnSubmit):
    id, says = "V3", "an order arrives after we gave it up"

    def draw(self) -> None:
        super().draw()
        self.late_s = self.rng.uniform(5.5, 29.5)
        self.planned = 0

    def sends(self, request: Request) -> None:
        if self.planned < self.at_most and self.meant(request):
            self.planned += 1
            request.delay_ns = round(self.late_s * NS_PER_S)
            at = self.world.loop.time_ns() + request.delay_ns
            self.world.loop.at(at, self.struck, request.key, f"{self.late_s:.1f} s late")


class V4(OnSubmit):
    id, says = "V4", "5xx, 408 or a broken connection after sending"

    def draw(self) -> None:
        super().draw()
        self.storm = self.rng.random() < 0.25  # everything about orders, for as long as it lasts

    @property
    def left(self) -> bool:
        return self.storm or self.count < 3

    def meant(self, request: Request) -> bool:
        if self.storm:
            return request.venue == self.venue and request.kind in ("submit", "status", "cancel")
        return super().meant(request)

    def arrives(self, request: Request, exchange: Exchange) -> None:
        if self.meant(request) and self.rng.random() < 0.5:
            request.stands_in = self._no()
            self.struck(request.key, "not placed")

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if self.meant(request) and request.stands_in is None:
            self.struck(request.key, "placed")
            return self._no()
        return reply

    def _no(self) -> Reply:
        return Reply(self.rng.choice((500, 502, 503, 504, 408, BROKEN)), "<html>Bad Gateway</html>")


class V5(OnSubmit):
    id, says = "V5", "an answer that cannot be decided"
    at_most = 3

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if not self.meant(request) or reply.code not in (200, 201):
            return reply
        body = dict(reply.body)
        match self.rng.randrange(5):
            case 0:
                body = {"error": "internal", "success": False}
            case 1:
                del body["key"]
            case 2:
                body["status"] = "unmatched"
            case 3:
                return self._struck(request, "<!doctype html><title>Checking your browser</title>")
            case _:
                return self._struck(request, '{"id": "0x12')
        return self._struck(request, body)

    def _struck(self, request: Request, body: Any) -> Reply:
        self.struck(request.key, body if isinstance(body, str) else "")
        return Reply(200, body)


class V6(OnSubmit):
    id, says = "V6", "a definite refusal"

    def arrives(self, request: Request, exchange: Exchange) -> None:
        if self.meant(request) and request.key not in exchange.orders:
            why = self.rng.choice(("balance", "refused", "size"))
            request.stands_in = Reply(400, {"error": why})
            self.struck(request.key, why)


class V7(Fault):
    id, says = "V7", "an order that meets nothing is told as HTTP 400"

    def draw(self) -> None:
        self.thin: ServerBook | None = None

    def before_match(self, exchange: Exchange, book: ServerBook, placed: ServerOrder) -> None:
        if exchange.name == self.venue and self.left and placed.order.tif.value != "GTC":
            book.thin = True
            exchange._moved(book, book.changes())
            self.thin = book

    def no_match_is_400(self, exchange: Exchange) -> bool:
        if exchange.name == self.venue and self.left:
            self.struck(exchange.name)
            if self.thin is not None:
                self.world.loop.after(self.rng.uniform(0.2, 2.0), self._back, self.thin)
            return True
        return False

    def _back(self, book: ServerBook) -> None:
        book.thin = False
        self.exchange._moved(book, book.changes())

    def ends(self) -> None:
        if self.thin is not None:
            self._back(self.thin)


class V8(OnSubmit):
    id, says = "V8", "a second send is answered as a duplicate"

    def draw(self) -> None:
        super().draw()
        self.seen: list[str] = []
        self.copies = self.rng.random() < 0.4

    def sends(self, request: Request) -> None:
        if self.copies and self.meant(request):
            request.twice = True  # a proxy sends it twice

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if request.kind == "submit" and request.key in self.seen and reply.code != 400:
            self.struck(request.key)
            return Reply(400, {"error": "duplicate"})
        if request.kind == "status" and request.key in self.seen and not self.count:
            return Reply(404, {"error": "not_found"})  # not listed yet, so that it is sent again
        if self.meant(request) and reply.code == 201 and len(self.seen) < 2:
            self.seen.append(request.key)
            if self.copies:
                self.struck(request.key, "a copy")
                return Reply(400, {"error": "duplicate"})
            request.lose_answer = True
        return reply


class Refusing(Fault):
    """A venue that answers some kinds of requests with a no, for a while."""

    kinds: tuple[str, ...] = ("submit",)
    lasts = (1.0, 12.0)
    at_most = 10_000

    def reply(self, request: Request) -> Reply | None:
        raise NotImplementedError

    def arrives(self, request: Request, exchange: Exchange) -> None:
        if exchange.name == self.venue and request.kind in self.kinds and request.stands_in is None:
            no = self.reply(request)
            if no is not None:
                request.stands_in = no
                self.struck(request.kind, request.key, no.code)


class V9(Refusing):
    id, says = "V9", "429"
    kinds: tuple[str, ...] = ("submit", "cancel", "status", "open", "balance", "positions")

    def draw(self) -> None:
        self.share = self.rng.choice((0.5, 0.9, 1.0))
        self.kinds = self.rng.choice((("submit",), ("submit", "cancel", "status"), V9.kinds))
        self.after = self.rng.choice((None, 0.5, 1.0, 3.0))

    def reply(self, request: Request) -> Reply | None:
        return Reply(429, None, self.after) if self.rng.random() < self.share else None


class V10(OnSubmit):
    id, says = "V10", "an order waits at the venue's door and is done seconds later"

    def draw(self) -> None:
        super().draw()
        self.hold = self.rng.uniform(1.0, 25.0)

    def arrives(self, request: Request, exchange: Exchange) -> None:
        if self.meant(request) and request.stands_in is None:
            request.hold_s = self.hold
            self.struck(request.key, f"{self.hold:.1f} s")


class V11(Refusing):
    id, says = "V11", "401 or 403: key, clock, place or a wall of HTML"
    lasts = (1.0, 8.0)

    def draw(self) -> None:
        self.code = self.rng.choice((401, 403))
        self.kinds = self.rng.choice(
            (("submit",), ("submit", "cancel", "status", "open", "balance", "positions", "time"))
        )

    def reply(self, request: Request) -> Reply | None:
        return Reply(self.code, {"error": "the key has expired"} if self.code == 401 else "<html>Access denied</html>")


class V12(Refusing):
    id, says = "V12", "425: the matching engine restarts"
    kinds = ("submit", "cancel")
    lasts = (1.0, 14.0)

    def reply(self, request: Request) -> Reply | None:
        return Reply(425, None, self.rng.choice((None, 1.0, 2.0)))


class Mode(Fault):
    """A market or venue that takes only some orders for a while; the stream says so, or does not."""

    lasts = (2.0, 15.0)
    at_most = 10_000
    mode = ""

    def draw(self) -> None:
        self.told = self.rng.random() < 0.5

    def begins(self) -> None:
        for book in self.exchange.books.values():
            if book.status == "open":
                book.status = self.mode
                if self.told:
                    self.world.say_status(self.exchange, book)

    def ends(self) -> None:
        for book in self.exchange.books.values():
            if book.status == self.mode:
                book.status = "open"
                self.world.say_status(self.exchange, book)

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        said = reply.body.get("error") if reply.code == 400 and exchange.name == self.venue else None
        if request.kind == "submit" and said in ("paused", "post_only_mode"):
            self.struck(request.key, said)
            return Reply(400, reply.body, self.rng.choice((None, 2.0, 5.0)))
        return reply


class V13(Mode):
    id, says, mode = "V13", "only resting orders are taken", "post-only"


class V14(Mode):
    id, says = "V14", "no orders are taken, only cancels"

    def draw(self) -> None:
        super().draw()
        self.mode = self.rng.choice(("cancel-only", "paused"))


class OnCancel(Fault):
    """A fault of cancels."""

    def meant(self, request: Request) -> bool:
        return request.kind == "cancel" and self.left


class V15(OnCancel):
    id, says = "V15", "a fill is faster than the cancel"

    def arrives(self, request: Request, exchange: Exchange) -> None:
        placed = exchange.orders.get(request.key)
        if self.meant(request) and placed is not None and placed.rests:
            shares = placed.left if self.rng.random() < 0.6 else max(MICRO, placed.left // 2)
            if exchange.hit(placed, shares):
                self.struck(request.key)


class V16(OnCancel):
    id, says = "V16", "a cancel is done and its answer is lost"

    def answers(self, request: Request, reply: Reply, exchange: Exchange) -> Reply:
        if self.meant(request):
            request.lose_answer = True
            self.struck(request.key)
        return reply


class V17(OnCancel):
    id, says = "V17", "of several cancels some are not done"
    at_most = 4

    def arrives(self, request: Request, exchange: Exchange) -> None:
        placed = exchange.orders.get(request.key)
        if self.meant(request) and placed is not None and placed.rests and self.rng.random() < 0.7:
            request.stands_in = Reply(200, exchange.body(placed))  # as it was: still live
            self.struck(request.key, "stays live")


VENUE_FAULTS: tuple[type[Fault], ...] = (
    V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, V13, V14, V15, V16, V17,
)  # fmt: skip
