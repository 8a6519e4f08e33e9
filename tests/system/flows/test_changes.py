"""Any sequence of changes: only what changed runs again, and with the outcome of a clean run."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.changes import CHANGES, Story, begun, check_change
from tests.support.world import World


@pytest.fixture(scope="module")
def story(module_world: World) -> Story:
    return begun(module_world)


@settings(max_examples=8, deadline=None, phases=[Phase.generate])  # each example is a step of one story
@given(what=st.sampled_from([name for name in CHANGES if name != "features"]))
def test_of_any_change_just_the_stages_downstream_run_and_come_to_what_a_clean_run_does(
    story: Story, what: str
) -> None:
    check_change(story, what)
