import pytest
from kfp import compiler, components, dsl

from kfp_hallmark.component import component
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.runner.reuse import Reuse

REUSABLE = {"make_data", "fit"}


@pytest.fixture
def reused():
    return lambda result: {step.name for step in result.steps if step.state == "reused"}


class TestRuns:
    def test_pure_steps_with_the_same_inputs_are_reused(self, run, pipelines, books, reused):
        first, _ = run(pipelines.governed, books[0])
        second, screen = run(pipelines.governed, books[0] | {"score": 0.6})
        assert reused(first) == set()
        assert reused(second) == REUSABLE
        assert second.model["digest"] == first.model["digest"]
        assert second.metrics == first.metrics
        assert "reused  fit" in screen

    def test_outputs_are_copied_so_that_every_run_is_whole(self, run, pipelines, books):
        run(pipelines.governed, books[0])
        second, _ = run(pipelines.governed, books[0])
        assert (second.directory / "artifacts/fit/model/MLmodel").is_file()
        assert [entry["path"] for entry in second.lineage] == ["artifacts/make_data/data", "artifacts/fit/model"]

    def test_a_changed_parameter_runs_what_depends_on_it(self, run, pipelines, books, reused):
        run(pipelines.governed, books[0])
        second, _ = run(pipelines.governed, books[0] | {"rows": 4})
        assert reused(second) == set()

    def test_metadata_is_not_asked(self, run, pipelines, books, reused):
        run(pipelines.governed, books[0])
        second, _ = run(pipelines.governed, books[0] | {"note": "another source, the same contents"})
        assert reused(second) == {"fit"}

    def test_fresh_runs_everything(self, run, pipelines, books, reused):
        run(pipelines.governed, books[0])
        second, _ = run(pipelines.governed, books[0], reuse=False)
        assert reused(second) == set()

    @pytest.mark.parametrize("tamper", ["change", "remove", "add"])
    def test_outputs_that_are_no_longer_what_they_were_are_not_reused(self, run, pipelines, books, reused, tamper):
        first, _ = run(pipelines.governed, books[0])
        model = first.directory / "artifacts/fit/model"
        if tamper == "change":
            (model / "data").write_text("tampered")
        elif tamper == "remove":
            (model / "data").unlink()
        else:
            (model / "more").write_text("added")
        second, _ = run(pipelines.governed, books[0])
        assert reused(second) == {"make_data"}
        assert second.model["digest"] == first.model["digest"]

    def test_another_tracking_store_is_another_step(self, run, pipelines, books, reused, monkeypatch):
        run(pipelines.governed, books[0])
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        second, _ = run(pipelines.governed, books[0])
        assert reused(second) == set()


class TestKey:
    @pytest.fixture
    def artifact(self, tmp_path):
        path = tmp_path / "data"
        path.write_text("a")
        return dsl.Dataset(name="data", uri=str(path), metadata={"digest": "x"})

    @pytest.fixture
    def key(self, tmp_path):
        def compute(environment="one", tracking_uri="sqlite:///a", **changed):
            kept = Reuse(tmp_path / "reuse", lambda image: environment, lambda: tmp_path, tracking_uri)
            given = {
                "component_name": "comp-a",
                "image": "kfp-hallmark/ml:1",
                "full_command": ["sh", "-c", "x"],
                "arguments": {"seed": 1},
                "env_vars": {},
            }
            return kept.compute_key(**given | changed)

        return compute

    def test_what_counts(self, key, artifact):
        keys = [
            key(),
            key(environment="two"),
            key(tracking_uri="sqlite:///b"),
            key(full_command=["sh", "-c", "y"]),
            key(arguments={"seed": 2}),
            key(arguments={"seeds": 1}),
            key(arguments={"seed": 1, "data": artifact}),
            key(env_vars={"A": "1"}),
            key(custom_cache_key="mine"),
        ]
        assert len(set(keys)) == len(keys)

    def test_what_does_not(self, key, artifact, tmp_path):
        (tmp_path / "other").write_text("a")
        elsewhere = dsl.Dataset(name="moved", uri=str(tmp_path / "other"), metadata={"digest": "y"})
        assert key(arguments={"data": artifact}) == key(arguments={"data": elsewhere})
        assert key() == key(component_name="comp-b")

    def test_contents_count(self, key, artifact, tmp_path):
        before = key(arguments={"data": [artifact]})
        (tmp_path / "data").write_text("b")
        assert key(arguments={"data": [artifact]}) != before

    def test_contents_that_cannot_be_told_have_no_key(self, key, artifact, tmp_path):
        (tmp_path / "folder").mkdir()
        linked = dsl.Model(uri=str(tmp_path / "folder"))
        (tmp_path / "folder" / "link").symlink_to(tmp_path / "data")
        assert key(arguments={"model": linked}) is None

    @pytest.mark.parametrize("uri", ["gs://bucket/a", "absent", "hdfs://x"])
    def test_contents_that_are_elsewhere_have_no_key(self, key, uri):
        assert key(arguments={"data": dsl.Dataset(uri=uri, metadata={"digest": "x"})}) is None
        assert key(arguments={"data": [dsl.Artifact(uri=uri)]}) is None

    @pytest.mark.parametrize("kind", [dsl.Metrics, dsl.ClassificationMetrics])
    def test_metrics_are_their_metadata(self, key, kind):
        keys = [key(arguments={"metrics": kind(uri="absent", metadata={"auc": auc})}) for auc in (0.5, 0.5, 0.6)]
        assert keys[0] == keys[1] != keys[2]

    @pytest.mark.parametrize(
        "value",
        [
            dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            f"runs/{dsl.PIPELINE_JOB_NAME_PLACEHOLDER}",
            {"a": [dsl.PIPELINE_ROOT_PLACEHOLDER]},
            dsl.PIPELINE_TASK_ID_PLACEHOLDER,
            dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
            dsl.WORKSPACE_PATH_PLACEHOLDER,
            "/kfp-workspace/a",
        ],
    )
    def test_what_is_of_one_run_has_no_key(self, key, value):
        assert key(arguments={"text": value}) is None
        assert key(env_vars={"A": str(value)}) is None

    def test_a_text_put_together_from_inputs_has_one(self, key):
        text = "{{$.inputs.parameters['pipelinechannel--x']}}.csv"
        assert key(arguments={"text": text, "x": "a"}) != key(arguments={"text": text, "x": "b"})


