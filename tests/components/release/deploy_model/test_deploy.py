import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kfp_hallmark.components.release.deploy_model.deploy import deploy
from kfp_hallmark.contracts.decision import require_release
from kfp_hallmark.contracts.digest import Manifest, artifact_digest, short
from kfp_hallmark.contracts.documents import now, parse_time
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, ReleaseRefused
from kfp_hallmark.tracking import client


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving"


def run(candidate, uri, serving, target="local", alias="champion", **deployment):
    artifacts = (candidate.model, candidate.decision, candidate.registration, candidate.release)
    return deploy(*artifacts, target, deployment, None if serving is None else str(serving), alias, uri)


def champion(registry, candidate):
    """Return the version that has the alias, or None."""
    found = registry.get_registered_model(candidate.name).aliases.get("champion")
    return None if found is None else str(found)


def served(candidate, serving):
    return Release.read(serving / candidate.name / "release.json")


def assert_serves(candidate, serving, version):
    """Assert that a folder serves a model, whole, with its evidence."""
    home, release = serving / candidate.name, served(candidate, serving)
    assert (release.name, release.version) == (candidate.name, version)
    assert release.model == Manifest.of(candidate.model.path)
    assert Manifest.of(home / release.path) == release.model
    assert artifact_digest(home / release.decision) == release.decision_digest
    assert release.decision_digest == artifact_digest(candidate.decision.path)
    assert {path.name for path in home.iterdir()} == {".lock", "release.json", "versions", "decisions"}
    assert not list(home.glob("*/.*"))


def test_a_released_model_is_served_and_is_the_champion(registry, uri, candidate, serving):
    candidate.register(uri)
    (found,) = run(candidate, uri, serving)
    assert_serves(candidate, serving, "1")
    place = serving / candidate.name / "versions" / f"1-{short(candidate.digest)}"
    assert found == place.as_uri()
    assert champion(registry, candidate) == "1"
    assert Release.read(candidate.release.path) == served(candidate, serving)
    assert served(candidate, serving).previous is None
    assert candidate.release.metadata == {
        "name": candidate.name,
        "version": "1",
        "digest": candidate.digest,
        "uri": found,
        "traffic": 100,
    }


def test_the_next_version_takes_over_and_the_former_stays(registry, uri, candidate, another, serving):
    for made in (candidate, another):
        made.register(uri)
        run(made, uri, serving)
    assert_serves(another, serving, "2")
    assert champion(registry, candidate) == "2"
    former = served(another, serving).previous
    assert (former["version"], former["digest"]) == ("1", candidate.digest)
    assert artifact_digest(serving / candidate.name / former["model"]) == candidate.digest
    assert artifact_digest(serving / candidate.name / former["decision"]) == former["decision_digest"]


def test_deploying_the_former_version_again_rolls_back(sqlite_uri, candidate, another, serving):
    for made in (candidate, another):
        made.register(sqlite_uri)
        run(made, sqlite_uri, serving)
    run(candidate, sqlite_uri, serving)
    assert_serves(candidate, serving, "1")
    assert champion(client(sqlite_uri), candidate) == "1"
    assert served(candidate, serving).previous["version"] == "2"


def test_the_same_deployment_twice_changes_nothing(sqlite_uri, candidate, serving):
    candidate.register(sqlite_uri)
    first = run(candidate, sqlite_uri, serving)
    before = Manifest.of(serving)
    assert run(candidate, sqlite_uri, serving) == first
    assert Manifest.of(serving) == before


