"""A portrait: everything that is drawn, from back to front."""

from zerosum.data.synthetic.portraits import colours
from zerosum.data.synthetic.portraits.body import body
from zerosum.data.synthetic.portraits.features import beard, brow, eye, glasses, head, lines_of_age, mouth, nose
from zerosum.data.synthetic.portraits.hair import hair_behind, hair_in_front
from zerosum.data.synthetic.portraits.measures import Measures
from zerosum.data.synthetic.portraits.scene import Scene
from zerosum.data.synthetic.portraits.traits import Traits


def portrait(traits: Traits) -> Scene:
    """The scene for a person with these traits."""
    scene = Scene(colours.BACKGROUND[traits.background], (128 + traits.x, 126 + traits.y), traits.scale, traits.tilt)
    measures = Measures.of(traits)
    hair_behind(scene, measures)
    body(scene, measures)
    head(scene, measures)
    lines_of_age(scene, measures)
    nose(scene, measures)
    beard(scene, measures)
    mouth(scene, measures)
    for side in (-1, 1):
        eye(scene, measures, side)
        brow(scene, measures, side)
    hair_in_front(scene, measures)
    glasses(scene, measures)
    return scene
