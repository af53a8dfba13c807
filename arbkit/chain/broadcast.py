"""A signed transaction to everybody: the same bytes, however often, and no word of failure while it may be in."""

from __future__ import annotations

from arbkit.chain.answers import SendMeans
from arbkit.chain.health import Seat
from arbkit.chain.hedge import all_at_once
from arbkit.chain.reads import Question
from arbkit.chain.roster import Roster, told
from arbkit.chain.transport import EndpointUnavailable
from arbkit.core.errors import CallRefused, ChainUnavailable, Refusal, SendRefused, SendUnknown
from arbkit.core.retry import RetryStrategy


class Broadcast:
    """Sends over a roster's endpoints, again as `retry` says while nobody answers.

    Sending again is harmless because the bytes are the same: a node that has them says so, and that is a yes.
    """

    def __init__(self, roster: Roster, grace_s: float, retry: RetryStrategy) -> None:
        self._roster, self._grace_s, self._retry = roster, grace_s, retry

    async def send(self, raw: bytes) -> None:
        """See `Node.send`."""
        from eth_hash.auto import keccak

        hash_ = "0x" + keccak(raw).hex()
        doubt: dict[str, None] = {}  # who was given the bytes, in this try or one before, and has said nothing of them
        try:
            await self._retry.run(lambda: self._offer(raw, hash_, doubt))
        except (ChainUnavailable, TimeoutError) as error:
            said = str(error) or "no node answered in time"
            raise SendUnknown(f"transaction {hash_} may be in: {said}") from error

    async def _offer(self, raw: bytes, hash_: str, doubt: dict[str, None]) -> None:
        """Give the bytes to everybody once; SendRefused when that is all they say, ChainUnavailable for no word."""
        await self._roster.start()

        async def give(seat: Seat) -> SendMeans | Refusal:
            return await self._given(seat, raw, hash_)

        heard = await all_at_once(self._roster.takers(), give, self._grace_s, enough=_is_known, keep=self._roster.keep)
        if any(_is_known(means) for _, means in heard.answers):
            return
        doubt.update((seat.name, None) for seat in heard.silent)
        doubt.update((seat.name, None) for seat, error in heard.failures if getattr(error, "sent", False))
        # A refusal may be of a copy: who took the first one may have passed it on, or have mined it.
        found, denied = await self._looked_up(hash_)
        if found:
            return
        said = {seat: means for seat, means in heard.answers if isinstance(means, Refusal)}
        refusals = {seat.name: means for seat, means in said.items() if seat in denied}
        if not refusals:
            if said:
                words = "; ".join(
                    f"{seat.name}: {means}, and its hash could not be looked up" for seat, means in said.items()
                )
                raise ChainUnavailable(words)
            raise told(heard)
        for name in refusals:
            doubt.pop(name, None)
        kind = min(refusals.values(), key=list(Refusal).index)
        words = "; ".join(f"{name}: {means}" for name, means in refusals.items())
        raise SendRefused(f"transaction {hash_}: {words}", kind, tuple(doubt))

    async def _given(self, seat: Seat, raw: bytes, hash_: str) -> SendMeans | Refusal:
        try:
            await self._roster.trusted(seat)
        except EndpointUnavailable as error:
            raise EndpointUnavailable(str(error), sent=False, retry_after_s=error.retry_after_s) from None
        with self._roster.noted(seat):
            said = await seat.endpoint.send(raw)
            if not isinstance(said, str) or isinstance(said, Refusal):
                return said
            if said.lower() != hash_:
                raise EndpointUnavailable(f"{seat.name}: took another transaction than it was given")
            return SendMeans.KNOWN

    async def _looked_up(self, hash_: str) -> tuple[bool, list[Seat]]:
        """Tell whether any node knows a transaction, and which ones say that they do not."""

        async def look(seat: Seat) -> bool:
            (found,) = await self._roster.put(seat, Question((("eth_getTransactionByHash", hash_),), 0))
            if isinstance(found, CallRefused):
                raise found
            return isinstance(found, dict) and str(found.get("hash")).lower() == hash_

        heard = await all_at_once(self._roster.takers(), look, self._grace_s, enough=bool)
        return any(found for _, found in heard.answers), [seat for seat, found in heard.answers if not found]


def _is_known(means: SendMeans | Refusal) -> bool:
    return means is SendMeans.KNOWN
