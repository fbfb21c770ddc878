/** Duration and size of a run. */
export interface Scale {
  readonly name: 'full' | 'quick'
  readonly rounds: number
  /** Seconds of load of one subject in one round. */
  readonly seconds: number
  /** Maximum time to wait before a round for an idle machine, seconds. */
  readonly patience: number
  /** Streams and events of the large store. */
  readonly large: { readonly events: number; readonly streams: number }
  /** Events of the store that is opened after a kill, and of the store that is streamed. */
  readonly long: number
  /** Events of the store for conditions. */
  readonly conditional: number
  /** Events of the store whose size is measured. */
  readonly disk: number
  /** Streams of one event each. */
  readonly many: number
  /** Events that are sent to 1,000 subscriptions each. */
  readonly fanout: number
  readonly hostile: HostileScale
}

/** Settings of the line `hostile`. */
export interface HostileScale {
  /** Names of loads, separated by commas; absent: all. */
  readonly load?: string
  /** MiB, for the server's `--memory`; absent: its default. */
  readonly memory?: number
  /** Maximum duration of a load, seconds. */
  readonly seconds: number
  /** Seconds from the end of a load until memory is to be free again. */
  readonly settles: number
}

/** Half the number of rounds, for slow lines. */
export function halfTheRounds(scale: Scale): Scale {
  return { ...scale, rounds: Math.ceil(scale.rounds / 2) }
}

export const full: Scale = {
  name: 'full',
  rounds: 7,
  seconds: 3,
  patience: 0,
  large: { events: 2_000_000, streams: 100_000 },
  long: 1_000_000,
  conditional: 1_000_000,
  disk: 500_000,
  many: 10_000_000,
  fanout: 1000,
  hostile: { seconds: 60, settles: 60 }
}

export const quick: Scale = {
  name: 'quick',
  rounds: 3,
  seconds: 2,
  patience: 0,
  large: { events: 500_000, streams: 25_000 },
  long: 250_000,
  conditional: 200_000,
  disk: 100_000,
  many: 500_000,
  fanout: 200,
  hostile: { seconds: 20, settles: 60 }
}

/** Rounds of one build against another: each starts both servers anew. */
export function againstRounds({ rounds }: Scale): number {
  return Math.min(rounds, 5)
}
