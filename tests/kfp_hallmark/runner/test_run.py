"""Runs of small pipelines through the real orchestrator, under the environment `release`."""

import builtins
import json
import logging
import sys
import threading

import pytest
from kfp import compiler, dsl
from kfp.local import executor_input_utils, subprocess_task_handler
from kfp.local.orchestrator import task_executor

from kfp_hallmark.component import component
from kfp_hallmark.environments import image, lock_digest
from kfp_hallmark.environments.local import code_path, ensure
from kfp_hallmark.errors import InputError
from kfp_hallmark.runner.plan import plan
from kfp_hallmark.runner.spec import prepare

RELEASED = {
    "make_data": "succeeded",
    "fit": "succeeded",
    "own_gate": "succeeded",
    "settle": "succeeded",
    "publish": "succeeded",
    "refuse": "skipped",
    "close_books": "succeeded",
}


class TestReleased:
    def test_the_result_says_what_came_of_it(self, run, pipelines, books, states, document):
        result, _ = run(pipelines.governed, books[0])
        assert (result.status, result.exit_code, result.reason) == ("succeeded", 0, None)
        assert states(result) == RELEASED
        assert document(result)["schema"] == "hallmark/run/v1"
        assert document(result) == result.to_json()
        assert result.parameters == {"books_uri": str(books[1])}

    def test_documents_are_found_by_their_schema(self, run, pipelines, books):
        result, _ = run(pipelines.governed, books[0])
        assert result.verdicts == [
            {
                "gate": "own_gate",
                "status": "pass",
                "step": "own_gate",
                "path": "artifacts/own_gate/verdict",
                "report": "reports/own_gate.html",
            }
        ]
        assert result.decision["outcome"] == "release"
        assert result.decision["reasons"] == []
        assert result.model["name"] == "small"
        assert result.model["version"] == "7"
        assert result.model["uri"] == "models:/small/7"
        assert result.model["experiment_hash"] == "sha256:" + "1" * 64
        assert result.metrics == {"fit": {"accuracy": 0.9}}
        assert (result.directory / "reports/own_gate.html").read_text().startswith("<!DOCTYPE html>")

    def test_lineage_goes_from_the_source_to_the_model(self, run, pipelines, books):
        result, _ = run(pipelines.governed, {**books[0], "note": "the source"})
        assert [(entry["step"], entry["name"]) for entry in result.lineage] == [("make_data", "data"), ("fit", "model")]
        assert result.lineage[0]["rows"] == 3
        assert result.lineage[0]["source"] == "the source"
        assert result.lineage[1]["digest"] == result.model["digest"]

    def test_the_exit_handler_knows_the_run(self, run, pipelines, books):
        result, _ = run(pipelines.governed, {**books[0], "note": "a note"})
        assert books[1].read_text() == f"SUCCEEDED {result.run_id} a note\n"

    def test_whole_numbers_in_dicts_stay_whole(self, run, pipelines, books):
        result, _ = run(pipelines.governed, books[0])
        content = (result.directory / "artifacts/make_data/data").read_text()
        assert content == '{"rows": 3, "options": {"depth": 3, "rate": 0.5}}' or content == (
            '{"rows": 3, "options": {"rate": 0.5, "depth": 3}}'
        )

    def test_a_step_prints_to_its_log_alone(self, run, pipelines, books, capfd):
        result, screen = run(pipelines.governed, books[0])
        assert "making data" in (result.directory / "logs/make_data.log").read_text()
        assert "making data" not in screen
        assert "Executing task" in (result.directory / "logs/orchestrator.log").read_text()
        assert capfd.readouterr() == ("", "")

    def test_the_screen_tells_a_step_a_line_and_the_end(self, run, pipelines, books):
        result, screen = run(pipelines.governed, books[0])
        lines = screen.splitlines()
        assert [line.split()[:2] for line in lines[:4]] == [
            ["ok", "make_data"],
            ["ok", "fit"],
            ["ok", "own_gate"],
            ["ok", "settle"],
        ]
        assert lines[2].endswith("pass")
        assert "decision release" in screen
        assert "small version 7" in screen
        assert str(result.directory / "index.html") in screen


