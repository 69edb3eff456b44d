"""The settings of a platform: one file, `hallmark.toml`, and environment variables over it.

The file says what holds for every run on a platform: where it is, what steps may use, how they reach secrets. What
belongs to one run (its parameters, experiment, name, schedule) is not in it, and neither is a secret: only the name of
what holds one. docs/settings.md lists every table and key with an example.

The file is the one that is given, else the one that `HALLMARK_SETTINGS` names, else `hallmark.toml` in the working
folder; without any, all settings have their defaults. `HALLMARK_<TABLE>_<KEY>`, such as `HALLMARK_VERTEX_PROJECT` or
`HALLMARK_RESOURCES_LARGE_MEMORY_LIMIT`, goes over the file: text and numbers as they are, everything else in TOML, such
as `HALLMARK_KUBEFLOW_LABELS='{team = "risk"}'`. A variable that is empty counts as not set. A table or key that does
not exist is refused, in the file and in the environment.
"""

from __future__ import annotations

import datetime
import os
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from kfp_hallmark import settings_checks as check
from kfp_hallmark.contracts.audit import PATH_VARIABLE as AUDIT_VARIABLE
from kfp_hallmark.contracts.privacy import PATH_VARIABLE as LEDGER_VARIABLE
from kfp_hallmark.contracts.release import SERVING_VARIABLE
from kfp_hallmark.errors import InputError, MissingInputError, nearest
from kfp_hallmark.tracking import VARIABLE as TRACKING_VARIABLE

FILE = "hallmark.toml"
FILE_VARIABLE = "HALLMARK_SETTINGS"
PREFIX = "HALLMARK_"

SIZES = ("small", "medium", "large")
"""The classes of components by what they need; see `kfp_hallmark.component.component`."""

AUTHS = ("none", "bearer", "service_account", "cookie")
"""How to tell a Kubeflow Pipelines API who asks."""


def _key(default: Any = None, by: check.Check | None = None) -> Any:
    """A key with its default and the check of its value."""
    return field(default=default, metadata={"check": by})


def _table(by: check.Check | None = None) -> Any:
    """A key that holds names and values, none by default."""
    return field(default_factory=dict, metadata={"check": by})


@dataclass(frozen=True)
class Images:
    """`[images]`: the images that steps run on.

    Attributes:
        registry: Registry and path before the environments' names, such as `europe-docker.pkg.dev/acme/hallmark`.
            Default: `HALLMARK_REGISTRY`, else the images keep the names that they were compiled with.
        lock: The file that pins every image by its digest, relative to the settings file; `hallmark image lock` writes
            it. Default: `images.lock.json`.
    """

    registry: str | None = _key(by=check.registry)
    lock: str = _key("images.lock.json", check.not_empty)


@dataclass(frozen=True)
class Mlflow:
    """`[mlflow]`: the tracking server and registry that steps reach.

    Attributes:
        tracking_uri: Its address, `http://` or `https://`, which steps find in `MLFLOW_TRACKING_URI`. User and
            password come from the platform's secrets, never from here. Leave it out where the platform sets it.
    """

    tracking_uri: str | None = _key(by=check.url)


@dataclass(frozen=True)
class Resources:
    """`[resources.small]`, `[resources.medium]`, `[resources.large]`: what a step of each size gets.

    Quantities are as Kubernetes writes them: processors as `2`, `0.5` or `500m`, memory as `512Mi` or `4Gi`. Vertex AI
    chooses the machine that fits the limits best, up to 96 processors and 624 GB; requests mean nothing there.

    Attributes:
        cpu_request: Processors that a step is scheduled by.
        cpu_limit: Processors that it may use; at least the request.
        memory_request: Memory that a step is scheduled by.
        memory_limit: Memory above which it is ended; at least the request.
    """

    cpu_request: str = _key("250m", check.cpu)
    cpu_limit: str = _key("1", check.cpu)
    memory_request: str = _key("1Gi", check.memory)
    memory_limit: str = _key("2Gi", check.memory)


