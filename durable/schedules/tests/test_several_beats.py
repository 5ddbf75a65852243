"""Any number of beats may run; what one of them believes is never enough to send twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import current_app as app
from django.db import connection
from pytest_django import Settings

from durable.schedules import ticks
from durable.schedules.leader import Leader
from durable.schedules.scheduler import DatabaseScheduler
from tests.fixtures_worker import database_url, wait_for

from .scheduling import StartBeat, is_free, periodic, sent, step_down, tick

pytestmark = pytest.mark.django_db(transaction=True)


class TestSeveralBeats:
    """Any number may run; what one of them believes is never enough to send twice."""

    def test_one_leads_and_the_others_stand_by(self, beat: StartBeat, heartbeat: Path) -> None:
        periodic()
        first, second = DatabaseScheduler(app), beat()
        try:
            tick(first)
            assert heartbeat.read_text().split()[2] == "leader"
            assert second.tick() == 1
            assert heartbeat.read_text().split()[2] == "standby"
            assert sent() == ["p"]
        finally:
            first.close()

    def test_a_standby_takes_over_and_reads_what_the_leader_has_done(self, beat: StartBeat) -> None:
        first = DatabaseScheduler(app)
        tick(first)
        second = beat()
        second.tick()
        task = periodic()
        tick(first)
        step_down(first)
        tick(second)
        assert second.leader.leads
        assert sent() == ["p"]
        task.refresh_from_db()
        assert task.total_run_count == 1

    def test_a_leader_that_was_frozen_is_none_when_it_wakes(self, beat: StartBeat) -> None:
        frozen = DatabaseScheduler(app)
        try:
            tick(frozen)
            assert frozen.leader.leads
            assert frozen.leader._session is not None
            pid = frozen.leader._session.info.backend_pid
            with connection.cursor() as cursor:  # as idle_session_timeout does
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
            wait_for(is_free, "the session has ended")
            other = beat()
            tick(other)
            periodic()
            tick(frozen)
            assert (frozen.leader.leads, other.leader.leads) == (False, True)
            assert sent() == []
        finally:
            frozen.close()

    def test_a_leader_that_wakes_in_the_middle_of_a_tick_can_not_double_it(
        self, beat: StartBeat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = periodic()
        frozen = DatabaseScheduler(app)
        commit = ticks.commit

        def late(entry: Any) -> bool:
            # It has chosen what to send, and freezes; another one leads meanwhile.
            monkeypatch.setattr(ticks, "commit", commit)
            step_down(frozen)
            tick(beat())
            assert sent() == ["p"]
            return commit(entry)

        monkeypatch.setattr(ticks, "commit", late)
        tick(frozen)
        assert sent() == []
        task.refresh_from_db()
        assert task.total_run_count == 1

    def test_a_lock_that_is_gone_from_its_session_is_noticed(
        self, beat: StartBeat, caplog: pytest.LogCaptureFixture
    ) -> None:
        scheduler = beat()
        tick(scheduler)
        assert scheduler.leader._session is not None
        # What a pooler does when it hands the next statement to another session.
        scheduler.leader._session.execute("SELECT pg_advisory_unlock_all()")
        other = Leader()
        assert other.hold()
        tick(scheduler)
        assert not scheduler.leader.leads
        other.close()

    def test_the_session_of_the_lock_may_go_another_way(
        self, beat: StartBeat, settings: Settings
    ) -> None:
        settings.BEAT_DATABASE_URL = "postgresql://nobody@127.0.0.1:1/none"
        scheduler = beat()
        assert scheduler.tick() == 1
        assert not scheduler.leader.leads
        settings.BEAT_DATABASE_URL = database_url()
        tick(scheduler)
        assert scheduler.leader.leads

    def test_a_server_that_only_reads_meanwhile_is_left_for_the_one_that_writes(
        self, beat: StartBeat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a failover the old server may live on as a replica, where locks can be had too."""
        task = periodic()
        scheduler = beat()
        assert scheduler.leader.hold()
        session = scheduler.leader._session
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        monkeypatch.setattr(connection, "close_at", None)  # kept, as the role does
        tick(scheduler)
        assert sent() == []
        tick(scheduler)
        assert sent() == ["p"]
        assert scheduler.leader._session is not session, "nor does it lead there"
        task.refresh_from_db()
        assert task.total_run_count == 1
