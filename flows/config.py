"""The configuration of unattended runs: one TOML file, checked before anything starts. No prefect here."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_type_hints
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from affectlake.data.errors import UnknownName, UsageError
from affectlake.features import settings
from affectlake.flows.benchmark import BenchOptions
from affectlake.flows.options import Engine, Gate, RefreshOptions

T = TypeVar("T")
Where = tuple[str | int, ...]
"""Keys and positions that lead to a value: ``("dataset", 0, "benchmark", "label")``."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, Mapping) else _listed(value)


def _whole(value: Any) -> Any:
    """TOML tells 5 from 5.0; where seconds are asked for, both are meant."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _settings(value: Any) -> Any:
    """``video.frames = 8`` below ``[settings]`` is a table in TOML; settings have flat names."""
    if not isinstance(value, Mapping):
        return value
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= {f"{name}.{k}": v for k, v in inner.items()} if isinstance(inner, Mapping) else {name: inner}
    try:
        return settings.parsed(flat)
    except UsageError as error:
        raise ValueError(error) from None


def _expanded(value: Any) -> Any:
    """``$NAME`` is the environment variable of that name: addresses are secrets that do not belong into files."""
    if not isinstance(value, str):
        return value
    found = os.path.expandvars(value)
    if match := re.search(r"\$\{?(\w+)", found):
        raise ValueError(f"the environment variable {match[1]} is not set")
    return found


Settings = Annotated[dict[str, settings.Value], BeforeValidator(_settings)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Number = Annotated[float, BeforeValidator(_whole)]


_KINDS: dict[Any, Any] = {
    tuple[str, ...]: Names,
    tuple[str, ...] | str: str | Names,
    Mapping[str, settings.Value]: Settings,
    float: Number,
}
"""What TOML gives for the types of options: lists, tables, and whole numbers where seconds are meant."""


def _keys(options: type, names: Iterable[str], **bounds: Any) -> dict[str, Any]:
    """Keys of a table as options of a command: the same names, types, choices and defaults; ``bounds`` of some."""
    kinds, known = get_type_hints(options), {f.name: f for f in fields(options)}
    keys = {}
    for name in names:
        kind, option = _KINDS.get(kinds[name], kinds[name]), known[name]
        default = ... if option.default is option.default_factory is MISSING else option.default
        if option.default_factory is not MISSING:
            default = option.default_factory()
        keys[name] = (kind, Field(default, **bounds.get(name, {})))
    return keys


ELSEWHERE = ("dataset", "store", "workers", "engine", "address", "author", "as_of", "train_on")
"""Options that the configuration has in other places, or a night has no use for."""


def _table_of(options: type, **bounds: Any) -> Any:
    """A table whose keys are a command's options."""
    names = [f.name for f in fields(options) if f.name not in ELSEWHERE]
    return create_model(f"{options.__name__}Keys", __base__=_Strict, **_keys(options, names, **bounds))


_BenchKeys: Any = _table_of(BenchOptions, folds={"ge": 2}, repeats={"ge": 1})
_RefreshKeys: Any = _table_of(RefreshOptions, timeout={"gt": 0}, max_missing={"ge": 0, "le": 1})


class Bench(_BenchKeys):
    """The benchmark of one dataset; keys as the options of ``affectlake bench``."""


class Drift(_Strict):
    """When a column, an extractor or a score counts as having drifted; see docs/nightly.md."""

    mean: Number = Field(default=0.5, gt=0)
    spread: Number = Field(default=2.0, gt=1)
    coverage: Number = Field(default=0.05, gt=0, le=1)
    against: str | None = None


class Dataset(_RefreshKeys):
    """One dataset: keys as the options of ``affectlake refresh``, and what else to do with it."""

    name: str
    gate: Gate = "fail"  # nobody is there to be warned
    drift: Drift = Drift()
    benchmark: Bench | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.root is None) == (self.manifest is None):
            raise ValueError("give either root or manifest")
        return self


