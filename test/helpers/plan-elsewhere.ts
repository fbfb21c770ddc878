/** Plans commits in a separate process: `plan-elsewhere.ts IN OUT`, two files with serialised lists of bytes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { bytesOfPlan, planned } from './plain-plan.js'

const [, , from, to] = process.argv as [string, string, string, string]
const commits = deserialize(readFileSync(from)) as Buffer[]
const plans: Buffer[] = commits.map(() => Buffer.alloc(0))
// In reverse order: state that a plan might keep from earlier ones differs then from that of planning in order.
for (let i = commits.length - 1; i >= 0; i--) plans[i] = bytesOfPlan(planned(deserialize(commits[i] as Buffer)))
writeFileSync(to, serialize(plans))
