/** How long and how large a run is. */
export interface Scale {
  readonly name: 'full' | 'quick'
  readonly rounds: number
  /** Seconds of load of one subject in one round. */
  readonly seconds: number
  /** Seconds to wait before a round for others to leave the machine alone. */
  readonly patience: number
  /** Streams and events of the large store. */
  readonly large: { readonly events: number; readonly streams: number }
  /** Events of the store that is opened after a kill, and streamed. */
  readonly long: number
  /** Events of the store that conditions look into. */
  readonly conditional: number
  /** Events of the store whose size is looked at. */
  readonly disk: number
  /** Streams of one event each. */
  readonly many: number
  /** Events that are sent to 1,000 subscriptions each. */
  readonly fanout: number
  readonly hostile: HostileScale
}

/** Of the line `hostile`. */
export interface HostileScale {
  /** Names of loads, separated by commas; absent: all. */
  readonly load?: string
  /** MiB, for the server's `--memory`; absent: its default. */
  readonly memory?: number
  /** Seconds after which a load is cut. */
  readonly seconds: number
  /** Seconds from the end of a load until memory is to be free again. */
  readonly settles: number
}

/** Half as many rounds: for what takes long. */
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
