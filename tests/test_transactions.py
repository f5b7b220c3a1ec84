"""Blocks of `atomic()`: both or neither, in one step at the end."""

import asyncio
import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ormis
from laws import examples
from ormis import CASCADE, F, Field, ForeignKey, ManyToMany


class Account(ormis.Model):
    """Holds money."""

    owner: str = Field(default="", index=True)
    balance: int = Field(default=0, index=True)
    rate: Decimal = Decimal(0)
    notes: list[str] = []

    class Meta:
        key = "tx_account"


class Label(ormis.Model):
    """What accounts are marked with."""

    name: str = ""
    accounts: ManyToMany[Account] = ManyToMany(related_name="labels")

    class Meta:
        key = "tx_label"


class Entry(ormis.Model):
    """A line of an account's statement."""

    account: ForeignKey[Account] = ForeignKey(on_delete=CASCADE, related_name="entries")
    number: str | None = Field(default=None, unique=True)
    amount: int = 0

    class Meta:
        key = "tx_entry"


@pytest.fixture
def pair(db: ormis.Database) -> tuple[Account, Account]:
    """Two stored accounts."""
    return Account(owner="a", balance=100).save(), Account(owner="b").save()


def stored(raw: Any) -> dict[bytes, Any]:
    """All objects' hashes."""
    keys = [key for key in raw.scan_iter() if b":" in key]
    return {key: raw.hgetall(key) for key in keys}


def balances() -> list[int]:
    """As everybody sees them."""
    return [a.balance for a in Account.objects.order_by("id")]


def test_writes_are_sent_together_at_the_end(pair: tuple[Account, Account]) -> None:
    """Nothing is seen before the end of the block, then all of it; one call."""
    a, b = pair
    with ormis.capture_calls() as calls:
        with ormis.atomic():
            a.balance -= 10
            assert a.save() is a
            b.balance += 10
            b.save()
            assert calls == []
        assert len(calls) == 1
    assert balances() == [90, 10]
    a.balance -= 1
    a.save()
    assert balances() == [89, 10]


def test_an_exception_sends_nothing(pair: tuple[Account, Account], raw: Any) -> None:
    """The objects are as they were to the database: changed ones save their change again, new ones are inserted."""
    a, b = pair
    before = stored(raw)
    new = Account(owner="new", notes=["x"])
    with pytest.raises(KeyError), ormis.atomic():
        a.balance = 1
        a.save()
        a.balance = 2
        a.save()
        b.balance = F("balance") + 5
        b.save()
        new.save()
        new.owner = "newer"
        new.save()
        raise KeyError
    assert stored(raw) == before
    a.save()
    b.save()
    new.save()
    assert balances() == [2, 5, 0]
    assert (b.balance, Account.get(new.id).owner, Account.get(new.id).notes) == (5, "newer", ["x"])
    assert Account.objects.count() == 3


def test_a_refused_block_is_undone_too(pair: tuple[Account, Account], raw: Any) -> None:
    """A unique value that is taken refuses the whole block; what was saved in it can be saved again."""
    a, _ = pair
    Entry(account=a, number="1").save()
    before = stored(raw)
    entry = Entry(account=a, number="2")
    with pytest.raises(ormis.UniqueViolation, match="number='1'"), ormis.atomic():
        a.balance = 1
        a.save()
        entry.save()
        Entry(account=a, number="1").save()
    assert stored(raw) == before
    with ormis.atomic():
        a.save()
        entry.save()
    assert (Account.get(a.id).balance, Entry.get(entry.id).number) == (1, "2")


def test_new_objects_have_their_keys(db: ormis.Database) -> None:
    """They are there at once, other objects can refer to them, and no key is handed out twice."""
    with ormis.atomic():
        account = Account().save()
        assert account.id == 1
        first, second = Entry(account=account).save(), account.entries.create(amount=3)
        many = Account.objects.bulk_create([Account(owner=str(n)) for n in range(2500)])
        assert [m.id for m in many] == list(range(2, 2502))
        assert Account.objects.count() == 0
    assert (first.id, second.id, Account.objects.count()) == (1, 2, 2501)
    assert Account().save().id == 2502
    assert [e.amount for e in account.entries.all()] == [0, 3]
    assert [a.id for a in Account.objects.all()] == list(range(1, 2503))
    assert not list(ormis.check(db).findings)


