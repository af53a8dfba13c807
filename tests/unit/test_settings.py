# ruff: noqa: N802
"""`arbkit.toml` as people write it, mistype it and leave keys in it."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError, JournalError
from arbkit.integration import ArbitrageExecutionEngine
from arbkit.journal.store import JournalFile
from arbkit.risk.limits import RiskLimits
from arbkit.wiring.caps import INSIDE, amounts
from arbkit.wiring.hosts import ignored_proxies
from arbkit.wiring.keys import KeyReference
from arbkit.wiring.settings import Settings, VenueSettings, check_settings, read_settings, worst_case
from tests.rig import Rig, virtual

HEX = "4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAwX\n-----END RSA PRIVATE KEY-----"
ENCODED = "q8Zb1vYxT0mRkP3sL9uJ5hWcN2aGdEfQ7oIiBnVtXrK="

TOP = 'account = "main"\njournal = "main.journal"\n'
DEMO = """
[venues.kalshi]
environment = "demo"
url = "https://external-api.demo.kalshi.co/trade-api/v2"
stream = "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"
keys = { key_id = "env:KALSHI_KEY_ID", private_key = "file:kalshi.pem" }
"""
LIVE = """
[venues.polymarket]
environment = "live"
url = "https://clob.polymarket.com"
stream = "wss://ws-subscriptions-clob.polymarket.com/ws"
chain_id = 137
keys = { private_key = "keyring:arbkit/polymarket" }
"""
EVERY_LIMIT = """
[execution]
max_exposure = 10
max_size = 20
max_unwind_loss = 0.05
[limits]
max_order_shares = 20
max_order_capital = 10
max_trade_capital = 10
max_market_shares = 40
max_market_capital = 20
max_event_capital = 20
max_venue_capital = 40
max_pair_capital = 20
max_total_capital = 50
max_open_orders = 4
max_daily_loss = 5
max_drawdown = 10
min_price = 0.02
max_price = 0.98
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "arbkit.toml"
    path.write_text(text)
    return path


def settings(tmp_path: Path, text: str) -> Settings:
    return read_settings(written(tmp_path, text))


def refusal(tmp_path: Path, text: str) -> str:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read_settings(path)
    said = str(refused.value)
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


def with_live(text: str = EVERY_LIMIT) -> str:
    return f'environment = "live"\n{TOP}{text}{LIVE}'


# -- what is read ------------------------------------------------------------------------------------------------


def test_settings_say_paper_where_nothing_is_said(tmp_path: Path) -> None:
    found = settings(tmp_path, TOP)
    assert found.environment == "paper"
    assert found.execution == ExecutionConfig()
    assert found.limits == RiskLimits()
    assert found.venues == ()
    assert found.journal_path == tmp_path / "main.journal"


def test_everything_that_is_written_is_in_the_settings(tmp_path: Path) -> None:
    text = f'environment = "demo"\n{TOP}[execution]\nmax_exposure = 7\npost_only = false\n[limits]\nmax_open_orders = 3\n{DEMO}'
    found = settings(tmp_path, text)
    assert found.execution == ExecutionConfig(max_exposure=7, post_only=False)
    assert found.limits == RiskLimits(max_open_orders=3)
    venue = found.venue("kalshi")
    assert venue.url == "https://external-api.demo.kalshi.co/trade-api/v2"
    assert dict(venue.keys) == {
        "key_id": KeyReference("env", "KALSHI_KEY_ID"),
        "private_key": KeyReference("file", "kalshi.pem"),
    }
    with pytest.raises(ConfigError, match="polymarket"):
        found.venue("polymarket")


def test_live_settings_with_every_limit_stated_are_read(tmp_path: Path) -> None:
    assert settings(tmp_path, with_live()).environment == "live"


