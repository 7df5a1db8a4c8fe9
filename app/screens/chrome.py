"""What all screens have around them: head, banner, footer, keys. What is between is the screen's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from ..handle import NodeHandle
from .commands import ALWAYS, LAST, Command
from .widgets.bars import Banner, Head, Hints, UndoBar
from .widgets.grid import Grid

if TYPE_CHECKING:
    from .app import Console
    from .frame import Frame
    from .view import View


class Chrome(Screen[None]):
    """The base of `View`, and of nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.frame: Frame | None = None
        """The newest that was drawn."""
        self._grid: Grid[Any] | None = None
        self._searched = False

    def body(self) -> ComposeResult:
        """The widgets between head and footer."""
        raise NotImplementedError

    def draw(self, frame: Frame) -> None:
        """Show this moment. Called only while this screen is seen, and not while it is frozen."""

    @property
    def _view(self) -> View:
        return cast("View", self)

    @property
    def console(self) -> Console:
        """The application."""
        return cast("Console", self.app)

    @property
    def node(self) -> NodeHandle:
        """The node that is shown."""
        return self.console.node

    @property
    def grid(self) -> Grid[Any] | None:
        """Its table, if it has one."""
        if not self._searched:  # every command asks for it in every frame
            # Textual has a container of the same name, and looks for names.
            self._grid = next(iter(self.query(Grid).results(Grid)), None)
            self._searched = self.is_mounted
        return self._grid

    def compose(self) -> ComposeResult:
        yield Head()
        yield Banner()
        with Vertical(classes="body"):
            yield from self.body()
        yield UndoBar()
        yield Hints()

    def bind_commands(self, commands: Iterable[Command]) -> None:
        """Give them their keys, those of this operator."""
        for command in commands:
            for key in self.console.registry.keys(command):
                binding = Binding(
                    key, f"command('{command.name}')", command.title, show=False, id=command.name
                )
                self._bindings.key_to_bindings.setdefault(key, []).append(binding)

    def bindings_of(self, key: str) -> Sequence[Binding]:
        """What this key does here."""
        return self._bindings.key_to_bindings.get(key, ())

    def run_worker(self, work: Any, *arguments: Any, **options: Any) -> Worker[Any]:
        """As Textual's. Give it the function, not what it returns: that might never be awaited."""
        return super().run_worker(work, *arguments, **options)

    async def action_command(self, name: str) -> None:
        """A key, a click in the footer: the same way for all."""
        self.console.give(name, self._view)

    def take(self, frame: Frame) -> None:
        """The next moment: the bars always, the screen itself unless it is frozen."""
        if not self.query(Hints):  # not composed yet: the next frame comes soon
            return
        self.set_class(frame.away, "-away")
        self.make_room()
        self.query_one(Head).tell(self.console.head(self._view, frame))
        self.query_one(Banner).tell(frame)
        self.query_one(UndoBar).tell(self.console.actor.pending, frame.now)
        if not self.console.frozen or self.frame is None:
            self.frame = frame
            self.draw(frame)
        self.hint()

    def make_room(self) -> None:
        """Where lines are few, what is told has one of its own: it covers nothing."""
        self.set_class(self.console.telling, "-told")

    def hint(self) -> None:
        """The footer: what can be done here and now."""
        hints = next(iter(self.query(Hints)), None)
        if hints is None:  # not composed yet, or closing
            return
        registry = self.console.registry
        known = [c for c in registry.ready(self._view) if c.place < LAST and registry.shown_key(c)]
        some, always = (
            [(registry.shown_key(c), c.title, c.name) for c in known if (c.place >= ALWAYS) is wanted]
            for wanted in (False, True)
        )
        hints.tell(some, always)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What was asked for has come: what can be done with it may be something else."""
        if event.state is WorkerState.SUCCESS and self.is_mounted and self.frame is not None:
            self.hint()

    def on_screen_resume(self) -> None:
        """Seen again: not with what was true when it was left."""
        self.console.touch()

    def focus_main(self) -> None:
        """Back to the table from a field."""
        if self.grid is not None:
            self.grid.focus()
