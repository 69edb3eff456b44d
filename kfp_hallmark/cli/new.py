"""`hallmark new`: begin a component."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from kfp_hallmark.environments import STEPS, require_environment
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.resources import checkout

app = typer.Typer(no_args_is_help=True, help="Begin something new in this checkout.")

STAGES = ("data", "training", "evaluation", "governance", "release", "monitoring")
"""The stages in the order of a model's life, each a folder of components/."""

TEMPLATES = Path(__file__).parent / "templates"


@app.callback()
def _group() -> None:
    """Keep `component` a command of its own although it is the only one."""


@app.command()
def component(
    name: Annotated[
        str, typer.Argument(help="verb_object, <aspect>_gate or <aspect>_monitor, such as impute_missing.")
    ],
    stage: Annotated[str, typer.Option(help=f"The stage of a model's life: {', '.join(STAGES)}.")],
    environment: Annotated[str, typer.Option(help="The environment that holds what the component imports.")] = "ml",
) -> None:
    """Make a component that works, passes the conventions, and is yours to change."""
    root = checkout()
    if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", name) or keyword.iskeyword(name):
        raise InputError(f"NAME must be lower-case words joined by underscores; got {name!r}.", "Say verb_object.")
    if stage not in STAGES:
        raise InputError(f"--stage must be one of {', '.join(STAGES)}; got {stage!r}.", nearest(stage, list(STAGES)))
    require_environment(environment, STEPS)
    folder = root / "components" / stage / name
    if list((root / "components").glob(f"*/{name}")):
        raise InputError(f"NAME must be new; there is a component {name!r}.")
    logic = name.partition("_")[0] if not name.endswith(("_gate", "_monitor")) else f"judge_{name.rpartition('_')[0]}"
    if keyword.iskeyword(logic):
        logic = name
    words = {"name": name, "stage": stage, "environment": environment, "logic": logic}
    tests = root / "tests" / "components" / stage / name
    packages = [f"kfp_hallmark.components.{stage}.{name}"]
    if not (folder.parent / "__init__.py").is_file():
        packages.insert(0, f"kfp_hallmark.components.{stage}")
        _write(folder.parent / "__init__.py", "")
    _write(folder / "__init__.py", "")
    _write(folder / "component.py", _fill("component", words))
    _write(folder / f"{logic}.py", _fill("logic", words))
    _write(tests / f"test_{logic}.py", _fill("test", words))
    for package in packages:
        _insert(root / "setup.cfg", "    kfp_hallmark.components.", f"    {package}")
    module = f"kfp_hallmark.components.{stage}.{name}.component"
    _insert(
        root / "components" / "__init__.py",
        "    from kfp_hallmark.components.",
        f"    from {module} import {name} as {name}",
    )
    for path in (folder / "component.py", folder / f"{logic}.py", tests / f"test_{logic}.py"):
        print(f"wrote {path.relative_to(root)}")
    print("Now run `hallmark compile` and `make test`.")


def _fill(template: str, words: dict[str, str]) -> str:
    return Template((TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(words)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _insert(path: Path, prefix: str, line: str) -> None:
    """Add a line to the run of lines that begin with `prefix` and name packages, in sorted order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [index for index, other in enumerate(lines) if other.startswith(prefix) and " = " not in other]
    after = [index for index in places if lines[index] < line]
    lines.insert((after[-1] if after else places[0] - 1) + 1, line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
