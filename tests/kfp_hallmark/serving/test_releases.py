"""That nothing is loaded but what was released, and that a release follows another without a gap."""

import asyncio
import json
import os
import pickle
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import prometheus_client.values
import pytest

from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import HallmarkError, IntegrityError, MissingInputError, ReleaseRefused
from kfp_hallmark.serving import releases
from kfp_hallmark.serving.releases import folder_of, load

ENVIRONMENT = "serve"
V1 = "/v1/models/people:predict"
ROW = [31, "Ulm", 2500.5, "clerk"]


def ago(**time):
    return (datetime.now(UTC) - timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def edit(path, **changes):
    write_json(path, json.loads(path.read_text()) | changes)


def plant(home, trap):
    """Put a pickle that leaves a mark in the place of the model's."""
    served = Release.read(home / "release.json")
    (home / served.path / "model.pkl").write_bytes(pickle.dumps(trap))
    return served


def test_a_release_is_loaded(home, client):
    served = load(home)
    assert (served.identity.name, served.identity.version) == ("people", "1")
    assert served.predictor.scores == "score"


def test_a_changed_model_is_refused_before_anything_is_unpickled(home, tmp_path):
    plant(home, Trap(tmp_path / "mark"))
    with pytest.raises(IntegrityError, match="The model must be the one that was decided on"):
        load(home)
    assert not (tmp_path / "mark").exists()


@pytest.fixture(scope="module")
def opened():
    """What is called with each file that is opened to be read."""
    listeners = []

    def hook(event, arguments):
        if event == "open" and arguments[1] == "r":
            for listener in listeners:
                listener(os.fspath(arguments[0]))

    sys.addaudithook(hook)
    return listeners


@pytest.mark.parametrize("moment", range(1, 7))
def test_a_model_that_is_swapped_at_any_moment_is_not_loaded(home, tmp_path, opened, moment):
    """Verifying and loading open the file several times; just before one of them it becomes another."""
    model = home / Release.read(home / "release.json").path / "model.pkl"
    contents, count = [model.read_bytes(), pickle.dumps(Trap(tmp_path / "mark"))], 0

    def swap(path):
        nonlocal count
        if path == str(model):
            count += 1
            model.write_bytes(contents[count == moment])

    opened.append(swap)
    try:
        assert load(home).identity.version == "1"
    except HallmarkError:
        assert count >= moment
    finally:
        opened.clear()
    assert not (tmp_path / "mark").exists()


def test_a_trap_would_have_sprung(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def test_a_changed_model_is_refused_although_the_release_says_its_files(home, tmp_path):
    from kfp_hallmark.contracts.digest import Manifest

    served = plant(home, Trap(tmp_path / "mark"))
    forged = Release(served.name, served.version, Manifest.of(home / served.path), served.decision_digest)
    shutil.copytree(home / served.path, home / forged.path)
    write_json(home / "release.json", forged.to_json())
    with pytest.raises(IntegrityError, match="The model must be the one that was decided on"):
        load(home)
    assert not (tmp_path / "mark").exists()


def decision_of(home):
    return home / Release.read(home / "release.json").decision


def outdate(home):
    path = home / "release.json"
    edit(path, deployed="2020-01-01T00:00:00Z")


TAMPERINGS = {
    "a file added to the model": (
        lambda home: (home / Release.read(home / "release.json").path / "extra.py").write_text(""),
        IntegrityError,
        "The model must be the one that was decided on",
    ),
    "an edited decision": (
        lambda home: edit(decision_of(home) / "decision.json", reasons=["none"]),
        IntegrityError,
        "The decision must be the one that was made",
    ),
    "an edited verdict": (
        lambda home: edit(decision_of(home) / "evidence" / "performance_gate.json", parameters={"x": 1}),
        IntegrityError,
        "The decision must be the one that was made",
    ),
    "no decision": (lambda home: shutil.rmtree(decision_of(home)), MissingInputError, "must be a file"),
    "no model": (
        lambda home: shutil.rmtree(home / Release.read(home / "release.json").path),
        MissingInputError,
        "An artifact must be a file or a folder",
    ),
    "a release that is cut": (
        lambda home: (home / "release.json").write_text((home / "release.json").read_text()[:200]),
        IntegrityError,
        "must be JSON",
    ),
    "a release of other files": (
        lambda home: edit(home / "release.json", files={"MLmodel": "sha256:" + "0" * 64}),
        IntegrityError,
        "must be a whole hallmark/release/v1",
    ),
    "a release from before its verdicts": (outdate, ReleaseRefused, "must not be from the future"),
    "a release from the future": (
        lambda home: edit(home / "release.json", deployed=ago(hours=-1)),
        IntegrityError,
        "must not be from the future",
    ),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_what_was_tampered_with_is_refused(home, case):
    tamper, error, words = TAMPERINGS[case]
    tamper(home)
    with pytest.raises(error, match=words):
        load(home)


def test_a_decision_to_halt_is_refused(tmp_path, trained, released):
    released(tmp_path / "people", trained(max_iter=20), status=Status.FAIL)
    with pytest.raises(ReleaseRefused, match="it has one to halt"):
        load(tmp_path / "people")


@pytest.mark.parametrize(("deployed", "good"), [("a minute later", True), ("two hours later", False)])
def test_what_was_deployed_in_time_is_served_after_a_restart(tmp_path, trained, released, deployed, good):
    """The verdicts are stale today; what counts is whether they were when the release was deployed."""
    moment = ago(days=30) if good else ago(days=29, hours=22)
    options = {"created": ago(days=30), "deployed": moment}
    model = trained(max_iter=20)
    made = released(tmp_path / "made", model, **options, max_age_hours=24 * 365)
    decision = tmp_path / "made" / made.decision / "decision.json"
    document = json.loads(decision.read_text())
    document["policy"]["max_age_hours"] = 1.0
    write_json(decision, document)
    from kfp_hallmark.contracts.digest import artifact_digest

    home = tmp_path / "people"
    digest = artifact_digest(tmp_path / "made" / made.decision)
    moved = Release("people", "1", made.model, digest, deployed=moment)
    shutil.copytree(tmp_path / "made" / made.path, home / moved.path)
    shutil.copytree(tmp_path / "made" / made.decision, home / moved.decision)
    write_json(home / "release.json", moved.to_json())
    if good:
        assert load(home).identity.version == "1"
    else:
        with pytest.raises(ReleaseRefused, match="must be at most 1 hours old"):
            load(home)


def test_a_folder_without_a_release_says_where_one_is(tmp_path, home):
    with pytest.raises(MissingInputError, match="It holds people: name one of them"):
        folder_of(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="Deploy a model there"):
        folder_of(tmp_path / "empty")


def look(client):
    asyncio.run(client.releases.look())


def version(client):
    return client.get("/health")[1]["version"]


def test_a_new_release_is_picked_up(home, client, trained, released):
    look(client)
    assert version(client) == "1"
    released(home, trained(seed=1, max_iter=20), version="2")
    look(client)
    assert version(client) == "2"
    assert client.get("/v2/models/people")[1]["versions"] == ["2"]
    assert client.get("/v2/models/people/versions/1/ready")[0] == 404
    lines = metrics(client)
    assert any("hallmark_release_serving" in line and 'version="1"' in line and line.endswith(" 0.0") for line in lines)
    assert any("hallmark_release_serving" in line and 'version="2"' in line and line.endswith(" 1.0") for line in lines)


@pytest.mark.parametrize("workers", [False, True])
def test_metrics_are_of_two_versions_at_most(home, trained, released, new_client, tmp_path, monkeypatch, workers):
    """Those of the version that serves and of the one before, however many there were."""
    if workers:
        (tmp_path / "metrics").mkdir()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
        monkeypatch.setattr("prometheus_client.values.ValueClass", prometheus_client.values.MultiProcessValue())
        monkeypatch.setattr("prometheus_client.metrics.values.ValueClass", prometheus_client.values.ValueClass)
    client = new_client(home).load()

    def found():
        return {name for line in metrics(client) for name in re.findall(r'version="(.*?)"', line)} - {"none"}

    for number in range(1, 6):
        if number > 1:
            released(home, trained(seed=number % 2, max_iter=20), version=str(number))
            look(client)
        client.post(V1, {"instances": [ROW]})
        if number == 4:
            # A request that version 1 has been at for so long.
            client.metrics.observe("1", "v1_predict", 200, 1.0)
            client.metrics.observe("none", "v1_predict", 503, 1.0)
        assert found() - {"1"} == {str(number), str(number - 1)} - {"0", "1"}
    assert found() == {"4", "5"}
    assert any('version="none"' in line for line in metrics(client))
    released(home, trained(seed=0, max_iter=20), version="4")
    look(client)
    assert any('hallmark_requests_total{route="v1_predict",status="200",version="4"} 1.0' in x for x in metrics(client))


def metrics(client):
    return asyncio.run(client.ask("GET", "/metrics"))[2].decode().splitlines()


def test_a_request_under_way_is_answered_by_the_version_that_it_met(home, client, trained, released):
    """The body arrives after the switch."""
    released(home, trained(seed=1, max_iter=20), version="2")

    async def slow():
        sent = []

        async def receive():
            await client.releases.look()
            return {"type": "http.request", "body": json.dumps({"instances": [ROW]}).encode(), "more_body": False}

        async def send(message):
            sent.append(message)

        await client.app({"type": "http", "method": "POST", "path": V1, "headers": []}, receive, send)
        return sent

    start, _ = asyncio.run(slow())
    assert start["status"] == 200
    assert dict(start["headers"])[b"x-hallmark-version"] == b"1"
    assert version(client) == "2"


def test_a_broken_release_leaves_the_former_one_and_is_told(home, client, trained, released, caplog):
    first = (home / "release.json").read_bytes()
    made = released(home, trained(seed=1, max_iter=20), version="2")
    (home / made.path / "model.pkl").write_bytes(b"broken")
    look(client)
    status, health = client.get("/health")
    assert (status, health["version"]) == (200, "1")
    assert "The model must be the one that was decided on" in health["refused"]
    assert "A release was refused" in caplog.text
    assert {"hallmark_release_refused 1.0", "hallmark_release_refusals_total 1.0"} <= set(metrics(client))
    assert client.post(V1, {"instances": [ROW]})[0] == 200
    look(client)
    assert "hallmark_release_refusals_total 1.0" in metrics(client)
    (home / "release.json").write_bytes(first)
    look(client)
    assert client.get("/health")[1]["refused"] is None
    assert "hallmark_release_refused 0.0" in metrics(client)


def test_a_release_that_becomes_whole_is_loaded_later(home, client, trained, released, monkeypatch):
    made = released(home, trained(seed=1, max_iter=20), version="2")
    content = (home / made.path / "model.pkl").read_bytes()
    (home / made.path / "model.pkl").write_bytes(content[:100])
    look(client)
    (home / made.path / "model.pkl").write_bytes(content)
    look(client)
    assert version(client) == "1"
    monkeypatch.setattr(releases, "monotonic", lambda: float("inf"))
    look(client)
    assert version(client) == "2"


def test_a_document_that_vanishes_leaves_what_serves(home, client):
    (home / "release.json").unlink()
    look(client)
    assert version(client) == "1"
    assert "must be a file" in client.get("/health")[1]["refused"]


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


RUBBISH = {
    "bytes": lambda path: path.write_bytes(b"\xff\x00" * 999),
    "nothing": lambda path: path.write_bytes(b""),
    "deep nesting": lambda path: path.write_bytes(b"[" * 10**6),
    "an array": lambda path: path.write_text("[]"),
    "another schema": lambda path: edit(path, schema="hallmark/release/v9"),
    "a name that leads elsewhere": lambda path: edit(path, name="../people"),
    "a version that is a number": lambda path: edit(path, version=2),
    "files that are a list": lambda path: edit(path, files=["MLmodel"]),
    "a time that is none": lambda path: edit(path, deployed="soon"),
    "a folder": as_folder,
    "a pipe": as_pipe,
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path)),
    "its folder is gone": lambda path: shutil.rmtree(path.parent),
}


@pytest.mark.parametrize("case", RUBBISH)
def test_rubbish_in_the_place_of_the_document_leaves_what_serves(home, client, case):
    RUBBISH[case](home / "release.json")
    look(client)
    status, health = client.get("/health")
    assert (status, health["version"]) == (200, "1")
    assert health["refused"]
    assert client.post(V1, {"instances": [ROW]})[0] == 200


def test_the_files_of_what_serves_are_not_needed_any_more(home, client):
    shutil.rmtree(home / "versions")
    shutil.rmtree(home / "decisions")
    look(client)
    assert client.get("/health")[1]["refused"] is None
    assert client.post(V1, {"instances": [ROW]})[0] == 200


def test_a_document_that_is_only_touched_loads_nothing(home, client):
    served = client.releases.served
    (home / "release.json").touch()
    look(client)
    assert client.releases.served is served
