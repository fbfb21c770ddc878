import type { DaybookError } from '../errors.js'

/** The right to read live. It may be revoked, or expire, while the subscription is open. */
export interface LiveRight {
  /** Login of the reader; undefined: not signed in. */
  readonly login: string | undefined
  /** The stream whose rules grant the right; undefined: each event is judged by the rules of its own stream. */
  readonly stream: string | undefined
  /** When the credentials expire, milliseconds since 1970. */
  readonly expires: number | undefined
  /** Why the right is gone; undefined: it holds. A promise only when metadata has to be read. */
  refusal(): DaybookError | undefined | Promise<DaybookError | undefined>
}
