import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.components.release.deploy_model.deploy import deploy
from kfp_hallmark.components.release.deploy_model.inference_service import holds
from kfp_hallmark.contracts.digest import Manifest, short
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, ServiceError
from kfp_hallmark.package import verify_package
from kfp_hallmark.tracking import client
from kfp_hallmark.vertex import resource_id

IMAGE = f"registry.example.com/hallmark/serve@sha256:{'5' * 64}"
MODES = ["Knative", "Standard"]
MANIFESTS = Path(__file__).resolve().parents[4] / "manifests" / "kubeflow"


@pytest.fixture
def released(candidate, sqlite_uri):
    candidate.register(sqlite_uri)
    return candidate


@pytest.fixture
def next_one(another, released, sqlite_uri):
    """The next version of it."""
    another.register(sqlite_uri)
    return another


@pytest.fixture
def options(cluster, tmp_path):
    """What every deployment here says: packages go to a claim that is mounted in this step."""
    return {
        "storage_uri": "pvc://models/served",
        "mount_path": str(tmp_path / "claim"),
        "serving_image": IMAGE,
        "namespace": "models",
        "max_seconds": 30,
    }


@pytest.fixture
def run(options, sqlite_uri):
    """Deploy a candidate to KServe."""

    def run(candidate, uri=sqlite_uri, alias="champion", serving_dir=None, **deployment):
        artifacts = (candidate.model, candidate.decision, candidate.registration, candidate.release)
        return deploy(*artifacts, "kserve", {**options, **deployment}, serving_dir, alias, uri)

    return run


@pytest.fixture(params=MODES)
def either(request, cluster, models):
    """The cluster in each mode in turn."""
    cluster.install(mode=request.param, models=models)
    return cluster


def service(candidate):
    return resource_id(candidate.name)


def champion(uri, candidate):
    found = client(uri).get_registered_model(candidate.name).aliases.get("champion")
    return None if found is None else str(found)


def previous(candidate):
    return (Release.read(candidate.release.path).previous or {}).get("version")


def test_the_first_version_gets_a_service_and_every_request(released, either, run, sqlite_uri, options):
    (uri,) = run(
        released,
        service_account="models",
        pull_secret="registry",
        min_replicas=2,
        max_replicas=5,
        cpu_request="250m",
        memory_limit="4Gi",
        labels={"team": "risk"},
    )
    found = either.service(service(released))
    assert uri == f"{found['status']['url']}/v1/models/{released.name}:predict"
    assert found["metadata"]["annotations"]["io.hallmark/name"] == released.name
    assert found["metadata"]["labels"] == {"team": "risk"}
    predictor = found["spec"]["predictor"]
    assert predictor["serviceAccountName"] == "models"
    assert predictor["imagePullSecrets"] == [{"name": "registry"}]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 5)
    assert predictor["labels"] == {"io.hallmark/version": "1", "io.hallmark/digest": short(released.digest)}
    told = json.loads(predictor["annotations"]["io.hallmark/release"])
    assert (told["version"], told["digest"]) == ("1", released.digest)
    (container,) = predictor["containers"]
    assert container["image"] == IMAGE
    assert container["resources"] == {
        "requests": {"cpu": "250m", "memory": "1Gi"},
        "limits": {"cpu": "1", "memory": "4Gi"},
    }
    (variable,) = container["env"]
    assert variable["name"] == "STORAGE_URI"
    package = variable["value"].replace("pvc://models", f"file://{options['mount_path']}")
    assert package.startswith(f"file://{options['mount_path']}/served/{released.name}/1-")
    release = Release.read(released.release.path)
    assert (release.version, release.model.digest, release.previous) == ("1", released.digest, None)
    assert Release.read(f"{package.removeprefix('file://')}/release.json").reference == release.reference
    assert either.share(service(released)) == {"1": 100}
    assert champion(sqlite_uri, released) == "1"
    assert released.release.metadata["uri"] == uri


def test_manifests_hold_what_the_published_package_knows(released, next_one, either, run, models):
    run(released, service_account="models", pull_secret="registry", labels={"team": "risk"})
    run(next_one, traffic=25)
    found = either.service(service(released))
    assert models.unknown(found | {"status": {}}) == []
    assert models.unknown({**found, "spec": {"predictor": {"containerz": []}}, "status": {}}) == [
        "spec.predictor.containerz"
    ]


def test_the_next_version_takes_over(released, next_one, either, run, sqlite_uri):
    run(released)
    run(next_one)
    assert either.share(service(released)) == {"2": 100}
    assert champion(sqlite_uri, released) == "2"
    assert previous(next_one) == "1"
    assert either.changes() == ["create inferenceservices", "update inferenceservices"]


