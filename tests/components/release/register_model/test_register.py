import json
import subprocess
import sys
from pathlib import Path

import pytest

from kfp_hallmark.contracts.digest import Manifest, artifact_digest, short
from kfp_hallmark.contracts.registration import Registration
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, ReleaseRefused
from kfp_hallmark.tracking import client, experiment

GATES = ("validate_dataset", "performance_gate", "fairness_gate")


def versions(registry, name):
    return sorted(registry.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))


def challenger(registry, candidate):
    return str(registry.get_model_version_by_alias(candidate.name, "challenger").version)


def expected_tags(candidate):
    return {
        "hallmark.digest": candidate.digest,
        "hallmark.experiment_hash": "sha256:" + "e" * 64,
        "hallmark.dataset": "sha256:" + "2" * 64,
        "hallmark.sources": "sha256:" + "1" * 64,
        "hallmark.decision": "release",
        "hallmark.decision_digest": artifact_digest(candidate.decision.path),
        **{f"hallmark.verdict.{gate}": "pass" for gate in GATES},
    }


def assert_whole(registry, candidate, version):
    """Assert that a version has every tag, and that its files and its evidence are what was decided on."""
    from mlflow.artifacts import download_artifacts

    assert version.tags == expected_tags(candidate)
    source = registry.get_model_version_download_uri(candidate.name, version.version)
    files = Manifest.of(download_artifacts(artifact_uri=source, tracking_uri=registry.tracking_uri)).files
    assert files == Manifest.of(candidate.model.path).files
    decision = artifact_digest(candidate.decision.path)
    place = f"hallmark/{short(candidate.digest)}/decisions/{short(decision)}"
    assert artifact_digest(registry.download_artifacts(version.run_id, place)) == decision


def test_a_released_model_becomes_a_version_with_its_evidence(registry, uri, candidate):
    assert candidate.register(uri) == ("1", f"models:/{candidate.name}/1")
    (version,) = versions(registry, candidate.name)
    assert_whole(registry, candidate, version)
    assert challenger(registry, candidate) == "1"
    assert registry.get_run(version.run_id).info.status == "FINISHED"
    found = Registration.read(candidate.registration.path)
    assert (found.name, found.version, found.digest) == (candidate.name, "1", candidate.digest)
    assert found.run_id == version.run_id
    assert candidate.registration.metadata == {
        "name": candidate.name,
        "version": "1",
        "uri": f"models:/{candidate.name}/1",
        "digest": candidate.digest,
    }


def test_the_same_model_twice_is_one_version(registry, uri, candidate):
    first = candidate.register(uri)
    before = versions(registry, candidate.name)
    assert candidate.register(uri, alias="second-look") == first
    assert [version.version for version in versions(registry, candidate.name)] == [before[0].version]
    assert set(registry.get_registered_model(candidate.name).aliases) == {"challenger", "second-look"}


def test_of_two_versions_of_one_model_the_first_is_used(sqlite_uri, candidate):
    registry = client(sqlite_uri)
    candidate.register(sqlite_uri)
    (first,) = versions(registry, candidate.name)
    registry.create_model_version(candidate.name, first.source, first.run_id, first.tags)
    assert candidate.register(sqlite_uri, alias="second-look")[0] == "1"


def test_another_model_is_another_version_and_takes_the_alias(registry, uri, candidate, another):
    candidate.register(uri)
    assert another.register(uri)[0] == "2"
    assert challenger(registry, candidate) == "2"
    assert candidate.register(uri)[0] == "1"
    assert challenger(registry, candidate) == "1"
    assert len(versions(registry, candidate.name)) == 2


def test_a_newer_decision_on_the_same_model_renews_the_evidence(registry, uri, candidate, write_verdict, tmp_path):
    candidate.verdicts["privacy_gate"] = write_verdict(tmp_path / "p.json", "privacy_gate", candidate.about)
    candidate.decide()
    candidate.register(uri)
    former = expected_tags(candidate)["hallmark.decision_digest"]
    del candidate.verdicts["privacy_gate"]
    candidate.decide()
    candidate.register(uri)
    (version,) = versions(registry, candidate.name)
    assert_whole(registry, candidate, version)
    kept = f"hallmark/{short(candidate.digest)}/decisions/{short(former)}"
    assert artifact_digest(registry.download_artifacts(version.run_id, kept)) == former


def test_the_run_that_trained_the_model_holds_it(registry, uri, candidate):
    run = registry.create_run(experiment(registry, "training"))
    candidate.model.metadata["run_id"] = run.info.run_id
    candidate.register(uri)
    assert versions(registry, candidate.name)[0].run_id == run.info.run_id
    assert registry.get_run(run.info.run_id).info.status == "RUNNING"


@pytest.mark.parametrize("run_id", ["0" * 32, "projects/p/locations/l/pipelineJobs/7", "deleted"])
def test_a_run_that_is_not_in_the_store_is_replaced(registry, uri, candidate, run_id):
    if run_id == "deleted":
        run_id = registry.create_run(experiment(registry, "training")).info.run_id
        registry.delete_run(run_id)
    candidate.model.metadata["run_id"] = run_id
    candidate.register(uri)
    (version,) = versions(registry, candidate.name)
    assert version.run_id != run_id
    assert registry.get_run(version.run_id).info.run_name == candidate.name
    assert_whole(registry, candidate, version)


def test_a_version_of_somebody_else_is_left_alone(registry, uri, candidate):
    run = registry.create_run(experiment(registry, "training"))
    registry.create_registered_model(candidate.name)
    registry.create_model_version(candidate.name, f"{run.info.artifact_uri}/model", run.info.run_id)
    assert candidate.register(uri)[0] == "2"


