import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from everthread.errors import EXIT_USAGE, RefusedError
from everthread.plan import take_ports
from everthread.ports import free_port, is_free, keep, next_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free(taken: int) -> None:
    assert not is_free(taken)
    assert next_free(taken) != taken


def test_a_port_that_was_given_is_given_to_nobody_else_though_no_server_listens() -> None:
    port = free_port(2)
    ask = f"from everthread.ports import keep; print([keep(given, anew=True) for given in ({port}, {port + 1})])"
    assert [keep(given, anew=True) for given in (port, port + 1)] == [False, False]
    asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=30, check=True)
    assert asked.stdout.strip() == "[False, False]"


@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
def test_a_port_with_a_server_of_somebody_else_is_not_kept(option: str) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert [keep(port), keep(port, anew=True)] == [False, False]


@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
def test_a_server_listens_on_a_port_that_was_given_and_again_after_its_end(option: str) -> None:
    port = free_port()
    for _ in range(2):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
            server.bind(("127.0.0.1", port))
            server.listen()
            with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0]:
                assert client.getpeername() == ("127.0.0.1", port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_row_of_ports_starts_behind_the_taken_one(taken: int) -> None:
    found = next_free(taken - 1, 2)
    assert found is not None
    assert taken not in range(found, found + 2)


def test_a_taken_port_is_named_and_the_next_free_one_offered(taken: int) -> None:
    with pytest.raises(RefusedError) as refused:
        take_ports(taken - 1, 2)
    assert f"port {taken} is taken" in str(refused.value) or f"port {taken - 1} is taken" in str(refused.value)
    assert "use --port" in str(refused.value)


@pytest.mark.parametrize(("port", "count"), [(0, 1), (-1, 1), (65536, 1), (65535, 2)])
def test_what_is_no_port_is_a_wrong_option(port: int, count: int) -> None:
    with pytest.raises(RefusedError) as refused:
        take_ports(port, count)
    assert refused.value.exit_code == EXIT_USAGE
