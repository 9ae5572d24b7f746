"""The container's files; and, in the long round, the images built here and the three processes of compose.yaml."""

import configparser
import json
import os
import re
import signal
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dnstap_bgp.commands import check
from tests.deploy.container import ROOT, Container, Image, Store
from tests.integration.lab import Daemon, Namespace, eventually, run, unique_name

FOLDER = ROOT / "deploy/container"
CONTAINERFILE = (FOLDER / "Containerfile").read_text()
USER = 10053
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
ADDRESSES = {name: service["networks"]["routes"]["ipv4_address"] for name, service in SERVICES.items()}
AUTHORITY = "172.31.53.1"
TABLE = ("birdc", "show", "route", "table", "steered4")


def test_nothing_names_a_processor():
    for path in (FOLDER / "Containerfile", FOLDER / "compose.yaml"):
        assert not re.search(r"amd64|arm64|x86_64|aarch64|armhf", path.read_text())


def test_what_the_images_copy_exists():
    for words in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.*) \S+$", CONTAINERFILE, re.MULTILINE):
        for path in words.split():
            assert (ROOT / path).exists(), path


def test_the_stage_that_builds_gets_what_it_reads_and_nothing_that_may_be_secret():
    copied = {
        path
        for words in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.*) \S+$", CONTAINERFILE, re.MULTILINE)
        for path in words.split()
        if path.startswith("deploy")
    }
    stage = (ROOT / "deploy/packaging/stage").read_text()
    read = {f"deploy/{name}" for name in re.findall(r"\bdeploy/(\w[\w.-]*)", stage)}
    [folders] = re.findall(r"for folder in (.*); do", stage)
    read |= {f"deploy/{name}" for name in folders.split()}
    assert copied == read | {"deploy/container/ask"}
    assert "deploy/container" not in read


def test_compose_names_targets_and_files_that_exist():
    targets = re.findall(r"^FROM \S+ AS (\S+)$", CONTAINERFILE, re.MULTILINE)
    for service in SERVICES.values():
        assert service["build"]["target"] in targets
        assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(
            FOLDER / "Containerfile"
        )
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (FOLDER / source).exists(), source


def test_compose_and_the_configurations_agree_on_addresses_users_and_the_resolver_s_cache():
    bgp = tomllib.loads((FOLDER / "config/dnstap-bgp.toml").read_text())["bgp"]
    bird = (FOLDER / "config/bird.conf").read_text()
    assert bgp["router_id"] == bgp["source_ip"] == ADDRESSES["dnstap-bgp"]
    assert bgp["peers"] == [ADDRESSES["router"]]
    assert f"neighbor {ADDRESSES['dnstap-bgp']} as {bgp['as']};" in bird
    assert f"local {ADDRESSES['router']} as {bgp['as']};" in bird
    for text in (
        CONTAINERFILE,
        (FOLDER / "compose.yaml").read_text(),
        (FOLDER / "quadlet/dnstap-bgp.container").read_text(),
    ):
        assert {int(number) for number in re.findall(r"\b1\d{4}\b", text)} == {USER}


def test_the_configuration_is_good(tmp_path: Path):
    text = (FOLDER / "config/dnstap-bgp.toml").read_text().replace("/var/lib/dnstap-bgp", str(tmp_path))
    (tmp_path / "dnstap-bgp.toml").write_text(text)
    (tmp_path / "domains.txt").write_text((FOLDER / "config/domains.txt").read_text())
    assert check.run(tmp_path / "dnstap-bgp.toml").errors == ()


def test_the_unit_for_podman_says_the_same_as_the_image():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(FOLDER / "quadlet/dnstap-bgp.container")
    [health] = re.findall(r'HEALTHCHECK .* CMD (\["dnstap-bgp".*\])$', CONTAINERFILE, re.MULTILINE)
    assert unit["Container"]["HealthCmd"].split() == yaml.safe_load(health)
    assert unit["Container"]["Image"] == SERVICES["dnstap-bgp"]["image"]
    volume = unit["Container"]["Volume"].split(":")[0]
    assert (FOLDER / "quadlet" / volume).exists()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("images"))
    made.build(made.make_base(), *SERVICES)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def images(store: Store) -> dict[str, Image]:
    """One for each service of compose.yaml, as it names them."""
    return {name: store.image(service["image"]) for name, service in SERVICES.items()}


