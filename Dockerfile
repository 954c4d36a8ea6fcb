# Plaudit's images: docker build --target operator|worker. tools/image makes the same without an engine; tools/image-root says what is in them.
# Not run where it was written, which has no engine; tools/image and its checks were. BASE has the Rust of rust-toolchain.toml; the digest is
# that of the index of all architectures (docker buildx imagetools inspect).
ARG BASE=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG VERSION=dev

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates g++ libssl-dev make pkg-config zlib1g-dev && rm -rf /var/lib/apt/lists/*
# or rustup would first fetch the linters that rust-toolchain.toml names
ENV RUSTUP_TOOLCHAIN=${RUST_VERSION}
WORKDIR /src
COPY . .
RUN tools/image-root operator /operator && tools/image-root worker /worker

# what both images are besides their files
FROM scratch AS image
ARG VERSION
LABEL org.opencontainers.image.description="Keeps players' achievements: reports from Kafka, records in Redis or Valkey" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/usr/local/bin
USER 65532:65532

FROM image AS operator
LABEL org.opencontainers.image.title="plaudit-operator"
COPY --from=build /operator /
ENTRYPOINT ["/usr/local/bin/plaudit"]

FROM image AS worker
LABEL org.opencontainers.image.title="plaudit-worker"
COPY --from=build /worker /
ENTRYPOINT ["/usr/local/bin/plaudit-worker"]

# both programs, for compose.yaml: `plaudit local` runs workers as processes
FROM operator AS local
COPY --from=worker /usr/local/bin/plaudit-worker /usr/local/bin/plaudit-worker
