"""Every setting for Kubeflow is where its backend reads it."""

import pytest
from kfp import components as kfp_components
from kfp import dsl, kubernetes

from kfp_hallmark import components, pipelines
from kfp_hallmark.errors import InputError

OURS = {"exec-fit", "exec-publish", "exec-append", "exec-publish-2"}


def test_there_are_two_documents_and_every_container_has_its_own_part(compiled):
    found = compiled("kubeflow")
    assert found.documents == 2
    assert set(found.platform.platforms["kubernetes"].deployment_spec.executors) == found.labels
    assert {"exec-fit", "exec-publish", "exec-append", "exec-tool"} <= found.labels


def test_requests_and_limits_go_by_size_as_numbers_and_as_quantities(compiled):
    text = """
        [resources.large]
        cpu_request = "500m"
        cpu_limit = "6"
        memory_request = "3Gi"
        memory_limit = "12G"
    """
    found = compiled("kubeflow", text)
    large = found.container("exec-fit").resources
    assert (large.resource_cpu_request, large.cpu_request) == ("500m", 0.5)
    assert (large.resource_cpu_limit, large.cpu_limit) == ("6", 6)
    assert (large.resource_memory_request, large.memory_request) == ("3Gi", 3.221225472)
    assert (large.resource_memory_limit, large.memory_limit) == ("12G", 12)
    assert found.container("exec-publish").resources.resource_memory_limit == "2Gi"
    assert found.container("exec-tool").resources.resource_memory_limit == "6Gi", "what says no size is medium"


def test_numbers_are_those_of_kfp(compiled):
    """What KFP's compiler makes of the same quantities."""

    @dsl.pipeline(name="by-kfp")
    def by_kfp():
        fit = components.load_dataset(uri="x")
        fit.set_cpu_request("500m").set_cpu_limit("6").set_memory_request("3Gi").set_memory_limit("12G")

    text = '[resources.medium]\ncpu_request = "500m"\ncpu_limit = "6"\nmemory_request = "3Gi"\nmemory_limit = "12G"'
    by_author = compiled("kubeflow", "", by_kfp).container("exec-load-dataset").resources
    assert by_author.resource_memory_limit == "12G"

    @dsl.pipeline(name="by-us")
    def by_us():
        components.load_dataset(uri="x")

    assert compiled("kubeflow", text, by_us).container("exec-load-dataset").resources == by_author


def test_secrets_go_to_our_steps_alone_and_must_be_there(compiled):
    text = """
        [kubeflow.secrets.mlflow]
        username = "MLFLOW_TRACKING_USERNAME"
        password = "MLFLOW_TRACKING_PASSWORD"
        [kubeflow.secrets.store]
        accesskey = "AWS_ACCESS_KEY_ID"
    """
    found = compiled("kubeflow", text)
    for label in OURS & found.labels:
        secrets = {
            secret.secret_name: {entry.secret_key: entry.env_var for entry in secret.key_to_env}
            for secret in found.kubernetes(label).secret_as_env
        }
        assert secrets == {
            "mlflow": {"username": "MLFLOW_TRACKING_USERNAME", "password": "MLFLOW_TRACKING_PASSWORD"},
            "store": {"accesskey": "AWS_ACCESS_KEY_ID"},
        }
        assert not any(secret.optional for secret in found.kubernetes(label).secret_as_env)
    assert not found.kubernetes("exec-tool").secret_as_env


def test_variables_and_the_volume_s_paths(compiled):
    text = """
        [mlflow]
        tracking_uri = "http://mlflow.mlflow:5000"
        [kubeflow.variables]
        MLFLOW_S3_ENDPOINT_URL = "http://minio:9000"
        HALLMARK_SERVING_DIR = "/mnt/state/models"
        [kubeflow.pvc]
        claim = "state"
        mount_path = "/mnt/state/"
    """
    found = compiled("kubeflow", text)
    everywhere = {
        "MLFLOW_TRACKING_URI": "http://mlflow.mlflow:5000",
        "MLFLOW_S3_ENDPOINT_URL": "http://minio:9000",
        "HALLMARK_SERVING_DIR": "/mnt/state/models",
    }
    assert found.variables("exec-append") == everywhere
    assert found.variables("exec-tool") == {}
    ours = compiled("kubeflow", text, pipelines.governed_training)
    privacy = {"HALLMARK_PRIVACY_LEDGER": "/mnt/state/privacy_ledger.jsonl"}
    assert ours.variables("exec-train-model") == everywhere | privacy
    assert ours.variables("exec-record-run") == everywhere | {"HALLMARK_AUDIT_LOG": "/mnt/state/audit.jsonl"}
    assert ours.variables("exec-evaluate-model") == everywhere
    text = text.replace("HALLMARK_SERVING_DIR", "OTHER")
    serving = compiled("kubeflow", text, pipelines.governed_training).variables("exec-deploy-model")
    assert serving["HALLMARK_SERVING_DIR"] == "/mnt/state/serving"
    for label in found.labels:
        (mount,) = found.kubernetes(label).pvc_mount
        assert (mount.constant, mount.mount_path) == ("state", "/mnt/state/")


