"""The pages of examples/ run as written, and Algorithm 1 in plain PyTorch ends with the engine's weights."""

import http.client
import json
import re
import runpy
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from zerosum.data.tensors import to_float
from zerosum.recipes import registry
from zerosum.runs.checkpoint import load_state, newest_intact

ROOT = Path(zerosum.__file__).parent.parent
PAGES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
SMALL = "builtin:portraits:60"


def names_of(page):
    """What a page defines, without running its main."""
    return runpy.run_path(str(ROOT / "examples" / f"{page}.py"), run_name=page)


@pytest.fixture
def run_page(tmp_path, monkeypatch, capsys):
    """Runs a page as `python examples/PAGE.py ...` does, in an empty folder; returns what it printed."""

    def run(page, *arguments):
        monkeypatch.chdir(tmp_path)
        path = str(ROOT / "examples" / f"{page}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def own_registry(monkeypatch):
    """A recipe that a page registers is forgotten after the test."""
    registry.list_recipes()  # what is imported from now on is forgotten with the patch
    monkeypatch.setattr(registry, "_RECIPES", dict(registry._RECIPES))


@pytest.mark.parametrize("loss", ["non-saturating", "minimax"])
def test_algorithm_1_in_plain_pytorch_gives_the_weights_of_the_engine_to_the_bit(tmp_path, loss):
    """Seven steps of k = 2 over more than two epochs, from another seed than the usual."""
    data = zerosum.open_dataset(SMALL, (8, 8))
    page = names_of("algorithm1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    networks = page["train"](to_float(data.images, data.info), 7, 2, 10, 3, loss == "minimax")
    torch.set_num_threads(threads)
    run = zerosum.train(
        "gan",
        SMALL,
        out=tmp_path / "run",
        steps=7,
        seed=3,
        device="cpu",
        precision="fp32",
        threads=1,
        listeners=[],
        size="8",
        batch=10,
        discriminator_steps=2,
        loss=loss,
        ema_half_life=0,
        generator={"hidden": (256, 256), "latent": "normal", "latent_dim": page["LATENT_DIM"]},
        discriminator={"kind": "leaky", "hidden": (256, 256)},
        optimizer={"name": "adam", "lr": 5e-4},
        marginals=False,
        half_discriminator_loss=False,
        augment="none",
        score={"images": 0},
    )
    players = load_state(newest_intact(run.path / "checkpoints", pytest.fail))["players"]
    for network, name in zip(networks, ("generator", "discriminator"), strict=True):
        ours, theirs = list(network.state_dict().values()), list(players[name]["module"].values())
        assert len(ours) == 6
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other), f"{name}: {(mine - other).abs().max()}"


def test_algorithm_1_shows_its_samples(run_page):
    said = run_page("algorithm1", "--data", SMALL, "--size", 8, "--steps", 100, "--batch", 4, "--minimax")
    assert re.search(r"step +100 +V\(D, G\) = -\d", said)
    with Image.open("runs/algorithm1.png") as sheet:
        assert len(sheet.getcolors(10_000)) > 50


def test_a_new_gan_trains_samples_and_is_loaded(run_page, own_registry):
    small = ["size=8", "units=4", "batch=8", "spread=0.5", "score.images=0"]
    said = run_page("new_gan", "--data", SMALL, "--images", 32, "--out", "runs/new", *small)
    assert "runs/new/report.html" in said
    lines = [json.loads(line) for line in Path("runs/new/stats.jsonl").read_text().splitlines()]
    logged = next(line for line in lines if "spread/ratio" in line)
    assert logged["loss/generator/spread"] == pytest.approx(0.5 / logged["spread/ratio"], rel=0.2)
    with Image.open("runs/new/grid.png") as sheet:
        assert sheet.width > 8 * 48
    model = zerosum.load("runs/new", task="generate")
    assert (model.settings.loss, model.settings.spread) == ("hinge", 0.5)
    assert np.array_equal(model.sample(1, seed=5)[0], model.sample(6)[5])


def test_without_its_term_the_new_gan_is_the_plain_game(run_page, own_registry):
    small = ["size=8", "units=4", "batch=8", "spread=0", "score.images=0"]
    run_page("new_gan", "--data", SMALL, "--images", 16, "--out", "runs/plain", *small)
    assert "spread" not in Path("runs/plain/stats.jsonl").read_text()


def test_a_loop_of_ones_own_trains_and_scores(run_page):
    small = ["--data", SMALL, "--size", 8, "--steps", 100, "--batch", 4, "--scored", 40]
    said = run_page("custom_loop", *small)
    assert re.search(r"step +100 +D \d", said)
    assert "40 images a side, features random:" in said
    rows = re.findall(r"(generated|real, not trained on) +Fréchet distance +([\d.]+)", said)
    distances = {name: float(value) for name, value in rows}
    assert 0 < distances["real, not trained on"] < distances["generated"]
    with Image.open("runs/custom_loop.png") as sheet:
        assert sheet.width > 8 * 48


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A tiny conditional run, its folder, and the service of it on a free port."""
    folder = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(0)
    for label in ("dark", "light"):
        (folder / "photos" / label).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{i}.png")
    run = zerosum.train(
        "gan",
        folder / "photos",
        out=folder / "run",
        images=16,
        batch=8,
        size="8",
        conditional=True,
        generator={"hidden": (8,)},
        discriminator={"hidden": (4,)},
        score={"images": 0},
        precision="fp32",
        threads=1,
        listeners=[],
    )
    page = names_of("service")
    with serving(page["Service"](zerosum.load(run.path, task="generate"), "127.0.0.1", 0)) as service:
        yield service


@contextmanager
def serving(service):
    with service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        yield service
        service.shutdown()
        thread.join()


def asked(service, target, method="GET"):
    """The status, type and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.server_port, timeout=30)
    connection.putrequest(method, target, skip_host=not target.startswith("/"))
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], body


