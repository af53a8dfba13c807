# ruff: noqa: N802
"""Every gate between settings and real money, alone shut and all of them open."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from arbkit.readiness import confirmation, exposed, keys_present, live_gates
from arbkit.wiring.settings import Settings, read_settings
from tests.unit.test_settings import DEMO, EVERY_LIMIT, LIVE, TOP

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def live(tmp_path: Path) -> Settings:
    path = tmp_path / "arbkit.toml"
    path.write_text(
        f'environment = "live"\n{TOP}{EVERY_LIMIT}{LIVE.replace("keyring:arbkit/polymarket", "file:p.key")}'
    )
    path.chmod(0o600)
    (tmp_path / "p.key").write_text("a key")
    (tmp_path / "p.key").chmod(0o600)
    return read_settings(path)


def gates(settings: Settings, **changed: Any) -> list[str]:
    open_: dict[str, Any] = {
        "flag": True,
        "typed": confirmation(settings),
        "keys_present": {"polymarket.private_key"},
        "reconciled": True,
        "journal_exposed": "",
        "notebook": False,
    }
    return live_gates(settings, **{**open_, **changed})


def test_with_every_gate_open_there_is_no_reason_left(live: Settings) -> None:
    assert gates(live) == []


@pytest.mark.parametrize(
    ("shut", "says"),
    [
        ({"flag": False}, "live was not asked for"),
        ({"flag": "1"}, "live was not asked for"),
        ({"flag": 1}, "live was not asked for"),
        ({"typed": ""}, "not confirmed: type exactly 'live main: exposure 10.00"),
        ({"typed": "yes"}, "not confirmed"),
        ({"typed": "live other: exposure 10.00, trade 10.00, day 5.00, total 50.00"}, "not confirmed"),
        ({"typed": "live main: exposure 1000, trade 10.00, day 5.00, total 50.00"}, "not confirmed"),
        ({"keys_present": set()}, "keys are missing: polymarket.private_key"),
        ({"reconciled": False}, "what the venues hold is not what the journal says"),
        ({"reconciled": "yes"}, "what the venues hold is not what the journal says"),
        ({"journal_exposed": "main.journal: readable by others"}, "main.journal: readable by others"),
        ({"journal_exposed": ["", "a.key: readable"]}, "a.key: readable"),
        ({"notebook": True}, "this is a notebook"),
    ],
)
def test_fault_G3_each_gate_alone_keeps_live_shut(live: Settings, shut: dict[str, Any], says: str) -> None:
    (reason,) = gates(live, **shut)
    assert says in reason


def test_fault_G3_what_was_typed_names_account_and_caps(live: Settings) -> None:
    wanted = "live main: exposure 10.00, trade 10.00, day 5.00, total 50.00"
    assert confirmation(live) == wanted
    assert gates(live, typed=f"  {wanted.replace(': ', ':   ')} \n") == []


@pytest.mark.parametrize("environment", ["paper", "demo"])
def test_fault_G3_settings_for_paper_or_a_demo_never_arm(tmp_path: Path, environment: str) -> None:
    path = tmp_path / "arbkit.toml"
    path.write_text(f'environment = "{environment}"\n{TOP}{DEMO}')
    found = gates(read_settings(path), keys_present={"kalshi.key_id", "kalshi.private_key"})
    assert found == [f"the settings are for {environment}: `environment` must be live, in the file"]


def test_fault_G3_no_environment_variable_and_no_default_opens_a_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ARBKIT_LIVE", "ARBKIT_ENVIRONMENT", "ENVIRONMENT", "LIVE", "ARBKIT_FLAG", "ARBKIT_CONFIRM"):
        monkeypatch.setenv(name, "live")
    path = tmp_path / "arbkit.toml"
    path.write_text(TOP)
    settings = read_settings(path)
    assert settings.environment == "paper"
    shut = live_gates(settings, flag=False, typed="", keys_present=(), reconciled=False, journal_exposed="")
    assert len(shut) == 5
    needed = inspect.signature(live_gates).parameters
    for name in ("flag", "typed", "keys_present", "reconciled", "journal_exposed"):
        assert needed[name].default is inspect.Parameter.empty
        assert needed[name].kind is inspect.Parameter.KEYWORD_ONLY


def test_fault_G3_what_decides_reads_no_environment_variable() -> None:
    """The environment is read for keys and to tell of proxies, and for nothing else."""
    readers = set()
    for source in [*(ROOT / "arbkit").rglob("*.py")]:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                readers.add(source.relative_to(ROOT / "arbkit").as_posix())
    decides = {"readiness.py", "wiring/settings.py", "wiring/caps.py", "integration.py", "wiring/session.py"}
    assert not readers & decides
    assert {"wiring/keys.py", "wiring/hosts.py"} <= readers


def test_fault_G3_a_notebook_is_recognised_by_its_kernel(live: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    (reason,) = gates(live, notebook=None)
    assert reason.startswith("this is a notebook")
    monkeypatch.delitem(sys.modules, "ipykernel")
    assert gates(live, notebook=None) == []


def test_keys_are_present_where_their_references_can_be_read(live: Settings) -> None:
    assert keys_present(live) == {"polymarket.private_key"}
    (live.folder / "p.key").unlink()
    assert keys_present(live) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="mode bits mean nothing there")
@pytest.mark.parametrize("name", ["arbkit.toml", "p.key", "main.journal"])
def test_fault_D7_a_file_that_others_may_read_keeps_live_shut(live: Settings, name: str) -> None:
    (live.folder / "main.journal").touch(0o600)
    assert exposed(live) == []
    (live.folder / name).chmod(0o644)
    (reason,) = exposed(live)
    assert f"{name} can be used by others than its owner (mode 644): chmod 600" in reason
    assert gates(live, journal_exposed=exposed(live)) == [reason]
