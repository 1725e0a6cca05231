# An image of slimpack alone: docker build -t slimpack .
#
# A stage of another Dockerfile takes it from there: COPY --from=slimpack /slimpack /usr/local/bin/
ARG RUST=docker.io/library/rust:1-bookworm
FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN target=$(uname -m)-unknown-linux-gnu && ./release.sh "$target" && cp "target/$target/dist/slimpack" /slimpack

FROM scratch
COPY --from=build /slimpack /slimpack
ENTRYPOINT ["/slimpack"]