@dataclass(frozen=True)
class ResourceClasses:
    """`[resources]`: the sizes. A key that a table leaves out keeps the default of that size.

    Attributes:
        small: Steps that read documents and call services. Default: 250m to 1 processor, 1Gi to 2Gi.
        medium: Steps that go over data once. Default: 1 to 2 processors, 2Gi to 6Gi.
        large: Steps that hold a table with its copies, and train. Default: 2 to 4 processors, 4Gi to 8Gi.
    """

    small: Resources = field(default=Resources())
    medium: Resources = field(default=Resources("1", "2", "2Gi", "6Gi"))
    large: Resources = field(default=Resources("2", "4", "4Gi", "8Gi"))


@dataclass(frozen=True)
class Retries:
    """`[retries]`: how often a failed step is run again. Only idempotent components are.

    Attributes:
        count: Retries after the first failure; 0 for none. Default: 2.
        backoff_seconds: Seconds before the first retry. Default: 30.
        factor: What the wait grows by from one retry to the next, 1 to 4. Default: 2.
        max_seconds: Seconds from a step's first start within which it is run again; on Kubeflow a retry that still runs
            then is ended. Default: on Kubeflow as long as all attempts may take by `[timeouts]`, on Vertex AI 3,600,
            which is its greatest.
    """

    count: int = _key(2, check.between(0, 10))
    backoff_seconds: int = _key(30, check.between(0, 3600))
    factor: int = _key(2, check.between(1, 4))
    max_seconds: int | None = _key(by=check.between(1, 6_048_000))


@dataclass(frozen=True)
class Timeouts:
    """`[timeouts]`: seconds after which a step of each size is ended, the pull of its image included. Kubeflow only: a
    spec cannot say a time-out on Vertex AI.

    Attributes:
        small: Default: 1,800.
        medium: Default: 14,400.
        large: Default: 86,400.
    """

    small: int = _key(1800, check.between(1, 604_800))
    medium: int = _key(14_400, check.between(1, 604_800))
    large: int = _key(86_400, check.between(1, 604_800))


@dataclass(frozen=True)
class Caching:
    """`[caching]`: whether results are reused.

    Attributes:
        enabled: Whether a step of a pure component may be skipped when nothing it depends on has changed. All others
            never are. Default: true.
    """

    enabled: bool = _key(True)


@dataclass(frozen=True)
class Toleration:
    """One of `[[kubeflow.tolerations]]`: a taint of nodes that steps may run on all the same.

    Attributes:
        key: The taint's key. Default: any, which needs the operator `Exists`.
        operator: `Equal` or `Exists`. Default: `Equal`.
        value: The taint's value; none with `Exists`.
        effect: `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Default: any.
        seconds: Seconds for which a `NoExecute` taint is tolerated. Default: for ever.
    """

    key: str | None = _key(by=check.label_key)
    operator: str = _key("Equal", check.one_of("Equal", "Exists"))
    value: str | None = _key(by=check.label_value)
    effect: str | None = _key(by=check.one_of("NoSchedule", "PreferNoSchedule", "NoExecute"))
    seconds: int | None = _key(by=check.between(0, 604_800))


@dataclass(frozen=True)
class Pvc:
    """`[kubeflow.pvc]`: a volume that every step sees.

    Attributes:
        claim: Name of the PersistentVolumeClaim, which exists; without dots, because Kubeflow names the pod's volume by
            it. `ReadWriteMany`, or all steps must run on one node.
        mount_path: Where steps see it; not in a folder of Kubeflow's own, such as `/gcs`. `HALLMARK_SERVING_DIR`,
            `HALLMARK_AUDIT_LOG` and `HALLMARK_PRIVACY_LEDGER` point into it, in the steps that take such a folder, log
            or ledger, unless `[kubeflow.variables]` says otherwise. Default: `/mnt/hallmark`.
    """

    claim: str = _key("", check.claim)
    mount_path: str = _key("/mnt/hallmark", check.mount_path)


