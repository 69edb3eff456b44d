"""Vertex AI on this machine, for the unpatched clients: gRPC over TLS, with state, and with the faults a test wants.

    with VertexFake() as fake:
        os.environ |= fake.environment(folder)      before the first channel is made
        fake.fail("UploadModel", "UNAVAILABLE", "Try again.")

The protocol is the client's own (protocol.py); what is not spoken here is answered with UNIMPLEMENTED.
"""

import datetime
import ipaddress
import json
import re
import threading
from concurrent import futures
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fakes.vertex import web
from fakes.vertex.endpoints import Endpoints
from fakes.vertex.errors import Refusal, require
from fakes.vertex.jobs import Jobs
from fakes.vertex.metadata import Metadata
from fakes.vertex.models import Models
from fakes.vertex.operations import Operations
from fakes.vertex.pipelines import Pipelines
from fakes.vertex.protocol import methods
from google.cloud.resourcemanager_v3 import types as resourcemanager

PROJECT, NUMBER, LOCATION = "acme-ml", "123456789012", "europe-west4"
HOSTS = ("localhost", "cloudresourcemanager.googleapis.com", f"{LOCATION}-aiplatform.googleapis.com")


class Fault:
    """What a test wants of the next calls of a method.

    Attributes:
        refusal: The error that is answered.
        times: How many calls it is left for.
        after: Whether the call is carried out first, so that only the answer is lost.
    """

    def __init__(self, refusal, times, after):
        self.refusal, self.times, self.after = refusal, times, after


class Service(Operations, Models, Endpoints, Pipelines, Jobs, Metadata):
    """The state of a project in a location, and every method, by its name: `upload_model` for UploadModel.

    Attributes:
        calls: The methods that were called, in order, as `<method>`.
    """

    def __init__(self):
        super().__init__()
        self.lock = threading.RLock()
        self.clock = datetime.datetime(2026, 11, 21, 6, 0, tzinfo=datetime.UTC)
        self.revision = 0
        self.calls = []
        self.faults = {}
        self.cuts = {}
        self.courses = {}
        self.arrived = {}
        self.gate = None

    def now(self):
        self.clock += datetime.timedelta(seconds=1)
        return self.clock

    def etag(self):
        self.revision += 1
        return f"etag-{self.revision}"

    def canonical(self, name):
        """Return a resource's name as the service writes it, with the project's number.

        The project must be ours and the location known, whoever asks.
        """
        match = re.fullmatch(r"projects/([^/]+)/locations/([^/]+)((?:/.*)?)", name)
        require(match, f"{name!r} is no resource name.")
        denied = f"Permission 'aiplatform.locations.get' denied on resource '//aiplatform.googleapis.com/{name}'."
        require(match[1] in (PROJECT, NUMBER), denied, "PERMISSION_DENIED")
        require(match[2] == LOCATION, f"The location {match[2]!r} is not served here.")
        return f"projects/{NUMBER}/locations/{LOCATION}{match[3]}"

    def location(self, parent):
        parent = self.canonical(parent)
        require(parent.count("/") == 3, f"{parent!r} is no location.")
        return parent

    def filtered(self, resources, text):
        """Return the resources that a filter takes: `display_name="x" AND labels.key=value`."""
        for condition in filter(None, re.split(r"\s+AND\s+", text)):
            match = re.fullmatch(r'(display_name|labels\.[a-z_]+|state)\s*=\s*"?([^"]*)"?', condition)
            require(match, f"The filter {condition!r} cannot be read.")
            path, _, label = match[1].partition(".")
            resources = [
                entry
                for entry in resources
                if match[2] == (entry.labels.get(label) if label else str(getattr(entry, path)))
            ]
        return resources

    def course(self, method):
        """Return how the next operation of a method goes."""
        waiting = self.courses.get(method, [])
        return waiting.pop(0) if waiting else {}

    def get_project(self, request):
        require(request.name in (f"projects/{PROJECT}", f"projects/{NUMBER}"), "Denied.", "PERMISSION_DENIED")
        return resourcemanager.Project(name=f"projects/{NUMBER}", project_id=PROJECT)

    # What a test asks for.

    def fail(self, method, code, message="As the test wants.", times=1, after=False):
        """Let the next calls of a method fail; with `after`, what they ask for is done all the same."""
        self.faults[method] = Fault(Refusal(code, message), times, after)

    def cut(self, number, after):
        """Lose the connection at the call that so many calls come before; with `after`, when it was carried out."""
        self.cuts = {len(self.calls) + number + 1: Fault(Refusal("UNAVAILABLE", "Socket closed"), 1, after)}

    def fail_operation(self, method, code, message="As the test wants."):
        """Let the next operation of a method end badly."""
        self.courses.setdefault(method, []).append({"failure": Refusal(code, message)})

    def delay(self, method, polls):
        """Let the next operation of a method end when it is asked for once too often; `None` for never."""
        self.courses.setdefault(method, []).append({"polls": polls})

    def arrival(self, method):
        """Return an event that is set when the method is carried out next."""
        return self.arrived.setdefault(method, threading.Event())

    def hold(self):
        """Keep every answer back, once it is known that a method `arrival` waits for was carried out, until set."""
        self.gate = threading.Event()
        return self.gate

    def end_operations(self):
        """Let every operation end, as it is to end, though nobody asks."""
        with self.lock:
            for operation in self.operations.values():
                if not operation.done:
                    operation.finish()

    def changes(self):
        """Return the calls so far that change something."""
        return [name for name in self.calls if not name.startswith(("Get", "List"))]

    def call(self, method, request):
        """Carry out a method."""
        function = getattr(self, re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower(), None)
        if function is None:
            raise Refusal("UNIMPLEMENTED", f"{method.path} is not spoken here.")
        with self.lock:
            self.calls.append(method.name)
            fault = self.cuts.pop(len(self.calls), None) or self.faults.get(method.name)
            failing = fault is not None and fault.times > 0
            if failing:
                fault.times -= 1
                if not fault.after:
                    raise fault.refusal
            answer = method.answer(function(request) or method.empty())
            event = self.arrived.pop(method.name, None)
        if event and self.gate:
            event.set()
            self.gate.wait(timeout=150)
        elif event:
            event.set()
        if failing:
            raise fault.refusal
        return answer