def test_a_canary_gets_its_share_and_is_not_the_champion_until_it_is_promoted(
    released, next_one, either, run, sqlite_uri
):
    run(released, max_replicas=4)
    run(next_one, traffic=10)
    assert either.share(service(released)) == {"1": 90, "2": 10}
    assert champion(sqlite_uri, released) == "1"
    assert previous(next_one) == "1"
    assert Release.read(next_one.release.path).traffic == next_one.release.metadata["traffic"] == 10
    either.calls.clear()
    run(next_one, traffic=10.0)
    assert either.changes() == []
    run(next_one, traffic=30)
    assert either.share(service(released)) == {"1": 70, "2": 30}
    run(next_one)
    assert either.share(service(released)) == {"2": 100}
    assert champion(sqlite_uri, released) == "2"
    assert previous(next_one) == "1"
    assert Release.read(next_one.release.path).traffic == next_one.release.metadata["traffic"] == 100
    found = either.service(service(released))["spec"]
    assert "canary" not in found
    assert "canaryTrafficPercent" not in found["predictor"]


def test_on_knative_a_promotion_starts_nothing_anew(released, next_one, cluster, run):
    run(released)
    run(next_one, traffic=10)
    run(next_one)
    assert sum(key[0] == "revisions" for key in cluster.objects) == 2


def test_a_canary_that_disappoints_is_taken_back(released, next_one, either, run, sqlite_uri):
    run(released)
    run(next_one, traffic=10)
    run(released)
    assert either.share(service(released)) == {"1": 100}
    assert champion(sqlite_uri, released) == "1"
    assert previous(released) is None
    assert "canary" not in either.service(service(released))["spec"]


def test_deploying_the_former_version_again_rolls_back(released, next_one, either, run, sqlite_uri):
    run(released)
    run(next_one)
    either.calls.clear()
    run(released)
    assert either.share(service(released)) == {"1": 100}
    assert either.changes() == ["update inferenceservices"]
    assert champion(sqlite_uri, released) == "1"
    assert previous(released) == "2"


def test_a_third_version_can_be_the_canary_in_place_of_the_second(released, next_one, either, run, sqlite_uri):
    run(released)
    run(next_one, traffic=10)
    released.decide("fairness_gate")
    released.register(sqlite_uri)
    run(released, traffic=20, cpu_request="100m")
    assert sum(either.share(service(released)).values()) == 100
    assert champion(sqlite_uri, released) == "1"


def test_twice_changes_nothing(released, next_one, either, run):
    run(released)
    run(next_one)
    either.calls.clear()
    first = json.loads(Path(next_one.release.path).read_text())
    run(next_one)
    assert either.changes() == []
    second = json.loads(Path(next_one.release.path).read_text())
    assert {**first, "deployed": None} == {**second, "deployed": None}


def test_what_somebody_changed_by_hand_is_put_right(released, either, run):
    run(released)
    found = either.service(service(released))
    found["spec"]["predictor"]["containers"][0]["image"] = "registry.example.com/other:latest"
    run(released)
    assert found["spec"]["predictor"]["containers"][0]["image"] == IMAGE


def test_what_somebody_set_beside_the_predictor_stays(released, next_one, cluster, run):
    run(released)
    found = cluster.service(service(released))
    found["metadata"]["labels"]["owner"] = "me"
    found["spec"]["transformer"] = {"containers": [{"name": "kserve-container", "image": "shape@sha256:1"}]}
    run(next_one)
    assert cluster.service(service(released))["spec"]["transformer"]["containers"]
    assert found["metadata"]["labels"] == {"owner": "me"}


def test_other_options_are_applied_to_what_is_deployed(released, either, run):
    run(released, service_account="models")
    run(released)
    assert "serviceAccountName" not in either.service(service(released))["spec"]["predictor"]


def test_a_service_of_somebody_else_is_left_alone(released, either, run):
    run(released, service="loans")
    found = either.service("loans")
    found["metadata"]["annotations"]["io.hallmark/name"] = "loans"
    either.calls.clear()
    with pytest.raises(
        InputError, match=r"The InferenceService loans must have the annotation .*; got 'loans'"
    ) as told:
        run(released, service="loans")
    assert "kubectl annotate inferenceservice loans --namespace models --overwrite" in told.value.hint
    assert either.changes() == []


def test_a_long_name_asks_for_another_of_the_service(released, cluster, run, sqlite_uri):
    released.name = "Income of people who were asked in the survey of 2015"
    released.register(sqlite_uri)
    with pytest.raises(InputError, match=r"deployment\['service'\] must be at most 46 lowercase letters"):
        run(released)
    run(released, service="income")
    assert cluster.service("income")["metadata"]["annotations"]["io.hallmark/name"] == released.name


# Which mode, and what a cluster would ignore without a word.


