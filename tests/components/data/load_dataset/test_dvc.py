"""load_dataset of what DVC tracks, held against `.dvc` files that DVC itself wrote; see the folder `dvc`."""

import hashlib
import re
import shutil
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.components.data.load_dataset import dvc
from kfp_hallmark.components.data.load_dataset.load import load
from kfp_hallmark.contracts.dataset import dataset_metadata, read_table
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

RECORDED = Path(__file__).parent / "dvc"
LOANS = b"id,town\r\n1,Bern\r\n2,Basel\r\n"
FILES = {
    "loans.csv": LOANS,
    "imported.csv": LOANS,
    "long.csv": b"a" * (2**20 - 1) + b"\r\nb\r\n",
    "cyrillic.csv": "город\r\nМосква\r\n".encode(),
    "loans/b.csv": b"id\r\n1\r\n",
    "loans/2024/ä é.csv": b"id\r\n2\r\n",
    "loans/a.bin": b"x\0\r\ny",
}
OUT = "outs:\n- md5: d1e045788bcf82aae49178da68d1ecc0\n  size: 26\n  hash: md5\n  path: loans.csv\n"


@pytest.fixture
def dataset(output):
    return output("dataset")


@pytest.fixture
def tracked(tmp_path):
    """Lay down a `.dvc` file, as it was recorded or with another text, and what it tracks."""

    def lay(name="dvc3/loans.csv", text=None, data=True):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        file = folder / f"{Path(name).name}.dvc"
        file.write_text(text) if text is not None else shutil.copy(RECORDED / f"{name}.dvc", file)
        for path, content in FILES.items():
            if data and Path(path).parts[0] == Path(name).name:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
        return str(file)

    return lay


@pytest.mark.parametrize("version", ["dvc2", "dvc3"])
@pytest.mark.parametrize("name", ["loans.csv", "long.csv", "cyrillic.csv", "loans"])
def test_md5s_are_those_that_dvc_took(version, name, tracked):
    file = tracked(f"{version}/{name}")
    dvc.check_tracked(dvc.read_tracked(file), Path(file).with_suffix(""))


def test_tracked_data_say_what_dvc_records(tracked, dataset):
    file = tracked()
    assert load(file, dataset)[1] == 2
    told = {"source_dvc_md5": "d1e045788bcf82aae49178da68d1ecc0"}
    assert dataset.metadata.items() >= told.items()
    assert dataset.metadata["source"] == file.removesuffix(".dvc")
    source = "sha256:" + hashlib.sha256(LOANS).hexdigest()
    assert dataset_metadata(dataset.path) == {"lineage": [source], **told}
    assert read_table(dataset.path).to_pydict() == {"id": [1, 2], "town": ["Bern", "Basel"]}


def test_imported_data_say_from_which_commit(tracked, dataset):
    load(tracked("dvc3/imported.csv"), dataset)
    assert dataset_metadata(dataset.path)["source_dvc_repository"] == "/tmp/registry"
    assert dataset.metadata["source_dvc_revision"] == "156bcf707c72b2862bb53bc249d45d67f01588bb"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://ada:s3cret@example.com/data", "https://example.com/data"),
        ("https://s3cret@example.com/data", "https://example.com/data"),
        ("https://example.com/data?token=s3cret", "https://example.com/data"),
        ("https://example.com/data#s3cret", "https://example.com/data"),
        ("ada:s3cret@example.com:acme/data", "example.com:acme/data"),
        ("git@example.com:acme/data@home", "example.com:acme/data@home"),
        ("/data/a@b#c", "/data/a@b#c"),
    ],
)
def test_a_repositorys_credentials_are_not_told(tracked, dataset, url, told):
    text = (RECORDED / "dvc3" / "imported.csv.dvc").read_text()
    load(tracked("imported.csv", text.replace("/tmp/registry", f"'{url}'")), dataset)
    assert dataset.metadata["source_dvc_repository"] == told


@pytest.mark.parametrize(
    "repository",
    ["{rev_lock: 156bcf7}", "{url: 3, rev_lock: 156bcf7}", "{url: /a, rev_lock: s3cret}", "{url: /a, rev_lock: [a]}"],
)
def test_an_import_must_say_from_where(tracked, dataset, repository):
    text = OUT + "deps:\n- path: loans.csv\n  repo: " + repository
    message = refused(InputError, dataset, tracked("loans.csv", text))
    assert message.endswith("must say what it imports by `url` and a commit; it does not.")


def test_a_remote_file_is_verified_where_it_is_read(dataset):
    memory = fsspec.filesystem("memory")
    memory.pipe("/dvc/loans.csv", LOANS)
    memory.pipe("/dvc/loans.csv.dvc", OUT.encode())
    assert load("memory://dvc/loans.csv.dvc", dataset)[1] == 2
    memory.pipe("/dvc/loans.csv", LOANS.replace(b"Bern", b"Biel"))
    with pytest.raises(IntegrityError, match=r"'memory://dvc/loans\.csv\.dvc' tracks must have the MD5"):
        load("memory://dvc/loans.csv.dvc", dataset)