# -- G1: what cannot be meant ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            TOP + "[limits]\nmax_trade_captial = 5\n",
            "limits.max_trade_captial: is no setting; is max_trade_capital meant?",
        ),
        (TOP + "[execution]\nmax_exposre = 5\n", "execution.max_exposre: is no setting; is max_exposure meant?"),
        (TOP + "[executions]\n", "executions: is no setting; is execution meant?"),
        ('acount = "main"\n', "acount: is no setting; is account meant?"),
        (
            TOP + "zzz = 1\n",
            "zzz: is no setting; there are environment, account, journal, execution, limits, venues, chain",
        ),
        (TOP + "[venues.kalsi]\n", "venues.kalsi: is no setting; is kalshi meant?"),
        (TOP + "[venues.kalshi]\nurll = 1\n", "venues.kalshi.urll: is no setting; is url meant?"),
        (TOP + DEMO.replace("key_id", "keyid"), "venues.kalshi.keys.keyid: is no key of this venue; is key_id meant?"),
    ],
)
def test_fault_G1_a_name_that_is_no_setting_is_refused_with_the_near_one(tmp_path: Path, text: str, says: str) -> None:
    assert refusal(tmp_path, text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('post_only = "false"', "execution.post_only must be true or false, not 'false'"),
        ("post_only = 0", "execution.post_only must be true or false, not 0"),
        ('max_exposure = "250"', "execution.max_exposure must be a finite number, not '250'"),
        ("max_exposure = nan", "execution.max_exposure must be a finite number, not nan"),
        ("max_exposure = inf", "execution.max_exposure must be a finite number, not inf"),
        ("max_exposure = -1", "execution.max_exposure = -1 is outside"),
        ("max_exposure = 0", "execution.max_exposure = 0 is outside"),
        ("max_exposure = true", "execution.max_exposure must be a finite number, not True"),
        ("max_exposure = [1]", "execution.max_exposure must be a finite number"),
        ("max_exposure = 2026-01-01", "execution.max_exposure must be a finite number"),
        ("max_exposure = 1e8", "execution.max_exposure: 100,000,000.00 is more than anybody means"),
        ("max_size = 5e6", "execution.max_size: 5,000,000.00 is more than anybody means"),
        ('edge = "brutto"', "execution.edge must be 'net' or 'gross'"),
    ],
)
def test_fault_G1_a_value_that_cannot_be_meant_is_refused_by_its_key(tmp_path: Path, text: str, says: str) -> None:
    assert refusal(tmp_path, f"{TOP}[execution]\n{text}\n").startswith(says)


@pytest.mark.parametrize("name", [field.name for field in fields(RiskLimits)])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "true", '"5"', "1e12", "[]", f"1{'0' * 400}"])
def test_fault_G1_no_risk_limit_takes_what_cannot_be_meant(tmp_path: Path, name: str, value: str) -> None:
    assert f"limits.{name}" in refusal(tmp_path, f"{TOP}[limits]\n{name} = {value}\n")


@pytest.mark.parametrize("name", [field.name for field in fields(RiskLimits)] + ["max_exposure", "max_size"])
def test_fault_G1_live_has_no_silent_default_for_a_risk_limit(tmp_path: Path, name: str) -> None:
    lines = [line for line in EVERY_LIMIT.splitlines() if not line.startswith(f"{name} ")]
    said = refusal(tmp_path, with_live("\n".join(lines)))
    assert f".{name}: live states every limit, and there is no word on " in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TOP + "account = 1\n", "not TOML: "),
        ("journal = 1\n" + 'account = "m"\n', "journal: must be text"),
        ('journal = "j"\naccount = "../x"\n', "account: must be a name"),
        ('journal = " "\naccount = "m"\n', "journal: must be the path of a file"),
        ('journal = "j"\n', "account: is missing"),
        (TOP + "limits = 3\n", "limits: must be a table"),
        (TOP + "[venues]\nkalshi = 3\n", "venues.kalshi: must be a table"),
        (TOP + "environment = 'production'\n", "environment: must be one of paper, demo, live, not 'production'"),
        (TOP + "environment = ['live']\n", "environment: must be one of"),
        (TOP + "environment = 'Live'\n", "environment: must be one of"),
        (TOP + '[venues.kalshi]\nenvironment = "demo"\n', "venues.kalshi.url: is missing"),
        (TOP + DEMO.replace('"demo"', "1"), "venues.kalshi.environment: must be text"),
        (f"account = {'[' * 2_000}", "not TOML: "),
        (f"account = {'9' * 5_000}", "not TOML: "),
    ],
)
def test_fault_G1_what_is_missing_or_of_another_kind_is_named(tmp_path: Path, text: str, says: str) -> None:
    assert refusal(tmp_path, text).startswith(says)


