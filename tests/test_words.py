"""README and CONTRIBUTING are true: their commands run as written, but for the number of images."""

import os
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from PIL import Image

import zerosum
from tests.nn.networks.reference_code import BATCH, residual, trained, u_net
from zerosum.cli.main import app, known_options
from zerosum.recipes import registry
from zerosum.recipes.catalog import catalog

ROOT = Path(zerosum.__file__).parent.parent
LENET = "classifier photos/ size=64 network=lenet5 --images 256"
FEWER = {
    "classifier photos/ size=64": LENET,
    "200000": "128",
    "400000": "192",
    "200_000": "128",
    "0-999": "0-9",
    "generator.width=64": "generator.width=8 discriminator.width=8",
}
LESS = {  # of the commands that ask a generator for something
    "photos/ conditional=true": "photos/ conditional=true size=16 network.width=8 --images 128",
    "builtin:portraits size=32": "builtin:portraits:150 size=16 generator.width=8 generator.blocks=1 --images 128",
    "--label cat": "--label dark",
    "unsorted/": "photos/",
}
PAIRED_LESS = {
    "pix2pix pairs/": "pix2pix pairs/ size=64 generator.width=4 discriminator.width=4 --images 16",
    "pix2pix photos/": "pix2pix photos/ size=64 generator.width=4 discriminator.width=4 --images 16",
    "pix2pixhd builtin:portraits": "pix2pixhd builtin:portraits:40 network.width=4 discriminator.width=4 --images 8",
    "segmenter builtin:portraits": "segmenter builtin:portraits:40 width=4 --images 32",
    "evaluate runs/painted builtin:portraits": "evaluate runs/painted builtin:portraits:40",
}
UNPAIRED_LESS = {
    "cyclegan two-folders/": "cyclegan two-folders/ size=16 generator.width=4 generator.blocks=1 "
    "discriminator.layers=1 discriminator.width=4 --images 4",
    "cut two-folders/": "cut two-folders/ size=16 generator.width=4 generator.blocks=1 discriminator.layers=1 "
    "discriminator.width=4 --images 4",
    "cut photos/": "cut photos/ size=16 generator.width=4 generator.blocks=1 discriminator.layers=1 "
    "discriminator.width=4 --images 4",
}
ANOMALIES_LESS = {
    "r3gan normal/": "r3gan normal/ network.width=4 --images 32",
    "anomalies runs/normal": "anomalies runs/normal --images 64",
}
SHARP_LESS = {
    "srgan photos/": "srgan photos/ size=32 generator.width=4 generator.blocks=1 discriminator.width=4 --images 16",
}
AGED_LESS = {
    "caae faces/": "caae faces/ network.width=4 discriminator.width=4 --images 32",
    "caae parts/": "caae parts/ network.width=4 discriminator.width=4 --images 32",
    "dcgan few/": "dcgan few/ generator.width=4 discriminator.width=4 --images 64",
    "r3gan few/": "r3gan few/ size=64 network.width=4 --images 64",
}


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def smaller(text):
    for long, short in FEWER.items():
        text = text.replace(long, short)
    return text


