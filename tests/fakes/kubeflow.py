"""Kubeflow Pipelines on this machine, for the unpatched `kfp.Client`: with state, and with the faults a test wants.

    with KubeflowFake() as fake:
        fake.course({"load-dataset": "RUNNING"}, {"load-dataset": "FAILED"})
        fake.fail("run_service_get_run", 503)

Routes, requests and answers are those of kfp-server-api, read off its classes. What the service refuses, and with which
words, is as in the backend's sources: https://github.com/kubeflow/pipelines/tree/master/backend.
"""

import contextlib
import datetime
import http.server
import inspect
import json
import re
import threading
import urllib.parse
import uuid
from types import SimpleNamespace

import kfp_server_api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

HTTP_STATUS = {"INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404}
HTTP_STATUS |= {"ALREADY_EXISTS": 409, "INTERNAL": 500, "UNIMPLEMENTED": 501}
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 501: 12, 503: 14}
NEVER = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
LOGIN_PAGE = b"<!doctype html><title>Log in to Your Account</title>"
KINDS = {"STRING": str, "BOOLEAN": bool, "LIST": list, "STRUCT": dict, "NUMBER_INTEGER": float, "NUMBER_DOUBLE": float}

API = kfp_server_api.ApiClient()


class Refusal(Exception):
    """What the service refuses, and how."""

    def __init__(self, code, message):
        super().__init__(message)
        self.status = HTTP_STATUS[code] if isinstance(code, str) else code


def require(true, message, code="INVALID_ARGUMENT"):
    if not true:
        raise Refusal(code, message)


def operations():
    """Return the API's operations as its client has them: name, method, path and the model of the request's body."""
    found = []
    for name in dir(kfp_server_api):
        if not name.endswith("ServiceApi"):
            continue
        for member, function in inspect.getmembers(getattr(kfp_server_api, name), inspect.isfunction):
            if not member.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            path, method = re.search(r"'(/apis/[^']+)', '([A-Z]+)'", source).groups()
            body = re.search(r"body_params = local_var_params\['(\w+)'\]", source)
            model = re.search(rf":type {body[1]}: (\w+)", source) if body else None
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(path))
            found.append((member.removesuffix("_with_http_info"), method, pattern, model and model[1]))
    # The longest path first: `/runs/{run_id}:terminate` before `/runs/{run_id}`.
    return sorted(found, key=lambda entry: -len(entry[2]))


OPERATIONS = operations()


def read(text, model):
    """Return a request's body as a model of the API; like the service, refuse what the model has not."""
    value = json.loads(text)
    known = set(getattr(kfp_server_api, model).attribute_map.values())
    require(not set(value) - known, f'proto: unknown field "{min(set(value) - known, default="")}"')
    return API.deserialize(SimpleNamespace(data=text), model)


