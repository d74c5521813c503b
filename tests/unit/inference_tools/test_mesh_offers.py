"""What is read from the answers of micro services."""

import json
from typing import Any

from inference.tools.domain.mesh_offers import read_offers

SCHEMA = json.dumps({"type": "object", "properties": {"id": {"type": "string"}}})


def info(service: str = "orders", version: str = "1.0.0", **endpoint: Any) -> bytes:
    metadata = {
        "everthread.schema": SCHEMA,
        "everthread.description": "Find an order.",
        **endpoint.pop("metadata", {}),
    }
    found = {"name": "orders_find", "subject": "tool.orders.find", "queue_group": "q", "metadata": metadata, **endpoint}
    return json.dumps({"name": service, "id": "X", "version": version, "endpoints": [found]}).encode()


def test_instances_count_once_and_the_newest_version_speaks() -> None:
    newer = info(version="1.10.0", metadata={"everthread.description": "Find an order, newly."})
    offers, problems = read_offers([info(), newer, info(version="1.9.0")])
    assert [offer.spec.description for offer in offers] == ["Find an order, newly."]
    assert problems == []


def test_what_is_not_said_is_taken_for_the_careful_answer() -> None:
    [offer], _ = read_offers([info()])
    assert (offer.spec.kind, offer.spec.side_effects, offer.spec.approval, offer.spec.retries) == (
        "mesh",
        True,
        False,
        0,
    )
    said = {
        "everthread.side-effects": "false",
        "everthread.approval": "true",
        "everthread.timeout": "5",
        "everthread.retries": "2",
        "everthread.roles": "support,admin",
    }
    [offer], _ = read_offers([info(metadata=said)])
    assert (offer.spec.side_effects, offer.spec.approval, offer.spec.timeout, offer.spec.retries, offer.spec.roles) == (
        False,
        True,
        5.0,
        2,
        frozenset({"support", "admin"}),
    )


def test_only_subjects_of_tools_are_called() -> None:
    for subject in (
        "$JS.API.STREAM.DELETE.RUNS",
        "run.a.b.event",
        "tool.>",
        "tool.*.x",
        "tool.a b.c",
        "tool",
        "tool.x",
        "",
    ):
        offers, problems = read_offers([info(subject=subject)])
        assert offers == []
        assert len(problems) == 1


def test_what_cannot_be_used_is_told_and_the_rest_works() -> None:
    broken = [
        info("b", metadata={"everthread.schema": "{"}),
        info("c", metadata={"everthread.schema": "[1]"}),
        info("d", metadata={"everthread.timeout": "soon"}),
        info("e", name="has space"),
        info("f", metadata={"everthread.schema": json.dumps({"type": "object", "x": "y" * 40_000})}),
        b"no json",
        b"[]",
        json.dumps({"name": "g", "endpoints": None}).encode(),
        json.dumps({"name": "h", "endpoints": [{"name": "plain", "subject": "h.x", "metadata": None}, 3]}).encode(),
    ]
    offers, problems = read_offers([*broken, info()])
    assert [offer.service for offer in offers] == ["orders"]
    assert len(problems) == 6


def test_two_services_with_one_name() -> None:
    offers, problems = read_offers([info("zebra"), info("ant")])
    assert [offer.service for offer in offers] == ["ant"]
    assert problems == ["zebra: the tool orders_find is offered by ant already"]
