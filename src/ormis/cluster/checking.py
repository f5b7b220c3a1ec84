"""What check() and reindex() look at between partitions."""

from collections.abc import Sequence

from ..limits import Limits
from ..operations.upkeep.totals import total_report
from ..reports import Report
from ..schema.schema import Schema
from .claims_check import check_claims
from .links_check import check_links
from .partitions import Partitions
from .references_check import check_references
from .side_by_side import Steps


def check_between(schemas: Sequence[Schema], limits: Limits, repair: bool, partitions: Partitions) -> Steps[Report]:
    """Compares the claims of unique values, foreign keys and links with the objects of other partitions; see there."""
    claims = yield from check_claims(schemas, limits, repair, partitions)
    references = yield from check_references(schemas, limits, repair, partitions)
    return total_report([claims, references, (yield from check_links(schemas, limits, repair, partitions))])
