"""Mistakes with a trade: its legs together, its undoing, its end."""

from __future__ import annotations

from tests.simulation.mutants.mutant import mutant

TRADES = (
    mutant(
        "matched_is_final",
        "a match is a match: settlement is the venue's business",
        ("trade, settled = work.trade, work.trade.is_settled", "trade, settled = work.trade, True"),
    ),
    mutant(
        "one_leg_fails_and_the_other_is_forgotten",
        "one except around both legs: the attempt failed, nothing happened",
        (
            "        for ended in await side_by_side(steps):\n"
            "            if isinstance(ended, Exception):\n",
            "        before = work.trade\n"
            "        for ended in await side_by_side(steps):\n"
            "            if isinstance(ended, Exception):\n"
            "                work.trade = before\n",
        ),
        faults=("P7",),
    ),
    mutant(
        "the_legs_are_copies",
        "each leg's coroutine keeps its own copy of its leg and writes it back",
        ("        leg = self.trade.legs[leg.index]\n        for known", "        for known"),
        faults=("V24",),
    ),
    mutant(
        "an_undo_is_not_verified",
        "the exit was sent, so the trade is flat",
        (
            '                if is_even(work.trade):\n                    return ""\n                if any(',
            '                if True:\n                    return ""\n                if any(',
        ),
        faults=("V6",),
    ),
    mutant(
        "an_order_in_doubt_is_undone_around",
        "it did not answer, so it holds nothing: out with the other leg",
        (
            "        if work.unresolved():\n"
            "            return self._escalate(work, self._unknown_orders(work))\n"
            "        if not is_even(work.trade) and",
            "        if not is_even(work.trade) and",
        ),
        faults=("V1", "V11"),
    ),
    mutant(
        "an_undo_knows_no_bound_on_exposure",
        "the bound is for entries, an undo only makes it smaller",
        ('self._completes(order, trade) if order.purpose is Purpose.COMPLETE else ""', '""'),
        faults=("V15",),
    ),
    mutant(
        "an_undo_at_any_price",
        "out is out, whatever it costs",
        ("least = -loss_bound(trade, terms) - cash_of(trade) - worth", "least = -(10**18)"),
    ),
    mutant(
        "every_try_has_its_own_deadline",
        "the clock starts anew with each try to undo",
        (
            "            plan = self._plan_undo(work, barred)\n",
            "            work.imbalance_at = self._clock.now()\n"
            "            plan = self._plan_undo(work, barred)\n",
        ),
        faults=("S4",),
    ),
    mutant(
        "undoing_has_no_deadline",
        "try until it is done",
        ("        while not self._too_late(work):\n            if not targets", "        while True:\n            if not targets"),
        ("            if self._too_late(work, self._retry_ns):\n                break\n", ""),
        faults=("V12",),
    ),
    mutant(
        "one_lot_apart_is_even",
        "a difference of one is a rounding error",
        ("most - least < dust(trade))", "most - least <= dust(trade))"),
    ),
    mutant(
        "an_escalation_is_logged",
        "somebody will read the log",
        ("phase=Phase.ESCALATED if escalates else Phase.OVER", "phase=Phase.OVER"),
    ),
    mutant(
        "an_escalated_trade_is_not_heard_out",
        "it escalated: from here on it is a person's",
        (
            "            if work.trade.id in self._escalated and (work.unresolved() or work.unsettled()):\n",
            "            if False:\n",
        ),
    ),
    mutant(
        "an_acknowledged_trade_is_forgotten",
        "a person has seen to it: it is over",
        ("        if work.seen_to and not work.unresolved() and not work.unsettled():\n", "        if work.seen_to:\n"),
    ),
    mutant(
        "the_book_is_not_looked_at_before_an_undo",
        "to get out, any price is better than none",
        ("        if view.health is not Health.OK or not taken:\n", "        if not taken:\n"),
        faults=("S4",),
    ),
    mutant(
        "a_stale_book_prices_an_entry",
        "the last known book is good enough",
        ("        if view.health is not Health.OK:\n", "        if False:\n"),
    ),
    mutant(
        "float_cents",
        "fees in dollars, rounded to the cent",
        (
            "    return Cash(sum([fill.fee for fill in order.standing]))",
            "    return Cash(round(round(sum(fill.fee / 1e6 for fill in order.standing), 2) * 1e6))",
        ),
    ),
    mutant(
        "an_interrupted_call_drops_its_trade",
        "cancelled is cancelled",
        ("                work.interrupt()\n                if only_settling(work):\n                    task.cancel()", "                task.cancel()\n                if only_settling(work):\n                    task.cancel()"),
    ),
)  # fmt: skip
