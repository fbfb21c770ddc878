/** The filter of a feed of the log (reference 12.4). */
import { limits } from '../../../src/limits.js'
import type { Expressions } from '../../../src/reading/expressions/expressions.js'
import { Filter } from '../../../src/reading/filter.js'
import { asRefusal, badRequest } from './refusal.js'

/** The filter that matches all records of the log. */
export const WHOLE_LOG = new Filter({ system: true })

/** Parses the query of a filtered feed (reference 12.4). @throws refusals */
export function parseLogFilter(query: URLSearchParams, expressions: Expressions): Filter {
  const exclude = query.get('exclude-system-events')
  if (exclude !== null && exclude !== '') {
    if (exclude.toLowerCase() !== 'true') throw badRequest('exclude-sytem-events should have a value of true.')
    return new Filter({ system: true, type: { regex: ['^[^$].*'] } }, expressions)
  }
  const context = query.get('context')
  const type = query.get('type')
  const data = query.get('data')
  if (context !== 'streamid' && context !== 'eventtype') {
    throw badRequest('Invalid context please provide one of the following: StreamId, EventType.')
  }
  if (type !== 'regex' && type !== 'prefix') {
    throw badRequest('Invalid type please provide one of the following: Regex, Prefix.')
  }
  // Empty items are ignored, as in EventStoreDB: an empty prefix would match everything.
  const prefixes = data?.split(',').filter((item) => item !== '') ?? []
  if (data === null || data === '' || (type === 'prefix' && prefixes.length === 0)) {
    throw badRequest('Please provide a comma delimited list of data with at least one item.')
  }
  if (prefixes.length > limits.filter_values_max) {
    throw badRequest(`Please provide at most ${limits.filter_values_max} items of data.`)
  }
  const name = type === 'regex' ? { regex: [data] } : { prefix: prefixes }
  try {
    return new Filter({ system: true, ...(context === 'streamid' ? { stream: name } : { type: name }) }, expressions)
  } catch (error) {
    throw asRefusal(error, 'read')
  }
}
