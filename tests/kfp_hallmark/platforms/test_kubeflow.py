"""Every setting for Kubeflow is where its backend reads it."""

import pytest
from kfp import dsl, kubernetes

from kfp_hallmark import components
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
    assert found.variables("exec-append") == {
        "MLFLOW_TRACKING_URI": "http://mlflow.mlflow:5000",
        "MLFLOW_S3_ENDPOINT_URL": "http://minio:9000",
        "HALLMARK_SERVING_DIR": "/mnt/state/models",
        "HALLMARK_AUDIT_LOG": "/mnt/state/audit.jsonl",
    }
    assert found.variables("exec-tool") == {}
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
    assert not found.container(label).resources.resource_cpu_limit
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
