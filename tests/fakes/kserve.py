"""A Kubernetes API with KServe in it, for the unpatched `kubernetes` client: with state, and the faults a test wants.

    with KServeFake(folder) as fake:
        fake.install(mode="Standard", models=models)
        fake.slow(3)
        fake.fail("update", "inferenceservices", 409)

It keeps resource versions and generations, refuses what the API server and KServe's webhooks refuse, and lets the
controller lag behind: whoever asks right after a change is told of the state before it.
Sources: pkg/apis/serving/v1beta1 and pkg/controller/v1beta1 of https://github.com/kserve/kserve at v0.20.0.
"""

import copy
import http.server
import json
import math
import re
import threading
import urllib.parse
import uuid

import yaml

ISVC, REVISION, DEPLOYMENT, CONFIGMAP = "inferenceservices", "revisions", "deployments", "configmaps"
GROUPS = {ISVC: "serving.kserve.io", REVISION: "serving.knative.dev", DEPLOYMENT: "apps", CONFIGMAP: ""}
KINDS = {ISVC: "InferenceService", REVISION: "Revision", DEPLOYMENT: "Deployment", CONFIGMAP: "ConfigMap"}
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}
REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 422: "Invalid"}
REASONS |= {500: "InternalError", 503: "ServiceUnavailable"}
LEGACY = {"Serverless": "Knative", "RawDeployment": "Standard"}
MODE = "serving.kserve.io/deploymentMode"
PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)/namespaces/(?P<space>[^/]+)/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?"
)


class Refusal(Exception):
    """What the API server refuses, and how."""

    def __init__(self, status, message, reason=None, **details):
        super().__init__(message)
        reason = reason or REASONS.get(status, "Unknown")
        self.status = status
        self.body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
        self.body |= {"reason": reason, "details": details, "code": status}


def require(true, status, message, **details):
    if not true:
        raise Refusal(status, message, **details)