def test_where_pods_run_and_how_images_come(compiled):
    text = """
        [kubeflow]
        pull_policy = "Always"
        pull_secrets = ["registry"]
        node_selector = { pool = "ml" }
        labels = { team = "risk", "acme.com/cost" = "17" }
        [[kubeflow.tolerations]]
        key = "dedicated"
        value = "ml"
        effect = "NoExecute"
        seconds = 60
        [[kubeflow.tolerations]]
        operator = "Exists"
    """
    found = compiled("kubeflow", text)
    for label in found.labels:
        config = found.kubernetes(label)
        assert config.image_pull_policy == "Always"
        assert [secret.secret_name for secret in config.image_pull_secret] == ["registry"]
        assert dict(config.node_selector.labels) == {"pool": "ml"}
        assert dict(config.pod_metadata.labels) == {"team": "risk", "acme.com/cost": "17"}
        first, second = config.tolerations
        assert (first.key, first.operator, first.value, first.effect) == ("dedicated", "Equal", "ml", "NoExecute")
        assert first.toleration_seconds == 60
        assert (second.key, second.operator, second.value, second.effect) == ("", "Exists", "", "")
        assert not second.HasField("toleration_seconds")


def test_time_outs_go_by_size(compiled):
    found = compiled("kubeflow", "[timeouts]\nsmall = 60\nlarge = 7200")
    seconds = {label: found.kubernetes(label).active_deadline_seconds for label in found.labels}
    assert (seconds["exec-append"], seconds["exec-tool"], seconds["exec-fit"]) == (60, 14_400, 7200)


def test_only_what_is_idempotent_is_retried(compiled):
    text = "[retries]\ncount = 3\nbackoff_seconds = 10\nfactor = 3\n[timeouts]\nsmall = 100\nlarge = 1000"
    found = compiled("kubeflow", text)
    retried = {name: task.retry_policy for (_, name), task in found.tasks().items() if task.HasField("retry_policy")}
    assert set(retried) == {"fit", "publish", "publish-2"}
    for policy in retried.values():
        assert (policy.max_retry_count, policy.backoff_duration.seconds, policy.backoff_factor) == (3, 10, 3)
    waits = 10 + 30 + 90
    assert retried["fit"].backoff_max_duration.seconds == 4 * 1000 + waits, "Argo ends a retry that runs after it"
    assert retried["publish"].backoff_max_duration.seconds == 4 * 100 + waits


def test_the_time_for_retries_can_be_said(compiled):
    policy = compiled("kubeflow", "[retries]\nmax_seconds = 90").task("fit").retry_policy
    assert policy.backoff_max_duration.seconds == 90


def test_no_retries(compiled):
    found = compiled("kubeflow", "[retries]\ncount = 0")
    assert not any(task.HasField("retry_policy") for task in found.tasks().values())


def test_what_is_not_idempotent_must_not_be_retried_by_its_author(compiled):
    @dsl.pipeline(name="twice")
    def twice():
        decision = dsl.importer(artifact_uri="gs://x/y", artifact_class=dsl.Artifact)
        components.enforce_decision(decision=decision.output).set_retry(1)

    with pytest.raises(InputError, match="task 'enforce-decision' must not be retried: enforce_decision is not"):
        compiled("kubeflow", "", twice)


