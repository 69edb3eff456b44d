"""Every rule, on both sides: a spec that runs into it and one that does not; and both sides of each limit."""

# KFP reads annotations that ruff would rewrite.
# ruff: noqa: UP006, UP035, UP045
from decimal import Decimal
from typing import List, NamedTuple, Optional

import pytest
from kfp import dsl, kubernetes

from kfp_hallmark import components, lint, pipelines
from kfp_hallmark.component import component
from kfp_hallmark.lint.quantities import read

IMAGE = f"python@sha256:{'0' * 64}"


@dsl.component(base_image=IMAGE)
def say(text: str) -> str:
    return text


@dsl.component(base_image=IMAGE)
def count(number: int = 1) -> int:
    return number


@dsl.component(base_image=IMAGE)
def uris() -> List[str]:
    return ["a"]


@dsl.component(base_image=IMAGE)
def named() -> NamedTuple("Outputs", [("status", str), ("places", List[str])]):
    return ("go", ["a"])


@dsl.component(base_image=IMAGE)
def make(text: str, made: dsl.Output[dsl.Dataset]):
    print(text, made.path)


@dsl.component(base_image=IMAGE)
def use(given: dsl.Input[dsl.Dataset]) -> str:
    return given.path


@dsl.component(base_image=IMAGE)
def use_all(given: dsl.Input[List[dsl.Dataset]]) -> int:
    return len(given)


@dsl.component(base_image=IMAGE)
def finish(status: dsl.PipelineTaskFinalStatus):
    print(status)


@dsl.component(base_image=IMAGE)
def maybe(text: Optional[str] = None) -> str:
    return text or ""


@dsl.container_component
def echo(text: str):
    return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[text])


@dsl.pipeline
def plain(text: str = "a"):
    say(text=text)


def tasks(documents, component=None):
    part = documents[0]["components"][component] if component else documents[0]["root"]
    return part["dag"]["tasks"]


def container(documents, name):
    return documents[0]["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


@pytest.mark.parametrize("rule", lint.all_rules(), ids=lambda rule: rule.code)
def test_a_plain_pipeline_runs_into_nothing(rule, compiled, details):
    for backend in lint.BACKENDS:
        assert details(rule.code, compiled(plain), backend=backend) == []


def break_task(documents):
    tasks(documents)["say"]["componentRef"]["name"] = "comp-gone"


def break_dependency(documents):
    tasks(documents)["say"]["dependentTasks"] = ["gone"]


def break_executor(documents):
    documents[0]["components"]["comp-say"]["executorLabel"] = "exec-gone"


def break_producer(documents):
    output = {"producerTask": "gone", "outputParameterKey": "Output"}
    tasks(documents)["say"]["inputs"]["parameters"]["text"] = {"taskOutputParameter": output}


def break_output(documents):
    output = {"producerSubtask": "gone", "outputParameterKey": "Output"}
    documents[0]["root"]["dag"]["outputs"] = {"parameters": {"said": {"valueFromParameter": output}}}


def break_parameter(documents):
    del documents[0]["root"]["inputDefinitions"]["parameters"]["text"]


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [
        (break_task, "there is no component 'comp-gone'"),
        (break_dependency, "there is no task 'gone'"),
        (break_executor, "there is no executor 'exec-gone'"),
        (break_producer, "there is no task 'gone'"),
        (break_output, "there is no task 'gone'"),
        (break_parameter, "there is no input 'text'"),
    ],
)
def test_dangling_reference(spoil, detail, compiled, details):
    documents = compiled(plain)
    spoil(documents)
    for backend in lint.BACKENDS:
        assert details("HM001", documents, backend=backend) == [detail]


def test_an_input_that_kfp_does_not_pass_on_is_found(compiled, details):
    @dsl.pipeline
    def within(processors: str = "2"):
        with dsl.ExitHandler(say(text="end")):
            say(text="a").set_cpu_limit(processors)

    for backend in lint.BACKENDS:
        assert details("HM001", compiled(within), backend=backend) == [
            "there is no input 'pipelinechannel--processors'"
        ]


