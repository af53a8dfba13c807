"""How bytes get to a node and back: the seam `Transport`, and HTTP over aiohttp behind it."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol

from arbkit.core.errors import ChainUnavailable
from arbkit.core.secrets import Secret

if TYPE_CHECKING:
    import aiohttp

MOST_BYTES = 32 * 2**20  # a reply is not longer; 10,000 logs are about 8 MB
LONGEST_RETRY_AFTER_S = 600.0  # who asks for more is asked again after this


class EndpointUnavailable(ChainUnavailable):
    """One node gave no usable answer. `sent` is False when it surely never got the question."""

    def __init__(self, reason: str, *, sent: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(reason, retry_after_s)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: `retry_after_s` is the Retry-After header, if it was there and could be read."""

    status: int
    body: bytes
    retry_after_s: float | None = None


class Transport(Protocol):
    """A way to one node. A fake one runs in virtual time."""

    @property
    def connections(self) -> int:
        """How many connections have been opened so far: when it rises, who is at the other end may have changed."""
        ...

    async def post(self, body: bytes) -> Reply:
        """Send a JSON text and return the reply, whatever its status. Raises EndpointUnavailable; may be cancelled."""
        ...

    async def close(self) -> None: ...


class HttpTransport:
    """HTTP to one URL over kept connections: no redirects, no proxies, no cookies, no retries, bounded replies."""

    def __init__(self, url: Secret, *, most_bytes: int = MOST_BYTES) -> None:
        self._url = url
        self._most_bytes = most_bytes
        self._session: aiohttp.ClientSession | None = None
        self.connections = 0

    async def post(self, body: bytes) -> Reply:
        import aiohttp

        session = self._session or self._open()
        try:
            async with session.post(self._url.reveal(), data=body, allow_redirects=False) as response:
                headers = response.headers
                after = retry_after(headers.get("Retry-After"), headers.get("Date"))
                return Reply(response.status, await self._bounded(response.content), after)
        # Only the kind is told: the texts of aiohttp's errors hold the URL, and a URL may hold a key.
        except aiohttp.ClientConnectorError as error:
            raise EndpointUnavailable(f"no connection: {type(error).__name__}", sent=False) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EndpointUnavailable(f"connection lost: {type(error).__name__}") from None

    async def _bounded(self, content: aiohttp.StreamReader) -> bytes:
        """Read a body, unpacked already, up to the bound; leaving it half read closes the connection."""
        chunks, total = [], 0
        async for chunk in content.iter_any():
            total += len(chunk)
            if total > self._most_bytes:
                raise EndpointUnavailable(f"a reply of more than {self._most_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        trace = aiohttp.TraceConfig()

        async def opened(*_: object) -> None:
            self.connections += 1

        trace.on_connection_create_end.append(opened)
        self._session = aiohttp.ClientSession(
            headers={"Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=None),  # who asks sets the limit, by the loop's clock
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=60.0),
            trust_env=False,
            trace_configs=[trace],
        )
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def retry_after(text: str | None, date: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date; a date counts from the sender's own clock, not from ours."""
    if text is None:
        return None
    try:
        if text.strip().isdecimal():
            seconds = float(text)
        elif date is None:
            return None
        else:
            seconds = (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):  # no date, or one with a zone and one without
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)
