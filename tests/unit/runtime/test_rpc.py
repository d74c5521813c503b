"""gRPC over real sockets: codes, trace context, several addresses, a graceful end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from contracts.codes import Code
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import context as otel_context
from rpc.v1 import conversation_pb2 as pb
from rpc.v1 import conversation_pb2_grpc as pb_grpc
from runtime import telemetry
from runtime.process import StartupError
from runtime.rpc import Server, abort, code_of, connect, target_of

SERVICE = "everthread.v1.ConversationService"
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Conversation(pb_grpc.ConversationServiceServicer):
    """Answers GetThread with its own name; other ids ask for trouble."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.release = asyncio.Event()
        self.entered = asyncio.Event()
        self.ended = asyncio.Event()

    async def GetThread(self, request: pb.GetThreadRequest, context: Any) -> pb.GetThreadResponse:
        self.calls += 1
        match request.thread_id:
            case "missing":
                await abort(context, grpc.StatusCode.NOT_FOUND, Code.THREAD_NOT_FOUND, "There is no such thread.")
            case "left-missing" | "left-bug" as left:
                # As where a driver makes an error of its own of the cancelling: the handler ends the call that has no caller.
                self.entered.set()
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    if left == "left-bug":
                        raise RuntimeError("a fault of ours") from None
                    await abort(context, grpc.StatusCode.NOT_FOUND, Code.THREAD_NOT_FOUND, "There is no such thread.")
                finally:
                    self.ended.set()
            case "bug":
                raise RuntimeError("the password is canary")
            case "slow":
                self.entered.set()
                await self.release.wait()
            case "first-fails" if self.calls == 1:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        ids = telemetry.current_ids()
        return pb.GetThreadResponse(thread=pb.Thread(id=self.name, title=ids[0] if ids else ""))


class Running:
    """A server, its servicer and its port."""

    def __init__(self, name: str) -> None:
        self.servicer = Conversation(name)  # type: ignore[abstract]  # the other methods are not called
        self.server = Server()
        pb_grpc.add_ConversationServiceServicer_to_server(self.servicer, self.server.grpc)
        self.port = 0

    async def start(self, port: int = 0) -> "Running":
        self.port = await self.server.start("127.0.0.1", port)
        return self


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    one = await Running("one").start()
    yield one
    one.servicer.release.set()
    await one.server.stop(1)


@pytest.fixture
async def stub(running: Running) -> AsyncIterator["pb_grpc.ConversationServiceAsyncStub"]:
    async with connect(f"127.0.0.1:{running.port}") as channel:
        yield pb_grpc.ConversationServiceStub(channel)


async def get(stub: Any, thread_id: str = "any") -> pb.Thread:
    response: pb.GetThreadResponse = await stub.GetThread(pb.GetThreadRequest(thread_id=thread_id), timeout=20)
    return response.thread


async def refused(stub: Any, thread_id: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(stub, thread_id)
    return caught.value


async def test_a_refusal_keeps_its_code_and_sentence(stub: Any) -> None:
    error = await refused(stub, "missing")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert code_of(error) == (Code.THREAD_NOT_FOUND, "There is no such thread.")


async def test_an_unforeseen_error_tells_nothing_of_itself(stub: Any) -> None:
    error = await refused(stub, "bug")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert code_of(error)[0] is Code.INTERNAL
    assert "canary" not in str(error)


@pytest.mark.parametrize(("thread_id", "loud"), [("left-missing", []), ("left-bug", ["rpc.failed"])])
async def test_only_a_fault_of_ours_is_loud_once_the_caller_has_left(
    running: Running, caplog: pytest.LogCaptureFixture, thread_id: str, loud: list[str]
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            call = asyncio.ensure_future(get(pb_grpc.ConversationServiceStub(channel), thread_id))
            await running.servicer.entered.wait()
            call.cancel()
            await running.servicer.ended.wait()
            await running.server.stop(20)
    assert [entry["event"] for entry in logs if entry["log_level"] != "debug"] == loud
    assert not [record for record in caplog.records if record.name.startswith("grpc")]


async def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with connect(f"127.0.0.1:{port}") as channel:
        error = await refused(pb_grpc.ConversationServiceStub(channel), "any")
        code, sentence = code_of(error)
        assert code is Code.UNAVAILABLE
        assert str(port) not in sentence


async def test_a_method_nobody_serves(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetUser(pb.GetUserRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_trace_goes_with_the_call(stub: Any) -> None:
    with telemetry.under({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}):
        assert (await get(stub)).title == TRACE
    assert (await get(stub)).title == ""
    assert otel_context.get_current() == {}


async def test_calls_go_round_the_addresses_that_are_up() -> None:
    one, two = await Running("one").start(), await Running("two").start()
    async with connect(f"127.0.0.1:{one.port},localhost:{two.port}") as channel:
        stub = pb_grpc.ConversationServiceStub(channel)
        names: set[str] = set()
        while names != {"one", "two"}:
            names.add((await get(stub)).id)
        await one.server.stop(0)
        # The channel may learn of the loss by one call that fails; from then on the other serves all.
        answers = await asyncio.gather(*(get(stub) for _ in range(20)), return_exceptions=True)
        assert any(not isinstance(answer, BaseException) for answer in answers)
        assert {(await get(stub)).id for _ in range(10)} == {"two"}
        again = await Running("one again").start(one.port)
        while (await get(stub)).id != "one again":
            await asyncio.sleep(0.02)
        await again.server.stop(0)
    await two.server.stop(0)


async def test_idempotent_calls_are_repeated_and_others_are_not(running: Running) -> None:
    async with connect(f"127.0.0.1:{running.port}", idempotent=[f"{SERVICE}/GetThread"]) as channel:
        assert (await get(pb_grpc.ConversationServiceStub(channel), "first-fails")).id == "one"
    assert running.servicer.calls == 2
    running.servicer.calls = 0
    async with connect(f"127.0.0.1:{running.port}") as channel:
        error = await refused(pb_grpc.ConversationServiceStub(channel), "first-fails")
    assert code_of(error)[0] is Code.UNAVAILABLE
    assert running.servicer.calls == 1


async def test_a_call_under_way_survives_a_graceful_stop(running: Running, stub: Any) -> None:
    call = asyncio.ensure_future(get(stub, "slow"))
    await running.servicer.entered.wait()
    stopping = asyncio.ensure_future(running.server.stop(20))
    await asyncio.sleep(0)
    running.servicer.release.set()
    assert (await call).id == "one"
    await stopping
    assert not running.server.serving
    assert code_of(await refused(stub, "any"))[0] is Code.UNAVAILABLE


async def test_health_service(running: Running) -> None:
    async with connect(f"127.0.0.1:{running.port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_taken_address_is_one_sentence(running: Running) -> None:
    with pytest.raises(StartupError, match=rf"127\.0\.0\.1:{running.port} is taken"):
        await Running("late").start(running.port)


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("127.0.0.1:1", "ipv4:127.0.0.1:1"),
        ("127.0.0.1:1, localhost:2,", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
        ("conversation.chat.svc:50051", "dns:///conversation.chat.svc:50051"),
    ],
)
def test_targets(addresses: str, target: str) -> None:
    assert target_of(addresses) == target


@pytest.mark.parametrize(
    "addresses", ["", "nowhere", "host:port", ":80", "a.example:1,b.example:2", "[::1]:1,10.0.0.1:2"]
)
def test_addresses_that_make_no_sense(addresses: str) -> None:
    with pytest.raises(StartupError):
        target_of(addresses)