@pytest.mark.parametrize(("legacy", "mode"), [("Serverless", "Knative"), ("RawDeployment", "Standard")])
def test_the_modes_former_names_are_understood(released, next_one, cluster, run, models, legacy, mode):
    cluster.install(mode=legacy, models=models)
    run(released)
    run(next_one, traffic=10)
    assert cluster.service(service(released))["status"]["deploymentMode"] == mode
    assert cluster.share(service(released)) == {"1": 90, "2": 10}


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_that_is_asked_for_is_set(released, next_one, cluster, run, models, mode):
    other = MODES[mode == "Knative"]
    cluster.install(mode=other, models=models)
    run(released, mode=mode)
    found = cluster.service(service(released))
    assert found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == mode
    run(next_one, traffic=10)
    assert found["status"]["deploymentMode"] == mode
    with pytest.raises(InputError, match=rf"deployment\['mode'\] must be {mode}, in which .* is served already"):
        run(next_one, mode=other)


def test_model_mesh_is_refused(released, cluster, run, models):
    cluster.install(mode="ModelMesh", models=models)
    with pytest.raises(InputError, match="must be served in the mode Knative or Standard; it would be in ModelMesh"):
        run(released)
    assert cluster.changes() == []


def test_scaling_to_zero_is_for_knative_alone(released, cluster, run, models):
    run(released, min_replicas=0)
    cluster.install(mode="Standard", models=models)
    cluster.objects = {key: value for key, value in cluster.objects.items() if key[0] == "configmaps"}
    with pytest.raises(InputError, match=r"deployment\['min_replicas'\] must be at least 1 in KServe's Standard mode"):
        run(released, min_replicas=0)


