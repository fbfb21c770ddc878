/** What an operator can do about what a check has found. */
import type { DisagreementKind } from './check-report.js'

/** Damage of the log that no start repairs. */
const LOSSES = new Set([
  'log-unreadable',
  'log-table-damaged',
  'log-meta-damaged',
  'write-ahead-log-damaged',
  'head-behind-witness',
  'record-missing',
  'record-damaged',
  'start-refused'
])

/**
 * @param directory the data directory, for the commands
 * @returns sentences in the order in which they are to be done; none when nothing was found
 */
export function adviceOn(kinds: readonly DisagreementKind[], directory: string): string[] {
  const found = (part: string) => kinds.some((kind) => kind.part === part)
  const advice: string[] = []
  if (kinds.some(({ code }) => LOSSES.has(code))) {
    advice.push(
      `The log has lost events: restore ${directory} from a backup, or import an export into a new directory.`,
      `To go on without what is lost, "daybook recover --db ${directory}" says what that is and changes nothing; with --accept-loss it makes the directory start again.`
    )
  }
  if (kinds.some(({ code }) => code === 'created-goes-back')) {
    advice.push('Reads by time may pass over events whose time goes back; nothing else depends on it.')
  }
  if (found('witness')) {
    advice.push(
      'The next start writes the witness anew and gives the log a new identity, since nothing says how long it was.'
    )
  }
  if (found('index')) {
    const when = kinds.some(({ code }) => LOSSES.has(code)) ? 'After that, ' : ''
    advice.push(`${when}"daybook verify --db ${directory} --rebuild-index" makes the index anew from the log.`)
  }
  if (found('checkpoints')) {
    advice.push('Consumers whose place cannot be read begin where their definition says; no event is lost by that.')
  }
  return advice
}