def test_fault_G1_a_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            read_settings(path)
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        read_settings(tmp_path / "a.toml")


# -- G4: a key in the file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"account = '''{PEM}'''\n", "account"),
        (TOP + DEMO.replace("file:kalshi.pem", f"0x{HEX}"), "venues.kalshi.keys.private_key"),
        (TOP + DEMO.replace("file:kalshi.pem", HEX), "venues.kalshi.keys.private_key"),
        (TOP + DEMO.replace("file:kalshi.pem", ENCODED), "venues.kalshi.keys.private_key"),
        (TOP + DEMO.replace("file:kalshi.pem", "short-one"), "venues.kalshi.keys.private_key"),
        (TOP + DEMO.replace("file:kalshi.pem", f"env:{HEX}"), "venues.kalshi.keys.private_key"),
        (TOP + DEMO.replace("env:KALSHI_KEY_ID", "0e6ae2c0-7d3b-4a5c-9d0f-1c2b3a4d5e6f"), "venues.kalshi.keys.key_id"),
        (TOP + f'api_secret = "{ENCODED}"\n', "api_secret"),
        (TOP + "password = 1234567\n", "password"),
        (TOP + '[execution]\npassphrase = "correct horse"\n', "execution.passphrase"),
        (TOP + '[[extra]]\ntoken = "abcdef"\n', "extra.token"),
        (TOP + f'note = "{ENCODED}"\n', "note"),
        (TOP + DEMO.replace("https://external", "https://anna:s3cret-word@external"), "venues.kalshi.url"),
        (TOP + DEMO.replace('/v2"', '/v2?api_key=s3cret-word"'), "venues.kalshi.url"),
        (TOP + f"# the old one was 0x{HEX}\n", "line 3"),
        (TOP + "# https://anna:s3cret-word@rpc.example\n", "line 3"),
        (TOP + f"{HEX} = 1\n", "line 3"),
    ],
)
def test_fault_G4_a_key_in_the_file_is_refused_by_name_and_never_repeated(
    tmp_path: Path, text: str, named: str
) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith(f"{named}: ")
    for secret in (
        HEX,
        ENCODED,
        "MIIEow",
        "s3cret-word",
        "short-one",
        "correct horse",
        'abcdef"',
        "1234567",
        "0e6ae2c0",
    ):
        assert secret not in said


def test_fault_G4_a_key_beside_broken_syntax_is_not_repeated_either(tmp_path: Path) -> None:
    for text in (f"{TOP}key = 0x{HEX}zz\n", f'{TOP}key = "{HEX}\n', f"{TOP}{PEM}\n", f"{TOP}0x{HEX}\n"):
        said = refusal(tmp_path, text)
        assert HEX not in said
        assert "MIIEow" not in said


