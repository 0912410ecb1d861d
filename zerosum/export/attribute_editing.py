"""Networks that edit attributes, exported: translators with a condition."""

from zerosum.export.base import EXPORTING
from zerosum.export.translation import TranslationExporter
from zerosum.models.base import Loaded
from zerosum.runs.task import ATTRIBUTE_EDITING


class AttributeEditingExporter(TranslationExporter):
    """Exports attribute editing like translation, with a further limitation on the card."""

    def limits(self, model: Loaded) -> list[str]:
        """An edited image is no prediction."""
        return [
            *super().limits(model),
            "An edited image shows what is typical of images with that value in the data, not what this person "
            "looked or will look like.",
        ]


EXPORTING.add(ATTRIBUTE_EDITING, AttributeEditingExporter())
