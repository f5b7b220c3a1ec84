"""Hostile input: text that means something elsewhere, trees of thousands, names and values that are wrong."""

from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import and_, or_, xor
from typing import Any
from uuid import UUID

import pytest

import library
import ormis
from model_factory import make
from ormis import F, Field, FieldError, ForeignKey, ManyToMany, Q

TEXTS = [
    "",
    " ",
    "'",
    '"',
    "\\",
    "\n",
    "a\x00b",
    "\x00",
    "{a}",
    "*",
    "a*",
    "[ab]",
    "?",
    "%",
    "%d+",
    "(.-)",
    "^a$",
    "-a",
    "@name:{x}",
    "a|b",
    "redis.call('FLUSHALL')",
    "]]--",
    "\x7f",
    "\x80\xff",
    "😀",
    "a/b",
    "a=b",
    "#a",
    "x" * 300,
    "1",
    "nil",
    "__",
]


class Note(ormis.Model):
    text: str = Field(default="", index="sorted")
    word: str = Field(default="", index=True)
    plain: str = ""

    class Meta:
        key = "hostile_note"


class Reply(ormis.Model):
    note: ForeignKey[Note | None] = ForeignKey(related_name="replies")
    votes: int = Field(default=0, index=True)
    price: Decimal | None = None
    ratio: float = 0.0
    seen: datetime | None = None
    fits: bool = False
    token: UUID | None = None

    class Meta:
        key = "hostile_reply"


@pytest.fixture
def notes(db: ormis.Database) -> list[str]:
    Note.objects.bulk_create([Note(text=text, word=text, plain=text) for text in TEXTS])
    return TEXTS


@pytest.mark.parametrize("field", ["text", "word", "plain"])
def test_any_text_is_only_a_text(notes: list[str], field: str) -> None:
    """Quotes, globs, patterns, braces, NUL: looked for as they are, whatever index there is."""
    for value in TEXTS:
        for lookup, holds in (
            ("exact", lambda own, v: own == v),
            ("startswith", lambda own, v: own.startswith(v)),
            ("endswith", lambda own, v: own.endswith(v)),
            ("contains", lambda own, v: v in own),
            ("gt", lambda own, v: own > v),
            ("lte", lambda own, v: own <= v),
            ("icontains", lambda own, v: v.casefold() in own.casefold()),
        ):
            expected = [at for at, own in enumerate(TEXTS, 1) if holds(own, value)]
            found = Note.objects.filter(**{f"{field}__{lookup}": value})
            assert [note.pk for note in found] == expected, (lookup, value)
    assert [n.pk for n in Note.objects.filter(**{f"{field}__in": TEXTS[::2]})] == list(range(1, len(TEXTS) + 1))[::2]
    assert [getattr(n, field) for n in Note.objects.order_by(field)] == sorted(TEXTS)
    assert list(Note.objects.order_by(f"-{field}").values_list(field, flat=True)[3:9]) == sorted(TEXTS)[::-1][3:9]


def test_long_lists_of_values(notes: list[str]) -> None:
    """50,000 values in `in`: found, counted, excluded, across relations and for primary keys."""
    many = [f"no{n}" for n in range(50_000)]
    assert Note.objects.filter(word__in=[*many, "1"]).get().word == "1"
    assert Note.objects.filter(plain__in=[*many, "1", "nil"]).count() == 2
    assert Note.objects.filter(pk__in=range(50_000)).count() == len(TEXTS)
    assert Note.objects.exclude(text__in=many).count() == len(TEXTS)
    Reply.objects.create(note_id=1, votes=7)
    assert Reply.objects.filter(votes__in=range(50_000), note__plain__in=[*many, ""]).count() == 1
    assert Note.objects.filter(replies__votes__in=range(50_000)).count() == 1
    assert len(Note.objects.in_bulk(range(50_000))) == len(TEXTS)


@pytest.mark.parametrize("many", [5000])
def test_thousands_of_conditions_beside_each_other(notes: list[str], many: int) -> None:
    """5,000 comparisons joined by or, by and, in chained calls, with indexes and without."""
    for field in ("word", "plain"):
        wanted = [Q(**{field: f"no{n}"}) for n in range(many)] + [Q(**{field: "1"})]
        assert Note.objects.filter(reduce(or_, wanted)).get().word == "1"
        assert Note.objects.filter(reduce(or_, wanted), plain="nil").count() == 0
        assert Note.objects.filter(reduce(and_, (~q for q in wanted))).count() == len(TEXTS) - 1
        assert Note.objects.filter(reduce(and_, wanted)).count() == 0
    chained = Note.objects.all()
    for n in range(500):
        chained = chained.exclude(plain=f"no{n}")
    assert chained.count() == len(TEXTS)
    assert (
        Note.objects.filter(Q(replies__votes=1) | reduce(or_, (Q(replies__votes=n) for n in range(many)))).count() == 0
    )


