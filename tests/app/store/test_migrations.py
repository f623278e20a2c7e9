import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, Text, inspect, text

from app.errors import StoreError
from app.settings import resource
from app.store import database
from app.store.columns import NAMING, AnyText, Base
from app.store.search.word_index import TABLE
from app.store.store import Store
from app.store.upkeep.dump import dump
from tests import factories


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """One whose schema may be changed: not the one that other tests share."""
    made = database.connect(empty_url)
    database.upgrade(made)
    yield made
    made.dispose()


def differs(_context, _column, _model_column, found, wanted) -> bool | None:
    """Alembic takes a collation for another type; the migration sets it as the model does."""
    if isinstance(wanted, AnyText) and isinstance(found, Text):
        return found.collation not in (None, "C")
    return None


def tables(engine: Engine) -> set[str]:
    """Without the index of words and the tables that FTS5 keeps it in, which no model declares."""
    names = set(inspect(engine).get_table_names())
    return {name for name in names if not name.startswith(TABLE)}


def declared(_object, name, kind, reflected, _compared) -> bool:
    return not (kind == "table" and reflected and name.startswith(TABLE))


def set_revision(engine: Engine, revision: str) -> None:
    with database.writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def test_migrations_give_exactly_the_schema_of_the_models(engine):
    with engine.connect() as connection:
        options = {"compare_type": differs, "include_object": declared}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_every_name_follows_the_convention(engine):
    inspector = inspect(engine)
    for table in Base.metadata.tables.values():
        assert inspector.get_pk_constraint(table.name)["name"] == f"pk_{table.name}"
        found = {key["name"] for key in inspector.get_foreign_keys(table.name)}
        assert found == {str(key.name) for key in table.foreign_key_constraints}
        assert {i.name for i in table.indexes} <= {
            index["name"] for index in inspector.get_indexes(table.name)
        }
    assert set(NAMING) == {"ix", "uq", "ck", "fk", "pk"}


def test_down_to_nothing_and_up_again(engine):
    assert tables(engine) == {*Base.metadata.tables, "alembic_version"}
    database.downgrade(engine, "base")
    assert tables(engine) == {"alembic_version"}
    database.upgrade(engine)
    assert tables(engine) == {*Base.metadata.tables, "alembic_version"}
    factories.publish(Store(engine), factories.sample())


def test_every_revision_goes_down_and_up_with_data(engine):
    factories.publish(Store(engine), factories.sample())
    script = ScriptDirectory(str(resource("migrations")))
    for revision in script.walk_revisions():
        database.downgrade(engine, str(revision.down_revision or "base"))
        database.upgrade(engine)
    database.check_revision(engine)


@pytest.mark.parametrize("revision", ["nosuch", "-99", "+1", "a:b", ""])
def test_down_to_what_is_not_there_is_a_sentence(engine, revision):
    with pytest.raises(StoreError, match=r"cannot be taken back to .* Give `base`, or .*0001"):
        database.downgrade(engine, revision)
    database.check_revision(engine)


def test_a_newer_store_is_not_taken_back(engine):
    set_revision(engine, "9999")
    with pytest.raises(StoreError, match="newer version of Featurescope"):
        database.downgrade(engine, "base")


def test_upgrading_again_changes_nothing(engine):
    factories.publish(Store(engine), factories.sample())
    before = list(dump(engine))
    database.upgrade(engine)
    database.check_revision(engine)
    assert list(dump(engine)) == before


def test_an_empty_database_is_refused_with_what_to_do(empty_url):
    engine = database.connect(empty_url)
    with pytest.raises(StoreError, match=r"holds no store yet\. Run `featurescope serve`"):
        database.check_revision(engine)
    engine.dispose()


def test_a_newer_database_is_refused_and_left_alone(engine):
    factories.publish(Store(engine), factories.sample())
    before = list(dump(engine))
    set_revision(engine, "9999")
    for action in (database.check_revision, database.upgrade):
        with pytest.raises(StoreError, match=r"newer version of Featurescope \(schema 9999"):
            action(engine)
    assert list(dump(engine)) == before


