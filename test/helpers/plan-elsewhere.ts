/** Plans commits in a process of its own: `plan-elsewhere.ts IN OUT`, two files of serialised lists of bytes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { bytesOfPlan, planned } from './plain-plan.js'

const [, , from, to] = process.argv as [string, string, string, string]
const commits = deserialize(readFileSync(from)) as Buffer[]
const plans: Buffer[] = commits.map(() => Buffer.alloc(0))
// The last first: what a plan might keep from those before it is other than where they were planned in order.
for (let i = commits.length - 1; i >= 0; i--) plans[i] = bytesOfPlan(planned(deserialize(commits[i] as Buffer)))
writeFileSync(to, serialize(plans))