class Notify(_Strict):
    """Whom to tell, and of what: a command (record on standard input), a webhook (JSON POST) or a Prefect block."""

    command: Names = ()
    webhook: Annotated[str | None, BeforeValidator(_expanded)] = Field(None, repr=False)
    block: str | None = None
    on: Annotated[
        tuple[Literal["failure", "interrupted", "quarantine", "gate", "drift", "always"], ...], BeforeValidator(_listed)
    ] = (
        "failure",
        "quarantine",
        "gate",
        "drift",
    )
    attempts: int = Field(3, ge=1)
    timeout: Number = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum((bool(self.command), self.webhook is not None, self.block is not None)) != 1:
            raise ValueError("give one of command, webhook or block")
        if self.webhook is not None and not self.webhook.startswith(("http://", "https://")):
            # What it is may be a secret that stands under a wrong name.
            raise ValueError("the webhook is no http:// or https:// address")
        if self.block is not None and not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", self.block):
            raise ValueError(f"{self.block!r} does not name a block: expected type/name, such as 'slack-webhook/team'")
        return self

    def public(self) -> dict[str, Any]:
        """As a mapping that may be printed: of a webhook, whose address is often the secret itself, the host alone."""
        address = self.webhook and f"{urlsplit(self.webhook).scheme}://{urlsplit(self.webhook).hostname}/…"
        return self.model_dump() | {"webhook": address}