def nested(depth: int, join: Any) -> Q:
    """A tree that is as deep as it has leaves."""
    tree = Q(plain="1")
    for n in range(depth):
        tree = join(tree, n)
    return tree


@pytest.mark.parametrize(
    "join",
    [
        lambda tree, n: ~(Q(plain=f"no{n}") | tree),
        lambda tree, n: ~(Q(plain=f"no{n}") & tree),
        lambda tree, n: (tree & Q(word=f"no{n}")) | Q(plain="1"),
        lambda tree, n: tree ^ Q(plain=f"no{n}"),
        lambda tree, n: Q(tree, plain__contains=""),
        lambda tree, n: Q(Q(tree)),
        lambda tree, n: ~Q(tree),
    ],
)
def test_nested_conditions(notes: list[str], join: Any) -> None:
    """A deep tree is answered; a much deeper one is a FieldError: no RecursionError, no overflow of Lua's stack."""
    assert Note.objects.filter(nested(45, join)).count() in (0, 1, len(TEXTS), len(TEXTS) - 1)
    try:
        Note.objects.filter(nested(90, join)).count()
        Note.objects.filter(nested(5000, join)).count()
    except FieldError as error:
        assert "nested more than 100 deep" in str(error)  # noqa: PT017 - some of the trees turn out to be flat


def test_many_alternatives_about_one_related_object(db: ormis.Database) -> None:
    """Conditions of one call that mix related objects and their own take no exponential time."""
    note = Note(plain="a").save()
    Reply.objects.bulk_create([Reply(note=note, votes=n) for n in range(3)])
    mixed = reduce(and_, (Q(plain="a") | Q(replies__votes=n) for n in range(10)))
    assert Note.objects.filter(mixed).count() == 1
    with pytest.raises(FieldError, match="too many combinations"):
        Note.objects.filter(mixed, *(Q(plain="a") | Q(replies__votes=n) for n in range(40))).count()
    some = reduce(and_, (Q(replies__votes__gte=n) | Q(plain="b") for n in range(3)))
    assert Note.objects.filter(some).count() == 1
    none = reduce(and_, (Q(replies__votes=n) | Q(plain="b") for n in range(3)))
    assert Note.objects.filter(none).count() == 0


@pytest.mark.parametrize(
    ("lookup", "near"),
    [
        ("txt", "text"),
        ("text__startwith", "startswith"),
        ("replies__vots", "votes"),
        ("replys__votes", "replies"),
        ("replies__votes__gtr", "gt"),
        ("replies__seen__yaer", "year"),
        ("replies__note__wrod", "word"),
        ("plain__exact__exact", "exact"),
        ("text__year", ""),
        ("replies__seen__year__month", ""),
        ("", ""),
        ("__", ""),
        ("text__", ""),
        ("__text", ""),
        ("text__\x00", ""),
        ("objects", ""),
        ("a" * 10_000, ""),
    ],
)
def test_unknown_names_are_named(db: ormis.Database, lookup: str, near: str) -> None:
    """A FieldError that says which name, and the nearest there is, before anything is sent."""
    with ormis.capture_calls() as calls, pytest.raises(FieldError) as caught:
        list(Note.objects.filter(**{lookup: 1}))
    assert near in str(caught.value)
    assert len(str(caught.value)) < 11_000
    assert not calls


@pytest.mark.parametrize(
    ("lookup", "value"),
    [
        ("votes", "x"),
        ("votes", 2.5),
        ("votes__gt", None),
        ("votes__in", 3),
        ("votes__in", ["x"]),
        ("votes__in", "123"),
        ("votes__range", [1]),
        ("votes__range", 1),
        ("votes__range", [None, 1]),
        ("votes__isnull", 1),
        ("votes__isnull", "yes"),
        ("price", "a"),
        ("price", float("nan")),
        ("seen", "yesterday"),
        ("seen__year", "x"),
        ("seen__date", "x"),
        ("seen__year__in", 3),
        ("fits", "maybe"),
        ("token", "x"),
        ("note", "x"),
        ("note", object()),
        ("note__text__regex", "("),
        ("note__text__regex", 3),
        ("note__text__contains", 3),
        ("note__text", b"\xff"),
        ("note__text", 3),
        ("note__text__startswith", None),
        ("note__text", "\ud800"),
        ("note__in", Note),
        ("votes", F("nothing")),
        ("votes__in", F("votes")),
        ("votes__isnull", F("votes")),
    ],
)
def test_values_that_do_not_fit_are_refused(db: ormis.Database, lookup: str, value: Any) -> None:
    """A FieldError that names model, field and value, before anything is sent."""
    with ormis.capture_calls() as calls, pytest.raises(FieldError) as caught:
        list(Reply.objects.filter(**{lookup: value}))
    assert "Reply" in str(caught.value) or "Note" in str(caught.value)
    assert not calls


