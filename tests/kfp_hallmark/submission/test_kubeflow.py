"""Kubeflow Pipelines, as KFP's own client reaches it."""

import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kfp
import kfp_server_api
import pytest
import yaml
from fakes.kubeflow import KubeflowFake
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import __version__, submission
from kfp_hallmark import settings as known
from kfp_hallmark.compiling import compile_for
from kfp_hallmark.component import component
from kfp_hallmark.environments import ENVIRONMENTS, lock
from kfp_hallmark.errors import InputError, MissingInputError, ServiceError
from kfp_hallmark.settings import Settings
from kfp_hallmark.submission import TransientError, UncertainError
from kfp_hallmark.submission import kubeflow as module
from kfp_hallmark.submission.kubeflow import Kubeflow

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT / "compiled" / "pipelines" / "governed_training.kubeflow.yaml"
PARAMETERS = {
    "data_uri": "s3://models/data.parquet",
    "target": "employed",
    "model_name": "employment",
    "sensitive_features": ["sex"],
    "performance_limits": {"min_roc_auc": 0.8},
    "fairness_limits": {"max_demographic_parity_difference": 0.1},
    "min_rows": 500,
}


@component(environment="release", pure=True)
def read(day: int) -> int:
    return day


@component(environment="release")
def tell(day: int):
    print(day)


@dsl.pipeline(name="week")
def week(days: int = 7):
    first = read(day=days)
    with dsl.ParallelFor([1, 2, 3]) as day:
        tell(day=day).after(first)


@pytest.fixture(scope="session")
def spec(pinned):
    """The compiled `governed_training`, of two documents."""
    return pinned(SPEC)


@pytest.fixture(scope="session")
def small(tmp_path_factory, pinned):
    """A compiled pipeline of a step and a loop."""
    path = tmp_path_factory.mktemp("compiled") / "week.yaml"
    compiler.Compiler().compile(week, str(path))
    return pinned(path)


def configured(fake, **keys):
    return Settings(kubeflow=known.Kubeflow(host=fake.host, **keys))


@pytest.fixture
def service(kubeflow):
    return Kubeflow(configured(kubeflow))


def parsed(path):
    """Return the documents of a compiled pipeline, as KFP's messages read them."""
    documents = [*yaml.safe_load_all(path.read_text()), {}]
    return (
        json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec()),
        json_format.ParseDict(documents[1], pipeline_spec_pb2.PlatformSpec()),
    )


def message(error):
    """Return what an error tells, which is one sentence and a hint, and no traceback's words."""
    assert "\n" not in error.value.message
    return error.value.message, error.value.hint or ""


# Runs.


@pytest.mark.parametrize(("path", "parameters"), [("spec", PARAMETERS), ("small", {})])
def test_what_is_submitted_is_what_was_compiled(kubeflow, service, request, path, parameters):
    path = request.getfixturevalue(path)
    run = service.submit(path, parameters)
    assert kubeflow.spec(run.run_id) == parsed(path)


def test_a_run_has_what_it_is_given(kubeflow, spec):
    service = Kubeflow(configured(kubeflow, service_account="trainer"))
    run = service.submit(spec, PARAMETERS, run_name="Monday", experiment="risk")
    kept = kubeflow.runs[run.run_id]
    assert kept.runtime_config.parameters == PARAMETERS
    assert kept.service_account == "trainer"
    assert (run.name, run.experiment, run.pipeline, run.state) == ("Monday", "risk", "governed-training", "pending")
    assert run.created == datetime(2026, 11, 21, 6, 0, 2, tzinfo=UTC)
    assert run.finished is None
    assert run.link == f"{kubeflow.host}/#/runs/details/{run.run_id}"


def test_links_lead_to_the_ui(kubeflow, small):
    service = Kubeflow(configured(kubeflow, ui_host="https://kubeflow.acme.com/_/pipeline/"))
    run = service.submit(small, {})
    assert run.link == f"https://kubeflow.acme.com/_/pipeline/#/runs/details/{run.run_id}"


def test_a_run_without_a_name_is_named_by_its_pipeline_and_the_time(service, small):
    name = service.submit(small, {}).name
    assert datetime.strptime(name, "week %Y-%m-%d %H:%M:%S")


def test_without_caching_no_step_is_reused_and_all_else_stays(kubeflow, service, spec):
    run = service.submit(spec, PARAMETERS, caching=False)
    sent, platform = kubeflow.spec(run.run_id)
    compiled, compiled_platform = parsed(spec)
    assert any(task.caching_options.enable_cache for task in all_tasks(compiled))
    assert not any(task.caching_options.enable_cache for task in all_tasks(sent))
    for task in (*all_tasks(sent), *all_tasks(compiled)):
        task.ClearField("caching_options")
    assert (sent, platform) == (compiled, compiled_platform)


def test_with_caching_only_pure_steps_are_reused(kubeflow, service, small):
    run = service.submit(small, {}, caching=True)
    tasks = all_tasks(kubeflow.spec(run.run_id)[0])
    assert {task.task_info.name for task in tasks if task.caching_options.enable_cache} == {"read"}


