"""The attributes of a model class for fields and relations: one descriptor for each kind of access.

`Choice.votes` is a `FieldPath`, to be compared in `filter()`; `choice.question` loads the related object on first use;
`question.choices` and `choice.tags` are managers.
"""

from .base import RelationDescriptor, relation_of
from .fields import FieldAttribute, FieldPath, class_field
from .forward import ForwardRelation
from .links import LinkManager, LinkRelation
from .related import RelatedManager
from .reverse import ReverseManager, ReverseOne, ReverseRelation

__all__ = [
    "FieldAttribute",
    "FieldPath",
    "ForwardRelation",
    "LinkManager",
    "LinkRelation",
    "RelatedManager",
    "RelationDescriptor",
    "ReverseManager",
    "ReverseOne",
    "ReverseRelation",
    "class_field",
    "relation_of",
]
