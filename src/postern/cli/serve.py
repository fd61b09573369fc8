"""``postern serve``: the whole server, in the foreground, until SIGTERM."""

import typer

app = typer.Typer(help="Run the mail server until SIGTERM.")


@app.command()
def serve() -> int:
    """Run the mail server in the foreground.

    Says "postern: ready" on stderr once it answers. SIGHUP reads the configuration again, SIGTERM
    stops. Exit: 0 after SIGTERM, 75 when the data is served already or a port is taken, 78 when
    the configuration cannot be used.
    """
    from postern.cli.serving import serve_until_stopped  # noqa: PLC0415 - not for --help

    return serve_until_stopped()
