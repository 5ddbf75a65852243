"""The console below `/ops/`: what is wrong, what waits, runs and has ended, and what helps.

- ``snapshot.py``: what *Now* shows, asked once a second at most; ``diagnosis.py``: its sentences
- ``filters.py``, ``listing.py``: rows and entries of the journal as one list
- ``deeds.py``: what a person does, written down (``models.py``) in the transaction of the deed
- ``views.py``, ``pages.py``: the pages; ``charts.py``: their pictures
"""
