"""What the client's own transports say of the protocol: every method, with the types of its request and answer."""

import importlib
import inspect
import pkgutil
from dataclasses import dataclass

import google.cloud.aiplatform_v1.services as services
import grpc
from google.cloud.resourcemanager_v3.services.projects.transports import ProjectsGrpcTransport
from google.iam.v1 import iam_policy_pb2  # noqa: F401  makes its service known to protobuf
from google.protobuf import descriptor_pool, empty_pb2, message_factory


@dataclass(frozen=True)
class Method:
    """A method of a service.

    Attributes:
        path: As it is called: `/google.cloud.aiplatform.v1.EndpointService/GetEndpoint`.
        request: Reads a request.
        answer: Writes an answer.
        empty: Makes an answer that says nothing yet.
    """

    path: str
    request: object
    answer: object
    empty: object

    @property
    def name(self):
        return self.path.rpartition("/")[2]


class Recorder:
    """A channel that only notes what it is asked for."""

    def __init__(self):
        self.methods = {}

    def unary_unary(self, path, request_serializer, response_deserializer):
        if functions := _functions(path, request_serializer, response_deserializer):
            self.methods[path] = Method(path, *functions)

    def unary_stream(self, path, **serialisers):
        """Streams are not spoken here."""

    stream_unary = stream_stream = unary_stream


def _functions(path, serialiser, deserialiser):
    """Return what reads a request, writes an answer and makes an empty one; None where nothing tells the types.

    The types of the API are bound to the functions; the common ones, of operations and locations, protobuf knows.
    """
    request, answer = (getattr(function, "__self__", None) for function in (serialiser, deserialiser))
    if request is None:
        service, _, name = path.removeprefix("/").rpartition("/")
        try:
            method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        except KeyError:
            return None
        request = message_factory.GetMessageClass(method.input_type)
    answer = answer or empty_pb2.Empty
    read = request.deserialize if hasattr(request, "deserialize") else request.FromString
    write = answer.serialize if hasattr(answer, "serialize") else answer.SerializeToString
    return read, write, answer


def transports():
    """Yield the class of every service's transport over gRPC."""
    for module in pkgutil.iter_modules(services.__path__):
        transport = importlib.import_module(f"{services.__name__}.{module.name}.transports.grpc")
        for name, found in inspect.getmembers(transport, inspect.isclass):
            if name.endswith("GrpcTransport") and found.__module__ == transport.__name__:
                yield found
    yield ProjectsGrpcTransport


def methods():
    """Return every method of every service, by path: what each property of a transport asks of its channel."""
    recorder = Recorder()
    for transport in transports():
        made = transport(channel=grpc.insecure_channel("localhost:1"))
        made._logged_channel, made._stubs = recorder, {}
        for name, _ in inspect.getmembers(transport, lambda member: isinstance(member, property)):
            if name != "operations_client":
                getattr(made, name)
    return recorder.methods
