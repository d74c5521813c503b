import socket
from collections.abc import Iterator

import pytest
from everthread.errors import EXIT_USAGE, RefusedError
from everthread.plan import check_port
from everthread.ports import free_port, is_free, next_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free(taken: int) -> None:
    assert not is_free(taken)
    assert next_free(taken) != taken


def test_a_free_port_avoids_those_already_given() -> None:
    port = free_port()
    assert is_free(port)
    assert free_port({port}) != port


def test_a_row_of_ports_starts_behind_the_taken_one(taken: int) -> None:
    found = next_free(taken - 1, 2)
    assert found is not None
    assert taken not in range(found, found + 2)


def test_a_taken_port_is_named_and_the_next_free_one_offered(taken: int) -> None:
    with pytest.raises(RefusedError) as refused:
        check_port(taken - 1, 2)
    assert f"port {taken} is taken" in str(refused.value) or f"port {taken - 1} is taken" in str(refused.value)
    assert "use --port" in str(refused.value)


@pytest.mark.parametrize(("port", "count"), [(0, 1), (-1, 1), (65536, 1), (65535, 2)])
def test_what_is_no_port_is_a_wrong_option(port: int, count: int) -> None:
    with pytest.raises(RefusedError) as refused:
        check_port(port, count)
    assert refused.value.exit_code == EXIT_USAGE