class TestHalted:
    def test_a_decision_to_halt_halts(self, run, pipelines, books, states):
        result, screen = run(pipelines.governed, {**books[0], "score": 0.2})
        assert (result.status, result.exit_code) == ("halted", 3)
        assert states(result) == RELEASED | {"publish": "skipped", "refuse": "failed"}
        assert result.verdicts[0]["status"] == "fail"
        assert result.decision["outcome"] == "halt"
        assert result.decision["reasons"][0] in screen
        assert result.model["version"] is None
        assert books[1].read_text() == f"FAILED {result.run_id} None\n"

    def test_a_failure_besides_is_a_failure(self, run, pipelines, books):
        result, _ = run(pipelines.governed, {"books_uri": "absent/books.txt", "score": 0.2})
        assert (result.status, result.exit_code) == ("failed", 1)


class TestFailed:
    def test_the_step_its_last_lines_and_its_log_are_told(self, run, pipelines, states):
        result, screen = run(pipelines.stumbling, {"lines": 40})
        assert (result.status, result.exit_code) == ("failed", 1)
        assert states(result) == {"stumble": "failed", "note_down": "skipped", "note_down_2": "succeeded"}
        assert result.failed_steps[0].reason == "RuntimeError: stumbled"
        assert "step     stumble\nbecause  RuntimeError: stumbled\n" in screen
        assert screen.count("│") == 5
        assert str(result.directory / "logs/stumble.log") in screen

    def test_a_step_that_writes_nonsense_fails_and_the_books_are_closed(self, run, books, states, pipelines):
        @component(environment="release")
        def babble(number: dsl.OutputPath(int)):
            with open(number, "w") as file:  # noqa: PTH123
                file.write("many")

        @dsl.pipeline(name="babbling")
        def babbling(books_uri: str):
            close = pipelines.close_books(path=books_uri, run_id="x")
            with dsl.ExitHandler(close):
                babble()

        result, _ = run(babbling, books[0])
        assert states(result) == {"babble": "failed", "close_books": "succeeded"}
        assert "Could not deserialize output 'number'" in result.steps[0].reason
        assert books[1].read_text() == "FAILED x None\n"

    def test_a_reason_that_names_an_input_says_what_the_run_calls_it(self, run, books, pipelines):
        @component(environment="release")
        def measure(limits: str):
            raise ValueError(f"limits must be numbers; got {limits!r}.")

        @dsl.pipeline(name="measuring")
        def measuring(books_uri: str, own_limits: str):
            with dsl.ExitHandler(pipelines.close_books(path=books_uri, run_id="x")):
                measure(limits=own_limits)

        result, screen = run(measuring, books[0] | {"own_limits": "none"})
        told = "ValueError: limits must be numbers; got 'none'.\nHere limits is the run's own_limits."
        assert result.steps[0].reason == told
        assert f"because  {told.splitlines()[0]}\n         {told.splitlines()[1]}\n" in screen

    @pytest.mark.parametrize(
        "document",
        [
            {"schema": "hallmark/decision/v1", "outcome": "release", "reasons": 5},
            {"schema": "hallmark/registration/v1", "name": ["a"], "version": "1", "uri": "u", "digest": "d"},
        ],
    )
    def test_what_cannot_be_shown_fails_the_run_and_is_told(self, run, document, tmp_path):
        @component(environment="release")
        def write(content: dict, out: dsl.Output[dsl.Artifact]):
            import json

            with open(out.path, "w") as file:  # noqa: PTH123
                json.dump(content, file)

        @dsl.pipeline(name="writing")
        def writing(content: dict):
            write(content=content)

        result, screen = run(writing, {"content": document})
        assert (result.status, result.exit_code) == ("failed", 1)
        assert "What the steps wrote cannot be shown" in screen
        written = json.loads((result.directory / "run.json").read_text())
        assert (written["status"], written["reason"]) == ("failed", result.reason)
        assert "What the steps wrote cannot be shown" in result.page.read_text()


