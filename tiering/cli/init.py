"""`frostline init`: write a configuration, create the catalog, prepare stores and roots; or complete what there is."""

import os
from dataclasses import replace
from typing import Annotated

import typer

from tiering.app.configure import (
    InitRequest,
    archive_class_of,
    check_config_place,
    config_text,
    default_state_dir,
    extend,
    new_config,
    without_password,
    write_config,
)
from tiering.app.dropin import SYSTEMD_DIR, drop_in, write_drop_in
from tiering.app.install import Installed, install
from tiering.app.kernels import compile_once
from tiering.app.placement import check_placement
from tiering.cli.session import Session, session_of
from tiering.config import Config, parse_config
from tiering.config.load import SYSTEM_CONFIG
from tiering.errors import UsageError

EXAMPLES = (
    "frostline init --root /data --store file:///mnt/cold/frostline",
    "frostline --config /etc/frostline/frostline.toml init --root /data --store s3://bucket/frostline",
    "frostline init --root /more/data      # one more root in the configuration there is",
)


def run(
    ctx: typer.Context,
    root: Annotated[list[str] | None, typer.Option("--root", help="Directory to take under care. Repeatable.")] = None,
    store: Annotated[str, typer.Option("--store", help="file:///dir or s3://bucket/prefix")] = "",
    state: Annotated[str, typer.Option("--state", help="Folder of the catalog and the spool.")] = "",
    catalog: Annotated[
        str, typer.Option("--catalog", help="postgresql://user@host/name; default: SQLite in the state folder.")
    ] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="Only look at these roots, never act.")] = False,
    archive: Annotated[
        str, typer.Option("--archive", help="Class of an archive tier on that store; auto: GLACIER where it works.")
    ] = "auto",
    endpoint_url: Annotated[str, typer.Option("--endpoint-url", help="S3 server other than AWS.")] = "",
    region: Annotated[str, typer.Option("--region", help="S3 region.")] = "",
    profile: Annotated[str, typer.Option("--profile", help="Profile of ~/.aws/config.")] = "",
    path_style: Annotated[bool, typer.Option("--path-style", help="Bucket in the path, not in the host name.")] = False,
    systemd_dir: Annotated[
        str, typer.Option("--systemd-dir", help="Where the drop-in with ReadWritePaths goes; default: the system's.")
    ] = "",
) -> int:
    """Write a complete commented configuration, create the catalog, prepare and probe the stores, mark the roots.

    Nothing is moved: `act = false` until you change it. On an existing configuration it adds the roots named, writes
    lost markers of roots named, and prepares tiers and roots that were added to the file by hand. The first time on a
    machine it also compiles for its processor what runs as machine code: some ten seconds.
    """
    session = session_of(ctx)
    request = InitRequest(
        roots=tuple(os.path.abspath(path) for path in root or ()),
        store=store,
        state_dir=os.path.abspath(state) if state else default_state_dir(),
        read_only=read_only,
        endpoint_url=endpoint_url,
        region=region,
        profile=profile,
        path_style=path_style or bool(endpoint_url),
        archive_class="" if archive in {"auto", "none"} else archive,
        catalog_url=_catalog_url(catalog),
    )
    path = session.config_path
    if os.path.exists(path):
        text, config = _completed(session, request)
    else:
        text, config = _first(session, request, probes_archive=archive == "auto")
    check_config_place(path)
    named = [known.name for known in config.roots if known.path in request.roots]
    installed = install(config, clock=session.clock, named_roots=named)
    write_config(path, text)
    written = _write_drop_in(config, path, systemd_dir)
    _report(session, config, installed, drop_in_path=written)
    compile_once(session.out.note)
    return 0


def _catalog_url(given: str) -> str:
    """Return the catalog's URL for the file: as *given*, or what the environment says, whose password stays there."""
    if given != without_password(given):
        raise UsageError(
            "--catalog holds a password, which never stands in the file",
            now="nothing was created or changed",
            hint="leave it out and set FROSTLINE_CATALOG_URL to the whole URL, for this command and the service",
        )
    return given or without_password(os.environ.get("FROSTLINE_CATALOG_URL", ""))


def _first(session: Session, request: InitRequest, *, probes_archive: bool) -> tuple[str, Config]:
    if not request.roots or not request.store:
        raise UsageError(
            f"there is no configuration at {session.config_path} yet: init needs --root and --store",
            hint=EXAMPLES[0],
        )
    config = new_config(request)
    check_placement(config)
    if probes_archive and (storage_class := archive_class_of(config, clock=session.clock)):
        config = new_config(replace(request, archive_class=storage_class))
    text = config_text(config)
    return text, parse_config(text, path=session.config_path).config  # what the environment says counts here too


def _completed(session: Session, request: InitRequest) -> tuple[str, Config]:
    loaded = session.load()
    if request.catalog_url not in {"", without_password(loaded.config.catalog.url)}:
        raise UsageError(
            f"{loaded.path} exists and has another catalog than {request.catalog_url}",
            now="nothing was changed",
            hint="name another file with --config; another catalog for the same stores is made by: frostline rebuild",
        )
    if request.store and request.store.rstrip("/") not in {tier.store for tier in loaded.config.tiers.values()}:
        raise UsageError(
            f"{loaded.path} exists and has other stores than {request.store}",
            now="nothing was changed",
            hint="edit its [tiers] and run frostline init again, or name another file with --config",
        )
    return extend(loaded, request)


def _write_drop_in(config: Config, path: str, systemd_dir: str) -> str:
    is_system = path == SYSTEM_CONFIG and os.access(SYSTEMD_DIR, os.W_OK)
    folder = systemd_dir or (SYSTEMD_DIR if is_system else "")
    return write_drop_in(folder, drop_in(config, path)) if folder else ""


def _report(session: Session, config: Config, installed: Installed, *, drop_in_path: str) -> None:
    out = session.out
    out.json(
        {
            "config": session.config_path,
            "catalog_id": installed.catalog_id,
            "store_id": installed.store_id,
            "stores": [
                {"tier": store.tier, "url": store.url, "capabilities": store.capabilities} for store in installed.stores
            ],
            "roots": [root.path for root in config.roots],
            "drop_in": drop_in_path,
        }
    )
    out.text(f"configuration  {session.config_path}")
    out.text(f"catalog        {without_password(config.catalog.url)}")
    for root in config.roots:
        out.text(f"root           {root.path}" + ("  (read-only)" if root.read_only else ""))
    for path in installed.marked_before:
        out.note(
            f"{path} carried a frostline marker already: let only one installation act on it; if that one's catalog is "
            "lost, frostline rebuild with its configuration brings it back"
        )
    for store in installed.stores:
        seen = store.capabilities
        words = [
            "conditional create" if seen.conditional_put else "no conditional create: one writer at a time",
            "verifies checksums" if seen.verifies_checksum else "does not verify checksums: uploads are read back",
            *(["restores from archive"] if seen.archives else []),
        ]
        out.text(f"tier {store.tier:<10}{store.url}  ({', '.join(words)})")
    if drop_in_path:
        out.text(f"systemd        {drop_in_path}; next: systemctl daemon-reload")
    if not config.act:
        out.text("nothing moves by itself until act = true is set; look first: frostline scan, frostline plan")
