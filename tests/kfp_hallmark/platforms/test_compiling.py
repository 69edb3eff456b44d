"""What both flavours have in common, and where pipelines come from."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp import components as kfp_components
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec
from uv import find_uv_bin

from kfp_hallmark import compiling, components, lint, pipelines, settings
from kfp_hallmark.component import Traits, component
from kfp_hallmark.environments import STEPS, image, lock
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.platforms.pipeline import Pipeline, concise

EVERYTHING = """
[images]
registry = "europe-docker.pkg.dev/a-project-with-a-long-name/a-repository-with-a-long-name/hallmark"
[mlflow]
tracking_uri = "https://mlflow.platform.acme.example.com"
[kubeflow]
pull_secrets = ["registry-credentials"]
node_selector = { "cloud.google.com/gke-nodepool" = "machine-learning" }
labels = { "acme.com/team" = "risk", "acme.com/cost-centre" = "1234", "sidecar.istio.io/inject" = "false" }
[[kubeflow.tolerations]]
key = "dedicated"
value = "machine-learning"
effect = "NoSchedule"
[kubeflow.secrets.mlflow-credentials]
username = "MLFLOW_TRACKING_USERNAME"
password = "MLFLOW_TRACKING_PASSWORD"
[kubeflow.secrets.mlpipeline-minio-artifact]
accesskey = "AWS_ACCESS_KEY_ID"
secretkey = "AWS_SECRET_ACCESS_KEY"
[kubeflow.variables]
MLFLOW_S3_ENDPOINT_URL = "http://minio-service.kubeflow:9000"
[kubeflow.pvc]
claim = "hallmark-state"
[vertex.machines.train_model]
cpu_limit = "16"
memory_limit = "64G"
accelerator_type = "NVIDIA_TESLA_T4"
[vertex.secrets]
MLFLOW_TRACKING_USERNAME = "projects/a-project-with-a-long-name/secrets/mlflow-username/versions/latest"
MLFLOW_TRACKING_PASSWORD = "projects/a-project-with-a-long-name/secrets/mlflow-password/versions/latest"
"""

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

PARSE = """
import json, sys
from importlib.util import module_from_spec, spec_from_file_location
sys.path.insert(0, sys.argv[1])
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
# Its package would import all of kfp.
found = spec_from_file_location("config", f"{sys.argv[1]}/kfp/kubernetes/kubernetes_executor_config_pb2.py")
config = module_from_spec(found)
found.loader.exec_module(config)

def read(value, message):
    json_format.ParseDict(value, message)
    assert json_format.MessageToDict(message) == value, value

count = 0
for line in sys.stdin:
    spec, platform = json.loads(line)
    read(spec, pb.PipelineSpec())
    read(spec["deploymentSpec"], pb.PipelineDeploymentConfig())
    read(platform, pb.PlatformSpec())
    for name, kind in platform.get("platforms", {}).items():
        assert name == "kubernetes"
        for executor in kind["deploymentSpec"]["executors"].values():
            read(executor, config.KubernetesExecutorConfig())
            count += 1
