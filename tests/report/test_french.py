"""The report in French: the sentences that Python writes have none of their English words left."""

import json
import re
import subprocess

import pytest

from zerosum.engine.pace import pace_text
from zerosum.engine.watch import Finding, Watch
from zerosum.report.page import asset

SENTENCES = json.loads(asset("sentences.json"))
ENGLISH = re.compile(
    r"\b(the|of|is|are|with|its|which|that|and|seen|where|from|as|in|it|here|they|again|or|for|trains?|samples?)\b"
)


def french(text: str) -> str:
    for english, said in SENTENCES:
        text = re.sub(english, re.sub(r"\$(\d)", r"\\\1", said), text)
    return text


def found_by_the_watch() -> list[Finding]:
    """Everything that the watch can say, from its own lines."""
    remedies = {name: f"{name}=1" for name in ("slower", "r1", "gradient", "augment", "more-steps", "constrained")}
    remedies |= {
        f"{speed}-{player}": "optimizer.lr=1"
        for speed in ("slower", "faster")
        for player in ("generator", "discriminator")
    }
    found: list[Finding] = []
    kinds = [
        {"score/real": 0.999, "score/fake": 0.001, "loss/generator/adversarial": 4.0, "grad/generator": 1.0},
        {"score/real": 0.999, "score/fake": 0.001, "loss/generator/adversarial": -0.001},
        {"score/real": 0.5, "score/fake": 0.5},
        {"logits/separation": 12.0, "logits/scale": 900.0},
        {"logits/separation": 0.01, "critic/real": 5000.0, "critic/fake": -5000.0},
        {"health/diversity": 0.05, "health/diversity_within": 0.05, "health/copying": 0.99},
        {"health/diversity": 3.0, "health/diversity_within": 0.9, "health/diversity_within/owl": 0.01},
        {"time/data_wait": 0.6},
    ]
    for values in kinds:
        for critic in (None, 10.0):
            watch = Watch(remedies, critic)
            for images in range(10_000, 2_000_000, 20_000):
                late = {"grad/generator": 1e-9} if images > 1_000_000 and "grad/generator" in values else {}
                found += watch.see(images, values | late)
    watch = Watch(remedies)
    for images, score in (
        (10_000, 2.0),
        (20_000, 30.0),
        (30_000, 30.0),
        (40_000, 30.0),
        (500_000, 40.0),
        (900_000, 50.0),
    ):
        found += watch.see_score(images, "eval/fd2k@random", score, 0.7, 20.0)
    found += watch.conclude(900_000)
    for ends in ((30.0,), (50.0, 26.0)):
        watch = Watch(remedies)
        for place, score in enumerate(ends, start=1):
            watch.see_score(10_000 * place, "eval/fd2k@random", score, 0.7, 20.0)
        found += watch.conclude(10_000 * len(ends))
    return [*found, *Watch({}).see(10, {"loss/generator/adversarial": float("nan")})]


def test_what_the_watch_finds_is_said_in_french() -> None:
    found = found_by_the_watch()
    assert len({finding.kind for finding in found}) >= 12
    texts = {french(part) for finding in found for part in (finding.text, finding.advice)}
    assert not [text for text in texts if ENGLISH.search(re.sub(r"`[^`]*`|\S*[/=@]\S*", "", text).lower())]


@pytest.mark.parametrize(
    "text",
    [
        "Saved 000012800, the best so far.",
        "Saved 000000000.",
        "Done: 12,800 images seen. The report is runs/a/report.html.",
        "Stopped after 64 images; go on with `zerosum resume runs/a`.",
        "SIGTERM received: saving and stopping.",
        "Going on from 12,800 images seen.",
        "dcgan on photos: 4,000 images of 64x64 pixels, 3 channels, uint8, told hair.",
        "segmenter on m: 24 pairs of 64x64 pixels, from 3 channels, uint8 to label maps of 2 classes.",
        "Trains for 200,000 images seen. With it: decay.images=200,000. Learning rate: 0.001 now, 0.0002 at the end.",
        "Trains for 25 epochs, 100,000 images seen. Learning rate: 0.0002 now and at the end.",
        "Trains for 3 min 00 s; schedules that follow the goal follow the time.",
        pace_text(400, 1000, 100_000, None),
        pace_text(400, 1000, None, 60.0),
        "Trains on 2 threads: other programs use 0.9 of the 2 cores.",
        "Trains on 1 thread, as OMP_NUM_THREADS says.",
        "Trains in bf16, channels_last: its convolutions take 12 ms in it here, 31 ms in fp32; 4 of their passes by "
        "matrix products, which is faster here.",
        "Trains in fp32, channels_last; its convolutions were not timed: they are small or few, or the device is no "
        "CPU or CUDA.",
        "There are 407 images in all: fewer than 500 are soon learnt by heart.",
        "Images were converted: cropped (403), gray to colour (4).",
    ],
)
def test_what_happens_is_said_in_french(text: str) -> None:
    said = french(text)
    assert said != text
    assert not ENGLISH.search(re.sub(r"`[^`]*`|\S*[/=@_]\S*", "", said).lower()), said


def test_every_pattern_is_one_for_browsers_too() -> None:
    code = "for (const [english] of JSON.parse(require('fs').readFileSync(0, 'utf8'))) new RegExp(english, 'gu');"
    try:
        subprocess.run(["node", "-e", code], input=asset("sentences.json"), text=True, check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("needs Node")
