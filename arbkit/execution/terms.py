"""The settings of `core.config`, once in the integers that the engine computes with."""

from __future__ import annotations

from dataclasses import dataclass

from arbkit.core.config import ExecutionConfig
from arbkit.core.units import MICRO, NS_PER_S, Cash, Price, Size, cash


@dataclass(frozen=True, slots=True)
class Terms:
    """What `ExecutionConfig` says, in millionths and ns; shares of something (`*_ppm`) in millionths of the whole."""

    min_edge: Cash
    gross: bool
    max_size: Size
    max_exposure: Cash
    max_slippage: Price | None
    slippage_ppm: int
    budget_ppm: int
    protect_edge: bool
    improve_ticks: int
    post_only: bool
    hedge_ns: int
    unwind_ppm: int
    entry_ns: int
    late_ns: int

    @classmethod
    def of(cls, config: ExecutionConfig) -> Terms:
        """Return the settings as integers; what a person bounded rounds to the stricter side."""
        return cls(
            min_edge=cash(config.min_edge),
            gross=config.edge == "gross",
            max_size=Size(_down(config.max_size)),
            max_exposure=Cash(_down(config.max_exposure)),
            max_slippage=None if config.max_slippage is None else Price(_down(config.max_slippage)),
            slippage_ppm=_down(config.max_slippage_pct),
            budget_ppm=_down(config.edge_budget_share),
            protect_edge=config.protect_edge,
            improve_ticks=int(config.improve_ticks),
            post_only=config.post_only,
            hedge_ns=round(config.hedge_timeout_s * NS_PER_S),
            unwind_ppm=_down(config.max_unwind_loss),
            entry_ns=round(config.entry_deadline_s * NS_PER_S),
            late_ns=round(config.late_arrival_s * NS_PER_S),
        )

    def slip(self, worst: int) -> Price:
        """Return how far beyond the last level needed an order may pay: dollars if set, else a share of its price."""
        if self.max_slippage is not None:
            return self.max_slippage
        return Price(worst * self.slippage_ppm // MICRO)


def _down(value: float) -> int:
    return -cash(-value)