@dsl.pipeline
def collecting() -> int:
    with dsl.ParallelFor(["a", "b"], parallelism=2) as item:
        made = make(text=item)
    return use_all(given=dsl.Collected(made.outputs["made"])).output


@dsl.pipeline
def choosing_artifacts(flag: str = "a") -> dsl.Dataset:
    with dsl.If(flag == "a"):
        one = make(text="a")
    with dsl.Else():
        other = make(text="b")
    return dsl.OneOf(one.outputs["made"], other.outputs["made"])


@dsl.pipeline
def choosing_parameters(flag: str = "a") -> str:
    with dsl.If(flag == "a"):
        one = say(text="a")
    with dsl.Else():
        other = say(text="b")
    return dsl.OneOf(one.output, other.output)


def test_references_of_outputs_and_branches_are_followed(compiled, details):
    for pipeline in (collecting, choosing_artifacts, choosing_parameters):
        assert details("HM001", compiled(pipeline)) == []


def test_artifact_oneof(compiled, details):
    documents = compiled(choosing_artifacts)
    assert details("HM101", documents, version="2.16") == ["one of condition-2, condition-3"]
    assert details("HM101", documents, version="2.17") == []
    assert details("HM101", compiled(choosing_parameters), version="2.16") == []


@pytest.mark.parametrize("backend", ["local", "docker"])
def test_local_artifact_oneof(backend, compiled, details):
    assert details("HM301", compiled(choosing_artifacts), backend=backend) == ["one of condition-2, condition-3"]
    assert details("HM301", compiled(choosing_parameters), backend=backend) == []


@dsl.pipeline
def importing_in_a_branch(flag: str = "a"):
    with dsl.If(flag == "a"):
        found = dsl.importer(artifact_uri="gs://bucket/data", artifact_class=dsl.Dataset)
        use(given=found.output)


def test_conditional_importer(compiled, details):
    documents = compiled(importing_in_a_branch)
    assert details("HM102", documents) == []
    tasks(documents, "comp-condition-1")["importer"]["triggerPolicy"] = {"condition": "true"}
    assert details("HM102", documents) == ["true"]


@dsl.pipeline
def looping_over_artifacts(given: dsl.Input[List[dsl.Dataset]]):
    with dsl.ParallelFor(given) as item:
        use(given=item)


def test_artifact_iterator(compiled, details):
    documents = compiled(looping_over_artifacts)
    assert details("HM103", documents, version="2.0") == ["over pipelinechannel--given"]
    assert details("HM103", documents, version="2.17") == ["over pipelinechannel--given"]
    assert details("HM103", compiled(collecting)) == []


@dsl.pipeline
def finishing():
    with dsl.ExitHandler(finish()):
        say(text="a")


@dsl.pipeline
def finishing_without_status():
    with dsl.ExitHandler(say(text="end")):
        say(text="a")


def test_final_status(compiled, details):
    assert details("HM104", compiled(finishing), version="2.5") == ["status"]
    assert details("HM104", compiled(finishing), version="2.14") == []
    assert details("HM104", compiled(finishing_without_status), version="2.5") == []


@dsl.pipeline
def looping():
    with dsl.ParallelFor(["a", "b"]) as item:
        made = make(text=item)
        use(given=made.outputs["made"])


def test_collected_output(compiled, details):
    assert details("HM105", compiled(collecting), version="2.5") == ["what for-loop-2 collects"]
    assert details("HM105", compiled(collecting), version="2.14") == []
    assert details("HM105", compiled(looping), version="2.5") == []


@dsl.pipeline
def importing(uri: str):
    dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset)
    with dsl.ParallelFor(["gs://a", "gs://b"]) as item:
        dsl.importer(artifact_uri=item, artifact_class=dsl.Dataset)


@dsl.pipeline
def importing_what_a_step_says():
    dsl.importer(artifact_uri=say(text="gs://a").output, artifact_class=dsl.Dataset)


