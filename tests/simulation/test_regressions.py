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
    "a server that asks to wait is asked again at once, for what was written meanwhile": '[230,[[null,false,false,false,1500,0.3]],1,false,1,500,[2],[["bad_network",0,3439825498,0.3],["burst",0,1471622660,1.0],["bad_network",0,383875191,5.0],["sync",0,3242967364,40.0]],false,null,true]',
    "after a sign-in where there is no room, other pages open what storage holds": '[201862,[[0.02,true,false,false,1500,0]],1,false,1,3,[2],[["freeze",0,1360007929,0.3],["write",0,3040311051,0.3],["tighten",0,1827814116,0.3],["burst",0,756637868,0.0],["doom_opening",0,3161335959,0.0],["log_out_keep",0,3601844396,0.0],["write",0,4046363213,0.3]],false,120.0,true]',
    "a page that slept lacks what others wrote, learns it, and then hears that it is gone": '[202627,[[0.02,true,true,false,0,0.3]],2,false,1,3,[2],[["write",0,2602947993,0.3],["open_another",0,393028733,1.0],["freeze",0,4183366162,0.01],["bad_network",0,476748636,0.3],["write",0,3543005094,0.3],["night",0,1270616120,0.0],["bad_network",0,2829169058,40.0]],true,null,true]',
    "base is stored after a clear that nobody heard of, and what waits is taken for acknowledged": '[782,[[0.0,true,false,false,-1500,0]],1,false,1,500,[2],[["doom",0,893370588,5.0],["lost_in_silence",0,2884208200,1.0],["write",0,1791949682,5.0],["tighten",0,251428168,0.3],["cleared_unheard",0,3567074857,1.0]],true,5.0,false]',
    "what another page discards is told to be on the server": '[1897,[[0.02,false,false,false,0,0.3]],1,false,1,1,[2],[["asked_to_sign_in",0,1139898750,0.0],["write",0,2998338908,0.0],["discarded_elsewhere",0,2496081068,0.0]],false,null,false]',
    "a page that slept while another discarded all asks without end, and lets nobody have a turn": '[207137,[[null,false,true,false,1500,0]],1,false,1,500,[1],[["write",0,1915716350,0.0],["freeze",0,3798916640,0.0],["database_fails",0,4036363963,0.0],["log_out_discard",0,300680822,0.0],["write",0,584676320,0.0],["dies_as_it_learns",0,3967030598,0.0],["release_pages",0,657798110,0.0],["lost_in_silence",0,1099868165,0.0]],false,120.0,true]',
    "a page that slept through a discard and a sign-in of the same user goes on": '[816,[[null,true,true,false,7200000,0]],1,true,2,500,[2],[["write",0,2386106672,0.0],["freeze",0,3324639875,0.0],["jump_clock",0,295618671,0.0],["sync",0,3147902600,0.0],["database_slow",0,656048815,0.0],["database_slow",0,497387448,0.0],["write",0,2469900438,0.0],["discarded_elsewhere",0,457516616,0.0],["doom",0,3348441305,0.0],["jump_clock",0,1121465994,0.0],["both_learn_at_once",0,2925447457,0.0]],true,null,true]',
    "who is to sign in is told of a full storage instead, and nothing ever makes room": '[208372,[[null,true,true,false,40000,0]],1,true,1,3,[2],[["write",0,2457746676,0.0],["tighten",0,3181456053,0.0],["expire_tokens",0,232736937,0.0],["burst",0,1304322314,0.0]],false,null,true]',
    "a page that slept through a discard and a sign-in of the same user shows what is gone": '[208777,[[null,true,true,false,1500,0]],1,false,2,3,[2],[["sync",0,3680146949,40.0],["freeze",0,3532937722,0.3],["freeze",0,3292317296,5.0],["log_out_discard",0,1159722512,0.0],["write",0,1021025906,1.0]],true,null,false]',
    "what a page of another release has acknowledged leaves the view": '[207861,[[null,false,true,false,0,0]],1,false,2,1,[1],[["switch_user",0,2038465113,0.3],["release_pages",0,377108641,0.3],["open_another",0,2223636716,5.0],["burst",0,2358650689,0.3]],false,null,true]',
    "after a restore a late reply hides what a page of another release has acknowledged": '[300496,[[null,true,false,true,0,0.3],[null,false,true,false,0,0.3],[0.0,false,true,true,-1500,0]],1,false,2,500,[1,1,1],[["log_out_discard",1,4261765688,0.0],["release_pages",1,2487518840,0.0],["overtaken_by_a_restore",1,3993506915,0.0]],false,5.0,false]',
    "what is discarded twice in a row is told to be on the server": '[206148,[[0.02,true,true,false,1500,0]],1,false,2,3,[2],[["discarded_elsewhere",0,1103510711,0.0],["bad_network",0,2990010679,0.0],["burst",0,2673481735,0.0],["discarded_elsewhere",0,692476210,0.0]],false,120.0,false]',
    "a base that another page stored unheard is overwritten with an older one": '[301672,[[0.02,true,true,false,1500,0]],1,false,1,1,[2],[["sync",0,3174771813,40.0],["unplug",0,2271704061,1.0],["overtaken_by_a_restore",0,2049821813,0.0],["unplug",0,837157551,0.0],["tighten",0,3748715882,0.01],["burst",0,543539642,5.0]],false,120.0,true]',
    "a late reply of a server that is none of ours brings back what was deleted since": '[1253,[[0.02,true,false,false,0,0.3],[null,false,false,false,-1500,0.3],[null,true,true,false,-1500,0]],1,false,2,500,[2,2,2],[["overtaken_by_a_deletion",1,184649786,0.0]],false,null,true,"PATCH"]',
    "what a page of a new release learns before it has pulled all leaves another page's view": '[312039,[[null,true,true,false,-1500,0]],1,false,1,1,[1],[["write",0,1129285181,0.3],["write",0,3915598708,1.0],["release_pages",0,1479581495,0.0],["bad_network",0,1536834481,0.3],["bad_network",0,2716701761,1.0],["write",0,475288348,1.0],["both_learn_and_die",0,2277973564,1.0]],true,null,true]',
    "a page that slept through a clear puts its base in place of what another one stored since": '[315230,[[null,true,true,false,1500,0.3],[null,false,true,false,-1500,0]],2,false,2,3,[2,2],[["write",1,4293155894,40.0],["interrupted",1,2658113323,0.01],["interrupted",1,4228765711,5.0],["burst",1,2680199037,5.0],["left_without_network",1,1906476443,1.0]],false,null,false]',
    "what the same reply decides is brought back by a refusal, and only the journal knows it": '[320812,[[0.0,true,false,true,-1500,0.3],[null,true,false,false,0,0],[null,true,false,false,0,0.3]],1,false,2,500,[2,2,2],[["dies_bringing_back",1,2859965273,0.3],["doom",2,2587488069,5.0]],false,null,false,"",true]',
    "what a guest said before comes back from the mirror, for another heir": '[321522,[[null,true,true,true,-1500,0.3],[null,true,false,true,0,0]],2,false,2,3,[2,2],[["leave_behind",0,1231239083,0.0],["asked_to_sign_in",0,3382349152,0.0],["open_another",0,3931225517,0.0],["burst",0,3576870667,0.0]],false,null,true,"",true]',
    "a page that slept through a clear and a discard writes again what was discarded": '[322430,[[null,true,true,false,40000,0.3]],1,true,1,3,[2],[["write",0,2228098454,1.0],["freeze",0,3211082582,0.0],["doom",0,3684353709,0.0],["clock_set_back",0,2099093109,40.0],["cleared_and_discarded",0,927016057,0.3],["writes_meet_trouble",0,1808420299,1.0]],true,null,true,"PUT",true]',
    "of a write that a proxy refused a copy comes late to a foreign server, after newer ones": '[326531,[[0.0,true,true,false,86400000,0],[0.0,false,true,false,-40000,0],[0.02,true,false,false,-40000,0]],1,true,1,500,[2,2,2],[["writes_meet_trouble",1,3916095094,0.0],["bad_network",1,3657329519,0.0],["both_learn_at_once",1,3918694479,0.0],["hide",1,3634015993,0.0]],true,null,false,"PUT",false]',
    "what another page acknowledges is hidden by the first list that is read over REST": '[502817,[[null,false,false,false,-1500,0.3]],2,false,1,1,[2],[["bad_network",0,3054342527,0.0],["discarded_elsewhere",0,2987877936,0.0],["write",0,3772714747,0.0],["interrupted",0,3583504761,0.0]],false,120.0,false,"PATCH",false]',
    "a page that slept as another was told of a refusal says that it is saved": '[507929,[[0.0,true,false,false,0,0.3],[0.02,false,false,false,86400000,0]],1,true,2,1,[2,2],[["discarded_elsewhere",1,1750618051,0.01],["both_learn_at_once",1,1413933790,0.0],["update",1,2742071125,0.0],["freeze",1,2127206933,1.0],["write",1,3501168030,5.0]],true,null,true,"PATCH",false]',
    "a periodic sync asks a server again that asked to be left alone": '[500590,[[null,true,true,false,0,0]],1,false,2,3,[2],[["written_while_read",0,3451029360,0.0],["bad_network",0,4224860995,0.0],["use_service",0,1412198447,0.0]],true,120.0,false,"PATCH",true]',
    "a first read asks a server that asked to be left alone": '[506342,[[0.02,false,true,false,-1500,0]],1,false,2,1,[2],[["bad_network",0,324642007,0.0],["burst",0,3271761957,40.0],["use_profiles",0,1214498179,0.01]],true,null,true,"",true]',
}
# fmt: on


@pytest.mark.parametrize("name", KEPT)
def test_what_was_wrong_once_stays_right(name: str) -> None:
    found = run(from_text(KEPT[name])).violation
    assert found is None, f"{name}: {found}"


def test_a_kept_plan_is_the_one_that_failed() -> None:
    plan = draw(11, WEIGHTS)
    assert from_text(to_text(plan)) == plan
