"""The Kubernetes manifests: they fit the schemas of the API, each other, the image and the broker."""

import re

import dockerfile
import kubernetes_validate
import pytest
import yaml
from project import DEPLOY, ROOT, assert_sound

FILES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OBJECTS = [(file, whole) for file in FILES for whole in yaml.safe_load_all(file.read_text())]
BY_KIND = {whole["kind"]: whole for _, whole in OBJECTS}
POD = BY_KIND["Deployment"]["spec"]["template"]["spec"]
[BROKER] = POD["containers"]
IMAGE = dict(dockerfile.stages((ROOT / "Dockerfile").read_text())[-1])


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("file, whole", OBJECTS, ids=lambda each: getattr(each, "name", ""))
def test_it_fits_the_schema(file, whole, version):
    kubernetes_validate.validate(whole, version, strict=True)


def test_every_kind_that_is_promised_is_there():
    assert sorted(BY_KIND) == [
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service",
    ]


def test_the_objects_mean_each_other():
    labels = BY_KIND["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        BY_KIND["Deployment"]["spec"]["selector"]["matchLabels"],
        BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        BY_KIND["Service"]["spec"]["selector"],
    ]
    for selector in selectors:
        assert selector and selector.items() <= labels
    assert BY_KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == BY_KIND["Deployment"]["metadata"]["name"]
    ports = {port["name"]: port["containerPort"] for port in BROKER["ports"]}
    assert {port["targetPort"] for port in BY_KIND["Service"]["spec"]["ports"]} <= set(ports)
    assert {str(port) for port in ports.values()} <= set(IMAGE["EXPOSE"].split())
    probes = [BROKER[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert all(probe["port"] in ports for probe in probes)
    volumes = {volume["name"] for volume in POD["volumes"]}
    assert {mount["name"] for mount in BROKER["volumeMounts"]} == volumes
    assert BY_KIND["ConfigMap"]["metadata"]["name"] in [volume.get("configMap", {}).get("name") for volume in POD["volumes"]]


def test_it_runs_as_the_user_of_the_image_and_without_rights():
    user, group = map(int, IMAGE["USER"].split(":"))
    assert (POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"]) == (user, group)
    context = BROKER["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_no_secret_is_written_down():
    names = {entry["name"]: entry for entry in BROKER["env"]}
    for name in ("HELIOSTAT_APP_ID", "HELIOSTAT_APP_KEY", "HELIOSTAT_APP_SECRET"):
        assert "secretKeyRef" in names[name]["valueFrom"]


def test_the_broker_takes_its_configuration(tmp_path):
    file = tmp_path / "heliostat.toml"
    file.write_text(BY_KIND["ConfigMap"]["data"]["heliostat.toml"])
    variables = dockerfile.environment(dockerfile.stages((ROOT / "Dockerfile").read_text())[-1])
    for entry in BROKER["env"]:
        variables[entry["name"]] = entry.get("value", "from-the-secret-itself")
    mounted = next(mount["mountPath"] for mount in BROKER["volumeMounts"] if mount["name"] == "configuration")
    assert variables["HELIOSTAT_CONFIG"] == f"{mounted}/heliostat.toml"
    assert_sound({**variables, "HELIOSTAT_CONFIG": str(file)})


def test_it_is_given_the_time_that_it_takes_to_stop():
    before = int(BROKER["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = int(re.search(r"shutdown_grace_seconds = (\d+)", BY_KIND["ConfigMap"]["data"]["heliostat.toml"])[1])
    assert POD["terminationGracePeriodSeconds"] > before + grace + 1
    # A probe must not end a broker that is stopping: it answers 503 then.
    assert BROKER["livenessProbe"]["periodSeconds"] * BROKER["livenessProbe"]["failureThreshold"] > before + grace