class TestStructure:
    def test_two_calls_of_a_component_keep_their_outputs(self, run, pipelines):
        result, _ = run(pipelines.twice)
        outputs = {step.name: step.outputs for step in result.steps}
        assert outputs["note_down"]["copy"]["path"] == "artifacts/note_down/copy"
        assert outputs["note_down_2"]["copy"]["path"] == "artifacts/note_down_2/copy"
        assert outputs["read_back"]["Output"] == "first None"
        assert [step.component for step in result.steps] == ["note_down", "note_down", "read_back"]

    def test_nested_pipelines_take_absent_parameters(self, run, pipelines):
        result, _ = run(pipelines.outer)
        assert result.status == "succeeded"
        assert [step.name for step in result.steps] == ["note_down", "inner_2_note_down"]
        copies = [(result.directory / step.outputs["copy"]["path"]).read_text() for step in result.steps]
        assert copies == ["outer None", "outer None"]

    def test_nested_pipelines_take_given_parameters(self, run, pipelines):
        result, _ = run(pipelines.outer, {"number": 4})
        copies = [(result.directory / step.outputs["copy"]["path"]).read_text() for step in result.steps]
        assert copies == ["outer 4", "outer None"]

    def test_a_loop_runs_a_step_an_item(self, run, pipelines):
        result, _ = run(pipelines.looped)
        assert result.status == "succeeded"
        assert sorted(step.name for step in result.steps) == sorted(
            f"{name}[{index}]" for name in ("note_down", "read_back") for index in range(3)
        )
        read = {step.name: step.outputs["Output"] for step in result.steps if step.component == "read_back"}
        assert read == {"read_back[0]": "a None", "read_back[1]": "b None", "read_back[2]": "c None"}
        assert len({step.log for step in result.steps}) == 6

    def test_a_compiled_pipeline_runs_as_its_source(self, run, pipelines, books, states, tmp_path):
        compiler.Compiler().compile(pipelines.governed, str(tmp_path / "governed.yaml"))
        result, _ = run(tmp_path / "governed.yaml", books[0])
        assert states(result) == RELEASED

    def test_the_plan_knows_what_needs_what(self, pipelines):
        prepared, originals = prepare(pipelines.governed.pipeline_spec, {"books_uri"})
        steps = {step.name: step for step in plan(prepared, originals)}
        assert list(steps) == list(RELEASED)
        assert steps["own_gate"].needs == {"comp-fit"}
        assert {"comp-settle"} <= steps["publish"].needs
        assert (steps["publish"].entry, steps["refuse"].entry) == ("release", "halt")
        assert steps["close_books"].final
        assert not steps["settle"].final


