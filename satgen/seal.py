"""The seal of a finished dataset: in dataset.json, the hashes of all that is not an image.

    "manifest": {"dataset.json": SHA-256, "frames.parquet": …, "frames.csv": …, …},
    "seal": SHA-256

The manifest has the SHA-256 of every table's bytes and, under the name of dataset.json, that of the
canonical form of what dataset.json says otherwise; the seal is that of the manifest's canonical
form. The images' hashes are in the frame table. So whatever changes in a finished dataset, be it a
bit, no longer fits to something. Datasets of format versions 1 and 2 have no seal.

The canonical form of a JSON value is its text with sorted keys, without blanks, in ASCII.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from satgen.dataset import DESCRIPTION

MANIFEST, SEAL = "manifest", "seal"

SINCE = 3
"""First version of the format whose datasets are sealed."""


def sealed(
    description: Mapping[str, Any], files: Mapping[str, str], name: str = DESCRIPTION
) -> dict[str, Any]:
    """dataset.json of a finished dataset.

    Args:
        description: what it says otherwise; a seal in it is replaced.
        files: SHA-256 of the bytes of each file that is no image, by name.
        name: of the description's own file; a shard's is another.
    """
    plain = unsealed(description)
    manifest = {name: digest(plain), **files}
    return {**plain, MANIFEST: manifest, SEAL: digest(manifest)}


def unsealed(description: Mapping[str, Any]) -> dict[str, Any]:
    """A description without its manifest and seal."""
    return {key: value for key, value in description.items() if key not in (MANIFEST, SEAL)}


def manifest_of(description: Mapping[str, Any]) -> dict[str, str] | None:
    """SHA-256 by name, as the seal has it; None where there is no seal or it is broken."""
    manifest = description.get(MANIFEST)
    if not isinstance(manifest, dict) or description.get(SEAL) != digest(manifest):
        return None
    return manifest


def is_authentic(description: Mapping[str, Any], name: str = DESCRIPTION) -> bool:
    """Whether a description, in a file of that name, says what was sealed."""
    manifest = manifest_of(description)
    return manifest is not None and manifest.get(name) == digest(unsealed(description))


def digest(value: Any) -> str:
    """SHA-256 of a JSON value's canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
