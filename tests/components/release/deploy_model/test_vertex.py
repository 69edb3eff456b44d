import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.components.release.deploy_model.deploy import deploy
from kfp_hallmark.components.release.deploy_model.vertex import shared
from kfp_hallmark.contracts.digest import short
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, ServiceError
from kfp_hallmark.tracking import client
from kfp_hallmark.vertex import resource_id

NAME = "projects/123456789012/locations/europe-west4/endpoints/"


@pytest.fixture
def released(candidate, sqlite_uri, vertex):
    """A model in both registries."""
    candidate.register(sqlite_uri, vertex=vertex)
    return candidate


@pytest.fixture
def next_one(another, released, sqlite_uri, vertex):
    """The next version of it."""
    another.register(sqlite_uri, vertex=vertex)
    return another


@pytest.fixture
def run(fake, sqlite_uri):
    """Deploy a candidate to Vertex AI."""

    def run(candidate, uri=sqlite_uri, alias="champion", serving_dir=None, **deployment):
        artifacts = (candidate.model, candidate.decision, candidate.registration, candidate.release)
        options = {"api_endpoint": fake.api_endpoint, **deployment}
        return deploy(*artifacts, "vertex", options, serving_dir, alias, uri)

    return run


def endpoint(fake, candidate):
    return fake.endpoints[f"{NAME}{resource_id(candidate.name)}"]


def shares(fake, candidate):
    """Return version to its share of the requests; None for what is deployed and gets none."""
    found = endpoint(fake, candidate)
    return {entry.model_version_id: found.traffic_split.get(entry.id) for entry in found.deployed_models}


def alias_on_vertex(fake, candidate, alias="champion"):
    """Return the version that has an alias in the Model Registry, or None."""
    versions = fake.models[resource_id(candidate.name)]
    return next((number for number, version in versions.items() if alias in version.version_aliases), None)


def champion(uri, candidate):
    found = client(uri).get_registered_model(candidate.name).aliases.get("champion")
    return None if found is None else str(found)


def test_the_first_version_gets_an_endpoint_and_every_request(released, fake, run, sqlite_uri):
    (uri,) = run(
        released,
        machine_type="n1-standard-4",
        min_replicas=1,
        max_replicas=3,
        accelerator_type="NVIDIA_TESLA_T4",
        service_account="serving@acme-ml.iam.gserviceaccount.com",
        labels={"team": "risk"},
    )
    found = endpoint(fake, released)
    assert uri == f"https://{fake.api_endpoint}/v1/{found.name}:predict"
    assert found.display_name == released.name
    assert dict(found.labels) == {"team": "risk", "hallmark_name": resource_id(released.name)}
    (deployed,) = found.deployed_models
    machine = deployed.dedicated_resources
    assert deployed.display_name == f"{released.name} 1"
    assert (deployed.model_version_id, deployed.service_account) == ("1", "serving@acme-ml.iam.gserviceaccount.com")
    assert (machine.machine_spec.machine_type, machine.machine_spec.accelerator_count) == ("n1-standard-4", 1)
    assert machine.machine_spec.accelerator_type.name == "NVIDIA_TESLA_T4"
    assert (machine.min_replica_count, machine.max_replica_count) == (1, 3)
    assert shares(fake, released) == {"1": 100}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"
    release = Release.read(released.release.path)
    assert (release.version, release.model.digest, release.previous) == ("1", released.digest, None)
    assert released.release.metadata["uri"] == uri


def test_the_next_version_takes_over_and_the_former_stays_deployed(released, next_one, fake, run, sqlite_uri):
    run(released)
    run(next_one)
    assert shares(fake, released) == {"1": None, "2": 100}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "2"
    previous = Release.read(next_one.release.path).previous
    assert (previous["version"], previous["digest"]) == ("1", released.digest)


