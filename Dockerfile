# The build tools are a separate layer, because they rarely change. The version of binaryen is that of xtask/src/tools/mod.rs;
# `cargo xtask test` compares them.
FROM rust:1.95-bookworm AS builder
RUN apt-get update \
    && apt-get install -y --no-install-recommends nodejs npm \
    && rm -rf /var/lib/apt/lists/*
RUN npm install --global --no-audit --no-fund binaryen@132
WORKDIR /build
COPY rust-toolchain.toml .
RUN rustup target add wasm32-unknown-unknown
COPY . .
RUN cargo run --package xtask -- build \
    && install -D -t /out/bin target/release/throughline target/release/cruddur \
    && install -d -o 10001 -g 10001 /out/data

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin throughline
COPY --from=builder /out/bin/ /usr/local/bin/
# A new volume gets its owner from the directory in the image.
COPY --from=builder --chown=10001:10001 /out/data /data
ENV THROUGHLINE_LISTEN=0.0.0.0:3000 \
    THROUGHLINE_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["throughline", "healthcheck"]
# The demo application with everything embedded. `docker run … throughline` runs without the demo, and
# `docker run … throughline doctor` runs one of its commands.
CMD ["cruddur"]