@pytest.mark.parametrize("command", [("RPUSH", "tx_account/next_id", "x"), ("SET", "tx_account/next_id", "x")])
def test_something_else_where_keys_are_counted(db: ormis.Database, raw: Any, command: tuple[str, ...]) -> None:
    """A new object in a block gets no key then: the error names where, and nothing is written."""
    raw.execute_command(*command)
    with pytest.raises(ormis.StoredDataError, match="'tx_account/next_id' holds"), ormis.atomic():
        Account().save()
    assert stored(raw) == {}


def test_queries_see_what_was_there_before(pair: tuple[Account, Account]) -> None:
    """A block writes at its end: until then, queries and get() answer as if nothing had been saved."""
    a, b = pair
    with ormis.atomic():
        a.balance = 1
        a.save()
        assert b.delete() == (0, {})
        assert balances() == [100, 0]
        assert Account.get(a.id).balance == 100
    assert balances() == [1]


def test_sums_are_known_after_the_block(pair: tuple[Account, Account], raw: Any) -> None:
    """The value of F is the expression inside the block and the number after it; saved again, it counts once."""
    a, b = pair
    with ormis.atomic():
        a.balance = F("balance") + 1
        a.save()
        a.owner = "renamed"
        a.save()
        a.balance = F("balance") + 1
        a.save()
        b.balance = F("balance") + 7
        b.save()
        b.balance = 3
        b.save()
    assert (a.balance, b.balance) == (102, 3)
    assert balances() == [102, 3]
    raw.hset("tx_account:1", "balance", 7)
    raw.hset("tx_account:2", "balance", 8)
    a.save()
    b.save()
    assert balances() == [7, 8]


def test_the_same_expression_twice(pair: tuple[Account, Account]) -> None:
    """An expression may be assigned more often than once in a block; saving without assigning does not count again."""
    (a, _), step = pair, F("balance") + 1
    with ormis.atomic():
        for _ in range(3):
            a.balance = step
            a.save()
            a.save()
    assert a.balance == balances()[0] == 103


def test_a_value_given_after_a_sum_stays(pair: tuple[Account, Account]) -> None:
    """What is assigned after save() and not saved is a change, as outside."""
    a, _ = pair
    with ormis.atomic():
        a.balance = F("balance") + 1
        a.save()
        a.balance = 5
    assert (a.balance, balances()[0]) == (5, 101)
    a.save()
    assert balances()[0] == 5


def test_sums_that_only_python_can_do(pair: tuple[Account, Account]) -> None:
    """A division is computed at the end of the block, from what is stored then."""
    a, b = pair
    Account.objects.get(id=1)
    with ormis.atomic():
        a.rate = F("balance") / 8
        a.owner = "divided"
        a.save()
        b.balance = 1
        b.save()
        assert vars(a)["rate"] is not None
    assert (a.rate, Account.get(1).rate, Account.get(1).owner) == (Decimal("12.5"), Decimal("12.5"), "divided")
    assert balances() == [100, 1]


def test_what_was_loaded_and_changed_is_checked(pair: tuple[Account, Account], raw: Any) -> None:
    """A field that somebody else changed since the load is a conflict that names it; other fields are none."""
    a, b = pair
    with (
        pytest.raises(
            ormis.ConflictError, match=r"Account\.balance of tx_account:1 was '100' .* is '55' now"
        ) as caught,
        ormis.atomic(),
    ):
        b.balance += 10
        b.save()
        a.balance -= 10
        a.save()
        other = Account(id=1, balance=55)
        raw.hset("tx_account:1", "balance", other.balance)
    assert (caught.value.model, caught.value.field) == ("Account", "balance")
    assert balances() == [55, 0]
    a.refresh_from_db()
    with ormis.atomic():
        a.balance -= 10
        a.save()
        b.save()
        raw.hset("tx_account:1", "owner", "somebody")
    assert (balances(), Account.get(1).owner) == ([45, 10], "somebody")


def test_two_objects_of_one_row_in_a_block(pair: tuple[Account, Account]) -> None:
    """The second would overwrite what the first has changed, which it has not seen: a conflict, no lost change."""
    with pytest.raises(ormis.ConflictError), ormis.atomic():
        one, two = Account.get(1), Account.get(1)
        one.balance -= 10
        one.save()
        two.balance += 5
        two.save()
    assert balances() == [100, 0]


