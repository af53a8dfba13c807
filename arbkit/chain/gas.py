"""What a transaction must offer to be mined, what it will cost, and when that is too much.

All fees are wei per gas. Rules of Polygon's nodes: a priority fee (tip) below 25 gwei is not taken, and a replacement
under the same number must offer ten percent more in both fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median_high
from typing import Any

from arbkit.chain.node import Node
from arbkit.core.errors import ChainUnavailable, ConfigError, FeeAboveCap
from arbkit.core.units import Cash

GWEI = 10**9
WEI_PER_POL = 10**18
TRANSACTION_GAS_LIMIT = 2**25  # Polygon's nodes mine no transaction with a higher one
SELF_TRANSFER_GAS = 21_000


class Urgency(StrEnum):
    """How soon it should be mined."""

    SLOW = "slow"
    NORMAL = "normal"
    FAST = "fast"
    URGENT = "urgent"


# Percentile of the tips in recent blocks, and by how many percent the base fee may rise before the offer is too low.
# The base fee moves by less than a percent a block (a draft allows five), so 12 % last for two blocks at the very least.
_PERCENTILES = {Urgency.SLOW: 10, Urgency.NORMAL: 50, Urgency.FAST: 75, Urgency.URGENT: 95}
_HEADROOM = {Urgency.SLOW: 13, Urgency.NORMAL: 50, Urgency.FAST: 100, Urgency.URGENT: 200}


@dataclass(frozen=True, slots=True, kw_only=True)
class GasConfig:
    """Floors and caps; fees in wei per gas, the cost cap in wei for one transaction."""

    tip_floor: int = 25 * GWEI
    max_fee_cap: int = 1_000 * GWEI
    cost_cap: int = WEI_PER_POL
    history_blocks: int = 20
    margin_percent: int = 25  # on every estimate of gas: it varies with the condition by tens of thousands
    bump_percent: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.tip_floor <= self.max_fee_cap:
            raise ConfigError(f"a tip floor of {self.tip_floor} under a fee cap of {self.max_fee_cap} wei per gas")
        if self.cost_cap <= 0 or not 0 < self.history_blocks <= 1024:
            raise ConfigError("a cap on costs is above 0 wei, a fee history has 1 to 1024 blocks")
        if self.margin_percent < 0 or self.bump_percent < 10:
            raise ConfigError("the gas margin is at least 0 %, a replacement offers at least 10 % more")


@dataclass(frozen=True, slots=True)
class GasFees:
    """An offer: `max_fee` is the most that is paid per gas, the tip included; `base` is what the next block asks."""

    max_fee: int
    tip: int
    base: int = 0

    @property
    def expected(self) -> int:
        """Return what would be charged in the next block, wei per gas."""
        return min(self.max_fee, self.base + self.tip)


@dataclass(frozen=True, slots=True)
class GasCost:
    """What a transaction of `gas` is expected to cost, and can cost at worst: wei, and millionths of a dollar."""

    gas: int
    wei: int
    worst_wei: int
    dollars: Cash
    worst_dollars: Cash

    @property
    def pol(self) -> float:
        """Return the expected cost in POL, for people."""
        return self.wei / WEI_PER_POL


def _up(value: int, percent: int) -> int:
    """Return `percent` of a value, rounded up."""
    return -(-value * percent // 100)


def bumped(old: GasFees, current: GasFees, percent: int = 10) -> GasFees:
    """Return what replaces an offer: each field `percent` more, rounded up, or the current estimate if that is more."""
    tip = max(_up(old.tip, 100 + percent), current.tip)
    max_fee = max(_up(old.max_fee, 100 + percent), current.max_fee, tip)
    return GasFees(max_fee, tip, current.base)


class GasPriceManager:
    """Estimates fees and costs from the chain's fee history, within floor and caps.

    `pol_price` returns the price of one POL in millionths of a dollar; where nobody knows it, it should raise rather
    than guess: a cost in dollars decides whether a merge pays.
    """

    def __init__(self, node: Node, pol_price: Callable[[], Cash], config: GasConfig | None = None) -> None:
        self._node = node
        self._pol_price = pol_price
        self.config = config or GasConfig()

    async def estimate_fees(self, urgency: Urgency = Urgency.NORMAL) -> GasFees:
        """Return an offer for the next blocks; FeeAboveCap when base fee and tip alone are above the cap.

        Raises ChainUnavailable as the node, and for a fee history that is none.
        """
        wanted = [_PERCENTILES[urgency]]
        answer = await self._node.read("eth_feeHistory", hex(self.config.history_blocks), "latest", wanted)
        base, tips = _read_history(answer)
        tip = max(self.config.tip_floor, median_high(tips) if tips else 0)
        self._refuse_above(base + tip, f"base fee {base / GWEI:.3g} and tip {tip / GWEI:.3g} gwei")
        return GasFees(min(_up(base, 100 + _HEADROOM[urgency]) + tip, self.config.max_fee_cap), tip, base)

    def replacement(self, old: GasFees, current: GasFees) -> GasFees:
        """Return what replaces an offer (see `bumped`); FeeAboveCap when that is above the cap: keep the old one."""
        new = bumped(old, current, self.config.bump_percent)
        self._refuse_above(new.max_fee, f"a replacement of {new.max_fee / GWEI:.4g} gwei")
        return new

    async def estimate_gas(self, sender: str, to: str, data: bytes, value: int = 0) -> int:
        """Return a gas limit: the chain's estimate and the margin. Raises CallRefused when the call reverts.

        FeeAboveCap when no block takes a transaction as large as that: it must be made of smaller ones.
        """
        call = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
        gas = self.with_margin(int(str(await self._node.read("eth_estimateGas", call)), 16))
        if gas > TRANSACTION_GAS_LIMIT:
            raise FeeAboveCap(f"{gas} gas in one transaction", gas, TRANSACTION_GAS_LIMIT)
        return gas

    def with_margin(self, gas: int) -> int:
        return _up(gas, 100 + self.config.margin_percent)

    def cost(self, gas: int, fees: GasFees) -> GasCost:
        """Return what so much gas costs at an offer; dollars are rounded against us."""
        wei, worst = gas * fees.expected, gas * fees.max_fee
        return GasCost(gas, wei, worst, self.dollars(wei), self.dollars(worst))

    def dollars(self, wei: int) -> Cash:
        """Return wei of POL in millionths of a dollar, rounded up."""
        return Cash(-(-wei * self._pol_price() // WEI_PER_POL))

    def refuse_cost_above_cap(self, gas: int, fees: GasFees) -> None:
        """Raise FeeAboveCap when a transaction is expected to cost more than one may."""
        wei = gas * fees.expected
        if wei > self.config.cost_cap:
            cap = self.config.cost_cap
            text = f"{gas} gas would cost {wei / WEI_PER_POL:.4g} POL, the cap is {cap / WEI_PER_POL:.4g}"
            raise FeeAboveCap(text, wei, cap)

    def _refuse_above(self, needed: int, what: str) -> None:
        cap = self.config.max_fee_cap
        if needed > cap:
            raise FeeAboveCap(f"{what} are above the cap of {cap / GWEI:.4g} gwei per gas", needed, cap)


def _read_history(answer: Any) -> tuple[int, Sequence[int]]:
    """Return the next block's base fee and one tip of each recent block that had transactions."""
    try:
        base = int(answer["baseFeePerGas"][-1], 16)
        rewards = [int(row[0], 16) for row in answer.get("reward") or ()]
        filled = [ratio > 0 for ratio in answer["gasUsedRatio"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ChainUnavailable(f"a node's fee history cannot be read: {error!r}") from error
    # An empty block has a tip of 0, which is no price.
    return base, [reward for reward, used in zip(rewards, filled, strict=False) if used]
