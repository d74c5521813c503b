import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from everthread.errors import RefusedError
from everthread.external import check_mongo, check_nats, server_version, without_secret


@contextmanager
def greeter(line: bytes) -> Iterator[int]:
    """A server that says one line to the first caller."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def greet() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.sendall(line)
                caller.recv(1)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def info(version: str, jetstream: bool = True) -> bytes:
    return b"INFO " + json.dumps({"version": version, "jetstream": jetstream}).encode() + b"\r\n"


@pytest.mark.parametrize("version", ["2.12.0", "2.15.1", "3.0.0-RC.1"])
def test_a_recent_broker_is_taken(version: str) -> None:
    with greeter(info(version)) as port:
        assert check_nats(f"nats://user:secret@127.0.0.1:{port}") == version


@pytest.mark.parametrize("version", ["2.11.9", "1.4.1", "odd"])
def test_an_old_broker_is_refused_with_both_versions(version: str) -> None:
    with greeter(info(version)) as port, pytest.raises(RefusedError) as refused:
        check_nats(f"127.0.0.1:{port}")
    assert version in str(refused.value)
    assert "2.12.0 or newer" in str(refused.value)


def test_a_broker_without_jetstream_is_refused() -> None:
    with greeter(info("2.15.1", jetstream=False)) as port, pytest.raises(RefusedError, match="no JetStream"):
        check_nats(f"nats://127.0.0.1:{port}")


def test_the_second_of_two_addresses_is_asked_when_the_first_does_not_answer() -> None:
    with greeter(info("2.15.1")) as port:
        assert check_nats(f"nats://127.0.0.1:1, nats://127.0.0.1:{port}") == "2.15.1"


def test_something_else_than_a_broker_counts_as_no_answer_and_the_secret_is_not_said() -> None:
    with greeter(b"SSH-2.0\r\n") as port, pytest.raises(RefusedError) as refused:
        check_nats(f"nats://user:secret@127.0.0.1:{port}")
    assert "no NATS server answers" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["nats://127.0.0.1:http", "nats://u:secret@[::1", f"nats://u:secret@{'a' * 300}:4222"])
def test_a_port_or_host_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(RefusedError, match="no usable port") as refused:
        check_nats(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:secret@127.0.0.1",
        "mongodb://user:secret@127.0.0.1:99999/x",
        "mongodb://user:secret@127.0.0.1:http/x",
        "mongodb://user:secret@[::1",
        "mongodb://user:secret@127.0.0.1:1/?tls=true&tlsCAFile=/not/there",
    ],
)
def test_what_is_no_mongodb_address_is_refused_in_one_sentence(uri: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check_mongo(uri)
    assert "cannot be used" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "version"), [("2.12.1-RC.1", (2, 12, 1)), ("v2.15.1", (2, 15, 1)), ("", (0, 0, 0)), ("2.12", (0, 0, 0))]
)
def test_versions(text: str, version: tuple[int, int, int]) -> None:
    assert server_version(text) == version


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://u:p@h:4222", "nats://h:4222"),
        ("nats://u:p@a,nats://u:p@b:1", "nats://a,nats://b:1"),
        ("mongodb://u:p@h/db?authSource=x", "mongodb://h/db"),
        ("u:p@h:4222", "h:4222"),
        ("https://api.example.org/v1", "https://api.example.org/v1"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert without_secret(url) == shown
