"""What a venue does to orders besides matching them: holds, windows, limits, settlement. Assumptions, all printed.

A plain venue has none of these habits; `of_venue` gives those that the venues themselves have written down (as read
by September 2026), and what differs from market to market is left to whoever runs the simulation. Values are frozen
and check themselves; the state of buckets lives in `Gate`, one for each venue of a world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from arbkit.core.errors import Cause, ConfigError, OrderRejected, VenueUnavailable
from arbkit.core.model import Order, TimeInForce
from arbkit.core.units import NS_PER_MS, NS_PER_S, Cash, cash

DOWN, CANCEL_ONLY, POST_ONLY = "down", "cancel-only", "post-only"
_WINDOW_SAYS = {
    DOWN: "order requests are turned away",
    CANCEL_ONLY: "orders are refused, cancels are taken",
    POST_ONLY: "only post-only orders are taken",
}
LONGEST_S = 7 * 86_400.0
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _known_window(what: str) -> None:
    if what not in _WINDOW_SAYS:
        raise ConfigError(f"a window is {', '.join(_WINDOW_SAYS)}, not {what!r}")


def _number(name: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ConfigError(f"habits.{name} must be a number from 0 to {most:g}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time (ns since the epoch, its end left out) in which a venue is down, cancel-only or post-only."""

    what: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        _known_window(self.what)
        if self.stop <= self.start:
            raise ConfigError(f"a window ends after it starts, not from {self.start} to {self.stop} ns")

    def until(self, at: int) -> int:
        """Return when (ns) the window that `at` falls into ends; 0 when it falls into none."""
        return self.stop if self.start <= at < self.stop else 0

    def __str__(self) -> str:
        start = datetime.fromtimestamp(self.start // NS_PER_S, ZoneInfo("UTC"))
        return f"{self.what} for {(self.stop - self.start) / NS_PER_S:g} s from {start:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Weekly:
    """A window that comes every week by the clock of a time zone; `weekday` 0 is Monday, `at` like "03:00"."""

    what: str
    weekday: int
    at: str
    minutes: int
    zone: str = "America/New_York"

    def __post_init__(self) -> None:
        _known_window(self.what)
        hour, _, minute = self.at.partition(":")
        if not (hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
            raise ConfigError(f"a weekly window starts at a time like '03:00', not {self.at!r}")
        if self.weekday not in range(7) or not 0 < self.minutes <= 1_440 - 60 * int(hour) - int(minute):
            raise ConfigError("a weekly window is on a weekday from 0 (Monday) to 6 and ends on the same day")
        ZoneInfo(self.zone)

    def until(self, at: int) -> int:
        """See `Window.until`."""
        now = datetime.fromtimestamp(at // NS_PER_S, ZoneInfo(self.zone))
        if now.weekday() != self.weekday:
            return 0
        hour, minute = map(int, self.at.split(":"))
        start = round(now.replace(hour=hour, minute=minute, second=0).timestamp()) * NS_PER_S
        stop = start + self.minutes * 60 * NS_PER_S
        return stop if start <= at < stop else 0

    def __str__(self) -> str:
        return f"{self.what} for {self.minutes} minutes from {self.at} {self.zone} each {DAYS[self.weekday]}"


def restart(start: int, down_s: float = 90.0, post_only_s: float = 120.0) -> tuple[Window, Window]:
    """Return the two windows of a restart at `start` ns: turned away at first, then post-only.

    Polymarket's is followed by two minutes of post-only; 90 s down is what an older copy of its page says.
    """
    back = start + round(down_s * NS_PER_S)
    return Window(DOWN, start, back), Window(POST_ONLY, back, back + round(post_only_s * NS_PER_S))


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: so many requests a second, and `burst` at once after a rest."""

    per_s: int
    burst: int

    def __post_init__(self) -> None:
        given: tuple[object, ...] = (self.per_s, self.burst)
        if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= 10**6 for n in given):
            raise ConfigError(f"a rate is whole numbers from 1 to a million, not {self.per_s!r} and {self.burst!r}")

    def __str__(self) -> str:
        return f"{self.per_s} a second, {self.burst} at once"


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """The habits of one venue; the default has none of them.

    `hold_ms` an order that would take waits so long, cannot be cancelled meanwhile, and meets the book of its end
    (`holds` by market id goes before it); `min_taking` dollars that an order to buy which would take must be worth;
    `windows` see `Window`; `orders` and `cancels` are rates beyond which requests are turned away; `settle_s` a match
    is provisional for so long, its shares cannot be sold before, and then `failing` of the matches fail: void fills.
    `pays_s` after its resolution a market pays what was held; None: shares stay shares. `self_trade` says which of two
    orders of ours that would meet is cancelled: what is left of the "taker", or the "maker" that it gets as far as.
    `gtd_least_s` an order that rests until a time must state one at least so far ahead, and the venue ends it
    `gtd_early_s` before that time.
    """

    hold_ms: float = 0.0
    holds: Mapping[str, float] = field(default_factory=dict, hash=False)
    min_taking: float = 0.0
    windows: tuple[Window | Weekly, ...] = ()
    orders: Rate | None = None
    cancels: Rate | None = None
    settle_s: float = 0.0
    failing: float = 0.0
    pays_s: float | None = None
    self_trade: str = "taker"
    gtd_least_s: float = 0.0
    gtd_early_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value, most in (
            ("hold_ms", self.hold_ms, 600_000.0), ("min_taking", self.min_taking, 1e6),
            ("settle_s", self.settle_s, LONGEST_S), ("failing", self.failing, 1.0),
            ("gtd_least_s", self.gtd_least_s, LONGEST_S), ("gtd_early_s", self.gtd_early_s, LONGEST_S),
            *((f"holds[{market!r}]", hold, 600_000.0) for market, hold in self.holds.items()),
            *([] if self.pays_s is None else [("pays_s", self.pays_s, LONGEST_S)]),
        ):  # fmt: skip
            _number(name, value, most)
        if self.failing and not self.settle_s:
            raise ConfigError("habits.failing: what is settled at once cannot fail afterwards: state settle_s")
        for name, kinds in (("windows", Window | Weekly), ("orders", Rate | None), ("cancels", Rate | None)):
            found = self.windows if name == "windows" else (getattr(self, name),)
            if not all(isinstance(one, kinds) for one in found):
                raise ConfigError(f"habits.{name} cannot be {getattr(self, name)!r}")
        if self.self_trade not in ("taker", "maker"):
            raise ConfigError(f"habits.self_trade must be taker or maker, not {self.self_trade!r}")
        object.__setattr__(self, "holds", dict(self.holds))
        object.__setattr__(self, "windows", tuple(self.windows))

    def hold_ns(self, market: str) -> int:
        """Return how long a taker waits in a market (by its id)."""
        return round(self.holds.get(market, self.hold_ms) * NS_PER_MS)

    @property
    def settle_ns(self) -> int:
        return round(self.settle_s * NS_PER_S)

    def ends_ns(self, order: Order) -> int:
        """Return when (ns) the venue ends an order by itself; 0: it does not."""
        return order.expires - round(self.gtd_early_s * NS_PER_S) if order.tif is TimeInForce.GTD else 0

    def wrong_expiry(self, order: Order, at: int) -> str:
        """Return what is wrong with the time that an order which arrives at `at` ns states, or nothing."""
        if order.tif is not TimeInForce.GTD:
            return "expires: only a GTD order ends by itself" if order.expires else ""
        if not order.expires:
            return "expires: a GTD order says until when it rests"
        ahead = (order.expires - at) / NS_PER_S
        if self.gtd_least_s and order.expires - at < round(self.gtd_least_s * NS_PER_S):
            return f"expires: {ahead:.3f} s ahead, and it must be {self.gtd_least_s:g} s at least"
        if self.ends_ns(order) <= at:
            early = f" (it ends {self.gtd_early_s:g} s before that)" if self.gtd_early_s else ""
            return f"expires: {ahead:.3f} s ahead{early}, so it is over when it arrives"
        return ""

    @property
    def least_taking(self) -> Cash:
        return cash(self.min_taking)

    def says(self) -> str:
        """Return the habits in words."""
        said = []
        if self.hold_ms or self.holds:
            named = ", ".join(f"{market} {hold:g} ms" for market, hold in self.holds.items())
            said.append(
                f"takers held {self.hold_ms:g} ms{f' ({named})' if named else ''}, not to be cancelled meanwhile"
            )
        if self.min_taking:
            said.append(f"orders to buy that take are worth at least {self.min_taking:g} dollars")
        said += [f"{window}: {_WINDOW_SAYS[window.what]}" for window in self.windows]
        said += [f"orders {self.orders}"] if self.orders else []
        said += [f"cancels {self.cancels}"] if self.cancels else []
        if self.settle_s:
            said.append(f"fills settle after {self.settle_s:g} s, {self.failing:.2%} of them fail then")
        if self.pays_s is not None:
            said.append(f"pays what was held {self.pays_s:g} s after a resolution")
        if self.gtd_least_s or self.gtd_early_s:
            said.append(
                f"orders that rest until a time state one {self.gtd_least_s:g} s ahead at least, and end "
                f"{self.gtd_early_s:g} s before it"
            )
        if self.self_trade == "maker":
            said.append("our taker would meet our own resting order: that one is cancelled")
        return "; ".join(said) or "none"


PLAIN = Habits()
# Signer limits of the standard tier (trading-rate-limits, 2026-08); marketable buys of at least a dollar; Polygon is
# final after about five seconds. Holds differ by market (crypto and finance 50 to 250 ms, sports seconds). What rests
# until a time states one three minutes ahead at least (180 s in its client), and ends a minute before it.
POLYMARKET = Habits(
    min_taking=1.0, orders=Rate(40, 60), cancels=Rate(80, 120), settle_s=5.0, gtd_least_s=180.0, gtd_early_s=60.0
)
# Basic tier: 100 write tokens a second at 10 a request (rate_limits, 2026-09); the pause is in its calendar. It pays
# by itself when a market is determined.
KALSHI = Habits(windows=(Weekly(CANCEL_ONLY, 3, "03:00", 120),), orders=Rate(10, 10), cancels=Rate(10, 10), pays_s=0.0)
KNOWN = {"polymarket": POLYMARKET, "kalshi": KALSHI}


def of_venue(name: str) -> Habits:
    """Return the habits that a venue has written down; none for a venue that is not known."""
    return KNOWN.get(name, PLAIN)


def _said(what: str) -> str:
    return f"{what} venue: {_WINDOW_SAYS[what]}"


class Gate:
    """What a venue turns away before it looks at a request: the state of its buckets, and its windows."""

    def __init__(self, name: str, habits: Habits) -> None:
        self._name, self._habits = name, habits
        self._orders, self._cancels = _Bucket(habits.orders), _Bucket(habits.cancels)

    def order(self, order: Order, at: int) -> VenueUnavailable | OrderRejected | None:
        """Return why an order that arrives at `at` ns is turned away or refused, or None."""
        if away := self._away(at, self._orders):
            return away
        for what, cause in ((CANCEL_ONLY, Cause.PAUSED), (POST_ONLY, Cause.TAKERS_REFUSED)):  # the stricter first
            stop = self._within(what, at)
            if stop and (what == CANCEL_ONLY or not order.post_only):
                return OrderRejected(_said(what), cause, (stop - at) / NS_PER_S)
        return None

    def closed_to_takers(self, at: int) -> str:
        """Return why an order that is to take at `at` ns does not, whatever was said when it arrived; empty: it may."""
        return next((_said(what) for what in _WINDOW_SAYS if self._within(what, at)), "")

    def cancel(self, at: int) -> VenueUnavailable | None:
        """Return why a cancel that arrives at `at` ns is turned away, or None."""
        return self._away(at, self._cancels)

    def _away(self, at: int, bucket: _Bucket) -> VenueUnavailable | None:
        if stop := self._within(DOWN, at):
            return VenueUnavailable(f"{self._name} is down: {_WINDOW_SAYS[DOWN]}", (stop - at) / NS_PER_S)
        if wait := bucket.take(at):
            return VenueUnavailable(f"{self._name}: too many requests", wait / NS_PER_S)
        return None

    def _within(self, what: str, at: int) -> int:
        """Return when (ns) the last window of a kind that `at` falls into ends; 0: it falls into none."""
        if not self._habits.windows:
            return 0
        return max((window.until(at) for window in self._habits.windows if window.what == what), default=0)


class _Bucket:
    """Tokens in billionths, so that a nanosecond adds a whole number of them."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate, self._at = rate, 0
        self._tokens = rate.burst * NS_PER_S if rate else 0

    def take(self, at: int) -> int:
        """Take a token at `at` ns and return 0, or leave it and return for how many ns there will be none."""
        if self._rate is None:
            return 0
        grown = self._tokens + self._rate.per_s * (at - self._at)
        self._tokens, self._at = min(self._rate.burst * NS_PER_S, grown), at
        if self._tokens < NS_PER_S:
            return -(-(NS_PER_S - self._tokens) // self._rate.per_s)
        self._tokens -= NS_PER_S
        return 0
