"""Reach KServe: what the cluster runs, one InferenceService in it, bounded waits, and its errors in one sentence."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from kfp_hallmark.components.release.deploy_model.inference_service import (
    CANARY,
    GROUP,
    KNATIVE,
    MODE,
    PLURAL,
    STANDARD,
    VERSION,
    Options,
    holds,
    marks,
)
from kfp_hallmark.errors import HallmarkError, InputError, ServiceError

T = TypeVar("T")

CONFIG = "inferenceservice-config"
"""The ConfigMap by which KServe is configured."""

CANARY_SINCE = (0, 20)
"""The version of KServe from which `spec.canary` means something."""

ATTEMPTS = 5
"""How often a change is tried when something else changes the InferenceService at the same time."""

_LEGACY = {"Serverless": KNATIVE, "RawDeployment": STANDARD}
_TIMEOUTS = (10, 60)
_RETRY_SECONDS = 60.0
_AGAIN = "Run it again: nothing is made twice."
_HINTS = {
    400: "Correct the setting that the answer names; a field that is unknown needs a newer KServe.",
    401: "Log in with kubectl, or run as a service account.",
    403: "Bind the Roles of manifests/kubeflow to the account that runs this; docs/kserve.md lists every right.",
    404: "Check namespace and names, and that KServe is installed.",
    409: "Something else changed it at the same time; run it again.",
    422: "Correct the setting that the answer names.",
}


@dataclass(frozen=True)
class Installation:
    """What a cluster runs, as KServe's ConfigMap says.

    Attributes:
        mode: The mode of an InferenceService that names none.
        version: Major and minor version, as the images' tags say; None when they do not.
        unsplit: Why requests are not split in Standard mode; None when they are.
    """

    mode: str
    version: tuple[int, int] | None
    unsplit: str | None

    @classmethod
    def read(cls, data: Mapping[str, str]) -> Installation:
        """Read the data of the ConfigMap.

        Raises:
            ServiceError: If it is not as KServe writes it.
        """
        try:
            deploy, ingress = json.loads(data["deploy"]), json.loads(data["ingress"])
            mode = str(deploy["defaultDeploymentMode"])
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceError(
                f"The ConfigMap {CONFIG} must hold KServe's settings `deploy` and `ingress`; "
                f"got {type(error).__name__}: {error}."
            ) from error
        found = re.search(r"storage-initializer:v(\d+)\.(\d+)\.", data.get("storageInitializer", ""))
        version = (int(found[1]), int(found[2])) if found else None
        return cls(_LEGACY.get(mode, mode), version, _unsplit(ingress))

    def require_canary(self, mode: str, traffic: int) -> None:
        """Raise `InputError` at a canary that the cluster would ignore without a word.

        Sources: `CreateIngressReconciler` in pkg/controller/v1beta1/inferenceservice/reconcilers/factory.go and
        `applyCanaryWeights` in reconcilers/ingress/httproute_reconciler.go of https://github.com/kserve/kserve.
        """
        if traffic == 100 or mode != STANDARD:
            return
        if self.version and self.version < CANARY_SINCE:
            raise InputError(
                f"deployment['traffic'] must be 100 in Standard mode before KServe 0.20, which ignores canaries; "
                f"got {traffic} on KServe {self.version[0]}.{self.version[1]}."
            )
        if self.unsplit:
            raise InputError(
                f"deployment['traffic'] must be 100 in Standard mode where {self.unsplit}, for KServe then splits no "
                f"requests; got {traffic}."
            )


def _unsplit(ingress: Mapping[str, Any]) -> str | None:
    """Return why KServe makes no HTTPRoute, which alone splits requests in Standard mode."""
    if ingress.get("enableGatewayApi") is not True:
        return "ingress.enableGatewayApi is not true"
    if ingress.get("disableIngressCreation") is True:
        return "ingress.disableIngressCreation is true"
    return "services are local to the cluster" if ingress.get("ingressDomain") == "svc.cluster.local" else None


class Cluster:
    """One InferenceService in one cluster."""

    def __init__(self, options: Options, service: str) -> None:
        self.options = options
        self.service = service
        self.task = f"serve {options.namespace}/{service}"

    @cached_property
    def _client(self) -> Any:
        from kubernetes import client, config

        configuration, context = client.Configuration(), self.options.context
        with _reaching("be reachable"):
            if context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(context=context, client_configuration=configuration)
            return client.ApiClient(configuration)

    @cached_property
    def _objects(self) -> Any:
        from kubernetes import client

        return client.CustomObjectsApi(self._client)

    @cached_property
    def installation(self) -> Installation:
        """What the cluster runs."""
        from kubernetes import client

        namespace = self.options.kserve_namespace
        read = client.CoreV1Api(self._client).read_namespaced_config_map
        with _reaching(f"show the ConfigMap {CONFIG} in {namespace}"):
            found = self._patiently(lambda: read(CONFIG, namespace, _request_timeout=_TIMEOUTS))
        return Installation.read(found.data or {})

    def mode(self, live: Mapping[str, Any] | None) -> str:
        """Return the mode in which the InferenceService is served, or will be.

        Source: `GetDeploymentMode` in pkg/controller/v1beta1/inferenceservice/utils/utils.go of KServe.

        Raises:
            InputError: If it is neither, or not the one that was asked for.
        """
        asked, default = self.options.mode, self.installation.mode
        if live is None:
            mode = asked or default
        else:
            status, annotations = live.get("status", {}), live["metadata"].get("annotations", {})
            found = status.get("deploymentMode") or annotations.get(MODE) or default
            mode = _LEGACY.get(found, found)
        if mode not in (KNATIVE, STANDARD):
            raise InputError(
                f"{self.service} must be served in the mode {KNATIVE} or {STANDARD}; it would be in {mode}."
            )
        if asked not in (None, mode):
            raise InputError(
                f"deployment['mode'] must be {mode}, in which {self.service} is served already; got {asked!r}.",
                "No InferenceService can change its mode: choose another service.",
            )
        if mode == STANDARD:
            self.options.require_standard()
        return mode

    def get(self) -> dict[str, Any] | None:
        """Return the InferenceService; None when there is none."""
        with _reaching(self.task):
            return self._get(GROUP, VERSION, PLURAL, self.service)

    def apply(self, change: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> None:
        """Bring the InferenceService to what it is to be, unless it is that already.

        Nothing that somebody else does at the same time is overwritten: then what it is to be follows anew from what
        it is. The cluster refuses fields that it does not know.

        Args:
            change: Given the InferenceService, or None when there is none, returns what it is to be.

        Raises:
            ServiceError: If the cluster refuses, or something else changes it again and again.
        """
        for attempt in range(1, ATTEMPTS + 1):
            live = self.get()
            wanted = change(live)
            if wanted is None or (live and holds(live, wanted) and marks(live["spec"]) == marks(wanted["spec"])):
                return
            try:
                with _reaching(self.task):
                    found = self._send(wanted, live is None)
            except ServiceError as error:
                if getattr(error.__cause__, "status", None) != 409 or attempt == ATTEMPTS:
                    raise
                continue
            if marks(found["spec"]) != marks(wanted["spec"]):
                raise ServiceError(
                    f"KServe must {self.task}; it dropped fields that it does not know.", "Install a newer KServe."
                )
            return

    def wait(self, wanted: Mapping[str, Any], mode: str) -> str:
        """Wait until a release serves its share of the requests, and return the address.

        KServe's conditions do not tell of which state of the InferenceService they are, so what runs it is looked at
        too: the Knative revision or the Deployment that carries the release's digest. Two looks in a row must agree,
        for the conditions of the first can be older than what was seen to run.

        Raises:
            ServiceError: If it fails, does not serve in time, or something else changes it.
        """
        deadline, pause, seen = time.monotonic() + self.options.max_seconds, 0.02, False
        while True:
            with _reaching(self.task):
                found = self._get(GROUP, VERSION, PLURAL, self.service)
                if found is None or marks(found["spec"]) != marks(wanted["spec"]):
                    raise ServiceError(f"KServe must {self.task}; something else changed it.", _HINTS[409])
                status = found.get("status", {})
                serves, failure = self._progress(wanted, status, mode)
            if failure:
                status = (self.get() or found).get("status", {})
                raise ServiceError(
                    f"KServe must {self.task}; it failed: {_told(status, failure)}",
                    f"Look at the pods: `kubectl describe pods --namespace {self.options.namespace} "
                    f"--selector serving.kserve.io/inferenceservice={self.service}`.",
                )
            url = status.get("url") or status.get("address", {}).get("url")
            if serves and url:
                if seen:
                    return str(url).rstrip("/")
                seen = True
                continue
            seen = False
            if time.monotonic() + pause > deadline:
                raise ServiceError(
                    f"KServe must {self.task} within {self.options.max_seconds:g} s; it did not: {_told(status, '')}",
                    "If it takes so long, run it again with a greater max_seconds.",
                )
            time.sleep(pause)
            pause = min(pause * 2, 10.0)

    def restore(self, former: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
        """Bring the InferenceService back to what it was, unless somebody else changed it in between."""
        live = self.get()
        if live is None or marks(live["spec"]) != marks(wanted["spec"]):
            return
        if former is not None:
            spec = former["spec"]
            self.apply(
                lambda now: {**now, "spec": spec} if now and marks(now["spec"]) == marks(wanted["spec"]) else now
            )
            return
        with _reaching(f"remove {self.options.namespace}/{self.service}"):
            preconditions = {"preconditions": {"uid": live["metadata"]["uid"]}}
            self._objects.delete_namespaced_custom_object(*self._path, body=preconditions, _request_timeout=_TIMEOUTS)

    @property
    def _path(self) -> tuple[str, str, str, str, str]:
        return GROUP, VERSION, self.options.namespace, PLURAL, self.service

    def _send(self, body: Mapping[str, Any], new: bool) -> Any:
        send = self._objects.create_namespaced_custom_object if new else self._objects.replace_namespaced_custom_object
        path = self._path[:-1] if new else self._path
        return send(*path, body=body, field_validation="Strict", _request_timeout=_TIMEOUTS)

    def _get(self, group: str, version: str, plural: str, name: str) -> dict[str, Any] | None:
        """Return an object of the namespace; None when there is none of the name."""
        from kubernetes.client.exceptions import ApiException

        read, path = self._objects.get_namespaced_custom_object, (group, version, self.options.namespace, plural, name)
        try:
            return dict(self._patiently(lambda: read(*path, _request_timeout=_TIMEOUTS)))
        except ApiException as error:
            if error.status == 404 and _answer(error).get("details", {}).get("name") == name:
                return None
            raise

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing, and repeat it for a while when the cluster cannot be reached."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        deadline, pause = time.monotonic() + min(_RETRY_SECONDS, self.options.max_seconds), 0.1
        while True:
            try:
                return call()
            except (ApiException, HTTPError) as error:
                lasting = isinstance(error, ApiException) and error.status not in (429, 500, 502, 503, 504)
                if lasting or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 10.0)

    def _progress(self, wanted: Mapping[str, Any], status: Mapping[str, Any], mode: str) -> tuple[bool, str | None]:
        """Return whether a release serves its share, and why it failed."""
        running = status.get("deploymentMode") or mode
        if _LEGACY.get(running, running) != mode:
            return False, f"KServe serves it in the mode {running}."
        progress = self._on_knative if mode == KNATIVE else self._in_standard
        serves, failure = progress(wanted["spec"], status)
        return serves and _conditions(status).get("Ready", {}).get("status") == "True", failure

    def _on_knative(self, spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[bool, str | None]:
        """The last revision is the release's, is ready, and has its share."""
        predictor = status.get("components", {}).get("predictor", {})
        name = predictor.get("latestCreatedRevision")
        revision = self._get("serving.knative.dev", "v1", "revisions", name) if name else None
        if revision is None or not _carries(revision["metadata"], spec["predictor"]):
            return False, None
        ready = _conditions(revision.get("status", {})).get("Ready", {})
        if ready.get("status") == "False":
            return False, _sentence(ready)
        shares = [entry.get("percent") or 0 for entry in predictor.get("traffic", []) if entry["revisionName"] == name]
        share = spec["predictor"].get("canaryTrafficPercent", 100)
        return ready.get("status") == "True" and sum(shares) == share, None

    def _in_standard(self, spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[bool, str | None]:
        """All pods of the Deployment are the release's and available, and the canary has its share."""
        canary = next(iter(spec.get("canary", [])), None)
        part, predictor = (f"-{CANARY}", canary["predictor"]) if canary else ("", spec["predictor"])
        deployment = self._get("apps", "v1", "deployments", f"{self.service}{part}-predictor")
        if deployment is None or not _carries(deployment["spec"]["template"]["metadata"], predictor):
            return False, None
        found = deployment.get("status", {})
        if found.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
            return False, None
        conditions = _conditions(found)
        for kind, bad in (("Progressing", "False"), ("ReplicaFailure", "True")):
            if conditions.get(kind, {}).get("status") == bad:
                return False, _sentence(conditions[kind])
        count = deployment["spec"].get("replicas", 1)
        rolled = all(found.get(kind, 0) == count for kind in ("replicas", "updatedReplicas", "availableReplicas"))
        states = {
            (entry["name"], entry["ready"], entry["trafficPercent"]) for entry in status.get("canaryStatuses", [])
        }
        return rolled and states == ({(CANARY, True, canary["trafficPercent"])} if canary else set()), None


def _carries(metadata: Mapping[str, Any], predictor: Mapping[str, Any]) -> bool:
    """Return whether what runs a predictor was made from this state of it."""
    return holds(metadata.get("annotations", {}), predictor.get("annotations", {}))


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in status.get("conditions", [])}


