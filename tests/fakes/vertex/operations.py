"""Long-running operations: they end when they are asked for, later, badly or never, as the test says."""

from fakes.vertex.errors import Refusal, require
from google.longrunning import operations_pb2
from google.protobuf import any_pb2


class Operation:
    """A long-running operation.

    Attributes:
        name: The operation's resource name.
        method: The method that began it.
        polls: How many times it is asked for before it ends; None for never.
        failure: The `Refusal` that it ends with, or None.
        commit: Brings about what it is to do and returns the answer; is called when it ends well.
    """

    def __init__(self, name, method, commit, metadata, polls=0, failure=None):
        self.name, self.method, self.commit, self.metadata = name, method, commit, metadata
        self.polls, self.failure = polls, failure
        self.done, self.answer, self.error = False, None, None

    def poll(self):
        """Ask for it once more."""
        if self.done or self.polls is None:
            return
        if self.polls > 0:
            self.polls -= 1
            return
        self.finish()

    def finish(self):
        """End it, as it is to end."""
        self.done = True
        try:
            if self.failure:
                raise self.failure
            self.answer = self.commit()
        except Refusal as error:
            self.error = error

    def to_proto(self):
        proto = operations_pb2.Operation(name=self.name, done=self.done, metadata=packed(self.metadata))
        if self.error:
            proto.error.code, proto.error.message = self.error.code.value[0], self.error.message
        elif self.done:
            proto.response.CopyFrom(packed(self.answer))
        return proto


def packed(message):
    """Return a message as one of any type."""
    answer = any_pb2.Any()
    answer.Pack(message if hasattr(message, "DESCRIPTOR") else type(message).pb(message))
    return answer


class Operations:
    """The methods of google.longrunning.Operations."""

    def __init__(self):
        super().__init__()
        self.operations = {}

    def begin(self, resource, method, commit, metadata):
        """Begin an operation on a resource, and return what the client is told of it."""
        name = f"{resource}/operations/{len(self.operations) + 1}"
        self.operations[name] = Operation(name, method, commit, metadata, **self.course(method))
        return self.operations[name].to_proto()

    def _operation(self, name):
        name = self.canonical(name)
        require(name in self.operations, f"Operation {name} is not found.", "NOT_FOUND")
        return self.operations[name]

    def get_operation(self, request):
        operation = self._operation(request.name)
        operation.poll()
        return operation.to_proto()

    def list_operations(self, request):
        parent = self.canonical(request.name)
        found = [entry for name, entry in self.operations.items() if name.startswith(f"{parent}/operations/")]
        start, size = int(request.page_token or 0), request.page_size or 2
        answer = operations_pb2.ListOperationsResponse(
            operations=[entry.to_proto() for entry in found[start : start + size]],
            next_page_token=str(start + size) if start + size < len(found) else "",
        )
        return answer
