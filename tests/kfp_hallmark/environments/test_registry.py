"""Push and pin, against a real registry: Debian's `docker-registry`."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import docker
import pytest

from kfp_hallmark import __version__
from kfp_hallmark.environments import images, lock
from kfp_hallmark.errors import EnvironmentFailure, InputError, MissingInputError

needs_registry = pytest.mark.docker
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry of its own on a free port, with nothing in it."""
    program = shutil.which("docker-registry")
    assert program, "install Debian's package docker-registry"
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        while not answers(port):
            assert process.poll() is None, (folder / "log").read_text()
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.fixture
def make(monkeypatch):
    """Make small local images, which are removed in the end."""
    client = docker.from_env()
    monkeypatch.setenv("HALLMARK_REGISTRY", "hallmark-test-images")
    made = []

    def call(reference, content):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        name, _, tag = reference.rpartition(":")
        client.images.client.api.import_image_from_data(packed.getvalue(), repository=name, tag=tag)
        made.append(client.images.get(reference).id)
        return made[-1]

    yield call
    for image in made:
        client.images.remove(image, force=True)
    client.close()


def served_digest(registry, repository, tag=__version__):
    request = urllib.request.Request(
        f"http://{registry}/v2/{repository}/manifests/{tag}", method="HEAD", headers={"Accept": MANIFEST}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.headers["Docker-Content-Digest"]


@needs_registry
def test_pushed_and_pinned_by_the_digest_that_the_registry_serves(registry, make):
    make(f"hallmark-test-images/ml:{__version__}", b"one")
    target = images.push("ml", f"{registry}/hallmark-test/a/")
    assert target == f"{registry}/hallmark-test/a/ml:{__version__}"
    digest = served_digest(registry, "hallmark-test/a/ml")
    assert images.pinned(target) == f"{registry}/hallmark-test/a/ml@{digest}"


@needs_registry
def test_the_newer_of_the_local_name_and_the_registry_s_is_pushed(registry, make):
    place = f"{registry}/hallmark-test/b"
    old = make(f"hallmark-test-images/ml:{__version__}", b"old")
    images.push("ml", place)
    first = served_digest(registry, "hallmark-test/b/ml")
    new = make(f"hallmark-test-images/ml:{__version__}", b"new")
    assert new != old
    images.push("ml", place)
    second = served_digest(registry, "hallmark-test/b/ml")
    assert second != first
    make(f"{place}/ml:{__version__}", b"newest, under the name in the registry")
    images.push("ml", place)
    assert served_digest(registry, "hallmark-test/b/ml") not in (first, second)


@needs_registry
def test_what_was_not_built_is_not_pushed(registry, make):
    with pytest.raises(MissingInputError, match=r"'hallmark-test-images/data:.*' must be built before it is pushed"):
        images.push("data", f"{registry}/hallmark-test/c")


@needs_registry
def test_a_registry_that_does_not_take_or_have_it(registry, make):
    make(f"hallmark-test-images/ml:{__version__}", b"one")
    with pytest.raises(EnvironmentFailure, match="registry must take the image 'localhost:1/hallmark-test/x/ml"):
        images.push("ml", "localhost:1/hallmark-test/x")
    with pytest.raises(MissingInputError, match="must be in its registry; the engine says"):
        images.pinned(f"{registry}/hallmark-test/none:1")


@needs_registry
def test_the_command_line_from_push_to_a_pinned_pipeline(registry, make, tmp_path):
    def hallmark(*arguments):
        command = [Path(sys.executable).parent / "hallmark", *arguments]
        environment = os.environ | {"COLUMNS": "200"}
        return subprocess.run(list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True)

    names = ("data", "ml", "release")
    for name in names:
        make(f"hallmark-test-images/{name}:{__version__}", name.encode())
    make(f"{registry}/hallmark-test/tool:3", b"tool")
    docker.from_env().images.push(f"{registry}/hallmark-test/tool", tag="3")
    (tmp_path / "hallmark.toml").write_text(f'[images]\nregistry = "{registry}/hallmark-test"')
    pushed = hallmark("image", "push", *names)
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.split() == [f"{registry}/hallmark-test/{name}:{__version__}" for name in names]
    for arguments in (names, [f"{registry}/hallmark-test/tool:3"]):
        locked = hallmark("image", "lock", *arguments)
        assert locked.returncode == 0, locked.stderr
    pins = lock.read(tmp_path / "images.lock.json")
    for name, tag in (*((name, __version__) for name in names), ("tool", "3")):
        digest = served_digest(registry, f"hallmark-test/{name}", tag)
        assert pins[f"{registry}/hallmark-test/{name}:{tag}"] == f"{registry}/hallmark-test/{name}@{digest}"
    compiled = hallmark("compile", "governed_training", "--platform", "kubeflow")
    assert compiled.returncode == 0, compiled.stderr
    assert all(pins[f"{registry}/hallmark-test/{name}:{__version__}"] in compiled.stdout for name in names)
    again = hallmark("image", "lock", pins[f"{registry}/hallmark-test/ml:{__version__}"])
    assert again.returncode == 2
    assert "must be named by a tag" in again.stderr


def test_the_name_of_local_images_is_no_registry():
    with pytest.raises(InputError, match="must be one that platforms reach; 'kfp-hallmark' is the name of local"):
        images.push("ml", "kfp-hallmark")


def test_no_engine_no_digest(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EnvironmentFailure, match="must be asked for by a Docker engine; none answers"):
        images.pinned("localhost:5000/x:1")
