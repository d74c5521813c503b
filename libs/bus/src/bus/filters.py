"""NATS subject filters: `*` is one token, a last `>` is one or more."""


def matches(subject_filter: str, subject: str) -> bool:
    """Whether the filter covers the subject."""
    wanted, given = subject_filter.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(given) > index
        if index >= len(given) or token not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def is_literal(subject_filter: str) -> bool:
    """Whether the filter names exactly one subject."""
    return not any(token in ("*", ">") for token in subject_filter.split("."))
