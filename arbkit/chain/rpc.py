"""`RPCEndpoint`: one node over JSON-RPC, asked one thing or many in one message, every reply checked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import msgspec

from arbkit.chain.answers import Means, SendMeans, meaning, send_meaning
from arbkit.chain.node import Call
from arbkit.chain.transport import EndpointUnavailable, HttpTransport, Transport
from arbkit.core.addresses import is_loopback, parts_of
from arbkit.core.errors import CallRefused, ConfigError, Refusal
from arbkit.core.nesting import too_deep
from arbkit.core.secrets import Secret, redacted

MOST_WORDS = 200  # of what a node says in an error, this much is passed on


class EndpointBehind(EndpointUnavailable):
    """The node has not got the block that was asked for."""


class EndpointBusy(EndpointUnavailable):
    """The node wants to be asked less: not again before `retry_after_s`, if it said so."""


class RPCEndpoint:
    """One node: its URL, which may hold a key and is never shown, and the name by which logs and errors call it.

    ConfigError for a URL without TLS, except to this machine, or with a user or password in it. `answer_s` is how
    long a reply may take. `transport` is for tests; otherwise it is HTTP.
    """

    def __init__(self, url: str, name: str = "", *, answer_s: float = 5.0, transport: Transport | None = None) -> None:
        host = _host(url)
        if not 0 < answer_s < float("inf"):
            raise ConfigError("an endpoint's answer_s must be above 0")
        self.name = name or host
        self.host = host
        self.answer_s = answer_s
        self._url = Secret(url)
        # A key is the last part of the path as a rule: it is masked where a node repeats it.
        self._hidden = [Secret(part) for part in _parts(url) if len(part) >= 8]
        self._transport = transport if transport is not None else HttpTransport(self._url)
        self._ids = count(1)

    def __repr__(self) -> str:
        return f"RPCEndpoint(name={self.name!r}, host={self.host!r})"

    @property
    def connections(self) -> int:
        """How many connections have been opened so far."""
        return self._transport.connections

    async def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Return the node's answers in the order of the calls, all in one message; a refused one is a CallRefused.

        Raises EndpointUnavailable, EndpointBehind or EndpointBusy for the message as a whole: a node that is in
        trouble with one part of it is believed in none.
        """
        return [self._answer(calls[place], reply) for place, reply in enumerate(await self._exchange(calls))]

    async def send(self, raw: bytes) -> str | SendMeans | Refusal:
        """Give a signed transaction to the node; return the hash it names, or what its error means.

        Raises EndpointUnavailable when there is no answer, or none that can be read: then it may have the bytes,
        unless the error says it was not `sent`.
        """
        (reply,) = await self._exchange([("eth_sendRawTransaction", "0x" + raw.hex())])
        error = reply.get("error")
        if error is None:
            return str(reply["result"])
        code, message, _ = self._error(error)
        means = send_meaning(code, message)
        if means is SendMeans.NO_WORD:
            raise EndpointUnavailable(f"{self.name}: {message}")
        return means

    async def close(self) -> None:
        """Close what connections there are; the next question opens new ones."""
        await self._transport.close()

    # -- one message -----------------------------------------------------------------------------------------

    async def _exchange(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """Return one reply object, with a result or an error, for each call."""
        asked = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params} for method, *params in calls
        ]
        body = msgspec.json.encode(asked if len(asked) > 1 else asked[0])
        try:
            async with asyncio.timeout(self.answer_s):
                reply = await self._transport.post(body)
        except TimeoutError:
            raise EndpointUnavailable(f"{self.name}: no answer within {self.answer_s:g} s") from None
        except EndpointUnavailable as error:
            raise EndpointUnavailable(f"{self.name}: {error}", sent=error.sent) from None
        if reply.status == 429:
            raise EndpointBusy(f"{self.name}: status 429, too many questions", retry_after_s=reply.retry_after_s)
        if reply.status != 200:
            raise EndpointUnavailable(f"{self.name}: status {reply.status}", retry_after_s=reply.retry_after_s)
        return self._matched([call["id"] for call in asked], reply.body)

    def _matched(self, ids: list[Any], body: bytes) -> list[dict[str, Any]]:
        if too_deep(body):
            raise EndpointUnavailable(f"{self.name}: a reply that is nested too deep")
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise EndpointUnavailable(f"{self.name}: a reply that is no JSON") from None
        replies = document if isinstance(document, list) else [document]
        found: dict[Any, dict[str, Any]] = {}
        for reply in replies:
            if not isinstance(reply, dict) or (reply.get("error") is None and "result" not in reply):
                raise EndpointUnavailable(f"{self.name}: a reply that is not JSON-RPC")
            if reply.get("error") is not None and reply.get("id") is None:
                # It could not read the question, or takes no arrays (of this length): nothing in it was answered.
                code, message, _ = self._error(reply["error"])
                self._raise_trouble(meaning(code, message), message)
                raise EndpointUnavailable(f"{self.name}: {message}")
            identity = reply.get("id")
            if type(identity) is not int or identity in found:
                raise EndpointUnavailable(f"{self.name}: a reply that answers no question, or one twice")
            found[identity] = reply
        if list(found) != ids and sorted(found) != ids:  # most answer in order; they need not
            raise EndpointUnavailable(f"{self.name}: a reply to another question")
        return [found[identity] for identity in ids]

    def _answer(self, call: Call, reply: dict[str, Any]) -> Any:
        if reply.get("error") is None:
            return reply["result"]
        code, message, data = self._error(reply["error"])
        self._raise_trouble(meaning(code, message), message)
        return CallRefused(f"{self.name}: {call[0]}: {message}", code, data)

    def _raise_trouble(self, means: Means, message: str) -> None:
        if means is Means.BEHIND:
            raise EndpointBehind(f"{self.name}: {message}")
        if means is Means.BUSY:
            raise EndpointBusy(f"{self.name}: {message}")
        if means is Means.BROKEN:
            raise EndpointUnavailable(f"{self.name}: {message}")

    def _error(self, error: object) -> tuple[int, str, object]:
        """Return code, message without secrets and cut to length, and data of a JSON-RPC error."""
        if not isinstance(error, Mapping):
            raise EndpointUnavailable(f"{self.name}: an error that is not JSON-RPC")
        code, message = error.get("code"), str(error.get("message"))
        shown = redacted(message, (self._url, *self._hidden))[:MOST_WORDS]
        return code if type(code) is int else 0, shown, error.get("data")


def _host(url: str) -> str:
    """Return the host of a URL that a node may be asked at; ConfigError never repeats the URL."""
    try:
        parts = parts_of(url, ("https", "http"))
    except ConfigError as error:
        raise ConfigError(f"an endpoint's URL {error}") from None
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ConfigError(f"the URL of {host} holds a user, a password or a fragment")
    if parts.scheme != "https" and not is_loopback(host):
        raise ConfigError(f"the URL of {host} must be https://: without TLS anybody on the way can change answers")
    return host


def _parts(url: str) -> list[str]:
    """Return what may be keys in a URL: the parts of its path and the values of its query."""
    parts = urlsplit(url)
    return [*parts.path.split("/"), *(pair.partition("=")[2] for pair in parts.query.split("&"))]
