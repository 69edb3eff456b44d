"""Every setting for Vertex AI is where it reads it."""

import pytest
from kfp import dsl, kubernetes

from kfp_hallmark import components
from kfp_hallmark.errors import InputError


def test_there_is_one_document(compiled):
    text = '[kubeflow]\nlabels = { team = "risk" }\n[kubeflow.secrets.a]\nb = "C"\n[timeouts]\nsmall = 5'
    found = compiled("vertex", text)
    assert found.documents == 1
    assert b"risk" not in found.content


def test_processors_and_memory_go_by_size_then_by_component(compiled):
    text = """
        [resources.small]
        cpu_limit = "2"
        [vertex.machines.small]
        memory_limit = "4G"
        [vertex.machines.fit]
        cpu_limit = "16"
        memory_limit = "64G"
        accelerator_type = "NVIDIA_TESLA_T4"
        accelerator_count = 2
        [vertex.machines.large]
        cpu_limit = "8"
        [vertex.machines.append]
        accelerator_type = "NVIDIA_L4"
    """
    found = compiled("vertex", text)
    fit, append, tool = (found.container(f"exec-{name}").resources for name in ("fit", "append", "tool"))
    assert (fit.resource_cpu_limit, fit.cpu_limit) == ("16", 16)
    assert (fit.resource_memory_limit, fit.memory_limit) == ("64G", 64)
    assert (fit.accelerator.type, fit.accelerator.count) == ("NVIDIA_TESLA_T4", 2)
    assert (fit.accelerator.resource_type, fit.accelerator.resource_count) == ("NVIDIA_TESLA_T4", "2")
    assert (append.resource_cpu_limit, append.resource_memory_limit) == ("2", "4G")
    assert append.accelerator.count == 1
    assert (tool.resource_cpu_limit, tool.resource_memory_limit) == ("2", "6Gi")
    assert not tool.HasField("accelerator")
    assert not fit.cpu_request
    assert not fit.resource_memory_request


def test_a_machine_that_vertex_lacks_is_refused(compiled):
    with pytest.raises(InputError, match="processors of fit must be at most 96 on Vertex AI; got 97"):
        compiled("vertex", '[resources.large]\ncpu_limit = "97"')
    with pytest.raises(InputError, match=r"memory of fit must be at most 624 GB on Vertex AI; got 1099\.51"):
        compiled("vertex", '[resources.large]\nmemory_limit = "1Ti"')


def test_variables_and_secrets_by_reference_go_to_our_steps_alone(compiled):
    version = "projects/acme-ml/secrets/mlflow-password/versions/3"
    text = f"""
        [mlflow]
        tracking_uri = "https://mlflow.acme.com"
        [vertex.variables]
        A = "b"
        [vertex.secrets]
        MLFLOW_TRACKING_PASSWORD = "{version}"
        B = "projects/acme-ml/secrets/b/versions/latest"
    """
    found = compiled("vertex", text)
    plain = compiled("vertex")
    for name in ("fit", "publish", "append"):
        container = found.container(f"exec-{name}")
        fetch, command = list(container.command[:6]), list(container.command[6:])
        assert fetch == [
            "python3",
            "-m",
            "kfp_hallmark.secret_manager",
            "B=projects/acme-ml/secrets/b/versions/latest",
            f"MLFLOW_TRACKING_PASSWORD={version}",
            "--",
        ]
        assert command == list(plain.container(f"exec-{name}").command)
        variables = found.variables(f"exec-{name}")
        assert (variables["A"], variables["MLFLOW_TRACKING_URI"]) == ("b", "https://mlflow.acme.com")
        assert "B" not in variables
    assert list(found.container("exec-tool").command) == ["tool"]
    assert found.variables("exec-tool") == {}


def test_retries_keep_to_the_hour_that_the_service_allows(compiled):
    found = compiled("vertex")
    retried = {name: task.retry_policy for (_, name), task in found.tasks().items() if task.HasField("retry_policy")}
    assert set(retried) == {"fit", "publish", "publish-2"}
    assert {policy.backoff_max_duration.seconds for policy in retried.values()} == {3600}
    for seconds, kept in ((90, 90), (7200, 3600)):
        policy = compiled("vertex", f"[retries]\nmax_seconds = {seconds}").task("fit").retry_policy
        assert policy.backoff_max_duration.seconds == kept


def test_nothing_of_a_run_is_in_the_file(compiled):
    text = """
        [vertex]
        project = "acme-ml"
        location = "europe-west4"
        pipeline_root = "gs://acme-runs/root"
        service_account = "runs@acme-ml.iam.gserviceaccount.com"
        network = "projects/12/global/networks/acme"
        labels = { cost = "seventeen" }
        [kubeflow]
        host = "https://kubeflow.acme.com"
        namespace = "risk"
    """
    for platform in ("vertex", "kubeflow"):
        content = compiled(platform, text).content.decode()
        for value in ("europe-west4", "acme-runs", "runs@", "networks", "seventeen", "kubeflow.acme", "risk"):
            assert value not in content, value
        assert content == compiled(platform).content.decode()


def test_kubernetes_settings_are_refused(compiled):
    @dsl.pipeline(name="own")
    def own():
        kubernetes.set_timeout(components.load_dataset(uri="x"), 5)

    with pytest.raises(InputError, match="for Vertex AI must have no platform settings; 'own' has"):
        compiled("vertex", "", own)


def test_an_author_must_not_set_what_a_secret_gives(compiled):
    @dsl.pipeline(name="own")
    def own():
        components.load_dataset(uri="x").set_env_variable("PASSWORD", "plain")

    with pytest.raises(InputError, match="PASSWORD of load_dataset must come from its secret alone"):
        compiled("vertex", '[vertex.secrets]\nPASSWORD = "projects/p/secrets/s/versions/1"', own)


def test_an_accelerator_of_the_author_stays(compiled):
    @dsl.pipeline(name="own")
    def own():
        components.load_dataset(uri="x").set_accelerator_type("NVIDIA_L4").set_accelerator_limit(4)

    text = '[vertex.machines.load_dataset]\naccelerator_type = "NVIDIA_TESLA_T4"\ncpu_limit = "8"'
    resources = compiled("vertex", text, own).container("exec-load-dataset").resources
    assert (resources.accelerator.type, resources.accelerator.count) == ("NVIDIA_L4", 4)
    assert resources.resource_cpu_limit == "8"


def test_more_than_a_machine_has_is_refused_of_the_author_too(compiled):
    @dsl.pipeline(name="own")
    def own():
        components.load_dataset(uri="x").set_cpu_limit("97")

    with pytest.raises(InputError, match="processors of load_dataset must be at most 96 on Vertex AI; got 97"):
        compiled("vertex", "", own)


def test_a_volume_of_kubernetes_is_refused(compiled):
    @dsl.pipeline(name="own")
    def own():
        kubernetes.DeletePVC(pvc_name="scratch")

    with pytest.raises(InputError, match="must not make or delete volumes of Kubernetes; 'own' does"):
        compiled("vertex", "", own)