@pytest.mark.parametrize(
    "text", ["", "x", "env:", "env:1A", "env:A B", "file:", "keyring:x", "keyring:a/b/c", "vault:x", 5]
)
def test_fault_G4_only_a_reference_is_a_reference(text: object) -> None:
    with pytest.raises(ConfigError, match=r"must be env:NAME, file:PATH or keyring:SERVICE/NAME"):
        KeyReference.parse(text)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("env", f"e{HEX[1:]}"),
        ("env", HEX),
        ("env", ENCODED),
        ("file", PEM),
        ("file", HEX),
        ("file", f"keys/0x{HEX}"),
        ("file", f"https://me:{ENCODED}@example.org/"),
        ("keyring", HEX),
        ("keyring", f"arbkit/{HEX}"),
        (HEX, "name"),
        (HEX, HEX),
        (None, HEX),
        (["env"], HEX),
        ("file", 5),
    ],
)
def test_fault_G4_a_reference_that_is_built_in_code_from_a_key_does_not_repeat_it(kind: Any, name: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be env:NAME, file:PATH or keyring:SERVICE/NAME") as refused:
        KeyReference(kind, name)
    assert not any(part in str(refused.value) for part in (HEX, HEX[1:], ENCODED, "MIIEow"))


def test_fault_G4_what_may_be_a_name_and_may_be_a_key_is_masked_where_it_is_said(tmp_path: Path) -> None:
    name = ENCODED.removesuffix("=")
    for kind in ("env", "file"):
        reference = KeyReference(kind, name)  # type: ignore[arg-type]
        with pytest.raises(ConfigError) as refused:
            reference.load(tmp_path, {})
        assert name not in f"{refused.value} {reference!r} {(reference,)} {reference.shown}"
        assert f"{kind}:***: " in str(refused.value)
    assert repr(KeyReference("env", "MY_KEY")) == "KeyReference(env:MY_KEY)"


def test_fault_G4_a_reference_is_read_when_it_is_needed_and_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text(f"{PEM}\n")
    from_file = KeyReference.parse("file:k.pem").load(tmp_path)
    assert from_file.reveal() == PEM
    from_env = KeyReference.parse("env:MY_KEY").load(environ={"MY_KEY": HEX})
    assert from_env.reveal() == HEX
    assert HEX not in repr((from_env, from_file, KeyReference.parse("env:MY_KEY")))


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:NOT_THERE", "env:NOT_THERE: there is no key there"),
        ("env:BLANK", "env:BLANK: there is no key there"),
        ("file:none.pem", "file:none.pem: cannot be read: No such file"),
        ("file:.", "file:.: not a file of a key's size"),
        ("file:big", "file:big: not a file of a key's size"),
        ("file:bytes", "file:bytes: not a text"),
        ("keyring:arbkit/nobody", "keyring:arbkit/nobody: "),
    ],
)
def test_a_key_that_is_not_there_is_told_by_its_reference(tmp_path: Path, reference: str, says: str) -> None:
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    (tmp_path / "bytes").write_bytes(b"\xffsecret")
    with pytest.raises(ConfigError) as refused:
        KeyReference.parse(reference).load(tmp_path, {"BLANK": " "})
    assert str(refused.value).startswith(says)
    assert "secret" not in str(refused.value)


class Keyring(ModuleType):
    """The part of the package keyring that is asked; locked, it does not answer."""

    class errors:  # noqa: N801
        class KeyringError(Exception):
            pass

    def __init__(self, kept: dict[tuple[str, str], str] | None) -> None:
        super().__init__("keyring")
        self.kept = kept

    def get_password(self, service: str, name: str) -> str | None:
        if self.kept is None:
            raise self.errors.KeyringError("locked, the key is hunter2")
        return self.kept.get((service, name))


def test_a_key_is_read_from_the_systems_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = KeyReference.parse("keyring:arbkit/main")
    monkeypatch.setitem(sys.modules, "keyring", Keyring({("arbkit", "main"): HEX}))
    assert reference.load().reveal() == HEX
    monkeypatch.setitem(sys.modules, "keyring", Keyring({}))
    with pytest.raises(ConfigError, match="keyring:arbkit/main: there is no key there"):
        reference.load()
    monkeypatch.setitem(sys.modules, "keyring", Keyring(None))
    with pytest.raises(ConfigError, match=r"keyring:arbkit/main: the keyring does not answer: KeyringError$"):
        reference.load()


