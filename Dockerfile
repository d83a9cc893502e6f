# evhub on an empty base: the binary, certificate roots, and a /data that belongs to the user it runs as.
# The default command is for development: everyone who reaches its ports has all rights, so publish them on 127.0.0.1 only.
# In production run: gateway --config /etc/evhub/gateway.yaml
# whose health is: /evhub health http://127.0.0.1:8081/readyz
FROM docker.io/library/golang:1.26 AS build
WORKDIR /src
COPY . .
RUN make image-root && mv dist/image dist/data /

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV EVHUB_DEV=1
EXPOSE 5672 5300 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["/evhub", "health"]
ENTRYPOINT ["/evhub"]
CMD ["serve", "--listen-amqp", "0.0.0.0:5672", "--listen-api", "0.0.0.0:8080", "--listen-admin", "0.0.0.0:5300"]
