"""A generated overlay over deploy/overlays/prod: a namespace of its own, and what is counted.

It lies in a copy of the manifests, so that an edit of the tree changes no run, and the project's
own scripts (set-image, scale-workers) can be run on it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..chaos.engine import run
from ..chaos.files import ROOT

#: What the manifests and the scripts for them are made of.
COPIED = ("Makefile", "deploy", "docker", "k8s")

#: Every pod of the product has this one setting of the suite; the image brings the module.
SETTINGS = {"DJANGO_SETTINGS_MODULE": "chaos_probe.settings"}

TEXT = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [../prod]
components: [{components}]
images:
  - name: {image_of_prod}
    newName: {name}
    newTag: "{tag}"
configMapGenerator:
  - name: app-env
    namespace: {namespace_of_prod}
    behavior: merge
    literals: [{literals}]
patches:
  # Requests go through the Service itself, at a node's address.
  - target: {{kind: Service, name: web}}
    patch: '[{{"op": "add", "path": "/spec/type", "value": "NodePort"}}]'
  # Of which the policy knows no namespace.
  - target: {{kind: NetworkPolicy, name: web}}
    patch: '[{{"op": "remove", "path": "/spec/ingress/0/from"}}]'
  # Volumes are directories of one node here; all on the same one leave the others to be broken.
  - target: {{kind: StatefulSet, name: redis|archive}}
    patch: |-
      - op: add
        path: /spec/template/spec/affinity
        value:
          podAffinity:
            requiredDuringSchedulingIgnoredDuringExecution:
              - topologyKey: kubernetes.io/hostname
                labelSelector: {{matchLabels: {{app.kubernetes.io/component: postgres}}}}
"""


class Overlay:
    """The folder of the overlay, which is written anew for each version of the product."""

    def __init__(
        self, folder: Path, namespace: str, components: Sequence[str] = (), **env: str
    ) -> None:
        """Copy the manifests to *folder*.

        :param components: names below k8s/components, beside those of prod.
        :param env: more settings of the product's pods.
        """
        self.folder = folder
        self.namespace = namespace
        self.components = components
        self.env = {**SETTINGS, **env}
        #: What the project's scripts know it by: ENV=scratch.
        self.env_name = "scratch"
        self.path = folder / "deploy" / "overlays" / self.env_name
        folder.mkdir()
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, folder / part, ignore=ignored)
            else:
                shutil.copy(source, folder / part)
        self.path.mkdir()
        (self._image_of_prod, self._namespace_of_prod) = self._names_of_prod()

    def write(self, image: str, env: Mapping[str, str] | None = None) -> None:
        """Write the overlay for *image*, with *env* over the settings of the product's pods."""
        name, _, tag = image.rpartition(":")
        literals = (f'"{key}={value}"' for key, value in {**self.env, **(env or {})}.items())
        text = TEXT.format(
            namespace=self.namespace,
            components=", ".join(f"../../../k8s/components/{each}" for each in self.components),
            image_of_prod=self._image_of_prod,
            namespace_of_prod=self._namespace_of_prod,
            name=name,
            tag=tag,
            literals=", ".join(literals),
        )
        (self.path / "kustomization.yaml").write_text(text, "utf-8")

    def _names_of_prod(self) -> tuple[str, str]:
        """Return prod's image, as it stands after prod's own change, and its namespace."""
        prod = self.path.parent / "prod"
        rendered = run(
            "kubectl", "kustomize", str(prod), "--output", "/dev/stdout", timeout=60
        ).stdout
        return name_of_image(rendered), first(rendered, "namespace:")


def first(rendered: str, field: str) -> str:
    """Return the value of the first line with *field*."""
    return next(
        line.strip().removeprefix(field).strip()
        for line in rendered.splitlines()
        if line.strip().startswith(field)
    )


def name_of_image(rendered: str) -> str:
    """Return the name of the image that runs ``args: [web]``, without its tag."""
    images = [line.split("image:")[1].strip() for line in rendered.splitlines() if "image:" in line]
    own = {image for image in images if not image.startswith(("postgres:", "redis:"))}
    (image,) = own
    return image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
