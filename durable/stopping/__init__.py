"""How a worker stops: in order, on its event loop, and as soon as it can.

Celery's soft shutdown does its work in the signal handler: it sleeps the whole
``worker_soft_shutdown_timeout`` there, however soon the tasks end, and reads no result, sends no
acknowledgement and fires no time limit meanwhile; then it joins the pool from there, beside a
thread that reads the same pipes. Whichever of the two comes second waits for ever: some stops
ended by the supervisor's SIGKILL.

Here the signal handler only takes note. At the next turn of the event loop the worker

1. consumes no more, and hands back at once what no process of its pool has begun;
2. goes on with its loop (results, acknowledgements, time limits, heartbeats) until the running
   tasks have ended, or ``worker_soft_shutdown_timeout`` is over, or it is told a second time;
3. cancels what still runs, and hands it back once its process is gone;
4. lets the pool's processes end, and leaves the broker.

A thread watches over it: if the loop hangs, or if it is told a third time, that thread hands back
and ends the process, within the grace period (see ``watchdog.py``).

0 as timeout leaves the stop to Celery; so do a warm shutdown (Ctrl+C, ``control shutdown``) and the
pools that have no event loop (gevent, eventlet).
"""
