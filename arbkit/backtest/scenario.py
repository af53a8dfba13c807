"""What the simulator assumes where a recording cannot know: checked when made, printed with every result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from arbkit.backtest.habits import KNOWN, PLAIN, Habits, of_venue
from arbkit.backtest.latency import PLACE, REPLY, Latency, checked
from arbkit.core.errors import ConfigError
from arbkit.core.units import NS_PER_MS, NS_PER_S, Cash, cash

QUEUES = {
    "risk-averse": "joins behind all displayed; trades take from the front, other decreases from behind us first",
    "through": "fills only when the price is traded through or the other side reaches it",
    "front": "joins in front of the queue: the hopeful bound",
    "trade-only": "joins behind all displayed; nothing but trades at the price moves it up",
    "pro-rata": "joins behind all displayed; cancels leave from before and behind us in proportion",
    "power": "joins behind all displayed; cancels leave from before and behind us as the cubes of what stands there",
}
HABITS = ("plain", "venue")
CONSUMPTIONS = ("cautious", "hopeful")

_CONSUMPTION_SAYS = {
    "cautious": "what we took stays taken until the level falls below it or vanishes",
    "hopeful": "a later fall of the level counts as our own take being shown",
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Assumptions of one simulation. Times in ms or s as named, money in dollars; a frozen, checked value.

    `entry_ms` decision to the venue's match; `reply_ms` back, for answers, cancels and fill reports alike; `feed_ms`
    added to when a row was received (the whole lag where a tape has one clock); `decide_ms` own computing before
    each order. `jitter` is the sigma of log-normal latencies whose medians are those values; 0: constant. `latency`
    names what takes another time: a verb (place, cancel, ask, reply, report) or a verb at a venue ("kalshi:place"),
    each with its own model; decisions are still called executable or not by `entry_ms`. `habits` is what venues do
    besides matching: "plain" nothing, "venue" what each has written down (see `habits`), or by venue.
    """

    entry_ms: float = 50.0
    reply_ms: float = 50.0
    feed_ms: float = 0.0
    decide_ms: float = 0.0
    jitter: float = 0.0
    latency: Mapping[str, Latency] = field(default_factory=dict, hash=False)
    queue: str = "risk-averse"
    consumption: str = "cautious"
    max_silence_s: float = 60.0  # a stream without connection marks that is quiet for longer is silent
    mirror_settle_ms: float = 100.0  # a gap between mirrored books must stand this long
    balances: float | Mapping[str, float] = 10_000.0  # dollars at each venue, or by venue
    assume_fees: str | None = None  # name of a fee rule used outside the dated rules' coverage
    habits: str | Mapping[str, Habits] = field(default="plain", hash=False)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, most in (
            ("entry_ms", 600_000.0),
            ("reply_ms", 600_000.0),
            ("feed_ms", 600_000.0),
            ("decide_ms", 600_000.0),
            ("jitter", 5.0),
            ("max_silence_s", 86_400.0),
            ("mirror_settle_ms", 600_000.0),
        ):
            _number("scenario." + name, getattr(self, name), most)
        if not isinstance(self.latency, Mapping):
            raise ConfigError(f"scenario.latency must name verbs and their latency, not {self.latency!r}")
        object.__setattr__(self, "latency", checked(self.latency))
        self._check_habits()
        _one_of("scenario.queue", self.queue, tuple(QUEUES))
        _one_of("scenario.consumption", self.consumption, CONSUMPTIONS)
        if isinstance(self.balances, Mapping):
            for venue, dollars in self.balances.items():
                _text("a venue in scenario.balances", venue)
                _number(f"scenario.balances[{venue!r}]", dollars, 1e9)
            object.__setattr__(self, "balances", dict(self.balances))
        else:
            _number("scenario.balances", self.balances, 1e9)
        if self.assume_fees is not None:
            _text("scenario.assume_fees", self.assume_fees)
        _whole("scenario.seed", self.seed)

    def _check_habits(self) -> None:
        if isinstance(self.habits, str) or not isinstance(self.habits, Mapping):
            _one_of("scenario.habits", self.habits, HABITS)
            return
        for venue, habits in self.habits.items():
            _text("a venue in scenario.habits", venue)
            if not isinstance(habits, Habits):
                raise ConfigError(f"scenario.habits[{venue!r}] must be Habits, not {habits!r}")
        object.__setattr__(self, "habits", dict(self.habits))

    @property
    def entry_ns(self) -> int:
        return round(self.entry_ms * NS_PER_MS)

    @property
    def reply_ns(self) -> int:
        return round(self.reply_ms * NS_PER_MS)

    @property
    def feed_ns(self) -> int:
        return round(self.feed_ms * NS_PER_MS)

    @property
    def decide_ns(self) -> int:
        return round(self.decide_ms * NS_PER_MS)

    @property
    def max_silence_ns(self) -> int:
        return round(self.max_silence_s * NS_PER_S)

    @property
    def mirror_settle_ns(self) -> int:
        return round(self.mirror_settle_ms * NS_PER_MS)

    def answer_ms(self, venue: str) -> float:
        """Return how long (ms) an order and the first word on it are on their way; medians of what is drawn."""
        found = 0.0
        for verb, stated in ((PLACE, self.entry_ms), (REPLY, self.reply_ms)):
            own = self.latency.get(f"{venue}:{verb}", self.latency.get(verb))
            found += stated if own is None else own.median_ms
        return found

    def balance(self, venue: str) -> Cash:
        """Return the opening cash at a venue; a mapping that does not name the venue is a ConfigError."""
        if not isinstance(self.balances, Mapping):
            return cash(self.balances)
        if venue not in self.balances:
            raise ConfigError(f"scenario.balances names {', '.join(self.balances) or 'no venue'} but not {venue!r}")
        return cash(self.balances[venue])

    def habits_of(self, venue: str) -> Habits:
        """Return what is assumed of a venue's habits."""
        if isinstance(self.habits, Mapping):
            return self.habits.get(venue, PLAIN)
        return of_venue(venue) if self.habits == "venue" else PLAIN

    def modelled(self) -> dict[str, object]:
        """Return every assumption, printable, in the order a reader asks for them."""
        return {
            "entry_ms": self.entry_ms,
            "reply_ms": self.reply_ms,
            "feed_ms": self.feed_ms,
            "decide_ms": self.decide_ms,
            "latency": self._latency_says(),
            "queue": f"{self.queue}: {QUEUES[self.queue]}",
            "consumption": f"{self.consumption}: {_CONSUMPTION_SAYS[self.consumption]}",
            "own_orders": "a taker stops short of our own resting order, and the rest of it is cancelled",
            "habits": self._habits_say(),
            "max_silence_s": self.max_silence_s,
            "mirror_settle_ms": self.mirror_settle_ms,
            "fees": f"assumed: {self.assume_fees}" if self.assume_fees else "the dated rule of each market",
            "balances": dict(self.balances) if isinstance(self.balances, Mapping) else self.balances,
            "seed": self.seed,
        }

    def _habits_say(self) -> str:
        named = KNOWN if self.habits == "venue" else self.habits
        if isinstance(named, str) or not named:
            return "none: no holds, no limits, no pauses but the tape's; fills are final at once"
        return " | ".join(f"{venue}: {habits.says()}" for venue, habits in named.items())

    def _latency_says(self) -> str:
        stated = f"log-normal, sigma {self.jitter:g}, medians as stated" if self.jitter else "constant"
        own = "; ".join(f"{name} {model}" for name, model in self.latency.items())
        return f"{own}; the rest {stated}" if own else stated


def _number(name: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, not {value!r}")
    if not 0 <= value <= most:
        raise ConfigError(f"{name} = {value!r} is outside 0..{most:g}")


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a name, not {value!r}")


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ConfigError(f"{name} must be a whole number of at least 0, not {value!r}")
