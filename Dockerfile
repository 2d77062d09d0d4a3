# syntax=docker/dockerfile:1
# All programs of the workspace in one image without a shell, run as a user without rights.

FROM rust:1.95-bookworm AS builder
# aws-lc-rs builds its C library with cmake where no prebuilt one fits.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The queries are checked against .sqlx; no database is needed.
ENV SQLX_OFFLINE=true
# An image is built once and started often, and nobody looks into it with a profiler.
ENV CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_STRIP=symbols
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bins \
        --package quipu --package command-api --package query-api --package projector \
    && mkdir /programs \
    && cp target/release/quipu target/release/command-api target/release/query-api target/release/projector /programs/

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=builder /programs/ /usr/local/bin/
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/quipu/
WORKDIR /tmp
USER nonroot
ENTRYPOINT ["/usr/local/bin/quipu"]
CMD ["--help"]
