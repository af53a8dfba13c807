"""The cache of compiled code is never stale: tried on a small package with the very same `compiled`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

import arbkit.core.compiled as module
from arbkit.core.compiled import source_hash

FILES = {
    "arbkit/__init__.py": "",
    "arbkit/core/__init__.py": "",
    "arbkit/core/codes.py": "STEP = 1\nunused = 0\n",
    "arbkit/callee.py": (
        "from arbkit.core.codes import STEP\nfrom arbkit.core.compiled import compiled\n\n\n"
        "@compiled\ndef callee(x):\n    return 10 * x + STEP\n"
    ),
    "arbkit/caller.py": (
        "from arbkit.callee import callee\nfrom arbkit.core.compiled import compiled\n\n\n"
        "@compiled\ndef caller(x):\n    return callee(x) + 100\n"
    ),
    "arbkit/plain.py": "def plain(x):\n    return x\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "arbkit/core/compiled.py").write_text(Path(module.__file__).read_text())
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def run(package: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Call the outer function in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from arbkit.caller import caller; print(caller(1))"],
        cwd=package,
        env={**os.environ, "ARBKIT_CACHE": str(cache), "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )


def answer(package: Path) -> int:
    done = run(package, package / "cache")
    assert done.stderr == ""
    return int(done.stdout)


@pytest.mark.no_cover
def test_an_edited_callee_or_constant_of_another_file_is_compiled_anew(package: Path) -> None:
    cache = package / "cache"
    assert answer(package) == 111
    assert answer(package) == 111
    assert len(list(cache.iterdir())) == 1
    assert list(cache.rglob("*caller*.nbi"))
    edit(package / "arbkit/callee.py", "10 * x", "20 * x")
    assert answer(package) == 121
    edit(package / "arbkit/core/codes.py", "STEP = 1", "STEP = 2")
    assert answer(package) == 122
    assert len(list(cache.iterdir())) == 3


@pytest.mark.no_cover
def test_where_the_cache_cannot_be_written_nothing_is_kept_so_that_nothing_goes_stale_and_that_is_said_once(
    package: Path,
) -> None:
    (package / "file").write_text("")
    below = package / "file" / "cache"  # not even root can make a folder there
    for changed, value in ((None, 111), ("20 * x", 121)):
        if changed:
            edit(package / "arbkit/callee.py", "10 * x", changed)
        done = run(package, below)
        assert int(done.stdout) == value
        assert done.stderr.count("Warning") == 1
        assert f"{below}" in done.stderr
        assert "ARBKIT_CACHE" in done.stderr
    assert list(package.rglob("*.nb?")) == []


def test_a_function_is_compiled_without_a_cache_where_none_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARBKIT_CACHE", str(tmp_path / "file"))
    module._folder.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="set ARBKIT_CACHE to a folder that can be written") as warned:
            made: Any = [module.compiled(second_of), module.inlined(second_of)]
    finally:
        module._folder.cache_clear()
    assert len(warned) == 1
    assert [each.stats.cache_path for each in made] == [None, None]
    assert made[0](Pair(np.arange(3), np.arange(3, 6)), 1) == 4


def test_what_compiled_code_is_made_of_changes_the_hash_and_nothing_else_does(package: Path) -> None:
    where = package / "arbkit"
    before = source_hash(where)
    edit(where / "plain.py", "return x", "return -x")
    assert source_hash(where) == before
    edit(where / "callee.py", "10 * x", "20 * x")
    after = source_hash(where)
    assert after != before
    edit(where / "core/codes.py", "STEP = 1", "STEP = 3")
    assert source_hash(where) not in (before, after)


def test_the_cache_stands_where_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARBKIT_CACHE", str(tmp_path))
    assert module.cache_home() == tmp_path
    monkeypatch.delenv("ARBKIT_CACHE")
    assert module.cache_home() == Path.home() / ".cache" / "arbkit"


def test_the_users_own_cache_folder_stays_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert module.compiled(edit) is not edit
    assert str(tmp_path) == numba.config.CACHE_DIR


class Pair(NamedTuple):
    one: np.ndarray
    other: np.ndarray


def second_of(pair: Pair, at: int) -> int:
    return int(pair.other[at])


def made(length: int) -> np.ndarray:
    return np.zeros(length, np.int64)


def test_compiled_code_counts_no_references_to_the_arrays_it_borrows() -> None:
    code = numba.njit(second_of)
    borrowed = numba.njit(**{**module.OPTIONS, "cache": False})(second_of)  # of cached code nothing can be seen
    pair = Pair(np.arange(3), np.arange(3, 6))
    assert code(pair, 1) == borrowed(pair, 1) == 4
    assert "NRT_decref" in "".join(code.inspect_llvm().values())
    assert "NRT_" not in "".join(borrowed.inspect_llvm().values())


def test_compiled_code_that_makes_an_array_of_its_own_is_refused() -> None:
    with pytest.raises(numba.TypingError):
        module.compiled(made)(3)