def test_a_version_that_bears_the_digest_but_other_files_is_refused(registry, uri, candidate, another):
    run = registry.create_run(experiment(registry, "training"))
    registry.log_artifacts(run.info.run_id, another.model.path, "model")
    registry.create_registered_model(candidate.name)
    tags = {"hallmark.digest": candidate.digest}
    registry.create_model_version(candidate.name, f"{run.info.artifact_uri}/model", run.info.run_id, tags)
    with pytest.raises(IntegrityError, match=r"must be the model that was decided on, sha256:\w+; they are not"):
        candidate.register(uri)
    assert "challenger" not in registry.get_registered_model(candidate.name).aliases
    assert versions(registry, candidate.name)[0].tags == tags


def test_a_file_more_where_the_model_is_uploaded_is_refused(registry, uri, candidate, tmp_path):
    run = registry.create_run(experiment(registry, "training"))
    candidate.model.metadata["run_id"] = run.info.run_id
    (tmp_path / "sitecustomize.py").touch()
    place = f"hallmark/{short(candidate.digest)}/model/code"
    registry.log_artifact(run.info.run_id, str(tmp_path / "sitecustomize.py"), place)
    refused(candidate, uri, IntegrityError, "must be the model that was decided on")


def refused(candidate, uri, error, message):
    with pytest.raises(error, match=message):
        candidate.register(uri)
    assert versions(client(uri), candidate.name) == []
    assert not Path(candidate.registration.path).exists()


def test_a_decision_to_halt_is_refused(sqlite_uri, candidate, write_verdict):
    write_verdict(candidate.verdicts["fairness_gate"], "fairness_gate", candidate.about, "fail")
    candidate.decide()
    refused(candidate, sqlite_uri, ReleaseRefused, "it has one to halt: fairness_gate: fail")


def test_a_tampered_model_is_refused(sqlite_uri, candidate):
    Path(candidate.model.path, "data", "weights.txt").write_text("9")
    refused(candidate, sqlite_uri, IntegrityError, "must be the one that was decided on")


def test_tampered_evidence_is_refused(sqlite_uri, candidate):
    Path(candidate.decision.path, "evidence", "fairness_gate.json").unlink()
    del candidate.decision.metadata["digest"]
    refused(candidate, sqlite_uri, IntegrityError, "these files are not: evidence/fairness_gate.json")


def test_a_decision_other_than_the_one_that_was_handed_on_is_refused(sqlite_uri, candidate):
    handed_on = candidate.decision.metadata["digest"]
    candidate.decide("fairness_gate")
    candidate.decision.metadata["digest"] = handed_on
    refused(candidate, sqlite_uri, IntegrityError, "The decision must be the one that was made")


def test_a_verdict_for_another_model_is_refused(sqlite_uri, candidate, another):
    candidate.decision = another.decision
    refused(candidate, sqlite_uri, IntegrityError, "must be the one that was decided on")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "..", ".hidden", "a'b", "a\n", "a" * 101, "ä", None])
def test_a_name_that_cannot_be_used_is_refused(sqlite_uri, candidate, name):
    candidate.name = name
    with pytest.raises(InputError, match="model_name must be at most 100 letters"):
        candidate.register(sqlite_uri)


@pytest.mark.parametrize("name", ["a", "Income model 2.0", "catalog.schema.model", "x_y-z", "a" * 100])
def test_a_name_that_mlflow_takes_can_be_used(sqlite_uri, candidate, name):
    candidate.name = name
    assert candidate.register(sqlite_uri)[1] == f"models:/{name}/1"


@pytest.mark.parametrize("alias", ["", "latest", "v1", "a b", None])
def test_an_alias_that_cannot_be_used_is_refused(sqlite_uri, candidate, alias):
    with pytest.raises(InputError, match="alias must be letters, digits"):
        candidate.register(sqlite_uri, alias)


def test_no_registry_is_refused(candidate, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match="tracking_uri must name an MLflow server or store"):
        candidate.register(None)


def test_a_registry_that_does_not_answer_is_an_error(candidate, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MissingInputError, match="must answer"):
        candidate.register("http://127.0.0.1:9")
    assert not Path(candidate.registration.path).exists()


def test_wherever_it_fails_what_is_visible_is_whole_and_the_next_run_completes_it(road, candidate, server_uri):
    registry = client(server_uri)
    failures = 0
    while True:
        road.changes.clear()
        road.refuse = lambda request, before, failing=failures: before == failing
        try:
            candidate.register(road.uri)
            break
        except MissingInputError:
            failures += 1
            for version in versions(registry, candidate.name):
                assert_whole(registry, candidate, version)
            assert not Path(candidate.registration.path).exists()
    assert failures >= 10
    (version,) = versions(registry, candidate.name)
    assert_whole(registry, candidate, version)
    assert challenger(registry, candidate) == "1"


def test_killed_before_the_version_is_made_nothing_is_visible(road, candidate, server_uri):
    road.hold = lambda request: request.endswith("model-versions/create")
    arguments = [candidate.model.path, candidate.decision.path, candidate.registration.path, candidate.name, road.uri]
    code = (
        "import json, sys; from kfp import dsl\n"
        "from kfp_hallmark.components.release.register_model.register import register\n"
        "model, decision, registration, name, uri = json.loads(sys.argv[1])\n"
        "register(dsl.Model(uri=model), dsl.Artifact(uri=decision), dsl.Artifact(uri=registration), name, 'c', uri, {})"
    )
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps(arguments)])
    assert road.stuck.wait(timeout=120)
    process.kill()
    process.wait(timeout=30)
    registry = client(server_uri)
    assert versions(registry, candidate.name) == []
    assert not Path(candidate.registration.path).exists()
    assert candidate.register(server_uri)[0] == "1"
    assert_whole(registry, candidate, versions(registry, candidate.name)[0])
