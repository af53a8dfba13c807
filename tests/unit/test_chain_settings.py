# ruff: noqa: N802 - a fault keeps the id it has in the fault table
"""The section `[chain]` as people write it and mistype it, and the account that it opens."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arbkit.chain.capital import PolygonCapital
from arbkit.core.errors import ConfigError
from arbkit.core.units import MICRO, cash
from arbkit.journal.memory import MemoryJournal
from arbkit.readiness import confirmation, exposed, keys_present, live_gates
from arbkit.settlement.contracts import POLYMARKET
from arbkit.wiring.chain_settings import LEAST_COST_POL, LEAST_FEE_GWEI, LEAST_PRICE, ChainSettings
from arbkit.wiring.keys import KeyReference
from arbkit.wiring.polygon import capital_by_settings, gas_by_settings
from arbkit.wiring.settings import Settings, check_settings, read_settings
from tests.rig import virtual
from tests.unit.test_settings import ENCODED, EVERY_LIMIT, HEX, LIVE, TOP, refusal, written

US = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OTHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
NODE = "0x" + "ab" * 20
KEY_OF_US = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"  # of the public test mnemonic
DEMO = f"""
[chain]
environment = "demo"
chain_id = 31337
endpoints = ["http://127.0.0.1:8545", "http://[::1]:8546"]
holder = "{US}"
pol_price = 0.25
keys = {{ private_key = "file:key" }}
"""
REAL = f"""
[chain]
environment = "live"
chain_id = 137
endpoints = ["env:POLYGON_RPC", "https://polygon.example.org"]
holder = "{US}"
pol_price = 0.25
max_fee_gwei = 600
max_cost_pol = 0.5
approves = false
keys = {{ private_key = "file:key" }}
"""


def demo(text: str = DEMO) -> str:
    return f'environment = "demo"\n{TOP}{text}' + VENUE


def live(text: str = REAL) -> str:
    return f'environment = "live"\n{TOP}{EVERY_LIMIT}{LIVE}{text}'


VENUE = """
[venues.polymarket]
environment = "demo"
url = "http://127.0.0.1:1"
stream = "ws://127.0.0.1:1"
chain_id = 137
keys = { private_key = "file:key" }
"""


def test_everything_that_is_written_is_in_the_settings_and_in_their_hash(tmp_path: Path) -> None:
    (found, without) = (
        read_settings(written(tmp_path, live())),
        read_settings(written(tmp_path, live(""))),
    )
    chain = found.chain
    assert chain is not None
    assert (chain.chain_id, chain.holder, chain.is_safe, chain.contracts) == (137, US, False, POLYMARKET)
    assert [str(one) for one in chain.endpoints] == ["env:POLYGON_RPC", "https://polygon.example.org"]
    assert (chain.max_fee_gwei, chain.max_cost_pol, chain.approves) == (600, 0.5, False)
    assert without.chain is None
    changed = [
        replace(chain, pol_price=0.26),
        replace(chain, holder=OTHER),
        replace(chain, endpoints=chain.endpoints[:1]),
        replace(chain, max_fee_gwei=601),
        replace(chain, max_cost_pol=0.6),
        replace(chain, approves=True),
        replace(chain, multisend=OTHER),
        replace(chain, private_key=None),
    ]
    hashes = {one.hash for one in (without, found, *(replace(found, chain=one) for one in changed[:-1]))}
    assert len(hashes) == len(changed) + 1
    assert changed[-1].plain() != chain.plain()
    assert replace(found, chain=replace(chain, max_fee_gwei=600.0)).hash == found.hash


def test_whoever_checks_the_settings_reads_what_gas_may_cost_and_for_whom(tmp_path: Path) -> None:
    said = check_settings(written(tmp_path, live()))
    assert "0.12 dollars in gas of one transaction: 0.5 POL, at most 600 gwei a unit" in said
    assert f"on chain 137 (live, 2 nodes) for {US}, giving no approvals" in said
    safe = demo(DEMO.replace("pol_price", f'multisend = "{OTHER}"\napproves = true\npol_price'))
    assert f"for {US}, a Safe, giving approvals that are missing" in check_settings(written(tmp_path, safe))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("chain_id = 31337\n", "", "chain.chain_id: is missing"),
        ("chain_id = 31337\n", 'chain_id = "137"\n', "chain.chain_id: must be a chain's number"),
        ("chain_id = 31337\n", "chain_id = true\n", "chain.chain_id: must be a chain's number"),
        ("pol_price = 0.25\n", "pol_price = nan\n", "chain.pol_price: must be a number above 0"),
        ("pol_price = 0.25\n", "pol_price = 0\n", "chain.pol_price: must be a number above 0"),
        ("pol_price = 0.25\n", "pol_price = 1e-30\n", "chain.pol_price: 1e-30 is less than a millionth of a dollar"),
        ("pol_price = 0.25\n", "pol_price = 0.25\nmax_cost_pol = 1e-30\n", "chain.max_cost_pol: 1e-30 pays for no"),
        ("chain_id = 31337\n", f"chain_id = {2**63}\n", "chain.chain_id: must be a chain's number"),
        ("chain_id = 31337\n", "chain_id = 137.0\n", "chain.chain_id: must be a chain's number"),
        ("pol_price = 0.25\n", f"pol_price = 1{'0' * 400}\n", "chain.pol_price: must be a number above 0"),
        ("pol_price = 0.25\n", "pol_price = inf\n", "chain.pol_price: must be a number above 0"),
        ("pol_price = 0.25\n", "pol_price = 0.25\nmultisend = false\n", "chain.multisend: is no address"),
        ("pol_price = 0.25\n", "pol_price = 0.25\nmax_fee_gwei = 100_000\n", "chain.max_fee_gwei: must be"),
        ("pol_price = 0.25\n", "pol_price = 0.25\nmax_cost_pol = -1\n", "chain.max_cost_pol: must be"),
        ("pol_price = 0.25\n", "pol_price = 0.25\nmax_fee_gwei = 20\n", "chain.max_fee_gwei: 20 pays no tip of 25"),
        ("pol_price = 0.25\n", 'pol_price = 0.25\napproves = "false"\n', "chain.approves: must be true or false"),
        ("pol_price = 0.25\n", "pol_price = 0.25\nmax_fee_gwe = 1\n", "chain.max_fee_gwe: is no setting; is max_fee_gwei"),
        (f'"{US}"', f'"{US[:-1]}"', "chain.holder: is no address"),
        (f'"{US}"', "7", "chain.holder: is no address"),
        ("pol_price = 0.25\n", 'pol_price = 0.25\nmultisend = "0x1"\n', "chain.multisend: is no address"),
        ('environment = "demo"\nchain_id', 'environment = "test"\nchain_id', "chain.environment: must be one of demo, live"),
        ('["http://127.0.0.1:8545", "http://[::1]:8546"]', "[]", "chain.endpoints: is empty"),
        ('["http://127.0.0.1:8545", "http://[::1]:8546"]', '"http://127.0.0.1"', "chain.endpoints: must be a list"),
        ('["http://127.0.0.1:8545", "http://[::1]:8546"]', "[1]", "chain.endpoints: must be a list"),
        ("http://[::1]:8546", "https://polygon.example.org", "number 2 (polygon.example.org) is not this machine"),
        ("http://[::1]:8546", "http://127.0.0.1:9/\\\\x", "number 2 is no address: it holds a blank"),
        ("http://[::1]:8546", "http://[::1", "number 2 is no address"),
        ("http://[::1]:8546", "ftp://127.0.0.1/", "number 2 must begin with https://"),
        ("http://[::1]:8546", "http://127.0.0.1/#x", "number 2 (127.0.0.1) holds a user, a password or a fragment"),
        ("http://[::1]:8546", "http://127.0.0.1/v2/abcdefgh", "number 2 (127.0.0.1) holds more than an address"),
        ("http://[::1]:8546", "http://127.0.0.1/?k=v", "number 2 (127.0.0.1) holds more than an address"),
        ("http://[::1]:8546", "env:1", "number 2: must be env:NAME"),
        ('keys = { private_key = "file:key" }\n\n', "\n", "chain.keys: private_key is missing"),
        ('keys = { private_key = "file:key" }\n\n', "keys = { private_ky = \"file:key\" }\n\n", "is no setting; is private_key"),
        ("[chain]\n", "[chain]\ncontracts = { collateral = 1 }\n", "chain.contracts.conditional_tokens: is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_name_of_its_field(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    text = demo()
    assert old in text
    assert says in refusal(tmp_path, text.replace(old, new, 1))


@pytest.mark.parametrize("key", ["0x" + "5e" * 31 + "5", "5e" * 33, "abandon " * 12])
@pytest.mark.parametrize("field", ["holder", "multisend"])
def test_a_key_with_a_slip_in_it_that_was_pasted_where_an_address_belongs_is_not_repeated(
    tmp_path: Path, field: str, key: str
) -> None:
    text = demo(DEMO.replace(US, key))
    if field == "multisend":
        text = demo(DEMO.replace("pol_price", f'multisend = "{key}"\npol_price'))
    said = refusal(tmp_path, text)
    assert f"chain.{field}: is no address of 0x and 40 digits" in said
    assert key[2:18] not in said


NUMBERS = ("pol_price", "max_fee_gwei", "max_cost_pol")
NO_NUMBERS = (0, -1, 0.0, 5e-324, 1e308, 10**400, float("nan"), float("inf"), -float("inf"), True, False, "1", None)


@pytest.mark.parametrize("field", ["chain_id", *NUMBERS])
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_no_number_of_the_section_takes_what_is_none_and_each_says_so_by_its_name(
    tmp_path: Path, field: str, value: Any
) -> None:
    chain = read_settings(written(tmp_path, demo())).chain
    assert chain is not None
    with pytest.raises(ConfigError, match=rf"^chain\.{field}: "):
        replace(chain, **{field: value})


A_CHAIN = ChainSettings(
    environment="demo", chain_id=31_337, endpoints=("http://127.0.0.1:8545",), holder=US, pol_price=0.25
)


@given(field=st.sampled_from(NUMBERS), value=st.floats() | st.floats(0, 1e-3) | st.floats(0, 1e4) | st.integers())
@example(field="max_cost_pol", value=LEAST_COST_POL)
@example(field="max_fee_gwei", value=LEAST_FEE_GWEI)
@example(field="pol_price", value=LEAST_PRICE)
def test_whatever_number_the_section_takes_gas_is_paid_and_weighed_by(field: str, value: Any) -> None:
    try:
        chain = replace(A_CHAIN, **{field: value})
    except ConfigError as refused:
        assert str(refused).startswith(f"chain.{field}: ")  # noqa: PT017 - most numbers are none
        return
    gas = gas_by_settings(chain)
    assert gas.cost_cap >= 21_000 * gas.tip_floor
    assert cash(chain.pol_price) > 0
    assert float(chain.pol_price) * MICRO <= cash(chain.pol_price) + 1e-6


def test_contracts_of_a_demo_are_read_and_each_slip_in_them_is_named(tmp_path: Path) -> None:
    good = {"conditional_tokens": f'"{US}"', "collateral": f'"{OTHER}"', "operator": f'"{US}"', "spenders": f'["{US}"]'}

    def text(**changed: str) -> str:
        listed = {**good, **changed}
        return demo(DEMO + "[chain.contracts]\n" + "".join(f"{name} = {value}\n" for name, value in listed.items()))

    found = read_settings(written(tmp_path, text())).chain
    assert found is not None
    assert found.contracts.operator == found.contracts.conditional_tokens == US
    assert found.contracts.spenders == {US}
    assert "chain.contracts.spenders: must be a list" in refusal(tmp_path, text(spenders='"all"'))
    assert "chain.contracts.spenders: must be a list" in refusal(tmp_path, text(spenders="[1]"))
    assert "chain.contracts.collateral: must be text" in refusal(tmp_path, text(collateral="1"))
    assert "chain.contracts: operator is no address" in refusal(tmp_path, text(operator='"0x1"'))
    assert "chain.contracts: a spender is no address" in refusal(tmp_path, text(spenders='["0x1"]'))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("max_fee_gwei = 600\n", "", "chain.max_fee_gwei: is missing"),
        ("max_cost_pol = 0.5\n", "", "chain.max_cost_pol: is missing"),
        ("approves = false\n", "", "chain.approves: is missing"),
        ("chain_id = 137\nendpoints", "chain_id = 80002\nendpoints", "80002 is not the live chain, which is 137"),
        ("https://polygon.example.org", "http://polygon.example.org", "number 2 (polygon.example.org) must be https://"),
        ("https://polygon.example.org", "http://127.0.0.1:8545", "number 2 is this machine, which is not Polygon"),
        ('[chain]\nenvironment = "live"', '[chain]\nenvironment = "demo"', "not this machine: a demo asks no other"),
        (
            'keys = { private_key = "file:key" }\n',
            f"""keys = {{ private_key = "file:key" }}
