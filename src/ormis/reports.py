"""The results of maintenance, as plain data: findings, a reindexing, the state of a database."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "index-missing", "index-stale", "index-extra",
    "unique-missing", "unique-stale", "unique-extra", "unique-duplicate",
    "link-missing", "link-extra", "reference-dangling", "reference-unregistered",
    "reference-admitted", "object-missing", "object-unlisted", "object-key",
    "key-leaked", "type", "value", "next-id", "expiry", "copy-missing", "copy-differs", "copy-extra",
    "load-refused", "load-differs",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the hashes say it should be.

    kind: an index entry or a unique claim is `missing` (the object has none), `stale` (the object is there and says
        something else) or `extra` (there is no such object); two objects have a `duplicate` value; a many-to-many
        link is `missing` on one side, or `extra`, to or from what is not there; a reference is `dangling`;
        on a cluster it is `unregistered` at the object that it leads to, or `admitted` without that; an object is
        `missing` (listed in `model/ids` without a hash), `unlisted` (the other way round), or has another `key` than
        its primary key says; a key of the model's prefix is `leaked`, it belongs to nothing; a key has another Redis
        `type`; a `value` does not convert; `next-id` is below the largest key; `expiry` does not match the time that
        the server keeps. Of a copy an object is `missing`, `differs`, or is `extra`. Of a file that is loaded an object
        is `refused`, or `differs` from the one that is there; then `key` is its place in the file.
    model: the name of the model. key: the key where it was found. field: the field, index or constraint, or "".
    message: the finding in words. mended: True if it has been repaired.
    """

    kind: Kind
    model: str
    key: str
    field: str
    message: str
    mended: bool = False

    def __str__(self) -> str:
        return f"{'mended: ' if self.mended else ''}{self.message}"


