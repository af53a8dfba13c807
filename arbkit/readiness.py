"""What stands between settings and real money: every gate, and the reason why it is shut.

Nothing here reads an environment variable, a default or a file to open a gate: all of them are handed in by the one
command that arms, and each has to be open.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from contextlib import suppress

from arbkit.core.errors import ConfigError
from arbkit.journal.store import exposure
from arbkit.wiring.hosts import VENUES
from arbkit.wiring.keys import KeyReference
from arbkit.wiring.settings import Settings

__all__ = ["confirmation", "exposed", "keys_present", "live_gates"]


def confirmation(settings: Settings) -> str:
    """Return what a person types to arm: the account and the caps, so that a slip in them is read once more."""
    execution, limits = settings.execution, settings.limits
    caps = (execution.max_exposure, limits.max_trade_capital, limits.max_daily_loss, limits.max_total_capital)
    names = ("exposure", "trade", "day", "total")
    return f"live {settings.account}: " + ", ".join(f"{n} {cap:.2f}" for n, cap in zip(names, caps, strict=True))


def live_gates(
    settings: Settings,
    *,
    flag: bool,
    typed: str,
    keys_present: Collection[str],
    reconciled: bool,
    journal_exposed: str | Iterable[str],
    notebook: bool | None = None,
) -> list[str]:
    """Return why real orders may not be sent; they may when there is no reason left.

    `flag` is the word given on the command line, `typed` what a person typed (see `confirmation`), `keys_present` the
    keys that were found (see the function of that name), `reconciled` that what the venues hold is what the journal
    says, and `journal_exposed` who else can read journal, settings or keys (see `exposed`), empty when nobody can.
    Whether this is a notebook is looked up unless it is said. Only True opens a gate, nothing that is merely true.
    """
    reasons = []
    if settings.environment != "live":
        reasons.append(f"the settings are for {settings.environment}: `environment` must be live, in the file")
    if flag is not True:
        reasons.append("live was not asked for on the command line")
    wanted = confirmation(settings)
    if " ".join(typed.split()) != wanted:
        reasons.append(f"not confirmed: type exactly {wanted!r}")
    if not settings.venues:
        reasons.append("there is no venue to trade at")
    needed = [f"{venue.name}.{key}" for venue in settings.venues for key in VENUES[venue.name].needs]
    needed += ["chain.private_key"] if settings.chain is not None else []
    if missing := [key for key in needed if key not in keys_present]:
        reasons.append(f"keys are missing: {', '.join(missing)}")
    if reconciled is not True:
        reasons.append("what the venues hold is not what the journal says, or was not compared")
    told = [journal_exposed] if isinstance(journal_exposed, str) else list(journal_exposed)
    reasons += [reason for reason in told if reason]
    if in_notebook() if notebook is None else notebook:
        reasons.append("this is a notebook: live is armed outside of one, where no cell is run twice")
    return reasons


def keys_present(settings: Settings) -> set[str]:
    """Return the keys that can be read now, as "venue.key"."""
    found = set()
    for venue in settings.venues:
        for name, reference in venue.keys:
            try:
                reference.load(settings.folder)
            except ConfigError:
                continue
            found.add(f"{venue.name}.{name}")
    if (chain := settings.chain) is not None and chain.private_key is not None:
        with suppress(ConfigError):
            chain.private_key.load(settings.folder)
            found.add("chain.private_key")
    return found


def exposed(settings: Settings, file: str = "arbkit.toml") -> list[str]:
    """Return which of settings, key files and journal can be used by others than their owner, and what to do."""
    references = [ref for venue in settings.venues for _, ref in venue.keys]
    if (chain := settings.chain) is not None:
        references += [one for one in (chain.private_key, *chain.endpoints) if isinstance(one, KeyReference)]
    keys = [ref.path(settings.folder) for ref in references]
    paths = [settings.folder / file, settings.journal_path, *(path for path in keys if path is not None)]
    return [reason for path in paths if path.exists() and (reason := exposure(path))]


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules
