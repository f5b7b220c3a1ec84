"""How much one call does, in one place: a `Limits` value that a `Database` holds.

The figures keep a call from holding the server for more than some 10 ms, and a reply from filling memory. Shorter holds
are had by smaller ones: `connect(url, limits=Limits(objects=500))`.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """The sizes of the steps in which large work is done.

    objects: objects of eight columns that a call examines if its answer is whole: 4 to 6 us each.
    bytes: bytes of stored texts that a call reads, or is sent: some 4 ms a megabyte. An object that is larger is read,
        or written, by itself.
    values: values of an `in` that are sent to the server: it unpacks them in every call.
    keys: objects of a call that names their keys.
    prefetched: related objects that one call of prefetch_related() reads.
    link_sets: sets of links that come along with a query.
    renewed: objects of a result whose time to live a reading renews (Meta.ttl_on); of a longer result none is renewed.
    inserts, updates, links: objects, or links, that one call of bulk_create(), bulk_update() and the managers of
        relations writes: some 5, 15 and 5 us each.
    cascade: objects that refer to deleted ones and are deleted, or changed, in the same call: some 75 us each. If there
        are more, they are deleted before in further calls.
    changed, deleted: objects that one call of a queryset's update() or expire(), or delete(), changes.
    checked_objects, checked_keys, checked_entries, scanned_keys: objects, keys, entries of an index in one call of
        check() and reindex(), and keys in one SCAN.
    migrated_objects: objects in one call of migrate(), some 1.5 us each; a twentieth of them where an index is
        concerned, or a function of the application.
    sampled_objects: objects whose memory inspect() asks for.
    partitions: those of the database, of which a call reaches one; connect() says how many.
    """

    objects: int = 2000
    bytes: int = 1_000_000
    values: int = 1000
    keys: int = 1000
    prefetched: int = 1000
    link_sets: int = 900
    renewed: int = 300
    inserts: int = 1000
    updates: int = 400
    links: int = 1000
    cascade: int = 2000
    changed: int = 150
    deleted: int = 100
    checked_objects: int = 50
    checked_keys: int = 200
    checked_entries: int = 250
    scanned_keys: int = 1000
    migrated_objects: int = 2000
    sampled_objects: int = 20
    partitions: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value: object = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ValueError(f"Limits({field.name}={value!r}): give a whole number above 0")


DEFAULT = Limits()
"""The limits of a database that is given none."""

ATTEMPTS = 100
"""How often a write on condition of what was read is tried again while others change that."""
