"""The command that runs another one as a job of a Ray cluster: submit."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artylyze.errors import ArtylyzeError, StorageError, UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

commands = typer.Typer()

PACKAGE = Path(__file__).parents[1]


@commands.command()
def submit(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="A command with its arguments, after `--`.")],
    address: Annotated[
        str | None, typer.Option(help="Of the cluster's dashboard. Default: RAY_ADDRESS, else http://127.0.0.1:8265.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Print the job's log and end as it ends, or print its name.")
    ] = True,
) -> None:
    """Run a command as a job of a Ray cluster.

    The job runs the code of this installation: the cluster needs only the packages that artylyze depends on, in the
    same versions. Paths are those of the cluster. The job goes on if this command is interrupted.

    Example: artylyze submit -- tag s3://museum/scans -o s3://museum/catalog --workers 128
    """
    known = context.find_root().command.commands  # type: ignore[attr-defined]
    if command[0] not in known:
        raise UsageError(f"There is no command {command[0]}: `artylyze --help` lists them.")
    job = shlex.join(["python", "-m", "artylyze", *command])
    client, name = _submitted(job, address or os.environ.get("RAY_ADDRESS") or "http://127.0.0.1:8265")
    sys.stderr.write(f"Submitted to {client.get_address()} as {name}: {job}\n")
    if not wait:
        typer.echo(name)
        return
    asyncio.run(_print_log(client, name))
    info = client.get_job_info(name)
    if info.status != "SUCCEEDED":
        sys.stderr.write(f"artylyze: the job {name} {str(info.status).lower()}. {info.message or ''}\n")
        raise typer.Exit(info.driver_exit_code or ArtylyzeError.exit_code)


def _submitted(job: str, address: str) -> tuple[JobSubmissionClient, str]:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    code = {"py_modules": [str(PACKAGE)], "excludes": ["__pycache__", "node_modules"]}
    try:
        client = JobSubmissionClient(address)
        return client, client.submit_job(entrypoint=job, runtime_env=code)
    except ConnectionError as error:
        raise StorageError(
            f"No Ray cluster answers at {address}: give the address of its dashboard with `address` or RAY_ADDRESS."
        ) from error
    except AuthenticationError as error:
        raise StorageError(
            f"The Ray cluster at {address} refuses access: set RAY_AUTH_MODE=token, and put its token into "
            "~/.ray/auth_token."
        ) from error
    except RuntimeError as error:  # a cluster of another version, for example
        raise StorageError(f"The Ray cluster at {address} takes no job: {str(error).splitlines()[0]}") from error


async def _print_log(client: JobSubmissionClient, name: str) -> None:
    async for text in client.tail_job_logs(name):
        sys.stdout.write(text)
        sys.stdout.flush()