def test_an_older_database_is_refused_by_pages_and_upgraded(engine, tmp_path, monkeypatch):
    """A later revision is put beside the real ones, as the next version will have it."""
    later = tmp_path / "migrations"
    (later / "versions").mkdir(parents=True)
    real = resource("migrations")
    for name in ("env.py", "script.py.mako"):
        (later / name).write_text((real / name).read_text())
    for path in (real / "versions").glob("*.py"):
        (later / "versions" / path.name).write_text(path.read_text())
    head = ScriptDirectory(str(real)).get_current_head()
    (later / "versions" / "9998_next.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        f"revision, down_revision = '9998', {head!r}\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('harvest') as batch:\n"
        "        batch.add_column(sa.Column('extra', sa.Text(), server_default=''))\n"
        "        batch.alter_column('seed', new_column_name='grain')\n"
        "def downgrade():\n"
        "    with op.batch_alter_table('harvest') as batch:\n"
        "        batch.alter_column('grain', new_column_name='seed')\n"
        "        batch.drop_column('extra')\n"
    )
    factories.publish(Store(engine), factories.sample())
    before = list(dump(engine))
    monkeypatch.setattr(database, "resource", lambda _: later)
    with pytest.raises(StoreError, match=r"older version of Featurescope .* which upgrade it"):
        database.check_revision(engine)
    database.upgrade(engine)
    database.check_revision(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feature").scalar() == 12
        assert connection.exec_driver_sql("SELECT grain FROM harvest").scalar() == 0
    assert str(head) is not None
    database.downgrade(engine, str(head))
    assert list(dump(engine)) == before


def test_a_failing_step_leaves_the_database_as_it_was(engine, monkeypatch):
    factories.publish(Store(engine), factories.sample())
    before = list(dump(engine))

    def fail(*_: object) -> None:
        raise StoreError("interrupted")

    run = database.command.downgrade
    monkeypatch.setattr(
        database.command,
        "downgrade",
        lambda *a: (run(*a), fail()),  # all is dropped, then it fails
    )
    with pytest.raises(StoreError, match="interrupted"):
        database.downgrade(engine, "base")
    assert list(dump(engine)) == before
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_two_processes_upgrade_the_same_empty_database(empty_url):
    engines = [database.connect(empty_url) for _ in range(3)]
    failures: list[Exception] = []

    def upgrade(engine: Engine) -> None:
        try:
            database.upgrade(engine)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=upgrade, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for engine in engines:
        database.check_revision(engine)
        engine.dispose()


def test_ids_do_not_depend_on_what_failed(engine):
    store, sample = Store(engine), factories.sample()
    broken = replace(sample, features=sample.features[:-1])
    for _ in range(3):
        with pytest.raises(StoreError, match="12 features once"):
            factories.publish(store, broken)
    factories.publish(store, sample)
    view = store.dictionary("demo", "mlp-12")
    assert (view.id, view.model_id) == (1, 1)


def test_labels_of_an_older_store_are_kept(engine):
    """They stood in a column of the features, which a harvest could replace."""
    store = Store(engine)
    factories.publish(store, factories.sample())
    factories.publish(store, factories.neurons_sample())
    database.downgrade(engine, "0004")
    with database.writing(engine) as connection:
        for index, label in ((2, "self"), (5, "a\ufdd00000b \ufdd0d800")):
            connection.execute(
                text('UPDATE feature SET label = :label WHERE "index" = :index'),
                {"label": label, "index": index},
            )
    database.upgrade(engine)
    for name in ("mlp-12", "neurons"):
        view = store.dictionary("demo", name)
        assert [label.text for label in store.labels.of(view, 2)] == ["self"]
        assert [label.text for label in store.labels.of(view, 5)] == ["a\ufffdb \ufffd"]
        [label] = store.labels.of(view, 2)
        assert [v.number for v in store.labels.history(view, 2, label.id)] == [1]
    factories.publish(store, factories.sample())
    assert store.labels.texts(store.dictionary("demo", "mlp-12"), [2]) == {2: "self"}
