"""The metadata store, as far as experiments need it."""

from fakes.vertex.errors import Refusal, require
from google.cloud.aiplatform_v1 import types


class Metadata:
    """The methods of MetadataService.

    Attributes:
        stores: Resource name to metadata store.
        contexts: Resource name to context: experiments and runs.
        children: Context's name to the names of those in it.
    """

    def __init__(self):
        super().__init__()
        self.stores, self.contexts, self.children = {}, {}, {}

    def context(self, parent, identifier, schema):
        """Return a new context of a schema."""
        name = f"{parent}/metadataStores/default/contexts/{identifier}"
        made = types.Context(name=name, display_name=identifier, schema_title=schema, schema_version="0.0.1")
        made.create_time = self.now()
        self.contexts[name] = made
        return made

    def _found(self, kind, name):
        name = self.canonical(name)
        if name not in kind:
            raise Refusal("NOT_FOUND", f"{name!r} is not found.")
        return kind[name]

    def get_metadata_store(self, request):
        return self._found(self.stores, request.name)

    def create_metadata_store(self, request):
        name = f"{self.location(request.parent)}/metadataStores/{request.metadata_store_id}"

        def commit():
            self.stores[name] = types.MetadataStore(name=name)
            return self.stores[name]

        return self.begin(name, "CreateMetadataStore", commit, types.CreateMetadataStoreOperationMetadata())

    def get_context(self, request):
        return self._found(self.contexts, request.name)

    def create_context(self, request):
        name = f"{self.canonical(request.parent)}/contexts/{request.context_id}"
        require(name not in self.contexts, f"{name!r} already exists.", "ALREADY_EXISTS")
        made = types.Context(request.context)
        made.name, made.etag, made.create_time = name, self.etag(), self.now()
        self.contexts[name] = made
        return made

    def update_context(self, request):
        found = self._found(self.contexts, request.context.name)
        found.metadata, found.etag = request.context.metadata, self.etag()
        return found

    def list_contexts(self, request):
        found = [entry for entry in self.contexts.values() if f'schema_title="{entry.schema_title}"' in request.filter]
        return types.ListContextsResponse(contexts=found)

    def add_context_children(self, request):
        context = self._found(self.contexts, request.context)
        for child in request.child_contexts:
            self.children.setdefault(context.name, []).append(self._found(self.contexts, child).name)
        return types.AddContextChildrenResponse()