class KubeflowFake:
    """A Kubeflow Pipelines installation.

    Args:
        namespaces: The profiles' namespaces that who asks may use; none for a single-user installation.
        token: What the header Authorization must bear; None asks nobody.
        cookie: What the header Cookie must be; None asks nobody.

    Attributes:
        host: Where the API is.
        calls: The operations that were called, in order.
        runs: The runs by id.
        recurring_runs: The schedules by id.
        experiments: The experiments by id.
        login: Whether who is not known is sent to a login page, as by Kubeflow's gateway.
        refusing: The status that every call is refused with; None for none.
        talks: Cleared, the service leaves what it is asked without an answer.
    """

    def __init__(self, namespaces=(), token=None, cookie=None):
        self.namespaces, self.token, self.cookie = namespaces, token, cookie
        self.login, self.refusing = False, None
        self.lock = threading.RLock()
        self.clock = datetime.datetime(2026, 11, 21, 6, 0, tzinfo=datetime.UTC)
        self.calls, self.faults, self.courses = [], {}, []
        self.experiments, self.runs, self.recurring_runs, self.versions = {}, {}, {}, {}
        self.stages = {}
        self.talks = threading.Event()
        self.talks.set()
        self.called = threading.Condition(self.lock)

    def __enter__(self):
        handler = type("Handler", (Handler,), {"fake": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.talks.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def host(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    # What a test asks for.

    def course(self, *stages):
        """Say how the next run goes: for each look at it the states of its tasks; then it ends as these say.

        A stage may also be a function, which is called.
        """
        self.courses.append(list(stages))

    def fail(self, operation, status, message="As the test wants.", times=1, after=False):
        """Let the next calls of an operation fail; with `after`, what they ask for is done all the same.

        The status 0 ends the connection without an answer; with 200 the message is the whole answer.
        """
        self.faults[operation] = [status, message, times, after]

    def await_call(self, operation):
        """Wait until an operation has been called."""
        with self.called:
            assert self.called.wait_for(lambda: operation in self.calls, timeout=60)

    def upload(self, spec):
        """Keep a pipeline as by upload in the UI, and return the reference to its version."""
        reference = {"pipeline_id": str(uuid.uuid4()), "pipeline_version_id": str(uuid.uuid4())}
        self.versions[reference["pipeline_version_id"]] = kfp_server_api.V2beta1PipelineVersion(
            **reference, display_name="uploaded", pipeline_spec=spec
        )
        return kfp_server_api.V2beta1PipelineVersionReference(**reference)

    def spec(self, run_id):
        """Return a run's spec and platform spec, parsed by KFP's messages."""
        return parse_source(self.runs[run_id].pipeline_spec)

    # The API.

    def answer(self, name, path, query, body):
        """Do an operation, and return the answer as JSON.

        Args:
            name: The operation.
            path: What its path says.
            query: What its query says.
            body: The model that it brings; empty for none.
        """
        with self.lock:
            self.calls.append(name)
            self.called.notify_all()
            require(self.refusing is None, "As the test wants.", self.refusing)
            status, message, times, after = self.faults.get(name, (None, None, 0, False))
            if times:
                self.faults[name][2] -= 1
            if times and not after:
                raise Refusal(status, message)
            call = getattr(self, name, None)
            require(call, f"The fake does not know {name}.", "UNIMPLEMENTED")
            answer = call(*body, **path, **query)
            if times:
                raise Refusal(status, message)
            return API.sanitize_for_serialization(answer)

    def identify(self, headers):
        """Refuse who does not say who they are."""
        by_token = self.token and headers.get("Authorization") == f"Bearer {self.token}"
        by_cookie = self.cookie and headers.get("Cookie") == self.cookie
        require(
            by_token or by_cookie or not (self.token or self.cookie),
            "Failed to authorize with API: Unauthenticated: Request header error: there is no user identity header.",
            "UNAUTHENTICATED",
        )

    def allow(self, namespace, what):
        """Return the namespace that counts, and refuse one that who asks may not use."""
        if not self.namespaces:
            return ""
        require(namespace, f"{what} cannot have an empty namespace in multi-user mode")
        require(
            namespace in self.namespaces,
            f"PermissionDenied: User 'ada@acme.com' is not authorized (request: namespace {namespace})",
            "PERMISSION_DENIED",
        )
        return namespace

    def healthz_service_get_healthz(self):
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=bool(self.namespaces))

    def experiment_service_create_experiment(self, experiment):
        require(experiment.display_name, "Experiment's name cannot be empty")
        experiment.namespace = self.allow(experiment.namespace, "An experiment")
        taken = [(known.namespace, known.display_name) for known in self.experiments.values()]
        require(
            (experiment.namespace, experiment.display_name) not in taken,
            f"Failed to create a new experiment. The name {experiment.display_name} already exists.",
            "ALREADY_EXISTS",
        )
        experiment.experiment_id, experiment.created_at = str(uuid.uuid4()), self.now()
        self.experiments[experiment.experiment_id] = experiment
        return experiment

    def experiment_service_get_experiment(self, experiment_id):
        return self.known(self.experiments, experiment_id, "Experiment")

    def experiment_service_list_experiments(self, namespace="", **query):
        namespace = self.allow(namespace, "An experiment")
        found = [entry for entry in self.experiments.values() if entry.namespace == namespace]
        page = self.page(found, "experiments", **query)
        return kfp_server_api.V2beta1ListExperimentsResponse(**page)

    def run_service_create_run(self, run):
        require(run.display_name, "Run name cannot be empty", "INTERNAL")
        self.place(run, "run")
        run.run_id, run.created_at, run.scheduled_at, run.finished_at = str(uuid.uuid4()), self.now(), self.now(), NEVER
        run.storage_state, run.state_history = "AVAILABLE", []
        self.runs[run.run_id] = run
        self.stages[run.run_id] = self.courses.pop(0) if self.courses else None
        return run

    def run_service_get_run(self, run_id):
        run = self.known(self.runs, run_id, "Run")
        answer = API.sanitize_for_serialization(run)
        self.advance(run)
        return answer

    def run_service_list_runs(self, namespace="", experiment_id=None, **query):
        among = self.among(namespace, experiment_id, "A run")
        found = [run for run in self.runs.values() if run.experiment_id in among]
        return kfp_server_api.V2beta1ListRunsResponse(**self.page(found, "runs", **query))

    def run_service_terminate_run(self, run_id):
        run = self.known(self.runs, run_id, "Run")
        require(run.state not in (*ENDED, "CANCELING"), f"Failed to terminate a run {run_id}. Row not found")
        self.enter(run, "CANCELING")
        self.stages[run_id] = []
        return {}

    def recurring_run_service_create_recurring_run(self, recurring):
        require(recurring.display_name, "Recurring run name is empty. Please specify a valid name")
        require(1 <= int(recurring.max_concurrency) <= 10, "Max concurrency of a recurring run must be at least 1")
        if recurring.trigger.cron_schedule:
            cron = recurring.trigger.cron_schedule.cron
            require(len(cron.split()) in (5, 6), f"Schedule cron is not a supported format: {cron}")
        else:
            seconds = int(recurring.trigger.periodic_schedule.interval_second)
            require(seconds >= 1, f"Found invalid period schedule interval {seconds}.")
        self.place(recurring, "recurring run")
        recurring.recurring_run_id, recurring.created_at = str(uuid.uuid4()), self.now()
        recurring.status = "ENABLED" if recurring.mode == "ENABLE" else "DISABLED"
        self.recurring_runs[recurring.recurring_run_id] = recurring
        return recurring

    def recurring_run_service_list_recurring_runs(self, namespace="", experiment_id=None, **query):
        among = self.among(namespace, experiment_id, "Recurring run")
        found = [entry for entry in self.recurring_runs.values() if entry.experiment_id in among]
        return kfp_server_api.V2beta1ListRecurringRunsResponse(**self.page(found, "recurring_runs", **query))

    def recurring_run_service_delete_recurring_run(self, recurring_run_id):
        self.known(self.recurring_runs, recurring_run_id, "Job")
        del self.recurring_runs[recurring_run_id]
        return {}

    def pipeline_service_get_pipeline_version(self, pipeline_id, pipeline_version_id):
        version = self.known(self.versions, pipeline_version_id, "PipelineVersion")
        require(version.pipeline_id == pipeline_id, f"PipelineVersion {pipeline_version_id} not found", "NOT_FOUND")
        return version

    # What it does with them.

    def now(self):
        self.clock += datetime.timedelta(seconds=1)
        return self.clock

    def known(self, resources, key, kind):
        require(key in resources, f"ResourceNotFoundError: {kind} {key} not found", "NOT_FOUND")
        return resources[key]

    def among(self, namespace, experiment_id, what):
        """Return the experiments that are asked about: one, or those of a namespace."""
        if experiment_id:
            namespace = self.known(self.experiments, experiment_id, "Experiment").namespace
        namespace = self.allow(namespace, what)
        belonging = [key for key, entry in self.experiments.items() if entry.namespace == namespace]
        return [experiment_id] if experiment_id else belonging

    def page(self, found, key, page_size="20", page_token="", sort_by="", filter=""):
        require(re.fullmatch(r"(created_at( desc| asc)?)?", sort_by), f"Invalid sorting field: {sort_by}")
        found = sorted(found, key=lambda entry: entry.created_at, reverse=sort_by.endswith(" desc"))
        for predicate in json.loads(filter)["predicates"] if filter else []:
            require(predicate["operation"] in ("EQUALS", 1), f"Unsupported operation: {predicate}")
            found = [entry for entry in found if getattr(entry, predicate["key"]) == predicate["stringValue"]]
        first = int(page_token or 0)
        last = first + min(int(page_size) or 20, 200)
        more = str(last) if last < len(found) else None
        return {key: found[first:last] or None, "total_size": len(found) or None, "next_page_token": more}

    def place(self, run, kind):
        """Check what a run and a recurring run have in common."""
        require(run.experiment_id or not self.namespaces, "Experiment id can not be empty in multi-user mode")
        experiment = self.known(self.experiments, run.experiment_id, "Experiment")
        self.allow(experiment.namespace, "A run")
        if reference := run.pipeline_version_reference:
            source = self.known(self.versions, reference.pipeline_version_id, "PipelineVersion").pipeline_spec
        else:
            source = run.pipeline_spec
        try:
            spec, _ = parse_source(source)
        except (json_format.ParseError, Refusal) as error:
            # The service wraps what is wrong with a spec into an internal error.
            words = f"InternalServerError: Failed to create a {kind} due to error fetching manifest: "
            raise Refusal("INTERNAL", f"{words}invalid v2 pipeline spec: {error}") from error
        check_parameters(spec, (run.runtime_config and run.runtime_config.parameters) or {})

    def enter(self, run, state):
        run.state = state
        status = kfp_server_api.V2beta1RuntimeStatus(update_time=self.now(), state=state)
        run.state_history = [*(run.state_history or []), status]
        run.finished_at = self.now() if state in ENDED else NEVER

    def advance(self, run):
        """Go on to what the next look at a run is to see."""
        if run.state in ENDED:
            return
        if run.state is None:
            return self.enter(run, "PENDING")
        if run.state == "CANCELING":
            return self.enter(run, "FAILED")
        if run.state == "PENDING":
            self.enter(run, "RUNNING")
            if self.stages[run.run_id] is None:
                source = run.pipeline_spec
                self.stages[run.run_id] = [dict.fromkeys(task_names(parse_source(source)[0]), "SUCCEEDED")]
        if self.stages[run.run_id]:
            stage = self.stages[run.run_id].pop(0)
            return stage() if callable(stage) else self.show(run, stage)
        details = run.run_details.task_details if run.run_details else []
        self.enter(run, "FAILED" if any(detail.state == "FAILED" for detail in details) else "SUCCEEDED")

    def show(self, run, tasks):
        """Put Argo's nodes for the tasks into a run: the task's own beside its driver's and its pod's."""
        before = {detail.task_id: detail for detail in (run.run_details.task_details if run.run_details else [])}
        nodes = [self.node(run, before, "root", "RUNNING", 0)]
        for name, states in tasks.items():
            for index, state in enumerate(states if isinstance(states, list) else [states]):
                if name.endswith("-driver") or state is None:
                    nodes.append(self.node(run, before, name, state, index))
                    continue
                nodes.append(self.node(run, before, f"{name}-driver", "SUCCEEDED", index))
                nodes.append(self.node(run, before, name, state, index))
                nodes.append(self.node(run, before, "executor", state, f"{name}{index}"))
        nodes.sort(key=lambda node: node.task_id)
        run.run_details = kfp_server_api.V2beta1RunDetails(task_details=nodes)

    def node(self, run, before, name, state, index):
        # Argo names nodes by hashes, so that their order says nothing.
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run.run_id}/{name}/{index}"))
        known = before.get(key)
        ended = state in ENDED
        return kfp_server_api.V2beta1PipelineTaskDetail(
            run_id=run.run_id,
            task_id=key,
            display_name=name,
            create_time=run.created_at,
            start_time=known.start_time if known else self.now(),
            end_time=(known.end_time if known and known.state == state else self.now()) if ended else NEVER,
            state=state,
        )


def parse_source(source):
    """Return a run's spec and platform spec, refused as the service refuses them."""
    require(isinstance(source, dict), "no pipeline spec is provided")
    has_platform = "pipeline_spec" in source
    value = source["pipeline_spec"] if has_platform else source
    spec = json_format.ParseDict(value, pipeline_spec_pb2.PipelineSpec())
    require(spec.schema_version == "2.1.0", f"KFP only supports schema version 2.1.0, not {spec.schema_version}")
    require(spec.pipeline_info.name, "name is empty")
    require(spec.HasField("root"), "root component is empty")
    platform = source.get("platform_spec", {}) if has_platform else {}
    return spec, json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())