def test_blocks_inside_blocks_join(pair: tuple[Account, Account]) -> None:
    """The outer one sends everything; an exception in the inner one that is caught outside drops what is its own."""
    a, b = pair
    with ormis.capture_calls() as calls, ormis.atomic():
        with ormis.atomic():
            a.balance = 1
            a.save()
        assert calls == []
        with pytest.raises(KeyError), ormis.atomic():
            a.balance = 2
            a.save()
            b.balance = 2
            b.save()
            raise KeyError
        b.owner = "bb"
        b.save()
    assert len(calls) == 1
    assert balances() == [1, 2]
    assert a.balance == 2
    a.save()
    assert (balances(), Account.get(b.id).owner) == ([2, 2], "bb")


def test_nothing_to_send(pair: tuple[Account, Account]) -> None:
    """A block without writes sends nothing."""
    with ormis.capture_calls() as calls, ormis.atomic():
        pass
    assert calls == []


def test_relations_and_deletions_inside(pair: tuple[Account, Account]) -> None:
    """add() and delete() are part of the block, in their order."""
    a, b = pair
    entry = Entry(account=a).save()
    with ormis.atomic():
        b.entries.add(entry)
        assert entry.account is b
        a.delete()
    assert Entry.get(entry.id).account_id == b.id
    with pytest.raises(ormis.ForeignKeyViolation), ormis.atomic():
        b.delete()
        Entry(account=b).save()
    assert Account.objects.count() == 1


def test_querysets_inside(pair: tuple[Account, Account], raw: Any) -> None:
    """update(), delete() and get_or_create() are done at the end, to what was there when they were called."""
    a, b = pair
    Account.objects.bulk_create([Account(owner="many", balance=n) for n in range(1500)])
    before = stored(raw)
    with pytest.raises(KeyError), ormis.atomic():
        Account.objects.update(balance=F("balance") + 1)
        Account.objects.filter(owner="many").delete()
        Account.objects.get_or_create(owner="new")
        raise KeyError
    assert stored(raw) == before
    with ormis.atomic():
        assert Account.objects.update(balance=F("balance") + 1) == 1502
        Account.objects.filter(owner="many", balance__gte=10).delete()
        new, created = Account.objects.get_or_create(owner="new")
        assert (created, new.id is not None) == (True, True)
        assert Account.objects.get_or_create(owner="a")[0].id == a.id
        assert Account.objects.count() == 1502
    assert (Account.get(a.id).balance, Account.get(b.id).balance) == (101, 1)
    assert sorted(x.balance for x in Account.objects.filter(owner="many")) == list(range(1, 11))
    assert Account.objects.get(owner="new").id == new.id


def test_links_and_ends_inside(db: ormis.Database, raw: Any) -> None:
    """Many-to-many links and the end of an object's life are part of the block."""
    before = stored(raw)
    with pytest.raises(KeyError), ormis.atomic():
        Account().save().labels.create()
        raise KeyError
    assert (stored(raw), raw.keys("tx_*/links/*")) == (before, [])
    with ormis.atomic():
        account, label = Account().save(), Label().save()
        account.labels.add(label)
        made = account.labels.create(name="made")
        account.expire(3600)
        assert stored(raw) == before
        assert raw.keys("tx_account/links/*") == []
    assert [x.id for x in account.labels.all()] == [label.id, made.id]
    assert 3590 < (account.ttl() or 0) <= 3600


def test_a_decorator(pair: tuple[Account, Account]) -> None:
    """Each call of the function is a block."""
    a, b = pair

    @ormis.atomic()
    def move(amount: int, then: type[Exception] | None = None) -> int:
        """Moves it."""
        a.balance -= amount
        a.save()
        if then:
            raise then
        b.balance += amount
        b.save()
        return amount

    assert (move(3), move(4), move.__doc__) == (3, 4, "Moves it.")
    with pytest.raises(KeyError):
        move(1, KeyError)
    assert balances() == [93, 7]


async def test_async_blocks(db: ormis.Database) -> None:
    """`async with`, a decorated async function, and tasks started and awaited inside the block."""
    a, b = await Account(balance=100).asave(), await Account().asave()
    async with ormis.atomic():
        a.balance -= 10
        b.balance += 10
        with ormis.capture_calls() as calls:
            await asyncio.gather(a.asave(), b.asave())
        assert calls == []
        entry = await Entry(account=a).asave()
        assert entry.id == 1
        assert await Entry.objects.acount() == 0
    assert [x.balance async for x in Account.objects.order_by("id")] == [90, 10]

    @ormis.atomic()
    async def fail() -> None:
        await Account().asave()
        raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await Account.objects.acount() == 2