class KServeFake:
    """A cluster on the loopback.

    Attributes:
        calls: The requests so far, as `verb plural`.
        used: The rights that were used, as `(verb, group, plural, namespace, name)`; a name only where one was given.
        unrouted: Reason and message for which the ingress is not ready; None when it is.
        rights: The rights that the account has, as above with `None` for any name; None for all.
        namespaces: The namespaces.
        objects: `(plural, namespace, name)` to object.
    """

    def __init__(self, folder):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, value = fake.serve(self.command, self.path, body)
                if status is None:
                    self.close_connection = True
                    return
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(value, bytes) else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  as http.server calls them

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.lock = threading.RLock()
        self.kubeconfig = folder / "kubeconfig"
        entry = {"cluster": "here", "user": "me", "namespace": "elsewhere"}
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "here", "cluster": {"server": address}}],
                    "users": [{"name": "me", "user": {"token": "t0ken"}}],
                    "contexts": [{"name": "main", "context": entry}],
                    "current-context": "main",
                }
            )
        )
        self.reset()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def reset(self):
        """Forget everything."""
        self.gate = threading.Event()
        self.gate.set()
        self.calls, self.used, self.rights = [], set(), None
        self.objects, self.namespaces, self.faults, self.arrivals = {}, {"models", "kserve"}, [], {}
        self.cuts = {}
        self.interference, self.todo, self.outcome, self.lag = [], {}, None, 0
        self.unrouted = None
        self.count = 0

    def install(self, mode="Knative", version="v0.21.0", models=None, gateway=True, reads_canaries=True, **ingress):
        """Install KServe.

        Args:
            mode: The mode of those that name none.
            version: The tag of its images.
            models: What its CustomResourceDefinition knows; None for the minimal one, which knows no fields.
            gateway: Whether it uses the Gateway API.
            reads_canaries: Whether the controller knows `spec.canary`.
            ingress: More settings of the ingress.
        """
        self.models, self.reads_canaries, self.drops_canaries = models, reads_canaries, False
        data = {
            "deploy": json.dumps({"defaultDeploymentMode": mode}),
            "ingress": json.dumps({"enableGatewayApi": gateway, "ingressDomain": "example.com", **ingress}),
            "storageInitializer": json.dumps({"image": f"kserve/storage-initializer:{version}"}),
        }
        self.objects[CONFIGMAP, "kserve", "inferenceservice-config"] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
            "data": data,
        }

    def fail(self, verb, plural, status, message="Refused.", times=1, after=False, reason=None):
        """Refuse requests; a `status` of None breaks the connection instead, and `after` serves them before it does."""
        self.faults.append([verb, plural, status, message, times, after, reason])

    def cut(self, number, after, times=1):
        """Lose the connection at the request that so many come before, and the next ones; `after` serves them."""
        self.cuts = {len(self.calls) + number + 1 + index: after for index in range(times)}

    def slow(self, polls):
        """Let every change from now on take so many looks longer; `math.inf` for ever."""
        self.lag = polls

    def end(self):
        """Let all that is under way end."""
        self.lag = 0
        for key in [*self.todo]:
            while self.todo.get(key):
                self._step(key)

    def under_way(self, name):
        """Return whether the controller is not done with what it was last told."""
        return bool(self.todo.get((ISVC, "models", name)))

    def crash(self, reason, message):
        """Let what is deployed from now on fail; `crash(None, None)` mends it."""
        self.outcome = (reason, message) if reason else None

    def interfere(self, *changes):
        """Before the next updates, let somebody else change the InferenceService first, one function an update."""
        self.interference += changes

    def arrival(self, call):
        """Return an event that is set when a request such as `create inferenceservices` has been served."""
        return self.arrivals.setdefault(call, threading.Event())

    def hold(self, call):
        """Let no such request be answered until the event that is returned is set."""
        self.gate = threading.Event()
        self.held = call
        return self.gate

    def changes(self):
        return [call for call in self.calls if not call.startswith("get ")]

    def service(self, name, namespace="models"):
        return self.objects[ISVC, namespace, name]

    def share(self, name):
        """Return version to its share of the requests, as the revisions or Deployments that run say."""
        status = self.service(name)["status"]
        if status["deploymentMode"] == "Knative":
            traffic = status["components"]["predictor"].get("traffic", [])
            parts = [
                (self.objects[REVISION, "models", part["revisionName"]]["metadata"], part["percent"])
                for part in traffic
            ]
        else:
            canaries = {entry["name"]: entry["trafficPercent"] for entry in status.get("canaryStatuses", [])}
            rest = 100 - sum(canaries.values())
            parts = [(self._deployed(name, f"-{part}"), share) for part, share in canaries.items()]
            parts.append((self._deployed(name, ""), rest))
        found = {}
        for metadata, share in parts:
            version = metadata["labels"]["io.hallmark/version"]
            found[version] = found.get(version, 0) + share
        return {version: share for version, share in found.items() if share}

    def _deployed(self, name, part):
        return self.objects[DEPLOYMENT, "models", f"{name}{part}-predictor"]["spec"]["template"]["metadata"]

    # What the API server does.

    def serve(self, method, path, body):
        parts = urllib.parse.urlsplit(path)
        match = PATH.fullmatch(parts.path)
        if not match:
            return 404, b"404 page not found\n"
        verb, plural, query = VERBS.get(method, "patch"), match["plural"], urllib.parse.parse_qs(parts.query)
        call = f"{verb} {plural}"
        with self.lock:
            self.calls.append(call)
            self.used.add(
                (verb, match["group"] or "", plural, match["space"], match["name"] if verb == "get" else None)
            )
            fault = next((fault for fault in self.faults if fault[:2] == [verb, plural] and fault[4] > 0), None)
            if len(self.calls) in self.cuts:
                fault = [verb, plural, None, "", 1, self.cuts[len(self.calls)], None]
            if fault:
                fault[4] -= 1
            try:
                if fault and not fault[5]:
                    answer = self._faulty(fault, plural, match["name"])
                else:
                    answer = self._answer(verb, match, query, body)
                    if fault:
                        answer = None, None
            except Refusal as refusal:
                answer = refusal.status, refusal.body
            if call in self.arrivals:
                self.arrivals[call].set()
        if not self.gate.is_set() and call == self.held:
            self.gate.wait(timeout=120)
        return answer

    def _faulty(self, fault, plural, name):
        _, _, status, message, _, _, reason = fault
        if status is None:
            return None, None
        raise Refusal(status, message, reason, name=name, group=GROUPS[plural], kind=plural)

    def _answer(self, verb, match, query, body):
        group, space, plural, name = match["group"] or "", match["space"], match["plural"], match["name"]
        if plural not in GROUPS or (
            plural == ISVC and (CONFIGMAP, "kserve", "inferenceservice-config") not in self.objects
        ):
            return 404, b"404 page not found\n"
        require(group == GROUPS[plural], 404, "the server could not find the requested resource")
        self._authorize(verb, group, plural, space, name)
        key = (plural, space, name)
        if verb == "get":
            require(
                key in self.objects, 404, f'{_full(plural)} "{name}" not found', name=name, group=group, kind=plural
            )
            found = copy.deepcopy(self.objects[key])
            if plural == ISVC:
                self._look(key)
            return 200, found
        value = json.loads(body)
        if verb == "create":
            require(space in self.namespaces, 404, f'namespaces "{space}" not found', name=space, kind="namespaces")
            return 201, self._create(space, plural, value, query)
        require(key in self.objects, 404, f'{_full(plural)} "{name}" not found', name=name, group=group, kind=plural)
        return 200, self._update(key, value, query) if verb == "update" else self._delete(key, value)

    def _authorize(self, verb, group, plural, space, name):
        if self.rights is None:
            return
        allowed = any((verb, group, plural, space, given) in self.rights for given in (None, name))
        account = "system:serviceaccount:kubeflow:hallmark-deployer"
        message = (
            f'{_full(plural)} "{name}" is forbidden: User "{account}" cannot {verb} resource "{plural}" in API group '
        )
        require(allowed, 403, f'{message}"{group}" in the namespace "{space}"', name=name, group=group, kind=plural)

    def _create(self, space, plural, value, query):
        name = value["metadata"]["name"]
        key = (plural, space, name)
        if key in self.objects:
            raise Refusal(409, f'{_full(plural)} "{name}" already exists', "AlreadyExists", name=name, kind=plural)
        made = self._admitted(value, None, query)
        self.count += 1
        made["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "namespace": space,
            "resourceVersion": str(self.count),
        }
        made["status"] = {}
        self.objects[key] = made
        self._plan(key)
        return copy.deepcopy(made)

    def _update(self, key, value, query):
        if self.interference:
            self.interference.pop(0)(self.objects[key])
            self._touch(key)
        live = self.objects[key]
        given = value["metadata"].get("resourceVersion")
        where = f'{_full(key[0])} "{key[2]}"'
        require(
            given,
            422,
            f"{where} is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
        )
        if given != live["metadata"]["resourceVersion"]:
            message = (
                f"Operation cannot be fulfilled on {where}: the object has been modified; please apply your changes"
            )
            raise Refusal(409, f"{message} to the latest version and try again", name=key[2], kind=key[0])
        made = self._admitted(value, live, query)
        if (made["spec"], _marks(made)) != (live["spec"], _marks(live)):
            live["metadata"] |= {
                "labels": made["metadata"].get("labels", {}),
                "annotations": made["metadata"].get("annotations", {}),
            }
            live["metadata"]["generation"] += made["spec"] != live["spec"]
            live["spec"] = made["spec"]
            self._touch(key)
            self._plan(key)
        return copy.deepcopy(live)

    def _delete(self, key, value):
        wanted = (value or {}).get("preconditions", {}).get("uid")
        found = self.objects[key]["metadata"]["uid"]
        require(
            wanted in (None, found),
            409,
            f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}",
        )
        self.todo.pop(key, None)
        prefix = key[2]
        for other in [*self.objects]:
            if other[0] in (ISVC, REVISION, DEPLOYMENT) and other[1] == key[1] and other[2].startswith(prefix):
                del self.objects[other]
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _touch(self, key):
        self.count += 1
        self.objects[key]["metadata"]["resourceVersion"] = str(self.count)

    # What KServe's definition and webhooks do.

    def _admitted(self, value, live, query):
        made = copy.deepcopy(value)
        made.pop("status", None)
        if self.models:
            unknown = self.models.unknown(made)
            strict = query.get("fieldValidation") == ["Strict"]
            fields = ", ".join(f'unknown field "{field}"' for field in unknown)
            require(
                not (unknown and strict),
                400,
                f"InferenceService in version v1beta1 cannot be handled: strict decoding error: {fields}",
            )
            for field in unknown:
                made["spec"].pop(field.removeprefix("spec."), None)
        if self.drops_canaries:
            made["spec"].pop("canary", None)
        annotations = made["metadata"].setdefault("annotations", {})
        if MODE in annotations:
            annotations[MODE] = LEGACY.get(annotations[MODE], annotations[MODE])
        elif self._default() == "Standard":
            annotations[MODE] = "Standard"
        for predictor in (made["spec"]["predictor"], *(entry["predictor"] for entry in made["spec"].get("canary", []))):
            predictor["containers"][0].setdefault("imagePullPolicy", "IfNotPresent")
        self._validate(made, live)
        return made

    def _default(self):
        data = self.objects[CONFIGMAP, "kserve", "inferenceservice-config"]["data"]
        mode = json.loads(data["deploy"])["defaultDeploymentMode"]
        return LEGACY.get(mode, mode)

    def _validate(self, made, live):
        """As inference_service_validation.go."""

        def deny(true, message):
            webhook = "inferenceservice.kserve-webhook-server.validator"
            require(true, 403, f'admission webhook "{webhook}" denied the request: {message}')

        annotations, spec = made["metadata"]["annotations"], made["spec"]
        name, predictor, canaries = made["metadata"]["name"], spec["predictor"], spec.get("canary", [])
        deny(re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name), f'the InferenceService "{name}" is invalid')
        served = (live or {}).get("status", {}).get("deploymentMode")
        deny(not served or annotations.get(MODE, served) == served, "update rejected: deploymentMode cannot be changed")
        deny(predictor["minReplicas"] <= predictor["maxReplicas"], "MinReplicas cannot be greater than MaxReplicas.")
        if canaries and self.reads_canaries:
            deny(annotations.get(MODE) == "Standard", "canary is only supported in Standard deployment mode")
            deny(_storage(predictor), "canary requires a stable predictor with a model")
            for index, canary in enumerate(canaries):
                deny(canary["predictor"].get("name"), f"canary[{index}] predictor.name is required")
                deny("maxReplicas" not in canary["predictor"], "canary must not set maxReplicas")
            deny(sum(canary["trafficPercent"] for canary in canaries) <= 100, "sum of canary trafficPercent values")

    # What KServe's controller does, a step a look.

    def _plan(self, key):
        self.todo[key] = [self._begin, *[self._roll] * (0 if self.lag is math.inf else self.lag), self._finish]
        if self.lag is math.inf:
            self.todo[key] = [self._begin]

    def _look(self, key):
        if self.todo.get(key):
            self._step(key)

    def _step(self, key):
        self.todo[key].pop(0)(key, self.objects[key])
        self._touch(key)

    def _mode(self, isvc):
        found = isvc["status"].get("deploymentMode") or isvc["metadata"]["annotations"].get(MODE, self._default())
        return LEGACY.get(found, found)

    def _begin(self, key, isvc):
        isvc["status"]["deploymentMode"] = self._mode(isvc)
        (self._begin_knative if self._mode(isvc) == "Knative" else self._begin_standard)(key[2], isvc)

    def _roll(self, key, _):
        """Replace a pod of each Deployment that has changed, beside those that are there."""
        for other, found in self.objects.items():
            if other[0] == DEPLOYMENT and other[2].startswith(f"{key[2]}-") and not _rolled(found):
                found["status"] |= {"observedGeneration": found["metadata"]["generation"], "updatedReplicas": 1}
                found["status"]["replicas"] = found["spec"]["replicas"] + 1

    def _finish(self, key, isvc):
        (self._finish_knative if self._mode(isvc) == "Knative" else self._finish_standard)(key[2], isvc)

    def _begin_knative(self, name, isvc):
        state = isvc["status"].setdefault("components", {}).setdefault("predictor", {})
        template = _template(isvc, isvc["spec"]["predictor"])
        last = self.objects.get((REVISION, "models", state.get("latestCreatedRevision")))
        if last is None or last["spec"] != template["spec"] or _marks(last) != _marks(template):
            number = sum(key[0] == REVISION and key[2].startswith(f"{name}-predictor-") for key in self.objects) + 1
            revision = f"{name}-predictor-{number:05}"
            metadata = {**template["metadata"], "name": revision, "generation": 1}
            made = {"metadata": metadata, "spec": template["spec"], "status": _conditions(Ready="Unknown")}
            self.objects[REVISION, "models", revision] = made
            state["latestCreatedRevision"] = revision
            isvc["status"] |= _conditions(PredictorReady="Unknown", IngressReady="True", Ready="Unknown")

    def _finish_knative(self, name, isvc):
        state = isvc["status"]["components"]["predictor"]
        latest = state["latestCreatedRevision"]
        revision = self.objects[REVISION, "models", latest]
        if self.outcome and revision["status"] != _conditions(Ready="True"):
            reason, message = self.outcome
            revision["status"] = {"conditions": [_condition("Ready", "False", reason, message)]}
            failed = f"Revision '{latest}' failed with message: {message}."
            isvc["status"]["conditions"] = [
                _condition("PredictorReady", "False", "RevisionFailed", failed),
                _condition("IngressReady", "True"),
                _condition("Ready", "False", "RevisionFailed", failed),
            ]
            return
        revision["status"] = _conditions(Ready="True")
        state["latestReadyRevision"] = latest
        percent, led = isvc["spec"]["predictor"].get("canaryTrafficPercent"), state.get("latestRolledoutRevision")
        if percent is None or led is None:
            state["traffic"] = [{"revisionName": latest, "latestRevision": True, "percent": 100}]
            if led != latest:
                state["previousRolledoutRevision"], state["latestRolledoutRevision"] = led, latest
        else:
            state["traffic"] = [
                {"revisionName": latest, "latestRevision": True, "percent": percent},
                {"revisionName": led, "latestRevision": False, "percent": 100 - percent, "tag": "prev"},
            ]
        self._route(isvc, f"http://{name}.models.example.com")

    def _begin_standard(self, name, isvc):
        canaries = isvc["spec"].get("canary", []) if self.reads_canaries else []
        wanted = {f"{name}-predictor": isvc["spec"]["predictor"]}
        wanted |= {f"{name}-{canary['predictor']['name']}-predictor": canary["predictor"] for canary in canaries}
        for deployment, predictor in wanted.items():
            self._roll_out(deployment, _template(isvc, predictor), isvc["spec"]["predictor"]["minReplicas"])
        for other in [*self.objects]:
            if other[0] == DEPLOYMENT and other[2].startswith(f"{name}-") and other[2] not in wanted:
                del self.objects[other]
        self._tell_canaries(name, isvc, canaries)
        if "conditions" not in isvc["status"]:
            isvc["status"] |= _conditions(PredictorReady="Unknown", IngressReady="Unknown", Ready="Unknown")

    def _roll_out(self, name, template, replicas):
        found = self.objects.get((DEPLOYMENT, "models", name))
        if found is None:
            status = {"conditions": [], "replicas": 0, "updatedReplicas": 0, "availableReplicas": 0}
            found = {"metadata": {"name": name, "generation": 0}, "spec": {"replicas": replicas}, "status": status}
            self.objects[DEPLOYMENT, "models", name] = found
        if found["spec"].get("template") != template:
            found["spec"]["template"] = template
            found["metadata"]["generation"] += 1

    def _finish_standard(self, name, isvc):
        for key, found in self.objects.items():
            if key[0] != DEPLOYMENT or not key[2].startswith(f"{name}-"):
                continue
            if _rolled(found):
                continue
            status = found["status"]
            status["observedGeneration"] = found["metadata"]["generation"]
            if self.outcome:
                status["conditions"] = [_condition("Progressing", "False", *self.outcome)]
                status["updatedReplicas"] = 1
                failure = {"reason": "ModelLoadFailed", "message": "The release was refused."}
                isvc["status"]["modelStatus"] = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure}
                continue
            count = found["spec"]["replicas"]
            status |= {"replicas": count, "updatedReplicas": count, "availableReplicas": count}
            status["conditions"] = [_condition("Progressing", "True", "NewReplicaSetAvailable")]
        self._tell_canaries(name, isvc, isvc["spec"].get("canary", []) if self.reads_canaries else [])
        if self.objects[DEPLOYMENT, "models", f"{name}-predictor"]["status"]["availableReplicas"]:
            self._route(isvc, f"http://{name}-models.example.com")

    def _route(self, isvc, url):
        if self.unrouted:
            isvc["status"]["conditions"] = [
                _condition("PredictorReady", "True"),
                _condition("IngressReady", "False", *self.unrouted),
                _condition("Ready", "False", *self.unrouted),
            ]
        else:
            isvc["status"] |= _conditions(PredictorReady="True", IngressReady="True", Ready="True")
            isvc["status"]["url"] = url

    def _tell_canaries(self, name, isvc, canaries):
        isvc["status"].pop("canaryStatuses", None)
        if canaries:
            isvc["status"]["canaryStatuses"] = [
                {
                    "name": canary["predictor"]["name"],
                    "ready": self.objects[DEPLOYMENT, "models", f"{name}-{canary['predictor']['name']}-predictor"][
                        "status"
                    ]["availableReplicas"]
                    > 0,
                    "trafficPercent": canary["trafficPercent"],
                }
                for canary in canaries
            ]


