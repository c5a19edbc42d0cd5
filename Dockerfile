# syntax=docker/dockerfile:1
# Two stages: the wheels are built where there is a compiler, and only the result is shipped.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY alertd ./alertd
# pip, compiled files, the libraries' own tests and headers go: the image holds what runs, and an SBOM of it (CycloneDX) at /opt/alertd/sbom.json.
RUN python -m venv /opt/alertd \
 && /opt/alertd/bin/pip install ".[postgres,charts]" \
 && python -m venv /opt/sbom \
 && /opt/sbom/bin/pip install "cyclonedx-bom>=7.5,<8" \
 && /opt/alertd/bin/pip uninstall --yes pip \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o /opt/alertd/sbom.json /opt/alertd/bin/python \
 && find /opt/alertd/lib -type d \( -name '__pycache__' -o -name 'tests' -o -name 'include' \) -prune -exec rm -rf {} +

# hadolint ignore=DL3006
FROM ${BASE}
LABEL org.opencontainers.image.title="alertd" \
      org.opencontainers.image.description="Budget alerts for LLM usage" \
      org.opencontainers.image.licenses="Apache-2.0"
# A font for the charts in mails.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/*
# A named user with a fixed id owns the volume, so that a mounted folder can be prepared for it: chown 10001:10001.
RUN groupadd --system --gid 10001 alertd \
 && useradd --system --uid 10001 --gid alertd --home-dir /var/lib/alertd --shell /usr/sbin/nologin alertd \
 && install -d -o alertd -g alertd -m 0750 /var/lib/alertd
COPY --from=build /opt/alertd /opt/alertd
ENV PATH=/opt/alertd/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ALERTD_DATABASE=sqlite:////var/lib/alertd/alertd.db \
    ALERTD_HTTP__LISTEN=0.0.0.0:9480
USER 10001:10001
WORKDIR /var/lib/alertd
VOLUME /var/lib/alertd
EXPOSE 9480
STOPSIGNAL SIGTERM
# The root file system may be read-only (--read-only): everything that is written goes to the volume.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9480/healthz', timeout=4)"]
ENTRYPOINT ["alertd"]
CMD ["run"]
