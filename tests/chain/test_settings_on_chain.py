# ruff: noqa: N802 - a fault keeps the id it has in the fault table
"""An account opened by `arbkit.toml` on a real node, and every way in which the file or the node is the wrong one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from arbkit.chain.capital import ChainMarket
from arbkit.chain.fault_proxy import FaultProxy
from arbkit.chain.gas import GWEI
from arbkit.core.capital import CapitalIntent, CapitalResult
from arbkit.core.errors import ChainUnavailable, ConfigError, FeeAboveCap, WrongChain
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Size
from arbkit.wiring.polygon import capital_by_settings
from arbkit.wiring.settings import Settings, read_settings
from tests.chain.conftest import Anvil
from tests.chain.contracts import World, build

pytestmark = pytest.mark.chain
TEN = Size(10 * MICRO)
MARKET = "polymarket:m"
TOP = """
environment = "demo"
account = "main"
journal = "main.journal"
[venues.polymarket]
environment = "demo"
url = "http://127.0.0.1:1"
stream = "ws://127.0.0.1:1"
chain_id = 137
keys = { private_key = "file:key" }
"""


def settings(world: World, folder: Path, *endpoints: str, **changed: Any) -> Settings:
    """Write the file that opens the world's account, and read it."""
    (folder / "key").write_text(world.anvil.keys[1])
    contracts = world.contracts
    stated = {
        "chain_id": "137",
        "endpoints": str([f"{one}" for one in endpoints] or [world.anvil.url]),
        "holder": f'"{world.us}"',
        "pol_price": "0.25",
        "approves": "true",
        "keys": '{ private_key = "file:key" }',
        **changed,
    }
    lines = "".join(f"{name} = {value}\n" for name, value in stated.items())
    named = {
        "conditional_tokens": contracts.conditional_tokens,
        "collateral": contracts.collateral,
        "operator": contracts.operator,
    }
    where = (
        "".join(f'{name} = "{value}"\n' for name, value in named.items()) + f"spenders = {sorted(contracts.spenders)}\n"
    )
    path = folder / "arbkit.toml"
    path.write_text(f'{TOP}[chain]\nenvironment = "demo"\n{lines}[chain.contracts]\n{where}')
    return read_settings(path)


async def made(world: World, found: Settings, folder: Path, work: Work = Work.SPLIT) -> CapitalResult:
    markets = {MARKET: ChainMarket(condition=world.conditions[0])}
    async with capital_by_settings(found, world.journal, markets, locks=folder) as capital, world.mining():
        assert not capital.live
        async with asyncio.timeout(30):
            return await capital.settle(CapitalIntent(work, "t", MARKET, TEN, TEN, 0))


async def test_the_account_of_the_settings_splits_and_merges(anvil: Anvil, tmp_path: Path) -> None:
    world = await build(anvil)
    start = await world.balance(world.us)
    found = settings(world, tmp_path)
    split = await made(world, found, tmp_path)
    assert (split.fate, split.cash, split.as_expected) == (Fate.DONE, -TEN, True)
    assert await world.held(world.us, world.conditions[0]) == (start - TEN, TEN, TEN)
    merge = await made(world, found, tmp_path, Work.MERGE)
    assert (merge.fate, merge.cash) == (Fate.DONE, TEN)
    dollars = -(-merge.wei * 250_000 // 10**18)
    assert merge.gas == dollars > 0  # by the price that the file states


async def test_the_safe_of_the_settings_splits_for_itself(anvil: Anvil, tmp_path: Path) -> None:
    world = await build(anvil)
    safe = world.safe
    found = settings(world, tmp_path, holder=f'"{safe.address}"', multisend=f'"{safe.multisend}"')
    assert (await made(world, found, tmp_path)).fate is Fate.DONE
    assert (await world.held(safe.address, world.conditions[0]))[1:] == (TEN, TEN)


async def test_a_wrong_key_is_refused_before_any_node_is_asked_and_stays_unseen(anvil: Anvil, tmp_path: Path) -> None:
    world = await build(anvil)
    found = settings(world, tmp_path)
    (tmp_path / "key").write_text(anvil.keys[2])
    with pytest.raises(
        ConfigError, match=f"chain.holder: is {world.us}, but chain.keys.private_key signs for"
    ) as refused:
        await made(world, found, tmp_path)
    assert anvil.keys[2].removeprefix("0x") not in str(refused.value)
    assert list(world.journal.facts) == []


async def test_fault_C4_a_node_of_another_chain_is_told_by_number_and_nothing_is_signed(
    anvil: Anvil, tmp_path: Path
) -> None:
    world = await build(anvil)
    with pytest.raises((ChainUnavailable, WrongChain), match=r"node 1.*137") as refused:
        await made(world, settings(world, tmp_path, chain_id="80002"), tmp_path)
    assert anvil.url not in str(refused.value)
    assert world.facts("signed") == []


async def test_fault_C1_with_every_node_down_the_error_names_them_and_nothing_is_signed(
    anvil: Anvil, tmp_path: Path
) -> None:
    world = await build(anvil)
    async with FaultProxy(anvil.url, seed=1) as one, FaultProxy(anvil.url, seed=2) as two:
        for proxy in (one, two):
            proxy.add("status", code=503)
        with pytest.raises(ChainUnavailable, match=r"node 1.*node 2|node 2.*node 1") as refused:
            await made(world, settings(world, tmp_path, one.url, two.url), tmp_path)
        assert one.url not in str(refused.value)
    assert world.facts("signed") == []


async def test_fault_C13_without_leave_to_approve_a_missing_allowance_is_said_with_what_is_needed(
    anvil: Anvil, tmp_path: Path
) -> None:
    world = await build(anvil)
    result = await made(world, settings(world, tmp_path, approves="false"), tmp_path)
    assert (result.fate, result.cash) == (Fate.REFUSED, 0)
    assert result.reason == f"allowance to {world.contracts.operator}: {TEN} needed, 0 there"
    assert world.facts("signed") == []


async def test_fault_C8_gas_above_the_cap_of_the_settings_signs_nothing(anvil: Anvil, tmp_path: Path) -> None:
    world = await build(anvil)
    await anvil.do("anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
    await anvil.mine()
    with pytest.raises(FeeAboveCap, match="above the cap of 40 gwei"):
        await made(world, settings(world, tmp_path, max_fee_gwei="40"), tmp_path)
    assert world.facts("signed") == []


async def test_fault_C13_an_operator_that_is_no_known_spender_is_refused_at_the_start(
    anvil: Anvil, tmp_path: Path
) -> None:
    world = await build(anvil)
    world.contracts = type(world.contracts)(
        conditional_tokens=world.contracts.conditional_tokens,
        collateral=world.contracts.collateral,
        operator=world.contracts.operator,
        spenders=frozenset({world.other}),
    )
    with pytest.raises(ConfigError, match=f"the operator {world.contracts.operator} is none of the known spenders"):
        await made(world, settings(world, tmp_path), tmp_path)
