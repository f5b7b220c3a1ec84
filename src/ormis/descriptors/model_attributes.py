"""What a type checker sees of every model besides its fields: `id` and `objects`.

Neither has an annotation in the class that models inherit from, so that a model may declare an `id` of another type and
`objects` of its own class: an annotation would be taken for the type of these as well.
"""

from typing import TYPE_CHECKING, Any, ClassVar, overload

from pydantic import BaseModel

from ..querysets.managers import DefaultManager
from .fields import FieldPath

MYPY = False
"""True to mypy alone."""

if TYPE_CHECKING:

    class AutomaticKey:
        """`id: int | None`; with Any, that of a model may have any other type."""

        @overload
        def __get__(self, record: None, model: Any) -> FieldPath: ...
        @overload
        def __get__(self, record: object, model: Any) -> int | Any | None: ...
        def __get__(self, record: object | None, model: Any) -> Any: ...
        def __set__(self, record: object, value: Any) -> None: ...

    class Identified(BaseModel):
        """Has the annotation, by which constructors take `id=`."""

        id: AutomaticKey = AutomaticKey()

    class ModelAttributes(Identified):
        """The base of Model to a type checker."""

        id = AutomaticKey()
        if MYPY:
            objects: ClassVar = DefaultManager()  # mypy takes `objects: ClassVar[...]` in place of a ClassVar only
        else:
            objects = DefaultManager()
else:
    ModelAttributes = BaseModel
