"""What the verbs for a cluster say when there is none, or the stack is not on it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from deploy.k8s.cluster import own_words

from .cluster.kubectl import Kubectl
from .containers import ROOT, clean_env, run
from .manifests import need

VERBS = {
    "backup": ("backup", "dump"),
    "restore": ("backup", "restore"),
    "secret": ("secret", "prod"),
    "rotate-secret": ("rotate-secret", "prod", "redis"),
}


def said(verb: str, **env: str) -> str:
    """Run a verb as a person does; return what it says as it fails."""
    script, *arguments = VERBS[verb]
    given = clean_env(ENV="prod", **env)
    done = run(ROOT / "deploy" / "k8s" / script, *arguments, check=False, env=given)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("verb", VERBS)
def test_without_kubectl_it_says_so(verb: str, tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(Path(sys.executable).resolve())
    for program in ("dirname", "sed"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    assert said(verb, PATH=str(tmp_path)).endswith("kubectl is not installed, or not on the PATH")


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_cluster_it_says_how_to_see_which_one_is_meant(verb: str, tmp_path: Path) -> None:
    need("kubectl")
    words = said(verb, KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert "no cluster answers; `kubectl config current-context` says which is meant" in words
    assert len(words.splitlines()) == 1


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("backup", "there is no namespace {} in the cluster of kubectl's context: kubectl apply"),
        ("restore", "there is no namespace {} in the cluster of kubectl's context: kubectl apply"),
        ("rotate-secret", "there is no Secret app in {}: start the stack first"),
    ],
)
def test_on_a_cluster_without_the_stack_it_says_what_is_missing(
    cluster: Kubectl, verb: str, words: str
) -> None:
    if not cluster.status("get", "namespace", "proj-prod")[0]:
        pytest.skip("this cluster has a namespace proj-prod, which is not ours to ask about")
    path = os.environ["PATH"]
    assert words.format("proj-prod") in said(verb, KUBECONFIG=cluster.kubeconfig, PATH=path)


def test_what_its_library_logs_before_its_own_words_is_left_out() -> None:
    logged = 'E1124 17:28:58.634 1 memcache.go:265] "Unhandled Error" err="refused"\n'
    assert own_words(f"{logged}{logged}It was refused\n") == "It was refused"
    assert own_words(logged) == logged.strip()