@pytest.fixture
def photos(tmp_path):
    """A user's folder: JPEG photos of two classes and of different sizes, larger than 64 pixels."""
    rng = np.random.default_rng(0)
    for i in range(70):
        folder = tmp_path / "photos" / ("dark" if i % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        size = (80 + i % 7, 100 - i % 5, 3)
        Image.fromarray(rng.integers(0, 120 if i % 2 else 255, size, dtype=np.uint8)).save(folder / f"{i}.jpg")
    return tmp_path


@pytest.fixture
def run_line(command, tmp_path, monkeypatch):
    """Runs a line of a page in the user's folder, where it must print something. In this process: to start one takes
    longer than most of the commands."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        program, *arguments = shlex.split(line, comments=True)
        assert program == "zerosum"
        code, output, errors = command(*arguments)
        assert code == 0, f"{line}\n{errors}"
        assert output

    return run


def test_the_example_of_the_readme_is_what_mypy_reads():
    """`model.sample` was an error to type checkers, as `load` may return a classifier."""
    (example,) = blocks("README.md", "python")
    assert (ROOT / "tests/readme_example.py").read_text("utf-8").endswith(f'"""\n\n{example}')
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["files"]
    assert "tests/readme_example.py" in checked


def test_a_source_distribution_has_what_make_test_needs():
    """Its own tests failed in it: they read the benchmarks and the Makefile."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["sdist"]
    needed = {
        "zerosum",
        "tests",
        "examples",
        "tools",
        "bench",
        "docs",
        "web",
        "Makefile",
        "constraints.txt",
        ".ci",
        "README.md",
        "CONTRIBUTING.md",
        "CITATION.cff",
        ".pre-commit-config.yaml",
        ".github",
    }
    assert needed <= set(build["include"])
    assert all((ROOT / name).exists() for name in needed)


@pytest.fixture
def quick_doctor(monkeypatch):
    """`zerosum doctor` times a DCGAN of a quarter of the width."""
    recipe, narrow = registry.get_recipe("dcgan"), {"generator": {"width": 16}, "discriminator": {"width": 16}}
    small = SimpleNamespace(configure=lambda values: recipe.configure(narrow), bf16=recipe.bf16, build=recipe.build)
    monkeypatch.setattr("zerosum.training.doctor.get_recipe", lambda name: small)


@pytest.mark.slow
def test_the_commands_of_the_readme(photos, quick_doctor, run_line):
    training, scoring = [block.splitlines() for block in blocks("README.md", "sh") if "prepare" in block]
    assert (len(training), len(scoring)) == (8, 6)
    for line in [*training, *scoring]:
        if "compare" in line:
            shutil.copytree(photos / "runs/photos", photos / "runs/others")
        run_line(smaller(line))
    (asking,) = [block.splitlines() for block in blocks("README.md", "sh") if "--label" in block]
    assert len(asking) == 6
    for line in asking:
        for long, short in LESS.items():
            line = line.replace(long, short)
        run_line(line)
    assert len(list((photos / "cats").iterdir())) == 64
    assert (photos / "photos/tags.csv").read_text().startswith("file,class")
    with Image.open(photos / "hair.png") as sweep, Image.open(photos / "ginger.png") as ginger:
        assert sweep.width > ginger.width
    with Image.open(photos / "grid.png") as grid:
        assert grid.size[0] > 8 * 64
    assert len(list((photos / "folder").iterdir())) == 10
    assert (photos / "compare.html").exists()
    assert (photos / "preview.png").exists()


@pytest.mark.slow
def test_the_commands_of_the_readme_to_explore_and_export(photos, run_line):
    run_line(
        "zerosum train dcgan photos/ --out runs/photos --images 128 size=32 generator.width=4 discriminator.width=4"
    )
    shutil.copy(next((photos / "photos" / "dark").iterdir()), photos / "photo.jpg")
    (lines,) = [block.splitlines() for block in blocks("README.md", "sh") if "explore" in block]
    assert len(lines) == 8
    for line in lines:
        run_line(line.replace("projected/", "projected/ --starts 2 --steps 5").replace("120", "12"))
    assert {"walk.mp4", "sum.png", "projected", "directions.png", "directions.safetensors"} <= set(os.listdir(photos))
    assert zerosum.load(photos / "shared").sample(4, seed=0).shape == (4, 32, 32, 3)


@pytest.mark.slow
def test_the_commands_of_the_readme_for_pairs(tmp_path, run_line):
    rng = np.random.default_rng(0)
    for folder in ("pairs", "drawings", "photos"):
        (tmp_path / folder).mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{i}.jpg")
        Image.fromarray(rng.integers(0, 255, (64, 128, 3), dtype=np.uint8)).save(tmp_path / "pairs" / f"{i}.jpg")
        Image.fromarray(rng.integers(0, 255, (50 + i, 70, 3), dtype=np.uint8)).save(tmp_path / "drawings" / f"{i}.png")
    Image.fromarray(rng.integers(0, 9, (64, 64), dtype=np.uint8)).save(tmp_path / "label.png")
    torch.save(u_net(3, 3, BATCH, False).state_dict(), tmp_path / "latest_net_G.pth")
    (lines,) = [block.splitlines() for block in blocks("README.md", "sh") if "pix2pix" in block]
    assert len(lines) == 8
    for line in lines:
        for long, short in PAIRED_LESS.items():
            line = line.replace(long, short)
        run_line(line)
    assert {path.name for path in (tmp_path / "coloured").iterdir()} == {f"{i}.png" for i in range(12)}
    with Image.open(tmp_path / "coloured/3.png") as made, Image.open(tmp_path / "sheet.png") as sheet:
        assert made.size == (70, 53)
        assert sheet.width > 9 * 64
    assert zerosum.load(tmp_path / "runs/theirs").recipe.name == "pix2pix"


@pytest.mark.slow
def test_the_commands_of_the_readme_without_pairs(photos, run_line):
    draw = np.random.default_rng(0)
    for domain, high in (("A", 120), ("B", 255)):
        (photos / "two-folders" / domain).mkdir(parents=True)
        for i in range(100):
            pixels = draw.integers(0, high, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / "two-folders" / domain / f"{domain}{i}.png")
        torch.save(trained(residual(3, 3, 4, 2, 6)).state_dict(), photos / f"latest_net_G_{domain}.pth")
    (lines,) = [block.splitlines() for block in blocks("README.md", "sh") if "train cyclegan" in block]
    assert len(lines) == 6
    for line in lines:
        for long, short in UNPAIRED_LESS.items():
            line = line.replace(long, short)
        run_line(line)
    assert len(list((photos / "there").rglob("*.png"))) == 70
    assert zerosum.load(photos / "runs/lighter").info.classes == ("dark", "light")
    assert zerosum.load(photos / "runs/others").recipe.name == "cyclegan"


@pytest.mark.slow
def test_the_commands_of_the_readme_for_anomalies(tmp_path, run_line):
    rng = np.random.default_rng(0)
    for folder, count in (("normal", 40), ("unseen", 100), ("parts", 3)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / folder / f"{i}.png")
    shutil.copy(tmp_path / "parts/0.png", tmp_path / "part.jpg")
    (lines,) = [block.splitlines() for block in blocks("README.md", "sh") if "zerosum anomalies" in block]
    assert len(lines) == 3
    for line in lines:
        for long, short in ANOMALIES_LESS.items():
            line = line.replace(long, short)
        run_line(line)
    assert len(list((tmp_path / "found/maps").iterdir())) == 3
    assert (tmp_path / "normal-anomalies/found.csv").is_file()


@pytest.mark.slow
def test_the_commands_of_the_readme_for_super_resolution(photos, run_line):
    Image.fromarray(np.full((9, 13, 3), 80, np.uint8)).save(photos / "small.png")
    (lines,) = [block.splitlines() for block in blocks("README.md", "sh") if "train srgan" in block]
    assert len(lines) == 3
    for line in lines:
        for long, short in SHARP_LESS.items():
            line = line.replace(long, short)
        run_line(line)
    with Image.open(photos / "large.png") as large:
        assert large.size == (52, 36)


@pytest.mark.slow
def test_the_commands_of_the_readme_for_ages_and_few_images(tmp_path, run_line):
    rng = np.random.default_rng(0)
    for folder in ("faces", "parts", "few"):
        (tmp_path / folder).mkdir()
    for i in range(30):
        image = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
        image.save(tmp_path / "faces" / f"{3 * i}_{i % 2}_0_201701091505573{i:02}.jpg")
        image.save(tmp_path / "parts" / f"{i}.png")
        image.save(tmp_path / "few" / f"{i}.png")
    image.save(tmp_path / "face.jpg")
    rows = [f"{i}.png,{('new', 'used', 'worn')[i % 3]}" for i in range(30)]
    (tmp_path / "parts/tags.csv").write_text("\n".join(["file,wear", *rows]))
    zerosum.train(
        "r3gan", tmp_path / "few", out=tmp_path / "runs/portraits", images=16, size="64", **{"network.width": 4}
    )
    aging, few = [
        block.splitlines() for block in blocks("README.md", "sh") if "caae" in block or "augment=ada" in block
    ]
    assert (len(aging), len(few)) == (4, 2)
    for line in [*aging, *few]:
        for long, short in AGED_LESS.items():
            line = line.replace(long, short)
        run_line(line)
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(tmp_path / "older.png") as older:
        assert sheet.width > 10 * older.width
    assert zerosum.load(tmp_path / "runs/wear").conditions[0].values == ("new", "used", "worn")


@pytest.mark.slow
def test_the_python_of_the_readme(photos, monkeypatch):
    monkeypatch.chdir(photos)
    (code,) = blocks("README.md", "python")
    names = {}
    exec(smaller(code).replace('out="runs', 'generator={"width": 8}, discriminator={"width": 8}, out="runs'), names)
    assert names["images"].shape == (16, 64, 64, 3)


def test_adding_a_system_as_contributing_says(pictures_file, tmp_path, monkeypatch):
    (code,) = blocks("CONTRIBUTING.md", "python")
    registry.list_recipes()  # what is imported from now on is forgotten with the patch
    monkeypatch.setattr(registry, "_RECIPES", dict(registry._RECIPES))
    exec(compile(code, "dragan.py", "exec"), {"__name__": "dragan"})
    run = zerosum.train("dragan", pictures_file, out=tmp_path / "run", images=64, size="8", generator={"width": 8})
    assert run.model().sample(2).shape == (2, 8, 8, 1)


def test_no_page_has_a_gap_to_fill():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        gaps = re.findall(r"^(?:RESULTS|TODO|TBD)\b.*|\bCOV\b|\bPARAMS\b", page.read_text("utf-8"), re.MULTILINE)
        assert not gaps, f"{page.name} still says {gaps[0]}"


def test_links_between_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_files_that_design_notes_cite_are_there():
    pages = sorted((ROOT / "docs/design").glob("*.md"))
    index = (ROOT / "docs/design/README.md").read_text("utf-8")
    for page in pages:
        text = page.read_text("utf-8")
        if page.name != "README.md":
            assert f"| {text.partition(chr(10))[0].removeprefix('# ')} | [{page.name}]({page.name}) |" in index
        for cited in re.findall(r"`((?:zerosum|tests|bench|docs)/[\w./-]+)`", text):
            assert (ROOT / cited).exists(), f"{page.name} cites {cited}, which is not there"


def glossary():
    """Its rows: term, French, meaning."""
    rows = (ROOT / "docs/glossary.md").read_text("utf-8").splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows if row.startswith("| ")][1:]


def test_the_glossary_has_each_term_once_with_its_french():
    rows = glossary()
    assert len(rows) > 80
    assert all(len(row) == 3 and all(row) and row[2].endswith(".") for row in rows)
    terms = [term.casefold().replace("-", " ") for term, _, _ in rows]
    assert terms == sorted(set(terms))
    assert all("docs/glossary.md" in (ROOT / page).read_text("utf-8") for page in ("README.md", "CONTRIBUTING.md"))


def exists(name, options, commands):
    """Whether a name in code type is a recipe, a setting, a command with its option, or a file."""
    if name.startswith("zerosum "):
        command, *flags = name.split()[1:]
        return command in commands and all(flag in commands[command] for flag in flags)
    if "/" in name:
        return (ROOT / name).is_file()
    key, _, value = name.partition("=")
    return name in catalog() or (key in options and (not value or value in options[key]))


def test_names_in_the_glossary_exist():
    options = {}
    for entry in catalog().values():
        for option in entry["options"]:
            options.setdefault(option["key"], set()).update(option["choices"] or [])
    commands = {**known_options(typer.main.get_command(app)), "explore": {}}
    for term, _, meaning in glossary():
        for name in re.findall(r"`([^`]+)`", meaning):
            assert exists(name, options, commands), f"{term}: there is no {name}"
        for page, anchor in re.findall(r"\]\(([\w/.-]+)#([\w-]+)\)", meaning):
            headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{term}: {page} has no section {anchor}"