class Config(_Strict):
    """What a night does. Paths are relative to the configuration file."""

    name: str = Field("nightly", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    store: str = "lake"
    reports: str = "reports"
    reports_url: str | None = None
    workers: int | None = Field(None, gt=0)
    engine: Engine = "local"
    address: str | None = None
    cron: str = "0 2 * * *"
    timezone: str = "UTC"
    log: Literal["text", "json"] = "text"
    retries: int = Field(2, ge=0)
    retry_seconds: Number = Field(30.0, ge=0)
    keep: int = Field(400, ge=2)
    settings: Settings = {}
    dataset: Annotated[tuple[Dataset, ...], BeforeValidator(_listed)] = Field(min_length=1)
    notify: Annotated[tuple[Notify, ...], BeforeValidator(_one_or_more)] = ()

    def public(self) -> dict[str, Any]:
        """As a mapping that may be printed, without secrets."""
        return self.model_dump() | {"notify": [hook.public() for hook in self.notify]}


class _Source:
    """A configuration's text, to say where in it something is wrong."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        try:
            self.text = self.path.read_text(encoding="utf-8")
            self.values = tomllib.loads(self.text)
        except UnicodeDecodeError:
            raise UsageError(f"{self.path}: not TOML: it is not UTF-8 text") from None
        except OSError as error:
            raise UsageError(f"cannot read the configuration {self.path}: {error.strerror}") from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{self.path}: not TOML: {error}") from None

    def wrong(self, where: Where, message: object) -> UsageError:
        keys = ".".join(str(k) for k in where if isinstance(k, str)) or "(top)"
        return UsageError(f"{self.path}, line {_line_of(self.text, where)}, key {keys}: {message}")


def load_config(path: Path | str) -> Config:
    """Read a configuration and check all that can be checked without looking at data.

    Raises
    ------
    UsageError
        The file is missing, is not TOML, or has a wrong key or value; names file, line and key.
    """
    source = _Source(path)
    try:
        config = Config.model_validate(source.values)
    except ValidationError as error:
        raise _explained(source, error) from None
    names = [d.name for d in config.dataset]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise source.wrong(("dataset", i, "name"), f"{name!r} is there twice")
    return _absolute(config, source.path.absolute().parent)


def check_config(path: Path | str) -> Config:
    """Read a configuration and check it against this machine: datasets, extractors, models, labels and folders.

    Raises
    ------
    UsageError
        As `load_config`, and for a name that is not known or a folder that is not there.
    """
    config, source = load_config(path), _Source(path)
    for key, cron, timezone in (("timezone", "* * * * *", config.timezone), ("cron", config.cron, "UTC")):
        try:
            check_schedule(cron, timezone)
        except UsageError as error:
            raise source.wrong((key,), error) from None
    for i, dataset in enumerate(config.dataset):
        _dataset(dataset, config, ("dataset", i), source)
    return config


def check_schedule(cron: str, timezone: str) -> None:
    """Raises UsageError where Prefect would not take the schedule."""
    from zoneinfo import available_timezones

    from affectlake.flows.settings import configure

    configure()
    from prefect.client.schemas.schedules import CronSchedule

    if timezone not in available_timezones():
        raise UnknownName("time zone", timezone, available_timezones())
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValueError:
        raise UsageError(f"{cron!r} is not a cron expression; expected five fields, such as '0 2 * * *'") from None


def _dataset(dataset: Dataset, config: Config, at: Where, source: _Source) -> None:
    from affectlake.data import datasets, remote
    from affectlake.data.media import special
    from affectlake.data.store import Store
    from affectlake.features.registry import choose
    from affectlake.features.transcripts import TRANSCRIBER

    def attempt(key: Where, action: Callable[[], T]) -> T:
        try:
            return action()
        except UsageError as error:
            raise source.wrong((*at, *key), error) from None

    attempt(("only",), lambda: choose(dataset.only))
    if dataset.transcribe:
        attempt(("transcribe",), lambda: choose((TRANSCRIBER,)))
    if dataset.root is not None:
        attempt(("name",), lambda: datasets.get(dataset.name))
    for key, where in (("root", dataset.root), ("manifest", dataset.manifest)):
        if where is not None:
            attempt((key,), partial(remote.check, where, key))
    if remote.is_remote(dataset.root or dataset.manifest or ""):
        pass  # what is there is for the refresh to find
    elif dataset.root is not None:
        if not Path(dataset.root).is_dir():
            raise source.wrong((*at, "root"), f"no folder {dataset.root}{_beside(dataset.root)}")
    elif what := special(Path(dataset.manifest)):
        raise source.wrong((*at, "manifest"), f"{dataset.manifest}: {what}, not a file")
    elif not Path(dataset.manifest).is_file():
        raise source.wrong((*at, "manifest"), f"no file {dataset.manifest}{_beside(dataset.manifest)}")
    if dataset.drift.against is not None:
        attempt(
            ("drift", "against"), lambda: Store(config.store, create=True).snapshot(dataset.name, dataset.drift.against)
        )
    if dataset.benchmark is None:
        return
    bench = dataset.benchmark
    for key in ("models", "fusions"):
        attempt(("benchmark", key), partial(_plan, bench, key))
    labels = attempt(("manifest",) if dataset.manifest else ("root",), lambda: _labels(dataset, config))
    for label in (bench.label,) if isinstance(bench.label, str) else bench.label:
        if labels and label not in labels:
            raise source.wrong((*at, "benchmark", "label"), UnknownName("label", label, labels))


def _plan(bench: Bench, key: str) -> None:
    """Raises UnknownName for a name in ``key`` that the models do not know."""
    from affectlake.models.benchmark import Plan

    if getattr(bench, key):
        Plan(label=bench.label, **{key: getattr(bench, key)})


def _labels(dataset: Dataset, config: Config) -> Iterable[str]:
    """Columns that a benchmark may predict."""
    from affectlake.data import datasets

    if dataset.root is not None:
        known = datasets.get(dataset.name)
        return {*known.labels, *known.label_maps}
    from affectlake.data.manifest import TableOptions, load_manifest
    from affectlake.data.samples import attributes

    options = TableOptions(dataset.encoding, dataset.missing_values or None, dataset.sheet)
    return attributes(load_manifest(dataset.manifest, dataset.name, options).samples.columns)


def _beside(path: str) -> str:
    """The nearest name that is there, for a path that is not."""
    parent = Path(path).parent
    if not parent.is_dir():
        return f" (nor {parent})"
    close = get_close_matches(Path(path).name, [p.name for p in parent.iterdir()], n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def write_config(store: str, path: Path) -> Path:
    """Write a configuration that refreshes every dataset of a store from where it came from; returns its path.

    Raises
    ------
    UsageError
        The store remembers no dataset.
    """
    from affectlake.data.store import Store
    from affectlake.flows.sources import sources

    found = sources(Store(store))
    if not found:
        raise UsageError(
            f"the store {store} holds no dataset that was refreshed: affectlake refresh …, or write {path}"
        )
    lines = [f"store = {json.dumps(store if '://' in store else str(Path(store).absolute()))}", ""]
    for source in found.values():
        lines += ["[[dataset]]", f"name = {json.dumps(source['dataset'])}"]
        lines += [f"{k} = {json.dumps(source[k])}" for k in ("root", "manifest") if source[k]]
        lines += [f"only = {json.dumps(source['only'].splitlines())}"]
        lines += ["transcribe = true"] if source.get("transcribe") == "yes" else []
        text = source.get("table")
        table = json.loads(text) if isinstance(text, str) else {}
        lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in table.items()]
        text = source.get("settings")
        given = json.loads(text) if isinstance(text, str) else {}
        if given:
            lines += ["[dataset.settings]", *(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in given.items())]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _explained(source: _Source, error: ValidationError) -> UsageError:
    # A misspelt key is both unknown and, under its right name, missing: the first says more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    # A single [notify] is validated as the first of a list.
    where = tuple(first["loc"])
    where = where[:-1] if where[-1:] == ("str",) else where  # of what may be one word or several
    message: object = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = UnknownName("key", where[-1], _model(where[:-1]).model_fields)
    elif first["type"] == "literal_error":
        allowed = re.findall(r"'([^']+)'", first["ctx"]["expected"])
        close = get_close_matches(str(first["input"]), allowed, n=1, cutoff=0.5)
        hint = f", did you mean {close[0]!r}?" if close else ""
        message = f"got {first['input']!r}{hint} Expected {first['ctx']['expected']}"
    elif first["type"] not in ("missing", "value_error"):
        message = f"{message}, got {first['input']!r}"
    return source.wrong(where, message)


_TABLES: dict[str, type[BaseModel]] = {"dataset": Dataset, "benchmark": Bench, "drift": Drift, "notify": Notify}


def _model(where: Where) -> type[BaseModel]:
    tables = [k for k in where if isinstance(k, str)]
    return _TABLES[tables[-1]] if tables else Config


def _line_of(text: str, where: Where) -> int:
    """Line of the key, or of the table that should hold it: tomllib keeps no positions."""
    lines, at = text.splitlines(), 0
    for part, after in zip(where, (*where[1:], None), strict=True):
        if isinstance(part, int):
            continue
        name = rf"[\"']?{re.escape(part)}[\"']?"
        header, key = rf"\[+\s*([\w.\"'-]+\.)?{name}\s*\]+", rf"([\w\"'-]+\s*\.\s*)*{name}\s*(\.[^=]*)?="
        inline = rf".*[{{,]\s*{name}\s*="
        for pattern in (rf"^\s*({header}|{key})", inline):
            found = [i for i in range(at, len(lines)) if re.match(pattern, lines[i])]
            if found:
                at = found[min(after, len(found) - 1)] if isinstance(after, int) else found[0]
                break
    return at + 1


def _absolute(config: Config, base: Path) -> Config:
    def place(value: str | None) -> str | None:
        return value if value is None or "://" in value else str(base / value)

    return config.model_copy(
        update={
            "store": place(config.store),
            "reports": place(config.reports),
            "dataset": tuple(
                d.model_copy(update={"root": place(d.root), "manifest": place(d.manifest)}) for d in config.dataset
            ),
        }
    )
