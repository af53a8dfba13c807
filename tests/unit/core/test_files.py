from pathlib import Path

import pytest

from arbkit.core.files import written


def half(target: Path, error: BaseException) -> None:
    with written(target) as temporary:
        temporary.write_text("half")
        raise error


def test_a_file_appears_at_the_end_and_nothing_else_does(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "file.txt"
    with written(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"):
        half(target, RuntimeError("half-way"))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupt_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        half(tmp_path / "file.txt", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_the_systems_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), written(tmp_path / "file" / "x"):
        pass
