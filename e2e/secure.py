#!/usr/bin/env python3
"""A pipeline on kind whose broker and database want to know who asks: examples/secure.yaml, and a change of every password.

Needs the testbed (eval "$(testbed/up all)"), the image (target/image/cryptopipeline.tar) and the simulator's binary:  secure.py --bin FOLDER
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import urllib.parse
from functools import partial
from pathlib import Path

from cluster import Namespace, is_ready, load_image, use_testbed
from documents import EXAMPLES, commands_of_example
from generated_market import SYMBOLS, GeneratedMarket
from judge.postgres import Postgres
from steps import CHECKOUT, Failed, Test, broker_tool, wait_until

PIPELINE = "secure"
SECURE = Namespace("secure")
kubectl = SECURE.kubectl
pods = partial(SECURE.pod_names, PIPELINE)
# What the example calls them.
BROKER = "my-cluster-kafka-bootstrap:9093"
USER, BROKER_CA = "market-user", "my-cluster-cluster-ca-cert"
DATABASE, DATABASE_ADMIN, DATABASE_CA = "market-db-app", "market-db-admin", "market-db-ca"
EXCHANGE = "    exchange: binance\n"
ROLES = ["producer", "aggregator", "repairer"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    arguments = parser.parse_args()
    use_testbed()
    return SecureTest(arguments.bin).verdict("a secure pipeline on kind")


class SecureTest(Test):
    """One run."""

    def __init__(self, programs: Path) -> None:
        super().__init__()
        self.market = GeneratedMarket(programs, f"{os.environ['TESTBED_HOST_FOR_PODS']}:9080", CHECKOUT / "target/e2e-secure")
        self.logs: list[str] = []
        # Whatever must never be told.
        self.passwords = [os.environ["KAFKA_PASSWORD"], *(password_of(os.environ[name]) for name in ("POSTGRES_SECURE_URL", "POSTGRES_SECURE_ADMIN_URL"))]
        self.database = Postgres(f"{os.environ['POSTGRES_SECURE_ADMIN_URL']}?sslmode=verify-full&sslrootcert={os.environ['TESTBED_SECURITY']}/ca.crt", PIPELINE)

    def run(self) -> None:
        self.step("the image is in the cluster", load_image)
        self.step("helm installs the operator", SECURE.install_chart)
        self.step("Secrets as Strimzi and CloudNativePG write them", self.create_secrets)
        self.step("examples/secure.yaml is applied as its comment says and becomes ready", self.apply_example)
        self.step("trades of every symbol are held, and none is missing", self.wait_for_trades)
        self.step("the workers' user cannot change a table", self.no_rights_to_tables)
        self.step("the workers' passwords change, and their pods are replaced", self.rotate)
        self.step("the database refuses the old one now", self.old_password_is_refused)
        self.step("trades go on with the new ones, and nothing had to be repaired", self.went_on)
        self.step("every trade is there once, every claim true", lambda: self.market.end_and_judge(self.database))
        self.step("no log, event, status or pod tells a password", self.nothing_is_told)
        self.step("the pipeline goes, and with deletionPolicy Delete its topic and its tables", self.delete_pipeline)
        self.step("the chart and its definition go", SECURE.leave)

    def create_secrets(self) -> None:
        ca = (Path(os.environ["TESTBED_SECURITY"]) / "ca.crt").read_text(encoding="utf-8")
        # Called like its Secret, which holds no name.
        add_broker_user(USER, os.environ["KAFKA_PASSWORD"])
        url = os.environ["POSTGRES_SECURE_URL_PODS"]
        jaas = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{USER}" password="{os.environ["KAFKA_PASSWORD"]}";'
        self.apply_secret(USER, {"password": os.environ["KAFKA_PASSWORD"], "sasl.jaas.config": jaas})
        self.apply_secret(BROKER_CA, {"ca.crt": ca})
        self.apply_secret(DATABASE_CA, {"ca.crt": ca})
        self.apply_secret(DATABASE, {"username": "market", "password": password_of(url), "uri": url})

    def apply_secret(self, name: str, data: dict[str, str]) -> None:
        SECURE.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}])

    def apply_example(self) -> None:
        """The example as it is, with the testbed's addresses in place of its own."""
        self.market.start()
        manifest = (EXAMPLES / "secure.yaml").read_text(encoding="utf-8")
        endpoints = f"    venue: simulated\n    endpoints: {{websocket: 'ws://{self.market.address}', rest: 'http://{self.market.address}'}}\n"
        for ours, theirs in ((BROKER, os.environ["KAFKA_BOOTSTRAP_SECURE_PODS"]), (EXCHANGE, EXCHANGE + endpoints)):
            if manifest.count(ours) != 1:
                raise Failed(f"examples/secure.yaml has no {ours!r}, or more than one")
            manifest = manifest.replace(ours, theirs)
        create, apply = commands_of_example("secure.yaml")
        placeholder = "postgres://ADMIN:PASSWORD@HOST:5432/DATABASE"
        if placeholder not in create or apply != "kubectl apply -f examples/secure.yaml":
            raise Failed(f"examples/secure.yaml shows other commands than this test runs: {create}; {apply}")
        kubectl(*create.replace(placeholder, os.environ["POSTGRES_SECURE_ADMIN_URL_PODS"]).split()[1:])
        kubectl("apply", "-f", "-", stdin=manifest)
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=180s")

    def wait_for_trades(self) -> None:
        held = "SELECT count(*) FILTER (WHERE trades_held > 0) AS symbols FROM symbol_head"
        wait_until("every symbol has trades", 60, lambda: self.database.query(held)[0]["symbols"] == str(len(SYMBOLS)))
        kubectl("wait", "--for=condition=DataContinuous", f"cpl/{PIPELINE}", "--timeout=180s")

    def no_rights_to_tables(self) -> None:
        url = f"{os.environ['POSTGRES_SECURE_URL']}?sslmode=require"
        for statement in ("CREATE TABLE secure.stray (id int)", "DROP TABLE secure.candles", "UPDATE secure.owner SET uid = ''"):
            refused = psql(url, statement)
            if "permission denied" not in refused and "must be owner" not in refused:
                raise Failed(f"{statement}: {refused}")

    def rotate(self) -> None:
        """First at the servers, then in the Secrets: what is connected stays so."""
        SECURE.nothing_is_repaired(PIPELINE)
        # Of pods that are about to go.
        self.logs = self.logs_of_pods()
        before = {role: pods(role) for role in ROLES}
        broker, database = secrets.token_hex(16), secrets.token_hex(16)
        self.passwords += [broker, database]
        add_broker_user(USER, broker)
        self.database_password(database)
        url = os.environ["POSTGRES_SECURE_URL_PODS"]
        url = url.replace(password_of(url), database)
        self.apply_secret(USER, {"password": broker, "sasl.jaas.config": "changed too"})
        self.apply_secret(DATABASE, {"username": "market", "password": database, "uri": url})
        for role in ROLES:
            wait_until(f"the pods of {role} are replaced", 180, lambda role=role: is_replaced(role, before[role]))
        kubectl("wait", "--for=condition=Ready", f"cpl/{PIPELINE}", "--timeout=120s")

    def database_password(self, password: str) -> None:
        superuser = os.environ["POSTGRES_URL"]
        if refused := psql(superuser, f"ALTER ROLE market PASSWORD '{password}'"):
            raise Failed(refused)

    def old_password_is_refused(self) -> None:
        refused = psql(f"{os.environ['POSTGRES_SECURE_URL']}?sslmode=require", "SELECT 1")
        if "password authentication failed" not in refused:
            raise Failed(f"the database still takes the old password: {refused}")

    def went_on(self) -> None:
        self.market.wait_until_held(self.database)
        SECURE.nothing_is_repaired(PIPELINE)

    def nothing_is_told(self) -> None:
        told = [kubectl("get", "cpl,deployments,replicasets,pods,configmaps,events", "-o", "json"), *self.logs, *self.logs_of_pods()]
        for text in told:
            if any(password in text for password in self.passwords):
                raise Failed("a password is told")
        SECURE.nothing_restarted()
        print(f"   {sum(map(len, told))} characters looked through", flush=True)

    def delete_pipeline(self) -> None:
        kubectl("patch", "cpl", PIPELINE, "--type=merge", "-p", json.dumps({"spec": {"deletionPolicy": "Delete"}}))
        wait_until("the pipeline is held until they are gone", 30, lambda: "finalizers" in kubectl("get", "cpl", PIPELINE, "-o", "json"))
        kubectl("delete", "cpl", PIPELINE, "--timeout=60s")
        SECURE.wait_for_the_end_of(PIPELINE)
        if self.database.query(f"SELECT nspname FROM pg_namespace WHERE nspname = '{PIPELINE}'"):
            raise Failed("the schema is still there")
        if f"{PIPELINE}-trades" in broker_tool("org.apache.kafka.tools.TopicCommand", "--list").splitlines():
            raise Failed("the topic is still there")

    def logs_of_pods(self) -> list[str]:
        return [kubectl("logs", pod, "--all-containers") for pod in kubectl("get", "pods", "-o", "name").split()]

    def show_what_happened(self) -> None:
        SECURE.show_what_happened()

    def clean_up(self) -> None:
        # Other tests know the password that the testbed told them.
        self.database_password(password_of(os.environ["POSTGRES_SECURE_URL"]))
        self.database.close()
        self.market.stop()


def add_broker_user(name: str, password: str) -> None:
    """Or gives it another password."""
    user = ["--entity-type", "users", "--entity-name", name]
    broker_tool("kafka.admin.ConfigCommand", "--alter", *user, "--add-config", f"SCRAM-SHA-512=[password={password}]")


def psql(url: str, statement: str) -> str:
    """What it complains of."""
    done = subprocess.run(["psql", url, "--no-psqlrc", "--quiet", "-c", statement], capture_output=True, text=True, timeout=60)
    return done.stderr


def password_of(url: str) -> str:
    return urllib.parse.urlsplit(url).password or ""


def is_replaced(role: str, before: set[str]) -> bool:
    now = SECURE.staying_pods(PIPELINE, role)
    return len(now) == len(before) and all(is_ready(pod) and pod["metadata"]["name"] not in before for pod in now)


if __name__ == "__main__":
    sys.exit(main())
