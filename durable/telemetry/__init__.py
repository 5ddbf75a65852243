"""Traces by OpenTelemetry, errors to Sentry: off, and not even imported, until a setting asks.

A trace goes from a request to the row that it writes, to the attempts of its task, and to the
queries of each. No span has an argument, a result, an error's text or a value of a query.
"""