async def test_tasks_have_their_own_blocks(db: ormis.Database) -> None:
    """Blocks of tasks that run at the same time do not mix."""
    made = await Account.objects.abulk_create([Account() for _ in range(20)])
    begun = asyncio.Barrier(20) if hasattr(asyncio, "Barrier") else None

    async def work(account: Account) -> None:
        async with ormis.atomic():
            account.balance = account.id or 0
            await account.asave()
            if begun:
                await begun.wait()
            if account.balance % 2:
                raise KeyError

    await asyncio.gather(*map(work, made), return_exceptions=True)
    assert [x.balance async for x in Account.objects.order_by("id")] == [0 if n % 2 else n for n in range(1, 21)]


async def test_a_task_that_outlives_its_block(db: ormis.Database) -> None:
    """Its writes are refused, with what to do; reads and blocks of its own work."""
    over = asyncio.Event()

    async def later() -> None:
        await over.wait()
        assert await Account.objects.acount() == 1
        with pytest.raises(ormis.OrmisError, match=r"after the end of the atomic\(\) block"):
            await Account().asave()
        async with ormis.atomic():
            await Account().asave()

    async def joins_too_late() -> None:
        async with ormis.atomic():
            await Account().asave()
            await over.wait()

    async with ormis.atomic():
        task, late = asyncio.create_task(later()), asyncio.create_task(joins_too_late())
        await asyncio.sleep(0)
        await Account().asave()
    over.set()
    await task
    with pytest.raises(ormis.OrmisError, match="after the end"):
        await late
    assert await Account.objects.acount() == 2


async def test_a_cancelled_block(db: ormis.Database) -> None:
    """A task that is cancelled inside a block sends nothing."""

    async def work() -> None:
        async with ormis.atomic():
            await Account().asave()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Account.objects.acount() == 0


def test_threads_have_their_own_blocks(pair: tuple[Account, Account]) -> None:
    """What another thread writes while a block is open is not part of it."""
    a, _ = pair
    with pytest.raises(KeyError), ormis.atomic():
        a.balance = 1
        a.save()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: Account(owner="thread").save()).result()
        assert Account.objects.filter(owner="thread").exists()
        raise KeyError
    assert balances() == [100, 0, 0]


def test_one_block_one_database(db: ormis.Database, pair: tuple[Account, Account], url: str) -> None:
    """ormis.atomic() is of the database written first; db.atomic() of that one, and leaves others alone."""
    a, _ = pair
    with ormis.connect(f"{url}?db=1") as other:
        with pytest.raises(ormis.OrmisError, match="one database"), ormis.atomic():
            a.save()
            Account().save(using=other)
        with pytest.raises(KeyError), other.atomic():
            Account().save(using=other)
            a.balance = 7
            a.save()
            raise KeyError
        with other.atomic(), db.atomic():
            a.balance = 8
            a.save()
            new = Account(owner="x").save(using=other)
        assert Account.objects.using(other).get(owner="x").id == new.id
        assert Account.objects.using(db).get(id=1).balance == 8
        other.client.flushdb()


def test_transaction_runs_again_on_a_conflict(db: ormis.Database, pair: tuple[Account, Account], raw: Any) -> None:
    """Until it comes through, so many times; then the conflict is raised. Other errors are raised at once."""
    tries: list[int] = []

    def work(conflicts: int) -> str:
        account = Account.get(1)
        account.balance += 1
        account.save()
        tries.append(1)
        if len(tries) <= conflicts:
            raw.hincrby("tx_account:1", "balance", 100)
        return "done"

    assert db.transaction(lambda: work(2)) == "done"
    assert (balances()[0], len(tries)) == (301, 3)
    tries.clear()
    with pytest.raises(ormis.ConflictError):
        db.transaction(lambda: work(99), retries=2)
    assert len(tries) == 3
    with pytest.raises(ZeroDivisionError):
        db.transaction(lambda: 1 // 0)


async def test_atransaction(db: ormis.Database) -> None:
    """The async twin: 30 tasks at once, each adds one to what it read; none is lost."""
    await Account().asave()

    async def add() -> None:
        account = await Account.aget(1)
        account.balance += 1
        await account.asave()

    await asyncio.gather(*(db.atransaction(add, retries=1000) for _ in range(30)))
    assert (await Account.aget(1)).balance == 30


def test_transfers_under_contention(db: ormis.Database) -> None:
    """8 threads move money between 5 accounts: the total is the same in every read, and at the end."""
    Account.objects.bulk_create([Account(balance=1000) for _ in range(5)])
    done = threading.Event()
    totals: set[int] = set()

    def watch() -> None:
        while not done.is_set():
            totals.add(sum(a.balance for a in Account.objects.all()))

    def move(source: int, target: int, amount: int) -> None:
        a, b = Account.get(source), Account.get(target)
        a.balance -= amount
        b.balance += amount
        a.save()
        b.save()

    def mover(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(25):
            source, target = dice.sample(range(1, 6), 2)
            db.transaction(partial(move, source, target, dice.randrange(50)), retries=1000)

    with ThreadPoolExecutor(10) as pool:
        watchers = [pool.submit(watch) for _ in range(2)]
        try:
            list(pool.map(mover, range(8)))
        finally:
            done.set()
        for watcher in watchers:
            watcher.result()
    assert totals == {5000}
    assert sum(balances()) == 5000


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "child", "set", "sum", "note", "move", "rename", "gone"]),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=25,
)


