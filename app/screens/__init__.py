"""The console: one full-screen application over a `NodeHandle`. The only folder that imports Textual.

What lies where:

    app.py        the application: frames, opening screens, giving commands; knows no screen by name
    view.py       `View`, the base of every screen          frame.py     `Frame`: what a screen draws from
    chrome.py     head, banner and footer around it         prefs.py     keymap, themes, saved views
    commands.py   `Command` and the registry                acting.py    questions, undo, how it is told
    views/        the screens, a file each                  acts/        the commands, a file for each subject
    widgets/      grid, paging, filter bar, plots, words    dialogs/     questions over a screen
    driver.py     to the terminal and back (`units` in,     in_order.py  one key after another, with all it
                  `outlet` out), `surviving` its loss                    does (`under_way`, `typed`)
    fake/         a simulated node, also for `--demo`

**A screen** is one new file in `views/` with a class that has a `NAME`. Nothing else has to know of it::

    class KindsView(View):
        NAME, TITLE, PLACE = "kinds", "Kinds", 5          # PLACE: the digit that opens it
        ROLES = frozenset({"manager"})
        ABOUT = "What the help says at the top."

        def body(self) -> ComposeResult:                  # between head and footer
            yield Grid(COLUMNS, key=lambda row: row.name, sort=Sort("name"), empty="no kinds yet; ...")

        def draw(self, frame: Frame) -> None:             # four times a second, only while it is seen
            self.query_one(Grid).show(frame.snapshot.kinds, frame.look)

        def noun(self) -> str:                            # what one row is, in questions
            return "kind"

        @on(Grid.Opened)                                  # Enter or a double click
        async def _open(self, event: Grid.Opened) -> None:
            await self.console.go("task", "17")           # a screen with an ARGUMENT

A table in memory is `grid.show(rows, frame.look)`: it sorts itself by `Column.order`, keeps cursor and marks
by key, and paints only lines that differ. A long list of the node's is a `paging.Pager`, see
`views/tasks.py`; one thing in full is a `Sheet`, see `views/task.py`. What has to be awaited goes into
`self.run_worker(..., exclusive=True, group="...")`, never into `draw`. `draw` is not called while the screen
is frozen; `frame.away` says that the node is. Styles of a screen are its own `DEFAULT_CSS`; colours are the
theme's (`$success`, `console.tones()`) and never the only sign of anything: see `widgets/badges.py`.

**A command** is a class in a file of `acts/` with a `name`; footer, help, palette, `:` line, row menu, mouse
and the user's keymap follow from it::

    class PauseKind(Command):
        \"\"\"The sentence in the help.\"\"\"

        name, title, key = "kind.pause", "Pause", "p"
        place = 20                                        # order in the footer; without it: not there
        views, roles = ("kinds",), frozenset({"manager"})
        changes, menu = True, True                        # hidden when read-only; in the row's menu

        def ready(self, view: View) -> bool:
            return bool(view.chosen())

        def twin(self, view: View) -> str:                # the same for a shell
            return f"taskmessenger pool pause --kind {view.chosen().keys[0]}"

        async def run(self, view: View, words: str = "") -> None:    # words: typed after `:kind.pause`
            chosen = view.chosen()

            async def do() -> ActDone | None: ...         # `await view.node.act(Act(...))`

            await view.console.actor.perform(view, Order(
                what=f"pause {chosen.told()}", done="paused", do=do, noun="kind",
                number=len(chosen.keys), names=chosen.names(), danger=Danger.NONE, twin=self.twin(view)))

`Order` decides by its `danger`, `number`, `whole` and `phrase` what is asked; do not ask yourself. Commands
on tasks are a `TaskAct` with a `verb`. Errors are raised as `TaskMessengerError` and shown as one line. Two
commands of one screen may not share a key; a test compares them all.

**A dialog** is a `Dialog[Answer]` in `dialogs/`, asked with `await console.push_screen_wait(...)` from a
command: `Confirm`, `Typed`, `Prompt`, `Choice`, `Message`, `Progress` are there.

**Text of strangers** (names, errors, output, payloads) passes `widgets.words.safe` or `safe_block` and goes
to the screen as `Text`, a cell or a `Segment`; never as markup.

**A test** drives the console over the simulated node, whose clock stands still (`tests/support/console.py`)::

    async def test_p_pauses_the_kind() -> None:
        async with opened(view="kinds") as (pilot, console, node):      # or opened(size=(160, 50))
            await press(pilot, "down", "p")
            assert node.snapshot().kinds[1].paused

Its picture is a line in the table of `tests/console/test_pictures.py`, taken at 80x24 and 160x50. New or
changed ones: `pytest tests/console/test_pictures.py --snapshot-update`; look at them before they are kept.
"""
