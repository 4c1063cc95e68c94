# The program alone: no shell, no package manager, not root.
#
#   docker build --tag portcullis:0.1.0 .
#
# It knows every command but `query`, which is for analysts and weighs more than all else;
# `--build-arg FEATURES=lambda,query` adds it.
# `portcullis init` writes a second recipe, which adds a setup's configuration to this image.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
ARG FEATURES=lambda
RUN cargo build --release --locked --package portcullis \
        --no-default-features --features "$FEATURES" \
    && install -D -m 0755 target/release/portcullis /out/usr/bin/portcullis

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr/bin/portcullis /usr/bin/portcullis
USER 65532:65532
ENTRYPOINT ["/usr/bin/portcullis"]
