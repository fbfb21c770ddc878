/** Every setting once: its flag, its variable, its key in a config file, its default and what it does. */
import { type Static, Type } from 'typebox'

/** Flag `--data-dir` is variable `DAYBOOK_DATA_DIR` and key `data-dir`. */
export const ServeConfig = Type.Object(
  {
    db: Type.String({ default: './data', description: 'Data directory; made when it is not there.' }),
    host: Type.String({ default: '127.0.0.1', description: 'Address to listen on.' }),
    port: Type.Integer({
      default: 2113,
      minimum: 0,
      maximum: 65535,
      description: 'Port to listen on; 0 takes a free one.'
    }),
    'run-projections': Type.Enum(['none', 'system', 'all'], {
      default: 'all',
      description:
        'Index streams ($ce-, $et-, $bc-, $category-, $streams): "none" keeps none, and reads by category or type look at every event. Switched on again, they are filled from where they stopped.'
    }),
    'category-separator': Type.String({
      default: 'first:-',
      pattern: '^(first|last):.$',
      examples: ['first:-', 'last:_'],
      description:
        'Where the category in a stream name ends: at the first or the last of a character. With another one the lists of categories are made anew.'
    }),
    anonymous: Type.Optional(
      Type.Enum(['on', 'off'], {
        description:
          'Whether "$all" in an access rule means everyone, or everyone who signed in. On loopback "on", elsewhere "off".'
      })
    ),
    'admin-password': Type.Optional(
      Type.String({ minLength: 1, secret: true, description: 'The first password of "admin", until it is changed.' })
    ),
    'ops-password': Type.Optional(
      Type.String({ minLength: 1, secret: true, description: 'The first password of "ops", until it is changed.' })
    ),
    'tls-cert': Type.Optional(
      Type.String({
        description: 'Certificate chain, PEM; with --tls-key the server speaks HTTPS. SIGHUP reads both again.'
      })
    ),
    'tls-key': Type.Optional(Type.String({ description: 'Private key of the certificate, PEM.' })),
    dev: Type.Boolean({ default: false, description: 'HTTPS on loopback with a certificate made for this start.' }),
    'jwt-jwks': Type.Optional(
      Type.String({ description: 'URL of the keys of an identity provider, whose tokens are taken.' })
    ),
    'jwt-public-key': Type.Optional(
      Type.String({ description: 'A public key or certificate, PEM, instead of --jwt-jwks.' })
    ),
    'jwt-issuer': Type.Optional(Type.String({ description: 'What "iss" in such a token must be.' })),
    'jwt-audience': Type.Optional(Type.String({ description: 'What "aud" in such a token must be.' })),
    'jwt-login-claim': Type.String({ default: 'sub', description: 'The claim that names the user.' }),
    'jwt-groups-claim': Type.String({
      default: 'groups',
      description: 'The claim that lists the groups; realm_access.roles is "roles" in "realm_access".'
    }),
    insecure: Type.Boolean({ default: false, description: 'No authentication: everybody may do everything.' }),
    'insecure-anywhere': Type.Boolean({
      default: false,
      description: 'With --insecure: also where others can reach it.'
    }),
    'cors-origin': Type.Array(Type.String(), {
      default: [],
      description:
        'An origin whose pages may read here, also with credentials, but not write; repeatable. "*": all, never with credentials; that is the default, on loopback for pages of this machine alone.'
    }),
    'connections-per-address': Type.Integer({
      default: 1000,
      minimum: 0,
      description: 'Connections that one address may have open; 0: any number.'
    }),
    'requests-per-second': Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Requests that one address may make a second; 0: any number. On loopback 0, elsewhere 1000.'
      })
    ),
    'allow-origin': Type.Array(Type.String(), {
      default: [],
      description:
        'An origin whose pages may do here what their users may: read, follow, write, and sign in (https://app.example); repeatable. On loopback pages of this machine need it only to sign in.'
    }),
    'allow-host': Type.Array(Type.String(), {
      default: [],
      description: 'A name by which a loopback listener may be called; repeatable.'
    }),
    'trust-proxy': Type.Boolean({
      default: false,
      description:
        'Believe X-Forwarded-For, -Proto, -Host, -Port and -Prefix: a proxy stands in front, and nobody else reaches the port.'
    }),
    'public-cache': Type.Boolean({ default: false, description: 'Shared caches may keep immutable pages.' }),
    compression: Type.Boolean({
      default: false,
      description: "LevelDB's compression of tables: less disk, slower appends and reads."
    }),
    'unsafe-no-fsync': Type.Boolean({
      default: false,
      description: 'Answer before the disk has it. A power cut then loses acknowledged events.'
    }),
    memory: Type.Optional(
      Type.String({
        pattern: '^\\d+(\\.\\d+)?(KiB|MiB|GiB)?$',
        examples: ['512MiB', '1GiB'],
        description:
          'Memory for requests and caches above the idle process, at least 64MiB. 512MiB, or a quarter of what the machine or container has if that is less.'
      })
    ),
    'log-level': Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      default: 'warn',
      description: 'What the server logs, as JSON lines on standard output.'
    })
  },
  { additionalProperties: false }
)
export type ServeConfig = Static<typeof ServeConfig>

