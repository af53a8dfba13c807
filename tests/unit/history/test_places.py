"""Tapes that lie elsewhere: fetched once and opened like others, or refused with what to do."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

import arbkit as ak
import arbkit.books.ladder  # kernels find their own cache here, before a test moves the one of tapes
from arbkit.core.errors import DataError
from arbkit.history.importers import import_recording
from arbkit.history.places import folder_of, is_url, path_of
from arbkit.history.synthetic import SyntheticSpec
from arbkit.history.tape import Tape, read_tape

fsspec = pytest.importorskip("fsspec", reason="needs the extra arbkit[cluster]")


@pytest.fixture
def tape() -> Tape:
    return ak.synthetic_tape(SyntheticSpec(minutes=0.2, episodes=2), seed=5)


@pytest.fixture
def memory(tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a tape in fsspec's memory, and a cache of its own."""
    monkeypatch.setenv("ARBKIT_CACHE", str(tmp_path / "cache"))
    tape.write(tmp_path / "tape")
    system = fsspec.filesystem("memory")
    system.put(str(tmp_path / "tape"), "/bucket/tape", recursive=True)
    yield "memory://bucket/tape"
    system.rm("/bucket", recursive=True)


def copies(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "tapes").iterdir())


def test_a_tape_at_a_url_is_the_tape_and_is_fetched_once(tape: Tape, memory: str, tmp_path: Path) -> None:
    assert read_tape(memory).digest == tape.digest
    (copy,) = copies(tmp_path)
    written = copy.stat().st_mtime_ns
    assert read_tape(memory, verify=False).digest == tape.digest
    assert copies(tmp_path) == [copy]
    assert copy.stat().st_mtime_ns == written


def test_another_tape_put_at_the_url_is_fetched_anew(memory: str, tmp_path: Path) -> None:
    before = read_tape(memory).digest
    other = ak.synthetic_tape(SyntheticSpec(minutes=0.2, episodes=2), seed=6)
    other.write(tmp_path / "other")
    fsspec.filesystem("memory").put(f"{tmp_path / 'other'}/", "/bucket/tape", recursive=True)
    assert read_tape(memory).digest == other.digest != before


def test_a_tape_without_its_replay_file_is_read_from_its_rows(tape: Tape, memory: str) -> None:
    fsspec.filesystem("memory").rm("/bucket/tape/replay.arrow")
    assert read_tape(memory).digest == tape.digest


def test_a_tape_that_is_not_whole_yet_is_refused_by_its_place_and_nothing_of_it_kept(
    tape: Tape, memory: str, tmp_path: Path
) -> None:
    system = fsspec.filesystem("memory")
    system.rm("/bucket/tape/rows", recursive=True)
    with pytest.raises(DataError, match=r"^memory://bucket/tape/rows: holds 0 rows"):
        read_tape(memory)
    assert not copies(tmp_path)
    system.put(str(tmp_path / "tape" / "rows"), "/bucket/tape/rows", recursive=True)
    assert read_tape(memory).digest == tape.digest


def test_a_copy_that_was_damaged_on_the_way_is_refused(memory: str, tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    whole = system.cat_file("/bucket/tape/replay.arrow")
    system.pipe_file("/bucket/tape/replay.arrow", whole[:4_000] + bytes([whole[4_000] ^ 1]) + whole[4_001:])
    with pytest.raises(DataError, match="memory://bucket/tape"):
        read_tape(memory, verify=False)
    assert not copies(tmp_path)


def test_a_url_without_a_tape_is_refused(memory: str) -> None:
    with pytest.raises(DataError, match=r"memory://elsewhere/tape: not a tape: there is no tape\.json in it"):
        read_tape(memory.replace("bucket", "elsewhere"))


def test_threads_that_fetch_one_tape_at_a_time_get_it_whole(tape: Tape, memory: str, tmp_path: Path) -> None:
    ready, found = Barrier(4), []

    def fetch() -> None:
        ready.wait()
        found.append(read_tape(memory).digest)

    threads = [Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tape.digest] * 4
    assert len(copies(tmp_path)) == 1


def test_a_tape_may_lie_in_a_zip(tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBKIT_CACHE", str(tmp_path / "cache"))
    tape.write(tmp_path / "tape")
    with zipfile.ZipFile(tmp_path / "tapes.zip", "w") as file:
        for path in sorted((tmp_path / "tape").rglob("*")):
            file.write(path, path.relative_to(tmp_path))
    assert read_tape(f"zip://tape::{tmp_path / 'tapes.zip'}").digest == tape.digest


def test_a_file_url_is_its_path_whatever_is_in_its_name(tape: Tape, tmp_path: Path) -> None:
    folder = tmp_path / "a b#c"
    tape.write(f"file://{tmp_path}/a%20b%23c")
    assert read_tape(f"file://localhost{tmp_path}/a%20b%23c").digest == tape.digest
    assert folder_of(f"file://{tmp_path}/a%20b%23c") == folder
    assert [path.name for path in tmp_path.iterdir()] == ["a b#c"]


def test_what_can_only_be_a_path_of_this_machine_refuses_a_url(
    tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: tape.write("s3://bucket/tape"),
        lambda: import_recording("s3://bucket/hour.parquet", tmp_path / "tape"),
        lambda: import_recording(tmp_path / "hour.parquet", "memory://tape"),
        lambda: import_recording(tmp_path / "hour.parquet", tmp_path / "tape", "https://host/markets.toml"),
        lambda: ak.load_run("s3://bucket/run"),
    ):
        with pytest.raises(DataError, match="is a path of this machine; copy it with fsspec's own get and put"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_message_shows_no_password_and_no_signature() -> None:
    with pytest.raises(DataError) as refused:
        path_of("sftp://me:secret@host/tape?sig=hidden", "a recording")
    assert "sftp://host/tape:" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("gibberish://x/tape", "cannot be read: Protocol not known"),
        ("file://host/tape", "has three slashes, or names another machine"),
        (Path("s3://bucket/tape"), "a Path takes a slash out of a URL"),
    ],
)
def test_a_place_that_cannot_be_is_refused_with_what_is_wrong(place: str | Path, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_tape(place)


def test_a_drive_and_a_path_with_a_colon_are_no_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_url("C:\\tapes\\one")
    assert not is_url("C://tapes")
    assert not is_url("a:b/c")
    monkeypatch.chdir(tmp_path)
    Path("ab:").mkdir()
    Path("ab:/x").touch()
    assert path_of("ab:/x", "a tape") == Path("ab:/x")
