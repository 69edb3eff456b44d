"""Deploy a model to an endpoint of Vertex AI."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.release.deploy_model.target import Parcel, Placed, leads_already
from kfp_hallmark.contracts.digest import short
from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import HallmarkError, InputError, IntegrityError, nearest
from kfp_hallmark.package import read_package, verify_package
from kfp_hallmark.vertex import (
    CALL_SECONDS,
    DECISION_LABEL,
    DIGEST_LABEL,
    MAX_SECONDS,
    NAME_LABEL,
    Vertex,
    reaching,
    reading,
    require_labels,
    require_version_alias,
    resource_id,
)

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import types

NEW = "0"
"""How a traffic split names a model that is not deployed yet."""


@dataclass(frozen=True)
class Options:
    """The options of `deployment` for Vertex AI; the project and the location are those of the registration.

    Attributes:
        traffic: The share of the requests that the model gets, in percent; below 100 it is a canary, and the others
            share the rest as before.
        endpoint: Id of the endpoint, which is made when it is not there. Default: one that follows from the name.
        machine_type: The machine of a replica.
        min_replicas: Fewest replicas, which run at all times.
        max_replicas: Most replicas.
        accelerator_type: Such as `NVIDIA_TESLA_T4`.
        accelerator_count: How many of them a replica has.
        service_account: E-mail address of the account that the replicas run as.
        keep: How many former versions stay deployed, to roll back to, when the model gets every request.
        labels: Labels of the endpoint, when it is made.
        max_seconds: How long an operation may take.
        api_endpoint: Another address of the API, as `host:port`.
    """

    traffic: int = 100
    endpoint: str | None = None
    machine_type: str = "n1-standard-2"
    min_replicas: int = 1
    max_replicas: int = 1
    accelerator_type: str | None = None
    accelerator_count: int = 1
    service_account: str | None = None
    keep: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    max_seconds: float = MAX_SECONDS
    api_endpoint: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.traffic <= 100:
            raise InputError(f"deployment['traffic'] must be 1 to 100 percent; got {self.traffic}.")
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise InputError(
                f"deployment['min_replicas'] must be 1 to max_replicas, {self.max_replicas}; got {self.min_replicas}."
            )
        if self.accelerator_count < 1:
            raise InputError(f"deployment['accelerator_count'] must be at least 1; got {self.accelerator_count}.")
        if self.accelerator_type is None and self.accelerator_count > 1:
            raise InputError(
                f"deployment['accelerator_count'] must be with an accelerator_type; got {self.accelerator_count} alone."
            )
        if not 0 < self.max_seconds < math.inf:
            raise InputError(f"deployment['max_seconds'] must be above 0 and finite; got {self.max_seconds:g}.")
        if self.keep < 0:
            raise InputError(f"deployment['keep'] must be at least 0; got {self.keep}.")
        form = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]*"
        if self.endpoint is not None and not re.fullmatch(form, self.endpoint):
            raise InputError(
                f"deployment['endpoint'] must be an endpoint's id: lowercase letters, digits and hyphens, a letter "
                f"first, or a number; got {self.endpoint!r}."
            )
        require_labels(self.labels, "deployment['labels']")


def _require_accelerator(name: str) -> None:
    from google.cloud.aiplatform_v1.types import AcceleratorType

    known = [each.name for each in AcceleratorType if each.value]
    if name not in known:
        raise InputError(
            f"deployment['accelerator_type'] must be one that Vertex AI has; got {name!r}.", nearest(name, known)
        )


class VertexEndpoint:
    """An endpoint of Vertex AI."""

    def __init__(self, deployment: Mapping[str, Any], serving_dir: str | None) -> None:
        self.options = self.read(deployment, serving_dir)
        if self.options.accelerator_type is not None:
            _require_accelerator(self.options.accelerator_type)

    @staticmethod
    def read(deployment: Mapping[str, Any], serving_dir: str | None) -> Options:
        """Return the options; see `Target`. Which accelerators there are, Vertex AI's client alone knows."""
        if serving_dir is not None:
            raise InputError(f"serving_dir must be left out for the target vertex; got {serving_dir!r}.")
        return read_options(Options, deployment, "deployment")

    @contextmanager
    def placing(self, parcel: Parcel) -> Iterator[Placed]:
        """Deploy a model beside those that serve, and then, in one call, give it its share of the requests.

        It gets none before that call, so that what ends after nobody waits for it any more changes nothing for them.
        One that is deployed already, on the machines that are asked for, only gets its share: this is how a canary is
        promoted, how a former version is rolled back to, and how what an earlier try began is completed. When the block
        raises, the requests are shared, and the alias in the Model Registry is, as before.
        """
        leads = self.options.traffic == 100
        if leads:
            require_version_alias(parcel.alias)
        vertex, version = self._verified(parcel)
        if not leads and parcel.alias in version.version_aliases:
            raise leads_already(self.options.traffic)
        before = self._endpoint(vertex, parcel.release)
        self._shared(before, version, NEW)
        endpoint = before if before.name else self._create(vertex, parcel.release)
        endpoint, deployed = self._deploy(vertex, endpoint, version, parcel.release)
        former = _previous(vertex, before, version)
        placed = replace(parcel.release, previous=former, traffic=self.options.traffic)
        split, wanted = dict(endpoint.traffic_split), self._shared(endpoint, version, deployed)
        try:
            if split != wanted:
                with reaching(f"share the requests of {endpoint.name}"):
                    _share(vertex, endpoint, wanted)
            with _led(vertex, version, parcel.alias) if leads else nullcontext():
                yield Placed(placed, f"https://{vertex.host}/v1/{endpoint.name}:predict", leads)
        except BaseException:
            self._share_again(vertex, endpoint, split)
            raise
        self._retire(vertex, endpoint, version, parcel.release, wanted)

    def _verified(self, parcel: Parcel) -> tuple[Vertex, types.Model]:
        """Return the service and the version to deploy, whose package is what was decided on.

        Raises:
            IntegrityError: If it is another model, or its package was changed.
        """
        name = parcel.registration.vertex
        if name is None:
            raise InputError(
                "The registration must name a version in Vertex AI's Model Registry, for the target vertex; "
                "it names none.",
                "Give register_model its options `vertex`.",
            )
        _, project, _, location, _, _ = name.split("/")
        vertex = Vertex(project, location, self.options.api_endpoint, self.options.max_seconds)
        with reaching(f"show {name}"):
            version = vertex.models.get_model(name=name, **reading())
        wanted = {
            DIGEST_LABEL: short(parcel.release.model.digest),
            DECISION_LABEL: short(parcel.release.decision_digest),
        }
        for label, value in wanted.items():
            if version.labels.get(label) != value:
                raise IntegrityError(
                    f"The version {name} must have the label {label} {value}; got {version.labels.get(label)!r}.",
                    "Register the model with the decision that it is deployed with.",
                )
        verify_package(version.artifact_uri, parcel.release, parcel.evidence)
        return vertex, version

    def _endpoint(self, vertex: Vertex, release: Release) -> types.Endpoint:
        """Return the endpoint, on which nothing is under way any more; an empty one when it is not there.

        Raises:
            InputError: If it is there, but not for this registered model: its traffic is not ours to take.
        """
        from google.api_core.exceptions import NotFound
        from google.cloud.aiplatform_v1 import types

        identifier, mine = self.options.endpoint or resource_id(release.name), resource_id(release.name)
        name = f"{vertex.parent}/endpoints/{identifier}"
        vertex.settle(vertex.endpoints, name, f"end what is under way on the endpoint {identifier}")
        with reaching(f"show the endpoint {identifier}"):
            try:
                found = vertex.endpoints.get_endpoint(name=name, **reading())
            except NotFound:
                return types.Endpoint()
        if found.labels.get(NAME_LABEL) != mine:
            raise InputError(
                f"The endpoint {identifier} must have the label {NAME_LABEL} {mine}; "
                f"got {found.labels.get(NAME_LABEL)!r}.",
                f"If it is to serve {release.name!r}: "
                f"`gcloud ai endpoints update {identifier} --update-labels={NAME_LABEL}={mine}`.",
            )
        return found

    def _create(self, vertex: Vertex, release: Release) -> types.Endpoint:
        from google.cloud.aiplatform_v1 import types

        mine = resource_id(release.name)
        identifier = self.options.endpoint or mine
        endpoint = types.Endpoint(display_name=release.name, labels={**self.options.labels, NAME_LABEL: mine})
        request = types.CreateEndpointRequest(parent=vertex.parent, endpoint=endpoint, endpoint_id=identifier)
        task = f"make the endpoint {identifier}"
        with reaching(task):
            operation = vertex.endpoints.create_endpoint(request, timeout=CALL_SECONDS)
        made: types.Endpoint = vertex.finish(operation, task)
        return made

    def _deploy(
        self, vertex: Vertex, endpoint: types.Endpoint, version: types.Model, release: Release
    ) -> tuple[types.Endpoint, str]:
        """Deploy a version without any requests, unless it is deployed with these options.

        Returns:
            The endpoint, and the deployed model's id.
        """
        from google.cloud.aiplatform_v1 import types

        wanted = self._deployed_model(version, release)
        found = [
            entry for entry in endpoint.deployed_models if _is(entry, version) and _machines(entry) == _machines(wanted)
        ]
        if found:
            return endpoint, str(max(found, key=_standing(endpoint)).id)
        task = f"deploy {_display_name(release)}"
        request = types.DeployModelRequest(endpoint=endpoint.name, deployed_model=wanted)
        with reaching(task):
            operation = vertex.endpoints.deploy_model(request, timeout=CALL_SECONDS)
        made = vertex.finish(operation, task).deployed_model
        with reaching(task):
            return vertex.endpoints.get_endpoint(name=endpoint.name, **reading()), str(made.id)

    def _shared(self, endpoint: types.Endpoint, version: types.Model, deployed: str) -> dict[str, int]:
        """Return the traffic split in which a version has its share, and none of it on other machines.

        Raises:
            InputError: If it would be a canary, and no other version gets requests.
        """
        others = {entry.id for entry in endpoint.deployed_models if not _is(entry, version)}
        split = {key: part for key, part in endpoint.traffic_split.items() if key in others}
        return shared(split, deployed, self.options.traffic)

    def _deployed_model(self, version: types.Model, release: Release) -> types.DeployedModel:
        from google.cloud.aiplatform_v1 import types

        options = self.options
        machine = types.MachineSpec(machine_type=options.machine_type)
        if options.accelerator_type:
            machine.accelerator_type = options.accelerator_type
            machine.accelerator_count = options.accelerator_count
        return types.DeployedModel(
            model=f"{version.name}@{version.version_id}",
            display_name=_display_name(release),
            service_account=options.service_account or "",
            dedicated_resources=types.DedicatedResources(
                machine_spec=machine,
                min_replica_count=options.min_replicas,
                max_replica_count=options.max_replicas,
            ),
        )

    def _share_again(self, vertex: Vertex, endpoint: types.Endpoint, split: Mapping[str, int]) -> None:
        """Share the requests as they were shared, unless they still are."""
        with reaching("share the requests as before"):
            now = vertex.endpoints.get_endpoint(name=endpoint.name, **reading())
            if dict(now.traffic_split) != split:
                _share(vertex, now, split)

    def _retire(
        self, vertex: Vertex, endpoint: types.Endpoint, version: types.Model, release: Release, split: Mapping[str, int]
    ) -> None:
        """Undeploy what gets no requests any more: the same registered version, on other machines or with an earlier
        decision, and, when it leads, all former versions but as many as are to be kept, those that served last."""
        idle = [
            entry
            for entry in endpoint.deployed_models
            if _model(entry.model) == _model(version.name) and not split.get(entry.id)
        ]
        others = [entry for entry in idle if entry.display_name != _display_name(release)]
        former = sorted(others, key=_standing(endpoint), reverse=True)
        kept = former[: self.options.keep] if self.options.traffic == 100 else former
        for entry in (entry for entry in idle if entry not in kept):
            task = f"undeploy {entry.display_name}"
            with reaching(task):
                operation = vertex.endpoints.undeploy_model(
                    endpoint=endpoint.name, deployed_model_id=entry.id, timeout=CALL_SECONDS
                )
            vertex.finish(operation, task)


