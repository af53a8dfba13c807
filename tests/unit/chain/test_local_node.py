"""A local node is found, started, asked and stopped; where there is none the error says what installs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from arbkit.chain.local_node import NoLocalNode, anvil_binary, bytecode, local_node
from arbkit.core.errors import ConfigError
from tests.unit.chain.fake_anvil import ACCOUNTS, KEYS, fake_anvil, program


async def test_a_node_is_started_on_loopback_asked_and_stopped(tmp_path: Path) -> None:
    with local_node(binary=fake_anvil(tmp_path)) as node:
        assert node.url.startswith("http://127.0.0.1:")
        assert (node.accounts, node.keys) == (ACCOUNTS, KEYS)
        assert await node.do("eth_chainId") == "0x89"
        with pytest.raises(RuntimeError, match=r"anvil_mine: .*no anvil_mine here"):
            await node.mine()
        assert node.process.poll() is None
    assert node.process.poll() is not None
    node.stop()  # again does nothing


async def test_a_node_is_of_polygons_chain_unless_told_otherwise(tmp_path: Path) -> None:
    binary = fake_anvil(tmp_path)
    with local_node("--no-mining", binary=binary) as node:
        words = await node.do("test_arguments")
    assert words[:4] == ["--host", "127.0.0.1", "--port", "0"]
    assert words[words.index("--chain-id") + 1] == "137"
    assert words[-1] == "--no-mining"
    with local_node("--chain-id", "5", binary=binary) as node:
        words = await node.do("test_arguments")
    assert [words[at + 1] for at, word in enumerate(words) if word == "--chain-id"] == ["5"]


def test_what_a_node_shows_of_itself_holds_no_key(tmp_path: Path) -> None:
    with local_node(binary=fake_anvil(tmp_path)) as node:
        assert not any(key in repr(node) for key in KEYS)
        assert node.url in repr(node)


def test_a_program_that_ends_is_told_with_its_words_and_without_keys(tmp_path: Path) -> None:
    binary = program(tmp_path, f"#!/bin/sh\necho '(0) {KEYS[0]}'\necho 'no such flag'\nexit 2\n")
    with pytest.raises(RuntimeError, match=r"(?s)did not start: .*no such flag") as failed:
        local_node(binary=binary)
    assert KEYS[0] not in str(failed.value)


def test_a_program_that_stays_silent_is_given_up_and_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    binary = program(tmp_path, f'#!/bin/sh\necho $$ > "{told}"\nexec sleep 60\n')
    with pytest.raises(RuntimeError, match="did not start"):
        local_node(binary=binary, start_s=1.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_the_program_is_what_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = fake_anvil(tmp_path)
    monkeypatch.setenv("ARBKIT_ANVIL", str(binary))
    assert anvil_binary() == binary
    monkeypatch.setenv("ARBKIT_ANVIL", str(tmp_path / "other"))
    with pytest.raises(NoLocalNode, match="ARBKIT_ANVIL names no program"):
        anvil_binary()


def test_without_a_name_it_is_what_was_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARBKIT_ANVIL", raising=False)
    with pytest.raises(NoLocalNode, match="no local node: `make chain-parts`") as missing:
        anvil_binary(tmp_path)
    assert isinstance(missing.value, ConfigError)
    for system in ("dreams", "linux"):
        folder = tmp_path / f"@foundry-rs/anvil-{system}/bin"
        folder.mkdir(parents=True)
        fake_anvil(folder)
    (tmp_path / "@foundry-rs/anvil-dreams/bin/anvil").chmod(0o644)  # no program
    assert anvil_binary(tmp_path) == tmp_path / "@foundry-rs/anvil-linux/bin/anvil"


def test_bytecode_is_read_from_what_was_installed(tmp_path: Path) -> None:
    (tmp_path / "One.json").write_text(json.dumps({"bytecode": "0x6001"}))
    assert bytecode("One.json", tmp_path) == "0x6001"
    with pytest.raises(NoLocalNode, match=r"Two\.json is missing: `make chain-parts`"):
        bytecode("Two.json", tmp_path)