class TestSurroundings:
    def test_a_step_on_our_image_in_another_registry_runs_under_its_environment(self, run, pipelines, tmp_path):
        compiler.Compiler().compile(pipelines.looking, str(tmp_path / "looking.yaml"))
        text = (tmp_path / "looking.yaml").read_text()
        pinned = f"registry.example/team/release@sha256:{'0' * 64}"
        (tmp_path / "looking.yaml").write_text(text.replace(image("release"), pinned))
        result, _ = run(tmp_path / "looking.yaml")
        assert result.steps[0].outputs["Output"]["python"] == str(ensure("release"))

    def test_a_step_runs_under_its_environment(self, run, pipelines, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHONHOME", "/nowhere")
        monkeypatch.setenv("PYTHONPATH", "/nowhere")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        result, _ = run(pipelines.looking)
        seen = result.steps[0].outputs["Output"]
        state = tmp_path / "state"
        expected = {
            "PYTHONPATH": str(code_path()),
            "HALLMARK_ENVIRONMENT_DIGEST": lock_digest("release"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{state}/mlflow/mlflow.db",
            "HALLMARK_SERVING_DIR": str(state / "serving"),
            "HALLMARK_AUDIT_LOG": str(state / "audit.jsonl"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
        }
        assert {name: seen["variables"].get(name) for name in expected} == expected
        assert "PYTHONHOME" not in seen["variables"]
        assert seen["python"] == str(ensure("release"))
        assert seen["folder"] == str(state / "mlflow")

    def test_the_users_tracking_server_wins(self, run, pipelines, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        result, _ = run(pipelines.looking)
        assert result.steps[0].outputs["Output"]["variables"]["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1"

    def test_a_component_on_another_image_runs_under_this_python(self, run):
        @dsl.component(base_image="python:3.11", install_kfp_package=False)
        def tell() -> str:
            import sys

            print("telling")
            return sys.executable

        @dsl.pipeline(name="foreign")
        def foreign():
            tell()

        result, screen = run(foreign)
        assert result.steps[0].outputs["Output"] == sys.executable
        assert "telling" in (result.directory / "logs/tell.log").read_text()
        assert "telling" not in screen

    def test_a_component_that_tells_of_pip_install_runs_under_this_python(self, run):
        @dsl.component(base_image="python:3.11", install_kfp_package=False)
        def tell(advice: str) -> str:
            import sys

            return sys.executable  # not after pip install

        @dsl.pipeline(name="advising")
        def advising():
            tell(advice="pip install x")

        result, _ = run(advising)
        assert result.steps[0].outputs["Output"] == sys.executable

    def test_everything_is_put_back(self, run, pipelines, books):
        before = (
            builtins.print,
            sys.stdout,
            list(logging.getLogger().handlers),
            task_executor.execute_single_task,
            subprocess_task_handler.SubprocessTaskHandler,
            executor_input_utils.executor_input_to_dict,
            threading.active_count(),
        )
        run(pipelines.looped)
        run(pipelines.stumbling)
        assert before == (
            builtins.print,
            sys.stdout,
            list(logging.getLogger().handlers),
            task_executor.execute_single_task,
            subprocess_task_handler.SubprocessTaskHandler,
            executor_input_utils.executor_input_to_dict,
            threading.active_count(),
        )


class TestRefused:
    def test_a_wrong_parameter_starts_nothing(self, run, pipelines, tmp_path):
        with pytest.raises(InputError, match="Did you mean 'books_uri'"):
            run(pipelines.governed, {"book_uri": "x"})
        assert not (tmp_path / "state").exists()

    def test_an_output_folder_in_use_is_refused(self, run, pipelines, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "file").touch()
        with pytest.raises(InputError, match="output folder must be new or empty"):
            run(pipelines.looking, output=tmp_path / "out")

    def test_an_empty_output_folder_is_used(self, run, pipelines, tmp_path):
        (tmp_path / "out").mkdir()
        result, _ = run(pipelines.looking, output=tmp_path / "out")
        assert result.directory == tmp_path / "out"
        assert (tmp_path / "out" / "run.json").is_file()

    def test_of_two_runs_at_once_one_gets_the_folder(self, run, pipelines, tmp_path):
        out = tmp_path / "out"
        refused = []
        start = threading.Barrier(2)

        def one():
            try:
                start.wait()
                run(pipelines.looking, output=out)
            except InputError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1
        assert "The output folder must be new or empty" in refused[0]

    @pytest.mark.parametrize("blocked", ["state", "state/reuse", "state/mlflow"])
    def test_a_state_that_cannot_be_made_leaves_no_output_folder(self, run, pipelines, tmp_path, blocked):
        (tmp_path / blocked).parent.mkdir(exist_ok=True)
        (tmp_path / blocked).touch()
        with pytest.raises(InputError, match="A run must be able to make the folder"):
            run(pipelines.looking, output=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_an_unknown_platform_is_refused(self, run, pipelines):
        with pytest.raises(InputError, match="platform must be one of local, docker; got 'dokcer'") as caught:
            run(pipelines.looking, platform="dokcer")
        assert "Did you mean 'docker'?" in str(caught.value)

    def test_a_container_component_needs_docker(self, run, tmp_path):
        @dsl.container_component
        def say():
            return dsl.ContainerSpec(image="alpine", command=["echo"], args=["hello"])

        @dsl.pipeline(name="contained")
        def contained():
            say()

        with pytest.raises(InputError, match="must be a Python function to run on the platform local") as caught:
            run(contained)
        assert "--platform docker" in str(caught.value)
        assert not list((tmp_path / "state").rglob("run.json"))
