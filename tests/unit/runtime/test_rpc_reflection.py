"""What a stranger with grpcurl finds out: which services there are, how they are called, whether they are well."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as pb
from grpc_reflection.v1alpha import reflection_pb2_grpc
from rpc.v1 import conversation_pb2
from runtime.rpc import Server

NAME = conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"].full_name


async def test_a_server_lists_and_describes_its_services_and_says_how_each_is() -> None:
    server = Server()
    server.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, {}),))
    port = await server.start("127.0.0.1", 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        asked = [pb.ServerReflectionRequest(list_services=""), pb.ServerReflectionRequest(file_containing_symbol=NAME)]
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked))
        listed, described = [answer async for answer in answers]
        names = {service.name for service in listed.list_services_response.service}
        assert names == {NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert any(
            NAME.rpartition(".")[2].encode() in file
            for file in described.file_descriptor_response.file_descriptor_proto
        )
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", NAME):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    await server.stop(0)
