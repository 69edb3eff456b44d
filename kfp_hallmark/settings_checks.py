"""What the values of `hallmark.toml` must be; each check raises `InputError` with the key's name."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from kfp_hallmark.errors import InputError, nearest

Check: TypeAlias = Callable[[str, Any], None]

_CPU = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?|[0-9]{1,12}m")
_MEMORY = re.compile(r"([0-9]{1,18})(Ki|Mi|Gi|Ti|M|G|T)?")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "M": 10**6, "G": 10**9, "T": 10**12}

_FOLDERS = ("gcs", "s3", "minio", "kfp-launcher", "kfp-workspace", ".local", ".cache", ".config")
"""https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/compiler/argocompiler/container.go"""

_SECRET_NAME = re.compile(r"(.*_)?(PASSWORD|PASSWD|TOKEN|SECRET|KEY)", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"://[^/?#\s@]*:[^/?#\s]*@|https?://[^/?#\s]+@|[?&;](password|passwd|token|secret|key|sig|signature)=[^&\s]",
    re.IGNORECASE,
)
"""A password, or over HTTP any user, in a URI; or what goes for one in its query."""

VERTEX_CPUS, VERTEX_MEMORY = 96, "624G"
"""The largest step that Vertex AI Pipelines runs:
https://cloud.google.com/vertex-ai/docs/pipelines/machine-types"""

MACHINE_KEYS = ("cpu_limit", "memory_limit", "accelerator_type", "accelerator_count")
"""What a machine's parameters can be."""


def cpus(quantity: str) -> float:
    """Return the number of processors that a quantity says, such as 0.5 for `500m`."""
    return float(Decimal(quantity[:-1]) / 1000 if quantity.endswith("m") else Decimal(quantity))


