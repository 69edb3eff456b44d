"""The metadata keep Croissant's vocabulary, and lead a reader to the rows.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html; the properties of each type.
"""

import hashlib
import json
from urllib.parse import unquote

import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.components.data.write_datasheet.croissant import CONTEXT, SAID
from kfp_hallmark.components.data.write_datasheet.fields import FIELDS
from kfp_hallmark.contracts.digest import artifact_digest

MUST = {
    "sc:Dataset": {"@context", "@type", "conformsTo", "name"},
    "cr:FileObject": {"@type", "@id", "name", "contentUrl", "encodingFormat", "sha256"},
    "cr:FileSet": {"@type", "@id", "name", "includes", "encodingFormat"},
    "cr:RecordSet": {"@type", "@id", "name", "field"},
    "cr:Field": {"@type", "@id", "name", "dataType", "source"},
    "sc:Organization": {"@type", "name"},
}
MAY = {
    "sc:Dataset": {
        *("description", "license", "url", "creator", "datePublished", "keywords", "version", "citeAs"),
        *("dateModified", "identifier", "distribution", "recordSet"),
        *("rai:dataCollection", "rai:dataCollectionMissingData", "rai:dataCollectionRawData"),
        *("rai:dataPreprocessingProtocol", "rai:dataAnnotationProtocol", "rai:dataBiases", "rai:dataUseCases"),
        *("rai:personalSensitiveInformation", "rai:dataReleaseMaintenancePlan", "rai:dataLimitations"),
        *("rai:dataSocialImpact",),
    },
    "cr:FileObject": {"contentSize"},
    "cr:RecordSet": {"description"},
}
TYPES = {
    "height": "sc:Float",
    "visits": "sc:Integer",
    "member": "sc:Boolean",
    "born": "sc:Date",
    "seen": "sc:DateTime",
    "town": "sc:Text",
    "secret": "sc:Text",
}


def nodes_of(value):
    """Return every object that has a type, whatever its depth."""
    if isinstance(value, list):
        return [node for entry in value for node in nodes_of(entry)]
    if not isinstance(value, dict):
        return []
    inside = [node for key, entry in value.items() if key != "@context" for node in nodes_of(entry)]
    return [value, *inside] if "@type" in value else inside


def check_form(document):
    """Check the properties of every node, and that what is referred to is there."""
    found = nodes_of(document)
    for node in found:
        kind = node["@type"]
        assert MUST[kind] <= set(node) <= MUST[kind] | MAY.get(kind, set())
    names = [node["@id"] for node in found if "@id" in node]
    assert len(set(names)) == len(names)
    for field in document["recordSet"][0]["field"]:
        reference = field["source"].get("fileObject") or field["source"].get("fileSet")
        assert reference["@id"] in names
        assert set(field["source"]) - {"fileObject", "fileSet"} == {"extract"}


def test_a_full_document(written, statement):
    document = written(statement, metadata={"snapshot_time": "2026-10-31T08:00:00Z"}).croissant
    check_form(document)
    assert document["conformsTo"] == ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
    for name, term in SAID.items():
        assert document[term] == statement[name]
    assert document["creator"] == [
        {"@type": "sc:Organization", "name": "First creators"},
        {"@type": "sc:Organization", "name": "creators two"},
    ]
    assert document["rai:dataLimitations"] == [*statement["errors"], *statement["unsuitable_uses"]]
    assert document["rai:dataSocialImpact"] == "First risks\nrisks two"
    assert document["dateModified"] == "2026-10-31T08:00:00Z"


def test_nothing_is_invented(written):
    result = written()
    check_form(result.croissant)
    assert set(result.croissant) == {
        *("@context", "@type", "conformsTo", "name", "identifier", "distribution", "recordSet")
    }
    assert result.croissant["name"] == "unnamed dataset"
    assert result.croissant["identifier"] == result.digest


def test_every_field_that_is_mapped_can_be_said():
    assert set(SAID) <= set(FIELDS)
    assert len(set(SAID.values())) == len(SAID)


def test_the_context_gives_the_terms_their_meaning():
    assert CONTEXT["@vocab"] == CONTEXT["sc"] == "https://schema.org/"
    assert CONTEXT["cr"] == "http://mlcommons.org/croissant/"
    assert CONTEXT["rai"] == "http://mlcommons.org/croissant/RAI/"
    assert CONTEXT["conformsTo"] == "dct:conformsTo"
    assert CONTEXT["dataType"] == {"@id": "cr:dataType", "@type": "@vocab"}
    for term in ("recordSet", "field", "source", "extract", "column", "fileObject", "fileSet", "includes", "citeAs"):
        assert CONTEXT[term] == f"cr:{term}"


def test_a_reader_finds_the_rows(written, table):
    result = written()
    (file,) = result.croissant["distribution"]
    path = result.path.parent / unquote(file["contentUrl"])
    content = path.read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["contentSize"] == f"{len(content)} B"
    fields = result.croissant["recordSet"][0]["field"]
    assert {field["name"]: field["dataType"] for field in fields} == TYPES
    columns = [field["source"]["extract"]["column"] for field in fields]
    assert pyarrow.parquet.read_table(path, columns=columns).equals(table)


def test_a_folder_of_files(written, table, tmp_path):
    from kfp import dsl

    from kfp_hallmark.components.data.write_datasheet.datasheet import write_sheet

    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    pyarrow.parquet.write_table(table.slice(0, 100), folder / "part 1.parquet")
    pyarrow.parquet.write_table(table.slice(100), folder / "deep" / "b.parquet")
    out = tmp_path / "out"
    artifacts = [dsl.Artifact(uri=str(out / name)) for name in ("a.html", "a.md", "croissant.json")]
    write_sheet(dsl.Dataset(uri=str(folder)), {}, None, [], 50, *artifacts)
    document = json.loads((out / "croissant.json").read_text())
    check_form(document)
    *files, whole = document["distribution"]
    assert [file["contentUrl"] for file in files] == ["deep/b.parquet", "part%201.parquet"]
    for file in files:
        content = (folder / unquote(file["contentUrl"])).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert sorted(path.name for path in folder.glob("**/*.parquet")) == ["b.parquet", "part 1.parquet"]
    assert whole["includes"] == "**.parquet"
    assert all(field["source"]["fileSet"] == {"@id": "files"} for field in document["recordSet"][0]["field"])
    assert document["identifier"] == artifact_digest(folder)


@pytest.mark.parametrize("name", ["a b", "ü", "a/b", "a?b#c", '"<x>', "%20"])
def test_columns_of_any_name(written, name):
    result = written(data=pyarrow.table({name: [1, 2], "a": [1, 2]}))
    check_form(result.croissant)
    odd = result.croissant["recordSet"][0]["field"][0]
    assert odd["name"] == odd["source"]["extract"]["column"] == name
    assert odd["@id"].isascii()
    assert odd["@id"].count("/") == 1
