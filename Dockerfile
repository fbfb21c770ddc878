FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:22-bookworm-slim
ENV NODE_ENV=production DAYBOOK_HOST=0.0.0.0 DAYBOOK_DB=/data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/ui ./ui
COPY --from=build /app/LICENSE ./LICENSE
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 2113
# The server may speak HTTPS with a certificate for another name, so the check does not verify it. For a service named
# daybook, Kubernetes sets DAYBOOK_PORT to tcp://…; the check then uses the default port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["node", "-e", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = 0; const ask = (scheme) => fetch(scheme + '://127.0.0.1:' + (/^[0-9]+$/.test(process.env.DAYBOOK_PORT) ? process.env.DAYBOOK_PORT : 2113) + '/readyz'); ask('http').catch(() => ask('https')).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The server is the main process, so it gets signals directly and answers accepted requests before it ends.
ENTRYPOINT ["node", "dist/src/main.js"]