const credentials = {
  user: Type.Optional(
    Type.String({ description: 'Who signs in to --url, by login; the password is DAYBOOK_PASSWORD.' })
  ),
  password: Type.Optional(Type.String({ secret: true, description: 'The password of --user.' })),
  token: Type.Optional(Type.String({ secret: true, description: 'An API token for --url, instead of --user.' })),
  'tls-ca': Type.Optional(Type.String({ description: 'A certificate to trust for --url, PEM.' }))
}

const where = {
  url: Type.String({ default: 'http://127.0.0.1:2113', description: 'The server to talk to.' }),
  ...credentials,
  db: Type.Optional(Type.String({ description: 'A data directory that no server has open, instead of a server.' }))
}

export const ImportConfig = Type.Object(
  {
    ...where,
    batch: Type.Integer({ default: 500, minimum: 1, maximum: 4096, description: 'Events a commit.' }),
    'as-log': Type.Boolean({
      default: false,
      description: 'Into an empty --db: make the exported log again, every record byte for byte.'
    }),
    'occurred-from': Type.Optional(
      Type.String({
        description: 'Where an event without "occurred" says when it happened, as a JSON pointer (/data/committedAt).'
      })
    ),
    'new-ids': Type.Boolean({
      default: false,
      description: 'Import lines without "id" under new ids, also those that were imported before.'
    })
  },
  { additionalProperties: false }
)
export type ImportConfig = Static<typeof ImportConfig>

export const ExportConfig = Type.Object(
  {
    ...where,
    output: Type.String({
      default: '-',
      description: 'The file to write; "-" is standard output; a name ending in .gz is compressed.'
    }),
    force: Type.Boolean({ default: false, description: 'Replace --output when it is there already.' })
  },
  { additionalProperties: false }
)
export type ExportConfig = Static<typeof ExportConfig>

export const VerifyConfig = Type.Object(
  {
    db: Type.String({ default: './data', description: 'The data directory; no server may have it open.' }),
    json: Type.Boolean({ default: false, description: 'The report as one JSON document on standard output.' }),
    'rebuild-index': Type.Boolean({ default: false, description: 'Make the index anew from the log first.' })
  },
  { additionalProperties: false }
)
export type VerifyConfig = Static<typeof VerifyConfig>

export const RecoverConfig = Type.Object(
  {
    db: Type.String({ default: './data', description: 'The data directory; no server may have it open.' }),
    'accept-loss': Type.Boolean({
      default: false,
      description: 'Go on without what is lost. Without it nothing is changed.'
    }),
    thorough: Type.Boolean({
      default: false,
      description: 'Read the whole log, and not only what a start reads.'
    })
  },
  { additionalProperties: false }
)
export type RecoverConfig = Static<typeof RecoverConfig>
