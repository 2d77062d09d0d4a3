"""A client that knows nothing of quipu but an address: it asks for the protocol, makes messages of it, and calls.

    client.py HOST:PORT < questions.json > answers.json

Questions: `token` (an access token that counts), `trace` (a W3C trace id) and `login` (fields of a LoginRequest). The
answers are what the libraries of gRPC for Python understood, so that a test compares what another implementation sees.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

SECONDS = 20
AUTH = "quipu.auth.v1.AuthService"
DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.RequestInfo,
)


def described(channel, metadata):
    """The names of all services, and a pool with the files of our own."""
    # The messages of v1 are those of v1alpha, byte for byte; the package for Python has only the older stub.
    ask = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=AUTH),
        reflection_pb2.ServerReflectionRequest(file_by_filename="google/protobuf/timestamp.proto"),
    ]
    services, *files = list(ask(iter(questions), timeout=SECONDS, metadata=metadata))
    pool = descriptor_pool.DescriptorPool()
    for answer in reversed(files):
        for encoded in answer.file_descriptor_response.file_descriptor_proto:
            pool.Add(descriptor_pb2.FileDescriptorProto.FromString(encoded))
    return [it.name for it in services.list_services_response.service], pool


def refusal(error):
    """A status with its details, by the names of their types."""
    status = rpc_status.from_call(error)
    details = {}
    for packed in status.details if status else ():
        for kind in DETAILS:
            if packed.Is(kind.DESCRIPTOR):
                found = kind()
                packed.Unpack(found)
                details[kind.DESCRIPTOR.name] = json_format.MessageToDict(found)
    return {"status": error.code().name, "message": error.details(), "details": details}


def main():
    questions = json.load(sys.stdin)
    answers = {}
    with grpc.insecure_channel(sys.argv[1]) as channel:
        authorized = [("authorization", f"Bearer {questions['token']}")]
        answers["services"], pool = described(channel, authorized)
        try:
            described(channel, [])
        except grpc.RpcError as error:
            answers["without a token"] = refusal(error)

        def call(method, fields, **options):
            found = pool.FindServiceByName(AUTH).FindMethodByName(method)
            request, answer = (message_factory.GetMessageClass(it) for it in (found.input_type, found.output_type))
            unary = channel.unary_unary(
                f"/{AUTH}/{method}", request_serializer=request.SerializeToString, response_deserializer=answer.FromString
            )
            try:
                said, done = unary.with_call(json_format.ParseDict(fields, request()), timeout=SECONDS, **options)
            except grpc.RpcError as error:
                return refusal(error)
            shown = json_format.MessageToDict(
                said, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            return {"status": done.code().name, "message": shown, "metadata": dict(done.initial_metadata())}

        trace = [("traceparent", f"00-{questions['trace']}-00f067aa0ba902b7-01")]
        answers["valid"] = call("ValidateToken", {"access_token": questions["token"]}, metadata=trace)
        answers["invalid"] = call("ValidateToken", {"access_token": questions["token"] + "x"})
        answers["login"] = call("Login", questions["login"], metadata=trace)
        answers["malformed"] = call("Login", questions["login"] | {"email": "nobody"})
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service=AUTH), timeout=SECONDS)
        answers["health"] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    json.dump(answers, sys.stdout)


main()