# -- G5: environments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # an address of one environment under the tag of the other
        (TOP + DEMO.replace('"demo"', '"live"'), "is kalshi's demo host, but `environment` of the venue is live"),
        (TOP + LIVE.replace('"live"', '"demo"'), "is polymarket's live host, but `environment` of the venue is demo"),
        (TOP + DEMO.replace("wss://external-api-ws.demo.kalshi.co", "wss://external-api-ws.kalshi.com"),
         "venues.kalshi.stream: external-api-ws.kalshi.com is kalshi's live host"),
        # a venue of one environment under settings of the other
        (with_live().replace(LIVE, DEMO), "venues.kalshi.environment: demo, but `environment` is live"),
        (f'environment = "demo"\n{TOP}{LIVE}', "venues.polymarket.environment: live, but `environment` is demo"),
        (TOP + DEMO + LIVE, "venues.polymarket.environment: live, but kalshi is demo"),
        # a chain of the other
        (TOP + LIVE.replace("137", "80002"), "venues.polymarket.chain_id: 80002 is not the live chain, which is 137"),
        (TOP + LIVE.replace("chain_id = 137", ""), "venues.polymarket.chain_id: must be a chain's number, 137"),
        (TOP + LIVE.replace("137", '"137"'), "venues.polymarket.chain_id: must be a chain's number, 137"),
        (TOP + DEMO + "[venues.kalshi.more]\n", "venues.kalshi.more: is no setting"),
        (TOP + DEMO.replace("keys", "chain_id = 137\nkeys"), "venues.kalshi.chain_id: kalshi is on no chain"),
        # a journal of the other
        (with_live().replace("main.journal", "paper.journal"), "journal: 'paper.journal' is called paper, but"),
        (TOP.replace("main.journal", "x/main-live.db"), "journal: 'x/main-live.db' is called live, but `environment` is paper"),
        # nowhere to trade, or with no key
        (f'environment = "demo"\n{TOP}', "venues: demo trades somewhere, and no venue is given"),
        (f'environment = "demo"\n{TOP}' + DEMO.replace('key_id = "env:KALSHI_KEY_ID", ', ""),
         "venues.kalshi.keys.key_id: is missing"),
    ],
)  # fmt: skip
def test_fault_G5_environments_do_not_mix(tmp_path: Path, text: str, says: str) -> None:
    assert says in refusal(tmp_path, text)


def test_fault_G5_the_journal_of_another_environment_is_not_opened(tmp_path: Path) -> None:
    found = settings(tmp_path, TOP)
    with JournalFile(found.journal_path, account=found.account, environment=found.environment, locks=tmp_path):
        pass
    live = settings(tmp_path, with_live())
    with pytest.raises(JournalError, match=r"is the journal of account 'main' \(paper\), not of 'main' \(live\)"):
        JournalFile(live.journal_path, account=live.account, environment=live.environment, locks=tmp_path)


def test_fault_G5_settings_open_their_journal_for_their_account_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = settings(tmp_path, TOP)
    with found.open_journal() as journal:
        assert (journal.path, journal.account, journal.environment) == (found.journal_path, "main", "paper")
    live = settings(tmp_path, with_live())
    with pytest.raises(JournalError, match=r"is the journal of account 'main' \(paper\), not of 'main' \(live\)"):
        live.open_journal()


# -- G7: one run, one text ---------------------------------------------------------------------------------------


def test_fault_G7_settings_do_not_change_while_they_are_used(tmp_path: Path) -> None:
    found = settings(tmp_path, f'environment = "demo"\n{TOP}{DEMO}')
    for of, name in ((found, "environment"), (found.execution, "max_exposure"), (found.limits, "max_total_capital"),
                     (found.venues[0], "url"), (found.venues[0].keys[0][1], "name")):  # fmt: skip
        with pytest.raises(FrozenInstanceError):
            setattr(of, name, 1)
    written(tmp_path, TOP)  # an edit of the file is not seen
    assert found.environment == "demo"
    assert isinstance(found.venues, tuple)
    assert isinstance(found.venues[0].keys, tuple)


def test_fault_G7_the_hash_does_not_see_order_comments_or_spelling(tmp_path: Path) -> None:
    one = f"{TOP}[execution]\nmax_exposure = 7\nmax_size = 5\n[limits]\nmax_open_orders = 3\n{DEMO}"
    other = (
        f"# mine\n{DEMO}\n[limits]\nmax_open_orders = 3 # three\n[execution]\nmax_size = 5.0\nmax_exposure = 7.0\n"
        "post_only = true\n"  # the default, written out
    )
    other = TOP.replace('"', "'") + other
    assert settings(tmp_path, one).hash == settings(tmp_path, other).hash
    assert len(settings(tmp_path, one).hash) == 64