@dataclass(frozen=True)
class Kubeflow:
    """`[kubeflow]`: a Kubeflow Pipelines installation and how steps run on it.

    Secrets and variables go to the steps of components made by `kfp_hallmark.component`, ours and the user's own; a
    step on any other image gets none. All else holds for every step.

    Attributes:
        host: Address of the API, such as `https://kubeflow.acme.com/pipeline`. Needed to submit.
        ui_host: Address by which people open the UI, for links. Default: host.
        namespace: The profile's namespace, where runs are made; none in single-user mode.
        auth: How to tell the API who asks. `none`; `bearer`: a token; `cookie`: a session's cookie; `service_account`:
            the token that Kubernetes puts into the pod from which runs are submitted. Default: `none`.
        secret_variable: Name of the environment variable that holds the token (`bearer`) or the cookie, such as
            `authservice_session=...` (`cookie`). Default: `KUBEFLOW_TOKEN`.
        token_file: File with the token of `service_account`. Default: KFP's,
            `/var/run/secrets/kubeflow/pipelines/token`.
        certificates: PEM file with the certificates to trust for host, relative to the settings file. Default: the
            system's.
        service_account: Kubernetes service account that runs run as. Default: the namespace's.
        pull_policy: `IfNotPresent`, `Always` or `Never`. Default: `IfNotPresent`; images are pinned by digest.
        pull_secrets: Names of Secrets with the registry's credentials.
        node_selector: Labels of the nodes that steps run on.
        tolerations: Taints of nodes that steps may run on all the same; tables `[[kubeflow.tolerations]]`.
        labels: Labels of every step's pod.
        secrets: Secret to its keys to variables: `[kubeflow.secrets.mlflow]` with `password =
            "MLFLOW_TRACKING_PASSWORD"` puts that key of the Secret `mlflow` into that variable. A step does not start
            when the Secret or key is missing.
        variables: Other variables, such as `MLFLOW_S3_ENDPOINT_URL`; not for secrets.
        pvc: A volume that every step sees. Default: none.
    """

    host: str | None = _key(by=check.url)
    ui_host: str | None = _key(by=check.url)
    namespace: str | None = _key(by=check.label_name)
    auth: str = _key("none", check.one_of(*AUTHS))
    secret_variable: str = _key("KUBEFLOW_TOKEN", check.free_variable)
    token_file: str | None = _key(by=check.absolute_path)
    certificates: str | None = _key(by=check.not_empty)
    service_account: str | None = _key(by=check.object_name)
    pull_policy: str = _key("IfNotPresent", check.one_of("IfNotPresent", "Always", "Never"))
    pull_secrets: tuple[str, ...] = _key((), check.each(check.object_name))
    node_selector: Mapping[str, str] = _table(check.kubernetes_labels)
    tolerations: tuple[Toleration, ...] = ()
    labels: Mapping[str, str] = _table(check.kubernetes_labels)
    secrets: Mapping[str, Mapping[str, str]] = _table(check.kubernetes_secrets)
    variables: Mapping[str, str] = _table(check.plain_variables)
    pvc: Pvc | None = None


@dataclass(frozen=True)
class Machine:
    """`[vertex.machines.<size or component>]`: what steps of a size, or of one component, get on Vertex AI instead of
    `[resources]`. A component's table goes over its size's, key by key.

    Vertex AI chooses the machine type that fits best; a pipeline's spec cannot name one.

    Attributes:
        cpu_limit: Processors, at most 96. Default: of `[resources]`.
        memory_limit: Memory, at most 624G. Default: of `[resources]`.
        accelerator_type: Such as `NVIDIA_TESLA_T4`. Default: none.
        accelerator_count: How many; 1 where there is a type.
        parameters: One of the keys above to the name of a parameter that the pipeline gets, so that each run can say
            its own; what the key itself says is the default. `{"cpu_limit": "train_cpu"}`.
    """

    cpu_limit: str | None = _key(by=check.vertex_cpu)
    memory_limit: str | None = _key(by=check.vertex_memory)
    accelerator_type: str | None = _key(by=check.accelerator)
    accelerator_count: int | None = _key(by=check.between(1, 16))
    parameters: Mapping[str, str] = _table(check.machine_parameters)


