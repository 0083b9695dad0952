"""A Kafka broker and database servers of the campaign's own, which it may stop, kill and set back."""

import os
import shutil
import subprocess
from pathlib import Path

from judge.mysql import MySql
from judge.postgres import Postgres
from steps import CHECKOUT, Failed

# Room for the broker's log; small enough to be filled in a moment.
DISK_MIB = 256
LONGEST_START_S = 120


class Service:
    """A part of the testbed, in a state of the campaign's own."""

    part = ""

    def __init__(self, state: Path) -> None:
        self.state = state

    def up(self) -> None:
        self.run("up")

    def down(self) -> None:
        self.run("down")

    def stop(self) -> None:
        """As a careful administrator would."""
        self.run("stop")

    def crash(self) -> None:
        """As a power cut would."""
        self.run("crash")

    def start(self) -> None:
        self.run("start")

    def run(self, *verb: str) -> str:
        """What it prints."""
        environment = os.environ | {"TESTBED_STATE": str(self.state)}
        line = [CHECKOUT / "testbed/parts" / self.part, *verb]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=LONGEST_START_S)
        if done.returncode:
            raise Failed(f"{self.part} {' '.join(verb)}: {done.stdout}{done.stderr}")
        return done.stdout

    def setting(self, name: str) -> str:
        """One of the lines `export NAME=value` that the part leaves for its users."""
        for line in (self.state / "env" / self.part).read_text(encoding="utf-8").splitlines():
            if line.startswith(f"export {name}="):
                return line.partition("=")[2].replace("\\", "")
        raise Failed(f"{self.part} has not said where {name} is")

    def log(self) -> str:
        """What it has printed since it was started last."""
        return (self.state / "logs" / f"{self.part}.log").read_text(encoding="utf-8", errors="replace")


class Broker(Service):
    """Kafka, with its log on a disk of its own."""

    part = "kafka"

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.disk = state / "kafka/data"

    def up(self) -> None:
        image = self.state / "kafka-disk.ext4"
        self.disk.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(DISK_MIB * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", image], check=True)
        looped = subprocess.run(["mount", "-o", "loop", image, self.disk], check=False, capture_output=True)
        if looped.returncode:
            # A machine without loop devices: memory of the same size is as soon full.
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", self.disk], check=True)
        # Kafka takes every folder here for a partition.
        shutil.rmtree(self.disk / "lost+found", ignore_errors=True)
        super().up()

    def down(self) -> None:
        self.run("crash")
        subprocess.run(["umount", "--lazy", self.disk], check=False, capture_output=True)
        super().down()
        (self.state / "kafka-disk.ext4").unlink(missing_ok=True)

    @property
    def address(self) -> str:
        return self.setting("KAFKA_BOOTSTRAP")

    def fill_disk(self) -> int:
        """Takes all the room that is left; says how many bytes that were."""
        filler = self.disk / ".filler"
        taken = 0
        try:
            with filler.open("wb", buffering=0) as file:
                while True:
                    taken += file.write(b"\0" * 65536)
        except OSError:
            return taken

    def free_disk(self) -> None:
        (self.disk / ".filler").unlink(missing_ok=True)

    def runs(self) -> bool:
        try:
            pid = int((self.state / "pids/kafka").read_text(encoding="utf-8").split()[0])
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
        except (OSError, IndexError, ValueError):
            return False

    def tool(self, name: str, *arguments: str) -> str:
        """One of Kafka's own command line programs, at this broker."""
        return self.run("tool", name, *arguments)


class DatabaseServer(Service):
    """A database server, whose whole state can be kept and brought back."""

    # Where its part of the testbed says what its URL is.
    url_setting = ""
    # Who reads its schemas.
    reader: type[Postgres] | type[MySql]
    # The whole message by which a client of it commits.
    commit = b""

    @property
    def url(self) -> str:
        return self.setting(self.url_setting)

    def keep_state(self) -> None:
        """Stops, copies everything, and starts again."""
        self.stop()
        shutil.rmtree(self._kept(), ignore_errors=True)
        subprocess.run(["cp", "-a", self._data(), self._kept()], check=True)
        self.start()

    def set_back(self) -> None:
        """To the state that was kept, as after a restore from a backup."""
        self.stop()
        shutil.rmtree(self._data())
        subprocess.run(["cp", "-a", self._kept(), self._data()], check=True)
        self.start()

    def _data(self) -> Path:
        places = [self.state / self.part / "data", *Path("/var/tmp").glob(f"cryptopipeline-testbed-*/{self.part}/data")]
        port = self.url.rpartition(":")[2].partition("/")[0]
        for place in places:
            settings = place.parent / "settings"
            if settings.is_file() and f"port = {port}\n" in settings.read_text(encoding="utf-8"):
                return place
        raise Failed(f"the data of {self.part} is not where it should be")

    def _kept(self) -> Path:
        return self._data().parent / "kept"


class PostgresServer(DatabaseServer):
    part, url_setting, reader = "postgres", "POSTGRES_URL", Postgres
    # Type, length and text.
    commit = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class MariaDbServer(DatabaseServer):
    part, url_setting, reader = "mariadb", "MYSQL_URL", MySql
    # Length, number, the command for a query, and text.
    commit = b"\x07\x00\x00\x00\x03COMMIT"
