"""The manifest of a release on KServe: its options, how it is rendered, and how it takes its place in what serves.

    metadata.annotations   io.hallmark/name        the registered model; the service of another name is left alone
    spec.predictor         the image `serve` on the release's package; on Knative also a canary
    spec.canary            a canary in KServe's Standard mode, beside the predictor that leads
    of either predictor:   io.hallmark/release     version and digests, as a release refers to another
                           io.hallmark/previous    the same of what led before it
                           io.hallmark/manifest    a digest of the predictor as it is rendered

Every field is as KServe's `v1beta1` has it: https://github.com/kserve/kserve/tree/v0.20.0/pkg/apis/serving/v1beta1.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp_hallmark import settings_checks as checks
from kfp_hallmark.components.release.deploy_model.target import leads_already
from kfp_hallmark.contracts.digest import short
from kfp_hallmark.contracts.release import Release, reference_to
from kfp_hallmark.errors import InputError

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
KNATIVE, STANDARD = "Knative", "Standard"
"""The modes that KServe serves a model in; before 0.16 they were named Serverless and RawDeployment."""

MODE = "serving.kserve.io/deploymentMode"
NAME, RELEASE, PREVIOUS, MANIFEST = (f"io.hallmark/{part}" for part in ("name", "release", "previous", "manifest"))
CANARY = "canary"
"""The name of a canary's predictor in Standard mode, so that its Deployment is `<service>-canary-predictor`."""

PORT = 8080
SERVICE_LENGTH = 63 - len(f"-{CANARY}-predictor")

_PVC = re.compile(r"pvc://([a-z0-9]([-a-z0-9.]*[a-z0-9])?)(/.*)?")


@dataclass(frozen=True)
class Options:
    """The options of `deployment` for KServe.

    Attributes:
        storage_uri: Folder that packages are put below: `gs://bucket/folder`, `s3://bucket/folder`, `pvc://claim/folder`.
        serving_image: The image `serve`, by its digest.
        namespace: Where the InferenceService is.
        service: Its name. Default: one that follows from the registered model's.
        traffic: The share of the requests that the model gets, in percent; below 100 it is a canary.
        mode: Knative or Standard. Default: what the cluster does.
        mount_path: Where the claim of a `pvc://` is mounted in this step.
        service_account: The ServiceAccount of the pods, which may read the package.
        pull_secret: The Secret to pull the image with.
        min_replicas: Fewest replicas; 0 on Knative alone.
        max_replicas: Most replicas.
        cpu_request: Processors to reserve.
        cpu_limit: Processors at most.
        memory_request: Memory to reserve.
        memory_limit: Memory at most.
        labels: Labels of the InferenceService and its pods.
        max_seconds: How long it may take until the model serves.
        context: The context of the kubeconfig. Default: its current one, or the pod's own account.
        kserve_namespace: Where KServe is installed.
        manifest_dir: Folder to write the manifest to, instead of sending it to a cluster.
    """

    storage_uri: str
    serving_image: str
    namespace: str
    service: str | None = None
    traffic: int = 100
    mode: str | None = None
    mount_path: str | None = None
    service_account: str | None = None
    pull_secret: str | None = None
    min_replicas: int = 1
    max_replicas: int = 1
    cpu_request: str = "500m"
    cpu_limit: str = "1"
    memory_request: str = "1Gi"
    memory_limit: str = "2Gi"
    labels: dict[str, str] = field(default_factory=dict)
    max_seconds: float = 900.0
    context: str | None = None
    kserve_namespace: str = "kserve"
    manifest_dir: str | None = None

    def __post_init__(self) -> None:
        self._check_storage()
        if not re.fullmatch(r"[^\s@]+@sha256:[0-9a-f]{64}", self.serving_image):
            raise InputError(
                f"deployment['serving_image'] must name an image by its digest, as registry/serve@sha256:...; "
                f"got {self.serving_image!r}.",
                "`hallmark image lock` writes the digests to images.lock.json.",
            )
        for name in ("namespace", "kserve_namespace"):
            checks.label_name(_named(name), getattr(self, name))
        for name in ("service_account", "pull_secret"):
            if getattr(self, name) is not None:
                checks.object_name(_named(name), getattr(self, name))
        if self.service is not None:
            require_service(self.service)
        if self.mode is not None:
            checks.one_of(KNATIVE, STANDARD)(_named("mode"), self.mode)
        self._check_numbers()
        for kind, check in (("cpu", checks.cpu), ("memory", checks.memory)):
            request, limit = f"{kind}_request", f"{kind}_limit"
            for name in (request, limit):
                check(_named(name), getattr(self, name))
            checks.at_most(request, getattr(self, request), limit, getattr(self, limit))
        self._check_labels()
        self._check_manifest_dir()

    def _check_storage(self) -> None:
        claim = _PVC.fullmatch(self.storage_uri)
        if not claim and not re.fullmatch(r"(gs|s3)://[a-z0-9][a-z0-9._-]+(/.*)?", self.storage_uri):
            raise InputError(
                f"deployment['storage_uri'] must be as gs://bucket/folder, s3://bucket/folder or pvc://claim/folder; "
                f"got {self.storage_uri!r}."
            )
        if claim and self.mount_path is None:
            raise InputError("deployment['mount_path'] must say where the claim is mounted in this step; got none.")
        if self.mount_path is not None:
            checks.absolute_path(_named("mount_path"), self.mount_path)
            if not claim:
                raise InputError("deployment['mount_path'] must be left out unless storage_uri is a pvc://.")

    def _check_numbers(self) -> None:
        if not 1 <= self.traffic <= 100:
            raise InputError(f"deployment['traffic'] must be 1 to 100 percent; got {self.traffic}.")
        if self.max_replicas < 1:
            raise InputError(f"deployment['max_replicas'] must be at least 1; got {self.max_replicas}.")
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise InputError(
                f"deployment['min_replicas'] must be 0 to max_replicas, {self.max_replicas}; got {self.min_replicas}."
            )
        if self.mode == STANDARD:
            self.require_standard()
        if not 0 < self.max_seconds < math.inf:
            raise InputError(f"deployment['max_seconds'] must be above 0 and finite; got {self.max_seconds:g}.")

    def require_standard(self) -> None:
        """Raise `InputError` at what KServe's Standard mode would do otherwise without a word."""
        if self.min_replicas == 0:
            raise InputError(
                "deployment['min_replicas'] must be at least 1 in KServe's Standard mode, which runs 1 all the same; "
                "got 0."
            )

    def _check_labels(self) -> None:
        checks.kubernetes_labels("deployment['labels']", self.labels)
        for key in self.labels:
            if key.startswith("io.hallmark/") or "kserve.io/" in key or "knative.dev/" in key:
                raise InputError(
                    f"deployment['labels'] must be none of Hallmark's, KServe's and Knative's; got {key!r}."
                )

    def _check_manifest_dir(self) -> None:
        if self.manifest_dir is None:
            return
        if not self.manifest_dir or "://" in self.manifest_dir:
            raise InputError(f"deployment['manifest_dir'] must be a folder here; got {self.manifest_dir!r}.")
        if self.traffic < 100 and self.mode is None:
            raise InputError("deployment['mode'] must be given for the manifest of a canary; no cluster is asked.")

    @property
    def put_uri(self) -> str:
        """Where this step puts packages, so that they are at `storage_uri` for the cluster."""
        claim = _PVC.fullmatch(self.storage_uri)
        if claim is None or self.mount_path is None:
            return self.storage_uri
        return Path(f"{self.mount_path}{claim[3] or ''}").as_uri()


