# An agent in a container; README, "Install as a service", says how to run it.
FROM node:20-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY scripts/build.mjs scripts/
COPY src src
RUN npm run build

FROM node:20-bookworm-slim
# bubblewrap: the sandbox of commands. procps, iproute2: what most policies allow first.
RUN apt-get update \
  && apt-get install -y --no-install-recommends bubblewrap procps iproute2 \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/dist /usr/local/lib/fanout/dist
COPY handlers /usr/local/lib/fanout/handlers
COPY policies /usr/local/lib/fanout/policies
COPY README.md LICENSE /usr/local/lib/fanout/
RUN ln -s ../lib/fanout/dist/fanout.js /usr/local/bin/fanout
EXPOSE 7946/tcp 7946/udp
# Node key, audit log.
VOLUME /var/lib/fanout
# A stop leaves the cluster.
STOPSIGNAL SIGINT
ENTRYPOINT ["fanout", "agent"]