def test_what_the_author_set_stays(compiled):
    @dsl.pipeline(name="own")
    def own():
        task = components.load_dataset(uri="x")
        task.set_memory_limit("1Gi").set_retry(7).set_env_variable("A", "theirs")
        kubernetes.set_timeout(task, 5)
        kubernetes.set_image_pull_policy(task, "Never")
        kubernetes.add_node_selector(task, "pool", "theirs")
        kubernetes.add_pod_label(task, "team", "theirs")
        kubernetes.add_toleration(task, key="theirs", operator="Exists")
        kubernetes.use_secret_as_env(task, "theirs", {"a": "B"})

    text = """
        [kubeflow]
        node_selector = { pool = "ours", zone = "a" }
        labels = { team = "ours" }
        tolerations = [{ key = "ours", operator = "Exists" }]
        variables = { A = "ours" }
        [kubeflow.secrets.ours]
        c = "D"
    """
    found = compiled("kubeflow", text, own)
    label = "exec-load-dataset"
    config = found.kubernetes(label)
    assert found.container(label).resources.resource_memory_limit == "1Gi"
    assert found.task("load-dataset").retry_policy.max_retry_count == 7
    assert found.variables(label)["A"] == "theirs"
    assert (config.active_deadline_seconds, config.image_pull_policy) == (5, "Never")
    assert dict(config.node_selector.labels) == {"pool": "theirs", "zone": "a"}
    assert dict(config.pod_metadata.labels) == {"team": "theirs"}
    assert [toleration.key for toleration in config.tolerations] == ["theirs", "ours"]
    assert [secret.secret_name for secret in config.secret_as_env] == ["theirs", "ours"]


def test_an_author_must_not_set_what_a_secret_gives(compiled):
    @dsl.pipeline(name="own")
    def own():
        components.load_dataset(uri="x").set_env_variable("PASSWORD", "plain")

    with pytest.raises(InputError, match="PASSWORD of load_dataset must come from its secret alone") as error:
        compiled("kubeflow", '[kubeflow.secrets.a]\nb = "PASSWORD"', own)
    assert "plain" not in str(error.value)


def test_an_author_s_secret_is_not_given_by_another(compiled):
    @dsl.pipeline(name="own")
    def own():
        kubernetes.use_secret_as_env(components.load_dataset(uri="x"), "theirs", {"b": "PASSWORD"})

    with pytest.raises(InputError, match="PASSWORD of load_dataset must come from its secret alone"):
        compiled("kubeflow", '[kubeflow.secrets.a]\nb = "PASSWORD"', own)
    same = compiled("kubeflow", '[kubeflow.secrets.theirs]\nb = "PASSWORD"', own)
    assert len(same.kubernetes("exec-load-dataset").secret_as_env) == 1


def test_an_author_s_variable_stays_wherever_it_comes_from(compiled):
    @dsl.pipeline(name="own")
    def own():
        task = components.load_dataset(uri="x")
        kubernetes.use_config_map_as_env(task, "theirs", {"a": "A"})
        kubernetes.use_field_path_as_env(task, "B", "metadata.name")
        kubernetes.use_secret_as_env(task, "theirs", {"c": "C"})

    text = '[kubeflow.variables]\nA = "1"\nB = "2"\nC = "3"\nD = "4"'
    assert compiled("kubeflow", text, own).variables("exec-load-dataset") == {"D": "4"}


@pytest.fixture
def resources(compiled):
    """Compile a step on whose task something is set, and return its resources as quantities and as numbers."""

    def call(change, text=""):
        @dsl.pipeline(name="own")
        def own(amount: str = "3"):
            change(components.load_dataset(uri="x"), amount)

        found = compiled("kubeflow", text, own).container("exec-load-dataset").resources
        quantities = [getattr(found, f"resource_{name}") for name in NAMES]
        numbers = [getattr(found, name) for name in NAMES]
        return quantities, numbers

    return call


NAMES = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")
GIB = 2**30 / 10**9


@pytest.mark.parametrize(
    ("change", "quantities", "numbers"),
    [
        (lambda task, _: task.set_cpu_limit("3"), ["1", "3", "2Gi", "6Gi"], [1, 3, 2 * GIB, 6 * GIB]),
        (lambda task, _: task.set_cpu_limit("500m"), ["500m", "500m", "2Gi", "6Gi"], [0.5, 0.5, 2 * GIB, 6 * GIB]),
        (lambda task, _: task.set_cpu_request("8"), ["8", "8", "2Gi", "6Gi"], [8, 8, 2 * GIB, 6 * GIB]),
        (lambda task, _: task.set_cpu_request("2"), ["2", "2", "2Gi", "6Gi"], [2, 2, 2 * GIB, 6 * GIB]),
        (lambda task, _: task.set_memory_limit("1G"), ["1", "2", "1G", "1G"], [1, 2, 1, 1]),
        (lambda task, _: task.set_memory_request("7G"), ["1", "2", "7G", "7G"], [1, 2, 7, 7]),
        (lambda task, _: task.set_memory_request("1G"), ["1", "2", "1G", "6Gi"], [1, 2, 1, 6 * GIB]),
    ],
)
def test_what_the_author_left_open_is_of_the_size_and_no_request_is_above_its_limit(
    resources, change, quantities, numbers
):
    assert resources(change) == (quantities, pytest.approx(numbers))


