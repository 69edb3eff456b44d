import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from fakes.vertex.server import LOCATION, PROJECT
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import settings as known
from kfp_hallmark import submission
from kfp_hallmark.errors import InputError, MissingInputError, ServiceError
from kfp_hallmark.settings import Settings
from kfp_hallmark.submission import TransientError, UncertainError
from kfp_hallmark.submission.vertex import Vertex

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT / "compiled" / "pipelines" / "governed_training.vertex.yaml"
NAME = f"projects/123456789012/locations/{LOCATION}/pipelineJobs/"
PARAMETERS = {
    "data_uri": "gs://models/data.parquet",
    "target": "employed",
    "model_name": "employment",
    "sensitive_features": ["sex"],
    "performance_limits": {"min_roc_auc": 0.8},
    "fairness_limits": {"max_demographic_parity_difference": 0.1},
    "min_rows": 500,
}
VERTEX = known.Vertex(
    project=PROJECT,
    location=LOCATION,
    pipeline_root="gs://models/runs",
    service_account="pipelines@acme-ml.iam.gserviceaccount.com",
    network="projects/123456789012/global/networks/acme",
    labels={"team": "risk"},
)
State = types.PipelineState
TaskState = types.PipelineTaskDetail.State


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A compiled pipeline of one step."""

    @dsl.component(base_image="python:3.11")
    def count_up(count: int) -> int:
        return count + 1

    @dsl.pipeline(name="counting")
    def counting(count: int):
        count_up(count=count)

    path = tmp_path_factory.mktemp("small") / "counting.yaml"
    compiler.Compiler().compile(counting, str(path))
    return path


@pytest.fixture(scope="session")
def spec(pinned):
    """The compiled `governed_training`."""
    return pinned(SPEC)


@pytest.fixture
def settings(fake):
    return Settings(vertex=replace(VERTEX, api_endpoint=fake.api_endpoint))


@pytest.fixture
def service(settings):
    return Vertex(settings)


def job(fake, run):
    return fake.jobs[f"{NAME}{run.run_id}"]


def spec_of(found):
    """Return a pipeline's spec as the protocol has it, from a job or a file."""
    if isinstance(found, types.PipelineJob):
        value = json_format.MessageToDict(types.PipelineJob.pb(found).pipeline_spec)
    else:
        value = yaml.safe_load(found.read_text())
    return json_format.ParseDict(value, pipeline_spec_pb2.PipelineSpec())


def test_what_is_submitted_is_what_was_compiled(service, fake, spec):
    run = service.submit(spec, PARAMETERS, run_name="nightly-1", labels={"reason": "nightly"})
    made = job(fake, run)
    assert spec_of(made) == spec_of(spec)
    assert made.display_name == "nightly-1"
    assert made.runtime_config.gcs_output_directory == "gs://models/runs"
    assert (made.service_account, made.network) == (VERTEX.service_account, VERTEX.network)
    assert dict(made.labels) == {"team": "risk", "reason": "nightly"}
    given = json_format.MessageToDict(types.PipelineJob.pb(made).runtime_config)["parameterValues"]
    assert given == PARAMETERS
    assert (run.run_id, run.name, run.platform, run.state) == ("nightly-1", "nightly-1", "vertex", "pending")
    assert run.pipeline == "governed-training"
    assert run.labels == {"team": "risk", "reason": "nightly"}
    assert run.created == made.create_time
    assert run.link == (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/nightly-1?project=acme-ml"
    )


def test_the_client_is_quiet(service, fake, small, capfd):
    service.submit(small, {"count": 3}, experiment="loans")
    assert capfd.readouterr() == ("", "")


def test_a_run_without_a_name_gets_one_of_its_own(service, fake, small):
    first, second = (service.submit(small, {"count": 3}) for _ in range(2))
    assert first.run_id != second.run_id
    assert first.run_id.startswith("counting-20")


def test_the_clients_do_not_make_buckets(service, fake, small):
    del fake.storage.buckets["models"]
    with pytest.raises(MissingInputError, match=r"must lie in a bucket that there is; got 'gs://models/runs'") as told:
        service.submit(small, {"count": 3})
    assert told.value.hint == "`gcloud storage buckets create gs://models --location=europe-west4`."
    assert fake.storage.buckets == {}
    assert fake.jobs == {}


def test_who_may_not_look_at_the_bucket_may_submit(service, fake, small):
    fake.storage.refuse = lambda method, path: 403
    assert service.submit(small, {"count": 3}).state == "pending"


