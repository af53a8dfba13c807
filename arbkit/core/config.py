"""Settings of the engine: frozen, checked when made, the same in backtest, paper and live."""

import math
from dataclasses import dataclass, fields

from arbkit.core.errors import ConfigError


def _finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)  # an int of any length is finite


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionConfig:
    """How trades are sized, priced, waited for and undone.

    Shares are counted in shares, money in dollars, times in seconds, `min_edge` in dollars per basket share.
    A setting with which a strategy could never act is refused here or before the first trade.
    """

    min_edge: float = 0.0001  # dollars per basket share
    edge: str = "net"  # "net" or "gross": whether `min_edge` is judged after or before fees
    max_size: float = 100.0  # shares of the basket per trade
    max_exposure: float = 250.0  # dollars at risk if some legs fill and others do not (X)
    max_slippage: float | None = None  # dollars per share beyond the last level needed; wins over the next
    max_slippage_pct: float = 0.01  # a fraction of that level's price: 0.01 = 1 %
    edge_budget_share: float = 1.0  # share of the net edge that slippage may use up, split over the legs
    protect_edge: bool = True  # False: the caps ignore the budget, and every table says so
    improve_ticks: int = 0  # LIMIT and HYBRID: ticks inside the own best
    post_only: bool = True  # resting entries never take
    limit_timeout_s: float = 5.0  # LIMIT waits this long, then cancels and reconciles
    hybrid_patience_s: float = 0.5  # HYBRID rests this long before it crosses
    leg_timeout_s: float = 30.0  # patience for one answer of a venue before the order counts as unknown
    hedge_timeout_s: float = 10.0  # T_hedge: an imbalance is closed or escalated within it
    hedge_retry_s: float = 0.25  # pause between two tries to undo
    max_unwind_loss: float = 0.05  # share of the trade's cost that undoing may lose
    entry_deadline_s: float = 1.0  # an entry that has not left this long after its intent does not leave any more
    late_arrival_s: float = 30.0  # a request may still arrive at its venue this long after it was sent
    reconcile_s: float = 15.0  # how often what is open is compared with the venues
    resolve_alarm_s: float = 120.0  # T_resolve: an order or settlement without a last word for so long is reported
    max_clock_skew_s: float = 2.0  # against a venue's clock, before entries are refused
    max_loop_lag_s: float = 0.5  # the event loop may be late by so much before entries stop and books are stale
    request_rate: float = 40.0  # requests a second to one venue
    request_burst: int = 60  # requests at once
    reserved_share: float = 0.25  # of both, for cancels, undo orders and questions: entries cannot use it

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in ("bool", bool):
                if not isinstance(value, bool):
                    raise ConfigError(f"config.{field.name} must be true or false, not {value!r}")
            elif field.name == "edge":
                if value not in ("net", "gross"):
                    raise ConfigError(f"config.edge must be 'net' or 'gross', not {value!r}")
            elif field.name == "max_slippage" and value is None:
                continue
            elif not _finite(value):
                raise ConfigError(f"config.{field.name} must be a finite number, not {value!r}")
        self._within("min_edge", -1.0, 1.0)
        self._within("max_size", 1e-6, 1e7)
        self._within("max_exposure", 1e-6, 1e9)
        if self.max_slippage is not None:
            self._within("max_slippage", 0.0, 1.0)
        self._within("max_slippage_pct", 0.0, 1.0)
        self._within("edge_budget_share", 0.0, 1.0)
        if int(self.improve_ticks) != self.improve_ticks:
            raise ConfigError(f"config.improve_ticks must be a whole number, not {self.improve_ticks!r}")
        self._within("improve_ticks", 0, 100)
        self._within("limit_timeout_s", 0.001, 86_400)
        self._within("hybrid_patience_s", 0.0, 86_400)
        self._within("leg_timeout_s", 0.001, 3_600)
        self._within("hedge_timeout_s", 0.001, 3_600)
        self._within("hedge_retry_s", 0.001, 60)
        self._within("max_unwind_loss", 0.0, 1.0)
        self._within("entry_deadline_s", 0.001, 60)
        self._within("late_arrival_s", 0.001, 3_600)
        self._within("reconcile_s", 0.1, 3_600)
        self._within("resolve_alarm_s", 1.0, 86_400)
        self._within("max_clock_skew_s", 0.001, 60)
        self._within("max_loop_lag_s", 0.001, 60)
        self._within("request_rate", 0.1, 1e6)
        if int(self.request_burst) != self.request_burst:
            raise ConfigError(f"config.request_burst must be a whole number, not {self.request_burst!r}")
        self._within("request_burst", 4, 1e6)
        self._within("reserved_share", 0.05, 0.95)
        if self.hedge_retry_s > self.hedge_timeout_s:
            raise ConfigError("config.hedge_retry_s is longer than config.hedge_timeout_s: nothing could be undone")

    @property
    def answer_s(self) -> float:
        """How long (s) an answer is waited for: half of T_hedge at most, or none would leave time to act on it."""
        return min(self.leg_timeout_s, self.hedge_timeout_s / 2)

    def _within(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise ConfigError(f"config.{name} = {value!r} is outside {low:g}..{high:g}")
