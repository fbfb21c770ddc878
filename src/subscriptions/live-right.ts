import type { DaybookError } from '../errors.js'

/** The right to read live. It may be revoked, or expire, while the subscription is open. */
export interface LiveRight {
  /** Login of the reader; undefined: not signed in. */
  readonly login: string | undefined
  /** The stream whose access rules grant the right. Undefined: each event is checked by the rules of its own stream. */
  readonly stream: string | undefined
  /** When the credentials expire, milliseconds since 1970. */
  readonly expires: number | undefined
  /** Returns why the right was lost; undefined while it is valid. Returns a promise only if metadata must be read. */
  refusal(): DaybookError | undefined | Promise<DaybookError | undefined>
}
