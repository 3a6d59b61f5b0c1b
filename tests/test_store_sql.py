"""Queries read the store and nothing else."""

import pandas as pd
import pytest
from lakes import refresh

from affectlake.data import Store
from affectlake.data.errors import UsageError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("sql") / "lake", create=True)
    refresh(store, {"p1-1": "x", "p1-2": "y", "p2-1": "z"})
    return store


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("word\nhidden\n")
    pd.DataFrame({"word": ["hidden"]}).to_parquet(tmp_path / "secret.parquet")
    return path


READING = {
    'select speaker, count(*) n from "d.samples" group by 1 order by 1': [["speaker-p1", 2], ["speaker-p2", 1]],
    'from "d.audio.x" select count(*)': [[3]],
    'with s as (from "d.samples") select min(sample_id) from s': [["p1-1"]],
    "values (1), (2)": [[1], [2]],
    "select count(*) from generate_series(3)": [[4]],
    "select unnest([1, 2])": [[1], [2]],
    "select 'read_csv(''x'')' -- read_text('y')": [["read_csv('x')"]],
    "select dataset from snapshots": [["d"]],
}


@pytest.mark.parametrize("text", list(READING))
def test_whatever_reads_the_store_is_answered(store, text):
    assert store.sql(text).to_numpy().tolist() == READING[text]


@pytest.mark.parametrize(
    "text",
    ['describe "d.samples"', 'summarize "d.audio.x"', "show tables", 'explain select * from "d"',
     'pivot "d.samples" on speaker using count(*)', 'from (pivot "d.samples" on speaker using count(*))'],
)  # fmt: skip
def test_other_ways_to_ask(store, text):
    assert len(store.sql(text))


ESCAPES = [
    "from read_csv('{file}')",
    "from READ_CSV /* x */ ('{file}')",
    "from \"read_csv\"('{file}')",
    "from main.read_csv_auto('{file}')",
    "from read_text('{file}')",
    "from read_blob('{file}')",
    "from read_parquet('{parquet}')",
    "from parquet_scan('{parquet}')",
    "from parquet_schema('{parquet}')",
    "from read_json_objects('{file}')",
    "from sniff_csv('{file}')",
    "from glob('{folder}/*')",
    "from '{file}'",
    "from '{parquet}'",
    'from "{parquet}"',
    "select (select content from read_text('{file}'))",
    "select * from \"d\" where exists (from '{file}')",
    "with x as materialized (from read_csv('{file}')) from x",
    "from query('from read_text(''{file}'')')",
    "from query_table(['{parquet}'])",
    "from json_execute_serialized_sql('{{}}')",
    "from read_csv('https://localhost:1/x.csv')",
    "from 's3://bucket/x.parquet'",
    "copy \"d.samples\" to '{new}'",
    "copy (from \"d.samples\") to '{new}' (format parquet)",
    "explain analyze copy (select 1) to '{new}'",
    "export database '{new}'",
    "import database '{folder}'",
    "attach '{new}' as other",
    "attach ':memory:' as other",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset enable_external_access",
    "pragma enable_profiling",
    "pragma table_info('d')",
    "call pragma_version()",
    "create table x as select 1",
    "create macro m() as table from read_text('{file}')",
    "create secret s (type s3)",
    'drop view "d"',
    "use memory",
    "select 1; select 2",
    "select 1; copy (select 1) to '{new}'",
    "select current_setting('home_directory')",
    "select getenv('HOME')",
    "from duckdb_settings()",
    "from duckdb_secrets()",
    "from duckdb_databases()",
    "from arrow_scan(1, 2, 3)",
    "from pandas_scan(1)",
    "from seq_scan(1)",
    "from place",
    "from state",
    "",
]


@pytest.mark.parametrize("text", ESCAPES)
@pytest.mark.filterwarnings("error")
def test_nothing_leads_out_of_the_store(store, secret, tmp_path, text):
    new = tmp_path / "new"
    parquet = secret.with_suffix(".parquet")
    with pytest.raises(UsageError):
        print(store.sql(text.format(file=secret, parquet=parquet, folder=tmp_path, new=new)))
    assert not new.exists()
    assert store.sql('select count(*) from "d"').iloc[0, 0] == 3


def test_files_on_request(store, secret, tmp_path):
    assert store.sql(f"from '{secret}'", allow_files=True)["word"].tolist() == ["hidden"]
    store.sql(f"copy (select 1 as a) to '{tmp_path}/out.csv'", allow_files=True)
    assert (tmp_path / "out.csv").read_text() == "a\n1\n"


def test_the_command_says_how(store, secret, capsys):
    from affectlake.flows.cli.app import run

    assert run(["sql", f"from '{secret}'", "--store", store.uri]) == 2
    assert run(["sql", f"from read_text('{secret}')", "--store", store.uri]) == 2
    assert "--allow-files" in capsys.readouterr().err
    assert run(["sql", f"from '{secret}'", "--allow-files", "--json", "--store", store.uri]) == 0
    assert "hidden" in capsys.readouterr().out
