"""Shards as Ray tasks on two nodes, one of which dies in the middle: nothing lost, same bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from satgen.errors import InputError
from satgen.on_ray import render_on_ray
from satgen.shards import shards_folder
from tests.datasets import make, options, tree

FRAMES = 128


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head and one more node, a core each, on this machine."""
    root = Path(__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    found: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


def test_a_node_that_dies_costs_nothing(cluster: Any, craft_path: Path, tmp_path: Path) -> None:
    request = options(craft_path, stop=3000 + FRAMES - 1)
    out = tmp_path / "ray"
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done >= 12 and len(cluster.worker_nodes) == 1:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    summary = render_on_ray(request, out, "", progress=progress)
    assert not cluster.worker_nodes, "it was too quick to kill a node"
    assert summary.frames == FRAMES and seen[-1] == (FRAMES, FRAMES)
    make(craft_path, tmp_path / "one", stop=3000 + FRAMES - 1)
    assert tree(out) == tree(tmp_path / "one")
    assert not shards_folder(out).exists()

    again = render_on_ray(request, out, "")
    assert again.rendered == 0 and tree(out) == tree(tmp_path / "one")
    with pytest.raises(InputError, match="another dataset"):
        render_on_ray(options(craft_path, seed=1), out, "")
    shutil.rmtree(out)


def test_a_cluster_that_is_not_there(craft_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ray .127\.0\.0\.1:1"):
        render_on_ray(options(craft_path), tmp_path / "d", "127.0.0.1:1")
    assert not list(tmp_path.iterdir())