def test_a_canary_gets_its_share_and_is_not_the_champion(released, next_one, fake, run, sqlite_uri):
    run(released)
    run(next_one, traffic=10)
    assert shares(fake, released) == {"1": 90, "2": 10}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"
    run(next_one, traffic=10.0)
    assert shares(fake, released) == {"1": 90, "2": 10}
    run(next_one)
    assert shares(fake, released) == {"1": None, "2": 100}
    assert champion(sqlite_uri, released) == "2"
    assert fake.calls.count("DeployModel") == 2


def test_a_canary_says_that_it_is_one(released, next_one, fake, run):
    run(released)
    assert "traffic" not in json.loads(Path(released.release.path).read_text())
    run(next_one, traffic=10)
    assert Release.read(next_one.release.path).traffic == next_one.release.metadata["traffic"] == 10
    run(next_one)
    assert Release.read(next_one.release.path).traffic == next_one.release.metadata["traffic"] == 100


def test_the_champion_is_no_canary(released, next_one, fake, run, sqlite_uri):
    run(released)
    run(next_one, traffic=10)
    fake.calls.clear()
    for share in (1, 50, 99):
        with pytest.raises(InputError, match=rf"must be 100 for the version that leads; got {share}") as refused:
            run(released, traffic=share)
    assert refused.value.hint == "To give a canary beside it more, deploy the canary with a greater traffic."
    assert fake.changes() == []
    run(next_one, traffic=99)
    assert shares(fake, released) == {"1": 1, "2": 99}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"


OTHER = {
    "machine_type": "n1-standard-8",
    "min_replicas": 2,
    "max_replicas": 4,
    "accelerator_type": "NVIDIA_TESLA_T4",
    "accelerator_count": 2,
    "service_account": "serving@acme-ml.iam.gserviceaccount.com",
}
FIRST = {"max_replicas": 3, "accelerator_type": "NVIDIA_L4"}


def machines(fake, candidate):
    """Return the options of the one model that is deployed."""
    (entry,) = endpoint(fake, candidate).deployed_models
    machine, replicas = entry.dedicated_resources.machine_spec, entry.dedicated_resources
    return {
        "machine_type": machine.machine_type,
        "min_replicas": replicas.min_replica_count,
        "max_replicas": replicas.max_replica_count,
        "accelerator_type": machine.accelerator_type.name,
        "accelerator_count": machine.accelerator_count,
        "service_account": entry.service_account,
    }


@pytest.mark.parametrize("option", OTHER)
def test_other_machines_are_got_without_a_request_lost(released, fake, run, sqlite_uri, option):
    run(released, **FIRST)
    before = machines(fake, released)
    (former,) = endpoint(fake, released).deployed_models
    fake.calls.clear()
    run(released, **{**FIRST, option: OTHER[option]})
    assert fake.changes() == ["DeployModel", "UpdateEndpoint", "UndeployModel"]
    assert machines(fake, released) == {**before, option: OTHER[option]}
    (deployed,) = endpoint(fake, released).deployed_models
    assert deployed.id != former.id
    assert shares(fake, released) == {"1": 100}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"
    assert Release.read(released.release.path).previous is None


def test_a_canary_can_get_other_machines(released, next_one, fake, run):
    run(released)
    run(next_one, traffic=10)
    run(next_one, traffic=20, machine_type="n1-standard-8")
    assert shares(fake, released) == {"1": 80, "2": 20}
    deployed = [
        entry.dedicated_resources.machine_spec.machine_type for entry in endpoint(fake, released).deployed_models
    ]
    assert deployed == ["n1-standard-2", "n1-standard-8"]


def test_other_machines_cost_no_former_version(released, next_one, fake, run):
    run(released)
    run(next_one)
    run(next_one, machine_type="n1-standard-8")
    assert shares(fake, released) == {"1": None, "2": 100}
    assert Release.read(next_one.release.path).previous["version"] == "1"


def test_a_newer_decision_costs_no_former_version(released, next_one, fake, run, sqlite_uri, vertex):
    """As each further run of a pipeline makes one; version 3 is the model of version 2."""
    run(released)
    run(next_one)
    next_one.decide("fairness_gate")
    next_one.register(sqlite_uri, vertex=vertex)
    run(next_one)
    assert shares(fake, released) == {"1": None, "3": 100}
    assert champion(sqlite_uri, released) == "2"
    assert alias_on_vertex(fake, released) == "3"


