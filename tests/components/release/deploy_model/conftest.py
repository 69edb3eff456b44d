"""A cluster with KServe, and what an InferenceService may hold in the newest version and before there were canaries."""

import pytest
from fakes import kserve_models
from fakes.kserve import KServeFake


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The models of the newest published KServe."""
    return kserve_models.install(kserve_models.NEWEST, tmp_path_factory.mktemp("kserve"))


@pytest.fixture(scope="session")
def old_models(tmp_path_factory):
    """The models of the last KServe without `spec.canary`."""
    return kserve_models.install(kserve_models.BEFORE_CANARIES, tmp_path_factory.mktemp("kserve"))


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory):
    """A cluster that the kubeconfig of this process, and of those that it starts, names."""
    with KServeFake(tmp_path_factory.mktemp("cluster")) as service, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(service.kubeconfig))
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(service.kubeconfig))
        yield service


@pytest.fixture
def cluster(kubernetes, models):
    """The cluster with KServe on Knative, and nothing else."""
    kubernetes.reset()
    kubernetes.install(models=models)
    return kubernetes
