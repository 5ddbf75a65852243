"""The fault suite on Kubernetes: the load, the probe and the counting of ``tests/chaos``.

    make test-k8s                       every event     make test-k8s EVENT=node-drained

The stack is deploy/overlays/prod in a namespace of its own, under a generated overlay that adds
what is counted and nothing else (``overlay.py``). Requests go through its Service ``web``, which
that overlay makes a NodePort: `kubectl port-forward` is bound to one pod, and would show failures
that no visitor sees, or hide those that he does.
"""
