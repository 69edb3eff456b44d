"""The Model Registry."""

from fakes.vertex.errors import Refusal, require, require_display_name, require_labels, require_match
from google.cloud.aiplatform_v1 import types
from google.protobuf import empty_pb2

ALIAS = r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]"
DEDICATED = types.Model.DeploymentResourcesType.DEDICATED_RESOURCES


class Models:
    """The methods of ModelService.

    Attributes:
        models: Id to version id to version; the versions of an id are one model.
    """

    def __init__(self):
        super().__init__()
        self.models = {}

    def version(self, name):
        """Return a version of a model by `models/<id>`, `models/<id>@<version or alias>`."""
        place, _, wanted = self.canonical(name).partition("@")
        versions = self.models.get(place.rpartition("/")[2], {})
        for number, version in versions.items():
            if wanted == number or (wanted or "default") in version.version_aliases:
                return version
        raise Refusal("NOT_FOUND", f"The Model {name!r} does not exist.")

    def _take_aliases(self, versions, version, aliases):
        """Give a version aliases; another version of the model loses them."""
        for alias in aliases:
            for other in versions.values():
                if alias in other.version_aliases:
                    other.version_aliases.remove(alias)
            version.version_aliases.append(alias)

    def upload_model(self, request):
        parent, model = self.location(request.parent), request.model
        require_display_name(model.display_name)
        require_labels(model.labels)
        for alias in model.version_aliases:
            require_match(ALIAS, alias, "A version's alias")
        require(model.container_spec.image_uri, "container_spec.image_uri is required.")
        require_match(r"(gs://[a-z0-9._-]+/.+)?", model.artifact_uri, "artifact_uri")
        for route in (model.container_spec.predict_route, model.container_spec.health_route):
            require_match(r"/[^ ]*|", route, "A route")
        if request.parent_model:
            identifier = self.version(request.parent_model).name.rpartition("/")[2]
        else:
            identifier = request.model_id or str(9000 + len(self.models))
            require_match(r"[a-z_][a-z0-9_-]{0,62}|[0-9]+", identifier, "model_id")
            require(identifier not in self.models, f"The Model {identifier!r} already exists.", "ALREADY_EXISTS")
        name = f"{parent}/models/{identifier}"

        def commit():
            require(
                bool(self.models.get(identifier)) == bool(request.parent_model),
                f"The Model {identifier!r} already exists.",
                "ALREADY_EXISTS",
            )
            versions = self.models.setdefault(identifier, {})
            made = types.Model(model)
            aliases, made.version_aliases = list(model.version_aliases), []
            made.name, made.version_id, made.etag = name, str(max(map(int, versions), default=0) + 1), self.etag()
            made.version_create_time = made.create_time = made.update_time = self.now()
            made.supported_deployment_resources_types = [DEDICATED]
            versions[made.version_id] = made
            self._take_aliases(versions, made, aliases if len(versions) > 1 else ["default", *aliases])
            return types.UploadModelResponse(model=name, model_version_id=made.version_id)

        return self.begin(name, "UploadModel", commit, types.UploadModelOperationMetadata())

    def get_model(self, request):
        return self.version(request.name)

    def list_models(self, request):
        found = [self.version(next(iter(versions.values())).name) for versions in self.models.values()]
        return types.ListModelsResponse(models=self.filtered(found, request.filter))

    def list_model_versions(self, request):
        versions = self.models[self.version(request.name).name.rpartition("/")[2]]
        return types.ListModelVersionsResponse(models=self.filtered(list(versions.values()), request.filter))

    def merge_version_aliases(self, request):
        version = self.version(request.name)
        require("@" in request.name, "The name must contain a version.")
        versions = self.models[version.name.rpartition("/")[2]]
        for alias in request.version_aliases:
            require_match(f"-?{ALIAS}", alias, "A version's alias")
        for alias in request.version_aliases:
            if alias.startswith("-"):
                require(alias != "-default", "A model must have a default version.", "FAILED_PRECONDITION")
                require(alias[1:] in version.version_aliases, f"There is no alias {alias[1:]!r}.")
                version.version_aliases.remove(alias[1:])
        self._take_aliases(versions, version, [a for a in request.version_aliases if not a.startswith("-")])
        return version

    def delete_model(self, request):
        name = self.version(request.name).name
        require(not self.deployed(name), f"The Model {name!r} is deployed.", "FAILED_PRECONDITION")

        def commit():
            del self.models[name.rpartition("/")[2]]
            return empty_pb2.Empty()

        return self.begin(name, "DeleteModel", commit, types.DeleteOperationMetadata())

    def delete_model_version(self, request):
        version = self.version(request.name)
        in_use = self.deployed(version.name, version.version_id)
        require(not in_use, f"The Model {request.name!r} is deployed.", "FAILED_PRECONDITION")
        require("default" not in version.version_aliases, "The default version must stay.", "FAILED_PRECONDITION")

        def commit():
            del self.models[version.name.rpartition("/")[2]][version.version_id]
            return empty_pb2.Empty()

        return self.begin(version.name, "DeleteModelVersion", commit, types.DeleteOperationMetadata())