def check_parameters(spec, given):
    """Refuse parameters as the service does."""
    declared = spec.root.input_definitions.parameters
    for name, parameter in declared.items():
        missing = name not in given and not parameter.is_optional and not parameter.HasField("default_value")
        require(not missing, f"parameter {name} is not optional, yet has neither default value nor user provided value")
        kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(parameter.parameter_type)
        if name in given:
            value = given[name]
            value = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
            require(isinstance(value, KINDS[kind]), f"input parameter {name} requires type {kind.lower()}")
    extra = sorted(set(given) - set(declared))
    require(not extra, f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def task_names(spec):
    """Return the names of the tasks that run something."""
    found, waiting = [], [spec.root]
    while waiting:
        for name, task in waiting.pop().dag.tasks.items():
            component = spec.components[task.component_ref.name]
            waiting.append(component) if component.HasField("dag") else found.append(name)
    return sorted(set(found))


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the operation whose method and path fit."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake = None

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        self.fake.talks.wait()
        if url.path == "/login":
            return self.reply(200, LOGIN_PAGE, "text/html; charset=utf-8")
        try:
            self.fake.identify(self.headers)
            name, path, model = self.operation(url.path)
            query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
            value = self.fake.answer(name, path, query, [read(body, model)] if model else [])
            self.reply(200, json.dumps(value).encode())
        except Refusal as refusal:
            if refusal.status == 401 and self.fake.login:
                return self.redirect("/login")
            if refusal.status == 0:
                self.close_connection = True
                return
            if refusal.status == 200:
                return self.reply(200, str(refusal).encode())
            code, message = CODES.get(refusal.status, 2), str(refusal)
            details = [{"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": message}]
            self.reply(refusal.status, json.dumps({"code": code, "message": message, "details": details}).encode())

    def operation(self, path):
        for name, method, pattern, model in OPERATIONS:
            if method == self.command and (match := re.fullmatch(pattern, path)):
                return name, {key: urllib.parse.unquote(value) for key, value in match.groupdict().items()}, model
        raise Refusal("NOT_FOUND", "Not Found")

    def redirect(self, place):
        self.send_response(302)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, status, content, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        with contextlib.suppress(ConnectionError):  # who asked has not waited
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_):
        pass

    do_GET = do_POST = do_DELETE = handle_request  # noqa: N815  as http.server calls them
