"""What is reached over HTTP: tokens, Cloud Storage, and a proxy that leads Google's other hosts to the gRPC server."""

import http.server
import json
import re
import socket
import sys
import threading
import urllib.parse


class Storage:
    """Buckets with their objects, and the faults that a test wants.

    Attributes:
        buckets: Name to objects, by name.
        owner: Number of the project that owns the buckets.
        refuse: Given method and path, says the status to refuse with, or None.
        tokens: Whether accounts get tokens.
    """

    def __init__(self, owner):
        self.owner = owner
        self.reset()

    def reset(self):
        """Forget everything."""
        self.buckets, self.tokens = {}, True
        self.refuse = lambda method, path: None

    def bucket(self, name):
        return {"kind": "storage#bucket", "id": name, "name": name, "projectNumber": self.owner, "location": "EU"}

    def object(self, bucket, name):
        size = str(len(self.buckets[bucket][name]))
        return {"kind": "storage#object", "bucket": bucket, "name": name, "size": size, "generation": "1"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the first route that fits."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    storage = None
    grpc_port = 0

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = url.path != "/token" and self.storage.refuse(self.command, url.path)
        if status:
            return self.reply(status, {"error": {"code": status, "message": "Refused, as the test wants."}})
        for method, pattern, answer in ROUTES:
            if method == self.command and (match := re.fullmatch(pattern, url.path)):
                return answer(self, *map(urllib.parse.unquote, match.groups()))
        return self.missing(url.path)

    def missing(self, what):
        self.reply(404, {"error": {"code": 404, "message": f"{what} is not found."}})

    def reply(self, status, value, kind="application/json"):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def token(self):
        if not self.storage.tokens:
            return self.reply(400, {"error": "invalid_grant", "error_description": "The account has expired."})
        kind = "urn:ietf:params:oauth:token-type:access_token"
        answer = {"access_token": "by-the-fake", "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3600}
        return self.reply(200, answer)

    def get_bucket(self, name):
        self.reply(200, self.storage.bucket(name)) if name in self.storage.buckets else self.missing(name)

    def create_bucket(self):
        name = json.loads(self.body)["name"]
        self.storage.buckets[name] = {}
        self.reply(200, self.storage.bucket(name))

    def list_objects(self, bucket):
        if bucket not in self.storage.buckets:
            return self.missing(bucket)
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        items, prefixes = [], set()
        for name in sorted(self.storage.buckets[bucket]):
            if name.startswith(prefix):
                head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
                if found:
                    prefixes.add(prefix + head + delimiter)
                else:
                    items.append(self.storage.object(bucket, name))
        return self.reply(200, {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)})

    def get_object(self, bucket, name):
        if name not in self.storage.buckets.get(bucket, {}):
            return self.missing(name)
        if self.query.get("alt") == "media":
            content = self.storage.buckets[bucket][name]
            if part := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
                return self.reply(206, content[int(part[1]) : int(part[2]) + 1], "application/octet-stream")
            return self.reply(200, content, "application/octet-stream")
        return self.reply(200, self.storage.object(bucket, name))

    def put_object(self, bucket):
        if bucket not in self.storage.buckets:
            return self.missing(bucket)
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
        _, metadata, content, _ = self.body.split(b"--" + boundary)
        name = json.loads(re.split(rb"\r?\n\r?\n", metadata, maxsplit=1)[1])["name"]
        content = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[1]
        self.storage.buckets[bucket][name] = content.removesuffix(b"\n").removesuffix(b"\r")
        return self.reply(200, self.storage.object(bucket, name))

    def do_CONNECT(self):
        """Lead a connection to the gRPC server, whichever host it is meant for."""
        with socket.create_connection(("127.0.0.1", self.grpc_port)) as upstream:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pump, args=(upstream, self.connection), daemon=True)
            back.start()
            pump(self.connection, upstream)
            back.join()
        self.close_connection = True

    def log_message(self, *arguments):
        """Nothing is printed."""

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815  as http.server calls them


ROUTES = [
    ("POST", "/token", Handler.token),
    ("GET", "/storage/v1/b/([^/]+)", Handler.get_bucket),
    ("POST", "/storage/v1/b", Handler.create_bucket),
    ("GET", "/storage/v1/b/([^/]+)/o/?", Handler.list_objects),
    ("GET", "(?:/download)?/storage/v1/b/([^/]+)/o/(.+)", Handler.get_object),
    ("POST", "/upload/storage/v1/b/([^/]+)/o", Handler.put_object),
]


def pump(source, sink):
    """Hand on what a socket says, until it ends."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A server whose clients may leave at any time."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(storage, grpc_port):
    """Serve in a thread; return the server and its URL."""
    handler = type("Handler", (Handler,), {"storage": storage, "grpc_port": grpc_port})
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"
