"""Take the newest versions and pin every package, direct or not, in pyproject.toml's `constraint-dependencies`.

uv.lock names the addresses packages were downloaded from and stays out of the repository, so that any mirror serves; the
pins here are what makes two clones equal (docs/adr/0004-pins-without-addresses.md).
"""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "# pins: written by `task lock`\n", "# end of pins\n"


def main() -> None:
    project = ROOT / "pyproject.toml"
    text = re.sub(f"{BEGIN}.*?{END}", BEGIN + END, project.read_text("utf-8"), flags=re.DOTALL)
    project.write_text(text, "utf-8")
    subprocess.run(["uv", "lock", "--upgrade"], cwd=ROOT, check=True)
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    pins = sorted({f"{p['name']}=={p['version']}" for p in packages if "registry" in p["source"]})
    names = [pin.partition("==")[0] for pin in pins]
    # A package that resolves to several versions (by Python or platform) is left to the resolver.
    single = [pin for pin, name in zip(pins, names, strict=True) if names.count(name) == 1]
    block = "constraint-dependencies = [\n" + "".join(f'    "{pin}",\n' for pin in single) + "]\n"
    project.write_text(text.replace(BEGIN + END, BEGIN + block + END), "utf-8")
    subprocess.run(["uv", "lock"], cwd=ROOT, check=True)
    print(f"{len(single)} packages pinned")


if __name__ == "__main__":
    main()
