"""Errors for what a field of a class is not: a value, an expression, an object with the methods of another library."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import hint_for, shown
from ..planning.names import parts_of
from ..query.lookups import LOOKUPS

_INSTEAD: dict[str, str] = {
    "in_": "Q({path}__in={value})",
    "not_in": "~Q({path}__in={value})",
    "notin_": "~Q({path}__in={value})",
    "is_": "{field} == {value}",
    "is_not": "{field} != {value}",
    "isnot": "{field} != {value}",
    "between": "Q({path}__range=(low, high))",
    "like": "Q({path}__contains=...), __startswith or __endswith",
    "ilike": "Q({path}__icontains=...), __istartswith or __iendswith",
    "regexp_match": "Q({path}__regex={value})",
    "lower": "Q({path}__iexact=...), which compares without case",
    "upper": "Q({path}__iexact=...), which compares without case",
    "desc": 'order_by("-{path}"), or F("{path}").desc()',
    "asc": 'order_by("{path}"), or F("{path}").asc()',
}
"""In place of methods that fields have in other libraries."""
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**"}


class NoValue:
    """What a field in a condition can't do, each with what to write instead."""

    __slots__ = ()
    _path: str

    if not TYPE_CHECKING:  # a checker refuses all of these by itself

        def __call__(self, *arguments: Any, **_options: Any) -> NoReturn:
            """Always an error: fields have no methods."""
            raise TypeError(_called(self, arguments))

        def __getitem__(self, at: Any) -> NoReturn:
            raise TypeError(f"{self!r} is a field in a condition, not a value: read an object, and take [{shown(at)}]")

        def __iter__(self) -> NoReturn:
            raise TypeError(f"{self!r} is a field in a condition, not a value: read an object to go through its values")

        def __len__(self) -> NoReturn:
            raise TypeError(f"{self!r} is a field in a condition, not a value: read an object to have its length")

        def __contains__(self, value: Any) -> NoReturn:
            raise TypeError(
                f"{self!r} is a field in a condition, not a value: write a lookup in place of `in`, "
                f"Q({self._path}__contains={shown(value)}) for a part of a text"
            )

        def __and__(self, other: Any) -> NoReturn:
            raise TypeError(
                f"{self!r} is a field, not a condition: compare it before it is joined, as in "
                f"({self!r} == ...) & ({shown(other)})"
            )

        __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = __and__

        def __invert__(self) -> NoReturn:
            raise TypeError(f"{self!r} is a field, not a condition: compare it, as in {self!r} == False")

        def __neg__(self) -> NoReturn:
            raise TypeError(
                f'{self!r} is a field in a condition: order by "-{self._path}", compute with -F("{self._path}")'
            )

        def __abs__(self) -> NoReturn:
            raise TypeError(f'{self!r} is a field in a condition: compute with F("{self._path}")')

        __pos__ = __round__ = __abs__


def _called(path: Any, arguments: tuple[Any, ...]) -> str:
    *before, name = parts_of(path._path)
    if not before:
        return f"{path!r} is a field, not a method: queries begin with {path._model.__name__}.objects"
    inner = "__".join(before)
    field = f"{path._model.__name__}.{'.'.join(before)}"
    value = shown(arguments[0]) if arguments else "..."
    if name in LOOKUPS:
        instead = f"write Q({inner}__{name}={value}), or filter({inner}__{name}={value})"
    elif name in _INSTEAD:
        instead = f"write {_INSTEAD[name].format(path=inner, field=field, value=value)}"
    else:
        instead = f"write a lookup, as in Q({inner}__iexact={value}): {hint_for(name, LOOKUPS)}"
    return f"{field} is a field in a condition and has no method {name}(): {instead}"


def _refusing(sign: str, reflected: bool) -> Callable[[Any, Any], NoReturn]:
    def refuse(self: Any, other: Any) -> NoReturn:
        other = f'F("{other._path}")' if isinstance(other, NoValue) else shown(other)
        computed = f'F("{self._path}")'
        sides = (other, computed) if reflected else (computed, other)
        raise TypeError(f"{self!r} is a field in a condition: compute with {f' {sign} '.join(sides)}")

    return refuse


for _name, _sign in _SIGNS.items():
    setattr(NoValue, f"__{_name}__", _refusing(_sign, False))
    setattr(NoValue, f"__r{_name}__", _refusing(_sign, True))
