"""Adding links of a many-to-many relation."""

from functools import partial

import ormis
from ormis import ManyToMany

from .harness import Line, Target, Work
from .place import batches


class Track(ormis.Model):
    """What playlists are linked to."""

    title: str = ""


class Playlist(ormis.Model):
    """What is linked to tracks."""

    title: str = ""
    tracks: ManyToMany[Track] = ManyToMany(related_name="playlists")


class AddLinks(Line):
    """Links from one object to many, against two pipelined SADDs for each, 1,000 links in a pipeline.

    ormis takes objects, looks whether each is there, and sends keys; by hand the keys are trusted.
    """

    name = "add-links"
    title = "playlist.tracks.add(*tracks) / pipelined SADDs on both sides"
    target = Target(2, at_least=True)
    speed = True
    large = True

    def fill(self) -> None:
        self.tracks = Track.objects.bulk_create([Track() for _ in range(self.operations)])
        self.playlist = Playlist.objects.create()

    def hand(self) -> Work:
        self._clear("byhand")
        return partial(self._link, "byhand", [track.pk for track in self.tracks])

    def ormis(self) -> Work:
        self._clear("track", "playlist")
        tracks, manager = self.tracks, self.playlist.tracks
        return lambda: manager.add(*tracks)

    def check(self) -> None:
        ours, theirs = self._sets("playlist", "track"), self._sets("byhand/playlist", "byhand/track")
        assert ours == theirs, "the links differ"
        assert len(ours) == self.operations + 1

    def _clear(self, *starts: str) -> None:
        for start in starts:
            for batch in batches([*self.place.client.scan_iter(f"{start}*/links/*", count=1000)]):
                self.place.client.delete(*batch)

    def _link(self, start: str, pks: list[int]) -> None:
        for batch in batches(pks):
            with self.place.client.pipeline(transaction=False) as pipe:
                for pk in batch:
                    pipe.sadd(f"{start}/playlist/links/tracks/1", pk)
                    pipe.sadd(f"{start}/track/links/playlists/{pk}", 1)
                pipe.execute()

    def _sets(self, *starts: str) -> dict[bytes, set[bytes]]:
        found: dict[bytes, set[bytes]] = {}
        for start in starts:
            keys = [*self.place.client.scan_iter(f"{start}/links/*", count=1000)]
            for batch in batches(keys):
                with self.place.client.pipeline(transaction=False) as pipe:
                    for key in batch:
                        pipe.smembers(key)
                    found |= {key.removeprefix(b"byhand/"): s for key, s in zip(batch, pipe.execute(), strict=True)}
        return found


LINES: list[type[Line]] = [AddLinks]