@dataclass(slots=True)
class Report:
    """The result of a check.

    findings: everything that was found, mended or not. objects: how many were looked at, by model. entries: how many
    index entries and unique claims were. incomplete: indexes and constraints that wait for a reindexing, by model.
    """

    findings: list[Finding] = field(default_factory=list[Finding])
    objects: dict[str, int] = field(default_factory=dict[str, int])
    entries: int = 0
    incomplete: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def ok(self) -> bool:
        """True where nothing was found that is not mended now."""
        return all(finding.mended for finding in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """Returns how many findings there are of each kind."""
        kinds = sorted(finding.kind for finding in self.findings)
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    def __str__(self) -> str:
        looked = ", ".join(f"{count} {name}" for name, count in self.objects.items()) or "no objects"
        mended = sum(finding.mended for finding in self.findings)
        return f"{looked}, {self.entries} index entries: {len(self.findings)} findings, {mended} mended"


@dataclass(slots=True)
class Reindexed:
    """The result of a reindexing of a model.

    built, dropped: indexes and constraints, as `fields (type)`. objects: how many were looked at. duplicates: objects
    that share the value of a new unique field; that constraint stays incomplete until they differ. incomplete: what is
    not complete yet for that reason.
    """

    model: str
    built: list[str] = field(default_factory=list[str])
    dropped: list[str] = field(default_factory=list[str])
    objects: int = 0
    duplicates: list[Finding] = field(default_factory=list[Finding])
    incomplete: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """True where everything that is declared is complete now."""
        return not self.incomplete


@dataclass(slots=True)
class Copied:
    """The result of a copy.

    objects: how many objects of the source there are, by model. links: how many many-to-many links.
    different: how many objects, or their links, are not in the target as they are in the source; differences: the
    first of them. report: that of a check of the target.
    unknown: fields that hashes have and the models do not declare, by model: the field and how many objects have it;
    they are copied as they are. undeclared: the keys of models that the source has and that are not copied.
    """

    objects: dict[str, int] = field(default_factory=dict[str, int])
    links: int = 0
    different: int = 0
    differences: list[Finding] = field(default_factory=list[Finding])
    report: Report = field(default_factory=Report)
    unknown: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    undeclared: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """True where the target has the same objects as the source, and a check finds nothing."""
        return not self.different and self.report.ok

    def __str__(self) -> str:
        copied = ", ".join(f"{count} {name}" for name, count in self.objects.items()) or "no objects"
        found = f"{self.different} different, {len(self.report.findings)} findings"
        return f"{copied}, {self.links} links copied: {found}"


@dataclass(slots=True)
class Migrated:
    """The result of migrations.

    applied: the names of those that ran, in their order. objects: how many objects their operations have looked at.
    findings: values that do not convert, which stay as they are, and objects that share the value of a unique field.
    """

    applied: list[str] = field(default_factory=list[str])
    objects: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def ok(self) -> bool:
        """True where all values could be converted, and all constraints are complete."""
        return not self.findings

    def __str__(self) -> str:
        ran = ", ".join(self.applied) or "nothing to migrate"
        return f"{ran}: {self.objects:,} objects looked at, {len(self.findings)} findings"


@dataclass(slots=True)
class Dumped:
    """The result of a dump.

    objects: how many objects were written, by the key of the model. links: how many many-to-many links.
    unfit: how many stored texts are no values of their fields, they are written as they are; findings: the first.
    """

    objects: dict[str, int] = field(default_factory=dict[str, int])
    links: int = 0
    unfit: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def ok(self) -> bool:
        """True where all texts were values of their fields."""
        return not self.unfit

    def __str__(self) -> str:
        dumped = ", ".join(f"{count} {name}" for name, count in self.objects.items()) or "no objects"
        return f"{dumped}, {self.links} links dumped: {self.unfit} values that do not convert"


@dataclass(slots=True)
class Loaded:
    """The result of loading a file.

    objects: how many objects were created, by the key of the model. updated: how many were there and were changed.
    unchanged: how many were there, and stay as they are. expired: how many had ended, and are left out.
    links: how many many-to-many links there are of these objects.
    refused: how many objects can't be stored; different: how many are there with other values; findings: the first of
    both. place: the last place in the file up to which objects are stored.
    """

    objects: dict[str, int] = field(default_factory=dict[str, int])
    updated: int = 0
    unchanged: int = 0
    expired: int = 0
    links: int = 0
    refused: int = 0
    different: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    place: str = ""

    def count(self, key: str, objects: int) -> None:
        """Counts created objects of a model."""
        if objects:
            self.objects[key] = self.objects.get(key, 0) + objects

    @property
    def ok(self) -> bool:
        """True where all objects of the file are stored."""
        return not self.refused and not self.different

    def __str__(self) -> str:
        created = ", ".join(f"{count} {name}" for name, count in self.objects.items()) or "no objects"
        others = f"{self.updated} updated, {self.unchanged} unchanged, {self.expired} expired, {self.links} links"
        return f"{created} created, {others}: {self.refused} refused, {self.different} different"


@dataclass(slots=True)
class Adopted(Loaded):
    """The result of adopting keys of another program: that of loading a file, whose places are keys here.

    keys: how many keys were read. again: how many of them once more, since they had changed meanwhile. removed: how
    many were removed. there: how many objects the model has at the end.
    """

    keys: int = 0
    again: int = 0
    removed: int = 0
    there: int = 0

    @property
    def missing(self) -> int:
        """How many of the keys are neither an object now nor listed: 0, or there is an error in ormis."""
        stored = sum(self.objects.values()) + self.updated + self.unchanged + self.expired
        return self.keys + self.again - stored - self.refused - self.different

    @property
    def ok(self) -> bool:
        """True where all keys are adopted."""
        return not self.refused and not self.different and not self.missing

    def __str__(self) -> str:
        missing = f", {self.missing} missing" if self.missing else ""
        counts = Loaded.__str__(self)
        return f"{self.keys} keys: {counts}{missing}; {self.removed} keys removed; {self.there} objects now"


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index or a unique constraint, and how far it is.

    state: `complete`, `incomplete` (declared after objects existed, to be built by a reindexing) or `undeclared` (kept
    for other clients that declare it, or to be dropped by a reindexing).
    """

    name: str
    state: Literal["complete", "incomplete", "undeclared"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """The state of a model in the database.

    memory: bytes of one object's hash, the mean of some; None without objects. declared: False for a model that is
    known to the database alone. cached: it has Meta.cache. drift: columns that are stored as another kind of value than
    the model declares, `votes: declared int, stored text`: it needs a migration.
    """

    name: str
    key: str
    objects: int
    memory: float | None
    indexes: tuple[IndexState, ...]
    declared: bool = True
    cached: bool = False
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of long work: `done` of about `total` steps of `task`."""

    task: str
    done: int
    total: int


Watcher = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The state of `db.cache` in this process.

    limit: how many objects may be kept. objects: how many are, those that have expired since among them.
    hits, misses: how many reads were answered from memory, and how many asked the server.
    invalidated: how many keys the server has said to be changed.
    age: seconds since the last sign of life of the connection that brings these; None if there is none, so that every
        read asks the server.
    refused: why the server refuses to say what changes; empty if it does not.
    """

    limit: int
    objects: int
    hits: int
    misses: int
    invalidated: int
    age: float | None
    refused: str

    def __str__(self) -> str:
        if not self.limit:
            return "off"
        state = f"off: {self.refused}" if self.refused else "not connected"
        if self.age is not None:
            state = f"heard of {self.age:.1f} s ago"
        reads = self.hits + self.misses
        share = f", {100 * self.hits / reads:.0f}% of {reads:,} reads" if reads else ""
        return f"{self.objects:,} of {self.limit:,} objects{share}, {state}"
