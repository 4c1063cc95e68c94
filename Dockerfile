# The program alone: no shell, no package manager, not root.
#
#   docker build --tag portcullis:0.1.0 .
#   docker build --tag portcullis-lambda:0.1.0 --build-arg FEATURES=lambda .
#
# The second is for functions of AWS Lambda: it knows the command `lambda`, and no `query`.
# `portcullis init` writes a second recipe, which adds a setup's configuration to this image.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
ARG FEATURES=query
RUN cargo build --release --locked --package portcullis \
        --no-default-features --features "$FEATURES" \
    && install -D -m 0755 target/release/portcullis /out/usr/bin/portcullis

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr/bin/portcullis /usr/bin/portcullis
USER 65532:65532
ENTRYPOINT ["/usr/bin/portcullis"]