def _carry_out(steps: list[tuple[str, int, int]]) -> None:
    """Does the steps to objects that it has made or loaded; a deleted one is not touched again."""
    accounts = list(Account.objects.order_by("id"))
    entries: list[Entry] = []
    for step, number, other in steps:
        account = accounts[number % len(accounts)]
        entry = entries[other % len(entries)] if entries else None
        if step == "new":
            accounts.append(Account(owner=f"new {number}", balance=other).save())
        elif step == "child":
            entries.append(account.entries.create(amount=other))
        elif step == "set":
            account.balance = other
            account.save()
        elif step == "sum":
            account.balance = F("balance") + other
            account.save()
        elif step == "note":
            account.notes.append(str(other))
            account.save()
        elif step == "rename":
            account.owner = f"owner {other}"
            account.save(update_fields=["owner"])
        elif step == "move" and entry:
            account.entries.add(entry)
        elif step == "gone" and len(accounts) > 2:
            account.delete()
            accounts.remove(account)
            entries[:] = [entry for entry in entries if entry.account_id != account.id]


def _everything(raw: Any) -> dict[bytes, Any]:
    """Objects and indexes; of the order of creation only who is there."""
    found = stored(raw)
    for key in raw.scan_iter("tx_*/*"):
        if key.endswith(b"/ids"):
            found[key] = set(raw.zrange(key, 0, -1))
        elif raw.type(key) == b"zset":
            found[key] = raw.zrange(key, 0, -1, withscores=True)
        elif raw.type(key) == b"set":
            found[key] = raw.smembers(key)
    return found


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_block_does_what_its_writes_do_one_by_one(
    db: ormis.Database, raw: Any, steps: list[tuple[str, int, int]]
) -> None:
    """The same steps with a block around them and without leave the same objects, indexes and keys."""
    left: list[dict[bytes, Any]] = []
    for inside in (False, True):
        raw.flushall()
        Account.objects.bulk_create([Account(owner=str(n), balance=n) for n in range(3)])
        if inside:
            with ormis.atomic():
                _carry_out(steps)
        else:
            _carry_out(steps)
        left.append(_everything(raw))
    assert left[0] == left[1]
    assert sound(db)


def sound(db: ormis.Database) -> bool:
    """Whether every index is as the hashes say."""
    return not list(ormis.check(db).findings)


def test_a_pickle_of_a_saved_object_is_saved_again(pair: tuple[Account, Account]) -> None:
    """It writes what was changed, once and again."""
    copy = pickle.loads(pickle.dumps(pair[0]))
    for balance in (3, 4):
        copy.balance = balance
        copy.save()
    copy.owner = "c"
    copy.save()
    assert (Account.get(1).balance, Account.get(1).owner) == (4, "c")


def test_a_copy_keeps_its_own_memory(pair: tuple[Account, Account]) -> None:
    """What the original saves is not taken for stored by a copy made before."""
    a, _ = pair
    a.owner = "x"
    a.save()
    copy = a.model_copy()
    a.owner = "y"
    a.save()
    with ormis.capture_calls() as calls:
        copy.balance = 3
        copy.save()
    assert len(calls) == 1
    assert (Account.get(1).owner, Account.get(1).balance) == ("y", 3)