def all_tasks(spec):
    return [task for dag in (spec.root, *spec.components.values()) for task in dag.dag.tasks.values()]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"days": "seven"}, "'days' must be of type int"),
        ({"dais": 7}, "one that the pipeline has; got 'dais'"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_sent(kubeflow, service, small, parameters, words):
    with pytest.raises(InputError, match=words):
        service.submit(small, parameters)
    with pytest.raises(InputError, match=words):
        service.schedule(small, parameters, name="weekly", cron="0 6 * * 1")
    assert kubeflow.calls == []


def test_missing_parameters_are_all_named(kubeflow, service, spec):
    with pytest.raises(InputError, match="missing: data_uri, fairness_limits, model_name"):
        service.submit(spec, {"target": "employed", "performance_limits": {}, "sensitive_features": []})
    assert kubeflow.calls == []


def test_labels_are_refused_where_none_are_kept(kubeflow, service, small):
    with pytest.raises(InputError, match="must have no labels, for it cannot keep them; got team"):
        service.submit(small, {}, labels={"team": "risk"})
    assert kubeflow.calls == []


@pytest.fixture
def own(tmp_path):
    """A compiled pipeline on two images, one of ours and another, neither by its digest."""

    @dsl.component(base_image="registry.acme.com/hallmark/ml:0.0.1")
    def fit() -> int:
        return 1

    @dsl.component(base_image="registry.acme.com/tools:7")
    def look(number: int):
        print(number)

    @dsl.pipeline(name="own")
    def own():
        look(number=fit().output)

    compiler.Compiler().compile(own, str(tmp_path / "own.yaml"))
    return tmp_path / "own.yaml"


def images(spec):
    return sorted(executor["container"]["image"] for executor in spec.deployment_spec["executors"].values())


def acme(fake, folder):
    """Return settings whose registry is Acme's."""
    return replace(configured(fake), folder=folder, images=known.Images(registry="registry.acme.com/hallmark"))


def test_images_of_ours_are_pinned_by_the_lock_file(kubeflow, locked):
    service = Kubeflow(replace(configured(kubeflow), folder=locked))
    sent, _ = kubeflow.spec(service.submit(SPEC, PARAMETERS).run_id)
    tagged, _ = parsed(SPEC)
    assert [name.replace(f"@sha256:{'a' * 64}", f":{__version__}") for name in images(sent)] == images(tagged)
    assert all("@sha256:" in name for name in images(sent))


def test_images_of_ours_are_those_of_the_registry_in_the_settings(kubeflow, tmp_path):
    digests = {
        f"registry.acme.com/hallmark/{name}:{__version__}": f"registry.acme.com/hallmark/{name}@sha256:{'b' * 64}"
        for name in ENVIRONMENTS
    }
    lock.write(tmp_path / lock.FILE, digests)
    sent, _ = kubeflow.spec(Kubeflow(acme(kubeflow, tmp_path)).submit(SPEC, PARAMETERS).run_id)
    assert set(images(sent)) <= set(digests.values())


@pytest.mark.parametrize("way", ["submit", "schedule"])
def test_images_of_ours_that_nothing_pins_are_refused(kubeflow, tmp_path, own, way):
    given = {} if way == "submit" else {"name": "weekly", "cron": "0 6 * * 1"}
    for path, parameters in ((SPEC, PARAMETERS), (own, {})):
        with pytest.raises(MissingInputError, match=r"The images must be pinned by a file; '.*' is not there") as error:
            getattr(Kubeflow(acme(kubeflow, tmp_path)), way)(path, parameters, **given)
        assert message(error)[1] == "Run `hallmark image push`, then `hallmark image lock`."
    lock.write(tmp_path / lock.FILE, {})
    with pytest.raises(InputError, match=r"'registry\.acme\.com/hallmark/ml:0\.0\.1' is not among the pinned ones"):
        getattr(Kubeflow(acme(kubeflow, tmp_path)), way)(own, {}, **given)
    assert kubeflow.calls == []


def test_other_images_are_pinned_where_the_lock_file_knows_them(kubeflow, tmp_path, own):
    ml = f"registry.acme.com/hallmark/ml@sha256:{'b' * 64}"
    lock.write(tmp_path / lock.FILE, {"registry.acme.com/hallmark/ml:0.0.1": ml})
    service = Kubeflow(acme(kubeflow, tmp_path))
    assert images(kubeflow.spec(service.submit(own, {}).run_id)[0]) == [ml, "registry.acme.com/tools:7"]
    tools = f"registry.acme.com/tools@sha256:{'c' * 64}"
    lock.write(tmp_path / lock.FILE, {"registry.acme.com/hallmark/ml:0.0.1": ml, "registry.acme.com/tools:7": tools})
    assert images(kubeflow.spec(service.submit(own, {}).run_id)[0]) == [ml, tools]


def test_a_file_that_is_no_pipeline_is_refused(kubeflow, service, tmp_path):
    (tmp_path / "notes.yaml").write_text("just: notes")
    with pytest.raises(InputError, match="must be what KFP's compiler wrote"):
        service.submit(tmp_path / "notes.yaml", {})
    with pytest.raises(MissingInputError, match="must be a compiled YAML file"):
        service.submit(tmp_path / "absent.yaml", {})
    assert kubeflow.calls == []


# Experiments.


def test_an_experiment_is_made_once(kubeflow, service, small):
    for _ in range(2):
        service.submit(small, {}, experiment="risk")
    service.submit(small, {})
    assert [entry.display_name for entry in kubeflow.experiments.values()] == ["risk", "Default"]


def test_an_experiment_that_somebody_else_makes_meanwhile_is_used(kubeflow, service, small):
    kubeflow.fail("experiment_service_create_experiment", 409, after=True)
    run = service.submit(small, {}, experiment="risk")
    assert run.experiment == "risk"
    assert len(kubeflow.experiments) == 1


def test_an_experiment_is_of_a_namespace(small):
    with KubeflowFake(namespaces=["risk", "fraud"]) as fake:
        runs = [Kubeflow(configured(fake, namespace=name)).submit(small, {}) for name in ("risk", "fraud")]
        assert {entry.namespace for entry in fake.experiments.values()} == {"risk", "fraud"}
        assert [run.run_id for run in Kubeflow(configured(fake, namespace="fraud")).list()] == [runs[1].run_id]


# Who asks.


def test_the_client_asks_nothing_and_keeps_nothing_by_itself(kubeflow, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Kubeflow(configured(kubeflow))
    assert kubeflow.calls == []
    assert list(tmp_path.iterdir()) == []


def test_the_host_is_needed():
    with pytest.raises(InputError, match=r"must have kubeflow\.host"):
        Kubeflow(Settings())


@pytest.mark.parametrize("auth", ["bearer", "cookie", "service_account"])
def test_who_asks_is_told_as_the_settings_say(auth, small, tmp_path, monkeypatch):
    secret = "authservice_session=abc" if auth == "cookie" else "abc"
    monkeypatch.setenv("KUBEFLOW_TOKEN", f"{secret}\n")
    (tmp_path / "token").write_text(f"{secret}\n")
    with KubeflowFake(**{"cookie" if auth == "cookie" else "token": secret}) as fake:
        assert Kubeflow(configured(fake, auth=auth, token_file=str(tmp_path / "token"))).submit(small, {})


@pytest.mark.parametrize(
    ("auth", "hint"),
    [
        ("none", "kubeflow.auth"),
        ("bearer", "put a new one into KUBEFLOW_TOKEN"),
        ("cookie", "put a new cookie into KUBEFLOW_TOKEN"),
        ("service_account", "pipelines.kubeflow.org"),
    ],
)
def test_who_is_not_known_is_told_what_to_do(auth, hint, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBEFLOW_TOKEN", "s3cret")
    (tmp_path / "token").write_text("s3cret")
    with KubeflowFake(token="other") as fake:
        service = Kubeflow(configured(fake, auth=auth, token_file=str(tmp_path / "token")))
        with pytest.raises(ServiceError) as error:
            service.list()
        told, what_to_do = message(error)
        assert "must know who asks it to list the runs; it does not (401)" in told
        assert hint in what_to_do
        assert "s3cret" not in str(error.value)

        fake.login = True
        with pytest.raises(ServiceError, match="it sent a page, as for a login") as error:
            service.list()
        assert hint in message(error)[1]


def test_a_token_that_is_renewed_is_read_again(small, tmp_path):
    (tmp_path / "token").write_text("first")
    with KubeflowFake(token="first") as fake:
        service = Kubeflow(configured(fake, auth="service_account", token_file=str(tmp_path / "token")))
        service.submit(small, {})
        fake.token = "second"
        (tmp_path / "token").write_text("second")
        assert len(service.list()) == 1


@pytest.mark.parametrize(("value", "words"), [("", "it is not set"), ("abc\ndef", "it holds what no header can")])
def test_a_secret_must_be_there_and_fit_for_a_header(kubeflow, value, words, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", value)
    with pytest.raises(InputError, match=f"MY_TOKEN must hold the token for Kubeflow; {words}") as error:
        Kubeflow(configured(kubeflow, auth="bearer", secret_variable="MY_TOKEN"))
    assert "abc" not in str(error.value)


FILES = {
    "missing": (lambda path: None, "must be a file; got "),
    "a folder": (lambda path: path.mkdir(), "must be a file; got "),
    "unreadable": (lambda path: path.symlink_to("/proc/self/mem"), r"must be a file that can be read; '.*' cannot \("),
}
TOKENS = FILES | {
    "empty": (lambda path: path.write_text(" \n"), "must hold a token; got '.*', and it is empty"),
    "of two lines": (
        lambda path: path.write_text("ab\ncd"),
        "must hold a token; got '.*', and it holds what no header can",
    ),
    "no text": (
        lambda path: path.write_bytes(b"\xff\xfe"),
        "must hold a token; got '.*', and it holds what no header can",
    ),
}
CERTIFICATES = FILES | {
    "empty": (lambda path: path.write_bytes(b""), "must hold certificates in PEM; '.*' does not"),
    "no certificates": (lambda path: path.write_text("hello"), "must hold certificates in PEM; '.*' does not"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_the_file_of_the_token_must_hold_one(kubeflow, tmp_path, name):
    make, words = TOKENS[name]
    make(tmp_path / "token")
    with pytest.raises(InputError, match=rf"kubeflow\.token_file {words}") as error:
        Kubeflow(configured(kubeflow, auth="service_account", token_file=str(tmp_path / "token")))
    assert message(error)[1] == "See docs/kubeflow.md for how a pod gets one."
    assert "ab" not in message(error)[0].replace(str(tmp_path), "")


def test_a_token_that_is_gone_meanwhile_is_told(kubeflow, tmp_path, capfd):
    (tmp_path / "token").write_text("first")
    service = Kubeflow(configured(kubeflow, auth="service_account", token_file=str(tmp_path / "token")))
    (tmp_path / "token").unlink()
    with pytest.raises(MissingInputError, match=r"kubeflow\.token_file must be a file"):
        service.list()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", CERTIFICATES)
def test_the_file_of_certificates_must_hold_some(kubeflow, tmp_path, name):
    make, words = CERTIFICATES[name]
    make(tmp_path / "ca.pem")
    with pytest.raises(InputError, match=rf"kubeflow\.certificates {words}") as error:
        Kubeflow(replace(configured(kubeflow, certificates="ca.pem"), folder=tmp_path))
    message(error)


# What goes wrong.


@pytest.mark.parametrize(
    ("status", "kind", "words", "hint"),
    [
        (400, ServiceError, "must start the run; it refuses (400): As the test wants.", ""),
        (403, ServiceError, "must allow you to start the run; it refuses (403): As the test wants.", "kubeflow-edit"),
        (404, ServiceError, "must have what it is asked for to start the run: As the test wants.", ""),
        (409, ServiceError, "must be free to start the run; the name is taken: As the test wants.", ""),
        (429, TransientError, "must be ready to start the run; it is not (429)", "Try again"),
        (501, ServiceError, "must start the run; it refuses (501): As the test wants.", ""),
    ],
)
def test_a_refusal_is_told_in_a_sentence(kubeflow, service, small, status, kind, words, hint):
    kubeflow.fail("run_service_create_run", status)
    with pytest.raises(ServiceError) as error:
        service.submit(small, {})
    assert words in message(error)[0]
    assert hint in message(error)[1]
    assert isinstance(error.value, kind)
    assert kubeflow.calls[-1] == "run_service_create_run"


LOST = {
    "500": (500, "As the test wants.", "must be able to start the {}; it is not (500): As the test wants."),
    "502": (502, "As the test wants.", "must be able to start the {}; it is not (502): As the test wants."),
    "503": (503, "As the test wants.", "must be able to start the {}; it is not (503): As the test wants."),
    "504": (504, "As the test wants.", "must be able to start the {}; it is not (504): As the test wants."),
    "no answer": (0, "", "must answer; the connection ended before it did."),
    "unreadable": (200, '{"created_at": {}}', "must answer as Kubeflow Pipelines 2 does; its answer cannot be read"),
    "no object": (200, "[1]", "must answer as Kubeflow Pipelines 2 does; its answer cannot be read"),
}


CREATES = {
    "run": "run_service_create_run",
    "schedule": "recurring_run_service_create_recurring_run",
}


def start_run(service, path):
    return service.submit(path, {}, run_name="Monday").run_id


def start_schedule(service, path):
    return service.schedule(path, {}, name="Monday", cron="0 6 * * 1").schedule_id


STARTS = {"run": (start_run, "runs", "list"), "schedule": (start_schedule, "recurring_runs", "schedules")}


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", LOST)
def test_what_was_made_is_found_when_its_answer_is_lost(kubeflow, service, small, kind, name):
    start, kept, _ = STARTS[kind]
    status, text, _ = LOST[name]
    service.submit(small, {}, run_name="Monday")
    kubeflow.fail(CREATES[kind], status, text, after=True)
    made = start(service, small)
    assert made == list(getattr(kubeflow, kept))[-1]
    assert kubeflow.calls.count(CREATES["run"]) + kubeflow.calls.count(CREATES["schedule"]) == 2


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", LOST)
def test_whether_something_was_made_is_told_to_be_unknown(kubeflow, service, small, kind, name):
    start, kept, look = STARTS[kind]
    status, text, words = LOST[name]
    # Another run of that name is not the one.
    service.submit(small, {}, run_name="Monday")
    before = list(getattr(kubeflow, kept))
    kubeflow.fail(CREATES[kind], status, text)
    with pytest.raises(UncertainError) as error:
        start(service, small)
    assert message(error)[0].startswith(f"Whether the {kind} 'Monday' was made is not known. The Kubeflow Pipelines")
    assert words.format(kind) in message(error)[0]
    assert message(error)[1] == (
        f"Look with `hallmark runs {look} --platform kubeflow`, and once more after a minute, before you submit it "
        "again."
    )
    assert list(getattr(kubeflow, kept)) == before


def test_a_service_that_is_away_after_a_lost_answer_leaves_it_unknown(kubeflow, service, small):
    kubeflow.fail("run_service_create_run", 504, after=True)
    kubeflow.fail("run_service_list_runs", 503)
    with pytest.raises(UncertainError, match="was made is not known"):
        service.submit(small, {})


def test_a_failure_of_the_service_may_pass(kubeflow, service, small):
    run_id = service.submit(small, {}).run_id
    for status in (500, 502, 503, 504, 0):
        # KFP's client itself asks again three times when the connection ends.
        kubeflow.fail("run_service_get_run", status, times=1 if status else 4)
        with pytest.raises(TransientError):
            service.get(run_id)


def test_a_spec_that_is_refused_leads_to_lint(kubeflow, service, small, tmp_path):
    text = small.read_text().replace("schemaVersion: 2.1.0", "schemaVersion: 2.0.0")
    (tmp_path / "old.yaml").write_text(text)
    with pytest.raises(ServiceError) as error:
        service.submit(tmp_path / "old.yaml", {})
    assert "KFP only supports schema version 2.1.0, not 2.0.0" in message(error)[0]
    assert "hallmark lint" in message(error)[1]


def test_a_namespace_that_is_not_ours_is_refused(small):
    with KubeflowFake(namespaces=["risk"]) as fake:
        with pytest.raises(ServiceError) as error:
            Kubeflow(configured(fake, namespace="fraud")).submit(small, {})
        assert "must allow you to list the experiments in the namespace 'fraud'" in message(error)[0]
        assert "set kubeflow.namespace" in message(error)[1]
        with pytest.raises(ServiceError, match="cannot have an empty namespace") as error:
            Kubeflow(configured(fake)).submit(small, {})
        assert "set kubeflow.namespace" in message(error)[1]


def test_an_address_without_the_api_is_told(kubeflow):
    with pytest.raises(ServiceError, match="no API of version 2 at that address") as error:
        Kubeflow(Settings(kubeflow=known.Kubeflow(host=f"{kubeflow.host}/other"))).list()
    assert "it ends in /pipeline" in message(error)[1]


def test_a_service_that_is_not_there_is_told(kubeflow, capfd):
    with KubeflowFake() as gone:
        pass
    with pytest.raises(TransientError, match=r"must be reachable; it is not \(.*Connection refused\)") as error:
        Kubeflow(configured(gone)).list()
    assert "port-forward" in message(error)[1]
    assert capfd.readouterr() == ("", "")


def test_a_service_that_does_not_answer_is_told(kubeflow, service, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUTS", (5, 0.05))
    kubeflow.talks.clear()
    with pytest.raises(TransientError, match="must answer in time; it did not") as error:
        service.list()
    assert message(error)[1] == "Try again later."


def test_a_service_without_tls_is_told(kubeflow):
    host = kubeflow.host.replace("http:", "https:")
    with pytest.raises(ServiceError, match="must be reached safely") as error:
        Kubeflow(Settings(kubeflow=known.Kubeflow(host=host))).list()
    assert "kubeflow.certificates" in message(error)[1]


@pytest.mark.parametrize("answer", ["[1]", '{"runs": ['])
def test_what_is_no_list_of_runs_is_not_taken_for_an_empty_one(kubeflow, service, answer):
    kubeflow.fail("run_service_list_runs", 200, answer)
    with pytest.raises(ServiceError, match="its answer cannot be read"):
        service.list()


def test_what_was_compiled_for_vertex_with_secrets_is_refused(kubeflow, service, locked):
    settings = Settings(vertex=known.Vertex(secrets={"KEY": "projects/p/secrets/key/versions/1"}), folder=locked)
    (locked / "week.yaml").write_bytes(compile_for(week, "vertex", settings))
    with pytest.raises(InputError, match="must not hold secrets of an earlier compilation for Vertex AI"):
        service.submit(locked / "week.yaml", {})
    assert not kubeflow.runs


def test_an_answer_that_cannot_be_read_is_told(kubeflow, service, small):
    run = service.submit(small, {})
    kubeflow.runs[run.run_id].created_at = {"no": "time"}
    with pytest.raises(ServiceError, match=r"its answer cannot be read \(TypeError\)"):
        service.get(run.run_id)


# How runs go.


def looks(service, run_id, count):
    for _ in range(count):
        run = service.get(run_id)
    return run


def test_a_run_goes_from_pending_to_its_end(kubeflow, service, small):
    run_id = service.submit(small, {}).run_id
    states = [service.get(run_id).state for _ in range(4)]
    assert states == ["pending", "pending", "running", "succeeded"]
    run = service.get(run_id)
    assert (run.outcome, run.exit_code) == ("succeeded", 0)
    assert run.finished > run.created


def test_steps_are_those_of_the_plan_with_a_loops_numbered(kubeflow, service, small):
    kubeflow.course({"read": "SUCCEEDED", "tell": ["SUCCEEDED", "RUNNING"]})
    run_id = service.submit(small, {}).run_id
    assert [(step.name, step.state) for step in looks(service, run_id, 2).steps] == [
        ("read", "pending"),
        ("tell", "pending"),
    ]
    steps = service.get(run_id).steps
    assert [(step.name, step.state) for step in steps] == [
        ("read", "succeeded"),
        ("tell[0]", "succeeded"),
        ("tell[1]", "running"),
    ]
    assert steps[0].finished > steps[0].started
    assert steps[2].finished is None


def test_a_step_that_was_left_out_is_skipped_and_one_whose_driver_failed_has_failed(kubeflow, service, small):
    kubeflow.course({"read": None}, {"read": None, "tell-driver": "FAILED"})
    run_id = service.submit(small, {}).run_id
    run = looks(service, run_id, 6)
    assert [(step.name, step.state) for step in run.steps] == [("read", "skipped"), ("tell", "failed")]
    assert "the step's driver failed" in run.steps[1].reason


GATES = dict.fromkeys(["load-dataset", "split-dataset", "train-model", "decide-release"], "SUCCEEDED")


@pytest.mark.parametrize(
    ("tasks", "outcome", "code"),
    [
        ({"enforce-decision": "FAILED", "record-run": "SUCCEEDED"}, "halted", 3),
        ({"enforce-decision": "FAILED", "record-run": "FAILED"}, "failed", 1),
        ({"register-model": "FAILED", "record-run": "SUCCEEDED"}, "failed", 1),
        ({"deploy-model": "SUCCEEDED", "record-run": "SUCCEEDED"}, "succeeded", 0),
    ],
)
def test_a_run_is_halted_when_nothing_failed_but_what_enforces_the_decision(
    kubeflow, service, tasks, outcome, code, spec
):
    kubeflow.course(GATES | tasks)
    run_id = service.submit(spec, PARAMETERS).run_id
    run = looks(service, run_id, 5)
    assert (run.outcome, run.exit_code) == (outcome, code)
    states = {step.name: step.state for step in run.steps}
    assert states["load_dataset"] == "succeeded"
    assert states["explain_model"] == "skipped"


def test_a_run_of_an_uploaded_pipeline_has_its_steps(kubeflow, service, small):
    run_id = service.submit(small, {}).run_id
    run = kubeflow.runs[run_id]
    run.pipeline_version_reference, run.pipeline_spec = kubeflow.upload(run.pipeline_spec), None
    found = service.get(run_id)
    assert [step.name for step in found.steps] == ["read", "tell"]
    assert found.pipeline is None


def test_a_paused_run_is_told(kubeflow, service, small):
    run_id = service.submit(small, {}).run_id
    kubeflow.runs[run_id].state = "PAUSED"
    assert service.get(run_id).state == "paused"


def test_a_run_that_is_not_there_is_told(service):
    for call in (service.get, service.cancel):
        with pytest.raises(MissingInputError, match="must be one that Kubeflow has; got 'absent'"):
            call("absent")


@pytest.mark.parametrize("given", ["", " ", "a/b", "../x", "a b", "a" * 129, "ä"])
def test_an_id_that_cannot_be_is_refused_before_anything_is_sent(kubeflow, service, given):
    for call, what in ((service.get, "run"), (service.cancel, "run"), (service.unschedule, "schedule")):
        with pytest.raises(InputError) as error:
            call(given)
        assert message(error)[0] == f"The id of a {what} must be 1 to 128 letters, digits and hyphens; got {given!r}."
    assert kubeflow.calls == []


def test_a_cancelled_run_ends_as_cancelled(kubeflow, service, small):
    run_id = service.submit(small, {}).run_id
    assert service.cancel(run_id).state == "cancelling"
    run = looks(service, run_id, 2)
    assert (run.state, run.exit_code) == ("cancelled", 1)
    assert service.cancel(run_id).state == "cancelled"
    assert kubeflow.calls.count("run_service_terminate_run") == 1


# Lists.


def test_runs_are_listed_newest_first_over_all_pages(kubeflow, service, small, monkeypatch):
    monkeypatch.setattr(module, "MAX_PAGE", 2)
    submitted = [service.submit(small, {}, run_name=f"run {index}").run_id for index in range(5)]
    assert [run.run_id for run in service.list()] == submitted[::-1]
    assert [run.name for run in service.list(limit=3)] == ["run 4", "run 3", "run 2"]
    assert all(run.steps == () for run in service.list())


def test_runs_of_an_experiment_are_listed(service, small):
    service.submit(small, {}, run_name="one", experiment="risk")
    service.submit(small, {}, run_name="two", experiment="fraud")
    assert [(run.name, run.experiment) for run in service.list(experiment="risk")] == [("one", "risk")]
    with pytest.raises(MissingInputError, match="An experiment must be one that Kubeflow has; got 'rsik'"):
        service.list(experiment="rsik")


def test_an_experiment_that_was_deleted_is_named_by_its_id(kubeflow, small):
    run = Kubeflow(configured(kubeflow)).submit(small, {})
    kubeflow.fail("experiment_service_get_experiment", 404, "ResourceNotFoundError: Experiment not found")
    experiment = kubeflow.runs[run.run_id].experiment_id
    assert [entry.experiment for entry in Kubeflow(configured(kubeflow)).list()] == [experiment]


# Schedules.


def test_a_cron_schedule_gets_the_seconds_that_kfp_wants(kubeflow, service, spec):
    schedule = service.schedule(spec, PARAMETERS, name="weekly", cron="30 6 * * mon", experiment="risk")
    kept = kubeflow.recurring_runs[schedule.schedule_id]
    assert kept.trigger.cron_schedule.cron == "0 30 6 * * mon"
    assert kept.runtime_config.parameters == PARAMETERS
    assert (kept.no_catchup, kept.max_concurrency, kept.mode) == (True, "1", "ENABLE")
    assert kubeflow.experiments[kept.experiment_id].display_name == "risk"
    assert (schedule.name, schedule.when, schedule.active) == ("weekly", "30 6 * * mon", True)
    assert schedule.link == f"{kubeflow.host}/#/recurringrun/details/{schedule.schedule_id}"


@pytest.mark.parametrize(
    ("every", "seconds", "when"),
    [
        (timedelta(days=2), "172800", "every 2 d"),
        (timedelta(hours=6), "21600", "every 6 h"),
        (timedelta(minutes=90), "5400", "every 90 min"),
        (timedelta(seconds=1), "1", "every 1 s"),
    ],
)
def test_an_interval_schedule(kubeflow, service, small, every, seconds, when):
    schedule = service.schedule(small, {}, name="often", every=every, max_concurrent_runs=10)
    kept = kubeflow.recurring_runs[schedule.schedule_id]
    assert kept.trigger.periodic_schedule.interval_second == seconds
    assert kept.max_concurrency == "10"
    assert schedule.when == when


@pytest.mark.parametrize("cron", ["0 6 * * 1", "*/5 * * * *", "0 0-6/2 1,15 jan-mar ?", "59 23 31 12 6", "0 0 1 1 sun"])
def test_cron_expressions_that_kfp_reads(service, small, cron):
    assert service.schedule(small, {}, name="weekly", cron=cron).when == cron


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cron": "0 0 6 * * 1"}, "cron must be minute, hour, day, month and weekday; got '0 0 6"),
        ({"cron": "60 6 * * 1"}, "The minute of cron must be from 0 to 59"),
        ({"cron": "0 24 * * 1"}, "The hour of cron must be from 0 to 23"),
        ({"cron": "0 6 0 * 1"}, "The day of cron must be from 1 to 31"),
        ({"cron": "0 6 * 13 1"}, "The month of cron must be from 1 to 12"),
        ({"cron": "0 6 * * 7"}, "The weekday of cron must be from 0 to 6"),
        ({"cron": "0 6 * * mo"}, "The weekday of cron must be from 0 to 6"),
        ({"cron": "9-5 6 * * 1"}, "The minute of cron must be from 0 to 59"),
        ({"cron": "*/0 6 * * 1"}, "The minute of cron must be from 0 to 59"),
        ({"cron": "0 6 ,1 * 1"}, "The day of cron must be from 1 to 31"),
        ({"every": timedelta(0)}, "every must be whole seconds, at least 1; got 0:00:00"),
        ({"every": timedelta(seconds=1.5)}, "every must be whole seconds"),
        ({"cron": "0 6 * * 1", "max_concurrent_runs": 0}, "max_concurrent_runs must be from 1 to 10; got 0"),
        ({"cron": "0 6 * * 1", "max_concurrent_runs": 11}, "max_concurrent_runs must be from 1 to 10; got 11"),
    ],
)
def test_schedules_that_cannot_be_are_refused_before_anything_is_sent(kubeflow, service, small, options, words):
    with pytest.raises(InputError, match=words):
        service.schedule(small, {}, name="weekly", **options)
    assert kubeflow.calls == []


def test_schedules_are_listed_and_removed(kubeflow, service, small):
    first = service.schedule(small, {}, name="first", cron="0 6 * * 1")
    second = service.schedule(small, {}, name="second", every=timedelta(hours=1))
    kubeflow.recurring_runs[first.schedule_id].status = "DISABLED"
    assert [(entry.name, entry.active) for entry in service.schedules()] == [("second", True), ("first", False)]
    service.unschedule(second.schedule_id)
    assert [entry.schedule_id for entry in service.schedules()] == [first.schedule_id]
    with pytest.raises(MissingInputError, match="A schedule must be one that Kubeflow has"):
        service.unschedule(second.schedule_id)


def test_a_schedules_name_is_used_once(kubeflow, service, small):
    made = service.schedule(small, {}, name="weekly", cron="0 6 * * 1")
    kubeflow.recurring_runs[made.schedule_id].status = "DISABLED"
    with pytest.raises(InputError) as error:
        service.schedule(small, {}, name="weekly", every=timedelta(hours=6), experiment="other")
    assert message(error) == (
        "A schedule's name must be new; there is a schedule 'weekly', 0 6 * * 1.",
        f"Give it another name, or remove that one: `hallmark runs unschedule {made.schedule_id} --platform kubeflow`.",
    )
    assert len(kubeflow.recurring_runs) == 1
    service.unschedule(made.schedule_id)
    assert service.schedule(small, {}, name="weekly", cron="0 7 * * 1").when == "0 7 * * 1"


# By a pipeline's name.


def test_a_pipeline_is_compiled_and_sent(kubeflow, locked):
    settings = replace(configured(kubeflow, labels={"team": "risk"}), folder=locked)
    run = submission.submit("governed_training", PARAMETERS, platform="kubeflow", settings=settings)
    spec, platform = kubeflow.spec(run.run_id)
    images = [executor["container"]["image"] for executor in spec.deployment_spec["executors"].values()]
    assert all("@sha256:" in image for image in images)
    assert "risk" in str(platform)
    submission.submit(week, {}, platform="kubeflow", settings=settings)
    schedule = submission.schedule(week, {}, platform="kubeflow", settings=settings, cron="0 6 * * 1")
    assert schedule.name == "week"


def test_a_path_that_no_step_could_follow_is_refused(kubeflow, spec):
    settings = configured(kubeflow)
    with pytest.raises(InputError, match="'data_uri' must be a URI, or an absolute path that the steps see"):
        submission.submit(spec, PARAMETERS | {"data_uri": "data.csv"}, platform="kubeflow", settings=settings)
    submission.submit(spec, PARAMETERS | {"data_uri": "/mnt/data.csv"}, platform="kubeflow", settings=settings)


def test_a_platform_or_schedule_that_there_is_not_is_refused(kubeflow, small):
    with pytest.raises(InputError, match="platform must be one of kubeflow, vertex; got 'kubflow'"):
        submission.service("kubflow", configured(kubeflow))
    for options in ({}, {"cron": "0 6 * * 1", "every": timedelta(hours=1)}):
        with pytest.raises(InputError, match="A schedule must have one of cron and every"):
            submission.schedule(small, {}, platform="kubeflow", settings=configured(kubeflow), **options)


# The fake speaks with KFP's client as that is.


@pytest.mark.filterwarnings("ignore:This client only works:FutureWarning")
def test_kfps_own_methods_are_answered(kubeflow, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    client = kfp.Client(host=kubeflow.host)
    result = client.create_run_from_pipeline_package(str(small), {"days": 3}, experiment_name="risk")
    assert client.get_run(result.run_id).display_name.startswith("week.yaml ")
    assert kubeflow.spec(result.run_id) == parsed(small)
    assert [run.run_id for run in client.list_runs(page_size=5).runs] == [result.run_id]
    client.terminate_run(result.run_id)
    assert client.get_run(result.run_id).state == "CANCELING"
    assert client.create_experiment("risk").experiment_id == client.get_run(result.run_id).experiment_id


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (lambda spec: spec.update(unknown=1), 500, "unknown"),
        (lambda spec: spec.pop("root"), 500, "root component is empty"),
        (lambda spec: spec["pipelineInfo"].pop("name"), 500, "name is empty"),
    ],
)
def test_the_fake_refuses_specs_as_the_service_does(kubeflow, service, small, change, status, words):
    spec = yaml.safe_load(small.read_text())
    change(spec)
    service.submit(small, {})
    experiment = next(iter(kubeflow.experiments))
    body = kfp_server_api.V2beta1Run(display_name="run", experiment_id=experiment, pipeline_spec=spec)
    with pytest.raises(kfp_server_api.ApiException) as error:
        service._client.runs.run_service_create_run(body)
    assert error.value.status == status
    assert words in error.value.body


def test_the_fake_refuses_parameters_as_the_service_does(kubeflow, service, small):
    service.submit(small, {})
    spec, experiment = yaml.safe_load(small.read_text()), next(iter(kubeflow.experiments))
    for parameters, words in (({"days": "x"}, "requires type number_integer"), ({"dais": 1}, "not required")):
        config = kfp_server_api.V2beta1RuntimeConfig(parameters=parameters)
        body = kfp_server_api.V2beta1Run(
            display_name="run", experiment_id=experiment, pipeline_spec=spec, runtime_config=config
        )
        with pytest.raises(kfp_server_api.ApiException, match=words) as error:
            service._client.runs.run_service_create_run(body)
        assert error.value.status == 400
