"""Find the folders that are not Python: `compiled/` and `environments/`."""

from __future__ import annotations

from pathlib import Path

from kfp_hallmark.errors import MissingInputError

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


def checkout() -> Path:
    """Return the root of the checkout that the package runs from.

    Raises:
        MissingInputError: If it runs from a wheel.
    """
    root = PACKAGE.parent
    if not (root / "setup.cfg").is_file() or not (root / "components").is_dir():
        raise MissingInputError(
            "This command must run in a checkout of Hallmark; the package is installed from a wheel.",
            "Clone the repository and install it with `pip install --editable .`.",
        )
    return root
