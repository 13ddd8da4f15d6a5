# syntax=docker/dockerfile:1
#
#   docker build -t heliostat .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/heliostat:VERSION --push .
#
# The image has a shell and wget for health checks, and runs as user 10001. It listens on every address of the container,
# so it starts only with an app: a file (-v ./heliostat.toml:/etc/heliostat/heliostat.toml:ro -e HELIOSTAT_CONFIG=…), or
# HELIOSTAT_APP_ID, HELIOSTAT_APP_KEY and HELIOSTAT_APP_SECRET. examples/deploy has complete set-ups.

ARG RUST_VERSION=1.91
ARG DEBIAN=trixie

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
# jemalloc is built with make.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# The dependencies alone, with empty crates in place of ours: a layer that lasts until one of these files changes.
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY protocol-tests/Cargo.toml protocol-tests/
COPY protocol-tests/clients/rust/Cargo.toml protocol-tests/clients/rust/
COPY protocol-tests/fuzz/Cargo.toml protocol-tests/fuzz/
COPY protocol-tests/instructions/Cargo.toml protocol-tests/instructions/
COPY protocol-tests/load/Cargo.toml protocol-tests/load/
RUN for crate in . protocol-tests protocol-tests/clients/rust protocol-tests/fuzz protocol-tests/instructions protocol-tests/load; \
    do mkdir -p "$crate/src" && echo 'fn main() {}' >"$crate/src/main.rs" && : >"$crate/src/lib.rs" || exit 1; done \
 && cargo build --release --locked --bin heliostat

COPY src src
COPY examples/magic-mirror examples/magic-mirror
# What `heliostat --version` names: --build-arg HELIOSTAT_COMMIT="$(git rev-parse HEAD)"
ARG HELIOSTAT_COMMIT=unknown
# Cargo goes by times, and a checkout may be older than the layer above.
RUN touch src/main.rs src/lib.rs \
 && HELIOSTAT_COMMIT="$HELIOSTAT_COMMIT" cargo build --release --locked --bin heliostat

FROM debian:${DEBIAN}-slim
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends wget \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 heliostat \
 && useradd --system --uid 10001 --gid heliostat --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin heliostat \
 && install -d -o heliostat -g heliostat /run/heliostat /var/lib/heliostat
COPY --from=build /build/target/release/heliostat /usr/local/bin/heliostat
COPY --chmod=755 examples/deploy/health /usr/local/bin/heliostat-health
COPY LICENSE /usr/share/doc/heliostat/LICENSE

LABEL org.opencontainers.image.title="heliostat" \
      org.opencontainers.image.description="A self-hosted broker that speaks the Pusher Channels protocol" \
      org.opencontainers.image.licenses="MIT"

# `docker exec NAME heliostat reload` finds the control socket by the same variable. The admin listener answers within the
# container alone, unless HELIOSTAT_ADMIN_HOST and HELIOSTAT_ADMIN_TOKEN say otherwise. Apps that its API adds are in
# /var/lib/heliostat: a volume there keeps them.
ENV HELIOSTAT_SERVER_HOST=0.0.0.0 \
    HELIOSTAT_SERVER_CONTROL_SOCKET=/run/heliostat/control \
    HELIOSTAT_ADMIN_ENABLED=true \
    HELIOSTAT_ADMIN_APPS_FILE=/var/lib/heliostat/apps.toml
# 6001: WebSockets and the HTTP API. 9601: the admin listener.
EXPOSE 6001 9601
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["heliostat-health"]
ENTRYPOINT ["heliostat"]
CMD ["serve"]
