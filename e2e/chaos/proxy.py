"""Between the workers and the database: passes bytes on, and cuts connections where it hurts most."""

import socket
import threading
from enum import Enum


class Cut(Enum):
    """When a connection is cut: the client cannot tell these from each other."""

    BEFORE_COMMIT = "before the database gets the commit"
    AFTER_COMMIT = "after the database has committed and before it can say so"


class DatabaseProxy:
    """Listens on loopback in front of a database server."""

    def __init__(self, host: str, port: int, commit: bytes) -> None:
        """`commit` is the whole message by which a client commits."""
        self._target = (host, port)
        self._commit = commit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._wanted: list[Cut] = []
        self._refuses = False
        self.done: dict[Cut, int] = {cut: 0 for cut in Cut}
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_next_commits(self, cut: Cut, count: int) -> None:
        with self._lock:
            self._wanted += [cut] * count

    def forget_wanted_cuts(self) -> None:
        with self._lock:
            self._wanted.clear()

    def connections(self) -> int:
        """How many there are through it."""
        with self._lock:
            return len(self._connections) // 2

    def refuse(self, refuses: bool) -> int:
        """Cuts everybody off and takes nobody, as a broken network; says how many were cut off."""
        with self._lock:
            self._refuses = refuses
            connections = list(self._connections) if refuses else []
        for connection in connections:
            _close(connection)
        return len(connections) // 2

    def close(self) -> None:
        self.refuse(True)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = None if self._refuses else socket.create_connection(self._target, timeout=5)
        except OSError:
            server = None
        if server is None:
            _close(client)
            return
        server.settimeout(None)
        for connection in (client, server):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # An answer that is dropped on request: set by the client's side, seen by the server's.
        drops = threading.Event()
        with self._lock:
            self._connections |= {client, server}
        back = threading.Thread(target=self._pass_answers, args=(server, client, drops), daemon=True)
        back.start()
        self._pass_questions(client, server, drops)
        back.join()
        with self._lock:
            self._connections -= {client, server}

    def _pass_questions(self, client: socket.socket, server: socket.socket, drops: threading.Event) -> None:
        try:
            while data := client.recv(65536):
                cut = self._cut_for(data)
                if cut is Cut.BEFORE_COMMIT:
                    self.done[cut] += 1
                    break
                if cut is Cut.AFTER_COMMIT:
                    drops.set()
                server.sendall(data)
        except OSError:
            pass
        if not drops.is_set():
            _close(client)
            _close(server)

    def _pass_answers(self, server: socket.socket, client: socket.socket, drops: threading.Event) -> None:
        try:
            while data := server.recv(65536):
                if drops.is_set():
                    # This answer is the commit's: nothing else was asked.
                    self.done[Cut.AFTER_COMMIT] += 1
                    break
                client.sendall(data)
        except OSError:
            pass
        _close(client)
        _close(server)

    def _cut_for(self, data: bytes) -> Cut | None:
        if not data.endswith(self._commit):
            return None
        with self._lock:
            return self._wanted.pop(0) if self._wanted else None


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
