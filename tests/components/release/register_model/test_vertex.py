import json
import subprocess
import sys
from pathlib import Path

import pytest

from kfp_hallmark.contracts.digest import Manifest, artifact_digest, short
from kfp_hallmark.contracts.registration import Registration
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError, IntegrityError, ServiceError
from kfp_hallmark.tracking import client
from kfp_hallmark.vertex import resource_id


def versions(fake, candidate):
    return list(fake.models.get(resource_id(candidate.name), {}).values())


def package(fake, version, folder):
    """Bring the package of a version onto this machine."""
    bucket, _, root = version.artifact_uri.removeprefix("gs://").partition("/")
    for name, content in fake.storage.buckets[bucket].items():
        if name.startswith(f"{root}/"):
            path = folder / name.removeprefix(f"{root}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def challenger(uri, candidate):
    aliases = client(uri).get_registered_model(candidate.name).aliases
    return str(aliases["challenger"]) if "challenger" in aliases else None


def test_a_version_is_uploaded_with_its_evidence(uri, candidate, fake, vertex, tmp_path):
    vertex["labels"] = {"team": "risk"}
    candidate.register(uri, vertex=vertex)
    (version,) = versions(fake, candidate)
    decision = artifact_digest(candidate.decision.path)
    assert version.display_name == candidate.name
    assert dict(version.labels) == {
        "team": "risk",
        "hallmark_name": resource_id(candidate.name),
        "hallmark_version": "1",
        "hallmark_digest": short(candidate.digest),
        "hallmark_decision": short(decision),
    }
    assert {"default", "challenger"} < set(version.version_aliases)
    assert version.container_spec.image_uri == vertex["serving_image"]
    assert [port.container_port for port in version.container_spec.ports] == [8080]
    assert (version.container_spec.predict_route, version.container_spec.health_route) == ("/predict", "/health")
    folder = f"{version.artifact_uri}/decisions/{short(decision)}"
    for text in (f"models:/{candidate.name}/1", candidate.digest, decision, f"{folder}/decision.json"):
        assert text in version.version_description
    assert f"fairness_gate: pass, {folder}/evidence/fairness_gate.json" in version.version_description
    release = Release.read(package(fake, version, tmp_path / "package") / "release.json")
    assert version.artifact_uri == (
        f"gs://models/served/{candidate.name}/1-{short(candidate.digest)}-{short(decision)}"
    )
    assert (release.name, release.version, release.decision_digest) == (candidate.name, "1", decision)
    assert Manifest.of(tmp_path / "package" / release.path) == release.model == Manifest.of(candidate.model.path)
    assert artifact_digest(tmp_path / "package" / release.decision) == decision
    found = Registration.read(candidate.registration.path)
    assert found.vertex == f"{version.name}@{version.version_id}"
    assert challenger(uri, candidate) == "1"


def test_without_options_nothing_is_sent(sqlite_uri, candidate, fake):
    candidate.register(sqlite_uri)
    assert fake.calls == []
    assert "vertex" not in json.loads(Path(candidate.registration.path).read_text())


def test_twice_makes_nothing_twice(sqlite_uri, candidate, fake, vertex):
    candidate.register(sqlite_uri, vertex=vertex)
    first, before = Path(candidate.registration.path).read_text(), dict(fake.storage.buckets["models"])
    fake.calls.clear()
    candidate.register(sqlite_uri, vertex=vertex)
    assert fake.changes() == []
    assert fake.storage.buckets["models"] == before
    assert json.loads(Path(candidate.registration.path).read_text())["vertex"] == json.loads(first)["vertex"]


def test_another_model_is_another_version_of_one_parent(sqlite_uri, candidate, another, fake, vertex):
    candidate.register(sqlite_uri, vertex=vertex)
    another.register(sqlite_uri, vertex=vertex)
    first, second = versions(fake, candidate)
    assert (first.name, first.version_id, second.version_id) == (second.name, "1", "2")
    assert second.labels["hallmark_digest"] == short(another.digest)
    assert "challenger" not in first.version_aliases
    assert "challenger" in second.version_aliases
    candidate.register(sqlite_uri, vertex=vertex)
    assert len(versions(fake, candidate)) == 2
    assert "challenger" in versions(fake, candidate)[0].version_aliases


def test_a_newer_decision_is_a_version_with_a_package_of_its_own(sqlite_uri, candidate, fake, vertex, tmp_path):
    candidate.register(sqlite_uri, vertex=vertex)
    candidate.decide("fairness_gate")
    candidate.register(sqlite_uri, vertex=vertex)
    first, second = versions(fake, candidate)
    assert first.artifact_uri != second.artifact_uri
    release = Release.read(package(fake, second, tmp_path / "package") / "release.json")
    assert release.decision_digest == artifact_digest(candidate.decision.path)


def test_a_newer_image_is_a_version_with_the_same_package(sqlite_uri, candidate, fake, vertex):
    candidate.register(sqlite_uri, vertex=vertex)
    vertex["serving_image"] = vertex["serving_image"].replace("5" * 64, "6" * 64)
    candidate.register(sqlite_uri, vertex=vertex)
    first, second = versions(fake, candidate)
    assert first.artifact_uri == second.artifact_uri
    assert second.container_spec.image_uri == vertex["serving_image"]


def test_names_that_read_alike_are_different_models(sqlite_uri, candidate, another, fake, vertex):
    another.name = candidate.name.upper()
    candidate.register(sqlite_uri, vertex=vertex)
    another.register(sqlite_uri, vertex=vertex)
    assert len(fake.models) == 2


ANSWERS = {
    "PERMISSION_DENIED": (
        "Permission 'aiplatform.models.upload' denied on resource '//aiplatform.googleapis.com/x'.",
        "roles/aiplatform.user on the project",
    ),
    "RESOURCE_EXHAUSTED": ("The quota is exceeded.", "Ask for more quota at https://console.cloud.google.com"),
    "NOT_FOUND": ("The location is not found.", "gcloud services enable aiplatform.googleapis.com"),
    "INVALID_ARGUMENT": ("image_uri is invalid.", "Correct the setting that the answer names."),
    "FAILED_PRECONDITION": ("Not now.", "Bring about what the answer asks for"),
    "UNAUTHENTICATED": ("No credentials.", "gcloud auth application-default login"),
    "UNAVAILABLE": ("Try again.", "Run it again: nothing is made twice."),
    "INTERNAL": ("Something broke.", "Run it again: nothing is made twice."),
}


@pytest.mark.parametrize("of", ["call", "operation"])
@pytest.mark.parametrize("code", ANSWERS)
def test_what_the_service_refuses_is_told_in_one_sentence(sqlite_uri, candidate, fake, vertex, code, of):
    answer, hint = ANSWERS[code]
    (fake.fail if of == "call" else fake.fail_operation)("UploadModel", code, answer)
    with pytest.raises(ServiceError) as refused:
        candidate.register(sqlite_uri, vertex=vertex)
    assert refused.value.message == f"Vertex AI must register {candidate.name} 1; it answered {code}: {answer}"
    assert hint in refused.value.hint
    assert versions(fake, candidate) == []
    assert challenger(sqlite_uri, candidate) is None
    assert not Path(candidate.registration.path).exists()
    candidate.register(sqlite_uri, vertex=vertex)
    assert len(versions(fake, candidate)) == 1
    assert challenger(sqlite_uri, candidate) == "1"


ROLES = {
    "Permission 'iam.serviceAccounts.actAs' denied.": "roles/iam.serviceAccountUser on the service account",
    "Permission 'artifactregistry.repositories.downloadArtifacts' denied.": "roles/artifactregistry.reader",
    "a@b does not have storage.objects.get access.": "roles/storage.objectUser on the bucket",
    "a@b does not have storage.buckets.get access.": "roles/storage.bucketViewer on the bucket",
    "Vertex AI API has not been used in project acme-ml before or it is disabled.": "gcloud services enable aiplatform",
    "Denied.": "roles/aiplatform.user on the project",
}


@pytest.mark.parametrize("answer", ROLES)
def test_a_permission_that_lacks_is_told_with_the_role_that_has_it(sqlite_uri, candidate, fake, vertex, answer):
    fake.fail("UploadModel", "PERMISSION_DENIED", answer)
    with pytest.raises(ServiceError) as refused:
        candidate.register(sqlite_uri, vertex=vertex)
    assert ROLES[answer] in refused.value.hint


def test_a_project_that_is_not_ours_is_told(sqlite_uri, candidate, fake, vertex):
    vertex["project"] = "someone-else"
    with pytest.raises(ServiceError, match=r"PERMISSION_DENIED: Permission 'aiplatform\.locations\.get' denied"):
        candidate.register(sqlite_uri, vertex=vertex)


def test_no_credentials_are_told(sqlite_uri, candidate, fake, vertex, monkeypatch, tmp_path):
    (tmp_path / "account.json").write_text('{"type": "service_account"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    with pytest.raises(ServiceError, match="Vertex AI must know who asks; there are no credentials that it takes"):
        candidate.register(sqlite_uri, vertex=vertex)


def test_reading_is_repeated_when_the_service_is_away_for_a_moment(sqlite_uri, candidate, fake, vertex):
    for method in ("GetModel", "ListOperations", "GetOperation"):
        fake.fail(method, "UNAVAILABLE")
    candidate.register(sqlite_uri, vertex=vertex)
    assert len(versions(fake, candidate)) == 1


def test_an_answer_that_is_lost_makes_nothing_twice(sqlite_uri, candidate, fake, vertex):
    fake.fail("UploadModel", "UNAVAILABLE", after=True)
    fake.delay("UploadModel", 1)
    with pytest.raises(ServiceError, match="UNAVAILABLE"):
        candidate.register(sqlite_uri, vertex=vertex)
    candidate.register(sqlite_uri, vertex=vertex)
    assert len(versions(fake, candidate)) == 1
    assert fake.calls.count("UploadModel") == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("former", [False, True], ids=["first", "next"])
def test_a_connection_lost_at_any_call_is_made_good_by_the_next_run(
    sqlite_uri, candidate, another, fake, vertex, former, after
):
    def begin():
        fake.operations.clear()
        fake.models.clear()
        if former:
            candidate.register(sqlite_uri, vertex=vertex)
        fake.calls.clear()

    begin()
    another.register(sqlite_uri, vertex=vertex)
    calls = list(fake.calls)
    assert {"UploadModel", "MergeVersionAliases"} <= set(calls)
    for number, method in enumerate(calls):
        begin()
        fake.cut(number, after)
        try:
            another.register(sqlite_uri, vertex=vertex)
        except ServiceError as error:
            assert error.hint, method
        another.register(sqlite_uri, vertex=vertex)
        assert len(versions(fake, another)) == 1 + former, method
        assert fake.calls.count("UploadModel") == 1 + (not after and method == "UploadModel")
        challengers = [entry.version_id for entry in versions(fake, another) if "challenger" in entry.version_aliases]
        assert challengers == [str(1 + former)]


def test_an_operation_that_takes_too_long_is_waited_for_by_the_next_run(sqlite_uri, candidate, fake, vertex):
    fake.delay("UploadModel", None)
    with pytest.raises(
        ServiceError, match=r"within 0\.3 s; its UploadModel goes on, as projects/\d+/.*/operations/1\."
    ):
        candidate.register(sqlite_uri, vertex={**vertex, "max_seconds": 0.3})
    with pytest.raises(ServiceError, match=r"within 0\.3 s"):
        candidate.register(sqlite_uri, vertex={**vertex, "max_seconds": 0.3})
    fake.end_operations()
    candidate.register(sqlite_uri, vertex=vertex)
    assert len(versions(fake, candidate)) == 1
    assert fake.calls.count("UploadModel") == 1


def test_an_operation_of_an_earlier_run_that_fails_is_no_obstacle(sqlite_uri, candidate, fake, vertex):
    fake.fail("UploadModel", "UNAVAILABLE", after=True)
    fake.fail_operation("UploadModel", "INTERNAL")
    with pytest.raises(ServiceError):
        candidate.register(sqlite_uri, vertex=vertex)
    candidate.register(sqlite_uri, vertex=vertex)
    assert len(versions(fake, candidate)) == 1


@pytest.mark.parametrize("method", ["UploadModel", "MergeVersionAliases"])
def test_killed_in_the_middle_the_next_run_completes_it(server_uri, candidate, fake, vertex, method):
    arrived = fake.arrival(method)
    fake.delay("UploadModel", None if method == "UploadModel" else 0)
    arguments = [candidate.model.path, candidate.decision.path, candidate.registration.path, candidate.name]
    code = (
        "import json, sys; from kfp import dsl\n"
        "from kfp_hallmark.components.release.register_model.register import register\n"
        "model, decision, registration, name, uri, vertex = json.loads(sys.argv[1])\n"
        "artifacts = dsl.Model(uri=model), dsl.Artifact(uri=decision), dsl.Artifact(uri=registration)\n"
        "register(*artifacts, name, 'challenger', uri, vertex)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps([*arguments, server_uri, vertex])])
    assert arrived.wait(timeout=120)
    process.kill()
    process.wait(timeout=30)
    fake.end_operations()
    candidate.register(server_uri, vertex=vertex)
    (version,) = versions(fake, candidate)
    assert "challenger" in version.version_aliases
    assert fake.calls.count("UploadModel") == 1
    assert challenger(server_uri, candidate) == "1"


def test_a_storage_that_refuses_is_told_and_nothing_is_uploaded(sqlite_uri, candidate, fake, vertex):
    fake.storage.refuse = lambda method, path: 403 if method == "POST" and path.startswith("/upload") else None
    with pytest.raises(ServiceError, match=r"The storage must let the package 'gs://models/served/.*' be") as told:
        candidate.register(sqlite_uri, vertex=vertex)
    assert "may read and write objects" in told.value.hint
    assert fake.calls == []
    fake.storage.reset()
    fake.storage.buckets["models"] = {}
    candidate.register(sqlite_uri, vertex=vertex)
    assert len(versions(fake, candidate)) == 1


def test_a_bucket_that_is_not_there_is_told(sqlite_uri, candidate, fake, vertex):
    vertex["storage_uri"] = "gs://nowhere/served"
    with pytest.raises(ServiceError, match="The storage must let the package 'gs://nowhere/served"):
        candidate.register(sqlite_uri, vertex=vertex)


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_a_package_that_was_changed_is_refused(sqlite_uri, candidate, fake, vertex, change):
    candidate.register(sqlite_uri, vertex=vertex)
    objects = fake.storage.buckets["models"]
    file = next(name for name in objects if name.endswith("weights.txt"))
    if change == "added":
        objects[f"{file}.more"] = b""
    elif change == "removed":
        del objects[file]
    else:
        objects[file] = b"9"
    with pytest.raises(IntegrityError, match=r"must hold what was decided on, .*; these files differ: data/weights"):
        candidate.register(sqlite_uri, vertex=vertex)


def test_a_file_that_lay_there_before_is_refused(sqlite_uri, candidate, fake, vertex):
    decision = short(artifact_digest(candidate.decision.path))
    digest = short(candidate.digest)
    place = f"served/{candidate.name}/1-{digest}-{decision}/versions/1-{digest}/sitecustomize.py"
    fake.storage.buckets["models"][place] = b""
    with pytest.raises(IntegrityError, match=r"these files differ: sitecustomize\.py"):
        candidate.register(sqlite_uri, vertex=vertex)
    assert versions(fake, candidate) == []


BAD = {
    "an unknown option": ({"machine": "n1"}, "vertex must hold options that there are; got 'machine'"),
    "a bucket that is none": ({"storage_uri": "s3://models"}, "must be as gs://bucket/folder; got 's3://models'"),
    "an image by its tag": ({"serving_image": "eu/serve:1"}, "must name an image by its digest"),
    "a label of capitals": ({"labels": {"Team": "risk"}}, r"vertex\['labels'\] must be at most 63 lowercase letters"),
    "a label of ours": ({"labels": {"hallmark_name": "x"}}, "must not begin with hallmark_"),
    "a time in text": ({"max_seconds": "60"}, r"vertex\['max_seconds'\] must be a number; got '60'"),
    "a project of another type": ({"project": 7}, r"vertex\['project'\] must be text; got 7"),
}


@pytest.mark.parametrize("name", BAD)
def test_options_that_cannot_be_used_are_refused_before_anything_is_sent(sqlite_uri, candidate, fake, vertex, name):
    change, message = BAD[name]
    with pytest.raises(InputError, match=message):
        candidate.register(sqlite_uri, vertex={**vertex, **change})
    assert fake.calls == []
    assert client(sqlite_uri).search_registered_models(f"name = '{candidate.name}'") == []


def test_all_options_that_lack_are_named(sqlite_uri, candidate, fake, vertex):
    del vertex["project"], vertex["serving_image"]
    with pytest.raises(InputError, match="missing: project, serving_image"):
        candidate.register(sqlite_uri, vertex=vertex)


@pytest.mark.parametrize("alias", ["Challenger", "second_look", "7", "x"])
def test_an_alias_that_vertex_does_not_take_is_refused(sqlite_uri, candidate, fake, vertex, alias):
    with pytest.raises(InputError, match="alias must be 2 to 128 letters, digits and hyphens"):
        candidate.register(sqlite_uri, alias, vertex)
    assert fake.calls == []
