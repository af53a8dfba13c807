"""Whether a complete pair is better merged now or left to be redeemed: gas against time, all inputs stated."""

from __future__ import annotations

from dataclasses import dataclass

from arbkit.core.units import MICRO, NS_PER_S, Cash, Size

NS_PER_YEAR = 365 * 24 * 3600 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeTerms:
    """What the answer depends on.

    `gas` is what the merge costs now, `redeem_gas` what it spares later (0 where others redeem for us), in millionths
    of a dollar. `lock_ns` is how long the money stays away without a merge (until resolution, and the redeem after
    it), `merge_ns` how long a merge takes to be final. `yearly` is what a dollar earns elsewhere in a year, in
    millionths: 200,000 for 20 %.
    """

    pairs: Size
    gas: Cash
    redeem_gas: Cash
    lock_ns: int
    merge_ns: int
    yearly: int

    def __post_init__(self) -> None:
        if min(self.pairs, self.gas, self.redeem_gas, self.lock_ns, self.merge_ns, self.yearly) < 0:
            raise ValueError("nothing that a merge is weighed by is below zero")


@dataclass(frozen=True, slots=True)
class MergeAnswer:
    """What a merge gives and takes, millionths of a dollar. A pair is worth a dollar either way, so that is in neither."""

    earned: Cash  # what the money earns elsewhere in the time it is free earlier
    spared: Cash
    gas: Cash

    @property
    def gain(self) -> Cash:
        return Cash(self.earned + self.spared - self.gas)

    @property
    def pays(self) -> bool:
        """Tell whether to merge: only a gain pays, not even odds."""
        return self.gain > 0


def weigh_merge(terms: MergeTerms) -> MergeAnswer:
    """Weigh a merge now against waiting; what the money earns is rounded down, against merging."""
    sooner = max(0, terms.lock_ns - terms.merge_ns)
    earned = terms.pairs * terms.yearly * sooner // (NS_PER_YEAR * MICRO)
    return MergeAnswer(Cash(earned), terms.redeem_gas, terms.gas)
