"""One endpoint: what it accepts as a URL, as a reply, and what it makes of errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbkit.chain.answers import Means, SendMeans, meaning, send_meaning
from arbkit.chain.rpc import EndpointBehind, EndpointBusy, RPCEndpoint
from arbkit.chain.transport import LONGEST_RETRY_AFTER_S, EndpointUnavailable, Reply, retry_after
from arbkit.core.errors import CallRefused, ConfigError, Refusal
from tests.rig import virtual
from tests.unit.chain.fake_nodes import FakeChain, FakeNode

KEY = "a1B2c3D4e5F6g7H8"
CALLS = [("eth_chainId",), ("eth_blockNumber",)]


class Says:
    """A transport that replies with one text, made from the ids that were asked."""

    connections = 1

    def __init__(self, text: Callable[[list[int]], str | bytes], status: int = 200, after: float | None = None) -> None:
        self.text, self.status, self.after = text, status, after
        self.bodies: list[Any] = []

    async def post(self, body: bytes) -> Reply:
        document = json.loads(body)
        self.bodies.append(document)
        text = self.text([call["id"] for call in (document if isinstance(document, list) else [document])])
        return Reply(self.status, text.encode() if isinstance(text, str) else text, self.after)

    async def close(self) -> None: ...


def endpoint(transport: Any, url: str = f"https://polygon.example/v2/{KEY}") -> RPCEndpoint:
    return RPCEndpoint(url, "a", transport=transport)


def ask(text: Callable[[list[int]], str | bytes], calls: Any = (("eth_chainId",),), **settings: Any) -> list[Any]:
    return virtual(endpoint(Says(text, **settings)).ask(calls))


def error(message: str, code: int = -32000, data: Any = None) -> Callable[[list[int]], str]:
    return lambda ids: json.dumps({"id": ids[0], "error": {"code": code, "message": message, "data": data}})


# -- URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://polygon.example/v2/key?apikey=x",
        "http://127.0.0.1:8545",
        "http://localhost:8545/",
        "http://[::1]:8545/",
    ],
)
def test_a_url_with_tls_or_of_this_machine_is_taken(url: str) -> None:
    assert RPCEndpoint(url).name == RPCEndpoint(url).host


@pytest.mark.parametrize(
    "url",
    [
        "http://polygon.example/",
        "http://127.0.0.1.evil.example/",
        "http://0x7f000001/",
        "http://10.0.0.1:8545",
        "https://user:pass@polygon.example/",
        "https://polygon.example/#part",
        "https:///",
        "https://polygon.example:port/",
        "https://[::1/",
        "ftp://127.0.0.1/",
        "ws://127.0.0.1/",
        "https://polygon.example/a b",
        "https://polygon.example\\@127.0.0.1/",
        "",
    ],
)
def test_any_other_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RPCEndpoint(url + KEY)
    assert KEY not in str(caught.value)


def test_a_time_to_answer_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="answer_s"):
        RPCEndpoint("http://127.0.0.1/", answer_s=0)


def test_the_key_in_a_url_is_in_no_text() -> None:
    node = Says(error(f"no plan for {KEY}, see https://polygon.example/v2/{KEY}"))
    one = endpoint(node)
    (refused,) = virtual(one.ask([("eth_chainId",)]))
    assert isinstance(refused, CallRefused)
    assert "no plan for ***" in str(refused)
    assert KEY not in str(refused) + repr(one) + str(vars(one))


# -- replies ---------------------------------------------------------------------------------------------------


def test_one_call_goes_as_an_object_and_many_as_an_array() -> None:
    node = Says(
        lambda ids: json.dumps([{"id": i, "result": i} for i in ids] if len(ids) > 1 else {"id": 1, "result": 1})
    )
    one = endpoint(node)
    assert virtual(one.ask([("eth_getBalance", "0xab", "latest")])) == [1]
    assert virtual(one.ask(CALLS)) == [2, 3]
    assert node.bodies == [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": ["0xab", "latest"]},
        [
            {"jsonrpc": "2.0", "id": 2, "method": "eth_chainId", "params": []},
            {"jsonrpc": "2.0", "id": 3, "method": "eth_blockNumber", "params": []},
        ],
    ]


@given(order=st.permutations(range(4)))
def test_an_array_is_matched_by_id_whatever_its_order(order: list[int]) -> None:
    def shuffled(ids: list[int]) -> str:
        return json.dumps([{"id": ids[place], "result": place} for place in order])

    assert ask(shuffled, [("eth_chainId",)] * 4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        lambda ids: "<html>busy</html>",
        lambda ids: f'{{"id": {ids[0]}, "resu',
        lambda ids: b"\xff\xfe",
        lambda ids: "[" * 100_000,
        lambda ids: "[]",
        lambda ids: "null",
        lambda ids: '"0x89"',
        lambda ids: json.dumps({"id": ids[0]}),
        lambda ids: json.dumps({"id": ids[0], "error": None}),
        lambda ids: json.dumps({"id": ids[0], "error": "no"}),
        lambda ids: json.dumps({"id": ids[0] + 1, "result": "0x89"}),
        lambda ids: json.dumps({"id": str(ids[0]), "result": "0x89"}),
        lambda ids: json.dumps({"id": True, "result": "0x89"}),
        lambda ids: json.dumps({"id": [ids[0]], "result": "0x89"}),
        lambda ids: json.dumps({"result": "0x89"}),
        lambda ids: json.dumps([{"id": ids[0], "result": 1}, {"id": ids[0], "result": 2}]),
        lambda ids: json.dumps([{"id": ids[0], "result": 1}, {"id": ids[0] + 1, "result": 2}]),
    ],
)
def test_a_reply_that_does_not_answer_the_question_is_no_answer(text: Callable[[list[int]], str | bytes]) -> None:
    with pytest.raises(EndpointUnavailable, match=r"^a: "):
        ask(text)


def test_an_array_with_an_answer_missing_is_believed_in_none() -> None:
    with pytest.raises(EndpointUnavailable):
        ask(lambda ids: json.dumps([{"id": ids[0], "result": 1}]), CALLS)


def test_an_array_refused_as_a_whole_is_no_answer() -> None:
    with pytest.raises(EndpointUnavailable, match="batch too large"):
        ask(lambda ids: json.dumps({"id": None, "error": {"code": -32600, "message": "batch too large"}}), CALLS)
    with pytest.raises(EndpointBusy):
        ask(lambda ids: json.dumps({"id": None, "error": {"code": -32005, "message": "slow down"}}), CALLS)


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 500, 502, 503])
def test_a_status_that_is_not_ok_is_no_answer_whatever_the_body(status: int) -> None:
    with pytest.raises(EndpointUnavailable, match=f"status {status}"):
        ask(lambda ids: json.dumps({"id": ids[0], "result": "0x89"}), status=status)


def test_status_429_tells_how_long_to_wait() -> None:
    with pytest.raises(EndpointBusy) as caught:
        ask(lambda ids: "", status=429, after=7.0)
    assert caught.value.retry_after_s == 7.0


def test_a_node_that_hangs_is_given_up_after_its_time() -> None:
    async def main() -> float:
        one = RPCEndpoint("http://127.0.0.1/", "a", answer_s=2.0, transport=FakeNode(FakeChain(), hangs=True))
        with pytest.raises(EndpointUnavailable, match="no answer within 2 s"):
            await one.ask([("eth_chainId",)])
        return asyncio.get_running_loop().time()

    assert virtual(main()) == 2.0


@given(text=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_reply_raises_anything_but_an_arbkit_error(text: bytes) -> None:
    try:
        ask(lambda ids: text)
    except EndpointUnavailable:
        pass
    else:
        pytest.fail("a random text was taken for an answer")


# -- errors ----------------------------------------------------------------------------------------------------


def test_a_revert_keeps_code_and_data() -> None:
    (refused,) = ask(error("execution reverted: Timeout, block not found", 3, "0x08c379a0"))
    assert isinstance(refused, CallRefused)
    assert (refused.code, refused.data) == (3, "0x08c379a0")
    assert "eth_chainId" in str(refused)


def test_a_long_error_is_cut() -> None:
    (refused,) = ask(error("x " * 5_000))
    assert len(str(refused)) < 300


@pytest.mark.parametrize(
    ("code", "message", "means"),
    [
        (-32000, "header not found", Means.BEHIND),
        (-32602, "BlockOutOfRangeError: block height is 0 but requested was 5", Means.BEHIND),
        (-32000, "unknown block", Means.BEHIND),
        (-32000, "block range extends beyond current head block", Means.BEHIND),
        (-32000, "missing trie node 12ab (path )", Means.BEHIND),
        (-32005, "daily request count exceeded", Means.BUSY),
        (-32000, "Too Many Requests", Means.BUSY),
        (429, "slow down", Means.BUSY),
        (-32005, "query returned more than 10000 results", Means.REFUSED),
        (-32602, "block range is too wide", Means.REFUSED),
        (-32603, "Internal error", Means.BROKEN),
        (-32000, "context deadline exceeded", Means.BROKEN),
        (3, "execution reverted: rate limit", Means.FINAL),
        (-32000, "execution reverted", Means.FINAL),
        (-32000, "insufficient funds for gas * price + value", Means.FINAL),
        (-32601, "the method eth_nope does not exist", Means.REFUSED),
        (-32602, "invalid argument 0", Means.REFUSED),
    ],
)
def test_an_error_to_a_read_is_understood(code: int, message: str, means: Means) -> None:
    assert meaning(code, message) is means


@pytest.mark.parametrize(
    ("error_", "raised"),
    [
        (error("header not found"), EndpointBehind),
        (error("limit", -32005), EndpointBusy),
        (error("internal error", -32603), EndpointUnavailable),
    ],
)
def test_trouble_in_one_part_is_trouble_of_the_whole(error_: Any, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        ask(error_)


@pytest.mark.parametrize(
    ("code", "message", "means"),
    [
        (-32000, "already known", SendMeans.KNOWN),
        (-32003, "transaction already imported", SendMeans.KNOWN),
        (-32000, "known transaction: 12ab", SendMeans.KNOWN),
        (-32000, "unknown transaction type", Refusal.OTHER),
        (-32000, "nonce too low: next nonce 5, tx nonce 4", Refusal.NONCE_TOO_LOW),
        (-32000, "replacement transaction underpriced", Refusal.REPLACEMENT_UNDERPRICED),
        (-32000, "transaction underpriced: gas tip cap 1, minimum needed 25000000000", Refusal.UNDERPRICED),
        (-32000, "max priority fee per gas below minimum", Refusal.UNDERPRICED),
        (-32003, "max fee per gas less than block base fee: address 0xab", Refusal.FEE_BELOW_BASE),
        (-32000, "fee cap less than block base fee", Refusal.FEE_BELOW_BASE),
        (-32000, "insufficient funds for gas * price + value", Refusal.INSUFFICIENT_FUNDS),
        (-32000, "in-flight transaction limit reached for delegated accounts", Refusal.OTHER),
        (-32000, "exceeds block gas limit", Refusal.OTHER),
        (-32603, "internal error", SendMeans.NO_WORD),
        (-32005, "rate limit", SendMeans.NO_WORD),
        (-32000, "request timed out", SendMeans.NO_WORD),
    ],
)
def test_an_error_to_a_send_is_understood(code: int, message: str, means: Any) -> None:
    assert send_meaning(code, message) is means


def test_a_send_without_a_word_is_no_refusal() -> None:
    with pytest.raises(EndpointUnavailable) as caught:
        virtual(endpoint(Says(error("internal error", -32603))).send(b"1:1"))
    assert caught.value.sent


# -- Retry-After -----------------------------------------------------------------------------------------------

NOON = "Fri, 27 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        (None, NOON, None),
        ("3", None, 3.0),
        (" 0 ", None, 0.0),
        ("99999999", None, LONGEST_RETRY_AFTER_S),
        ("Fri, 27 Nov 2026 12:00:30 GMT", NOON, 30.0),
        ("Fri, 27 Nov 2026 11:00:00 GMT", NOON, 0.0),
        ("Fri, 27 Nov 2026 12:00:30 GMT", None, None),
        ("Fri, 27 Nov 2026 12:00:30 -0000", NOON, None),
        ("soon", NOON, None),
        ("-1", None, None),
    ],
)
def test_retry_after_is_read_by_the_senders_clock(text: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after(text, date) == seconds