def test_values_that_do_fit_are_converted(db: ormis.Database) -> None:
    """As pydantic converts them: text to numbers and times, an object to its key; huge ones find nothing."""
    note = Note(text="a").save()
    Reply(note=note, votes=7, price=Decimal("1.50"), seen=datetime(2026, 1, 2), fits=True, ratio=0.5).save()
    for lookups in (
        {"votes": "7"},
        {"votes": 7.0},
        {"votes__in": ["7", 8]},
        {"votes__in": {7}},
        {"votes__in": (n for n in (7, 9))},
        {"votes__range": ("1", "9")},
        {"price": "1.5"},
        {"price__lt": 2},
        {"seen": "2026-01-02"},
        {"seen__date": "2026-01-02"},
        {"seen__year": "2026"},
        {"fits": "true"},
        {"ratio": "0.5"},
        {"note": note},
        {"note": 1},
        {"note": "1"},
        {"note__in": [note]},
        {"note_id__in": ["1"]},
        {"votes__lt": 10**400},
        {"ratio__lt": float("inf")},
        {"token": None},
    ):
        assert Reply.objects.filter(**lookups).count() == 1, lookups
    assert Reply.objects.filter(votes=10**400).count() == 0
    assert Reply.objects.filter(ratio=float("nan")).count() == 0


def test_conditions_are_checked_when_they_are_given() -> None:
    """What is no condition at all is a TypeError at once."""
    for condition in (1, "votes", None, True, [Q()], {"votes": 1}):
        with pytest.raises(TypeError, match="no condition"):
            Reply.objects.filter(condition)  # type: ignore[arg-type]
    assert reduce(xor, [Q(votes=1), Q(votes=2)]) == Q(votes=1) ^ Q(votes=2)


@pytest.mark.parametrize("sign", ["", "-"])
def test_an_index_whose_order_is_not_the_values_is_walked_far_enough(db: ormis.Database, sign: str) -> None:
    """Numbers of one score, and texts that go on with a NUL, come in their own order."""
    numbers = [2**70 + n for n in range(40)][::-1]
    Reply.objects.bulk_create([Reply(votes=votes) for votes in [*numbers, *range(400)]])
    votes = sorted([*numbers, *range(400)], reverse=sign == "-")
    found = Reply.objects.order_by(f"{sign}votes").values_list("votes", flat=True)
    texts = ["a", *("a\x00" + "\x01" * n for n in range(1, 40)), *(f"b{n}" for n in range(400))]
    Note.objects.bulk_create([Note(text=text) for text in reversed(texts)])
    named = Note.objects.order_by(f"{sign}text").values_list("text", flat=True)
    for start in (0, 1, 39, 398, 401):
        assert list(found.all()[start : start + 2]) == votes[start : start + 2]
        assert list(named.all()[start : start + 2]) == sorted(texts, reverse=sign == "-")[start : start + 2]


def test_models_may_have_hostile_names(db: ormis.Database) -> None:
    """The indexed and the bare library are told apart by their keys alone."""
    family = library.declare("hostile_%d", True)
    family["author"].objects.create(name="a")
    assert family["author"].objects.filter(name="a", books__isnull=True).count() == 1


def test_an_empty_condition_narrows_nothing(notes: list[str]) -> None:
    """Neither alone nor negated, wherever it stands: code that builds conditions may end up with none."""
    for empty in (Q(), ~Q(), Q(Q()), ~Q(Q(), ~Q())):
        assert not empty
        assert Note.objects.filter(empty).count() == Note.objects.exclude(empty).count() == len(notes)
        assert Note.objects.filter(empty, pk=1).count() == Note.objects.filter(Q(pk=1) & empty).count() == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda: Note.objects.order_by(Note.text),
        lambda: Note.objects.union(Note.objects.none()).order_by(Note.text),
        lambda: Note.objects.only(Note.text),
        lambda: Note.objects.defer(Note.text),
        lambda: Note.objects.values(Note.text),
    ],
)
def test_class_attributes_are_no_names(notes: list[str], use: Any) -> None:
    """A class attribute is for conditions: where a name is expected it is refused, and gives no order of its own."""
    with pytest.raises(FieldError, match="Note"):
        [*use()]
    for related in (Note.objects.prefetch_related, Note.objects.select_related):
        with pytest.raises(TypeError, match=r"not Note\.text"):
            related(Note.text)


