"""The private names of upstream's are those of the table, and as they stand there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from kombu.asynchronous.timer import Timer

import durable
from durable import upstream
from durable.checks import start
from durable.health.consumer import Heartbeat
from durable.upstream import Name
from tests.fixtures_worker import StartRole

ROOT = Path(durable.__file__).parent
UPSTREAM = ("celery", "kombu", "billiard", "django", "psycopg", "django_celery_")
PARTS = sorted({name.part for name in upstream.NAMES})
LISTED = {name.path.rpartition(".")[2].rpartition(":")[2] for name in upstream.NAMES}

#: Documented in spite of their underscore: Django's, NamedTuple's, the system's and Celery's.
PUBLIC = {
    *("_meta", "_default_manager", "_fields", "_asdict", "_replace", "_exit"),
    "_get_current_object",
}

WORDS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def sources() -> dict[str, ast.Module]:
    """Return the package's modules by name, without tests and migrations."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if not {"tests", "migrations"} & set(parts):
            found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def used(tree: ast.Module) -> Iterator[str]:
    """Yield the private names that a module asks an object or another module for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node.attr
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {
            "getattr", "setattr", "hasattr",
        }:  # fmt: skip
            constants = (a.value for a in node.args if isinstance(a, ast.Constant))
            yield from (str(value) for value in constants if is_private(value))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(UPSTREAM):
            yield from (alias.name for alias in node.names if is_private(alias.name))


def own(tree: ast.Module) -> Iterator[str]:
    """Yield the private names that a module makes itself."""
    for node in ast.walk(tree):
        if isinstance(node, WORDS):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if getattr(node.value, "id", "") in {"self", "cls"}:
                yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def overridden(module: str) -> Iterator[str]:
    """Yield the private names that a module's classes have from upstream's, and make anew."""
    for cls in vars(import_module(module)).values():
        if not inspect.isclass(cls) or cls.__module__ != module:
            continue
        theirs = {
            name for base in cls.__mro__ if base.__module__.startswith(UPSTREAM)
            for name in vars(base)
        }  # fmt: skip
        yield from (
            f"{cls.__name__}.{name}"
            for name in theirs & vars(cls).keys()
            if is_private(name) and name != "_abc_impl"  # the interpreter's own
        )


def test_the_releases_that_are_installed_are_those_that_were_tested() -> None:
    assert upstream.untested() == {}


@pytest.mark.parametrize("part", PARTS)
def test_each_name_of_the_table_is_as_it_stands_there(part: str) -> None:
    assert upstream.changed(part) == ()
    for name in upstream.NAMES:
        import_module(name.path.partition(":")[0])


def test_each_private_name_that_is_used_is_in_the_table() -> None:
    trees = sources()
    theirs = {name for tree in trees.values() for name in used(tree)}
    ours = {name for tree in trees.values() for name in own(tree)}
    assert theirs - ours - PUBLIC - LISTED == set()
    assert LISTED & theirs  # else nothing was found at all


def test_each_private_method_that_is_overridden_is_in_the_table() -> None:
    modules = [name for name in sources() if not name.startswith("durable.web")]
    found = {
        name for module in modules if "management" not in module for name in overridden(module)
    }
    generated = {"_meta", "_default_manager", "_base_manager"}  # by Django, in each model
    assert {name for name in found if name.partition(".")[2] not in LISTED | generated} == set()


@pytest.mark.parametrize(
    ("path", "signature", "says"),
    [
        ("celery.worker:WorkController.gone", "", "celery.worker:WorkController.gone is gone"),
        ("celery.worker.state:gone", "", "celery.worker.state:gone is gone"),
        (
            "celery.worker:WorkController.terminate",
            "(self)",
            "celery.worker:WorkController.terminate(self) is (self, in_sighandler=False) now",
        ),
    ],
)
def test_a_name_that_has_changed_is_told(
    monkeypatch: pytest.MonkeyPatch, path: str, signature: str, says: str
) -> None:
    monkeypatch.setattr(upstream, "NAMES", (Name("a part", path, signature),))
    assert upstream.changed.__wrapped__("a part") == (says,)


def test_another_release_is_a_warning_and_a_changed_name_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream, "TESTED", {**upstream.TESTED, "celery": ("5.5", "5.6")})
    monkeypatch.setattr(upstream, "changed", lambda part: ("a name is gone",))
    found = start.found()
    assert {str(message.id) for message in found} == {"proj.W121", "proj.E121"}
    texts = " ".join(str(message.msg) for message in found)
    said = f"celery {version('celery')} is installed, and durable was tested with 5.5 and 5.6"
    assert said in texts
    assert "a name is gone: durable.queue would fail" in texts
    assert "durable.stopping" not in texts  # it does without


def test_a_heartbeat_that_sees_less_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upstream, "changed", lambda part: (f"a name of {part} is gone",))
    Heartbeat(SimpleNamespace(timer=Timer()))
    assert "no longer that it asks Redis for messages: a name of health is gone" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_where_the_stop_can_not_be_led_it_is_celerys_own(start_role: StartRole) -> None:
    worker = start_role("worker", "-c", "1", CELERY_IMPORTS="tests.renamed")
    assert "the stop of this worker is Celery's own" in worker.output()
    assert "WorkController.terminate(self, in_sighandler=False) is (" in worker.output()
    assert worker.stop() >= 0
    assert "told to stop" not in worker.output()
