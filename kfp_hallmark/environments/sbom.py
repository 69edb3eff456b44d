"""What an image holds, as a CycloneDX document: run in the image while it is built.

    python -m kfp_hallmark.environments.sbom > sbom.cdx.json

It lists what is installed: the Python packages of the environment, the interpreter, and Debian's packages. Equal images
give equal bytes, so it says no time.
Source: https://cyclonedx.org/docs/1.5/json/
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import uuid
from importlib import metadata
from typing import Any
from urllib.parse import quote

from kfp_hallmark import __version__

PATH = "/opt/hallmark/sbom.cdx.json"
"""Where an image holds it."""

_DEBIAN_FIELDS = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"


def document(name: str) -> dict[str, Any]:
    """Return the document of the image that this runs in.

    Args:
        name: The environment's name.
    """
    components = [_interpreter(), *_python_packages(), *_debian_packages()]
    subject = {"type": "container", "name": f"kfp-hallmark/{name}", "version": __version__}
    content = json.dumps([subject, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
    }


def _interpreter() -> dict[str, str]:
    return {"type": "application", "name": "python", "version": platform.python_version()}


def _python_packages() -> list[dict[str, Any]]:
    found = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        found[name] = _library(name, distribution.version, f"pkg:pypi/{name}@{quote(distribution.version, safe='')}")
    return [found[name] for name in sorted(found)]


def _debian_packages() -> list[dict[str, Any]]:
    release = platform.freedesktop_os_release()
    distribution = f"{release['ID']}-{release['VERSION_ID']}"
    listed = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={_DEBIAN_FIELDS}"], capture_output=True, text=True, check=True
    )
    rows = sorted(line.split("\t") for line in listed.stdout.splitlines())
    return [
        _library(
            name,
            version,
            f"pkg:deb/{release['ID']}/{name}@{quote(version, safe='')}?arch={architecture}&distro={distribution}",
        )
        for status, name, version, architecture in rows
        if status == "installed"
    ]


def _library(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    print(json.dumps(document(os.environ["HALLMARK_ENVIRONMENT"]), indent=1))