def _rolled(deployment):
    """Return whether all pods of a Deployment are of its present template."""
    found, count = deployment["status"], deployment["spec"]["replicas"]
    same = found.get("observedGeneration") == deployment["metadata"]["generation"]
    return same and found["replicas"] == found["updatedReplicas"] == found["availableReplicas"] == count


def _full(plural):
    return f"{plural}.{GROUPS[plural]}".rstrip(".")


def _storage(predictor):
    return next((entry["value"] for entry in predictor["containers"][0]["env"] if entry["name"] == "STORAGE_URI"), None)


def _marks(value):
    metadata = value["metadata"]
    return metadata.get("labels", {}), metadata.get("annotations", {})


def _template(isvc, predictor):
    """As buildObjectMeta: what the predictor says goes before what the InferenceService says."""
    labels, annotations = _marks(isvc)
    metadata = {
        "labels": {**labels, **predictor.get("labels", {})},
        "annotations": {**annotations, **predictor.get("annotations", {})},
    }
    scale = {key: predictor.get(key) for key in ("minReplicas", "maxReplicas")}
    return {"metadata": metadata, "spec": {"containers": copy.deepcopy(predictor["containers"]), **scale}}


def _condition(kind, status, reason="", message=""):
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _conditions(**statuses):
    return {"conditions": [_condition(kind, status) for kind, status in statuses.items()]}