[chain.contracts]
conditional_tokens = "{US}"
collateral = "{US}"
operator = "{US}"
""",
            "chain.contracts: live has Polymarket's contracts and no others",
        ),
    ],
)  # fmt: skip
def test_fault_G5_live_states_every_cap_and_asks_polygons_nodes_alone(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    text = live()
    assert old in text
    assert says in refusal(tmp_path, text.replace(old, new, 1))


def test_fault_G5_a_chain_of_another_environment_than_venues_or_engine_is_refused(tmp_path: Path) -> None:
    assert "chain.environment: demo, but polymarket is live" in refusal(tmp_path, live(DEMO))
    paper = f"{TOP}{REAL}{VENUE}"
    assert "chain.environment: live, but polymarket is demo" in refusal(tmp_path, paper)
    real = read_settings(written(tmp_path, live())).chain
    played = read_settings(written(tmp_path, demo()))
    with pytest.raises(ConfigError, match=r"chain\.environment: live, but polymarket is demo"):
        replace(played, chain=real)


def test_a_demo_signs_nothing_that_polygon_would_take_from_whoever_passes_it_on(tmp_path: Path) -> None:
    polygon = DEMO.replace("31337", "137")
    says = "chain.chain_id: 137 with Polymarket's contracts"
    assert f"{says} (conditional_tokens, collateral, operator, neg_risk_adapter) is" in refusal(tmp_path, demo(polygon))
    ours = dict.fromkeys(("conditional_tokens", "collateral", "operator"), US)

    def stating(**contracts: str) -> str:
        lines = [f'{name} = "{value}"' for name, value in (ours | contracts).items()]
        return demo(f"{polygon}[chain.contracts]\n" + "\n".join(lines) + "\n")

    for name in (*ours, "neg_risk_adapter"):  # one is enough: a split takes real money by the operator alone
        assert f"{says} ({name}) is Polygon" in refusal(tmp_path, stating(**{name: getattr(POLYMARKET, name).lower()}))
    assert read_settings(written(tmp_path, stating())).chain is not None


class Kept(MemoryJournal):
    """A journal of an account, as one on disk is, in memory."""

    def __init__(self, environment: str, account: str = "main") -> None:
        super().__init__()
        self.environment, self.account = environment, account


def opened(settings: Settings, tmp_path: Path, journal: MemoryJournal | None = None, **more: Any) -> None:
    async def main() -> None:
        kept = MemoryJournal() if journal is None else journal
        async with capital_by_settings(settings, kept, {}, locks=tmp_path, **more) as capital:
            assert isinstance(capital, PolygonCapital)

    virtual(main())


def armed(settings: Settings, **shut: Any) -> Any:
    """Return the gates as the command that arms hands them on: open, but for what is said to be shut."""
    said = {"flag": True, "typed": confirmation(settings), "reconciled": True, "journal_exposed": "", "notebook": False}
    keys = {"polymarket.private_key", "chain.private_key"}
    return partial(live_gates, **{**said, "keys_present": keys, **shut})


def test_fault_G3_a_real_account_opens_no_key_and_asks_no_node_before_every_gate_is_open(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, live()))  # its keys and its first node are not there: it looks for none

    def refused(gates: Any) -> str:
        with pytest.raises(ConfigError) as found:
            opened(settings, tmp_path, Kept("live"), gates=gates)
        return str(found.value)

    assert refused(None) == "chain: no real money is moved: the gates of live were not asked"
    shut = {"flag": False, "typed": "yes", "keys_present": (), "reconciled": False, "journal_exposed": "readable"}
    for name, value in shut.items():
        (reason,) = armed(settings, **{name: value})(settings)
        assert refused(armed(settings, **{name: value})) == f"chain: no real money is moved: {reason}"
    assert all(reason in refused(armed(settings, **shut)) for reason in armed(settings, **shut)(settings))
    assert refused(armed(settings)).startswith(
        "chain.keys.private_key: file:key: cannot be read"
    )  # with every gate open the key is next


def test_fault_G5_an_account_is_not_opened_on_the_record_of_another_as_an_engine_does_not_start_on_it(
    tmp_path: Path,
) -> None:
    real, played = (read_settings(written(tmp_path, text)) for text in (live(), demo()))
    with pytest.raises(ConfigError, match="the chain is live, and the record is one of paper: use another journal"):
        opened(real, tmp_path, gates=armed(real))
    with pytest.raises(ConfigError, match="the journal is of environment 'paper', not 'live'"):
        opened(real, tmp_path, Kept("paper"), gates=armed(real))
    with pytest.raises(ConfigError, match="the journal is of environment 'live', not 'demo'"):
        opened(played, tmp_path, Kept("live"))
    with pytest.raises(ConfigError, match="the journal is of account 'other', not 'main'"):
        opened(played, tmp_path, Kept("demo", "other"))


def test_paper_has_no_signer_and_without_the_section_there_is_no_chain(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chain: paper signs nothing"):
        opened(read_settings(written(tmp_path, TOP + DEMO)), tmp_path)
    with pytest.raises(ConfigError, match="chain: there is no such section"):
        opened(read_settings(written(tmp_path, TOP)), tmp_path)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (KEY_OF_US.replace("59c6", "59c7"), "chain.holder: is 0x7099"),
        ("no key", "chain.keys.private_key: the account's private key is not 32 bytes in hex"),
        ("", "chain.keys.private_key: file:key: there is no key there"),
    ],
)
def test_a_wrong_key_is_named_by_its_field_and_shown_nowhere(tmp_path: Path, key: str, says: str) -> None:
    (tmp_path / "key").write_text(key)
    with pytest.raises(ConfigError) as refused:
        opened(read_settings(written(tmp_path, demo())), tmp_path)
    assert says in str(refused.value)
    assert key not in str(refused.value) or not key
    assert HEX not in str(refused.value)


def test_a_public_test_key_is_refused_live(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY_OF_US)
    settings = read_settings(written(tmp_path, live()))
    with pytest.raises(ConfigError, match=r"chain.keys.private_key: the key of 0x7099\w+ is public"):
        opened(settings, tmp_path, Kept("live"), gates=armed(settings))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://rpc.example.org/v2/abcdefghijklmnop", "number 1 (rpc.example.org) is not this machine"),
        ("ws://127.0.0.1/", "number 1 must begin with https://"),
    ],
)
def test_an_address_that_is_kept_elsewhere_is_judged_when_it_is_read_and_its_key_not_shown(
    tmp_path: Path, address: str, says: str
) -> None:
    (tmp_path / "rpc").write_text(address)
    chain = read_settings(written(tmp_path, demo(DEMO.replace("http://127.0.0.1:8545", "file:rpc")))).chain
    assert chain is not None
    with pytest.raises(ConfigError) as refused:
        chain.urls(tmp_path)
    assert str(refused.value).startswith(f"chain.endpoints: {says}")
    assert "abcdefgh" not in str(refused.value)
    (tmp_path / "rpc").write_text("http://127.0.0.1:8545/v2/abcdefghijklmnop")
    assert "abcdefgh" not in repr(chain.urls(tmp_path))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545/"),
        ("http://127.0.0.1:8545/rpc", "http://127.0.0.1:8545/%72pc//"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("http://127.0.0.1", "http://127.0.0.1:"),
        ("https://127.0.0.1/", "HTTPS://127.0.0.1:443"),
        ("http://127.0.0.1:8545", "HTTP://127.0.0.1:08545"),
        ("http://127.0.0.1:8545", "https://127.0.0.1:8545"),
        ("http://127.0.0.1:8545", "http://LocalHost:8545"),
        ("http://[::1]:8545", "http://[0:0:0:0:0:0:0:1]:8545"),
    ],
)
def test_two_spellings_of_one_node_are_refused_in_the_file_and_behind_references(
    tmp_path: Path, first: str, second: str
) -> None:
    def endpoints(one: str, other: str) -> str:
        return demo(DEMO.replace("http://127.0.0.1:8545", one).replace("http://[::1]:8546", other))

    names = [address.partition("://")[2].partition("/")[0] for address in (first, second)]
    said = "number 2 ({}) stands there twice: it is number 1 ({}), no second node"
    assert said.format(names[1], names[0]) in refusal(tmp_path, endpoints(first, second))
    assert said.format(names[0], names[1]) in refusal(tmp_path, endpoints(second, first))
    for name, address in (("one", first), ("other", second)):
        (tmp_path / name).write_text(address)
    chain = read_settings(written(tmp_path, endpoints("file:one", "file:other"))).chain
    assert chain is not None
    with pytest.raises(ConfigError) as refused:
        chain.urls(tmp_path)
    assert said.format("file:other", "file:one") in str(refused.value)
    assert "127.0.0.1" not in str(refused.value)


def test_a_live_node_in_capitals_and_with_its_port_is_the_same_one(tmp_path: Path) -> None:
    twice = '["https://polygon.example.org", "https://Polygon.Example.ORG.:443/"]'
    text = live(REAL.replace('["env:POLYGON_RPC", "https://polygon.example.org"]', twice))
    assert "number 2 (Polygon.Example.ORG.:443) stands there twice: it is number 1 (polygon.example.org)" in refusal(
        tmp_path, text
    )


def test_one_reference_twice_is_one_node_and_a_key_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    chain = read_settings(written(tmp_path, demo())).chain
    assert chain is not None
    reference = KeyReference("file", "rpc")
    with pytest.raises(ConfigError, match=r"number 2 \(file:rpc\) stands there twice: it is number 1 \(file:rpc\)"):
        replace(chain, endpoints=(reference, reference))
    with pytest.raises(ConfigError, match="number 1 is neither an address nor a reference to one"):
        replace(chain, endpoints=(8545,))  # type: ignore[arg-type]
    named = KeyReference("env", ENCODED.removesuffix("="))
    with pytest.raises(ConfigError, match=r"number 2 \(env:\*\*\*\) stands there twice: it is number 1 \(env:\*\*\*\)"):
        replace(chain, endpoints=(named, named))
    (tmp_path / "rpc").write_text("http://127.0.0.1:8545/v2/abcdefghijklmnop")
    (tmp_path / "other").write_text("HTTP://127.0.0.1:8545/v2/abcdefghijklmnop/")
    with pytest.raises(ConfigError, match=r"number 2 .* stands there twice") as refused:
        replace(chain, endpoints=(reference, KeyReference("file", "other"))).urls(tmp_path)
    assert "abcdefgh" not in str(refused.value)


def test_what_differs_in_port_path_or_query_are_two_nodes(tmp_path: Path) -> None:
    chain = read_settings(written(tmp_path, demo())).chain
    assert chain is not None
    base = "http://127.0.0.1:8545"
    several = (base, f"{base}/a", f"{base}/A", "http://127.0.0.1:8546", "http://127.0.0.1", "https://127.0.0.1")
    assert len(replace(chain, endpoints=several).urls(tmp_path)) == len(several)
    for name, address in (("one", f"{base}/?k=v"), ("other", f"{base}/?k=w")):
        (tmp_path / name).write_text(address)
    keyed = replace(chain, endpoints=(KeyReference("file", "one"), KeyReference("file", "other")))
    assert len(keyed.urls(tmp_path)) == 2


def test_fault_G3_live_waits_for_the_chains_key_too_and_for_what_others_may_read(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, live()))
    (tmp_path / "arbkit.toml").chmod(0o600)

    def reasons() -> str:
        gates = live_gates(
            settings,
            flag=True,
            typed="",
            keys_present=keys_present(settings),
            reconciled=True,
            journal_exposed=exposed(settings),
            notebook=False,
        )
        return " ".join(gates)

    assert "chain.private_key" in reasons()
    (tmp_path / "key").write_text(KEY_OF_US)
    (tmp_path / "key").chmod(0o644)
    assert "chain.private_key" not in reasons()
    assert f"{tmp_path / 'key'}" in reasons()
    (tmp_path / "key").chmod(0o600)
    assert f"{tmp_path / 'key'}" not in reasons()
