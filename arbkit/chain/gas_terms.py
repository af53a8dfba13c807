"""What gas asks of an edge, worked out ahead: stated base fees and POL prices in, the smallest trade that pays out.

Nothing is asked of a chain here. The same `GasPriceManager` that trades makes the offers, from a fee history that is
stated, so floors and caps hold as they would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arbkit.chain.gas import GasConfig, GasCost, GasPriceManager, Urgency
from arbkit.chain.node import Call
from arbkit.core.errors import ChainUnavailable, FeeAboveCap
from arbkit.core.transaction import Work
from arbkit.core.units import MICRO, Cash, Price, Size
from arbkit.settlement.merging import MergeTerms, weigh_merge

# Gas of one call from an account: the middle of what the contracts' own bytecode takes on a local node, and a fifth
# on top, since Polygon charges more for storage than that node does (PIP-88). A split needs an exact approval each
# time, which is in its figure. What a call takes varies by tens of thousands with its condition: for trading it is
# always estimated.
TYPICAL_GAS: Final[Mapping[Work, int]] = {Work.MERGE: 120_000, Work.REDEEM: 125_000, Work.SPLIT: 220_000}
# Of a conversion likewise: at all, for each market whose NO are given, and for each whose YES are made. Measured on a
# stand-in for the adapter, whose own bytecode is on no registry; the first YES of a market ever are dearer by a third.
CONVERSION_GAS: Final = (100_000, 35_000, 180_000)
MOST_PAIRS: Final = Size(10**9 * MICRO)  # beyond a billion pairs a merge is said never to pay


def conversion_gas(taken: int, made: int) -> int:
    """Return the gas of a conversion of NO of so many markets into YES of so many others."""
    base, gives, makes = CONVERSION_GAS
    return base + taken * gives + made * makes


class StatedFees:
    """A `Node` that knows nothing but a fee history: the next block's base fee and one tip (wei per gas)."""

    def __init__(self, base: int, tip: int = 0) -> None:
        self._history = {"baseFeePerGas": [hex(base)], "reward": [[hex(tip)]], "gasUsedRatio": [0.65]}

    async def read(self, method: str, *_: object) -> Any:
        """Return the fee history; ChainUnavailable for any other question."""
        if method != "eth_feeHistory":
            raise ChainUnavailable(f"fees are stated here, there is no chain to ask for {method}")
        return self._history

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        return [await self.read(*call) for call in calls]

    async def read_all(self, method: str, *params: object) -> list[Any]:
        return [await self.read(method, *params)]

    async def agreed(self, method: str, *params: object) -> Any:
        return await self.read(method, *params)

    async def head(self) -> int:
        """Raise ChainUnavailable: there are no blocks."""
        raise ChainUnavailable("fees are stated here, there is no chain")

    async def send(self, raw: bytes) -> None:
        """Raise ChainUnavailable: nothing can be sent."""
        raise ChainUnavailable(f"fees are stated here, there is no chain that would take {len(raw)} bytes")


@dataclass(frozen=True, slots=True)
class GasTerms:
    """What one call costs at a base fee (wei per gas) and a price of one POL (millionths of a dollar).

    `cost` is None where the caps forbid it; `refused` says why.
    """

    work: Work
    gas: int
    base_fee: int
    pol: Cash
    cost: GasCost | None
    refused: str = ""


async def gas_terms(
    gas: Mapping[Work, int],
    base_fees: Sequence[int],
    pol_prices: Sequence[Cash],
    *,
    tip: int = 0,
    urgency: Urgency = Urgency.NORMAL,
    config: GasConfig | None = None,
) -> list[GasTerms]:
    """Return what each work costs at each base fee and POL price, in that order of nesting. `tip` is lifted to the floor."""
    found = []
    for work, units in gas.items():
        for base in base_fees:
            for pol in pol_prices:
                manager = GasPriceManager(StatedFees(base, tip), _priced(pol), config)
                try:
                    fees = await manager.estimate_fees(urgency)
                    manager.refuse_cost_above_cap(units, fees)
                except FeeAboveCap as above:
                    found.append(GasTerms(work, units, base, pol, None, str(above)))
                else:
                    found.append(GasTerms(work, units, base, pol, manager.cost(units, fees)))
    return found


def _priced(pol: Cash) -> Callable[[], Cash]:
    return lambda: pol


def smallest_size(cost: Cash, edge: Price) -> Size:
    """Return the fewest shares that leave a gain after so much gas, at an edge per share."""
    if edge <= 0:
        raise ValueError("without an edge no size pays")
    return Size(cost * MICRO // edge + 1)


def smallest_merge(*, gas: Cash, redeem_gas: Cash, lock_ns: int, merge_ns: int, yearly: int) -> Size | None:
    """Return the fewest pairs that `weigh_merge` would merge now (its terms); None when no number of them pays."""

    def pays(pairs: int) -> bool:
        terms = MergeTerms(
            pairs=Size(pairs), gas=gas, redeem_gas=redeem_gas, lock_ns=lock_ns, merge_ns=merge_ns, yearly=yearly
        )
        return weigh_merge(terms).pays

    if not pays(MOST_PAIRS):
        return None
    low, high = 0, int(MOST_PAIRS)  # more pairs never earn less, so halving finds the first that pays
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if pays(middle) else (middle + 1, high)
    return Size(low)