def byte_count(quantity: str) -> int:
    """Return the number of bytes that a quantity says, such as 2**30 for `1Gi`."""
    number, unit = _MEMORY.fullmatch(quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS.get(unit, 1)


def cpu(name: str, value: str) -> None:
    """A quantity of processors above 0, as both KFP and Kubernetes read it."""
    if not _CPU.fullmatch(value) or cpus(value) == 0:
        raise _wrong(name, "a quantity of processors above 0, such as '2' or '500m'", value)


def memory(name: str, value: str) -> None:
    """A quantity of memory above 0, as both KFP and Kubernetes read it."""
    if not _MEMORY.fullmatch(value) or byte_count(value) == 0:
        raise _wrong(name, "a quantity of memory above 0, such as '512Mi' or '4Gi'", value)


def vertex_cpu(name: str, value: str) -> None:
    """Processors that Vertex AI has."""
    cpu(name, value)
    if cpus(value) > VERTEX_CPUS:
        raise _wrong(name, f"at most {VERTEX_CPUS} processors on Vertex AI", value)


def vertex_memory(name: str, value: str) -> None:
    """Memory that Vertex AI has."""
    memory(name, value)
    if byte_count(value) > byte_count(VERTEX_MEMORY):
        raise _wrong(name, f"at most {VERTEX_MEMORY} of memory on Vertex AI", value)


def at_most(name: str, value: str, limit_name: str, limit: str) -> None:
    """A request that is not above its limit."""
    number = byte_count if name.endswith("memory_request") else cpus
    if number(value) > number(limit):
        raise InputError(f"{name} must be at most {limit_name}, {limit!r}; got {value!r}.")


def between(low: float, high: float) -> Check:
    """A number from low to high."""

    def check(name: str, value: float) -> None:
        if not low <= value <= high:
            raise InputError(f"{name} must be from {low:,} to {high:,}; got {value:,}.")

    return check


def one_of(*choices: str) -> Check:
    """One of some words."""

    def check(name: str, value: str) -> None:
        if value not in choices:
            raise InputError(
                f"{name} must be one of {', '.join(choices)}; got {value!r}.", nearest(value, list(choices))
            )

    return check


def each(inner: Check) -> Check:
    """A list of which each entry passes a check."""

    def check(name: str, values: Iterable[Any]) -> None:
        for index, value in enumerate(values):
            inner(f"{name}[{index}]", value)

    return check


def _matching(pattern: str, wanted: str, longest: int = 253) -> Check:
    compiled = re.compile(pattern)

    def check(name: str, value: str) -> None:
        if len(value) > longest or not compiled.fullmatch(value):
            raise _wrong(name, wanted, value)

    return check


_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_TEXT = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

not_empty = _matching(r".*\S.*", "a name", 4096)
object_name = _matching(_SUBDOMAIN, "the name of a Kubernetes object: lowercase letters, digits, '-' and '.'")
label_name = _matching(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "a Kubernetes namespace: at most 63 lowercase letters, digits and '-'", 63
)
claim = _matching(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "a PersistentVolumeClaim whose name a pod's volume can have: at most 63 lowercase letters, digits and '-'",
    63,
)
label_value = _matching(
    rf"({_LABEL_TEXT})?",
    "a label's value: at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends",
    63,
)
registry = _matching(
    r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*",
    "a registry with a path, without scheme, tag or '/' at its end, such as 'europe-docker.pkg.dev/acme/hallmark'",
)
absolute_path = _matching(r"/[^\0:]+", "an absolute path, without ':'", 4096)
_volume_path = _matching(r"(/[^\0:/]+)+/?", "an absolute path below '/', without ':'", 4096)
gcs_uri = _matching(
    r"gs://[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9](/[^\s?#]*)?",
    "a Cloud Storage URI, gs://<bucket>/<path>",
    1024,
)
project = _matching(
    r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]", "a Google Cloud project id: 6 to 30 lowercase letters, digits, '-'"
)
location = _matching(r"[a-z]+-[a-z]+[0-9]+", "a region of Google Cloud, such as 'europe-west4'")
google_service_account = _matching(
    r"[a-z0-9][-a-z0-9.]*@[-a-z0-9.]+\.gserviceaccount\.com",
    "a service account's e-mail address, <name>@<project>.iam.gserviceaccount.com",
)
network = _matching(
    r"projects/[^/\s]+/global/networks/[a-z]([-a-z0-9]*[a-z0-9])?",
    "a network's resource name, projects/<number>/global/networks/<name>",
)
api_endpoint = _matching(r"[a-z0-9][-a-z0-9.]*(:[0-9]{1,5})?", "a host, without a scheme, with a port where needed")
machine_name = _matching(r"[a-z][a-z0-9_-]*", "a size or a component's name")
accelerator = _matching(r"[A-Z][A-Z0-9_]+", "an accelerator of Vertex AI, such as 'NVIDIA_TESLA_T4'")
parameter_name = _matching(
    r"[a-z][a-z0-9_]*", "a parameter's name: lowercase letters, digits and '_', a letter first", 128
)
_label_name_part = _matching(_LABEL_TEXT, "", 63)
_prefix = _matching(_SUBDOMAIN, "")
_variable = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_secret_version = re.compile(r"projects/[^/\s]+/secrets/[A-Za-z0-9_-]{1,255}/versions/(latest|[1-9][0-9]*)")


def url(name: str, value: str) -> None:
    """An http or https address without user or password."""
    try:
        parts = urllib.parse.urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", value)
        _ = parts.port
    except ValueError:
        good = False
    if "@" in value or _CREDENTIAL.search(value):
        raise InputError(
            f"{name} must have no user, password or token in it.",
            "Keep them in the platform's secrets, see docs/settings.md.",
        )
    if not good:
        raise _wrong(name, "an address that begins with http:// or https://", value)


def mount_path(name: str, value: str) -> None:
    """A folder where a volume can be: not one of those that Kubeflow makes in every pod."""
    _volume_path(name, value)
    folders = value.strip("/").split("/")
    if folders[0] in _FOLDERS or {".", ".."} & {*folders}:
        raise _wrong(name, f"outside Kubeflow's own /{', /'.join(_FOLDERS)}, without '.' and '..'", value)


def label_key(name: str, value: str) -> None:
    """The key of a label or taint: a name, after a domain and '/' or alone."""
    prefix, slash, rest = value.rpartition("/")
    try:
        if slash:
            _prefix(name, prefix)
        _label_name_part(name, rest)
    except InputError:
        raise _wrong(
            name, "a label's key: at most 63 letters, digits, '-', '_' and '.', after '<domain>/' or alone", value
        ) from None


