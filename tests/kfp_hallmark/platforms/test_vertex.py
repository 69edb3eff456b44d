"""Every setting for Vertex AI is where it reads it."""

import pytest
from kfp import dsl, kubernetes

from kfp_hallmark import components, lint
from kfp_hallmark.component import component
from kfp_hallmark.errors import InputError


@component(environment="ml", pure=True, size="large")
def fit(rows: int):
    """Fit."""
    print(rows)


@component(environment="release", size="medium")
def publish_nothing():
    """Publish."""
    print("nothing")


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


MACHINES = """
[vertex.machines.large]
cpu_limit = "8"
parameters = { cpu_limit = "large_cpu" }
[vertex.machines.fit]
memory_limit = "32G"
[vertex.machines.fit.parameters]
memory_limit = "fit_memory"
accelerator_type = "fit_accelerator"
accelerator_count = "fit_accelerators"
"""


def test_a_run_says_by_parameters_what_a_step_gets_as_kfp_has_it(compiled):
    @dsl.pipeline(name="own")
    def own():
        fit(rows=1)

    @dsl.pipeline(name="own")
    def theirs(fit_accelerator: str, large_cpu: str = "8", fit_memory: str = "32G", fit_accelerators: int = 1):
        task = fit(rows=1).set_cpu_limit(large_cpu).set_memory_limit(fit_memory)
        task.set_accelerator_type(fit_accelerator).set_accelerator_limit(fit_accelerators)

    found, wanted = compiled("vertex", MACHINES, own), compiled("vertex", "", theirs)
    for parameter in found.spec.root.input_definitions.parameters.values():
        assert parameter.description.endswith("on Vertex AI.")
        parameter.description = ""
    assert found.spec.root == wanted.spec.root
    assert found.spec.components == wanted.spec.components
    assert found.container("exec-fit") == wanted.container("exec-fit")
    assert not compiled("kubeflow", MACHINES, own).spec.root.input_definitions.parameters


def test_a_machines_parameter_is_passed_down_to_its_step(compiled, tmp_path):
    @dsl.pipeline(name="own")
    def own():
        with dsl.ExitHandler(publish_nothing()), dsl.ParallelFor([1, 2]) as rows, dsl.If(rows > 1):
            fit(rows=rows)

    found = compiled("vertex", MACHINES, own)
    parameters = {"large_cpu", "fit_memory", "fit_accelerator", "fit_accelerators"}
    assert parameters <= {name.removeprefix("pipelinechannel--") for name in found.task("fit").inputs.parameters}
    (tmp_path / "own.yaml").write_bytes(found.content)
    assert "HM001" not in {finding.rule.code for finding in lint.check(lint.read(tmp_path / "own.yaml"))}


def test_every_task_of_a_size_takes_one_parameter(compiled):
    text = '[vertex.machines.small.parameters]\ncpu_limit = "small_cpu"'
    found = compiled("vertex", text)
    assert found.spec.root.input_definitions.parameters["small_cpu"].default_value.string_value == "1"
    for name in ("publish", "append", "publish-2"):
        assert found.task(name).inputs.parameters["pipelinechannel--small_cpu"].component_input_parameter
    for name in ("exec-publish", "exec-append"):
        resources = found.container(name).resources
        assert resources.resource_cpu_limit == "{{$.inputs.parameters['pipelinechannel--small_cpu']}}"
        assert not resources.cpu_limit


def test_a_components_own_value_goes_over_its_sizes_parameter(compiled):
    found = compiled("vertex", MACHINES + "[vertex.machines.publish]\n[vertex.machines.append]\n")
    assert "large_cpu" in found.spec.root.input_definitions.parameters
    text = MACHINES.replace('memory_limit = "32G"', 'memory_limit = "32G"\ncpu_limit = "16"')
    found = compiled("vertex", text)
    assert "large_cpu" not in found.spec.root.input_definitions.parameters
    assert found.container("exec-fit").resources.resource_cpu_limit == "16"


def test_what_the_author_set_takes_no_parameter(compiled):
    @dsl.pipeline(name="own")
    def own():
        fit(rows=1).set_cpu_limit("2").set_accelerator_type("NVIDIA_L4").set_accelerator_limit(1)

    found = compiled("vertex", MACHINES, own)
    assert set(found.spec.root.input_definitions.parameters) == {"fit_memory"}


def test_a_machines_parameter_must_be_new_and_its_default_a_machines(compiled):
    with pytest.raises(InputError, match=r"'rows', which vertex\.machines names for the cpu_limit of fit, must be new"):
        compiled("vertex", '[vertex.machines.fit.parameters]\ncpu_limit = "rows"')
    both = (
        '[vertex.machines.fit.parameters]\ncpu_limit = "cpu"\n[vertex.machines.publish.parameters]\ncpu_limit = "cpu"'
    )
    with pytest.raises(
        InputError, match=r"'cpu', which vertex\.machines names for the cpu_limit of publish, must be new"
    ):
        compiled("vertex", both)
    text = '[resources.large]\ncpu_limit = "97"\n[vertex.machines.fit.parameters]\ncpu_limit = "cpu"'
    with pytest.raises(InputError, match="default of the parameter 'cpu' must be at most 96 processors"):
        compiled("vertex", text)


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
