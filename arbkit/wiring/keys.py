"""Where a key is kept: settings hold references to keys, never keys."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self, cast

from arbkit.core.errors import ConfigError
from arbkit.core.secrets import KEY_NAME, Secret, has_login, is_key_like, redacted
from arbkit.core.toml import leaves

Kind = Literal["env", "file", "keyring"]
FORMS: dict[str, re.Pattern[str]] = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "file": re.compile(r"[^\x00-\x1f]+"),
    "keyring": re.compile(r"[^\x00-\x1f/]+/[^\x00-\x1f/]+"),
}
SAID = "env:NAME, file:PATH or keyring:SERVICE/NAME"
MOST_BYTES = 65_536  # a key file is not longer


@dataclass(frozen=True, slots=True)
class KeyReference:
    """An environment variable, a file (relative to the settings' folder) or an entry of the system's keyring.

    ConfigError for what is none, or could be a key, without repeating it: it may be the key itself. What is said of a
    reference later has everything masked that looks like one.
    """

    kind: Kind
    name: str

    def __post_init__(self) -> None:
        is_text = all(isinstance(one, str) for one in (self.kind, self.name))
        if not is_text or self.kind not in FORMS or not FORMS[self.kind].fullmatch(self.name):
            raise ConfigError(f"must be {SAID}, never the key itself")
        if is_key_like(self.name) or has_login(self.name):
            raise ConfigError(f"looks like a key, and keys do not stand here: must be {SAID}")

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a reference; ConfigError for anything else."""
        kind, _, name = text.partition(":") if isinstance(text, str) else ("", "", "")
        return cls(cast(Kind, kind), name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def shown(self) -> str:
        """The reference for people; a name that somebody took for the place of a key itself is not repeated."""
        return redacted(str(self))

    def __repr__(self) -> str:
        return f"KeyReference({self.shown})"

    def path(self, folder: Path) -> Path | None:
        """Return the file a reference names, None when it names none; `folder` is that of the settings."""
        return folder / Path(self.name).expanduser() if self.kind == "file" else None

    def load(self, folder: Path = Path(), environ: Mapping[str, str] | None = None) -> Secret:
        """Return the key; ConfigError naming the reference when there is none, and no more of it than that."""
        if self.kind == "env":
            text = (os.environ if environ is None else environ).get(self.name, "")
        elif self.kind == "file":
            text = self._read(folder)
        else:
            text = self._asked()
        if not text.strip():
            raise ConfigError(f"{self.shown}: there is no key there")
        return Secret(text.strip())

    def _read(self, folder: Path) -> str:
        path = folder / Path(self.name).expanduser()
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                raise ConfigError(f"{self.shown}: not a file of a key's size")
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{self.shown}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{self.shown}: not a text") from None  # the error itself quotes the bytes

    def _asked(self) -> str:
        service, _, name = self.name.partition("/")
        try:
            keyring: Any = import_module("keyring")
        except ImportError:
            raise ConfigError(f"{self.shown}: the package keyring is not installed") from None
        try:
            return str(keyring.get_password(service, name) or "")
        except keyring.errors.KeyringError as error:
            raise ConfigError(f"{self.shown}: the keyring does not answer: {type(error).__name__}") from None


def refuse_keys(document: Mapping[str, Any], text: str) -> None:
    """Raise ConfigError for what could be a key, by the name of its setting or the number of its line.

    Its value is never repeated. Under a name that keys have only a reference may stand; nothing else may look like a
    key, a comment neither.
    """
    for where, name, value in leaves(document):
        reference = isinstance(value, str) and value.partition(":")[0] in FORMS
        if KEY_NAME.fullmatch(name) and not reference:
            raise ConfigError(f"{where}: a key does not stand in a file like this: write {SAID}")
        if not isinstance(value, str):
            continue
        if is_key_like(value) or has_login(value) or (not reference and redacted(value) != value):
            raise ConfigError(f"{where}: looks like a key, and keys do not stand here: write {SAID}")
    for number, line in enumerate(text.splitlines(), 1):
        if is_key_like(line) or has_login(line):
            raise ConfigError(f"line {number}: looks like a key, and keys do not stand here, not even in a comment")
