"""Routes and answers, as an ASGI application.

Every path of a release is known once it is loaded, so a route is found by one look into a dict.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from kfp_hallmark import __version__
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.prediction import origin
from kfp_hallmark.serving.bodies import MAX_BYTES, Refusal, parse
from kfp_hallmark.serving.metrics import CONTENT_TYPE, NO_VERSION, Metrics
from kfp_hallmark.serving.protocols import Dialect, Instances, OpenInference
from kfp_hallmark.serving.releases import Releases, Served

INLINE_BYTES = 32 * 2**10
"""Up to which size a request is answered at once; a larger one goes to a thread, so that it holds up nobody."""

HELD_BYTES = 4 * MAX_BYTES
"""Up to which size all bodies under way, from their first byte to their answer, leave room for a large one."""

LARGE_AT_ONCE = 2
"""How many large requests are decoded at once, for JSON takes thirty times its size once it is decoded."""

BODY_SECONDS = 60
"""Within what time a body must arrive."""

JSON = "application/json"
BINARY_HEADER = b"inference-header-content-length"
VERSION_HEADER = "x-hallmark-version"
"""The header of an answer that names the version which gave it."""

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a client gets.

    Attributes:
        status: The HTTP status.
        body: The body.
        content_type: Its type.
        headers: Further headers.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Route:
    """What a path leads to.

    Attributes:
        name: What metrics call it.
        read: Gives the answer to a GET; None where predictions are asked for by POST.
        dialect: How these are asked for.
    """

    name: str
    read: Callable[[], Answer] | None = None
    dialect: Dialect | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the path knows."""
        return ("GET", "HEAD") if self.read else ("POST",)


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Application:
    """The application.

    Attributes:
        releases: What serves.
        draining: Whether the process is about to end; then it is not ready.
    """

    def __init__(self, releases: Releases, metrics: Metrics, predict_route: str, health_route: str) -> None:
        self.releases = releases
        self.draining = False
        self._held = 0
        self._threads = ThreadPoolExecutor(LARGE_AT_ONCE)
        self._metrics = metrics
        self._instances, self._inference = Instances(), OpenInference()
        self._fixed = {
            "/": Route("root", lambda: answer({"status": "alive"})),
            "/metrics": Route("metrics", lambda: Answer(200, metrics.render(), CONTENT_TYPE)),
            "/v1/models": Route("v1_models", self._models),
            "/v2": Route("v2_server", lambda: answer({"name": "hallmark", "version": __version__, "extensions": []})),
            "/v2/health/live": Route("v2_live", lambda: answer({"live": True})),
            "/v2/health/ready": Route("v2_ready", self._ready),
        }
        for route in (predict_route, health_route):
            if route in self._fixed and route != "/":
                raise InputError(
                    f"AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE must be no route that is taken; got {route!r}."
                )
        self._fixed |= {
            health_route: Route("health", self._health),
            predict_route: Route("predict", dialect=self._instances),
        }
        self._routes = dict(self._fixed)

    def switch(self, served: Served) -> None:
        """Route to a release from now on."""
        name, version = served.release.name, served.release.version
        routes = {
            f"/v1/models/{name}": Route("v1_model", lambda: self._model_ready(name)),
            f"/v1/models/{name}:predict": Route("v1_predict", dialect=self._instances),
        }
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            routes[path] = Route(
                "v2_model", lambda: answer(self._inference.describe(served.predictor, served.identity))
            )
            routes[f"{path}/ready"] = Route("v2_model_ready", lambda: self._model_ready(name))
            routes[f"{path}/infer"] = Route("v2_infer", dialect=self._inference)
        self._routes = self._fixed | routes

    @property
    def ready(self) -> bool:
        """Whether a release serves and goes on serving."""
        return self.releases.served is not None and not self.draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = perf_counter()
        route, served = self._routes.get(scope["path"]), self.releases.served
        try:
            found = await self._answer(route, served, scope, receive)
        except Disconnected:
            return
        except Refusal as error:
            found = refusal(error.status, error)
        except InputError as error:
            found = refusal(400, error)
        except Exception as error:
            _log.error("A request failed: %s %s", type(error).__name__, origin(error))
            found = answer({"error": "The model failed; the log says where."}, 500)
        version = served.release.version if served else NO_VERSION
        self._metrics.observe(version, route.name if route else "none", found.status, perf_counter() - started)
        headers = [
            (b"content-type", found.content_type.encode()),
            (b"content-length", str(len(found.body)).encode()),
            *found.headers,
        ]
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body", "body": found.body})

    async def _answer(self, route: Route | None, served: Served | None, scope: Scope, receive: Receive) -> Answer:
        if route is None:
            raise self._unknown(scope["path"], served)
        if scope["method"] not in route.methods:
            allowed = ", ".join(route.methods)
            return answer({"error": f"The method must be {allowed}."}, 405, ((b"allow", allowed.encode()),))
        if route.read:
            return route.read()
        if served is None:
            raise Refusal(503, "A release must be loaded; none is yet.")
        assert route.dialect is not None
        content = await self._predictions(route.dialect, served, scope["headers"], receive)
        return Answer(200, content, headers=((VERSION_HEADER.encode(), served.release.version.encode()),))

    async def _predictions(
        self, dialect: Dialect, served: Served, headers: list[tuple[bytes, bytes]], receive: Receive
    ) -> bytes:
        """Return the body of the answer to a request for predictions.

        Raises:
            Refusal: If its body is no JSON by its type, too large, too slow, or too much beside the others.
            InputError: If the body asks nothing.
            Disconnected: If the client went away before it was whole.
        """
        _require_json(headers)
        body = bytearray()
        try:
            await self._receive(body, receive)
            if len(body) > INLINE_BYTES:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, _predict, dialect, served, body)
            query = dialect.read(parse(body), served.predictor)
            return dialect.write(await served.together.predict(query.values), query, served.identity)
        finally:
            self._held -= len(body)

    async def _receive(self, body: bytearray, receive: Receive) -> None:
        """Fill in a body as it arrives."""
        more = True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Disconnected
                    part, more = message.get("body", b""), message.get("more_body", False)
                    body += part
                    self._held += len(part)
                    if len(body) > MAX_BYTES:
                        raise _too_large()
                    if len(body) > INLINE_BYTES and self._held > HELD_BYTES:
                        raise Refusal(503, f"Bodies under way must be of at most {HELD_BYTES:,} bytes together.")
        except TimeoutError:
            raise Refusal(408, f"The body must arrive within {BODY_SECONDS} seconds; it did not.") from None

    def _unknown(self, path: str, served: Served | None) -> Refusal:
        if not path.startswith(("/v1/models/", "/v2/models/")):
            return Refusal(404, "The path must be one that this server knows; it is not.")
        if served is None:
            return Refusal(503, "A release must be loaded; none is yet.")
        name, version = served.release.name, served.release.version
        return Refusal(404, f"The path must be of the model {name!r}, version {version}; it is not.")

    def _models(self) -> Answer:
        served = self.releases.served
        return answer({"models": [served.release.name] if served else []})

    def _model_ready(self, name: str) -> Answer:
        return answer({"name": name, "ready": self.ready}, 200 if self.ready else 503)

    def _ready(self) -> Answer:
        return answer({"ready": self.ready}, 200 if self.ready else 503)

    def _health(self) -> Answer:
        """Say whether requests are answered, by what, and why a newer release is not."""
        served = self.releases.served
        details: dict[str, Any] = {"ready": self.ready, "refused": self.releases.failure}
        if served is not None:
            release = served.release
            details |= {
                "name": release.name,
                "version": release.version,
                "digest": release.model.digest,
                "decision_digest": release.decision_digest,
                "deployed": release.deployed,
                "loaded": served.loaded,
            }
        return answer(details, 200 if self.ready else 503)