def test_the_project_is_looked_up(service, fake, small):
    service.submit(small, {"count": 3})
    assert "GetProject" in fake.calls


def test_an_experiment_is_made_and_holds_the_run(service, fake, small):
    run = service.submit(small, {"count": 3}, experiment="loans")
    parent = f"projects/123456789012/locations/{LOCATION}/metadataStores/default/contexts"
    assert fake.contexts[f"{parent}/loans"].schema_title == "system.Experiment"
    assert fake.children[f"{parent}/loans"] == [f"{parent}/{run.run_id}"]
    assert run.experiment == "loans"
    assert run.labels == {"team": "risk"}
    service.submit(small, {"count": 3})
    assert [found.run_id for found in service.list(experiment="loans")] == [run.run_id]


def test_an_experiment_that_fails_says_whether_the_run_goes_on(service, fake, small):
    fake.fail("CreateContext", "PERMISSION_DENIED", "Permission 'aiplatform.contexts.create' denied.")
    with pytest.raises(ServiceError, match="must make the experiment loans; it answered PERMISSION_DENIED: Permission"):
        service.submit(small, {"count": 3}, run_name="a", experiment="loans")
    assert fake.jobs == {}
    fake.fail("AddContextChildren", "INTERNAL")
    with pytest.raises(ServiceError, match="The run a goes on, but may not show in the experiment loans") as told:
        service.submit(small, {"count": 3}, run_name="a", experiment="loans")
    assert told.value.hint == "Look at it with `hallmark runs show a --platform vertex`."
    assert list(fake.jobs) == [f"{NAME}a"]


@pytest.mark.parametrize("caching", [None, True, False])
def test_caching_can_be_turned_off_and_never_on_for_what_is_not_pure(service, fake, caching, spec):
    run = service.submit(spec, PARAMETERS, caching=caching)
    compiled, submitted = cached(spec_of(spec)), cached(spec_of(job(fake, run)))
    assert any(compiled.values())
    assert not all(compiled.values())
    assert submitted == (dict.fromkeys(compiled, False) if caching is False else compiled)


def cached(spec):
    """Return each task of a spec with whether it may be reused."""
    components = {"root": spec.root, **spec.components}
    return {
        (name, task): detail.caching_options.enable_cache
        for name, component in components.items()
        for task, detail in component.dag.tasks.items()
    }


def test_one_name_is_one_run(service, fake, small):
    service.submit(small, {"count": 3}, run_name="nightly-1")
    with pytest.raises(InputError, match="run_name must be new; there is a run 'nightly-1'") as told:
        service.submit(small, {"count": 3}, run_name="nightly-1")
    assert told.value.hint == "Look at it with `hallmark runs show nightly-1 --platform vertex`."


def test_a_name_that_somebody_takes_meanwhile_is_not_ours(service, fake, small):
    service.submit(small, {"count": 3}, run_name="nightly-1")
    fake.fail("GetPipelineJob", "NOT_FOUND")
    with pytest.raises(InputError, match="run_name must be new; there is a run 'nightly-1'"):
        service.submit(small, {"count": 4}, run_name="nightly-1")


LOST = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED"]


@pytest.mark.parametrize("run_name", [None, "nightly-1"])
@pytest.mark.parametrize("code", LOST)
def test_a_lost_answer_is_no_second_run(service, fake, code, run_name, small):
    fake.fail("CreatePipelineJob", code, after=True)
    run = service.submit(small, {"count": 3}, run_name=run_name)
    assert [name.removeprefix(NAME) for name in fake.jobs] == [run.run_id]
    assert fake.calls.count("CreatePipelineJob") == 1


@pytest.mark.parametrize("run_name", [None, "nightly-1"])
@pytest.mark.parametrize("code", LOST)
def test_whether_a_run_began_is_told_to_be_unknown(service, fake, code, run_name, small):
    fake.fail("CreatePipelineJob", code, "Later.")
    with pytest.raises(UncertainError) as told:
        service.submit(small, {"count": 3}, run_name=run_name)
    run_id = told.value.message.split()[3]
    assert run_id == (run_name or run_id)
    assert told.value.message == (
        f"Whether the run {run_id} began is not known. "
        f"Vertex AI must start the run {run_id}; it answered {code}: Later."
    )
    assert told.value.hint == (
        f"Look with `hallmark runs show {run_id} --platform vertex`; submitted again with `--run-name {run_id}`, it "
        "cannot begin twice."
    )
    assert service.submit(small, {"count": 3}, run_name=run_id).run_id == run_id


