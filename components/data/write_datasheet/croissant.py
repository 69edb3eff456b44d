"""The dataset as Croissant metadata, JSON-LD that loaders and search engines of datasets read.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html (1.0) and
https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html (the RAI vocabulary).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from kfp_hallmark.components.data.write_datasheet.columns import Column
    from kfp_hallmark.components.data.write_datasheet.datasheet import Sheet

UNNAMED = "unnamed dataset"
RECORDS, FILES = "records", "files"
"""The names of the record set, and of the file set of a dataset of several files."""
PARQUET = "application/x-parquet"
OWN_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in OWN_TERMS},
}
"""What Croissant 1.0's terms mean, as its specification gives it."""
CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]

SAID = {
    "name": "name",
    "version": "version",
    "description": "description",
    "homepage": "url",
    "citation": "citeAs",
    "keywords": "keywords",
    "license": "license",
    "release_date": "datePublished",
    "acquisition": "rai:dataCollection",
    "missing_values": "rai:dataCollectionMissingData",
    "raw_data": "rai:dataCollectionRawData",
    "preprocessing": "rai:dataPreprocessingProtocol",
    "labels": "rai:dataAnnotationProtocol",
    "groups": "rai:dataBiases",
    "intended_uses": "rai:dataUseCases",
    "sensitive_data": "rai:personalSensitiveInformation",
    "updates": "rai:dataReleaseMaintenancePlan",
}
"""Field of the statement to Croissant's property for it."""


def metadata(sheet: Sheet) -> dict[str, Any]:
    """Return the document; what nobody said is left out but for the name, which it must have."""
    said = sheet.statement.said
    creators = [{"@type": "sc:Organization", "name": name} for name in sheet.statement.texts("creators")]
    limits = sheet.statement.texts("errors") + sheet.statement.texts("unsuitable_uses")
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": UNNAMED,
        **{term: said[name] for name, term in SAID.items() if name in said},
        **({"creator": creators} if creators else {}),
        **({"rai:dataLimitations": limits} if limits else {}),
        **({"rai:dataSocialImpact": "\n".join(said["risks"])} if "risks" in said else {}),
        **({"dateModified": sheet.known["snapshot_time"]} if "snapshot_time" in sheet.known else {}),
        "identifier": sheet.digest,
        "distribution": _distribution(sheet),
        "recordSet": [_records(sheet)],
    }


def _distribution(sheet: Sheet) -> list[dict[str, Any]]:
    """Return the files with their digests; of several, also the set of them that the records are read from."""
    files: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": quote(file.name),
            "name": file.name,
            "contentUrl": quote(file.name),
            "contentSize": f"{file.size} B",
            "encodingFormat": PARQUET,
            "sha256": file.digest.removeprefix("sha256:"),
        }
        for file in sheet.files
    ]
    if len(files) == 1:
        return files
    whole = {"@type": "cr:FileSet", "@id": FILES, "name": FILES, "encodingFormat": PARQUET, "includes": "**.parquet"}
    return [*files, whole]


def _records(sheet: Sheet) -> dict[str, Any]:
    one = len(sheet.files) == 1
    source = {"fileObject": {"@id": quote(sheet.files[0].name)}} if one else {"fileSet": {"@id": FILES}}
    return {
        "@type": "cr:RecordSet",
        "@id": RECORDS,
        "name": RECORDS,
        "description": f"{sheet.rows} rows.",
        "field": [_field(column, source) for column in sheet.columns],
    }


def _field(column: Column, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{RECORDS}/{quote(column.name, safe='')}",
        "name": column.name,
        "dataType": column.data_type,
        "source": source | {"extract": {"column": column.name}},
    }
