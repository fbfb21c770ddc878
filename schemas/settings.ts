/**
 * The settings of every command: name, type, default and help text. Flags, environment variables and config files are
 * all read by these schemas.
 */
import type { Static } from 'typebox'
import { Type } from './type.js'

/** A setting `data-dir` is the flag `--data-dir`, the variable `DAYBOOK_DATA_DIR` and the key `data-dir` in a file. */
export const ServeConfig = Type.Object(
  {
    db: Type.String({ default: './data', description: 'Data directory. Created if it does not exist.' }),
    host: Type.String({ default: '127.0.0.1', description: 'Address to listen on.' }),
    port: Type.Integer({
      default: 2113,
      minimum: 0,
      maximum: 65535,
      description: 'Port to listen on. 0 picks a free port.'
    }),
    'run-projections': Type.Enum(['none', 'system', 'all'], {
      default: 'all',
      description:
        'Index streams to maintain ($ce-, $et-, $bc-, $category-, $streams). "system" and "all" are the same. With "none", there are no index streams, and reads by category or type scan every event. Index streams that are enabled again catch up from where they stopped.'
    }),
    'category-separator': Type.String({
      default: 'first:-',
      pattern: '^(first|last):.$',
      examples: ['first:-', 'last:_'],
      description:
        'Where the category in a stream name ends: at the "first" or the "last" occurrence of a character, for example "last:_". Changing it rebuilds the category indexes.'
    }),
    anonymous: Type.Optional(
      Type.Enum(['on', 'off'], {
        description:
          'Whether "$all" in an access rule includes callers who are not signed in. Default: "on" on loopback, otherwise "off".'
      })
    ),
    'admin-password': Type.Optional(
      Type.String({
        minLength: 1,
        secret: true,
        description: 'Initial password of "admin", valid until the password is changed.'
      })
    ),
    'ops-password': Type.Optional(
      Type.String({
        minLength: 1,
        secret: true,
        description: 'Initial password of "ops", valid until the password is changed.'
      })
    ),
    'tls-cert': Type.Optional(
      Type.String({
        description: 'Certificate chain (PEM file). With --tls-key, the server speaks HTTPS. SIGHUP reloads both files.'
      })
    ),
    'tls-key': Type.Optional(Type.String({ description: 'Private key of the certificate (PEM file).' })),
    dev: Type.Boolean({
      default: false,
      description: 'HTTPS on loopback, with a self-signed certificate that is generated at each start.'
    }),
    'jwt-jwks': Type.Optional(
      Type.String({
        description: 'URL of the key set (JWKS) of an identity provider. Tokens signed with its keys are accepted.'
      })
    ),
    'jwt-public-key': Type.Optional(
      Type.String({
        description: 'Public key or certificate of the identity provider (PEM file), instead of --jwt-jwks.'
      })
    ),
    'jwt-issuer': Type.Optional(
      Type.String({ description: 'Required value of "iss" in tokens of the identity provider.' })
    ),
    'jwt-audience': Type.Optional(
      Type.String({ description: 'Required value of "aud" in tokens of the identity provider.' })
    ),
    'jwt-login-claim': Type.String({ default: 'sub', description: 'Claim that holds the login name.' }),
    'jwt-groups-claim': Type.String({
      default: 'groups',
      description:
        'Claim that lists the groups. A dot selects a nested claim: realm_access.roles is "roles" in "realm_access".'
    }),
    insecure: Type.Boolean({
      default: false,
      description: 'Turns authentication off: every caller may do everything.'
    }),
    'insecure-anywhere': Type.Boolean({
      default: false,
      description: 'Allows --insecure on addresses that other machines can reach, and behind a proxy.'
    }),
    'cors-origin': Type.Array(Type.String(), {
      default: [],
      description:
        'Origin whose web pages may read from this server, also with credentials, but not write. Repeatable. "*" allows all origins, without credentials. Default: "*"; on loopback only pages served from this machine.'
    }),
    'connections-per-address': Type.Integer({
      default: 1000,
      minimum: 0,
      description: 'Maximum number of open connections per client address. 0: no limit.'
    }),
    'requests-per-second': Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'Maximum number of requests per second per client address. 0: no limit. Default: 0 on loopback, otherwise 1000.'
      })
    ),
    'allow-origin': Type.Array(Type.String(), {
      default: [],
      description:
        'Origin whose web pages may do what their signed-in user may do: read, follow, write (https://app.example). Repeatable. On loopback, pages served from this machine need it only to sign in.'
    }),
    'allow-host': Type.Array(Type.String(), {
      default: [],
      description: 'Additional host name that requests to a loopback address may use. Repeatable.'
    }),
    'trust-proxy': Type.Boolean({
      default: false,
      description:
        'Trust the headers X-Forwarded-For, -Proto, -Host, -Port and -Prefix. Use it only if every connection to the port comes from your proxy.'
    }),
    'public-cache': Type.Boolean({
      default: false,
      description: 'Allows shared caches (proxies, CDNs) to store immutable pages.'
    }),
    compression: Type.Boolean({
      default: false,
      description: "Turns on LevelDB's table compression: less disk space, slower appends and reads."
    }),
    'unsafe-no-fsync': Type.Boolean({
      default: false,
      description: 'Answers appends before they are on disk. A power failure then loses acknowledged events.'
    }),
    memory: Type.Optional(
      Type.String({
        pattern: '^\\d+(\\.\\d+)?(KiB|MiB|GiB)?$',
        examples: ['512MiB', '1GiB'],
        description:
          'Memory budget for requests and caches, on top of what the idle process uses. At least 64MiB. Default: 512MiB, or a quarter of the memory of the machine or container if that is less.'
      })
    ),
    'log-level': Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      default: 'warn',
      description: 'Lowest level to log. Log lines are JSON, on standard output.'
    })
  },
  { additionalProperties: false }
)
export type ServeConfig = Static<typeof ServeConfig>

