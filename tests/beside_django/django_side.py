"""The models in Django on SQLite in memory, and programs on them, as the semantics of ormis say them in SQL.

Where ormis differs on purpose, the program is said so that Django means the same: negations and the sides of `^` are
conditions on the key, objects come once, text lookups are functions of Python, and so are `/` and `%`.
"""

import functools
import operator
import re
from typing import Any

import django
from django.apps import AppConfig
from django.conf import settings

LABEL = "beside"


class BesideConfig(AppConfig):
    """The application of the models."""

    name = "beside_django"
    label = LABEL


settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[f"{__name__}.BesideConfig"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    TIME_ZONE="UTC",
)
django.setup()

from django.db import connection, models, transaction  # noqa: E402 - after settings.configure()
from django.db.models.expressions import RawSQL  # noqa: E402

from .schema import MODELS, end_of, leads_to_many, relations_of  # noqa: E402
from .terms import Arithmetic, Call, Chain, Combined, Condition, Field, Joined, Lookup, Ordered, Stored, lookups  # noqa: E402

FIELDS: dict[str, Any] = {
    "text": lambda **o: models.CharField(max_length=100, **o),
    "int": models.BigIntegerField,
    "float": models.FloatField,
    "decimal": lambda **o: models.DecimalField(max_digits=12, decimal_places=2, **o),
    "bool": models.BooleanField,
    "date": models.DateField,
    "datetime": models.DateTimeField,
    "time": models.TimeField,
    "timedelta": models.DurationField,
}


def _declared(name: str) -> Any:
    spec = MODELS[name]
    body: dict[str, Any] = {"__module__": __name__}
    for field, column in spec.columns.items():
        body[field] = FIELDS[column.kind](
            null=column.null, unique=column.unique or column.primary_key, primary_key=column.primary_key
        )
    for field, relation in spec.to_one.items():
        target = "self" if relation.target == name else f"{LABEL}.{relation.target}"
        kind = models.OneToOneField if relation.unique else models.ForeignKey
        body[field] = kind(
            target,
            getattr(models, relation.on_delete),
            null=relation.null,
            related_name=relation.related,
        )
    for field, relation in spec.to_many.items():
        target = "self" if relation.target == name else f"{LABEL}.{relation.target}"
        options: dict[str, Any] = {} if relation.symmetrical else {"related_name": relation.related}
        if relation.through:
            options["through"] = f"{LABEL}.{relation.through}"
        elif relation.target == name:
            options["symmetrical"] = relation.symmetrical
        body[field] = models.ManyToManyField(target, **options)
    meta: dict[str, Any] = {"app_label": LABEL, "ordering": [*spec.ordering]}
    if spec.together:
        meta["constraints"] = [models.UniqueConstraint(fields=spec.together, name=f"{name}_together")]
    body["Meta"] = type("Meta", (), meta)
    return type(models.Model)(name, (models.Model,), body)


DJANGO = {name: _declared(name) for name in MODELS}
_TEXT: dict[str, Any] = {
    "contains": lambda own, value: value in own,
    "startswith": lambda own, value: own.startswith(value),
    "endswith": lambda own, value: own.endswith(value),
    "icontains": lambda own, value: value.casefold() in own.casefold(),
    "istartswith": lambda own, value: own.casefold().startswith(value.casefold()),
    "iendswith": lambda own, value: own.casefold().endswith(value.casefold()),
    "iexact": lambda own, value: own.casefold() == value.casefold(),
    "regex": lambda own, value: re.search(value, own) is not None,
    "iregex": lambda own, value: re.search(value, own, re.IGNORECASE) is not None,
}


def _register_text_lookup(name: str) -> None:
    class TextLookup(models.Lookup):
        lookup_name = f"ormis_{name}"
        prepare_rhs = False

        def as_sql(self, compiler: Any, connection: Any) -> Any:
            left, left_values = self.process_lhs(compiler, connection)
            right, right_values = self.process_rhs(compiler, connection)
            return f"ormis_{name}({left}, {right})", [*left_values, *right_values]

    for field in (models.CharField, models.BigIntegerField, models.BigAutoField):
        field.register_lookup(TextLookup)


