"""Many-to-many relations with a through model: its objects are the links."""

from typing import Any

import pytest
from pydantic import ValidationError

import ormis
from model_factory import make
from ormis import CASCADE, PROTECT, ForeignKey, ManyToMany, ModelError


class Member(ormis.Model):
    name: str = ""

    class Meta:
        key = "through_member"


class Group(ormis.Model):
    name: str = ""
    members: ManyToMany[Member] = ManyToMany(through="Membership", related_name="groups")

    class Meta:
        key = "through_group"


class Membership(ormis.Model):
    group: ForeignKey[Group] = ForeignKey(on_delete=CASCADE)
    member: ForeignKey[Member] = ForeignKey(on_delete=CASCADE)
    since: int = 0

    class Meta:
        key = "through_membership"


class Friend(ormis.Model):
    friends: ManyToMany["Friend"] = ManyToMany(through="Friendship")

    class Meta:
        key = "through_friend"


class Friendship(ormis.Model):
    one: ForeignKey[Friend] = ForeignKey(on_delete=CASCADE, related_name="ones")
    other: ForeignKey[Friend] = ForeignKey(on_delete=CASCADE, related_name="others")
    invited_by: ForeignKey[Member | None] = ForeignKey()

    class Meta:
        key = "through_friendship"


def linked() -> list[tuple[int, int, int]]:
    """Every link as (group, member, since)."""
    return [*Membership.objects.order_by("group_id", "member_id").values_list("group_id", "member_id", "since")]


def test_the_objects_of_the_through_model_are_the_links(db: ormis.Database, raw: Any) -> None:
    """add, set, create, remove and clear make and delete its objects, with through_defaults; no sets are kept."""
    group, other = Group().save(), Group().save()
    ann, bob, eve = (Member(name=name).save() for name in ("Ann", "Bob", "Eve"))
    group.members.add(ann, bob, ann, through_defaults={"since": lambda: 7})
    group.members.add(ann, eve)
    assert linked() == [(1, 1, 7), (1, 2, 7), (1, 3, 0)]
    ann.groups.set([other], through_defaults={"since": 9})
    assert linked() == [(1, 2, 7), (1, 3, 0), (2, 1, 9)]
    new = other.members.create(name="New", through_defaults={"since": 5})
    assert linked()[-1] == (2, new.id, 5)
    group.members.remove(bob, ann)
    other.members.set([ann, eve], through_defaults={"since": 1})
    assert linked() == [(1, 3, 0), (2, 1, 9), (2, 3, 1)]
    other.members.set([ann], clear=True)
    eve.groups.clear()
    assert linked() == [(2, 1, 0)]
    assert not [*raw.scan_iter("*/links/*")]


def test_create_stores_both_or_neither(db: ormis.Database) -> None:
    """Where the link can't be made, neither is the object."""
    group = Group().save()
    with pytest.raises(ValidationError):
        group.members.create(name="New", through_defaults={"since": "long ago"})
    Group.get(1).delete()
    with pytest.raises(ormis.ForeignKeyViolation, match=r"Membership\.group_id='1'"):
        group.members.create(name="New")
    assert (Member.objects.count(), Membership.objects.count()) == (0, 0)


def test_queries_go_over_the_through_model(db: ormis.Database) -> None:
    """Lookups in both directions; those about the link in the same filter() are about the same one."""
    one, two, three = (Group(name=name).save() for name in ("one", "two", "three"))
    ann, bob = Member(name="Ann").save(), Member(name="Bob").save()
    one.members.add(ann, through_defaults={"since": 1})
    one.members.add(bob, through_defaults={"since": 5})
    two.members.add(ann, through_defaults={"since": 5})

    def names(**lookups: Any) -> list[str]:
        return [group.name for group in Group.objects.filter(**lookups)]

    assert names(members=ann) == names(members__name="Ann") == ["one", "two"]
    assert names(members__name="Ann", membership__since=5) == ["two"]
    assert [g.name for g in Group.objects.filter(members=ann).filter(membership__since=5)] == ["one", "two"]
    assert names(members__isnull=True) == ["three"]
    assert [m.name for m in Member.objects.filter(groups__name="one", membership__since=5)] == ["Bob"]
    assert (one.members.count(), one.members.filter(name="Bob").get(), three.members.exists()) == (2, bob, False)
    loaded = Group.objects.prefetch_related("members")
    assert [[m.name for m in group.members.all()] for group in loaded] == [["Ann", "Bob"], ["Ann"], []]
    assert list(Group.objects.values_list("name", "members__name")) == [
        ("one", "Ann"),
        ("one", "Bob"),
        ("two", "Ann"),
        ("three", None),
    ]


def test_deletion_follows_the_foreign_keys(db: ormis.Database) -> None:
    """The links are objects like others: they go with either side as their on_delete says, and count."""
    group, ann = Group().save(), Member().save()
    group.members.add(ann)
    assert ann.delete() == (2, {"Member": 1, "Membership": 1})
    assert group.members.count() == 0


