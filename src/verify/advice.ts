/** Advice for the operator on the findings of a check. */
import type { DisagreementKind } from './check-report.js'

/** Codes of damage to the log that a start does not repair. */
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
 * Returns advice, a sentence each, in the order in which the operator should follow it; none when nothing was found.
 * @param directory the data directory, for the commands
 */
export function adviceOn(kinds: readonly DisagreementKind[], directory: string): string[] {
  const found = (part: string) => kinds.some((kind) => kind.part === part)
  const advice: string[] = []
  const recover = `"daybook recover --db ${directory}"`
  if (kinds.some(({ code }) => LOSSES.has(code))) {
    advice.push(
      `The log has lost events: restore ${directory} from a backup, or import an export into a new directory.`,
      `Or ${recover} shows the loss and changes nothing; with --accept-loss the store starts without these events.`
    )
  }
  if (kinds.some(({ code }) => code === 'created-goes-back')) {
    advice.push('Reads by time may skip events whose time goes back. Nothing else is affected.')
  }
  if (found('witness')) {
    advice.push(
      'The next start writes a new witness and gives the log a new identity, because its former end is unknown.'
    )
  }
  if (found('index')) {
    const when = kinds.some(({ code }) => LOSSES.has(code)) ? 'After that, ' : ''
    advice.push(`${when}"daybook verify --db ${directory} --rebuild-index" rebuilds the index from the log.`)
  }
  if (found('checkpoints')) {
    advice.push('Consumers whose checkpoint cannot be read start again where their definition says. No event is lost.')
  }
  return advice
}