@dataclass(frozen=True)
class Vertex:
    """`[vertex]`: a Google Cloud project and how steps run on Vertex AI there.

    Secrets and variables go to the steps of components made by `kfp_hallmark.component`, as on Kubeflow.

    Attributes:
        project: Project id. Needed to submit.
        location: Region, such as `europe-west4`. Needed to submit.
        pipeline_root: `gs://` URI below which runs keep their artifacts. Needed to submit; never in a compiled file.
        service_account: E-mail address of the service account that runs run as. Default: the project's.
        network: VPC network that steps are peered with, `projects/<number>/global/networks/<name>`. Default: none.
        api_endpoint: Address of the API, `host` or `host:port`, one behind Private Service Connect, say. Default: the
            region's.
        labels: Labels of every pipeline job: lowercase letters, digits, `_` and `-`.
        machines: What steps of a size or of one component get; tables `[vertex.machines.<name>]`.
        secrets: Variable to the resource name of a version in Secret Manager,
            `projects/<project>/secrets/<name>/versions/<number or latest>`. The name is what the compiled file holds;
            the value is fetched when a step starts, as the service account of the run.
        variables: Other variables; not for secrets.
    """

    project: str | None = _key(by=check.project)
    location: str | None = _key(by=check.location)
    pipeline_root: str | None = _key(by=check.gcs_uri)
    service_account: str | None = _key(by=check.google_service_account)
    network: str | None = _key(by=check.network)
    api_endpoint: str | None = _key(by=check.api_endpoint)
    labels: Mapping[str, str] = _table(check.google_labels)
    machines: Mapping[str, Machine] = _table(check.machine_names)
    secrets: Mapping[str, str] = _table(check.secret_versions)
    variables: Mapping[str, str] = _table(check.plain_variables)


@dataclass(frozen=True)
class Settings:
    """All settings. Every table and key is optional.

    Attributes:
        images: `[images]`.
        mlflow: `[mlflow]`.
        resources: `[resources.<size>]`.
        retries: `[retries]`.
        timeouts: `[timeouts]`.
        caching: `[caching]`.
        kubeflow: `[kubeflow]`.
        vertex: `[vertex]`.
        folder: Where relative paths in the settings start: the settings file's folder, else the working folder.
        named: The path of the settings file as it was given to `load`; None where nobody gave one.
    """

    images: Images = Images()
    mlflow: Mlflow = Mlflow()
    resources: ResourceClasses = ResourceClasses()
    retries: Retries = Retries()
    timeouts: Timeouts = Timeouts()
    caching: Caching = Caching()
    kubeflow: Kubeflow = Kubeflow()
    vertex: Vertex = Vertex()
    folder: Path = field(default=Path(), metadata={"internal": True})
    named: Path | None = field(default=None, metadata={"internal": True})

    def path(self, name: str) -> Path:
        """Return a path that the settings name, such as `images.lock`."""
        return self.folder / name

    def require(self, *names: str) -> None:
        """Raise `InputError`, naming all that are missing, unless every one of some keys is set.

        Args:
            names: Such as `vertex.project`.
        """
        missing = [name for name in names if not _value(self, name)]
        if missing:
            table, _, key = missing[0].rpartition(".")
            raise InputError(
                f"The settings must have {' and '.join(missing)}; they are not set.",
                f"Write `{key} = ...` below [{table}] in {FILE}, or set {_variable(missing[0])}.",
            )


