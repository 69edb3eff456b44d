"""What a step needs on Kubeflow Pipelines, put into a compiled pipeline.

Names of Secrets and claims go into the fields that every backend from 2.14 on reads; the newer fields beside them are
for names that a run's parameter gives.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes

from kfp_hallmark.contracts.audit import PATH_VARIABLE as AUDIT_VARIABLE
from kfp_hallmark.contracts.privacy import PATH_VARIABLE as LEDGER_VARIABLE
from kfp_hallmark.contracts.release import SERVING_VARIABLE
from kfp_hallmark.errors import InputError
from kfp_hallmark.platforms import pipeline as change
from kfp_hallmark.platforms.pipeline import Pipeline, Step
from kfp_hallmark.settings import Kubeflow, Pvc, Settings
from kfp_hallmark.tracking import VARIABLE as TRACKING_VARIABLE

PLATFORM = "kubernetes"

ON_VOLUME = {
    "serving_dir": (SERVING_VARIABLE, "serving"),
    "audit_log": (AUDIT_VARIABLE, "audit.jsonl"),
    "privacy": (LEDGER_VARIABLE, "privacy_ledger.jsonl"),
}
"""Where on the volume a step finds what it takes by a parameter, if a run does not say, and in which variable."""


def apply(pipeline: Pipeline, settings: Settings) -> None:
    """Put the settings for Kubeflow into a pipeline.

    Raises:
        InputError: If the pipeline contradicts them.
    """
    change.set_caching(pipeline, settings.caching)
    change.set_retries(pipeline, settings.retries, lambda step: _max_seconds(step, settings))
    executors = pipeline.platform.platforms[PLATFORM].deployment_spec.executors
    secrets = {
        variable: (name, key) for name, keys in settings.kubeflow.secrets.items() for key, variable in keys.items()
    }
    for step in pipeline.steps.values():
        change.refuse_fetched_secrets(step)
        change.set_resources(step.container, getattr(settings.resources, step.size), requests=True)
        config = change.parse(executors[step.label], kubernetes.KubernetesExecutorConfig())
        if step.traits:
            taken = _taken(config)
            others = {name for name, source in taken.items() if source != secrets.get(name)}
            change.refuse_overlap(step, step.variables | others, secrets)
            change.set_variables(step, _variables(step, settings), step.variables | others)
            _set_secrets(config, settings.kubeflow, taken)
        _set_pod(config, settings.kubeflow)
        if settings.kubeflow.pvc:
            _mount(step, config, settings.kubeflow.pvc)
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


def _variables(step: Step, settings: Settings) -> dict[str, str]:
    variables = {}
    if settings.mlflow.tracking_uri:
        variables[TRACKING_VARIABLE] = settings.mlflow.tracking_uri
    if pvc := settings.kubeflow.pvc:
        for parameter, (variable, name) in ON_VOLUME.items():
            if parameter in step.parameters:
                variables[variable] = f"{pvc.mount_path.rstrip('/')}/{name}"
    return variables | dict(settings.kubeflow.variables)


def _taken(config: kubernetes.KubernetesExecutorConfig) -> dict[str, tuple[str, str]]:
    """Return the variables that a step has from Kubernetes, each with its Secret and key, if it is from one."""
    found = {entry.name: ("", "") for entry in config.field_path_as_env}
    found |= {entry.env_var: ("", "") for source in config.config_map_as_env for entry in source.key_to_env}
    return found | {
        entry.env_var: (secret.secret_name, entry.secret_key)
        for secret in config.secret_as_env
        for entry in secret.key_to_env
    }


def _set_secrets(config: kubernetes.KubernetesExecutorConfig, settings: Kubeflow, present: Collection[str]) -> None:
    for name, keys in settings.secrets.items():
        wanted = {key: variable for key, variable in keys.items() if variable not in present}
        if wanted:
            secret = config.secret_as_env.add(secret_name=name)
            for key, variable in wanted.items():
                secret.key_to_env.add(secret_key=key, env_var=variable)


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


def _mount(step: Step, config: kubernetes.KubernetesExecutorConfig, pvc: Pvc) -> None:
    """Mount the volume, unless the author did; a pod takes a claim once, and one volume at a path."""
    path = PurePosixPath(pvc.mount_path)
    for mount in config.pvc_mount:
        if pvc.claim in (mount.constant, mount.pvc_name_parameter.runtime_value.constant.string_value):
            if PurePosixPath(mount.mount_path) == path and not mount.sub_path:
                return
            raise InputError(
                f"The volume of kubeflow.pvc.claim, {pvc.claim!r}, must be mounted once into {step.component}; "
                f"the pipeline mounts it too, at {mount.mount_path!r}."
            )
    mounts = (
        *config.pvc_mount,
        *config.secret_as_volume,
        *config.config_map_as_volume,
        *config.generic_ephemeral_volume,
        *config.empty_dir_mounts,
    )
    if any(PurePosixPath(mount.mount_path) == path for mount in mounts):
        raise InputError(
            f"The folder of kubeflow.pvc.mount_path, {pvc.mount_path!r}, must be free in {step.component}; "
            "the pipeline mounts something there."
        )
    config.pvc_mount.add(constant=pvc.claim, mount_path=pvc.mount_path)


def _add(entries: Any, entry: Message) -> None:
    """Add an entry that is not there yet, so that compiling what was compiled changes nothing."""
    if entry not in entries:
        entries.append(entry)
