"""zerosum: train, measure, explore and ship generative adversarial networks on your own images.

run = zerosum.train("dcgan", "photos/", images=200_000, out="runs/photos")
model = zerosum.load("runs/photos", task="generate")
images = model.sample(16, seed=0)          # uint8 (16, H, W, C)
"""

from typing import TYPE_CHECKING, Any

from zerosum.utils.threads import limit_spinning

__version__ = "0.1.0"

limit_spinning()  # before anything imports torch

if TYPE_CHECKING:
    from zerosum.data.open import open_dataset
    from zerosum.data.pack.prepare import prepare
    from zerosum.evaluation.compare import compare
    from zerosum.evaluation.evaluate import evaluate
    from zerosum.evaluation.synthetic import synthetic_score
    from zerosum.inference.anomalies.detect import anomalies
    from zerosum.inference.tagging import tag
    from zerosum.inference.translating import translate
    from zerosum.models.classifier import Classifier
    from zerosum.models.generator import Model
    from zerosum.models.loading import load
    from zerosum.models.translator import Translator
    from zerosum.recipes.registry import list_recipes
    from zerosum.training.train import Run, resume, train

__all__ = [
    "Classifier",
    "Model",
    "Run",
    "Translator",
    "__version__",
    "anomalies",
    "compare",
    "evaluate",
    "list_recipes",
    "load",
    "open_dataset",
    "prepare",
    "resume",
    "synthetic_score",
    "tag",
    "train",
    "translate",
]

_HOMES = {
    "Classifier": "zerosum.models.classifier",
    "Model": "zerosum.models.generator",
    "Run": "zerosum.training.train",
    "Translator": "zerosum.models.translator",
    "anomalies": "zerosum.inference.anomalies.detect",
    "compare": "zerosum.evaluation.compare",
    "evaluate": "zerosum.evaluation.evaluate",
    "list_recipes": "zerosum.recipes.registry",
    "load": "zerosum.models.loading",
    "open_dataset": "zerosum.data.open",
    "prepare": "zerosum.data.pack.prepare",
    "resume": "zerosum.training.train",
    "synthetic_score": "zerosum.evaluation.synthetic",
    "tag": "zerosum.inference.tagging",
    "train": "zerosum.training.train",
    "translate": "zerosum.inference.translating",
}


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # for which there is what is imported above, and nothing else

    def __getattr__(name: str) -> Any:
        """Import on first use: `import zerosum` and `zerosum --help` must not wait for torch."""
        if name in _HOMES:
            from importlib import import_module

            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'zerosum' has no attribute {name!r}")