def test_symmetrical_links_are_two_objects(db: ormis.Database) -> None:
    """In a symmetrical relation there is an object for each direction; its ends are the first two references."""
    ann, bob, eve = (Friend().save() for _ in range(3))
    ann.friends.add(bob, eve)
    assert (list(bob.friends.all()), Friendship.objects.count()) == ([ann], 4)
    bob.friends.remove(ann)
    assert (list(ann.friends.all()), Friendship.objects.count()) == ([eve], 2)
    eve.friends.set([bob])
    assert ([list(f.friends.all()) for f in (ann, bob)], Friendship.objects.count()) == ([[], [eve]], 2)


def test_symmetrical_links_of_one_direction(db: ormis.Database) -> None:
    """A link that was made by the through model alone leads from its first end to its second, and not back."""
    ann, bob = Friend().save(), Friend().save()
    Friendship(one=ann, other=bob).save()
    assert ([*ann.friends.all()], [*bob.friends.all()]) == ([bob], [])
    assert ([*Friend.objects.filter(friends=bob)], [*Friend.objects.filter(friends=ann)]) == ([ann], [])
    assert [[*f.friends.all()] for f in Friend.objects.prefetch_related("friends")] == [[bob], []]
    assert ann.friends.filter(pk=bob.pk).exists()
    bob.friends.add(ann)
    assert ([*ann.friends.all()], [*bob.friends.all()]) == ([bob], [ann])


def test_get_or_create_and_update_or_create(db: ormis.Database) -> None:
    """They look among the linked objects, and link what they make."""
    group = Group().save()
    Member(name="Ann").save()
    ann, made = group.members.get_or_create(name="Ann", through_defaults={"since": 3})
    assert (ann.id, made, linked()) == (2, True, [(1, 2, 3)])
    assert group.members.get_or_create(name="Ann") == (ann, False)
    bob, made = group.members.update_or_create({"name": "Bob"}, name="Ann")
    assert (bob, bob.name, made, group.members.count()) == (ann, "Bob", False, 1)


@pytest.mark.parametrize(
    ("match", "fields", "declared"),
    [
        ("Link has no foreign key to Member", {"owner": "Owner"}, {}),
        ("Link has no foreign key to Owner", {"member": "Member"}, {}),
        (
            r"several foreign keys to Member, a, b: say which with through_fields=\(<to Owner>",
            {"owner": "Owner", "a": "Member", "b": "Member"},
            {},
        ),
        (
            "names 'x', which is no foreign key of Link",
            {"owner": "Owner", "a": "Member"},
            {"through_fields": ("owner", "x")},
        ),
        ("no foreign key of Link to Owner", {"owner": "Owner", "a": "Member"}, {"through_fields": ("a", "owner")}),
        ("names of two foreign keys", {"owner": "Owner", "a": "Member"}, {"through_fields": ("owner",)}),
    ],
)
def test_through_models_without_their_foreign_keys(match: str, fields: Any, declared: Any) -> None:
    """A through model needs one foreign key to each side, or through_fields that name them: refused when it is made."""
    make("Owner", __name__, members=(ManyToMany[Member], ManyToMany(through="Link", **declared)))
    references = {
        name: (ForeignKey[target], ForeignKey(related_name=f"link_{name}", on_delete=PROTECT))
        for name, target in fields.items()
    }
    with pytest.raises(ModelError, match=match):
        make("Link", __name__, **references)


def test_through_fields_choose_the_ends(db: ormis.Database) -> None:
    """through_fields names the reference to this model, then the one to the other."""
    owner = make(
        "Owner", __name__, members=(ManyToMany[Member], ManyToMany(through="Link", through_fields=("owner", "b")))
    )
    link = make(
        "Link",
        __name__,
        owner=(ForeignKey["Owner"], ForeignKey()),
        a=(ForeignKey["Member | None"], ForeignKey(related_name="+")),
        b=(ForeignKey["Member"], ForeignKey(related_name="+")),
    )
    one, ann = owner().save(), Member().save()
    one.members.add(ann)
    assert (link.objects.get().b, list(ann.owner_set.all())) == (ann, [one])
    assert owner.objects.filter(members=ann).count() == 1


async def test_async_twins(db: ormis.Database) -> None:
    """The twins make and delete the same objects."""
    group = await Group().asave()
    ann = await group.members.acreate(name="Ann", through_defaults={"since": 2})
    bob, made = await group.members.aget_or_create(name="Bob")
    assert made
    await group.members.aremove(ann)
    await group.members.aset([ann, bob], through_defaults={"since": 4})
    assert await group.members.acount() == 2
    await group.members.aclear()
    assert await Membership.objects.acount() == 0


def test_prefetching_passes_over_a_link_that_an_index_has_wrong(db: ormis.Database, raw: Any) -> None:
    """A link that was moved by other hands, to a group that nobody asked for, is no one's."""
    group, other, member = Group().save(), Group().save(), Member().save()
    group.members.add(member)
    (link,) = Membership.objects.all()
    raw.hset(link.key, "group_id", other.pk)
    assert [[*found.members.all()] for found in Group.objects.filter(pk=group.pk).prefetch_related("members")] == [[]]