def _told(status: Mapping[str, Any], failure: str) -> str:
    """Return in one sentence what a status says of why a model does not serve."""
    info = status.get("modelStatus", {}).get("lastFailureInfo", {})
    if info.get("message"):
        return _sentence(info)
    unmet = [
        entry for kind, entry in _conditions(status).items() if entry.get("status") != "True" and kind != "Stopped"
    ]
    unmet.sort(key=lambda entry: (not entry.get("message"), entry["type"] == "Ready"))
    return failure or (f"{unmet[0]['type']}, {_sentence(unmet[0])}" if unmet else "there is no condition yet.")


def _sentence(entry: Mapping[str, Any]) -> str:
    """Return reason and message of a condition, on one line."""
    text = ": ".join(str(entry[key]) for key in ("reason", "message") if entry.get(key)) or "no reason is given"
    return f"{' '.join(text.split()).rstrip('.')}."


@contextmanager
def _reaching(task: str) -> Iterator[None]:
    """Turn what the Kubernetes client raises within the block into one sentence, and a hint that says what to do.

    Raises:
        ServiceError: If the cluster refuses, fails or cannot be reached.
    """
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HallmarkError:
        raise
    except ApiException as error:
        message = " ".join(str(_answer(error).get("message") or error.body or error.reason).split()).rstrip(".")
        denied = error.status == 403 and "admission webhook" in message
        raise ServiceError(
            f"KServe must {task}; the cluster answered {error.status}: {message}.",
            _HINTS.get(422 if denied else error.status or 0, _AGAIN),
        ) from error
    except HTTPError as error:
        raise ServiceError(f"KServe must {task}; the cluster could not be reached: {error}.", _AGAIN) from error
    except ConfigException as error:
        raise ServiceError(f"KServe must {task}; there is no cluster to reach: {error}.", _HINTS[401]) from error


def _answer(error: Any) -> dict[str, Any]:
    """Return the Status that the cluster answered with; empty when it answered something else."""
    try:
        found = json.loads(error.body)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
