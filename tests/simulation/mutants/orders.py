"""Mistakes with one order: how it is sent, what an answer is taken for, what a fill is."""

from __future__ import annotations

from tests.simulation.mutants.mutant import mutant

ORDERS = (
    mutant(
        "a_new_key_for_every_send",
        "a retry makes its own client id",
        (
            "report = await answer(self._venues[order.venue].submit(order), self._answer_s(work))",
            "from msgspec.structs import replace\n\n"
            "            anew = replace(order, client_id=f'{order.client_id}-{sending.attempts}')\n"
            "            report = await answer(self._venues[order.venue].submit(anew), self._answer_s(work))",
        ),
    ),
    mutant(
        "a_second_key_for_a_resend_only",
        "the first send has the key of the intent, a resend another one",
        (
            "report = await answer(self._venues[order.venue].submit(order), self._answer_s(work))",
            "from msgspec.structs import replace\n\n"
            "            anew = replace(order, client_id=f'{order.client_id}-{sending.attempts}')\n"
            "            sent = anew if sending.attempts > 1 else order\n"
            "            report = await answer(self._venues[order.venue].submit(sent), self._answer_s(work))",
        ),
    ),
    mutant(
        "a_lost_answer_is_tried_anew",
        "no answer: give the order up and place another one for the same leg",
        (
            '            self._unknown(work, leg, order, str(lost) or "no answer in time")',
            '            leg = self._never(work, leg, order, "no answer")\n'
            "            await self._submit_order(\n"
            "                work,\n"
            "                leg,\n"
            "                work.new_order(leg, order.limit, order.size, purpose=order.purpose, side=order.side),\n"
            "            )",
        ),
    ),
    mutant(
        "a_timeout_is_a_refusal",
        "an exception while sending: the order failed",
        (
            '            self._unknown(work, leg, order, str(lost) or "no answer in time")',
            "            self._never(work, leg, order, str(lost))",
        ),
    ),
    mutant(
        "a_timeout_means_that_nothing_was_sent",
        "an exception while sending: it can be sent again, and be given up later",
        (
            '            self._unknown(work, leg, order, str(lost) or "no answer in time")',
            "            sending.unanswered -= 1\n            return VenueUnavailable(str(lost))",
        ),
    ),
    mutant(
        "not_found_is_a_refusal",
        "the venue does not know it: it never arrived",
        (
            "now >= max(sending.last_at + self._terms.late_ns, sending.missed_at + APART_NS):",
            "now >= sending.last_at:",
        ),
        ("if sending.missing >= 2:", "if sending.missing >= 1:"),
    ),
    mutant(
        "not_found_twice_is_a_refusal",
        "asked twice, to be sure, and at once",
        (
            "now >= max(sending.last_at + self._terms.late_ns, sending.missed_at + APART_NS):",
            "now >= sending.last_at:",
        ),
    ),
    mutant(
        "one_not_found_after_the_horizon_is_enough",
        "thirty seconds are long enough to ask only once",
        ("if sending.missing >= 2:", "if sending.missing >= 1:"),
    ),
    mutant(
        "the_refusal_of_a_resend_is_the_end",
        "the venue said no, so there is no order",
        ("            if sending.unanswered:\n", "            if False:\n"),
        faults=("V3", "V6"),
    ),
    mutant(
        "a_cancel_that_was_answered_is_a_cancel",
        "the cancel got through: the order is cancelled",
        (
            '            return self._unanswered(work, leg, order, "cancel", silent)\n'
            "        return self._told(work, leg, report)",
            '            return self._unanswered(work, leg, order, "cancel", silent)\n'
            '        return self._moved(work, leg, order, OrderStatus.CANCELLED, report.reason or "cancelled")',
        ),
    ),
    mutant(
        "a_cancel_that_was_refused_is_a_cancel",
        "it cannot be cancelled any more, so it is gone",
        (
            '            return self._unanswered(work, leg, order, "cancel", silent)\n',
            '            return self._moved(work, leg, order, OrderStatus.CANCELLED, "cannot be cancelled any more")\n',
        ),
    ),
    mutant(
        "a_fill_after_the_cancel_is_ignored",
        "it was cancelled: what comes now is old news",
        (
            "            for fill in report.fills:\n                with_it = order.with_fill(fill)\n",
            "            known = [fill.trade_id for fill in before.fills]\n"
            "            for fill in report.fills:\n"
            "                if before.status is OrderStatus.PENDING_CANCEL and fill.trade_id not in known:\n"
            "                    continue\n"
            "                with_it = order.with_fill(fill)\n",
        ),
    ),
    mutant(
        "an_intent_is_not_waited_for",
        "it is appended, the disk will have it soon",
        ("            await self._kept(work, reducing=not adding)\n", "            pass\n"),
    ),
    mutant(
        "an_intent_is_kept_after_sending",
        "the answer is written down together with the intent",
        ("            await self._kept(work, reducing=not adding)\n", "            pass\n"),
        (
            "            report = await answer(self._venues[order.venue].submit(order), self._answer_s(work))\n",
            "            report = await answer(self._venues[order.venue].submit(order), self._answer_s(work))\n"
            "            await self._record.durable(reducing=order.purpose is not Purpose.ENTRY)\n",
        ),
    ),
    mutant(
        "a_cancel_is_not_written_ahead",
        "a cancel cannot do any harm",
        (
            "                leg = self._changed(work, leg, order.moved(OrderStatus.PENDING_CANCEL))\n"
            "            await self._kept(work, reducing=True)",
            "                leg = self._changed(work, leg, order.moved(OrderStatus.PENDING_CANCEL))",
        ),
    ),
    mutant(
        "the_disk_failed_and_it_is_sent",
        "a journal that fails is logged, trading goes on",
        (
            '            return f"the journal does not keep its intent: {why}"',
            "            pass",
        ),
    ),
    mutant(
        "resends_are_not_counted",
        "a resend is no new request",
        ("return not self._budgets[order.venue].take(now, order.purpose is not Purpose.ENTRY)", "return True"),
        faults=("V4",),
    ),
    mutant(
        "the_budget_is_not_kept",
        "the venue will say when it is too much",
        ("            self._level -= TOKEN\n        return wait\n", "            self._level -= TOKEN\n        return 0\n"),
    ),
    mutant(
        "questions_are_not_counted",
        "asking costs nothing",
        (
            "        if reason := await self._turn(work, order.venue):\n"
            '            return self._unanswered(work, leg, order, "status", reason)\n',
            "",
        ),
    ),
    mutant(
        "a_resend_passes_no_gate",
        "it was allowed once, so it may be sent again",
        ("            if work.interrupted or late or (", "            if late or ("),
        ("        if self._risk.may_send(order, work.trade, now) or self._in_the_way(work, order):\n            return False\n", ""),
    ),
    mutant(
        "two_orders_of_ours_may_meet",
        "each trade knows its own orders",
        ("        reason = self._in_the_way(work, order)\n", "        reason = \"\"\n"),
        faults=("V24", "V25"),
        first=150,
    ),
    mutant(
        "a_stale_entry_leaves",
        "what was decided is sent, however long the disk took",
        ("if waited > self._terms.entry_ns if adding else self._too_late(work):", "if not adding and self._too_late(work):"),
        faults=("D3",),
    ),
    mutant(
        "more_than_asked_is_fine",
        "the venue filled more: good",
        ("if after.excess > before.excess:", "if False:"),
        faults=("V20",),
    ),
    mutant(
        "a_worse_price_is_fine",
        "a fill is at the price it is at",
        ("if fill.counts and after.side * (fill.price - after.limit) > 0:", "if False:"),
        faults=("V20",),
    ),
    mutant(
        "fills_are_not_deduplicated",
        "every report of a fill is a fill",
        ("            if known.trade_id == fill.trade_id:\n                return self._settled", "            if False:\n                return self._settled"),
    ),
    mutant(
        "fills_of_one_price_and_size_are_one",
        "the same price and size: the same fill told twice",
        (
            "            if known.trade_id == fill.trade_id:\n                return self._settled",
            "            if (known.price, known.size) == (fill.price, fill.size):\n                return self._settled",
        ),
        faults=("V18",),
    ),
    mutant(
        "the_last_report_has_all_fills",
        "a report lists the fills: the last one that came replaces what was known",
        ("        order = self\n        for fill in report.fills:\n", "        order = structs.replace(self, fills=report.fills)\n        for fill in report.fills:\n"),
        ("            if known.client_id == order.client_id and len(order.fills) < len(known.fills):\n", "            if False:\n"),
        faults=("W5", "W8"),
    ),
    mutant(
        "an_end_is_written_before_its_fills",
        "the order is over: that first, what it has filled follows",
        (
            "        for known, fill in heard:\n"
            "            self._count(known, fill)\n"
            "        if (after.status, after.reason) != (order.status, order.reason):\n"
            '            self._record.note("order.status", after.client_id, status=after.status.value, reason=after.reason)\n',
            "        if (after.status, after.reason) != (order.status, order.reason):\n"
            '            self._record.note("order.status", after.client_id, status=after.status.value, reason=after.reason)\n'
            "        for known, fill in heard:\n"
            "            self._count(known, fill)\n",
        ),
    ),
    mutant(
        "a_void_is_ignored",
        "what was matched stays matched",
        ("        if fill.settlement not in SETTLES[known.settlement]:\n", "        if fill.settlement is Settlement.VOIDED:\n            return self\n        if fill.settlement not in SETTLES[known.settlement]:\n"),
        faults=("V24",),
    ),
    mutant(
        "provisional_shares_are_sold",
        "what is filled can be sold",
        ("        bought = sum(order.confirmed for order in self.orders", "        bought = sum(order.filled for order in self.orders"),
    ),
)  # fmt: skip
