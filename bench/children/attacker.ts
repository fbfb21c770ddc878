/** The client of a hostile load. Its connections stay open until it is stopped. */
import type { Target } from '../hostile/hostile-load.js'
import { hostileLoads } from '../hostile/hostile-loads.js'
import { doJobs, type Jobs } from '../support/jobs.js'

const jobs = {
  /** @param name of the load */
  prepare: ({ name, url }: { name: string; url: string }): Promise<string> =>
    hostileLoads[name]?.prepare?.(url) ?? Promise.resolve(''),

  /** Returns the outcome. */
  attack: ({ name, target }: { name: string; target: Target }): Promise<string> =>
    hostileLoads[name]?.attack(target) ?? Promise.reject(new Error(`there is no load "${name}"`))
} satisfies Jobs

export type AttackerJobs = typeof jobs

doJobs(jobs)