class VertexFake(Service):
    """The service behind a port.

    Attributes:
        storage: Cloud Storage.
        api_endpoint: Where clients reach it.
    """

    def __init__(self):
        super().__init__()
        self.storage = web.Storage(NUMBER)

    def reset(self):
        """Forget everything."""
        Service.__init__(self)
        self.storage.reset()

    def __enter__(self):
        self.key, self.certificate = self_signed(HOSTS)
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        table = {path: self._handler(method) for path, method in methods().items()}
        self.server.add_generic_rpc_handlers([Table(table)])
        credentials = grpc.ssl_server_credentials([(self.key, self.certificate)])
        port = self.server.add_secure_port("localhost:0", credentials)
        self.server.start()
        self.api_endpoint = f"localhost:{port}"
        self.web, self.url = web.serve(self.storage, port)
        return self

    def __exit__(self, *error):
        assert self.server.stop(grace=0).wait(timeout=60)
        self.web.shutdown()
        self.web.server_close()

    def _handler(self, method):
        def answer(request, context):
            try:
                token = dict(context.invocation_metadata()).get("authorization", "")
                require(token.startswith("Bearer "), "Request had no credentials.", "UNAUTHENTICATED")
                return self.call(method, request)
            except Refusal as error:
                context.abort(error.code, error.message)

        return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=method.request)

    def environment(self, folder):
        """Return the variables by which Google's clients find this, and nothing beyond it; files go to a folder."""
        folder = Path(folder)
        (folder / "roots.pem").write_bytes(self.certificate)
        (folder / "subject.txt").write_text("subject")
        # An identity from elsewhere: the one kind of account that asks Google for nothing but a token, here of ours.
        account = {
            "type": "external_account",
            "audience": "tests",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.url}/token",
            "credential_source": {"file": str(folder / "subject.txt")},
        }
        (folder / "account.json").write_text(json.dumps(account))
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "account.json"),
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(folder / "roots.pem"),
            "STORAGE_EMULATOR_HOST": self.url,
            "grpc_proxy": self.url,
            "no_grpc_proxy": "localhost",
            # Otherwise gcsfs asks a bucket for its kind over gRPC, at the emulator's port.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "NO_GCE_CHECK": "true",
        }


class Table(grpc.GenericRpcHandler):
    """Path to handler."""

    def __init__(self, handlers):
        self.handlers = handlers

    def service(self, details):
        return self.handlers.get(details.method)


def self_signed(hosts):
    """Return a key and a certificate for hosts and the loopback address, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
    moment = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(host) for host in hosts] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - datetime.timedelta(days=1))
        .not_valid_after(moment + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(encoding)