def test_deploying_the_former_version_again_rolls_back_in_one_call(released, next_one, fake, run, sqlite_uri):
    run(released)
    run(next_one)
    fake.calls.clear()
    run(released)
    assert shares(fake, released) == {"1": 100, "2": None}
    assert fake.changes() == ["UpdateEndpoint", "MergeVersionAliases"]
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"
    assert Release.read(released.release.path).previous["version"] == "2"


def test_the_client_rolls_back_too(released, next_one, fake, run, monkeypatch):
    """As docs/vertex.md says, with Google's own client."""
    from google.cloud import aiplatform

    run(released)
    run(next_one)
    aiplatform.init(project="acme-ml", location="europe-west4", api_endpoint=fake.api_endpoint)
    found = aiplatform.Endpoint(resource_id(released.name))
    former = next(entry.id for entry in found.list_models() if entry.model_version_id == "1")
    found.update(traffic_split={former: 100})
    assert shares(fake, released) == {"1": 100, "2": None}


def test_twice_changes_nothing(released, next_one, fake, run):
    run(released)
    run(next_one)
    fake.calls.clear()
    first = Path(next_one.release.path).read_text()
    run(next_one)
    assert fake.changes() == []
    second = json.loads(Path(next_one.release.path).read_text())
    assert {**json.loads(first), "deployed": None} == {**second, "deployed": None}


def test_only_as_many_former_versions_stay_as_are_kept(candidate, another, follow, fake, run, sqlite_uri, vertex):
    third = follow("third", weights="1 -1")
    for one in (candidate, another, third):
        one.register(sqlite_uri, vertex=vertex)
    run(candidate)
    run(another)
    run(third, traffic=20)
    assert shares(fake, candidate) == {"1": None, "2": 80, "3": 20}
    run(third)
    assert shares(fake, candidate) == {"2": None, "3": 100}
    run(third, keep=0)
    assert shares(fake, candidate) == {"3": 100}


def test_an_endpoint_of_the_user_is_used(released, fake, run, vertex):
    from google.cloud.aiplatform_v1 import EndpointServiceClient

    service = EndpointServiceClient(client_options={"api_endpoint": fake.api_endpoint})
    labels = {"hallmark_name": resource_id(released.name)}
    made = {"parent": "projects/acme-ml/locations/europe-west4", "endpoint_id": "77"}
    service.create_endpoint({**made, "endpoint": {"display_name": "loans", "labels": labels}}).result()
    run(released, endpoint="77")
    assert list(fake.endpoints) == [f"{NAME}77"]
    assert fake.endpoints[f"{NAME}77"].deployed_models


def test_an_endpoint_of_somebody_else_is_left_alone(released, fake, run):
    from google.cloud.aiplatform_v1 import EndpointServiceClient

    service = EndpointServiceClient(client_options={"api_endpoint": fake.api_endpoint})
    made = {"parent": "projects/acme-ml/locations/europe-west4", "endpoint_id": "77"}
    service.create_endpoint({**made, "endpoint": {"display_name": "loans"}}).result()
    with pytest.raises(InputError, match=r"The endpoint 77 must have the label hallmark_name .*; got None") as refused:
        run(released, endpoint="77")
    assert "gcloud ai endpoints update 77 --update-labels=hallmark_name=" in refused.value.hint
    assert not fake.endpoints[f"{NAME}77"].deployed_models


FAULTS = [
    ("CreateEndpoint", "PERMISSION_DENIED", "make the endpoint"),
    ("GetEndpoint", "INTERNAL", "show the endpoint"),
    ("DeployModel", "RESOURCE_EXHAUSTED", "deploy income-"),
    ("UpdateEndpoint", "INTERNAL", "share the requests of projects"),
    ("MergeVersionAliases", "INVALID_ARGUMENT", "move the alias champion"),
]


