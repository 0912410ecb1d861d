"""Diversity within classes: one image for each class is a collapse that all classes together hide."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zerosum
from zerosum.data.conditioning.conditioning import condition_on
from zerosum.data.dataset import Dataset
from zerosum.data.open import open_dataset
from zerosum.data.settings import PackSettings
from zerosum.engine.players import GeneratorSpec, System
from zerosum.engine.scorer import Scorer
from zerosum.evaluation.evaluate import evaluate
from zerosum.models.class_diversity import FEWEST, MOST_CLASSES, DiversityWithin, match_conditions, select_classes
from zerosum.runs.folder import read_lines
from zerosum.training.tasks.generation import DIVERSITY_WITHIN, varied_within

KINDS = ("cat", "dog", "owl")


def made_set(folder: Path, counts: dict[str, int], side: int = 8) -> Path:
    """Noise about another gray for each class."""
    rng = np.random.default_rng(0)
    labels = [kind for kind, count in counts.items() for _ in range(count)]
    level = np.array([60 * (1 + list(counts).index(label) % 3) for label in labels])
    images = (level[:, None, None, None] + rng.normal(0, 15, (len(labels), side, side, 1))).clip(0, 255)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "set.npz", images=images.astype(np.uint8), labels=np.array(labels))
    return folder / "set.npz"


def opened(path: Path) -> Dataset:
    return condition_on(open_dataset(str(path), (8, 8), PackSettings()), ())


class Told(nn.Module):
    """Makes of the condition a gray, and of the latent some noise about it, by class."""

    def __init__(self, noise: list[float]) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.tensor(noise))

    def forward(self, latent: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        level = condition @ torch.linspace(-0.5, 0.5, condition.shape[1])
        spread = condition @ self.noise
        return level[:, None, None, None] + spread[:, None, None, None] * latent.view(-1, 1, 8, 8)


def latents(seeds: range) -> torch.Tensor:
    return torch.stack([torch.randn(64, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def test_a_class_that_repeats_one_image_is_found_by_name(tmp_path: Path) -> None:
    data = opened(made_set(tmp_path, dict.fromkeys(KINDS, 30)))
    spread = 2 * 15 / 255
    system = System(Told([spread, 0.0, spread]), list, GeneratorSpec(latents))
    found = DiversityWithin(system, data, seed=0)(system.network, 0)
    assert list(found) == list(KINDS)
    assert found["dog"] == 0
    assert found["cat"] == pytest.approx(1, abs=0.1)
    assert found["owl"] == pytest.approx(1, abs=0.1)


def test_classes_of_other_data_are_those_of_the_generator_by_name(tmp_path: Path) -> None:
    """The generator repeats one image of a dog, and knows no yak."""
    known = opened(made_set(tmp_path / "known", dict.fromkeys(KINDS, 30)))
    data = match_conditions(opened(made_set(tmp_path, dict.fromkeys(("dog", "owl", "yak"), 30))), known.info.conditions)
    spread = 2 * 15 / 255
    system = System(Told([spread, 0.0, spread]), list, GeneratorSpec(latents))
    within = DiversityWithin(system, data, seed=0)
    found = within(system.network, 0)
    assert found.keys() == {"dog", "owl"}
    assert found["dog"] == 0
    assert found["owl"] == pytest.approx(1, abs=0.1)
    assert within.few == {"cat": 0}


def test_it_is_a_function_of_its_seed_and_leaves_the_stream_of_random_numbers(tmp_path: Path) -> None:
    data = opened(made_set(tmp_path, dict.fromkeys(KINDS, 30)))
    system = System(Told([0.1, 0.1, 0.1]), list, GeneratorSpec(latents))
    before = torch.random.get_rng_state()
    one, other = (DiversityWithin(system, data, seed=3)(system.network, 0) for _ in range(2))
    assert one == other
    assert torch.equal(before, torch.random.get_rng_state())
    assert DiversityWithin(system, data, seed=4)(system.network, 0) != one


def test_every_class_gets_the_same_latents(tmp_path: Path) -> None:
    """So that classes differ by the generator and not by chance."""
    data = opened(made_set(tmp_path, dict.fromkeys(KINDS, 30)))
    system = System(Told([0.1, 0.1, 0.1]), list, GeneratorSpec(latents))
    measured = DiversityWithin(system, data, seed=0)
    cat, dog, owl = measured._samples(system.network, 0)
    torch.testing.assert_close(cat - cat.mean(), dog - dog.mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(cat - cat.mean(), owl - owl.mean(), atol=1e-5, rtol=0)


def test_a_value_with_too_few_images_is_named_and_not_looked_at(tmp_path: Path) -> None:
    data = opened(made_set(tmp_path, {"cat": 30, "dog": FEWEST, "owl": FEWEST - 1}))
    classes, few = select_classes(data, 0)
    assert [one.name for one in classes] == ["cat", "dog"]
    assert few == {"owl": FEWEST - 1}


def test_of_many_classes_the_commonest_and_the_rarest_are_looked_at(tmp_path: Path) -> None:
    counts = {f"k{place:02d}": FEWEST + place for place in range(MOST_CLASSES + 8)}
    data = opened(made_set(tmp_path, counts))
    looked = [one.name for one in DiversityWithin(System(Told([0.0]), list, GeneratorSpec(latents)), data, 0).classes]
    assert len(looked) == len(set(looked)) == MOST_CLASSES
    assert looked[0] == f"k{MOST_CLASSES + 7:02d}"
    assert looked[-1] == "k00"


def test_of_attributes_every_condition_is_held(tmp_path: Path) -> None:
    """So that a generator that makes one image for each combination is found, too."""
    data = condition_on(open_dataset("builtin:portraits:600", (8, 8), PackSettings()), ("hair", "glasses"))
    classes, _ = select_classes(data, 0)
    assert {one.name.split("=")[0] for one in classes} == {"hair", "glasses"}
    assert data.conditions is not None
    for one in classes:
        assert (data.conditions[one.rows] == np.array(one.indices)).all()
    assert len({one.indices for one in classes}) >= len(classes) - 1  # one of no glasses may have none left


def test_a_value_stands_with_its_commonest_company_that_stands_for_no_other(tmp_path: Path) -> None:
    counts = {("x", "p"): 20, ("x", "q"): 12, ("y", "p"): 10, ("y", "q"): 11, ("z", "p"): FEWEST - 1, ("z", "q"): 2}
    rows = [pair for pair, count in counts.items() for _ in range(count)]
    for n in range(len(rows)):
        Image.new("L", (8, 8), n).save(tmp_path / f"{n:02d}.png")
    lines = ["file,first,second", *(f"{n:02d}.png,{a},{b}" for n, (a, b) in enumerate(rows))]
    (tmp_path / "tags.csv").write_text("\n".join(lines))
    data = condition_on(open_dataset(str(tmp_path), (8, 8), PackSettings()), ("first", "second"))
    classes, few = select_classes(data, 0)
    values = [condition.values for condition in data.info.conditions]
    found = {one.name: tuple(held[place] for held, place in zip(values, one.indices, strict=True)) for one in classes}
    assert found == {"first=x": ("x", "p"), "first=y": ("y", "q"), "second=p": ("y", "p"), "second=q": ("x", "q")}
    assert [len(one.rows) for one in classes] == [20, 12, 11, 10]
    assert few == {"first=z": FEWEST - 1}


def test_a_checkpoint_that_has_collapsed_within_classes_is_not_the_best_unless_all_have() -> None:
    scorer = Scorer(lambda network, images: ({}, {}), "eval/fd", higher=False, sound=varied_within)
    lines = [(5.0, 0.9), (1.0, 0.05), (4.0, 0.8), (0.5, 0.1)]
    best = None
    for images, (score, within) in enumerate(lines):
        one = scorer.candidate(images, {"eval/fd": score, DIVERSITY_WITHIN: within})
        assert one is not None
        best = one if scorer.better(one, best) else best
    assert best is not None
    assert best["score"] == 4.0
    first, second = (scorer.candidate(n, {"eval/fd": v, DIVERSITY_WITHIN: 0.05}) for n, v in ((0, 2.0), (1, 1.0)))
    assert first is not None
    assert second is not None
    assert scorer.better(second, first)
    assert scorer.better({"images": 2, "name": "eval/fd", "score": 0.1}, {"images": 1, "name": "eval/fd", "score": 1.0})


TINY = {
    "size": "8",
    "batch": 8,
    "images": 64,
    "every": {"log": 32, "sample": 64, "checkpoint": 64},
    "generator": {"width": 4},
    "discriminator": {"width": 4},
    "device": "cpu",
    "precision": "fp32",
}


def test_training_logs_it_and_evaluate_has_a_row_for_each_class(tmp_path: Path) -> None:
    data = made_set(tmp_path, {"cat": 40, "dog": 40, "owl": 9})
    run = zerosum.train("dcgan", data, out=tmp_path / "run", conditional=True, score={"images": 20}, **TINY)
    last = [line for line in read_lines(run.path / "stats.jsonl") if "health/diversity_within" in line][-1]
    each = [last[f"health/diversity_within/{kind}"] for kind in KINDS]
    assert last["health/diversity_within"] == pytest.approx(np.mean(each))
    scored = list(read_lines(run.path / "evaluation.jsonl"))[-1]
    assert scored[DIVERSITY_WITHIN] == pytest.approx(last["health/diversity_within"])
    assert scored["reference"].keys() == {"eval/fd20@random"}
    found = evaluate(run.path, str(data), n=44)
    assert list(found["per_class"]) == list(KINDS)
    for kind in ("cat", "dog"):
        row = found["per_class"][kind]
        assert row["images"] >= 10
        assert 0 <= row["precision"] <= 1
        assert 0 <= row["recall"] <= 1
        assert row["diversity"] is not None
    assert found["per_class"]["owl"]["precision"] is None
    others = made_set(tmp_path / "others", {"dog": 40, "owl": 40})
    rows = evaluate(run.path, str(others), n=40)["per_class"]
    assert [name for name, row in rows.items() if row["diversity"] is not None] == ["dog", "owl"]
    assert rows["cat"]["images"] == 0
    notes = " ".join(found["warnings"])
    assert "owl (" in notes
    assert "The class with the lowest recall is" in notes


def test_a_generator_that_is_told_nothing_has_the_recall_of_each_class(tmp_path: Path) -> None:
    data = made_set(tmp_path, {"cat": 40, "dog": 40})
    run = zerosum.train("dcgan", data, out=tmp_path / "run", score={"images": 0}, **TINY)
    found = evaluate(run.path, str(data), n=40)
    assert list(found["per_class"]) == ["cat", "dog"]
    assert set(found["per_class"]["cat"]) == {"images", "recall", "real images, recall"}


def test_a_value_that_is_too_rare_is_named_when_the_run_begins(tmp_path: Path) -> None:
    data = made_set(tmp_path, {"cat": 40, "dog": 40, "owl": 3})
    run = zerosum.train("dcgan", data, out=tmp_path / "run", conditional=True, score={"images": 0}, **TINY)
    said = [event["text"] for event in read_lines(run.path / "events.jsonl") if event["kind"] == "warning"]
    assert any("is not measured for owl (3)" in text for text in said)