def test_a_number_too_long_to_be_shown(db: ormis.Database) -> None:
    """An int of more digits than Python writes is a FieldError."""
    with pytest.raises(FieldError, match=r"Reply\.votes__lt=<int that is too long"):
        Reply.objects.filter(votes__lt=10**5000).count()


class Sender(ormis.Model):
    class_: str = Field(default="", index="sorted")

    class Meta:
        key = "hostile_sender"


class Letter(ormis.Model):
    from_: ForeignKey[Sender] = ForeignKey(related_name="letters")
    year_: int = Field(default=0, alias="year")

    class Meta:
        key = "hostile_letter"


def test_names_that_end_with_an_underscore(db: ormis.Database) -> None:
    """A field or relation called class_ or from_, as Python's keywords make it, has lookups and fields like others."""
    sender = Sender(class_="abc").save()
    letter = Letter(from_=sender, year=2026).save()
    for condition in (
        Q(year___gt=2025),
        Letter.year_ > 2025,
        Q(from___class___startswith="ab", year___in=[2026]),
        Letter.from_.class_ >= "abc",
        Q(from_id=sender.pk),
        Q(from___letters__year_=2026),
        Q(year_=F("from_id") + 2025),
    ):
        assert Letter.objects.order_by("-from___class_", "year_").get(condition) == letter
    assert Letter.objects.values_list("from___class_", "from_id", "year_").get() == ("abc", sender.pk, 2026)
    assert Letter.objects.select_related("from_").get().from_ == sender
    assert Sender.objects.prefetch_related("letters__from_")[0].letters.all()[0].from_ == sender
    assert Letter.objects.get_or_create(from_id=sender.pk, year_=2027)[1]
    assert Letter.objects.filter(year___gt=2026).update(from_id=sender.pk, year_=F("year_") + 1) == 1
    with pytest.raises(ormis.ModelError, match="both be stored as to_id"):
        make("Two", __name__, to=(ForeignKey[Sender], ForeignKey()), to_=(ForeignKey[Sender], ForeignKey()))
    with pytest.raises(FieldError, match="did you mean 'year_'"):
        Letter.objects.filter(year__gt=1).count()


class Word(ormis.Model):
    text: str = Field(primary_key=True)
    size: int = 0
    like: ManyToMany["Word"] = ManyToMany()

    class Meta:
        key = "hostile_word"


def test_values_that_are_no_text(db: ormis.Database) -> None:
    """Half a surrogate pair, an int of more digits than Python writes: a FieldError wherever they are given."""
    word, half = Word(text="a").save(), "\ud800"
    for work in (
        lambda: Word.get(half),
        lambda: word.like.add(half),
        lambda: word.like.set([half]),
        lambda: word.like.remove(half),
        lambda: Word.objects.filter(like=half).count(),
        lambda: Word.objects.filter(text__contains=half).count(),
        lambda: Word(text=half).save(),
        lambda: Word(text="b", size=10**5000).save(),
        lambda: Word.objects.update(size=10**5000),
    ):
        with pytest.raises(FieldError, match=r"Word\.(text|size|like)"):
            work()


def test_using_takes_a_database(db: ormis.Database) -> None:
    """Databases have no names here."""
    with pytest.raises(TypeError, match="not 'default'"):
        Note.objects.using("default")  # type: ignore[arg-type]


def test_class_attributes_compared_with_each_other(db: ormis.Database) -> None:
    """Two class attributes that begin at one model are compared as a field and F are; of two models it is refused."""
    note = Note(text="b", word="a").save()
    reply = Reply(note=note, votes=1, ratio=0.5).save()
    assert Note.objects.get(Note.text > Note.word) == Note.objects.get(Note.replies.votes == Note.id) == note
    assert Reply.objects.get(Reply.votes == Reply.note.id, Reply.votes >= Reply.ratio) == reply
    assert not Reply.objects.filter(Reply.votes != Reply.note.id).exists()
    assert (Reply.votes < Reply.ratio) == Q(votes__lt=F("ratio"))
    with pytest.raises(TypeError, match=r"Reply\.votes can't be compared with Note\.word"):
        _ = Reply.votes == Note.word
