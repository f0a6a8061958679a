"""Whether what people write about features can be read."""

from __future__ import annotations

from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.features.descriptions import FeatureDescriptionsError, read_feature_descriptions
from quality_assets.domain.quality.check import Answer, Check, subject_of
from quality_assets.stores.warehouse import WarehouseSession


def file_is_read(session: WarehouseSession) -> Answer:
    """Whether the file in force is one that can be read; what stands in the table is checked by its contract."""
    try:
        read_feature_descriptions(session.settings.feature_metadata_path)
    except FeatureDescriptionsError as error:
        stands = "Until it is mended, features keep the owners and objectives that they had."
        return Answer(False, 1.0, 0.0, 1, statement=f"{error}. {stands}")
    return Answer(True, 0.0, 0.0, 0)


DESCRIPTIONS_READ = Check(
    subject_of(FEATURE_DESCRIPTIONS),
    "file_is_read",
    "Can the descriptions of features be read as they were written last?",
    "validity",
    answer=file_is_read,
    severity="WARN",
    finding="{observed} cannot be read",
    unit="file",
    remedy="Mend the file where it says; `quality doctor` reads it as well.",
)
