"""What a step costs before it works, in a container: on an environment's image, and with KFP's `packages_to_install`.

Both do what a step does before its own work: start a container and Python, import KFP's executor and the library that
the environment is for; in the same engine and from the same base. The peer first does what KFP makes of
`packages_to_install` with the environment's locked packages, whenever a step starts. Its base has pip already.

With `--steps`, each component of ours instead, up to the first line of its own work; the peer installs our package too.

    .venv/bin/python benchmarks/startup.py [--peer] [--steps] [--rounds 3] [NAME ...]

`PIP_*` variables, and the files and folders that they name, are passed on to the peer.
"""

import argparse
import inspect
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kfp_hallmark import components, environments

IMPORTS = {
    "data": "tensorflow_data_validation",
    "ml": "sklearn",
    "release": "mlflow",
    "sources": "feast",
    "expectations": "great_expectations",
}
ROOT = Path(__file__).resolve().parents[1]
RUN = ["docker", "run", "--rm", "--network", "host"]


def seconds(command):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def starting(module):
    """What a step does before its own work: start Python, import KFP's executor and what it works with."""
    return f"_KFP_RUNTIME=true python3 -c 'import kfp.dsl.executor_main, {module}'"


def ours(environment, module):
    return seconds([*RUN, "--entrypoint", "", environments.image(environment), "sh", "-ec", starting(module)])


def called(component):
    """The module with the component's work, which its step imports."""
    (module,) = re.findall(r"from (kfp_hallmark\.components\S+) import", inspect.getsource(component.python_func))
    return module


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


def peer(environment, module, image, folder):
    """Return the seconds until the step has started, and the bytes that it is then."""
    text = environments.lock_file(environment).read_text()
    kept = [line.removesuffix(" \\") for line in text.splitlines() if not line.lstrip().startswith(("#", "--hash"))]
    wheels = [f"/given/{path.name}" for path in Path(folder).glob("*.whl")]
    Path(folder, "packages.txt").write_text("\n".join([*kept, *wheels]) + "\n")
    given = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    places = {path for value in given.values() for path in re.findall(r"(?:file://)?(/[\w./-]+)", value)}
    options = [part for name in given for part in ("--env", name)]
    options += [part for path in sorted(places) if Path(path).exists() for part in ("--volume", f"{path}:{path}:ro")]
    install = "python3 -m pip install --quiet --no-warn-script-location --no-deps --requirement /given/packages.txt"
    container = f"hallmark-benchmark-{os.getpid()}"
    kept_run = ["docker", "run", "--name", container, "--network", "host", *options, "--volume", f"{folder}:/given:ro"]
    try:
        taken = seconds([*kept_run, image, "sh", "-ec", f"{install} && {starting(module)}"])
        written = docker("container", "inspect", "--size", "--format", "{{.SizeRootFs}}", container)
    finally:
        subprocess.run(["docker", "rm", container], check=True, stdout=subprocess.DEVNULL)
    return taken, int(written)


def docker(*words):
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


def compare(name, environment, module, rounds, image, folder):
    """Print what one step takes, beside the peer's if there is an image for it."""
    size = int(docker("image", "inspect", "--format", "{{.Size}}", environments.image(environment)))
    mine = statistics.median(ours(environment, module) for _ in range(rounds))
    line = f"{name:<17} {environment:<8} hallmark {size / 1e9:5.2f} GB {mine:6.2f} s"
    if image:
        taken, sizes = zip(*(peer(environment, module, image, folder) for _ in range(rounds)), strict=True)
        theirs = statistics.median(taken)
        line += f"  packages_to_install {max(sizes) / 1e9:5.2f} GB {theirs:6.1f} s  ratio {theirs / mine:4.0f}"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="environments, or components with --steps")
    parser.add_argument("--peer", action="store_true", help="measure packages_to_install too")
    parser.add_argument("--steps", action="store_true", help="measure the step of each component")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", default=os.environ.get("HALLMARK_BASE_IMAGE", "python:3.11-slim-bookworm"))
    arguments = parser.parse_args()
    image = with_pip(arguments.base) if arguments.peer else None
    if arguments.steps:
        every = {name: getattr(components, name) for name in components.__all__}
        cases = {name: (component.environment, called(component)) for name, component in every.items()}
    else:
        cases = {name: (name, module) for name, module in IMPORTS.items()}
    with tempfile.TemporaryDirectory() as folder:
        if image and arguments.steps:
            build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
            subprocess.run(build, check=True)
        for name in arguments.names or cases:
            compare(name, *cases[name], arguments.rounds, image, folder)


if __name__ == "__main__":
    main()
