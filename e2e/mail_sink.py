"""A mail server that takes everything and delivers nothing, so that a test can read what was sent."""

import email
import email.policy
import socketserver
import threading
from email.message import EmailMessage


class MailSink:
    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        messages = self.messages

        class Session(socketserver.StreamRequestHandler):
            """As much of SMTP as a client needs to get rid of a message."""

            def handle(self) -> None:
                self.say("220 sink")
                while line := self.rfile.readline():
                    verb = line.split()[0].upper() if line.strip() else b""
                    if verb == b"DATA":
                        self.say("354 go on")
                        messages.append(email.message_from_bytes(self.message(), policy=email.policy.default))
                    self.say("221 bye" if verb == b"QUIT" else "250 ok")
                    if verb == b"QUIT":
                        return

            def message(self) -> bytes:
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line[1:] if line.startswith(b"..") else line)
                return b"".join(lines)

            def say(self, reply: str) -> None:
                self.wfile.write(f"{reply}\r\n".encode())

        return Session
