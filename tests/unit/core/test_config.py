from dataclasses import FrozenInstanceError, fields

import pytest

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError

NUMBERS = [f.name for f in fields(ExecutionConfig) if f.name not in ("edge", "protect_edge", "post_only")]


def test_the_settings_that_come_without_asking_are_legal() -> None:
    assert ExecutionConfig() == ExecutionConfig(min_edge=0.0001)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -2, "0.1", True, [1], 10**400])
def test_no_number_setting_takes_what_cannot_be_meant(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"config.{name}"):
        ExecutionConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "max_slippage"])
def test_only_the_slippage_in_dollars_may_be_absent(name: str) -> None:
    assert ExecutionConfig(max_slippage=None).max_slippage is None
    with pytest.raises(ConfigError, match=f"config.{name}"):
        ExecutionConfig(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"min_edge": 5}, r"config.min_edge = 5 is outside -1..1"),
        ({"max_size": 0}, r"config.max_size = 0 is outside"),
        ({"max_slippage": 1.5}, r"config.max_slippage = 1.5 is outside 0..1"),
        ({"max_unwind_loss": 1.01}, r"config.max_unwind_loss"),
        ({"improve_ticks": 1.5}, r"whole number"),
        ({"edge": "brutto"}, r"'net' or 'gross', not 'brutto'"),
        ({"post_only": 1}, r"config.post_only must be true or false, not 1"),
        ({"protect_edge": "no"}, r"config.protect_edge must be true or false"),
        ({"hedge_retry_s": 20, "hedge_timeout_s": 10}, r"nothing could be undone"),
    ],
)
def test_a_refusal_names_setting_and_bounds(given: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ExecutionConfig(**given)  # type: ignore[arg-type]


def test_a_refused_setting_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="outside"):
        ExecutionConfig(min_edge=5)


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ExecutionConfig().min_edge = 0.5  # type: ignore[misc]