@pytest.mark.parametrize(("method", "code", "task"), FAULTS)
def test_whatever_is_refused_at_first_the_next_run_completes_it(released, fake, run, sqlite_uri, method, code, task):
    fake.fail(method, code, "Refused.")
    with pytest.raises(ServiceError, match=rf"Vertex AI must {task}.*; it answered {code}: Refused\."):
        run(released)
    assert champion(sqlite_uri, released) is None
    assert not Path(released.release.path).exists()
    run(released)
    assert shares(fake, released) == {"1": 100}
    assert champion(sqlite_uri, released) == "1"
    assert len(fake.endpoints) == 1


@pytest.mark.parametrize(("method", "code", "task"), FAULTS[1:])
def test_whatever_is_refused_later_the_former_version_serves(
    released, next_one, fake, run, sqlite_uri, method, code, task
):
    run(released)
    fake.fail(method, code, "Refused.")
    with pytest.raises(ServiceError, match=rf"Vertex AI must {task}.*; it answered {code}: Refused\."):
        run(next_one)
    assert shares(fake, released)["1"] == 100
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"
    run(next_one)
    assert shares(fake, released) == {"1": None, "2": 100}


@pytest.mark.parametrize("method", ["CreateEndpoint", "DeployModel"])
def test_an_operation_that_fails_leaves_what_served(released, next_one, fake, run, sqlite_uri, method):
    fake.fail_operation(method, "INTERNAL", "The container did not become healthy.")
    with pytest.raises(ServiceError, match="it answered INTERNAL: The container did not become healthy"):
        run(released)
    run(released)
    if method == "DeployModel":
        fake.fail_operation(method, "RESOURCE_EXHAUSTED", "No machines.")
        with pytest.raises(ServiceError, match="it answered RESOURCE_EXHAUSTED: No machines") as told:
            run(next_one)
        assert "quota" in told.value.hint
        assert shares(fake, released) == {"1": 100}
        assert champion(sqlite_uri, released) == "1"


@pytest.mark.parametrize("method", ["CreateEndpoint", "DeployModel"])
def test_a_lost_answer_makes_nothing_twice(released, fake, run, method):
    fake.fail(method, "UNAVAILABLE", after=True)
    with pytest.raises(ServiceError, match="it answered UNAVAILABLE"):
        run(released)
    run(released)
    assert shares(fake, released) == {"1": 100}
    assert fake.calls.count(method) == 1


def test_a_deployment_that_takes_too_long_serves_nobody_until_the_next_run(released, next_one, fake, run, sqlite_uri):
    run(released)
    fake.delay("DeployModel", None)
    late = r"must deploy income-\w+ 2 within 0\.3 s; its DeployModel goes on, as projects/.*/operations/\d+\."
    with pytest.raises(ServiceError, match=late) as told:
        run(next_one, max_seconds=0.3)
    assert told.value.hint.startswith("That moves neither requests nor aliases. Run it again: it waits for that")
    late = r"must end what is under way on the endpoint income-.* within 0\.3 s; its DeployModel goes on, as projects/"
    with pytest.raises(ServiceError, match=late):
        run(next_one, max_seconds=0.3)
    fake.end_operations()
    assert shares(fake, released) == {"1": 100, "2": None}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"
    run(next_one)
    assert shares(fake, released) == {"1": None, "2": 100}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "2"
    assert fake.calls.count("DeployModel") == 2


def test_a_first_deployment_that_takes_too_long_is_completed_by_the_next_run(released, fake, run, sqlite_uri):
    for method in ("CreateEndpoint", "DeployModel"):
        fake.delay(method, None)
        with pytest.raises(ServiceError, match=rf"within 0\.3 s; its {method} goes on, as"):
            run(released, max_seconds=0.3)
        fake.end_operations()
        assert champion(sqlite_uri, released) is alias_on_vertex(fake, released) is None
    run(released)
    assert shares(fake, released) == {"1": 100}
    assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "1"
    assert (fake.calls.count("CreateEndpoint"), fake.calls.count("DeployModel")) == (1, 1)


