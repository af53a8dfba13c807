"""What travels between a client and an exchange, and how a client reads it: strictly, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arbkit.core.errors import (
    AccessDenied,
    Cause,
    OrderRejected,
    OrderStateUnknown,
    VenueError,
    VenueUnavailable,
)
from arbkit.core.model import Fill, Order, OrderReport, OrderStatus, Settlement
from arbkit.core.units import MICRO, Cash, Price, Size

if TYPE_CHECKING:
    import asyncio

STATUS = {
    "live": OrderStatus.OPEN,
    "delayed": OrderStatus.OPEN,
    "matched": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
}
STATES = {
    "provisional": Settlement.PROVISIONAL,
    "confirmed": Settlement.CONFIRMED,
    "failed": Settlement.VOIDED,
}
CAUSES = {
    "balance": Cause.FUNDS,
    "tick": Cause.TERMS,
    "size": Cause.TERMS,
    "precision": Cause.TERMS,
    "version": Cause.TERMS,
    "crosses": Cause.CROSSES,
    "post_only_mode": Cause.TAKERS_REFUSED,
    "paused": Cause.PAUSED,
    "closed": Cause.CLOSED,
    "refused": Cause.OTHER,
}
NO_ANSWER, BROKEN, BUG = 0, 1, 2  # codes that no server sends
BUG_WORDS = "a bug in a client"


class Unreadable(Exception):
    """An answer that cannot be decided."""


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way."""

    kind: str  # submit, cancel, status, open, time, balance, positions
    venue: str
    order: Order | None
    cursor: str
    sent_at: int
    answer: asyncio.Future[object]
    own: bool = False  # asked by the client itself, to understand another answer
    asker: str = ""  # the task that asks
    timer: asyncio.TimerHandle | None = None
    # What became of it, for faults and invariants
    lost: bool = False
    delay_ns: int = 0
    hold_s: float = 0.0  # at the server's door
    stands_in: Reply | None = None  # answered without being done
    lose_answer: bool = False
    answer_delay_ns: int = 0
    arrived: bool = False
    arrived_at: int = 0
    twice: bool = False

    @property
    def key(self) -> str:
        return self.order.client_id if self.order is not None else ""


@dataclass(slots=True)
class Reply:
    """An answer: a code as of HTTP, or one of ours where there was none."""

    code: int
    body: Any = None
    retry_after: float | None = None


def read_order(body: Any, order: Order, now: int) -> OrderReport:
    """Return the report in a body; Unreadable for anything that is not exactly one."""
    if not isinstance(body, dict) or body.get("unit") != "micro":
        raise Unreadable("no order in micro units")
    status, fills = body.get("status"), body.get("fills")
    if body.get("key") != order.client_id or status not in STATUS or not isinstance(fills, list):
        raise Unreadable("not the order that was asked about")
    found = []
    for fill in fills:
        if not isinstance(fill, tuple) or len(fill) != 8:
            raise Unreadable("a fill that is none")
        name, asset, price, size, fee, at, maker, state = fill
        if asset not in ("yes", "no") or type(price) is not int or type(size) is not int or state not in STATES:
            raise Unreadable("a fill that is none")
        if asset != order.book.outcome:  # ours by its key, told from the other side
            price = MICRO - price
        if not 0 < price < MICRO or size <= 0:
            raise Unreadable("a fill that cannot be")
        found.append(Fill(name, Price(price), Size(size), Cash(fee), now, at, maker, settlement=STATES[state]))
    if status == "live" and found:
        return OrderReport(order.client_id, OrderStatus.PARTIAL, tuple(found), now)
    return OrderReport(order.client_id, STATUS[status], tuple(found), now)


def read(request: Request, reply: Reply, now: int) -> object:
    """Return what a client makes of an answer: a report or value, or the exception it has to raise."""
    code, body = reply.code, reply.body
    order = request.order
    orders = request.kind in ("submit", "cancel")
    unclear: VenueError = OrderStateUnknown("") if orders else VenueUnavailable("")
    if code == BUG:
        return RuntimeError(BUG_WORDS)
    if code in (NO_ANSWER, BROKEN):
        return type(unclear)("no answer in time" if code == NO_ANSWER else "the connection broke")
    if code in (401, 403):
        return AccessDenied(f"HTTP {code}: {_error(body)}")
    if code in (425, 429):
        return VenueUnavailable(f"HTTP {code}", reply.retry_after)
    if code in (200, 201):
        try:
            return _value(request, body, now)
        except Unreadable as error:
            return type(unclear)(f"HTTP {code} that cannot be decided: {error}")
    if code == 404 and order is not None and _error(body) == "not_found":
        return OrderReport(order.client_id, OrderStatus.UNKNOWN, at=now, reason="not found")
    if code == 400 and order is not None and request.kind == "submit":
        said = _error(body)
        if said == "no_match":
            try:
                return read_order(body["order"], order, now)
            except (Unreadable, KeyError):
                return OrderReport(order.client_id, OrderStatus.CANCELLED, at=now, reason="no match")
        if said == "duplicate":
            return DUPLICATE
        if said in CAUSES:
            return OrderRejected(said, CAUSES[said], reply.retry_after)
    if code == 400 and request.kind == "cancel" and _error(body) == "ended":
        return ENDED
    return type(unclear)(f"HTTP {code}")


DUPLICATE, ENDED = object(), object()  # words after which a client asks what became of the order


def _error(body: Any) -> str:
    return str(body.get("error", "")) if isinstance(body, dict) else ""


def _value(request: Request, body: Any, now: int) -> object:
    if request.order is not None:
        return read_order(body, request.order, now)
    if not isinstance(body, dict):
        raise Unreadable("not an object")
    match request.kind:
        case "time" if type(body.get("time")) is int:
            return body["time"]
        case "balance" if type(body.get("cash")) is int:
            return Cash(body["cash"])
        case "positions" if isinstance(body.get("shares"), dict):
            return {index: Size(held) for index, held in body["shares"].items()}
        case "open" if isinstance(body.get("rows"), list) and isinstance(body.get("cursor"), str):
            return body
    raise Unreadable(f"no {request.kind} in it")