@pytest.mark.parametrize("scheme", ["{}", "memory://{}"])
def test_a_folder_is_what_its_manifest_records(tmp_path, dataset, scheme):
    folder = tmp_path / "source"
    folder.mkdir()
    for name, values in (("a", [1, 2]), ("b", [3])):
        pyarrow.parquet.write_table(pyarrow.table({"n": values}), folder / f"{name}.parquet")
    file = tmp_path / "source.dvc"
    file.write_text(f"outs:\n- md5: {dvc.folder_md5(folder, False)}\n  hash: md5\n  path: source\n")
    uri = scheme.format(file)
    if uri != str(file):
        fsspec.filesystem("memory").put(str(tmp_path), str(tmp_path), recursive=True)
    assert load(uri, dataset)[1] == 3
    assert dataset.metadata["source_dvc_md5"].endswith(".dir")
    (folder / "a.parquet").rename(folder / "c.parquet")
    with pytest.raises(IntegrityError, match="must have the MD5"):
        load(str(file), dataset)


def test_a_folder_of_links_to_the_cache_is_refused_with_what_to_do(tracked, dataset):
    """As DVC lays it down where `cache.type` is `symlink`."""
    file = tracked("dvc3/loans")
    link = Path(file).with_suffix("") / "2024" / "ä é.csv"
    link.rename(link.parents[2] / "cached")
    link.symlink_to(link.parents[2] / "cached")
    assert refused(IntegrityError, dataset, file) == (
        f"The folder that {file!r} tracks must hold no symbolic links; '2024/ä é.csv' is one.\n"
        "Hint: DVC links to its cache where cache.type says so; for copies: `dvc config cache.type copy`, then "
        "`dvc checkout --relink`."
    )


def refused(error, dataset, uri):
    with pytest.raises(error) as caught:
        load(uri, dataset)
    assert not Path(dataset.path).exists()
    return str(caught.value)


def test_other_data_are_refused(tracked, dataset):
    file = tracked()
    Path(file.removesuffix(".dvc")).write_bytes(LOANS.replace(b"\r\n", b"\n"))
    message = refused(IntegrityError, dataset, file)
    assert "must have the MD5 d1e045788bcf82aae49178da68d1ecc0; got e9127c53db5ae451a33bd3579760263c." in message
    assert "`dvc checkout` brings back what is recorded." in message


def test_data_that_were_not_pulled_are_asked_for(tracked, dataset):
    message = refused(MissingInputError, dataset, tracked(data=False))
    assert re.search(
        r"The data that '.*loans\.csv\.dvc' tracks must be beside it; '.*loans\.csv' is not there\.", message
    )
    assert message.endswith("Hint: Fetch them with: dvc pull")


def test_the_file_itself_must_be_there(tmp_path, dataset):
    message = refused(MissingInputError, dataset, str(tmp_path / "none.csv.dvc"))
    assert "uri must be a file or folder that is there" in message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("outs: [", "must be YAML as DVC writes it; it cannot be read as such."),
        ("outs: !!int ''", "must be YAML as DVC writes it; it cannot be read as such."),
        ("- a", "must say what it tracks, in `outs`; it does not."),
        ("deps: []", "must say what it tracks, in `outs`; it does not."),
        ("outs: [1]", "must say what it tracks, in `outs`; it does not."),
        ("outs: []", "must track one file or folder; it tracks 0."),
        (
            OUT + "- md5: d1e045788bcf82aae49178da68d1ecc0\n  path: b.csv\n",
            "must track one file or folder; it tracks 2.",
        ),
        ("outs:\n- etag: 'ab'\n  path: loans.csv\n", "must record the MD5 of what it tracks; it records none."),
        ("outs:\n- md5: abc\n  path: loans.csv\n", "must record the MD5 of what it tracks; it records none."),
        (OUT.replace("hash: md5", "hash: blake3"), "must record the MD5 of what it tracks; it records none."),
        (
            OUT.replace("loans.csv", "../loans.csv"),
            "must track what is in the folder with it; its `path` leads elsewhere.",
        ),
        (OUT.replace("loans.csv", "/etc/loans.csv"), "its `path` leads elsewhere."),
        (OUT.replace("loans.csv", "a/../../loans.csv"), "its `path` leads elsewhere."),
        (OUT.replace("loans.csv", "s3://bucket/loans.csv"), "its `path` leads elsewhere."),
        (OUT.replace("loans.csv", "'loans.csv::a'"), "its `path` leads elsewhere."),
        (OUT.replace("loans.csv", "'%2e%2e/loans.csv'"), "its `path` leads elsewhere."),
        (OUT.replace("loans.csv", "'a/..%2Floans.csv'"), "its `path` leads elsewhere."),
        (OUT.replace("path: loans.csv", "path: 3"), "its `path` leads elsewhere."),
        ("wdir: ..\n" + OUT, "its `path` leads elsewhere."),
    ],
)
def test_a_file_that_tracks_nothing_beside_it_by_md5_is_refused(tracked, dataset, text, wanted):
    assert wanted in refused(InputError, dataset, tracked("loans.csv", text))


def test_what_was_not_downloaded_has_no_md5(tracked, dataset):
    message = refused(InputError, dataset, tracked("dvc3/ext.csv"))
    assert "it records none.\nHint: DVC records one when it has the data itself" in message


def test_what_is_no_text_is_refused(tracked, dataset):
    file = tracked()
    Path(file).write_bytes(b"\xff\xfe\x00")
    assert "must be YAML as DVC writes it" in refused(InputError, dataset, file)
