# One image for every role: `wapsi serve`, `worker`, `scheduler` and `migrate`.
# Versions are pinned with their hashes in requirements-runtime.lock and deploy/build.lock.

ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder

# Read by pip, where packages come from a mirror: --build-arg PIP_INDEX_URL=…
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The dependencies first: this layer is kept while the lock stands. No compiler: a package without a wheel is refused.
COPY requirements-runtime.lock deploy/build.lock ./
RUN python -m venv /build/tools \
    && /build/tools/bin/pip install --require-hashes --only-binary :all: -r build.lock \
    && python -m venv --without-pip /opt/wapsi \
    && /build/tools/bin/pip --python /opt/wapsi/bin/python install --require-hashes --only-binary :all: \
        -r requirements-runtime.lock

COPY pyproject.toml README.md ./
COPY domains domains
COPY platform platform
# The tools are installed already, so the wheel's build downloads nothing that is not in a lock.
RUN /build/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /build/tools/bin/pip --python /opt/wapsi/bin/python install --no-index --no-deps dist/*.whl

FROM ${PYTHON_IMAGE}

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Wapsi" \
      org.opencontainers.image.description="The backend of a cashback platform" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# TMPDIR: feeds are spooled there while they are read, 1 GiB or more of them: a disk, not memory.
ENV PATH="/opt/wapsi/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/var/spool/wapsi \
    WAPSI_HTTP_HOST=0.0.0.0 \
    WAPSI_GRPC_HOST=0.0.0.0

RUN groupadd --system --gid 10001 wapsi \
    && useradd --system --uid 10001 --gid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin wapsi \
    && install -d -o 10001 -g 10001 -m 0700 /var/spool/wapsi

COPY deploy/healthcheck.py /opt/healthcheck.py
COPY --from=builder /opt/wapsi /opt/wapsi

USER 10001:10001
WORKDIR /var/spool/wapsi
EXPOSE 8000 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "/opt/healthcheck.py"]
ENTRYPOINT ["wapsi"]
CMD ["serve"]
