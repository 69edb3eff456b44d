"""Find the folders that are not Python: `compiled/` and `environments/`."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource(folder: str, *parts: str) -> Path:
    """Return a path below `compiled` or `environments`, in a wheel and in a checkout alike.

    A wheel holds these folders as `kfp_hallmark/_resources/<folder>`; a checkout has them beside the package.

    Raises:
        FileNotFoundError: If neither place holds the folder.
    """
    for root in (PACKAGE / "_resources" / folder, PACKAGE.parent / folder):
        if root.is_dir():
            return root.joinpath(*parts)
    raise FileNotFoundError(f"kfp_hallmark must be installed with its folder {folder!r}; it is not there.")