def require_service(name: str) -> str:
    """Return a name that an InferenceService can have, with room for those of what runs it.

    Raises:
        InputError: If it is longer, or anything but lowercase letters, digits and hyphens, a letter first.
    """
    if len(name) > SERVICE_LENGTH or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise InputError(
            f"deployment['service'] must be at most {SERVICE_LENGTH} lowercase letters, digits and hyphens, a letter "
            f"first and no hyphen last; got {name!r}."
        )
    return name


def render(options: Options, release: Release, uri: str, live: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the predictor that serves a release.

    Args:
        options: The options.
        release: The release.
        uri: Where its package is.
        live: The `spec` of what serves now, from which follows what led before; None when nothing does.
    """
    former = _previous(live, release)
    predictor = {
        "annotations": {
            RELEASE: _compact(release.reference),
            **({} if former is None else {PREVIOUS: _compact(former)}),
        },
        "labels": {"io.hallmark/version": release.version, "io.hallmark/digest": short(release.model.digest)},
        **({"serviceAccountName": options.service_account} if options.service_account else {}),
        **({"imagePullSecrets": [{"name": options.pull_secret}]} if options.pull_secret else {}),
        "automountServiceAccountToken": False,
        "minReplicas": options.min_replicas,
        "maxReplicas": options.max_replicas,
        "containers": [_container(options, uri)],
    }
    predictor["annotations"][MANIFEST] = hashlib.sha256(_compact(predictor).encode()).hexdigest()
    return predictor


def _container(options: Options, uri: str) -> dict[str, Any]:
    def probe(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": PORT}, "timeoutSeconds": 5}

    return {
        "name": "kserve-container",
        "image": options.serving_image,
        "env": [{"name": "STORAGE_URI", "value": uri}],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": probe("/v2/health/ready"),
        "livenessProbe": probe("/v2/health/live"),
        "resources": {
            "requests": {"cpu": options.cpu_request, "memory": options.memory_request},
            "limits": {"cpu": options.cpu_limit, "memory": options.memory_limit},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def manifest(
    options: Options, service: str, release: Release, uri: str, mode: str, live: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the InferenceService in which a release has its share of the requests.

    What somebody else set beside the predictors stays.

    Args:
        options: The options.
        service: The InferenceService's name.
        release: The release.
        uri: Where its package is.
        mode: The mode that it is served in; for all requests it makes no difference.
        live: The InferenceService as it is; None when there is none.

    Raises:
        InputError: If it is another registered model's, or a canary is asked for and nothing else leads.
    """
    former = None if live is None else live["spec"]
    metadata: dict[str, Any] = {"name": service, "namespace": options.namespace}
    if live is not None:
        _require_own(live, release.name)
        metadata = dict(live["metadata"])
    metadata["labels"] = {**metadata.get("labels", {}), **options.labels}
    marks = {NAME: release.name} | ({MODE: options.mode} if options.mode and live is None else {})
    metadata["annotations"] = {**metadata.get("annotations", {}), **marks}
    predictor = render(options, release, uri, former)
    spec = {key: value for key, value in (former or {}).items() if key not in ("predictor", "canary")}
    if options.traffic == 100:
        spec["predictor"] = predictor
    elif former is None:
        raise InputError(f"deployment['traffic'] must be 100 where nothing else serves; got {options.traffic}.")
    elif leading(former) == release.reference:
        raise leads_already(options.traffic)
    elif mode == KNATIVE:
        spec["predictor"] = {**predictor, "canaryTrafficPercent": options.traffic}
    else:
        # KServe gives a canary its share of the leading predictor's replicas, and refuses a number of its own.
        fixed = {key: value for key, value in predictor.items() if key not in ("minReplicas", "maxReplicas")}
        spec["predictor"] = former["predictor"]
        spec["canary"] = [{"predictor": {"name": CANARY, **fixed}, "trafficPercent": options.traffic}]
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "InferenceService", "metadata": metadata, "spec": spec}


