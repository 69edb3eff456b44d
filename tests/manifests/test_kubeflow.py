"""The Kustomize base for Kubeflow: rendered by kubectl, and held against what Kubernetes takes."""

import inspect
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from kubernetes import client

import kfp_hallmark
from kfp_hallmark import settings_checks

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "manifests" / "kubeflow"
API = client.ApiClient()


def render(folder):
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    return [entry for entry in yaml.safe_load_all(done.stdout) if entry]


@pytest.fixture(scope="module")
def rendered():
    """Kind and name to manifest."""
    return {(entry["kind"], entry["metadata"]["name"]): entry for entry in [*render(BASE), *render(BASE / "kserve")]}


pytestmark = pytest.mark.kubectl


def unknown(value, kind, path=""):
    """Yield the fields of an object that Kubernetes' own models lack."""
    if match := re.fullmatch(r"list\[(\w+)\]", kind):
        for index, entry in enumerate(value):
            yield from unknown(entry, match[1], f"{path}[{index}]")
    elif hasattr(getattr(client, kind, None), "openapi_types"):
        model = getattr(client, kind)
        names = {json: name for name, json in model.attribute_map.items()}
        for key, entry in value.items():
            if key in names:
                yield from unknown(entry, model.openapi_types[names[key]], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
        model(**{names[key]: entry for key, entry in value.items() if key in names})


def test_every_manifest_is_one_that_kubernetes_knows(rendered):
    assert {kind for kind, _ in rendered} == {
        *("Namespace", "ServiceAccount", "Role", "RoleBinding"),
        *("Deployment", "Service", "PersistentVolumeClaim", "NetworkPolicy"),
    }
    for entry in rendered.values():
        assert list(unknown(entry, f"V1{entry['kind']}")) == []
    broken = {"kind": "Service", "spec": {"ports": [{"port": 1, "prot": "TCP"}]}}
    assert list(unknown(broken, "V1Service")) == [".spec.ports[0].prot"]


def test_everything_is_in_its_namespace(rendered):
    kserve = {("Role", "hallmark-deployer"), ("RoleBinding", "hallmark-deployer")}
    for entry in render(BASE):
        if entry["kind"] != "Namespace":
            assert entry["metadata"]["namespace"] == "hallmark"
    for entry in render(BASE / "kserve"):
        assert (entry["kind"], entry["metadata"]["name"]) in kserve
        assert entry["metadata"]["namespace"] == "kserve"


def test_every_file_is_rendered_but_the_example():
    for folder in (BASE, BASE / "kserve"):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "secrets.example.yaml"}
        assert set(listed) == files


def test_what_refers_to_something_finds_it(rendered):
    for entry in [*render(BASE), *render(BASE / "kserve")]:
        if entry["kind"] == "RoleBinding":
            assert ("Role", entry["roleRef"]["name"]) in rendered
            for subject in entry["subjects"]:
                assert ("ServiceAccount", subject["name"]) in rendered
                assert rendered["ServiceAccount", subject["name"]]["metadata"]["namespace"] == subject["namespace"]
    pod = rendered["Deployment", "mlflow"]["spec"]["template"]
    (claim,) = (volume["persistentVolumeClaim"] for volume in pod["spec"]["volumes"] if "emptyDir" not in volume)
    assert ("PersistentVolumeClaim", claim["claimName"]) in rendered
    selectors = [
        rendered["Deployment", "mlflow"]["spec"]["selector"]["matchLabels"],
        rendered["Service", "mlflow"]["spec"]["selector"],
        rendered["NetworkPolicy", "mlflow"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector == pod["metadata"]["labels"] for selector in selectors)


def test_the_server_is_of_this_version_and_has_few_rights(rendered):
    pod = rendered["Deployment", "mlflow"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"kfp-hallmark/release:{kfp_hallmark.__version__}"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for kind in ("requests", "limits"):
        settings_checks.cpu(kind, container["resources"][kind]["cpu"])
        settings_checks.memory(kind, container["resources"][kind]["memory"])
    (rule,) = rendered["NetworkPolicy", "mlflow"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 5000}]


def test_the_server_is_known_by_the_names_that_it_is_reached_at(rendered):
    (container,) = rendered["Deployment", "mlflow"]["spec"]["template"]["spec"]["containers"]
    (hosts,) = (arg.partition("=")[2].split(",") for arg in container["args"] if arg.startswith("--allowed-hosts="))
    port = rendered["Service", "mlflow"]["spec"]["ports"][0]["port"]
    name = ("mlflow", "hallmark", "svc", "cluster", "local")
    assert hosts == [f"{'.'.join(name[:count])}:{port}" for count in (1, 2, 3, 5)]


def test_an_overlay_sets_namespace_and_image(tmp_path):
    folder = tmp_path / "overlay"
    folder.mkdir()
    digest = f"sha256:{'7' * 64}"
    (folder / "all.yaml").write_text(yaml.safe_dump_all(render(BASE)))
    overlay = {
        "namespace": "risk",
        "resources": ["all.yaml"],
        "images": [{"name": "kfp-hallmark/release", "newName": "registry.example.com/release", "digest": digest}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    found = {(entry["kind"], entry["metadata"]["name"]): entry for entry in render(folder)}
    (container,) = found["Deployment", "mlflow"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.com/release@{digest}"
    assert found["Role", "hallmark-deployer"]["metadata"]["namespace"] == "risk"


def test_the_example_of_secrets_has_no_values():
    for entry in yaml.safe_load_all((BASE / "secrets.example.yaml").read_text()):
        assert entry["kind"] == "Secret"
        assert list(unknown(entry, "V1Secret")) == []
        assert set(entry["stringData"].values()) == {""}
        assert "data" not in entry


def test_no_name_of_an_image_is_mutable():
    text = "\n".join(path.read_text() for path in BASE.rglob("*.yaml"))
    assert ":latest" not in text
    assert re.findall(r"^ *image: (.*)$", text, re.MULTILINE) == [f"kfp-hallmark/release:{kfp_hallmark.__version__}"]


def test_the_models_of_kubernetes_are_walked():
    """The walk above rests on these."""
    assert inspect.isclass(client.V1Deployment)
    assert client.V1Deployment.openapi_types["spec"] == "V1DeploymentSpec"
