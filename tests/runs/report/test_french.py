"""The report in French: the sentences that Python writes have none of their English words left."""

import json
import re
import subprocess

import pytest

from tests.runs.report.written import sentences
from zerosum.data import layout
from zerosum.data.decode import conform, decoded, deep, heif, images, label_maps, npy_image, pillow, tiff
from zerosum.data.pack import choices, content, findings, packer, pair_packing, prepare
from zerosum.data.sources import (
    archives,
    arrays,
    find,
    folders,
    pages,
    pairing,
    parquet,
    shards,
    split_files,
    stylegan,
    tags,
)
from zerosum.engine.pace import pace_text
from zerosum.engine.watch import Finding, Watch
from zerosum.evaluation import attribute_editing, by_class, evaluate, synthetic
from zerosum.evaluation import classification as classifiers
from zerosum.evaluation import common as parts
from zerosum.evaluation import generation as generators
from zerosum.evaluation import translation as translators
from zerosum.metrics import scores
from zerosum.models import class_diversity as within
from zerosum.recipes import classifier, progressive
from zerosum.runs import checkpoint
from zerosum.runs.report.page import asset
from zerosum.training import data_warnings, setup, workers
from zerosum.training.tasks import unpaired
from zerosum.utils.threads import remark_on_resuming

SENTENCES = [
    (re.compile(english), re.sub(r"\$(\d)", r"\\\1", said)) for english, said in json.loads(asset("sentences.json"))
]
ENGLISH = re.compile(
    r"\b(the|of|is|are|with|its|which|that|and|seen|where|from|as|in|it|here|they|again|or|for|trains?|samples?)\b"
)


ABOUT_DATA = [
    *(sentences(module) for module in (archives, choices, conform, deep, folders, heif, images, label_maps, layout)),
    *(sentences(module) for module in (npy_image, packer, pages, prepare, stylegan, tags, tiff)),
    sentences(arrays, "numpy_source", "_pick"),
    sentences(decoded, without=("mode_words",)),
    sentences(findings, "_warnings", "_value_warnings"),
    sentences(pair_packing, without=("_halves",)),
    sentences(pairing, without=("how_pairs_lie",)),
    sentences(pillow, without=("image_header",)),
    sentences(find, "open_source"),
    sentences(data_warnings, without=("form_text", "shape_text", "side_text", "conditions_text")),
    sentences(scores, "why_unscored"),
    sentences(unpaired, "UnpairedTraining.warnings"),
    sentences(within, "few_text"),
    sentences(classifier, "ClassifierSettings.unreached"),
    sentences(progressive, "ProgressiveSettings.unreached"),
    sentences(setup, "changed_split"),
    sentences(split_files, "files_of_part"),
    sentences(workers, "division_notes"),
    sentences(shards, "shards_source"),
    sentences(parquet, "parquet_source", "_open"),
    sentences(checkpoint, "verify", "newest_intact"),
    {"cropped", "padded"},
]
"""What is written into a report of the data: of a set, or of an image."""
OF_SCORES = [
    sentences(content, "copies_words"),
    sentences(by_class, "_unscored_note", "_worst_note"),
    sentences(attribute_editing, "score_attribute_editing"),
    sentences(classifiers, "score_classifier"),
    sentences(evaluate, "evaluate"),
    sentences(generators, "score_cautions"),
    sentences(parts, "split_notes", "memorisation_note"),
    sentences(synthetic, "synthetic_score", "rarest_class_note"),
    sentences(translators, "score_translator", "score_segmenter", "pair_notes"),
]
"""What `evaluate` warns of, which the report shows beside the scores."""
CONTEXTS = (
    "{}",
    "photos {}",
    "sprites: {}",
    "sprites: its input: {}",
    "tags.csv is ignored: it {}.",
    "The labels of dataset.json are not classes ({}), so the set is read without classes.",
    "Images were converted: {} (7).",
    "The checkpoint 000012800 is damaged ({}) and is skipped.",
)
"""Where parts of sentences stand."""
NOT_SHOWN = {
    *("1.npy in it is not an array", "7.npy in it is not an array", "label map"),  # errors, and a mode in `prepare`
    *("another image", "asked for", "at its own value", "commonest class", "read as"),  # of tables, in words.json
    *("real images", "synthetic images", "recall, balanced_accuracy_1@1", "recall, balanced_accuracy_7@7"),
    *("images edited", "of the data"),
    *("Training on 1: 1 images, 1 seen.", "Training on 7: 7 images, 7 seen."),
}
SHARED = {
    *("alpha", "archive", "art", "augmentation", "bits", "classes", "condition", "conditions", "copies", "distance"),
    *(
        "distances",
        "fd",
        "format",
        "image",
        "images",
        "instances",
        "kid",
        "micro",
        "on",
        "page",
        "pages",
        "palette",
        "phase",
    ),
    *(
        "photos",
        "pixel",
        "pixels",
        "place",
        "points",
        "prepare",
        "psnr",
        "random",
        "scores",
        "segmenter",
        "table",
        "test",
    ),
    *("torchvision", "version", "zerosum"),
}
"""Words that French has, too, and those of commands."""


