import ast
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "components").glob("*/*/__init__.py"))


@dataclass(frozen=True)
class Unit:
    """One component, as its folder and its generated files show it."""

    folder: Path

    @property
    def name(self):
        return self.folder.name

    @property
    def stage(self):
        return self.folder.parent.name

    @property
    def tree(self):
        return ast.parse((self.folder / "component.py").read_text())

    @property
    def function(self):
        return next(node for node in self.tree.body if isinstance(node, ast.FunctionDef))

    @property
    def spec(self):
        return next(yaml.safe_load_all((ROOT / "compiled" / "components" / f"{self.name}.yaml").read_text()))

    @property
    def definitions(self):
        return next(iter(self.spec["components"].values()))

    @property
    def logic(self):
        return sorted(path for path in self.folder.glob("*.py") if path.name not in ("__init__.py", "component.py"))


@pytest.fixture(scope="session")
def root():
    return ROOT


def pytest_generate_tests(metafunc):
    if "unit" in metafunc.fixturenames:
        metafunc.parametrize("unit", [Unit(folder) for folder in FOLDERS], ids=[folder.name for folder in FOLDERS])
