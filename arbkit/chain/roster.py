"""`Roster`: the endpoints of a pool, which of them may be asked, and whether what they say counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from arbkit.chain.heads import Heads
from arbkit.chain.health import Seat
from arbkit.chain.hedge import Heard, all_at_once
from arbkit.chain.reads import HEAD, Question, heads_in, lacks_a_block, quantity
from arbkit.chain.rpc import EndpointBehind, EndpointBusy, RPCEndpoint
from arbkit.chain.transport import EndpointUnavailable
from arbkit.core.errors import ArbkitError, CallRefused, ChainUnavailable, WrongChain

log = logging.getLogger(__name__)


class Roster:
    """Keeps health, trust and heads of the endpoints, and looks at each of them every `probe_s`.

    Trust: the chain id, and code at `contracts`, were found right since the endpoint last opened a connection and
    not longer than `recheck_s` ago. Who is found wrong is barred until a later look finds better.
    """

    def __init__(
        self,
        endpoints: Sequence[RPCEndpoint],
        *,
        contracts: Mapping[str, str],
        chain_id: int,
        patience_s: float,
        probe_s: float,
        recheck_s: float,
    ) -> None:
        self.seats = [Seat(endpoint) for endpoint in endpoints]
        self.heads = Heads(len(self.seats))
        self._contracts = dict(contracts)
        self._chain_id = chain_id
        self._patience_s, self._probe_s, self._recheck_s = patience_s, probe_s, recheck_s
        self._starting = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._running: dict[asyncio.Task[Any], None] = {}  # probes, and sends that go on after the first yes

    @property
    def now(self) -> float:
        """The loop's time, s."""
        return asyncio.get_running_loop().time()

    # -- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check everybody and begin to watch; WrongChain or ChainUnavailable when nobody can be used."""
        if self._is_watching():
            return
        async with self._starting:
            if self._is_watching():
                return  # somebody else has, while we waited
            heard = await all_at_once(self.seats, self.checked, self._patience_s)
            for seat in heard.silent:
                seat.failed(self._patience_s)
            if not heard.answers:
                raise told(heard)
            self.heads.begin({seat.name: number for seat, number in heard.answers}, self.now)
            for seat, number in heard.answers:
                seat.behind = max(0, self.heads.highest - number)
            self._watching = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Stop watching, end what still runs, and close all connections."""
        tasks = [*self._running, *([self._watching] if self._watching else [])]
        self._watching = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for seat in self.seats:
            await seat.endpoint.close()

    def _is_watching(self) -> bool:
        return self._watching is not None

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Let a task go on to its end, whatever that is; `close` ends it."""
        self._running[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ArbkitError):
            raise error  # a bug: the loop's handler gets it

    async def _watch(self) -> None:
        """Look at everybody again and again; one that is still being looked at is left out."""
        while True:
            await asyncio.sleep(self._probe_s)
            for seat in self.seats:
                if not seat.probing and seat.rests_until <= self.now:
                    seat.probing = True
                    self.keep(asyncio.ensure_future(self._probe(seat)))

    async def _probe(self, seat: Seat) -> None:
        try:
            if seat.barred:
                await self.checked(seat)
            await self.put(seat, Question((HEAD,), 0))
        finally:
            seat.probing = False

    # -- who may be asked ------------------------------------------------------------------------------------

    def ranked(self) -> list[Seat]:
        """Return those who may be asked, the best first; raises when there is nobody."""
        awake = [seat for seat in self._ours() if seat.rests_until <= self.now]
        if not awake:
            rest_s = min(seat.rests_until for seat in self._ours()) - self.now
            raise ChainUnavailable(f"every endpoint wants to be left alone, for {rest_s:.1f} s more", rest_s)
        return sorted(awake, key=Seat.cost_s)

    def takers(self) -> list[Seat]:
        """Return those who are sent to: who wants to be left alone is only when there is nobody else."""
        return [seat for seat in self._ours() if seat.rests_until <= self.now] or self._ours()

    def _ours(self) -> list[Seat]:
        if all(seat.barred for seat in self.seats):
            raise WrongChain("; ".join(seat.barred for seat in self.seats))
        return [seat for seat in self.seats if not seat.barred]

    # -- what counts -----------------------------------------------------------------------------------------

    async def put(self, seat: Seat, asked: Question) -> list[Any]:
        """Ask one endpoint, and where it stands in the same message; its answers count only if it is not behind."""
        calls = asked.calls if asked.calls == (HEAD,) else (HEAD, *asked.calls)
        with self.noted(seat):
            answers = await seat.endpoint.ask(calls)
            await self.trusted(seat)
            number = _head_of(seat, answers[0])
            if not self.heads.claim(seat.name, number, self.now):
                raise EndpointUnavailable(f"{seat.name}: claims block {number}, far above what any other node knows")
            answers = answers[len(calls) - len(asked.calls) :]
            for block in heads_in(answers):
                self.heads.claim(seat.name, block, self.now)
            seat.behind = max(0, self.heads.highest - number)
            if number < asked.required or lacks_a_block(asked, answers):
                raise EndpointBehind(f"{seat.name}: is at block {number}, block {asked.required} is needed")
            return answers

    @contextmanager
    def noted(self, seat: Seat) -> Iterator[None]:
        """Keep the endpoint's health by how what is inside ends."""
        began = self.now
        try:
            yield
        except EndpointBusy as error:
            seat.asked_for_less(self.now, error.retry_after_s)
            log.warning("rpc.resting", extra={"endpoint": seat.name, "rests_s": seat.rests_until - self.now})
            raise
        except EndpointBehind:
            seat.behind = max(1, seat.behind)
            raise
        except EndpointUnavailable as error:
            seat.failed(self.now - began)
            log.info("rpc.failed", extra={"endpoint": seat.name, "error": str(error)})
            raise
        seat.answered(self.now - began)

    async def trusted(self, seat: Seat) -> None:
        """Return at once when the endpoint is trusted, else check it first; many who wait need one check."""
        if not self._is_trusted(seat):
            async with seat.checking:
                if not self._is_trusted(seat):
                    await self._check(seat)

    async def checked(self, seat: Seat) -> int:
        """Check that an endpoint is of our chain and return its head; WrongChain when it is not."""
        async with seat.checking:
            return await self._check(seat)

    def _is_trusted(self, seat: Seat) -> bool:
        return seat.trusted and self.now - seat.checked_at < self._recheck_s

    async def _check(self, seat: Seat) -> int:
        with self.noted(seat):
            codes = [("eth_getCode", address, "latest") for address in self._contracts]
            chain_id, head, *found = await seat.endpoint.ask([("eth_chainId",), HEAD, *codes])
            number = _head_of(seat, head)
        wrong = self._wrong(chain_id, found)
        if wrong:
            reason = f"{seat.name}: {wrong}"
            if reason != seat.barred:
                log.error("rpc.wrong_chain", extra={"endpoint": seat.name, "wrong": wrong})
            seat.bar(reason)
            raise WrongChain(reason)
        seat.trust(self.now)
        return number

    def _wrong(self, chain_id: object, codes: Sequence[object]) -> str:
        try:
            if (number := quantity(chain_id)) != self._chain_id:
                return f"is of chain {number}, not {self._chain_id}"
        except ValueError:
            return "does not say which chain it is of"
        for (address, wanted), code in zip(self._contracts.items(), codes, strict=True):
            held = _bytes(code)
            if not held:
                return f"has no contract at {address}"
            if wanted and sha256(held).hexdigest() != wanted:
                return f"has another contract at {address}"
        return ""


def told(heard: Heard[Seat, Any]) -> ArbkitError:
    """Return what to raise when nobody gave an answer: a refusal, if there was one; who is silent is named."""
    errors = [error for _, error in heard.failures]
    for error in errors:
        if isinstance(error, CallRefused):
            return error
    said = "; ".join([*(str(error) for error in errors), *(f"{seat.name}: no answer yet" for seat in heard.silent)])
    if errors and not heard.silent and all(isinstance(error, WrongChain) for error in errors):
        return WrongChain(said)
    waits = [getattr(error, "retry_after_s", None) for error in errors]
    known = [wait for wait in waits if wait is not None]
    return ChainUnavailable(said, min(known) if known and len(known) == len(waits) else None)


def _head_of(seat: Seat, answer: object) -> int:
    try:
        return quantity(answer)
    except ValueError:
        raise EndpointUnavailable(f"{seat.name}: does not say which block it is at") from None


def _bytes(code: object) -> bytes:
    try:
        return bytes.fromhex(code.removeprefix("0x")) if isinstance(code, str) else b""
    except ValueError:
        return b""
