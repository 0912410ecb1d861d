"""Networks that edit attributes, exported: translators with a condition."""

from zerosum.export.base import EXPORTING
from zerosum.export.translation import TranslationExport
from zerosum.models.base import Loaded
from zerosum.runs.task import ATTRIBUTE_EDITING


class AttributeEditingExport(TranslationExport):
    """A translator whose card says what a changed picture is no proof of."""

    def limits(self, model: Loaded) -> list[str]:
        """What is common is not what will be."""
        return [
            *super().limits(model),
            "A changed picture shows what is common among the images of that value in the data, not what this person "
            "looked or will look like.",
        ]


EXPORTING.add(ATTRIBUTE_EDITING, AttributeEditingExport())
