"""Every mutant there is."""

from __future__ import annotations

from tests.simulation.mutants.account import ACCOUNT
from tests.simulation.mutants.engine import ENGINE
from tests.simulation.mutants.mutant import Mutant
from tests.simulation.mutants.orders import ORDERS
from tests.simulation.mutants.trades import TRADES

MUTANTS: tuple[Mutant, ...] = (*ORDERS, *TRADES, *ACCOUNT, *ENGINE)
