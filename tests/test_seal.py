"""satgen.seal: what was sealed is known again, and nothing else is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from satgen import dataset as ds
from satgen.seal import digest, is_authentic, manifest_of, sealed, unsealed


def test_a_seal_names_every_table_and_the_canonical_description(pristine: Path) -> None:
    """By hashlib and json alone, as another program would."""
    text = (pristine / "dataset.json").read_text()
    data = json.loads(text)
    seal, manifest = data.pop("seal"), data.pop("manifest")

    def sha256(value: object) -> str:
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    assert seal == sha256(manifest)
    assert manifest == {
        "dataset.json": sha256(data),
        **{
            n: hashlib.sha256((pristine / n).read_bytes()).hexdigest()
            for n in (*ds.TABLES, *ds.PUBLICATION)
        },
    }


def test_sealing_again_changes_nothing_and_changes_are_known(pristine: Path) -> None:
    data = ds.read_description(pristine)
    manifest = manifest_of(data)
    assert manifest is not None
    files = {name: manifest[name] for name in (*ds.TABLES, *ds.PUBLICATION)}
    assert sealed(data, files) == data
    assert is_authentic(data)
    assert not is_authentic({**data, "seed": data["seed"] + 1})
    assert not is_authentic({**data, "seed": float(data["seed"])})
    assert not is_authentic({**data, "more": 1})
    assert not is_authentic(unsealed(data))
    assert manifest_of({**data, "manifest": {**manifest, "frames.csv": "0"}}) is None
    assert manifest_of({**data, "seal": data["seal"][:-1]}) is None
    assert manifest_of({**data, "manifest": [1]}) is None


def test_the_canonical_form_is_of_values_not_of_their_order() -> None:
    assert digest({"a": 1, "b": [True, None, 0.1]}) == digest({"b": [True, None, 0.1], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.0})
    assert digest("\ud800") != digest("?")