def _require_own(live: Mapping[str, Any], name: str) -> None:
    found = live["metadata"].get("annotations", {}).get(NAME)
    if found != name:
        service, namespace = live["metadata"]["name"], live["metadata"].get("namespace")
        raise InputError(
            f"The InferenceService {service} must have the annotation {NAME} {name!r}; got {found!r}.",
            f"If it is to serve {name!r}: `kubectl annotate inferenceservice {service} --namespace {namespace} "
            f"--overwrite '{NAME}={name}'`.",
        )


def released(predictor: Mapping[str, Any], key: str = RELEASE) -> dict[str, str] | None:
    """Return the release that a predictor serves, as another refers to it, or None if it was not deployed from one."""
    try:
        found = json.loads(predictor.get("annotations", {})[key])
        return reference_to(found["version"], found["digest"], found["decision_digest"])
    except (KeyError, TypeError, ValueError):
        return None


def leading(spec: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the release that answers what no canary does; on Knative a canary says which that is."""
    predictor = spec["predictor"]
    return released(predictor, PREVIOUS if "canaryTrafficPercent" in predictor else RELEASE)


def _previous(live: Mapping[str, Any] | None, release: Release) -> dict[str, str] | None:
    """Return what led before a release: for one that is there already what it says, else what leads now.

    On Knative a canary has taken the place of the release that leads, and with it of what that says.
    """
    if live is None:
        return None
    predictors = [live["predictor"], *(entry["predictor"] for entry in live.get("canary", []))]
    for predictor in predictors:
        if released(predictor) == release.reference:
            return released(predictor, PREVIOUS)
    former = leading(live)
    return None if former == release.reference else former


def marks(spec: Mapping[str, Any]) -> list[Any]:
    """Return what tells one state of serving from another: who gets which share."""
    predictor = spec["predictor"]
    found = [_mark(predictor), predictor.get("canaryTrafficPercent")]
    return found + [(_mark(entry["predictor"]), entry["trafficPercent"]) for entry in spec.get("canary") or []]


def _mark(predictor: Mapping[str, Any]) -> str | None:
    return predictor.get("annotations", {}).get(MANIFEST)


def holds(found: Any, wanted: Any) -> bool:
    """Return whether an object has everything that another has; the cluster adds defaults."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(key in found and holds(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(holds, found, wanted))
    return bool(found == wanted)


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _named(option: str) -> str:
    return f"deployment[{option!r}]"