def test_a_service_that_is_away_after_a_lost_answer_leaves_it_unknown(service, fake, small):
    fake.fail("CreatePipelineJob", "INTERNAL", after=True)
    fake.fail("GetPipelineJob", "INTERNAL")
    with pytest.raises(UncertainError, match="began is not known") as told:
        service.submit(small, {"count": 3})
    run_id = told.value.message.split()[3]
    with pytest.raises(InputError, match="run_name must be new"):
        service.submit(small, {"count": 3}, run_name=run_id)
    assert len(fake.jobs) == 1


def test_a_run_that_began_is_told_though_it_cannot_be_looked_at(service, fake, small):
    fake.fail("GetPipelineJob", "INTERNAL", times=9)
    assert service.submit(small, {"count": 3}).state == "pending"


def test_a_lost_answer_may_leave_the_experiment_out(service, fake, small):
    fake.fail("CreatePipelineJob", "UNAVAILABLE", after=True)
    with pytest.raises(ServiceError, match="The run a goes on, but may not show in the experiment loans"):
        service.submit(small, {"count": 3}, run_name="a", experiment="loans")


def test_an_experiment_that_is_something_else_is_refused(service, fake, small):
    service.submit(small, {"count": 3}, run_name="a")
    with pytest.raises(InputError, match="experiment must name an experiment of Vertex AI; 'a' is something else"):
        service.submit(small, {"count": 3}, experiment="a")
    assert len(fake.jobs) == 1


REFUSALS = {
    "PERMISSION_DENIED": (
        "Permission 'iam.serviceAccounts.actAs' denied on service account pipelines@acme-ml.",
        "roles/iam.serviceAccountUser on the service account",
    ),
    "RESOURCE_EXHAUSTED": ("Too many runs at once.", "Ask for more quota"),
    "INVALID_ARGUMENT": ("The network is wrong.", "Correct the setting that the answer names."),
    "NOT_FOUND": ("There is no such network.", "Check project, location and names"),
    "UNAUTHENTICATED": ("Who asks?", "Log in with `gcloud"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_is_told_in_one_sentence(service, fake, code, small):
    answer, hint = REFUSALS[code]
    fake.fail("CreatePipelineJob", code, answer)
    with pytest.raises(ServiceError) as told:
        service.submit(small, {"count": 3}, run_name="a")
    assert told.value.message == f"Vertex AI must start the run a; it answered {code}: {answer}"
    assert hint in told.value.hint
    assert fake.jobs == {}
    assert fake.calls[-1] == "CreatePipelineJob"


PARAMETERS_THAT_ARE_WRONG = {
    "unknown": ({"targets": "x"}, "must be one that the pipeline has; got 'targets'"),
    "of another type": ({"seed": "7"}, "The parameter 'seed' must be of type int"),
    "null inside": ({"fairness_limits": {"a": None}}, "must be text, finite numbers"),
}


@pytest.mark.parametrize("name", PARAMETERS_THAT_ARE_WRONG)
def test_parameters_are_checked_before_anything_is_sent(service, fake, name, spec):
    change, message = PARAMETERS_THAT_ARE_WRONG[name]
    with pytest.raises(InputError, match=message):
        service.submit(spec, PARAMETERS | change)
    assert fake.calls == []


def test_all_parameters_that_lack_are_named(service, fake, spec):
    with pytest.raises(InputError, match="missing: data_uri, fairness_limits, performance_limits, target"):
        service.submit(spec, {"model_name": "a", "sensitive_features": []})
    assert fake.calls == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"run_name": "Nightly"}, "run_name must be at most 128 lowercase letters"),
        ({"run_name": "a" * 129}, "run_name must be at most 128 lowercase letters"),
        ({"experiment": "Loans"}, "experiment must be at most 63 lowercase letters"),
        ({"experiment": "a" * 64}, "experiment must be at most 63 lowercase letters"),
        ({"labels": {"Team": "risk"}}, "A key of labels must be at most 63 lowercase letters, digits, '_' and '-', a"),
        ({"labels": {"7team": "risk"}}, "A key of labels must be .* a letter first; got '7team'"),
        ({"labels": {"": "risk"}}, "A key of labels must be .*; got ''"),
        ({"labels": {"a" * 64: "risk"}}, "A key of labels must be at most 63"),
        ({"labels": {"team": "Risk"}}, "labels.team must be at most 63 lowercase letters, digits, '_' and '-'; got"),
        ({"labels": {"team": "a" * 64}}, "labels.team must be at most 63"),
        ({"labels": {f"a{number}": "" for number in range(64)}}, "labels must be at most 64 labels; got 65"),
    ],
)
def test_names_are_checked_before_anything_is_sent(service, fake, given, message, small):
    with pytest.raises(InputError, match=message):
        service.submit(small, {"count": 3}, **given)
    if "labels" in given:
        with pytest.raises(InputError, match=message):
            service.schedule(small, {"count": 3}, name="weekly", cron="0 6 * * 1", **given)
    assert fake.calls == []


