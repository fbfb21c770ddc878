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
    'allow-origin': Type.Array(Type.String(), {
      default: [],
      description: 'An origin whose pages may write here (https://app.example); repeatable.'
    }),
    'allow-host': Type.Array(Type.String(), {
      default: [],
      description: 'A name by which a loopback listener may be called; repeatable.'
    }),
    'trust-proxy': Type.Boolean({ default: false, description: 'Believe X-Forwarded-* headers.' }),
    'public-cache': Type.Boolean({ default: false, description: 'Shared caches may keep immutable pages.' }),
    compression: Type.Boolean({
      default: false,
      description: "LevelDB's compression of tables: less disk, slower appends and reads."
    }),
    'unsafe-no-fsync': Type.Boolean({
      default: false,
      description: 'Answer before the disk has it. A power cut then loses acknowledged events.'
    }),
    'log-level': Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      default: 'warn',
      description: 'What the server logs, as JSON lines on standard output.'
    })
  },
  { additionalProperties: false }
)
export type ServeConfig = Static<typeof ServeConfig>

const where = {
  url: Type.String({ default: 'http://127.0.0.1:2113', description: 'The server to talk to.' }),
  db: Type.Optional(Type.String({ description: 'A data directory that no server has open, instead of a server.' }))
}

export const ImportConfig = Type.Object(
  {
    ...where,
    batch: Type.Integer({ default: 500, minimum: 1, maximum: 4096, description: 'Events a commit.' }),
    'as-log': Type.Boolean({
      default: false,
      description: 'Into an empty --db: keep positions, numbers and created times.'
    }),
    'occurred-from': Type.Optional(
      Type.String({
        description: 'Where an event without "occurred" says when it happened, as a JSON pointer (/data/committedAt).'
      })
    )
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
    })
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
