"""multiprocessing.managers without any process: queues served to other hosts; a key that is wrong."""

import queue
from multiprocessing import AuthenticationError
from multiprocessing.managers import BaseManager

LIBRARIES = ()
DATA = bytes(range(256)) * 450
tasks, results = queue.Queue(), queue.Queue()


class Manager(BaseManager):
    pass


Manager.register("tasks", callable=lambda: tasks)
Manager.register("results", callable=lambda: results)


def serve(port):
    Manager(("", port), b"key").get_server().serve_forever()


def work(host, port):
    manager = Manager((host, port), b"key")
    manager.connect()
    while (task := manager.tasks().get()) is not None:
        manager.results().put(task[::-1])


def ask(host, port):
    manager = Manager((host, port), b"key")
    manager.connect()
    for _ in range(3):
        manager.tasks().put(DATA)
    assert [manager.results().get(timeout=60) for _ in range(3)] == [DATA[::-1]] * 3
    manager.tasks().put(None)
    try:
        Manager((host, port), b"other key").connect()
    except AuthenticationError as error:
        return str(error)


def scenario(world):
    server, worker, client = (world.host(name) for name in ("server", "worker", "client"))
    server.run(serve, 5000)
    world.sleep(0.1)
    working = worker.run(work, "server", 5000)
    assert client.run(ask, "server", 5000).result(timeout=120) == "digest sent was rejected"
    working.result(timeout=60)
