import errno
import stat
from pathlib import Path

import pytest
from everthread.errors import RefusedError, explain_os_error
from everthread.home import Home, kept_passwords, write_private
from everthread.state import MeshState, PartState, public, read_state, write_state

PART = PartState(name="gateway-1", pid=7, port=8080, state="ready", health_port=20001, probe="/readyz", restarts=1)
MESH = MeshState(pid=3, urls=["http://127.0.0.1:8080"], issuer="development", uses={"nats": "embedded"}, parts=[PART])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_state_is_read_as_it_was_written_and_only_by_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    write_state(file, MESH)
    assert read_state(file) == MESH
    assert mode(file) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_public_parts_have_the_promised_members() -> None:
    assert public([PART]) == [{"name": "gateway-1", "pid": 7, "port": 8080, "state": "ready"}]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"parts": [{"name": 1}]}', '{"parts": 3}', '{"parts": [], "pid": 1}']
)
def test_a_damaged_state_counts_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    assert read_state(file) is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    write_private(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(file, "\ud800")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_passwords_are_made_once_and_extended_for_new_names(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    first = kept_passwords(file, ("gateway",))
    both = kept_passwords(file, ("gateway", "inference"))
    assert both["gateway"] == first["gateway"]
    assert both["inference"] != both["gateway"]
    assert kept_passwords(file, ("gateway", "inference")) == both
    assert mode(file) == 0o600


def test_a_home_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    assert home.supervisor() is None
    with home.locked():
        assert home.supervisor() is not None
        with pytest.raises(RefusedError, match=r"already runs on .* \(pid \d+\)"), home.locked():
            pass
    assert home.supervisor() is None
    with home.locked():
        pass


def test_data_and_logs_are_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    assert {mode(path) for path in (home.logs, home.nats, home.mongo)} == {0o700}


def test_a_file_in_the_place_of_the_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(RefusedError, match="is a file where a folder is needed"):
        Home(tmp_path / "home").prepare()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk that holds /h is full"),
        (errno.EACCES, "cannot be written by this user"),
        (errno.EROFS, "cannot be written by this user"),
        (errno.EMFILE, "too many"),
    ],
)
def test_file_errors_become_one_sentence(number: int, sentence: str) -> None:
    told = explain_os_error(OSError(number, "too many"), Path("/h"))
    assert sentence in told
    assert "\n" not in told
