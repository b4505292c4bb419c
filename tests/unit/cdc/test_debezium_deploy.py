"""The deployment of the connector against a Connect of our own making, over real HTTP."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from cdc.debezium import __main__ as program
from cdc.debezium import deploy as deployment
from cdc.debezium.client import Connect
from cdc.debezium.deploy import Deployed, Found, deploy
from cdc.debezium.settings import CONNECTOR_NAME, ConnectSettings
from cdc.errors import CdcError, Kind
from cdc.settings import Settings

SETTINGS = Settings(database_url=SecretStr("postgresql://cdc:s3cret@db:5432/d"), kafka_bootstrap_servers="broker:9092")
PATH = f"/connectors/{CONNECTOR_NAME}"


class FakeConnect:
    """A worker with at most one connector; says what it was asked."""

    def __init__(self) -> None:
        self.config: dict[str, str] | None = None
        self.offsets: list[dict[str, Any]] = []
        self.state = "RUNNING"
        self.tasks = ["RUNNING"]
        self.trace = ""
        self.refuse: list[int] = []
        """Status codes of the next answers, whatever is asked."""
        self.asked: list[str] = []
        self.stops_after = 0
        """How often its state is asked for before a request to stop has an effect."""
        self.stopping = False
        self.url = ""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Return status and document."""
        self.asked.append(f"{method} {path}")
        if self.refuse:
            return self.refuse.pop(0), {"message": "not now"}
        if path == "/connectors":
            return 200, [CONNECTOR_NAME] if self.config else []
        if (method, path) == ("PUT", f"{PATH}/config"):
            created, self.config = self.config is None, {**body, "name": CONNECTOR_NAME}
            return 201 if created else 200, {"name": CONNECTOR_NAME}
        if self.config is None:
            return 404, {"message": "no such connector"}
        return self._of_the_connector(method, path.removeprefix(PATH))

    def _of_the_connector(self, method: str, path: str) -> tuple[int, Any]:
        answer: tuple[int, Any] = (202, None)
        match method, path:
            case "GET", "/config":
                answer = 200, self.config
            case "GET", "/status":
                if self.stopping and self.stops_after == 0:
                    self.state, self.tasks = "STOPPED", []
                self.stops_after -= self.stopping
                tasks = [{"id": n, "state": state, "trace": self.trace} for n, state in enumerate(self.tasks)]
                answer = 200, {"connector": {"state": self.state}, "tasks": tasks}
            case "GET", "/offsets":
                answer = 200, {"offsets": self.offsets}
            case "PUT", "/stop":
                self.stopping = True
            case ("PUT", "/resume") | ("POST", "/restart?includeTasks=true&onlyFailed=true"):
                self.state, self.tasks, self.trace = "RUNNING", ["RUNNING"], ""
            case "DELETE", "/offsets":
                self.offsets = []
                answer = 200, {"message": "reset"}
            case "DELETE", "":
                self.config = None
            case _:
                answer = 405, {"message": "unknown"}
        return answer


@pytest.fixture
def worker() -> Iterator[FakeConnect]:
    """A worker that answers at its `url`."""
    fake = FakeConnect()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, document = fake.answer(self.command, self.path, body)
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def deployed(worker: FakeConnect, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Deployed]:
    """Deploy, with a database that has been examined."""

    def run(*, slot: bool = False, publication: bool = False) -> Deployed:
        monkeypatch.setattr(deployment, "examine", lambda *_, **__: Found(slot, publication))
        return deploy(SETTINGS, patience(worker.url))

    return run


def patience(url: str) -> ConnectSettings:
    """Return settings that do not wait long."""
    return ConnectSettings(connect_url=url, connect_tries=4, connect_pause_seconds=0.01)