@pytest.mark.parametrize("wrong", ["2999-01-01T00:00:00Z", "2026-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_is_put_right(sqlite_uri, candidate, another, serving, wrong):
    """`hallmark serve` refuses such a document, and nothing else says when it was."""
    for made in (candidate, another):
        made.register(sqlite_uri)
        run(made, sqlite_uri, serving)
    edit(serving / candidate.name / "release.json", deployed=wrong)
    run(another, sqlite_uri, serving)
    home, found = serving / candidate.name, served(another, serving)
    assert found.previous["version"] == "1"
    assert parse_time(found.deployed) <= parse_time(now())
    require_release(home / found.decision, home / found.path, moment=parse_time(found.deployed))
    decided = json.loads(Path(another.decision.path, "decision.json").read_text())["created"]
    for good in (decided, now()):
        edit(serving / candidate.name / "release.json", deployed=good)
        run(another, sqlite_uri, serving)
        assert served(another, serving).deployed == good


UNSERVABLE = {
    "no signature": (None, r"The model '.*' must have a signature with named columns; it has none"),
    "columns without names": ('[{"type": "double"}]', r"must have a signature with named columns; it has none"),
    "columns of bytes": ('[{"name": "photo", "type": "binary"}]', r"columns of a served model .*; 'photo' is binary"),
}


@pytest.mark.parametrize("name", UNSERVABLE)
def test_a_model_that_cannot_be_served_is_refused(sqlite_uri, candidate, follow, serving, name):
    columns, message = UNSERVABLE[name]
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)
    before = Manifest.of(serving)
    unservable = follow("unservable", columns=columns)
    unservable.register(sqlite_uri)
    with pytest.raises(InputError, match=message):
        run(unservable, sqlite_uri, serving)
    assert Manifest.of(serving) == before
    assert champion(client(sqlite_uri), candidate) == "1"


def test_a_newer_decision_on_the_same_model_is_a_new_release(sqlite_uri, candidate, serving):
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)
    candidate.decide("fairness_gate")
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)
    assert_serves(candidate, serving, "1")
    assert served(candidate, serving).previous["digest"] == candidate.digest


def test_the_serving_folder_can_come_from_the_environment(sqlite_uri, candidate, serving, monkeypatch):
    candidate.register(sqlite_uri)
    monkeypatch.setenv("HALLMARK_SERVING_DIR", str(serving))
    run(candidate, sqlite_uri, None)
    assert_serves(candidate, serving, "1")


REFUSALS = {
    "a decision to halt": (
        lambda c: (Path(c.verdicts["fairness_gate"]).unlink(), c.decide()),
        ReleaseRefused,
        "it has one to halt: fairness_gate: There is no verdict",
    ),
    "an edited outcome": (
        lambda c: (
            Path(c.verdicts["fairness_gate"]).unlink(),
            c.decide(),
            edit(Path(c.decision.path, "decision.json"), outcome="release", reasons=[]),
            c.decision.metadata.clear(),
        ),
        ReleaseRefused,
        "must still have evidence for its release: fairness_gate",
    ),
    "another decision than was handed on": (
        lambda c: edit(Path(c.decision.path, "decision.json"), created="2026-11-21T05:40:00Z"),
        IntegrityError,
        "The decision must be the one that was made",
    ),
    "no decision": (lambda c: shutil.rmtree(c.decision.path), MissingInputError, "must be a file"),
    "a model file changed": (
        lambda c: Path(c.model.path, "data", "weights.txt").write_text("9"),
        IntegrityError,
        "must be the one that was decided on",
    ),
    "a model file added": (
        lambda c: Path(c.model.path, "sitecustomize.py").write_text(""),
        IntegrityError,
        "must be the one that was decided on",
    ),
    "a model file renamed": (
        lambda c: Path(c.model.path, "data", "weights.txt").rename(Path(c.model.path, "data", "weight.txt")),
        IntegrityError,
        "must be the one that was decided on",
    ),
    "a registration of another digest": (
        lambda c: edit(Path(c.registration.path), digest="sha256:" + "f" * 64),
        IntegrityError,
        "The registration must be of the model that was decided on",
    ),
    "a registration of a version that is not there": (
        lambda c: edit(Path(c.registration.path), version="7", uri=f"models:/{c.name}/7"),
        IntegrityError,
        r"must have the tag hallmark.digest sha256:\w+; got None",
    ),
    "a registration of a model that is not there": (
        lambda c: edit(Path(c.registration.path), name="nobody", uri="models:/nobody/1"),
        IntegrityError,
        r"must have the tag hallmark.digest sha256:\w+; got None",
    ),
    "a registration that leads out of the serving folder": (
        lambda c: edit(Path(c.registration.path), name="../x", uri="models:/../x/1"),
        IntegrityError,
        "must be a whole hallmark/registration/v1; model_name must be",
    ),
    "a registration whose fields contradict": (
        lambda c: edit(Path(c.registration.path), version="2"),
        IntegrityError,
        "must be a whole hallmark/registration/v1; its fields are not in their form",
    ),
    "no registration": (lambda c: Path(c.registration.path).unlink(), MissingInputError, "must be a file"),
}