def load(path: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings and check all of them.

    Args:
        path: The settings file. Default: the one that `HALLMARK_SETTINGS` names, else `hallmark.toml` in the working
            folder, if it is there.
        environment: The variables that go over the file.

    Raises:
        MissingInputError: If a file that was named is not there.
        InputError: If the file is not TOML, or a table, key or value is not one that there is.
    """
    named = path or environment.get(FILE_VARIABLE)
    file = Path(named) if named else Path(FILE)
    tables = _read_file(file) if named or file.is_file() else {}
    known = _overridable(Settings)
    _refuse_unknown_variables(environment, known)
    for variable, (name, kind) in known.items():
        if text := environment.get(variable):
            _put(tables, name, _from_text(kind, text, variable))
    settings: Settings = _dataclass(Settings(), tables, "")
    settings = replace(settings, folder=file.absolute().parent, named=Path(path) if path else None)
    _check_together(settings)
    return settings


def _read_file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise MissingInputError(f"The settings must be a file; got {str(file)!r}.")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"The settings must be a TOML file in UTF-8; {str(file)!r} is not ({error}).") from error


def _dataclass(default: Any, value: Any, name: str) -> Any:
    """Return a dataclass with a table's values over the default's."""
    if not isinstance(value, dict):
        raise _wrong(name, "a table", value)
    known = {entry.name: entry for entry in fields(default) if not entry.metadata.get("internal")}
    kinds = get_type_hints(type(default))
    given = {}
    for key, entry in value.items():
        full = f"{name}.{key}" if name else key
        if key not in known:
            what = "table" if not name else "key"
            where = f" below [{name}]" if name else ""
            raise InputError(f"The settings have no {what} {key!r}{where}.", nearest(key, list(known)))
        given[key] = _typed(kinds[key], entry, full, getattr(default, key))
        if by := known[key].metadata.get("check"):
            by(full, given[key])
    return replace(default, **given)


def _typed(kind: Any, value: Any, name: str, default: Any = None) -> Any:
    """Return a value of a key's type, or raise `InputError`."""
    kind = _without_none(kind)
    if is_dataclass(kind):
        return _dataclass(kind() if default is None else default, value, name)  # type: ignore[operator]
    if get_origin(kind) is Mapping:
        inner = get_args(kind)[1]
        if not isinstance(value, dict):
            raise _wrong(name, "a table", value)
        return {key: _typed(inner, entry, f"{name}.{key}") for key, entry in value.items()}
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if not isinstance(value, list):
            raise _wrong(name, "a list", value)
        return tuple(_typed(inner, entry, f"{name}[{index}]") for index, entry in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(name, _KINDS[kind], value, shown=kind is not str)
    return value


_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    datetime.date: "a date",
    datetime.time: "a time",
    datetime.datetime: "a date and time",
}


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        return next(inner for inner in get_args(kind) if inner is not type(None))
    return kind


def _wrong(name: str, wanted: str, value: Any, shown: bool = False) -> InputError:
    """Return the error for a value of another type, with the value where that cannot be a misplaced secret."""
    hint = "Quote it." if wanted == "text" and isinstance(value, int | float) else None
    got = _KINDS[type(value)]
    if shown and isinstance(value, str | float):
        got += f", {value!r}"
    return InputError(f"{name} must be {wanted}; got {got}.", hint)


def _overridable(table: Any, name: str = "") -> dict[str, tuple[str, Any]]:
    """Return the variables that go over the file, each with the dotted name of its key and the key's type."""
    kinds = get_type_hints(table)
    found: dict[str, tuple[str, Any]] = {}
    for entry in fields(table):
        if entry.metadata.get("internal"):
            continue
        full = f"{name}.{entry.name}" if name else entry.name
        kind = _without_none(kinds[entry.name])
        if is_dataclass(kind):
            found |= _overridable(kind, full)
        else:
            found[_variable(full)] = (full, kind)
    return found


def _variable(name: str) -> str:
    return PREFIX + name.replace(".", "_").upper()


def _refuse_unknown_variables(environment: Mapping[str, str], known: Mapping[str, Any]) -> None:
    tables = tuple(f"{_variable(entry.name)}_" for entry in fields(Settings) if not entry.metadata.get("internal"))
    for variable in environment:
        if f"{variable}_".startswith(tables) and variable not in known:
            raise InputError(f"There is no setting for the variable {variable}.", nearest(variable, list(known)))


def _from_text(kind: Any, text: str, variable: str) -> Any:
    if kind is str:
        return text
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"The variable {variable} must be written as TOML writes a value ({error}).") from error
    if len(tables) > 1:
        raise InputError(f"The variable {variable} must be one value; it is several lines.")
    return tables["value"]