def test_fault_G7_the_hash_changes_with_every_value(tmp_path: Path) -> None:
    base = settings(tmp_path, TOP + DEMO)
    (venue,) = base.venues
    loop = replace(venue, url="http://127.0.0.1:1/x")
    changed = [
        replace(base, account="other"),
        replace(base, journal="other"),
        replace(base, environment="demo"),
        replace(base, venues=()),
        replace(base, venues=(loop,)),
        replace(base, venues=(replace(venue, stream="ws://[::1]:1/x"),)),
        replace(base, venues=(replace(venue, keys=venue.keys[:1]),)),
        replace(base, venues=(replace(venue, keys=(*venue.keys[:1], ("private_key", KeyReference("env", "K")))),)),
    ]
    for kind, name in ((base.execution, "execution"), (base.limits, "limits")):
        for field in dataclasses.fields(kind):
            value = getattr(kind, field.name)
            new = {bool: not value, str: "gross", type(None): 0.5}.get(
                type(value), value / 2 if type(value) is float else 5
            )
            changed.append(replace(base, **{name: replace(kind, **{field.name: new})}))
    hashes = {each.hash for each in changed} | {base.hash}
    assert len(hashes) == len(changed) + 1
    assert replace(base, folder=tmp_path / "elsewhere").hash == base.hash


def test_fault_G7_the_journal_tells_by_the_hash_what_a_run_ran_by(tmp_path: Path) -> None:
    found, rig = settings(tmp_path, TOP), Rig()
    engine = ArbitrageExecutionEngine(rig.venues, rig.feed, [rig.basket], config=found.execution, journal=rig.journal)

    async def session() -> None:
        await engine.start(account=found.account, environment=found.environment, settings=found.hash)
        await engine.stop()

    virtual(session())
    (started,) = [fact for fact in rig.journal.facts if fact.fact == "session.started"]
    assert (started.key, started.get("environment"), started.get("config")) == ("main", "paper", found.hash)


# -- G8: where requests go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://clob.polymarket.com", "must be https://: without TLS anybody on the way"),
        ("ftp://clob.polymarket.com", "must begin with https:// and name a host"),
        ("clob.polymarket.com", "must begin with https:// and name a host"),
        ("https://", "must begin with https:// and name a host"),
        (
            "https://clob.polymarket.com.evil.example",
            "is no host of polymarket; its live hosts are clob.polymarket.com",
        ),
        ("https://evil.example/clob.polymarket.com", "evil.example is no host of polymarket"),
        ("https://clob.polymarket.com@evil.example", "looks like a key"),
        ("https://clob.polymarket.com\\\\@evil.example", "looks like a key"),
        ("https://clob.polymarket.com\\\\.evil.example", "is no address"),
        ("https://clob.polymarket.com\\tx", "is no address"),
        ("https://xn--clb-sna.polymarket.com", "is no host of polymarket"),
        ("https://clob.polymarket.com.", "is no host of polymarket"),
        ("https://10.0.0.7", "10.0.0.7 is no host of polymarket"),
        ("https://external-api.kalshi.com", "is no host of polymarket"),
        ("https://clob.polymarket.com/?x=1", "holds more than an address"),
        ("https://clob.polymarket.com/#x", "holds more than an address"),
        ("https://clob.polymarket.com:x", "is no address"),
        ("https://[::1", "is no address"),
        ("https://127.0.0.1", "is this machine, which is no venue"),
        ("http://localhost:8080", "is this machine, which is no venue"),
    ],
)
def test_fault_G8_no_request_goes_to_another_host_or_in_plain_text(tmp_path: Path, url: str, says: str) -> None:
    said = refusal(tmp_path, TOP + LIVE.replace("https://clob.polymarket.com", url))
    assert says in said
    assert said.startswith("venues.polymarket.url: ")


def test_fault_G8_a_venue_that_is_made_without_a_file_is_held_to_the_same() -> None:
    stream = "wss://ws-subscriptions-clob.polymarket.com/ws"
    for url in ("https://a:b@clob.polymarket.com", "https://@clob.polymarket.com", "http://clob.polymarket.com"):
        with pytest.raises(ConfigError, match=r"venues\.polymarket\.url: "):
            VenueSettings(name="polymarket", environment="live", url=url, stream=stream, chain_id=137)