def edit(path, /, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", REFUSALS)
def test_what_lacks_evidence_is_refused_and_nothing_is_served(sqlite_uri, candidate, serving, name):
    change, error, message = REFUSALS[name]
    candidate.register(sqlite_uri)
    change(candidate)
    with pytest.raises(error, match=message):
        run(candidate, sqlite_uri, serving)
    assert not serving.exists()
    assert not Path(candidate.release.path).exists()
    assert champion(client(sqlite_uri), candidate) is None


def test_a_decision_other_than_the_registered_one_is_refused(sqlite_uri, candidate, serving):
    candidate.register(sqlite_uri)
    candidate.decide("fairness_gate")
    message = r"must have the tag hallmark.decision_digest sha256:\w+; got 'sha256:"
    with pytest.raises(IntegrityError, match=message) as refused:
        run(candidate, sqlite_uri, serving)
    assert "When that run has ended, run this one again" in refused.value.hint
    assert not serving.exists()
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)


def test_a_withdrawn_version_is_refused_until_a_newer_decision(sqlite_uri, candidate, serving):
    candidate.register(sqlite_uri)
    client(sqlite_uri).set_model_version_tag(candidate.name, "1", "hallmark.decision", "halt")
    candidate.register(sqlite_uri)
    with pytest.raises(IntegrityError, match=r"must have the tag hallmark.decision release; got 'halt'"):
        run(candidate, sqlite_uri, serving)
    assert not serving.exists()
    candidate.decide("fairness_gate")
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)


def test_two_models_whose_names_are_one_folder_do_not_mix(sqlite_uri, candidate, another, serving):
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)
    before = Manifest.of(serving)
    another.name = candidate.name.upper()
    another.register(sqlite_uri)
    (serving / another.name).symlink_to(serving / candidate.name)
    with pytest.raises(IntegrityError, match=rf"must serve the registered model '{candidate.name}'"):
        run(another, sqlite_uri, serving)
    (serving / another.name).unlink()
    assert Manifest.of(serving) == before


def test_evidence_for_another_model_is_refused(sqlite_uri, candidate, another, serving):
    candidate.register(sqlite_uri)
    candidate.decision = another.decision
    with pytest.raises(IntegrityError, match="must be the one that was decided on"):
        run(candidate, sqlite_uri, serving)
    assert not serving.exists()


@pytest.mark.parametrize("change", ["another", "removed"])
def test_a_version_whose_tag_differs_is_refused(registry, uri, candidate, serving, change):
    candidate.register(uri)
    if change == "removed":
        registry.delete_model_version_tag(candidate.name, "1", "hallmark.digest")
    else:
        registry.set_model_version_tag(candidate.name, "1", "hallmark.digest", "sha256:" + "f" * 64)
    with pytest.raises(IntegrityError, match=r"must have the tag hallmark\.digest"):
        run(candidate, uri, serving)
    assert not serving.exists()


@pytest.mark.parametrize("where", ["versions", "decisions"])
@pytest.mark.parametrize("how", ["changed", "added", "removed"])
def test_a_change_in_the_serving_folder_is_noticed(sqlite_uri, candidate, serving, where, how):
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)
    file = next(path for path in sorted((serving / candidate.name / where).rglob("*")) if path.is_file())
    if how == "added":
        file.with_name("more").write_text("")
    elif how == "removed":
        file.unlink()
    else:
        file.write_text("changed")
    with pytest.raises(IntegrityError, match=r"must hold what was deployed, sha256:\w+; it was changed"):
        run(candidate, sqlite_uri, serving)


def test_a_release_document_that_is_not_whole_is_refused(sqlite_uri, candidate, another, serving):
    candidate.register(sqlite_uri)
    run(candidate, sqlite_uri, serving)
    edit(serving / candidate.name / "release.json", model="../elsewhere")
    another.register(sqlite_uri)
    with pytest.raises(IntegrityError, match="must be a whole hallmark/release/v1; its fields are not in their form"):
        run(another, sqlite_uri, serving)
    assert champion(client(sqlite_uri), candidate) == "1"


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("Local", "Did you mean 'local'?"),
        ("Vertex", "Did you mean 'vertex'?"),
        ("moon", "Known: kserve, local, vertex."),
        ("", "Known: kserve, local, vertex."),
    ],
)
def test_an_unknown_target_is_refused(sqlite_uri, candidate, serving, target, hint):
    with pytest.raises(InputError, match=rf"target must be one that there is; got '{target}'\.") as refused:
        run(candidate, sqlite_uri, serving, target=target)
    assert refused.value.hint == hint