def answer(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """Return a JSON value as an answer."""
    return Answer(status, json.dumps(value, allow_nan=False).encode(), headers=headers)


def refusal(status: int, error: InputError) -> Answer:
    """Return why a request cannot be answered."""
    text = error.message if error.hint is None else f"{error.message} {error.hint}"
    return answer({"error": text}, status, ((b"retry-after", b"1"),) if status == 503 else ())


def _predict(dialect: Dialect, served: Served, body: bytearray) -> bytes:
    query = dialect.read(parse(body), served.predictor)
    return dialect.write(served.predictor.predict(query.values), query, served.identity)


def _require_json(headers: list[tuple[bytes, bytes]]) -> None:
    """Raise unless a request's headers say a body that can be read.

    Raises:
        Refusal: If it is no JSON by its type, or too large.
    """
    for name, value in headers:
        if name == b"content-type" and value.split(b";")[0].strip().lower() != JSON.encode():
            raise Refusal(415, f"The content type must be {JSON}; it is not.")
        if name == b"content-encoding" and value.strip().lower() != b"identity":
            raise Refusal(415, "The body must not be compressed; it is.")
        if name == BINARY_HEADER:
            raise Refusal(415, "The header Inference-Header-Content-Length must not be sent; data must be JSON here.")
        if name == b"content-length" and int(value) > MAX_BYTES:
            raise _too_large()


def _too_large() -> Refusal:
    return Refusal(413, f"The body must be of at most {MAX_BYTES:,} bytes; it is larger.")
