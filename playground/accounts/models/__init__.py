"""People's keys and groups, and what requests cost."""

from ..digests import digest_of
from .groups import Group, Invitation, Membership, Quota
from .keys import ApiKey
from .records import UsageRecord
from .sums import HouseSum, UsageSum

__all__ = [
    "ApiKey",
    "Group",
    "HouseSum",
    "Invitation",
    "Membership",
    "Quota",
    "UsageRecord",
    "UsageSum",
    "digest_of",
]
