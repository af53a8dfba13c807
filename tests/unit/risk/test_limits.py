# ruff: noqa: N802
"""A trade's reservation from its check until nothing about it can change, and what keeps all trades out."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from arbkit.core.model import Kind, MultiLegTrade, OrderStatus, Outcome, Purpose, Settlement, Side
from arbkit.core.units import Size, cash, size
from arbkit.risk.bounds import RiskLimits
from arbkit.risk.daily import NS_PER_DAY
from arbkit.risk.kill_switch import KillFlag
from arbkit.risk.limits import RiskManager, exposure, largest_exposed
from arbkit.risk.pairs import PairApproval, PairBook, rules_hash
from arbkit.risk.stakes import Place, Stake
from arbkit.risk.state import Phase, Reservation, RiskState
from tests.builders import replace
from tests.unit.risk.desk import (
    COSTS,
    DAY,
    NO_A,
    NO_B,
    NOW,
    TABLE,
    YES_A,
    a_basket,
    a_desk,
    a_trade,
    an_order,
    bought,
    ended,
    loses,
    put,
    running,
    said,
    shares,
    whole,
)

S = OrderStatus
LOT = Size(1_000_000)


def asked(risk: RiskManager, now: int = NOW) -> str:
    return said(risk.check(a_trade("new"), COSTS, now=now))


# -- the life of a reservation ---------------------------------------------------------------------------------


def test_a_trade_within_every_limit_is_not_refused() -> None:
    assert a_desk().check(a_trade(), COSTS, {"alpha": cash("40"), "beta": cash("55")}, now=NOW) is None


def test_running_trades_take_up_exposure_until_they_end() -> None:
    risk = a_desk(max_exposure=100)
    trade = running(risk, a_trade())
    assert risk.exposure_room() == cash("45")
    assert risk.largest_allowed(COSTS, trade.size, LOT) == shares(81)
    assert asked(risk) == ("limit max_exposure: 110.00 of 100.00 dollars, leg 1 beta:m:no; largest size allowed 81")
    risk.finish(ended(trade, Outcome.MISSED))
    assert risk.exposure_room() == cash("100")
    assert risk.state() == RiskState()


def test_what_is_held_counts_until_settlement_frees_it() -> None:
    risk = a_desk(RiskLimits(max_total_capital=150))
    trade = running(risk, whole(a_trade()))
    risk.finish(ended(trade))
    assert asked(risk).startswith("limit max_total_capital: 190.00")
    risk.freed(YES_A, shares(100), cash("40"))
    assert asked(risk) == ""
    risk.freed(NO_B, shares(100), cash("55"))
    assert risk.state().held == ()


def test_a_void_counts_for_nothing_and_money_got_back_is_taken_off() -> None:
    risk = a_desk()
    trade = bought(a_trade(), 0, "100", fee="1")
    sold = an_order(
        trade, 0, "60", "0.30", filled="60", fee="0.5", side=Side.SELL, purpose=Purpose.TRIM, status=S.FILLED
    )
    trade = put(trade, sold)
    for leg in (0, 1):
        trade = bought(trade, leg, "100", settlement=Settlement.VOIDED, fee="9")
    risk.finish(ended(running(risk, trade), Outcome.UNWOUND))
    place = Place("alpha:m:yes", "alpha:m", "alpha", "e", "alpha:m|beta:m")
    assert risk.state().held == (Stake(place, shares(40), cash("23.5")),)  # 40 + 1 - 18 + 0.5


def test_shares_that_cost_nothing_in_the_end_take_up_no_capital() -> None:
    risk = a_desk()
    sold = an_order(
        a_trade(), 0, "50", "0.90", filled="50", side=Side.SELL, purpose=Purpose.TRIM, status=S.FILLED, key="s"
    )
    trade = put(bought(a_trade(), 0, "100"), sold)
    risk.finish(ended(running(risk, trade), Outcome.UNWOUND))
    assert [stake[1:] for stake in risk.state().held] == [(shares(50), 0)]


def test_a_leg_without_shares_holds_nothing_whatever_it_lost() -> None:
    risk = a_desk()
    sold = an_order(
        a_trade(), 0, "100", "0.10", filled="100", side=Side.SELL, purpose=Purpose.EXIT, status=S.FILLED, key="s"
    )
    risk.finish(ended(running(risk, put(bought(a_trade(), 0, "100"), sold)), Outcome.UNWOUND))
    assert risk.state().held == ()


def test_what_came_without_a_trade_counts_as_held() -> None:
    risk = a_desk(RiskLimits(max_total_capital=195))
    risk.adopted(YES_A, shares(100))
    assert asked(risk) == ""
    risk.adopted(YES_A, 1)
    assert asked(risk) == "limit max_total_capital: 195.000001 of 195.00 dollars; largest size allowed 99"
    risk.adopted(YES_A, -1)
    assert asked(risk) == ""


def test_what_was_never_reserved_changes_nothing() -> None:
    risk = a_desk()
    risk.finish(ended(whole(a_trade()), Outcome.REFUSED, pnl="-5"))
    risk.track(whole(a_trade()))
    risk.acknowledge("t")
    assert risk.state() == RiskState()


def test_a_trade_that_is_over_stays_reserved_while_fills_can_be_taken_back() -> None:
    risk = a_desk(RiskLimits(max_total_capital=189))
    trade = running(risk, bought(bought(a_trade(), 0, "100"), 1, "100", settlement=Settlement.PROVISIONAL))
    risk.finish(ended(trade, pnl="5"))
    assert [one.phase for one in risk.state().reservations] == [Phase.OVER]
    assert risk.exposure_room() == cash("250")  # even, and nothing more is sent
    assert asked(risk).startswith("limit max_total_capital: 190.00")
    risk.track(bought(trade, 0, "100"))
    risk.track(bought(bought(a_trade(), 0, "100"), 1, "100"))
    assert risk.state().reservations == ()
    assert len(risk.state().held) == 2


def test_what_settlement_pays_is_taken_from_a_trade_whose_last_order_ended_just_before() -> None:
    risk = a_desk(RiskLimits(max_total_capital=95))
    trade = running(risk, whole(a_trade()))
    asked_twice = put(trade, an_order(trade, 0, status=S.UNKNOWN, key="late"))
    risk.finish(ended(asked_twice))
    assert len(risk.state().reservations) == 1  # an order may still fill
    risk.track(put(trade, an_order(trade, 0, status=S.CANCELLED, key="late")))
    for book, paid in ((YES_A, "40"), (NO_B, "55")):
        risk.freed(book, shares(100), cash(paid))
    assert asked(risk) == ""
    assert risk.state() == RiskState()


def test_a_trade_that_runs_is_not_over_however_final_its_orders_are() -> None:
    risk = a_desk()
    running(risk, whole(a_trade()))
    assert [one.trade for one in risk.state().reservations] == ["t"]


def test_without_a_time_no_pause_is_over_and_no_later_approval_has_begun() -> None:
    risk = a_desk()
    assert risk.check(a_trade(), COSTS) is None  # what is assumed holds from the first nanosecond
    risk.pause_venue("alpha", 1, "maintenance")
    assert said(risk.check(a_trade(), COSTS)).startswith("alpha is paused")


def test_exposure_of_a_running_trade_is_what_was_promised_or_what_it_is_if_that_is_more() -> None:
    risk = a_desk()
    trade = running(risk, a_trade())
    assert (risk.total_exposure(), risk.exposure_room()) == (0, cash("195"))
    risk.track(put(trade, an_order(trade, 0)))
    assert (risk.total_exposure(), risk.exposure_room()) == (cash("40"), cash("195"))
    risk.track(put(trade, an_order(trade, 0, limit="0.60", status=S.UNKNOWN)))
    assert (risk.total_exposure(), risk.exposure_room()) == (cash("60"), cash("190"))


def test_exposure_adds_up_over_trades() -> None:
    risk = a_desk(max_exposure=1_000)
    for name in ("t", "u"):
        running(risk, bought(a_trade(name), 0, "50"))
    assert risk.total_exposure() == cash("40")
    assert risk.exposure_room() == cash("890")


# -- escalation ------------------------------------------------------------------------------------------------


def test_an_escalated_trade_halts_entries_until_it_is_acknowledged() -> None:
    risk = a_desk()
    trade = running(risk, a_trade())
    risk.finish(ended(trade, Outcome.ESCALATED))
    why = "entries are halted: t escalated and nobody has acknowledged it"
    assert (risk.halted, asked(risk)) == (why, why)
    assert risk.state().escalated == ("t",)
    assert risk.exposure_room() == cash("195")  # what was promised to it stays reserved
    risk.acknowledge("t")
    risk.acknowledge("t")
    assert (risk.halted, asked(risk)) == ("", "")
    assert risk.exposure_room() == cash("250")


def test_what_is_unknown_stays_reserved_after_a_person_has_seen_it() -> None:
    risk = a_desk(RiskLimits(max_total_capital=189), max_exposure=1_000)
    trade = put(a_trade(), an_order(a_trade(), 1, status=S.UNKNOWN))
    risk.finish(ended(running(risk, trade), Outcome.ESCALATED))
    risk.acknowledge("t")
    assert risk.halted == ""
    assert risk.exposure_room() == cash("945")
    assert asked(risk).startswith("limit max_total_capital: 190.00")
    risk.finish(ended(trade, Outcome.ESCALATED))  # told again: it has been seen to
    assert risk.halted == ""
    risk.track(put(trade, an_order(a_trade(), 1, status=S.CANCELLED)))
    assert (risk.exposure_room(), risk.state().reservations) == (cash("1000"), ())


def test_several_escalated_trades_are_named_and_each_is_to_be_seen_to() -> None:
    risk = a_desk(max_exposure=1_000)
    for name in ("u", "t"):
        risk.finish(ended(running(risk, a_trade(name)), Outcome.ESCALATED))
    running(risk, a_trade("v"))
    assert risk.halted == "entries are halted: u, t escalated and nobody has acknowledged it"
    assert risk.state().escalated == ("t", "u")
    risk.acknowledge("u")
    risk.acknowledge("v")  # it runs: there is nothing to see to
    assert risk.halted == "entries are halted: t escalated and nobody has acknowledged it"
    assert [one.phase for one in risk.state().reservations] == [Phase.ESCALATED, Phase.RUNNING]


def test_the_last_result_of_an_escalated_trade_counts() -> None:
    risk = a_desk()
    trade = running(risk, bought(a_trade(), 0, "100"))
    risk.finish(ended(trade, Outcome.ESCALATED, pnl="-30"))
    assert risk.state().losses.days == ((DAY, cash("-30")),)
    risk.finish(ended(bought(trade, 1, "100"), Outcome.ESCALATED, pnl="4"))
    assert risk.state().losses.days == ((DAY, cash("4")),)
    assert risk.halted
    risk.acknowledge("t")
    assert risk.state().losses.days == ((DAY, cash("4")),)
    assert [stake.shares for stake in risk.state().held] == [shares(100), shares(100)]


def test_a_trade_that_was_over_and_came_undone_escalates() -> None:
    risk = a_desk()
    trade = running(risk, bought(a_trade(), 0, "100", settlement=Settlement.PROVISIONAL))
    risk.finish(ended(trade))
    risk.finish(ended(trade, Outcome.ESCALATED))
    assert risk.state().escalated == ("t",)


# -- what keeps all trades out ---------------------------------------------------------------------------------


def test_fault_U5_the_kill_switch_refuses_trades_and_a_second_throw_keeps_the_first_reason() -> None:
    kill = KillFlag()
    risk = a_desk(kill=kill)
    kill.engage("looks wrong", NOW)
    kill.engage("again", NOW)
    assert (risk.halted, asked(risk)) == ("kill switch: looks wrong", "kill switch: looks wrong")
    kill.release("looked at", NOW)
    assert (risk.halted, asked(risk)) == ("", "")


def test_a_switch_that_cannot_be_read_counts_as_thrown() -> None:
    class Broken(KillFlag):
        def engaged(self) -> str:
            return "cannot be checked"

    assert asked(a_desk(kill=Broken())) == "kill switch: cannot be checked"


def test_blocked_markets_and_paused_venues_are_kept_out_of() -> None:
    risk = a_desk()
    risk.block_market("beta:m", "an order that nobody placed")
    assert asked(risk) == "beta:m is blocked: an order that nobody placed"
    risk.claim_market("beta:m")
    risk.pause_venue("alpha", NOW + 1_500_000_000, "maintenance")
    assert asked(risk) == "alpha is paused for 1.5 s: maintenance"
    assert asked(risk, NOW + 1_500_000_000) == ""


def test_fault_G6_two_venues_need_an_approval_and_without_a_book_there_is_none() -> None:
    assert said(RiskManager().check(a_trade(), COSTS, now=NOW)) == "no approval: alpha:m with beta:m"
    within = a_trade(basket=a_basket(YES_A, NO_A, kind=Kind.COMPLEMENT))
    assert RiskManager().check(within, COSTS, now=NOW) is None


def test_fault_G6_approvals_are_held_against_the_time_and_the_rules_of_now() -> None:
    text = {"rules_a": "rules of alpha", "rules_b": "rules of beta"}
    one = PairApproval.of(TABLE.pairs[0], **text, approved_by="ann", now=NOW, valid_s=60)
    risk = a_desk(pairs=PairBook((one,)))
    assert asked(risk) == ""
    assert asked(risk, NOW + 60 * 10**9).startswith("the approval of alpha:m with beta:m expired")
    assert asked(risk, 0).startswith("no approval yet")
    now = {"alpha:m": rules_hash("rules of alpha"), "beta:m": rules_hash("other rules")}
    assert asked(a_desk(pairs=PairBook((one,)), rules=now)).startswith("the rules of beta:m have changed")


# -- losses ----------------------------------------------------------------------------------------------------


def test_the_daily_stop_names_what_was_lost_and_ends_with_the_day_or_a_persons_word() -> None:
    risk = a_desk(RiskLimits(max_daily_loss=50))
    loses(risk, "50.000001")
    stopped = (
        "limit max_daily_loss: 50.000001 of 50.00 dollars; "
        "entries stop until the next UTC day or until a person acknowledges it"
    )
    assert asked(risk) == stopped
    assert asked(risk, 0) == stopped  # no time is no new day
    assert asked(risk, (DAY + 1) * NS_PER_DAY - 1) == stopped
    assert asked(risk, (DAY + 1) * NS_PER_DAY) == ""
    risk.acknowledge_losses(NOW)
    assert asked(risk) == ""


def test_the_drawdown_stop_stays_until_a_persons_word() -> None:
    risk = a_desk(RiskLimits(max_drawdown=50))
    loses(risk, "50.000001")
    stopped = "limit max_drawdown: 50.000001 of 50.00 dollars; entries stop until a person acknowledges it"
    assert asked(risk, NOW + 30 * NS_PER_DAY) == stopped
    risk.acknowledge_losses(NOW)
    assert asked(risk) == ""


def test_fault_K4_a_trade_belongs_to_the_day_of_its_intent() -> None:
    risk = a_desk(RiskLimits(max_daily_loss=50))
    midnight = (DAY + 1) * NS_PER_DAY
    trade = a_trade("over midnight", at=midnight - 1)
    risk.reserve(trade, COSTS)
    risk.finish(replace(ended(trade, Outcome.UNWOUND, pnl="-51"), started_at=midnight, finished_at=midnight + 1))
    assert risk.state().losses.days == ((DAY, cash("-51")),)
    assert asked(risk, midnight - 1).startswith("limit max_daily_loss: 51.00")
    assert asked(risk, midnight) == ""


def test_fault_K4_the_intent_is_when_it_is_reserved_if_that_is_said() -> None:
    risk = a_desk()
    trade = a_trade(at=(DAY + 1) * NS_PER_DAY - 1)
    risk.reserve(trade, COSTS, (DAY + 1) * NS_PER_DAY)
    assert risk.state().reservations[0].intent_at == (DAY + 1) * NS_PER_DAY
    risk.finish(ended(trade, Outcome.UNWOUND, pnl="-1"))
    assert risk.state().losses.days == ((DAY + 1, cash("-1")),)


def test_what_running_trades_may_lose_counts_on_their_own_day() -> None:
    risk = a_desk(RiskLimits(max_daily_loss=9), max_exposure=1_000)
    running(risk, a_trade("first", at=NOW - NS_PER_DAY))
    assert asked(risk) == ""
    running(risk, a_trade("second"))
    assert asked(risk) == "limit max_daily_loss: 9.50 of 9.00 dollars; largest size allowed 89"


def test_what_a_trade_that_is_over_may_still_lose_is_counted_no_more() -> None:
    risk = a_desk(RiskLimits(max_daily_loss=9), max_exposure=1_000)
    trade = running(risk, bought(a_trade("first"), 0, "100", settlement=Settlement.PROVISIONAL))
    assert asked(risk).startswith("limit max_daily_loss: 9.50")
    risk.finish(ended(trade, Outcome.UNWOUND, pnl="-1"))
    assert asked(risk) == ""


# -- the state -------------------------------------------------------------------------------------------------


def lived(risk: RiskManager) -> RiskManager:
    """A bit of everything: held, escalated, unknown, lost, blocked and paused."""
    risk.finish(ended(running(risk, whole(a_trade("held"))), pnl="5"))
    loses(risk, "7", "lost", NOW - NS_PER_DAY)
    risk.acknowledge_losses(NOW - NS_PER_DAY)
    loses(risk, "8", "lost more")
    running(risk, put(a_trade("going"), an_order(a_trade("going"), 1, status=S.UNKNOWN)))
    risk.finish(ended(running(risk, bought(a_trade("stuck"), 0, "30")), Outcome.ESCALATED, pnl="-3"))
    risk.block_market("gamma:x", "foreign")
    risk.block_market("beta:x", "foreign too")
    risk.pause_venue("gamma", NOW, "slow")
    risk.pause_venue("delta", NOW + 1, "slower")
    return risk


def test_a_restored_state_is_the_same_and_answers_the_same() -> None:
    limits = RiskLimits(max_total_capital=300, max_daily_loss=20)
    risk = lived(a_desk(limits, max_exposure=500))
    again = a_desk(limits, max_exposure=500)
    again.restore(risk.state())
    assert again.state() == risk.state()
    for one in (risk, again):
        one.acknowledge("stuck")
        one.finish(ended(bought(a_trade("going"), 1, "100"), Outcome.UNWOUND, pnl="-9"))
    assert again.state() == risk.state()
    assert asked(again) == asked(risk)
    assert asked(risk).startswith("limit max_daily_loss: 24.75 of 20.00")
    assert (again.exposure_room(), again.total_exposure()) == (risk.exposure_room(), risk.total_exposure())


def test_equal_lives_give_equal_states_in_plain_values() -> None:
    def plain(value: object) -> bool:
        if isinstance(value, tuple):
            return all(plain(item) for item in value)
        return isinstance(value, (int, str))

    state = lived(a_desk(max_exposure=500)).state()
    assert state == lived(a_desk(max_exposure=500)).state()
    assert all(plain(getattr(state, name)) for name in RiskState.__slots__)
    assert state != RiskState()
    assert [one.trade for one in state.reservations] == ["going", "stuck"]
    assert state.blocked == (("beta:x", "foreign too"), ("gamma:x", "foreign"))
    assert state.paused == (("delta", NOW + 1, "slower"), ("gamma", NOW, "slow"))
    assert state.losses.days == ((DAY - 1, cash("-7")), (DAY, cash("-6")))
    assert state.losses.forgiven == ((DAY - 1, cash("-7")), (DAY, cash("5")))


def test_a_reservation_says_what_was_promised_and_where_it_stands() -> None:
    risk = a_desk()
    trade: MultiLegTrade = running(risk, put(bought(a_trade(), 0, "30"), an_order(a_trade(), 1, status=S.OPEN)))
    (one,) = risk.state().reservations
    assert (one.trade, one.intent_at, one.costs, one.phase) == ("t", NOW, COSTS, Phase.RUNNING)
    assert [stake[1:] for stake in one.intended] == [(shares(100), COSTS[0]), (shares(100), COSTS[1])]
    assert [stake[1:] for stake in one.taken] == [(shares(30), cash("12"))]
    assert (one.may_lose, one.open_orders, one.closed, one.slots) == (cash("4.75"), 1, False, 2)
    assert one.exposed == cash("38.5")  # 0 to 100 of NO beside 30 of YES
    assert trade.size == size("100")
    assert one._replace(open_orders=5).slots == 5
    assert [one._replace(phase=Phase.OVER, open_orders=n).slots for n in (1, 0)] == [1, 0]


def test_a_reservation_that_has_heard_nothing_of_its_trade_has_nothing_out_and_a_state_is_never_changed() -> None:
    one = Reservation("t", NOW, COSTS, (), 0)
    assert (one.exposed, one.open_orders, one.closed) == (0, 0, True)
    with pytest.raises(FrozenInstanceError):
        RiskState().held = ()  # type: ignore[misc]


def test_exposure_of_a_plan_is_asked_of_this_module_too() -> None:
    assert (exposure(COSTS), largest_exposed(COSTS, 100, 10, cash("54"))) == (cash("55"), 90)
