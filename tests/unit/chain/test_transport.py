"""HTTP to a node on this machine: what is not followed, not believed, not kept and not shown."""

from __future__ import annotations

import asyncio
import gzip
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from arbkit.chain.rpc import RPCEndpoint
from arbkit.chain.transport import EndpointUnavailable, HttpTransport
from arbkit.core.secrets import Secret

KEY = "a1B2c3D4e5F6g7H8"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler, most_bytes: int = 1_000) -> AsyncIterator[HttpTransport]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    transport = HttpTransport(Secret(f"http://127.0.0.1:{runner.addresses[0][1]}/{KEY}"), most_bytes=most_bytes)
    try:
        yield transport
    finally:
        await transport.close()
        await runner.cleanup()


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def test_a_body_goes_there_and_back_over_one_connection() -> None:
    async with served(echo) as transport:
        replies = [await transport.post(b"[1]") for _ in range(5)]
        assert {(reply.status, reply.body) for reply in replies} == {(200, b"[1]")}
        assert transport.connections == 1


async def test_a_connection_opened_anew_is_counted() -> None:
    async def closing(request: web.Request) -> web.Response:
        response = web.Response(body=b"1")
        response.force_close()
        return response

    async with served(closing) as transport:
        for _ in range(3):
            await transport.post(b"[]")
        assert transport.connections == 3


async def test_a_redirect_is_not_followed() -> None:
    seen: list[str] = []

    async def moved(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with served(moved) as transport:
        assert (await transport.post(b"[]")).status == 307
    assert seen == [f"/{KEY}"]


async def test_a_cookie_is_not_sent_back() -> None:
    seen: list[str] = []

    async def sets(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie", ""))
        response = web.Response(body=b"1")
        response.set_cookie("session", "1")
        return response

    async with served(sets) as transport:
        await transport.post(b"[]")
        await transport.post(b"[]")
    assert seen == ["", ""]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
async def test_a_reply_that_is_too_long_is_not_read_to_its_end(packed: bool) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        if packed:  # a thousandth of its size on the wire
            return web.Response(body=gzip.compress(b"x" * 10_000_000), headers={"Content-Encoding": "gzip"})
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 100)
        except (ConnectionError, asyncio.CancelledError):  # the reader has gone
            return response

    async with asyncio.timeout(20), served(endless) as transport:
        with pytest.raises(EndpointUnavailable, match="more than 1000 bytes"):
            await transport.post(b"[]")


async def test_retry_after_comes_through() -> None:
    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async with served(busy) as transport:
        assert (await transport.post(b"[]")).retry_after_s == 7.0


async def test_a_connection_cut_in_the_middle_may_have_delivered_and_does_not_show_the_url() -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with served(cut) as transport:
        with pytest.raises(EndpointUnavailable) as caught:
            await transport.post(b"[]")
    assert caught.value.sent
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_where_nobody_listens_nothing_was_sent() -> None:
    async with served(echo) as transport:
        pass
    endpoint = RPCEndpoint(f"{transport._url.reveal()}", "a")
    with pytest.raises(EndpointUnavailable, match="no connection") as caught:
        await endpoint.ask([("eth_chainId",)])
    await endpoint.close()
    assert not caught.value.sent
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_a_proxy_in_the_environment_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    async with served(echo) as transport:
        assert (await transport.post(b"[1]")).body == b"[1]"


async def test_closed_and_asked_again_it_opens_anew() -> None:
    async with served(echo) as transport:
        await transport.post(b"[]")
        await transport.close()
        await transport.post(b"[]")
        assert transport.connections == 2
