# Everything is put together in the first stage; the second holds only what runs: Debian's Python, a small shell, alertd.
# The base gives apt and Python, and stays behind: any Debian from 12 or Ubuntu from 24.04, by --build-arg BASE=...
# A build to be repeated names it by digest: BASE=docker.io/library/debian:trixie-slim@sha256:... (the release does).
ARG BASE=docker.io/library/debian:trixie-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
# What the image holds of Debian, as apt finds it for a machine that has nothing yet.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-venv ca-certificates \
 && mkdir -p /debs/partial && touch /debs/nothing-yet \
 && apt-get install --yes --no-install-recommends --download-only \
      -o Dir::State::status=/debs/nothing-yet -o Dir::Cache::archives=/debs -o APT::Keep-Downloaded-Packages=true \
      python3-minimal libpython3-stdlib libstdc++6 base-files netbase busybox fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/*
# Unpacked, not installed. A scanner finds the packages in status.d, as in other images without dpkg. Left out: what
# installs (dpkg, debconf and theirs), documentation, and tables of character sets that only iconv reads.
WORKDIR /image
RUN mkdir -p usr/bin usr/sbin usr/lib usr/lib64 tmp var/lib/dpkg/status.d \
 && for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done \
 && rm -f /debs/dpkg_* /debs/tar_* /debs/debconf_* /debs/mawk_* /debs/perl-base_* \
 && for deb in /debs/*.deb; do \
      dpkg-deb --fsys-tarfile "$deb" > /debs/one.tar \
      && tar --extract --keep-directory-symlink --file /debs/one.tar \
           --exclude './usr/share/man' --exclude './usr/share/locale' --exclude './usr/share/info' \
           --exclude './usr/share/lintian' --exclude './usr/share/bug' --exclude '*/gconv' \
      && dpkg-deb --field "$deb" > "var/lib/dpkg/status.d/$(dpkg-deb --field "$deb" Package)" || exit 1; \
    done \
 && find usr/share/doc -type f ! -name copyright -delete \
 && for name in $(usr/bin/busybox --list); do [ -e "usr/bin/$name" ] || ln -s busybox "usr/bin/$name"; done
# A named user with a fixed id owns the volume, so that a mounted folder can be prepared for it: chown 10001:10001.
RUN printf '%s\n' 'root:x:0:0:root:/:/usr/sbin/nologin' 'alertd:x:10001:10001:alertd:/var/lib/alertd:/usr/sbin/nologin' > etc/passwd \
 && printf '%s\n' 'root:x:0:' 'alertd:x:10001:' > etc/group \
 && chmod 1777 tmp \
 && install -d -o 10001 -g 10001 -m 0750 var/lib/alertd
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY requirements ./requirements
COPY alertd ./alertd
# Every library is one of the files whose hashes are in requirements/*.lock, or the build ends.
# EXTRAS names the set: `slim` has PostgreSQL and pictures, `full` also Parquet files, Apprise's 180 services, clouds and
# databases as sources.
ARG EXTRAS=slim
ARG SOURCE_DATE_EPOCH=1767225600
RUN python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --require-hashes --no-deps -r requirements/build.lock \
 && PATH=/opt/tools/bin:$PATH hatchling build -t wheel \
 && python3 -m venv --without-pip /opt/alertd \
 && /opt/tools/bin/pip --python /opt/alertd/bin/python install --no-compile --require-hashes --no-deps -r requirements/$EXTRAS.lock \
 && /opt/tools/bin/pip --python /opt/alertd/bin/python install --no-compile --no-deps --no-index dist/*.whl \
 && /opt/tools/bin/cyclonedx-py environment --output-reproducible --of JSON --pyproject pyproject.toml \
      -o /src/python.json /opt/alertd/bin/python
COPY tools/image_sbom.py ./
# The libraries' own tests, headers, stubs and Fortran tools go. Byte code is made here, once, and never looked at again
# for changes: the root is read-only, and without it every command would compile for seconds. Authorities to trust are
# where programs look for them; a file mounted there takes their place.
RUN /opt/tools/bin/python image_sbom.py python.json /image "$(/opt/alertd/bin/alertd --version)" /opt/alertd/sbom.json \
 && find /opt/alertd -depth \( -type d \( -name tests -o -name f2py -o -name include -o -name _pyinstaller \) \
      -o -name '*.pyi' -o -name '*.pxd' -o -name '*.h' -o -name '*.c' -o -name '*.a' \) -exec rm -rf {} + \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /image /image/usr/lib/python3* \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(pygments/lexers/[a-z]|dateparser/data/)' /opt/alertd/lib \
 && mkdir -p /image/usr/lib/ssl /image/etc/ssl/certs \
 && ln -s "$(/opt/alertd/bin/python -c 'import certifi; print(certifi.where())')" /image/etc/ssl/certs/ca-certificates.crt \
 && ln -s /etc/ssl/certs/ca-certificates.crt /image/usr/lib/ssl/cert.pem

FROM scratch
LABEL org.opencontainers.image.title="alertd" \
      org.opencontainers.image.description="Budget alerts for LLM usage" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image /
COPY --from=build /opt/alertd /opt/alertd
ENV PATH=/opt/alertd/bin:/usr/bin:/usr/sbin \
    LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 \
    ALERTD_DATABASE=sqlite:////var/lib/alertd/alertd.db \
    ALERTD_HTTP__LISTEN=0.0.0.0:9480
USER 10001:10001
WORKDIR /var/lib/alertd
EXPOSE 9480
STOPSIGNAL SIGTERM
# The root file system may be read-only (--read-only): everything that is written goes to the volume at /var/lib/alertd.
# None is declared here: Docker would make one without a name, and nobody would miss it until it is gone.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['ALERTD_HTTP__LISTEN'].rpartition(':')[2] + '/healthz', timeout=4)"]
ENTRYPOINT ["alertd"]
CMD ["run"]
