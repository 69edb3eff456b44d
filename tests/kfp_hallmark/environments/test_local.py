import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from kfp_hallmark.environments import ENVIRONMENTS, local, lock_digest
from kfp_hallmark.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def test_makes_what_the_lock_says_once(house):
    assert house.state() == "missing"
    lines, python = house.ensure()
    assert lines == ["Making the environment ml: 2 packages, once."]
    assert house.state() == "ready"
    listing = subprocess.run(
        [python, "-Pc", "from importlib.metadata import distributions as d; print(*sorted(x.name for x in d()))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listing.stdout.split() == ["six", "zipp"]
    assert house.ensure() == ([], python)


def test_folder_names_environment_lock_and_python(house):
    folder = house.ensure("release")[1].parents[1]
    digest = house.run("from kfp_hallmark.environments import lock_digest; print(lock_digest('release'))")
    assert folder == house.environments / f"release-{digest[7:19]}-py311"


def test_changed_lock_makes_another_environment_and_keeps_the_first(house):
    _, first = house.ensure()
    house.lock().write_text(house.lock().read_text().split("zipp==")[0])
    assert house.state() == "missing"
    lines, second = house.ensure()
    assert lines == ["Making the environment ml: 1 packages, once."]
    assert first != second
    assert first.exists()
    assert house.run("print(*local.look('ml').stale)") == str(first.parents[1])


def test_prune_removes_stale_environments_and_nothing_of_others(house):
    _, stale = house.ensure()
    house.run("local.code_path()")
    (house.root / "kfp_hallmark" / "new.py").touch()
    house.lock().write_text(house.lock().read_text().split("zipp==")[0])
    _, current = house.ensure()
    foreign = house.environments / "ml-notes"
    foreign.mkdir()
    removed = house.run("print(*(path.name for path in local.prune()))").split()
    assert [name.split("-")[0] for name in removed] == ["code", "ml"]
    assert not stale.exists()
    assert current.exists()
    assert foreign.exists()
    assert house.state() == "ready"


def remove_marker(folder):
    (folder / "hallmark.json").unlink()


def cut_marker(folder):
    (folder / "hallmark.json").write_text('{"contents": [')


def remove_python(folder):
    (folder / "bin" / "python").unlink()


def spoil_python(folder):
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (folder / "bin" / "python").chmod(0o755)


def remove_package(folder):
    (folder / "lib" / "python3.11" / "site-packages" / "six.py").unlink()


def add_package(folder):
    (folder / "lib" / "python3.11" / "site-packages" / "intruder.py").touch()


@pytest.mark.parametrize(
    "harm", [remove_marker, cut_marker, remove_python, spoil_python, remove_package, add_package, shutil.rmtree]
)
def test_broken_environment_is_seen_and_made_again(house, harm):
    _, python = house.ensure()
    harm(python.parents[1])
    assert house.state() == ("missing" if harm is shutil.rmtree else "broken")
    lines, again = house.ensure()
    assert lines == ["Making the environment ml: 2 packages, once."]
    assert again == python
    assert house.state() == "ready"


def test_killed_while_making_leaves_nothing_that_looks_whole(house):
    process = house.start("import functools; print(local.ensure('ml', functools.partial(print, flush=True)))")
    assert process.stdout.readline().startswith("Making")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert house.state() in ("missing", "broken")
    house.ensure()
    assert house.state() == "ready"


def test_of_processes_at_once_one_makes_and_all_get_it(house):
    processes = [house.start("print(local.ensure('ml', print))") for _ in range(4)]
    outputs = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(line.startswith("Making") for lines in outputs for line in lines) == 1
    assert len({lines[-1] for lines in outputs}) == 1
    assert house.state() == "ready"


FAIL = """
from kfp_hallmark.errors import EnvironmentFailure
try:
    local.ensure("ml")
except EnvironmentFailure as error:
    print(error)
"""


def test_python_that_cannot_be_found_or_fetched(house, tmp_path):
    message = house.run(
        FAIL,
        UV_PYTHON_PREFERENCE="only-managed",
        UV_PYTHON_DOWNLOADS="never",
        UV_PYTHON_INSTALL_DIR=str(tmp_path / "none"),
    )
    assert message.startswith(
        "The environment ml must have Python 3.11, which uv could neither find nor fetch; uv says:"
    )
    assert "Hint: Install Python 3.11 so that `python3.11` is on PATH, or give uv access" in message
    assert house.state() == "missing"


def test_package_that_is_not_what_the_lock_says(house):
    text = house.lock().read_text()
    digests = [word for word in text.split() if word.startswith("--hash=sha256:")]
    for digest in digests:
        text = text.replace(digest, "--hash=sha256:" + "0" * 64)
    house.lock().write_text(text)
    message = house.run(FAIL)
    assert message.startswith("The packages of the environment ml must install from its lock; they did not; uv says:")
    assert "Hint: Check the access to PyPI" in message
    assert house.state() == "broken"


@pytest.mark.parametrize("use", [local.ensure, local.look, local.variables])
def test_unknown_environment(use):
    expected = r"environment must be one of data, ml, release, sources, expectations, serve; got 'mll'\.\nHint: .*'ml'"
    with pytest.raises(InputError, match=expected):
        use("mll")


def test_root_is_chosen_or_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HALLMARK_ENVIRONMENTS", str(tmp_path / "chosen"))
    assert local.root() == tmp_path / "chosen"
    monkeypatch.delenv("HALLMARK_ENVIRONMENTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert local.root() == tmp_path / "cache" / "hallmark" / "environments"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_packages_counts_the_locked_ones(name):
    text = (ROOT / "environments" / name / "requirements.lock").read_text()
    assert local.packages(name) == sum(line.endswith(" \\") and "==" in line for line in text.splitlines())


IMPORT = """
import sys
import kfp_hallmark.components
import kfp_hallmark.contracts.verdict
from kfp_hallmark.resources import resource
print(kfp_hallmark.__file__)
print(kfp_hallmark.components.__file__)
print(len(kfp_hallmark.components.__all__))
print(resource("compiled"))
print(*sys.path)
"""


def import_by(python, code):
    return subprocess.run(
        [python, "-c", IMPORT],
        env={"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def test_code_path_of_a_checkout(house, monkeypatch):
    monkeypatch.setenv("HALLMARK_ENVIRONMENTS", str(house.environments))
    code = local.code_path()
    package, components, count, compiled, path = import_by(house.ensure()[1], code)
    assert package == str(code / "kfp_hallmark" / "__init__.py")
    assert components == str(code / "kfp_hallmark" / "components" / "__init__.py")
    assert int(count) == len(list((ROOT / "components").glob("*/*/component.py")))
    assert compiled == str(ROOT / "compiled")
    assert str(ROOT) not in path.split()
    assert [entry.name for entry in code.iterdir()] == ["kfp_hallmark"]


def test_code_path_of_a_wheel(house):
    code = Path(house.run("print(local.code_path())"))
    package, components, _, compiled, path = import_by(house.ensure()[1], code)
    assert package == str(code / "kfp_hallmark" / "__init__.py")
    assert components == str(code / "kfp_hallmark" / "components" / "__init__.py")
    assert compiled == str(house.root / "kfp_hallmark" / "_resources" / "compiled")
    assert str(house.root) not in path.split()


def test_code_path_follows_new_modules_and_leaves_the_old_to_running_steps(house):
    first = house.run("print(local.code_path())")
    assert house.run("print(local.code_path())") == first
    (house.root / "kfp_hallmark" / "new.py").write_text("VALUE = 3\n")
    second = house.run("print(local.code_path())")
    assert first != second
    assert Path(second, "kfp_hallmark", "new.py").read_text() == "VALUE = 3\n"
    assert Path(first, "kfp_hallmark", "errors.py").exists()


def test_code_path_is_mended(house):
    code = Path(house.run("print(local.code_path())"))
    (code / "kfp_hallmark" / "components").unlink()
    assert house.run("print(local.code_path())") == str(code)
    assert (code / "kfp_hallmark" / "components").is_dir()


def test_code_path_by_many_at_once(house):
    processes = [house.start("print(local.code_path())") for _ in range(6)]
    assert len({process.communicate()[0] for process in processes}) == 1
    assert [process.returncode for process in processes] == [0] * 6


def test_variables(house, monkeypatch):
    monkeypatch.setenv("HALLMARK_ENVIRONMENTS", str(house.environments))
    variables = local.variables("release")
    folder = local.environment_folder("release")
    assert variables["PATH"].split(os.pathsep)[0] == str(folder / "bin")
    assert variables["PYTHONPATH"] == str(local.code_path())
    assert variables["HALLMARK_ENVIRONMENT"] == "release"
    assert variables["HALLMARK_ENVIRONMENT_DIGEST"] == lock_digest("release")


def test_lends_openmp_of_scikit_learn_to_who_wants_the_systems(house):
    text = (ROOT / "environments" / "ml" / "requirements.lock").read_text()
    house.lock().write_text(text[text.index("scikit-learn==") : text.index("scipy==")])
    library = house.ensure()[1].parents[1] / "lib" / "openmp" / "libgomp.so.1"
    house.run(f"import ctypes; ctypes.CDLL({str(library)!r}).GOMP_parallel")
    assert str(library.parent) in house.run("print(local.variables('ml')['LD_LIBRARY_PATH'])").split(":")
