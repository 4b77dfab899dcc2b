# syntax=docker/dockerfile:1

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
ENV GOMODCACHE=/cache/modules GOCACHE=/cache/build
RUN --mount=type=cache,target=/cache \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags '-s -w' -o /belfry ./cmd/belfry

# Nothing but the program (time zones are in it) and the certificates of whom it
# calls. No shell, no package manager, no root.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /belfry /belfry
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/belfry"]
CMD ["serve"]