def french(text: str) -> str:
    for english, said in SENTENCES:
        text = english.sub(said, text)
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
            for seen in range(10_000, 2_000_000, 20_000):
                late = {"grad/generator": 1e-9} if seen > 1_000_000 and "grad/generator" in values else {}
                found += watch.see(seen, values | late)
    watch = Watch(remedies)
    for seen, score in (
        (10_000, 2.0),
        (20_000, 30.0),
        (30_000, 30.0),
        (40_000, 30.0),
        (500_000, 40.0),
        (900_000, 50.0),
    ):
        found += watch.see_score(seen, "eval/fd2k@random", score, 0.7, 20.0)
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
        "Stopped after 64 images; continue with `zerosum resume runs/a`.",
        "SIGTERM received: saving and stopping.",
        "Going on from 12,800 images seen.",
        "dcgan on photos: 4,000 images of 64x64 pixels, 3 channels, uint8, conditioned on hair.",
        "dcgan on photos: 4,000 images of 64x64 pixels, 3 channels, uint8, told hair.",  # of version 0.1
        "segmenter on m: 24 pairs of 64x64 pixels, from 3 channels, uint8 to label maps of 2 classes.",
        "Trains for 200,000 images seen. Adjusted to this length: decay.images=200,000. Learning rate: 0.001 now, "
        "0.0002 at the end.",
        "Trains for 25 epochs, 100,000 images seen. Learning rate: 0.0002 now and at the end.",
        "Trains for 3 min 00 s; schedules, if any, follow the time.",
        pace_text(400, 1000, 100_000, None),
        pace_text(400, 1000, None, 60.0),
        "Trains on 2 threads: other programs use 0.9 of the 2 cores.",
        "Trains on 1 thread, from OMP_NUM_THREADS.",
        "Trains in bf16, channels_last: its convolutions take 12 ms in it here, 31 ms in fp32; 4 of their passes by "
        "matrix products, which is faster here.",
        "Trains in fp32, channels_last; its convolutions were not timed: they are small or few, or the device is no "
        "CPU or CUDA.",
        "There are only 407 images: fewer than 500 are soon memorised.",
        "Images were converted: cropped (403), gray to colour (4).",
        "Images were converted: palette with transparency to RGBA (4), gray+alpha to LA (1), 16-bit CMYK to RGB (2).",
        "4 of 9 images were left out (a.png: damaged: broken PNG file; b.dng: camera raw is not supported; convert it "
        "to JPEG first). report.html names each.",
        "2 files other than images are not read (x/y.txt: not an image file by its name; z: cannot be read: Permission "
        "denied).",
        "The checkpoint 000012800 is damaged (state.pt is missing) and is skipped.",
        "Not enough space for a checkpoint in checkpoints: 41 MB are needed, 3 MB are free. Free some space; earlier "
        "checkpoints are kept.",
        "runs/a was exported without a discriminator, which is initialised randomly. Loaded 12 of 20 tensors from "
        "runs/a (generator 12 of 12, discriminator 0 of 8); new: head.weight, head.bias and others.",
        "Loaded 12 of 20 tensors from runs/a.",
        "From now on this run trains on 1 thread instead of 2: its weights are no longer bit for bit those of an "
        "uninterrupted run.",
        "The run continues without scores at its checkpoints. scores need 128 images or more, and there are 9.",
        "This checkpoint has no score: ValueError.",
        "Training diverged after 64 images: a weight of the generator is not finite. The last good checkpoint is kept. "
        "Train again, into another folder, at a lower learning rate or with another loss; resuming would end the same.",
        remark_on_resuming(4, 2, 0.5),
        remark_on_resuming(2, 2, 1.5),
    ],
)
def test_what_happens_is_said_in_french(text: str) -> None:
    said = french(text)
    assert said != text
    assert not ENGLISH.search(re.sub(r"`[^`]*`|\S*[/=@_]\S*", "", said).lower()), said


def words_left(english: str, said: str) -> set[str]:
    """The words of a text that its translation has, too, but for code, names and what both languages have."""
    code = (
        r"`[^`]*`|zerosum train \w+|pip install \S+|--\w+( \w+)?|\S*[/=@_][\w.]\S*|\w+\.\w\S*|\b[A-Z]\S*|one-hot|"
        r"pillow-heif|sRGB"
    )
    first, second = (
        set(re.findall(r"\b[a-z]{2,}\b", re.sub(code, "", text).lower())) - SHARED for text in (english, said)
    )
    return first if english == said else first & second


def is_said(text: str) -> bool:
    """Whether nothing of a text stays English in one of the places where it may stand."""
    return any(not words_left(context.format(text), french(context.format(text))) for context in CONTEXTS)


def test_what_is_written_of_data_and_of_scores_is_said_in_french() -> None:
    written = set().union(*ABOUT_DATA, *OF_SCORES) - NOT_SHOWN
    assert len(written) > 250
    english = [text for text in sorted(written) if not is_said(text)]
    assert not english, "\n".join(english)


def test_french_is_written_with_the_spaces_and_quotes_of_french() -> None:
    files = "2 files other than images are not read (my notes.txt: not an image file by its name; 0.npy: empty file)."
    said = french(files)
    assert said == (
        "2 fichiers à côté des images ne sont pas lus (my notes.txt\u00a0: d’après son nom, ce n’est pas une "
        "image\u00a0; 0.npy\u00a0: fichier vide)."
    )
    row = "1 row of tags.csv names no image or several; the first is 'nope.png'."
    assert french(row).endswith("ou en nomme plusieurs\u00a0: «\u00a0nope.png\u00a0».")
    unspaced = re.compile(r"[^\s\u00a0] ?[;?!»](?=\s|$)|\w :(?=\s)|« ")
    assert not [said for _, said in SENTENCES if unspaced.search(said)]


def test_a_sentence_without_french_is_found() -> None:
    assert not is_said("7 images were eaten.")
    assert not is_said("no image by its smell")


def test_every_pattern_is_one_for_browsers_too() -> None:
    code = "for (const [english] of JSON.parse(require('fs').readFileSync(0, 'utf8'))) new RegExp(english, 'gu');"
    try:
        subprocess.run(["node", "-e", code], input=asset("sentences.json"), text=True, check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("needs Node")
