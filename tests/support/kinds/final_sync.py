"""Fails in ways that another attempt cannot cure, and in one that it may."""

from taskmessenger import Permanent

FINAL = (LookupError, "Hopeless")


class Hopeless(Exception):
    pass


class Gone(Permanent):
    pass


ERRORS = {
    "permanent": Permanent("it is over"),
    "below permanent": Gone("it is over"),
    "below a class": KeyError("it is over"),
    "by name": Hopeless("it is over"),
    "in a group": ExceptionGroup(
        "all of them", [OSError("again"), ExceptionGroup("", [Hopeless("it is over")])]
    ),
    "another": OSError("it is over"),
}


def handle(payload):
    raise ERRORS[payload]