def test_what_was_deployed_late_and_given_up_costs_no_former_version(
    candidate, another, follow, fake, run, sqlite_uri, vertex
):
    """Version 2 never served; what is kept to roll back to is version 1."""
    third = follow("third", weights="1 -1")
    for one in (candidate, another, third):
        one.register(sqlite_uri, vertex=vertex)
    run(candidate)
    fake.delay("DeployModel", None)
    with pytest.raises(ServiceError, match="goes on"):
        run(another, max_seconds=0.3)
    fake.end_operations()
    run(third)
    assert shares(fake, candidate) == {"1": None, "3": 100}
    assert Release.read(third.release.path).previous["version"] == "1"


def test_a_slow_deployment_is_waited_for(released, fake, run):
    fake.delay("DeployModel", 3)
    run(released)
    assert shares(fake, released) == {"1": 100}


@pytest.mark.parametrize(
    ("method", "ends"),
    [
        ("CreateEndpoint", False),
        ("DeployModel", False),
        ("DeployModel", True),
        ("UpdateEndpoint", True),
        ("MergeVersionAliases", True),
    ],
)
def test_killed_in_the_middle_the_next_run_completes_it(released, next_one, fake, run, sqlite_uri, method, ends):
    """Killed after the request; what was begun ends before the next run, or while it waits."""
    one = next_one
    if method in ("UpdateEndpoint", "MergeVersionAliases"):
        run(released)
        run(next_one)
        one = released
    fake.calls.clear()
    fake.delay(method, 1)
    arrived = fake.arrival(method)
    paths = [one.model.path, one.decision.path, one.registration.path, one.release.path]
    code = (
        "import json, sys; from kfp import dsl\n"
        "from kfp_hallmark.components.release.deploy_model.deploy import deploy\n"
        "*paths, endpoint, uri = json.loads(sys.argv[1])\n"
        "options = {'api_endpoint': endpoint}\n"
        "deploy(*[dsl.Artifact(uri=path) for path in paths], 'vertex', options, None, 'champion', uri)"
    )
    gate = fake.hold()
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps([*paths, fake.api_endpoint, sqlite_uri])])
    assert arrived.wait(timeout=120)
    process.kill()
    process.wait(timeout=30)
    gate.set()
    if ends:
        fake.end_operations()
    run(one)
    version = "1" if one is released else "2"
    assert shares(fake, one)[version] == 100
    assert champion(sqlite_uri, one) == alias_on_vertex(fake, one) == version
    assert fake.calls.count(method) == 1


def withdraw(fake, candidate, uri):
    """Let nothing be deployed any more, nor be called the champion."""
    fake.operations.clear()
    fake.endpoints.clear()
    for version in fake.models[resource_id(candidate.name)].values():
        if "champion" in version.version_aliases:
            version.version_aliases.remove("champion")
    if champion(uri, candidate):
        client(uri).delete_registered_model_alias(candidate.name, "champion")


def assert_true(fake, candidate, uri):
    """Assert that whatever is called the champion, in either registry, gets every request."""
    for version in {champion(uri, candidate), alias_on_vertex(fake, candidate)} - {None}:
        assert shares(fake, candidate)[version] == 100


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("former", [False, True], ids=["first", "next"])
def test_a_connection_lost_at_any_call_is_made_good_by_the_next_run(
    released, next_one, fake, run, sqlite_uri, former, after
):
    def begin():
        withdraw(fake, released, sqlite_uri)
        if former:
            run(released)
        fake.calls.clear()

    begin()
    run(next_one, keep=0)
    calls = list(fake.calls)
    assert {"DeployModel", "UpdateEndpoint", "MergeVersionAliases"} <= set(calls)
    assert ("UndeployModel" in calls) == former == ("CreateEndpoint" not in calls)
    for number, method in enumerate(calls):
        begin()
        fake.cut(number, after)
        try:
            run(next_one, keep=0)
        except ServiceError as error:
            assert error.hint, method
        assert_true(fake, released, sqlite_uri)
        run(next_one, keep=0)
        assert shares(fake, released) == {"2": 100}, method
        assert champion(sqlite_uri, released) == alias_on_vertex(fake, released) == "2"
        assert fake.calls.count("DeployModel") == 1 + (not after and method == "DeployModel")
        assert Release.read(next_one.release.path).version == "2"


