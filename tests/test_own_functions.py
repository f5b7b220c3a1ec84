"""Functions that users write: subclasses of `ormis.functions.Function`."""

import inspect
import math
import pickle
import textwrap
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pytest

import ormis
from ormis import Case, F, Field, Q, Value, When
from ormis.functions import Coalesce, Function, Length


class Point(ormis.Model):
    """A point of the plane."""

    x: float
    y: float | None = None
    name: str = ""
    rank: int = Field(default=0, index=True)

    class Meta:
        key = "own_point"


class Hypotenuse(Function):
    """The one of the documentation."""

    output = float

    def evaluate(self, x: float, y: float) -> float:
        """The length."""
        return math.hypot(x, y)


class Initials(Function):
    """A function of texts that takes nulls, with a constructor of its own."""

    output = str
    takes = (str,)
    takes_null = True
    least, most = 1, 2

    def __init__(self, *names: Any, end: str = ".") -> None:
        super().__init__(*names)
        self.end = end

    def evaluate(self, *names: str | None) -> str:
        """The first letters."""
        return "".join(f"{(name or '?')[:1]}{self.end}" for name in names)


class Larger(Function):
    """The type is that of the arguments."""

    def evaluate(self, one: Any, other: Any) -> Any:
        """The larger one."""
        return max(one, other)


class Tagged(Function):
    """The type is said, and converts."""

    output: ClassVar[Any] = Decimal

    def evaluate(self, value: Any) -> Any:
        """A text of the number, or none."""
        return f"{value}.50" if value >= 0 else "none"


class Failing(Function):
    """Raises what it is told."""

    output = int
    error: ClassVar[type[Exception]] = KeyError

    def evaluate(self, value: Any) -> int:
        """Never."""
        raise self.error(str(value))


@pytest.fixture
def points(db: ormis.Database) -> Sequence[Point]:
    """Three points, one of them without y."""
    return Point.objects.bulk_create(
        [Point(x=3, y=4, name="Ann", rank=1), Point(x=0.5, y=0, name="Bob", rank=2), Point(x=6, name="", rank=3)]
    )


@pytest.mark.usefixtures("points")
def test_the_example_of_the_documentation() -> None:
    """The class in the docstring of Function, and the query after it, do what they say."""
    _, _, rest = inspect.cleandoc(Function.__doc__ or "").partition("of which type its values are:\n\n")
    block, _, _ = rest.partition("\n\nIt stands")
    source = textwrap.dedent(block)
    *_, query = source.strip().splitlines()
    names: dict[str, Any] = {"Function": Function, "Point": Point, "math": math}
    exec(source, names)
    assert [(point.x, point.r) for point in eval(query, names)] == [(0.5, 0.5)]
    made = names["Hypotenuse"]("x", "y")
    assert list(Point.objects.order_by("id").values_list(made, flat=True)) == [5.0, 0.5, None]


@pytest.mark.usefixtures("points")
def test_wherever_an_expression_stands() -> None:
    """An own function is used in every method that takes an expression."""
    found = Point.objects.order_by("id")
    assert [point.rank for point in found.annotate(r=Hypotenuse("x", "y")).filter(r__gte=1)] == [1]
    assert [point.rank for point in found.alias(r=Hypotenuse("x", "y")).order_by("-r")] == [1, 2, 3]
    assert [point.rank for point in found.order_by(Hypotenuse("x", "y").desc(nulls_first=True))] == [3, 1, 2]
    assert list(found.filter(x__lt=Hypotenuse("x", "y")).values_list("rank", flat=True)) == [1]
    assert list(found.values("rank", r=Hypotenuse(F("x") * 2, Coalesce("y", 0)) + 1))[2] == {"rank": 3, "r": 13.0}
    assert found.aggregate(s=ormis.Sum(Hypotenuse("x", "y")), m=ormis.Max(Hypotenuse(Point.x, 0))) == {
        "s": 5.5,
        "m": 6.0,
    }
    assert list(found.values(far=Q(rank__gt=1)).annotate(r=ormis.Max(Hypotenuse("x", "y"))).order_by("far")) == [
        {"far": False, "r": 5.0},
        {"far": True, "r": 0.5},
    ]
    assert found.annotate(c=Case(When(rank=1, then=Hypotenuse("x", "y")), default=0.0)).filter(c=5).count() == 1
    assert Point.objects.filter(rank=1).update(y=Hypotenuse("x", "y")) == 1
    assert list(found.values_list("y", flat=True)) == [5.0, 0.0, None]
    assert found.filter(rank=Length(Initials("name"))).count() == 1


