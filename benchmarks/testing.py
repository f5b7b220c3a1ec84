"""The database of a test: the fixture `ormis_db` of the pytest plugin."""

from pytest_ormis.servers import Server

from .harness import Line, Target, Work


class EmptyDatabase(Line):
    """Emptying the server and making its database the default one, as for each test, beside a FLUSHALL alone."""

    name = "test-database"
    title = "an empty database for a test / FLUSHALL"
    target = Target(3)

    def fill(self) -> None:
        self.server = Server(self.place.client, self.place.url)
        with self.server.connected():
            pass

    def hand(self) -> Work:
        def work() -> None:
            for _ in range(self.operations):
                self.place.client.flushall()

        return work

    def ormis(self) -> Work:
        server = self.server

        def work() -> None:
            for _ in range(self.operations):
                server.empty()
                with server.connected() as database:
                    assert database is not self.place.database

        return work

    def check(self) -> None:
        assert self.place.client.dbsize() == 0
        self.server.close()


LINES: list[type[Line]] = [EmptyDatabase]