def kubernetes_labels(name: str, values: Mapping[str, str]) -> None:
    """Labels of Kubernetes."""
    for key, value in values.items():
        label_key(f"A key of {name}", key)
        label_value(f"{name}.{key}", value)


def machine_names(name: str, values: Iterable[str]) -> None:
    """Sizes and components' names."""
    for key in values:
        machine_name(f"A key of {name}", key)


def machine_parameters(name: str, values: Mapping[str, str]) -> None:
    """Keys of a machine, each with the name of a pipeline's parameter; no name twice."""
    for key, value in values.items():
        one_of(*MACHINE_KEYS)(f"A key of {name}", key)
        parameter_name(f"{name}.{key}", value)
    if len({*values.values()}) < len(values):
        raise InputError(f"{name} must name each parameter once; got {', '.join(map(repr, values.values()))}.")


def google_labels(name: str, values: Mapping[str, str]) -> None:
    """Labels of Google Cloud: at most 64, lowercase."""
    if len(values) > 64:
        raise InputError(f"{name} must be at most 64 labels; got {len(values)}.")
    for key, value in values.items():
        if not re.fullmatch(r"[a-z][-a-z0-9_]{0,62}", key):
            raise _wrong(f"A key of {name}", "at most 63 lowercase letters, digits, '_' and '-', a letter first", key)
        if not re.fullmatch(r"[-a-z0-9_]{0,63}", value):
            raise _wrong(f"{name}.{key}", "at most 63 lowercase letters, digits, '_' and '-'", value)


def variable(name: str, value: str) -> None:
    """The name of an environment variable; the value may be a misplaced secret, so no error repeats it."""
    if len(value) > 100 or not _variable.fullmatch(value):
        raise InputError(
            f"{name} must be the name of an environment variable: letters, digits and '_', no digit first."
        )


def free_variable(name: str, value: str) -> None:
    """The name of a variable that is not one of Hallmark's own."""
    variable(name, value)
    if value.startswith("HALLMARK_"):
        raise _wrong(name, "a variable that does not begin with HALLMARK_, as settings do", value)


def plain_variables(name: str, values: Mapping[str, str]) -> None:
    """Variables with values that are no secrets; Vertex AI refuses an empty one."""
    for key, value in values.items():
        variable(f"A key of {name}", key)
        if not value or not value.isascii() or not value.isprintable():
            raise InputError(f"{name}.{key} must be printable ASCII text, and not empty.")
        if _SECRET_NAME.fullmatch(key) or _CREDENTIAL.search(value):
            raise InputError(
                f"{name}.{key} must be no secret: everybody who sees the pipeline can read it.",
                f"Name what holds it in [{name.replace('variables', 'secrets')}], see docs/settings.md.",
            )


def kubernetes_secrets(name: str, values: Mapping[str, Mapping[str, str]]) -> None:
    """Secrets, each with its keys and the variables that they go to; no variable twice."""
    seen: set[str] = set()
    for secret, keys in values.items():
        object_name(f"A key of {name}", secret)
        if not keys:
            raise InputError(f"{name}.{secret} must say which keys go to which variables; got none.")
        for key, target in keys.items():
            full = f"{name}.{secret}.{key}"
            if not re.fullmatch(r"[-._A-Za-z0-9]{1,253}", key):
                raise _wrong(f"A key of {name}.{secret}", "letters, digits, '-', '_' and '.'", key)
            variable(full, target)
            if target in seen:
                raise _wrong(full, "a variable that no other secret goes to", target)
            seen.add(target)


def secret_versions(name: str, values: Mapping[str, str]) -> None:
    """Variables with the versions in Secret Manager that they get; no error repeats what may be the secret itself."""
    for key, value in values.items():
        variable(f"A key of {name}", key)
        if not _secret_version.fullmatch(value):
            raise InputError(
                f"{name}.{key} must be a version in Secret Manager, "
                "projects/<project>/secrets/<name>/versions/<number or latest>."
            )


def disjoint(name: str, values: Iterable[str], other_name: str, others: Iterable[str]) -> None:
    """No variable in two places."""
    for value in sorted({*values} & {*others}):
        raise InputError(f"The variable {value} must be in one of {name} and {other_name}; it is in both.")


def _wrong(name: str, wanted: str, value: Any) -> InputError:
    return InputError(f"{name} must be {wanted}; got {value!r}.")