def test_labels_at_their_limits(service, fake, small):
    # With the one of the settings and that of the experiment they are 64.
    labels = {f"a{number}": "" for number in range(61)} | {"a" * 63: "-_7" * 21}
    run = service.submit(small, {"count": 3}, labels=labels, experiment="loans")
    assert run.labels == {"team": "risk", **labels}
    assert len(job(fake, run).labels) == 64


def test_two_documents_are_refused(service, fake, pinned):
    path = pinned(ROOT / "compiled" / "pipelines" / "governed_training.kubeflow.yaml")
    with pytest.raises(InputError, match=r"must be one document; '.*kubeflow\.yaml' has two") as told:
        service.submit(path, PARAMETERS)
    assert told.value.hint == "Compile it with `hallmark compile PIPELINE --platform vertex`."
    assert fake.calls == []


def test_a_file_that_is_no_pipeline_is_refused(service, fake, tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    with pytest.raises(InputError, match="must be"):
        service.submit(tmp_path / "a.yaml", {})


@pytest.mark.parametrize("key", ["project", "location", "pipeline_root"])
def test_settings_that_lack_are_named(fake, settings, key, spec):
    with pytest.raises(InputError, match=rf"The settings must have vertex\.{key}; they are not set"):
        Vertex(Settings(vertex=replace(settings.vertex, **{key: None}))).submit(spec, PARAMETERS)
    assert fake.calls == []


def test_the_client_that_is_not_installed_is_named(tmp_path):
    (tmp_path / "hallmark.toml").write_text('[vertex]\nproject = "acme-ml"\nlocation = "europe-west4"\n')
    program = (
        "import sys\n"
        "sys.modules['google.cloud.aiplatform'] = None  # so that Python finds no such module\n"
        "from kfp_hallmark.cli.main import main\n"
        "sys.argv = ['hallmark', 'runs', 'list', '--platform', 'vertex']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: Google's client for Vertex AI must be installed; it is not.",
        "Hint: Install it with `pip install 'kfp-hallmark[vertex]'`.",
    ]


MOMENT = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)


def task(identifier, parent, name, state, minutes=None, error=None):
    start = None if minutes is None else MOMENT + timedelta(minutes=minutes)
    end = start + timedelta(seconds=30) if start and state not in (TaskState.RUNNING, TaskState.PENDING) else None
    return types.PipelineTaskDetail(
        task_id=identifier,
        parent_task_id=parent,
        task_name=name,
        state=state,
        start_time=start,
        end_time=end,
        error={"code": 3, "message": error} if error else None,
    )