const credentials = {
  user: Type.Optional(
    Type.String({ description: 'Login name for the server at --url. The password is read from DAYBOOK_PASSWORD.' })
  ),
  password: Type.Optional(Type.String({ secret: true, description: 'Password of --user.' })),
  token: Type.Optional(
    Type.String({ secret: true, description: 'API token for the server at --url, instead of --user.' })
  ),
  'tls-ca': Type.Optional(Type.String({ description: 'Certificate authority to trust for --url (PEM file).' }))
}

const where = {
  url: Type.String({ default: 'http://127.0.0.1:2113', description: 'Address of the server.' }),
  ...credentials,
  db: Type.Optional(
    Type.String({ description: 'Data directory to use instead of a server. No server may have it open.' })
  )
}

export const ImportConfig = Type.Object(
  {
    ...where,
    batch: Type.Integer({ default: 500, minimum: 1, maximum: 4096, description: 'Number of events per commit.' }),
    'as-log': Type.Boolean({
      default: false,
      description: 'Recreates the exported log in an empty --db, every record byte for byte.'
    }),
    'occurred-from': Type.Optional(
      Type.String({
        description:
          'JSON pointer to the time at which an event happened (for example /data/committedAt), used for lines without "occurred".'
      })
    ),
    'new-ids': Type.Boolean({
      default: false,
      description:
        'Gives new ids to lines without "id". Such lines are imported again even if they were imported before.'
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
      description: 'File to write. "-" is standard output. A name that ends in .gz is compressed.'
    }),
    force: Type.Boolean({ default: false, description: 'Replaces the --output file if it exists.' })
  },
  { additionalProperties: false }
)
export type ExportConfig = Static<typeof ExportConfig>

export const VerifyConfig = Type.Object(
  {
    db: Type.String({ default: './data', description: 'Data directory. No server may have it open.' }),
    json: Type.Boolean({ default: false, description: 'Prints the report as one JSON document on standard output.' }),
    'rebuild-index': Type.Boolean({ default: false, description: 'Rebuilds the index from the log before the check.' })
  },
  { additionalProperties: false }
)
export type VerifyConfig = Static<typeof VerifyConfig>

export const RecoverConfig = Type.Object(
  {
    db: Type.String({ default: './data', description: 'Data directory. No server may have it open.' }),
    'accept-loss': Type.Boolean({
      default: false,
      description:
        'Accepts the loss and makes the directory usable without the lost events. Without this flag, nothing is changed.'
    }),
    thorough: Type.Boolean({
      default: false,
      description: 'Reads the whole log, not only the part that a start reads.'
    })
  },
  { additionalProperties: false }
)
export type RecoverConfig = Static<typeof RecoverConfig>