print(count)
"""


@pytest.fixture
def both(compiled, every_image):
    """Every pipeline in both flavours, with all settings."""
    registry = "europe-docker.pkg.dev/a-project-with-a-long-name/a-repository-with-a-long-name/hallmark"
    for name in STEPS:
        reference = f"{registry}/{image(name).rpartition('/')[2]}"
        every_image[reference] = f"{lock.repository(reference)}@sha256:{'7' * 64}"
    text = EVERYTHING
    return {
        name: {flavour: compiled(flavour, text, getattr(pipelines, name)) for flavour in compiling.FLAVOURS}
        for name in pipelines.__all__
    }


def graph(found):
    """Return a compiled pipeline's spec without what may differ between platforms."""
    spec = json_format.MessageToDict(found.spec)
    for part in (spec["root"], *spec["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor.get("container", {})
        container.pop("resources", None)
        container.pop("env", None)
        if "kfp_hallmark.secret_manager" in container.get("command", []):
            container["command"] = container["command"][container["command"].index("--") + 1 :]
    return spec


def test_both_flavours_are_the_same_graph_and_within_the_size(both):
    assert both
    for flavours in both.values():
        assert graph(flavours["kubeflow"]) == graph(flavours["vertex"])
        for found in flavours.values():
            assert len(found.content) < compiling.MAX_SPEC_BYTES
            assert found.content.isascii()


def test_both_flavours_run_into_no_rule_of_their_platform(both):
    for name, flavours in both.items():
        for flavour, found in flavours.items():
            spec = lint.parse(found.content.decode(), f"{name}.{flavour}.yaml")
            assert lint.check(spec, lint.Target((flavour,))) == []


def test_every_image_is_pinned(both, compiled):
    for found in [*(found for flavours in both.values() for found in flavours.values()), compiled("vertex")]:
        assert all(lock.is_pinned(found.container(label).image) for label in found.labels)


@pytest.mark.parametrize("version", ["2.14", "2.17"])
def test_backends_from_the_oldest_to_the_newest_read_every_file(both, version, tmp_path):
    """By their own protobuf definitions, strictly, and with nothing lost. Final-status inputs need 2.14."""
    files = [found.content for flavours in both.values() for found in flavours.values()]
    files += [file.read_bytes() for file in sorted((ROOT / "compiled").glob("*/*.yaml"))]
    assert len(files) == 4 * len(pipelines.__all__) + len(components.__all__)
    documents = [list(yaml.safe_load_all(content)) for content in files]
    lines = "\n".join(json.dumps([spec, platform[0] if platform else {}]) for spec, *platform in documents)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(tmp_path)]
    subprocess.run([*install, "--python", sys.executable, "-r", str(HERE / f"kfp-{version}.lock")], check=True)
    command = [sys.executable, "-I", "-S", "-c", PARSE, str(tmp_path)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    settings = [platform["platforms"]["kubernetes"]["deploymentSpec"] for _, *rest in documents for platform in rest]
    assert int(done.stdout) == sum(len(part["executors"]) for part in settings) > 0


def test_the_file_says_what_kfp_writes_and_its_sources_can_be_read(tmp_path):
    compiler.Compiler().compile(pipelines.tuned_training, str(tmp_path / "kfp.yaml"))
    by_kfp = (tmp_path / "kfp.yaml").read_text()
    pipeline = Pipeline(pipelines.tuned_training)
    ours = compiling._to_yaml(pipeline.spec, pipeline.description, PlatformSpec()).decode()
    assert list(yaml.safe_load_all(ours)) == list(yaml.safe_load_all(by_kfp))
    assert ours.partition("components:")[0] == by_kfp.partition("components:")[0]
    assert "\n          def train_model(\n              dataset: Input[Dataset],\n" in ours
    assert len(ours) < 0.95 * len(by_kfp)
    # What starts a step is the same for all and is written once; images are written wherever they are used.
    assert ours.count("_KFP_RUNTIME=true") == 1
    assert ours.count("image: kfp-hallmark/") == by_kfp.count("image: kfp-hallmark/") > 1


def test_compiling_is_deterministic(compiled):
    assert compiled("kubeflow", EVERYTHING).content == compiled("kubeflow", EVERYTHING).content
    # A map has another order in every process.
    shown = "{'max_missing_drop': 0.2, 'max_noise_drop': 0.1, 'max_typo_drop': 0.1, 'max_unseen_drop': 0.1}"
    assert shown in compiled("kubeflow", EVERYTHING, pipelines.governed_training).content.decode()


def test_compiling_what_was_compiled_changes_nothing(compiled, both):
    for flavours in both.values():
        again = kfp_components.load_component_from_text(flavours["kubeflow"].content.decode())
        assert compiled("kubeflow", EVERYTHING, again).content == flavours["kubeflow"].content
        with pytest.raises(InputError, match="for Vertex AI must have no platform settings"):
            compiled("vertex", EVERYTHING, again)
        by_vertex = kfp_components.load_component_from_text(flavours["vertex"].content.decode())
        with pytest.raises(InputError, match="must not hold secrets of an earlier compilation"):
            compiled("vertex", EVERYTHING, by_vertex)


def test_a_spec_that_this_kfp_does_not_know_is_refused(compiled):
    later = PipelineSpec()
    later.CopyFrom(pipelines.governed_training.pipeline_spec)
    later.deployment_spec["executors"]["exec-train-model"]["container"]["fromTheFuture"] = 1
    with pytest.raises(InputError, match=r"must be one that KFP 2\.17 can read; it is not"):
        Pipeline(SimpleNamespace(pipeline_spec=later, platform_spec=PlatformSpec(), description=None))


def test_what_is_not_pure_is_never_cached_even_from_yaml(compiled, tmp_path):
    def cached(task):
        return task.caching_options.enable_cache

    loaded = {
        name: kfp_components.load_component_from_text(compiling.compile_component(getattr(components, name)).decode())
        for name in ("load_dataset", "split_dataset")
    }

    @dsl.pipeline(name="from-yaml")
    def from_yaml():
        load = loaded["load_dataset"](uri="x")
        loaded["split_dataset"](dataset=load.outputs["dataset"])

    found = compiled("kubeflow", "", from_yaml)
    assert not cached(found.task("load-dataset"))
    assert cached(found.task("split-dataset"))
    assert not cached(compiled("kubeflow", "[caching]\nenabled = false", from_yaml).task("split-dataset"))


def test_sources_run_without_their_docstrings(compiled):
    command = compiled("vertex", "", pipelines.governed_training).container("exec-train-model").command
    assert '"""' not in command[-1]
    source = compile(command[-1], "source", "exec")
    assert "train_model" in source.co_names


def test_a_pipeline_with_what_runs_once_is_not_retried_as_a_whole(compiled):
    @dsl.pipeline(name="outer")
    def outer(data_uri: str):
        pipelines.governed_training(
            data_uri=data_uri,
            target="label",
            model_name="m",
            sensitive_features=["g"],
            performance_limits={"min_accuracy": 0.5},
            fairness_limits={"max_demographic_parity_difference": 0.1},
        ).set_retry(3)

    with pytest.raises(InputError, match=r"The task 'governed-training' must not be retried: .* is not idempotent"):
        compiled("kubeflow", "", outer)


@pytest.mark.parametrize(
    ("source", "shorter"),
    [
        ('def f(a: int):\n    """Doc."""\n    return a\n', "def f(a: int):\n    return a\n"),
        ('def f(a: int):\n    """Doc.\x0c\n    More."""\n    return a\n', "def f(a: int):\n    return a\n"),
        ('def f(a: int):\n    """Doc."""; a += 1\n    return a\n', "def f(a: int):\n    a += 1\n    return a\n"),
        ('def f(a: int) -> int: "Doc."; return a\n', "def f(a: int) -> int:\n    return a\n"),
        ('def f(a: int):\n    """Doc."""\n', 'def f(a: int):\n    """Doc."""\n'),
        (
            '# hallmark: small pure\n\nfrom typing import *\n\ndef f(\n    a: str = "a # b",  # What it is.\n):\n'
            "    # Why.\n    return f(\n        a,\n    )\n",
            "# hallmark: small pure\nfrom typing import *\ndef f(a: str='a # b'):\n    return f(a)\n",
        ),
        ("def f(a: int):\n    return f'{a!r:>{a}}' '\\n\\'\"'\n", None),
        ("def f(a: str):\n    return f\"\"\"{a + '''x\ny'''}\"\"\"\n", None),
    ],
)
def test_nothing_that_runs_is_left_out(source, shorter):
    if shorter:
        assert concise(source) == shorter
    kept, wanted = (ast.parse(text) for text in (concise(source), shorter or source))
    assert ast.dump(kept) == ast.dump(wanted)


def test_an_image_that_is_not_pinned_is_refused(compiled, every_image):
    del every_image["ghcr.io/acme/tool:3"]
    with pytest.raises(InputError, match=r"must be pinned by its digest; 'ghcr\.io/acme/tool:3' is not") as error:
        compiled("kubeflow")
    assert "hallmark image lock ghcr.io/acme/tool:3" in error.value.hint


def test_an_image_by_its_digest_needs_no_pin(compiled):
    pinned = "ghcr.io/acme/other@sha256:" + "9" * 64

    @dsl.container_component
    def other():
        return dsl.ContainerSpec(image=pinned)

    @dsl.pipeline(name="own")
    def own():
        other()

    assert compiled("vertex", "", own).container("exec-other").image == pinned


def test_the_file_of_images_must_be_there_and_whole(tmp_path):
    empty = settings.load(environment={})
    with pytest.raises(MissingInputError, match=r"must be pinned by a file; .* is not there"):
        compiling.compile_for(pipelines.governed_training, "vertex", empty, images=tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(IntegrityError):
        compiling.compile_for(pipelines.governed_training, "vertex", empty, images=tmp_path / "broken.json")


def test_an_unknown_platform_is_refused():
    with pytest.raises(InputError, match=r"one of kubeflow, vertex; got 'kubflow'.*\nHint: Did you mean 'kubeflow'"):
        compiling.compile_for(pipelines.governed_training, "kubflow", settings.Settings())


def test_a_pipeline_by_name_module_and_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "acme_flows.py").write_text(
        "from kfp import dsl\nfrom kfp_hallmark import components\n\n"
        "@dsl.pipeline(name='acme')\ndef acme():\n    components.load_dataset(uri='x')\n"
    )
    assert compiling.find_pipeline("governed_training") is pipelines.governed_training
    found = compiling.find_pipeline("acme_flows:acme")
    assert found.pipeline_spec.pipeline_info.name == "acme"
    (tmp_path / "acme.yaml").write_bytes(compiling.compile_pipeline(found, "vertex"))
    assert compiling.find_pipeline("acme.yaml").pipeline_spec.pipeline_info.name == "acme"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("governed_trainin", r"PIPELINE must be .*; got 'governed_trainin'.*\nHint: Did you mean 'governed_training'"),
        ("none.yaml", "PIPELINE must be a pipeline's name, module:function or the path"),
        ("no_such_module:flow", "module 'no_such_module' must be importable"),
        ("kfp_hallmark.pipelines:governed_train", r"must be a pipeline .*\nHint: Did you mean 'governed_training'"),
        ("json:loads", "json:loads must be a pipeline or component of KFP"),
    ],
)
def test_no_pipeline(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        compiling.find_pipeline(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "a: 1", "cannot be read"),
        (lambda text: "", "cannot be read"),
        (lambda text: "[" * 5000, "cannot be read"),
        (
            lambda text: text.replace("schemaVersion: 2.1.0", "schemaVersion: [3]"),
            "Failed to parse schemaVersion field",
        ),
        (lambda text: text.replace(", parameterType: STRING", ""), "it lacks '"),
        (lambda text: f"{text}unknown: 1\n", 'no field named "unknown"'),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(change, message, tmp_path):
    (tmp_path / "other.yaml").write_text(
        change((ROOT / "compiled/pipelines/governed_training.vertex.yaml").read_text())
    )
    with pytest.raises(InputError, match="must be what KFP's compiler wrote") as error:
        compiling.find_pipeline(str(tmp_path / "other.yaml"))
    assert message in error.value.message
    assert "\n" not in error.value.message


def test_a_number_that_is_none_is_refused(compiled):
    infinite = PipelineSpec()
    infinite.CopyFrom(pipelines.governed_training.pipeline_spec)
    container = infinite.deployment_spec["executors"]["exec-train-model"]["container"]
    container["resources"] = {"cpuLimit": float("inf")}
    with pytest.raises(
        InputError, match=r"must be one that KFP 2\.17 can read; it is not \(Fail to serialize Infinity"
    ):
        Pipeline(SimpleNamespace(pipeline_spec=infinite, platform_spec=PlatformSpec(), description=None))


def test_machines_for_nothing_are_found():
    machines = {name: settings.Machine() for name in ("large", "train_model", "load_dataset", "train_modle")}
    loaded = settings.Settings(vertex=settings.Vertex(machines=machines))
    assert compiling.unused_machines(pipelines.governed_training, loaded) == ["train_modle"]


@pytest.mark.parametrize("size", settings.SIZES)
@pytest.mark.parametrize(("pure", "idempotent"), [(True, True), (False, True), (False, False)])
def test_traits_are_read_as_written(size, pure, idempotent):
    traits = Traits(size, pure, idempotent)
    assert Traits.read(f"# hallmark: {traits}\nimport kfp") == traits


@pytest.mark.parametrize("text", ["", "large", "huge pure", "large pure ", "large often"])
def test_traits_of_another_form_are_refused(text):
    with pytest.raises(InputError, match="must be as Hallmark writes it"):
        Traits.read(f"# hallmark: {text}\nimport kfp")


def test_a_source_without_traits_has_none():
    assert Traits.read("\nimport kfp") is None
    assert Traits.read("") is None


def test_what_is_pure_is_idempotent_and_sizes_are_known():
    assert components.train_model.idempotent
    assert (components.train_model.size, components.record_run.size) == ("large", "small")
    with pytest.raises(InputError, match=r"size must be one of small, medium, large; got 'larg'.*\nHint: .*'large'"):
        component(environment="ml", size="larg")


def test_what_must_not_run_twice_is_not_retried():
    """A line of the audit log is not taken back by a second attempt; a refusal is meant, and waiting mends nothing."""
    never = {name for name in components.__all__ if not getattr(components, name).idempotent}
    assert never == {"record_run", "enforce_decision", "enforce_verdicts"}
