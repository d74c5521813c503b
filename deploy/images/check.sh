#!/usr/bin/env bash
# What every service image must be: nobody's user, no compiler and no package manager of Python's, a bill of materials, labels,
# and, without settings, one sentence and exit code 78 on a read-only root.
set -euo pipefail
known=EVERTHREAD_SLOTS
fail() { echo "$1" >&2; exit 1; }
for service in gateway conversation inference notifier; do
  image=everthread/$service:local
  code=0
  said=$(docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges "$image" 2>&1) || code=$?
  test "$code" = 78 || fail "$image ended with $code: $said"
  grep -q "^$service: .* is not set; it is needed" <<<"$said" || fail "$image did not say what is missing: $said"
  code=0
  said=$(docker run --rm --read-only -e "${known}S=5" "$image" 2>&1) || code=$?
  test "$code" = 78 || fail "$image takes a setting that nothing reads"
  grep -q "${known}S is set, but no service reads it; did you mean $known?" <<<"$said" || fail "$image: $said"
  docker run --rm --read-only --entrypoint sh "$image" -c '
    test "$(id -u):$(id -g)" = 10001:10001 || { echo "runs as $(id)"; exit 1; }
    for tool in gcc cc clang make ld pip pip3 uv node npm npx; do
      ! command -v $tool >/dev/null || { echo "has $tool"; exit 1; }
    done
    for module in pip ensurepip; do
      ! python -c "import $module" 2>/dev/null || { echo "can import $module"; exit 1; }
    done
    ! touch /opt/everthread/x 2>/dev/null || { echo "can write /opt"; exit 1; }
    python -c "import json; d = json.load(open(\"/opt/everthread/sbom.cdx.json\")); assert d[\"bomFormat\"] == \"CycloneDX\" and d[\"components\"]"
  ' || fail "$image is not as it should be"
  title=$(docker inspect --format '{{index .Config.Labels "org.opencontainers.image.title"}}' "$image")
  test "$title" = "everthread-$service" || fail "$image is labelled $title"
  docker inspect --format '{{json .Config.Healthcheck.Test}}' "$image" | grep -q healthz || fail "$image has no health check"
  if [ "$service" = gateway ]; then
    docker run --rm --read-only --entrypoint python "$image" -c '
import os, pathlib
folder = pathlib.Path(os.environ["EVERTHREAD_PAGE_FOLDER"])
page = (folder / "index.html").read_text("utf-8")
assert all((folder / part.name).read_bytes() for part in folder.glob("*.js")) and "/assets/" in page
assert list(folder.glob("assets/*.js")) and list(folder.glob("assets/*.br")), "no scripts, or none compressed"
assert not list(folder.rglob("node_modules"))
' || fail "$image has no page"
  fi
  echo "$image: $(docker inspect --format '{{.Size}}' "$image" | awk '{printf "%d MB", $1 / 1e6}'), as it should be"
done