@dsl.pipeline
def importing_parts():
    with dsl.ParallelFor([{"uri": "gs://a"}, {"uri": "gs://b"}]) as item:
        dsl.importer(artifact_uri=item.uri, artifact_class=dsl.Dataset)


def test_importer_uri(compiled, details):
    assert details("HM106", compiled(importing)) == []
    assert details("HM106", compiled(importing_what_a_step_says)) == ["the URI is an output of say"]
    assert details("HM106", compiled(importing_parts)) == ["the URI is a part of an item"]


def saying(text):
    @dsl.pipeline(pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")))
    def pipeline():
        say(text=text)

    return pipeline


@pytest.mark.parametrize(
    ("text", "version", "found"),
    [
        (dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "2.4", True),
        (dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "2.5", False),
        (dsl.PIPELINE_TASK_ID_PLACEHOLDER, "2.5", False),
        (dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER, "2.15", True),
        (dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER, "2.16", False),
        (dsl.PIPELINE_ROOT_PLACEHOLDER, "2.17", True),
        (f"run-{dsl.PIPELINE_JOB_NAME_PLACEHOLDER}", "2.17", True),
        (f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/data", "2.14", True),
        (f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/data", "2.15", False),
    ],
)
def test_unresolved_placeholder(text, version, found, compiled, details):
    assert bool(details("HM107", compiled(saying(text)), version=version)) == found


@dsl.component(base_image=IMAGE)
def settings(given: dict):
    print(given)


def test_unresolved_placeholder_in_a_dict_and_in_a_command(compiled, details):
    @dsl.pipeline
    def with_dict():
        settings(given={"run": dsl.PIPELINE_JOB_ID_PLACEHOLDER})

    @dsl.container_component
    def root():
        return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[dsl.PIPELINE_JOB_ID_PLACEHOLDER])

    @dsl.pipeline
    def with_command():
        root()

    expected = ["{{$.pipeline_job_uuid}} within something larger"]
    assert details("HM107", compiled(with_dict)) == expected
    assert details("HM107", compiled(with_command)) == expected


@dsl.component(base_image=IMAGE)
def tell() -> NamedTuple("Told", [("text", str), ("count", int)]):
    return ("a", 1)


def test_pasted_text(compiled, details):
    @dsl.pipeline
    def pasting(name: str, count: int, all: dict):
        settings(given={"name": name, "count": count})
        say(text=f"run of {name}")
        settings(given=all)
        say(text=name)
        told = tell()
        settings(given={"text": told.outputs["text"], "count": told.outputs["count"]})

    pasted = ["pipelinechannel--name", "pipelinechannel--name", "pipelinechannel--tell-text"]
    assert details("HM120", compiled(pasting)) == pasted


def test_resources_by_parameter_are_no_pasted_text(compiled, details):
    @dsl.pipeline
    def sized(processors: str):
        say(text="a").set_cpu_limit(processors)

    assert details("HM120", compiled(sized)) == []


def test_unknown_field_from_the_cache_key(compiled, details):
    @dsl.pipeline
    def keyed():
        say(text="a").set_caching_options(True, cache_key="k")

    assert details("HM108", compiled(keyed), version="2.3") == ["cacheKey"]
    assert details("HM108", compiled(keyed), version="2.4") == []


def test_unknown_field_from_the_task_config(compiled, details):
    @dsl.component(base_image=IMAGE, task_config_passthroughs=[dsl.TaskConfigField.RESOURCES])
    def configured(config: dsl.TaskConfig):
        print(config)

    @dsl.pipeline
    def passing():
        configured()

    expected = ["config is of the type TASK_CONFIG", "taskConfigPassthroughs"]
    assert sorted(details("HM108", compiled(passing), version="2.14")) == expected
    assert details("HM108", compiled(passing), version="2.15") == []


def test_unknown_field_from_literals(compiled, details):
    documents = compiled(plain)
    documents[0]["root"]["inputDefinitions"]["parameters"]["text"]["literals"] = ["a", "b"]
    assert details("HM108", documents, version="2.15") == ["text has literals"]
    assert details("HM108", documents, version="2.16") == []


def test_unknown_field_that_no_version_has(compiled, details):
    documents = compiled(plain)
    tasks(documents)["say"]["mood"] = "good"
    (detail,) = details("HM108", documents)
    assert 'has no field named "mood"' in detail


def with_platform(documents, config=None, executor=None):
    platform = {"deploymentSpec": {"executors": {"exec-say": executor or {}}}}
    if config:
        platform["pipelineConfig"] = config
    return [documents[0], {"platforms": {"kubernetes": platform}}]


def test_platform_config_of_a_workspace(compiled, details):
    config = dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))

    @dsl.pipeline(pipeline_config=config)
    def working():
        say(text="a")

    assert details("HM109", compiled(working), version="2.5") == ["workspace"]
    assert details("HM109", compiled(working), version="2.14") == []


