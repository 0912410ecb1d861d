"""How well a `caae` run ages drawn portraits, whose truth at every age is known: the same person can be drawn again.

    python -m bench.ageing runs/age --keeps runs/hair --keeps runs/glasses

Takes the first people of the test part to every age of the run, and holds what it makes against those people drawn at
that age (the mean age of the bin). For each classifier of --keeps: how often its answer is that for the drawn truth,
beside how often it is for the face itself in place of what was made (hair turns grey with age, so it need not stay).
"""

import argparse
from pathlib import Path

import numpy as np

from zerosum.data.synthetic.portraits import draw
from zerosum.data.tensors import to_float
from zerosum.metrics.paired import mean_absolute, ssim
from zerosum.models.loading import load_classifier, load_translator
from zerosum.utils.environment import processor


def main() -> None:
    """Print a line a classifier, and the distances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--keeps", type=Path, action="append", default=[])
    parser.add_argument("--people", type=int, default=500)
    options = parser.parse_args()
    model = load_translator(options.run)
    order, size = model.conditions[0], (model.info.shape[0], model.info.shape[1])
    people = range(options.people)
    faces = np.stack([draw(person, size, seed=1).image for person in people])
    eyes = [(path, load_classifier(path)) for path in options.keeps]
    right: dict[Path, tuple[list[float], list[float]]] = {path: ([], []) for path in options.keeps}
    near: tuple[list[float], list[float]] = ([], [])
    alike: tuple[list[float], list[float]] = ([], [])
    for value, centre in zip(order.values, order.centres, strict=True):
        made = model.translate(faces, asked={order.name: value})
        truth = np.stack([draw(person, size, seed=1, change={"age": centre}).image for person in people])
        for path, eye in eyes:
            answers = [np.array(eye.classify(images)) for images in (truth, made, faces)]
            for place in (0, 1):
                right[path][place].append(float((answers[1 + place] == answers[0]).mean()))
        tensors = [to_float(images, model.info) for images in (truth, made, faces)]
        for place in (0, 1):
            near[place].append(float(mean_absolute(tensors[1 + place], tensors[0]).mean()))
            alike[place].append(float(ssim(tensors[1 + place], tensors[0]).mean()))
    print(
        f"{processor()}; {options.people} people at {', '.join(order.values)}; made, and the face itself in its place"
    )
    for name, (made_at, face_at) in {"L1": near, "SSIM": alike, **{str(path): right[path] for path in right}}.items():
        by_value = " ".join(f"{score:.2f}" for score in made_at)
        print(f"{name}: {np.mean(made_at):.3f} ({by_value}); {np.mean(face_at):.3f}")


if __name__ == "__main__":
    main()
