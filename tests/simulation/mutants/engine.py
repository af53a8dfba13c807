"""Mistakes with the engine as a whole: its start, its end, its switch, its tasks and its memory."""

from __future__ import annotations

from tests.simulation.mutants.mutant import mutant

ENGINE = (
    mutant(
        "the_switch_is_read_once",
        "it is read when the engine starts",
        (
            "        reason = self._kill.engaged()\n",
            '        reason = self.__dict__.setdefault("_at_start", self._kill.engaged())\n',
        ),
        killed=True,
    ),
    mutant(
        "the_switch_fails_open",
        "what cannot be read is not thrown",
        ('            return f"{self.path} cannot be checked: {error}"', '            return "" if error else ""'),
        killed=True,
    ),
    mutant(
        "the_switch_is_not_read_at_a_send",
        "it is read when a trade is checked",
        ("if why := self._killed() or self._barriers.refusal([order.book], now):", "if why := self._barriers.refusal([order.book], now):"),
        (
            '            self._record.note("kill.engaged", "engine", reason=why)\n            self._executor.interrupt()\n',
            '            self._record.note("kill.engaged", "engine", reason=why)\n',
        ),
        faults=("V1",),
        killed=True,
    ),
    mutant(
        "the_switch_stops_undoing_too",
        "killed is killed",
        ("        if why := oversized(order, trade):\n", "        if why := oversized(order, trade) or self._killed():\n"),
        killed=True,
    ),
    mutant(
        "a_restart_enters_again",
        "an interrupted trade is worked from its beginning",
        ("        work.interrupt()\n        for leg in trade.legs:\n", "        for leg in trade.legs:\n"),
        (
            "not undone for\n        return await self._finalize_trade(work)\n",
            "not undone for\n        return await self._worked(work)\n",
        ),
    ),
    mutant(
        "a_restart_sends_entries_again",
        "an order that the venue does not find after a restart is sent again",
        ("        work.interrupt()\n        for leg in trade.legs:\n", "        for leg in trade.legs:\n"),
    ),
    mutant(
        "a_restart_forgets_what_escalated",
        "it was a person's already",
        (
            "                self._executor.restore_escalated(state, name, sent_at)\n",
            "                continue\n",
        ),
        faults=("P4", "V3"),
    ),
    mutant(
        "a_restart_forgets_what_ran",
        "what ran is over",
        ("sent_at) for found in state.interrupted()]", "sent_at) for found in state.interrupted()[:0]]"),
    ),
    mutant(
        "ids_begin_anew",
        "trades are numbered from zero in each process",
        ("        self._sessions = state.sessions", "        self._sessions = 0"),
        ("parts = (opportunity.id, strategy", "parts = (opportunity.basket.id, strategy"),
        faults=("P4",),
    ),
    mutant(
        "entries_before_the_comparison",
        "compare in the background, trade at once",
        (
            "        for name, why in (await self.reconciler.compare_all()).items():\n"
            "            self._pause(f\"{name}/comparison\", FOREVER, why)\n",
            "",
        ),
        faults=("P2",),
    ),
    mutant(
        "a_drain_leaves_rests",
        "what rests may still be filled",
        ("        self._closing = why\n        self.interrupt()\n", "        self._closing = why\n"),
        faults=("P4",),
    ),
    mutant(
        "a_drain_goes_on_entering",
        "the trades that run are finished as they were meant",
        ("        self._closing = why\n        self.interrupt()\n", "        pass\n"),
        faults=("P4",),
    ),
    mutant(
        "a_failed_task_is_swallowed",
        "except Exception: pass",
        ('        self._record.halt(f"{name} failed: {type(error).__name__}: {error}", error)', "        pass"),
        faults=("P6",),
    ),
    mutant(
        "a_failed_watch_never_comes_back",
        "its task ends, and nobody asks for its exception",
        (
            "                self._failed(name, error)\n\n    async def _insisted",
            "                return\n\n    async def _insisted",
        ),
        faults=("P6", "V32"),
    ),
    mutant(
        "a_failed_leg_is_swallowed",
        "gather(..., return_exceptions=True), and nobody looks",
        ('                self._record.halt(f"{type(ended).__name__}: {ended}", ended)\n                work.notes.append(self._record.halted)', "                pass"),
        faults=("P7",),
    ),
    mutant(
        "the_replay_skips_settlements",
        "a kind of fact that nobody reads",
        ('    "fill.settled": State._settled,', '    "fill.settled": State._nothing,'),
    ),
    mutant(
        "the_replay_skips_cancels",
        "a kind of fact that nobody reads",
        ('    "order.cancel": State._cancel,', '    "order.cancel": State._nothing,'),
    ),
    mutant(
        "the_replay_skips_claims",
        "a kind of fact that nobody reads",
        ('    "account.adjusted": State._adjusted,', '    "account.adjusted": State._nothing,'),
    ),
    mutant(
        "a_restart_forgets_what_is_blocked",
        "a kind of fact that nobody reads",
        ("                risk.block_market(fact.key, state.blocked[fact.key])\n", "                pass\n"),
        faults=("P2", "V32"),
    ),
    mutant(
        "a_halt_ends_with_the_process",
        "a restart clears it",
        ("        self._record.halted = state.halted\n", ""),
        faults=("P4", "V11"),
    ),
    mutant(
        "a_held_up_loop_is_not_noticed",
        "it was only some seconds",
        ("        if gap > self._config.max_loop_lag_s:\n", "        if False:\n"),
        faults=("P8",),
    ),
    mutant(
        "a_venue_of_another_time_is_trusted",
        "a clock is a clock",
        ("        if off > self._config.max_clock_skew_s * NS_PER_S:\n", "        if False:\n"),
    ),
)  # fmt: skip