def test_platform_config_of_a_time_to_live(compiled, details):
    @dsl.pipeline(pipeline_config=dsl.PipelineConfig(ttl_seconds_after_finished=60, active_deadline_seconds=60))
    def brief():
        say(text="a")

    found = details("HM109", compiled(brief), version="2.16")
    assert sorted(found) == ["activeDeadlineSeconds", "resourceTtlOnCompletion"]
    assert details("HM109", compiled(brief), version="2.17") == []


@pytest.mark.parametrize(
    ("name", "last", "first_without"), [("resourceTtl", "2.16", "2.17"), ("mutexName", "2.14", "2.15")]
)
def test_platform_config_that_was_taken_away(name, last, first_without, compiled, details):
    documents = with_platform(compiled(plain), config={name: 1})
    assert details("HM109", documents, version="2.4") == [name]
    assert details("HM109", documents, version=last) == []
    assert details("HM109", documents, version=first_without) == [name]


def test_platform_config_that_no_version_knows(compiled, details):
    assert details("HM109", with_platform(compiled(plain), config={"mood": "good"})) == ["mood"]


def test_platform_setting_ignored(compiled, details):
    @dsl.pipeline
    def mounting():
        kubernetes.mount_pvc(say(text="a"), pvc_name="claim", mount_path="/data", sub_path="mine")

    assert details("HM110", compiled(mounting), version="2.15") == ["subPath of pvcMount"]
    assert details("HM110", compiled(mounting), version="2.16") == []


def test_platform_setting_ignored_by_every_version(compiled, details):
    documents = with_platform(compiled(plain), executor={"podAffinity": [{"topologyKey": "zone"}]})
    assert details("HM110", documents) == ["podAffinity"]
    known = with_platform(compiled(plain), executor={"imagePullPolicy": "Always"})
    assert details("HM110", known, version="2.1") == []
    assert details("HM110", known, version="2.0") == ["imagePullPolicy"]


@dsl.pipeline
def retrying():
    say(text="a").set_retry(2)
    dsl.importer(artifact_uri="gs://a", artifact_class=dsl.Dataset).set_retry(3)


def test_retry_ignored(compiled, details):
    assert details("HM111", compiled(retrying), version="2.5") == ["3 retries", "2 retries"]
    assert details("HM111", compiled(retrying), version="2.14") == ["3 retries"]


