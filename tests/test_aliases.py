"""Aliases and relations: the key of a foreign key has the alias, the relation keeps its name."""

from typing import Any

import pytest
from pydantic import AliasChoices, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

import ormis
from model_factory import make
from ormis import CASCADE, Field, ForeignKey, ManyToMany, OneToOne, Related

CONFIGS: dict[str, Any] = {
    "generator": {"alias_generator": to_camel},
    "generator_and_names": {"alias_generator": to_camel, "populate_by_name": True},
    "validation_only": {"alias_generator": {"validation_alias": to_camel}},
    "by_name": {"alias_generator": to_camel, "validate_by_name": True, "validate_by_alias": False},
}


class Person(ormis.Model):
    name: str = ""
    written: Related[Any] = Related()

    class Meta:
        key = "aliases_person"


def declared(name: str, config: dict[str, Any]) -> Any:
    """A model with relations of each kind and this configuration."""
    from pydantic import AliasGenerator

    if isinstance(config.get("alias_generator"), dict):
        config = {**config, "alias_generator": AliasGenerator(**config["alias_generator"])}
    return make(
        f"Book{name}",
        __name__,
        the_author=(ForeignKey[Person], ForeignKey(on_delete=CASCADE, related_name=f"written_{name}")),
        first_editor=(OneToOne["Person | None"], OneToOne(related_name="+")),
        all_readers=(ManyToMany[Person], ManyToMany(related_name="+")),
        page_count=(int, Field(default=0, index=True)),
        config=ConfigDict(**config),
    )


@pytest.mark.parametrize("config", CONFIGS)
def test_a_generator_of_aliases_goes_with_relations(config: str, db: ormis.Database) -> None:
    """Objects with relations are made, saved, loaded, found and created by relation, key and alias."""
    book = declared(config, CONFIGS[config])
    by_alias = config != "by_name"
    ann, bob = Person(name="Ann").save(), Person(name="Bob").save()
    made = [book(the_author=ann), book(the_author=1), book(the_author_id=1), book.model_validate({"the_author": 1})]
    if by_alias:
        made += [book(theAuthorId=1), book.model_validate_json('{"theAuthorId": "1"}')]
    assert [one.save().the_author for one in made] == [ann] * len(made)
    loaded = book.get(1)
    assert (loaded.the_author, loaded.first_editor) == (ann, None)
    loaded.first_editor = bob
    loaded.save()
    loaded.all_readers.add(bob)
    assert book.objects.get(first_editor=bob) == loaded
    assert book.objects.filter(the_author__name="Ann").count() == len(made)
    assert list(book.objects.filter(all_readers=bob)) == [loaded]
    assert getattr(ann, f"written_{config}").create().the_author == ann
    assert book.objects.create(the_author=bob).the_author == bob
    found, new = book.objects.get_or_create(page_count=7, defaults={"the_author": bob})
    assert (found.the_author, found.page_count, new) == (bob, 7, True)
    assert ann.delete()[1][f"Book{config}"] == len(made) + 1


def test_a_relation_given_twice_is_refused() -> None:
    """A relation is given by one of its names."""
    book = declared("twice", CONFIGS["generator"])
    for other in ("the_author_id", "theAuthorId"):
        with pytest.raises(TypeError, match="the_author or the_author_id"):
            book(**{"the_author": 1, other: 1})
    with pytest.raises(TypeError, match="the_author or the_author_id"):
        book(the_author_id=1, theAuthorId=1)
    with pytest.raises(ValidationError, match="theAuthorId"):
        book()


@pytest.mark.parametrize(
    ("field", "given"),
    [
        (lambda: Field(alias="writtenBy"), "writtenBy"),
        (lambda: Field(validation_alias="writtenBy"), "writtenBy"),
        (lambda: Field(validation_alias=AliasChoices("writtenBy", "by")), "by"),
        (lambda: Field(validation_alias="author"), "author"),
    ],
)
def test_the_field_of_a_key_may_have_an_alias(field: Any, given: str, db: ormis.Database) -> None:
    """`author_id` declared beside `author` may have an alias of its own."""
    name = f"Aliased{given}{id(field)}"
    book = make(name, __name__, author=(ForeignKey[Person], ForeignKey(related_name="+")), author_id=(int, field()))
    ann = Person(name="Ann").save()
    for values in ({given: 1}, {"author_id": 1}, {"author": 1}, {"author": ann}):
        assert book.get(book(**values).save().pk).author == ann


def test_a_serialization_alias_shows_the_key() -> None:
    """model_dump(by_alias=True) has the alias of the key."""
    book = declared("shown", CONFIGS["generator"])
    assert book(the_author=3).model_dump(by_alias=True)["theAuthorId"] == 3