def test_the_service_answers_with_a_picture_of_the_model(served):
    status, kind, body = asked(served, "/sample?seed=3&n=4&label=light")
    assert (status, kind) == (200, "image/png")
    with Image.open(BytesIO(body)) as picture:
        sheet = np.asarray(picture)
    expected = names_of("service")["grid"](served.model.sample(4, seed=3, label="light"), 2, 2)
    assert np.array_equal(sheet, np.asarray(expected))
    assert asked(served, "/sample")[0] == 200
    status, kind, body = asked(served, "/")
    assert (status, kind) == (200, "application/json")
    about = json.loads(body)
    assert (about["recipe"], about["shape"], about["labels"]) == ("gan", [8, 8, 3], ["dark", "light"])


@pytest.mark.parametrize(
    ("target", "status", "word"),
    [
        ("/sample?n=0", 400, "from 1 to 64"),
        ("/sample?n=65", 400, "from 1 to 64"),
        ("/sample?n=1.5", 400, "whole number"),
        ("/sample?n=%D9%A3", 400, "whole number"),  # a digit of another script
        ("/sample?n=" + "9" * 5000, 400, "whole number"),
        ("/sample?seed=-1", 400, "from 0"),
        ("/sample?seed=", 400, "seed"),
        ("/sample?seed=1&seed=2", 400, "twice"),
        ("/sample?seeds=1", 400, "'seeds'"),
        ("/sample?seed", 400, "form"),
        ("/sample?" + "&".join(f"a{i}=1" for i in range(50)), 400, "form"),
        ("/sample?label=cat", 400, "dark"),
        ("/../run/config.yaml", 404, "/sample"),
        ("/sample/", 404, "/sample"),
        ("http://[/sample", 400, "address"),
    ],
)
def test_the_service_says_what_is_wrong_with_a_question(served, target, status, word):
    found, kind, body = asked(served, target)
    assert (found, kind) == (status, "application/json")
    sentence = json.loads(body)["error"]
    assert word in sentence
    assert len(sentence) < 300


def test_the_service_only_answers_get(served):
    assert asked(served, "/sample", "POST")[0] == 501
    assert asked(served, "/sample")[0] == 200


def test_many_may_ask_the_service_at_once(served, monkeypatch):
    """Each gets what it asked for, and the model works for one at a time."""
    alone = {seed: asked(served, f"/sample?seed={seed}") for seed in range(4)}
    sample, working, most = type(served.model).sample, [], []

    def watched(model, *given, **more):
        working.append(1)
        most.append(len(working))
        time.sleep(0.002)
        images = sample(model, *given, **more)
        working.pop()
        return images

    monkeypatch.setattr(type(served.model), "sample", watched)
    with ThreadPoolExecutor(8) as clients:
        seeds = [place % 4 for place in range(24)]
        answers = list(clients.map(lambda seed: asked(served, f"/sample?seed={seed}"), seeds))
    assert answers == [alone[seed] for seed in seeds]
    assert len({answer[2] for answer in answers}) == 4
    assert max(most) == 1


def test_a_failure_of_the_model_stays_in_the_log_of_the_service(served, monkeypatch, capsys):
    def fail(*asked, **options):
        raise RuntimeError("secret /home/someone")

    monkeypatch.setattr(type(served.model), "sample", fail)
    status, kind, body = asked(served, "/sample")
    assert (status, kind) == (500, "application/json")
    assert b"secret" not in body
    assert "secret" in capsys.readouterr().err


def test_the_service_starts_from_the_command_line(run_page, served, monkeypatch, tmp_path):
    def until_interrupted(service):
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", until_interrupted)
    run = next(path for path in Path(served.model.info.source).parent.iterdir() if path.name == "run")
    said = run_page("service", run, "--port", 0)
    assert re.match(r"http://127\.0\.0\.1:\d+/sample\?seed=3&n=4 .*\nEnded\.\n$", said)
    with pytest.raises(SystemExit, match="nothing"):
        run_page("service", tmp_path / "nothing")
    with pytest.raises(SystemExit, match=r"(?i)in use"):
        run_page("service", run, "--port", served.server_port)


def test_the_service_without_a_model_trains_one(run_page, monkeypatch):
    served = []

    def until_interrupted(service):
        served.append(service.about())
        raise KeyboardInterrupt

    train = zerosum.train
    monkeypatch.setattr(zerosum, "train", lambda *asked, **more: train(*asked, **more | {"images": 64}))
    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", until_interrupted)
    assert "Ended." in run_page("service", "--port", 0)
    assert [about["shape"] for about in served] == [(16, 16, 3)]


def test_every_page_has_its_row_and_its_command():
    text = (ROOT / "examples/README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\) \|.*`python examples/\1\.py", text, re.MULTILINE)
    assert sorted(rows) == PAGES
    for page in PAGES:
        assert f"python examples/{page}.py" in (ROOT / "examples" / f"{page}.py").read_text("utf-8")


def test_pages_are_type_checked_with_the_package():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert "examples" in tool["mypy"]["files"]
