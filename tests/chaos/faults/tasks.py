"""Tasks that can't succeed, or may not any more; the others must not suffer."""

from __future__ import annotations

from ..engine import wait_until
from ..fault import Fault, Scene


class Hopeless(Fault):
    """Three operations of one kind among the others."""

    kind: str

    def inject(self, scene: Scene) -> None:
        for _ in range(3):
            scene.load.post([scene.load.operation(self.kind, 0)])


class Poison(Hopeless):
    """A task that kills its process at every start ends in quarantine."""

    name = "poison"
    what = "three tasks kill the process that runs them, at every start"
    kind = "poison"


class OutOfMemory(Hopeless):
    """A task that takes more memory than its container has."""

    name = "out-of-memory"
    what = "three tasks take memory until the kernel kills a process of the worker"
    kind = "glutton"


class TimeLimit(Hopeless):
    """A task that hangs, in C or in uninterruptible sleep."""

    name = "time-limit"
    what = "three tasks hang beyond their time limit of 5 s, deaf to all signals but SIGKILL"
    kind = "endless"


class Cancelled(Hopeless):
    """A person cancels tasks that have written their rows, and a worker dies before it hears."""

    name = "tasks-cancelled"
    what = "three tasks are cancelled once they have written their rows, and a worker gets SIGKILL"
    kind = "cancelled"
    soak = False  # it waits until its tasks run
    verb = True
    noticed = False

    def inject(self, scene: Scene) -> None:
        super().inject(scene)
        wait_until(lambda: scene.stack.sql(WRITTEN) == [["3"]], "all three have written", 240)
        assert scene.stack.manage(CANCEL) == "3", "each is cancelled while it runs"
        scene.stack.kill_container(scene.random.choice(scene.stack.ids("worker")))


#: Those that have told so; what they have written is in a transaction that is open.
WRITTEN = (
    "SELECT count(*) FROM durable_task JOIN durable_progress USING (task_id)"
    " WHERE message = 'written' AND started_at IS NOT NULL"
)
#: As the console does it.
CANCEL = """
from durable.queue.endings.actions import cancel
from durable.queue.models import Task
rows = Task.objects.filter(task__endswith="writes_and_hangs").values_list("pk", flat=True)
print(sum(cancel(pk, "a fault") for pk in rows))
"""

FAULTS = (Poison, OutOfMemory, TimeLimit, Cancelled)
