/**
 * The log that a request says its cursors come from. A log that has lost its end assigns positions and numbers a second
 * time, to other events: a client that names the log gets an error instead of silently missing those events.
 */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { isIdentity } from '../../src/log/format.js'
import type { Log } from '../../src/log/log.js'
import type { CursorBounds } from '../../src/reading/event-read.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'

/**
 * `Daybook-Log`, or `log` in the query where headers cannot be set.
 * @throws `bad-header`, `bad-parameter`
 */
export function namedLog({ headers, query }: Pick<FastifyRequest, 'headers' | 'query'>): string | undefined {
  const header = headers['daybook-log']
  const { log: parameter } = query as { log?: string }
  if (header !== undefined && !isIdentity(header)) {
    throw new DaybookError('bad-header', 'Daybook-Log is the identity of a log, as answers carry it.')
  }
  if (parameter === undefined) return header
  if (isIdentity(parameter) && (header === undefined || header === parameter)) return parameter
  throw new DaybookError(
    'bad-parameter',
    header === undefined
      ? '"log" is the identity of a log, as Daybook-Log says it.'
      : 'Daybook-Log and "log" disagree.',
    { parameter: 'log' }
  )
}

/**
 * Refuses cursors that mean nothing here, when the request names the log that they were read from.
 * @param details further members of the problem
 * @returns undefined, without a promise, in the usual case that nothing must be looked up
 * @throws `log-changed`, `bad-header`, `bad-parameter`, at once or by the promise
 */
export function checkNamedLog(
  { log, sources }: { readonly log: Log; readonly sources: Sources },
  request: Pick<FastifyRequest, 'headers' | 'query'>,
  source: Source,
  bounds: CursorBounds,
  details: Record<string, unknown> = {}
): undefined | Promise<void> {
  const named = namedLog(request)
  return named === undefined || named === log.id ? undefined : sources.checkCursors(source, bounds, named, details)
}

/** A cursor up to which everything was read, as a bound. */
export function readUpTo(cursor: number): CursorBounds {
  return { lower: { kind: 'cursor', value: cursor, included: false }, upper: undefined }
}
