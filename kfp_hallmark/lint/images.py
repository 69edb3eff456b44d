"""References to container images."""

from __future__ import annotations

STUBS = ("argostub/createpvc", "argostub/deletepvc")
"""What `kfp.kubernetes` names where Kubeflow makes or deletes a volume itself; no such image is pulled."""


def tag(reference: str) -> str | None:
    """Return an image's tag, empty when it has none.

    None when it has a digest, or is known only when the step runs, or stands for no image.
    """
    if "@" in reference or "{{" in reference or reference in STUBS:
        return None
    return reference.rpartition("/")[2].partition(":")[2]