def test_a_broken_entry_is_a_miss(tmp_path):
    kept = Reuse(tmp_path / "reuse", str, lambda: tmp_path / "target", "")
    (tmp_path / "reuse" / "key.json").write_text("{")
    assert kept.get("key") is None
    assert kept.get("absent") is None


def test_a_changed_entry_is_a_miss(tmp_path):
    kept = Reuse(tmp_path / "reuse", str, lambda: tmp_path / "target", "")
    kept.put("key", {"rows": 3})
    assert kept.get("key") == {"rows": 3}
    path = tmp_path / "reuse" / "key.json"
    path.write_text(path.read_text().replace("3", "4", 1))
    assert kept.get("key") is None


def test_an_artifact_without_contents_comes_back(tmp_path):
    kept = Reuse(tmp_path / "reuse", str, lambda: tmp_path / "target", "")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_text("a")
    outputs = {
        "metrics": dsl.Metrics(name="metrics", uri=str(tmp_path / "none"), metadata={"accuracy": 0.5}),
        "model": dsl.Model(name="model", uri=str(tmp_path / "model")),
        "status": "pass",
    }
    kept.put("key", outputs)
    found = kept.get("key")
    assert found["status"] == "pass"
    assert isinstance(found["metrics"], dsl.Metrics)
    assert found["metrics"].metadata == {"accuracy": 0.5}
    assert found["model"].path == str(tmp_path / "target" / "model")
    assert artifact_digest(found["model"].path) == artifact_digest(tmp_path / "model")


class TestUntold:
    def test_contents_beside_the_path_are_read_again(self, run, reused):
        @component(environment="release", pure=True)
        def write_beside(data: dsl.Output[dsl.Dataset], rows: int):
            with open(data.path + ".csv", "w") as file:  # noqa: PTH123
                file.write("row\n" * rows)

        @component(environment="release", pure=True)
        def count(data: dsl.Input[dsl.Dataset]) -> int:
            with open(data.path + ".csv") as file:  # noqa: PTH123
                return len(file.readlines())

        @dsl.pipeline(name="beside")
        def beside(rows: int):
            count(data=write_beside(rows=rows).outputs["data"])

        for rows in (3, 7, 7):
            result, _ = run(beside, {"rows": rows})
            assert reused(result) == set()
            assert result.steps[1].outputs["Output"] == rows

    @pytest.mark.filterwarnings("ignore:It looks like you're using the remote file")
    def test_another_import_is_another_input(self, run, reused):
        @component(environment="release", pure=True)
        def place(data: dsl.Input[dsl.Dataset]) -> str:
            return data.uri

        @dsl.pipeline(name="imported")
        def imported(uri: str):
            place(data=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output)

        for uri in ("gs://bucket/a", "gs://bucket/b"):
            result, _ = run(imported, {"uri": uri})
            assert result.steps[1].outputs["Output"] == uri

    def test_a_run_of_its_own_has_an_id_of_its_own(self, run, pipelines):
        @component(environment="release", pure=True)
        def by_default(run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER) -> str:
            return run_id

        @dsl.pipeline(name="identified")
        def identified():
            pipelines.note_down(text=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
            by_default()

        for _ in range(2):
            result, _ = run(identified)
            assert [step.outputs["Output"] for step in result.steps] == [result.run_id, result.run_id]


class TestPure:
    """KFP switches caching on for every task that does not say otherwise."""

    def test_an_exit_handler_runs_every_time(self, run, pipelines, tmp_path, reused):
        @component(environment="release", pure=True)
        def close(status: dsl.PipelineTaskFinalStatus, path: str):
            with open(path, "a") as file:  # noqa: PTH123
                file.write("closed\n")

        @dsl.pipeline(name="closing")
        def closing(path: str):
            with dsl.ExitHandler(close(path=path)):
                pipelines.note_down(text="body")

        for _ in range(2):
            result, _ = run(closing, {"path": str(tmp_path / "books")})
        assert reused(result) == {"note_down"}
        assert (tmp_path / "books").read_text() == "closed\nclosed\n"

    def test_only_what_says_that_it_is_pure_is_reused(self, run, pipelines, reused, tmp_path):
        @dsl.component(base_image="python:3.11", install_kfp_package=False)
        def plain() -> str:
            return "plain"

        loaded = {}
        for name in ("note_down", "read_back"):
            compiler.Compiler().compile(getattr(pipelines, name), str(tmp_path / f"{name}.yaml"))
            loaded[name] = components.load_component_from_file(str(tmp_path / f"{name}.yaml"))

        @dsl.pipeline(name="all-kinds")
        def all_kinds():
            plain()
            noted = loaded["note_down"](text="a")
            loaded["read_back"](copy=noted.outputs["copy"])
            pipelines.note_down(text="b").set_caching_options(False)

        run(all_kinds)
        result, _ = run(all_kinds)
        assert reused(result) == {"note_down"}
        assert {step.state for step in result.steps if step.name != "note_down"} == {"succeeded"}
