"""A pipeline of every kind of step, settings that say everything, and readers of what is compiled."""

import pytest
import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.dsl import Dataset, Input, Output
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import compiling, settings
from kfp_hallmark.component import component
from kfp_hallmark.environments import STEPS, image, lock

REGISTRY = "europe-docker.pkg.dev/acme-ml/hallmark"
OTHER = "ghcr.io/acme/tool:3"


@component(environment="ml", pure=True, size="large")
def fit(rows: int, data: Output[Dataset]):
    """Fit."""
    print(rows, data.path)


@component(environment="release", idempotent=True, size="small")
def publish(data: Input[Dataset]):
    """Publish."""
    print(data.path)


@component(environment="release", size="small")
def append(data: Input[Dataset]):
    """Append."""
    print(data.path)


@dsl.container_component
def tool(data: Input[Dataset]):
    return dsl.ContainerSpec(image=OTHER, command=["tool"], args=[data.path])


@dsl.pipeline(name="every-kind")
def every_kind(rows: int = 3, path: str = "gs://x/y"):
    """One step of every kind."""
    fitted = fit(rows=rows)
    publish(data=fitted.outputs["data"])
    append(data=fitted.outputs["data"])
    with dsl.If(rows > 1):
        tool(data=fitted.outputs["data"])
        imported = dsl.importer(artifact_uri=path, artifact_class=Dataset)
        publish(data=imported.output)


class Compiled:
    """What was compiled, read back by KFP's own messages."""

    def __init__(self, content):
        documents = list(yaml.safe_load_all(content))
        self.content = content
        self.documents = len(documents)
        self.spec = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        self.platform = json_format.ParseDict(
            documents[1] if len(documents) > 1 else {}, pipeline_spec_pb2.PlatformSpec()
        )
        deployment = json_format.MessageToDict(self.spec.deployment_spec)
        self._deployment = json_format.ParseDict(deployment, pipeline_spec_pb2.PipelineDeploymentConfig())

    @property
    def labels(self):
        return {label for label, executor in self._deployment.executors.items() if executor.HasField("container")}

    def container(self, label):
        return self._deployment.executors[label].container

    def variables(self, label):
        return {variable.name: variable.value for variable in self.container(label).env}

    def kubernetes(self, label):
        config = self.platform.platforms["kubernetes"].deployment_spec.executors[label]
        return json_format.ParseDict(
            json_format.MessageToDict(config), kubernetes_executor_config_pb2.KubernetesExecutorConfig()
        )

    def tasks(self):
        """Return every task by its name and its parent's."""
        found = {}
        for parent, part in (("root", self.spec.root), *self.spec.components.items()):
            found |= {(parent, name): task for name, task in part.dag.tasks.items()}
        return found

    def task(self, name):
        return next(task for (_, found), task in self.tasks().items() if found == name)


def pins(*references):
    return {name: f"{lock.repository(name)}@sha256:{index:064x}" for index, name in enumerate(references, start=1)}


@pytest.fixture
def every_image():
    named = [f"{REGISTRY}/{image(name).rpartition('/')[2]}" for name in STEPS]
    return pins(*named, OTHER)


@pytest.fixture
def compiled(tmp_path, every_image):
    """Compile a pipeline by the text of its settings."""

    def call(platform, text="", pipeline=every_kind):
        file = tmp_path / "hallmark.toml"
        file.write_text(text)
        lock.write(tmp_path / "images.lock.json", every_image)
        loaded = settings.load(file, {})
        return Compiled(compiling.compile_for(pipeline, platform, loaded, registry=REGISTRY))

    return call
