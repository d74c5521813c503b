#!/usr/bin/env bash
# Renders every overlay and job as a cluster would get them, and holds them to current schemas and policies. Needs no cluster.
# kubectl is Debian's kubernetes-client; kubernetes-validate and checkov come through uv, for this run only.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v kubectl >/dev/null; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends kubernetes-client
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for folder in overlays/* jobs/prepare jobs/flag/legacy-only jobs/flag/durable-only; do
  kubectl kustomize "$folder" >"$out/${folder//\//-}.yaml"
done
# The Gateway API instead of nginx is a choice that no overlay makes.
mkdir "$out/gateway-api"
cat >"$out/gateway-api/kustomization.yaml" <<END
namespace: everthread
resources: [$(realpath --relative-to="$out/gateway-api" base)]
components: [$(realpath --relative-to="$out/gateway-api" components/gateway-api)]
END
kubectl kustomize --load-restrictor LoadRestrictionsNone "$out/gateway-api" >"$out/gateway-api.yaml"
rm -r "$out/gateway-api"

isolated=(uv run --isolated --no-project --python 3.11)
# The operators' own kinds have no schema there: kinds that it does not know are told, and are no error.
"${isolated[@]}" --with "kubernetes-validate==1.37.0" --with pyyaml python validate.py "$out"/*.yaml
"${isolated[@]}" --with "checkov==3.3.30" checkov --quiet --compact --skip-download --framework kubernetes --config-file checkov.yaml --directory "$out"
echo "deploy/k8s: $(ls "$out" | wc -l) renderings, all as the schemas and policies want them"
