"""What a step costs beside its component's own work: Hallmark's local runner and kfp.local's own, on one pipeline.

Both run `governed_training` on the bundled data in this process, Hallmark's first and last. A component's own work is
the time between the two lines that KFP's executor logs before and after it calls the function; all else is overhead:
starting Python, importing KFP, orchestration, logs, the run's page. Hallmark's runner is measured warm, with its
environments made. kfp.local's `SubprocessRunner(use_venv=True)` makes a virtual environment a step and installs into
it what the step's environment holds, from the same lock.

    .venv/bin/python benchmarks/step_overhead.py [--peer]

Without --peer, only Hallmark's runner is measured; with it, the whole takes about a quarter of an hour.
"""

import argparse
import contextlib
import io
import os
import re
import tempfile
import time
from datetime import datetime
from pathlib import Path

import yaml
from kfp import dsl, local
from kfp.local import pipeline_orchestrator
from rich.console import Console

from kfp_hallmark import components, environments, runner
from kfp_hallmark.pipelines import governed_training
from kfp_hallmark.runner.spec import prepare

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = ROOT / "examples" / "acs_employment" / "released.yaml"
STAMP = re.compile(r"\[KFP Executor (\S+ \S+) INFO\]: (Got executor_input|Wrote executor output|Did not write)")


def own_work(log):
    """Return the seconds between the executor's lines, summed over the steps in a log."""
    total, began = 0.0, None
    for stamp, line in STAMP.findall(log):
        moment = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f")
        if line == "Got executor_input":
            began = moment
        elif began is not None:
            total, began = total + (moment - began).total_seconds(), None
    return total


def parameters():
    given = yaml.safe_load(PARAMETERS.read_text())
    return runner.resolve_paths(given, PARAMETERS.parent)


def hallmark(folder):
    """Run with Hallmark's runner; return wall seconds, own work and the number of steps."""
    began = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        result = runner.run(
            governed_training, parameters(), state=folder / "state", reuse=False, console=Console(file=io.StringIO())
        )
    wall = time.monotonic() - began
    assert result.exit_code == 0, result.reason
    logs = [(result.directory / step.log).read_text() for step in result.steps if step.log]
    return wall, sum(map(own_work, logs)), len(logs)


def with_installed_packages(folder):
    """Return the pipeline's spec with every component installing its environment's packages when it runs."""
    spec, _ = prepare(governed_training.pipeline_spec, parameters())
    for name in environments.ENVIRONMENTS:
        text = environments.lock_file(name).read_text()
        kept = [line.removesuffix(" \\") for line in text.splitlines() if not line.lstrip().startswith(("#", "--hash"))]
        (folder / f"{name}.txt").write_text("\n".join(kept) + "\n")
    for executor in spec.deployment_spec["executors"].values():
        container = executor["container"]
        component = getattr(components, container["args"][3])
        packages = ["--no-deps", f"--requirement={folder / component.environment}.txt", f"{ROOT}"]
        heavy = dsl.component(
            component.python_func, base_image="python:3.11", packages_to_install=packages, install_kfp_package=False
        )
        container["command"] = list(heavy.component_spec.implementation.container.command)
    return spec


def peer(folder):
    """Run with kfp.local's runner; return wall seconds, own work and the number of steps."""
    spec = with_installed_packages(folder)
    os.environ |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "HALLMARK_SERVING_DIR": str(folder / "serving"),
        "HALLMARK_AUDIT_LOG": str(folder / "audit.jsonl"),
    }
    local.init(local.SubprocessRunner(use_venv=True), pipeline_root=str(folder / "peer"), raise_on_error=True)
    log = io.StringIO()
    began = time.monotonic()
    try:
        # A step finds modules in the working folder first, and this repository's root is no place to import from.
        with contextlib.redirect_stdout(log), contextlib.chdir(folder):
            pipeline_orchestrator.run_local_pipeline(spec, parameters())
    except Exception as error:
        raise SystemExit("".join(log.getvalue().splitlines(keepends=True)[-40:]) + str(error)) from error
    wall = time.monotonic() - began
    return wall, own_work(log.getvalue()), log.getvalue().count("Got executor_input")


def show(name, wall, work, steps):
    overhead = (wall - work) / steps
    print(f"{name:<44} {steps:>2} steps  {wall:7.1f} s  own work {work:6.1f} s  beside it {overhead:6.2f} s a step")
    return overhead


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", action="store_true", help="measure kfp.local.SubprocessRunner(use_venv=True) too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hallmark(folder / "warm")
        ours = [show("hallmark, warm", *hallmark(folder / "1"))]
        if arguments.peer:
            theirs = show("kfp.local.SubprocessRunner(use_venv=True)", *peer(folder))
        ours += [show("hallmark, warm", *hallmark(folder / "2"))]
        if arguments.peer:
            print(f"ratio: {theirs / (sum(ours) / len(ours)):.0f}")


if __name__ == "__main__":
    main()
