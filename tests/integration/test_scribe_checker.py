"""The checker of histories, on a good one and on ones with planted faults."""

import copy

import pytest
from scribe_checker import Log, faults

ROWS = [(1, "ada", "a", "one"), (2, "bob", "a", "two"), (3, "ada", "b", "three")]


def good():
    ada = Log("ada", {"a": "one", "b": "three"}, [("a", 1), ("b", 3), ("a", 1)],
              [list(ROWS), ROWS[1:]])
    bob = Log("bob", {"a": "two"}, [("a", 2)], [ROWS[:1], [], ROWS[1:]])
    return list(ROWS), [ada, bob]


def test_a_good_run():
    assert faults(*good()) == []
    assert faults([], [Log("ada")]) == []


def gap(rows, logs):
    rows[2] = (4, *rows[2][1:])


def first_missing(rows, logs):
    del rows[0]


def seq_twice(rows, logs):
    rows[2] = (2, *rows[2][1:])


def out_of_order(rows, logs):
    rows.reverse()


def id_twice(rows, logs):
    rows.append((4, "ada", "a", "one"))


def acked_and_lost(rows, logs):
    logs[0].acks.append(("c", 4))


def acked_elsewhere(rows, logs):
    logs[1].acks[0] = ("a", 3)


def acked_twice_differently(rows, logs):
    logs[0].acks.append(("a", 2))


def text_changed(rows, logs):
    rows[1] = (2, "bob", "a", "TWO")


def nobody_sent(rows, logs):
    del logs[1].sent["a"]


def received_gap(rows, logs):
    del logs[0].connections[0][1]


def received_twice(rows, logs):
    logs[0].connections[0].insert(1, rows[0])


def received_swapped(rows, logs):
    logs[0].connections[0][0:2] = reversed(logs[0].connections[0][0:2])


def received_other_text(rows, logs):
    logs[0].connections[0][2] = (3, "ada", "b", "3")


def received_what_vanished(rows, logs):
    logs[0].connections[1].append((4, "bob", "z", "gone"))


def last_not_received(rows, logs):
    logs[1].connections[2].pop()


@pytest.mark.parametrize("plant", [
    gap, first_missing, seq_twice, out_of_order, id_twice, acked_and_lost, acked_elsewhere,
    acked_twice_differently, text_changed, nobody_sent, received_gap, received_twice,
    received_swapped, received_other_text, received_what_vanished, last_not_received])
def test_a_planted_fault_is_found(plant):
    rows, logs = copy.deepcopy(good())
    plant(rows, logs)
    assert faults(rows, logs) != []