def test_a_new_connector_takes_its_snapshot_and_runs(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """Neither slot nor publication: Debezium makes both (CD-61, CD-67)."""
    found = deployed()
    assert (found.changed, found.snapshot, found.state.runs) == (True, "initial", True)
    assert worker.config is not None
    assert worker.config["publication.autocreate.mode"] == "filtered"


def test_a_slot_that_is_there_is_gone_on_from(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """What our own engine has read already does not come again, and its publication stays as it is."""
    assert deployed(slot=True, publication=True).snapshot == "no_data"
    assert worker.config is not None
    assert worker.config["publication.autocreate.mode"] == "disabled"


def test_the_same_deployment_twice_puts_nothing(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """A connector that is as it should be is not restarted (CD-67)."""
    deployed(publication=True)
    assert deployed(slot=True, publication=True).changed is False
    assert sum(each.startswith("PUT") for each in worker.asked) == 1


def test_a_snapshot_that_was_begun_stays_debeziums(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """Its slot exists from the beginning; only the connector knows whether every row was read."""
    deployed()
    assert deployed(slot=True, publication=True).snapshot == "initial"


def test_a_failed_connector_can_be_stopped(worker: FakeConnect) -> None:
    """Its task has failed until the worker has seen to the stop: the change to our engine is the cure for a poison."""
    worker.config, worker.tasks, worker.stops_after = {}, ["FAILED"], 2
    with Connect(patience(worker.url)) as client:
        client.stop()
        assert client.wait_until_stopped().stopped


def test_a_stopped_or_failed_connector_is_started(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """Deploying is also the way back."""
    deployed(publication=True)
    worker.state, worker.tasks = "STOPPED", []
    assert deployed(publication=True).state.runs
    worker.tasks = ["FAILED"]
    assert deployed(publication=True).state.runs


def test_a_task_that_fails_is_told_with_its_trace(
    worker: FakeConnect, deployed: Callable[..., Deployed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with what the worker knows, not with a time-out (CD-67)."""
    worker.tasks, worker.trace = ["FAILED"], "org.postgresql.util.PSQLException: no pg_hba.conf entry"
    monkeypatch.setattr(Connect, "restart", lambda _self: None)
    with pytest.raises(CdcError, match=r"no pg_hba\.conf entry") as caught:
        deployed()
    assert caught.value.kind is Kind.CONNECTOR


def test_a_worker_that_comes_up_late_is_waited_for(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """Two answers that it is not ready, then it is."""
    worker.refuse = [503, 503]
    assert deployed().state.runs


def test_a_rebalance_is_waited_for(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """Connect answers 409 while its group rebalances; the request is made again."""
    deployed(publication=True)
    worker.refuse = [200, 409, 409]
    assert deployed(publication=True).changed is False


def test_no_worker_is_an_error_that_names_its_address() -> None:
    """After so many tries, and with the remedy's kind."""
    with (
        Connect(patience("http://127.0.0.1:9")) as nobody,
        pytest.raises(CdcError, match=r"127\.0\.0\.1:9 did not answer in 4 tries") as caught,
    ):
        nobody.wait_until_up()
    assert caught.value.kind is Kind.CONNECT


def test_the_worker_never_hears_the_password(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """What is sent are references (CD-65)."""
    deployed()
    assert "s3cret" not in json.dumps(worker.config)


def test_offsets_are_forgotten_before_their_connector(worker: FakeConnect, deployed: Callable[..., Deployed]) -> None:
    """Otherwise the next connector of the name would begin where this one stopped, and not at the slot."""
    deployed()
    worker.offsets = [{"partition": {"server": "postgres-cdc"}, "offset": {"lsn": 1}}]
    with Connect(patience(worker.url)) as client:
        assert client.offset() == {"lsn": 1}
        client.stop()
        client.wait_until_stopped()
        client.forget()
        assert client.config() is None
    assert worker.asked[-3:-1] == [f"DELETE {PATH}/offsets", f"DELETE {PATH}"]


def test_the_program_tells_a_wrong_call_from_a_refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 for the call or a setting, 1 with the remedy for whatever stops the deployment (CD-67)."""
    monkeypatch.setenv("DATABASE_URL", "no connection string s3cret")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert program.main(["undeploy"]) == 2
    assert program.main(["deploy"]) == 1
    monkeypatch.setenv("CONNECT_URL", "connect:8083")
    assert program.main(["deploy"]) == 2
    told = capsys.readouterr().err
    assert "Correct the setting" in told
    assert "CONNECT_URL" in told
    assert "s3cret" not in told


@pytest.mark.parametrize(("tasks", "code"), [(["RUNNING"], 0), (["FAILED"], 1)])
def test_the_health_of_a_worker_is_whether_its_connector_runs(
    worker: FakeConnect,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tasks: list[str],
    code: int,
) -> None:
    """`check` is content with a worker that has no connector yet, and tells the trace of one that has failed."""
    monkeypatch.setenv("CONNECT_URL", worker.url)
    assert program.main(["check"]) == 0
    worker.config, worker.tasks, worker.trace = {"name": CONNECTOR_NAME}, tasks, "the slot is gone"
    assert program.main(["check"]) == code
    assert ("the slot is gone" in capsys.readouterr().err) == (code == 1)


def test_a_worker_may_ask_its_environment_for_the_credentials_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`worker` prints properties that hold no secret and allow two names (CD-65)."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("DEBEZIUM_DATABASE_PASSWORD", "s3cret")
    monkeypatch.setenv("CONNECT_ADVERTISED_HOST", "connect")
    assert program.main(["worker"]) == 0
    told = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert (told["bootstrap.servers"], told["rest.advertised.host.name"]) == ("kafka:9092", "connect")
    pattern = told["config.providers.env.param.allowlist.pattern"]
    assert re.match(pattern, "DEBEZIUM_DATABASE_PASSWORD")
    assert not re.match(pattern, "PATH")
    assert "s3cret" not in str(told)
