"""The pipeline on real data, whose model goes to an endpoint of Vertex AI, or to an InferenceService of KServe.

Each service is a fake that speaks the protocol. The clients in the steps' own processes are unpatched: they find it by
the variables that they read themselves and by `api_endpoint`.
"""

import json
import sqlite3
from pathlib import Path

import pytest
from fakes.kserve import KServeFake
from fakes.vertex.fixtures import google  # noqa: F401

from kfp_hallmark.contracts.digest import Manifest, short
from kfp_hallmark.vertex import resource_id

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "acs_employment"
REUSED = {"split_dataset", "train_model", "evaluate_model", "explain_model"}
IMAGE = f"registry.example.com/hallmark/serve@sha256:{'5' * 64}"


class OnVertex:
    """Vertex AI, and the parameters by which the pipeline deploys to it."""

    target, name = "vertex", "acs-on-vertex"

    def __init__(self, fake):
        self.fake = fake
        self.requests = []
        fake.reset()
        fake.storage.buckets["models"] = {}
        fake.storage.refuse = lambda method, path: self.requests.append(f"{method} {path}")
        place = {"project": "acme-ml", "location": "europe-west4", "storage_uri": "gs://models/served"}
        endpoint = {"api_endpoint": fake.api_endpoint}
        self.options = {
            "vertex_registry": {**place, **endpoint, "serving_image": IMAGE},
            "deployment": {**endpoint, "machine_type": "n1-standard-4", "max_replicas": 2},
        }

    def forget(self):
        self.fake.calls.clear()
        self.requests.clear()

    def calls(self):
        return self.fake.calls + self.requests

    def serving(self):
        """Return what alone is deployed, as its release and its share of the requests, if it has the alias."""
        (endpoint,) = self.fake.endpoints.values()
        (deployed,) = endpoint.deployed_models
        version = self.fake.models[resource_id(self.name)][deployed.model_version_id]
        assert "champion" in version.version_aliases
        assert deployed.dedicated_resources.machine_spec.machine_type == "n1-standard-4"
        package = version.artifact_uri.removeprefix("gs://models/")
        release = json.loads(self.fake.storage.buckets["models"][f"{package}/release.json"])
        assert version.labels["hallmark_digest"] == short(release["digest"])
        return release, endpoint.traffic_split[deployed.id]


class OnKServe:
    """KServe, and the parameters by which the pipeline deploys to it."""

    target, name = "kserve", "acs-on-kserve"

    def __init__(self, fake, folder):
        self.fake, self.claim = fake, folder / "claim"
        fake.install(mode="Standard")
        self.options = {
            "deployment": {
                "storage_uri": "pvc://models/served",
                "mount_path": str(self.claim),
                "serving_image": IMAGE,
                "namespace": "models",
                "max_seconds": 60,
            },
        }
        self.forget()

    def forget(self):
        self.fake.calls.clear()
        self.before = self._files()

    def calls(self):
        return self.fake.calls + sorted(self._files() ^ self.before)

    def _files(self):
        return set(Manifest.of(self.claim).files.items()) if self.claim.exists() else set()

    def serving(self):
        """Return what alone is deployed, as its release and its share of the requests."""
        service = resource_id(self.name)
        told = json.loads(self.fake.service(service)["spec"]["predictor"]["annotations"]["io.hallmark/release"])
        assert any(name.endswith(f"{told['model']}/MLmodel") for name, _ in self._files())
        assert [key[2] for key in self.fake.objects if key[0] == "deployments"] == [f"{service}-predictor"]
        return told, self.fake.share(service)[told["version"]]


@pytest.fixture(scope="module")
def vertex(google):  # noqa: F811
    return OnVertex(google)


@pytest.fixture(scope="module")
def kserve(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kserve")
    with KServeFake(folder) as fake, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(fake.kubeconfig))
        yield OnKServe(fake, folder)


@pytest.fixture(scope="module")
def common_state(tmp_path_factory):
    """One state for all runs here, so that the model is trained once."""
    return tmp_path_factory.mktemp("state-targets")


@pytest.fixture(scope="module", params=["vertex", "kserve"])
def target(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def deploy(target, start, common_state, tmp_path_factory):
    """Run the pipeline, to deploy to the target."""

    def run(**parameters):
        given = {"model_name": target.name, "deploy_target": target.target}
        given |= {name: json.dumps(options) for name, options in (target.options | parameters).items()}
        settings = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
        folder = tmp_path_factory.mktemp(target.name) / "run"
        return start(folder, common_state, "--params", EXAMPLES / "released.yaml", *settings)

    return run


def reused(run):
    return {step["name"] for step in run.document["steps"] if step["state"] == "reused"}


def champion(state, name):
    """Return the version that MLflow's registry calls the champion; None when it knows no such model."""
    with sqlite3.connect(state / "mlflow" / "mlflow.db") as database:
        found = database.execute(
            "select version from registered_model_aliases where name = ? and alias = 'champion'", [name]
        ).fetchall()
    return found[0][0] if found else None


def test_what_is_fair_is_deployed(target, deploy, common_state):
    trained = (common_state / "mlflow").exists()
    run = deploy()
    assert run.exit_code == 0, run.stdout + run.stderr
    assert reused(run) == (REUSED if trained else set())
    released, share = target.serving()
    assert (released["digest"], share) == (run.document["model"]["digest"], 100)
    assert run.document["model"]["uri"] == f"models:/{target.name}/1"
    assert champion(common_state, target.name) == 1


@pytest.mark.parametrize("target", ["vertex"], indirect=True)
def test_of_what_is_not_fair_the_service_never_hears(target, deploy):
    target.forget()
    unfair = deploy(fairness_limits={"max_demographic_parity_difference": 0.0})
    assert unfair.exit_code == 3, unfair.stdout + unfair.stderr
    assert all(reason.startswith("fairness_gate: ") for reason in unfair.document["decision"]["reasons"])
    assert unfair.step("register_model")["state"] == unfair.step("deploy_model")["state"] == "skipped"
    assert target.calls() == []
