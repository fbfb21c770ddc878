/**
 * Checks the log identity that a request names as the origin of its cursors. A log that has lost its last events
 * assigns their positions and numbers again, to other events. A client that names the log gets an error then, instead
 * of silently missing these events.
 */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { isIdentity } from '../../src/log/format.js'
import type { Log } from '../../src/log/log.js'
import type { CursorBounds } from '../../src/reading/event-read.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'

/**
 * Returns the log identity from the header `Daybook-Log`, or from the query parameter `log` for clients that cannot set
 * headers; undefined without both.
 * @throws `bad-header`, `bad-parameter`
 */
export function namedLog({ headers, query }: Pick<FastifyRequest, 'headers' | 'query'>): string | undefined {
  const header = headers['daybook-log']
  const { log: parameter } = query as { log?: string }
  if (header !== undefined && !isIdentity(header)) {
    throw new DaybookError(
      'bad-header',
      'Daybook-Log must be the identity of a log, as in the Daybook-Log header of responses.'
    )
  }
  if (parameter === undefined) return header
  if (isIdentity(parameter) && (header === undefined || header === parameter)) return parameter
  throw new DaybookError(
    'bad-parameter',
    header === undefined
      ? '"log" must be the identity of a log, as in the Daybook-Log header of responses.'
      : 'Daybook-Log and "log" contradict each other: send one of them.',
    { parameter: 'log' }
  )
}

/**
 * Refuses cursors from another log that are not valid in this one. Does nothing if the request names no log.
 * @param details further members of the problem
 * @returns undefined instead of a promise in the usual case, in which no look-up is needed
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

/** Returns the bounds of the events after a cursor up to which all events were read. */
export function readUpTo(cursor: number): CursorBounds {
  return { lower: { kind: 'cursor', value: cursor, included: false }, upper: undefined }
}