def test_fault_G8_a_stream_is_held_to_the_same(tmp_path: Path) -> None:
    plain = LIVE.replace("wss://", "ws://")
    assert "venues.polymarket.stream: must be wss://" in refusal(tmp_path, TOP + plain)
    assert "must begin with wss://" in refusal(tmp_path, TOP + LIVE.replace("wss://", "https://"))


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.9.9.9"])
def test_fault_G8_plain_text_is_for_a_demo_on_this_machine(tmp_path: Path, host: str) -> None:
    text = LIVE.replace("https://clob.polymarket.com", f"http://{host}").replace('"live"', '"demo"')
    text = text.replace("wss://ws-subscriptions-clob.polymarket.com/ws", f"ws://{host}/ws")
    assert settings(tmp_path, TOP + text).venues[0].chain_id == 137  # a chain on this machine has any number


def test_fault_G8_hosts_are_compared_without_case(tmp_path: Path) -> None:
    assert settings(tmp_path, TOP + LIVE.replace("clob.polymarket.com", "CLOB.Polymarket.com", 1)).venues


def test_fault_G8_proxies_of_the_environment_are_flagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"HTTPS_PROXY": "http://u:p@proxy", "all_proxy": "x", "http_proxy": "", "NO_PROXY": "x", "PATH": "/"}
    assert ignored_proxies(environ) == ("HTTPS_PROXY", "all_proxy")
    monkeypatch.setenv("HTTPS_PROXY", "http://u:p@proxy")
    told = check_settings(written(tmp_path, TOP))
    assert "note: HTTPS_PROXY is set in the environment: arbkit does not use it" in told
    assert "u:p" not in told


# -- U8: a slip in an amount -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "slip", "says"),
    [
        ("max_trade_capital = 10", "max_trade_capital = 1000", "limits.max_trade_capital: 1,000.00 is more than limits.max_total_capital = 50.00"),
        ("max_exposure = 10", "max_exposure = 1000", "execution.max_exposure: 1,000.00 is more than limits.max_trade_capital = 10.00"),
        ("max_size = 20", "max_size = 2000", "execution.max_size: 2,000.00 is more than limits.max_order_shares = 20.00"),
        ("max_order_capital = 10", "max_order_capital = 1000", "limits.max_order_capital: 1,000.00 is more than limits.max_trade"),
        ("max_daily_loss = 5", "max_daily_loss = 500", "limits.max_daily_loss: 500.00 is more than limits.max_drawdown = 10.00"),
        ("max_daily_loss = 5", "max_daily_loss = 0.05", "limits.max_daily_loss: 0.05, but undoing one trade may lose 0.50"),
        ("max_total_capital = 50", "max_total_capital = 5", "is more than limits.max_total_capital = 5.00"),
        ("max_total_capital = 50", "max_total_capital = 50000000", "limits.max_total_capital: 50,000,000.00 is more than anybody means"),
    ],
)  # fmt: skip
def test_fault_U8_a_slip_in_an_amount_contradicts_its_neighbours(
    tmp_path: Path, right: str, slip: str, says: str
) -> None:
    assert right in EVERY_LIMIT
    assert says in refusal(tmp_path, with_live(EVERY_LIMIT.replace(right, slip)))


def test_fault_U8_on_paper_only_what_was_written_is_held_against_each_other(tmp_path: Path) -> None:
    assert settings(tmp_path, TOP + "[limits]\nmax_total_capital = 50\n").limits.max_trade_capital == 10_000
    said = refusal(tmp_path, TOP + "[limits]\nmax_total_capital = 50\nmax_trade_capital = 1000\n")
    assert said.endswith("and so bounds nothing: one of the two is a slip")


def test_every_cap_that_is_compared_is_a_setting_and_the_defaults_agree() -> None:
    values = amounts(ExecutionConfig(), RiskLimits())
    for inner, outer in INSIDE:
        assert values[inner] <= values[outer]


def test_fault_U8_the_worst_case_is_echoed_in_dollars(tmp_path: Path) -> None:
    told = worst_case(settings(tmp_path, with_live()))
    assert told.splitlines()[0] == "LIVE, real money: account main, at polymarket (live)"
    amounts_told = [line.split()[0] for line in told.splitlines()[2:8]]
    assert amounts_told == ["10.00", "0.50", "10.00", "5.00", "40.00", "50.00"]
    for field in fields(RiskLimits):
        assert field.name in told
    paper = check_settings(written(tmp_path, TOP))
    assert "PAPER, no real money: account main, at nowhere" in paper
    assert "can be used, hash " in paper
