"""`RPCLoadBalancer`: several endpoints that are one `Node`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec

from arbkit.chain.answers import Means, meaning
from arbkit.chain.broadcast import Broadcast
from arbkit.chain.health import Health, Seat
from arbkit.chain.hedge import Heard, all_at_once, one_by_one
from arbkit.chain.node import Call
from arbkit.chain.reads import HEAD, Question, names_latest, quantity, question, refuse_others
from arbkit.chain.roster import Roster, told
from arbkit.chain.rpc import RPCEndpoint
from arbkit.core.errors import ArbkitError, CallRefused, ChainUnavailable, ConfigError, NodesDisagree
from arbkit.core.retry import RetryStrategy

T = TypeVar("T")
POLYGON = 137


class RPCLoadBalancer:
    """A `Node` over several endpoints: `async with RPCLoadBalancer([...], contracts={...}) as node`.

    Endpoints are ranked by errors, latency and how far they are behind. A read goes to the best; when that one fails,
    or says nothing for `hedge_s`, to the next as well. No answer counts from a node that is behind the highest head
    seen, nor from one whose chain id and `contracts` were not found right since it last opened a connection:
    `contracts` maps addresses that must have code to the SHA-256 of that code, "" where any will do.

    "latest" is the highest head that was seen, confirmed by a node not longer than `fresh_s` ago; 0 asks each time.
    Endpoints are looked at every `probe_s` meanwhile, which is how one that was down comes back. Reads that find
    nobody are made again as `retry` says, sends that nobody answers as `resend` says. `quorum` is how many must agree
    in `agreed`, as a rule more than half of all endpoints.
    """

    def __init__(
        self,
        endpoints: Sequence[RPCEndpoint],
        *,
        contracts: Mapping[str, str],
        chain_id: int = POLYGON,
        hedge_s: float = 0.25,
        fresh_s: float = 0.25,
        probe_s: float = 2.0,
        recheck_s: float = 60.0,
        retry: RetryStrategy | None = None,
        resend: RetryStrategy | None = None,
        quorum: int | None = None,
    ) -> None:
        names = [endpoint.name for endpoint in endpoints]
        if not names:
            raise ConfigError("there is no endpoint: the chain cannot be reached")
        if len(set(names)) < len(names):
            raise ConfigError(f"two endpoints have one name: {', '.join(sorted(names))}")
        if min(hedge_s, probe_s, recheck_s) <= 0 or fresh_s < 0:
            raise ConfigError("hedge_s, probe_s and recheck_s must be above 0, fresh_s not below")
        self._quorum = len(names) // 2 + 1 if quorum is None else quorum
        if not 1 <= self._quorum <= len(names):
            raise ConfigError(f"a quorum of {self._quorum} among {len(names)} endpoints")
        self._hedge_s, self._fresh_s = hedge_s, fresh_s
        self._retry = retry or RetryStrategy(deadline_s=10.0, most_s=1.0)
        self._roster = Roster(
            endpoints,
            contracts=contracts,
            chain_id=chain_id,
            patience_s=hedge_s,
            probe_s=probe_s,
            recheck_s=recheck_s,
        )
        resend = resend or RetryStrategy(deadline_s=20.0, most_s=2.0)
        self._broadcast = Broadcast(self._roster, hedge_s, resend)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()  # whoever could not enter never leaves: its connections end here
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Check every endpoint and begin to watch them; those that are slow are left for later.

        Raises WrongChain or ChainUnavailable when none can be used. The first call starts too, if nobody has.
        """
        await self._roster.start()

    async def close(self) -> None:
        """Stop watching and sending, and close all connections."""
        await self._roster.close()

    def health(self) -> list[Health]:
        """Return what is known about each endpoint, in the order they were given."""
        return [seat.health(self._roster.now) for seat in self._roster.seats]

    def head_unmoved_s(self) -> float:
        """Return how long the highest head has not risen, s: when this grows, the chain or every node stands still."""
        return self._roster.heads.unmoved(self._roster.now)

    # -- Node ------------------------------------------------------------------------------------------------

    async def read(self, method: str, *params: object) -> Any:
        """See `Node.read`."""
        (answer,) = await self._read([(method, *params)], alone=True)
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """See `Node.batch`."""
        return await self._read(calls, alone=False) if calls else []

    async def head(self) -> int:
        """See `Node.head`."""
        return await self._again(self._refreshed)

    async def read_all(self, method: str, *params: object) -> list[Any]:
        """See `Node.read_all`."""
        refuse_others([(method, *params)])
        heard = await self._again(lambda: self._from_everyone((method, *params)))
        answers = [answer for _, (answer,) in heard.answers]
        values = [answer for answer in answers if not isinstance(answer, CallRefused)]
        if not values:
            raise answers[0]
        return values

    async def agreed(self, method: str, *params: object) -> Any:
        """See `Node.agreed`. While they do not agree they are asked again, of the newest block, as `retry` says."""
        refuse_others([(method, *params)])
        return await self._again(lambda: self._agreed((method, *params)))

    async def send(self, raw: bytes) -> None:
        """See `Node.send`."""
        await self._broadcast.send(raw)

    # -- reads -----------------------------------------------------------------------------------------------

    async def _read(self, calls: Sequence[Call], *, alone: bool) -> list[Any]:
        refuse_others(calls)

        async def ask() -> list[Any]:
            return await self._first(await self._asked(calls), alone=alone)

        return await self._again(ask)

    async def _again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._retry.run(attempt)
        except TimeoutError:
            raise ChainUnavailable(f"no node answered within {self._retry.deadline_s:g} s") from None

    async def _asked(self, calls: Sequence[Call]) -> Question:
        """Put a block in the place of "latest": the highest head, asked for if nobody has confirmed it lately."""
        await self.start()
        if names_latest(calls) and self._roster.heads.age(self._roster.now) >= self._fresh_s:
            await self._refreshed()
        return question(calls, self._roster.heads.highest)

    async def _refreshed(self) -> int:
        await self.start()
        (number,) = await self._first(question([HEAD], self._roster.heads.highest), alone=True)
        return max(quantity(number), self._roster.heads.highest)

    async def _first(self, asked: Question, *, alone: bool) -> list[Any]:
        """Return the first answer that counts, asking the next endpoint when one fails or is slow."""

        async def ask(seat: Seat) -> list[Any]:
            answers = await self._roster.put(seat, asked)
            if alone and isinstance(answers[0], CallRefused):
                raise answers[0]  # the next one may not
            return answers

        began = self._roster.now
        heard = await one_by_one(self._roster.ranked(), ask, self._hedge_s, _is_final)
        if not heard.answers:
            raise told(heard)
        for seat in heard.silent:
            seat.failed(self._roster.now - began)
        return heard.answers[0][1]

    async def _from_everyone(self, call: Call) -> Heard[Seat, list[Any]]:
        asked = await self._asked([call])
        heard = await all_at_once(self._roster.ranked(), lambda seat: self._roster.put(seat, asked), self._hedge_s)
        if not heard.answers:
            raise told(heard)
        for seat in heard.silent:
            seat.failed(self._hedge_s)
        return heard

    async def _agreed(self, call: Call) -> Any:
        heard = await self._from_everyone(call)
        votes = Counter(_vote(answer) for _, (answer,) in heard.answers)
        vote, number = votes.most_common(1)[0]
        if number < self._quorum:
            said = f"{len(votes)} different answers" if len(votes) > 1 else "too few answers"
            raise NodesDisagree(f"{call[0]}: {said} from {len(heard.answers)} of {len(self._roster.seats)} nodes")
        answer = next(answer for _, (answer,) in heard.answers if _vote(answer) == vote)
        if isinstance(answer, CallRefused):
            raise answer
        return answer


def _is_final(error: ArbkitError) -> bool:
    """Tell whether every node would say the same."""
    return isinstance(error, CallRefused) and meaning(error.code, str(error)) is Means.FINAL


def _vote(answer: object) -> bytes:
    """Return what two answers have in common when they are alike, whatever the order of their fields."""
    if isinstance(answer, CallRefused):
        answer = ["refused", answer.code, answer.data]
    return msgspec.json.encode(answer, order="sorted")
