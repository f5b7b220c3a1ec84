"""Pages by token, and slices, at the beginning of an order and deep in it."""

from typing import Any

import ormis

from . import catalogue
from .catalogue import Gadget
from .harness import Line, Target, Work

SIZE = 20


class DeepPage(Line):
    """The page of 20 behind 100,000 objects, by its token, against the first page. Both by ormis."""

    name = "page-deep"
    title = f"a page of {SIZE} at half the depth / the first one, by an indexed number"
    target = Target(1.1)
    note = "both sides are ormis: page(20, after=token) beside page(20)"

    def fill(self) -> None:
        catalogue.fill(self.place)
        self.pages: ormis.QuerySet[Any] = Gadget.objects.order_by("price")
        token: str | None = None
        half = self.place.sizes.objects // 2
        step = min(1000, half)
        for _ in range(half // step):
            token = self.pages.page(step, after=token).next
        self.token = token

    def prepare(self) -> None:
        self.fill()

    def _often(self, token: str | None) -> Work:
        def work() -> None:
            for _ in range(self.operations):
                assert len(self.pages.page(SIZE, after=token)) == SIZE

        return work

    def hand(self) -> Work:
        return self._often(None)

    def ormis(self) -> Work:
        return self._often(self.token)

    def check(self) -> None:
        assert self.token is not None, "there are too few objects for a deep page"


class DeepSlice(DeepPage):
    """The slice of 20 behind half of all objects, against the first one. Both by ormis."""

    name = "slice-deep"
    title = f"a slice of {SIZE} at half the depth / the first one, by an indexed number"
    target = Target(2.0)
    note = "both sides are ormis: [100000:100020] beside [:20]; at 200,000 objects"

    def fill(self) -> None:
        catalogue.fill(self.place)
        self.pages = Gadget.objects.order_by("price")

    def _from(self, start: int) -> Work:
        def work() -> None:
            for _ in range(self.operations):
                assert len(self.pages.all()[start : start + SIZE]) == SIZE

        return work

    def hand(self) -> Work:
        return self._from(0)

    def ormis(self) -> Work:
        return self._from(self.place.sizes.objects // 2)

    def check(self) -> None:
        assert self.place.sizes.objects >= 2 * SIZE, "there are too few objects for a deep slice"


LINES: list[type[Line]] = [DeepPage, DeepSlice]
