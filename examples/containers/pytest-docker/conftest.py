import urllib.request
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def docker_compose_file():
    return str(Path(__file__).with_name("docker-compose.yml"))


@pytest.fixture(scope="session")
def connection_string(docker_ip, docker_services):
    health = f"http://{docker_ip}:{docker_services.port_for('evhub', 5300)}/health"

    def healthy():
        try:
            with urllib.request.urlopen(health, timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    docker_services.wait_until_responsive(healthy, timeout=30, pause=0.05)
    port = docker_services.port_for("evhub", 5672)
    return (
        f"Endpoint=sb://{docker_ip}:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    )