IGNORED = {
    "an older version": ({"version": "v0.19.0"}, "before KServe 0.20, which ignores canaries; got 10 on KServe 0.19"),
    "an Ingress": (
        {"gateway": False},
        "where ingress.enableGatewayApi is not true, for KServe then splits no requests",
    ),
    "no ingress": ({"disableIngressCreation": True}, "where ingress.disableIngressCreation is true"),
    "the cluster alone": ({"ingressDomain": "svc.cluster.local"}, "where services are local to the cluster"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_canary_that_would_be_ignored_is_refused(released, next_one, cluster, run, models, options, name):
    settings, message = IGNORED[name]
    cluster.install(mode="Standard", models=models, **settings)
    run(released)
    cluster.calls.clear()
    with pytest.raises(InputError, match=message):
        run(next_one, traffic=10)
    assert cluster.changes() == []
    assert len(list(Path(options["mount_path"], "served", released.name).iterdir())) == 1


@pytest.mark.parametrize("name", IGNORED)
def test_on_knative_none_of_that_matters(released, next_one, cluster, run, models, name):
    cluster.install(mode="Knative", models=models, **IGNORED[name][0])
    run(released)
    run(next_one, traffic=10)
    assert cluster.share(service(released)) == {"1": 90, "2": 10}


def test_a_definition_without_canaries_refuses_one(released, next_one, cluster, run, old_models, sqlite_uri):
    """Where the images' tags tell no version: the API server itself refuses what it does not know."""
    cluster.install(mode="Standard", version="mirrored", models=old_models, reads_canaries=False)
    run(released)
    with pytest.raises(ServiceError, match=r'the cluster answered 400: .* unknown field "spec\.canary"') as told:
        run(next_one, traffic=10)
    assert "a field that is unknown needs a newer KServe" in told.value.hint
    assert cluster.share(service(released)) == {"1": 100}
    run(next_one)
    assert champion(sqlite_uri, released) == "2"


def test_a_webhook_that_drops_a_canary_is_found_out(released, next_one, cluster, run):
    cluster.install(mode="Standard", version="mirrored", reads_canaries=False)
    run(released)
    cluster.drops_canaries = True
    with pytest.raises(ServiceError, match="it dropped fields that it does not know"):
        run(next_one, traffic=10)
    assert cluster.share(service(released)) == {"1": 100}


def test_a_controller_that_ignores_a_canary_is_found_out(released, next_one, cluster, run):
    """The definition keeps every field, and no tag tells the version."""
    cluster.install(mode="Standard", version="mirrored", reads_canaries=False)
    run(released)
    with pytest.raises(ServiceError, match=r"must serve models/income-.* within 0\.5 s; it did not"):
        run(next_one, traffic=10, max_seconds=0.5)
    assert "canary" not in cluster.service(service(released))["spec"]


def test_a_canary_where_nothing_serves_is_refused(released, next_one, either, run):
    message = r"deployment\['traffic'\] must be 100 where nothing else serves; got 10"
    with pytest.raises(InputError, match=message):
        run(released, traffic=10)
    run(released)
    message = r"deployment\['traffic'\] must be 100 for the version that leads; got 10"
    with pytest.raises(InputError, match=message):
        run(released, traffic=10)
    run(next_one, traffic=10)
    with pytest.raises(InputError, match=message) as refused:
        run(released, traffic=10)
    assert refused.value.hint == "To give a canary beside it more, deploy the canary with a greater traffic."
    assert either.share(service(released)) == {"1": 90, "2": 10}


# Faults.


def test_conflicts_are_resolved_anew(released, next_one, either, run):
    run(released)

    def label(isvc):
        isvc["metadata"]["labels"]["owner"] = "me"

    either.interfere(label, lambda isvc: None, lambda isvc: None, lambda isvc: None)
    run(next_one)
    assert either.share(service(released)) == {"2": 100}
    assert either.service(service(released))["metadata"]["labels"] == {"owner": "me"}
    assert either.changes() == ["create inferenceservices"] + ["update inferenceservices"] * 5


def test_conflicts_without_end_are_told(released, next_one, cluster, run, sqlite_uri):
    run(released)
    cluster.interfere(*[lambda isvc: None] * 5)
    with pytest.raises(ServiceError, match=r"the cluster answered 409: .* the object has been modified") as told:
        run(next_one)
    assert told.value.hint == "Something else changed it at the same time; run it again."
    assert cluster.changes().count("update inferenceservices") == 5
    assert champion(sqlite_uri, released) == "1"


def test_one_who_creates_it_first_is_not_overwritten(released, cluster, run):
    cluster.fail("create", "inferenceservices", 409, "it already exists", reason="AlreadyExists")
    run(released)
    assert cluster.share(service(released)) == {"1": 100}


REFUSALS = [
    ("get", "inferenceservices", 401, "Unauthorized", "Log in with kubectl"),
    ("get", "inferenceservices", 403, "forbidden", "manifests/kubeflow"),
    ("get", "configmaps", 403, "forbidden", "manifests/kubeflow"),
    ("get", "configmaps", 404, "not found", "that KServe is installed"),
    ("create", "inferenceservices", 403, "forbidden", "manifests/kubeflow"),
    ("create", "inferenceservices", 403, 'admission webhook "x" denied the request: no', "Correct the setting"),
    ("create", "inferenceservices", 422, "spec.predictor: Invalid value", "Correct the setting"),
    ("create", "inferenceservices", 500, "etcd leader changed", "Run it again: nothing is made twice"),
    ("get", "revisions", 403, "forbidden", "manifests/kubeflow"),
]


@pytest.mark.parametrize(("verb", "plural", "status", "message", "hint"), REFUSALS)
def test_what_is_refused_is_told_in_one_sentence(
    released, cluster, run, sqlite_uri, verb, plural, status, message, hint
):
    cluster.fail(verb, plural, status, message, times=2 if status == 500 else 1)
    with pytest.raises(ServiceError, match=r"^KServe must ") as told:
        run(released)
    assert told.value.message.endswith(f"; the cluster answered {status}: {message}.")
    assert hint in told.value.hint
    assert champion(sqlite_uri, released) is None
    assert not Path(released.release.path).exists()
    assert not any(key[0] == "inferenceservices" for key in cluster.objects)
    cluster.faults.clear()
    run(released)
    assert cluster.share(service(released)) == {"1": 100}


def test_a_cluster_without_kserve_is_told(released, cluster, run):
    cluster.reset()
    with pytest.raises(ServiceError, match="the cluster answered 404: 404 page not found") as told:
        run(released)
    assert "that KServe is installed" in told.value.hint


def test_a_namespace_that_is_not_there_is_told(released, cluster, run):
    with pytest.raises(ServiceError, match='the cluster answered 404: namespaces "nowhere" not found'):
        run(released, namespace="nowhere")


@pytest.mark.parametrize("data", [{}, {"deploy": "{"}, {"deploy": "{}", "ingress": "{}"}])
def test_settings_of_kserve_that_cannot_be_read_are_told(released, cluster, run, data):
    cluster.objects["configmaps", "kserve", "inferenceservice-config"]["data"] = data
    with pytest.raises(ServiceError, match="The ConfigMap inferenceservice-config must hold KServe's settings"):
        run(released)


def test_a_service_that_is_away_for_a_moment_is_asked_again(released, either, run):
    either.fail("get", "inferenceservices", 503, times=2)
    either.fail("get", "configmaps", None)
    run(released)
    assert either.share(service(released)) == {"1": 100}


def test_no_cluster_at_all_is_told(released, run, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ServiceError, match="there is no cluster to reach"):
        run(released)
    with pytest.raises(ServiceError, match="there is no cluster to reach"):
        run(released, context="other")


def test_a_pod_reaches_its_own_cluster_unless_a_context_is_named(released, run, cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "none"))
    with pytest.raises(ServiceError, match=r"there is no cluster to reach: Service token file does not exist"):
        run(released)
    run(released, context="main")
    assert cluster.share(service(released)) == {"1": 100}


def test_an_address_where_nobody_answers_is_told(released, run, cluster, tmp_path, monkeypatch):
    text = cluster.kubeconfig.read_text().replace("http://127.0.0.1:", "http://127.0.0.1:1#")
    (tmp_path / "kubeconfig").write_text(text)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    with pytest.raises(ServiceError, match=r"the cluster could not be reached: .*refused"):
        run(released, max_seconds=0.2)


FAILURE = {
    "Knative": "it failed: ExitCode1: Container failed with: The release was refused.",
    "Standard": "it failed: ModelLoadFailed: The release was refused.",
}


def test_a_model_that_does_not_start_leaves_what_served(released, next_one, either, run, sqlite_uri):
    run(released)
    either.crash("ExitCode1", "Container failed with: The release was\nrefused.")
    with pytest.raises(ServiceError) as told:
        run(next_one)
    mode = either.service(service(released))["status"]["deploymentMode"]
    assert told.value.message == f"KServe must serve models/{service(released)}; {FAILURE[mode]}"
    assert f"--selector serving.kserve.io/inferenceservice={service(released)}" in told.value.hint
    assert not Path(next_one.release.path).exists()
    either.crash(None, None)
    either.end()
    assert either.share(service(released)) == {"1": 100}
    assert champion(sqlite_uri, released) == "1"
    run(next_one)
    assert either.share(service(released)) == {"2": 100}


def test_a_canary_that_does_not_start_leaves_what_served(released, next_one, either, run):
    run(released)
    either.crash("ExitCode1", "Container failed.")
    with pytest.raises(ServiceError, match="it failed: "):
        run(next_one, traffic=50)
    either.crash(None, None)
    either.end()
    assert either.share(service(released)) == {"1": 100}


def test_a_first_model_that_does_not_start_leaves_nothing(released, either, run, sqlite_uri):
    either.crash("ImagePullBackOff", "Back-off pulling image")
    with pytest.raises(ServiceError, match="it failed: "):
        run(released)
    assert [key for key in either.objects if key[0] != "configmaps"] == []
    either.crash(None, None)
    run(released)
    assert champion(sqlite_uri, released) == "1"


def test_a_deployment_that_takes_too_long_is_told_and_taken_back(released, next_one, either, run, sqlite_uri):
    run(released)
    either.slow(math.inf)
    with pytest.raises(ServiceError, match=r"must serve models/income-.* within 0\.5 s; it did not: ") as told:
        run(next_one, max_seconds=0.5)
    assert told.value.hint == "If it takes so long, run it again with a greater max_seconds."
    assert champion(sqlite_uri, released) == "1"
    either.slow(0)
    run(next_one)
    assert either.share(service(released)) == {"2": 100}


def test_a_slow_deployment_is_waited_for(released, next_one, either, run, sqlite_uri):
    """KServe says Ready of the former version for as long."""
    run(released)
    either.slow(3)
    run(next_one)
    assert not either.under_way(service(released))
    assert either.share(service(released)) == {"2": 100}


def test_pods_that_nobody_can_reach_do_not_serve(released, next_one, either, run, sqlite_uri):
    run(released)
    either.unrouted = ("NotAccepted", "The Gateway is\nnot there.")
    with pytest.raises(
        ServiceError, match=r"it did not: IngressReady, NotAccepted: The Gateway is not there\."
    ) as told:
        run(next_one, max_seconds=0.5)
    assert "\n" not in told.value.message
    assert champion(sqlite_uri, released) == "1"


def test_one_who_changes_it_while_it_is_waited_for_is_not_overwritten(released, next_one, either, run):
    run(released)
    changed = []

    def meddle(key, isvc):
        isvc["spec"]["predictor"]["annotations"] = {"io.hallmark/manifest": "another"}
        changed.append(key)

    either.slow(math.inf)
    plan = either._plan
    either._plan = lambda key: (plan(key), either.todo[key].append(meddle))
    try:
        with pytest.raises(ServiceError, match="something else changed it"):
            run(next_one)
    finally:
        del either._plan
    assert len(changed) == 1
    found = either.service(service(released))["spec"]["predictor"]
    assert found["annotations"] == {"io.hallmark/manifest": "another"}


def test_a_lost_answer_to_the_first_makes_nothing_twice(released, either, run, sqlite_uri):
    either.fail("create", "inferenceservices", None, after=True)
    with pytest.raises(ServiceError, match="the cluster could not be reached"):
        run(released)
    assert champion(sqlite_uri, released) is None
    run(released)
    assert either.share(service(released)) == {"1": 100}


def test_a_lost_answer_to_a_change_is_found_to_have_been_made(released, next_one, either, run):
    """The client itself sends an update again, and that conflicts with the first."""
    run(released)
    either.fail("update", "inferenceservices", None, after=True)
    run(next_one)
    assert either.share(service(released)) == {"2": 100}
    either.fail("update", "inferenceservices", None, after=True)
    either.crash("ExitCode1", "Container failed.")
    with pytest.raises(ServiceError, match="it failed: "):
        run(released, cpu_request="100m")
    either.crash(None, None)
    either.end()
    assert either.share(service(released)) == {"2": 100}


@pytest.mark.parametrize(
    ("mode", "verb", "ends"),
    [
        ("Knative", "create", False),
        ("Knative", "update", True),
        ("Standard", "create", True),
        ("Standard", "update", False),
    ],
)
def test_killed_in_the_middle_the_next_run_completes_it(
    released, next_one, cluster, models, run, options, sqlite_uri, mode, verb, ends
):
    cluster.install(mode=mode, models=models)
    either, one = cluster, released
    if verb == "update":
        run(released)
        one = next_one
    arrived = either.arrival(f"{verb} inferenceservices")
    gate = either.hold(f"{verb} inferenceservices")
    paths = [one.model.path, one.decision.path, one.registration.path, one.release.path]
    code = (
        "import json, sys; from kfp import dsl\n"
        "from kfp_hallmark.components.release.deploy_model.deploy import deploy\n"
        "*paths, options, uri = json.loads(sys.argv[1])\n"
        "deploy(*[dsl.Artifact(uri=path) for path in paths], 'kserve', options, None, 'champion', uri)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps([*paths, options, sqlite_uri])])
    assert arrived.wait(timeout=120)
    process.kill()
    process.wait(timeout=30)
    gate.set()
    if ends:
        either.end()
    run(one)
    version = "1" if one is released else "2"
    assert either.share(service(one)) == {version: 100}
    assert champion(sqlite_uri, one) == version
    assert previous(one) == (None if one is released else "1")
    assert either.changes().count(f"{verb} inferenceservices") == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("former", [False, True], ids=["first", "next"])
def test_a_connection_lost_at_any_request_is_made_good_by_the_next_run(
    released, next_one, either, run, sqlite_uri, former, after
):
    """So often that the client, which sends again what can be sent twice, gives up."""

    def begin():
        for key in [key for key in either.objects if key[0] != "configmaps"]:
            del either.objects[key]
        if champion(sqlite_uri, released):
            client(sqlite_uri).delete_registered_model_alias(released.name, "champion")
        if former:
            run(released)
        either.calls.clear()

    begin()
    run(next_one)
    requests = list(either.calls)
    assert ("update inferenceservices" if former else "create inferenceservices") in requests
    for number, request in enumerate(requests):
        begin()
        either.cut(number, after, times=4)
        try:
            run(next_one)
        except ServiceError as error:
            assert error.hint, request
        either.end()
        if version := champion(sqlite_uri, released):
            assert either.share(service(released)) == {version: 100}, request
        run(next_one)
        either.cuts.clear()
        assert either.share(service(released)) == {"2": 100}, request
        assert champion(sqlite_uri, released) == "2"
        assert previous(next_one) == ("1" if former else None)


def test_an_alias_that_cannot_be_moved_leaves_the_former_version_serving(
    road, server_uri, candidate, another, either, run
):
    for one in (candidate, another):
        one.register(server_uri)
    run(candidate, server_uri)
    road.refuse = lambda request, before: request.endswith("registered-models/alias")
    with pytest.raises(MissingInputError, match="The road is closed"):
        run(another, road.uri)
    either.end()
    assert either.share(service(candidate)) == {"1": 100}
    assert champion(server_uri, candidate) == "1"
    assert not Path(another.release.path).exists()
    run(another, server_uri)
    assert either.share(service(candidate)) == {"2": 100}


def test_an_alias_that_cannot_be_moved_leaves_nothing_serving_when_nothing_did(
    road, server_uri, candidate, either, run
):
    candidate.register(server_uri)
    road.refuse = lambda request, before: request.endswith("registered-models/alias")
    with pytest.raises(MissingInputError, match="The road is closed"):
        run(candidate, road.uri)
    assert [key for key in either.objects if key[0] != "configmaps"] == []
    assert champion(server_uri, candidate) is None


def test_a_package_that_was_changed_is_refused(released, cluster, run, options):
    run(released)
    (weights,) = Path(options["mount_path"]).rglob("weights.txt")
    weights.write_text("9")
    with pytest.raises(IntegrityError, match=r"these files differ: data/weights\.txt"):
        run(released)


# For GitOps.


def test_the_manifest_is_written_and_nothing_is_sent(released, cluster, run, tmp_path, models, sqlite_uri, options):
    (uri,) = run(released, manifest_dir=str(tmp_path / "git"))
    file = tmp_path / "git" / f"{service(released)}.yaml"
    assert uri == file.as_uri()
    assert cluster.calls == []
    assert champion(sqlite_uri, released) is None
    found = yaml.safe_load(file.read_text())
    assert models.unknown(found) == []
    (variable,) = found["spec"]["predictor"]["containers"][0]["env"]
    release = Release.read(released.release.path)
    package = variable["value"].replace("pvc://models", f"file://{options['mount_path']}")
    verify_package(package, release, Manifest.of(released.decision.path))


@pytest.mark.parametrize("mode", MODES)
def test_a_canarys_manifest_follows_from_the_one_that_is_there(
    released, next_one, cluster, run, tmp_path, models, mode
):
    git = {"manifest_dir": str(tmp_path / "git"), "mode": mode}
    with pytest.raises(InputError, match="must be 100 where nothing else serves"):
        run(released, traffic=10, **git)
    run(released, **git)
    run(next_one, traffic=10, **git)
    (file,) = (tmp_path / "git").iterdir()
    found = yaml.safe_load(file.read_text())
    assert models.unknown(found) == []
    assert previous(next_one) == "1"
    predictor = found["spec"]["predictor"]
    if mode == "Knative":
        assert predictor["canaryTrafficPercent"] == 10
        assert predictor["labels"]["io.hallmark/version"] == "2"
    else:
        assert predictor["labels"]["io.hallmark/version"] == "1"
        assert found["spec"]["canary"][0]["trafficPercent"] == 10
    run(next_one, **git)
    found = yaml.safe_load(file.read_text())["spec"]
    assert "canary" not in found
    assert found["predictor"]["labels"]["io.hallmark/version"] == "2"


def test_once_the_manifest_is_applied_the_same_makes_it_the_champion(released, either, run, tmp_path, sqlite_uri):
    from kubernetes import client as kubernetes
    from kubernetes import config

    run(released, manifest_dir=str(tmp_path / "git"))
    (file,) = (tmp_path / "git").iterdir()
    configuration = kubernetes.Configuration()
    config.load_kube_config(client_configuration=configuration)
    api = kubernetes.CustomObjectsApi(kubernetes.ApiClient(configuration))
    manifest = yaml.safe_load(file.read_text())
    api.create_namespaced_custom_object("serving.kserve.io", "v1beta1", "models", "inferenceservices", manifest)
    either.calls.clear()
    run(released)
    assert either.changes() == []
    assert champion(sqlite_uri, released) == "1"


@pytest.mark.parametrize("text", ["", "- 1", "kind: Deployment", "{", "kind: InferenceService\nmetadata: {}"])
def test_a_file_that_is_no_such_manifest_is_left_alone(released, run, tmp_path, text):
    file = tmp_path / "git" / f"{service(released)}.yaml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(InputError, match="must be the manifest of an InferenceService; it is not"):
        run(released, manifest_dir=str(tmp_path / "git"))
    assert file.read_text() == text


# Settings.

BAD = {
    "an unknown option": ({"replicas": 2}, "must hold options that there are; got 'replicas'"),
    "no storage": ({"storage_uri": "models"}, r"must be as gs://bucket/folder, s3://bucket/folder or pvc://claim"),
    "storage of another kind": ({"storage_uri": "https://example.com/a"}, "must be as gs://bucket/folder"),
    "a claim that is not mounted": ({"mount_path": None}, "must say where the claim is mounted in this step; got none"),
    "a relative mount": ({"mount_path": "claim"}, r"deployment\['mount_path'\] must be an absolute path"),
    "a mount of no claim": ({"storage_uri": "gs://models/a"}, "must be left out unless storage_uri is a pvc://"),
    "an image by its tag": ({"serving_image": "registry/serve:1.0"}, "must name an image by its digest"),
    "a namespace of capitals": ({"namespace": "Models"}, r"deployment\['namespace'\] must be a Kubernetes namespace"),
    "another namespace of KServe": ({"kserve_namespace": ""}, r"deployment\['kserve_namespace'\] must be"),
    "a service of capitals": ({"service": "Income"}, r"deployment\['service'\] must be at most 46 lowercase"),
    "a service that is too long": ({"service": "a" * 47}, r"deployment\['service'\] must be at most 46 lowercase"),
    "no traffic": ({"traffic": 0}, r"deployment\['traffic'\] must be 1 to 100 percent; got 0"),
    "more than all": ({"traffic": 101}, r"deployment\['traffic'\] must be 1 to 100 percent; got 101"),
    "half a percent": ({"traffic": 0.5}, r"deployment\['traffic'\] must be a whole number; got 0\.5"),
    "an unknown mode": ({"mode": "Serverless"}, r"deployment\['mode'\] must be one of Knative, Standard"),
    "fewer than no replicas": ({"min_replicas": -1}, r"must be 0 to max_replicas, 1; got -1"),
    "more at least than at most": ({"min_replicas": 3, "max_replicas": 2}, r"must be 0 to max_replicas, 2; got 3"),
    "no replicas at most": ({"min_replicas": 0, "max_replicas": 0}, r"'max_replicas'\] must be at least 1; got 0"),
    "no replicas in Standard": (
        {"min_replicas": 0, "mode": "Standard"},
        "must be at least 1 in KServe's Standard mode",
    ),
    "an account of capitals": ({"service_account": "Models"}, r"deployment\['service_account'\] must be the name of"),
    "a secret of capitals": ({"pull_secret": "Registry"}, r"deployment\['pull_secret'\] must be the name of"),
    "no processors": ({"cpu_limit": "0"}, r"deployment\['cpu_limit'\] must be a quantity of processors above 0"),
    "memory in words": ({"memory_limit": "much"}, r"deployment\['memory_limit'\] must be a quantity of memory"),
    "more reserved than allowed": ({"memory_request": "3Gi"}, "memory_request.* must be at most memory_limit, '2Gi'"),
    "more processors than allowed": ({"cpu_request": "1500m"}, "cpu_request.* must be at most cpu_limit, '1'"),
    "a label that is none": ({"labels": {"team": "a b"}}, "must be a label's value"),
    "a label of ours": ({"labels": {"io.hallmark/version": "7"}}, "must be none of Hallmark's, KServe's and Knative's"),
    "a label of KServe": (
        {"labels": {"networking.kserve.io/visibility": "cluster-local"}},
        "must be none of Hallmark's, KServe's and Knative's",
    ),
    "no number of seconds": ({"max_seconds": float("nan")}, "must be above 0 and finite; got nan"),
    "no time": ({"max_seconds": 0}, r"deployment\['max_seconds'\] must be above 0 and finite; got 0"),
    "a bucket for manifests": ({"manifest_dir": "gs://models"}, r"deployment\['manifest_dir'\] must be a folder here"),
    "a canary's manifest for no mode": (
        {"manifest_dir": "git", "traffic": 10},
        r"deployment\['mode'\] must be given for the manifest of a canary",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_options_that_cannot_be_used_are_refused_before_anything_is_sent(candidate, cluster, run, options, name):
    change, message = BAD[name]
    with pytest.raises(InputError, match=message):
        run(candidate, **change)
    assert cluster.calls == []
    assert not Path(options["mount_path"]).exists()


@pytest.mark.parametrize("name", ["storage_uri", "serving_image", "namespace"])
def test_what_has_no_default_must_be_given(candidate, run, options, name):
    del options[name]
    with pytest.raises(InputError, match=f"deployment must hold every required option; missing: {name}"):
        run(candidate)


def test_a_serving_folder_is_refused(candidate, run, tmp_path):
    with pytest.raises(InputError, match="serving_dir must be left out for the target kserve"):
        run(candidate, serving_dir=str(tmp_path))


VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(VALUES, st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_an_object_holds_itself_whatever_is_added(value, added):
    assert holds(value, value)
    if isinstance(value, dict):
        assert holds({**added, **value}, value)
        missing = {key: value[key] for key in list(value)[1:]}
        assert holds(missing, value) == (not value)


def test_the_roles_that_are_published_are_those_that_are_used(candidate, another, either, run, sqlite_uri, road):
    """Everything that deploy_model does to a cluster, as an account with these rights and no others."""
    rights = set()
    for file in ("deployer.yaml", "kserve/reader.yaml"):
        for entry in yaml.safe_load_all((MANIFESTS / file).read_text()):
            if entry["kind"] == "Role":
                space = entry["metadata"]["namespace"].replace("hallmark", "models")
                for rule in entry["rules"]:
                    (group,), (plural,) = rule["apiGroups"], rule["resources"]
                    names = rule.get("resourceNames", [None])
                    rights |= {(verb, group, plural, space, name) for verb in rule["verbs"] for name in names}
    either.rights = rights
    for one in (candidate, another):
        one.register(sqlite_uri)
    either.crash("ExitCode1", "Container failed.")
    with pytest.raises(ServiceError, match="it failed: "):
        run(candidate)
    either.crash(None, None)
    run(candidate)
    run(another, traffic=10)
    run(another)
    run(candidate)
    workload = (
        "revisions" if either.service(service(candidate))["status"]["deploymentMode"] == "Knative" else "deployments"
    )
    used = {(*right[:4], right[4] if right[2] == "configmaps" else None) for right in either.used}
    assert used == {right for right in rights if right[2] in ("inferenceservices", "configmaps", workload)}


@pytest.mark.parametrize("right", ["get configmaps", "create inferenceservices", "get revisions"])
def test_a_right_that_is_missing_is_told(released, cluster, run, right):
    verb, plural = right.split()
    everything = [("configmaps", "", "kserve"), ("inferenceservices", "serving.kserve.io", "models")]
    everything.append(("revisions", "serving.knative.dev", "models"))
    cluster.rights = {
        (given, group, kind, space, None)
        for kind, group, space in everything
        for given in ("get", "create", "update", "delete")
        if (given, kind) != (verb, plural)
    }
    with pytest.raises(ServiceError, match=rf"is forbidden: User .* cannot {verb} resource \"{plural}\"") as told:
        run(released)
    assert told.value.hint.startswith("Bind the Roles of manifests/kubeflow to the account that runs this")


def test_a_mode_that_the_cluster_does_not_know_is_found_out(released, cluster, run, monkeypatch, sqlite_uri):
    monkeypatch.setattr(cluster, "_mode", lambda isvc: "Knative")
    with pytest.raises(ServiceError, match=r"it failed: KServe serves it in the mode Knative\."):
        run(released, mode="Standard")
    assert champion(sqlite_uri, released) is None
    assert [key for key in cluster.objects if key[0] == "inferenceservices"] == []
