"""How slow a client may be, and how much of it is kept."""

#: Bytes a second that a client has to send or take, and the seconds that it may lag behind.
LEAST_RATE = 1024
GRACE = 20.0
#: Bytes of a request that are received before a thread sees it; a larger one is an upload. As
#: DATA_UPLOAD_MAX_MEMORY_SIZE and a head: what is larger is refused unread, or its sender is known.
BUFFER = 1024 * 1024 + 64 * 1024
#: Bytes of a head, and of a request that counts as none in the next line.
HEAD = 64 * 1024
#: Bytes of larger requests that arrive or wait for a thread, in the whole process.
RECEIVED = 32 * 1024 * 1024
#: Bytes of an answer that wait for a slow client before the thread that writes it has to wait too.
ANSWER = 4 * 1024 * 1024
#: Bytes of answers that wait for slow clients, in the whole process.
UNSENT = 32 * 1024 * 1024
#: Seconds for a client to read the answer and close, once the server has said its last.
LINGER = 5.0
#: Seconds that an idle connection stays when the worker stops: a request may be on its way.
STOPPING = 2.0
#: Seconds without the end of any request, while others wait, after which the process is stuck.
STUCK = 60.0
