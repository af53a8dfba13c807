"""What a journal says after its process has ended: the same calls that a running engine made, made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from arbkit.core.capital import trade_of
from arbkit.core.model import Book, ExecutionResult, Outcome
from arbkit.core.units import FOREVER, Cash
from arbkit.execution.moved_stakes import move_stakes
from arbkit.journal.fold import State
from arbkit.journal.memory import Fact
from arbkit.metrics import MetricsCollector
from arbkit.risk.limits import RiskManager


def replayed(
    facts: Iterable[Fact], books: Mapping[str, Book], risk: RiskManager, metrics: MetricsCollector | None = None
) -> State:
    """Return the state after these facts, with `risk` and `metrics` brought to where they were.

    Reservations, positions, daily results, blocks and pauses follow from the facts alone. Raises JournalDamaged when
    the facts contradict each other.
    """
    state = State(books)
    counted: dict[str, None] = {}

    def ended(result: ExecutionResult) -> None:
        refused = result.outcome is Outcome.REFUSED  # perhaps because a trade of that very name runs: that one goes on
        if not refused:
            risk.finish(result)
        if metrics is not None and (refused or result.trade.id not in counted):
            metrics.record_trade(result)
        if not refused:
            counted[result.trade.id] = None  # what escalated is accounted for again later

    state.on_done = ended
    state.on_closed = risk.acknowledge
    state.on_late = risk.track
    for fact in facts:
        if fact.fact == "session.started":  # what one process could not hear, the next one may
            for name in until_heard(state):
                risk.pause_venue(name, fact.at, "")
        state.apply(fact)
        match fact.fact:
            case "trade.planned":
                found = state.trades[fact.key]
                trade = state.trade(fact.key)
                for order in (order for leg in trade.legs for order in leg.orders):  # pairs that it began with
                    risk.adopted(order.book, -order.size)
                risk.reserve(trade, found.costs, fact.at)
            case "capital.done":
                move_stakes(risk, books, fact.key, fact.get("moved"), fact.get("cash"))  # type: ignore[arg-type]
                risk.charged(fact.at, fact.get("gas"))  # type: ignore[arg-type]
                if metrics is not None:
                    metrics.charge(trade_of(fact.key), Cash(fact.get("gas")), int(str(fact.get("wei") or 0)))  # type: ignore[arg-type]
            case "losses.acknowledged":
                risk.acknowledge_losses(fact.at)
            case "account.opened" | "account.adjusted":
                for name, shares in fact.get("shares"):  # type: ignore[attr-defined]
                    risk.adopted(books[name], shares)
            case "market.blocked":
                risk.block_market(fact.key, state.blocked[fact.key])
            case "market.claimed":
                risk.claim_market(fact.key)
            case "venue.paused":
                risk.pause_venue(fact.key, *state.paused[fact.key])
    for name in state.trades:
        risk.track(state.trade(name))
    return state


def until_heard(state: State) -> list[str]:
    """Return the venues that were paused until they would be heard again."""
    return [name for name, (until, _) in state.paused.items() if until == FOREVER]
