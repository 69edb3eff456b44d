import traceback

import pytest

from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import Manifest, short
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, ServiceError
from kfp_hallmark.package import package_uri, put_package, read_package, verify_package
from kfp_hallmark.serving.releases import verify
from kfp_hallmark.serving.storage import fetch

ENVIRONMENT = "serve"


@pytest.fixture
def parcel(judged_model, tmp_path):
    """What `put_package` takes after the storage: a release with its folders."""
    model, verdicts = judged_model
    folder = tmp_path / "decision"
    write_decision(folder, decide(model, verdicts, Policy(tuple(verdicts))), verdicts)
    evidence = Manifest.of(folder)
    return Release("Income model", "3", Manifest.of(model), evidence.digest), model, folder, evidence


@pytest.fixture(params=["file", "memory"])
def storage(request, tmp_path):
    import fsspec

    yield f"file://{tmp_path}/store" if request.param == "file" else "memory://bucket/served"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def files(tmp_path):
    """The root of a storage in a folder, and the package of a release in it."""
    root = tmp_path / "store"
    return root, lambda release: root / package_uri(f"file://{root}", release).removeprefix(f"file://{root}/")


def test_a_package_is_what_serves(storage, parcel, tmp_path):
    release = parcel[0]
    uri = put_package(storage, *parcel)
    name = f"3-{short(release.model.digest)}-{short(release.decision_digest)}"
    assert uri == package_uri(storage, release) == f"{storage}/Income model/{name}"
    assert read_package(uri) == release
    fetch(uri, tmp_path / "served")
    assert verify(tmp_path / "served") == release


def test_twice_changes_nothing(parcel, files):
    root, _ = files
    put_package(f"file://{root}", *parcel)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    later = Release("Income model", "3", parcel[0].model, parcel[0].decision_digest, "2027-01-01T00:00:00Z")
    put_package(f"file://{root}/", later, *parcel[1:])
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_what_a_killed_run_left_is_completed(parcel, files):
    root, place = files
    put_package(f"file://{root}", *parcel)
    (place(parcel[0]) / "release.json").unlink()
    weights = place(parcel[0]) / parcel[0].path / "data" / "weights.txt"
    weights.write_text("hal")
    put_package(f"file://{root}", *parcel)
    verify(place(parcel[0]))


@pytest.mark.parametrize("part", ["path", "decision"])
@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_a_change_is_noticed(parcel, files, part, change):
    root, place = files
    uri = put_package(f"file://{root}", *parcel)
    folder = place(parcel[0]) / getattr(parcel[0], part)
    file = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    if change == "added":
        file.with_name("more").write_text("")
    elif change == "removed":
        file.unlink()
    else:
        file.write_text("9")
    with pytest.raises(IntegrityError, match=r"must hold what was decided on, sha256:\w+; these files differ: "):
        verify_package(uri, parcel[0], parcel[3])
    with pytest.raises(IntegrityError):
        put_package(f"file://{root}", *parcel)


def test_a_model_that_changes_while_it_is_put_is_noticed(parcel, files):
    root, place = files
    (parcel[1] / "data" / "weights.txt").write_text("9")
    with pytest.raises(IntegrityError, match=r"these files differ: data/weights\.txt"):
        put_package(f"file://{root}", *parcel)
    assert not (place(parcel[0]) / "release.json").exists()


def test_a_package_of_another_release_is_noticed(parcel, files):
    root, _ = files
    uri = put_package(f"file://{root}", *parcel)
    other = Release("Income model", "4", parcel[0].model, parcel[0].decision_digest)
    with pytest.raises(IntegrityError, match="must be of Income model 4, sha256:"):
        verify_package(uri, other, parcel[3])


def test_no_package_is_an_error(tmp_path):
    with pytest.raises(MissingInputError, match="must be a file"):
        read_package(f"file://{tmp_path}/nothing")


@pytest.mark.parametrize("uri", ["", "folder", "/folder", "gs://", "://x"])
def test_a_storage_that_is_no_uri_is_refused(parcel, uri):
    with pytest.raises(InputError, match="storage_uri must be a URI such as gs://bucket/folder; got"):
        put_package(uri, *parcel)


def test_a_storage_that_fsspec_does_not_know_is_refused(parcel):
    with pytest.raises(InputError, match=r"that fsspec can open; 'carrier://pigeon.*' cannot be .ValueError"):
        put_package("carrier://pigeon", *parcel)


def test_a_storage_that_cannot_be_written_is_told(parcel, tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(
        ServiceError, match=r"The storage must let the package '.*' be written and read; it failed with "
    ):
        put_package(f"file://{tmp_path}/store", *parcel)


@pytest.mark.parametrize(("raised", "told"), [(OSError, ServiceError), (ValueError, InputError)])
def test_what_a_client_says_is_not_repeated(parcel, telling, raised, told):
    storage = f"{telling(raised)}://ada:s3cret@bucket/served"
    signed = f"{storage}?signature=s3cret"
    for call in (lambda: put_package(storage, *parcel), lambda: read_package(signed)):
        with pytest.raises(told, match=rf"'telling://bucket/served.*{raised.__name__}") as caught:
            call()
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))
