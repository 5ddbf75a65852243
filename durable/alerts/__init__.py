"""Alerts without Prometheus: the leading beat looks once a minute, and says it by mail or webhook.

The conditions are one list (rules.py), of which Prometheus' rules are made too.
"""
