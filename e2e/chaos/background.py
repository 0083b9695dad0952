"""Something that goes on beside a round until it is told to stop."""

import threading


class Background:
    """A thread whose failure is kept for the round, which asks for it and fails with it."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def go_on(self) -> None:
        """What is done until `self._stop` is set."""
        raise NotImplementedError

    def begin(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for its end; it may never have begun."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self.go_on()
        except BaseException as error:
            self.failure = error
