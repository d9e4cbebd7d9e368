"""What a converted weights file says about itself: the keys of its metadata, in one place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fiqa_fast.version import __version__

if TYPE_CHECKING:
    from fiqa_fast.backbones.base import Backbone

NETWORK = "fiqa_fast.network"
BN_STATISTICS = "fiqa_fast.bn_statistics"
ACTIVATION_RANGES = "fiqa_fast.activation_ranges"
INPUT = "fiqa_fast.input"
HEAD = "fiqa_fast.head"
LICENCE = "fiqa_fast.licence"
SOURCE = "fiqa_fast.source"
SOURCE_FILE = "fiqa_fast.source_file"
SOURCE_FORMAT = "fiqa_fast.source_format"
SOURCE_SHA256 = "fiqa_fast.source_sha256"
VERSION = "fiqa_fast.version"
DATE = "fiqa_fast.date"


def describe(backbone: Backbone) -> dict[str, str]:
    """The metadata of a network's file, without what only its user knows about its origin.

    `NETWORK` and `BN_STATISTICS` decide how the file is loaded again; the rest is for people.
    """
    ranges = backbone.activation_ranges
    measured = {} if ranges is None else {ACTIVATION_RANGES: ranges.origin}
    return {
        **measured,
        NETWORK: backbone.spec.name,
        INPUT: str(backbone.spec.input),
        HEAD: backbone.head.kind if backbone.head else "none",
        BN_STATISTICS: backbone.bn_statistics,
        LICENCE: backbone.spec.licence,
        SOURCE_SHA256: backbone.weights_sha256,
        VERSION: __version__,
        DATE: datetime.now(UTC).date().isoformat(),
    }