@pytest.mark.usefixtures("points")
def test_nulls_and_options() -> None:
    """evaluate() sees absent arguments only if the class says so; a constructor may take options."""
    found = Point.objects.order_by("id")
    assert list(found.values_list(Initials("name", Value(None), end=""), flat=True)) == ["A?", "B?", "??"]
    assert list(found.values_list(Larger("x", "y"), flat=True)) == [4.0, 0.5, None]
    assert found.filter(name__startswith=Initials(Value("Axel"), end="")).count() == 1
    found = found.annotate(r=Hypotenuse("x", "y"))
    copy: Any = pickle.loads(pickle.dumps(found))
    assert [point.r for point in copy] == [5.0, 0.5, None]
    assert Hypotenuse("x", "y") == Hypotenuse("x", "y") != Hypotenuse("y", "x")
    assert str(Hypotenuse("x", F("y") + 1)) == "Hypotenuse(F('x'), F('y') + 1)"


@pytest.mark.usefixtures("points")
def test_the_type_that_is_said() -> None:
    """Results are converted to it, in `output_field` before `output`; one that does not convert is an error."""
    found = Point.objects.order_by("id")
    assert list(found.filter(rank=1).values_list(Tagged("rank"), flat=True)) == [Decimal("1.50")]
    (text,) = found.filter(rank=1).values_list(Tagged("rank", output_field=str), flat=True)
    assert text == "1.50"
    assert found.annotate(t=Tagged("rank")).filter(t__gt="2.1").count() == 2
    with pytest.raises(ormis.FieldError, match=r"Tagged.*is 'none', which is no Decimal"):
        list(found.annotate(t=Tagged(-F("rank"))))
    with pytest.raises(ormis.IntegrityError, match="which is no Decimal"):
        found.update(x=Tagged(-F("rank")))


@pytest.mark.usefixtures("points")
def test_errors_of_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ArithmeticError is an absent result in a query, a ValueError a FieldError, anything else comes as it is."""
    found = Point.objects.filter(rank=1)
    for raised, expected in ((TypeError, ormis.FieldError), (ValueError, ormis.FieldError), (KeyError, KeyError)):
        monkeypatch.setattr(Failing, "error", raised)
        with pytest.raises(expected, match="1"):
            list(found.values_list(Failing("rank")))
    monkeypatch.setattr(Failing, "error", OverflowError)
    assert list(found.values_list(Failing("rank"), flat=True)) == [None]
    for raised in (OverflowError, ValueError, TypeError):
        monkeypatch.setattr(Failing, "error", raised)
        with pytest.raises(ormis.IntegrityError, match=r"Point.rank.*can't be computed"):
            found.update(rank=Failing("rank"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Initials(), r"Initials\(\) takes 1 to 2 arguments, not 0"),
        (lambda: Initials("name", "name", "name"), r"takes 1 to 2 arguments, not 3"),
        (lambda: Initials("x"), "takes str there, and F.'x'. is of the type float"),
        (lambda: Larger("x", "name"), "mixes values of the types float, text"),
        (lambda: Larger("x", "nam"), "did you mean 'name'"),
        (lambda: Larger("x", "y", output_field="float"), "output_field='float': give a Python type"),
    ],
)
def test_refusals(db: ormis.Database, call: Any, message: str) -> None:
    """Other numbers and types of arguments are FieldErrors where they are written."""
    with pytest.raises(ormis.FieldError, match=message):
        Point.objects.annotate(v=call())
