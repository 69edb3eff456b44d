"""What the images hold, and that a KFP step runs in each."""

import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import docker
import pytest
from kfp import local
from kfp.dsl import Dataset, Output

from kfp_hallmark import __version__
from kfp_hallmark.component import component
from kfp_hallmark.contracts.experiment import code_version
from kfp_hallmark.environments import ENVIRONMENTS, STEPS, image, lock_digest, lock_file, sbom
from kfp_hallmark.errors import InputError

pytestmark = [pytest.mark.docker, pytest.mark.parametrize("name", ENVIRONMENTS)]

IMPORTS = {
    "data": "tensorflow_data_validation",
    "ml": "sklearn, xgboost, lightgbm, fairlearn, shap, mlflow, gcsfs, s3fs",
    "release": "mlflow, google.cloud.aiplatform, kubernetes, model_signing, in_toto_attestation, regopy",
    "sources": "sqlalchemy, duckdb, psycopg, google.cloud.bigquery, feast, gcsfs, s3fs",
    "expectations": "great_expectations, gcsfs, s3fs",
    "serve": "sklearn, xgboost, lightgbm, mlflow, uvicorn, prometheus_client, gcsfs, s3fs",
}


@pytest.fixture(scope="module")
def engine():
    client = docker.from_env()
    yield client
    client.close()


def run(engine, name, script, user=None):
    """Run a shell script in an environment's image and return what it prints."""
    return engine.containers.run(image(name), ["sh", "-ec", script], entrypoint="", user=user, remove=True).decode()


def content(engine, name, path):
    """Return what a file of an environment's image holds; the engine may cut a long log short, so none is read."""
    container = engine.containers.create(image(name), "true")
    try:
        archive = io.BytesIO(b"".join(container.get_archive(path)[0]))
    finally:
        container.remove()
    with tarfile.open(fileobj=archive) as files:
        return files.extractfile(files.next()).read()


def test_labels_and_variables_tell_what_it_is(engine, name):
    config = engine.images.get(image(name)).attrs["Config"]
    assert config["Labels"] == {
        "org.opencontainers.image.title": f"kfp-hallmark {name}",
        "org.opencontainers.image.version": __version__,
        "org.opencontainers.image.source": "https://pypi.org/project/kfp-hallmark/",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "io.hallmark.environment": name,
        "io.hallmark.lock": lock_digest(name),
        "io.hallmark.code": code_version(),
        "io.hallmark.sbom": sbom.PATH,
    }
    assert f"HALLMARK_ENVIRONMENT={name}" in config["Env"]
    assert f"HALLMARK_ENVIRONMENT_DIGEST={lock_digest(name)}" in config["Env"]
    assert config["User"] == "1000"


def test_says_all_that_it_holds(engine, name):
    document = json.loads(content(engine, name, sbom.PATH))
    found = [entry["purl"] for entry in document["components"] if entry.get("purl", "").startswith("pkg:pypi/")]
    held = {tuple(unquote(purl.removeprefix("pkg:pypi/")).split("@")) for purl in found}
    locked = re.findall(r"^([\w.-]+)==([\w.+!-]+)", lock_file(name).read_text(), re.MULTILINE)
    wanted = {(re.sub(r"[-_.]+", "-", package).lower(), version) for package, version in locked}
    installed = run(
        engine, name, "python3 -c 'from importlib import metadata; print(len([*metadata.distributions()]))'"
    )
    assert document["metadata"]["component"]["name"] == f"kfp-hallmark/{name}"
    assert len(held) == int(installed)
    assert held - wanted == {("kfp-hallmark", __version__)}
    assert {entry["name"] for entry in document["components"]} >= {"python", "libc6", "libgomp1"}


def test_holds_what_the_steps_import(engine, name):
    script = f"python3 -c 'import {IMPORTS[name]}, kfp_hallmark.components; print(kfp_hallmark.__file__)'"
    site_packages = "/opt/hallmark/lib/python3.11/site-packages"
    assert run(engine, name, script).splitlines()[-1] == f"{site_packages}/kfp_hallmark/__init__.py"


def test_holds_no_compiler_installer_cache_or_secret(engine, name):
    script = """
        for tool in gcc g++ cc make uv; do if command -v $tool; then echo "$tool"; fi; done
        if python3 -c 'import pip' 2>/dev/null; then echo pip; fi
        ls -A /root/.cache /build /run/secrets /var/lib/apt/lists /var/cache/apt 2>/dev/null | grep -v : || true
    """
    assert run(engine, name, script, user="0").split() == []


def test_is_no_root_and_runs_as_anyone(engine, name):
    script = "id -u; python3 -c 'import getpass; print(getpass.getuser())'; touch ~/here; mktemp -d >/dev/null"
    assert run(engine, name, script).split() == ["1000", "hallmark"]
    assert run(engine, name, script, user="23456:34567").split() == ["23456", "hallmark"]


def test_code_is_compiled_and_not_writable(engine, name):
    script = """
        cd /opt/hallmark/lib/python3.11/site-packages
        ls kfp_hallmark/__pycache__/errors.cpython-311.pyc pandas/__pycache__/_typing.cpython-311.pyc
        if touch kfp_hallmark/errors.py 2>/dev/null; then echo writable; fi
    """
    assert len(run(engine, name, script).split()) == 2


def write_words(words: str, dataset: Output[Dataset]) -> NamedTuple("Outputs", [("environment", str), ("digest", str)]):
    import os
    from pathlib import Path

    Path(dataset.path).write_text(words)
    return (os.environ["HALLMARK_ENVIRONMENT"], os.environ["HALLMARK_ENVIRONMENT_DIGEST"])


def test_runs_a_step(name, tmp_path):
    if name not in STEPS:
        with pytest.raises(InputError, match="environment must be one of data, ml, release, sources, expectations"):
            component(environment=name)(write_words)
        return
    step = component(environment=name)(write_words)
    local.init(local.DockerRunner(user=f"{os.getuid()}:{os.getgid()}"), pipeline_root=str(tmp_path))
    outputs = step(words="twice two").outputs
    assert outputs["environment"] == name
    assert outputs["digest"] == lock_digest(name)
    assert Path(outputs["dataset"].path).read_text() == "twice two"
