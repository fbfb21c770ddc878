import { DaybookError } from '../errors.js'

/** The settings of a consumer (native contract §7). */
export interface ConsumerSettings {
  /** Events to examine per page while catching up. */
  readonly readBatchSize: number
  /** The most events in flight: sent and not acknowledged. */
  readonly bufferSize: number
  /** The most live events waiting to be sent; beyond this the subscription falls behind. */
  readonly liveBufferSize: number
  /** A changed checkpoint is saved within this time, in milliseconds. */
  readonly checkpointAfterMilliseconds: number
  /** The most saves within `checkpointAfterMilliseconds`. */
  readonly maxCheckpointsPerEpoch: number
  /** Time without an acknowledgement after which events in flight are sent again, in milliseconds; 0: never. */
  readonly messageTimeoutMilliseconds: number
  /** Redeliveries without an acknowledgement after which the connection is closed. */
  readonly maxRetryCount: number
  /**
   * Time without a reader, as a duration text, after which the consumer is shown as expired. After twice this time it
   * is removed. Undefined: never.
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

/** The definition of a consumer, from the event that defines it. */
export interface ConsumerDefinition {
  readonly name: string
  /** The address that it reads, with its parameters in a fixed order. */
  readonly source: string
  /** The start position, as given in the request. */
  readonly from: string
  /** Login of the account that created it; undefined: an anonymous caller. */
  readonly owner?: string | undefined
  /** Creation time of that account, in milliseconds since 1970: a later account of the same login is not the owner. */
  readonly ownerSince?: number | undefined
  /** The cursor for `from`: the consumer reads the events after it. */
  readonly start: number
  /** The generation before the first reader. */
  readonly generation: number
  readonly settings: ConsumerSettings
}

/** The members of a definition that the request gives. The others are set when the consumer is created. */
export type WantedConsumer = Omit<ConsumerDefinition, 'start' | 'generation'>

/** @throws DaybookError `consumer-exists` when the definitions differ; it names the settings that differ */
export function checkSameDefinition(existing: ConsumerDefinition, wanted: WantedConsumer): void {
  const flat = ({ source, from, settings }: WantedConsumer) =>
    ({ source, from, ...settings }) as Record<string, unknown>
  const [now, requested] = [flat(existing), flat(wanted)]
  const differs = Object.keys(requested).filter((name) => now[name] !== requested[name])
  if (differs.length === 0) return
  const [first = ''] = differs
  throw new DaybookError(
    'consumer-exists',
    `"${wanted.name}" exists with other settings (${first} is ${JSON.stringify(now[first]) ?? 'not set'}). ` +
      'DELETE it first, or use another name.',
    { consumer: wanted.name, differs }
  )
}
