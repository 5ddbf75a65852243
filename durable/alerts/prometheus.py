"""The rules as the Prometheus Operator reads them: k8s/components/monitoring/alerts.yaml."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from .rules import RULES

_HEAD = """\
# What is worth waking a person for: each has a page in docs/runbooks. Made of
# durable/alerts/rules.py by `manage.py alerts --prometheus`. max(): the pods agree, and one that is
# stuck must not decide.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: proj
  labels: {app.kubernetes.io/part-of: proj}
spec:
  groups:
    - name: proj
      rules:
"""


def as_yaml() -> str:
    """Return the file."""
    return _HEAD + "".join(f"{line}\n" for line in _rules())


def _rules() -> Iterator[str]:
    for rule in RULES:
        yield f"        - alert: {rule.name}"
        yield "          expr: >-"
        yield from textwrap.wrap(
            rule.when.promql(), 110, initial_indent=" " * 12, subsequent_indent=" " * 12,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        yield f"          for: {rule.minutes}m"
        yield f"          labels: {{severity: {rule.severity}}}"
        yield "          annotations:"
        yield f"            summary: {json.dumps(rule.template())}"
        yield f"            runbook: {rule.runbook}"