def test_a_run_is_shown_with_its_steps(service, fake, spec):
    run = service.submit(spec, PARAMETERS, run_name="a")
    assert {step.state for step in service.get("a").steps} == {"pending"}
    made = job(fake, run)
    made.state, made.end_time = State.PIPELINE_STATE_FAILED, MOMENT + timedelta(hours=1)
    made.error = {"code": 3, "message": "train-model failed."}
    made.job_detail.task_details = [
        task(1, 0, "a", TaskState.FAILED, 0),
        task(2, 1, "governed", TaskState.FAILED, 0),
        task(7, 2, "decide-release", TaskState.PENDING),
        task(5, 2, "train-model", TaskState.FAILED, 5, "Out of memory."),
        task(3, 2, "load-dataset", TaskState.SKIPPED, 1),
        task(4, 2, "split-dataset", TaskState.SUCCEEDED, 2),
        task(6, 2, "explain-model", TaskState.RUNNING, 6),
        task(9, 2, "each", TaskState.CANCEL_PENDING, 8),
        task(8, 2, "each", TaskState.NOT_TRIGGERED, 7),
        task(10, 2, "stopped", TaskState.CANCELLED, 9),
    ]
    found = service.get("a")
    assert (found.state, found.reason, found.finished) == ("failed", "train-model failed.", made.end_time)
    assert [(step.name, step.state) for step in found.steps] == [
        ("load_dataset", "reused"),
        ("split_dataset", "succeeded"),
        ("train_model", "failed"),
        ("validate_dataset", "skipped"),
        ("evaluate_model", "skipped"),
        ("explain_model", "running"),
        ("privacy_gate", "skipped"),
        ("robustness_gate", "skipped"),
        ("explanation_gate", "skipped"),
        ("fairness_gate", "skipped"),
        ("performance_gate", "skipped"),
        ("decide_release", "pending"),
        ("write_model_card", "skipped"),
        ("log_run", "skipped"),
        ("register_model", "skipped"),
        ("deploy_model", "skipped"),
        ("enforce_decision", "skipped"),
        ("record_run", "skipped"),
        ("each[0]", "skipped"),
        ("each[1]", "cancelling"),
        ("stopped", "cancelled"),
    ]
    failed = found.steps[2]
    assert (failed.started, failed.finished) == (MOMENT + timedelta(minutes=5), MOMENT + timedelta(minutes=5.5))
    assert failed.reason == "Out of memory."
    assert (found.steps[11].started, found.steps[11].finished) == (None, None)
    assert found.ended


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ("QUEUED", "pending"),
        ("PENDING", "pending"),
        ("RUNNING", "running"),
        ("SUCCEEDED", "succeeded"),
        ("FAILED", "failed"),
        ("CANCELLING", "cancelling"),
        ("CANCELLED", "cancelled"),
        ("PAUSED", "paused"),
    ],
)
def test_states(service, fake, given, state, small):
    run = service.submit(small, {"count": 3}, run_name="a")
    job(fake, run).state = State[f"PIPELINE_STATE_{given}"]
    assert service.get("a").state == state


def test_every_state_of_the_protocol_is_known(spec):
    from kfp_hallmark.submission.vertex import _JOB_STATES, _STEP_STATES

    assert {state.name.removeprefix("PIPELINE_STATE_") for state in State} == {*_JOB_STATES, "UNSPECIFIED"}
    assert {state.name for state in TaskState} == {*_STEP_STATES, "STATE_UNSPECIFIED"}


def test_runs_are_listed_the_newest_first_over_pages(service, fake, small):
    for name in "abcde":
        service.submit(small, {"count": 3}, run_name=name)
    assert [run.run_id for run in service.list()] == list("edcba")
    assert [run.run_id for run in service.list(limit=3)] == list("edc")
    assert all(run.steps == () for run in service.list())


def test_a_run_that_is_not_there(service, fake):
    for ask in (service.get, service.cancel):
        with pytest.raises(MissingInputError, match="Vertex AI has no run 'nobody' in projects/acme-ml"):
            ask("nobody")


@pytest.mark.parametrize("given", ["", " ", "a/b", "../x", "a b", "a" * 129, f"{NAME}a"])
def test_an_id_that_cannot_be_is_refused_before_anything_is_sent(service, fake, given):
    for call, what in ((service.get, "run"), (service.cancel, "run"), (service.unschedule, "schedule")):
        with pytest.raises(InputError) as told:
            call(given)
        assert told.value.message == f"The id of a {what} must be 1 to 128 letters, digits and hyphens; got {given!r}."
    assert fake.calls == []


def test_a_run_is_cancelled_once(service, fake, small):
    run = service.submit(small, {"count": 3}, run_name="a")
    assert service.cancel("a").state == "cancelling"
    job(fake, run).state = State.PIPELINE_STATE_CANCELLED
    fake.calls.clear()
    assert service.cancel("a").state == "cancelled"
    assert fake.changes() == []


def test_a_schedule_starts_runs_of_what_was_compiled(service, fake, spec):
    made = service.schedule(spec, PARAMETERS, name="Every Monday", cron="TZ=Europe/Berlin 0 6 * * 1")
    assert (made.name, made.when, made.active) == ("Every Monday", "TZ=Europe/Berlin 0 6 * * 1", True)
    assert made.next_run is not None
    (stored,) = fake.schedules.values()
    assert stored.max_concurrent_run_count == 1
    started = fake.tick(stored.name)
    assert spec_of(started) == spec_of(spec)
    assert (started.service_account, started.network) == (VERTEX.service_account, VERTEX.network)
    assert dict(started.labels) == {"team": "risk"}
    assert service.schedules() == [made]
    service.unschedule(made.schedule_id)
    assert fake.schedules == {}
    assert len(service.list()) == 1