@pytest.mark.parametrize(
    ("resources", "found"),
    [
        ({"resourceCpuLimit": "two"}, ["resourceCpuLimit 'two'"]),
        ({"resourceCpuLimit": "-1"}, ["resourceCpuLimit '-1'"]),
        ({"resourceCpuLimit": "1 "}, ["resourceCpuLimit '1 '"]),
        ({"resourceCpuLimit": "٣"}, ["resourceCpuLimit '٣'"]),
        ({"resourceMemoryLimit": "512K"}, ["resourceMemoryLimit '512K'"]),
        ({"resourceMemoryLimit": "4GB"}, ["resourceMemoryLimit '4GB'"]),
        ({"cpuLimit": "Infinity"}, ["cpuLimit 'Infinity'"]),
        ({"memoryRequest": "NaN"}, ["memoryRequest 'NaN'"]),
        ({"cpuRequest": -2}, ["cpuRequest '-2.0'"]),
        ({"cpuRequest": 2, "cpuLimit": 1}, ["cpuRequest 2.0 above cpuLimit 1.0"]),
        (
            {"resourceCpuRequest": "1001m", "cpuRequest": 1, "resourceCpuLimit": "1"},
            ["resourceCpuRequest 1001m above resourceCpuLimit 1"],
        ),
        (
            {"resourceMemoryRequest": "2Gi", "memoryLimit": 2},
            ["resourceMemoryRequest 2Gi above memoryLimit 2.0"],
        ),
        ({"resourceMemoryRequest": "2G", "memoryLimit": 2}, []),
        ({"resourceCpuRequest": "two", "resourceCpuLimit": "1"}, ["resourceCpuRequest 'two'"]),
        ({"resourceCpuLimit": "{{$.inputs.parameters['pipelinechannel--a']}}", "resourceCpuRequest": "9"}, []),
        ({"resourceCpuLimit": ".5", "resourceMemoryLimit": "1e9", "resourceMemoryRequest": "1E3"}, []),
        ({"resourceCpuLimit": "+2.", "resourceMemoryLimit": "1E"}, []),
        ({"resourceCpuLimit": "9" * 5000, "resourceMemoryLimit": "1e999"}, []),
        ({"cpuLimit": 1e308}, []),
    ],
)
def test_resource_quantity(resources, found, compiled, details):
    documents = compiled(plain)
    container(documents, "say")["resources"] = resources
    assert details("HM119", documents) == found


def test_quantities_that_only_newer_versions_read(compiled, details):
    documents = compiled(plain)
    container(documents, "say")["resources"] = {"resourceCpuLimit": "two", "memoryLimit": "NaN"}
    assert details("HM119", documents, version="2.3") == ["memoryLimit 'NaN'"]
    assert details("HM119", documents, version="2.4") == ["memoryLimit 'NaN'", "resourceCpuLimit 'two'"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1500m", "1.5"),
        ("3u", "0.000003"),
        ("7n", "7E-9"),
        ("2k", "2000"),
        ("3Ki", "3072"),
        ("5Gi", str(5 * 2**30)),
        ("1E", "1E18"),
        ("1Ei", str(2**60)),
        ("2e-3", "0.002"),
        ("1.5E2", "150"),
        ("", None),
        ("m", None),
        ("1ki", None),
    ],
)
def test_quantities_as_kubernetes_reads_them(text, number):
    assert read(text) == (None if number is None else Decimal(number))


def test_parallelism_ignored(compiled, details):
    assert details("HM112", compiled(collecting), version="2.3") == ["at most 2 at once"]
    assert details("HM112", compiled(collecting), version="2.4") == []
    assert details("HM112", compiled(looping), version="2.3") == []


@dsl.pipeline
def inner(text: Optional[str] = None, unused: Optional[str] = None):
    maybe(text=text)


@dsl.pipeline
def outer(text: Optional[str] = None, given: str = "a"):
    maybe(text=text)
    inner()
    inner(text=given)


def test_optional_input(compiled, details):
    assert details("HM113", compiled(outer), version="2.4") == ["without text", "text"]
    assert details("HM113", compiled(outer), version="2.5") == ["without text"]
    assert details("HM113", compiled(outer), version="2.14") == []


def test_resource_names(compiled, details):
    @dsl.pipeline
    def sized(memory: str = "1G"):
        say(text="a").set_cpu_limit("2").set_memory_limit(memory)

    assert details("HM114", compiled(sized), version="2.3") == ["resourceMemoryLimit"]
    assert details("HM114", compiled(sized), version="2.4") == []


@pytest.mark.parametrize("backend", ["kubeflow", "local", "docker"])
def test_google_cloud_executor(backend, compiled, details):
    documents = compiled(plain)
    documents[0]["deploymentSpec"]["executors"]["exec-say"] = {"customJob": {"customJob": {}}}
    assert details("HM115", documents, backend=backend) == ["customJob"]
    assert details("HM115", documents, backend="vertex") == []


