"""Mistakes with the account: its ledger, its limits, what its venues say of it."""

from __future__ import annotations

from tests.simulation.mutants.mutant import mutant

ACCOUNT = (
    mutant(
        "an_absent_position_is_flat",
        "the venue does not list it, so it is gone: the ledger follows",
        (
            '                differ(_market_of(book), f"{book} is not listed, on record are {_span(low, high)}")',
            "                gone = ((book, -self._ledger.shares[book]),)\n"
            '                self._record.note("account.adjusted", name, cash=0, shares=gone, why="not listed")\n'
            "                self._ledger.adjust(name, 0, gone)",
        ),
        faults=("V28",),
    ),
    mutant(
        "an_absent_position_is_no_difference",
        "what is not listed cannot be compared",
        ("            if there is None and not low <= 0 <= high:\n", "            if False:\n"),
        faults=("V32",),
    ),
    mutant(
        "the_ledger_starts_from_the_venue",
        "at each start the venue's balance is the truth",
        ("            if name in self._ledger.opened:\n                continue\n", ""),
    ),
    mutant(
        "an_external_order_is_ignored",
        "it is not ours",
        (
            "        foreign = [order for order in reading.orders or () if order.client_id not in ours]\n",
            "        foreign: list[VenueOrder] = []\n",
        ),
        faults=("V32",),
    ),
    mutant(
        "an_external_position_is_ignored",
        "it is not ours",
        ("            elif there is not None and not low <= there <= high:\n", "            elif False:\n"),
        faults=("V32",),
    ),
    mutant(
        "a_claim_adjusts_nothing",
        "the person has said that it is fine",
        ("        if more or cash:\n", "        if False:\n"),
        faults=("V32",),
    ),
    mutant(
        "a_difference_is_written_off",
        "the venue is right: the ledger follows by itself",
        (
            '                differ(_market_of(book), f"EXTERNAL position: {there / MICRO:g} {book}, on record {_span(low, high)}")',
            "                off = ((book, there - self._ledger.shares.get(book, 0)),)\n"
            '                self._record.note("account.adjusted", name, cash=0, shares=off, why="written off")\n'
            "                self._ledger.adjust(name, 0, off)",
        ),
    ),
    mutant(
        "the_ledger_knows_no_fees",
        "price times size is what it cost",
        (
            "    def _count(self, order: Order, fill: Fill, sign: int) -> None:\n",
            "    def _count(self, order: Order, fill: Fill, sign: int) -> None:\n"
            "        from msgspec.structs import replace\n\n"
            "        fill = replace(fill, fee=Cash(0))\n",
        ),
    ),
    mutant(
        "a_void_is_counted_twice",
        "it is taken back where it is heard, and where the order changes",
        ("        self._count(order, fill, -1)\n", "        self._count(order, fill, -1)\n        self._count(order, fill, -1)\n"),
        faults=("V24",),
    ),
    mutant(
        "a_void_moves_no_money",
        "the shares are gone, the cash will come",
        ("        self.cash[venue] = self.cash.get(venue, 0) + sign * money", "        self.cash[venue] = self.cash.get(venue, 0) + (sign > 0) * money"),
        faults=("V24",),
    ),
    mutant(
        "the_exposure_bound_is_not_checked",
        "the limit is in the settings",
        ("self._max_exposure = at_most(config.max_exposure)", "self._max_exposure = at_most(1e9)"),
    ),
    mutant(
        "the_bound_on_capital_is_not_checked",
        "the limit is in the settings",
        ('    Cap("max_total_capital", "dollars", DOLLARS, lambda _: EVERYTHING),\n', ""),
        faults=("V26",),
        first=120,
    ),
    mutant(
        "the_bound_on_a_venue_is_not_checked",
        "the limit is in the settings",
        ('    Cap("max_venue_capital", "dollars", DOLLARS, VENUE),\n', ""),
    ),
    mutant(
        "open_orders_are_not_bounded",
        "the limit is in the settings",
        ('"max_open_orders": self.max_open_orders}', '"max_open_orders": 10**9}'),
    ),
    mutant(
        "running_trades_reserve_nothing",
        "only what is held counts",
        ("        promised = [stake for one in reserved for stake in one.stakes]\n", "        promised = []\n"),
        faults=("V26",),
        first=120,
    ),
    mutant(
        "an_unknown_order_is_released",
        "it timed out and a person has seen it: its reservation is free again",
        (
            "    return all([order.is_final and order.is_settled for leg in trade.legs for order in leg.orders])",
            "    orders = [order for leg in trade.legs for order in leg.orders]\n"
            "    return all((order.is_final or order.status.value == 'unknown') and order.is_settled for order in orders)",
        ),
        (
            '        self._record.note("trade.acknowledged", trade_id)\n',
            '        self._record.note("trade.acknowledged", trade_id)\n        self._risk.acknowledge(trade_id)\n',
        ),
    ),
)  # fmt: skip