def test_a_serving_folder_takes_no_options(sqlite_uri, candidate, serving):
    with pytest.raises(InputError, match="deployment must hold options that there are; got 'traffic'"):
        run(candidate, sqlite_uri, serving, traffic=10)
    assert not serving.exists()


@pytest.mark.parametrize("given", [None, "gs://bucket/serving"])
def test_no_serving_folder_is_refused(sqlite_uri, candidate, monkeypatch, given):
    monkeypatch.delenv("HALLMARK_SERVING_DIR", raising=False)
    with pytest.raises(InputError, match="serving_dir must"):
        run(candidate, sqlite_uri, given)


def test_an_alias_that_cannot_be_used_is_refused(sqlite_uri, candidate, serving):
    with pytest.raises(InputError, match="alias must be letters, digits"):
        run(candidate, sqlite_uri, serving, alias="latest")


def refuse_alias(request, before):
    return request.endswith("registered-models/alias")


def test_an_alias_that_cannot_be_moved_fails_and_nothing_is_served(road, server_uri, candidate, serving):
    candidate.register(server_uri)
    road.refuse = refuse_alias
    with pytest.raises(MissingInputError, match="The road is closed"):
        run(candidate, road.uri, serving)
    assert not (serving / candidate.name / "release.json").exists()
    assert not Path(candidate.release.path).exists()
    assert champion(client(server_uri), candidate) is None
    run(candidate, server_uri, serving)
    assert_serves(candidate, serving, "1")
    assert champion(client(server_uri), candidate) == "1"


def test_an_alias_that_cannot_be_moved_leaves_the_former_version_serving(road, server_uri, candidate, another, serving):
    for made in (candidate, another):
        made.register(server_uri)
    run(candidate, server_uri, serving)
    before = (serving / candidate.name / "release.json").read_bytes()
    road.refuse = refuse_alias
    with pytest.raises(MissingInputError, match="The road is closed"):
        run(another, road.uri, serving)
    assert (serving / candidate.name / "release.json").read_bytes() == before
    assert_serves(candidate, serving, "1")
    assert champion(client(server_uri), candidate) == "1"


def test_killed_before_the_alias_moved_the_next_run_completes_it(road, server_uri, candidate, serving):
    candidate.register(server_uri)
    road.hold = lambda request: request.endswith("registered-models/alias")
    paths = [candidate.model.path, candidate.decision.path, candidate.registration.path, candidate.release.path]
    code = (
        "import json, sys; from kfp import dsl\n"
        "from kfp_hallmark.components.release.deploy_model.deploy import deploy\n"
        "*paths, serving, uri = json.loads(sys.argv[1])\n"
        "deploy(*[dsl.Artifact(uri=path) for path in paths], 'local', {}, serving, 'champion', uri)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps([*paths, str(serving), road.uri])])
    assert road.stuck.wait(timeout=120)
    with (serving / candidate.name / ".lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.kill()
    process.wait(timeout=30)
    assert_serves(candidate, serving, "1")
    assert not Path(candidate.release.path).exists()
    assert champion(client(server_uri), candidate) is None
    run(candidate, server_uri, serving)
    assert_serves(candidate, serving, "1")
    assert champion(client(server_uri), candidate) == "1"


class ChangingModel:
    """A model that is changed as soon as somebody has verified it."""

    def __init__(self, folder):
        self.folder = folder
        self.asked = 0
        self.metadata = {}

    @property
    def path(self):
        self.asked += 1
        if self.asked > 1:
            Path(self.folder, "data", "weights.txt").write_text("9")
        return self.folder


def test_a_model_that_is_changed_after_it_was_verified_is_not_served(sqlite_uri, candidate, serving):
    candidate.register(sqlite_uri)
    candidate.model = ChangingModel(candidate.model.path)
    with pytest.raises(IntegrityError, match="must stay as it is while it is copied; it changed"):
        run(candidate, sqlite_uri, serving)
    assert [path.name for path in serving.rglob("*") if path.is_file()] == [".lock"]
    assert champion(client(sqlite_uri), candidate) is None


def test_what_a_killed_copy_left_does_not_matter(sqlite_uri, candidate, serving):
    candidate.register(sqlite_uri)
    half = serving / candidate.name / "versions" / f".1-{short(candidate.digest)}.0123abcd.part"
    half.mkdir(parents=True)
    (half / "MLmodel").write_text("half")
    run(candidate, sqlite_uri, serving)
    shutil.rmtree(half)
    assert_serves(candidate, serving, "1")