class Network:
    """The bridge of compose.yaml's network, and on it an authority for example.com and example.org."""

    ZONE = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A 172.31.53.1\n@ A ADDRESS\nwww A ADDRESS\n"

    def __init__(self, folder: Path) -> None:
        prefix = unique_name()
        self.bridge = Namespace(f"{prefix}b")
        self.members = {name: Namespace(f"{prefix}{number}") for number, name in enumerate(SERVICES)}
        run("ip", "-n", self.bridge.name, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.bridge.name, "address", "add", f"{AUTHORITY}/24", "dev", "br0")
        run("ip", "-n", self.bridge.name, "link", "set", "br0", "up")
        for number, (name, member) in enumerate(self.members.items()):
            link = ["type", "veth", "peer", "name", "eth0", "netns", member.name]
            run("ip", "-n", self.bridge.name, "link", "add", f"v{number}", *link)
            run("ip", "-n", self.bridge.name, "link", "set", f"v{number}", "master", "br0", "up")
            run("ip", "-n", member.name, "address", "add", f"{ADDRESSES[name]}/24", "dev", "eth0")
            run("ip", "-n", member.name, "link", "set", "eth0", "up")
        text = f'options {{ directory "{folder}"; pid-file none; recursion no; listen-on {{ {AUTHORITY}; }}; }};\n'
        text += "controls { };\n"
        for zone, address in (("example.com", "11.1.0.1"), ("example.org", "11.1.0.2")):
            (folder / zone).write_text(self.ZONE.replace("ADDRESS", address))
            text += f'zone "{zone}" {{ type primary; file "{folder}/{zone}"; }};\n'
        (folder / "named.conf").write_text(text)
        self.authority = Daemon(
            "authority", self.bridge.argv("named", "-g", "-c", f"{folder}/named.conf"), folder / "authority.log"
        )
        eventually(lambda: "running" in self.authority.text(), 15, "the authority runs")

    def close(self) -> list[int]:
        self.authority.kill()
        return [pid for where in (*self.members.values(), self.bridge) for pid in where.delete()]


class Compose:
    """The services of compose.yaml, with its volumes, below a folder."""

    def __init__(self, folder: Path, images: dict[str, Image], network: Network) -> None:
        self.config = folder / "config"
        run("cp", "-R", str(FOLDER / "config"), str(self.config))
        volumes = {name: folder / name for name in ("run", "state")}
        for path in volumes.values():
            path.mkdir()
            os.chown(path, USER, USER)
            path.chmod(0o711)
        self.own = folder / "own.conf"
        zones = [f'domain-insecure: "{zone}"\nstub-zone:\nname: "{zone}"\nstub-addr: {AUTHORITY}\n' for zone in ZONES]
        self.own.write_text("".join(f"server:\n{zone}" for zone in zones))
        self._containers: dict[str, Container] = {}
        for name, service in SERVICES.items():
            binds = {}
            for volume in service["volumes"]:
                source, inside = volume.split(":")[:2]
                outside = volumes.get(source) or (FOLDER / source).resolve()
                if FOLDER in outside.parents:  # the test changes it
                    outside = folder / outside.relative_to(FOLDER)
                binds[inside] = str(outside)
            self._containers[name] = Container(
                name, images[name], network.members[name], folder, binds, read_only=bool(service.get("read_only"))
            )
        self["resolver"].binds = {
            **self["resolver"].binds,
            "/etc/unbound/local.d/own.conf": str(self.own),
        }

    def __getitem__(self, name: str) -> Container:
        return self._containers[name]

    def close(self) -> None:
        for container in self._containers.values():
            if hasattr(container, "daemon"):
                container.kill()


ZONES = ("example.com", "example.org")