def _safe(test: Any) -> Any:
    return lambda own, value: None if own is None or value is None else test(str(own), str(value))


def _computed(function: Any) -> Any:
    return lambda one, other: None if one is None or other is None or not other else function(one, other)


def _set_up() -> None:
    for name in _TEXT:
        _register_text_lookup(name)
    connection.ensure_connection()
    for name, test in _TEXT.items():
        connection.connection.create_function(f"ormis_{name}", 2, _safe(test), deterministic=True)
    connection.connection.create_function("ormis_div", 2, _computed(operator.truediv), deterministic=True)
    connection.connection.create_function("ormis_mod", 2, _computed(operator.mod), deterministic=True)
    with connection.schema_editor() as editor:
        for model in DJANGO.values():
            editor.create_model(model)


_set_up()
LINKS = [
    (name, own, DJANGO[name]._meta.get_field(own).remote_field.through)
    for name, spec in MODELS.items()
    for own, relation in spec.to_many.items()
    if not relation.through
]


def clear() -> None:
    """Removes all rows, and lets keys begin with 1 again."""
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for model in [*DJANGO.values(), *(through for _, _, through in LINKS)]:
            cursor.execute(f'DELETE FROM "{model._meta.db_table}"')
        cursor.execute("DELETE FROM sqlite_sequence")


def forget(name: str, pk: Any) -> None:
    """Removes a row to which nothing refers, and its links."""
    for owner, own, through in LINKS:
        for side in (owner, MODELS[owner].to_many[own].target):
            if side == name:
                for key in through._meta.fields:
                    if key.remote_field and key.related_model is DJANGO[name]:
                        through.objects.filter(**{key.name: pk}).delete()
    DJANGO[name].objects.filter(pk=pk)._raw_delete("default")


def _expanded(model: str, term: Any) -> list[Any]:
    """A term of an order; the name of a relation as the order of the related model."""
    if not isinstance(term, str):
        return [term]
    sign, name = ("-", term[1:]) if term.startswith("-") else ("", term)
    path = relations_of(model, name)
    if "__".join(path) != name:
        return [term]
    target = end_of(model, path)
    inner = [item for own in MODELS[target].ordering or ("pk",) for item in _expanded(target, own)]
    return [f"{'-' if item.startswith('-') != bool(sign) else ''}{name}__{item.removeprefix('-')}" for item in inner]


