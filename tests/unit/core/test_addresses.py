"""Addresses that read one way here and another way to who connects are none."""

from __future__ import annotations

import pytest

from arbkit.core.addresses import is_loopback, parts_of
from arbkit.core.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8545/", "127.0.0.1"),
        ("http://127.8.0.1", "127.8.0.1"),
        ("http://[::1]:8545", "::1"),
        ("http://LOCALHOST:1", "localhost"),
        ("https://polygon_1.example.org:443/v2?x=1", "polygon_1.example.org"),
        ("https://user:word@10.0.0.1", "10.0.0.1"),
        ("https://a.1b.xn--p1ai", "a.1b.xn--p1ai"),
    ],
)
def test_a_plain_host_is_taken(url: str, host: str) -> None:
    assert parts_of(url, ("https", "http")).hostname == host
    assert is_loopback(host) == (host.startswith("127.") or host in ("localhost", "::1"))


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "0.0.0.0", "127.0.0.1."),
        *("[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1%25lo]", "[::1]x.org", "x.org,[::1]", "x.org;[::1]:1"),
        *(
            "localhost.",
            "node.localhost",
            "\u24dbocalhost",
            "127\u30020\u30020\u30021",
            "127.0.0.1%00.x.org",
            "127.0.0.1;x",
        ),
    ],
)
def test_another_spelling_of_this_machine_or_of_two_hosts_at_once_is_no_address(host: str) -> None:
    with pytest.raises(ConfigError, match="is no address") as refused:
        parts_of(f"https://{host}/", ("https", "http"))
    assert host not in str(refused.value)
