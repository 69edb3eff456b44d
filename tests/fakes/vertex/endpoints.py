"""Endpoints, and the models that are deployed to them."""

from fakes.vertex.errors import Refusal, require, require_display_name, require_labels, require_match
from google.cloud.aiplatform_v1 import types
from google.protobuf import empty_pb2

NEW = "0"
MACHINES = r"(a2|a3|c2|c3|e2|g2|n1|n2|n2d)-[a-z0-9-]+"
CHANGEABLE = {"display_name", "description", "labels", "traffic_split"}


class Endpoints:
    """The methods of EndpointService.

    Attributes:
        endpoints: Resource name to endpoint.
    """

    def __init__(self):
        super().__init__()
        self.endpoints = {}

    def endpoint(self, name):
        name = self.canonical(name)
        if name not in self.endpoints:
            raise Refusal("NOT_FOUND", f"The Endpoint {name!r} does not exist.")
        return self.endpoints[name]

    def deployed(self, model, version=None):
        """Return what is deployed of a model, or of one of its versions."""
        return [
            entry
            for endpoint in self.endpoints.values()
            for entry in endpoint.deployed_models
            if entry.model == model and version in (None, entry.model_version_id)
        ]

    def _require_split(self, split, known):
        if not split:
            return
        require(sum(split.values()) == 100, f"The traffic split must add up to 100; got {sum(split.values())}.")
        require(all(0 <= part <= 100 for part in split.values()), "A share of the traffic must be 0 to 100.")
        for identifier in split:
            require(identifier in known, f"There is no deployed model {identifier!r}.")

    def create_endpoint(self, request):
        parent, endpoint = self.location(request.parent), request.endpoint
        require_display_name(endpoint.display_name)
        require_labels(endpoint.labels)
        identifier = request.endpoint_id or str(5000 + len(self.operations))
        require_match(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}", identifier, "endpoint_id")
        name = f"{parent}/endpoints/{identifier}"
        taken = f"The Endpoint {name!r} already exists."
        require(name not in self.endpoints, taken, "ALREADY_EXISTS")

        def commit():
            require(name not in self.endpoints, taken, "ALREADY_EXISTS")
            made = types.Endpoint(endpoint)
            made.name, made.etag, made.create_time = name, self.etag(), self.now()
            self.endpoints[name] = made
            return made

        return self.begin(name, "CreateEndpoint", commit, types.CreateEndpointOperationMetadata())

    def get_endpoint(self, request):
        return self.endpoint(request.name)

    def list_endpoints(self, request):
        self.location(request.parent)
        return types.ListEndpointsResponse(endpoints=self.filtered(list(self.endpoints.values()), request.filter))

    def update_endpoint(self, request):
        endpoint, given = self.endpoint(request.endpoint.name), request.endpoint
        require(not given.etag or given.etag == endpoint.etag, "The etag is not the latest.", "ABORTED")
        paths = set(request.update_mask.paths)
        require(paths and paths <= CHANGEABLE, f"update_mask must name some of {sorted(CHANGEABLE)}; got {paths}.")
        if "labels" in paths:
            require_labels(given.labels)
        if "traffic_split" in paths:
            self._require_split(given.traffic_split, {entry.id for entry in endpoint.deployed_models})
        for path in paths:
            setattr(endpoint, path, getattr(given, path))
        endpoint.etag = self.etag()
        return endpoint

    def deploy_model(self, request):
        endpoint, given = self.endpoint(request.endpoint), request.deployed_model
        version = self.version(given.model)
        resources = given.dedicated_resources
        require_match(MACHINES, resources.machine_spec.machine_type, "machine_type")
        require(resources.min_replica_count >= 1, "min_replica_count must be at least 1.")
        require(resources.max_replica_count >= resources.min_replica_count, "max_replica_count is below the minimum.")
        known = {entry.id for entry in endpoint.deployed_models}
        self._require_split(request.traffic_split, {NEW, *known})
        require_match(r"[0-9]{0,10}", given.id, "deployed_model.id")
        require(given.id not in known, f"There is a deployed model {given.id!r}.", "ALREADY_EXISTS")

        def commit():
            made = types.DeployedModel(given)
            made.id = given.id or str(4_400_000_000_000_000_000 + len(self.operations))
            made.model, made.model_version_id, made.create_time = version.name, version.version_id, self.now()
            made.display_name = given.display_name or version.display_name
            endpoint.deployed_models.append(made)
            if request.traffic_split:
                endpoint.traffic_split = {
                    made.id if identifier == NEW else identifier: part
                    for identifier, part in request.traffic_split.items()
                }
            endpoint.etag = self.etag()
            return types.DeployModelResponse(deployed_model=made)

        return self.begin(endpoint.name, "DeployModel", commit, types.DeployModelOperationMetadata())

    def undeploy_model(self, request):
        endpoint = self.endpoint(request.endpoint)
        rest = {entry.id for entry in endpoint.deployed_models} - {request.deployed_model_id}
        known = {entry.id for entry in endpoint.deployed_models}
        require(request.deployed_model_id in known, f"There is no {request.deployed_model_id!r}.", "NOT_FOUND")
        split = dict(request.traffic_split or endpoint.traffic_split)
        share = split.pop(request.deployed_model_id, 0)
        require(not share or not rest, "The deployed model gets traffic.", "FAILED_PRECONDITION")
        self._require_split(split, rest)

        def commit():
            kept = [entry for entry in endpoint.deployed_models if entry.id != request.deployed_model_id]
            endpoint.deployed_models, endpoint.traffic_split, endpoint.etag = kept, split, self.etag()
            return types.UndeployModelResponse()

        return self.begin(endpoint.name, "UndeployModel", commit, types.UndeployModelOperationMetadata())

    def delete_endpoint(self, request):
        endpoint = self.endpoint(request.name)
        require(not endpoint.deployed_models, "The endpoint has deployed models.", "FAILED_PRECONDITION")

        def commit():
            del self.endpoints[endpoint.name]
            return empty_pb2.Empty()

        return self.begin(endpoint.name, "DeleteEndpoint", commit, types.DeleteOperationMetadata())