class DjangoSide:
    """Runs programs in Django."""

    models = DJANGO

    def value(self, value: Any, model: str = "") -> Any:
        """A value of a program as Django takes it."""
        if isinstance(value, Stored):
            return DJANGO[value.model].objects.get(pk=value.pk)
        if isinstance(value, Field | Arithmetic):
            return self.expression(value)
        if isinstance(value, Chain):
            return self.chain(value, inside=True)
        if isinstance(value, Lookup | Joined):
            return self.condition(model, value)
        if isinstance(value, Ordered):
            options = {None: {}, True: {"nulls_first": True}, False: {"nulls_last": True}}[value.nulls_first]
            expression = self.expression(value.expression)
            return expression.desc(**options) if value.descending else expression.asc(**options)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        return value

    def expression(self, value: Any) -> Any:
        """An expression."""
        if isinstance(value, Field):
            return models.F(value.name)
        if not isinstance(value, Arithmetic):
            return value if isinstance(value, models.Expression | models.F) else models.Value(value)
        left, right = self.expression(value.left), self.expression(value.right)
        if value.operator in "/%":
            name = "ormis_div" if value.operator == "/" else "ormis_mod"
            return models.Func(left, right, function=name, output_field=models.FloatField())
        return {"+": operator.add, "-": operator.sub, "*": operator.mul}[value.operator](left, right)

    def condition(self, model: str, condition: Condition) -> Any:
        """A condition."""
        if isinstance(condition, Lookup):
            name, value = condition.name, condition.value
            last = name.rpartition("__")[2]
            if last == "iexact" and value is None:
                return models.Q(**{name: None})
            if last == "in" and isinstance(value, list) and any(isinstance(item, Field) for item in value):
                # Each on its own: SQL would join the relations of the expressions in a way that drops objects.
                return functools.reduce(
                    operator.or_, (models.Q(**{name.removesuffix("__in"): self.value(item)}) for item in value)
                )
            if last in _TEXT:
                name = f"{name.removesuffix(last)}ormis_{last}"
            return models.Q(**{name: self.value(value)})
        inner = condition.parts[0]
        if condition.how == "~" and isinstance(inner, Joined) and inner.how == "~":
            return self.condition(model, inner.parts[0])  # ~~Q is Q
        if condition.how in "&|":
            parts = [self.condition(model, part) for part in condition.parts]
            return parts[0] & parts[1] if condition.how == "&" else parts[0] | parts[1]
        parts = [self._alone(model, part, condition.how == "^") for part in condition.parts]
        return ~parts[0] if condition.how == "~" else parts[0] ^ parts[1]

    def _alone(self, model: str, condition: Condition, xor: bool) -> Any:
        """A condition that stands on its own: as Django has it if it is simple, else as a condition on the key.

        xor: a side of `^`, for which SQL takes a comparison with null as neither true nor false.
        """
        simple = all(
            not relations_of(model, found.name)  # across a relation that may lead nowhere SQL has a null
            and not isinstance(found.value, Field | Arithmetic | Chain | list)
            for found in lookups(condition)
        )
        q = self.condition(model, condition)
        return q if simple and not xor else models.Q(pk__in=DJANGO[model].objects.order_by().filter(q).values("pk"))

    def chain(self, chain: Any, inside: bool = False) -> Any:
        """A queryset."""
        if isinstance(chain, Combined):
            return self._combined(chain)
        found, order = self._start(chain), None  # the order, once it is set
        for call in chain.calls:
            if call.name in ("slice", "values", "values_list", "reverse") and order is None:
                found, order = self._in_order(found, chain, (), inside), ()
            if call.name in ("values", "values_list"):
                found = self._unrepeated(found, chain, order or (), inside)
            if call.name == "order_by":
                found, order = self._in_order(found, chain, call.arguments, inside), call.arguments
            elif call.name not in ("only", "defer") or not chain.has("select_related"):
                # Django wants the relations to be named in only(), too; ormis does not.
                found = self.called(chain.model, found, call)
            if call.name in ("filter", "exclude"):
                found = found.distinct()
        return self._in_order(found, chain, ()) if order is None and not inside else found

    def _start(self, chain: Chain) -> Any:
        if not chain.start:
            return DJANGO[chain.model].objects.all()
        found = getattr(self.value(chain.start[0]), chain.start[1])
        return DJANGO[chain.model].objects.filter(pk__in=[*found.values_list("pk", flat=True)])

    def _unrepeated(self, found: Any, chain: Chain, order: tuple[Any, ...], inside: bool) -> Any:
        """The queryset before values(): its objects once each, so that values() has a row for each related object."""
        if self._values_of_many(chain) or found.query.distinct:
            found = DJANGO[chain.model].objects.filter(pk__in=[*found.values_list("pk", flat=True)])
            found = found.distinct() if chain.has("distinct") else self._in_order(found, chain, order, inside)
        return found.order_by() if chain.has("distinct") else found

    def _values_of_many(self, chain: Chain) -> bool:
        named = [a for call in chain.calls if call.name in ("values", "values_list") for a in call.arguments]
        return any(leads_to_many(chain.model, relations_of(chain.model, a)) for a in named if isinstance(a, str))

    def _in_order(self, found: Any, chain: Chain, order: tuple[Any, ...], inside: bool = False) -> Any:
        """The queryset in an order, ties in that of creation."""
        said = [self.value(item) for item in order]
        if not any(call.name == "order_by" for call in chain.calls):
            said = [*MODELS[chain.model].ordering]
        if chain.has("values", "values_list"):  # there Django takes the name of a relation for the key
            said = [item for term in said for item in _expanded(chain.model, term)]
        created: Any = "pk"
        if MODELS[chain.model].pk != "id" and not inside:  # a subquery gives the table another name
            created = RawSQL(f'"{DJANGO[chain.model]._meta.db_table}"."rowid"', ())
        return found.order_by(*said, created)

    def called(self, model: str, found: Any, call: Call) -> Any:
        """A queryset with one more method."""
        if call.name == "slice":
            return found[slice(*call.arguments)]
        if call.name == "exclude":
            conditions = [*call.arguments]
            joined = conditions[0] if len(conditions) == 1 else Joined("&", tuple(conditions))
            return found.filter(self.condition(model, Joined("~", (joined,))))
        options = {name: self.value(value, model) for name, value in call.options}
        return getattr(found, call.name)(*[self.value(argument, model) for argument in call.arguments], **options)

    def _combined(self, combined: Combined) -> Any:
        """Rows of sets joined by Python: SQLite can't order or cut the parts."""
        model = combined.parts[0].model
        sets = [{row.pk for row in self.chain(part)} for part in combined.parts]
        join = {
            "&": operator.and_,
            "intersection": operator.and_,
            "|": operator.or_,
            "union": operator.or_,
            "^": operator.xor,
            "difference": operator.sub,
        }
        keys = sets[0]
        for other in sets[1:]:
            keys = join[combined.how](keys, other)
        return DJANGO[model].objects.filter(pk__in=keys)

    def for_writing(self, chain: Chain) -> Any:
        """The queryset that is updated or deleted."""
        found = self.chain(chain)
        if chain.has("slice", "values"):
            return found
        return DJANGO[chain.model].objects.order_by().filter(pk__in=[row.pk for row in found])

    def manager(self, stored: Stored, relation: str) -> Any:
        """The manager of a relation of an object."""
        return getattr(self.value(stored), relation)

    def bulk_create(self, model: Any, records: list[Any], options: dict[str, Any]) -> list[Any]:
        """Stores new objects. One that is ignored or clashes uses up no key: SQLite's counter is set back."""
        if len(options) == 0 or {*options} == {"batch_size"}:
            return model.objects.bulk_create(records, **options)
        table, counted = model._meta.db_table, "SELECT seq FROM sqlite_sequence WHERE name = %s"
        with connection.cursor() as cursor:
            for record in records:
                before, seq = model.objects.count(), cursor.execute(counted, [table]).fetchone()
                model.objects.bulk_create([record], **options)
                if seq and model.objects.count() == before:
                    cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = %s", [seq[0], table])
        return records

    def obtained(self, chain: Chain, method: str, lookups: dict[str, Any], options: dict[str, Any]) -> Any:
        """get_or_create() or update_or_create()."""
        named = {
            n: v
            for name, value in lookups.items()
            for n, v in self.condition(chain.model, Lookup(name, value)).children
        }
        found = self.chain(chain)
        # A condition across a relation to many finds an object once.
        return getattr(found.distinct() if method == "get_or_create" else found, method)(**self.value(options), **named)

    def deleted(self, counts: tuple[int, dict[str, int]]) -> Any:
        """What delete() has returned, in the form of both sides: without links."""
        named = {label.partition(".")[2]: count for label, count in counts[1].items()}
        kept = {name: count for name, count in named.items() if name in MODELS and count}
        return sum(kept.values()), kept

    def table(self, name: str) -> list[Any]:
        """All rows of a model, with their links."""
        model, spec = DJANGO[name], MODELS[name]
        names = [spec.pk, *(n for n in spec.columns if n != spec.pk), *(f"{n}_id" for n in spec.to_one)]
        rows = sorted(model.objects.order_by().values_list(*names), key=lambda row: str(row[0]))
        links = [
            (own, sorted(model.objects.order_by().exclude(**{own: None}).values_list("pk", own)))
            for own, relation in spec.to_many.items()
            if not relation.through
        ]
        return [rows, links]

    @staticmethod
    def atomic() -> Any:
        """A transaction: a write that is refused changes nothing."""
        return transaction.atomic()
