"""The manifest of a model is the one that OpenSSF model signing takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_signing import hashing

from kfp_hallmark.contracts.digest import Manifest

ENVIRONMENT = "release"

NAME = r"[a-c\u00e4][a-c .\-]{0,2}[a-c]"


def openssf(path):
    """Return the files that model signing finds when it ignores nothing."""
    manifest = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False).hash(path)
    return {entry.identifier: f"sha256:{entry.digest.digest_hex}" for entry in manifest.resource_descriptors()}


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_manifest_of_a_model_folder(tmp_path):
    names = ["MLmodel", "data/z", "data-1/a", "data.txt", "a/b/c", ".git/config", ".gitignore", "\u4e2d"]
    model = write(tmp_path / "model", {name: name.encode() for name in names})
    assert Manifest.of(model).files == openssf(model)


def test_manifest_of_a_single_file(tmp_path):
    write(tmp_path, {"model.bin": b"weights"})
    assert Manifest.of(tmp_path / "model.bin").files == openssf(tmp_path / "model.bin")


@given(
    st.dictionaries(
        st.from_regex(rf"{NAME}(/{NAME}){{0,2}}", fullmatch=True), st.binary(max_size=4), min_size=1, max_size=6
    )
)
def test_manifest_of_any_folder(tmp_path_factory, files):
    names = [name for name in files if not any(other.startswith(f"{name}/") for other in files)]
    model = write(tmp_path_factory.mktemp("model"), {name: files[name] for name in names})
    assert Manifest.of(model).files == openssf(model)


def test_a_linked_file_is_refused_by_both(tmp_path):
    model = write(tmp_path / "model", {"a": b"1"})
    (model / "b").symlink_to("a")
    with pytest.raises(ValueError, match="symbolic link"):
        Manifest.of(model)
    with pytest.raises(ValueError, match="symlink"):
        openssf(model)
