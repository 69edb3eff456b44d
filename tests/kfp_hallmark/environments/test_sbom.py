import importlib.metadata
import json
import os
import subprocess
import sys

import pytest

from kfp_hallmark import __version__


@pytest.fixture(scope="module")
def printed():
    command = [sys.executable, "-m", "kfp_hallmark.environments.sbom"]
    environment = os.environ | {"HALLMARK_ENVIRONMENT": "ml"}
    return [subprocess.run(command, env=environment, capture_output=True, check=True).stdout for _ in range(2)]


def test_equal_contents_give_equal_bytes(printed):
    assert printed[0] == printed[1]


def test_it_is_cyclonedx_about_this_image(printed):
    document = json.loads(printed[0])
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.5", 1)
    assert document["serialNumber"].startswith("urn:uuid:")
    subject = {"type": "container", "name": "kfp-hallmark/ml", "version": __version__}
    assert document["metadata"]["component"] == subject
    references = [entry["bom-ref"] for entry in document["components"] if "bom-ref" in entry]
    assert len(set(references)) == len(references)


def test_it_lists_what_python_has_installed_under_normal_names(printed):
    purls = {entry.get("purl") for entry in json.loads(printed[0])["components"]}
    assert f"pkg:pypi/kfp-pipeline-spec@{importlib.metadata.version('kfp-pipeline-spec')}" in purls
    assert f"pkg:pypi/typing-extensions@{importlib.metadata.version('typing_extensions')}" in purls
    assert f"pkg:pypi/kfp-hallmark@{__version__}" in purls


def test_it_lists_what_debian_has_installed(printed):
    listed = subprocess.run(["dpkg-query", "--show", "bash"], capture_output=True, text=True, check=True).stdout
    version = listed.split()[1]
    found = [entry for entry in json.loads(printed[0])["components"] if entry["name"] == "bash"]
    assert [entry["version"] for entry in found] == [version]
    assert found[0]["purl"].startswith("pkg:deb/debian/bash@")
    assert "&distro=debian-" in found[0]["purl"]
