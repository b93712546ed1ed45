"""Faults of the engine that random worlds found: each story is told again in every run.

To keep another one is one line: what it shows, and the plan that the command prints for a seed.
"""

import pytest

from tests.simulation.plan import draw, from_text, to_text
from tests.simulation.runs import WEIGHTS, run

# fmt: off
# ruff: noqa: E501 - one line for each, however long
KEPT: dict[str, str] = {
    "a row that a silent restore took away comes back from another page's base, for ever": '[16,[[0.02,true,true,false,0,0.3]],2,false,2,500,[2],[["sync",0,704479791,0.0],["open_another",0,3969488346,0.0],["lost_in_silence",0,3818400844,0.0]],false,null,false]',
    "a page that slept hears of a sign-in that ended, and gives its user what a guest wrote": '[302,[[0.02,false,true,true,0,0]],2,false,2,500,[2],[["freeze",0,1982419560,0.0],["open_another",0,4252324965,0.0],["switch_user",0,2445420944,0.0],["freeze",0,2748155787,0.0],["log_out_keep",0,1759170246,0.0],["switch_user",0,2299758098,0.0],["write_as_guest",0,2228870563,0.0]],false,null,false]',
    "after a kill the queue shows what somebody discarded before, and nobody is signed in": '[732,[[null,true,true,false,0,0.3]],2,false,2,500,[2],[["write",0,1188156179,5.0],["kill_browser",0,27510637,0],["given_up_and_killed",0,2291682949,1.0]],false,null,false]',
    "a guest's word is lost with a refused one that took its place, because of an earlier deletion": '[611,[[null,false,true,true,1500,0.3]],1,false,2,3,[2],[["burst",0,112254506,0.0],["burst",0,2872259126,0.0],["write",0,4208058684,0.0]],true,120.0,false]',
}
# fmt: on


@pytest.mark.parametrize("name", KEPT)
def test_what_was_wrong_once_stays_right(name: str) -> None:
    found = run(from_text(KEPT[name])).violation
    assert found is None, f"{name}: {found}"


def test_a_kept_plan_is_the_one_that_failed() -> None:
    plan = draw(11, WEIGHTS)
    assert from_text(to_text(plan)) == plan