def test_a_schedule_says_when_it_stands_still(service, fake, small):
    made = service.schedule(small, {"count": 3}, name="a", cron="0 6 * * 1", max_concurrent_runs=3)
    fake.schedule(next(iter(fake.schedules))).state = types.Schedule.State.PAUSED
    assert not service.schedules()[0].active
    assert next(iter(fake.schedules.values())).max_concurrent_run_count == 3
    assert made.active


def test_a_schedules_name_is_used_once(service, fake, small):
    made = service.schedule(small, {"count": 3}, name="a", cron="0 6 * * 1")
    with pytest.raises(
        InputError, match="A schedule's name must be new; there is a schedule 'a', 0 6 \\* \\* 1"
    ) as told:
        service.schedule(small, {"count": 3}, name="a", cron="0 7 * * 1")
    assert told.value.hint == (
        f"Give it another name, or remove that one: `hallmark runs unschedule {made.schedule_id} --platform vertex`."
    )
    assert len(fake.schedules) == 1


@pytest.mark.parametrize("code", LOST)
def test_a_lost_answer_is_no_second_schedule(service, fake, code, small):
    fake.fail("CreateSchedule", code, after=True)
    made = service.schedule(small, {"count": 3}, name="a", cron="0 6 * * 1")
    assert [name.rpartition("/")[2] for name in fake.schedules] == [made.schedule_id]


@pytest.mark.parametrize("code", LOST)
def test_whether_a_schedule_was_made_is_told_to_be_unknown(service, fake, code, small):
    fake.fail("CreateSchedule", code, "Later.")
    with pytest.raises(
        UncertainError, match=f"the schedule 'a' was made is not known. .* answered {code}: Later"
    ) as told:
        service.schedule(small, {"count": 3}, name="a", cron="0 6 * * 1")
    assert "`hallmark runs schedules --platform vertex`" in told.value.hint


def test_a_schedule_that_is_refused_is_told(service, fake, small):
    fake.fail("CreateSchedule", "PERMISSION_DENIED", "No.")
    with pytest.raises(ServiceError, match="must make the schedule a; it answered PERMISSION_DENIED: No"):
        service.schedule(small, {"count": 3}, name="a", cron="0 6 * * 1")
    assert fake.calls[-1] == "CreateSchedule"


CRONS = [
    "0 6 * * 1",
    "*/5 0-6/2 1,15 jan-mar SUN",
    "TZ=UTC 0 6 * * *",
    "CRON_TZ=America/New_York 1 * * * *",
    "TZ=America/Argentina/Buenos_Aires 0 6 * * 1",
    "TZ=Etc/GMT+1 0 6 * * 1",
]


@pytest.mark.parametrize("cron", CRONS)
def test_cron_expressions_that_are_sent(service, fake, small, cron):
    assert service.schedule(small, {"count": 3}, name="a", cron=cron).when == cron