def _put(tables: dict[str, Any], name: str, value: Any) -> None:
    *parents, key = name.split(".")
    for parent in parents:
        inner = tables.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise _wrong(parent, "a table", inner)
        tables = inner
    tables[key] = value


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _check_together(settings: Settings) -> None:
    """Check what several keys say together."""
    for size in SIZES:
        resources: Resources = getattr(settings.resources, size)
        name = f"resources.{size}"
        check.at_most(f"{name}.cpu_request", resources.cpu_request, f"{name}.cpu_limit", resources.cpu_limit)
        check.at_most(
            f"{name}.memory_request", resources.memory_request, f"{name}.memory_limit", resources.memory_limit
        )
    retries = settings.retries
    if retries.max_seconds is not None and retries.max_seconds < retries.backoff_seconds:
        raise InputError(
            f"retries.max_seconds must be at least retries.backoff_seconds, {retries.backoff_seconds}; "
            f"got {retries.max_seconds}."
        )
    for index, toleration in enumerate(settings.kubeflow.tolerations):
        _check_toleration(f"kubeflow.tolerations[{index}]", toleration)
    if settings.kubeflow.pvc is not None and not settings.kubeflow.pvc.claim:
        raise InputError("kubeflow.pvc.claim must name a PersistentVolumeClaim; got none.")
    for name, machine in settings.vertex.machines.items():
        counted = machine.accelerator_count is not None or "accelerator_count" in machine.parameters
        if counted and machine.accelerator_type is None and "accelerator_type" not in machine.parameters:
            raise InputError(f"vertex.machines.{name} must have an accelerator_type with its accelerator_count.")
    _check_variables(settings)


def _check_variables(settings: Settings) -> None:
    """Check that no secret goes to a variable that something else sets."""
    tracking = [TRACKING_VARIABLE] if settings.mlflow.tracking_uri else []
    volume = [SERVING_VARIABLE, AUDIT_VARIABLE, LEDGER_VARIABLE] if settings.kubeflow.pvc else []
    from_kubernetes = [variable for keys in settings.kubeflow.secrets.values() for variable in keys.values()]
    for name, variables, secrets_name, secrets in (
        ("kubeflow.variables", settings.kubeflow.variables, "kubeflow.secrets", from_kubernetes),
        ("kubeflow.pvc", volume, "kubeflow.secrets", from_kubernetes),
        ("mlflow.tracking_uri", tracking, "kubeflow.secrets", from_kubernetes),
        ("vertex.variables", settings.vertex.variables, "vertex.secrets", settings.vertex.secrets),
        ("mlflow.tracking_uri", tracking, "vertex.secrets", settings.vertex.secrets),
    ):
        check.disjoint(name, variables, secrets_name, secrets)


def _check_toleration(name: str, toleration: Toleration) -> None:
    if toleration.operator == "Exists" and toleration.value is not None:
        raise InputError(f"{name}.value must be left out with the operator 'Exists'; got {toleration.value!r}.")
    if toleration.key is None and toleration.operator != "Exists":
        raise InputError(f"{name}.operator must be 'Exists' where there is no key; got {toleration.operator!r}.")
    if toleration.seconds is not None and toleration.effect != "NoExecute":
        raise InputError(f"{name}.effect must be 'NoExecute' where there are seconds; got {toleration.effect!r}.")
