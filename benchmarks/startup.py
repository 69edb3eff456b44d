"""What a step costs before it works, in a container: on an environment's image, and with KFP's `packages_to_install`.

Both do what a step does before its own work: start a container and Python, import KFP's executor and the library that
the environment is for; in the same engine and from the same base. The peer first does what KFP makes of
`packages_to_install` with the environment's locked packages, whenever a step starts. Its base has pip already.

With `--steps`, each component of ours instead, up to the first line of its own work.

    .venv/bin/python benchmarks/startup.py [--peer | --steps] [--rounds 3] [ENVIRONMENT ...]

`PIP_*` variables, and the files and folders that they name, are passed on to the peer.
"""

import argparse
import inspect
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from kfp_hallmark import components, environments

IMPORTS = {"data": "tensorflow_data_validation", "ml": "sklearn", "release": "mlflow"}
RUN = ["docker", "run", "--rm", "--network", "host"]


def seconds(command):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def step(environment):
    """What a step does before its own work: start Python, import KFP's executor and what the work needs."""
    return f"_KFP_RUNTIME=true python3 -c 'import kfp.dsl.executor_main, {IMPORTS[environment]}'"


def ours(environment):
    return seconds([*RUN, "--entrypoint", "", environments.image(environment), "sh", "-ec", step(environment)])


def steps(rounds):
    """Print what each component's step does before the first line of its work: it imports what it calls."""
    for name in components.__all__:
        component = getattr(components, name)
        (module,) = re.findall(r"from (kfp_hallmark\.components\S+) import", inspect.getsource(component.python_func))
        command = f"_KFP_RUNTIME=true python3 -c 'import kfp.dsl.executor_main, {module}'"
        image = environments.image(component.environment)
        taken = [seconds([*RUN, "--entrypoint", "", image, "sh", "-ec", command]) for _ in range(rounds)]
        print(f"{name:<17} {component.environment:<8} {statistics.median(taken):5.2f} s", flush=True)


def with_pip(base):
    """Make an image of the base in which pip may install, as in those of Docker's `python`."""
    name, container = "hallmark-benchmark:pip", f"hallmark-benchmark-{os.getpid()}"
    path = "ENV PATH=/python/bin:/usr/local/bin:/usr/bin:/bin"
    for command in (
        ["run", "--network", "host", "--name", container, base, "python3", "-m", "venv", "/python"],
        ["commit", "--change", path, container, name],
        ["rm", container],
    ):
        subprocess.run(["docker", *command], check=True, stdout=subprocess.DEVNULL)
    return name


def peer(environment, image, folder):
    text = environments.lock_file(environment).read_text()
    kept = [line.removesuffix(" \\") for line in text.splitlines() if not line.lstrip().startswith(("#", "--hash"))]
    Path(folder, "packages.txt").write_text("\n".join(kept) + "\n")
    given = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    places = {path for value in given.values() for path in re.findall(r"(?:file://)?(/[\w./-]+)", value)}
    options = [part for name in given for part in ("--env", name)]
    options += [part for path in sorted(places) if Path(path).exists() for part in ("--volume", f"{path}:{path}:ro")]
    install = "python3 -m pip install --quiet --no-warn-script-location --no-deps --requirement /given/packages.txt"
    mounted = [*RUN, *options, "--volume", f"{folder}:/given:ro"]
    return seconds([*mounted, image, "sh", "-ec", f"{install} && {step(environment)}"])


def size(environment):
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", environments.image(environment)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("environments", nargs="*", default=list(IMPORTS))
    parser.add_argument("--peer", action="store_true", help="measure packages_to_install too")
    parser.add_argument("--steps", action="store_true", help="measure the step of each component")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", default=os.environ.get("HALLMARK_BASE_IMAGE", "python:3.11-slim-bookworm"))
    arguments = parser.parse_args()
    if arguments.steps:
        return steps(arguments.rounds)
    image = with_pip(arguments.base) if arguments.peer else None
    for name in arguments.environments:
        mine, others = [], []
        for _ in range(arguments.rounds):
            mine.append(ours(name))
            if image:
                with tempfile.TemporaryDirectory() as folder:
                    others.append(peer(name, image, folder))
        line = f"{name:<8} {size(name) / 1e9:5.2f} GB  hallmark {statistics.median(mine):6.2f} s"
        if others:
            theirs = statistics.median(others)
            line += f"  packages_to_install {theirs:7.1f} s  ratio {theirs / statistics.median(mine):4.0f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
