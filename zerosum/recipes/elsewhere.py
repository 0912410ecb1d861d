"""Names of systems that are no recipes, each with the nearest recipe and its settings. Without torch."""

import re
from collections.abc import Iterable

from zerosum.recipes.overrides import closest
from zerosum.utils.errors import ConfigError

NEAREST: dict[str, tuple[str, ...]] = {
    "gan": ("mlp", "vanilla", "vanillagan", "nsgan", "mmgan"),
    "dcgan loss=wasserstein penalty.clip=0.01 k=5": ("wgan", "wassersteingan"),
    "wgan-gp": ("wgan2", "iwgan", "improvedwgan", "wganlp", "wgandiv", "began", "ebgan", "cramergan", "mmdgan"),
    "lsgan": ("leastsquaresgan",),
    "dcgan penalty.around=10 discriminator.norm=layer": ("dragan",),
    "dcgan loss=relativistic": ("rgan", "ragan", "rsgan", "rasgan", "relativisticgan"),
    "dcgan loss=hinge": ("hingegan", "geometricgan"),
    "dcgan conditional=true discriminator.norm=none": ("cgan", "cdcgan", "conditionalgan", "infogan"),
    "anime": ("acgan", "auxgan"),
    "sngan conditional=true": ("cganpd", "projectiongan", "contragan", "reacgan"),
    "sngan": ("snresnet", "spectralnorm", "ssgan", "logan"),
    "sagan": ("selfattention", "selfattentiongan", "transgan", "gansformer"),
    "sagan conditional=true": ("biggan", "bigganpt", "biggandeep", "sabiggan"),
    "progressive": ("progan", "pggan", "pgan", "progressivegan", "progressivegrowing", "lapgan", "msggan"),
    "r3gan": (
        *("stylegan", "stylegan1", "stylegan2", "stylegan3", "styleganxl", "stylegant", "gigagan", "vqgan"),
        *("vae", "betavae", "autoencoder", "aae", "vaegan", "diffusion", "ddpm", "ddim", "stablediffusion"),
        *("pacgan", "unrolledgan", "veegan", "anogan", "fanogan", "ganomaly"),
    ),
    "r3gan augment=ada": ("stylegan2ada", "styleganada"),
    "r3gan augment=diffaugment": ("fastgan", "lightweightgan", "projectedgan", "ganslimming"),
    "pix2pix make=gray": ("colorgan", "deoldify", "colorization", "colourisation"),
    "pix2pix make=holes": ("contextencoder", "inpainting", "deepfill", "deepfillv2", "lama"),
    "srgan": ("realesrgan", "superresolution", "enhancenet"),
    "srgan preset=esrgan": ("esrgan", "esrganplus"),
    "srgan adversarial=0": ("srresnet", "edsr", "srcnn"),
    "pix2pixhd": ("spade", "gaugan", "vid2vid", "bicyclegan", "pix2pixspade"),
    "cyclegan": ("discogan", "dualgan", "munit", "drit", "ugatit", "cyclegan2", "attentiongan"),
    "cut": ("negcut", "dclgan", "gcgan", "distancegan"),
    "cut preset=fast": ("fastcut",),
    "caae": ("stargan", "starganv2", "attgan", "fadergan", "fadernetworks", "ipcgan"),
    "segmenter": ("unet", "deeplab", "segnet", "fcn"),
    "classifier": ("cnn",),
    "classifier network=resnet20": ("resnet",),
    "classifier network=vgg-small": ("vgg",),
}
"""Recipes with settings, and the names that they are the nearest to, in the form of `plain_name`."""

DIFFERENCES = {
    "vae": "zerosum trains adversarial networks only",
    "diffusion": "zerosum trains adversarial networks only",
    "infogan": "it learns codes without labels; here `zerosum explore RUN directions` finds directions without labels",
    "anogan": "trained on normal images alone; `zerosum anomalies RUN DATA` then finds the others",
    "began": "both bring down a Wasserstein distance, BEGAN that between losses of an autoencoder",
    "stargan": "it changes several attributes of a picture, caae one",
    "biggan": "BigGAN is SAGAN on a larger scale: generator.width, discriminator.width and batch make it larger",
}
"""What is different about the nearest recipe, where its name does not say it."""

ALIKE = {
    "vae": ("betavae", "autoencoder", "aae", "vaegan"),
    "diffusion": ("ddpm", "ddim", "stablediffusion"),
    "anogan": ("fanogan", "ganomaly"),
    "began": ("ebgan",),
    "stargan": ("starganv2", "attgan", "fadergan", "fadernetworks"),
    "biggan": ("bigganpt", "biggandeep", "sabiggan"),
}
"""Further names that `DIFFERENCES` holds for."""


def plain_name(name: str) -> str:
    """A name in lower case and without hyphens: StyleGAN2-ADA is stylegan2ada."""
    return re.sub(r"[-_ ]", "", name.lower())


def nearest_recipe(name: str) -> str | None:
    """The recipe, with settings, that is nearest to a system of this name; None for an unknown name."""
    plain = plain_name(name)
    return next((meant for meant, others in NEAREST.items() if plain in others), None)


def difference(name: str) -> str:
    """What is different about it, as the end of a sentence; empty where there is nothing to say."""
    plain = plain_name(name)
    about = next((one for one, others in ALIKE.items() if plain in others), plain)
    return f" ({DIFFERENCES[about]})" if about in DIFFERENCES else ""


def unknown_recipe(name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is no recipe: the same name in another spelling, the nearest recipe, or a misspelling;
    and all recipes."""
    known = list(known)
    same = [recipe for recipe in known if plain_name(recipe) == plain_name(name)]
    meant = None if same else nearest_recipe(name)
    if meant is None:
        hint = f" (did you mean {same[0]}?)" if same else closest(name, known)
    else:
        recipe, *settings = meant.split()
        command = " ".join(["zerosum train", recipe, "DATA", *settings])
        hint = f"; the nearest is {meant}{difference(name)}: {command}"
    return ConfigError(f"There is no recipe {name!r}{hint}; there are {', '.join(known)}.")