@pytest.fixture
def compose(images: dict[str, Image], tmp_path: Path) -> Iterator[Compose]:
    network = Network(tmp_path)
    made = Compose(tmp_path, images, network)
    try:
        yield made
    finally:
        made.close()
        assert network.close() == []


def table(compose: Compose) -> set[str]:
    return {word for word in compose["router"].run(*TABLE).split() if word.endswith("/32")}


@pytest.mark.long
@pytest.mark.netns
@pytest.mark.timeout(2400)
@pytest.mark.real("buildah", "debootstrap", "named", "unshare", "nsenter")
def test_the_three_services_make_the_first_route_and_end_in_order(compose: Compose):
    ours, router, resolver = compose["dnstap-bgp"], compose["router"], compose["resolver"]
    assert ours.image.identity() == (USER, USER)
    router.start()
    ours.start()
    assert Path(f"/proc/{ours.pid}/status").read_text().split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
    eventually(ours.is_healthy, 60, "the health check of dnstap-bgp")
    own = resolver.image.root / "etc/unbound/local.d"
    assert own.is_dir(), "unbound ends over an `include:` whose folder nobody has mounted"
    resolver.start()
    eventually(resolver.is_healthy, 30, "the health check of the resolver, which asks for example.com")
    eventually(lambda: table(compose) == {"11.1.0.1/32"}, 10, "the first route")
    assert ours.is_healthy()
    assert "unbound: " in ours.run("dnstap-bgp", "status")  # the hook

    with (compose.config / "domains.txt").open("a") as file:
        file.write("example.org\n")
    ours.signal(signal.SIGHUP)
    eventually(lambda: "example.org" in ours.run("dnstap-bgp", "match", "example.org"), 10, "the reload")
    eventually(lambda: "2 rules" in ours.run("dnstap-bgp", "lists"), 20, "the new list is in force")
    resolver.run("python3", "/usr/local/bin/ask", "www.example.org")
    eventually(lambda: table(compose) == {"11.1.0.1/32", "11.1.0.2/32"}, 10, "the route of the new name")

    ours.run("sh", "-c", "(sleep 0.2 &)")  # an orphan: PID 1 inherits it, and has to collect it
    states = Path(f"/proc/{ours.pid}/task/{ours.pid}/children")
    eventually(lambda: "sleep" not in names(states), 10, "the orphan is collected")
    assert "Z" not in {state(int(pid)) for pid in states.read_text().split()}

    ours.signal(signal.SIGTERM)
    assert ours.wait() == 0
    assert table(compose) == {"11.1.0.1/32", "11.1.0.2/32"}  # graceful restart
    ours.start()
    eventually(ours.is_healthy, 60, "it is back")
    assert "11.1.0.2" in ours.run("dnstap-bgp", "routes")  # the volume has kept it
    ours.signal(signal.SIGTERM)
    assert ours.wait() == 0


@pytest.mark.long
@pytest.mark.netns
@pytest.mark.timeout(2400)
@pytest.mark.real("buildah", "debootstrap", "named", "unshare", "nsenter")
def test_the_image_has_the_list_of_what_is_in_it_and_says_what_it_lacks(compose: Compose):
    ours = compose["dnstap-bgp"]
    assert (ours.image.root / "usr/share/doc/dnstap-bgp/sbom.cdx.json").exists()
    assert not list((ours.image.root / "usr").rglob("pip"))
    (compose.config / "dnstap-bgp.toml").write_text("")
    ours.start()
    assert ours.wait() == 1
    assert "dnstap.listen" in ours.daemon.text()


@pytest.mark.long
@pytest.mark.netns  # root
@pytest.mark.timeout(2400)
@pytest.mark.real("buildah", "debootstrap")
def test_an_archive_is_loaded_by_the_name_that_compose_and_podman_s_unit_ask_for(store: Store):
    with tarfile.open(store.archive) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        [image] = json.load(manifest)
    assert image["RepoTags"] == [next(iter(SERVICES.values()))["image"]]


def names(children: Path) -> str:
    return " ".join(Path(f"/proc/{pid}/comm").read_text() for pid in children.read_text().split())


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
