"""The folder is the registry."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sample_plugins import PACKAGE

from alertd.registry import GROUPS, UnknownKindError, kinds, load


def test_a_kind_is_a_file_and_an_underscore_hides_one() -> None:
    assert {group: kinds(group, PACKAGE) for group in GROUPS.values()} == {
        "sources": ["tap"],
        "notifiers": ["echo", "post"],
        "revokers": ["stop"],
    }


def test_a_folder_with_a_package_is_a_kind_too(tmp_path: Path) -> None:
    (tmp_path / "sources" / "large").mkdir(parents=True)
    (tmp_path / "sources" / "large" / "__init__.py").touch()
    (tmp_path / "sources" / "__init__.py").touch()
    assert kinds("sources", tmp_path) == ["large"]


def test_a_room_that_is_not_built_yet_has_no_kinds(tmp_path: Path) -> None:
    assert kinds("sources", tmp_path) == []


def test_only_the_kind_that_is_asked_for_is_imported() -> None:
    for name in ("sample_plugins.notifiers.post", "sample_plugins.notifiers.echo"):
        sys.modules.pop(name, None)
    assert load("notifiers", "echo", PACKAGE).build("x", 1) == ("x", 1)
    assert "sample_plugins.notifiers.echo" in sys.modules
    assert "sample_plugins.notifiers.post" not in sys.modules


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pst", "no 'pst' in notifiers; there are: echo, post; did you mean post?"),
        ("quite-else", "no 'quite-else' in notifiers; there are: echo, post"),
        ("json", "no 'json' in notifiers; there are: echo, post"),
        ("../sources/tap", "no '../sources/tap' in notifiers; there are: echo, post"),
        ("__init__", "no '__init__' in notifiers; there are: echo, post"),
    ],
)
def test_an_unknown_kind_is_answered_with_the_known_ones(kind: str, said: str) -> None:
    with pytest.raises(UnknownKindError) as refused:
        load("notifiers", kind, PACKAGE)
    assert str(refused.value) == said


def test_a_file_that_is_no_plug_in_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(TypeError, match=r"plugins/broken/empty\.py is not a plug-in: it must define Options and build"):
        load("broken", "empty", PACKAGE)


@pytest.mark.parametrize(("group", "kind"), [(group, kind) for group in GROUPS.values() for kind in kinds(group)])
def test_every_kind_of_the_house_is_a_plug_in_whose_options_all_say_what_they_mean(group: str, kind: str) -> None:
    options = load(group, kind).Options
    assert [name for name, field in options.model_fields.items() if not field.description] == []