def test_what_is_wrong_with_a_schedules_run_is_told_before_anything_is_sent(service, fake, small):
    for given, words in (({"counts": 3}, "got 'counts'"), ({"count": "3"}, "must be of type int")):
        with pytest.raises(InputError, match=words):
            service.schedule(small, given, name="a", cron="0 6 * * 1")
    assert fake.calls == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "must be given by `cron`; it knows no intervals"),
        ({"every": timedelta(hours=6)}, "must be given by `cron`; it knows no intervals"),
        ({"cron": ""}, "cron must be minute, hour, day, month and weekday; got ''"),
        ({"cron": "every monday"}, "cron must be minute, hour, day, month and weekday; got 'every monday'"),
        ({"cron": "0 6 * *"}, "cron must be minute, hour, day, month and weekday; got"),
        ({"cron": "0 0 6 * * 1"}, "cron must be minute, hour, day, month and weekday; got"),
        ({"cron": "60 6 * * 1"}, "The minute of cron must be from 0 to 59, or \\*; got '60'"),
        ({"cron": "0 6 * * 7"}, "The weekday of cron must be from 0 to 6"),
        ({"cron": "0 6 * * fri-tue"}, "The weekday of cron must be from 0 to 6"),
        ({"cron": "0 6 * ² 1"}, "The month of cron must be from 1 to 12"),
        ({"cron": "TZ=Europe/Berlim 0 6 * * 1"}, "The time zone of cron must be one of the IANA's.*'Europe/Berlim'"),
        ({"cron": "TZ= 0 6 * * 1"}, "cron must be minute, hour, day, month and weekday; got"),
        ({"cron": "TZ=UTC 0 6 * *"}, "cron must be minute, hour, day, month and weekday; got '0 6"),
        ({"cron": "ZONE=UTC 0 6 * * 1"}, "cron must be minute, hour, day, month and weekday; got"),
        ({"cron": "0 6 * * 1", "name": ""}, "A schedule's name must have 1 to 128 characters; got 0"),
        ({"cron": "0 6 * * 1", "name": "a" * 129}, "A schedule's name must have 1 to 128 characters; got 129"),
        ({"cron": "0 6 * * 1", "experiment": "loans"}, "must have no experiment; got 'loans'"),
        ({"cron": "0 6 * * 1", "max_concurrent_runs": 0}, "max_concurrent_runs must be at least 1; got 0"),
    ],
)
def test_schedules_are_checked_before_anything_is_sent(service, fake, given, message, small):
    with pytest.raises(InputError, match=message):
        service.schedule(small, {"count": 3}, **{"name": "a", **given})
    assert fake.calls == []


def test_a_schedule_that_is_not_there(service, fake):
    with pytest.raises(MissingInputError, match="Vertex AI has no schedule '7'"):
        service.unschedule("7")


def test_reading_is_repeated_when_the_service_is_away_for_a_moment(service, fake, small):
    service.submit(small, {"count": 3}, run_name="a")
    for method in ("GetPipelineJob", "ListPipelineJobs", "ListSchedules"):
        fake.fail(method, "UNAVAILABLE")
    assert service.get("a").run_id == service.list()[0].run_id == "a"
    assert service.schedules() == []


def test_credentials_that_have_expired_are_told_at_once(service, fake):
    fake.storage.tokens = False
    with pytest.raises(
        ServiceError, match="must list the runs; there are no credentials that it takes: Getting"
    ) as told:
        service.list()
    assert told.value.hint.startswith("Log in with `gcloud auth application-default login`")
    assert fake.calls == []


def test_credentials_that_are_not_there_are_told_when_a_run_is_submitted(fake, small, tmp_path):
    # In a process of its own: Google's client keeps the credentials that it found first.
    environment = os.environ | {
        "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json",
        "HALLMARK_VERTEX_PROJECT": PROJECT,
        "HALLMARK_VERTEX_LOCATION": LOCATION,
        "HALLMARK_VERTEX_PIPELINE_ROOT": "gs://models/runs",
        "HALLMARK_VERTEX_API_ENDPOINT": fake.api_endpoint,
    }
    program = "from kfp_hallmark.cli.main import main; main()"
    command = [sys.executable, "-c", program, "submit", small, "--platform", "vertex", "--set", "count=3"]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: Vertex AI must ")
    assert "there are no credentials that it takes" in ended.stderr
    assert "Hint: Log in with `gcloud auth application-default login`" in ended.stderr
    assert not fake.jobs


def test_a_machines_parameter_is_given_with_the_run(settings, fake, locked):
    machine = known.Machine(parameters={"cpu_limit": "train_cpu"})
    vertex = replace(settings.vertex, machines={"train_model": machine})
    settings = replace(settings, vertex=vertex, folder=locked)
    given = PARAMETERS | {"train_cpu": "16"}
    run = submission.submit("governed_training", given, platform="vertex", settings=settings)
    made = job(fake, run)
    assert json_format.MessageToDict(types.PipelineJob.pb(made).runtime_config)["parameterValues"]["train_cpu"] == "16"
    deployment = json_format.MessageToDict(spec_of(made).deployment_spec)
    resources = deployment["executors"]["exec-train-model"]["container"]["resources"]
    assert resources["resourceCpuLimit"] == "{{$.inputs.parameters['pipelinechannel--train_cpu']}}"


def test_a_service_that_stays_away_can_be_asked_later(service, fake, spec):
    run = service.submit(spec, PARAMETERS)
    fake.fail("GetPipelineJob", "INTERNAL", "Later.")
    with pytest.raises(TransientError, match=r"Vertex AI must show the run .*; it answered INTERNAL: Later\."):
        service.get(run.run_id)
