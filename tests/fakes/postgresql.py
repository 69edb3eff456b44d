"""A PostgreSQL server of one's own, for as long as a test takes: the real one, of Debian's packages."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "ada", "s3cret/word@x"


@contextmanager
def server():
    """Start one that answers on a socket alone; give the folder that the socket is in."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    # The server refuses to run as root; Debian's package makes this user.
    user = "postgres" if os.getuid() == 0 else None

    def run(program, *arguments):
        command = [programs / program, "--pgdata", data, *arguments]
        subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        data, secret = Path(folder) / "data", Path(folder) / "password"
        secret.write_text(PASSWORD)
        for path in (folder, secret):
            shutil.chown(path, user or os.getuid())
        run(
            "initdb",
            "--username",
            USER,
            "--pwfile",
            secret,
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--no-sync",
        )
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c timezone=Asia/Kathmandu"
        run("pg_ctl", "--wait", "--silent", "--log", Path(folder) / "log", "--options", options, "start")
        try:
            yield folder
        finally:
            run("pg_ctl", "--wait", "--mode", "immediate", "stop")