@dsl.container_component
def built(text: Optional[str] = None):
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["echo", dsl.ConcatPlaceholder(["a-", text])],
        args=[dsl.IfPresentPlaceholder(input_name="text", then=["--text", text])],
    )


@dsl.pipeline
def building():
    built(text="a")


def test_argument_placeholder(compiled, details):
    assert details("HM116", compiled(building), version="2.16") == ["IfPresent", "Concat"]
    assert details("HM116", compiled(building), version="2.17") == ["Concat"]


def test_pod_label(compiled, details):
    def labelled(value):
        @dsl.pipeline
        def pipeline():
            kubernetes.add_pod_label(say(text="a"), "team", value)

        return compiled(pipeline)

    assert details("HM117", labelled("a" * 63)) == []
    assert len(details("HM117", labelled("a" * 64))) == 1
    assert len(details("HM117", labelled("risk & co"))) == 1
    selecting = with_platform(compiled(plain), executor={"nodeSelector": {"labels": {"-pool": "ml"}}})
    assert len(details("HM117", selecting)) == 1


@pytest.mark.parametrize(("length", "found"), [(128, []), (129, [f"a name of 129 characters, comp-{'a' * 35}..."])])
def test_workflow_name(length, found, compiled, details):
    documents = compiled(plain)
    name = f"comp-{'a' * (length - 5)}"
    documents[0]["components"][name] = documents[0]["components"].pop("comp-say")
    assert details("HM118", documents) == found


def test_workflow_name_of_characters_and_of_loops(compiled, details):
    documents = compiled(plain)
    documents[0]["components"]["comp.say"] = documents[0]["components"].pop("comp-say")
    assert details("HM118", documents) == ["'comp.say'"]

    def loop(length):
        documents = compiled(looping)
        found = tasks(documents).popitem()[1]
        return [documents[0] | {"root": {"dag": {"tasks": {"a" * length: found}}}}]

    # The template of the loop: "comp-for-loop-2", "-", the task's name, "-iterator".
    assert details("HM118", loop(128 - 25)) == []
    assert details("HM118", loop(129 - 25)) == ["a name of 129 characters, comp-for-loop-2-aaaaaaaaaaaaaaaaaaaaaaaa..."]


def test_platform_document(compiled, details):
    documents = compiled(plain)
    assert details("HM201", documents, backend="vertex") == []
    assert details("HM201", with_platform(documents), backend="vertex") == ["2 documents"]
    assert details("HM201", with_platform(documents), backend="kubeflow") == []


@pytest.mark.parametrize(
    ("name", "found"),
    [("a" * 113, False), ("a" * 114, True), ("1-train", True), ("Train", False), ("-train-", False), ("--", True)],
)
def test_job_name(name, found, compiled, details):
    documents = compiled(plain)
    documents[0]["pipelineInfo"]["name"] = name
    assert bool(details("HM202", documents, backend="vertex")) == found


@pytest.mark.parametrize(
    ("cpu", "memory", "found"),
    [("96", "624G", []), ("97", "1G", ["97 processors"]), ("1", "625G", ["625 GB"]), ("1", "582Gi", ["624.918 GB"])],
)
def test_machine_too_large(cpu, memory, found, compiled, details):
    @dsl.pipeline
    def sized():
        say(text="a").set_cpu_limit(cpu).set_memory_limit(memory)

    assert details("HM203", compiled(sized), backend="vertex") == found


@pytest.mark.parametrize(
    ("resources", "found"),
    [
        ({"cpuLimit": "Infinity", "memoryLimit": "NaN"}, []),
        ({"cpuLimit": 97}, ["97 processors"]),
        ({"resourceCpuLimit": "97", "resourceMemoryLimit": "1Ti"}, ["97 processors", "1099.51 GB"]),
        ({"resourceCpuLimit": "{{$.inputs.parameters['pipelinechannel--a']}}"}, []),
    ],
)
def test_machine_too_large_however_it_is_written(resources, found, compiled, details):
    documents = compiled(plain)
    container(documents, "say")["resources"] = resources
    assert sorted(details("HM203", documents, backend="vertex")) == sorted(found)


