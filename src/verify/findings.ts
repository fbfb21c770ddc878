/**
 * Collects the findings of a check: their number by kind, and the first ones. Its memory does not grow with the damage.
 */
import { limits } from '../limits.js'
import { PositionRanges } from '../log/position-ranges.js'
import type { CheckedPart, Disagreement, DisagreementKind } from './check-report.js'

/** All kinds of disagreements, causes before their effects. */
const KINDS: Readonly<Record<string, { part: CheckedPart; meaning: string }>> = {
  'log-unreadable': { part: 'log', meaning: 'LevelDB cannot open the log' },
  'log-table-damaged': { part: 'log', meaning: 'a file of the log is damaged' },
  'log-meta-damaged': { part: 'log', meaning: 'the identity of the log cannot be read' },
  'write-ahead-log-damaged': { part: 'log', meaning: "LevelDB has dropped records of the log's write-ahead log" },
  'head-behind-witness': { part: 'log', meaning: 'the end of the log is missing' },
  'record-missing': { part: 'log', meaning: 'an event of the log is missing' },
  'record-damaged': { part: 'log', meaning: 'an event of the log is damaged' },
  'created-goes-back': { part: 'log', meaning: 'an event has an earlier time than the event before it' },
  'start-refused': { part: 'log', meaning: 'the last start was refused' },
  'witness-damaged': { part: 'witness', meaning: 'the witness, which stores the end of the log, is damaged' },
  'witness-missing': { part: 'witness', meaning: 'the witness, which stores the end of the log, is missing' },
  'index-table-damaged': { part: 'index', meaning: 'a file of the index is damaged' },
  'index-unusable': { part: 'index', meaning: 'the index cannot be read' },
  'index-marked': { part: 'index', meaning: 'damage was found in the index while it was in use' },
  'index-damaged': { part: 'index', meaning: 'a part of the index is damaged' },
  'index-ahead': { part: 'index', meaning: 'the index covers positions after the end of the log' },
  'index-wrong': { part: 'index', meaning: 'an entry of the index does not agree with the log' },
  'checkpoints-table-damaged': { part: 'checkpoints', meaning: 'a file of the checkpoints is damaged' },
  'checkpoints-unusable': { part: 'checkpoints', meaning: 'the checkpoints cannot be read' },
  'checkpoint-damaged': { part: 'checkpoints', meaning: 'the checkpoint of a consumer is damaged' },
  'checkpoint-ahead': { part: 'checkpoints', meaning: 'a checkpoint was saved when the log was longer than now' }
}

/** The possible causes of a kind. The first one that was found counts as its cause. */
const CAUSES: Readonly<Record<string, readonly string[]>> = {
  'log-meta-damaged': ['log-table-damaged'],
  'head-behind-witness': ['log-table-damaged', 'write-ahead-log-damaged'],
  'record-missing': ['log-table-damaged', 'write-ahead-log-damaged'],
  'record-damaged': ['log-table-damaged'],
  'start-refused': ['log-unreadable', 'head-behind-witness', 'record-missing', 'record-damaged'],
  'index-unusable': ['index-table-damaged', 'log-meta-damaged', 'head-behind-witness'],
  'index-damaged': ['index-table-damaged'],
  'index-marked': ['index-table-damaged', 'index-damaged'],
  'index-ahead': ['head-behind-witness'],
  'checkpoints-unusable': ['checkpoints-table-damaged'],
  'checkpoint-damaged': ['checkpoints-table-damaged'],
  'checkpoint-ahead': ['head-behind-witness']
}

interface FoundKind {
  count: number
  readonly examples: Disagreement[]
  readonly positions: PositionRanges
}

export class Findings {
  readonly #kinds = new Map<string, FoundKind>()
  readonly #named: (text: string) => string

  /** @param named replaces the paths of an inspection view in a text by those of the data directory */
  constructor(named: (text: string) => string) {
    this.#named = named
  }

  add(disagreement: Disagreement): void {
    const { code, position, last = position } = disagreement
    let kind = this.#kinds.get(code)
    if (kind === undefined) {
      kind = { count: 0, examples: [], positions: new PositionRanges() }
      this.#kinds.set(code, kind)
    }
    kind.count += position === undefined ? 1 : (last as number) - position + 1
    if (kind.examples.length < limits.disagreements_shown_max) {
      kind.examples.push({ ...disagreement, detail: this.#named(disagreement.detail) })
    }
    if (position !== undefined) kind.positions.add(position, last)
  }

  has(code: string): boolean {
    return this.#kinds.has(code)
  }

  /** The first disagreements of each kind, causes before effects. */
  get examples(): Disagreement[] {
    return this.#sorted().flatMap(([, { examples }]) => examples)
  }

  get kinds(): DisagreementKind[] {
    return this.#sorted().map(([code, { count, positions }]) => {
      const follows = CAUSES[code]?.find((cause) => this.has(cause))
      const about = positions.size === 0 ? {} : { positions: String(positions) }
      return { code, ...partOf(code), count, ...about, ...(follows !== undefined && { follows }) }
    })
  }

  #sorted(): [string, FoundKind][] {
    const order = Object.keys(KINDS)
    return [...this.#kinds].sort(([one], [other]) => order.indexOf(one) - order.indexOf(other))
  }
}

function partOf(code: string): { part: CheckedPart; meaning: string } {
  const kind = KINDS[code]
  if (kind === undefined) throw new Error(`"${code}" is not a known kind of disagreement`)
  return kind
}
