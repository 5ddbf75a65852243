"""Tests of other projects, unchanged, against this project's parts (see test_results_upstream)."""