@dsl.pipeline
def making_a_volume():
    kubernetes.CreatePVC(pvc_name="scratch", access_modes=["ReadWriteOnce"], size="1Gi")


def test_kubernetes_volume(compiled, details):
    for backend, found in (("vertex", ["argostub/createpvc"]), ("docker", ["argostub/createpvc"]), ("kubeflow", [])):
        assert details("HM204", compiled(making_a_volume), backend=backend) == found


@dsl.pipeline
def deciding():
    done = named()
    with dsl.If(done.outputs["status"] == "go"):
        say(text="a")


@dsl.pipeline
def deciding_both():
    done = named()
    with dsl.If(done.outputs["status"] == "go"):
        say(text="a")
    with dsl.Else():
        say(text="b")


@dsl.pipeline
def deciding_by_the_only_output():
    with dsl.If(say(text="a").output == "a"):
        say(text="b")


@pytest.mark.parametrize("backend", ["local", "docker"])
def test_local_condition(backend, compiled, details):
    assert details("HM302", compiled(deciding), backend=backend) == ["status of named"]
    assert details("HM302", compiled(deciding_both), backend=backend) == []
    assert details("HM302", compiled(deciding_by_the_only_output), backend=backend) == []


@dsl.pipeline
def going_through():
    with dsl.ParallelFor(named().outputs["places"]) as item:
        say(text=item)


@dsl.pipeline
def going_through_the_only_output():
    with dsl.ParallelFor(uris().output) as item:
        say(text=item)


@pytest.mark.parametrize("backend", ["local", "docker"])
def test_local_loop(backend, compiled, details):
    assert details("HM303", compiled(going_through), backend=backend) == ["places of named"]
    assert details("HM303", compiled(going_through_the_only_output), backend=backend) == []
    assert details("HM303", compiled(looping), backend=backend) == []


@dsl.pipeline
def echoing():
    echo(text="a")


def test_local_container(compiled, details):
    assert details("HM304", compiled(echoing), backend="local") == [IMAGE]
    assert details("HM304", compiled(echoing), backend="docker") == []


def test_local_container_of_an_image_that_holds_the_code(compiled, details):
    @dsl.component(base_image=IMAGE, target_image="registry/mine:1")
    def baked(text: str) -> str:
        return text

    @dsl.pipeline
    def baking():
        baked(text="a")

    assert details("HM304", compiled(baking), backend="local") == ["registry/mine:1"]


@pytest.mark.parametrize(("excess", "found"), [(0, False), (1, True)])
def test_spec_size(excess, found, compiled, details):
    documents = compiled(plain)
    args = container(documents, "say")["args"]
    args += ["a" * 100_000] * 10
    spec = lint.parse(_dump(documents), "file")
    args.append("a" * (2**20 + excess - _size(spec) - len(',""')))
    assert bool(details("HM401", documents)) == found


def _dump(documents):
    import yaml

    return yaml.safe_dump_all(documents)


def _size(spec):
    import json

    return len(json.dumps(spec.pipeline, separators=(",", ":")))


@pytest.mark.parametrize(("size", "found"), [(9_998, []), (9_999, ["text has 10,001 bytes"])])
def test_large_parameter(size, found, compiled, details):
    assert details("HM402", compiled(saying("a" * size))) == found
    documents = compiled(plain)
    documents[0]["root"]["inputDefinitions"]["parameters"]["text"]["defaultValue"] = "a" * size
    assert details("HM402", documents) == found


@pytest.mark.parametrize(("size", "found"), [(131_071, []), (131_072, ["131,072 bytes"])])
def test_argument_size(size, found, compiled, details):
    documents = compiled(plain)
    container(documents, "say")["args"].append("a" * size)
    for backend in lint.BACKENDS:
        assert details("HM403", documents, backend=backend) == found


