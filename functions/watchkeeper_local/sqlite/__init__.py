"""Stream, tables, blobs and meter in one SQLite file, for several processes of one machine.

One file, so that one transaction holds a batch's whole hop: what it read up to, its state, what it wrote and emitted.

What survives what:

- An exception, or `kill -9` of any or all processes: everything committed, nothing uncommitted. A commit is in the
  operating system's hands before the call returns.
- Losing power, `durable=True` (the default; for whatever acknowledges a device or a person): everything committed, for
  the log is flushed to the disk (`synchronous=FULL`) before the call returns.
- Losing power, `durable=False` (for workers): the last commits may be undone, always the newest first and each as a
  whole; the file stays sound. A hop that is undone has not acknowledged its input either, so it is done again: nothing
  is lost, and an alert may go out twice. A durable commit of any process also flushes what was committed before it.
- A disk that lies about flushing, a network file system, copying the file while it is in use: nothing is promised. Copy
  it with `sqlite3 watchkeeper.db ".backup …"`, or together with its `-wal` while all is stopped.
"""

from watchkeeper_local.sqlite.ports import SqlitePorts, open_ports

__all__ = ["SqlitePorts", "open_ports"]
