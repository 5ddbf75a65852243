"""The product's image with the probe in it, in two versions, on every node."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..chaos.engine import run
from ..chaos.files import ROOT
from . import nodes
from .kubectl import Kubectl

LOAD = ROOT.parent / "shared" / "cluster" / "load"
#: What the overlay runs beside the product.
STORES = ("postgres:18", "redis:8")

DOCKERFILE = """\
FROM {image}
COPY --chmod=0755 probe /chaos/chaos_probe
ENV PYTHONPATH=/chaos CHAOS_VERSION={version}
"""


def build(image: str, tag: str, version: str) -> None:
    """Build *tag* from the product's *image*: the probe on top, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe"
        shutil.copytree(
            ROOT / "tests/chaos/probe", probe, ignore=shutil.ignore_patterns("__pycache__")
        )
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(DOCKERFILE.format(image=image, version=version), "utf-8")
        run("docker", "build", "--quiet", "--tag", tag, folder)


def load(kubectl: Kubectl, images: Sequence[str]) -> None:
    """Put images of the local engine on every node of a cluster that kind made."""
    cluster = nodes.cluster_name(kubectl)
    if LOAD.exists():
        run(str(LOAD), "--name", cluster, *images, timeout=600)
    else:
        run("kind", "load", "docker-image", "--name", cluster, *images, timeout=600)


def second(image: str) -> str:
    """Return the name of the second version."""
    return f"{image}-chaos-2"


@contextlib.contextmanager
def two_versions(kubectl: Kubectl, image: str) -> Iterator[tuple[str, str]]:
    """Build and load two versions of *image* with the probe; give their names."""
    tags = (f"{image}-chaos-1", second(image))
    try:
        build(image, tags[0], "1")
        build(image, tags[1], "2")
        load(kubectl, [*tags, *STORES])
        yield tags
    finally:
        run("docker", "image", "rm", "--force", *tags, check=False)
