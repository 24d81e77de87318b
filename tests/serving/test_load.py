# SPDX-License-Identifier: Apache-2.0
"""Many requests at once, and workers that stop, die and come back.

A worker that is stopped by SIGSTOP answers nothing, for as long as a test wants.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import hpip
from tests.pictures import rectangles
from tests.serving.live_server import LiveServer, base64_text, encoded, wait_for

ROUTE = "/instance-segmentation"
GREEN = base64_text(encoded(rectangles(64, 64, green=(8, 8, 40, 32))))
BODY = {"image": GREEN, "visualize": False}


def _in_background(work: Callable[[], httpx.Response]) -> Future[httpx.Response]:
    future: Future[httpx.Response] = Future()
    threading.Thread(target=lambda: future.set_result(work()), daemon=True).start()
    return future


def _pictures(server: LiveServer) -> int:
    return sum(worker["pictures"] for worker in server.status()["workers"])


def _metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_every_client_of_many_gets_its_own_answer(server: LiveServer) -> None:
    """Sizes differ, so that batches mix; the rectangle tells whose answer it is."""

    def ask(number: int) -> None:
        side = (64, 128, 192)[number % 3]
        box = [0, 0, side // 64 * (number % 60 + 1), side // 2]
        picture = rectangles(side, side, red=tuple(box))
        with server.client() as client:
            for visualize in (False, True):
                body = {"image": base64_text(encoded(picture)), "visualize": visualize}
                answer = client.post(ROUTE, json=body)
                assert answer.status_code == 200
                (instance,) = answer.json()["result"]["instances"]
                assert instance["bbox"] == box

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(60)))


def test_metrics_count_what_happened(server: LiveServer, client: httpx.Client) -> None:
    names = {
        "good": f'hpip_requests_total{{route="{ROUTE}",status="200"}}',
        "bad": f'hpip_requests_total{{route="{ROUTE}",status="422"}}',
        "other": 'hpip_requests_total{route="other",status="404"}',
        "infer": 'hpip_stage_seconds_count{stage="infer"}',
        "decode": 'hpip_stage_seconds_count{stage="decode"}',
        "batches": "hpip_batch_size_count",
        "seconds": f'hpip_request_seconds_count{{route="{ROUTE}"}}',
    }
    before = {key: _metric(client, name) for key, name in names.items()}
    client.post(ROUTE, json=BODY)
    client.post(ROUTE, json={"images": [GREEN, GREEN]})
    client.post(ROUTE, json={})
    client.get("/secret/path")
    rise = {key: _metric(client, name) - before[key] for key, name in names.items()}
    expected = {"good": 2, "bad": 1, "other": 1, "infer": 3, "decode": 3, "batches": 3}
    assert rise == {**expected, "seconds": 3}
    assert _metric(client, "hpip_queue_depth") == 0
    assert _metric(client, "hpip_worker_ready") == 2
    text = client.get("/metrics").text
    assert 'model="tiny-boxes"' in text
    assert "secret" not in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(line.startswith("hpip_") for line in samples)


@pytest.mark.slow
def test_pictures_of_one_size_share_a_run_with_the_same_answers() -> None:
    photo = (Path(hpip.__file__).parent / "demo" / "scene_0013.jpg").read_bytes()
    body = {"image": base64_text(photo), "visualize": False}
    flags = ("--model", "demo", "--device", "cpu", "--max-batch-size", "4")
    with (
        LiveServer(*flags, "--batch-timeout-ms", "200", HPIP_TUNE_BUDGET_S="0") as server,
        server.wait_until_ready().client() as client,
    ):
        alone = client.post(ROUTE, json=body).json()["result"]
        together = client.post(ROUTE, json={"images": [body["image"]] * 8, "visualize": False})
        assert together.json()["result"]["results"] == [alone] * 8
        assert _metric(client, "hpip_batch_size_count") == 9
        assert _metric(client, "hpip_batch_size_sum") > 9


def test_access_log_has_one_line_per_request(server: LiveServer, client: httpx.Client) -> None:
    client.post(ROUTE, json={**BODY, "logId": "log-test-1"})
    client.post(ROUTE, json={"image": "x", "logId": "log-test-2 {}"})
    client.get("/health")
    good, bad = wait_for(
        lambda: (
            found
            if len(
                found := [line for line in server.access_log if "log-test" in str(line["logId"])]
            )
            == 2
            else None
        ),
        10,
    )
    assert (good["status"], good["method"], good["path"]) == (200, "POST", ROUTE)
    assert {"queue", "decode", "infer", "encode"} <= set(good["stagesMs"])
    assert bad["status"] == 422
    assert "base64" in bad["error"]
    assert not [line for line in server.access_log if line["path"] == "/health"]


def test_full_queue_gets_503_and_when_to_come_again(
    strict_server: LiveServer, strict_client: httpx.Client
) -> None:
    strict_server.signal_workers(signal.SIGSTOP)
    # The worker holds three pictures, and three may wait.
    held = [
        _in_background(lambda: strict_client.post(ROUTE, json={"images": [GREEN] * 3}))
        for _ in range(2)
    ]
    wait_for(lambda: strict_server.status()["queueDepth"] == 3)
    refused = strict_client.post(ROUTE, json=BODY)
    strict_server.signal_workers(signal.SIGCONT)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert "queue is full" in refused.json()["errorMsg"]
    assert [future.result(30).status_code for future in held] == [200, 200]


def test_late_answer_is_504_and_what_waited_is_dropped(
    strict_server: LiveServer, strict_client: httpx.Client
) -> None:
    strict_server.signal_workers(signal.SIGSTOP)
    held = [
        _in_background(lambda: strict_client.post(ROUTE, json={"images": [GREEN] * 3}))
        for _ in range(2)
    ]
    answers = [future.result(30) for future in held]
    depth = strict_server.status()["queueDepth"]
    strict_server.signal_workers(signal.SIGCONT)
    assert [answer.status_code for answer in answers] == [504, 504]
    assert "1.5 s" in answers[0].json()["errorMsg"]
    assert depth == 0
    wait_for(lambda: strict_server.status()["readyWorkers"] and not _pictures(strict_server))


def test_worker_that_hangs_is_replaced(
    strict_server: LiveServer, strict_client: httpx.Client
) -> None:
    restarts = strict_server.status()["workers"][0]["restarts"]
    strict_server.signal_workers(signal.SIGSTOP)
    assert strict_client.post(ROUTE, json=BODY).status_code == 504
    wait_for(lambda: strict_server.status()["workers"][0]["restarts"] > restarts)
    strict_server.wait_until_ready()
    assert strict_client.post(ROUTE, json=BODY).status_code == 200


def test_client_that_leaves_cancels_what_has_not_started(server: LiveServer) -> None:
    server.signal_workers(signal.SIGSTOP)
    try:
        places = sum(worker["capacity"] for worker in server.status()["workers"])
        # Both workers' hands and 2 places of the queue.
        count = places // 2 + 1
        body = httpx.Request("POST", server.url, json={"images": [GREEN] * count}).content
        connections = [socket.create_connection(server.address, 10) for _ in range(2)]
        for connection in connections:
            head = f"POST {ROUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: server.status()["queueDepth"] == 2)
        for connection in connections:
            connection.close()
        wait_for(lambda: server.status()["queueDepth"] == 0)
    finally:
        server.signal_workers(signal.SIGCONT)
    wait_for(lambda: _pictures(server) == 0)
    left = wait_for(lambda: [line for line in server.access_log if line["status"] == 499], 10)
    assert len(left) == 2


def test_dead_worker_is_replaced_and_its_requests_are_tried_again(server: LiveServer) -> None:
    (restarts,) = {worker["restarts"] for worker in server.status()["workers"]}
    server.signal_workers(signal.SIGSTOP)
    with server.client() as client, server.client() as other:
        first = _in_background(lambda: client.post(ROUTE, json=BODY))
        second = _in_background(lambda: other.post(ROUTE, json=BODY))
        wait_for(lambda: _pictures(server) == 2)
        server.signal_workers(signal.SIGSEGV)
        server.signal_workers(signal.SIGCONT)
        wait_for(lambda: server.status()["readyWorkers"] == 0)
        unready = client.get if first.done() else httpx.get
        status = unready(f"{server.url}health/ready").status_code
        answers = [first.result(60), second.result(60)]
    assert status == 503
    for answer in answers:
        assert answer.status_code == 200
        assert answer.json()["result"]["instances"][0]["bbox"] == [8, 8, 40, 32]
    server.wait_until_ready(2)
    assert [worker["restarts"] for worker in server.status()["workers"]] == [restarts + 1] * 2


@pytest.mark.slow
def test_picture_that_kills_two_workers_gets_502(tiny_model_dir: Path) -> None:
    """Whatever kills the workers: here it is us, whenever one holds a picture."""
    flags = ("--model_dir", str(tiny_model_dir), "--no-hpip", "--device", "cpu")
    large = base64_text(encoded(rectangles(4096, 4096, green=(0, 0, 64, 64))))
    with LiveServer(*flags) as server, server.wait_until_ready().client() as client:
        answer = _in_background(lambda: client.post(ROUTE, json={"image": large}))
        for restarts in range(2):
            wait_for(lambda n=restarts: _restarts(server) == n and _pictures(server))
            server.signal_workers(signal.SIGKILL)
        assert answer.result(60).status_code == 502
        assert "worker" in answer.result().json()["errorMsg"]
        assert client.post(ROUTE, json=BODY).status_code == 200


def _restarts(server: LiveServer) -> int:
    restarts: int = server.status()["workers"][0]["restarts"]
    return restarts


def test_sigterm_finishes_what_was_accepted(tiny_model_dir: Path) -> None:
    flags = ("--model_dir", str(tiny_model_dir), "--no-hpip", "--device", "cpu")
    with LiveServer(*flags) as server, server.wait_until_ready().client() as client:
        server.signal_workers(signal.SIGSTOP)
        answers = [
            _in_background(lambda: httpx.post(server.url + ROUTE[1:], json=BODY, timeout=60))
            for _ in range(5)
        ]
        wait_for(lambda: server.status()["queueDepth"] == 2)
        workers = server.worker_pids()
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: _refuses(server.url))
        server.signal_workers(signal.SIGCONT)
        assert [answer.result(60).status_code for answer in answers] == [200] * 5
        client.close()
        assert server.wait() == 0
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def _refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}health", timeout=5)
    except httpx.ConnectError:
        return True
    except (httpx.ReadError, httpx.RemoteProtocolError):
        # The listener closed between this connection's arrival and its acceptance.
        return False
    return False


def test_model_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    with LiveServer("--model_dir", str(tmp_path / "none")) as server:
        assert server.wait() == 1
        text = "".join(server.messages)
    assert "error: " in text
    assert "none" in text
    assert "Traceback" not in text


def test_requests_before_the_model_is_there_get_503(tiny_model_dir: Path) -> None:
    flags = ("--model_dir", str(tiny_model_dir), "--no-hpip")
    with LiveServer(*flags) as server, server.client() as client:
        # Importing Paddle alone takes the worker longer than these requests.
        ready, answer = client.get("/health/ready"), client.post(ROUTE, json=BODY)
        alive = client.get("/health")
        workers = wait_for(server.worker_pids)
    assert (ready.status_code, ready.json()["state"]) in ((503, "starting"), (503, "loading"))
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert alive.status_code == 200
    # The server was killed: its worker ends by itself.
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.slow
def test_readiness_tells_of_tuning(tmp_path: Path) -> None:
    variables = {"HPIP_CACHE_DIR": str(tmp_path), "HPIP_TUNE_BUDGET_S": "10"}
    with LiveServer("--model", "demo", "--device", "cpu", **variables) as server:
        tuning = wait_for(lambda: status if (status := server.status())["detail"] else None)
        server.wait_until_ready()
    assert tuning["state"] == "tuning"
    assert 0 <= tuning["progress"] < 1
    assert tuning["readyWorkers"] == 0


def test_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with LiveServer("--model", "demo", "--port", port) as server:
            assert server.wait() == 1
            assert f"port {port}" in "".join(server.messages)


def test_paddlex_flags_and_the_serving_section(tiny_model_dir: Path, tmp_path: Path) -> None:
    """`hpip --serve --pipeline my.yaml`, as PaddleX has it; flags win over the file."""
    file = tmp_path / "my.yaml"
    file.write_text(
        "pipeline_name: instance_segmentation\n"
        "SubModules: {InstanceSegmentation: {model_name: tiny-boxes, "
        f"model_dir: {tiny_model_dir}, threshold: 0.95}}}}\n"
        "use_hpip: false\ndevice: cpu\n"
        "Serving: {visualize: false, port: 1, max_queue: 7, extra: {x: 1}}\n"
    )
    flags = ("--serve", "--pipeline", str(file), "--host", "127.0.0.1")
    with LiveServer(*flags, command=()) as server, server.wait_until_ready().client() as client:
        result = client.post(ROUTE, json={"image": GREEN}).json()["result"]
        assert result == {"instances": []}
        assert client.post(ROUTE, json={"images": [GREEN] * 16}).status_code == 503
    broken = tmp_path / "broken.yaml"
    broken.write_text(file.read_text().replace("max_queue: 7", "max_queue: no"))
    with LiveServer("--serve", "--pipeline", str(broken), command=()) as server:
        assert server.wait() == 1
        assert "max_queue" in "".join(server.messages)
