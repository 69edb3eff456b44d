import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.contracts.digest import Manifest, artifact_digest, file_digest, is_digest
from kfp_hallmark.errors import IntegrityError, MissingInputError

FILES = {
    "b.txt": b"second",
    "a/z.txt": b"deep",
    "a-b.txt": b"hyphen sorts before slash as text, after it as path",
    "a.txt": b"",
    ".git/config": b"hidden",
    ".gitignore": b"*.pyc",
    "\u00e4 \u4e2d.bin": bytes(range(256)),
}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "artifact"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_digest_is_the_hash_of_the_manifest(folder):
    entries = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in FILES.items()}
    text = ",".join(f'{json.dumps(name)}:"{entries[name]}"' for name in sorted(entries))
    assert artifact_digest(folder) == f"sha256:{hashlib.sha256(f'{{{text}}}'.encode()).hexdigest()}"


def test_manifest_names_every_file_with_what_sha256sum_prints(folder):
    expected = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in FILES.items()}
    assert Manifest.of(folder).files == expected


def test_single_file_is_named_by_a_dot(folder):
    digest = file_digest(folder / "b.txt")
    assert digest == "sha256:" + hashlib.sha256(b"second").hexdigest()
    assert Manifest.of(folder / "b.txt").files == {".": digest}
    assert artifact_digest(folder / "b.txt") == "sha256:" + hashlib.sha256(f'{{".":"{digest}"}}'.encode()).hexdigest()


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename", "swap"])
def test_every_change_changes_the_digest(folder, change):
    before = artifact_digest(folder)
    if change == "edit":
        (folder / "b.txt").write_bytes(b"Second")
    elif change == "add":
        (folder / "empty.txt").write_bytes(b"")
    elif change == "remove":
        (folder / "b.txt").unlink()
    elif change == "rename":
        (folder / "b.txt").rename(folder / "c.txt")
    else:
        (folder / "b.txt").write_bytes(FILES["a/z.txt"])
        (folder / "a" / "z.txt").write_bytes(FILES["b.txt"])
    assert artifact_digest(folder) != before


@pytest.mark.parametrize("target", ["b.txt", "a", "nowhere"])
def test_symbolic_links_inside_are_refused(folder, target):
    (folder / "link").symlink_to(target)
    with pytest.raises(IntegrityError, match=r"must hold no symbolic links; got '.*link'"):
        artifact_digest(folder)


def test_the_path_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert Manifest.of(tmp_path / "link") == Manifest.of(folder)


def test_a_pipe_is_refused(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(IntegrityError, match="must hold nothing but files and folders"):
        artifact_digest(folder)


def test_a_name_that_is_no_unicode_is_refused(folder):
    (folder / os.fsdecode(b"\xff")).touch()
    with pytest.raises(IntegrityError, match="must have names in Unicode"):
        artifact_digest(folder)


@pytest.mark.parametrize("digest", ["sha256:" + "AB" * 32, "sha256: " + "ab" * 32, "ab" * 32, None])
def test_a_manifest_without_a_digest_is_refused(digest):
    with pytest.raises(IntegrityError, match="The file 'MLmodel' must be bound by a digest"):
        Manifest({"MLmodel": digest})


@pytest.mark.parametrize("inside", [False, True], ids=["no entry", "an empty folder"])
def test_an_empty_folder_is_refused(tmp_path, inside):
    empty = tmp_path / "empty"
    (empty / "below" if inside else empty).mkdir(parents=True)
    with pytest.raises(MissingInputError, match=r"must hold at least one file; got the empty folder"):
        artifact_digest(empty)


def test_an_absent_path_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match=r"must be a file or a folder; got '.*gone'"):
        artifact_digest(tmp_path / "gone")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sha256:" + "0a" * 32, True),
        ("sha256:" + "0a" * 31 + "0", False),
        ("sha256:" + "0a" * 32 + "0", False),
        ("sha256:" + "0A" * 32, False),
        ("sha256:" + "0g" * 32, False),
        ("sha256:" + "0a" * 31 + "0\n", False),
        ("sha512:" + "0a" * 32, False),
        ("0a" * 32, False),
        (None, False),
        (7, False),
    ],
)
def test_is_digest(value, expected):
    assert is_digest(value) is expected


@given(
    st.dictionaries(st.from_regex(r"[a-c][a-c.\-]{0,2}(/[a-c][a-c.\-]{0,2})?", fullmatch=True), st.binary(max_size=3))
)
def test_digest_does_not_depend_on_the_order_in_which_files_are_named(files):
    named = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in files.items()}
    assert Manifest(named).digest == Manifest(dict(reversed(named.items()))).digest