def test_beside_what_only_the_run_knows_nothing_is_set(resources):
    limited, _ = resources(lambda task, amount: task.set_cpu_limit(amount))
    assert limited[0] == ""
    assert "amount" in limited[1]
    assert limited[2:] == ["2Gi", "6Gi"]
    requested, _ = resources(lambda task, amount: task.set_memory_request(amount))
    assert "amount" in requested[2]
    assert (requested[:2], requested[3]) == (["1", "2"], "")


@dsl.pipeline(name="volume")
def with_a_volume():
    made = kubernetes.CreatePVC(pvc_name="scratch", access_modes=["ReadWriteOnce"], size="1Gi")
    kubernetes.mount_pvc(components.load_dataset(uri="x"), made.outputs["name"], "/scratch")
    kubernetes.DeletePVC(pvc_name=made.outputs["name"])


def test_what_makes_and_deletes_volumes_runs_no_image_and_is_left_alone(compiled):
    found = compiled(
        "kubeflow", "[kubeflow]\nlabels = { team = 'risk' }\n[kubeflow.pvc]\nclaim = 'state'", with_a_volume
    )
    for label, image in (("exec-createpvc", "argostub/createpvc"), ("exec-deletepvc", "argostub/deletepvc")):
        container = found.container(label)
        assert container.image == image
        assert not container.HasField("resources")
        assert label not in found.platform.platforms["kubernetes"].deployment_spec.executors
    mounts = [mount.mount_path for mount in found.kubernetes("exec-load-dataset").pvc_mount]
    assert mounts == ["/scratch", "/mnt/hallmark"]


def test_without_caching_a_volume_is_made_anew(compiled):
    assert compiled("kubeflow", "", with_a_volume).task("createpvc").caching_options.enable_cache
    task = compiled("kubeflow", "[caching]\nenabled = false", with_a_volume).task("createpvc")
    assert not task.caching_options.enable_cache


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (
            lambda task: kubernetes.mount_pvc(task, "state", "/elsewhere"),
            r"pvc\.claim, 'state', must be mounted once into load_dataset; the pipeline mounts it too, at '/elsewhere'",
        ),
        (
            lambda task: kubernetes.mount_pvc(task, "other", "/mnt/hallmark/"),
            r"pvc\.mount_path, '/mnt/hallmark', must be free in load_dataset; the pipeline mounts something there",
        ),
        (lambda task: kubernetes.use_secret_as_volume(task, "s", "/mnt/hallmark"), "must be free in load_dataset"),
        (lambda task: kubernetes.use_config_map_as_volume(task, "s", "/mnt/hallmark"), "must be free in load_dataset"),
        (lambda task: kubernetes.empty_dir_mount(task, "s", "/mnt/hallmark"), "must be free in load_dataset"),
        (
            lambda task: kubernetes.add_ephemeral_volume(task, "s", "/mnt/hallmark", ["ReadWriteOnce"], "1Gi"),
            "must be free in load_dataset",
        ),
    ],
)
def test_a_volume_is_not_mounted_twice(compiled, mount, message):
    @dsl.pipeline(name="own")
    def own():
        mount(components.load_dataset(uri="x"))

    with pytest.raises(InputError, match=message):
        compiled("kubeflow", "[kubeflow.pvc]\nclaim = 'state'", own)


def test_the_volume_as_the_author_mounted_it_is_enough(compiled):
    @dsl.pipeline(name="own")
    def own():
        kubernetes.mount_pvc(components.load_dataset(uri="x"), "state", "/mnt/hallmark/")

    found = compiled("kubeflow", "[kubeflow.pvc]\nclaim = 'state'", own)
    assert len(found.kubernetes("exec-load-dataset").pvc_mount) == 1


def test_what_was_compiled_for_vertex_with_secrets_is_refused(compiled, tmp_path):
    """Its steps would still ask Google's Secret Manager."""
    secret = "[vertex.secrets]\nA = 'projects/p/secrets/s/versions/1'"
    content = compiled("vertex", secret).content
    with pytest.raises(InputError, match="must not hold secrets of an earlier compilation for Vertex AI; it does"):
        compiled("kubeflow", "", kfp_components.load_component_from_text(content.decode()))
