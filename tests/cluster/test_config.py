"""Where the cluster is: kubeconfig files as people have them, and what a pod is given."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from inflight.cluster import ConfigError, in_cluster, read_kubeconfig

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def written(folder: Path, **changes: Any) -> Path:
    plain: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/"}}],
        "users": [{"name": "u", "user": {"token": "s3cret"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "d", "user": "u"}},
        ],
    }
    plain.update({key.replace("_", "-"): value for key, value in changes.items()})
    file = folder / "config"
    file.write_text(yaml.safe_dump(plain))
    return file


def test_the_current_context_decides(tmp_path: Path) -> None:
    config = read_kubeconfig(written(tmp_path))
    assert config.server == "https://10.0.0.1:6443"
    assert config.token.read() == b"s3cret"
    assert not config.ca


def test_another_context_can_be_asked_for(tmp_path: Path) -> None:
    clusters = [{"name": "d", "cluster": {"server": "https://d", "tls-server-name": "api"}}]
    config = read_kubeconfig(written(tmp_path, clusters=clusters), "two")
    assert (config.server, config.server_name) == ("https://d", "api")


def test_data_goes_before_files_and_files_are_looked_up_beside_the_config(tmp_path: Path) -> None:
    cluster = {"server": "https://c", "certificate-authority": "ca.pem"}
    user = {
        "client-certificate": "missing",
        "client-certificate-data": base64.b64encode(PEM).decode(),
        "client-key": "key.pem",
    }
    (tmp_path / "ca.pem").write_bytes(b"the authority")
    (tmp_path / "key.pem").write_bytes(b"the key")
    file = written(tmp_path, clusters=[{"name": "c", "cluster": cluster}], users=[{"name": "u", "user": user}])
    config = read_kubeconfig(file)
    assert config.ca.read() == b"the authority"
    assert config.client_certificate.read() == PEM
    assert config.client_key.read() == b"the key"


def test_a_token_file_goes_before_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"from a file")
    file = written(tmp_path, users=[{"name": "u", "user": {"token": "s3cret", "tokenFile": "token"}}])
    assert read_kubeconfig(file).token.read() == b"from a file"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"current_context": ""}, "current-context"),
        ({"current_context": "three"}, "there is none called 'three'"),
        ({"current_context": "two"}, "clusters: there is none called 'd'"),
        ({"contexts": "none"}, "contexts: must be a list"),
        ({"clusters": [{"name": "c", "cluster": {"server": "10.0.0.1"}}]}, "must be a URL"),
        ({"clusters": [{"name": "c", "cluster": {"server": "https://c", "proxy-url": "http://p"}}]}, "proxies"),
        ({"clusters": [{"name": "c", "cluster": []}]}, r"clusters\[0\].cluster: must be a mapping"),
        ({"users": [{"name": "u", "user": {"exec": {"command": "aws"}}}]}, "exec: is not supported"),
        ({"users": [{"name": "u", "user": {"client-certificate": "a"}}]}, "belong together"),
        ({"users": [{"name": "u", "user": {"client-certificate-data": "!", "client-key": "k"}}]}, "is not base64"),
        ({"users": [{"name": "u", "user": {"token": 5}}]}, "token: must be text"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_kubeconfig(written(tmp_path, **changes))
    assert str(tmp_path / "config") in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "text", "a: b\n---\nc: d", "{", "a: *b"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(ConfigError):
        read_kubeconfig(tmp_path / "config")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_kubeconfig(tmp_path / "config")


def test_neither_config_nor_material_shows_a_secret(tmp_path: Path) -> None:
    config = read_kubeconfig(written(tmp_path))
    assert "s3cret" not in repr(config) + repr(config.token)


def test_a_pod_finds_its_cluster(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"t")
    (tmp_path / "ca.crt").write_bytes(PEM)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    config = in_cluster(environment, tmp_path)
    assert config.server == "https://[fd00::1]:443"
    assert config.token.file == tmp_path / "token"


def test_outside_a_pod_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not run in a pod"):
        in_cluster({}, tmp_path)
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "a", "KUBERNETES_SERVICE_PORT": "1"}, tmp_path)
