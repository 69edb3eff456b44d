"""A stand-in for BigQuery's REST API, and for Google's token service, which Google's own client is pointed at.

It knows answers by their query's text, and speaks what the client asks of jobs.insert, jobs.query and getQueryResults:
https://cloud.google.com/bigquery/docs/reference/rest/v2
"""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "acme"


@dataclass
class Answer:
    """What the service answers to a query.

    Attributes:
        schema: Pairs of a column's name and its type; `TYPE[]` is repeated.
        rows: The rows, with values as the service writes them: text, or None.
        kind: What the dry run says the statement is.
        refusal: Status, reason and message of a dry run that is refused; None when it is not.
        failure: Those of the query itself.
    """

    schema: list
    rows: list = field(default_factory=list)
    kind: str = "SELECT"
    refusal: tuple | None = None
    failure: tuple | None = None

    @property
    def fields(self):
        return [
            {"name": name, "type": kind.removesuffix("[]"), "mode": "REPEATED" if kind.endswith("[]") else "NULLABLE"}
            for name, kind in self.schema
        ]


class Refused(Exception):
    """A request that the service refuses: status, reason, message."""


class Service:
    """The answers that there are, and what was asked.

    Attributes:
        answers: Query to answer.
        requests: The bodies of jobs and queries, in order.
        page: How many rows a page holds.
    """

    def __init__(self, page=2):
        self.answers, self.requests, self.page, self.jobs = {}, [], page, {}

    def handle(self, method, path, query, body):
        if path == "/token":
            return {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
        base = f"/bigquery/v2/projects/{PROJECT}"
        if (method, path) == ("POST", f"{base}/jobs"):
            return self.insert(body)
        if (method, path) == ("POST", f"{base}/queries"):
            return self.query(body)
        if method == "GET" and path.startswith(f"{base}/jobs/"):
            return self.job(path.rpartition("/")[2])
        if method == "GET" and path.startswith(f"{base}/queries/"):
            return self.results(path.rpartition("/")[2], int(query.get("pageToken", ["0"])[0]))
        raise Refused(404, "notFound", f"Not found: {method} {path}")

    def insert(self, body):
        asked = body["configuration"]
        self.requests.append(asked)
        answer = self.answers[asked["query"]["query"]]
        if not asked.get("dryRun"):
            raise Refused(400, "invalid", "Only dry runs are inserted here.")
        if answer.refusal:
            raise Refused(*answer.refusal)
        return {
            "jobReference": {"projectId": PROJECT, "jobId": "dry", "location": "EU"},
            "configuration": asked,
            "status": {"state": "DONE"},
            "statistics": {"query": {"statementType": answer.kind, "totalBytesProcessed": "10"}},
        }

    def query(self, body):
        self.requests.append(body)
        answer = self.answers[body["query"]]
        if answer.failure:
            raise Refused(*answer.failure)
        job = f"job{len(self.jobs)}"
        self.jobs[job] = answer
        return self.results(job, 0)

    def job(self, job):
        table = {"projectId": PROJECT, "datasetId": "_answers", "tableId": job}
        return {
            "jobReference": {"projectId": PROJECT, "jobId": job, "location": "EU"},
            "configuration": {"jobType": "QUERY", "query": {"query": "", "destinationTable": table}},
            "status": {"state": "DONE"},
            "statistics": {"query": {"statementType": self.jobs[job].kind}},
        }

    def results(self, job, start):
        answer = self.jobs[job]
        rows = answer.rows[start : start + self.page]
        following = start + self.page
        return {
            "jobReference": {"projectId": PROJECT, "jobId": job, "location": "EU"},
            "jobComplete": True,
            "schema": {"fields": answer.fields},
            "totalRows": str(len(answer.rows)),
            "rows": [{"f": [{"v": value} for value in row]} for row in rows],
            **({"pageToken": str(following)} if following < len(answer.rows) else {}),
        }


@contextmanager
def serving(service):
    """Serve it; give its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = urlsplit(self.path)
            token = address.path == "/token"
            status = 200
            try:
                if not token and self.headers.get("Authorization") != "Bearer t":
                    raise Refused(401, "authError", "Unauthorized")
                body = json.loads(content) if content and not token else {}
                value = service.handle(self.command, address.path, parse_qs(address.query), body)
            except Refused as refusal:
                status, reason, message = refusal.args
                value = {"error": {"code": status, "message": message, "errors": [{"reason": reason}]}}
            sent = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = answer  # noqa: N815  as http.server calls them

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def service_account(address):
    """Return the key file of a service account that gets its tokens at an address."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key": private.decode(),
        "client_email": f"pipelines@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": f"{address}/token",
    }
