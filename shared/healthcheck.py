"""`python -m shared.healthcheck`: exit 0 when the service at KUAIZHAO_PORT is ready. For container health checks."""

import os
import sys

import httpx


def main() -> None:
    port = os.environ.get("KUAIZHAO_PORT", "8100")
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5)
    except httpx.HTTPError as error:
        sys.exit(f"not ready: {error}")
    if answer.status_code != 200:
        sys.exit(f"not ready: {answer.text}")


if __name__ == "__main__":
    main()
