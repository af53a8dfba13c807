"""Real contracts on the local node, as tests see them: with the journal at hand, and skipped where they are missing."""

from __future__ import annotations

from typing import Any

import pytest

from arbkit.chain.local_contracts import BLOCK_S, LocalChain
from arbkit.chain.local_node import NoLocalNode
from arbkit.core.units import MICRO
from arbkit.journal.fold import fold
from arbkit.journal.transactions import Transactions
from tests.chain.conftest import Anvil
from tests.chain.fake_chain import error_data

__all__ = ["BLOCK_S", "World", "build", "error_data"]


class World(LocalChain):
    """A node with everything deployed, and what the journal says of it."""

    def folded(self) -> Transactions:
        return fold(self.journal.facts).transactions

    def facts(self, name: str) -> list[Any]:
        return [fact for fact in self.journal.facts if fact.fact == f"transaction.{name}"]


async def build(anvil: Anvil, questions: int = 1, shares: int = 1_000 * MICRO) -> World:
    """Deploy everything; the account and its Safe have a thousand dollars each."""
    try:
        return await World.build(anvil, questions, shares)
    except NoLocalNode as missing:
        pytest.skip(str(missing))
