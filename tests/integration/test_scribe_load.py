"""A room so full that its writes are held back, and then take several turns of the loop, under load:
nothing is lost by it. Run on the TSan build too."""

import sys

import scribe_kit as kit
from harness.process import ROOT

sys.path.insert(0, str(ROOT / "tests" / "load"))
import bench  # noqa: E402

MEMBERS = 300  # WRITES_PER_MS are 128, WRITES_A_TURN 64


def test_a_full_room_gets_every_message_once(folder, start_server):
    history = kit.SQLiteHistory(folder)
    scribe = start_server("scribe", kit.env(history.url, SCRIBE_RATE="1000000"))
    with bench.Room(scribe, "full", MEMBERS, kit.TOKEN_KEY) as room:
        for command in (("closed", 1, 64), ("open", 1, 40)):
            done = room.run(*command)
            assert [done[key] for key in ("lost", "gaps", "foreign", "refused")] == [0] * 4, done
            assert done["deliveries"] == MEMBERS * done["messages"] > 0
    rows = history.rows("full")
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
