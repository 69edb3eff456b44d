import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uv

from kfp_hallmark.environments import images
from kfp_hallmark.errors import EnvironmentFailure, MissingInputError

ROOT = Path(__file__).resolve().parents[3]


def client(folder, script):
    folder.mkdir()
    path = folder / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_client_is_the_first_on_path_that_can_build_with_secrets(tmp_path, monkeypatch):
    monkeypatch.delenv("HALLMARK_DOCKER", raising=False)
    client(tmp_path / "broken", "echo 'buildx is missing' >&2; exit 1")
    client(tmp_path / "old", "echo '  --tag list'")
    able = client(tmp_path / "able", "echo '  --secret stringArray'")
    client(tmp_path / "later", "echo '  --secret stringArray'")
    folders = ("broken", "empty", "old", "able", "later")
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in folders))
    assert images.docker() == able


def test_client_by_name_is_the_only_one_tried(tmp_path, monkeypatch):
    broken = client(tmp_path / "broken", "exit 1")
    client(tmp_path / "able", "echo '  --secret stringArray'")
    monkeypatch.setenv("PATH", str(tmp_path / "able"))
    monkeypatch.setenv("HALLMARK_DOCKER", broken)
    with pytest.raises(
        EnvironmentFailure, match=r"must be built by a docker client with BuildKit; none was found\.\nHint"
    ):
        images.docker()


def test_certificates_must_be_a_file(tmp_path):
    with pytest.raises(MissingInputError, match="certificates to build with must be a file; got"):
        images.build("ml", ca=tmp_path / "none.pem")


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return images.wheel(tmp_path_factory.mktemp("built"))


def test_wheel_of_a_checkout_holds_every_module_of_ours(built):
    names = contents(built).keys()
    for folder, package in (("kfp_hallmark", "kfp_hallmark"), ("components", "kfp_hallmark/components")):
        for path in (ROOT / folder).rglob("*.py"):
            assert f"{package}/{path.relative_to(ROOT / folder)}" in names


def test_wheel_of_a_checkout_is_the_same_again_and_leaves_nothing_behind(built, tmp_path):
    before = set(ROOT.iterdir())
    assert images.wheel(tmp_path).read_bytes() == built.read_bytes()
    assert set(ROOT.iterdir()) - before == set()


def test_wheel_of_an_installation_is_the_wheel_it_came_from(built, tmp_path):
    def run(*command):
        subprocess.run([uv.find_uv_bin(), *command], check=True, capture_output=True)

    installed, again, repacked = tmp_path / "installed", tmp_path / "again", tmp_path / "repacked"
    repacked.mkdir()
    for environment in (installed, again):
        run("venv", "--python", sys.executable, str(environment))
    run("pip", "install", "--offline", "--no-deps", "--python", str(installed), str(built))
    script = (
        f"from pathlib import Path; from kfp_hallmark.environments import images; images.wheel(Path({str(repacked)!r}))"
    )
    subprocess.run([installed / "bin" / "python", "-Pc", script], check=True)
    wheel = next(repacked.iterdir())
    assert wheel.name == built.name
    assert contents(wheel) == contents(built)
    run("pip", "install", "--offline", "--no-deps", "--python", str(again), str(wheel))
    subprocess.run([again / "bin" / "python", "-Pc", "import kfp_hallmark.components"], check=True)