def shared(split: Mapping[str, int], identifier: str, share: int) -> dict[str, int]:
    """Return a traffic split that gives one deployed model its share, and the rest to the others in proportion.

    Whole percents are given by the largest remainders, so that they add up to 100.

    Args:
        split: Deployed model to its present share, in percent.
        identifier: The deployed model.
        share: Its share, in percent.

    Raises:
        InputError: If there is a rest, and nobody to take it.
    """
    others = {key: part for key, part in split.items() if key != identifier and part > 0}
    rest = 100 - share
    if rest and not others:
        raise InputError(f"deployment['traffic'] must be 100 where nothing else serves; got {share}.")
    total = sum(others.values())
    parts = {key: part * rest // total for key, part in others.items()} if rest else {}
    by_remainder = sorted(parts, key=lambda key: (-(others[key] * rest % total), key))
    for key in by_remainder[: rest - sum(parts.values())]:
        parts[key] += 1
    return {identifier: share, **parts}


def _share(vertex: Vertex, endpoint: types.Endpoint, split: Mapping[str, int]) -> None:
    """Share the requests of an endpoint, unless somebody changed it in between."""
    from google.cloud.aiplatform_v1 import types
    from google.protobuf.field_mask_pb2 import FieldMask

    changed = types.Endpoint(name=endpoint.name, etag=endpoint.etag, traffic_split=dict(split))
    mask = FieldMask(paths=["traffic_split"])
    vertex.endpoints.update_endpoint(endpoint=changed, update_mask=mask, timeout=CALL_SECONDS)


@contextmanager
def _led(vertex: Vertex, version: types.Model, alias: str) -> Iterator[None]:
    """Move an alias in the Model Registry to a version, and back when that or the block raises."""
    former, number, merge = _holder(vertex, version, alias), version.version_id, vertex.models.merge_version_aliases
    try:
        if former != number:
            with reaching(f"move the alias {alias}"):
                merge(name=f"{version.name}@{number}", version_aliases=[alias], timeout=CALL_SECONDS)
        yield
    except BaseException:
        if former != number and _holder(vertex, version, alias) == number:
            with reaching(f"move the alias {alias} back"):
                change = alias if former else f"-{alias}"
                name = f"{version.name}@{former or number}"
                merge(name=name, version_aliases=[change], timeout=CALL_SECONDS)
        raise


def _holder(vertex: Vertex, version: types.Model, alias: str) -> str | None:
    """Return the version that has an alias; None when none has."""
    from google.api_core.exceptions import NotFound

    with reaching(f"show what has the alias {alias}"):
        try:
            return str(vertex.models.get_model(name=f"{version.name}@{alias}", **reading()).version_id)
        except NotFound:
            return None


def _display_name(release: Release) -> str:
    return f"{release.name} {release.version}"


def _model(name: str) -> str:
    """Return a model's id; the service writes the project by its number, whoever wrote its id."""
    return name.rpartition("/")[2].partition("@")[0]


def _is(deployed: types.DeployedModel, version: types.Model) -> bool:
    """Return whether a deployed model is a version."""
    return (_model(deployed.model), deployed.model_version_id) == (_model(version.name), version.version_id)


def _machines(deployed: types.DeployedModel) -> tuple[object, ...]:
    """Return what a model is deployed on, and as whom it runs."""
    resources = deployed.dedicated_resources
    machine = resources.machine_spec
    return (
        machine.machine_type,
        machine.accelerator_type,
        machine.accelerator_count,
        resources.min_replica_count,
        resources.max_replica_count,
        deployed.service_account,
    )


def _standing(endpoint: types.Endpoint) -> Callable[[types.DeployedModel], tuple[Any, ...]]:
    """Return what orders deployed models by their share of the requests, and those with the same by their age."""
    return lambda entry: (endpoint.traffic_split.get(entry.id, 0), entry.create_time)


def _previous(vertex: Vertex, endpoint: types.Endpoint, version: types.Model) -> Mapping[str, str] | None:
    """Return what served before a version: the other one with most of the requests, of these the latest."""
    others = [entry for entry in endpoint.deployed_models if not _is(entry, version)]
    if not others:
        return None
    former = max(others, key=_standing(endpoint))
    name = f"{former.model.partition('@')[0]}@{former.model_version_id}"
    with reaching(f"show {name}"):
        uri = vertex.models.get_model(name=name, **reading()).artifact_uri
    try:
        return read_package(uri).reference
    except HallmarkError:
        return None  # it was not deployed from a package
