"""What a step needs on Kubeflow Pipelines, put into a compiled pipeline.

Names of Secrets and claims go into the fields that every backend from 2.14 on reads; the newer fields beside them are
for names that a run's parameter gives.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes

from kfp_hallmark.contracts.audit import PATH_VARIABLE as AUDIT_VARIABLE
from kfp_hallmark.contracts.release import SERVING_VARIABLE
from kfp_hallmark.platforms import pipeline as change
from kfp_hallmark.platforms.pipeline import Pipeline, Step
from kfp_hallmark.settings import Kubeflow, Settings
from kfp_hallmark.tracking import VARIABLE as TRACKING_VARIABLE

PLATFORM = "kubernetes"


def apply(pipeline: Pipeline, settings: Settings) -> None:
    """Put the settings for Kubeflow into a pipeline.

    Raises:
        InputError: If the pipeline contradicts them.
    """
    change.set_caching(pipeline, settings.caching)
    change.set_retries(pipeline, settings.retries, lambda step: _max_seconds(step, settings))
    executors = pipeline.platform.platforms[PLATFORM].deployment_spec.executors
    secrets = [variable for keys in settings.kubeflow.secrets.values() for variable in keys.values()]
    for step in pipeline.steps.values():
        change.set_resources(step.container, getattr(settings.resources, step.size), requests=True)
        config = change.parse(executors[step.label], kubernetes.KubernetesExecutorConfig())
        if step.traits:
            change.refuse_overlap(step, secrets)
            change.set_variables(step, _variables(settings))
            _set_secrets(config, settings.kubeflow)
        _set_pod(config, settings.kubeflow)
        if not config.active_deadline_seconds:
            config.active_deadline_seconds = getattr(settings.timeouts, step.size)
        executors[step.label].Clear()
        executors[step.label].update(json_format.MessageToDict(config))


def _max_seconds(step: Step, settings: Settings) -> int:
    """Return the time that all attempts may take: Argo also ends a retry that still runs when it is over."""
    retries = settings.retries
    if retries.max_seconds is not None:
        return retries.max_seconds
    waits = sum(retries.backoff_seconds * retries.factor**attempt for attempt in range(retries.count))
    return int(getattr(settings.timeouts, step.size)) * (retries.count + 1) + waits


def _variables(settings: Settings) -> dict[str, str]:
    variables = {}
    if settings.mlflow.tracking_uri:
        variables[TRACKING_VARIABLE] = settings.mlflow.tracking_uri
    if pvc := settings.kubeflow.pvc:
        folder = pvc.mount_path.rstrip("/")
        variables |= {SERVING_VARIABLE: f"{folder}/serving", AUDIT_VARIABLE: f"{folder}/audit.jsonl"}
    return variables | dict(settings.kubeflow.variables)


def _set_secrets(config: kubernetes.KubernetesExecutorConfig, settings: Kubeflow) -> None:
    for name, keys in settings.secrets.items():
        secret = kubernetes.SecretAsEnv(secret_name=name, optional=False)
        for key, variable in keys.items():
            secret.key_to_env.add(secret_key=key, env_var=variable)
        _add(config.secret_as_env, secret)


def _set_pod(config: kubernetes.KubernetesExecutorConfig, settings: Kubeflow) -> None:
    """Set what holds for every pod; what the pipeline's author set stays, and lists are added to."""
    config.image_pull_policy = config.image_pull_policy or settings.pull_policy
    for name in settings.pull_secrets:
        _add(config.image_pull_secret, kubernetes.ImagePullSecret(secret_name=name))
    for labels, wanted in (
        (config.node_selector.labels, settings.node_selector),
        (config.pod_metadata.labels, settings.labels),
    ):
        for key, value in wanted.items():
            labels.setdefault(key, value)
    for toleration in settings.tolerations:
        tolerated = kubernetes.Toleration(
            key=toleration.key, operator=toleration.operator, value=toleration.value, effect=toleration.effect
        )
        if toleration.seconds is not None:
            tolerated.toleration_seconds = toleration.seconds
        _add(config.tolerations, tolerated)
    if settings.pvc:
        _add(config.pvc_mount, kubernetes.PvcMount(constant=settings.pvc.claim, mount_path=settings.pvc.mount_path))


def _add(entries: Any, entry: Message) -> None:
    """Add an entry that is not there yet, so that compiling what was compiled changes nothing."""
    if entry not in entries:
        entries.append(entry)
