"""The command line as a whole: its groups of commands, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from artylyze import __version__
from artylyze.cli.begin import commands as begin_commands
from artylyze.cli.clustering import commands as clustering_commands
from artylyze.cli.collection import commands as collection_commands
from artylyze.cli.flags import in_flags
from artylyze.cli.groups import Grouped
from artylyze.cli.interruption import Interruption, over_echo
from artylyze.cli.publish import commands as publish_commands
from artylyze.cli.searching import commands as searching_commands
from artylyze.cli.submission import commands as submission_commands
from artylyze.cli.training import commands as training_commands
from artylyze.cli.upkeep import commands as upkeep_commands
from artylyze.errors import ArtylyzeError, InterruptedRunError, StorageError

app = typer.Typer(
    name="artylyze",
    help="Read a digitized art collection and write a Parquet catalog of it.",
    cls=Grouped,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(begin_commands)
app.add_typer(collection_commands)
app.add_typer(searching_commands)
app.add_typer(training_commands)
app.add_typer(clustering_commands)
app.add_typer(publish_commands)
app.add_typer(upkeep_commands)
app.add_typer(submission_commands)

_WHEN_REPEATED = {
    "tag": "resumes where it stopped",
    "train": "resumes with the features and epochs that are complete",
    "tune": "resumes with the trials and epochs that are complete",
    "demo": "resumes at the interrupted step",
    "sample": "draws the missing images",
    "submit": "submits it again; the submitted job goes on, until `ray job stop`",
    "explore": "writes the missing files and serves the explorer again",
}
"""What a repeated command does after an interruption; the others start again."""


def main() -> NoReturn:
    """Run the command line: a user's mistake ends in one sentence and its exit code, never in a traceback."""
    try:
        with Interruption(f"interrupted. The same command {_when_repeated(sys.argv[1:])}."):
            app()
    except ArtylyzeError as error:
        before = over_echo(2) if isinstance(error, InterruptedRunError) else ""
        sys.stderr.write(f"{before}artylyze: {in_flags(str(error))}\n")
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder that cannot be written, a Ray address that does not answer
        sys.stderr.write(f"artylyze: {error}\n")
        sys.exit(StorageError.exit_code)
    sys.exit(0)


def _when_repeated(arguments: list[str]) -> str:
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    return "starts again" if "--dry-run" in arguments else _WHEN_REPEATED.get(command, "starts again")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
