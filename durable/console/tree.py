"""The tasks that belong together: a chain, a group, a chord, and what any of them has called.

Found by the ids that Celery gives them: those that are to come stand in the messages of those
before them, and the rest was called soon after the first of them. No index leads there:
``conf.SCAN`` calls are looked through, however many there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import Q

from durable.journal.models import Entry
from durable.queue.models import Task

from . import conf, listing
from .life import loaded

#: Tasks that are looked at, and those of one kind beside each other that are drawn.
MOST, BESIDE = 200, 6
#: Calls before a task among which the others of its group are.
BEFORE = 1_000


class Node(NamedTuple):
    """A task of the tree, or several that are drawn as one."""

    task_id: str
    task: str
    #: As in the list of tasks; ``to come``, or ``never called`` after one that has not succeeded.
    state: str
    #: Of its row, if it was called.
    id: int | None
    #: The ids of those that it came from.
    parents: frozenset[str]
    group: str = ""
    #: How many it stands for.
    times: int = 1


class _Found:
    """What is known of each task, by Celery's id."""

    def __init__(self, life: Any) -> None:
        self.now = life.now
        self.nodes: dict[str, Node] = {}
        self.parents: dict[str, set[str]] = defaultdict(set)
        self.add(life.row)

    def add(self, row: Any) -> None:
        """Take in a row or an entry, and what its message says of those that follow it."""
        ended = isinstance(row, Entry)
        state = listing.ended_state(row) if ended else listing.state_of(row, self.now)
        headers = loaded(row.headers, {})
        if (node := self.nodes.get(row.task_id)) and node.id and node.id > row.pk:
            return  # of a task that was started again, the newest life
        self.nodes[row.task_id] = Node(
            row.task_id, row.task, state, row.pk, frozenset(), str(headers.get("group") or "")
        )
        parent = headers.get("parent_id") or headers.get("root_id")
        if parent and parent != row.task_id:
            self.parents[row.task_id].add(str(parent))
        self._follow(row.task_id, _embed(row))

    def _follow(self, before: str, embed: dict[str, Any]) -> None:
        last = [before]
        for signature in reversed(embed.get("chain") or []):
            last = self._come(signature, last)
        for signature in (*(embed.get("callbacks") or []), embed.get("chord")):
            self._come(signature, [before])

    def _come(self, signature: Any, before: list[str]) -> list[str]:
        """Take in what comes after *before*; return with which tasks that ends."""
        if not isinstance(signature, dict):
            return before
        name, parts = str(signature.get("task")), signature.get("kwargs") or {}
        if name == "celery.chain":
            for one in parts.get("tasks") or []:
                before = self._come(one, before)
            return before
        if name == "celery.group":
            return [end for one in parts.get("tasks") or [] for end in self._come(one, before)]
        if name == "celery.chord":
            header = parts.get("header") or []
            header = header if isinstance(header, list) else [header]
            ends = [end for one in header for end in self._come(one, before)]
            return self._come(parts.get("body"), ends or before)
        task_id = str((signature.get("options") or {}).get("task_id") or "")
        if not task_id:
            return before
        self.nodes.setdefault(task_id, Node(task_id, name, "to come", None, frozenset()))
        self.parents[task_id].update(before)
        return [task_id]

    def linked(self) -> list[Node]:
        """Return the tasks with their parents, each after these."""
        known = {
            task_id: frozenset(self.parents[task_id] & self.nodes.keys()) for task_id in self.nodes
        }
        ordered: list[Node] = []
        seen: set[str] = set()
        left = sorted(self.nodes.values(), key=lambda node: (node.id is None, node.id or 0))
        while left:
            ready = [node for node in left if known[node.task_id] <= seen] or left[:1]
            for node in ready:
                parents = known[node.task_id] & seen
                ordered.append(node._replace(parents=parents, state=self._state(node, parents)))
                seen.add(node.task_id)
                left.remove(node)
        return ordered

    def _state(self, node: Node, parents: Iterable[str]) -> str:
        lost = ("failed", "revoked", "discarded", "never called")
        if node.id is None and any(self.nodes[one].state in lost for one in parents):
            self.nodes[node.task_id] = node._replace(state="never called")
            return "never called"
        return node.state


def of(life: Any) -> list[Node]:
    """Return the tasks that belong to that of *life*, each after its parents; [] if it is alone."""
    found = _Found(life)
    row, headers = life.row, life.headers
    root_id = str(headers.get("root_id") or row.task_id)
    root = row if root_id == row.task_id else _first([root_id])
    if root is not None and root is not row:
        found.add(root)
    low = min(row.pk, root.pk) if root is not None else row.pk
    wanted = Q(headers__contains=f'"root_id": "{root_id}"')
    wanted |= Q(headers__contains=f'"parent_id": "{row.task_id}"')
    if group := headers.get("group"):
        wanted |= Q(headers__contains=f'"group": "{group}"')
        low -= BEFORE
    near = Q(pk__gte=low, pk__lt=low + conf.SCAN)
    for every, names in ((listing.entries, ENTRY), (listing.rows, ROW)):
        for one in every(near & wanted).order_by("pk").only(*names)[:MOST]:
            found.add(one)
    # A chain's next may have been called long after.
    missing = [task_id for task_id, node in found.nodes.items() if node.id is None]
    for one in listing.entries(Q(task_id__in=missing[:MOST])).only(*ENTRY) if missing else ():
        found.add(one)
    linked = found.linked()
    return list(_gathered(linked, row.task_id)) if len(linked) > 1 else []


ENTRY = ("id", "task_id", "task", "state", "headers", "body")
ROW = ("id", "task_id", "task", "headers", "body", "worker", "started_at", "due_at",
       "quarantined_at")  # fmt: skip


def _first(task_ids: list[str]) -> Entry | Task | None:
    return listing.entries(Q(task_id__in=task_ids)).order_by("pk").first()


def _embed(row: Any) -> dict[str, Any]:
    call = loaded(row.body, ((), {}, {}))
    return call[2] if isinstance(call, (list, tuple)) and len(call) == 3 else {}


def _gathered(nodes: list[Node], here: str) -> Iterator[Node]:
    """Yield the nodes; of many of one kind beside each other some, and one for the rest.

    First those that have not succeeded.
    """
    kinds: dict[Any, list[Node]] = defaultdict(list)
    for node in nodes:
        kinds[node.task, node.group, node.parents].append(node)
    stands_for: dict[str, str] = {}
    for node in nodes:
        alike = kinds[node.task, node.group, node.parents]
        if len(alike) <= BESIDE + 1:
            yield _moved(node, stands_for)
        elif node is alike[0]:
            alike = sorted(alike, key=lambda one: (one.task_id != here, one.state == "done"))
            shown, rest = alike[:BESIDE], alike[BESIDE:]
            stands_for |= {one.task_id: rest[0].task_id for one in rest}
            yield from (_moved(one, stands_for) for one in shown)
            states = {one.state for one in rest}
            state = states.pop() if len(states) == 1 else "mixed"
            yield _moved(rest[0], stands_for)._replace(id=None, state=state, times=len(rest))


def _moved(node: Node, stands_for: dict[str, str]) -> Node:
    return node._replace(parents=frozenset(stands_for.get(one, one) for one in node.parents))
