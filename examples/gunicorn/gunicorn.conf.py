"""How does the stream run under gunicorn?

    gunicorn -c examples/gunicorn/gunicorn.conf.py 'livestream:create_app()'

One process, because the registry lives in memory; a pool thread for each client and for each REST request.
The channels' threads are the application's own, as ever.
"""

import signal
import threading

from livestream.app import end_connections, prepare_process

bind = "127.0.0.1:9003"
worker_class = "gthread"
workers = 1
threads = 1100
#: The threads and the kept-alive connections that wait without one.
worker_connections = threads + 256
#: Seconds from SIGTERM until whatever still runs is killed.
graceful_timeout = 5


def post_worker_init(worker):
    """Makes the process fit for thousands of threads, and lets a stop tell the clients (Close 1001)."""
    prepare_process(0, "auto")
    stop_accepting = signal.getsignal(signal.SIGTERM)

    def stop(*received):
        stop_accepting(*received)
        # Not on this thread: it has the pool to look after.
        threading.Thread(target=end_connections, args=(worker.wsgi,), daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
