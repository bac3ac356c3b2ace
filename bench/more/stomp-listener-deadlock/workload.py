"""A worker takes jobs from a queue of a STOMP broker; a second thread sends the answers.

Invariant: every job is answered within a minute.
"""
import queue
import socket
import sys
import threading

import stomp


def broker(listener):
    """A small STOMP broker for one client: ten jobs, sent at once when somebody has subscribed; it counts answers."""
    connection, _ = listener.accept()
    data = b""
    while True:
        while b"\x00" not in data:
            received = connection.recv(4096)
            if not received:
                return
            data += received
        frame, _, data = data.partition(b"\x00")
        command = frame.strip().partition(b"\n")[0]
        if command in (b"CONNECT", b"STOMP"):
            connection.sendall(b"CONNECTED\nversion:1.1\n\n\x00\n")
        elif command == b"SUBSCRIBE":
            for number in range(10):
                connection.sendall(b"MESSAGE\nsubscription:1\nmessage-id:%d\ndestination:/jobs\n\njob %d\x00\n"
                                   % (number, number))
        elif command == b"SEND":
            answered.release()


answered = threading.Semaphore(0)


class Worker(stomp.ConnectionListener):
    def __init__(self, jobs):
        self.jobs = jobs

    def on_message(self, headers, body):
        self.jobs.put(body)                          # waits while two are still to be answered


def answer(connection, jobs):
    while True:
        job = jobs.get()
        connection.send("/answers", f"done: {job}")


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=broker, args=[listener], daemon=True).start()
    connection = stomp.Connection11([listener.getsockname()])
    jobs = queue.Queue(2)
    connection.set_listener("worker", Worker(jobs))
    connection.start()
    connection.connect(wait=True)
    threading.Thread(target=answer, args=[connection, jobs], daemon=True).start()
    connection.subscribe("/jobs", 1)
    for number in range(10):
        assert answered.acquire(timeout=60), f"{number} of 10 jobs were answered"
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