def test_an_alias_that_cannot_be_moved_leaves_the_former_version_serving(
    road, server_uri, candidate, another, fake, run, vertex
):
    for one in (candidate, another):
        one.register(server_uri, vertex=vertex)
    run(candidate, server_uri)
    road.refuse = lambda request, before: request.endswith("registered-models/alias")
    with pytest.raises(MissingInputError, match="The road is closed"):
        run(another, road.uri)
    assert shares(fake, candidate) == {"1": 100, "2": None}
    assert champion(server_uri, candidate) == alias_on_vertex(fake, candidate) == "1"
    assert not Path(another.release.path).exists()
    run(another, server_uri)
    assert shares(fake, candidate) == {"1": None, "2": 100}
    assert fake.calls.count("DeployModel") == 2


def test_an_alias_that_cannot_be_moved_leaves_nothing_serving_when_nothing_did(
    road, server_uri, candidate, fake, run, vertex
):
    candidate.register(server_uri, vertex=vertex)
    road.refuse = lambda request, before: request.endswith("registered-models/alias")
    with pytest.raises(MissingInputError, match="The road is closed"):
        run(candidate, road.uri)
    assert shares(fake, candidate) == {"1": None}
    assert champion(server_uri, candidate) is alias_on_vertex(fake, candidate) is None
    run(candidate, server_uri)
    assert shares(fake, candidate) == {"1": 100}


def test_a_registration_without_vertex_is_refused(candidate, sqlite_uri, fake, run):
    candidate.register(sqlite_uri)
    with pytest.raises(InputError, match="must name a version in Vertex AI's Model Registry") as refused:
        run(candidate)
    assert refused.value.hint == "Give register_model its options `vertex`."
    assert fake.calls == []


def test_a_registration_that_names_another_version_is_refused(released, next_one, fake, run, sqlite_uri):
    path = Path(next_one.registration.path)
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"vertex": value["vertex"].replace("@2", "@1")}))
    with pytest.raises(IntegrityError, match=rf"must have the label hallmark_digest {short(next_one.digest)}; got"):
        run(next_one)
    assert fake.endpoints == {}


def test_a_registration_that_names_no_version_is_refused(released, fake, run):
    path = Path(released.registration.path)
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"vertex": value["vertex"].replace("@1", "@7")}))
    with pytest.raises(ServiceError, match=r"must show projects/.*@7; it answered NOT_FOUND: The Model"):
        run(released)


def test_a_package_that_was_changed_is_refused(released, fake, run):
    objects = fake.storage.buckets["models"]
    objects[next(name for name in objects if name.endswith("weights.txt"))] = b"9"
    with pytest.raises(IntegrityError, match=r"these files differ: data/weights\.txt"):
        run(released)
    assert fake.endpoints == {}


def test_a_version_with_labels_and_another_package_is_refused(released, next_one, fake, run):
    first, second = fake.models[resource_id(released.name)].values()
    second.artifact_uri = first.artifact_uri
    with pytest.raises(IntegrityError, match=r"The package 'gs://models/.*' must be of income-\w+ 2, sha256:"):
        run(next_one)


def test_something_that_changed_the_endpoint_in_between_is_told(released, next_one, fake, run):
    run(released)
    run(next_one)
    fake.fail("UpdateEndpoint", "ABORTED", "The etag is not the latest.")
    with pytest.raises(ServiceError, match="it answered ABORTED") as told:
        run(released)
    assert told.value.hint == "Something else changed it at the same time; run it again."
    assert shares(fake, released) == {"1": None, "2": 100}


