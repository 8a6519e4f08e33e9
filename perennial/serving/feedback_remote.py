"""Labels into a landing place that fsspec reaches."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.stores.landing.remote import Remote


class Target(Remote):
    """A remote landing place that is written to."""

    def deliver(self, name: str, text: bytes, marks: Sequence[str]) -> None:
        """Put a file there, in one move, unless it is there; then empty files beside it.

        Raises:
            LandingError: the place can't be reached or written.
        """
        with self._translate_errors():
            system, root = self._filesystem
            system.invalidate_cache()
            if not system.exists(f"{root}/{name}"):
                if self.is_atomic:
                    system.pipe_file(f"{root}/{name}", text)
                else:
                    system.pipe_file(f"{root}/.{name}.part", text)
                    system.mv(f"{root}/.{name}.part", f"{root}/{name}")
            for mark in marks:
                system.pipe_file(f"{root}/{mark}", b"")


def deliver(address: str, name: str, text: bytes, marks: Sequence[str]) -> None:
    """Put a file into a place by its URL; see Target.deliver."""
    Target(address).deliver(name, text, marks)
