import { DaybookError } from '../errors.js'

/** The settings of a consumer (native contract §7). */
export interface ConsumerSettings {
  /** Events looked at in one page while catching up. */
  readonly readBatchSize: number
  /** Events that may be in flight: sent and not acknowledged. */
  readonly bufferSize: number
  /** Live events that may wait to be sent before the subscription falls behind. */
  readonly liveBufferSize: number
  /** A place that moved is saved within this time, milliseconds… */
  readonly checkpointAfterMilliseconds: number
  /** …and at most so often in such a time. */
  readonly maxCheckpointsPerEpoch: number
  /** Events in flight are sent again when nothing was acknowledged for so long, milliseconds; 0: never. */
  readonly messageTimeoutMilliseconds: number
  /** After so many redeliveries without an acknowledgement the connection is closed. */
  readonly maxRetryCount: number
  /**
   * Without a reader for so long, the consumer is shown as expired; for twice as long, it is removed. Undefined: never.
   */
  readonly expiresAfter: string | undefined
}

export const CONSUMER_DEFAULTS: ConsumerSettings = {
  readBatchSize: 500,
  bufferSize: 500,
  liveBufferSize: 500,
  checkpointAfterMilliseconds: 1000,
  maxCheckpointsPerEpoch: 10,
  messageTimeoutMilliseconds: 30_000,
  maxRetryCount: 10,
  expiresAfter: undefined
}

/** What a consumer is, as the event that defines it says. */
export interface ConsumerDefinition {
  readonly name: string
  /** The address that it reads, its parameters in a fixed order. */
  readonly source: string
  /** Where it was to begin, as the request said. */
  readonly from: string
  /** Login of the account that made it; undefined: a caller without an account. */
  readonly owner?: string | undefined
  /** When that account was made, milliseconds since 1970: a later account of the same login is not the owner. */
  readonly ownerSince?: number | undefined
  /** The cursor that `from` came to: events up to here are not for this consumer. */
  readonly start: number
  /** The generation before its first reader. */
  readonly generation: number
  readonly settings: ConsumerSettings
}

/** What a caller defines; the rest is decided when the consumer is made. */
export type WantedConsumer = Omit<ConsumerDefinition, 'start' | 'generation'>

/** @throws `consumer-exists` naming the settings that differ */
export function checkSameDefinition(existing: ConsumerDefinition, wanted: WantedConsumer): void {
  const flat = ({ source, from, settings }: WantedConsumer) =>
    ({ source, from, ...settings }) as Record<string, unknown>
  const [now, asked] = [flat(existing), flat(wanted)]
  const differs = Object.keys(asked).filter((name) => now[name] !== asked[name])
  if (differs.length === 0) return
  const [first = ''] = differs
  throw new DaybookError(
    'consumer-exists',
    `"${wanted.name}" is there with other settings (${first} is ${JSON.stringify(now[first]) ?? 'not set'}); DELETE it first, or take another name.`,
    { consumer: wanted.name, differs }
  )
}
