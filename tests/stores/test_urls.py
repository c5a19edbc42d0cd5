"""Database URLs of every broken shape: one error with the remedy, and no part of the password."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from alertd.core.config_errors import SettingsError
from alertd.settings import load_settings
from alertd.stores.urls import read_url

SECRET = "S3CRETpw"
BROKEN = [
    (f"postgresql://u:p@{SECRET}@db/x", "%40"),
    (f"postgresql://u:p/{SECRET}@db/x", "%2F"),
    (f"postgresql://u:p@w/{SECRET}@db/x", "%40"),
    (f"postgresql://u:p@w?{SECRET}@db/x", "%40"),
    (f"postgresql://u:{SECRET}%zz@db/x", "%25"),
    (f"postgresql://u:{SECRET}%@db/x", "%25"),
    (f"postgresql://u:{SECRET}%00@db/x", "%25"),
    (f"postgresql://u:{SECRET}%ff@db/x", "UTF-8"),
    (f"postgresql://u:{SECRET}@[bad/db", "brackets"),
    (f"postgresql://u:p@[{SECRET}]/db", "brackets"),
    (f"postgresql://u:{SECRET} x@db/x", "%20"),
    (f"postgresql://u:{SECRET}@db:port/x", "65535"),
    (f"postgresql://u:{SECRET}@db:99999/x", "65535"),
    (f"postgresql://u:{SECRET}@db:0/x", "65535"),
    (f"postgresql://u:{SECRET}", "65535"),
    (f"postgresql://u@db/x?password=x&{SECRET}=1", "leave it out"),
    (f"postgresql://u:{SECRET}@db/x?sslmod=require", "sslmode"),
    (f"postgresql://u@db/x?password=x&{SECRET}", "%26"),
    (f"postgresql://u:p@db/{SECRET}/x", "%2F"),
    (f"postgresql+psycopg://u:{SECRET}@db/x", "leave out +"),
    (f"host=db password={SECRET}", "postgresql://host/alertd"),
    (f"mysql://u:{SECRET}@db/x", "postgresql://host/alertd"),
    (f"sqlite:////srv/{SECRET}.db?mode=ro", "leave them out"),
]


@pytest.mark.parametrize(("url", "remedy"), BROKEN)
def test_a_broken_database_url_is_one_error_with_the_remedy_and_nothing_of_the_password(url: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"ALERTD_DATABASE": url})
    said = str(caught.value)
    assert len(caught.value.faults) == 1
    assert remedy in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p?a#b[1]:ä@db/x", "postgresql://db:5432/x"),
        ("postgresql://u:p%40%2F@db:5433/x?sslmode=require", "postgresql://db:5433/x"),
        ("postgresql://u:p@a,b:5433/x?target_session_attrs=read-write", "postgresql://a,b:5432,5433/x"),
        ("postgresql://u:p@[::1]:5433/x", "postgresql://[::1]:5433/x"),
        ("postgresql:///x?host=/run/postgresql", "postgresql:///run/postgresql:5432/x"),
        ("sqlite:////var/lib/alertd.db", "/var/lib/alertd.db"),
        ("sqlite:////srv/my data/ä.db", "/srv/my data/ä.db"),
    ],
)
def test_a_sound_url_is_shown_by_its_place_alone(url: str, place: str) -> None:
    assert read_url(url).place == place


@pytest.mark.parametrize("kind", ["zeros", "pipe", "huge", "folder"])
def test_what_is_no_small_file_is_refused_as_a_secret_with_a_remedy(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "token"
    if kind == "zeros":
        file = Path("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "huge":
        with file.open("wb") as sparse:
            sparse.truncate(1 << 40)
    else:
        file.mkdir()
    begin = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        load_settings({"ALERTD_HTTP__TOKEN_FILE": str(file)})
    assert time.monotonic() - begin < 30
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].remedy
