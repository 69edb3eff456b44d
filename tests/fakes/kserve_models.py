"""What an InferenceService may hold, as the published `kserve` package has it: its models, without its servers."""

import importlib
import subprocess
import sys
import types
from contextlib import contextmanager
from pathlib import Path

from kubernetes import client

ROOT = Path(__file__).resolve().parents[2]
NEWEST, BEFORE_CANARIES = "0.21.0", "0.19.0"
HASHES = {
    NEWEST: (
        "a9b3c947635447d60c5f67cd4e86e04ce84e420817ab73346002a75dee97f3c0",
        "df9bc5888704d9085015e08f1a8fced5ff0698f3becc6212d4e7b8234c71623b",
    ),
    BEFORE_CANARIES: (
        "9a578d9ae6e65774d980b905ad1609d929c3e40279da227b8951730889ba0738",
        "f665da4e4ebd10cfbe4c0633d7fa6ee083e4c43ae4fe8ff4667df4e868ea70e5",
    ),
}


def install(version, folder):
    """Install the package alone from the registry, bound by its digest, and return its models."""
    requirement = folder / "requirements.txt"
    requirement.write_text(f"kserve=={version} " + " ".join(f"--hash=sha256:{digest}" for digest in HASHES[version]))
    command = [ROOT / ".venv/bin/uv", "pip", "install", "--quiet", "--no-deps", "--no-build", "--require-hashes"]
    target = folder / "installed"
    subprocess.run(
        [*command, "-r", requirement, "--python", sys.executable, "--target", target], check=True, timeout=300
    )
    with _alone(target / "kserve"):
        return Models(importlib.import_module("kserve.models"))


@contextmanager
def _alone(package):
    """Let `kserve` be imported without its __init__, which wants a web server, pandas and more."""
    stub = types.ModuleType("kserve")
    stub.__path__ = [str(package)]
    sys.modules["kserve"] = stub
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "kserve"]:
            del sys.modules[name]


class Models:
    """The models of one version of KServe, over those of Kubernetes."""

    def __init__(self, module):
        self.module = module

    def unknown(self, manifest):
        """Return the fields of an InferenceService that its model lacks, as `spec.canary`.

        Raises:
            ValueError: If a value is not what the model's own setters take.
        """
        return sorted(self._walk(manifest, "V1beta1InferenceService", ""))

    def _walk(self, value, kind, path):
        """Yield the unknown fields of a value, which is to be of a kind, and build the model from it."""
        if kind.startswith("list["):
            assert isinstance(value, list), f"{path} must be a list"
            for index, entry in enumerate(value):
                yield from self._walk(entry, kind[5:-1], f"{path}[{index}]")
            return
        model = getattr(self.module, kind, None) or getattr(client, kind, None)
        if model is None or not hasattr(model, "openapi_types"):
            simple = {"str": str, "int": int, "bool": bool, "float": (int, float), "datetime": str}.get(kind)
            assert simple is None or isinstance(value, simple), f"{path} must be {kind}; got {value!r}"
            return
        assert isinstance(value, dict), f"{path} must be an object"
        names = {json: name for name, json in model.attribute_map.items()}
        for key, entry in value.items():
            if key not in names:
                yield f"{path}.{key}".lstrip(".")
            else:
                yield from self._walk(entry, model.openapi_types[names[key]], f"{path}.{key}".lstrip("."))
        model(**{names[key]: entry for key, entry in value.items() if key in names})