def test_a_canary_where_nothing_serves_is_refused_before_anything_is_made(released, next_one, fake, run):
    fake.calls.clear()
    nothing = r"deployment\['traffic'\] must be 100 where nothing else serves; got 10"
    with pytest.raises(InputError, match=nothing):
        run(released, traffic=10)
    assert (fake.changes(), fake.endpoints) == ([], {})
    run(released)
    endpoint(fake, released).traffic_split = {}
    fake.calls.clear()
    with pytest.raises(InputError, match=nothing):
        run(next_one, traffic=10)
    assert fake.changes() == []


BAD = {
    "an unknown option": ({"replicas": 2}, "must hold options that there are; got 'replicas'"),
    "no traffic": ({"traffic": 0}, r"deployment\['traffic'\] must be 1 to 100 percent; got 0"),
    "more than all": ({"traffic": 101}, r"deployment\['traffic'\] must be 1 to 100 percent; got 101"),
    "half a percent": ({"traffic": 0.5}, r"deployment\['traffic'\] must be a whole number; got 0\.5"),
    "no replicas": ({"min_replicas": 0}, r"must be 1 to max_replicas, 1; got 0"),
    "more at least than at most": ({"min_replicas": 3, "max_replicas": 2}, r"must be 1 to max_replicas, 2; got 3"),
    "no accelerators": ({"accelerator_count": 0}, r"deployment\['accelerator_count'\] must be at least 1; got 0"),
    "accelerators of no type": ({"accelerator_count": 4}, "must be with an accelerator_type; got 4 alone"),
    "an unknown accelerator": (
        {"accelerator_type": "NVIDIA_TESLA_T5"},
        "must be one that Vertex AI has; got 'NVIDIA_TES",
    ),
    "no time": ({"max_seconds": 0}, r"deployment\['max_seconds'\] must be above 0 and finite; got 0"),
    "endless": ({"max_seconds": float("inf")}, "must be above 0 and finite; got inf"),
    "fewer than none": ({"keep": -1}, r"deployment\['keep'\] must be at least 0; got -1"),
    "an endpoint of capitals": ({"endpoint": "Loans"}, "must be an endpoint's id: .*; got 'Loans'"),
    "a label of ours": ({"labels": {"hallmark_name": "x"}}, "must not begin with hallmark_"),
}


@pytest.mark.parametrize("name", BAD)
def test_options_that_cannot_be_used_are_refused_before_anything_is_sent(released, fake, run, name):
    change, message = BAD[name]
    fake.calls.clear()
    with pytest.raises(InputError, match=message):
        run(released, **change)
    assert fake.calls == []


def test_a_serving_folder_is_refused(released, fake, run, tmp_path):
    with pytest.raises(InputError, match="serving_dir must be left out for the target vertex"):
        run(released, serving_dir=str(tmp_path))


def test_an_alias_that_vertex_does_not_take_is_refused(released, fake, run):
    fake.calls.clear()
    with pytest.raises(InputError, match="alias must be 2 to 128 letters"):
        run(released, alias="Champion_2")
    assert fake.calls == []


@pytest.mark.parametrize(
    ("split", "share", "wanted"),
    [
        ({}, 100, {"n": 100}),
        ({"a": 100}, 10, {"n": 10, "a": 90}),
        ({"a": 100}, 100, {"n": 100}),
        ({"a": 90, "n": 10}, 30, {"n": 30, "a": 70}),
        ({"a": 67, "b": 33}, 10, {"n": 10, "a": 60, "b": 30}),
        ({"a": 50, "b": 50}, 1, {"n": 1, "a": 50, "b": 49}),
        ({"a": 0, "b": 100}, 25, {"n": 25, "b": 75}),
    ],
)
def test_shares(split, share, wanted):
    assert shared(split, "n", share) == wanted


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100), min_size=1),
    st.integers(1, 100),
)
def test_shares_add_up_and_keep_their_order(split, share):
    found = shared(split, "n", share)
    assert sum(found.values()) == 100
    assert found["n"] == share
    assert all(part >= 0 for part in found.values())
    total = sum(split.values())
    for key, part in found.items():
        if key != "n":
            assert abs(part - split[key] * (100 - share) / total) < 1