def test_non_ascii(compiled, details):
    @dsl.pipeline(description="Größe")
    def described():
        say(text="a")

    assert details("HM404", compiled(described)) == ["U+00F6 in description"]
    documents = with_platform(compiled(plain), executor={"podMetadata": {"annotations": {"note": "\N{ROCKET}"}}})
    assert details("HM404", documents) == ["U+1F680 in note"]


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("python", "HM501"),
        ("python:latest", "HM501"),
        ("localhost:5000/python", "HM501"),
        ("python:3.11", "HM502"),
        ("localhost:5000/python:3.11", "HM502"),
        (IMAGE, None),
        (f"python:3.11@sha256:{'0' * 64}", None),
        ("{{$.inputs.parameters['pipelinechannel--image']}}", None),
        ("argostub/createpvc", None),
    ],
)
def test_images(image, code, compiled, details):
    documents = compiled(plain)
    container(documents, "say")["image"] = image
    for backend in ("kubeflow", "vertex", "docker"):
        assert details("HM501", documents, backend=backend) == ([image] if code == "HM501" else [])
        assert details("HM502", documents, backend=backend) == ([image] if code == "HM502" else [])
    assert details("HM501", documents, backend="local") == []


def test_cached_effect(root, compiled, details):
    from kfp import components as kfp_components

    def loaded(name, cached=True):
        component = kfp_components.load_component_from_file(str(root / "compiled" / "components" / f"{name}.yaml"))

        @dsl.pipeline
        def pipeline():
            found = dsl.importer(artifact_uri="gs://a", artifact_class=dsl.Artifact)
            given = {
                key: found.output
                if key in (component.component_spec.inputs or {}) and entry.type.startswith("system")
                else "a"
                for key, entry in component.component_spec.inputs.items()
                if not entry.optional
            }
            component(**given).set_caching_options(cached)

        return compiled(pipeline)

    for backend in lint.BACKENDS:
        assert details("HM503", loaded("enforce_decision"), backend=backend) == ["enforce-decision"]
    assert details("HM503", loaded("enforce_decision", cached=False)) == []
    assert components.split_dataset.pure
    assert details("HM503", loaded("load_dataset")) == ([] if components.load_dataset.pure else ["load-dataset"])
    assert details("HM503", compiled(pipelines.governed_training)) == []


@component(environment="release")
def append(text: str):
    """Append."""
    print(text)


@dsl.pipeline
def nested(text: str = "a"):
    append(text=text)
    with dsl.If(text == "a"):
        append(text=text)


def test_retried_effect(compiled, details):
    @dsl.pipeline
    def retrying_ours():
        append(text="a").set_retry(2)
        append(text="b")
        say(text="c").set_retry(3)

    for backend in lint.BACKENDS:
        assert details("HM504", compiled(retrying_ours), backend=backend) == ["2 retries"]
    assert details("HM504", compiled(retrying_ours), version="2.5") == []
    assert details("HM504", compiled(nested)) == []


def test_retried_group(compiled, details):
    @dsl.pipeline
    def retrying_a_group():
        nested().set_retry(2)

    found = ["append in it must run once", "append-2 in it must run once"]
    assert details("HM505", compiled(retrying_a_group)) == found
    assert details("HM505", compiled(retrying_a_group), version="2.14") == found
    assert details("HM505", compiled(retrying_a_group), version="2.5") == []
    for backend in ("vertex", "local", "docker"):
        assert details("HM505", compiled(retrying_a_group), backend=backend) == []


def test_a_group_hands_its_policy_to_what_has_none(compiled, details):
    @dsl.pipeline
    def with_policies(text: str = "a"):
        append(text=text).set_retry(0)
        say(text=text)

    @dsl.pipeline
    def retrying_a_group():
        with_policies().set_retry(2)
        nested().set_retry(0)
        nested()

    assert details("HM505", compiled(retrying_a_group)) == []


def test_a_group_that_holds_itself_ends(compiled, details):
    @dsl.pipeline
    def retrying_a_group():
        nested().set_retry(2)

    documents = compiled(retrying_a_group)
    tasks(documents, "comp-condition-1")["again"] = {"componentRef": {"name": "comp-nested"}}
    assert len(details("HM505", documents)) == 2
