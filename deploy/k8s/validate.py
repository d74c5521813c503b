"""Hold rendered manifests to Kubernetes' schemas, strictly: an unknown field is an error. Run by check.sh."""

import sys
from pathlib import Path

import kubernetes_validate
import yaml

OPERATORS = {
    "keda.sh/v1alpha1",
    "mongodbcommunity.mongodb.com/v1",
    "monitoring.coreos.com/v1",
    "gateway.networking.k8s.io/v1",
}
"""Kinds of operators, whose schemas are not Kubernetes' own: tests/architecture looks at those."""


def main() -> None:
    """Validate each document of each file; exits with 1 after telling every mistake."""
    version = kubernetes_validate.latest_version()
    mistakes = checked = 0
    for file in map(Path, sys.argv[1:]):
        for document in yaml.safe_load_all(file.read_text("utf-8")):
            if document["apiVersion"] in OPERATORS:
                continue
            checked += 1
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                mistakes += 1
                place = ".".join(str(part) for part in error.path)
                print(f"{file.name}: {document['kind']} {document['metadata']['name']}: {place}: {error.message}")
    if mistakes:
        raise SystemExit(1)
    print(f"{checked} objects are valid Kubernetes {version}")


if __name__ == "__main__":
    main()
