"""``nvcodec``: the group of commands. This is the only place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import traceback

import click

from nvcodec.errors import NvcodecError

COMMANDS = ("encode", "decode", "info", "extract", "concat", "wrap", "unwrap", "verify", "compare", "bench")
INTERRUPTED = 130
COMPLETION = "_NVCODEC_COMPLETE"  # a variable with which a shell asks for completions, or for the script that does so
#: A variable that torch's OpenMP reads when it is loaded: how often a thread that waits for another one looks before it
#: sleeps. By default it keeps its core busy for milliseconds; where another process wants that core, decoding takes ten
#: times as long. Never to look takes a third of the speed on an idle machine.
SPINS = ("GOMP_SPINCOUNT", "1000")
SPINS_OTHERWISE = "OMP_WAIT_POLICY"  # another variable, with which a user says the same
OTHER_FLAGS = {"onto": "--add-layer", "audio": "--no-audio"}  # of Python parameters that no option is named after


class _Lazy(click.Group):
    """Imports a command's module only when the command is used, so that ``info`` never waits for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"nvcodec.cli.{cmd_name}").command
        return command


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the versions of nvcodec, the format, and everything that pictures and bytes depend on."""
    if not wanted:
        return
    from nvcodec.cli.versions import versions

    click.echo("\n".join(f"{name:<16}{version}" for name, version in versions().items()))
    context.exit()


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of nvcodec and of what it uses, and exit.",
)
def group() -> None:
    """A neural video codec: fits a small network to one video and stores its integers.

    Exit codes: 0 done, 1 internal error, 2 usage, 3 input, 4 corrupt stream, 5 version not supported, 6 verification
    failed or target missed, 130 interrupted.
    """


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; prints one sentence to stderr if it fails, and returns the exit code."""
    context: click.Context | None = None
    try:
        # Not group.main(), which ends the process by itself for some errors.
        with group.make_context("nvcodec", sys.argv[1:] if arguments is None else list(arguments)) as context:
            group.invoke(context)
        if sys.stdout is not None:
            sys.stdout.flush()
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except NvcodecError as error:
        return _fail(_with_flags(str(error), context), error.exit_code)
    except click.Abort:
        return _fail("interrupted", INTERRUPTED)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "nvcodec"
        return _fail(f"{error.format_message()} (see '{where} --help')", 2)
    except BrokenPipeError:
        _forget_broken_stdout()  # the reader of the pipe has closed it, which is no error
        return 0
    except OSError as error:
        _forget_broken_stdout()
        return _fail(f"cannot read or write: {error.strerror or error}", 3)
    except MemoryError:
        return _fail("too little memory", 3)
    except Exception as error:  # the last resort: a traceback helps nobody at a terminal
        if os.environ.get("NVCODEC_TRACEBACK"):
            traceback.print_exc()
        return _fail(
            f"internal error: {type(error).__name__}: {error}; NVCODEC_TRACEBACK=1 shows where, please report it", 1
        )


def _forget_broken_stdout() -> None:
    """Discard what stdout still buffers if it cannot be written; Python would try again at exit and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_flags(message: str, context: click.Context | None) -> str:
    """Return a library's message with its parameters, which stand in backticks, as flags of the invoked command."""
    name = context.invoked_subcommand if context else None
    command = group.get_command(context, name) if context and name else None
    flags = {parameter.name: parameter.opts[0] for parameter in command.params} if command else {}
    flags |= OTHER_FLAGS

    def flag(match: re.Match[str]) -> str:
        value = f" {match['value']}" if match["value"] else ""
        return flags.get(match["name"], match["name"]) + value

    return re.sub(r'`(?P<name>\w+)(=True|=False|="(?P<value>\w+)")?`', flag, message)


def _fail(message: str, code: int) -> int:
    print(f"nvcodec: {' '.join(message.split())}", file=sys.stderr)
    return code


def main() -> None:
    """Entry point of the ``nvcodec`` command."""
    if SPINS_OTHERWISE not in os.environ:
        os.environ.setdefault(*SPINS)
    # SIGTERM ends the process as Ctrl-C does, so that temporary files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(group, {}, "nvcodec", COMPLETION, instruction))
    sys.exit(run())
